//! Counters are exact: every increment counts once, unless a reset had seen it.

use std::collections::BTreeMap;

use larder_crdt::types::counter_dotted::Sum;
use larder_crdt::types::register_lww::joined_counter;

use crate::bits::Bits;
use crate::checkers::{Finals, is_doubtful, may_be_expired, stands};
use crate::history::Content;
use crate::world::World;

/// Checks the sums of all counters.
pub fn check(world: &mut World, finals: &Finals) {
    if let Some(what) = wrong(world, finals) {
        world.report("counters", what);
    }
}

fn wrong(world: &World, finals: &Finals) -> Option<String> {
    let history = world.history.lock();
    // Per element: increments that stand, and those that a reset which stands had seen. What only
    // a doubtful change did may or may not count, and so may what has expired; such elements are
    // left out.
    let mut known: BTreeMap<usize, (Bits, Bits)> = BTreeMap::new();
    let mut doubtful = Bits::default();
    for change in &history.changes {
        let standing = stands(world, finals, change);
        for inserted in &change.inserted {
            let Content::Counter { known: k, reset: r } = &inserted.content else {
                continue;
            };
            if may_be_expired(world, inserted.deadline_ms) {
                // Which replica still had it when it was changed is up to their clocks.
                doubtful.insert(change.element);
            }
            if !standing {
                if is_doubtful(world, finals, change) {
                    doubtful.insert(change.element);
                }
                continue;
            }
            let entry = known.entry(change.element).or_default();
            entry.0.join(k);
            entry.1.join(r);
        }
    }
    for (element, (known, reset)) in known {
        if doubtful.contains(element) {
            continue;
        }
        let (partition, key) = &history.elements[element];
        let counts = known.iter().filter(|increment| !reset.contains(*increment));
        let expected: i64 = counts
            .map(|increment| history.increments[increment].quarters)
            .sum();
        let row = finals.get(partition).and_then(|f| f.rows.get(key));
        let sum = row
            .and_then(|row| joined_counter(row, 0))
            .map(|counter| counter.sum());
        let found = match sum {
            None => 0,
            Some(Sum::Integer(sum)) => (sum * 4) as i64,
            Some(Sum::Float(sum)) => (sum * 4.0).round() as i64,
        };
        // A disk that goes back may bring amounts whose reset all others have forgotten: those, and
        // only those, may count again (see docs/consistency.md).
        let again = || {
            let resets = known.iter().filter(|increment| reset.contains(*increment));
            let amounts = resets.map(|increment| history.increments[increment].quarters);
            is_sum_of_some(found - expected, &amounts.collect::<Vec<_>>())
        };
        if found != expected && (world.restores == 0 || !again()) {
            return Some(format!(
                "{key:?} counts {} but its increments add up to {}",
                found as f64 / 4.0,
                expected as f64 / 4.0
            ));
        }
    }
    None
}

/// Whether some of the amounts, or none, add up to `wanted`.
fn is_sum_of_some(wanted: i64, amounts: &[i64]) -> bool {
    let low: i64 = amounts.iter().filter(|amount| **amount < 0).sum();
    let high: i64 = amounts.iter().filter(|amount| **amount > 0).sum();
    if !(low..=high).contains(&wanted) {
        return false;
    }
    let at = |sum: i64| (sum - low) as usize;
    let mut sums = vec![false; at(high) + 1];
    sums[at(0)] = true;
    for amount in amounts {
        let before = sums.clone();
        for (sum, _) in before.iter().enumerate().filter(|(_, is_one)| **is_one) {
            sums[(sum as i64 + amount) as usize] = true;
        }
    }
    sums[at(wanted)]
}

#[cfg(test)]
mod tests {
    use super::is_sum_of_some;

    #[test]
    fn sums_of_some_are_found() {
        for (wanted, amounts, is_one) in [
            (0, &[][..], true),
            (1, &[], false),
            (7, &[3, 4, 10], true),
            (8, &[3, 4, 10], false),
            (-2, &[3, -5, 9], true),
            (18, &[3, 4, 10], false),
        ] {
            assert_eq!(
                is_sum_of_some(wanted, amounts),
                is_one,
                "{wanted} {amounts:?}"
            );
        }
    }
}
