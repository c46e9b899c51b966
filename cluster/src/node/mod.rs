//! A node: its partitions, its links to peers, and the commands on their way.
//!
//! A node does no I/O and knows no time. Calls tell it what happened; each leaves effects, which
//! the caller carries out in their order by [`Node::commit`]: the redo is appended to the disk,
//! then messages are sent, then clients are answered. Persist before send before reply.
//!
//! Partitions are locked one by one, in ascending order, so that commands of several threads meet
//! only where they touch the same one. No lock of the node itself is held while a partition's is
//! taken.

mod effects;
mod handoff;
mod membership;
mod moving;
mod open;
mod pulls;
mod requests;
mod rounds;
mod state;
mod swim;
mod warm;
mod watches;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};

pub use effects::{Answer, Effects};
pub use open::OpenError;
pub use requests::{LocalCall, Route, Submitted};
pub use state::NodeState;

use crate::env::{Draws, Env, Now, Settings, View};
use crate::id::{NodeId, PartitionId};
use crate::journal::Journal;
use crate::message::Message;
use crate::partition::{Counts, Event, Output, Partition};
use crate::store::{RedoPosition, Store, StoreError};
use crate::transaction::Execute;

use effects::Commit;
use requests::Requests;

/// A node of the ring.
pub struct Node {
    id: NodeId,
    run: u128,
    settings: RwLock<Arc<Settings>>,
    store: Arc<dyn Store>,
    execute: Arc<dyn Execute>,
    partitions: Box<[Mutex<Partition>]>,
    view: RwLock<Arc<View>>,
    links: Mutex<Links>,
    requests: Mutex<Requests>,
    commit: Mutex<Commit>,
    /// Whether the last append was refused: `commit` says why.
    refused: AtomicBool,
    /// Held while a commit is appended, so that redo keeps the order of the changes.
    appending: Mutex<()>,
    dirty: Mutex<BTreeSet<PartitionId>>,
    rounds: Mutex<rounds::Rounds>,
    swim: Mutex<swim::Swim>,
    watches: Mutex<watches::Watches>,
    handoff: Mutex<handoff::Handoff>,
    /// Whether a transfer to this node has ended, so that the next may begin.
    has_bootstrapped: Mutex<bool>,
    redo_end: AtomicU64,
    layout_version: AtomicU64,
    farewell: Mutex<membership::Farewell>,
    turn: Mutex<membership::Turn>,
    /// Held while the layout changes, so that no change is made to a layout that is gone.
    changing: Mutex<()>,
    /// Whether it looks for another cluster to take its data to.
    moving: AtomicBool,
    /// The partition whose rows are evicted next.
    evict_hand: AtomicUsize,
    journal: Journal,
    draws: Draws,
}

/// Peers with a link, and those of them that cannot take more now.
#[derive(Debug, Default)]
struct Links {
    linked: BTreeSet<NodeId>,
    runs: BTreeMap<NodeId, u128>,
    suspected: BTreeMap<NodeId, u64>,
    crowded: BTreeSet<NodeId>,
}

/// Up to this size redo is copied, so that the scratch it was made in keeps its memory.
const REDO_BYTES_COPIED: usize = 1 << 20;

impl Node {
    /// This node's name.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The random name of this run.
    #[must_use]
    pub fn run(&self) -> u128 {
        self.run
    }

