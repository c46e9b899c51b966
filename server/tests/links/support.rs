//! Nodes with links and nothing else, for tests.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use larder_cluster::id::NodeId;
use larder_server::link::handshake::Identity;
use larder_server::link::{LinkEvents, LinkLimits, Links, Unsent};
use larder_server::secret::ClusterSecret;
use parking_lot::{Condvar, Mutex};
use tokio::net::TcpListener;

/// How long a test waits for what must happen.
const DEADLINE: Duration = Duration::from_secs(20);

/// What a node has seen on its links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A link came up, with what the peer said of itself.
    Up(NodeId, Bytes),
    /// A link went down before these messages had left.
    Down(NodeId, Vec<Unsent>),
    /// A message came.
    Message(NodeId, String, Bytes),
}

/// Writes down what happens.
#[derive(Default)]
pub(crate) struct Recorder {
    events: Mutex<Vec<Event>>,
    is_busy: Mutex<bool>,
    freed: Condvar,
}

impl LinkEvents for Recorder {
    fn on_up(&self, peer: NodeId, info: Bytes) {
        self.events.lock().push(Event::Up(peer, info));
    }

    fn on_down(&self, peer: NodeId, unsent: Vec<Unsent>) {
        self.events.lock().push(Event::Down(peer, unsent));
    }

    fn on_message(&self, peer: NodeId, verb: &str, payload: Bytes) {
        if verb == "LARGE" {
            let mut is_busy = self.is_busy.lock();
            self.freed.wait_while(&mut is_busy, |is_busy| *is_busy);
        }
        self.events
            .lock()
            .push(Event::Message(peer, verb.to_owned(), payload));
    }

    fn is_urgent(&self, verb: &str) -> bool {
        verb == "SWIM"
    }
}

impl Recorder {
    /// From here on to act upon a message `LARGE` takes until it is not busy any more.
    pub(crate) fn set_busy(&self, is_busy: bool) {
        *self.is_busy.lock() = is_busy;
        self.freed.notify_all();
    }

    /// All events so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().clone()
    }

    /// The messages so far: verb and payload.
    pub(crate) fn messages(&self) -> Vec<(String, Bytes)> {
        let message = |event| match event {
            Event::Message(_, verb, payload) => Some((verb, payload)),
            _ => None,
        };
        self.events().into_iter().filter_map(message).collect()
    }

    /// How often a link came up and went down.
    pub(crate) fn ups_and_downs(&self) -> (usize, usize) {
        let count = |is: fn(&Event) -> bool| self.events().iter().filter(|e| is(e)).count();
        (
            count(|e| matches!(e, Event::Up(..))),
            count(|e| matches!(e, Event::Down(..))),
        )
    }
}

/// A node that only has links.
pub(crate) struct TestNode {
    pub(crate) id: NodeId,
    pub(crate) address: String,
    pub(crate) links: Links,
    pub(crate) seen: Arc<Recorder>,
}

/// What differs between test nodes.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) secret: &'static str,
    pub(crate) cluster: u128,
    pub(crate) limits: LinkLimits,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            secret: "a secret of all the nodes",
            cluster: 7,
            limits: limits(),
        }
    }
}

/// Limits that make tests quick.
pub(crate) fn limits() -> LinkLimits {
    LinkLimits {
        ping_after: Duration::from_millis(50),
        redial_min: Duration::from_millis(5),
        redial_max: Duration::from_millis(100),
        ..LinkLimits::default()
    }
}

impl TestNode {
    pub(crate) async fn start(id: u128, plan: &Plan) -> Self {
        let id = NodeId(id);
        let secret = ClusterSecret::new(plan.secret.as_bytes().to_vec());
        let info = Bytes::from(format!("info of {id}"));
        let identity = Identity {
            node: id,
            cluster: plan.cluster,
            info,
        };
        let seen = Arc::new(Recorder::default());
        let links = Links::new(secret, identity, plan.limits, seen.clone()).expect("randomness");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        links.listen(listener);
        Self {
            id,
            address,
            links,
            seen,
        }
    }

    /// Makes `peers` known under their addresses.
    pub(crate) fn know(&self, peers: &[&Self]) {
        let peers: BTreeMap<NodeId, String> = peers
            .iter()
            .map(|peer| (peer.id, peer.address.clone()))
            .collect();
        self.links.set_peers(&peers);
    }

    pub(crate) fn is_linked(&self, peer: &Self) -> bool {
        self.links.list().iter().any(|link| link.peer == peer.id)
            && self.links.send(peer.id, "PROBE", Bytes::new()) == larder_server::link::Sent::Queued
    }
}

/// Links two nodes, the first of which dials.
pub(crate) async fn link(a: &TestNode, b: &TestNode) {
    let dialled = in_time("dialling", a.links.dial_once(&b.address)).await;
    assert_eq!(dialled.expect("a link"), b.id);
    until("the link is up", || a.is_linked(b) && b.is_linked(a)).await;
}

/// Two nodes with a link.
pub(crate) async fn linked(plan: &Plan) -> (TestNode, TestNode) {
    let (a, b) = (
        TestNode::start(1, plan).await,
        TestNode::start(2, plan).await,
    );
    link(&a, &b).await;
    (a, b)
}

/// Waits until `condition` holds.
///
/// # Panics
/// If it does not in time.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "never came about: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for `future`.
///
/// # Panics
/// If it is not ready in time.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("never over: {what}"))
}
