//! How links begin: dialling and accepting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder_cluster::id::NodeId;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::frame::{FrameReader, write_refusal};
use super::handshake::{self, Hello, Peer};
use super::outbox::Outbox;
use super::run::{Connection, run};
use super::table::{Link, LinkKey};
use super::{LinkError, Shared};

/// How long to wait when the system cannot accept, as it has no file left for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until the links are closed.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.closed() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                // Too many strangers at the door: this one is not even greeted.
                if let Ok(place) = shared.strangers.clone().try_acquire_owned() {
                    let shared = shared.clone();
                    shared.runtime.clone().spawn(async move {
                        greet(&shared, stream, address).await;
                        drop(place);
                    });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a peer");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Does the acceptor's half of a handshake.
async fn greet(shared: &Arc<Shared>, stream: TcpStream, address: SocketAddr) {
    let mut connection = match Connection::new(stream) {
        Ok(connection) => connection,
        Err(error) => return tracing::debug!(%address, %error, "a peer was gone at once"),
    };
    let identity = shared.identity.load_full();
    let outcome = match Hello::new(&identity, shared.run) {
        Ok(own) => {
            let halves = (&mut connection.reader, &mut connection.writer);
            let admit = |peer: Peer| Admitted::new(shared, peer, address, false);
            let greeting = handshake::accept(own, &identity, &shared.secret, halves, admit);
            timeout(shared.limits.handshake, greeting)
                .await
                .unwrap_or(Err(LinkError::Handshake))
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(admitted) => admitted.begin(connection),
        Err(error) => {
            count(shared, &error);
            report(&error, &address.to_string());
            let refusal = write_refusal(&mut connection.writer, &error);
            let _ = timeout(shared.limits.handshake, refusal).await;
        }
    }
}

/// A link that has its place, its predecessor and what the peer said of itself. Dropped before it
/// has begun, for example because the peer went away, it gives its place back.
struct Admitted {
    shared: Arc<Shared>,
    link: Arc<Link>,
    replaced: Option<Arc<Link>>,
    peer: Peer,
    is_begun: bool,
}

impl Admitted {
    fn new(
        shared: &Arc<Shared>,
        peer: Peer,
        address: SocketAddr,
        is_dialled: bool,
    ) -> Result<Self, LinkError> {
        let key = LinkKey {
            peer: peer.node,
            run: peer.run,
            is_dialled,
        };
        let link = Arc::new(Link::new(
            key,
            address,
            Outbox::new(shared.limits.queue_bytes_max),
        ));
        let own = shared.identity.load().node;
        let mut table = shared.table.lock();
        // Looked at under the lock, so that whoever closes sees either the link or its refusal.
        if shared.is_closed() {
            return Err(LinkError::Stopped);
        }
        let replaced = table.admit(own, &link)?;
        Ok(Self {
            shared: shared.clone(),
            link,
            replaced,
            peer,
            is_begun: false,
        })
    }

    fn begin(mut self, connection: Connection) {
        self.is_begun = true;
        let (shared, link, replaced) =
            (self.shared.clone(), self.link.clone(), self.replaced.take());
        shared.changed();
        let talk = Some((connection, self.peer.info.clone()));
        self.shared.runtime.spawn(run(shared, link, replaced, talk));
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if !self.is_begun {
            self.link.stop();
            let (shared, link, replaced) =
                (self.shared.clone(), self.link.clone(), self.replaced.take());
            self.shared.runtime.spawn(run(shared, link, replaced, None));
        }
    }
}

/// An error is worth a warning if somebody must set something right.
fn report(error: &LinkError, address: &str) {
    match error {
        LinkError::WrongSecret | LinkError::OtherCluster => {
            tracing::warn!(%address, "no link: {error}");
        }
        LinkError::Refused(_) | LinkError::OtherNode(_) | LinkError::Unexpected(_) => {
            tracing::info!(%address, "no link: {error}");
        }
        _ => tracing::debug!(%address, "no link: {error}"),
    }
}

/// Dials `address` once, and starts the link. `expected` is the node that should answer.
pub(super) async fn once(
    shared: &Arc<Shared>,
    address: &str,
    expected: Option<NodeId>,
) -> Result<NodeId, LinkError> {
    let mut reservation = Reservation { shared, node: None };
    let attempt = connect(shared, address, expected, &mut reservation);
    let (admitted, connection) = timeout(shared.limits.handshake, attempt)
        .await
        .unwrap_or(Err(LinkError::Handshake))?;
    let node = admitted.link.key.peer;
    admitted.begin(connection);
    Ok(node)
}

async fn connect(
    shared: &Arc<Shared>,
    address: &str,
    expected: Option<NodeId>,
    reservation: &mut Reservation<'_>,
) -> Result<(Admitted, Connection), LinkError> {
    let stream = TcpStream::connect(address).await?;
    let address = stream.peer_addr()?;
    let mut connection = Connection::new(stream)?;
    let identity = shared.identity.load_full();
    let own = Hello::new(&identity, shared.run)?;
    let is_wanted = |hello: &Hello| match expected {
        Some(expected) if expected != hello.node => Err(LinkError::OtherNode(hello.node)),
        _ => reservation.make(hello),
    };
    let halves = (&mut connection.reader, &mut connection.writer);
    let peer = handshake::dial(own, &identity, &shared.secret, halves, is_wanted).await?;
    let admitted = Admitted::new(shared, peer, address, true)?;
    Ok((admitted, connection))
}

/// Keeps this node from dialling one peer twice at a time.
struct Reservation<'a> {
    shared: &'a Shared,
    node: Option<NodeId>,
}

impl Reservation<'_> {
    fn make(&mut self, hello: &Hello) -> Result<(), LinkError> {
        let mut table = self.shared.table.lock();
        if table.fault(hello.node).is_cut {
            return Err(LinkError::Cut);
        }
        let existing = table
            .links
            .get(&hello.node)
            .filter(|link| !link.is_stopped());
        if existing.is_some_and(|link| link.key.run == hello.run) {
            return Err(LinkError::AlreadyLinked);
        }
        if !table.dialling.insert(hello.node) {
            return Err(LinkError::AlreadyLinked);
        }
        self.node = Some(hello.node);
        Ok(())
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let Some(node) = self.node {
            self.shared.table.lock().dialling.remove(&node);
        }
    }
}

