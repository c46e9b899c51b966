//! Between links and core: events of links become calls of the runtime, and the core's messages go
//! to the links.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use larder_cluster::id::NodeId;
use larder_cluster::layout::Layout;
use larder_cluster::message::Message;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::link::{LinkEvents, Links, Sent, Unsent};
use crate::peers::{About, Peers};
use crate::runtime::{Carrier, Runtime};

/// Bytes that may wait for a peer before the core holds back what can wait.
const CROWDED_BYTES: usize = 8 << 20;

/// Hands events of links to the runtime, once there is one.
#[derive(Default)]
pub struct Bridge {
    runtime: OnceLock<Arc<Runtime>>,
    peers: Arc<Peers>,
}

impl Bridge {
    /// Keeps in `peers` what they tell of themselves.
    #[must_use]
    pub fn new(peers: Arc<Peers>) -> Self {
        Self {
            runtime: OnceLock::new(),
            peers,
        }
    }

    /// From here on events go to `runtime`. Call before the links listen or dial.
    pub fn connect(&self, runtime: Arc<Runtime>) {
        // A second runtime does not exist: one process, one node.
        let _ = self.runtime.set(runtime);
    }
}

impl LinkEvents for Bridge {
    fn on_up(&self, peer: NodeId, info: Bytes) {
        tracing::debug!(%peer, "link is up");
        self.peers.learn(peer, About::decode(&info));
        if let Some(runtime) = self.runtime.get() {
            runtime.link_up(peer);
        }
    }

    fn on_down(&self, peer: NodeId, unsent: Vec<Unsent>) {
        tracing::debug!(%peer, "link is down");
        if let Some(runtime) = self.runtime.get() {
            let requests = unsent
                .iter()
                .filter_map(|message| Message::request_number(&message.payload));
            runtime.link_down(peer, requests);
        }
    }

    fn on_message(&self, peer: NodeId, _verb: &str, payload: Bytes) {
        if let Some(runtime) = self.runtime.get() {
            runtime.message(peer, payload);
        }
    }

    fn is_urgent(&self, verb: &str) -> bool {
        is_urgent(verb)
    }
}

/// Whether a message tells if a peer is alive: it goes before all others.
fn is_urgent(verb: &str) -> bool {
    verb == "SWIM"
}

/// Takes the core's messages to the links.
#[derive(Default)]
pub struct LinkCarrier {
    links: OnceLock<Links>,
}

impl LinkCarrier {
    /// From here on messages go to `links`.
    pub fn connect(&self, links: Links) {
        let _ = self.links.set(links);
    }

    /// The links.
    #[must_use]
    pub fn links(&self) -> Option<&Links> {
        self.links.get()
    }
}

impl Carrier for LinkCarrier {
    fn send(&self, peer: NodeId, verb: &'static str, payload: Bytes) -> bool {
        let Some(links) = self.links.get() else {
            return false;
        };
        let sent = if is_urgent(verb) {
            links.send_urgent(peer, verb, payload)
        } else {
            links.send(peer, verb, payload)
        };
        if sent == Sent::Full {
            tracing::warn!(%peer, "a peer does not read its messages; the link is dropped");
        }
        sent == Sent::Queued
    }

    fn members_changed(&self, runtime: &Runtime) {
        let view = runtime.node.view();
        let peers: BTreeMap<NodeId, String> = view
            .layout
            .nodes()
            .filter(|(node, _)| *node != runtime.node.id())
            .map(|(node, entry)| (node, entry.address.clone()))
            .collect();
        if let Some(links) = self.links.get() {
            links.set_cluster(view.layout.cluster());
            links.set_peers(&peers);
        }
    }

    fn crowded(&self) -> Vec<(NodeId, bool)> {
        let links = self.links.get().map(Links::list).unwrap_or_default();
        links
            .into_iter()
            .map(|link| (link.peer, link.queued_bytes > CROWDED_BYTES))
            .collect()
    }
}

/// Waits for the layout of a cluster that this node is about to join.
pub struct LayoutWanted {
    found: Mutex<Option<oneshot::Sender<Layout>>>,
}

impl LayoutWanted {
    /// The events to give to links, and where the layout arrives.
    #[must_use]
    pub fn new() -> (Arc<Self>, oneshot::Receiver<Layout>) {
        let (sender, receiver) = oneshot::channel();
        (
            Arc::new(Self {
                found: Mutex::new(Some(sender)),
            }),
            receiver,
        )
    }
}

impl LinkEvents for LayoutWanted {
    fn on_up(&self, peer: NodeId, _info: Bytes) {
        tracing::info!(%peer, "found a node of the cluster to join");
    }

    fn on_down(&self, _peer: NodeId, _unsent: Vec<Unsent>) {}

    fn on_message(&self, _peer: NodeId, _verb: &str, payload: Bytes) {
        if let Ok(Message::Layout(_, layout)) = Message::decode(&payload)
            && let Some(sender) = self.found.lock().take()
        {
            // Whoever waited may have given up.
            let _ = sender.send(*layout);
        }
    }
}
