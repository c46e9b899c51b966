//! The decoded rows of one copy: what is not on the disk yet, and what was used lately.
//!
//! Rows are kept in their stored order, so that a scan merges this map with the rows of the last
//! checkpoint. A row that has changed since then cannot be evicted; it waits for the next one.
//!
//! ```text
//! clean ──set──▶ dirty ──take_dirty──▶ written ──settle_written──▶ clean ──evict──▶ (disk only)
//!                  ▲────────set─────────┘
//! ```

use std::collections::BTreeMap;
use std::ops::Bound;

use larder_crdt::{Row, Writer};

use crate::limits::DATABASES_MAX;
use crate::row_key::RowKey;
use crate::store::{Slot, Store, StoreError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Clean,
    Dirty,
    Written,
}

#[derive(Debug, Clone)]
struct Cached {
    row: Row,
    state: State,
    used: bool,
}

/// The rows of one copy.
#[derive(Debug, Clone)]
pub struct Rows {
    slot: Slot,
    cached: BTreeMap<RowKey, Cached>,
    /// Whether the disk holds no row that is not in `cached`: then a miss needs no look at it.
    complete: bool,
    bytes: usize,
    dirty_bytes: usize,
    hand: Option<RowKey>,
    keys: [u64; DATABASES_MAX],
    empty: Row,
}

/// Bytes of a map entry beside the heap of its name and row: a guess for the cache's budget.
const ENTRY_BYTES: usize = size_of::<RowKey>() + size_of::<Cached>() + 24;

fn weight(key: &RowKey, row: &Row) -> usize {
    ENTRY_BYTES + key.heap_bytes() + row.heap_bytes()
}

/// Whether the row makes its key exist, deadlines aside: the count behind DBSIZE.
fn counts_as_key(key: &RowKey, row: &Row) -> bool {
    key.element().is_empty() && row.siblings().iter().any(|sibling| !sibling.value.is_reset())
}

impl Rows {
    /// No rows; `complete` says that the disk holds none for the slot either.
    #[must_use]
    pub fn new(slot: Slot, complete: bool) -> Self {
        Self {
            slot,
            cached: BTreeMap::new(),
            complete,
            bytes: 0,
            dirty_bytes: 0,
            hand: None,
            keys: [0; DATABASES_MAX],
            empty: Row::new(),
        }
    }

    /// Where the rows stand on the disk.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// About how many bytes of memory the rows take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// About how many of them wait for a checkpoint.
    #[must_use]
    pub fn dirty_bytes(&self) -> usize {
        self.dirty_bytes
    }

    /// How many keys there are in each database, expired ones included until they are dropped.
    #[must_use]
    pub fn keys(&self) -> &[u64; DATABASES_MAX] {
        &self.keys
    }

    /// Restores the counts of keys after opening.
    pub fn set_keys(&mut self, keys: [u64; DATABASES_MAX]) {
        self.keys = keys;
    }

    /// The row of `key`, an empty one if there is none.
    ///
    /// # Errors
    /// What the disk says.
    pub fn get(&mut self, store: &dyn Store, key: &RowKey) -> Result<&Row, StoreError> {
        if !self.complete && !self.cached.contains_key(key) {
            let Some(bytes) = store.row(self.slot, key)? else {
                return Ok(&self.empty);
            };
            let row = decode(&bytes)?;
            self.bytes += weight(key, &row);
            self.cached.insert(key.clone(), Cached { row, state: State::Clean, used: true });
        }
        Ok(match self.cached.get_mut(key) {
            Some(cached) => {
                cached.used = true;
                &cached.row
            }
            None => &self.empty,
        })
    }

    /// Replaces the row of `key`; an empty row removes it.
    ///
    /// # Errors
    /// What the disk says when the old row is looked up; nothing is changed then.
    pub fn set(&mut self, store: &dyn Store, key: &RowKey, row: Row) -> Result<(), StoreError> {
        self.update(store, key, |old| {
            *old = row;
            true
        })
    }

    /// Lets `change` alter the row of `key` in place; it says whether it did. A row that it leaves
    /// empty is removed.
    ///
    /// # Errors
    /// What the disk says when the row is looked up; `change` is not called then.
    pub fn update(
        &mut self,
        store: &dyn Store,
        key: &RowKey,
        change: impl FnOnce(&mut Row) -> bool,
    ) -> Result<(), StoreError> {
        if !self.complete && !self.cached.contains_key(key) {
            self.get(store, key)?;
        }
        let Some(cached) = self.cached.get_mut(key) else {
            let mut row = Row::new();
            if change(&mut row) && !row.is_empty() {
                let after = weight(key, &row);
                self.bytes += after;
                self.dirty_bytes += after;
                self.count(key, false, counts_as_key(key, &row));
                self.cached.insert(key.clone(), Cached { row, state: State::Dirty, used: true });
            }
            return Ok(());
        };
        cached.used = true;
        let (before, counted) = (weight(key, &cached.row), counts_as_key(key, &cached.row));
        if !change(&mut cached.row) {
            return Ok(());
        }
        let (after, counts) = (weight(key, &cached.row), counts_as_key(key, &cached.row));
        let was_dirty = if cached.state == State::Dirty { before } else { 0 };
        cached.state = State::Dirty;
        self.bytes = self.bytes + after - before;
        self.dirty_bytes = self.dirty_bytes + after - was_dirty;
        self.count(key, counted, counts);
        Ok(())
    }

