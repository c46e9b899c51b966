//! A node's copy of one partition: rows, clock and log, which live and end together.

mod edit;
mod exchange;
mod peer;
mod retire;
mod settle;
mod sign;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use larder_crdt::actor::Translation;
use larder_crdt::{Actor, ActorIndex, ActorTable, Clock, Conflict, Dot, Row, Writer};

pub use edit::{Edit, EditContext};
pub use exchange::{Delta, DeltaChange, Refusal};
pub use peer::Peer;
pub use sign::Signer;

use crate::element;
use crate::env::Env;
use crate::id::NodeId;
use crate::journal::JournalEntry;
use crate::log::Log;
use crate::record::{self, CopyImage, Role};
use crate::row_key::RowKey;
use crate::rows::Rows;
use crate::store::{Slot, Store, StoreError};
use crate::version::ChangeCounts;

/// The name of one copy during one run of its node: the upper 96 bits are the run's, the lower 32
/// count its copies. Acknowledgements name the copy that they speak for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CopyId(pub u128);

impl CopyId {
    /// The `serial`-th copy of a run.
    #[must_use]
    pub fn of_run(run: u128, serial: u32) -> Self {
        Self((run >> 32 << 32) | u128::from(serial))
    }
}

impl fmt::Debug for CopyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{:06x}.{}", self.0 >> 104, self.0 & 0xffff_ffff)
    }
}

/// Elements changed since a transfer began to read the copy.
#[derive(Debug, Clone, Default)]
pub struct Touched(pub BTreeSet<RowKey>);

/// One copy.
#[derive(Debug, Clone)]
pub struct Copy {
    /// Its name.
    pub id: CopyId,
    /// What it is on this node.
    pub role: Role,
    /// The actors that its dots name by number.
    pub actors: ActorTable,
    /// All dots that it has seen.
    pub clock: Clock,
    /// All dots that it holds on disk: what it may acknowledge.
    pub durable: Clock,
    /// What some owner may lack.
    pub log: Log,
    /// The rows.
    pub rows: Rows,
    /// Rows that may be forgotten when their dots are settled.
    pub resets: BTreeMap<Dot, RowKey>,
    /// Which of this partition's stints signs inside documents.
    pub document_stint: Option<u32>,
    /// The reset that was looked at last.
    pub settle_after: Option<Dot>,
    /// Who signs its changes, once it has made one.
    pub signer: Option<Signer>,
    /// What is known of the other owners.
    pub peers: BTreeMap<NodeId, Peer>,
    /// The dots that retired actors had, until all owners have retired them.
    pub retiring: BTreeMap<ActorIndex, Clock>,
    /// Elements changed behind the cursor of each transfer that reads this copy.
    pub touched: BTreeMap<NodeId, Touched>,
    /// Whether its node does not own the partition any more.
    pub handing_over: bool,
    /// Whether `clock` has dots that were not in the last sync.
    pub unsynced: bool,
    /// Whether something but rows changed since the last checkpoint.
    pub changed: bool,
    /// Rows of which something expired and was dropped here.
    pub expired: u64,
    /// Changes of keys whose rows cannot tell them.
    pub counted: ChangeCounts,
}

impl Copy {
    /// A copy that has seen nothing.
    #[must_use]
    pub fn new(id: CopyId, role: Role, slot: Slot) -> Self {
        let image = CopyImage {
            role,
            actors: ActorTable::new(),
            clock: Clock::new(),
            log: Log::new(),
            resets: BTreeMap::new(),
            keys: [0; crate::limits::DATABASES_MAX],
            collected: 0,
        };
        Self::from_image(id, slot, image, true)
    }

    /// A copy as it was stored, under a new name; `complete` if the disk has no rows of it.
    #[must_use]
    pub fn from_image(id: CopyId, slot: Slot, image: CopyImage, complete: bool) -> Self {
        let mut rows = Rows::new(slot, complete, (id.0 >> 64) as u64);
        rows.set_keys(image.keys, image.collected);
        Self {
            id,
            role: image.role,
            durable: image.clock.clone(),
            clock: image.clock,
            actors: image.actors,
            log: image.log,
            rows,
            resets: image.resets,
            document_stint: None,
            settle_after: None,
            signer: None,
            handing_over: false,
            peers: BTreeMap::new(),
            retiring: BTreeMap::new(),
            touched: BTreeMap::new(),
            unsynced: false,
            changed: false,
            expired: 0,
            counted: ChangeCounts::default(),
        }
    }

    /// Everything of it but its rows.
    #[must_use]
    pub fn image(&self) -> CopyImage {
        CopyImage {
            role: self.role,
            actors: self.actors.clone(),
            clock: self.clock.clone(),
            log: self.log.clone(),
            resets: self.resets.clone(),
            keys: *self.rows.keys(),
            collected: self.rows.collected(),
        }
    }

