//! What every [`Store`] promises, as checks that run on any of them.
//!
//! A store's own tests call [`check`]; what only a crash shows is tested where crashes are made.

mod deadlines;

use crate::id::PartitionId;
use crate::limits::{ELEMENT_BYTES_MAX, KEY_BYTES_MAX, ROWS_BYTES_MAX};
use crate::row_key::RowKey;
use crate::store::{Checkpoint, RedoPosition, Slot, Store, StoreError, Stored};

/// Opens one disk; calling it again opens the same disk anew, after the last store was dropped.
pub type OpenDisk = Box<dyn FnMut() -> Box<dyn Store>>;

type Check = fn(&mut OpenDisk);
type Row = (Slot, RowKey, Option<Vec<u8>>);

/// Each claim with its check, which begins with an empty disk.
const CLAIMS: &[(&str, Check)] = &[
    ("an empty disk holds nothing", empty_disk_holds_nothing),
    (
        "rows are as the last checkpoint left them",
        rows_are_as_left,
    ),
    (
        "rows, copies and node come back after reopening",
        all_comes_back,
    ),
    ("a part written twice is there once", parts_are_idempotent),
    ("slots do not touch each other", slots_do_not_touch),
    (
        "scans are ascending and begin after the given key",
        scans_are_ascending,
    ),
    (
        "a position without a row is a place in a scan",
        scans_begin_anywhere,
    ),
    ("scans stop at their limits", scans_stop_at_limits),
    ("keys may hold any bytes", keys_hold_any_bytes),
    ("values may be large", values_may_be_large),
    (
        "a removed copy takes its own rows along",
        removed_copy_takes_its_rows,
    ),
    (
        "deadlines come ascending and are as last told",
        deadlines::are_ascending,
    ),
    (
        "a removed copy takes its own deadlines along",
        deadlines::go_with_their_copy,
    ),
    (
        "copies come ascending and the node's bytes stay",
        stored_is_the_last,
    ),
    ("positions ascend, also after reopening", positions_ascend),
    (
        "redo is replayed in order, as it was appended",
        redo_is_replayed,
    ),
    ("a replay stops at the first error", replay_stops),
    (
        "finishing a checkpoint forgets redo up to its position",
        finishing_forgets,
    ),
    (
        "redo is kept until a checkpoint is finished",
        unfinished_keeps_redo,
    ),
    (
        "parts of an unfinished checkpoint survive in order",
        parts_survive_in_order,
    ),
];

/// Checks all claims, each on a disk of its own.
///
/// # Panics
/// If one does not hold; the claim is in the message.
pub fn check(new_disk: &mut dyn FnMut() -> OpenDisk) {
    for (claim, check) in CLAIMS {
        let mut disk = new_disk();
        let checked = std::panic::AssertUnwindSafe(|| check(&mut disk));
        if let Err(panic) = std::panic::catch_unwind(checked) {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
            panic!("{claim}: {}", message.unwrap_or("it does not hold"));
        }
    }
}

fn slot(partition: u16, number: u32) -> Slot {
    Slot {
        partition: PartitionId(partition),
        number,
    }
}

fn key(hash: u64) -> RowKey {
    RowKey::new(hash, 0, b"key", b"element")
}

fn put(slot: Slot, hash: u64, row: &[u8]) -> Row {
    (slot, key(hash), Some(row.to_vec()))
}

fn write(store: &dyn Store, rows: Vec<Row>) {
    let part = Checkpoint {
        rows,
        ..Checkpoint::default()
    };
    store.checkpoint(&part).expect("a part is written");
}

fn write_copies(store: &dyn Store, copies: &[(Slot, Option<&[u8]>)]) {
    let copies = copies
        .iter()
        .map(|(slot, copy)| (*slot, copy.map(<[u8]>::to_vec)))
        .collect();
    let part = Checkpoint {
        copies,
        ..Checkpoint::default()
    };
    store.checkpoint(&part).expect("a part is written");
}

fn finish(store: &dyn Store, position: u64) {
    store
        .finish_checkpoint(RedoPosition(position))
        .expect("a checkpoint is finished");
}

fn append(store: &dyn Store, redo: &[u8]) -> u64 {
    store.append(redo).expect("redo is appended").0
}

fn row(store: &dyn Store, slot: Slot, hash: u64) -> Option<Vec<u8>> {
    store.row(slot, &key(hash)).expect("a row is read")
}

