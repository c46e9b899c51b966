//! How far other nodes are behind the copies of this one.

use std::collections::BTreeMap;

use larder_cluster::id::NodeId;
use larder_crdt::Clock;

use super::counts::each_partition;
use crate::server::Server;

/// What one peer lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lag {
    /// Partitions of which it lacks something, or may lack it.
    pub(super) partitions: u64,
    /// Of them, those that it has yet to fetch as a whole, whatever was changed in them.
    pub(super) whole: u64,
    /// Changes that it is not known to hold on disk.
    pub(super) dots: u64,
    /// For how long it has lacked something, in milliseconds, as far as is known.
    pub(super) for_ms: u64,
}

/// What every member lacks of what this node has.
pub(super) fn of_peers(server: &Server) -> BTreeMap<NodeId, Lag> {
    let view = server.runtime.node.view();
    let own = server.runtime.node.id();
    let now = server.runtime.clock.now().monotonic_ms;
    let members = view
        .layout
        .nodes()
        .map(|(node, _)| node)
        .filter(|node| *node != own);
    let mut lags: BTreeMap<NodeId, Lag> = members.map(|node| (node, Lag::default())).collect();
    each_partition(server, |partition| {
        let owners = view.ownership.owners(partition.id);
        for (node, lag) in &mut lags {
            if !owners.contains(node) {
                continue;
            }
            let mut dots = 0;
            for copy in [partition.main.as_ref(), partition.fallback.as_ref()] {
                let Some(copy) = copy else {
                    continue;
                };
                // Of a peer without a link only the log tells what somebody lacks.
                let told = copy.peers.get(node).filter(|peer| peer.copy.is_some());
                dots += match told {
                    Some(peer) => missing(&copy.clock, &peer.durable),
                    None => copy.log.len() as u64,
                };
                let since = told.and_then(|peer| peer.behind_since_ms);
                lag.for_ms = lag
                    .for_ms
                    .max(since.map_or(0, |since| now.saturating_sub(since)));
            }
            let is_whole = partition.has_main() && partition.ready.get(node) == Some(&false);
            lag.whole += u64::from(is_whole);
            lag.partitions += u64::from(dots > 0 || is_whole);
            lag.dots += dots;
        }
    });
    lags
}

fn missing(clock: &Clock, known: &Clock) -> u64 {
    if known.covers(clock) {
        return 0;
    }
    let mut dots = 0;
    clock.for_each_missing(known, |_, start, end| dots += end.saturating_sub(start) + 1);
    dots
}
