//! Members at random.
//!
//! Members are in the order of a hash that has nothing to do with what they are, so the member
//! behind a random position is a random one, more likely the longer the gap before it. One of the
//! run that begins there evens most of that out, and costs the same in a collection of any size.

use std::collections::BTreeSet;

use larder_cluster::element::Family;
use larder_cluster::transaction::{Place, Transaction};

use super::{Member, Walk};
use crate::error::CommandError;

/// Members of the run behind a random position; in a collection of no more all are as likely.
const RUN: usize = 16;
/// Of a collection up to so many times as large as what is wanted of it, all members are read.
const READ_ALL_BELOW: u64 = 16;

/// A number below `end`, all of them as likely.
fn below(transaction: &Transaction<'_, '_>, end: usize) -> usize {
    let drawn = u128::from(transaction.random());
    ((drawn * end as u128) >> 64) as usize
}

/// A member at random; `None` if there is none.
///
/// # Errors
/// What the disk says.
pub(crate) fn one(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    family: Family,
) -> Result<Option<Member>, CommandError> {
    let start = transaction.random();
    let mut run = Vec::with_capacity(RUN);
    let mut walk = Walk::from_hash(family, start, RUN);
    while run.len() < RUN
        && let Some(member) = walk.next(transaction, key)?
    {
        run.push(member);
    }
    // Behind the last one comes the first.
    let mut walk = Walk::from_hash(family, 0, RUN);
    while run.len() < RUN
        && let Some(member) = walk.next(transaction, key)?
        && member.hash() < start
    {
        run.push(member);
    }
    if run.is_empty() {
        return Ok(None);
    }
    let chosen = below(transaction, run.len());
    Ok(Some(run.swap_remove(chosen)))
}

/// `count` different members at random, all of them if there are no more.
///
/// # Errors
/// What the disk says.
pub(crate) fn several(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    family: Family,
    count: usize,
) -> Result<Vec<Member>, CommandError> {
    let members = transaction.members(key, family)?;
    if members <= READ_ALL_BELOW.saturating_mul(count as u64) {
        return sample(transaction, key, family, count);
    }
    let (mut chosen, mut known) = (Vec::with_capacity(count), BTreeSet::new());
    // Of sixteen times as many, one in sixteen is known at most: this ends long before.
    for _ in 0..count.saturating_mul(4).saturating_add(64) {
        if chosen.len() == count {
            return Ok(chosen);
        }
        let Some(member) = one(transaction, key, family)? else {
            return Ok(chosen);
        };
        if known.insert(member.element.clone()) {
            chosen.push(member);
        }
    }
    if chosen.len() == count {
        return Ok(chosen);
    }
    sample(transaction, key, family, count)
}

/// The same by a walk over all members, each as likely as the others (Vitter's algorithm R).
fn sample(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    family: Family,
    count: usize,
) -> Result<Vec<Member>, CommandError> {
    let (mut chosen, mut seen) = (Vec::new(), 0);
    let mut walk = Walk::new(family);
    while let Some(member) = walk.next(transaction, key)? {
        seen += 1;
        if chosen.len() < count {
            chosen.push(member);
        } else if let Some(place) = chosen.get_mut(below(transaction, seen)) {
            *place = member;
        }
    }
    Ok(chosen)
}
