//! Figures of the node's copies, gathered from its partitions one by one.

use larder_cluster::id::PartitionId;
use larder_cluster::limits::DATABASES_MAX;
use larder_cluster::partition::Partition;

use crate::server::Server;

/// All partitions of the ring.
fn partitions(server: &Server) -> impl Iterator<Item = PartitionId> {
    server.partitions.iter()
}

/// Calls `look` on every partition, each locked for itself.
pub(super) fn each_partition(server: &Server, mut look: impl FnMut(&mut Partition)) {
    for partition in partitions(server) {
        server.runtime.node.with_partition(partition, &mut look);
    }
}

/// Keys by database in the partitions that this node leads: of all nodes together they are those of
/// the cluster. Expired keys count until they are removed, as in Redis.
pub(super) fn led(server: &Server) -> [u64; DATABASES_MAX] {
    let view = server.runtime.node.view();
    let own = server.runtime.node.id();
    let mut sum = [0; DATABASES_MAX];
    each_partition(server, |partition| {
        let leads = view.ownership.preference(partition.id).first() == Some(&own);
        if let Some(main) = partition.main.as_ref().filter(|_| leads) {
            for (sum, keys) in sum.iter_mut().zip(main.rows.keys()) {
                *sum += keys;
            }
        }
    });
    sum
}

/// What the copies of this node are and wait for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Copies {
    /// Partitions that this node leads.
    pub(super) led: u64,
    /// Owners' copies.
    pub(super) mains: u64,
    /// Partitions that this node owns and has no ready copy of.
    pub(super) missing: u64,
    /// Stand-ins' copies.
    pub(super) fallbacks: u64,
    /// Copies that are being filled.
    pub(super) staged: u64,
    /// Transfers to other nodes under way.
    pub(super) feeds: u64,
    /// Changes that some owner lacks.
    pub(super) log: u64,
    /// Stamps from elsewhere that were too far ahead.
    pub(super) drifted: u64,
    /// Rows that may be forgotten when they are settled.
    pub(super) resets: u64,
}

/// Counts [`Copies`].
pub(super) fn copies(server: &Server) -> Copies {
    let view = server.runtime.node.view();
    let own = server.runtime.node.id();
    let mut sum = Copies::default();
    each_partition(server, |partition| {
        let list = view.ownership.preference(partition.id);
        let is_owner = view.ownership.owners(partition.id).contains(&own);
        sum.led += u64::from(list.first() == Some(&own));
        sum.mains += u64::from(partition.has_main());
        sum.missing += u64::from(is_owner && !partition.has_main());
        sum.fallbacks += u64::from(partition.fallback.is_some());
        sum.staged += u64::from(partition.staged.is_some());
        sum.feeds += partition.feeds.len() as u64;
        sum.log += partition.log_len() as u64;
        sum.drifted += partition.drifted();
        sum.resets += partition
            .main
            .as_ref()
            .map_or(0, |main| main.resets.len() as u64);
    });
    sum
}
