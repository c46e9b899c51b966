//! A disk that is memory, for the simulator and for tests.
//!
//! It does what [`Store`] promises and no more: it knows which redo was synced and which parts of a
//! checkpoint were finished, so that a crash may take everything that a real disk may lose.
//!
//! ```text
//! redo            forgotten | synced: survives a power cut | appended: survives a kill
//! checkpoint      finished: survives all                   | parts: a crash keeps the first few
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::limits::ROWS_BYTES_MAX;
use crate::row_key::RowKey;
use crate::store::{Checkpoint, Due, RedoPosition, Slot, Store, StoreError, Stored};

/// A disk in memory. Clones are handles of the same disk; a crash gives a disk of its own, on which
/// the handles of the crashed process can do no more harm.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    disk: Arc<Mutex<Disk>>,
}

/// What a power cut leaves of that which need not survive it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survivors {
    /// How many of the redo records since the last sync, the oldest first.
    pub records: usize,
    /// How many of the unfinished checkpoint's parts, the oldest first.
    pub parts: usize,
}

#[derive(Debug, Clone, Default)]
struct Disk {
    tables: Tables,
    /// How to take each unfinished part back, the oldest first.
    parts: Vec<Vec<Change>>,
    redo: VecDeque<Vec<u8>>,
    redo_bytes: u64,
    appended: u64,
    synced: u64,
    writes: Writes,
    /// The most rows that one scan gives, unless 0.
    scan_rows: usize,
}

impl Disk {
    fn scan_rows(&self, asked: usize) -> usize {
        match self.scan_rows {
            0 => asked,
            most => asked.min(most),
        }
    }
}

#[derive(Debug, Clone, Default)]
enum Writes {
    #[default]
    Accepted,
    FailNext(StoreError),
    Stopped(String),
}

#[derive(Debug, Clone, Default)]
struct Tables {
    rows: BTreeMap<Slot, BTreeMap<RowKey, Vec<u8>>>,
    deadlines: BTreeMap<Slot, BTreeSet<Due>>,
    copies: BTreeMap<Slot, Vec<u8>>,
    node: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
enum Change {
    Row(Slot, RowKey, Option<Vec<u8>>),
    Rows(Slot, BTreeMap<RowKey, Vec<u8>>),
    Deadline(Slot, Due, bool),
    Deadlines(Slot, BTreeSet<Due>),
    Copy(Slot, Option<Vec<u8>>),
    Node(Option<Vec<u8>>),
}

impl MemoryStore {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The disk as it is found after the process was killed: with all redo, and with the first
    /// `parts` parts of an unfinished checkpoint.
    #[must_use]
    pub fn crash_kill(&self, parts: usize) -> Self {
        self.crash_power(Survivors {
            records: usize::MAX,
            parts,
        })
    }

    /// The disk as it is found after a power cut.
    #[must_use]
    pub fn crash_power(&self, survivors: Survivors) -> Self {
        let mut disk = self.disk.lock().clone();
        disk.writes = Writes::Accepted;
        while disk.parts.len() > survivors.parts {
            let undo = disk.parts.pop().expect("there are more parts than survive");
            disk.tables.apply(undo);
        }
        disk.parts.clear();
        let unsynced = usize::try_from(disk.appended - disk.synced).unwrap_or(usize::MAX);
        for _ in survivors.records.min(unsynced)..unsynced {
            let lost = disk
                .redo
                .pop_back()
                .expect("unsynced redo is never forgotten");
            disk.redo_bytes -= lost.len() as u64;
            disk.appended -= 1;
        }
        disk.synced = disk.appended;
        Self {
            disk: Arc::new(Mutex::new(disk)),
        }
    }

    /// Lets the next write fail with `error`, and all later ones with [`StoreError::Stopped`].
    pub fn fail_writes(&self, error: StoreError) {
        self.disk.lock().writes = Writes::FailNext(error);
    }

    /// Lets scans give at most `rows` rows at a time, as a disk with long rows does.
    pub fn limit_scans(&self, rows: usize) {
        self.disk.lock().scan_rows = rows;
    }

    /// Forgets everything: a new, empty disk in place of the old one.
    pub fn wipe(&self) {
        *self.disk.lock() = Disk::default();
    }