fn rows(
    store: &dyn Store,
    slot: Slot,
    after: Option<&RowKey>,
    rows_max: usize,
) -> Vec<(RowKey, Vec<u8>)> {
    store.rows(slot, after, rows_max).expect("rows are read")
}

/// The hashes of all rows of a slot.
fn hashes(store: &dyn Store, slot: Slot) -> Vec<u64> {
    rows(store, slot, None, usize::MAX)
        .iter()
        .map(|(key, _)| key.hash())
        .collect()
}

fn replay(store: &dyn Store) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    let mut each = |position: RedoPosition, redo: &[u8]| {
        found.push((position.0, redo.to_vec()));
        Ok(())
    };
    store.replay(&mut each).expect("redo is replayed");
    found
}

fn positions(store: &dyn Store) -> Vec<u64> {
    replay(store)
        .into_iter()
        .map(|(position, _)| position)
        .collect()
}

fn empty_disk_holds_nothing(open: &mut OpenDisk) {
    for _ in 0..2 {
        let store = open();
        assert_eq!(store.stored(), Ok(Stored::default()));
        assert_eq!(replay(&*store), []);
        assert_eq!(store.redo_bytes(), 0);
        assert_eq!(row(&*store, slot(0, 0), 0), None);
        assert_eq!(hashes(&*store, slot(0, 0)), [0; 0]);
        assert_eq!(store.sync(), Ok(()));
        write(&*store, Vec::new());
        finish(&*store, 0);
    }
}

fn rows_are_as_left(open: &mut OpenDisk) {
    let store = open();
    let slot = slot(1, 1);
    write(
        &*store,
        vec![
            put(slot, 1, b"one"),
            put(slot, 2, b"two"),
            put(slot, 3, b""),
        ],
    );
    assert_eq!(
        row(&*store, slot, 1).as_deref(),
        Some(&b"one"[..]),
        "without finishing"
    );
    finish(&*store, 0);
    write(
        &*store,
        vec![
            put(slot, 1, b"new"),
            (slot, key(2), None),
            (slot, key(9), None),
        ],
    );
    for _ in 0..2 {
        assert_eq!(row(&*store, slot, 1).as_deref(), Some(&b"new"[..]));
        assert_eq!(row(&*store, slot, 2), None);
        assert_eq!(row(&*store, slot, 3).as_deref(), Some(&b""[..]));
        assert_eq!(hashes(&*store, slot), [1, 3]);
        finish(&*store, 0);
    }
}

fn all_comes_back(open: &mut OpenDisk) {
    let slot = slot(3, 4);
    let part = Checkpoint {
        rows: vec![put(slot, 5, b"row")],
        deadlines: vec![],
        copies: vec![(slot, Some(b"copy".to_vec()))],
        node: Some(b"node".to_vec()),
    };
    let store = open();
    store.checkpoint(&part).expect("a part is written");
    finish(&*store, 0);
    drop(store);
    let stored = Stored {
        node: part.node,
        copies: vec![(slot, b"copy".to_vec())],
    };
    for _ in 0..2 {
        let store = open();
        assert_eq!(store.stored().as_ref(), Ok(&stored));
        assert_eq!(row(&*store, slot, 5).as_deref(), Some(&b"row"[..]));
    }
}

fn parts_are_idempotent(open: &mut OpenDisk) {
    let slot = slot(3, 4);
    let part = Checkpoint {
        rows: vec![put(slot, 5, b"row"), (slot, key(6), None)],
        deadlines: vec![],
        copies: vec![(slot, Some(b"copy".to_vec()))],
        node: Some(b"node".to_vec()),
    };
    for _ in 0..3 {
        let store = open();
        store.checkpoint(&part).expect("a part is written");
        store.checkpoint(&part).expect("a part is written");
        finish(&*store, 0);
        finish(&*store, 0);
        assert_eq!(hashes(&*store, slot), [5]);
        assert_eq!(store.stored().map(|stored| stored.copies.len()), Ok(1));
    }
}

const SLOTS: [(u16, u32); 7] = [
    (0, 0),
    (0, 1),
    (0, u32::MAX),
    (1, 0),
    (256, 1),
    (u16::MAX, 0),
    (u16::MAX, u32::MAX),
];

