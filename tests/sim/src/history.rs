//! What was executed where: the truth that the checkers hold replicas against.
//!
//! The executor notes every change of an element at the moment it happens inside a node: the dots
//! it took, what it put there and what it removed. Dots are kept in the numbers of one table of all
//! actors of the run, so that they can be compared between copies.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use larder_cluster::id::{NodeId, PartitionId};
use larder_cluster::request::{Access, Request};
use larder_cluster::row_key::RowKey;
use larder_crdt::actor::Translation;
use larder_crdt::types::document_causal::{DocDot, Document};
use larder_crdt::{ActorTable, Clock, Dot};

use crate::action::Action;
use crate::bits::Bits;
use crate::transactions::SeenVersions;

/// A value that a change put under a dot.
#[derive(Debug, Clone)]
pub enum Content {
    /// A register.
    Register,
    /// A counter that has joined these increments, of which these were reset.
    Counter {
        /// All increments in it.
        known: Bits,
        /// Those that a reset has seen.
        reset: Bits,
    },
    /// A document as it was after the change.
    Document(Box<Document>),
}

impl Content {
    /// Whether it may go without anybody removing it: resets that are settled.
    #[must_use]
    pub fn may_be_forgotten(&self) -> bool {
        match self {
            Self::Register => false,
            Self::Counter { known, reset } => known == reset,
            Self::Document(document) => document.is_removed(),
        }
    }
}

/// A dot that stayed in the row after a change.
#[derive(Debug, Clone)]
pub struct Inserted {
    /// The dot.
    pub dot: Dot,
    /// When it expires.
    pub deadline_ms: Option<u64>,
    /// What it holds.
    pub content: Content,
}

/// One change of one element.
#[derive(Debug, Clone)]
pub struct Change {
    /// The command.
    pub command: u64,
    /// The how-many-th execution of any command.
    pub execution: usize,
    /// Where it ran.
    pub node: NodeId,
    /// The element's partition.
    pub partition: PartitionId,
    /// The element.
    pub element: usize,
    /// The dots it took.
    pub dots: Vec<Dot>,
    /// What it put there.
    pub inserted: Vec<Inserted>,
    /// The dots it observed and removed.
    pub removed: Vec<Dot>,
    /// Whether the node has appended it to its disk.
    pub committed: bool,
}

/// When a command was submitted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moment {
    /// How many disks had been lost, and everybody knew it.
    pub disks_lost: usize,
    /// After how many steps.
    pub step: usize,
}

/// What is known of a command.
#[derive(Debug, Clone)]
pub struct Command {
    /// What it does.
    pub action: Action,
    /// Whether it only looks.
    pub is_read: bool,
    /// Whether running it twice is the same as once.
    pub is_repeatable: bool,
    /// How many disks were known to be lost when it was submitted.
    pub disks_lost: usize,
    /// Its changes, as positions in the history.
    pub changes: Vec<usize>,
    /// Where it ran and changed nothing.
    pub idle: Vec<NodeId>,
    /// How often it ran.
    pub executions: usize,
    /// How often it said that something must be fetched first, and did not run.
    pub fetches: usize,
    /// For the step that WAIT is made of: what the copy had seen on which it ran.
    pub settled: Option<(PartitionId, Clock)>,
    /// What the cluster said of the disks that it is on.
    pub promises: Vec<Promise>,
    /// After how many steps it was submitted.
    pub step: usize,
}

/// That a change is on some disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// On how many.
    pub copies: usize,
    /// How many disks were known to be lost when this was asked for.
    pub disks_lost: usize,
    /// After how many steps it was asked for.
    pub step: usize,
}

/// An increment of a counter.
#[derive(Debug, Clone, Copy)]
pub struct Increment {
    /// The amount in quarters.
    pub quarters: i64,
    /// The change that made it.
    pub change: usize,
}

