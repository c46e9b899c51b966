//! Links: how nodes talk to each other.
//!
//! Between two nodes there is one link, a TCP connection on the peer port that either may dial. It
//! begins with a handshake in which both prove that they know the cluster's secret
//! ([`handshake`]), then carries messages as RESP arrays of a verb and a payload, so that an
//! operator can read the traffic:
//!
//! ```text
//! *2 DELTA <payload>               a message
//! *3 PART <bytes> <piece> *2 PART <piece> … *3 LAST DELTA <piece>
//!                                  a message of more than a frame, with its whole length
//! *2 PING <number>  *2 PONG <number>   still here, once a second, and how far apart
//! ```
//!
//! Messages arrive in order, or the link is gone. What waited for a link that broke is lost, and
//! whoever sends says it again when told of the new one. A peer that does not take its messages
//! loses the link rather than fill this node's memory.

mod dial;
mod frame;
pub mod handshake;
mod outbox;
mod run;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use larder_cluster::id::NodeId;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::limits::{
    FRAME_BYTES_MAX, HANDSHAKE_SECONDS_MAX, HANDSHAKES_MAX, LINK_DELAY_MS_MAX,
    LINK_QUEUE_BYTES_MAX, MESSAGE_BYTES_MAX,
};
use crate::resp::request::ProtocolError;
use crate::secret::ClusterSecret;
use handshake::Identity;
pub use outbox::{Sent, Unsent};
use table::Table;

/// What happens on links. Calls for one peer come one after another and in order: up, messages,
/// down. Calls come on the runtime's threads: like a command's handler, they must not wait for
/// long. Only for messages of more than a frame there is a thread beside those.
pub trait LinkEvents: Send + Sync + 'static {
    /// There is a link to `peer` from now on; `info` is what the peer says of itself.
    fn on_up(&self, peer: NodeId, info: Bytes);
    /// There is no link to `peer` any more. What was sent may not have arrived; of `unsent` it is
    /// certain that it has not.
    fn on_down(&self, peer: NodeId, unsent: Vec<Unsent>);
    /// `peer` sent a message.
    fn on_message(&self, peer: NodeId, verb: &str, payload: Bytes);
    /// Whether messages of this kind may come before others that were sent earlier, because they
    /// tell whether a peer is alive.
    fn is_urgent(&self, _verb: &str) -> bool {
        false
    }
}

/// Why there is no link, or none any more.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The system says so.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    Closed,
    /// The handshake took too long.
    #[error("the handshake took too long")]
    Handshake,
    /// The peer said nothing for too long.
    #[error("the peer fell silent")]
    Silent,
    /// The peer's bytes are no frames.
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    /// The peer's frames are not what must come next.
    #[error("the peer sent {0}")]
    Unexpected(&'static str),
    /// The peer does not know this cluster's secret.
    #[error("the cluster secrets differ")]
    WrongSecret,
    /// The peer belongs to another cluster.
    #[error("the peer belongs to another cluster")]
    OtherCluster,
    /// The address is this node's own.
    #[error("the address leads back to this node")]
    Myself,
    /// Another node than the expected one answers there.
    #[error("another node answers there: {0}")]
    OtherNode(NodeId),
    /// The peer refused the link.
    #[error("the peer refused: {0}")]
    Refused(String),
    /// There is a link to that peer already.
    #[error("there is a link already")]
    AlreadyLinked,
    /// DEBUG LINK has cut it.
    #[error("the link is cut by DEBUG LINK")]
    Cut,
    /// The peer did not take its messages.
    #[error("the peer does not read its messages")]
    QueueFull,
    /// The node closed the link.
    #[error("the link was closed here")]
    Stopped,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    NoRandomness,
}

/// The bounds of links; tests make them small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkLimits {
    /// From the first byte to the last proof.
    pub handshake: Duration,
    /// How often a side says PING.
    pub ping_after: Duration,
    /// A side that has heard nothing for so long gives up.
    pub silent_after: Duration,
    /// The first pause before dialling again.
    pub redial_min: Duration,
    /// The longest pause.
    pub redial_max: Duration,
    /// The payload of one frame.
    pub frame_bytes_max: usize,
    /// A message in all its parts.
    pub message_bytes_max: usize,
    /// What may wait for a peer.
    pub queue_bytes_max: usize,
}

