//! SCAN and KEYS: a walk over all partitions, page by page.
//!
//! A cursor is a place on the whole ring and needs no memory on any node:
//!
//! ```text
//! 53 bits:   number of the partition | upper bits of the key's hash
//! ```
//!
//! Clients in languages whose numbers are all doubles hold no more bits than that exactly, and some
//! make a number of the cursor.
//!
//! The walk goes through the partitions in order, and in each through the rows by their hash. It
//! returns every key that is there all the while, at most once; 0 begins and ends it.

use bytes::Bytes;
use larder_cluster::id::PartitionId;
use larder_cluster::limits::KEY_BYTES_MAX;
use larder_cluster::request::Request;
use larder_cluster::token::Partitions;
use larder_crdt::{DecodeError, Reader, Writer};

use crate::args::Args;
use crate::error::CommandError;
use crate::internal::walk;
use crate::key::Kind;
use crate::numbers;
use crate::reply::Reply;

/// How many rows a page visits unless COUNT says otherwise.
pub(crate) const COUNT_DEFAULT: usize = 10;
/// How many rows one request of KEYS visits, so that no lock is held for long.
const KEYS_ROWS_MAX: usize = 4096;
/// Keys that one page may hold: it visits at most [`KEYS_ROWS_MAX`] rows and those of one hash.
const PAGE_KEYS_MAX: usize = 1 << 24;
/// The longest pattern that is taken.
const PATTERN_BYTES_MAX: usize = 512 << 20;

/// Bits of a position.
pub(crate) const POSITION_BITS: u32 = 53;

/// A place on the ring: what a cursor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

impl Position {
    /// The end of the walk, and its beginning.
    pub const ENDS: Self = Self(0);

    pub(crate) fn of(partition: PartitionId, hash: u64, partitions: Partitions) -> Self {
        let within = (hash >> partitions.bits()) >> (64 - POSITION_BITS);
        Self(Self::begin(partition, partitions).0 | within)
    }

    pub(crate) fn begin(partition: PartitionId, partitions: Partitions) -> Self {
        Self(u64::from(partition.0) << (POSITION_BITS - partitions.bits()))
    }

    pub(crate) fn behind(partition: PartitionId, partitions: Partitions) -> Self {
        let next = usize::from(partition.0) + 1;
        match u16::try_from(next) {
            Ok(next) if usize::from(next) < partitions.count() => {
                Self::begin(PartitionId(next), partitions)
            }
            _ => Self::ENDS,
        }
    }

    /// The place that a cursor of a client names; what no walk gives out means some other place.
    fn from_cursor(cursor: u64) -> Self {
        Self(cursor & ((1 << POSITION_BITS) - 1))
    }

    /// The partition that it lies in.
    #[must_use]
    pub fn partition(self, partitions: Partitions) -> PartitionId {
        PartitionId((self.0 >> (POSITION_BITS - partitions.bits())) as u16)
    }

    pub(crate) fn hash(self, partitions: Partitions) -> u64 {
        (self.0 << (64 - POSITION_BITS)) << partitions.bits()
    }
}

/// The number that a client gives as a cursor.
///
/// # Errors
/// [`CommandError::InvalidCursor`].
pub(crate) fn cursor(text: &[u8]) -> Result<u64, CommandError> {
    let text = std::str::from_utf8(text).ok();
    let digits = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let cursor = digits.and_then(|digits| digits.parse().ok());
    cursor.ok_or(CommandError::InvalidCursor)
}

/// Which keys are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pattern: Option<Bytes>,
    kind: Option<Bytes>,
}

impl Filter {
    pub(crate) fn matches(&self, key: &[u8], kind: Kind) -> bool {
        let is_kind = |word: &Bytes| word.eq_ignore_ascii_case(kind.word().as_bytes());
        self.kind.as_ref().is_none_or(is_kind)
            && self
                .pattern
                .as_ref()
                .is_none_or(|pattern| walk::matches(pattern, key))
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        for part in [&self.pattern, &self.kind] {
            writer.u8(u8::from(part.is_some()));
            writer.bytes(part.as_deref().unwrap_or_default());
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut part = || {
            let is_set = reader.u8()? != 0;
            let bytes = Bytes::copy_from_slice(reader.bytes(PATTERN_BYTES_MAX)?);
            Ok(is_set.then_some(bytes))
        };
        Ok(Self {
            pattern: part()?,
            kind: part()?,
        })
    }
}

/// What one node found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// Where to go on.
    pub(crate) next: Position,
    /// How many rows were looked at.
    pub(crate) visited: usize,
    /// The keys that were wanted.
    pub(crate) keys: Vec<Bytes>,
}

impl Page {
    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.u64_be(self.next.0);
        writer.varint(self.visited as u64);
        writer.length(self.keys.len());
        self.keys.iter().for_each(|key| writer.bytes(key));
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let next = Position(reader.u64_be()?);
        let visited = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
        let mut keys = Vec::new();
        for _ in 0..reader.count(PAGE_KEYS_MAX)? {
            keys.push(Bytes::copy_from_slice(reader.bytes(KEY_BYTES_MAX)?));
        }
        Ok(Self {
            next,
            visited,
            keys,
        })
    }
}