    /// The members and who of them is in reach.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.view.read().clone()
    }

    /// The settings of the core.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.read().clone()
    }

    /// Replaces the settings of the core.
    pub fn set_settings(&self, settings: Settings) {
        self.journal.resize(settings.conflicts_max);
        *self.settings.write() = Arc::new(settings);
    }

    /// The disk.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The values that lost a conflict here.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Numbers at random.
    #[must_use]
    pub fn draws(&self) -> &Draws {
        &self.draws
    }

    /// How many partitions the ring has.
    #[must_use]
    pub fn partitions_count(&self) -> usize {
        self.partitions.len()
    }

    /// Looks at one partition, for tests and operators.
    pub fn with_partition<T>(
        &self,
        partition: PartitionId,
        look: impl FnOnce(&mut Partition) -> T,
    ) -> Option<T> {
        Some(look(&mut self.partitions.get(partition.index())?.lock()))
    }

    /// The figures of all partitions together.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for partition in &self.partitions {
            sum.add(&partition.lock().counts());
        }
        sum
    }

    /// The surroundings of a call, for callers of [`Node::run_local`].
    #[must_use]
    pub fn env<'a>(&'a self, settings: &'a Settings, now: Now) -> Env<'a> {
        Env {
            store: &*self.store,
            settings,
            view: self.view(),
            node: self.id,
            run: self.run,
            now,
            journal: &self.journal,
            draws: &self.draws,
        }
    }

    /// Calls `act` on a locked partition and keeps what it leaves to be done.
    fn act<T>(
        &self,
        env: &Env<'_>,
        partition: PartitionId,
        act: impl FnOnce(&mut Partition, &Env<'_>, &mut Output) -> T,
    ) -> Option<T> {
        let mut locked = self.partitions.get(partition.index())?.lock();
        let mut out = Output::default();
        let outcome = act(&mut locked, env, &mut out);
        if locked.outgoing {
            self.dirty.lock().insert(partition);
        }
        // Under the partition's lock, so that its redo stands in the order of its changes.
        let events = self.keep_from(&mut out);
        drop(locked);
        self.react(env, events);
        Some(outcome)
    }

    /// Moves what `out` holds to the next commit, but for the events.
    fn keep_from(&self, out: &mut Output) -> Vec<Event> {
        if !out.redo.is_empty() || !out.sends.is_empty() {
            let mut commit = self.commit.lock();
            if commit.redo.is_empty() && out.redo.len() > REDO_BYTES_COPIED {
                commit.redo = std::mem::take(&mut out.redo).into_vec();
            } else {
                commit.redo.extend_from_slice(out.redo.as_slice());
            }
            commit.sends.append(&mut out.sends);
        }
        out.redo.clear();
        std::mem::take(&mut out.events)
    }

    fn send(&self, peer: NodeId, message: Message) {
        self.commit.lock().sends.push((peer, message));
    }

    fn react(&self, env: &Env<'_>, events: Vec<Event>) {
        for event in events {
            match event {
                Event::SyncWanted => self.commit.lock().sync_wanted = true,
                Event::Durable(partition) => self.on_durable(env, partition),
                Event::Changed(partition, key) => self.tell_watchers(partition, key),
                Event::BadPeer(peer) => self.commit.lock().answers.push(Answer::BadPeer(peer)),
                // Another copy answers now: what it has may differ in any row.
                Event::ReadyChanged(partition) => {
                    let watched = self.with_partition(partition, |p| p.watched.clone());
                    for row in watched.into_iter().flatten() {
                        self.tell_watchers(partition, row);
                    }
                    self.review_watches();
                }
                Event::PeerReadyChanged => self.review_watches(),
                Event::TransferOver => *self.has_bootstrapped.lock() = true,
            }
        }
    }

    /// The end of the redo that was appended so far.
    #[must_use]
    pub fn redo_end(&self) -> RedoPosition {
        RedoPosition(self.redo_end.load(Ordering::Acquire))
    }

    /// A link to `peer` is up: what it had told before is void, and it is told of every copy here.
    pub fn on_link_up(&self, peer: NodeId, now: Now) {
        {
            let mut links = self.links.lock();
            links.linked.insert(peer);
            links.runs.remove(&peer);
            links.suspected.remove(&peer);
            links.crowded.remove(&peer);
        }
        self.swim.lock().is_back(peer);
        self.forget_watches_of(peer);
        self.forget_peer(peer);
        self.refresh_view();
        let settings = self.settings();
        let env = self.env(&settings, now);
        self.introduce(peer, &env.view.layout);
        for partition in env.view.layout.partitions().iter() {
            self.act(&env, partition, |partition, env, out| {
                if partition.has_main() || env.is_owner(partition.id) {
                    partition.acknowledge(env, out, peer);
                }
            });
        }
    }

    /// The link to `peer` is gone.
    pub fn on_link_down(&self, peer: NodeId) {
        {
            let mut links = self.links.lock();
            links.linked.remove(&peer);
            links.runs.remove(&peer);
        }
        self.lose_requests(peer);
        self.forget_watches_of(peer);
        self.forget_peer(peer);
        self.refresh_view();
    }

    fn forget_peer(&self, peer: NodeId) {
        for partition in &self.partitions {
            partition.lock().forget_peer(peer);
        }
    }

    /// Whether messages to `peer` pile up: then no changes are sent to it until they do not.
    pub fn set_crowded(&self, peer: NodeId, crowded: bool) {
        let mut links = self.links.lock();
        if crowded {
            links.crowded.insert(peer);
        } else {
            links.crowded.remove(&peer);
        }
    }

    /// A message came from `peer`.
    ///
    /// # Errors
    /// What the disk says; the message has not been acted upon then, or in part, and will be sent
    /// again by its sender.
    pub fn on_message(&self, peer: NodeId, message: Message, now: Now) -> Result<(), StoreError> {
        let settings = self.settings();
        let mut env = self.env(&settings, now);
        if !env.view.up.contains(&peer) {
            self.heard(peer);
            env.view = self.view();
        }
        match message {
            Message::Layout(run, layout) => {
                self.on_run(peer, run, now);
                self.on_layout(peer, &layout);
                Ok(())
            }
            Message::Digest(run, digest) => {
                self.on_digest(&env, peer, run, digest);
                Ok(())
            }
            Message::Retire(partition, dots) => {
                self.act(&env, partition, |p, env, out| {
                    p.on_retire(env, out, peer, &dots)
                });
                Ok(())
            }
            Message::Acknowledge(partition, told) => {
                self.act(&env, partition, |p, env, out| {
                    p.on_acknowledgement(env, out, peer, &told);
                });
                Ok(())
            }
            Message::Ask(partition, asked) => {
                self.act(&env, partition, |p, env, out| {
                    p.on_ask(env, out, peer, asked)
                });
                Ok(())
            }
            Message::Delta(partition, delta) => self
                .act(&env, partition, |p, env, out| {
                    p.on_delta(env, out, peer, delta)
                })
                .unwrap_or(Ok(())),
            Message::Offer(partition) => {
                self.on_offer(&env, peer, partition);
                Ok(())
            }
            Message::Fetch(partition, transfer, turn) => {
                self.on_fetch(&env, peer, partition, (transfer, turn))
            }
            Message::Range(partition, range) => self
                .act(&env, partition, |p, env, out| {
                    p.on_range(env, out, peer, range)
                })
                .unwrap_or(Ok(())),
            Message::Request(number, request) => {
                self.on_request(&env, peer, number, *request);
                Ok(())
            }
            Message::Reply(number, reply) => {
                self.on_reply(&env, peer, number, reply);
                Ok(())
            }
            Message::Pull(number, partition, known, key) => {
                self.on_pull(&env, peer, number, partition, &known, &key)
            }
            Message::Pulled(number, partition, delta) => {
                self.on_pull_answer(&env, peer, number, partition, delta)
            }
            Message::Watch(partition, key) => {
                self.on_watch(&env, peer, partition, key);
                Ok(())
            }
            Message::Unwatch(partition, key) => {
                self.on_unwatch(peer, partition, key);
                Ok(())
            }
            Message::Changed(partition, key) => {
                self.on_changed(partition, key);
                Ok(())
            }
            Message::Swim(payload) => {
                self.on_swim(&payload, now);
                Ok(())
            }
        }
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.deltas_joined += other.deltas_joined;
        self.deltas_refused += other.deltas_refused;
        self.deltas_sent += other.deltas_sent;
        self.elements_sent += other.elements_sent;
        self.transfers_begun += other.transfers_begun;
        self.transfers_done += other.transfers_done;
        self.fallbacks_dropped += other.fallbacks_dropped;
        self.mains_dropped += other.mains_dropped;
        self.expired += other.expired;
    }
}
