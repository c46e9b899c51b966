//! How nodes start and end, and what their ends may take with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use larder_cluster::id::{NodeId, PartitionId};
use larder_cluster::memory_store::{MemoryStore, Survivors};
use larder_cluster::node::{Node, NodeState};
use larder_cluster::row_key::RowKey;
use larder_cluster::store::Store;
use larder_crdt::{Clock, Row};

use crate::disk::{self, Held};
use crate::event::Event;
use crate::member::{Fate, Member};
use crate::network::{End, Place};
use crate::world::World;

/// Everything of a node's copies that a kill must leave: clocks and rows, of main and fallback.
pub(crate) type Image = BTreeMap<(PartitionId, bool), (Clock, BTreeMap<RowKey, Row>)>;

impl World {
    /// A new machine.
    pub fn add_member(&mut self, id: NodeId) -> Place {
        let place = self.members.len();
        self.members.push(Member::new(id));
        self.places.insert(id, place);
        place
    }

    /// Starts the node of a machine; `fresh` is what it is if its disk is empty.
    ///
    /// # Panics
    /// If `fresh` is missing where the disk is empty.
    pub fn start(&mut self, place: Place, fresh: Option<NodeState>) {
        let run = self.dice.id();
        let base = self.dice.between(1, 1_000_000);
        let member = &mut self.members[place];
        member.life += 1;
        member.clock.monotonic_base_ms = base;
        member.paused = false;
        member.syncing = false;
        member.sync_again = false;
        member.checkpointing = false;
        member.disk_failed = false;
        member.stash.clear();
        let life = member.life;
        let now = self.clock_of(place);
        let store: Arc<dyn Store> = Arc::new(self.members[place].store.clone());
        let settings = self.plan.settings.clone();
        let opened = Node::open(store, self.executor.clone(), settings, fresh, run, now);
        let node = match opened {
            Ok(node) => node,
            Err(error) => {
                self.report("opening", format!("node {place} did not open: {error}"));
                return;
            }
        };
        self.trace
            .line(self.now_ms, || format!("{place} starts as {:?}", node.id()));
        self.trace.mix(run as u64);
        let member = &mut self.members[place];
        member.node = Some(Arc::new(node));
        member.fate = Fate::Running;
        self.settle(place);
        self.later(0, Event::Poll { node: place, life });
        self.schedule_sync(place);
        self.seek_links(place);
    }

    /// Ends the process of a node, with its links; the disk is left as it is.
    pub fn end_process(&mut self, place: Place, fate: Fate) {
        let member = &mut self.members[place];
        let id = member.id;
        member.node = None;
        member.fate = fate;
        member.paused = false;
        member.stash.clear();
        self.history.lock().abandon(id);
        self.forget_pending(place);
        for peer in 0..self.members.len() {
            if peer != place {
                let session = self.network.end(place, peer).session;
                self.network
                    .set_end(place, peer, End { session, up: false });
                self.break_link(place, peer);
            }
        }
    }

    fn schedule_start(&mut self, place: Place) {
        let delay = if self.quiet {
            1
        } else {
            self.dice.between(1, 400)
        };
        let life = self.members[place].life;
        self.later(delay, Event::Start { node: place, life });
    }

    /// kill -9: what was appended stays.
    pub fn kill(&mut self, place: Place) {
        let before = self.image(place);
        let failed = self.members[place].disk_failed;
        let parts = self.members[place].store.parts_unfinished();
        let parts = self.dice.below(parts + 1);
        let held = self.held(place);
        self.members[place].store = self.members[place].store.crash_kill(parts);
        self.trace
            .line(self.now_ms, || format!("{place} is killed"));
        self.end_process(place, Fate::Crashed);
        if failed {
            let after = disk::held(&self.members[place].store, &mut self.history.lock());
            self.lose(place, &held, &after, false);
            self.schedule_start(place);
        } else {
            let after = self.reopened_image(place);
            self.compare_images(place, &before, &after);
            self.schedule_start(place);
        }
    }

    /// The power fails: of what was not synced, only the first part may be left.
    pub fn cut_power(&mut self, place: Place) {
        let held = self.held(place);
        let store = &self.members[place].store;
        let (records, parts) = (store.records_unsynced(), store.parts_unfinished());
        let records = if self.dice.chance(0.5) {
            0
        } else {
            self.dice.below(records + 1)
        };
        let parts = self.dice.below(parts + 1);
        let store = self.members[place]
            .store
            .crash_power(Survivors { records, parts });
        self.members[place].store = store;
        self.trace.line(self.now_ms, || {
            format!("{place} loses power, {records} records left")
        });
        self.end_process(place, Fate::Crashed);
        let after = disk::held(&self.members[place].store, &mut self.history.lock());
        self.lose(place, &held, &after, false);
        self.schedule_start(place);
    }

    /// The disk of a node goes back to an old copy of it.
    pub fn restore(&mut self, place: Place, backup: &MemoryStore) {
        let held = self.held(place);
        self.note_loss(place);
        self.members[place].store = backup.crash_kill(usize::MAX);
        self.trace
            .line(self.now_ms, || format!("{place} is restored from a backup"));
        self.end_process(place, Fate::Crashed);
        let after = disk::held(&self.members[place].store, &mut self.history.lock());
        self.restores += 1;
        self.lose(place, &held, &after, true);
        self.schedule_start(place);
    }

