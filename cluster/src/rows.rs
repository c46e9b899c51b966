//! The rows of one copy in memory: what is not on the disk yet, and what was used lately.
//!
//! Rows are kept packed, name and siblings in one piece of memory, because a budget of 256 MB is to
//! hold millions of small ones; packing and unpacking a register costs less than one miss of the
//! processor's cache. A hash table finds them. Scans sort what they need: they are rare, and a
//! partition is a small part of a node.
//!
//! A row that has changed since the last checkpoint cannot be evicted; it waits for the next one.
//! Others are squeezed by LZ4 before they are evicted, if that makes them smaller: reading a
//! squeezed row costs a tenth of reading it from the disk.
//!
//! ```text
//! clean ──update──▶ dirty ──take_dirty──▶ written ──settle_written──▶ clean ──evict──▶ (disk only)
//!                     ▲───────update────────┘
//! ```

mod collection;
mod collections;
mod deadlines;
mod masks;
mod packed;
mod purge;
mod scan;
mod summary;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use hashbrown::HashTable;
use larder_crdt::Row;

use crate::element::Role;
use crate::limits::DATABASES_MAX;
use crate::row_key::RowKey;
use crate::store::{Due, Slot, Store, StoreError};
use collection::Collection;
pub use collection::Elements;
pub use collections::KeyRows;
use deadlines::Deadlines;
use packed::{Packed, State};
use purge::Purges;
pub use scan::Span;

/// The rows of one copy.
#[derive(Debug, Clone)]
pub struct Rows {
    slot: Slot,
    table: HashTable<Packed>,
    /// Mixed into every hash, so that nobody outside can choose keys that collide.
    seed: u64,
    /// Whether the disk holds no row that is not in the table: then a miss needs no look at it.
    complete: bool,
    bytes: usize,
    dirty_bytes: usize,
    squeezes: Squeezes,
    keys: [u64; DATABASES_MAX],
    deadlines: Deadlines,
    collections: HashTable<Collection>,
    /// Keys that have rows of collections, in memory or on the disk.
    collected: u64,
    purges: Purges,
    /// Deadlines of collections that have come up.
    ended: Vec<RowKey>,
}

/// Rows with their names in order, and the last position they speak for unless that is the end.
type Stretch = (BTreeMap<RowKey, Row>, Option<RowKey>);

/// Whether the row makes its key exist, deadlines aside: the count behind DBSIZE.
fn counts_as_key(key: &RowKey, row: &Row) -> bool {
    key.element().is_empty()
        && row
            .siblings()
            .iter()
            .any(|sibling| !sibling.value.is_reset())
}

fn decode(bytes: &[u8]) -> Result<Row, StoreError> {
    Row::from_bytes(bytes).map_err(|error| StoreError::Damaged(error.to_string()))
}

/// Where a row stands in the table. Rows of one key differ by their elements.
fn mix(seed: u64, hash: u64, element: &[u8]) -> u64 {
    let mut mixed = hash ^ seed;
    if !element.is_empty() {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(mixed);
        hasher.write(element);
        mixed = hasher.finish();
    }
    let product = u128::from(mixed) * 0x9e37_79b9_7f4a_7c15;
    (product >> 64) as u64 ^ product as u64
}

