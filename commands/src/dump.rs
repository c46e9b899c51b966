//! Values in Redis's own format: what DUMP answers and RESTORE takes.
//!
//! ```text
//! ┌──────┬──────────────┬─────────────────┬──────────────────┐
//! │ type │ value        │ version         │ CRC-64           │
//! │ 1 B  │ as in an RDB │ 2 B, low first  │ of all before it │
//! └──────┴──────────────┴─────────────────┴──────────────────┘
//! ```
//!
//! [`decode`] reads whatever Redis 6.0 to 7.4 write, and the older encodings that those still read.
//! [`encode`] writes the plainest encoding, under the lowest version that knows it, so that all of
//! them can read it: a Redis packs a value as it likes when it takes it in.
//!
//! Payloads come from clients. They are read into memory in proportion to their length: a packed
//! element of two bytes takes some thirty. Only compressed parts hold more than they take, up to 88
//! times, and [`DECODED_BYTES_MAX`] bounds that.

mod checksum;
mod decode;
mod encode;
mod lzf;
mod pack;
mod pack_writer;
mod source;
mod stream;
mod value;

use thiserror::Error;

pub use decode::decode;
pub use encode::{encode, seal};
pub use value::{Consumer, Entry, EntryId, Field, Group, Pending, Stream, Text, Value};

use larder_crdt::limits::VALUE_BYTES_MAX;

/// How many bytes the elements of one payload may take in memory: as many as a value may have.
pub const DECODED_BYTES_MAX: usize = VALUE_BYTES_MAX;

/// The newest version of the format whose values are known: that of Redis 7.4.
const VERSION_MAX: u16 = 12;
/// The version and the checksum.
const FOOTER_BYTES: usize = 10;

/// Why a payload is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DumpError {
    /// The footer is not that of a payload of a known version, or the bytes before it are others
    /// than those it was made for.
    #[error("DUMP payload version or checksum are wrong")]
    Footer,
    /// The bytes before the footer are no value, or an empty collection.
    #[error("Bad data format")]
    Format,
    /// The value belongs to a module of Redis.
    #[error("Bad data format: the value is of a Redis module, which is not known here")]
    Module,
    /// The elements take more memory than [`DECODED_BYTES_MAX`].
    #[error("Bad data format: the value takes more than 512 MB")]
    TooLarge,
}

/// The types of values in payloads: numbers of Redis's format.
mod kind {
    pub(super) const STRING: u8 = 0;
    pub(super) const LIST: u8 = 1;
    pub(super) const SET: u8 = 2;
    pub(super) const SORTED_SET: u8 = 3;
    pub(super) const HASH: u8 = 4;
    pub(super) const SORTED_SET_2: u8 = 5;
    pub(super) const MODULE: u8 = 6;
    pub(super) const MODULE_2: u8 = 7;
    pub(super) const HASH_ZIPMAP: u8 = 9;
    pub(super) const LIST_ZIPLIST: u8 = 10;
    pub(super) const SET_INTSET: u8 = 11;
    pub(super) const SORTED_SET_ZIPLIST: u8 = 12;
    pub(super) const HASH_ZIPLIST: u8 = 13;
    pub(super) const LIST_QUICKLIST: u8 = 14;
    pub(super) const STREAM: u8 = 15;
    pub(super) const HASH_LISTPACK: u8 = 16;
    pub(super) const SORTED_SET_LISTPACK: u8 = 17;
    pub(super) const LIST_QUICKLIST_2: u8 = 18;
    pub(super) const STREAM_2: u8 = 19;
    pub(super) const SET_LISTPACK: u8 = 20;
    pub(super) const STREAM_3: u8 = 21;
    pub(super) const HASH_DEADLINES: u8 = 24;
    pub(super) const HASH_LISTPACK_DEADLINES: u8 = 25;
}
