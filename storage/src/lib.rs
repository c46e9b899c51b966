//! A node's disk: the [`Store`](larder_cluster::store::Store) of the core, kept in files.
//!
//! ```text
//! append, sync ─────────► redo/      our own files: one write(2) per record, one fdatasync per
//! sync checkpoint, row, rows ► tables/    RocksDB without its write-ahead log: rows, copies, the
//! node open ─────────────────► FORMAT, LOCK
//! ```
//!
//! The redo stands beside RocksDB and not in it because a put into its log and memtable costs two
//! and a half times the plain write, keeps the redo in memory a second time, and makes appends wait
//! while a part of a checkpoint is written. `docs/storage-format.md` describes every byte.

mod directory;
mod open_error;
mod redo;
mod rocks_store;
mod segment;
mod tables;
mod writes;

pub use directory::FORMAT_VERSION;
pub use open_error::OpenError;
pub use rocks_store::RocksStore;
pub use tables::Settings;