impl Default for LinkLimits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(HANDSHAKE_SECONDS_MAX),
            ping_after: Duration::from_secs(1),
            silent_after: Duration::from_secs(5),
            redial_min: Duration::from_millis(50),
            redial_max: Duration::from_secs(2),
            frame_bytes_max: FRAME_BYTES_MAX,
            message_bytes_max: MESSAGE_BYTES_MAX,
            queue_bytes_max: LINK_QUEUE_BYTES_MAX,
        }
    }
}

/// What DEBUG LINK does to the link with one peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fault {
    /// No link at all.
    pub is_cut: bool,
    /// Milliseconds by which each message is held up, on its way in and on its way out.
    pub delay_ms: u64,
}

/// A link as INFO and the peers' list show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInfo {
    /// The other side.
    pub peer: NodeId,
    /// Its address on this connection.
    pub address: SocketAddr,
    /// Whether this node dialled.
    pub is_dialled: bool,
    /// Bytes that wait for it.
    pub queued_bytes: usize,
    /// How long the last PING and its answer took, in microseconds; 0 before the first answer.
    pub round_trip_us: u64,
}

/// What links count.
#[derive(Debug, Default)]
pub struct LinkStats {
    /// Bytes of messages received.
    pub received_bytes: AtomicU64,
    /// Bytes of messages sent.
    pub sent_bytes: AtomicU64,
    /// Messages received.
    pub received_messages: AtomicU64,
    /// Messages sent.
    pub sent_messages: AtomicU64,
    /// Links that came up.
    pub links: AtomicU64,
    /// Handshakes that failed.
    pub handshakes_failed: AtomicU64,
    /// Links dropped because the peer did not read.
    pub queues_full: AtomicU64,
}

/// All links of a node. Clones share them.
#[derive(Clone)]
pub struct Links(Arc<Shared>);

struct Shared {
    secret: ClusterSecret,
    /// Names this start of the process, so that peers can tell an old link from a new one.
    run: u128,
    identity: ArcSwap<Identity>,
    limits: LinkLimits,
    events: Arc<dyn LinkEvents>,
    table: Mutex<Table>,
    /// Grows whenever something in the table changes that a dialler may wait for.
    changes: watch::Sender<u64>,
    is_closed: watch::Sender<bool>,
    strangers: Arc<Semaphore>,
    stats: LinkStats,
    runtime: Handle,
}

impl Links {
    /// No links yet. Call within a runtime, which will run them.
    ///
    /// # Errors
    /// [`LinkError::NoRandomness`].
    pub fn new(
        secret: ClusterSecret,
        identity: Identity,
        limits: LinkLimits,
        events: Arc<dyn LinkEvents>,
    ) -> Result<Self, LinkError> {
        let shared = Shared {
            secret,
            run: u128::from_be_bytes(handshake::random()?),
            identity: ArcSwap::from_pointee(identity),
            limits,
            events,
            table: Mutex::default(),
            changes: watch::Sender::new(0),
            is_closed: watch::Sender::new(false),
            strangers: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            stats: LinkStats::default(),
            runtime: Handle::current(),
        };
        Ok(Self(Arc::new(shared)))
    }

    /// Changes the cluster that this node says it belongs to on new links.
    pub fn set_cluster(&self, cluster: u128) {
        let identity = self.0.identity.load_full();
        if identity.cluster != cluster {
            self.0.identity.store(Arc::new(Identity {
                cluster,
                ..(*identity).clone()
            }));
        }
    }

    /// Links of a node that has no cluster yet, with the secret and the limits of these.
    ///
    /// # Errors
    /// [`LinkError::NoRandomness`].
    pub fn of_stranger(&self, events: Arc<dyn LinkEvents>) -> Result<Self, LinkError> {
        let identity = Identity {
            node: self.0.identity.load().node,
            cluster: 0,
            info: Bytes::new(),
        };
        Self::new(self.0.secret.clone(), identity, self.0.limits, events)
    }

    /// Takes links from `listener` until closed.
    pub fn listen(&self, listener: TcpListener) {
        self.0.runtime.spawn(dial::accept(self.0.clone(), listener));
    }

    /// Keeps a link to each of `peers`, by node and address, and to no others of its own accord.
    /// Links to others, which they dialled, stay.
    pub fn set_peers(&self, peers: &BTreeMap<NodeId, String>) {
        let own = self.0.identity.load().node;
        let peers: BTreeMap<NodeId, String> = peers
            .iter()
            .filter(|(node, _)| **node != own)
            .map(|(n, a)| (*n, a.clone()))
            .collect();
        let unknown: BTreeSet<NodeId> = {
            let mut table = self.0.table.lock();
            table.peers = peers;
            let Table { peers, keepers, .. } = &mut *table;
            peers
                .keys()
                .filter(|node| keepers.insert(**node))
                .copied()
                .collect()
        };
        self.0.changed();
        for node in unknown {
            self.0.runtime.spawn(dial::keep(self.0.clone(), node));
        }
    }