    /// A disk is lost for good.
    pub fn lose_disk(&mut self, place: Place) {
        let held = self.held(place);
        self.note_loss(place);
        self.trace
            .line(self.now_ms, || format!("{place} loses its disk"));
        self.end_process(place, Fate::Lost);
        self.lose(place, &held, &Held::new(), true);
        let delay = self.dice.between(1, 600);
        self.later(delay, Event::GiveUp { node: place });
    }

    /// The dots that a machine's copies hold on its disk.
    #[must_use]
    pub fn held(&self, place: Place) -> Held {
        self.held_by(place, |_, _| true)
    }

    /// As [`World::held`], of the main copies of those who will stay owners, and of those other
    /// copies that `also` takes.
    fn held_by(&self, place: Place, also: impl Fn(&Node, PartitionId) -> bool) -> Held {
        let member = &self.members[place];
        match (&member.node, member.fate) {
            (Some(node), Fate::Running) if !member.disk_failed => {
                let mut held = Held::new();
                let mut history = self.history.lock();
                for partition in node.view().layout.partitions().iter() {
                    let owns = node.view().ownership.is_next_owner(node.id(), partition);
                    let also = also(node, partition);
                    node.with_partition(partition, |p| {
                        let main = p.main.as_ref().filter(|_| owns || also);
                        let fallback = p.fallback.as_ref().filter(|_| also);
                        for copy in [main, fallback].into_iter().flatten() {
                            let clock = history.clock(&copy.actors, &copy.clock);
                            held.entry(partition).or_default().join(&clock);
                        }
                    });
                }
                held
            }
            (_, Fate::Running | Fate::Crashed) => {
                disk::held(&member.store, &mut self.history.lock())
            }
            (_, Fate::Lost | Fate::Gone) => Held::new(),
        }
    }

    /// A disk went from one state to another: what nobody else holds is gone with good reason.
    /// `acknowledged` says that others may have been told that it was held durably.
    fn lose(&mut self, place: Place, before: &Held, after: &Held, acknowledged: bool) {
        let mut lost = Held::new();
        for (partition, clock) in before {
            let left = after.get(partition).cloned().unwrap_or_default();
            let gone = clock.minus(&left);
            if !gone.is_empty() {
                lost.insert(*partition, gone);
            }
        }
        for other in 0..self.members.len() {
            if lost.is_empty() {
                return;
            }
            if other == place {
                continue;
            }
            // Who has not yet learnt that a disk is lost may act upon its word for a while, and let
            // go a copy that was handed over to it.
            let believes = acknowledged && self.network.end(other, place).up;
            for (partition, clock) in self.held_by(other, |_, _| !believes) {
                if let Some(gone) = lost.get_mut(&partition) {
                    *gone = gone.minus(&clock);
                }
            }
            lost.retain(|_, gone| !gone.is_empty());
        }
        for (partition, gone) in lost {
            self.trace.line(self.now_ms, || {
                format!("p{partition} has lost {gone:?} for good")
            });
            self.excused.entry(partition).or_default().join(&gone);
        }
    }

    /// Clocks and rows of a running node.
    fn image(&self, place: Place) -> Image {
        let Some(node) = self.node(place) else {
            return Image::new();
        };
        image_of(&node, self)
    }

    /// What a node finds when it opens the disk of a machine; the disk is not changed.
    fn reopened_image(&mut self, place: Place) -> Image {
        let store: Arc<dyn Store> = Arc::new(self.members[place].store.crash_kill(usize::MAX));
        let now = self.clock_of(place);
        let settings = self.plan.settings.clone();
        match Node::open(store, self.executor.clone(), settings, None, 1 << 64, now) {
            Ok(node) => image_of(&node, self),
            Err(error) => {
                self.report("opening", format!("node {place} would not open: {error}"));
                Image::new()
            }
        }
    }

    fn compare_images(&mut self, place: Place, before: &Image, after: &Image) {
        if self.violation.is_some() || before == after {
            return;
        }
        let differs = before.iter().find(|(at, copy)| after.get(at) != Some(copy));
        let what = match differs {
            Some(((partition, main), copy)) => {
                let kind = if *main { "main" } else { "fallback" };
                let found = after.get(&(*partition, *main));
                format!(
                    "after kill -9 the {kind} copy of p{partition} on {place} is not as it was: \
                     {copy:?} became {found:?}"
                )
            }
            None => format!("after kill -9 node {place} has copies that it had not"),
        };
        if let Some(((partition, _), _)) = differs {
            let store = &self.members[place].store;
            self.trace
                .line(self.now_ms, || disk::describe(store, *partition));
        }
        self.report("recovery", what);
    }
}

fn image_of(node: &Node, world: &World) -> Image {
    let mut image = Image::new();
    let mut history = world.history.lock();
    for partition in node.view().layout.partitions().iter() {
        node.with_partition(partition, |p| {
            for (main, copy) in [(true, &p.main), (false, &p.fallback)] {
                if let Some(copy) = copy {
                    let translation = history.translation(&copy.actors);
                    let clock = copy.clock.translate(&translation).expect("its own actors");
                    let rows = disk::rows_of(copy, &**node.store())
                        .into_iter()
                        .map(|(key, row)| (key, row.translate(&translation).expect("its own")))
                        .collect();
                    image.insert((partition, main), (clock, rows));
                }
            }
        });
    }
    image
}
