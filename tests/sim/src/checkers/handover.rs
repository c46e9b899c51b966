//! A stand-in's or old owner's copy ends only when every current owner holds all of it durably
//! (rule 9).

use larder_cluster::copy::Copy;
use larder_cluster::id::PartitionId;
use larder_crdt::Clock;

use crate::disk;
use crate::network::Place;
use crate::world::World;

/// What the copies that a node is to hand over have seen, in the history's numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Before {
    fallback: Option<Clock>,
    main: Option<Clock>,
}

/// Looks at the copies of one partition before a node is called.
pub(crate) fn before(world: &World, place: Place, partition: PartitionId) -> Before {
    let Some(node) = world.node(place) else {
        return Before::default();
    };
    let owns = node.view().ownership.owners(partition).contains(&node.id());
    if owns {
        // What it joins with its own copy goes to nobody else.
        return Before::default();
    }
    let mut history = world.history.lock();
    let found = node.with_partition(partition, |p| {
        let mut seen = |copy: &Option<Copy>| {
            copy.as_ref()
                .map(|copy| history.clock(&copy.actors, &copy.clock))
        };
        Before {
            fallback: seen(&p.fallback),
            main: seen(&p.main),
        }
    });
    found.unwrap_or_default()
}

/// Checks what has ended meanwhile against the disks of the owners that the node can hear.
pub(crate) fn check(world: &mut World, place: Place, partition: PartitionId, before: &Before) {
    let Some(node) = world.node(place) else {
        return;
    };
    let (fallback, main) = node
        .with_partition(partition, |p| (p.fallback.is_some(), p.main.is_some()))
        .unwrap_or_default();
    let mut ended = Clock::new();
    for (clock, is_left) in [(&before.fallback, fallback), (&before.main, main)] {
        if let Some(clock) = clock.as_ref().filter(|_| !is_left) {
            ended.join(clock);
        }
    }
    if ended.is_empty() {
        return;
    }
    for owner in node.view().ownership.owners(partition) {
        let Some(&other) = world.places.get(owner) else {
            continue;
        };
        let end = world.network.end(place, other);
        // One that has left meanwhile has handed its own copy over.
        let owns = world
            .node(other)
            .is_none_or(|node| node.view().ownership.owners(partition).contains(owner));
        if !owns
            || other == place
            || !end.up
            || world.network.session(place, other) != Some(end.session)
        {
            continue;
        }
        let held = disk::held_durably(&world.members[other].store, &mut world.history.lock());
        let missing = held
            .get(&partition)
            .map_or(ended.clone(), |clock| ended.minus(clock));
        if !missing.is_empty() {
            let what = format!(
                "node {place} ended its copy of p{partition}, of which owner {other} lacks \
                 {missing:?} on its disk"
            );
            world.report("handover", what);
            return;
        }
    }
}
