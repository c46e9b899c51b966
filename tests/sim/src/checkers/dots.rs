//! A dot names one change of one element, for ever (rules 1 and 3).

use std::collections::BTreeMap;

use crate::world::World;

/// Checks all dots that were ever taken.
pub fn check(world: &mut World) {
    if let Some(what) = reused(world) {
        world.report("dots", what);
    }
}

fn reused(world: &World) -> Option<String> {
    let history = world.history.lock();
    let mut taken = BTreeMap::new();
    for (at, change) in history.changes.iter().enumerate() {
        for dot in &change.dots {
            if let Some(other) = taken.insert((change.partition, *dot), at) {
                let other: usize = other;
                return Some(format!(
                    "commands {} and {} took the same dot {dot:?}",
                    history.changes[other].command, change.command
                ));
            }
        }
    }
    None
}
