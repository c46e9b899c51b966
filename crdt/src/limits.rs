//! Bounds of the data types. Each has a test that reaches it.

/// Distinct actors that one table may name: what the 24 bits of a packed dot can hold.
pub const ACTORS_MAX: usize = 1 << 24;
/// The highest counter of an actor: what the 40 bits of a packed dot can hold.
pub const COUNTER_MAX: u64 = (1 << 40) - 1;
/// Siblings that a decoded row may hold; a row grows by one per concurrent writer.
pub const SIBLINGS_MAX: usize = 4096;
/// Entries (actor and birth) that a decoded counter may hold.
pub const COUNTER_ENTRIES_MAX: usize = 1 << 20;
/// Intervals that one decoded clock may hold.
pub const CLOCK_INTERVALS_MAX: usize = 1 << 20;
/// Actors that the mask of a cleared collection may name.
pub const MASK_ACTORS_MAX: usize = 1 << 16;
/// The longest byte string that a decoder accepts, the limit of a Redis value.
pub const VALUE_BYTES_MAX: usize = 512 << 20;
/// Leaves that one write may leave in a document. A join never refuses: it may go beyond.
pub const DOCUMENT_LEAVES_MAX: usize = 1 << 16;
/// Leaves that a decoder of documents accepts: what many replicas at their limit join to.
pub const DOCUMENT_LEAVES_DECODED_MAX: usize = 1 << 20;
/// About how many bytes one write may leave in a document.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// Concurrent leaves at one path, beyond which a writer has to read before writing there.
pub const DOCUMENT_SIBLINGS_MAX: usize = 256;
/// Bytes of a path inside a document, as JSON Pointer.
pub const DOCUMENT_PATH_BYTES_MAX: usize = 4096;
/// Objects and arrays inside each other in a document, paths and leaves together; under the 127
/// that JSON parsers of clients commonly take.
pub const DOCUMENT_DEPTH_MAX: usize = 100;
/// The highest counter of an actor in a document: one more always fits 64 bits.
pub const DOCUMENT_COUNTER_MAX: u64 = u64::MAX >> 1;
/// Counters below its highest one that an actor named by a client may leave out in a document.
pub const DOCUMENT_GAP_MAX: u64 = 1024;
/// Intervals of counters, at least one an actor, beyond which a document takes no new actors or
/// gaps that clients name. A join may go beyond.
pub const DOCUMENT_INTERVALS_MAX: usize = 1 << 16;
/// Intervals that one decoded context may hold, all actors together.
pub const DOCUMENT_INTERVALS_DECODED_MAX: usize = 1 << 22;
/// Removed paths that a document may remember for leaves which have not arrived yet.
pub const DOCUMENT_MASKS_MAX: usize = 1024;
/// The latest increments of an actor on one base that stay apart; older ones are folded.
pub const DOCUMENT_INCREMENTS_APART_MAX: usize = 16;
/// Characters of a context token.
pub const CONTEXT_TEXT_BYTES_MAX: usize = 8 << 20;
/// Paths patched since the last read that a context remembers.
pub const CONTEXT_AMENDED_MAX: usize = 1024;
/// Bytes of a value that lost a conflict, or won one, which are told of it.
pub const CONFLICT_VALUE_BYTES_MAX: usize = 1024;
/// Bytes of a position in a list: the name of an element less its family and role.
pub const POSITION_BYTES_MAX: usize = 1022;
/// Bytes up to which a position at an end of a list stands in its neighbour.
pub const POSITION_NESTED_AT_ENDS_MAX: usize = 32;