fn slots_do_not_touch(open: &mut OpenDisk) {
    let store = open();
    for (index, (partition, number)) in (0..).zip(SLOTS) {
        let slot = slot(partition, number);
        write(
            &*store,
            vec![
                put(slot, index, b"own"),
                put(slot, u64::MAX, &[index as u8]),
            ],
        );
    }
    for (index, (partition, number)) in (0..).zip(SLOTS) {
        let slot = slot(partition, number);
        assert_eq!(hashes(&*store, slot), [index, u64::MAX]);
        assert_eq!(row(&*store, slot, u64::MAX), Some(vec![index as u8]));
        assert_eq!(row(&*store, slot, index + 1), None);
        assert_eq!(rows(&*store, slot, Some(&key(u64::MAX)), 10), []);
    }
}

fn scans_are_ascending(open: &mut OpenDisk) {
    let store = open();
    let slot = slot(7, 7);
    write(
        &*store,
        (0..50).map(|hash| put(slot, hash * 4, b"a")).collect(),
    );
    finish(&*store, 0);
    write(
        &*store,
        (0..50).map(|hash| put(slot, hash * 4 + 2, b"b")).collect(),
    );
    write(
        &*store,
        (0..25).map(|hash| (slot, key(hash * 8), None)).collect(),
    );
    let left: Vec<_> = (0..100)
        .map(|hash| hash * 2)
        .filter(|hash| hash % 8 != 0)
        .collect();
    assert_eq!(hashes(&*store, slot), left);
    for page in [1, 7, 75, 1000] {
        let mut found: Vec<(RowKey, Vec<u8>)> = Vec::new();
        loop {
            let after = found.last().map(|(key, _)| key.clone());
            let next = rows(&*store, slot, after.as_ref(), page);
            assert!(next.len() <= page);
            if next.is_empty() {
                break;
            }
            found.extend(next);
        }
        assert_eq!(
            found.iter().map(|(key, _)| key.hash()).collect::<Vec<_>>(),
            left
        );
        let expected = |key: &RowKey| {
            if key.hash().is_multiple_of(4) {
                b"a"
            } else {
                b"b"
            }
        };
        assert!(found.iter().all(|(key, row)| row == expected(key)));
    }
}

fn scans_begin_anywhere(open: &mut OpenDisk) {
    let store = open();
    let slot = slot(7, 7);
    write(
        &*store,
        [10, 20, 30].map(|hash| put(slot, hash, b"row")).to_vec(),
    );
    for (hash, left) in [(0, 3), (10, 3), (11, 2), (20, 2), (21, 1), (30, 1), (31, 0)] {
        let after = RowKey::at_hash(hash);
        assert_eq!(
            rows(&*store, slot, Some(&after), 10).len(),
            left,
            "at the hash {hash}"
        );
        let left = left - usize::from([10, 20, 30].contains(&hash));
        assert_eq!(
            rows(&*store, slot, Some(&key(hash)), 10).len(),
            left,
            "after {hash}"
        );
    }
}

fn scans_stop_at_limits(open: &mut OpenDisk) {
    let store = open();
    let slot = slot(1, 2);
    let large = vec![1; ROWS_BYTES_MAX / 4];
    write(
        &*store,
        (0..10).map(|hash| put(slot, hash, &large)).collect(),
    );
    assert_eq!(rows(&*store, slot, None, 0), []);
    assert_eq!(rows(&*store, slot, None, 3).len(), 3);
    let found = rows(&*store, slot, None, usize::MAX).len();
    assert!(
        (3..=5).contains(&found),
        "about a mebibyte, not {found} quarters"
    );
    write(&*store, vec![put(slot, 0, &vec![2; 3 * ROWS_BYTES_MAX])]);
    assert_eq!(
        rows(&*store, slot, None, usize::MAX).len(),
        1,
        "a large row comes alone"
    );
}

fn keys_hold_any_bytes(open: &mut OpenDisk) {
    let store = open();
    let slot = slot(5, 5);
    let mut names: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    names.extend([
        vec![],
        vec![0, 0],
        vec![255, 255],
        vec![255; 300],
        (0..=255).collect(),
    ]);
    names.push(vec![255; KEY_BYTES_MAX.min(ELEMENT_BYTES_MAX)]);
    let mut keys = Vec::new();
    for hash in [0, 1, 255, 256, u64::MAX] {
        for database in [0, 15] {
            keys.extend(
                names
                    .iter()
                    .map(|name| RowKey::new(hash, database, name, b"")),
            );
            keys.extend(
                names
                    .iter()
                    .map(|name| RowKey::new(hash, database, b"", name)),
            );
        }
        keys.push(RowKey::new(hash, 0, b"a\0b", b"c"));
        keys.push(RowKey::new(hash, 0, b"a", b"\0bc"));
    }
    keys.sort();
    keys.dedup();
    let numbered = |index: usize| index.to_be_bytes().to_vec();
    let rows_of = |(index, key): (usize, &RowKey)| (slot, key.clone(), Some(numbered(index)));
    write(&*store, keys.iter().enumerate().map(rows_of).collect());
    finish(&*store, 0);
    drop(store);
    let store = open();
    for (index, key) in keys.iter().enumerate() {
        assert_eq!(store.row(slot, key), Ok(Some(numbered(index))), "{key:?}");
        let next = rows(&*store, slot, Some(key), 1);
        assert_eq!(
            next.first().map(|(key, _)| key),
            keys.get(index + 1),
            "after {key:?}"
        );
    }
}