impl Rows {
    /// No rows; `complete` says that the disk holds none for the slot either. `seed` is random and
    /// known to nobody outside.
    #[must_use]
    pub fn new(slot: Slot, complete: bool, seed: u64) -> Self {
        Self {
            slot,
            table: HashTable::new(),
            seed,
            complete,
            bytes: 0,
            dirty_bytes: 0,
            squeezes: Squeezes::default(),
            keys: [0; DATABASES_MAX],
            deadlines: Deadlines::new(complete),
            collections: HashTable::new(),
            collected: 0,
            purges: Purges::default(),
            ended: Vec::new(),
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
        self.bytes + self.deadlines.bytes()
    }

    /// About how many of them wait for a checkpoint.
    #[must_use]
    pub fn dirty_bytes(&self) -> usize {
        self.dirty_bytes + self.deadlines.bytes()
    }

    /// How many keys there are in each database, expired ones included until they are dropped.
    #[must_use]
    pub fn keys(&self) -> &[u64; DATABASES_MAX] {
        &self.keys
    }

    /// How many keys have rows of collections.
    #[must_use]
    pub fn collected(&self) -> u64 {
        self.collected
    }

    /// Restores the counts of keys, and of those with collections, after opening.
    pub fn set_keys(&mut self, keys: [u64; DATABASES_MAX], collected: u64) {
        self.keys = keys;
        self.collected = collected;
    }

    fn hash(&self, key: &RowKey) -> u64 {
        mix(self.seed, key.hash(), key.element())
    }

    fn insert(&mut self, hash: u64, packed: Packed) {
        let weight = packed.weight();
        self.bytes += weight;
        if packed.state() == State::Dirty {
            self.dirty_bytes += weight;
        }
        let seed = self.seed;
        self.table
            .insert_unique(hash, packed, |other| other.hashed(|h, e| mix(seed, h, e)));
    }

    /// The row of `key`, an empty one if there is none.
    ///
    /// # Errors
    /// What the disk says.
    pub fn get(&mut self, store: &dyn Store, key: &RowKey) -> Result<Row, StoreError> {
        if !key.element().is_empty() {
            return self.element(store, key);
        }
        let hash = self.hash(key);
        if let Some(packed) = self.table.find_mut(hash, |packed| packed.is(key)) {
            packed.set_used();
            if packed.is_squeezed_and_hot() {
                self.bytes -= packed.weight();
                let read = packed.unsqueeze();
                self.bytes += packed.weight();
                read?;
            }
            return packed.row();
        }
        if self.complete {
            return Ok(Row::new());
        }
        let Some(bytes) = store.row(self.slot, key)? else {
            return Ok(Row::new());
        };
        let row = decode(&bytes)?;
        self.insert(hash, Packed::new(key, &row, State::Clean));
        Ok(row)
    }

    /// Looks at the row without element of a key with this hash, if it is in memory: for its effect
    /// on the processor's cache.
    #[must_use]
    #[inline]
    pub fn touch(&self, hash: u64) -> u8 {
        let found = self
            .table
            .find(mix(self.seed, hash, b""), |packed| packed.has_hash(hash));
        found.map_or(0, Packed::touch)
    }

    /// Makes sure that the row can be had without the disk.
    ///
    /// # Errors
    /// What the disk says.
    pub fn load(&mut self, store: &dyn Store, key: &RowKey) -> Result<(), StoreError> {
        let is_here = || self.table.find(self.hash(key), |packed| packed.is(key));
        if self.complete || (key.element().is_empty() && is_here().is_some()) {
            return Ok(());
        }
        self.get(store, key).map(|_| ())
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

    /// Lets `change` alter the row of `key`; it says whether it did. A row that it leaves empty is
    /// removed.
    ///
    /// # Errors
    /// What the disk says when the row is looked up; `change` is not called then.
    pub fn update(
        &mut self,
        store: &dyn Store,
        key: &RowKey,
        change: impl FnOnce(&mut Row) -> bool,
    ) -> Result<(), StoreError> {
        if !key.element().is_empty() {
            return self.update_element(store, key, change);
        }
        let hash = self.hash(key);
        let Some(packed) = self.table.find_mut(hash, |packed| packed.is(key)) else {
            return self.update_missing(store, key, hash, change);
        };
        let mut row = packed.row()?;
        let counted = counts_as_key(key, &row);
        packed.set_used();
        if !change(&mut row) {
            return Ok(());
        }
        let (before, was_dirty) = (packed.weight(), packed.state() == State::Dirty);
        packed.replace(Packed::new(key, &row, State::Dirty));
        let after = packed.weight();
        self.bytes = self.bytes + after - before;
        self.dirty_bytes = self.dirty_bytes + after - if was_dirty { before } else { 0 };
        self.deadlines.note(key, &row);
        self.count(key, counted, counts_as_key(key, &row));
        Ok(())
    }

    fn update_missing(
        &mut self,
        store: &dyn Store,
        key: &RowKey,
        hash: u64,
        change: impl FnOnce(&mut Row) -> bool,
    ) -> Result<(), StoreError> {
        let stored = if self.complete {
            None
        } else {
            store.row(self.slot, key)?
        };
        let mut row = stored
            .as_deref()
            .map(decode)
            .transpose()?
            .unwrap_or_default();
        let counted = counts_as_key(key, &row);
        let changed = change(&mut row);
        if stored.is_none() && (!changed || row.is_empty()) {
            return Ok(());
        }
        let state = if changed { State::Dirty } else { State::Clean };
        self.insert(hash, Packed::new(key, &row, state));
        if changed {
            self.deadlines.note(key, &row);
        }
        self.count(key, counted, counts_as_key(key, &row));
        Ok(())
    }

    fn count(&mut self, key: &RowKey, before: bool, after: bool) {
        if let Some(counter) = self.keys.get_mut(usize::from(key.database())) {
            *counter = (*counter + u64::from(after)).saturating_sub(u64::from(before));
        }
    }

    /// Rows in order from the first one after `after`, about `rows_max` of them, and whether there
    /// may be more. Empty rows are left out. The table does not grow.
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

    /// About `rows_max` rows of disk and table, removed ones included, and the last position that
    /// they speak for, unless they reach to the end.
    fn merged(
        &self,
        store: &dyn Store,
        after: Option<&RowKey>,
        rows_max: usize,
    ) -> Result<Stretch, StoreError> {
        let stored = if self.complete {
            Vec::new()
        } else {
            store.rows(self.slot, after, rows_max)?
        };
        let mut end = stored.last().map(|(key, _)| key.clone());
        let mut found: Vec<&Packed> = self
            .table
            .iter()
            .filter(|packed| after.is_none_or(|after| packed.is_after(after)))
            .filter(|packed| end.as_ref().is_none_or(|end| !packed.is_after(end)))
            .collect();
        if found.len() > rows_max {
            let (_, middle, _) = found.select_nth_unstable_by(rows_max, |a, b| a.order(b));
            let middle = *middle;
            found.truncate(rows_max);
            found.sort_unstable_by(|a, b| a.order(b));
            end = match found.last() {
                Some(last) => Some(last.key()),
                None => Some(middle.key()),
            };
        }
        let elements = self.walk_elements(after, end.as_ref(), rows_max)?;
        if elements.len() >= rows_max
            && let Some((last, _)) = elements.last()
        {
            end = Some(end.map_or_else(|| last.clone(), |end| end.min(last.clone())));
        }
        let mut merged = BTreeMap::new();
        let is_before_end = |key: &RowKey| end.as_ref().is_none_or(|end| key <= end);
        for (key, bytes) in stored {
            if is_before_end(&key)
                && let Some(row) = self.disk_row(&key, &bytes)?
            {
                merged.insert(key, row);
            }
        }
        for packed in found {
            merged.insert(packed.key(), packed.row()?);
        }
        merged.extend(elements);
        merged.retain(|key, _| is_before_end(key));
        Ok((merged, end))
    }

    /// Whether [`Rows::drop_expired`] may find something.
    #[must_use]
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.deadlines.is_due(now_ms)
    }

    /// Drops what has expired by now in up to `rows_max` rows, wherever they are, and tells
    /// `dropped` what is left of each that had something. Gives the number of rows that were looked
    /// at: fewer than `rows_max` if no more are due.
    ///
    /// # Errors
    /// What the disk says; the rows that were not reached are due again.
    pub fn drop_expired(
        &mut self,
        store: &dyn Store,
        now_ms: u64,
        rows_max: usize,
        mut dropped: impl FnMut(&RowKey, &Row),
    ) -> Result<usize, StoreError> {
        let due = self
            .deadlines
            .take_due(store, self.slot, now_ms, rows_max)?;
        let looked_at = due.len();
        let mut outcome = Ok(looked_at);
        for (second, key) in due {
            if Role::of(key.element()) == Some(Role::DEADLINE) {
                self.ended.push(key);
                continue;
            }
            let done = outcome.clone().and_then(|_| {
                self.update(store, &key, |row| {
                    let expired = row.drop_expired(now_ms);
                    if expired {
                        dropped(&key, row);
                    }
                    expired
                })
            });
            if let Err(error) = done {
                self.deadlines.insert((second, key));
                outcome = Err(error);
            }
        }
        outcome
    }

    /// What the next checkpoint is to do with the disk's index of deadlines: entries with whether
    /// they are to be there, in the order in which that is to be done.
    pub fn take_deadlines(&mut self) -> Vec<(Due, bool)> {
        let (table, collections, seed) = (&self.table, &self.collections, self.seed);
        self.deadlines.take(|(second, key)| {
            // When that of a collection is to be looked at, its row does not say.
            if Role::of(key.element()) == Some(Role::DEADLINE) {
                return true;
            }
            let hash = mix(seed, key.hash(), b"");
            let row = if key.element().is_empty() {
                table.find(hash, |packed| packed.is(key)).map(Packed::row)
            } else {
                let collection = collections.find(hash, |collection| collection.is_of(key));
                collection.and_then(|collection| collection.in_memory(key.element()))
            };
            // What cannot be looked at here is looked at when it is due.
            row.is_none_or(|row| row.is_ok_and(|row| deadlines::ends_in(&row, *second)))
        })
    }

    /// The rows that wait for a checkpoint, encoded and in order. They count as written until
    /// [`Rows::settle_written`].
    pub fn take_dirty(&mut self) -> Vec<(RowKey, Option<Vec<u8>>)> {
        let mut taken = Vec::new();
        for packed in &mut self.table {
            if packed.state() == State::Clean {
                continue;
            }
            packed.set_state(State::Written);
            let key = packed.key();
            taken.push((key, packed.unsqueezed().map(<[u8]>::to_vec)));
        }
        for collection in &mut self.collections {
            collection.take_dirty(&mut taken);
        }
        self.purges.take();
        self.dirty_bytes = 0;
        taken.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        taken
    }

    /// After the rows of [`Rows::take_dirty`] and the entries of [`Rows::take_deadlines`] reached
    /// the disk (or not: then they stay dirty).
    pub fn settle_written(&mut self, reached: bool) {
        self.deadlines.settle(reached);
        self.purges.settle(reached);
        let (mut bytes, mut dirty_bytes) = (self.bytes, self.dirty_bytes);
        self.table.retain(|packed| {
            if packed.state() != State::Written {
                return true;
            }
            if !reached {
                packed.set_state(State::Dirty);
                dirty_bytes += packed.weight();
                return true;
            }
            packed.set_state(State::Clean);
            let kept = !packed.is_removed();
            if !kept {
                bytes -= packed.weight();
            }
            kept
        });
        self.bytes = bytes;
        self.dirty_bytes = dirty_bytes;
        self.settle_collections(reached);
    }

    /// Makes room for about `bytes` among the clean rows, as far as `effort` goes; says how many
    /// bytes that freed.
    pub fn evict(&mut self, bytes: usize, effort: Effort) -> usize {
        if effort != Effort::Evict && !self.squeezes.is_worth_a_look() {
            return 0;
        }
        let (mut freed, mut all_stay) = (0, true);
        let squeezes = &mut self.squeezes;
        self.table.retain(|packed| {
            if freed >= bytes || packed.state() != State::Clean {
                return true;
            }
            if effort != Effort::SqueezeAll && packed.take_used() {
                return true;
            }
            let weight = packed.weight();
            if squeezes.squeeze(packed) {
                freed += weight - packed.weight();
                return true;
            }
            if effort != Effort::Evict {
                return true;
            }
            freed += weight;
            all_stay = false;
            false
        });
        self.complete &= all_stay;
        self.bytes -= freed;
        freed + self.evict_elements(bytes.saturating_sub(freed), effort)
    }
}

/// How far making room goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Rows that were not used since the last look are squeezed by LZ4.
    SqueezeUnused,
    /// All are.
    SqueezeAll,
    /// Those that were not used since the last look are squeezed, or else evicted.
    Evict,
}

