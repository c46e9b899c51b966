//! Which rows of a copy end when, so that what has expired is found without a look at all the rest.
//!
//! Entries of rows that wait for a checkpoint are in memory; the checkpoint takes them to the disk
//! with their rows. An entry may outlive what it was made for, if the row was written anew: when it
//! is due, the row is looked at, and the entry goes in any case.
//!
//! ```text
//! fresh ──take──▶ written ──settle──▶ the disk's ──due──▶ spent
//!   └──due──▶ gone                        gone ◀──settle── spending ◀──take──┘
//! ```

use std::collections::BTreeSet;

use larder_crdt::Row;

use crate::row_key::RowKey;
use crate::store::{Due, Slot, Store, StoreError};

/// What the allocator and the tree take for an entry beside the name's bytes.
const OVERHEAD: usize = 48;

#[derive(Debug, Clone, Default)]
pub(super) struct Deadlines {
    /// What the disk has not.
    fresh: BTreeSet<Due>,
    /// What is on its way to the disk.
    written: BTreeSet<Due>,
    /// What the disk has and is over.
    spent: Vec<Due>,
    /// What is about to go from the disk.
    spending: Vec<Due>,
    /// The last entry of the disk that is spent.
    after: Option<Due>,
    /// The second of the disk's first entry behind that; `None` if it is not known.
    next: Option<u64>,
    bytes: usize,
}

fn weight(key: &RowKey) -> usize {
    OVERHEAD + key.heap_bytes()
}

/// The seconds by whose beginning the siblings of a row have expired.
fn seconds(row: &Row) -> impl Iterator<Item = u64> + '_ {
    let deadlines = row.siblings().iter().filter_map(|sibling| sibling.deadline);
    deadlines.map(|deadline| deadline.get().div_ceil(1000))
}

impl Deadlines {
    /// No entries in memory; `complete` says that the disk has none either.
    pub(super) fn new(complete: bool) -> Self {
        Self {
            next: complete.then_some(u64::MAX),
            ..Self::default()
        }
    }

    /// About how many bytes of memory the entries take that wait for a checkpoint.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Notes the deadlines of a row that was changed.
    #[inline]
    pub(super) fn note(&mut self, key: &RowKey, row: &Row) {
        for second in seconds(row) {
            self.insert((second, key.clone()));
        }
    }

    /// Takes an entry back that could not be acted upon.
    pub(super) fn insert(&mut self, due: Due) {
        let weight = weight(&due.1);
        if self.fresh.insert(due) {
            self.bytes += weight;
        }
    }

    /// Whether an entry may be due.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        let now = now_ms / 1000;
        let fresh = self.fresh.first().is_some_and(|(second, _)| *second <= now);
        fresh || self.next.is_none_or(|next| next <= now)
    }

    /// Removes up to `max` entries that are due, of memory and disk.
    ///
    /// # Errors
    /// What the disk says; no entry is removed then.
    pub(super) fn take_due(
        &mut self,
        store: &dyn Store,
        slot: Slot,
        now_ms: u64,
        max: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let now = now_ms / 1000;
        let mut due = Vec::new();
        if max > 0 && self.next.is_none_or(|next| next <= now) {
            let found = store.deadlines(slot, self.after.as_ref(), max)?;
            self.next = (found.len() < max).then_some(u64::MAX);
            for entry in found {
                if entry.0 > now {
                    self.next = Some(entry.0);
                    break;
                }
                self.spent.push(entry.clone());
                self.after = Some(entry.clone());
                due.push(entry);
            }
        }
        while due.len() < max
            && let Some(entry) = self.fresh.pop_first()
        {
            if entry.0 > now {
                self.fresh.insert(entry);
                break;
            }
            self.bytes -= weight(&entry.1);
            due.push(entry);
        }
        Ok(due)
    }

    /// What the next checkpoint is to remove and to add, in this order: entries that `stands`
    /// denies are of rows that were written anew.
    pub(super) fn take(&mut self, stands: impl Fn(&Due) -> bool) -> Vec<(Due, bool)> {
        self.spending = std::mem::take(&mut self.spent);
        self.written = std::mem::take(&mut self.fresh);
        self.written.retain(stands);
        self.bytes = 0;
        let spent = self.spending.iter().map(|due| (due.clone(), false));
        let added = self.written.iter().map(|due| (due.clone(), true));
        spent.chain(added).collect()
    }

    /// After the entries of [`Deadlines::take`] reached the disk, or did not.
    pub(super) fn settle(&mut self, reached: bool) {
        let (written, mut spending) = (
            std::mem::take(&mut self.written),
            std::mem::take(&mut self.spending),
        );
        if !reached {
            written.into_iter().for_each(|due| self.insert(due));
            self.spent.append(&mut spending);
        } else if !written.is_empty() || !spending.is_empty() {
            // What was added may stand anywhere; what was spent is not met again.
            self.after = None;
            self.next = None;
        }
    }
}

/// Whether a sibling of the row is over by the beginning of `second`, and of none before.
pub(super) fn ends_in(row: &Row, second: u64) -> bool {
    seconds(row).any(|other| other == second)
}
