//! RocksDB and our redo keep the contract of a store, and behave as the disk in memory.

mod common;

use std::sync::Mutex;
use std::thread;

use common::{Numbers, key, must_open, replay};
use larder_cluster::id::PartitionId;
use larder_cluster::memory_store::MemoryStore;
use larder_cluster::store::{Checkpoint, RedoPosition, Slot, Store};
use larder_cluster::store_contract::{self, OpenDisk};

#[test]
fn rocks_keeps_the_contract() {
    store_contract::check(&mut || -> OpenDisk {
        let directory = tempfile::tempdir().expect("a directory is made");
        Box::new(move || Box::new(must_open(directory.path())))
    });
}

/// Random checkpoints, scans and openings; every answer must be that of the disk in memory.
#[test]
fn rocks_answers_as_memory_does() {
    for seed in 0..20 {
        let directory = tempfile::tempdir().expect("a directory is made");
        let mut numbers = Numbers(seed);
        let (mut rocks, memory) = (must_open(directory.path()), MemoryStore::new());
        for _ in 0..300 {
            match numbers.below(12) {
                0 => {
                    finish(&rocks, &memory, &mut numbers);
                    drop(rocks);
                    rocks = must_open(directory.path());
                }
                1 => finish(&rocks, &memory, &mut numbers),
                2..5 => {
                    let redo = vec![7; numbers.below(5000) as usize];
                    assert_eq!(rocks.append(&redo), memory.append(&redo), "seed {seed}");
                }
                5..8 => {
                    let part = random_part(&mut numbers);
                    assert_eq!(rocks.checkpoint(&part), Ok(()));
                    assert_eq!(memory.checkpoint(&part), Ok(()));
                }
                _ => {
                    let (slot, hash) = (random_slot(&mut numbers), numbers.below(64));
                    let rows_max = numbers.below(40) as usize;
                    let key = key(hash);
                    let found = rocks.rows(slot, Some(&key), rows_max);
                    assert_eq!(
                        found,
                        memory.rows(slot, Some(&key), rows_max),
                        "seed {seed}"
                    );
                    assert_eq!(rocks.row(slot, &key), memory.row(slot, &key), "seed {seed}");
                    let after = (numbers.below(8), key);
                    let found = rocks.deadlines(slot, Some(&after), rows_max);
                    let wanted = memory.deadlines(slot, Some(&after), rows_max);
                    assert_eq!(found, wanted, "seed {seed}");
                }
            }
        }
        assert_eq!(rocks.stored(), memory.stored(), "seed {seed}");
        assert_eq!(replay(&rocks), replay(&memory), "seed {seed}");
    }
}

fn random_slot(numbers: &mut Numbers) -> Slot {
    Slot {
        partition: PartitionId(numbers.below(2) as u16),
        number: numbers.below(2) as u32,
    }
}

fn random_part(numbers: &mut Numbers) -> Checkpoint {
    let mut rows: Vec<_> = (0..numbers.below(20))
        .map(|_| {
            let row = (numbers.below(3) > 0).then(|| vec![1; numbers.below(300) as usize]);
            (random_slot(numbers), key(numbers.below(64)), row)
        })
        .collect();
    rows.sort();
    rows.dedup_by(|b, a| (a.0, &a.1) == (b.0, &b.1));
    let copy = (numbers.below(4) > 0).then(|| vec![numbers.below(256) as u8]);
    let copies = vec![(random_slot(numbers), copy)];
    let node = (numbers.below(5) == 0).then(|| vec![numbers.below(256) as u8]);
    let deadlines = (0..numbers.below(20)).map(|_| {
        let due = (numbers.below(8), key(numbers.below(8)));
        (random_slot(numbers), due, numbers.below(3) > 0)
    });
    Checkpoint {
        deadlines: deadlines.collect(),
        rows,
        copies,
        node,
    }
}

fn finish(rocks: &dyn Store, memory: &dyn Store, numbers: &mut Numbers) {
    let last = replay(memory).last().map_or(0, |(position, _)| *position);
    let position = RedoPosition(numbers.below(last + 1));
    assert_eq!(rocks.finish_checkpoint(position), Ok(()));
    assert_eq!(memory.finish_checkpoint(position), Ok(()));
}

#[test]
fn threads_append_and_sync_and_checkpoint_together() {
    const RECORDS: u64 = 20_000;
    let directory = tempfile::tempdir().expect("a directory is made");
    let store = must_open(directory.path());
    let appended = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for thread in 0..4u64 {
            let (store, appended) = (&store, &appended);
            scope.spawn(move || {
                let mut own = Vec::new();
                for number in 0..RECORDS / 4 {
                    let mut redo = vec![thread as u8; 1000];
                    redo.extend_from_slice(&number.to_be_bytes());
                    own.push((store.append(&redo).expect("redo is appended").0, redo));
                    if number % 100 == thread {
                        store.sync().expect("redo is synced");
                    }
                    if thread == 0 && number % 1000 == 0 {
                        store
                            .checkpoint(&common::part(number, b"row"))
                            .expect("a part is written");
                        store
                            .finish_checkpoint(RedoPosition(0))
                            .expect("it is finished");
                    }
                }
                assert!(own.is_sorted_by_key(|(position, _)| *position));
                appended.lock().expect("no thread panics").extend(own);
            });
        }
    });
    drop(store);
    let mut appended = appended.into_inner().expect("no thread panics");
    appended.sort();
    assert_eq!(
        appended.last().map(|(position, _)| *position),
        Some(RECORDS)
    );
    assert!(replay(&must_open(directory.path())) == appended);
}

/// A row's write neither scans nor reads, however many rows are beside it.
#[test]
fn writing_a_row_costs_the_same_beside_many() {
    use rocksdb::perf::{PerfContext, PerfMetric, PerfStatsLevel, set_perf_stats};
    let directory = tempfile::tempdir().expect("a directory is made");
    let store = must_open(directory.path());
    for hash in (0..100_000).step_by(1000) {
        let rows = (hash..hash + 1000).map(|hash| (common::SLOT, key(hash * 2), Some(vec![1; 50])));
        let part = Checkpoint {
            rows: rows.collect(),
            ..Checkpoint::default()
        };
        store.checkpoint(&part).expect("a part is written");
    }
    store
        .finish_checkpoint(RedoPosition(0))
        .expect("it is finished");
    set_perf_stats(PerfStatsLevel::EnableCount);
    let mut context = PerfContext::default();
    context.reset();
    store
        .checkpoint(&common::part(100_001, b"row"))
        .expect("a part is written");
    set_perf_stats(PerfStatsLevel::Disable);
    for metric in [PerfMetric::BlockReadCount, PerfMetric::BlockCacheHitCount] {
        assert_eq!(context.metric(metric), 0, "{metric:?}");
    }
    assert!(context.metric(PerfMetric::UserKeyComparisonCount) < 10);
}
