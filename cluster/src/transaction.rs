//! What a command sees: rows of the copies that were locked for it, and the means to change them.

use larder_crdt::types::position;
use larder_crdt::{ActorTable, Clock, Dot, Row};
use smallvec::SmallVec;

use crate::copy::{Copy, Edit};
use crate::element::Family;
use crate::env::Env;
use crate::id::PartitionId;
use crate::limits::GROUP_BYTES_MAX;
use crate::message::KnownClock;
use crate::partition::{Output, Partition, Target, Written};
use crate::request::Request;
use crate::row_key::RowKey;
use crate::rows::{Elements, Rows, Span};
use crate::store::StoreError;
use crate::token::KeyPlace;

/// Runs commands: the layer above the core. A command may only touch the partitions that its
/// request names, and must reply whatever happens.
pub trait Execute: Send + Sync {
    /// Runs `request` and appends the bytes of its reply.
    fn execute(
        &self,
        transaction: &mut Transaction<'_, '_>,
        request: &Request,
        reply: &mut Vec<u8>,
    );
}

/// Where an element stands: its partition and its name in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The partition of the key.
    pub partition: PartitionId,
    /// The name of the row.
    pub key: RowKey,
}

/// One partition of a transaction.
pub struct Part<'a> {
    /// The partition, locked.
    pub partition: &'a mut Partition,
    /// Which of its copies takes the command.
    pub target: Target,
    /// The first dot of the group of changes made here.
    pub group: Option<Dot>,
    /// About how many bytes that group has.
    group_bytes: usize,
    /// The counter of the copy's next dot when the command began.
    began: u64,
}

impl<'a> Part<'a> {
    /// A locked partition whose copy is about to take a command.
    pub(crate) fn new(partition: &'a mut Partition, target: Target) -> Self {
        let mut part = Self {
            partition,
            target,
            group: None,
            group_bytes: 0,
            began: 0,
        };
        part.began = part.copy().map_or(0, Copy::next_counter);
        part
    }

    fn copy(&self) -> Option<&Copy> {
        match self.target {
            Target::Main => self.partition.main.as_ref(),
            Target::Fallback => self.partition.fallback.as_ref(),
        }
    }

    fn written(&self) -> Written {
        let mut dots = KnownClock {
            actors: ActorTable::new(),
            clock: Clock::new(),
        };
        if let Some(copy) = self.copy() {
            match copy.signer.filter(|signer| signer.next != self.began) {
                Some(signer) if signer.next > 1 => {
                    let index = dots.actors.intern(copy.actors.actor(signer.index));
                    dots.clock.insert_range(index, 1, signer.next - 1);
                }
                _ => {
                    dots.actors = copy.actors.clone();
                    dots.clock = copy.clock.clone();
                }
            }
        }
        Written {
            partition: self.partition.id,
            dots,
        }
    }
}

/// The rows that one command works on. Changes are visible at once and to nobody else, because the
/// partitions are locked; they are on disk when the redo of `out` is.
pub struct Transaction<'a, 'b> {
    env: &'a Env<'b>,
    out: &'a mut Output,
    parts: SmallVec<[Part<'a>; 1]>,
    grouped: bool,
    shown: Row,
    failed: Option<StoreError>,
}

impl<'a, 'b> Transaction<'a, 'b> {
    /// A transaction over locked partitions, ascending. If it is `grouped`, what it changes in one
    /// partition arrives at every replica together.
    #[must_use]
    pub fn new(
        env: &'a Env<'b>,
        out: &'a mut Output,
        parts: SmallVec<[Part<'a>; 1]>,
        grouped: bool,
    ) -> Self {
        Self {
            env,
            out,
            parts,
            grouped,
            shown: Row::new(),
            failed: None,
        }
    }

    /// Unix time in milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.env.now.unix_ms
    }

    /// A number at random.
    #[must_use]
    pub fn random(&self) -> u64 {
        self.env.draws.draw()
    }

    /// The surroundings of the call.
    #[must_use]
    pub fn env(&self) -> &Env<'b> {
        self.env
    }

