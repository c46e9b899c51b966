//! A node begins: from nothing, or from what its disk holds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use larder_crdt::Reader;
use parking_lot::{Mutex, RwLock};
use thiserror::Error;

use super::effects::Commit;
use super::requests::Requests;
use super::rounds::Rounds;
use super::swim::Swim;
use super::{Links, Node, NodeState};
use crate::env::{Env, Now, Settings, View};
use crate::id::NodeId;
use crate::partition::{Output, Partition};
use crate::record::{self, Entry};
use crate::ring::Ownership;
use crate::store::{Store, StoreError};
use crate::transaction::Execute;

/// Why a node did not begin.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The disk failed or holds what cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory is new, and no cluster was given to begin or join.
    #[error("the directory holds no node yet")]
    Empty,
}

/// What the disk says of the node itself, before it is opened: the state of the last checkpoint, or
/// a later one in the redo.
///
/// # Errors
/// What the disk says.
pub(super) fn stored_state(store: &dyn Store) -> Result<Option<NodeState>, StoreError> {
    let decode = |bytes: &[u8]| NodeState::decode(bytes).map_err(crate::partition::damaged);
    let mut state = store.stored()?.node.as_deref().map(decode).transpose()?;
    store.replay(&mut |_, redo| {
        let mut reader = Reader::new(redo);
        while !reader.is_empty() {
            let entry = Entry::decode(&mut reader).map_err(crate::partition::damaged)?;
            if let Entry::Node { state: bytes } = entry {
                state = Some(decode(&bytes)?);
            }
        }
        Ok(())
    })?;
    Ok(state)
}

impl Node {
    /// What the disk says of the node itself; `None` if the directory is new.
    ///
    /// # Errors
    /// What the disk says.
    pub fn stored_state(store: &dyn Store) -> Result<Option<NodeState>, StoreError> {
        stored_state(store)
    }

    /// Opens a node. `fresh` is its state if the disk has none: a new id, and the layout of the
    /// cluster that it begins or joins, with itself in it. `run` is random, new at every start.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        store: Arc<dyn Store>,
        execute: Arc<dyn Execute>,
        settings: Settings,
        fresh: Option<NodeState>,
        run: u128,
        now: Now,
    ) -> Result<Self, OpenError> {
        let stored = stored_state(&*store)?;
        let is_new = stored.is_none();
        let state = stored.or(fresh).ok_or(OpenError::Empty)?;
        let ownership = Ownership::of(&state.layout);
        let partitions: Box<[_]> = state
            .layout
            .partitions()
            .iter()
            .map(|partition| Mutex::new(Partition::new(partition)))
            .collect();
        let view = View {
            digest: state.layout.digest(),
            layout: Arc::new(state.layout),
            ownership: Arc::new(ownership),
            up: BTreeSet::from([state.id]),
            runs: None,
        };
        let run = run >> 32 << 32;
        let node = Self {
            id: state.id,
            run,
            settings: RwLock::new(Arc::new(settings)),
            store,
            execute,
            partitions,
            view: RwLock::new(Arc::new(view)),
            links: Mutex::new(Links::default()),
            requests: Mutex::new(Requests::of_run(run)),
            commit: Mutex::new(Commit::default()),
            refused: AtomicBool::new(false),
            appending: Mutex::new(()),
            dirty: Mutex::new(BTreeSet::new()),
            rounds: Mutex::new(Rounds::default()),
            swim: Mutex::new(Swim::new(state.id, run)),
            watches: Mutex::default(),
            handoff: Mutex::default(),
            has_bootstrapped: Mutex::default(),
            redo_end: AtomicU64::new(0),
            layout_version: AtomicU64::new(1),
            farewell: Mutex::default(),
            turn: Mutex::default(),
            changing: Mutex::new(()),
            moving: AtomicBool::new(false),
            evict_hand: AtomicUsize::new(0),
            journal: crate::journal::Journal::default(),
            draws: crate::env::Draws::new(run),
        };
        node.recover(now)?;
        if is_new {
            // Peers will know the node by this name: it must survive even the first power cut.
            node.record_state();
            node.commit()?;
            node.store.sync()?;
        }
        Ok(node)
    }

    /// Reads checkpoint and redo; makes them durable, because what they say will be acknowledged.
    fn recover(&self, now: Now) -> Result<(), StoreError> {
        let settings = self.settings();
        let env = self.env(&settings, now);
        for (slot, image) in self.store.stored()?.copies {
            if let Some(partition) = self.partitions.get(slot.partition.index()) {
                partition.lock().restore(&env, slot, &image)?;
            }
        }
        self.store.replay(&mut |position, redo| {
            self.redo_end
                .store(position.0, std::sync::atomic::Ordering::Release);
            self.replay(&env, redo)
        })?;
        self.store.sync()?;
        for partition in &self.partitions {
            let mut out = Output::default();
            partition.lock().opened(&env, &mut out);
            self.keep_from(&mut out);
        }
        Ok(())
    }

    fn replay(&self, env: &Env<'_>, redo: &[u8]) -> Result<(), StoreError> {
        let mut reader = Reader::new(redo);
        while !reader.is_empty() {
            let entry = Entry::decode(&mut reader).map_err(crate::partition::damaged)?;
            let Some(slot) = entry.slot() else {
                continue;
            };
            if let Some(partition) = self.partitions.get(slot.partition.index()) {
                partition.lock().replay(env, &*self.store, entry)?;
            }
        }
        Ok(())
    }

    /// Appends to the redo what the node stores beside its copies.
    pub(super) fn record_state(&self) {
        let mut out = Output::default();
        record::node(&mut out.redo, &self.state().encode());
        self.keep_from(&mut out);
    }

    /// A name for a node, from 16 random bytes that the caller drew.
    #[must_use]
    pub fn id_from_random(bytes: [u8; 16]) -> NodeId {
        NodeId(u128::from_be_bytes(bytes))
    }
}
