//! The numbers of the core and its disk.

use std::sync::atomic::Ordering;

use larder_crdt::ConflictKind;

use super::{Kind, Row};
use crate::runtime::Runtime;

/// A number that goes up and down.
const fn gauge(name: &'static str, help: &'static str, read: fn(&Runtime) -> u64) -> Row<Runtime> {
    Row {
        name,
        help,
        kind: Kind::Gauge,
        read,
    }
}

/// A number that only grows.
const fn counter(
    name: &'static str,
    help: &'static str,
    read: fn(&Runtime) -> u64,
) -> Row<Runtime> {
    Row {
        name,
        help,
        kind: Kind::Counter,
        read,
    }
}

/// Adds up a figure of all partitions, each locked for itself.
fn sum(runtime: &Runtime, figure: fn(&larder_cluster::partition::Partition) -> usize) -> u64 {
    let partitions = runtime.node.view().layout.partitions();
    let figures = partitions.iter().filter_map(|partition| {
        runtime
            .node
            .with_partition(partition, |partition| figure(partition) as u64)
    });
    figures.sum()
}

/// The rows of the core and its disk.
pub static NODE_ROWS: &[Row<Runtime>] = &[
    gauge(
        "larder_members",
        "Nodes of the cluster that have not left.",
        |runtime| runtime.node.view().layout.nodes().count() as u64,
    ),
    gauge(
        "larder_members_up",
        "Nodes of the cluster in reach, this one included.",
        |runtime| runtime.node.view().up.len() as u64,
    ),
    gauge(
        "larder_main_copies",
        "Partitions that this node holds as an owner.",
        |runtime| sum(runtime, |partition| usize::from(partition.has_main())),
    ),
    gauge(
        "larder_fallback_copies",
        "Partitions of which this node took writes for owners out of reach.",
        |runtime| {
            sum(runtime, |partition| {
                usize::from(partition.fallback.is_some())
            })
        },
    ),
    gauge(
        "larder_staged_copies",
        "Partitions that are being filled here.",
        |runtime| sum(runtime, |partition| usize::from(partition.staged.is_some())),
    ),
    gauge(
        "larder_log_entries",
        "Changes that some owner is not known to hold.",
        |runtime| sum(runtime, larder_cluster::partition::Partition::log_len),
    ),
    gauge(
        "larder_cache_bytes",
        "Bytes of decoded rows in memory.",
        |runtime| runtime.node.cached_bytes() as u64,
    ),
    gauge(
        "larder_cache_dirty_bytes",
        "Bytes of them that wait for a checkpoint.",
        |runtime| runtime.node.dirty_bytes() as u64,
    ),
    gauge(
        "larder_redo_bytes",
        "Bytes that would be replayed on opening now.",
        |runtime| runtime.store.redo_bytes(),
    ),
    gauge(
        "larder_writes_refused",
        "1 while the disk takes no writes.",
        |runtime| u64::from(runtime.node.refusal().is_some()),
    ),
    counter(
        "larder_checkpoints_total",
        "Checkpoints that ended well.",
        |runtime| runtime.checkpoints.load(Ordering::Relaxed),
    ),
    counter(
        "larder_deltas_sent_total",
        "Batches of changes sent to other owners.",
        |runtime| runtime.node.counts().deltas_sent,
    ),
    counter(
        "larder_deltas_joined_total",
        "Batches of changes joined here.",
        |runtime| runtime.node.counts().deltas_joined,
    ),
    counter(
        "larder_deltas_refused_total",
        "Batches of changes refused, as the clock did not cover what they build on.",
        |runtime| runtime.node.counts().deltas_refused,
    ),
    counter(
        "larder_elements_sent_total",
        "Elements in batches of changes sent.",
        |runtime| runtime.node.counts().elements_sent,
    ),
    counter(
        "larder_transfers_begun_total",
        "Transfers of whole partitions begun.",
        |runtime| runtime.node.counts().transfers_begun,
    ),
    counter(
        "larder_transfers_done_total",
        "Transfers that ended well.",
        |runtime| runtime.node.counts().transfers_done,
    ),
    counter(
        "larder_expired_total",
        "Keys of which something expired and was dropped here.",
        |runtime| runtime.node.counts().expired,
    ),
    counter(
        "larder_value_conflicts_total",
        "Strings that lost against a concurrent one here.",
        |runtime| runtime.node.journal().noted(ConflictKind::Value),
    ),
    counter(
        "larder_leaf_conflicts_total",
        "Leaves of documents that lost against a concurrent one here.",
        |runtime| runtime.node.journal().noted(ConflictKind::Leaf),
    ),
    counter(
        "larder_type_conflicts_total",
        "Values that lost against a concurrent one of another type here.",
        |runtime| runtime.node.journal().noted(ConflictKind::Type),
    ),
    counter(
        "larder_fallbacks_handed_over_total",
        "Stand-ins' copies that the owners have taken over.",
        |runtime| runtime.node.counts().fallbacks_dropped,
    ),
];
