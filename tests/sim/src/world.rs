//! A whole cluster in one thread: machines, links, virtual time, and what happens next.

use std::collections::BTreeMap;
use std::sync::Arc;

use larder_cluster::env::Now;
use larder_cluster::id::{NodeId, PartitionId};
use larder_cluster::layout::Layout;
use larder_cluster::node::Node;
use larder_cluster::token::Partitions;
use larder_crdt::Clock;

use crate::dice::Dice;
use crate::event::{Event, Life, Queue};
use crate::execute::Executor;
use crate::faults::Faults;
use crate::history::SharedHistory;
use crate::losses::Loss;
use crate::member::{Fate, Member};
use crate::network::{Network, Place};
use crate::plan::Plan;
use crate::trace::Trace;
use crate::workload::Workload;

/// What a checker found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The checker.
    pub checker: &'static str,
    /// What is wrong, in one sentence.
    pub what: String,
}

/// What a run did, beside being right or wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Commands that were submitted.
    pub commands: u64,
    /// Commands that were answered as done.
    pub done: u64,
    /// Messages that were delivered.
    pub messages: u64,
    /// Faults that happened.
    pub faults: u64,
    /// Commands that were answered with an unknown outcome.
    pub unknown: u64,
    /// Changes of elements.
    pub changes: u64,
    /// Whole transfers that nodes running in the end had finished.
    pub transfers: u64,
    /// Copies of fallbacks and old owners that they had handed over.
    pub handovers: u64,
    /// Deltas that they had refused.
    pub refusals: u64,
    /// Nodes that joined.
    pub joins: u64,
    /// Virtual milliseconds until the cluster was quiet after the faults.
    pub quiet_ms: u64,
}

/// A cluster and everything around it.
pub struct World {
    /// Chance.
    pub dice: Dice,
    /// The shape of the run.
    pub plan: Plan,
    /// What goes wrong now.
    pub faults: Faults,
    /// Virtual time.
    pub now_ms: u64,
    /// What is going to happen.
    pub queue: Queue,
    /// Links.
    pub network: Network,
    /// All machines that the run ever had.
    pub members: Vec<Member>,
    /// Machines by the names of their nodes.
    pub places: BTreeMap<NodeId, Place>,
    /// The cluster's id.
    pub cluster: u128,
    /// What was executed.
    pub history: Arc<SharedHistory>,
    /// The layer of commands.
    pub executor: Arc<Executor>,
    /// The clients.
    pub workload: Workload,
    /// Dots that a crash or a lost disk took with the right to do so.
    pub excused: BTreeMap<PartitionId, Clock>,
    /// Disks that were lost, or went back to an old state.
    pub losses: Vec<Loss>,
    /// How many disks went back to an old state.
    pub restores: usize,
    /// After each step, how many nodes were members at most and at least for good.
    pub sizes: Vec<usize>,
    /// The latest wall clock that any node ever read.
    pub latest_unix_ms: u64,
    /// What happened.
    pub trace: Trace,
    /// The first violation.
    pub violation: Option<Violation>,
    /// Figures.
    pub tally: Tally,
    /// Whether the faults are over.
    pub quiet: bool,
}

impl Tally {
    /// Adds another run's figures.
    pub fn add(&mut self, other: &Self) {
        self.commands += other.commands;
        self.done += other.done;
        self.unknown += other.unknown;
        self.changes += other.changes;
        self.messages += other.messages;
        self.faults += other.faults;
        self.transfers += other.transfers;
        self.handovers += other.handovers;
        self.refusals += other.refusals;
        self.joins += other.joins;
        self.quiet_ms = self.quiet_ms.max(other.quiet_ms);
    }
}

impl World {
    /// The cluster of a plan, its nodes not started yet.
    #[must_use]
    pub fn new(mut dice: Dice, plan: Plan, trace: Trace) -> Self {
        let history = Arc::new(SharedHistory::default());
        let cluster = dice.id();
        let workload = Workload::new(&plan, &mut dice);
        Self {
            faults: plan.faults.clone(),
            plan,
            now_ms: 1,
            queue: Queue::default(),
            network: Network::default(),
            members: Vec::new(),
            places: BTreeMap::new(),
            cluster,
            executor: Arc::new(Executor::new(history.clone())),
            history,
            workload,
            excused: BTreeMap::new(),
            losses: Vec::new(),
            restores: 0,
            sizes: Vec::new(),
            latest_unix_ms: 0,
            trace,
            violation: None,
            tally: Tally::default(),
            quiet: false,
            dice,
        }
    }

