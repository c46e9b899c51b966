//! Rows of collections: what a change to one of them means for all the rest that a copy knows of
//! its key.

use larder_crdt::Row;

use super::collection::{Collection, Elements, decoded};
use super::scan::Span;
use super::summary::{Summary, Weight};
use super::{Effort, Rows, mix};
use crate::element::{self, Ending, Family, Role};
use crate::row_key::RowKey;
use crate::store::{Store, StoreError};

/// Rows that are looked at together when a mask hides some of a family.
const MASKED_ROWS: usize = 512;
/// Rows that go at once when a collection is cleared: small ones leave nothing to do.
const PURGED_AT_ONCE: usize = 64;

/// A key with its own row, empty if it has none, and its collections of which something shows.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRows {
    /// The name of its own row.
    pub key: RowKey,
    /// That row.
    pub row: Row,
    /// Its collections, ascending.
    pub families: Vec<Family>,
}

impl Rows {
    /// Makes the collections of a key known to memory; says whether there are any, or `create`.
    fn open_collection(
        &mut self,
        store: &dyn Store,
        key: &RowKey,
        create: bool,
    ) -> Result<bool, StoreError> {
        let hash = mix(self.seed, key.hash(), b"");
        let known = self.collections.find(hash, |other| other.is_of(key));
        if known.is_some() {
            return Ok(true);
        }
        let own = key.with_element(b"");
        let stored = if self.complete || self.collected == 0 {
            None
        } else {
            store.row(self.slot, &own.with_element(element::SUMMARY))?
        };
        let collection = match stored {
            Some(bytes) => Collection::new(own, Summary::from_bytes(&bytes)?, false),
            None if create => Collection::new(own, Summary::empty(), true),
            None => return Ok(false),
        };
        self.bytes += collection.bytes().0;
        let seed = self.seed;
        self.collections
            .insert_unique(hash, collection, |other| mix(seed, other.key.hash(), b""));
        Ok(true)
    }

    /// Lets `act` work on the collections of a key and counts what it has changed; `None` if there
    /// are none and none are to be made.
    pub(super) fn with_collection<T>(
        &mut self,
        store: &dyn Store,
        key: &RowKey,
        create: bool,
        act: impl FnOnce(&mut Collection) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if !self.open_collection(store, key, create)? {
            return Ok(None);
        }
        let hash = mix(self.seed, key.hash(), b"");
        let found = self.collections.find_entry(hash, |other| other.is_of(key));
        let mut entry = found.expect("it was opened");
        let collection = entry.get_mut();
        let before = collection.bytes();
        let (existed, had_rows) = (collection.summary.exists(), !collection.summary.is_empty());
        let outcome = act(collection);
        let (after, exists) = (collection.bytes(), collection.summary.exists());
        let has_rows = !collection.summary.is_empty();
        self.bytes = self.bytes + after.0 - before.0;
        self.dirty_bytes = (self.dirty_bytes + after.1).saturating_sub(before.1);
        self.collected = self.collected + u64::from(has_rows) - u64::from(had_rows);
        if !has_rows && collection.is_spent() {
            self.bytes -= after.0;
            entry.remove();
        }
        self.count(key, existed, exists);
        outcome.map(Some)
    }

    /// The row of an element, without what is masked.
    pub(super) fn element(&mut self, store: &dyn Store, key: &RowKey) -> Result<Row, StoreError> {
        let slot = self.slot;
        let row = self.with_collection(store, key, false, |collection| {
            let (mut row, _) = collection.raw(store, slot, key.element())?;
            collection.masks.apply(key.element(), &mut row);
            Ok(row)
        })?;
        Ok(row.unwrap_or_default())
    }

    /// As [`Rows::update`], for an element.
    pub(super) fn update_element(
        &mut self,
        store: &dyn Store,
        key: &RowKey,
        change: impl FnOnce(&mut Row) -> bool,
    ) -> Result<(), StoreError> {
        let slot = self.slot;
        let name = key.element();
        let changed = self.with_collection(store, key, true, |collection| {
            let (mut row, stored) = collection.raw(store, slot, name)?;
            collection.masks.apply(name, &mut row);
            let before = row.clone();
            if !change(&mut row) {
                return Ok(None);
            }
            collection.masks.apply(name, &mut row);
            replace(collection, name, &before, &row, stored);
            Ok(Some(row))
        })?;
        let Some(Some(row)) = changed else {
            return Ok(());
        };
        self.deadlines.note(key, &row);
        if Role::of(name) == Some(Role::DEADLINE)
            && let Ending::At(deadline) = element::ending(&row)
        {
            self.look_again(key.clone(), deadline.get());
        }
        if element::is_mask(name) {
            self.take_mask(store, key, &row)?;
        }
        Ok(())
    }

    /// The deadlines of collections that have come up since the last call.
    pub fn take_ended(&mut self) -> Vec<RowKey> {
        std::mem::take(&mut self.ended)
    }

