//! Intersections, unions and differences of sets, and members that move from one to another.

use std::collections::BTreeSet;

use larder_cluster::element::Family;
use larder_cluster::transaction::Place;

use super::{add, contains, remove};
use crate::args::Args;
use crate::call::Call;
use crate::collection;
use crate::error::CommandError;
use crate::members::Walk;
use crate::numbers;
use crate::table::Asked;

/// What becomes of several sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Intersection,
    Union,
    Difference,
}

/// The sets at these positions; `None` for a key that is not there.
fn sources(
    call: &mut Call<'_, '_, '_>,
    positions: std::ops::Range<usize>,
) -> Result<Vec<Option<Place>>, CommandError> {
    positions
        .map(|index| call.collection(index, Family::SET))
        .collect()
}

/// Hands the members of the result to `take`, each once, until it wants no more.
fn compute(
    call: &mut Call<'_, '_, '_>,
    operation: Operation,
    sources: &[Option<Place>],
    mut take: impl FnMut(&mut Call<'_, '_, '_>, &[u8]) -> bool,
) -> Result<(), CommandError> {
    if operation == Operation::Union {
        return unite(call, sources, take);
    }
    let mut others: Vec<&Place> = sources.iter().flatten().collect();
    let begin = if operation == Operation::Intersection {
        if others.len() < sources.len() {
            return Ok(());
        }
        smallest(call, &others)?
    } else {
        match sources.first() {
            Some(Some(_)) => 0,
            _ => return Ok(()),
        }
    };
    let first = others.remove(begin);
    let wanted = operation == Operation::Intersection;
    let mut walk = Walk::new(Family::SET);
    'members: while let Some(member) = walk.next(call.transaction, first)? {
        let text = member.text(call.transaction, first)?;
        for other in &others {
            if contains(call.transaction, other, &text)? != wanted {
                continue 'members;
            }
        }
        if !take(call, &text) {
            break;
        }
    }
    Ok(())
}

fn smallest(call: &mut Call<'_, '_, '_>, sets: &[&Place]) -> Result<usize, CommandError> {
    let mut smallest = (u64::MAX, 0);
    for (at, set) in sets.iter().enumerate() {
        smallest = smallest.min((call.transaction.members(set, Family::SET)?, at));
    }
    Ok(smallest.1)
}

fn unite(
    call: &mut Call<'_, '_, '_>,
    sources: &[Option<Place>],
    mut take: impl FnMut(&mut Call<'_, '_, '_>, &[u8]) -> bool,
) -> Result<(), CommandError> {
    let mut known = BTreeSet::new();
    for set in sources.iter().flatten() {
        let mut walk = Walk::new(Family::SET);
        while let Some(member) = walk.next(call.transaction, set)? {
            let text = member.text(call.transaction, set)?;
            if !known.contains(&text[..]) {
                if !take(call, &text) {
                    return Ok(());
                }
                known.insert(text.into_owned());
            }
        }
    }
    Ok(())
}

fn answer(call: &mut Call<'_, '_, '_>, operation: Operation) -> Result<(), CommandError> {
    let sources = sources(call, 1..call.args.len())?;
    let (mark, mut count) = (call.reply.later(), 0);
    compute(call, operation, &sources, |call, member| {
        call.reply.bulk(member);
        count += 1;
        true
    })?;
    call.reply.set_at(mark, count);
    Ok(())
}

pub(super) fn sinter(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    answer(call, Operation::Intersection)
}

pub(super) fn sunion(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    answer(call, Operation::Union)
}

pub(super) fn sdiff(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    answer(call, Operation::Difference)
}

/// Finds errors in the arguments of SINTERCARD before the keys are counted by them.
pub(super) fn check_sintercard(args: Args<'_>) -> Result<Asked, CommandError> {
    limit(args)?;
    Ok(Asked::default())
}

/// Behind which argument the keys of SINTERCARD end, and its limit; 0 is none.
fn limit(args: Args<'_>) -> Result<(usize, usize), CommandError> {
    let keys = numbers::integer(args.at(1)).map_err(|_| CommandError::NumKeys)?;
    let keys = usize::try_from(keys).ok().filter(|keys| *keys > 0);
    let end = keys.ok_or(CommandError::NumKeys)?.saturating_add(2);
    if end > args.len() {
        return Err(CommandError::Fixed(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    let (mut words, mut limit) = (args.from(end).iter(), 0);
    while let Some(word) = words.next() {
        if !word.eq_ignore_ascii_case(b"limit") {
            return Err(CommandError::Syntax);
        }
        let given = numbers::integer(words.next().ok_or(CommandError::Syntax)?).ok();
        let given = given.and_then(|given| usize::try_from(given).ok());
        limit = given.ok_or(CommandError::Fixed("ERR LIMIT can't be negative"))?;
    }
    Ok((end, limit))
}

pub(super) fn sintercard(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (end, limit) = limit(call.args)?;
    let sources = sources(call, 2..end)?;
    let mut count = 0;
    compute(call, Operation::Intersection, &sources, |_, _| {
        count += 1;
        limit == 0 || count < limit
    })?;
    call.reply.count(count);
    Ok(())
}

fn store(call: &mut Call<'_, '_, '_>, operation: Operation) -> Result<(), CommandError> {
    let sources = sources(call, 2..call.args.len())?;
    let mut result = Vec::new();
    compute(call, operation, &sources, |_, member| {
        result.push(member.to_vec());
        true
    })?;
    let target = call.place(1);
    put(call, &target, &result)?;
    call.reply.count(result.len());
    Ok(())
}

/// Puts a set of these members in place of all that a key shows.
fn put(
    call: &mut Call<'_, '_, '_>,
    target: &Place,
    members: &[Vec<u8>],
) -> Result<(), CommandError> {
    call.transaction.group();
    collection::remove(call.transaction, target, call.now_ms)?;
    collection::end_if_empty(call.transaction, target, Family::SET)?;
    for member in members {
        add(call.transaction, target, member)?;
    }
    Ok(())
}

pub(super) fn sinterstore(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    store(call, Operation::Intersection)
}

pub(super) fn sunionstore(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    store(call, Operation::Union)
}

pub(super) fn sdiffstore(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    store(call, Operation::Difference)
}

pub(super) fn smove(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let source = call.collection(1, Family::SET)?;
    let Some(source) = source else {
        call.reply.integer(0);
        return Ok(());
    };
    call.collection(2, Family::SET)?;
    let member = call.arg(3);
    let is_there = contains(call.transaction, &source, member)?;
    if is_there && source != call.place(2) {
        call.transaction.group();
        let target = call.collection_to_write(2, Family::SET)?;
        add(call.transaction, &target, member)?;
        remove(call.transaction, &source, member)?;
        collection::end_if_empty(call.transaction, &source, Family::SET)?;
    }
    call.reply.integer(i64::from(is_there));
    Ok(())
}
