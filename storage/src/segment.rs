//! One file of redo.
//!
//! ```text
//! segment   "LARDREDO" | first position 8 | durable 8 | salt 4 | checksum 4      then records
//! record    checksum 4 | length 4 | position 8 | durable 8 | bytes               big-endian
//! ```
//!
//! Each record says up to which position all redo was durable when it was appended. So a reader
//! that meets a broken record can tell a tail that a power cut tore off (nothing behind it claims
//! the record as durable) from damage to something that was promised. The salt is random, part of
//! the file's name and of each checksum: bytes that somebody stored as a value never pass for a
//! record.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

pub(crate) const HEADER_BYTES: u64 = 32;
const HEADER_LENGTH: usize = 32;
const HEADER_CHECKED: usize = 28;
const MAGIC: &[u8; 8] = b"LARDREDO";
pub(crate) const RECORD_HEADER_BYTES: usize = 24;
/// Positions further ahead than this are not believed when looking behind a broken record.
const AHEAD_MAX: u64 = 1 << 32;
const READ_BUFFER_BYTES: usize = 1 << 16;

/// What stands at the head of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) first: u64,
    pub(crate) durable: u64,
    pub(crate) salt: u32,
}

impl Header {
    pub(crate) fn to_bytes(self) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0; HEADER_LENGTH];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.first.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.durable.to_be_bytes());
        bytes[24..28].copy_from_slice(&self.salt.to_be_bytes());
        let checksum = crc32fast::hash(&bytes[..HEADER_CHECKED]);
        bytes[HEADER_CHECKED..].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; HEADER_LENGTH]) -> Option<Self> {
        let header = Self {
            first: u64_at(bytes, 8)?,
            durable: u64_at(bytes, 16)?,
            salt: u32_at(bytes, 24)?,
        };
        (header.to_bytes() == *bytes).then_some(header)
    }
}

/// A record on its way into a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) salt: u32,
    pub(crate) position: u64,
    pub(crate) durable: u64,
    pub(crate) redo: &'a [u8],
}

impl Record<'_> {
    /// Writes the record into `buffer`, in place of what is there.
    pub(crate) fn encode(&self, buffer: &mut Vec<u8>) {
        let length = u32::try_from(self.redo.len()).expect("limits keep a commit far below 4 GiB");
        buffer.clear();
        buffer.extend_from_slice(&[0; 4]);
        buffer.extend_from_slice(&length.to_be_bytes());
        buffer.extend_from_slice(&self.position.to_be_bytes());
        buffer.extend_from_slice(&self.durable.to_be_bytes());
        buffer.extend_from_slice(self.redo);
        let checksum = checksum(self.salt, &buffer[4..]);
        buffer[..4].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// What a reader found next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A record with this position; its bytes are in the reader.
    Record(u64),
    /// The file ends behind a whole record.
    End,
    /// What follows is no record with the next position.
    Broken,
}

/// Reads a segment from its head.
pub(crate) struct SegmentReader {
    path: PathBuf,
    file: BufReader<File>,
    header: Option<Header>,
    salt: u32,
    /// Where the last whole record ends.
    whole: u64,
    length: u64,
    next: u64,
    record: Vec<u8>,
}

impl SegmentReader {
    /// Opens the segment whose name says that it begins with `first`.
    pub(crate) fn open(path: &Path, first: u64, salt: u32) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut file = BufReader::with_capacity(READ_BUFFER_BYTES, file);
        let mut header = None;
        if length >= HEADER_BYTES {
            let mut bytes = [0; HEADER_LENGTH];
            file.read_exact(&mut bytes)?;
            header = Header::from_bytes(&bytes);
            header = header.filter(|header| (header.first, header.salt) == (first, salt));
        }
        let whole = if header.is_some() { HEADER_BYTES } else { 0 };
        let path = path.to_owned();
        Ok(Self {
            path,
            file,
            header,
            salt,
            whole,
            length,
            next: first,
            record: Vec::new(),
        })
    }

    /// Up to which position all redo was durable when the segment began; `None` if its head is
    /// broken.
    pub(crate) fn durable_before(&self) -> Option<u64> {
        self.header.map(|header| header.durable)
    }

    /// Where the last whole record ends, or 0 if not even the head is whole.
    pub(crate) fn whole_bytes(&self) -> u64 {
        self.whole
    }

    /// The bytes of the last record.
    pub(crate) fn record(&self) -> &[u8] {
        self.record.get(RECORD_HEADER_BYTES..).unwrap_or(&[])
    }

    pub(crate) fn step(&mut self) -> io::Result<Step> {
        let left = self.length - self.whole;
        if self.header.is_none() || (1..RECORD_HEADER_BYTES as u64).contains(&left) {
            return Ok(Step::Broken);
        }
        if left == 0 {
            return Ok(Step::End);
        }
        self.record.resize(RECORD_HEADER_BYTES, 0);
        self.file.read_exact(&mut self.record)?;
        let length = u32_at(&self.record, 4).unwrap_or(0);
        let whole = RECORD_HEADER_BYTES as u64 + u64::from(length);
        if u64_at(&self.record, 8) != Some(self.next) || whole > left {
            return Ok(Step::Broken);
        }
        self.record.resize(RECORD_HEADER_BYTES + length as usize, 0);
        self.file
            .read_exact(&mut self.record[RECORD_HEADER_BYTES..])?;
        if u32_at(&self.record, 0) != Some(checksum(self.salt, &self.record[4..])) {
            return Ok(Step::Broken);
        }
        self.whole += whole;
        self.next += 1;
        Ok(Step::Record(self.next - 1))
    }

    /// Whether anything behind the last whole record claims `position` as durable.
    pub(crate) fn claims_behind(&mut self, position: u64) -> io::Result<bool> {
        let mut rest = Vec::new();
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.whole))?;
        file.read_to_end(&mut rest)?;
        let claims = |at: usize| claim(&rest[at..], self.salt, position);
        Ok((0..rest.len())
            .filter_map(claims)
            .any(|durable| durable >= position))
    }
}

/// What the record at the head of `bytes` claims as durable, if there is one after `position`.
fn claim(bytes: &[u8], salt: u32, position: u64) -> Option<u64> {
    let found = u64_at(bytes, 8)?;
    let durable = u64_at(bytes, 16)?;
    let length = usize::try_from(u32_at(bytes, 4)?).ok()?;
    let plausible = found > position && found - position < AHEAD_MAX && durable < found;
    let checked = bytes.get(4..RECORD_HEADER_BYTES + length)?;
    (plausible && u32_at(bytes, 0)? == checksum(salt, checked)).then_some(durable)
}

fn checksum(salt: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(bytes);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| u32::from_be_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| u64::from_be_bytes(*bytes))
}
