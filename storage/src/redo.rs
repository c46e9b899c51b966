//! The redo: records in files that are only ever appended to, and removed as a whole.
//!
//! Appends take turns under one lock and cost one write(2) each. A sync takes the files under that
//! lock but calls fdatasync outside of it, so that appends go on meanwhile.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_cluster::store::{RedoPosition, StoreError};
use parking_lot::Mutex;

use crate::directory::sync_names;
use crate::open_error::store_error;
use crate::segment::{HEADER_BYTES, Header, Record, SegmentReader, Step};
use crate::writes::Writes;

/// A segment that has reached this is followed by a new one.
const SEGMENT_BYTES_MAX: u64 = 16 << 20;
/// A buffer that a large record has grown beyond this is given back.
const BUFFER_BYTES_MAX: usize = 1 << 20;
const FIRST_DIGITS: usize = 20;
const SALT_DIGITS: usize = 8;

/// What a replay hands each record to.
pub(crate) type EachRecord<'a> = dyn FnMut(RedoPosition, &[u8]) -> Result<(), StoreError> + 'a;

#[derive(Debug)]
pub(crate) struct Redo {
    path: PathBuf,
    writes: Arc<Writes>,
    writer: Mutex<Writer>,
    /// Held during a sync; `durable` changes only under it.
    syncing: Mutex<()>,
    durable: AtomicU64,
}

#[derive(Debug)]
struct Writer {
    file: Arc<File>,
    next: u64,
    forgotten: u64,
    /// All that there are, the last is the one written to.
    segments: VecDeque<Segment>,
    /// Files before the last one that were not synced to their end.
    unsynced: Vec<Arc<File>>,
    names_unsynced: bool,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    first: u64,
    salt: u32,
    /// Up to the end of the last whole record.
    bytes: u64,
}

impl Redo {
    /// Reads what is there beyond `forgotten`, cuts off what a power cut tore, and begins a segment
    /// of its own.
    pub(crate) fn open(
        path: PathBuf,
        forgotten: u64,
        writes: Arc<Writes>,
    ) -> Result<Self, StoreError> {
        let recovered = Recovery {
            path: &path,
            forgotten,
        }
        .run()?;
        let next = recovered.reached + 1;
        let mut segments = recovered.segments;
        let (segment, file) = Segment::create(&path, next, recovered.reached)?;
        sync_names(&path).map_err(|error| store_error(&path, &error))?;
        segments.push_back(segment);
        let writer = Writer {
            file: Arc::new(file),
            next,
            forgotten,
            segments,
            unsynced: Vec::new(),
            names_unsynced: false,
            buffer: Vec::new(),
        };
        let durable = AtomicU64::new(recovered.reached);
        Ok(Self {
            path,
            writes,
            writer: Mutex::new(writer),
            syncing: Mutex::new(()),
            durable,
        })
    }

    pub(crate) fn append(&self, redo: &[u8]) -> Result<RedoPosition, StoreError> {
        let mut writer = self.writer.lock();
        self.writes.admit()?;
        // The lock is held until a failure has stopped the writes: nobody appends behind a part of
        // a record.
        self.writes.note(self.append_locked(&mut writer, redo))
    }

    fn append_locked(&self, writer: &mut Writer, redo: &[u8]) -> Result<RedoPosition, StoreError> {
        if writer.last().bytes >= SEGMENT_BYTES_MAX {
            self.begin_segment(writer)?;
        }
        let position = writer.next;
        let record = Record {
            salt: writer.last().salt,
            position,
            durable: self.durable.load(Ordering::Relaxed),
            redo,
        };
        record.encode(&mut writer.buffer);
        let written = (&*writer.file).write_all(&writer.buffer);
        written.map_err(|error| {
            // Should this fail as well, the rest is a torn tail to whoever opens the redo next.
            let _ = writer.file.set_len(writer.last().bytes);
            store_error(&self.path, &error)
        })?;
        let bytes = writer.buffer.len() as u64;
        writer.buffer.shrink_to(BUFFER_BYTES_MAX);
        writer.last_mut().bytes += bytes;
        writer.next += 1;
        Ok(RedoPosition(position))
    }

