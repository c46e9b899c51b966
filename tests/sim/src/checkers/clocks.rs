//! Every dot in a row is in the clock of its copy, at every moment.

use larder_cluster::id::PartitionId;

use crate::disk;
use crate::network::Place;
use crate::world::World;

/// Checks one copy after every few messages: reading all rows costs time.
pub(crate) fn check_sometimes(world: &mut World, place: Place, partition: PartitionId) {
    if world.tally.messages.is_multiple_of(8) {
        check(world, place, partition);
    }
}

/// Checks the copies of one partition on one node.
pub(crate) fn check(world: &mut World, place: Place, partition: PartitionId) {
    let Some(node) = world.node(place) else {
        return;
    };
    let found = node.with_partition(partition, |p| {
        for copy in [&p.main, &p.fallback].into_iter().flatten() {
            for (key, row) in disk::rows_of(copy, &**node.store()) {
                let unseen = row.siblings().iter().find(|s| !copy.clock.contains(s.dot));
                if let Some(sibling) = unseen {
                    return Some(format!("{key:?} has {:?}", sibling.dot));
                }
            }
        }
        None
    });
    if let Some(Some(what)) = found {
        let what = format!("p{partition} of node {place}: {what}, which its clock has not seen");
        world.report("clocks", what);
    }
}
