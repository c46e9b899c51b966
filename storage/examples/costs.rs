//! What the calls of the store cost here: `cargo run --release -p larder-storage --example costs`.
//!
//! Figures are nanoseconds of the wall and of this thread's processor per call or row; appends go
//! to the directory named as first argument, or to the system's place for temporary files.

use std::fs;
use std::hint::black_box;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use larder_cluster::id::PartitionId;
use larder_cluster::row_key::RowKey;
use larder_cluster::store::{Checkpoint, RedoPosition, Slot, Store};
use larder_storage::{RocksStore, Settings};

const ROWS: u64 = 1_000_000;
const PARTITIONS: u64 = 64;
const ROWS_PER_PART: usize = 5000;
const ROW: [u8; 40] = [7; 40];

fn main() {
    let place = std::env::args_os()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = place.join(format!("larder-costs-{}", std::process::id()));
    let store = RocksStore::open(&directory, &Settings::default()).expect("the directory opens");
    appends(&store);
    checkpoints(&store);
    reads(&store, "flushed by checkpoints");
    drop(store);
    let mut store = None;
    measure("open", 1, || {
        store = Some(RocksStore::open(&directory, &Settings::default()).expect("it opens"));
    });
    reads(store.as_ref().expect("it was opened"), "after opening");
    drop(store);
    fs::remove_dir_all(&directory).expect("the directory can be removed");
}

fn measure(what: &str, calls: u64, call: impl FnOnce()) {
    let (processor, wall) = (thread_processor_ns(), Instant::now());
    call();
    let wall = wall.elapsed().as_nanos() as u64 / calls;
    let processor = (thread_processor_ns() - processor) / calls;
    let line = format!("{what:42} {wall:9} ns wall {processor:9} ns processor\n");
    std::io::stdout()
        .write_all(line.as_bytes())
        .expect("somebody reads");
}

/// Nanoseconds that this thread has run, where the system tells.
fn thread_processor_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

fn appends(store: &RocksStore) {
    for (bytes, calls) in [(100, 200_000), (1000, 200_000), (10_000, 20_000)] {
        let redo = vec![7; bytes];
        let mut last = RedoPosition(0);
        measure(&format!("append {bytes} bytes"), calls, || {
            for _ in 0..calls {
                last = store.append(&redo).expect("redo is appended");
            }
        });
        store.finish_checkpoint(last).expect("redo is forgotten");
    }
    measure("append 1000 bytes and sync", 200, || {
        for _ in 0..200 {
            store.append(&[7; 1000]).expect("redo is appended");
            store.sync().expect("redo is synced");
        }
    });
}

/// The hashes of stored rows are even, spread over the whole range and ascending.
fn hash(number: u64) -> u64 {
    (number * (u64::MAX / ROWS)) & !1
}

fn slot(number: u64) -> Slot {
    Slot {
        partition: PartitionId((number * PARTITIONS / ROWS) as u16),
        number: 1,
    }
}

fn key(number: u64, bit: u64) -> RowKey {
    RowKey::new(hash(number) | bit, 0, &number.to_be_bytes(), b"")
}

fn checkpoints(store: &RocksStore) {
    for round in ["first", "again"] {
        let rows = (0..ROWS).map(|number| (slot(number), key(number, 0), Some(ROW.to_vec())));
        let rows: Vec<_> = rows.collect();
        let parts = rows.chunks(ROWS_PER_PART).map(<[_]>::to_vec);
        let parts = parts.map(|rows| Checkpoint {
            rows,
            ..Checkpoint::default()
        });
        let parts: Vec<_> = parts.collect();
        measure(&format!("checkpoint, per row, {round}"), ROWS, || {
            for part in &parts {
                store.checkpoint(part).expect("a part is written");
            }
        });
        measure(&format!("finish, per row, {round}"), ROWS, || {
            store
                .finish_checkpoint(RedoPosition(0))
                .expect("it is finished");
        });
    }
}

fn reads(store: &RocksStore, when: &str) {
    const READS: u64 = 200_000;
    let random = |read: u64| read.wrapping_mul(0x9e37_79b9_7f4a_7c15) % ROWS;
    for (what, bit, spread) in [
        ("row, hit, 1 of 10,000", 0, 10_000),
        ("row, hit, 1 of 1,000,000", 0, ROWS),
        ("row, miss", 1, ROWS),
    ] {
        measure(&format!("{what}, {when}"), READS, || {
            for read in 0..READS {
                let number = random(read) % spread;
                let row = store
                    .row(slot(number), &key(number, bit))
                    .expect("a row is read");
                assert_eq!(black_box(row).is_some(), bit == 0);
            }
        });
    }
    measure(&format!("rows, 100 at once, {when}"), 10_000, || {
        for read in 0..10_000 {
            let number = random(read);
            let after = key(number, 0);
            black_box(
                store
                    .rows(slot(number), Some(&after), 100)
                    .expect("rows are read"),
            );
        }
    });
}
