//! Members at random.

use std::collections::BTreeSet;
use std::ops::Bound;

use larder_cluster::element::Role;
use larder_cluster::rows::Span;
use larder_cluster::transaction::{Place, Transaction};

use crate::call::Call;
use crate::error::CommandError;
use crate::sorted_set::{self, FAMILY, PAGE};
use crate::table::Flag::ReadOnly;
use crate::table::{Command, KeySpec, Scope};
use crate::texts;

use super::take::Elements;
use super::{SORTED_SET, Shape};

pub(crate) const ROWS: &[Command] = &[Command {
    name: "zrandmember",
    arity: -2,
    usage: "key:key [count:integer [WITHSCORES]]",
    summary: "Returns one or more random members from a sorted set.",
    since: "6.2.0",
    complexity: "O(log(N)) for each member returned, where N is the number of elements in the \
                  sorted set.",
    flags: &[ReadOnly],
    keys: &[KeySpec::at(1, &["RO", "access"])],
    tips: &["nondeterministic_output"],
    scope: Scope::Keys(zrandmember),
    ..SORTED_SET
}];

fn zrandmember(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let key_at = 1;
    if call.args.len() == 2 {
        let key = call.collection(key_at, FAMILY)?;
        let picked = match &key {
            Some(key) => pick(call.transaction, key)?,
            None => None,
        };
        match (key, picked) {
            (Some(key), Some(element)) => {
                let member = texts::text_of(call.transaction, &key, &element)?;
                call.reply.bulk(&member);
            }
            _ => call.reply.null(),
        }
        return Ok(());
    }
    let count = call.integer(2)?;
    let with_scores = match call.args.len() {
        3 => false,
        4 if call.arg(3).eq_ignore_ascii_case(b"withscores") => true,
        _ => return Err(CommandError::Syntax),
    };
    let bound = if with_scores { i64::MAX / 2 } else { i64::MAX };
    if !(-bound..=bound).contains(&count) {
        return Err(CommandError::OutOfRange);
    }
    let Some(key) = call.collection(key_at, FAMILY)? else {
        call.reply.array(0);
        return Ok(());
    };
    let shape = Shape::of(call.reply, with_scores);
    let elements = if count < 0 {
        repeated(call.transaction, &key, count.unsigned_abs())?
    } else {
        distinct(call.transaction, &key, count.unsigned_abs())?
    };
    call.reply.array(shape.values(elements.len()));
    for element in &elements {
        let member = texts::text_of(call.transaction, &key, element)?;
        let score = sorted_set::score_of(call.transaction, &key, &member)?;
        shape.write(call.reply, &member, score.unwrap_or(0.0));
    }
    Ok(())
}

/// A member at random: the first one behind a place at random in the order of hashes.
fn pick(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
) -> Result<Option<Box<[u8]>>, CommandError> {
    let all = Span::of_prefix(&FAMILY.element(Role::MEMBER, b""));
    let place = FAMILY.element(Role::MEMBER, &transaction.random().to_be_bytes());
    let mut behind = all.clone();
    behind.from = Bound::Included(place);
    for span in [behind, all] {
        if let Some(found) = first_shown(transaction, key, span)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The first element of a span that has a score: rows of resets have none.
fn first_shown(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    span: Span,
) -> Result<Option<Box<[u8]>>, CommandError> {
    let mut elements = Elements::new(span, 1);
    elements.next(transaction, key)
}

fn repeated(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    count: u64,
) -> Result<Vec<Box<[u8]>>, CommandError> {
    let mut picked = Vec::new();
    for _ in 0..count {
        picked.extend(pick(transaction, key)?);
    }
    Ok(picked)
}

/// Different members, in an order at random: those behind a place at random, or all.
fn distinct(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    count: u64,
) -> Result<Vec<Box<[u8]>>, CommandError> {
    let members = transaction.members(key, FAMILY)?;
    let wanted = usize::try_from(count.min(members)).unwrap_or(usize::MAX);
    let all = || Span::of_prefix(&FAMILY.element(Role::MEMBER, b""));
    let mut picked = BTreeSet::new();
    // Few of many are drawn one by one, else many would be drawn twice.
    if count.saturating_mul(3) < members {
        while picked.len() < wanted {
            match pick(transaction, key)? {
                Some(element) => picked.insert(element),
                None => break,
            };
        }
    } else {
        let mut elements = Elements::new(all(), PAGE);
        let mut left = usize::try_from(members).unwrap_or(usize::MAX);
        let mut missing = wanted;
        while missing > 0
            && let Some(element) = elements.next(transaction, key)?
        {
            // Each is taken with the chance that leaves all choices equally likely.
            if transaction.random() % (left.max(1) as u64) < missing as u64 {
                picked.insert(element);
                missing -= 1;
            }
            left = left.saturating_sub(1);
        }
    }
    Ok(picked.into_iter().collect())
}
