//! Fixed bounds of the core. Each has a test that reaches it.

/// The longest key.
pub const KEY_BYTES_MAX: usize = 65_535;
/// The longest name of an element in a row key.
pub const ELEMENT_BYTES_MAX: usize = 65_535;
/// About how many bytes one scan of stored rows returns.
pub const ROWS_BYTES_MAX: usize = 1 << 20;
/// Partitions of a ring: what a 16-bit number can name.
pub const PARTITIONS_MAX: usize = 1 << 16;
/// Nodes that each partition may be kept on.
pub const REPLICAS_MAX: usize = 16;
/// Nodes that may take part in a cluster at one time.
pub const LAYOUT_NODES_MAX: usize = 1024;
/// Nodes that a layout may remember, those that left for good included. Joining stops at half of
/// it, so that layouts from both sides of a cut still fit together.
pub const LAYOUT_ENTRIES_MAX: usize = 1 << 17;
/// Tokens of one node: one in each partition.
pub const TOKENS_MAX: usize = PARTITIONS_MAX;
/// The weight of a node, beside the usual 1.
pub const WEIGHT_MAX: u32 = 1000;
/// The length of a zone's name.
pub const ZONE_BYTES_MAX: usize = 64;
/// The length of a peer address.
pub const ADDRESS_BYTES_MAX: usize = 256;
/// How often a node's description or tokens may change.
pub const LAYOUT_VERSION_MAX: u64 = 1 << 48;
/// Partitions that a joining node compares for each token that it chooses.
pub const PLACEMENT_CANDIDATES_MAX: usize = 96;
/// Ring positions that it looks at for each token before it takes the best so far.
pub const PLACEMENT_STEPS_MAX: u64 = 50_000;
/// Databases that a client can SELECT.
pub const DATABASES_MAX: usize = 16;
/// Actors that one message or stored copy may name.
pub const ACTORS_PER_PARTITION_MAX: usize = 1 << 16;
/// Entries that a stored or received log may hold.
pub const LOG_ENTRIES_MAX: usize = 1 << 26;
/// The size of what a node stores beside its copies.
pub const NODE_STATE_BYTES_MAX: usize = 64 << 20;
/// Elements that one message of changes holds, unless a group of changes needs more.
pub const DELTA_ELEMENTS_MAX: usize = 512;
/// Rows that one message of a whole transfer holds.
pub const TRANSFER_ROWS_MAX: usize = 512;
/// Transfers of one partition that a node feeds at a time.
pub const TRANSFERS_MAX: usize = 16;
/// Rows that are forgotten or retired in one step of housekeeping.
pub const SETTLE_ROWS_MAX: usize = 1024;
/// About how many bytes the journal of conflicts takes, however many entries it may have.
pub const CONFLICT_JOURNAL_BYTES_MAX: usize = 64 << 20;
/// The path of a leaf in an entry of it.
pub const CONFLICT_PATH_BYTES_MAX: usize = larder_crdt::limits::DOCUMENT_PATH_BYTES_MAX;
/// How often expired rows are dropped, in milliseconds.
pub const EXPIRY_INTERVAL_MS: u64 = 100;
/// Expired rows that a node drops at a time, so that others get their turn.
pub const EXPIRED_ROWS_MAX: usize = 2048;
/// Those of them that are dropped under one lock of their partition.
pub const EXPIRED_ROWS_AT_ONCE: usize = 64;
/// Rows of cleared collections that a node lets go in each such interval.
pub const PURGED_ROWS_MAX: usize = 16 << 10;
/// Those of them that go under one lock of their partition.
pub const PURGED_ROWS_AT_ONCE: usize = 512;
/// After how many milliseconds an owner looks again at an ended collection that another one should
/// have cleared.
pub const RECLAIM_RETRY_MS: u64 = 60_000;
/// The size of one message of failure detection.
pub const SWIM_BYTES_MAX: usize = 64 << 10;
/// Arguments that a forwarded command may have.
pub const ARGUMENTS_MAX: usize = 1 << 20;
/// The size of a reply to a forwarded command.
pub const REPLY_BYTES_MAX: usize = 1 << 30;
/// Commands of clients that a node has forwarded and waits for.
pub const PENDING_MAX: usize = 1 << 20;
/// How slowly the arguments of a forwarded command may travel: 16 MB a second.
pub const REQUEST_BYTES_PER_MS_MIN: usize = 16 << 10;
/// Elements of which one peer is told when they change; beyond, it has to look.
pub const WATCHES_PER_PEER_MAX: usize = 1 << 16;
/// Keys of one copy whose changes are counted, for those who watch them.
pub const COUNTED_KEYS_MAX: usize = 1024;
/// About how many bytes of redo belong to one group of changes: what a transaction changes beyond
/// that in one partition arrives at replicas as another group. With the largest value behind it a
/// group still fits one message.
pub const GROUP_BYTES_MAX: usize = 64 << 20;
/// Ranges of transfers that peers wait for at a time.
pub const FETCHES_MAX: usize = 1 << 16;