    /// The layout of a cluster without nodes.
    ///
    /// # Panics
    /// If the plan's number of partitions is no power of two.
    #[must_use]
    pub fn empty_layout(&self) -> Layout {
        let partitions = Partitions::new(self.plan.partitions).expect("a power of two");
        Layout::new(self.cluster, partitions, self.plan.replicas)
    }

    /// What the clocks of a machine show.
    pub fn clock_of(&mut self, place: Place) -> Now {
        let now = self.members[place].now(self.now_ms);
        self.latest_unix_ms = self.latest_unix_ms.max(now.unix_ms);
        now
    }

    /// The node of a machine, if it runs.
    #[must_use]
    pub fn node(&self, place: Place) -> Option<Arc<Node>> {
        self.members[place].node.clone()
    }

    /// Notes a violation; the first one ends the run.
    pub fn report(&mut self, checker: &'static str, what: impl Into<String>) {
        if self.violation.is_none() {
            let what = what.into();
            self.trace
                .line(self.now_ms, || format!("VIOLATION {checker}: {what}"));
            self.violation = Some(Violation { checker, what });
        }
    }

    /// Lets virtual time pass, with everything that happens meanwhile.
    pub fn advance(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        while self.violation.is_none()
            && let Some((at, event)) = self.queue.pop(until)
        {
            self.now_ms = self.now_ms.max(at);
            self.happen(event);
        }
        self.now_ms = until;
    }

    fn alive(&self, place: Place, life: Life) -> bool {
        self.members[place].fate == Fate::Running && self.members[place].life == life
    }

    /// The machine that an event concerns, and must be awake for it.
    fn stage_of(&self, event: &Event) -> Option<Place> {
        match event {
            Event::Deliver { to, .. } => Some(*to),
            Event::Poll { node, life }
            | Event::SyncDue { node, life }
            | Event::SyncDone { node, life, .. }
            | Event::Relax { node, life, .. }
            | Event::CheckpointDone { node, life, .. } => self.alive(*node, *life).then_some(*node),
            Event::End { node, .. } => Some(*node),
            Event::Connect { .. }
            | Event::Detect { .. }
            | Event::Heal { .. }
            | Event::Resume { .. }
            | Event::Start { .. }
            | Event::GiveUp { .. }
            | Event::Roll { .. }
            | Event::Replace { .. } => None,
        }
    }

    fn happen(&mut self, event: Event) {
        if let Some(place) = self.stage_of(&event)
            && self.members[place].paused
        {
            self.members[place].stash.push(event);
            return;
        }
        self.trace.mix(self.now_ms);
        match event {
            Event::Deliver {
                from,
                to,
                session,
                bytes,
            } => self.deliver(from, to, session, bytes),
            Event::Poll { node, life } if self.alive(node, life) => self.poll(node),
            Event::SyncDue { node, life } if self.alive(node, life) => self.sync_due(node),
            Event::SyncDone { node, life, points } if self.alive(node, life) => {
                self.sync_done(node, &points);
            }
            Event::CheckpointDone { node, life, end } if self.alive(node, life) => {
                self.checkpoint_done(node, end);
            }
            Event::Relax { node, life, peer } if self.alive(node, life) => {
                self.crowd(node, peer, false);
            }
            Event::Connect { a, b } => self.connect(a, b),
            Event::End {
                node,
                peer,
                session,
                up,
            } => self.on_end(node, peer, session, up),
            Event::Detect { from, to } => self.detect(from, to),
            Event::Heal { from, to } => self.network.heal(from, to),
            Event::Resume { node, life } => self.resume(node, life),
            Event::Start { node, life } => {
                if self.members[node].fate == Fate::Crashed && self.members[node].life == life {
                    self.start(node, None);
                }
            }
            Event::GiveUp { node } => self.give_up(node),
            Event::Roll { left } => self.roll(left),
            Event::Replace { new, old } => self.replace(new, old),
            Event::Poll { .. }
            | Event::SyncDue { .. }
            | Event::SyncDone { .. }
            | Event::Relax { .. }
            | Event::CheckpointDone { .. } => {}
        }
    }

    /// Adds something that happens after `delay_ms`.
    pub fn later(&mut self, delay_ms: u64, event: Event) {
        self.queue.push(self.now_ms + delay_ms, event);
    }

    /// Machines whose nodes run and are not stopped.
    #[must_use]
    pub fn awake(&self) -> Vec<Place> {
        let awake = |place: &Place| self.members[*place].is_awake();
        (0..self.members.len()).filter(awake).collect()
    }

    /// Machines whose nodes run, stopped ones included.
    #[must_use]
    pub fn running(&self) -> Vec<Place> {
        let running = |place: &Place| self.members[*place].fate == Fate::Running;
        (0..self.members.len()).filter(running).collect()
    }
}
