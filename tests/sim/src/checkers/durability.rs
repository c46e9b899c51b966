//! No write that is on a disk is lost, but with a disk or with power before a sync.

use std::collections::BTreeMap;

use larder_cluster::id::PartitionId;

use crate::checkers::{Finals, is_excused, may_be_expired, stands};
use crate::world::World;

/// Checks that what was committed was seen everywhere, and that values nobody replaced are there.
pub fn check(world: &mut World, finals: &Finals) {
    if let Some(what) = unseen(world, finals).or_else(|| broken_promise(world, finals)) {
        world.report("durability", what);
    } else if let Some(what) = missing(world, finals) {
        world.report("durability", what);
    }
}

/// A committed change whose dots nobody knows.
fn unseen(world: &World, finals: &Finals) -> Option<String> {
    let history = world.history.lock();
    for change in history.changes.iter().filter(|change| change.committed) {
        let clock = finals.get(&change.partition).map(|f| &f.clock);
        for dot in &change.dots {
            let seen = clock.is_some_and(|clock| clock.contains(*dot));
            if !seen && !is_excused(world, change.partition, *dot) {
                return Some(format!(
                    "dot {dot:?} of command {} was on the disk of {:?} and is lost",
                    change.command, change.node
                ));
            }
        }
    }
    None
}

/// A write that was said to be on n disks, and is gone although fewer than n were lost since. No
/// more copies are kept than there are replicas and members.
fn broken_promise(world: &World, finals: &Finals) -> Option<String> {
    let history = world.history.lock();
    let mut least = world.sizes.clone();
    for at in (1..least.len()).rev() {
        least[at - 1] = least[at - 1].min(least[at]);
    }
    for (number, command) in history.commands.iter().enumerate() {
        for promise in &command.promises {
            let lost = world.losses.len() - promise.disks_lost;
            let members = least.get(promise.step).copied().unwrap_or(1);
            let copies = promise.copies.min(world.plan.replicas).min(members);
            if copies <= lost {
                continue;
            }
            // Each partition's part of it must be left, of any time that it ran.
            let mut parts: BTreeMap<PartitionId, bool> = BTreeMap::new();
            for change in &command.changes {
                let change = &history.changes[*change];
                let clock = finals.get(&change.partition).map(|f| &f.clock);
                let mut dots = change.dots.iter();
                let is_left = dots.all(|dot| clock.is_some_and(|clock| clock.contains(*dot)));
                *parts.entry(change.partition).or_default() |= is_left;
            }
            if command.idle.is_empty() && parts.values().any(|is_left| !is_left) {
                return Some(format!(
                    "command {number} was said to be on {} disks, {lost} were lost since, and so \
                     is it",
                    promise.copies
                ));
            }
        }
    }
    None
}

/// A value that nobody replaced or removed, and that is gone.
fn missing(world: &World, finals: &Finals) -> Option<String> {
    let history = world.history.lock();
    let removed: std::collections::BTreeSet<_> = history
        .changes
        .iter()
        .flat_map(|change| change.removed.iter().map(move |dot| (*dot, change.element)))
        .collect();
    for change in history
        .changes
        .iter()
        .filter(|change| stands(world, finals, change))
    {
        for inserted in &change.inserted {
            let (_, key) = &history.elements[change.element];
            let row = finals.get(&change.partition).and_then(|f| f.rows.get(key));
            let there = row.is_some_and(|row| row.contains(inserted.dot));
            let may_go = removed.contains(&(inserted.dot, change.element))
                || may_be_expired(world, inserted.deadline_ms)
                || inserted.content.may_be_forgotten();
            if !there && !may_go {
                return Some(format!(
                    "{key:?} lacks {:?} of command {}, which nobody has replaced",
                    inserted.dot, change.command
                ));
            }
        }
    }
    None
}