    /// How many redo records a power cut may take now.
    #[must_use]
    pub fn records_unsynced(&self) -> usize {
        let disk = self.disk.lock();
        usize::try_from(disk.appended - disk.synced).unwrap_or(usize::MAX)
    }

    /// How many parts of a checkpoint a crash may take now.
    #[must_use]
    pub fn parts_unfinished(&self) -> usize {
        self.disk.lock().parts.len()
    }
}

impl Store for MemoryStore {
    fn row(&self, slot: Slot, key: &RowKey) -> Result<Option<Vec<u8>>, StoreError> {
        let disk = self.disk.lock();
        Ok(disk
            .tables
            .rows
            .get(&slot)
            .and_then(|rows| rows.get(key))
            .cloned())
    }

    fn rows(
        &self,
        slot: Slot,
        after: Option<&RowKey>,
        rows_max: usize,
    ) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        let disk = self.disk.lock();
        let Some(rows) = disk.tables.rows.get(&slot) else {
            return Ok(Vec::new());
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut found = Vec::new();
        let mut bytes = 0;
        for (key, row) in rows
            .range((from, Bound::Unbounded))
            .take(disk.scan_rows(rows_max))
        {
            if bytes >= ROWS_BYTES_MAX {
                break;
            }
            bytes += key.heap_bytes() + row.len();
            found.push((key.clone(), row.clone()));
        }
        Ok(found)
    }

    fn rows_before(
        &self,
        slot: Slot,
        before: &RowKey,
        rows_max: usize,
    ) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        let disk = self.disk.lock();
        let Some(rows) = disk.tables.rows.get(&slot) else {
            return Ok(Vec::new());
        };
        let range = rows.range((Bound::Unbounded, Bound::Excluded(before)));
        let mut found = Vec::new();
        let mut bytes = 0;
        for (key, row) in range.rev().take(disk.scan_rows(rows_max)) {
            if bytes >= ROWS_BYTES_MAX {
                break;
            }
            bytes += key.heap_bytes() + row.len();
            found.push((key.clone(), row.clone()));
        }
        Ok(found)
    }

