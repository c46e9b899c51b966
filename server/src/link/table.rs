//! Which links there are, and which of two to the same peer stays.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use larder_cluster::id::NodeId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::outbox::{Outbox, Sent};
use super::{Fault, LinkError, LinkInfo};

/// What tells two links to one peer apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LinkKey {
    pub(super) peer: NodeId,
    /// The start of the peer's process.
    pub(super) run: u128,
    /// Whether this node dialled.
    pub(super) is_dialled: bool,
}

/// Whether `new` takes the place of `existing` at node `own`.
///
/// When both sides dial at once, both must keep the same link: the one that the smaller node
/// dialled. In the same direction the newer one counts, as its dialler knows that the older is
/// gone; and so it does from another start of the peer's process.
pub(super) fn replaces(own: NodeId, existing: LinkKey, new: LinkKey) -> bool {
    if existing.run != new.run || existing.is_dialled == new.is_dialled {
        return true;
    }
    new.is_dialled == (own < new.peer)
}

/// One link, as both its tasks and its senders see it.
pub(super) struct Link {
    pub(super) key: LinkKey,
    pub(super) outbox: Outbox,
    address: SocketAddr,
    began: Instant,
    round_trip_us: AtomicU64,
    delay_ms: AtomicU64,
    is_up: AtomicBool,
    is_stopped: watch::Sender<bool>,
    is_finished: watch::Sender<bool>,
}

impl Link {
    pub(super) fn new(key: LinkKey, address: SocketAddr, outbox: Outbox) -> Self {
        Self {
            key,
            outbox,
            address,
            began: Instant::now(),
            round_trip_us: AtomicU64::new(0),
            delay_ms: AtomicU64::new(0),
            is_up: AtomicBool::new(false),
            is_stopped: watch::Sender::new(false),
            is_finished: watch::Sender::new(false),
        }
    }

    pub(super) fn send(&self, verb: &'static str, payload: Bytes, is_urgent: bool) -> Sent {
        let due = self.delay().map(|delay| Instant::now() + delay);
        self.outbox.push(verb, payload, is_urgent, due)
    }

    pub(super) fn set_delay(&self, delay_ms: u64) {
        self.delay_ms.store(delay_ms, Ordering::Relaxed);
    }

    pub(super) fn delay(&self) -> Option<Duration> {
        let delay_ms = self.delay_ms.load(Ordering::Relaxed);
        (delay_ms > 0).then(|| Duration::from_millis(delay_ms))
    }

    /// The number of a PING that is sent now: microseconds of this link.
    pub(super) fn ping_number(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    /// The answer to a PING came in.
    pub(super) fn note_pong(&self, number: u64) {
        let took_us = self.ping_number().saturating_sub(number);
        self.round_trip_us.store(took_us.max(1), Ordering::Relaxed);
    }

    /// Opens the link for senders.
    pub(super) fn become_up(&self) {
        self.is_up.store(true, Ordering::Release);
    }

    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Acquire) && !*self.is_stopped.borrow()
    }

    pub(super) fn stop(&self) {
        self.is_stopped.send_replace(true);
    }

    pub(super) async fn stopped(&self) {
        // The sender lives as long as `self`.
        let _ = self
            .is_stopped
            .subscribe()
            .wait_for(|is_stopped| *is_stopped)
            .await;
    }

    /// No event of this link comes after this.
    pub(super) fn become_finished(&self) {
        self.is_finished.send_replace(true);
    }

    pub(super) async fn finished(&self) {
        // The sender lives as long as `self`.
        let _ = self
            .is_finished
            .subscribe()
            .wait_for(|is_finished| *is_finished)
            .await;
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.is_stopped.borrow()
    }

    pub(super) fn info(&self) -> LinkInfo {
        LinkInfo {
            peer: self.key.peer,
            address: self.address,
            is_dialled: self.key.is_dialled,
            queued_bytes: self.outbox.bytes(),
            round_trip_us: self.round_trip_us.load(Ordering::Relaxed),
        }
    }
}

/// All links, and what diallers need to know.
#[derive(Default)]
pub(super) struct Table {
    pub(super) links: BTreeMap<NodeId, Arc<Link>>,
    /// Nodes to which a link is wanted, with their addresses.
    pub(super) peers: BTreeMap<NodeId, String>,
    /// Nodes that have a task which keeps a link to them.
    pub(super) keepers: BTreeSet<NodeId>,
    /// Addresses that are being dialled because somebody asked for it.
    pub(super) seeds: BTreeSet<String>,
    /// Nodes to which this node is just proving itself.
    pub(super) dialling: BTreeSet<NodeId>,
    pub(super) faults: BTreeMap<NodeId, Fault>,
}

impl Table {
    pub(super) fn fault(&self, peer: NodeId) -> Fault {
        self.faults.get(&peer).copied().unwrap_or_default()
    }

    /// The address of `node` if it is a peer that lacks a link.
    pub(super) fn missing(&self, node: NodeId) -> Option<String> {
        let is_linked = self.links.contains_key(&node);
        let address = self.peers.get(&node)?;
        (!is_linked && !self.fault(node).is_cut).then(|| address.clone())
    }

    /// Puts `link` in its place; returns the link that was there, which is told to stop.
    pub(super) fn admit(
        &mut self,
        own: NodeId,
        link: &Arc<Link>,
    ) -> Result<Option<Arc<Link>>, LinkError> {
        let fault = self.fault(link.key.peer);
        if fault.is_cut {
            return Err(LinkError::Cut);
        }
        let existing = self.links.get(&link.key.peer);
        // A link that is on its way out is in nobody's way, but its last event comes first.
        let in_the_way = existing.filter(|existing| !existing.is_stopped());
        if in_the_way.is_some_and(|existing| !replaces(own, existing.key, link.key)) {
            return Err(LinkError::AlreadyLinked);
        }
        link.set_delay(fault.delay_ms);
        let replaced = self.links.insert(link.key.peer, link.clone());
        if let Some(replaced) = &replaced {
            replaced.stop();
        }
        Ok(replaced)
    }

    /// Takes `link` out, unless another one is in its place.
    pub(super) fn remove(&mut self, link: &Arc<Link>) {
        let peer = link.key.peer;
        if self
            .links
            .get(&peer)
            .is_some_and(|current| Arc::ptr_eq(current, link))
        {
            self.links.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(peer: u128, run: u128, is_dialled: bool) -> LinkKey {
        LinkKey {
            peer: NodeId(peer),
            run,
            is_dialled,
        }
    }

    /// Of two links dialled at once, in whichever order each side learns of them.
    #[test]
    fn both_sides_keep_the_link_that_the_smaller_node_dialled() {
        let (small, large) = (NodeId(1), NodeId(2));
        for first_is_smalls in [true, false] {
            let at = |own: NodeId, peer: NodeId| {
                let by_small = key(peer.0, 7, own == small);
                let by_large = key(peer.0, 7, own == large);
                let (first, second) = if first_is_smalls {
                    (by_small, by_large)
                } else {
                    (by_large, by_small)
                };
                let kept = if replaces(own, first, second) {
                    second
                } else {
                    first
                };
                assert_eq!(kept, by_small);
            };
            at(small, large);
            at(large, small);
        }
    }

    #[test]
    fn a_newer_link_of_the_same_direction_or_of_another_run_counts() {
        let own = NodeId(1);
        assert!(replaces(own, key(2, 7, true), key(2, 7, true)));
        assert!(replaces(own, key(2, 7, true), key(2, 8, false)));
        assert!(!replaces(own, key(2, 7, true), key(2, 7, false)));
    }
}