    fn count(&mut self, key: &RowKey, before: bool, after: bool) {
        if let Some(counter) = self.keys.get_mut(usize::from(key.database())) {
            *counter = (*counter + u64::from(after)).saturating_sub(u64::from(before));
        }
    }

    /// Rows in order from the first one after `after`, about `rows_max` of them, and whether there
    /// may be more. Empty rows are left out. The cache does not grow.
    ///
    /// # Errors
    /// What the disk says.
    pub fn range(
        &self,
        store: &dyn Store,
        after: Option<&RowKey>,
        rows_max: usize,
    ) -> Result<(Vec<(RowKey, Row)>, bool), StoreError> {
        let mut after = after.cloned();
        loop {
            let (mut merged, end) = self.merged(store, after.as_ref(), rows_max)?;
            merged.retain(|_, row| !row.is_empty());
            // Where all rows of a stretch were removed, the next one is looked at.
            if merged.is_empty() && end.is_some() {
                after = end;
                continue;
            }
            return Ok((merged.into_iter().collect(), end.is_some()));
        }
    }

    /// About `rows_max` rows of disk and cache, removed ones included, and the last position that
    /// they speak for, unless they reach to the end.
    fn merged(
        &self,
        store: &dyn Store,
        after: Option<&RowKey>,
        rows_max: usize,
    ) -> Result<(BTreeMap<RowKey, Row>, Option<RowKey>), StoreError> {
        let stored =
            if self.complete { Vec::new() } else { store.rows(self.slot, after, rows_max)? };
        let mut end = stored.last().map(|(key, _)| key.clone());
        let mut merged = BTreeMap::new();
        for (key, bytes) in stored {
            merged.insert(key, decode(&bytes)?);
        }
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let to = end.clone().map_or(Bound::Unbounded, Bound::Included);
        let mut cached = self.cached.range((from, to.as_ref()));
        let mut last = None;
        for (key, cached) in cached.by_ref().take(rows_max) {
            merged.insert(key.clone(), cached.row.clone());
            last = Some(key);
        }
        if cached.next().is_some()
            && let Some(last) = last
        {
            let rest = merged.split_off(last);
            merged.extend(rest.into_iter().next());
            end = Some(last.clone());
        }
        Ok((merged, end))
    }

    /// The rows that wait for a checkpoint, encoded and in order. They count as written until
    /// [`Rows::settle_written`].
    pub fn take_dirty(&mut self) -> Vec<(RowKey, Option<Vec<u8>>)> {
        let mut taken = Vec::new();
        for (key, cached) in &mut self.cached {
            if cached.state == State::Clean {
                continue;
            }
            cached.state = State::Written;
            taken.push((key.clone(), (!cached.row.is_empty()).then(|| encode(&cached.row))));
        }
        self.dirty_bytes = 0;
        taken
    }

    /// After the rows of [`Rows::take_dirty`] reached the disk (or not: then they stay dirty).
    pub fn settle_written(&mut self, reached: bool) {
        let mut dirty_bytes = self.dirty_bytes;
        let mut bytes = self.bytes;
        self.cached.retain(|key, cached| {
            if cached.state != State::Written {
                return true;
            }
            if !reached {
                cached.state = State::Dirty;
                dirty_bytes += weight(key, &cached.row);
                return true;
            }
            cached.state = State::Clean;
            if cached.row.is_empty() {
                bytes -= weight(key, &cached.row);
            }
            !cached.row.is_empty()
        });
        self.dirty_bytes = dirty_bytes;
        self.bytes = bytes;
    }

    /// Evicts clean rows that were not used since the hand last passed, until about `bytes` are
    /// freed or the hand has been round; says how many were freed.
    pub fn evict(&mut self, bytes: usize) -> usize {
        let mut victims = Vec::new();
        let mut freed = 0;
        let from = self.hand.take().map_or(Bound::Unbounded, Bound::Excluded);
        for (key, cached) in self.cached.range_mut::<RowKey, _>((from, Bound::Unbounded)) {
            if freed >= bytes {
                self.hand = victims.last().cloned();
                break;
            }
            if cached.state == State::Clean && !std::mem::take(&mut cached.used) {
                freed += weight(key, &cached.row);
                victims.push(key.clone());
            }
        }
        for key in &victims {
            self.cached.remove(key);
            self.complete = false;
        }
        self.bytes -= freed;
        freed
    }
}

fn encode(row: &Row) -> Vec<u8> {
    let mut writer = Writer::new();
    row.encode(&mut writer);
    writer.into_vec()
}

fn decode(bytes: &[u8]) -> Result<Row, StoreError> {
    Row::from_bytes(bytes).map_err(|error| StoreError::Damaged(error.to_string()))
}