    fn deadlines(
        &self,
        slot: Slot,
        after: Option<&Due>,
        max: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let disk = self.disk.lock();
        let Some(deadlines) = disk.tables.deadlines.get(&slot) else {
            return Ok(Vec::new());
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let found = deadlines.range((from, Bound::Unbounded)).take(max);
        Ok(found.cloned().collect())
    }

    fn append(&self, redo: &[u8]) -> Result<RedoPosition, StoreError> {
        let mut disk = self.disk.lock();
        disk.admit_write()?;
        disk.redo.push_back(redo.to_vec());
        disk.redo_bytes += redo.len() as u64;
        disk.appended += 1;
        Ok(RedoPosition(disk.appended))
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut disk = self.disk.lock();
        disk.admit_write()?;
        disk.synced = disk.appended;
        Ok(())
    }

    fn checkpoint(&self, part: &Checkpoint) -> Result<(), StoreError> {
        let mut disk = self.disk.lock();
        disk.admit_write()?;
        disk.synced = disk.appended;
        let undo = disk.tables.apply(changes(part));
        disk.parts.push(undo);
        Ok(())
    }

    fn finish_checkpoint(&self, position: RedoPosition) -> Result<(), StoreError> {
        let mut disk = self.disk.lock();
        disk.admit_write()?;
        assert!(
            position.0 <= disk.appended,
            "only appended redo can be forgotten"
        );
        disk.synced = disk.appended;
        disk.parts.clear();
        while disk.appended - (disk.redo.len() as u64) < position.0 {
            let forgotten = disk
                .redo
                .pop_front()
                .expect("redo reaches beyond the position");
            disk.redo_bytes -= forgotten.len() as u64;
        }
        Ok(())
    }

    fn stored(&self) -> Result<Stored, StoreError> {
        let disk = self.disk.lock();
        let copies = disk
            .tables
            .copies
            .iter()
            .map(|(slot, copy)| (*slot, copy.clone()))
            .collect();
        Ok(Stored {
            node: disk.tables.node.clone(),
            copies,
        })
    }

    fn replay(
        &self,
        each: &mut dyn FnMut(RedoPosition, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let (forgotten, redo) = {
            let disk = self.disk.lock();
            (disk.appended - disk.redo.len() as u64, disk.redo.clone())
        };
        for (position, record) in (forgotten + 1..).zip(&redo) {
            each(RedoPosition(position), record)?;
        }
        Ok(())
    }

    fn redo_bytes(&self) -> u64 {
        self.disk.lock().redo_bytes
    }
}

impl Disk {
    fn admit_write(&mut self) -> Result<(), StoreError> {
        match mem::take(&mut self.writes) {
            Writes::Accepted => Ok(()),
            Writes::FailNext(error) => {
                self.writes = Writes::Stopped(error.to_string());
                Err(error)
            }
            Writes::Stopped(reason) => {
                self.writes = Writes::Stopped(reason.clone());
                Err(StoreError::Stopped(reason))
            }
        }
    }
}

impl Tables {
    /// Makes the changes in order; what is returned takes them back.
    fn apply(&mut self, changes: Vec<Change>) -> Vec<Change> {
        let mut undo: Vec<_> = changes
            .into_iter()
            .map(|change| self.swap(change))
            .collect();
        undo.reverse();
        undo
    }

    fn swap(&mut self, change: Change) -> Change {
        match change {
            Change::Row(slot, key, row) => {
                let rows = self.rows.entry(slot).or_default();
                let before = match row {
                    Some(row) => rows.insert(key.clone(), row),
                    None => rows.remove(&key),
                };
                if rows.is_empty() {
                    self.rows.remove(&slot);
                }
                Change::Row(slot, key, before)
            }
            Change::Rows(slot, rows) => {
                let before = if rows.is_empty() {
                    self.rows.remove(&slot)
                } else {
                    self.rows.insert(slot, rows)
                };
                Change::Rows(slot, before.unwrap_or_default())
            }
            Change::Deadline(slot, due, is_there) => {
                let deadlines = self.deadlines.entry(slot).or_default();
                let was_there = if is_there {
                    !deadlines.insert(due.clone())
                } else {
                    deadlines.remove(&due)
                };
                if deadlines.is_empty() {
                    self.deadlines.remove(&slot);
                }
                Change::Deadline(slot, due, was_there)
            }
            Change::Deadlines(slot, deadlines) => {
                let before = if deadlines.is_empty() {
                    self.deadlines.remove(&slot)
                } else {
                    self.deadlines.insert(slot, deadlines)
                };
                Change::Deadlines(slot, before.unwrap_or_default())
            }
            Change::Copy(slot, copy) => Change::Copy(
                slot,
                match copy {
                    Some(copy) => self.copies.insert(slot, copy),
                    None => self.copies.remove(&slot),
                },
            ),
            Change::Node(node) => Change::Node(mem::replace(&mut self.node, node)),
        }
    }
}

/// The removal of a copy comes last: it also removes the rows of the same part.
fn changes(part: &Checkpoint) -> Vec<Change> {
    let rows = part
        .rows
        .iter()
        .cloned()
        .map(|(slot, key, row)| Change::Row(slot, key, row));
    let copies = part
        .copies
        .iter()
        .cloned()
        .map(|(slot, copy)| Change::Copy(slot, copy));
    let removed = part.copies.iter().filter(|(_, copy)| copy.is_none());
    let removed = removed.flat_map(|(slot, _)| {
        [
            Change::Rows(*slot, BTreeMap::new()),
            Change::Deadlines(*slot, BTreeSet::new()),
        ]
    });
    let deadlines = part
        .deadlines
        .iter()
        .map(|(slot, due, is_there)| Change::Deadline(*slot, due.clone(), *is_there));
    let node = part
        .node
        .iter()
        .map(|node| Change::Node(Some(node.clone())));
    rows.chain(deadlines)
        .chain(copies)
        .chain(removed)
        .chain(node)
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::id::PartitionId;

    const SLOT: Slot = Slot {
        partition: PartitionId(3),
        number: 1,
    };

    fn part(row: &[u8], node: &[u8]) -> Checkpoint {
        Checkpoint {
            rows: vec![(SLOT, RowKey::new(7, 0, b"key", b""), Some(row.to_vec()))],
            copies: vec![(SLOT, Some(row.to_vec()))],
            node: Some(node.to_vec()),
            ..Checkpoint::default()
        }
    }

    fn positions(store: &MemoryStore) -> Vec<u64> {
        let mut positions = Vec::new();
        let mut each = |position: RedoPosition, _: &[u8]| {
            positions.push(position.0);
            Ok(())
        };
        store.replay(&mut each).expect("memory does not fail");
        positions
    }

    #[test]
    fn kill_keeps_all_redo_and_power_cut_what_was_synced() {
        let store = MemoryStore::new();
        for record in [b"a", b"b", b"c", b"d"] {
            store.append(record).unwrap();
            if record == b"b" {
                store.sync().unwrap();
            }
        }
        assert_eq!(store.records_unsynced(), 2);
        assert_eq!(positions(&store.crash_kill(0)), [1, 2, 3, 4]);
        for (records, left) in [(0, 2), (1, 3), (2, 4), (usize::MAX, 4)] {
            let found = store.crash_power(Survivors { records, parts: 0 });
            assert_eq!(positions(&found), (1..=left).collect::<Vec<_>>());
            assert_eq!(found.redo_bytes(), left);
            assert_eq!(found.append(b"e").unwrap(), RedoPosition(left + 1));
        }
        assert_eq!(
            positions(&store),
            [1, 2, 3, 4],
            "the crashed disk itself is untouched"
        );
    }

    #[test]
    fn crash_keeps_the_first_parts_of_an_unfinished_checkpoint() {
        let store = MemoryStore::new();
        store.checkpoint(&part(b"old", b"node")).unwrap();
        store.finish_checkpoint(RedoPosition(0)).unwrap();
        store.checkpoint(&part(b"new", b"node")).unwrap();
        let removal = Checkpoint {
            copies: vec![(SLOT, None)],
            ..Checkpoint::default()
        };
        store.checkpoint(&removal).unwrap();
        assert_eq!(store.parts_unfinished(), 2);
        let key = RowKey::new(7, 0, b"key", b"");
        for (parts, row) in [(0, Some("old")), (1, Some("new")), (2, None)] {
            let found = store.crash_kill(parts);
            let row = row.map(|row| row.as_bytes().to_vec());
            assert_eq!(found.row(SLOT, &key).unwrap(), row);
            let copies = found.stored().unwrap().copies;
            assert_eq!(
                copies,
                row.map(|row| (SLOT, row)).into_iter().collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn a_part_is_never_durable_before_the_redo_it_came_from() {
        let store = MemoryStore::new();
        store.append(b"a").unwrap();
        store.checkpoint(&part(b"row", b"node")).unwrap();
        let found = store.crash_power(Survivors {
            records: 0,
            parts: 1,
        });
        assert_eq!(positions(&found), [1]);
    }

    #[test]
    fn failed_write_stops_writes_until_reopened() {
        let store = MemoryStore::new();
        store.append(b"a").unwrap();
        store.fail_writes(StoreError::Full);
        assert_eq!(store.append(b"b"), Err(StoreError::Full));
        let stopped = StoreError::Stopped(StoreError::Full.to_string());
        assert_eq!(store.append(b"b"), Err(stopped.clone()));
        assert_eq!(store.sync(), Err(stopped.clone()));
        assert_eq!(
            store.checkpoint(&Checkpoint::default()),
            Err(stopped.clone())
        );
        assert_eq!(store.finish_checkpoint(RedoPosition(1)), Err(stopped));
        let reopened = store.crash_kill(0);
        assert_eq!(reopened.append(b"b").unwrap(), RedoPosition(2));
    }

    #[test]
    fn wiped_disk_is_empty() {
        let store = MemoryStore::new();
        store.append(b"a").unwrap();
        store.checkpoint(&part(b"row", b"node")).unwrap();
        store.wipe();
        assert_eq!(store.stored().unwrap(), Stored::default());
        assert_eq!(positions(&store), [0; 0]);
    }
}