/// Whether squeezing is worth its time: where rows in a row did not get smaller, most are not tried
/// any more.
#[derive(Debug, Clone, Copy, Default)]
struct Squeezes {
    in_vain: u32,
    looks: u32,
}

impl Squeezes {
    const IN_VAIN_MAX: u32 = 16;

    fn is_worth_a_look(&mut self) -> bool {
        self.looks = self.looks.wrapping_add(1);
        self.in_vain < Self::IN_VAIN_MAX || self.looks.is_multiple_of(Self::IN_VAIN_MAX)
    }

    fn squeeze(&mut self, packed: &mut Packed) -> bool {
        if !packed.may_be_squeezed() {
            return false;
        }
        let tries =
            self.in_vain < Self::IN_VAIN_MAX || self.in_vain.is_multiple_of(Self::IN_VAIN_MAX);
        let won = tries && packed.squeeze();
        self.in_vain = if won { 0 } else { self.in_vain.wrapping_add(1) };
        won
    }
}

#[cfg(test)]
mod tests {
    use larder_crdt::{ActorIndex, Dot, Sibling, Stamp, Value};

    use super::*;
    use crate::id::PartitionId;
    use crate::memory_store::MemoryStore;

    fn key(index: u64) -> RowKey {
        RowKey::new(index, 0, format!("key:{index}").as_bytes(), b"")
    }