    /// Where an element of a key stands.
    #[must_use]
    pub fn place(&self, database: u8, key: &[u8], element: &[u8]) -> Place {
        let token = KeyPlace::of(key);
        Place {
            partition: token.partition(self.env.view.layout.partitions()),
            key: RowKey::new(token.key_hash, database, key, element),
        }
    }

    /// Where the one row of a key stands that has been placed already.
    #[must_use]
    #[inline]
    pub fn place_of(&self, token: KeyPlace, database: u8, key: &[u8]) -> Place {
        Place {
            partition: token.partition(self.env.view.layout.partitions()),
            key: RowKey::new(token.key_hash, database, key, b""),
        }
    }

    fn part(&mut self, partition: PartitionId) -> &mut Part<'a> {
        self.parts
            .iter_mut()
            .find(|part| part.partition.id == partition)
            .expect("a command touches only the partitions that its request names")
    }

    /// The row of an element, siblings that have expired included; empty if there is none. A disk
    /// that fails is remembered, see [`Transaction::failed`].
    ///
    /// # Panics
    /// If the request does not name the partition.
    pub fn row(&mut self, place: &Place) -> &Row {
        if let Err(error) = self.show(place) {
            self.failed = Some(error);
            self.shown = Row::new();
        }
        &self.shown
    }

    /// As [`Transaction::row`], but a disk that fails is told at once.
    ///
    /// # Errors
    /// What the disk says.
    ///
    /// # Panics
    /// If the request does not name the partition.
    pub fn try_row(&mut self, place: &Place) -> Result<&Row, StoreError> {
        self.show(place)?;
        Ok(&self.shown)
    }

    fn show(&mut self, place: &Place) -> Result<(), StoreError> {
        let store = self.env.store;
        let part = self.part(place.partition);
        let copy = match part.target {
            Target::Main => part.partition.main.as_mut(),
            Target::Fallback => part.partition.fallback.as_mut(),
        };
        let row = copy
            .map(|copy| copy.rows.get(store, &place.key))
            .transpose()?;
        self.shown = row.unwrap_or_default();
        Ok(())
    }

    /// Changes an element; see [`crate::copy::Copy::edit`].
    ///
    /// # Errors
    /// What the disk says; nothing has changed then.
    ///
    /// # Panics
    /// If the request does not name the partition.
    pub fn edit<T>(
        &mut self,
        place: &Place,
        change: impl FnOnce(&mut Edit<'_>) -> T,
    ) -> Result<T, StoreError> {
        let (env, grouped) = (self.env, self.grouped);
        let at = self
            .parts
            .iter()
            .position(|part| part.partition.id == place.partition)
            .expect("a command touches only the partitions that its request names");
        let part = &mut self.parts[at];
        let group = grouped.then_some(&mut part.group);
        let before = self.out.redo.len();
        let outcome = part
            .partition
            .edit(env, self.out, part.target, &place.key, group, change)?;
        part.group_bytes += self.out.redo.len() - before;
        if part.group_bytes > GROUP_BYTES_MAX {
            (part.group, part.group_bytes) = (None, 0);
        }
        Ok(outcome)
    }

    /// Where an element of the key stands whose own row is at `key`.
    #[must_use]
    pub fn element(&self, key: &Place, element: &[u8]) -> Place {
        Place {
            partition: key.partition,
            key: key.key.with_element(element),
        }
    }

    /// The rows of the copy that holds a place, if it has begun.
    fn rows(&mut self, place: &Place) -> Option<&mut Rows> {
        let part = self.part(place.partition);
        let copy = match part.target {
            Target::Main => part.partition.main.as_mut(),
            Target::Fallback => part.partition.fallback.as_mut(),
        };
        copy.map(|copy| &mut copy.rows)
    }

    /// The kinds of collections that show under a key, ascending; none for a plain string.
    ///
    /// # Errors
    /// What the disk says.
    ///
    /// # Panics
    /// If the request does not name the partition.
    #[inline]
    pub fn families(&mut self, key: &Place) -> Result<Vec<Family>, StoreError> {
        let store = self.env.store;
        self.rows(key)
            .map_or_else(|| Ok(Vec::new()), |rows| rows.families(store, &key.key))
    }

    /// How many members a collection has, expired ones included until they are dropped.
    ///
    /// # Errors
    /// What the disk says.
    ///
    /// # Panics
    /// If the request does not name the partition.
    pub fn members(&mut self, key: &Place, family: Family) -> Result<u64, StoreError> {
        let store = self.env.store;
        self.rows(key)
            .map_or(Ok(0), |rows| rows.members(store, &key.key, family))
    }

    /// The elements of a span of a key, in its direction, `max` at most: names and rows, expired
    /// siblings included. Derived elements have no siblings.
    ///
    /// # Errors
    /// What the disk says.
    ///
    /// # Panics
    /// If the request does not name the partition.
    pub fn range(&mut self, key: &Place, span: &Span, max: usize) -> Result<Elements, StoreError> {
        let store = self.env.store;
        self.rows(key).map_or_else(
            || Ok(Vec::new()),
            |rows| rows.elements(store, &key.key, span, max),
        )
    }

    /// What the copy of a key has seen by now: what [`Transaction::clear`] may remove.
    ///
    /// # Panics
    /// If the request does not name the partition.
    #[must_use]
    pub fn seen(&mut self, key: &Place) -> Clock {
        let part = self.part(key.partition);
        part.copy()
            .map_or_else(Clock::new, |copy| copy.clock.clone())
    }

    /// Removes all of a collection that `seen` covers, in one step however large it is
    /// (SEMANTICS.md section 6); nothing happens if it has no rows. Increments that others may add
    /// to must have been reset before, after `seen` was taken (section 3).
    ///
    /// # Errors
    /// What the disk says; nothing has changed then.
    ///
    /// # Panics
    /// If the request does not name the partition.
    pub fn clear(&mut self, key: &Place, family: Family, seen: Clock) -> Result<(), StoreError> {
        let (env, grouped) = (self.env, self.grouped);
        let has_rows = self
            .rows(key)
            .map_or(Ok(false), |rows| rows.has_rows(env.store, &key.key, family))?;
        if !has_rows {
            return Ok(());
        }
        let parts = &mut self.parts;
        let found = parts
            .iter_mut()
            .find(|part| part.partition.id == key.partition);
        let part = found.expect("a command touches only the partitions that its request names");
        let group = grouped.then_some(&mut part.group);
        part.partition
            .clear(env, self.out, part.target, &key.key, group, family, seen)
    }

    /// Who makes the position of the next element of a list that is written at once: see
    /// [`position::between`].
    ///
    /// # Panics
    /// If the request does not name the partition.
    pub fn next_position(&mut self, key: &Place) -> position::Signer {
        let env = self.env;
        let parts = &mut self.parts;
        let found = parts
            .iter_mut()
            .find(|part| part.partition.id == key.partition);
        let part = found.expect("a command touches only the partitions that its request names");
        part.partition.next_position(env, self.out, part.target)
    }

    /// From here on, what the command changes in one partition arrives at every replica together.
    pub fn group(&mut self) {
        self.grouped = true;
    }

    /// The partition of a place, for commands that explain how a key is stored.
    ///
    /// # Panics
    /// If the request does not name it.
    pub fn partition(&mut self, partition: PartitionId) -> (&mut Partition, Target) {
        let part = self.part(partition);
        (part.partition, part.target)
    }

    /// What each copy has signed so far: the changes made here are among it.
    #[must_use]
    pub fn written(&self) -> Vec<Written> {
        self.parts.iter().map(Part::written).collect()
    }

    /// The entries of the redo record of this commit so far: what was changed here is their end.
    /// For those who watch commands run.
    #[must_use]
    pub fn redo(&self) -> &[u8] {
        self.out.redo.as_slice()
    }

    /// The error of a disk that failed under [`Transaction::row`], once.
    pub fn failed(&mut self) -> Option<StoreError> {
        self.failed.take()
    }
}
