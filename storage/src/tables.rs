//! What checkpoints left, in RocksDB: rows, copies, what the node knows, and how far the redo is
//! forgotten.
//!
//! All of it is one column family, told apart by the first byte of the key, so that the parts of a
//! checkpoint become durable in the order in which they were written and each as a whole, without
//! a write-ahead log. Rows arrive in the order of their keys and are flushed together.

use std::path::Path;

use larder_cluster::id::PartitionId;
use larder_cluster::limits::ROWS_BYTES_MAX;
use larder_cluster::row_key::RowKey;
use larder_cluster::store::{Checkpoint, Due, RedoPosition, Slot, StoreError, Stored};
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, Env, Error, ErrorKind, LogLevel, Options,
    ReadOptions, WriteBatch, WriteOptions,
};

/// First bytes of keys; never reused.
const NODE: u8 = 1;
const FORGOTTEN: u8 = 2;
const COPY: u8 = 3;
const ROW: u8 = 4;
const DEADLINE: u8 = 5;

const SLOT_BYTES: usize = 7;
/// Rows from this length on stand in files of their own.
const BLOB_BYTES_MIN: u64 = 512;

/// How much memory the tables take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Blocks read from the tables. Hot objects are decoded and kept above, so this holds only what
    /// comes back before it is cold. Beside it, indexes and filters take 1.7 bytes per row.
    pub block_cache_bytes: usize,
    /// Rows of a checkpoint before they are written out; twice this may be in memory.
    pub write_buffer_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            block_cache_bytes: 32 << 20,
            write_buffer_bytes: 16 << 20,
        }
    }
}

pub(crate) struct Tables {
    db: DB,
    without_log: WriteOptions,
}

impl Tables {
    pub(crate) fn open(path: &Path, settings: &Settings) -> Result<Self, StoreError> {
        let mut options = options(settings);
        let mut env = Env::new().map_err(store_error)?;
        // Clients come first: a checkpoint's rows are safe in the redo meanwhile.
        env.lower_thread_pool_cpu_priority();
        env.lower_high_priority_thread_pool_cpu_priority();
        options.set_env(&env);
        let db = DB::open(&options, path).map_err(store_error)?;
        let mut without_log = WriteOptions::default();
        without_log.disable_wal(true);
        Ok(Self { db, without_log })
    }

    pub(crate) fn row(&self, slot: Slot, key: &RowKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get(row_bytes(slot, key)).map_err(store_error)
    }

