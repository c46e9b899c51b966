//! What must hold, one file per promise.

pub mod answers;
pub mod clocks;
pub(crate) mod contexts;
pub mod convergence;
pub mod counters;
pub mod documents;
pub mod dots;
pub mod durability;
pub mod groups;
pub mod handover;
pub(crate) mod merges;
pub mod rest;
pub mod resurrection;
pub mod watches;

use std::collections::BTreeMap;

use larder_cluster::id::PartitionId;
use larder_cluster::row_key::RowKey;
use larder_crdt::{Clock, Dot, Row};

use crate::history::Change;
use crate::world::World;

/// A partition as all its owners have it in the end, in the history's numbers.
#[derive(Debug, Clone, Default)]
pub struct Final {
    /// All dots seen.
    pub clock: Clock,
    /// The rows.
    pub rows: BTreeMap<RowKey, Row>,
}

/// The cluster in the end.
pub type Finals = BTreeMap<PartitionId, Final>;

/// Checks everything that can be said once the cluster is quiet.
pub fn check_all(world: &mut World) {
    let finals = convergence::finals(world);
    durability::check(world, &finals);
    resurrection::check(world, &finals);
    counters::check(world, &finals);
    documents::check(world, &finals);
    dots::check(world);
    watches::check(world, &finals);
}

/// Whether a change certainly took effect: it was on a disk, and it was not lost with good reason,
/// or a message that was under way has saved it.
pub(crate) fn stands(world: &World, finals: &Finals, change: &Change) -> bool {
    let clock = finals.get(&change.partition).map(|state| &state.clock);
    let saved =
        |dot: Dot| clock.is_some_and(|clock| clock.contains(dot) && !clock.is_retired(dot.actor()));
    change.committed
        && change
            .dots
            .iter()
            .all(|dot| !is_excused(world, change.partition, *dot) || saved(*dot))
}

/// Whether nobody can say if a change took effect: its dots count as seen only because their actor
/// has retired.
pub(crate) fn is_doubtful(world: &World, finals: &Finals, change: &Change) -> bool {
    let clock = finals.get(&change.partition).map(|state| &state.clock);
    !stands(world, finals, change)
        && change
            .dots
            .iter()
            .any(|dot| clock.is_some_and(|clock| clock.contains(*dot)))
}

/// Whether a dot may be gone.
pub(crate) fn is_excused(world: &World, partition: PartitionId, dot: Dot) -> bool {
    world
        .excused
        .get(&partition)
        .is_some_and(|excused| excused.contains(dot))
}

/// Whether a value may be gone because some node's clock has passed its end.
pub(crate) fn may_be_expired(world: &World, deadline_ms: Option<u64>) -> bool {
    deadline_ms.is_some_and(|deadline| deadline <= world.latest_unix_ms)
}