    /// The row of a collection's deadline is to come up at `unix_ms`.
    pub fn look_again(&mut self, key: RowKey, unix_ms: u64) {
        self.deadlines.insert((unix_ms.div_ceil(1000), key));
    }

    /// A reset header is what it is now: hides what it covers.
    fn take_mask(
        &mut self,
        store: &dyn Store,
        header: &RowKey,
        row: &Row,
    ) -> Result<(), StoreError> {
        let slot = self.slot;
        let Some(family) = Family::of(header.element()) else {
            return Ok(());
        };
        let hidden = self.with_collection(store, header, true, |collection| {
            let mut masks = collection.masks.clone();
            masks.set(family, row);
            let Some(mask) = masks.of(family) else {
                collection.masks = masks;
                return Ok(None);
            };
            if collection.summary.is_covered(family, mask) {
                collection.masks = masks;
                collection.summary.clear(family);
                return Ok(Some(collection.clear(family)));
            }
            let mut span = Span::of_prefix(&[family.0]);
            loop {
                let some = collection.range(store, slot, &span, MASKED_ROWS)?;
                let Some((last, _)) = some.last() else {
                    break;
                };
                span = span.behind(last);
                for (name, before) in some {
                    let mut row = before.clone();
                    if masks.apply(&name, &mut row) {
                        let (_, stored) = collection.raw(store, slot, &name)?;
                        replace(collection, &name, &before, &row, stored);
                    }
                }
            }
            collection.masks = masks;
            Ok(Some(super::collection::Cleared::default()))
        })?;
        match hidden.flatten() {
            Some(cleared) => {
                self.purges.begin(header.clone(), cleared, !self.complete);
                self.purge(store, PURGED_AT_ONCE)?;
            }
            None => self.purges.end(header),
        }
        Ok(())
    }

