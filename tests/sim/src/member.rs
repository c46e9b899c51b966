//! A machine with a disk and, while it runs, a node.

use std::sync::Arc;

use larder_cluster::env::Now;
use larder_cluster::id::NodeId;
use larder_cluster::memory_store::MemoryStore;
use larder_cluster::node::Node;

use crate::clock::Clock;
use crate::event::{Event, Life};

/// What became of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its node runs.
    Running,
    /// Its node does not run; it will again.
    Crashed,
    /// Its disk is lost, and the cluster has yet to be told.
    Lost,
    /// It is no part of the cluster any more.
    Gone,
}

/// A machine.
pub struct Member {
    /// The name in its directory.
    pub id: NodeId,
    /// Its disk.
    pub store: MemoryStore,
    /// Its node, while it runs.
    pub node: Option<Arc<Node>>,
    /// What became of it.
    pub fate: Fate,
    /// Its clocks.
    pub clock: Clock,
    /// How often it was started.
    pub life: Life,
    /// Whether it is stopped for now.
    pub paused: bool,
    /// What happened while it was stopped.
    pub stash: Vec<Event>,
    /// Whether a sync is under way.
    pub syncing: bool,
    /// Whether another is to follow.
    pub sync_again: bool,
    /// Whether a checkpoint is under way.
    pub checkpointing: bool,
    /// Whether the disk has refused a write since the start.
    pub disk_failed: bool,
    /// Whether a node in its place was started once.
    pub replaced: bool,
    /// Copies of the directory.
    pub backups: Vec<MemoryStore>,
}

impl Member {
    /// A machine with an empty disk.
    #[must_use]
    pub fn new(id: NodeId) -> Self {
        Self {
            id,
            store: MemoryStore::new(),
            node: None,
            fate: Fate::Crashed,
            clock: Clock::default(),
            life: 0,
            paused: false,
            stash: Vec::new(),
            syncing: false,
            sync_again: false,
            checkpointing: false,
            disk_failed: false,
            replaced: false,
            backups: Vec::new(),
        }
    }

    /// What its clocks show.
    #[must_use]
    pub fn now(&self, virtual_ms: u64) -> Now {
        self.clock.read(virtual_ms)
    }

    /// Whether its node runs and is not stopped.
    #[must_use]
    pub fn is_awake(&self) -> bool {
        self.fate == Fate::Running && !self.paused
    }
}