/// Pauses between attempts: twice as long each time, and never the same for two nodes.
struct Pauses {
    next: Duration,
    first: Duration,
    min: Duration,
    max: Duration,
}

impl Pauses {
    fn new(shared: &Shared, first: Duration) -> Self {
        Self {
            next: first,
            first,
            min: shared.limits.redial_min,
            max: shared.limits.redial_max,
        }
    }

    fn restart(&mut self) {
        self.next = self.first;
    }

    /// Between the half and the whole of the next step.
    fn take(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).clamp(self.min, self.max);
        let random = handshake::random().map_or(0, u16::from_be_bytes);
        whole / 2 + whole / 2 * u32::from(random) / u32::from(u16::MAX)
    }
}

/// Keeps a link to `node` as long as it is among the peers.
pub(super) async fn keep(shared: Arc<Shared>, node: NodeId) {
    // The smaller node dials first, so that two rarely do at once.
    let is_first = shared.identity.load().node < node;
    let first = if is_first {
        Duration::ZERO
    } else {
        shared.limits.redial_min
    };
    let mut pauses = Pauses::new(&shared, first);
    let mut last = String::new();
    loop {
        let started = Instant::now();
        let missing = tokio::select! {
            missing = missing(&shared, node) => missing,
            () = shared.closed() => return,
        };
        if missing.is_none() {
            return;
        }
        // A link that lasted gives hope; one that broke at once does not.
        if started.elapsed() >= shared.limits.redial_max {
            pauses.restart();
        }
        tokio::select! {
            () = sleep(pauses.take()) => {}
            () = shared.closed() => return,
        }
        let address = shared.table.lock().missing(node);
        let Some(address) = address else { continue };
        match once(&shared, &address, Some(node)).await {
            Ok(_) => last.clear(),
            Err(error) => note(&shared, &error, &address, &mut last),
        }
    }
}

/// Waits until a link to `node` is missing; nothing if it is no peer any more.
async fn missing(shared: &Shared, node: NodeId) -> Option<()> {
    let mut changes = shared.changes.subscribe();
    loop {
        {
            let mut table = shared.table.lock();
            if !table.peers.contains_key(&node) {
                table.keepers.remove(&node);
                return None;
            }
            if table.missing(node).is_some() {
                return Some(());
            }
        }
        // The sender lives as long as `shared`.
        changes.changed().await.ok()?;
    }
}

/// Dials `address` until a node answers.
pub(super) async fn seed(shared: Arc<Shared>, address: String) {
    let mut pauses = Pauses::new(&shared, shared.limits.redial_min);
    let mut last = String::new();
    loop {
        match once(&shared, &address, None).await {
            Ok(_) | Err(LinkError::AlreadyLinked | LinkError::Myself) => break,
            Err(error) => note(&shared, &error, &address, &mut last),
        }
        tokio::select! {
            () = sleep(pauses.take()) => {}
            () = shared.closed() => break,
        }
    }
    shared.table.lock().seeds.remove(&address);
}

fn count(shared: &Shared, error: &LinkError) {
    if !matches!(
        error,
        LinkError::AlreadyLinked | LinkError::Cut | LinkError::Stopped
    ) {
        shared
            .stats
            .handshakes_failed
            .fetch_add(1, Ordering::Relaxed);
    }
}

/// Reports a failed attempt, once as long as it fails in the same way.
fn note(shared: &Shared, error: &LinkError, address: &str, last: &mut String) {
    count(shared, error);
    let text = error.to_string();
    if *last != text {
        report(error, address);
        *last = text;
    }
}

impl Connection {
    fn new(stream: TcpStream) -> Result<Self, LinkError> {
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Self {
            reader: FrameReader::new(reader),
            writer,
        })
    }
}