    /// Makes the mask of a stored reset header known.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open_mask(&mut self, store: &dyn Store, header: &RowKey) -> Result<(), StoreError> {
        let Some(family) = Family::of(header.element()) else {
            return Ok(());
        };
        let slot = self.slot;
        self.with_collection(store, header, true, |collection| {
            let (row, _) = collection.raw(store, slot, header.element())?;
            collection.masks.set(family, &row);
            Ok(())
        })?;
        self.purges
            .begin(header.clone(), super::collection::Cleared::default(), true);
        Ok(())
    }

    /// What of its collections shows under a key, ascending.
    ///
    /// # Errors
    /// What the disk says.
    #[inline]
    pub fn families(&mut self, store: &dyn Store, key: &RowKey) -> Result<Vec<Family>, StoreError> {
        if self.collected == 0 {
            return Ok(Vec::new());
        }
        let families = self.with_collection(store, key, false, |collection| {
            Ok(collection.summary.families().collect())
        })?;
        Ok(families.unwrap_or_default())
    }

    /// How many members a collection has, those that have expired included until they are dropped.
    ///
    /// # Errors
    /// What the disk says.
    pub fn members(
        &mut self,
        store: &dyn Store,
        key: &RowKey,
        family: Family,
    ) -> Result<u64, StoreError> {
        let members = self.with_collection(store, key, false, |collection| {
            Ok(collection.summary.members(family))
        })?;
        Ok(members.unwrap_or(0))
    }

    /// Whether a collection has rows at all, such as say nothing included.
    ///
    /// # Errors
    /// What the disk says.
    pub fn has_rows(
        &mut self,
        store: &dyn Store,
        key: &RowKey,
        family: Family,
    ) -> Result<bool, StoreError> {
        let rows = self.with_collection(store, key, false, |collection| {
            Ok(collection.summary.rows(family))
        })?;
        Ok(rows.is_some_and(|rows| rows > 0))
    }

    /// The dots that a collection was cleared of.
    pub fn mask(
        &mut self,
        store: &dyn Store,
        key: &RowKey,
        family: Family,
    ) -> Result<Option<larder_crdt::Clock>, StoreError> {
        let mask = self.with_collection(store, key, false, |collection| {
            Ok(collection.masks.of(family).cloned())
        })?;
        Ok(mask.flatten())
    }

    /// Elements of a key in the order of their names, `max` at most; derived ones have no siblings.
    ///
    /// # Errors
    /// What the disk says.
    pub fn elements(
        &mut self,
        store: &dyn Store,
        key: &RowKey,
        span: &Span,
        max: usize,
    ) -> Result<Elements, StoreError> {
        let slot = self.slot;
        let found = self.with_collection(store, key, false, |collection| {
            collection.range(store, slot, span, max)
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Keys from the first one behind `after`, about `rows_max` rows' worth of them, and the row to
    /// go on behind unless that was all. Collections are stepped over.
    ///
    /// # Errors
    /// What the disk says.
    pub fn keys_after(
        &mut self,
        store: &dyn Store,
        after: Option<&RowKey>,
        rows_max: usize,
    ) -> Result<(Vec<KeyRows>, Option<RowKey>), StoreError> {
        let (rows, more) = self.range(store, after, rows_max)?;
        let mut keys: Vec<KeyRows> = Vec::new();
        let mut last = None;
        for (row_key, row) in rows {
            last = Some(row_key.clone());
            if keys.last().is_some_and(|known| row_key.is_of(&known.key)) {
                continue;
            }
            let is_own = row_key.element().is_empty();
            let key = if is_own {
                row_key
            } else {
                row_key.with_element(b"")
            };
            let families = self.families(store, &key)?;
            let row = if is_own { row } else { Row::new() };
            keys.push(KeyRows { key, row, families });
        }
        // Nothing of a collection is behind this, and all of the next key is.
        let last = last.filter(|_| more).map(|last| {
            if last.element().is_empty() {
                last
            } else {
                last.with_element(&[0xff])
            }
        });
        Ok((keys, last))
    }

    /// Elements in memory for a walk over all rows, from the first one behind `after` to `end`.
    pub(super) fn walk_elements(
        &self,
        after: Option<&RowKey>,
        end: Option<&RowKey>,
        rows_max: usize,
    ) -> Result<Vec<(RowKey, Row)>, StoreError> {
        let is_within = |collection: &&Collection| {
            let behind =
                after.is_none_or(|after| collection.key > *after || collection.is_of(after));
            behind && end.is_none_or(|end| collection.key <= *end)
        };
        let mut collections: Vec<&Collection> = self.collections.iter().filter(is_within).collect();
        collections.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let mut found = Vec::new();
        for collection in collections {
            let from = after
                .filter(|after| collection.is_of(after))
                .map(RowKey::element);
            for element in collection.walk(from, rows_max - found.len()) {
                let (name, row) = element?;
                found.push((collection.key.with_element(&name), row));
            }
            if found.len() >= rows_max {
                break;
            }
        }
        Ok(found)
    }

    /// A row of the disk as a walk shows it, unless it is gone or a copy's own.
    pub(super) fn disk_row(&self, key: &RowKey, bytes: &[u8]) -> Result<Option<Row>, StoreError> {
        let name = key.element();
        if name.is_empty() {
            return super::decode(bytes).map(Some);
        }
        if element::is_local(name) {
            return Ok(None);
        }
        let mut row = decoded(name, bytes)?;
        let hash = mix(self.seed, key.hash(), b"");
        if let Some(collection) = self.collections.find(hash, |other| other.is_of(key)) {
            if collection.is_removed(name) {
                return Ok(None);
            }
            collection.masks.apply(name, &mut row);
        }
        Ok(Some(row))
    }

    /// The part of [`Rows::settle_written`] for collections.
    pub(super) fn settle_collections(&mut self, reached: bool) {
        let (mut bytes, mut dirty_bytes) = (self.bytes, self.dirty_bytes);
        self.collections.retain(|collection| {
            let before = collection.bytes();
            collection.settle_written(reached);
            let after = collection.bytes();
            bytes = bytes + after.0 - before.0;
            dirty_bytes = (dirty_bytes + after.1).saturating_sub(before.1);
            let is_kept = !(collection.is_spent() && collection.summary.is_empty());
            if !is_kept {
                bytes -= after.0;
            }
            is_kept
        });
        self.bytes = bytes;
        self.dirty_bytes = dirty_bytes;
    }

    /// The part of [`Rows::evict`] for collections.
    pub(super) fn evict_elements(&mut self, bytes: usize, effort: Effort) -> usize {
        let (mut freed, mut all_stay) = (0, true);
        let squeezes = &mut self.squeezes;
        self.collections.retain(|collection| {
            if freed >= bytes {
                return true;
            }
            let (made, has_gone) = collection.evict(bytes - freed, effort, squeezes);
            freed += made;
            all_stay &= !has_gone;
            let is_kept = effort != Effort::Evict || !collection.is_spent();
            if !is_kept {
                freed += collection.bytes().0;
                all_stay = false;
            }
            is_kept
        });
        self.complete &= all_stay;
        self.bytes -= freed;
        freed
    }
}

/// Puts `row` in the place of `before`, which was what showed of it, with all that follows.
pub(super) fn replace(
    collection: &mut Collection,
    name: &[u8],
    before: &Row,
    row: &Row,
    stored: bool,
) {
    if row.is_empty() {
        collection.remove(name, stored);
    } else {
        collection.put(name, row, stored);
    }
    let (was, is) = (Weight::of(name, before), Weight::of(name, row));
    collection.summary.note(name, was, is, row);
    if Role::of(name) != Some(Role::MEMBER) {
        return;
    }
    let (had, has) = (element::derived(name, before), element::derived(name, row));
    for gone in had.iter().filter(|name| !has.contains(name)) {
        collection.remove_derived(gone);
    }
    for new in has.iter().filter(|name| !had.contains(name)) {
        collection.put_derived(new);
    }
}
