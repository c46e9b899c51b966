//! Counters are exact: every increment counts once, unless a reset had seen it.

use std::collections::BTreeMap;

use larder_crdt::types::counter_dotted::Sum;
use larder_crdt::types::register_lww::joined_counter;

use crate::bits::Bits;
use crate::checkers::{Finals, is_doubtful, stands};
use crate::history::Content;
use crate::world::World;

/// Checks the sums of all counters.
pub fn check(world: &mut World, finals: &Finals) {
    if let Some(what) = wrong(world, finals) {
        world.report("counters", what);
    }
}

fn wrong(world: &World, finals: &Finals) -> Option<String> {
    if world.restores > 0 {
        // A disk that goes back may bring amounts whose reset all others have forgotten: nothing is
        // promised then (see docs/consistency.md).
        return None;
    }
    let history = world.history.lock();
    // Per element: increments that stand, and those that a reset which stands had seen. What only
    // a doubtful change did may or may not count; such elements are left out.
    let mut known: BTreeMap<usize, (Bits, Bits)> = BTreeMap::new();
    let mut doubtful = Bits::default();
    for change in &history.changes {
        let standing = stands(world, finals, change);
        for inserted in &change.inserted {
            let Content::Counter { known: k, reset: r } = &inserted.content else {
                continue;
            };
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
        if found != expected {
            return Some(format!(
                "{key:?} counts {} but its increments add up to {}",
                found as f64 / 4.0,
                expected as f64 / 4.0
            ));
        }
    }
    None
}
