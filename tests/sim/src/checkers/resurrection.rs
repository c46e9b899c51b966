//! Nothing that was removed returns.

use std::collections::BTreeMap;

use crate::checkers::{Finals, stands};
use crate::world::World;

/// Checks that every value that is there was written, and that nobody who saw it replaced it.
pub fn check(world: &mut World, finals: &Finals) {
    if let Some(what) = returned(world, finals) {
        world.report("resurrection", what);
    }
}

fn returned(world: &World, finals: &Finals) -> Option<String> {
    let history = world.history.lock();
    let mut killers = BTreeMap::new();
    for change in history
        .changes
        .iter()
        .filter(|change| stands(world, finals, change))
    {
        for dot in &change.removed {
            killers.insert((*dot, change.element), change.command);
        }
    }
    for state in finals.values() {
        for (key, row) in &state.rows {
            let Some(element) = history.known_element(key) else {
                return Some(format!("{key:?} is there, but nobody ever wrote it"));
            };
            for sibling in row.siblings() {
                if !history.writers.contains_key(&(sibling.dot, element)) {
                    return Some(format!("{key:?} has {:?}, which nobody wrote", sibling.dot));
                }
                if let Some(command) = killers.get(&(sibling.dot, element)) {
                    return Some(format!(
                        "{key:?} has {:?} again, which command {command} had removed",
                        sibling.dot
                    ));
                }
            }
        }
    }
    None
}