    fn row(bytes: &[u8]) -> Row {
        Row::of(Sibling {
            dot: Dot::new(ActorIndex(0), 1),
            stamp: Stamp::default(),
            deadline: None,
            value: Value::Register(bytes.to_vec().into()),
        })
    }

    /// Clean rows with these values.
    fn rows(store: &MemoryStore, values: &[&[u8]]) -> Rows {
        let slot = Slot {
            partition: PartitionId(0),
            number: 0,
        };
        let mut rows = Rows::new(slot, true, 7);
        for (index, value) in values.iter().enumerate() {
            rows.set(store, &key(index as u64), row(value))
                .expect("in memory");
        }
        let _ = rows.take_dirty();
        rows.settle_written(true);
        rows
    }

    #[test]
    fn what_compresses_is_squeezed_before_it_is_evicted_and_reads_the_same() {
        let store = MemoryStore::default();
        let noise: Vec<u8> = (0..1000u64)
            .scan(1u64, |state, _| {
                *state = state.wrapping_mul(6_364_136_223_846_793_005) + 1;
                Some((*state >> 40) as u8)
            })
            .collect();
        let mut rows = rows(&store, &[&[b'x'; 1000], b"short", &noise]);
        let full = rows.bytes();
        assert_eq!(
            rows.evict(usize::MAX, Effort::Evict),
            0,
            "all were used just now"
        );
        let freed = rows.evict(usize::MAX, Effort::SqueezeUnused);
        assert!((900..1100).contains(&freed), "{freed}");
        assert_eq!(rows.bytes(), full - freed);
        let short = rows.get(&store, &key(1)).expect("in memory");
        let long = rows.get(&store, &key(0)).expect("in memory");
        assert_eq!((short, long), (row(b"short"), row(&[b'x'; 1000])));
        for _ in 0..100 {
            assert_eq!(
                rows.get(&store, &key(0)).expect("in memory"),
                row(&[b'x'; 1000])
            );
        }
        assert_eq!(
            rows.bytes(),
            full,
            "what is used much is not squeezed any more"
        );
        assert_eq!(rows.evict(usize::MAX, Effort::SqueezeAll), freed);
        rows.evict(usize::MAX, Effort::Evict);
        let (found, _) = rows.range(&store, None, 10).expect("in memory");
        let used = [(key(0), row(&[b'x'; 1000])), (key(1), row(b"short"))];
        assert!(found == used, "what was not used is gone");
        rows.set(&store, &key(0), row(b"new")).expect("in memory");
        assert_eq!(rows.get(&store, &key(0)).expect("in memory"), row(b"new"));
        assert!(rows.dirty_bytes() > 0);
    }

    #[test]
    fn a_row_that_got_shorter_longer_or_stayed_as_long_is_the_one_written_last() {
        let store = MemoryStore::default();
        let mut rows = rows(&store, &[b"abc"]);
        for value in [
            &b"xyz"[..],
            b"a",
            b"longer than before",
            b"longer than BEFORE",
        ] {
            rows.set(&store, &key(0), row(value)).expect("in memory");
            assert_eq!(rows.get(&store, &key(0)).expect("in memory"), row(value));
            let dirty = rows.dirty_bytes();
            assert_eq!(dirty, rows.bytes());
        }
        assert_eq!(rows.keys()[0], 1);
    }
}
