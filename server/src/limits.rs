//! Bounds of what comes from outside. Each has a test that reaches it.

/// Arguments of one request.
pub const ARGS_MAX: usize = 1024 * 1024;
/// One argument, whatever the settings say: its place must fit 32 bits.
pub const ARG_BYTES_MAX: usize = u32::MAX as usize;
/// A request in one line, and the line of a count.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Arguments of a request before AUTH.
pub const UNAUTHENTICATED_ARGS_MAX: usize = 10;
/// An argument before AUTH.
pub const UNAUTHENTICATED_ARG_BYTES_MAX: usize = 16 * 1024;
/// Room that is made for an argument before its bytes have come.
pub const READ_AHEAD_BYTES_MAX: usize = 1024 * 1024;
/// Room for arguments that a parser keeps between requests.
pub const ARGS_KEPT_MAX: usize = 4096;

/// Handshakes of peers that are under way at a time, as the peers are still strangers.
pub const HANDSHAKES_MAX: usize = 64;
/// Seconds from the first byte of a link to its last proof.
pub const HANDSHAKE_SECONDS_MAX: u64 = 5;
/// One field of a handshake.
pub const HANDSHAKE_FIELD_BYTES_MAX: usize = 64 * 1024;
/// The payload of one frame between nodes; longer messages travel in parts.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// A message between nodes, all parts together: a value and what goes with it.
pub const MESSAGE_BYTES_MAX: usize = 600 * 1024 * 1024;
/// Bytes that may wait for one peer: the largest message, and what comes behind it meanwhile.
pub const LINK_QUEUE_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 64 * 1024 * 1024;
/// Bytes that DEBUG LINK holds back of one peer before it stops reading.
pub const LINK_HELD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest word of a message between nodes.
pub const VERB_BYTES_MAX: usize = 16;
/// The longest delay of DEBUG LINK, in milliseconds.
pub const LINK_DELAY_MS_MAX: u64 = 60_000;
/// Room for input that a connection keeps between requests.
pub const INPUT_BYTES_KEPT: usize = 16 * 1024;
/// Replies of one connection that are gathered before they are written.
pub const REPLY_BYTES_PER_WRITE: usize = 256 * 1024;
/// Commands of one connection that wait for other nodes at a time.
pub const PENDING_REPLIES_MAX: usize = 1024;

/// Connections that read metrics at a time.
pub const METRICS_CONNECTIONS_MAX: usize = 16;
/// The head of a request for metrics.
pub const METRICS_REQUEST_BYTES_MAX: usize = 8 * 1024;
/// Seconds that a request for metrics may take.
pub const METRICS_SECONDS_MAX: u64 = 5;
/// Kinds of errors that INFO tells apart.
pub const ERROR_KINDS_MAX: usize = 128;
/// Arguments of a command that SLOWLOG keeps.
pub const SLOW_ARGS_MAX: usize = 32;
/// Bytes of an argument that SLOWLOG keeps.
pub const SLOW_ARG_BYTES_MAX: usize = 128;
/// Seconds that LATENCY keeps of one kind of event.
pub const LATENCY_SAMPLES_MAX: usize = 160;
/// Documents that one connection watches by LWATCH.
pub const WATCHES_MAX: usize = 1024;
/// Keys that one connection watches by WATCH.
pub const WATCHED_KEYS_MAX: usize = 4096;
/// Words of the commands that wait for EXEC: together they travel as one request.
pub const QUEUED_WORDS_MAX: usize = 1_000_000;
/// About how many bytes the commands that wait for EXEC take, if `client-query-buffer-limit` allows
/// as many.
pub const QUEUED_BYTES_MAX: usize = 512 * 1024 * 1024;