/// A SCAN or KEYS under way. The server asks for page after page ([`Scan::request`], of a run of
/// partitions on one node, then [`Scan::take`]) until it [is over](Scan::is_over).
#[derive(Debug, Clone)]
pub struct Scan {
    position: Position,
    count: usize,
    visited: usize,
    filter: Filter,
    keys: Vec<Bytes>,
    has_begun: bool,
    is_keys: bool,
}

impl Scan {
    /// Reads a whole SCAN or KEYS request.
    ///
    /// # Errors
    /// As Redis.
    pub fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut scan = Self {
            position: Position::ENDS,
            count: COUNT_DEFAULT,
            visited: 0,
            filter: Filter::default(),
            keys: Vec::new(),
            has_begun: false,
            is_keys: args.at(0).eq_ignore_ascii_case(b"keys"),
        };
        if scan.is_keys {
            scan.count = usize::MAX;
            scan.filter.pattern = Some(args.to_bytes(1));
            return Ok(scan);
        }
        scan.position = Position::from_cursor(cursor(args.at(1))?);
        let mut at = 2;
        while at < args.len() {
            let is = |word: &str| args.at(at).eq_ignore_ascii_case(word.as_bytes());
            if args.len() == at + 1 {
                return Err(CommandError::Syntax);
            }
            if is("count") {
                let count = numbers::integer(args.at(at + 1))?;
                scan.count = usize::try_from(count)
                    .ok()
                    .filter(|count| *count > 0)
                    .ok_or(CommandError::Syntax)?;
            } else if is("match") {
                scan.filter.pattern = Some(args.to_bytes(at + 1));
            } else if is("type") {
                scan.filter.kind = Some(args.to_bytes(at + 1));
            } else {
                return Err(CommandError::Syntax);
            }
            at += 2;
        }
        Ok(scan)
    }

    /// The partition that comes next.
    #[must_use]
    pub fn partition(&self, partitions: Partitions) -> PartitionId {
        self.position.partition(partitions)
    }

    /// Asks for the next page; `partitions` is a run of neighbours that begins with
    /// [`Scan::partition`].
    #[must_use]
    pub fn request(&self, database: u8, partitions: &[PartitionId]) -> Request {
        let count = (self.count - self.visited.min(self.count)).min(KEYS_ROWS_MAX);
        walk::scan_request(database, partitions, self.position, count, &self.filter)
    }

    /// Asks for the next page of one partition: from where the walk is if it is there, else from
    /// the partition's beginning. For asking several at a time, whose answers are then taken in
    /// order as long as each goes on where the last one ended.
    #[must_use]
    pub fn request_ahead(
        &self,
        database: u8,
        partition: PartitionId,
        partitions: Partitions,
    ) -> Request {
        let position = self.position.max(Position::begin(partition, partitions));
        let count = (self.count - self.visited.min(self.count)).min(KEYS_ROWS_MAX);
        walk::scan_request(database, &[partition], position, count, &self.filter)
    }

    /// Takes the answer to [`Scan::request`].
    ///
    /// # Errors
    /// What the node answered instead.
    pub fn take(&mut self, answer: &[u8]) -> Result<(), CommandError> {
        let page = walk::scanned(answer)?;
        self.has_begun = true;
        self.position = page.next;
        self.visited += page.visited;
        self.keys.extend(page.keys);
        Ok(())
    }

    /// Whether enough was seen, or everything.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.has_begun && (self.position == Position::ENDS || self.visited >= self.count)
    }

    /// Appends the reply to the client.
    pub fn write_to(&self, reply: &mut Reply) {
        if !self.is_keys {
            reply.array(2);
            reply.bulk(self.position.0.to_string().as_bytes());
        }
        reply.array(self.keys.len());
        self.keys.iter().for_each(|key| reply.bulk(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::OwnedArgs;

    #[test]
    fn positions_name_partition_and_hash() {
        for count in [1, 2, 1024, 1 << 16] {
            let partitions = Partitions::new(count).expect("a power of two");
            for index in [0, 1, count - 1] {
                let Some(partition) = partitions.iter().nth(index) else {
                    continue;
                };
                let position = Position::of(partition, u64::MAX, partitions);
                assert_eq!(position.partition(partitions), partition);
                let begin = Position::begin(partition, partitions);
                assert_eq!(begin.hash(partitions), 0);
                assert!(begin <= position);
                let behind = Position::behind(partition, partitions);
                assert!(behind == Position::ENDS || behind > position);
            }
        }
    }

    #[test]
    fn options_are_checked_as_redis_does() {
        let parse = |line: &str| {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            Scan::parse(OwnedArgs::new(&words).as_args()).map(|_| ())
        };
        assert_eq!(parse("scan 0 match a* count 10 type string"), Ok(()));
        assert_eq!(parse("scan x"), Err(CommandError::InvalidCursor));
        assert_eq!(parse("scan -1"), Err(CommandError::InvalidCursor));
        assert_eq!(parse("scan 0 count"), Err(CommandError::Syntax));
        assert_eq!(parse("scan 0 count 0"), Err(CommandError::Syntax));
        assert_eq!(parse("scan 0 count x"), Err(CommandError::NotInteger));
        assert_eq!(parse("scan 0 foo bar"), Err(CommandError::Syntax));
        assert_eq!(parse("keys *"), Ok(()));
    }
}
