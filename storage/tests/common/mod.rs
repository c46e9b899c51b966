//! What the tests of the store share.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs;
use std::path::{Path, PathBuf};

use larder_cluster::id::PartitionId;
use larder_cluster::row_key::RowKey;
use larder_cluster::store::{Checkpoint, RedoPosition, Slot, Store};
use larder_storage::{OpenError, RocksStore, Settings};

pub(crate) const SLOT: Slot = Slot {
    partition: PartitionId(7),
    number: 1,
};

pub(crate) fn open(path: &Path) -> Result<RocksStore, OpenError> {
    RocksStore::open(path, &Settings::default())
}

pub(crate) fn must_open(path: &Path) -> RocksStore {
    open(path).expect("the directory opens")
}

pub(crate) fn key(hash: u64) -> RowKey {
    RowKey::new(hash, 0, b"key", b"")
}

pub(crate) fn part(hash: u64, row: &[u8]) -> Checkpoint {
    Checkpoint {
        rows: vec![(SLOT, key(hash), Some(row.to_vec()))],
        copies: vec![(SLOT, Some(row.to_vec()))],
        ..Checkpoint::default()
    }
}

pub(crate) fn replay(store: &dyn Store) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    let mut each = |position: RedoPosition, redo: &[u8]| {
        found.push((position.0, redo.to_vec()));
        Ok(())
    };
    store.replay(&mut each).expect("redo is replayed");
    found
}

/// A directory as a kill at this moment would leave it.
pub(crate) fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory is made");
    for entry in fs::read_dir(from).expect("a directory is read") {
        let entry = entry.expect("a directory is read");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("an entry has a type").is_dir() {
            copy_directory(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a file is copied");
        }
    }
}

/// The files of redo, ascending.
pub(crate) fn segments(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path.join("redo")).expect("a directory is read");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry is read").path())
        .collect();
    paths.sort();
    paths
}

/// A reproducible sequence of numbers.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % end
    }
}