    /// Where it stands on the disk.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.rows.slot()
    }

    /// Appends to the redo that the copy began or changed its role.
    pub fn record(&mut self, redo: &mut Writer) {
        self.changed = true;
        record::copy(redo, self.slot(), &self.image());
    }

    /// The number of an actor, a new one if need be.
    pub fn intern(&mut self, actor: Actor, redo: &mut Writer) -> ActorIndex {
        let known = self.actors.len();
        let index = self.actors.intern(actor);
        if index.0 as usize >= known {
            record::actor(redo, self.rows.slot(), index, actor);
            self.changed = true;
        }
        index
    }

    /// How the numbers of a message become numbers of this copy.
    pub fn translation(&mut self, from: &ActorTable, redo: &mut Writer) -> Translation {
        for (_, actor) in from.iter() {
            self.intern(actor, redo);
        }
        Translation::new(from, &mut self.actors)
    }

    /// A clock of a message in numbers of this copy, without the actors that this copy does not
    /// know: enough to ask whether this copy's own dots are in it.
    #[must_use]
    pub fn known_part(&self, clock: &Clock, from: &ActorTable) -> Clock {
        let mut known = Clock::new();
        for (index, start, end) in clock.ranges() {
            if let Some(own) = self.actors.find(from.actor(index)) {
                known.insert_range(own, start, end);
            }
        }
        known
    }

    /// A clock of elsewhere in numbers of this copy; `None` if it names an actor that is not known
    /// here.
    #[must_use]
    pub fn known_whole(&self, clock: &Clock, from: &ActorTable) -> Option<Clock> {
        let mut known = Clock::new();
        for (index, start, end) in clock.ranges() {
            known.insert_range(self.actors.find(from.actor(index))?, start, end);
        }
        Some(known)
    }

    /// The counter of the next dot; 0 if the copy has not signed yet.
    #[must_use]
    pub fn next_counter(&self) -> u64 {
        self.signer.map_or(0, |signer| signer.next)
    }

    /// Notes what a change means beside the row: dots in clock and log, transfers, resets.
    fn note_change(&mut self, key: &RowKey, dots: &[(Dot, Option<Dot>)], keeps_log: bool) {
        for (dot, group) in dots {
            self.clock.insert(*dot);
            if keeps_log {
                self.log.insert(*dot, key.clone(), *group);
            }
        }
        if !dots.is_empty() {
            self.unsynced = true;
            self.changed = true;
            self.counted.note(key);
        }
        for touched in self.touched.values_mut() {
            touched.0.insert(key.clone());
        }
    }

    /// Notes values that lost a conflict in this copy.
    fn note_conflicts(&self, env: &Env<'_>, key: &RowKey, lost: Vec<Conflict>) {
        // Of the rows around a collection's members nobody wants to read.
        let role = element::Role::of(key.element());
        if role.is_some_and(|role| role != element::Role::MEMBER) {
            return;
        }
        for conflict in lost {
            let actor_of = |dot: Dot| self.actors.actor(dot.actor());
            let entry = JournalEntry::new(env.now.unix_ms, key.clone(), conflict, &actor_of);
            env.journal.note(entry, env.settings.conflicts_max);
        }
    }

    /// Drops what has expired by now in up to `rows_max` rows: that is a function of their dots, so
    /// it takes no dot and needs no message. Gives the number of rows that were looked at; those
    /// that changed are added to `changed`.
    ///
    /// # Errors
    /// What the disk says; the rest is due again.
    pub fn drop_expired(
        &mut self,
        env: &Env<'_>,
        redo: &mut Writer,
        rows_max: usize,
        changed: &mut Vec<RowKey>,
    ) -> Result<usize, StoreError> {
        let slot = self.slot();
        let known = changed.len();
        let dropped = |key: &RowKey, row: &Row| {
            record::change(redo, slot, key, &[], row);
            changed.push(key.clone());
        };
        let now_ms = env.now.unix_ms;
        let outcome = self.rows.drop_expired(env.store, now_ms, rows_max, dropped);
        for key in changed.iter().skip(known) {
            self.note_change(key, &[], false);
            self.expired += 1;
        }
        outcome
    }

    /// Remembers the resets of a row, so that they are forgotten in time.
    fn note_resets(resets: &mut BTreeMap<Dot, RowKey>, key: &RowKey, row: &Row) {
        for sibling in row.siblings() {
            if sibling.value.is_reset() {
                resets.insert(sibling.dot, key.clone());
            }
        }
    }

    /// Replays a change that the redo holds.
    ///
    /// # Errors
    /// What the disk says.
    pub fn replay_change(
        &mut self,
        store: &dyn Store,
        key: &RowKey,
        dots: &[(Dot, Option<Dot>)],
        row: Row,
    ) -> Result<(), StoreError> {
        Self::note_resets(&mut self.resets, key, &row);
        self.rows.set(store, key, row)?;
        self.note_change(key, dots, true);
        Ok(())
    }
}
