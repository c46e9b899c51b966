//! What reset headers hide leaves memory and disk in small steps. A header may be forgotten only
//! when its purge has reached the disk: until then it is all that keeps the rows hidden.
//!
//! ```text
//! sweeping ──▶ swept ──take──▶ written ──settle──▶ (done)
//! ```

use std::collections::BTreeMap;

use super::Rows;
use super::collection::{Cleared, decoded};
use crate::element;
use crate::row_key::RowKey;
use crate::store::{Store, StoreError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Sweeping,
    Swept,
    Written,
}

#[derive(Debug, Clone)]
struct Purge {
    stage: Stage,
    /// What is on its way out of memory.
    cleared: Cleared,
    /// The row of the disk to go on behind; `None` if the disk need not be looked at.
    after: Option<RowKey>,
    /// Whether a row of the disk is to go or to change.
    has_work: bool,
}

/// Purges under way, by reset header.
#[derive(Debug, Clone, Default)]
pub(super) struct Purges(BTreeMap<RowKey, Purge>);

impl Purges {
    /// A reset header hides more than before.
    pub(super) fn begin(&mut self, header: RowKey, cleared: Cleared, on_disk: bool) {
        let after = on_disk.then(|| header.clone());
        match self.0.get_mut(&header) {
            Some(purge) => {
                purge.stage = Stage::Sweeping;
                purge.cleared.append(cleared);
                purge.after = after.or(purge.after.take());
            }
            None => {
                let purge = Purge {
                    stage: Stage::Sweeping,
                    cleared,
                    after,
                    has_work: false,
                };
                self.0.insert(header, purge);
            }
        }
    }

    /// A reset header is no more.
    pub(super) fn end(&mut self, header: &RowKey) {
        if self
            .0
            .get(header)
            .is_some_and(|purge| purge.cleared.is_empty())
        {
            self.0.remove(header);
        }
    }

    /// What was swept is in the checkpoint that is being made.
    pub(super) fn take(&mut self) {
        for purge in self.0.values_mut() {
            if purge.stage == Stage::Swept {
                purge.stage = Stage::Written;
            }
        }
    }

    /// The checkpoint reached the disk, or did not.
    pub(super) fn settle(&mut self, reached: bool) {
        self.0.retain(|_, purge| {
            if purge.stage != Stage::Written {
                return true;
            }
            purge.stage = Stage::Swept;
            !reached
        });
    }
}

impl Rows {
    /// Whether something hidden by this reset header may still be on the disk.
    #[must_use]
    pub fn is_purging(&self, header: &RowKey) -> bool {
        self.purges.0.contains_key(header)
    }

    /// Whether [`Rows::purge`] has something to do.
    #[must_use]
    pub fn has_purges(&self) -> bool {
        let mut purges = self.purges.0.values();
        purges.any(|purge| purge.stage == Stage::Sweeping)
    }

    /// Lets up to about `rows_max` hidden rows go; says how many were looked at.
    ///
    /// # Errors
    /// What the disk says; the purge goes on where it was.
    pub fn purge(&mut self, store: &dyn Store, rows_max: usize) -> Result<usize, StoreError> {
        let mut purges = self.purges.0.iter();
        let found = purges.find(|(_, purge)| purge.stage == Stage::Sweeping);
        let Some(header) = found.map(|(header, _)| header.clone()) else {
            return Ok(0);
        };
        let mut purge = self.purges.0.remove(&header).expect("it was found");
        let outcome = self.sweep(store, &header, &mut purge, rows_max);
        // What was never on the disk needs no checkpoint to be gone from it.
        if purge.stage == Stage::Sweeping || purge.has_work {
            self.purges.0.insert(header, purge);
        }
        outcome
    }

    fn sweep(
        &mut self,
        store: &dyn Store,
        header: &RowKey,
        purge: &mut Purge,
        rows_max: usize,
    ) -> Result<usize, StoreError> {
        let cleared = &mut purge.cleared;
        let swept = self.with_collection(store, header, true, |collection| {
            Ok(collection.sweep(cleared, rows_max))
        })?;
        let (swept, has_work) = swept.unwrap_or_default();
        purge.has_work |= has_work;
        if !purge.cleared.is_empty() {
            return Ok(swept.max(1));
        }
        let Some(after) = &purge.after else {
            purge.stage = Stage::Swept;
            return Ok(swept);
        };
        let rows = store.rows(self.slot, Some(after), rows_max.max(1))?;
        let looked_at = rows.len();
        let ended = rows.is_empty();
        let (mut last, mut passed) = (None, false);
        for (key, bytes) in rows {
            let family = |key: &RowKey| key.element().first().copied();
            if !key.is_of(&header.with_element(b"")) || family(&key) != family(header) {
                passed = true;
                break;
            }
            purge.has_work |= self.sweep_row(store, &key, &bytes)?;
            last = Some(key);
        }
        purge.after = last;
        if ended || passed {
            purge.after = None;
            purge.stage = Stage::Swept;
        }
        Ok(swept + looked_at)
    }

    /// Looks at one row of the disk; says whether it goes or changes.
    fn sweep_row(
        &mut self,
        store: &dyn Store,
        key: &RowKey,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        let name = key.element();
        let slot = self.slot;
        let has_work = self.with_collection(store, key, true, |collection| {
            if collection.is_removed(name) {
                return Ok(true);
            }
            if collection.note_stored(name) || element::is_mask(name) {
                return Ok(false);
            }
            if element::is_local(name) {
                let is_stale = !collection.is_derived(store, slot, name)?;
                if is_stale {
                    collection.remove(name, true);
                }
                return Ok(is_stale);
            }
            let mut row = decoded(name, bytes)?;
            let is_masked = collection.masks.apply(name, &mut row);
            match (is_masked, row.is_empty()) {
                (false, _) => {}
                (true, true) => collection.remove(name, true),
                (true, false) => collection.put(name, &row, true),
            }
            Ok(is_masked)
        })?;
        Ok(has_work.unwrap_or(false))
    }
}