/// Everything that was executed.
#[derive(Debug, Default)]
pub struct History {
    /// All actors of the run.
    pub names: ActorTable,
    /// Elements, as first met.
    pub elements: Vec<(PartitionId, RowKey)>,
    ids: BTreeMap<RowKey, usize>,
    /// Commands by number.
    pub commands: Vec<Command>,
    /// Changes in order.
    pub changes: Vec<Change>,
    /// Who put a dot into an element.
    pub writers: BTreeMap<(Dot, usize), usize>,
    /// Increments in order.
    pub increments: Vec<Increment>,
    /// Which change wrote a leaf of a document.
    pub leaves: BTreeMap<(usize, DocDot), usize>,
    /// Per partition the changes of each group: two or more elements changed together.
    pub groups: BTreeMap<PartitionId, Vec<Vec<usize>>>,
    /// What was told of versions.
    pub versions: SeenVersions,
    /// How many changes are in the trace already.
    pub traced: usize,
    executions: usize,
    uncommitted: BTreeMap<NodeId, Vec<usize>>,
    /// What a command did that no command may do.
    pub complaint: Option<String>,
}

/// The history as executor and world share it.
#[derive(Debug, Default)]
pub struct SharedHistory(Mutex<History>);

impl SharedHistory {
    /// The history itself.
    ///
    /// # Panics
    /// If a thread panicked while it held it.
    pub fn lock(&self) -> MutexGuard<'_, History> {
        self.0.lock().expect("a run has one thread")
    }
}

impl History {
    /// The number of an element.
    pub fn element(&mut self, partition: PartitionId, key: &RowKey) -> usize {
        if let Some(id) = self.ids.get(key) {
            return *id;
        }
        self.ids.insert(key.clone(), self.elements.len());
        self.elements.push((partition, key.clone()));
        self.elements.len() - 1
    }

    /// The number of an element that was changed before.
    #[must_use]
    pub fn known_element(&self, key: &RowKey) -> Option<usize> {
        self.ids.get(key).copied()
    }

    /// How dots of a copy become dots of the history.
    pub fn translation(&mut self, actors: &ActorTable) -> Translation {
        Translation::new(actors, &mut self.names)
    }

    /// A clock of a copy in the history's numbers.
    ///
    /// # Panics
    /// If the clock names an actor that the table lacks.
    pub fn clock(&mut self, actors: &ActorTable, clock: &Clock) -> Clock {
        let translation = self.translation(actors);
        clock
            .translate(&translation)
            .expect("a copy's table has all actors of its clock")
    }

    /// A command is about to be submitted.
    pub fn begin_command(&mut self, action: Action, request: &Request, at: Moment) -> u64 {
        self.commands.push(Command {
            action,
            is_read: request.access == Access::Read,
            is_repeatable: request.repeatable,
            disks_lost: at.disks_lost,
            changes: Vec::new(),
            idle: Vec::new(),
            executions: 0,
            fetches: 0,
            settled: None,
            promises: Vec::new(),
            step: at.step,
        });
        self.commands.len() as u64 - 1
    }

    /// A command runs; gives the number of the execution.
    pub fn begin_execution(&mut self, command: u64) -> usize {
        self.commands[command as usize].executions += 1;
        self.executions += 1;
        self.executions - 1
    }

    /// Notes a change.
    pub fn note(&mut self, change: Change) {
        let at = self.changes.len();
        for inserted in &change.inserted {
            self.writers
                .entry((inserted.dot, change.element))
                .or_insert(at);
        }
        self.commands[change.command as usize].changes.push(at);
        self.uncommitted.entry(change.node).or_default().push(at);
        self.changes.push(change);
    }

    /// Two or more changes belong together.
    pub fn note_group(&mut self, partition: PartitionId, changes: Vec<usize>) {
        if changes.len() > 1 {
            self.groups.entry(partition).or_default().push(changes);
        }
    }

    /// A node has appended to its disk all that it changed.
    pub fn commit(&mut self, node: NodeId) {
        for at in self.uncommitted.remove(&node).unwrap_or_default() {
            self.changes[at].committed = true;
        }
    }

    /// A node ended: what it had not appended never counted.
    pub fn abandon(&mut self, node: NodeId) {
        self.uncommitted.remove(&node);
    }

    /// What a counter's dot holds.
    #[must_use]
    pub fn counter(&self, element: usize, dot: Dot) -> Option<(&Bits, &Bits)> {
        let change = &self.changes[*self.writers.get(&(dot, element))?];
        change
            .inserted
            .iter()
            .find(|i| i.dot == dot)
            .and_then(|inserted| match &inserted.content {
                Content::Counter { known, reset } => Some((known, reset)),
                Content::Register | Content::Document(_) => None,
            })
    }

    /// Notes the first complaint.
    pub fn complain(&mut self, complaint: impl FnOnce() -> String) {
        if self.complaint.is_none() {
            self.complaint = Some(complaint());
        }
    }
}