    /// Makes everything appended before the call survive a power cut.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.syncing.lock();
        self.writes.admit()?;
        let (files, names, reached) = {
            let mut writer = self.writer.lock();
            let mut files = mem::take(&mut writer.unsynced);
            files.push(Arc::clone(&writer.file));
            (
                files,
                mem::take(&mut writer.names_unsynced),
                writer.next - 1,
            )
        };
        if reached == self.durable.load(Ordering::Relaxed) && !names {
            return Ok(());
        }
        let mut synced = files.iter().try_for_each(|file| file.sync_data());
        if names {
            synced = synced.and_then(|()| sync_names(&self.path));
        }
        self.writes
            .note(synced.map_err(|error| store_error(&self.path, &error)))?;
        self.durable.store(reached, Ordering::Relaxed);
        Ok(())
    }

    /// Up to where redo will be forgotten if it is up to `position`: never less than before.
    ///
    /// # Panics
    /// If nothing was appended at `position` yet.
    pub(crate) fn forgotten_with(&self, position: RedoPosition) -> RedoPosition {
        let writer = self.writer.lock();
        assert!(
            position.0 < writer.next,
            "only appended redo can be forgotten"
        );
        position.max(RedoPosition(writer.forgotten))
    }

    /// Removes the segments that hold nothing after `position`, which the tables already know as
    /// forgotten.
    pub(crate) fn forget(&self, position: RedoPosition) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        writer.forgotten = position.0;
        if writer.forgotten + 1 == writer.next && writer.last().bytes > HEADER_BYTES {
            self.writes.note(self.begin_segment(&mut writer))?;
        }
        let mut removed = Vec::new();
        while writer
            .segments
            .get(1)
            .is_some_and(|next| next.first <= writer.forgotten + 1)
        {
            removed.extend(writer.segments.pop_front());
        }
        drop(writer);
        removed
            .iter()
            .try_for_each(|segment| self.writes.note(segment.remove(&self.path)))
    }

    pub(crate) fn replay(&self, each: &mut EachRecord<'_>) -> Result<(), StoreError> {
        let (segments, forgotten, next) = {
            let writer = self.writer.lock();
            (writer.segments.clone(), writer.forgotten, writer.next)
        };
        for segment in segments {
            let path = segment.path(&self.path);
            let failed = |error: io::Error| store_error(&path, &error);
            let mut reader = segment.reader(&self.path).map_err(failed)?;
            loop {
                match reader.step().map_err(failed)? {
                    Step::Record(position) if position >= next => break,
                    Step::Record(position) if position <= forgotten => {}
                    Step::Record(position) => each(RedoPosition(position), reader.record())?,
                    Step::End => break,
                    Step::Broken => return Err(damaged(&path, "a record changed since opening")),
                }
            }
        }
        Ok(())
    }

    /// The bytes of what was not forgotten; of a segment forgotten in part, its share.
    pub(crate) fn bytes(&self) -> u64 {
        let writer = self.writer.lock();
        let ends = writer.segments.iter().skip(1).map(|segment| segment.first);
        let ends = ends.chain([writer.next]);
        let kept = writer.segments.iter().zip(ends).map(|(segment, end)| {
            let records = end - segment.first;
            let kept = end.saturating_sub(segment.first.max(writer.forgotten + 1));
            let bytes = u128::from(segment.bytes - HEADER_BYTES) * u128::from(kept);
            u64::try_from(bytes / u128::from(records.max(1))).unwrap_or(u64::MAX)
        });
        kept.sum()
    }

    fn begin_segment(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let durable = self.durable.load(Ordering::Relaxed);
        let (segment, file) = Segment::create(&self.path, writer.next, durable)?;
        let before = mem::replace(&mut writer.file, Arc::new(file));
        writer.unsynced.push(before);
        writer.names_unsynced = true;
        writer.segments.push_back(segment);
        Ok(())
    }

    /// A last, empty segment vouches for every record before it.
    fn close(&self) -> Result<(), StoreError> {
        self.sync()?;
        let mut writer = self.writer.lock();
        if writer.last().bytes > HEADER_BYTES {
            self.begin_segment(&mut writer)?;
        }
        drop(writer);
        self.sync()
    }
}

impl Drop for Redo {
    fn drop(&mut self) {
        // Nothing that was promised depends on it.
        let _ = self.close();
    }
}

impl Writer {
    fn last(&self) -> Segment {
        *self
            .segments
            .back()
            .expect("there is always one to write to")
    }

    fn last_mut(&mut self) -> &mut Segment {
        self.segments
            .back_mut()
            .expect("there is always one to write to")
    }
}

struct Recovery<'a> {
    path: &'a Path,
    forgotten: u64,
}

struct Recovered {
    segments: VecDeque<Segment>,
    /// The highest position that was ever used and is still known.
    reached: u64,
}

/// What a segment holds before its end or its first broken record.
struct Whole {
    next: u64,
    bytes: u64,
    is_torn: bool,
}

