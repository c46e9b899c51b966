//! Fixed bounds of commands. Each has a test that reaches it.

/// Bytes of the replies of one batch that another node runs; what is beyond becomes an error.
pub const BATCH_REPLY_BYTES_MAX: usize = 512 << 20;
/// Keys that FLUSHDB and FLUSHALL remove inside MULTI, as all partitions are locked meanwhile.
pub const BATCH_FLUSH_KEYS_MAX: u64 = 100_000;