    pub(crate) fn rows(
        &self,
        slot: Slot,
        after: Option<&RowKey>,
        rows_max: usize,
    ) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        let first = match after {
            None => slot_bytes(ROW, slot).to_vec(),
            Some(key) => {
                // The first of all byte strings after the key itself.
                let mut bytes = row_bytes(slot, key);
                bytes.push(0);
                bytes
            }
        };
        let mut found = Vec::new();
        let mut bytes = 0;
        let mut rows = self
            .db
            .raw_iterator_opt(scan_options(&after_slot(ROW, slot)));
        rows.seek(first);
        while let Some((key, row)) = rows.item() {
            if found.len() == rows_max || bytes >= ROWS_BYTES_MAX {
                return Ok(found);
            }
            let key = row_key(key)?;
            bytes += key.heap_bytes() + row.len();
            found.push((key, row.to_vec()));
            rows.next();
        }
        rows.status().map_err(store_error)?;
        Ok(found)
    }

    pub(crate) fn rows_before(
        &self,
        slot: Slot,
        before: &RowKey,
        rows_max: usize,
    ) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(slot_bytes(ROW, slot).to_vec());
        options.set_iterate_upper_bound(row_bytes(slot, before));
        options.fill_cache(false);
        let mut rows = self.db.raw_iterator_opt(options);
        rows.seek_to_last();
        let mut found = Vec::new();
        let mut bytes = 0;
        while let Some((key, row)) = rows.item() {
            if found.len() == rows_max || bytes >= ROWS_BYTES_MAX {
                return Ok(found);
            }
            let key = row_key(key)?;
            bytes += key.heap_bytes() + row.len();
            found.push((key, row.to_vec()));
            rows.prev();
        }
        rows.status().map_err(store_error)?;
        Ok(found)
    }

    pub(crate) fn deadlines(
        &self,
        slot: Slot,
        after: Option<&Due>,
        max: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let first = match after {
            None => slot_bytes(DEADLINE, slot).to_vec(),
            Some(due) => {
                let mut bytes = due_bytes(slot, due);
                bytes.push(0);
                bytes
            }
        };
        let mut found = Vec::new();
        let mut bytes = 0;
        let mut entries = self
            .db
            .raw_iterator_opt(scan_options(&after_slot(DEADLINE, slot)));
        entries.seek(first);
        while let Some(entry) = entries.key() {
            if found.len() == max || bytes >= ROWS_BYTES_MAX {
                return Ok(found);
            }
            bytes += entry.len();
            found.push(due_from_bytes(entry)?);
            entries.next();
        }
        entries.status().map_err(store_error)?;
        Ok(found)
    }

    pub(crate) fn write(&self, part: &Checkpoint) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        let mut bytes = Vec::new();
        for (slot, key, row) in &part.rows {
            bytes.clear();
            bytes.extend_from_slice(&slot_bytes(ROW, *slot));
            key.write_ordered(&mut bytes);
            match row {
                Some(row) => batch.put(&bytes, row),
                None => batch.delete(&bytes),
            }
        }
        for (slot, due, is_there) in &part.deadlines {
            let bytes = due_bytes(*slot, due);
            if *is_there {
                batch.put(bytes, []);
            } else {
                batch.delete(bytes);
            }
        }
        // After the rows: a removed copy takes those of the same part along.
        for (slot, copy) in &part.copies {
            match copy {
                Some(copy) => batch.put(slot_bytes(COPY, *slot), copy),
                None => {
                    batch.delete(slot_bytes(COPY, *slot));
                    for kind in [ROW, DEADLINE] {
                        batch.delete_range(slot_bytes(kind, *slot), after_slot(kind, *slot));
                    }
                }
            }
        }
        if let Some(node) = &part.node {
            batch.put([NODE], node);
        }
        self.db
            .write_opt(batch, &self.without_log)
            .map_err(store_error)
    }

    /// Makes durable all that was written, and that redo up to `position` is forgotten.
    pub(crate) fn finish(&self, position: RedoPosition) -> Result<(), StoreError> {
        let position = position.0.to_be_bytes();
        let written = self.db.put_opt([FORGOTTEN], position, &self.without_log);
        written.and_then(|()| self.db.flush()).map_err(store_error)
    }

    pub(crate) fn forgotten(&self) -> Result<RedoPosition, StoreError> {
        match self.db.get([FORGOTTEN]).map_err(store_error)? {
            None => Ok(RedoPosition(0)),
            Some(bytes) => match bytes.try_into() {
                Ok(bytes) => Ok(RedoPosition(u64::from_be_bytes(bytes))),
                Err(_) => Err(StoreError::Damaged("the position of the redo".to_owned())),
            },
        }
    }

    pub(crate) fn stored(&self) -> Result<Stored, StoreError> {
        let node = self.db.get([NODE]).map_err(store_error)?;
        let mut copies = Vec::new();
        let mut found = self.db.raw_iterator_opt(scan_options(&[COPY + 1]));
        found.seek([COPY]);
        while let Some((key, copy)) = found.item() {
            copies.push((slot_from_bytes(key)?, copy.to_vec()));
            found.next();
        }
        found.status().map_err(store_error)?;
        Ok(Stored { node, copies })
    }
}

fn slot_bytes(kind: u8, slot: Slot) -> [u8; SLOT_BYTES] {
    let ([p, q], [a, b, c, d]) = (slot.partition.0.to_be_bytes(), slot.number.to_be_bytes());
    [kind, p, q, a, b, c, d]
}

fn slot_from_bytes(bytes: &[u8]) -> Result<Slot, StoreError> {
    match *bytes {
        [_, p, q, a, b, c, d] => Ok(Slot {
            partition: PartitionId(u16::from_be_bytes([p, q])),
            number: u32::from_be_bytes([a, b, c, d]),
        }),
        _ => Err(StoreError::Damaged("the key of a copy".to_owned())),
    }
}

/// Behind everything of the slot: the next number, or the next kind after the last one.
fn after_slot(kind: u8, slot: Slot) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; 8];
    bytes[1..].copy_from_slice(&slot_bytes(kind, slot));
    let [_, next @ ..] = (u64::from_be_bytes(bytes) + 1).to_be_bytes();
    next
}

fn row_bytes(slot: Slot, key: &RowKey) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SLOT_BYTES + key.heap_bytes());
    bytes.extend_from_slice(&slot_bytes(ROW, slot));
    key.write_ordered(&mut bytes);
    bytes
}

fn row_key(bytes: &[u8]) -> Result<RowKey, StoreError> {
    RowKey::from_ordered(bytes.get(SLOT_BYTES..).unwrap_or(&[]))
        .map_err(|error| StoreError::Damaged(format!("the key of a row: {error}")))
}