fn values_may_be_large(open: &mut OpenDisk) {
    const LARGE: usize = 20 << 20;
    let store = open();
    let slot = slot(5, 5);
    let pattern = |seed: u32| -> Vec<u8> {
        let step = |word: &u32| Some(word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        let words = std::iter::successors(Some(seed), step);
        words.map(|word| (word >> 24) as u8).take(LARGE).collect()
    };
    append(&*store, b"before");
    append(&*store, &pattern(1));
    append(&*store, b"after");
    store.sync().expect("redo is synced");
    write(
        &*store,
        vec![put(slot, 1, &pattern(2)), put(slot, 2, b"small")],
    );
    write_copies(&*store, &[(slot, Some(&pattern(3)))]);
    finish(&*store, 1);
    drop(store);
    let store = open();
    assert!(replay(&*store) == [(2, pattern(1)), (3, b"after".to_vec())]);
    assert!(row(&*store, slot, 1) == Some(pattern(2)));
    assert!(rows(&*store, slot, None, 10) == [(key(1), pattern(2))]);
    assert!(store.stored().map(|stored| stored.copies) == Ok(vec![(slot, pattern(3))]));
}

fn removed_copy_takes_its_rows(open: &mut OpenDisk) {
    for (partition, number) in SLOTS {
        let gone = slot(partition, number);
        let store = open();
        for (partition, number) in SLOTS {
            let slot = slot(partition, number);
            write(
                &*store,
                (0..5).map(|hash| put(slot, hash, b"row")).collect(),
            );
            write_copies(&*store, &[(slot, Some(b"copy"))]);
        }
        finish(&*store, 0);
        // Rows of the same part do not outlive the copy.
        let part = Checkpoint {
            rows: vec![put(gone, 3, b"late"), put(gone, 9, b"late")],
            deadlines: vec![],
            copies: vec![(gone, None)],
            node: None,
        };
        store.checkpoint(&part).expect("a part is written");
        let check = |store: &dyn Store| {
            for (partition, number) in SLOTS {
                let slot = slot(partition, number);
                let left = if slot == gone { 0 } else { 5 };
                assert_eq!(hashes(store, slot).len(), left, "{slot:?} without {gone:?}");
                assert_eq!(row(store, slot, 3).is_some(), slot != gone);
            }
            let copies = store.stored().expect("copies are read").copies;
            assert_eq!(copies.len(), SLOTS.len() - 1);
            assert!(copies.iter().all(|(slot, _)| *slot != gone));
        };
        check(&*store);
        finish(&*store, 0);
        drop(store);
        check(&*open());
    }
}

fn stored_is_the_last(open: &mut OpenDisk) {
    let store = open();
    let mut slots = SLOTS.map(|(partition, number)| slot(partition, number));
    slots.reverse();
    for slot in slots {
        write_copies(&*store, &[(slot, Some(b"old"))]);
        write_copies(&*store, &[(slot, Some(b"new"))]);
    }
    let node = |node: &[u8]| Checkpoint {
        node: Some(node.to_vec()),
        ..Checkpoint::default()
    };
    store.checkpoint(&node(b"old")).expect("a part is written");
    store.checkpoint(&node(b"new")).expect("a part is written");
    store
        .checkpoint(&Checkpoint::default())
        .expect("a part is written");
    finish(&*store, 0);
    drop(store);
    slots.sort();
    let copies = slots.map(|slot| (slot, b"new".to_vec())).to_vec();
    assert_eq!(
        open().stored(),
        Ok(Stored {
            node: Some(b"new".to_vec()),
            copies
        })
    );
}

fn positions_ascend(open: &mut OpenDisk) {
    let mut next = 1;
    for forgotten in [0, 0, 3, 0, 15, 18, 0, 24] {
        let store = open();
        for _ in 0..3 {
            assert_eq!(append(&*store, b"redo"), next);
            next += 1;
        }
        if forgotten > 0 {
            finish(&*store, forgotten);
        }
    }
    let store = open();
    assert_eq!(positions(&*store), [0; 0], "all was forgotten");
    assert_eq!(append(&*store, b"redo"), next);
}

fn redo_is_replayed(open: &mut OpenDisk) {
    let mut appended = Vec::new();
    for round in 0..4u8 {
        let store = open();
        assert_eq!(replay(&*store), appended);
        assert_eq!(replay(&*store), appended, "a second time");
        for length in [0, 1, 23, 24, 25, 4096, 40_000] {
            let redo = vec![round; length];
            appended.push((append(&*store, &redo), redo));
        }
        if round % 2 == 0 {
            store.sync().expect("redo is synced");
        }
    }
    assert_eq!(replay(&*open()), appended);
}

fn replay_stops(open: &mut OpenDisk) {
    let store = open();
    for _ in 0..5 {
        append(&*store, b"redo");
    }
    drop(store);
    let mut seen = 0;
    let mut each = |position: RedoPosition, _: &[u8]| {
        seen += 1;
        if position.0 == 3 {
            Err(StoreError::Damaged("three".to_owned()))
        } else {
            Ok(())
        }
    };
    let stopped = open().replay(&mut each);
    assert_eq!(
        (stopped, seen),
        (Err(StoreError::Damaged("three".to_owned())), 3)
    );
}

fn finishing_forgets(open: &mut OpenDisk) {
    let store = open();
    for _ in 0..100 {
        append(&*store, &[1; 1000]);
    }
    let all = store.redo_bytes();
    assert!((100_000..110_000).contains(&all), "{all}");
    finish(&*store, 60);
    let some = store.redo_bytes();
    assert!((40_000..44_000).contains(&some), "{some}");
    finish(&*store, 30);
    finish(&*store, 0);
    assert_eq!(
        store.redo_bytes(),
        some,
        "what was forgotten stays forgotten"
    );
    drop(store);
    let store = open();
    assert_eq!(positions(&*store), (61..=100).collect::<Vec<_>>());
    let again = store.redo_bytes();
    assert!((40_000..44_000).contains(&again), "{again}");
    finish(&*store, 100);
    assert_eq!(store.redo_bytes(), 0);
    append(&*store, &[1; 1000]);
    assert!((1000..1100).contains(&store.redo_bytes()));
    drop(store);
    assert_eq!(positions(&*open()), [101]);
}

fn unfinished_keeps_redo(open: &mut OpenDisk) {
    let store = open();
    append(&*store, b"redo");
    write(&*store, vec![put(slot(1, 1), 1, b"row")]);
    drop(store);
    assert_eq!(positions(&*open()), [1]);
}

fn parts_survive_in_order(open: &mut OpenDisk) {
    let store = open();
    for number in 1..=20 {
        let slot = slot(2, number);
        let part = Checkpoint {
            rows: vec![put(slot, 1, b"row"), put(slot, 2, b"row")],
            deadlines: vec![],
            copies: vec![(slot, Some(b"copy".to_vec()))],
            node: Some(number.to_be_bytes().to_vec()),
        };
        store.checkpoint(&part).expect("a part is written");
        if number == 10 {
            finish(&*store, 0);
        }
    }
    drop(store);
    let store = open();
    let stored = store.stored().expect("copies are read");
    let survived = u32::try_from(stored.copies.len()).expect("there are twenty");
    assert!((10..=20).contains(&survived));
    assert_eq!(stored.node, Some(survived.to_be_bytes().to_vec()));
    for number in 1..=20 {
        let left = if number <= survived {
            vec![1, 2]
        } else {
            Vec::new()
        };
        assert_eq!(
            hashes(&*store, slot(2, number)),
            left,
            "part {number} of {survived}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{OpenDisk, check};
    use crate::memory_store::MemoryStore;

    #[test]
    fn memory_keeps_the_contract() {
        for parts in [0, 3, usize::MAX] {
            check(&mut || -> OpenDisk {
                let mut disk = MemoryStore::new();
                Box::new(move || {
                    disk = disk.crash_kill(parts);
                    Box::new(disk.clone())
                })
            });
        }
    }
}
