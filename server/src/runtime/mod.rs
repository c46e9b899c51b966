//! A node at work: the core, its disk, and what carries out the core's effects.
//!
//! ```text
//! client's task ── run_local ─┐                         ┌─▶ links, to peers
//! link's task ──── on_message ┼─▶ Node ── commit() ─────┤
//! poller ───────── poll ──────┘   (redo appended here)  └─▶ whoever waits for an answer
//! syncer ───────── begin_sync, fsync, finish_sync           (a thread of its own)
//! writer ───────── checkpoint, evict                        (a thread of its own)
//! ```

pub mod aside;
mod background;
mod clock;
mod core_settings;
mod watchers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use larder_cluster::id::NodeId;
use larder_cluster::message::Message;
use larder_cluster::node::{Answer, Effects, Node, Submitted};
use larder_cluster::request::{Reply, Request};
use larder_cluster::store::{Store, StoreError};
use larder_crdt::Writer;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

pub use background::Background;
pub use clock::{SystemClock, unix_ms as clock_unix_ms};
pub use core_settings::core_settings;
pub use watchers::Watchers;

use crate::settings::live::LiveSettings;
use crate::settings::value::Durability;

/// How long a task waits for a commit of another before it leaves its thread to others.
const COMMIT_PATIENCE: Duration = Duration::from_millis(5);

/// What takes messages to other nodes. The transport is told by the runtime, and tells it.
pub trait Carrier: Send + Sync {
    /// Queues a message for `peer`; says whether it did. It does not if there is no link.
    fn send(&self, peer: NodeId, verb: &'static str, payload: Bytes) -> bool;
    /// The members and where they listen have changed.
    fn members_changed(&self, runtime: &Runtime);
    /// For every peer with a link: whether so much waits for it that changes should be held back.
    fn crowded(&self) -> Vec<(NodeId, bool)>;
}

/// A node at work.
pub struct Runtime {
    /// The core.
    pub node: Node,
    /// The disk.
    pub store: Arc<dyn Store>,
    /// The settings.
    pub settings: Arc<LiveSettings>,
    /// The time.
    pub clock: SystemClock,
    carrier: Arc<dyn Carrier>,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Reply>>>,
    next_token: AtomicU64,
    sync: SyncState,
    /// Held while a commit is appended.
    committing: Mutex<()>,
    members: AtomicU64,
    /// Whether changes need not wait for a checkpoint.
    room: tokio::sync::watch::Sender<bool>,
    /// Whether the last checkpoint did.
    checkpoint_failed: AtomicBool,
    /// Held while a checkpoint is written, as two would get into each other's way.
    checkpointing: Mutex<()>,
    /// Who is to be told of changes.
    pub watchers: Watchers,
    /// When the last checkpoint ended, in unix milliseconds.
    pub last_checkpoint_ms: AtomicU64,
    /// Checkpoints that ended well.
    pub checkpoints: AtomicU64,
}

/// Whom the syncer serves.
#[derive(Default)]
struct SyncState {
    /// Whether somebody waits for a sync.
    wanted: Mutex<bool>,
    wake: Condvar,
    /// How many syncs were asked for, and how many of those are over.
    asked: AtomicU64,
    done: tokio::sync::watch::Sender<u64>,
    failed: AtomicBool,
}

impl Runtime {
    /// Puts an opened node to work. Its threads and tasks are the caller's, see [`Background`].
    #[must_use]
    pub fn new(
        node: Node,
        store: Arc<dyn Store>,
        settings: Arc<LiveSettings>,
        clock: SystemClock,
        carrier: Arc<dyn Carrier>,
    ) -> Self {
        Self {
            node,
            store,
            settings,
            clock,
            carrier,
            waiting: Mutex::default(),
            next_token: AtomicU64::new(1),
            sync: SyncState::default(),
            committing: Mutex::default(),
            members: AtomicU64::new(0),
            room: tokio::sync::watch::Sender::new(true),
            checkpoint_failed: AtomicBool::new(false),
            checkpointing: Mutex::default(),
            watchers: Watchers::default(),
            last_checkpoint_ms: AtomicU64::new(clock_unix_ms()),
            checkpoints: AtomicU64::new(0),
        }
    }

    /// Commits what the core has changed, and carries out what follows. When it returns, every
    /// change made before the call survives the end of the process.
    ///
    /// # Errors
    /// What the disk says; no effect was carried out then.
    pub fn commit(&self) -> Result<(), StoreError> {
        let effects = self.append()?;
        self.carry_out(effects);
        Ok(())
    }

    /// A commit of half a gigabyte takes long. Whoever appends it or waits for it leaves the thread
    /// to others meanwhile.
    fn append(&self) -> Result<Effects, StoreError> {
        if self.node.uncommitted_bytes() < aside::LARGE_BYTES
            && let Some(_alone) = self.committing.try_lock_for(COMMIT_PATIENCE)
        {
            return self.node.commit();
        }
        aside::run(|| {
            let _alone = self.committing.lock();
            self.node.commit()
        })
    }

    /// Sends what tells peers that this node is alive, without waiting for a commit.
    fn send_urgent(&self) {
        for (peer, message) in self.node.take_urgent() {
            self.transmit(peer, &message);
        }
    }

    fn carry_out(&self, effects: Effects) {
        for (peer, message) in effects.sends {
            self.transmit(peer, &message);
        }
        for answer in effects.answers {
            match answer {
                Answer::Reply(token, reply) => {
                    let waiting = self.waiting.lock().remove(&token);
                    if let Some(waiting) = waiting {
                        // A client that is gone does not want its reply.
                        let _ = waiting.send(reply);
                    }
                }
                Answer::Changed(partition, row) => self.watchers.wake(partition, row),
                Answer::BadPeer(peer) => {
                    tracing::warn!(%peer, "a peer sent what contradicts itself; ignored");
                }
            }
        }
        if effects.sync_wanted {
            self.want_sync();
        }
        self.follow_members();
    }