fn due_bytes(slot: Slot, (second, key): &Due) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SLOT_BYTES + 8 + key.heap_bytes());
    bytes.extend_from_slice(&slot_bytes(DEADLINE, slot));
    bytes.extend_from_slice(&second.to_be_bytes());
    key.write_ordered(&mut bytes);
    bytes
}

fn due_from_bytes(bytes: &[u8]) -> Result<Due, StoreError> {
    let rest = bytes.get(SLOT_BYTES..).unwrap_or(&[]);
    let due = rest.split_first_chunk().and_then(|(second, key)| {
        let key = RowKey::from_ordered(key).ok()?;
        Some((u64::from_be_bytes(*second), key))
    });
    due.ok_or_else(|| StoreError::Damaged("the key of a deadline".to_owned()))
}

/// A scan serves handoff and loads of whole objects, which are kept decoded: its blocks would only
/// push out those that answer for single rows.
fn scan_options(end: &[u8]) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_upper_bound(end.to_vec());
    options.fill_cache(false);
    options
}

fn options(settings: &Settings) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    write_options(&mut options, settings);
    file_options(&mut options);
    options.set_block_based_table_factory(&table_options(settings));
    options
}

fn write_options(options: &mut Options, settings: &Settings) {
    // One checkpoint writes at a time, in order of the keys: without concurrent writers the
    // memtable finds the place of the next key from that of the last one.
    options.set_allow_concurrent_memtable_write(false);
    // One buffer is filled while another is written out; a third makes the checkpoint wait, not the
    // appends, which go elsewhere.
    options.set_write_buffer_size(settings.write_buffer_bytes);
    options.set_max_write_buffer_number(2);
    // One flush beside one compaction on a machine of two cores.
    options.set_max_background_jobs(2);
    // The kernel writes files out as they grow, so that the fsync at their end finds little to do
    // and that of the redo does not wait behind it.
    options.set_bytes_per_sync(1 << 20);
    // A checkpoint runs far ahead of compaction before it is slowed down, and is never stopped for
    // as long as the default's 36 files take: reads ask the filters of at most 24 files meanwhile.
    // Twelve files, or two full checkpoints, share one rewriting of the level below.
    options.set_level_zero_file_num_compaction_trigger(12);
    options.set_level_zero_slowdown_writes_trigger(24);
    options.set_level_zero_stop_writes_trigger(48);
}

fn file_options(options: &mut Options) {
    options.set_compression_type(DBCompressionType::Lz4);
    // Files of 64 MB, then 128, 256 …: 512 of them hold over 100 GB, are few enough for the usual
    // limit on open files, and keep their indexes and filters in memory.
    options.set_target_file_size_base(64 << 20);
    options.set_target_file_size_multiplier(2);
    options.set_max_open_files(512);
    // Long rows stand in files of their own, which compaction leaves alone until a quarter of the
    // oldest is garbage; the tables that it rewrites, and that a search goes through, stay small.
    options.set_enable_blob_files(true);
    options.set_min_blob_size(BLOB_BYTES_MIN);
    options.set_blob_compression_type(DBCompressionType::Lz4);
    options.set_enable_blob_gc(true);
    options.set_blob_gc_age_cutoff(0.5);
    options.set_blob_gc_force_threshold(0.5);
    // RocksDB's own text log is for its developers: errors reach ours.
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
}

fn table_options(settings: &Settings) -> BlockBasedOptions {
    let mut options = BlockBasedOptions::default();
    options.set_block_cache(&Cache::new_lru_cache(settings.block_cache_bytes));
    // Ten bits per whole key: one in a hundred missing rows reads a block.
    options.set_bloom_filter(10.0, false);
    options.set_whole_key_filtering(true);
    // Indexes and filters stay in memory with their open file, 1.7 bytes per row. In the cache they
    // would be bounded, but a whole filter is larger than a part of a small cache, so that each
    // missing row reads it again (90 µs); in parts, a missing row costs 0.9 µs instead of 0.4.
    options.set_cache_index_and_filter_blocks(false);
    options.set_block_size(4096);
    options.set_format_version(5);
    options
}

pub(crate) fn store_error(error: Error) -> StoreError {
    let text = error.to_string();
    if text.contains("No space left on device") || text.contains("Disk quota exceeded") {
        return StoreError::Full;
    }
    match error.kind() {
        ErrorKind::Corruption => StoreError::Damaged(text),
        _ => StoreError::Failed(text),
    }
}