    /// Dials a node of which only the address is known, until it answers or turns out to be this
    /// node.
    pub fn dial(&self, address: &str) {
        if self.0.table.lock().seeds.insert(address.to_owned()) {
            self.0
                .runtime
                .spawn(dial::seed(self.0.clone(), address.to_owned()));
        }
    }

    /// Dials a node of which only the address is known, once.
    ///
    /// # Errors
    /// Why there is no link; [`LinkError::AlreadyLinked`] may be good news.
    pub async fn dial_once(&self, address: &str) -> Result<NodeId, LinkError> {
        dial::once(&self.0, address, None).await
    }

    /// Queues a message for `peer`.
    ///
    /// # Panics
    /// If the verb is empty, too long, or the link's own.
    pub fn send(&self, peer: NodeId, verb: &'static str, payload: Bytes) -> Sent {
        self.0.send(peer, verb, payload, false)
    }

    /// Queues a small message that goes before all others, even between the parts of one: for what
    /// tells whether a peer is alive.
    ///
    /// # Panics
    /// As [`Links::send`].
    pub fn send_urgent(&self, peer: NodeId, verb: &'static str, payload: Bytes) -> Sent {
        self.0.send(peer, verb, payload, true)
    }

    /// Closes the link to `peer`, for example because its messages make no sense. A known peer is
    /// dialled again.
    pub fn disconnect(&self, peer: NodeId) {
        if let Some(link) = self.0.table.lock().links.get(&peer) {
            link.stop();
        }
    }

    /// Cuts, delays or heals (with the default) the link to `peer`: DEBUG LINK.
    pub fn set_fault(&self, peer: NodeId, fault: Fault) {
        let fault = Fault {
            delay_ms: fault.delay_ms.min(LINK_DELAY_MS_MAX),
            ..fault
        };
        let mut table = self.0.table.lock();
        if let Some(link) = table.links.get(&peer) {
            link.set_delay(fault.delay_ms);
            if fault.is_cut {
                link.stop();
            }
        }
        if fault == Fault::default() {
            table.faults.remove(&peer);
        } else {
            table.faults.insert(peer, fault);
        }
        drop(table);
        self.0.changed();
    }

    /// What DEBUG LINK does at the moment.
    #[must_use]
    pub fn faults(&self) -> BTreeMap<NodeId, Fault> {
        self.0.table.lock().faults.clone()
    }

    /// The links that are up.
    #[must_use]
    pub fn list(&self) -> Vec<LinkInfo> {
        self.0
            .table
            .lock()
            .links
            .values()
            .map(|link| link.info())
            .collect()
    }

    /// What links have counted.
    #[must_use]
    pub fn stats(&self) -> &LinkStats {
        &self.0.stats
    }

    /// Closes all links and waits until the last call of [`LinkEvents`] is over.
    pub async fn close(&self) {
        self.0.is_closed.send_replace(true);
        let links: Vec<_> = self.0.table.lock().links.values().cloned().collect();
        for link in links {
            link.stop();
            link.finished().await;
        }
    }
}

impl Shared {
    fn send(&self, peer: NodeId, verb: &'static str, payload: Bytes, is_urgent: bool) -> Sent {
        assert!(
            frame::is_verb(verb.as_bytes()) && !frame::is_own_verb(verb),
            "no verb: {verb}"
        );
        let link = self.table.lock().links.get(&peer).cloned();
        let Some(link) = link.filter(|link| link.is_up()) else {
            return Sent::NoLink;
        };
        let sent = link.send(verb, payload, is_urgent);
        if sent == Sent::Queued {
            self.stats.sent_messages.fetch_add(1, Ordering::Relaxed);
        } else {
            self.stats.queues_full.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%peer, "{}", LinkError::QueueFull);
            link.stop();
        }
        sent
    }

    fn changed(&self) {
        self.changes.send_modify(|number| *number += 1);
    }

    fn is_closed(&self) -> bool {
        *self.is_closed.borrow()
    }

    /// Waits until all links are closed.
    async fn closed(&self) {
        let mut receiver = self.is_closed.subscribe();
        // The sender lives as long as `self`.
        let _ = receiver.wait_for(|is_closed| *is_closed).await;
    }
}