impl Recovery<'_> {
    fn run(&self) -> Result<Recovered, StoreError> {
        let mut found = names(self.path).map_err(|error| store_error(self.path, &error))?;
        while found
            .get(1)
            .is_some_and(|second| second.first <= self.forgotten + 1)
        {
            found.remove(0).remove(self.path)?;
        }
        let mut recovered = Recovered {
            segments: VecDeque::new(),
            reached: self.forgotten,
        };
        let mut next = 0;
        for (index, segment) in found.iter().copied().enumerate() {
            if segment.first > recovered.reached + 1 {
                self.cut(&found[index..], recovered.reached + 1)?;
                break;
            }
            let whole = self.read(segment)?;
            if whole.is_torn {
                self.cut(&found[index..], whole.next)?;
            }
            if whole.next > segment.first {
                if segment.first < next {
                    return Err(damaged(self.path, "two segments hold the same redo"));
                }
                next = whole.next;
                recovered.reached = recovered.reached.max(next - 1);
                recovered.segments.push_back(Segment {
                    bytes: whole.bytes,
                    ..segment
                });
            } else if !whole.is_torn {
                segment.remove(self.path)?;
            }
            if whole.is_torn {
                break;
            }
        }
        self.sync(&recovered)?;
        Ok(recovered)
    }

    fn read(&self, segment: Segment) -> Result<Whole, StoreError> {
        let path = segment.path(self.path);
        let failed = |error: io::Error| store_error(&path, &error);
        let mut reader = segment.reader(self.path).map_err(failed)?;
        let mut next = segment.first;
        loop {
            let is_torn = match reader.step().map_err(failed)? {
                Step::Record(position) => {
                    next = position + 1;
                    continue;
                }
                Step::End => false,
                Step::Broken => true,
            };
            return Ok(Whole {
                next,
                bytes: reader.whole_bytes(),
                is_torn,
            });
        }
    }

    /// Takes away everything from the record `next` on, which is in the first of `segments` or in
    /// none, unless it was durable once.
    fn cut(&self, segments: &[Segment], next: u64) -> Result<(), StoreError> {
        if next <= self.forgotten {
            return Err(damaged(
                self.path,
                "a record before the last checkpoint is broken",
            ));
        }
        for segment in segments {
            if self.claims(*segment, next)? {
                let path = segment.path(self.path);
                return Err(damaged(
                    &path,
                    &format!("redo {next} was durable, but is not whole"),
                ));
            }
        }
        // The last first: what remains after a crash in between is cut in the same way.
        for segment in segments.iter().rev() {
            if segment.first >= next {
                segment.remove(self.path)?;
            } else {
                let bytes = self.read(*segment)?.bytes;
                let path = segment.path(self.path);
                let file = File::options().write(true).open(&path);
                let cut = file.and_then(|file| file.set_len(bytes));
                cut.map_err(|error| store_error(&path, &error))?;
            }
        }
        Ok(())
    }

    /// Whether anything in the segment says that the record `next` was durable.
    fn claims(&self, segment: Segment, next: u64) -> Result<bool, StoreError> {
        let path = segment.path(self.path);
        let failed = |error: io::Error| store_error(&path, &error);
        let mut reader = segment.reader(self.path).map_err(failed)?;
        if reader.durable_before() >= Some(next) {
            return Ok(true);
        }
        if segment.first <= next {
            while matches!(reader.step().map_err(failed)?, Step::Record(_)) {}
        }
        reader.claims_behind(next).map_err(failed)
    }

    /// What was found may not have been synced before the crash.
    fn sync(&self, recovered: &Recovered) -> Result<(), StoreError> {
        for segment in &recovered.segments {
            let path = segment.path(self.path);
            let synced = File::options()
                .write(true)
                .open(&path)
                .and_then(|file| file.sync_all());
            synced.map_err(|error| store_error(&path, &error))?;
        }
        Ok(())
    }
}

impl Segment {
    fn path(self, path: &Path) -> PathBuf {
        path.join(format!(
            "{:0FIRST_DIGITS$}-{:0SALT_DIGITS$x}.redo",
            self.first, self.salt
        ))
    }

    fn from_name(name: &str) -> Option<Self> {
        let (first, salt) = name.strip_suffix(".redo")?.split_once('-')?;
        if first.len() != FIRST_DIGITS || salt.len() != SALT_DIGITS {
            return None;
        }
        let salt = u32::from_str_radix(salt, 16).ok()?;
        Some(Self {
            first: first.parse().ok()?,
            salt,
            bytes: 0,
        })
    }

    fn reader(self, path: &Path) -> io::Result<SegmentReader> {
        SegmentReader::open(&self.path(path), self.first, self.salt)
    }

    fn remove(self, path: &Path) -> Result<(), StoreError> {
        let path = self.path(path);
        fs::remove_file(&path).map_err(|error| store_error(&path, &error))
    }

    /// Makes the file of a new segment.
    fn create(path: &Path, first: u64, durable: u64) -> Result<(Self, File), StoreError> {
        // The standard library seeds each `RandomState` from the system's randomness.
        let salt = (RandomState::new().hash_one(first) >> 32) as u32;
        let header = Header {
            first,
            durable,
            salt,
        };
        let segment = Self {
            first,
            salt,
            bytes: HEADER_BYTES,
        };
        let path = segment.path(path);
        let file = File::create_new(&path).and_then(|mut file| {
            file.write_all(&header.to_bytes())?;
            Ok(file)
        });
        Ok((segment, file.map_err(|error| store_error(&path, &error))?))
    }
}

fn damaged(path: &Path, reason: &str) -> StoreError {
    StoreError::Damaged(format!("{}: {reason}", path.display()))
}

/// All segments, ascending; their sizes are not known yet.
fn names(path: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(path)? {
        segments.extend(entry?.file_name().to_str().and_then(Segment::from_name));
    }
    segments.sort_unstable_by_key(|segment| segment.first);
    Ok(segments)
}