    fn transmit(&self, peer: NodeId, message: &Message) {
        let mut writer = Writer::new();
        message.encode(&mut writer);
        let is_sent = self
            .carrier
            .send(peer, message.verb(), writer.into_vec().into());
        if let (false, Message::Request(number, _)) = (is_sent, message) {
            self.node.on_unsent(peer, *number);
        }
    }

    /// Tells the transport when the layout has changed.
    fn follow_members(&self) {
        let digest = self.node.layout_version();
        if self.members.swap(digest, Ordering::Relaxed) != digest {
            self.carrier.members_changed(self);
        }
    }

    /// Hands a command to the core; the reply may come from here at once, or later from elsewhere.
    ///
    /// # Errors
    /// The receiver to wait on, if it is not over at once.
    pub fn submit(&self, request: Request) -> Result<Reply, oneshot::Receiver<Reply>> {
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().insert(token, sender);
        match self.node.submit(token, request, self.clock.now()) {
            Submitted::Done(reply) => {
                self.waiting.lock().remove(&token);
                Ok(reply)
            }
            Submitted::Pending => Err(receiver),
        }
    }

    /// As [`Runtime::submit`], and waits for the reply.
    pub async fn run(&self, request: Request) -> Reply {
        let submitted = self.submit(request);
        if let Err(error) = self.commit() {
            return Reply::Refused(error.to_string());
        }
        match submitted {
            Ok(reply) => reply,
            Err(receiver) => receiver.await.unwrap_or(Reply::Unknown),
        }
    }

    /// A link to `peer` is up.
    pub fn link_up(&self, peer: NodeId) {
        self.node.on_link_up(peer, self.clock.now());
        self.commit_or_log();
    }

    /// The link to `peer` is gone; it has not got these requests.
    pub fn link_down(&self, peer: NodeId, unsent: impl Iterator<Item = u64>) {
        for number in unsent {
            self.node.on_unsent(peer, number);
        }
        self.node.on_link_down(peer);
        self.commit_or_log();
    }

    /// A message came in.
    pub fn message(&self, peer: NodeId, payload: Bytes) {
        let decoded = Message::decode(&payload);
        // Half a gigabyte need not be there twice.
        drop(payload);
        match decoded {
            Ok(message) => {
                let is_urgent = matches!(message, Message::Swim(_));
                if let Err(error) = self.node.on_message(peer, message, self.clock.now()) {
                    tracing::error!(%error, "a message could not be acted upon");
                }
                if is_urgent {
                    self.send_urgent();
                } else {
                    self.commit_or_log();
                }
            }
            Err(error) => tracing::warn!(%peer, %error, "a message could not be read"),
        }
    }

    /// Lets the core do what is due; says when to call again, by the monotonic clock.
    fn poll(&self) -> u64 {
        for (peer, crowded) in self.carrier.crowded() {
            self.node.set_crowded(peer, crowded);
        }
        let now = self.clock.now();
        let next = self.node.poll(now).unwrap_or_else(|error| {
            tracing::error!(%error, "the disk failed in a round");
            now.monotonic_ms + 100
        });
        self.send_urgent();
        self.commit_or_log();
        next
    }

    /// Commits; what fails is told to the commands that wait and to the log.
    pub fn commit_or_log(&self) {
        if let Err(error) = self.commit() {
            tracing::error!(%error, "the disk refuses writes");
        }
    }

    /// Wakes the syncer.
    pub fn want_sync(&self) {
        let mut wanted = self.sync.wanted.lock();
        if !*wanted {
            *wanted = true;
            self.sync.wake.notify_one();
        }
    }

    /// Whether a reply waits for a sync of its change.
    #[must_use]
    pub fn syncs_always(&self) -> bool {
        self.settings.load().durability == Durability::Always
    }

    /// Waits until everything that was committed before the call survives a power cut.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] if the disk refused the sync.
    pub async fn synced(&self) -> Result<(), StoreError> {
        let mut done = self.sync.done.subscribe();
        let mine = self.sync.asked.fetch_add(1, Ordering::AcqRel) + 1;
        self.want_sync();
        // The sender lives as long as the runtime.
        let _ = done.wait_for(|done| *done >= mine).await;
        if self.sync.failed.load(Ordering::Acquire) {
            return Err(StoreError::Stopped("the disk refused a sync".to_owned()));
        }
        Ok(())
    }

    /// Makes what was committed durable, and tells the core; called by the syncer.
    fn sync_once(&self) {
        *self.sync.wanted.lock() = false;
        let asked = self.sync.asked.load(Ordering::Acquire);
        let outcome = self.node.begin_sync().and_then(|(points, effects)| {
            self.carry_out(effects);
            match self.store.sync() {
                Ok(()) => {
                    self.node.finish_sync(&points, self.clock.now());
                    self.commit()
                }
                Err(error) => {
                    self.node.abandon_sync(&points);
                    Err(error)
                }
            }
        });
        self.sync.failed.store(outcome.is_err(), Ordering::Release);
        if let Err(error) = outcome {
            tracing::error!(%error, "the disk could not be synced");
        }
        self.sync.done.send_replace(asked);
    }

    /// Waits until somebody wants a sync, or for `at_most`.
    fn await_sync_wanted(&self, at_most: Duration) {
        let mut wanted = self.sync.wanted.lock();
        if !*wanted {
            self.sync.wake.wait_for(&mut wanted, at_most);
        }
    }
}
