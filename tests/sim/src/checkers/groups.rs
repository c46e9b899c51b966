//! A group of changes is at every replica whole or not at all, at every moment (rule 6).

use larder_cluster::id::PartitionId;

use crate::network::Place;
use crate::world::World;

/// Checks the copies of one partition on one node.
pub(crate) fn check(world: &mut World, place: Place, partition: PartitionId) {
    let Some(node) = world.node(place) else {
        return;
    };
    let torn = {
        let history = world.history.lock();
        let Some(groups) = history.groups.get(&partition) else {
            return;
        };
        node.with_partition(partition, |p| {
            for copy in [&p.main, &p.fallback].into_iter().flatten() {
                for group in groups.iter().rev().take(40) {
                    let mut dots = group
                        .iter()
                        .flat_map(|change| &history.changes[*change].dots)
                        .map(|dot| {
                            let actor = history.names.actor(dot.actor());
                            copy.actors.find(actor).is_some_and(|index| {
                                copy.clock
                                    .contains(larder_crdt::Dot::new(index, dot.counter()))
                            })
                        });
                    let first = dots.next();
                    if dots.any(|has| Some(has) != first) {
                        return Some(history.changes[group[0]].command);
                    }
                }
            }
            None
        })
    };
    if let Some(Some(command)) = torn {
        let what = format!("a part of group {command} arrived in p{partition} of node {place}");
        world.report("groups", what);
    }
}
