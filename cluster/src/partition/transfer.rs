//! A whole partition travels (DESIGN.md section 4, rules 4 and 5).
//!
//! The receiver asks for one range after the other and stages what comes. The source reads its rows
//! as they are and remembers which changed meanwhile; those it sends again at the end, and with the
//! last of them, under the partition's lock, its clock and log. So what was staged is then exactly
//! the source at that moment, as if it had been one snapshot, and no snapshot needs to be held.
//!
//! ```text
//! receiver                               source
//! Fetch 0 ─────────────────────────────▶ notes what changes from here on
//!         ◀───────────────────────────── Range 0: rows
//! Fetch 1 ─────────────────────────────▶
//!         ◀───────────────────────────── Range 1: rows that changed meanwhile, clock, log
//! staged copy becomes, or joins, the main copy in one batch
//! ```
//!
//! Anything lost or out of turn ends the transfer; the receiver begins anew.

use larder_crdt::{ActorTable, Clock, DecodeError, Reader, Row, Writer};

use super::{Event, Output, Partition};
use crate::copy::{Copy, CopyId, Refusal, Touched};
use crate::env::Env;
use crate::id::NodeId;
use crate::limits::{ACTORS_PER_PARTITION_MAX, TRANSFER_ROWS_MAX, TRANSFERS_MAX};
use crate::log::Log;
use crate::message::Message;
use crate::record::{self, Role, decode_log, encode_log};
use crate::row_key::RowKey;
use crate::store::StoreError;

/// A transfer that this node receives.
#[derive(Debug, Clone)]
pub struct Staged {
    /// What has come so far.
    pub copy: Copy,
    /// From whom.
    pub source: NodeId,
    /// Its number, unique among this node's transfers of the partition in this run.
    pub transfer: u64,
    /// The number of the range that is awaited.
    pub turn: u64,
    /// When it is given up.
    pub deadline_ms: u64,
}

/// A transfer that this node feeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    transfer: u64,
    copy: CopyId,
    turn: u64,
    after: Option<RowKey>,
    scanned: bool,
    last_ms: u64,
}

/// A range of a transfer.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// Which transfer.
    pub transfer: u64,
    /// Its number in the transfer, from 0.
    pub turn: u64,
    /// The actors that all dots name by number.
    pub actors: ActorTable,
    /// Rows, empty ones for elements that ended since an earlier range.
    pub rows: Vec<(RowKey, Row)>,
    /// With the last range: everything the source has seen, and its log.
    pub end: Option<(Clock, Log)>,
}

impl Range {
    /// Appends the range.
    pub fn encode(&self, writer: &mut Writer) {
        writer.varint(self.transfer);
        writer.varint(self.turn);
        self.actors.encode(writer);
        writer.length(self.rows.len());
        for (key, row) in &self.rows {
            key.encode(writer);
            row.encode(writer);
        }
        writer.u8(u8::from(self.end.is_some()));
        if let Some((clock, log)) = &self.end {
            clock.encode(writer);
            encode_log(log, writer);
        }
    }

    /// Reads what [`Range::encode`] wrote.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (transfer, turn) = (reader.varint()?, reader.varint()?);
        let actors = ActorTable::decode(reader, ACTORS_PER_PARTITION_MAX)?;
        let mut rows = Vec::new();
        for _ in 0..reader.count(usize::MAX)? {
            rows.push((RowKey::decode(reader)?, Row::decode(reader)?));
        }
        let end = match reader.u8()? {
            0 => None,
            1 => Some((Clock::decode(reader, actors.len())?, decode_log(reader)?)),
            _ => return Err(DecodeError::UnknownTag),
        };
        Ok(Self {
            transfer,
            turn,
            actors,
            rows,
            end,
        })
    }
}

impl Partition {
    /// Begins to fetch the whole partition from `source`.
    pub(super) fn begin_transfer(&mut self, env: &Env<'_>, out: &mut Output, source: NodeId) {
        let copy = self.begin_copy(env, out, Role::Staged);
        let transfer = u64::from(self.serial);
        let deadline_ms = env.now.monotonic_ms + env.settings.transfer_timeout_ms;
        self.counts.transfers_begun += 1;
        self.staged = Some(Staged {
            copy,
            source,
            transfer,
            turn: 0,
            deadline_ms,
        });
        out.sends
            .push((source, Message::Fetch(self.id, transfer, 0)));
    }

    /// A peer cannot explain what this node lacks, and offers the whole partition (rule 5).
    pub fn on_offer(&mut self, env: &Env<'_>, out: &mut Output, from: NodeId) {
        if env.is_owner(self.id) && self.staged.is_none() {
            self.begin_transfer(env, out, from);
        }
    }

    /// Gives up a transfer that makes no progress or has lost its source.
    pub(super) fn tend_staged(&mut self, env: &Env<'_>, out: &mut Output) {
        let over = self.staged.as_ref().is_some_and(|staged| {
            staged.deadline_ms <= env.now.monotonic_ms
                || !env.view.up.contains(&staged.source)
                || !env.is_owner(self.id)
        });
        if over && let Some(staged) = self.staged.take() {
            self.end_copy(out, &staged.copy);
            out.events.push(Event::TransferOver);
        }
    }

    /// Forgets transfers whose receivers went silent.
    pub(super) fn tend_feeds(&mut self, env: &Env<'_>) {
        let oldest = env
            .now
            .monotonic_ms
            .saturating_sub(2 * env.settings.transfer_timeout_ms);
        let stale: Vec<NodeId> = self
            .feeds
            .iter()
            .filter(|(_, feed)| feed.last_ms < oldest)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in stale {
            self.end_feed(peer);
        }
    }

    fn end_feed(&mut self, peer: NodeId) {
        self.feeds.remove(&peer);
        if let Some(main) = self.main.as_mut() {
            main.touched.remove(&peer);
        }
    }

    /// A peer asks for the next range: its number, the transfer's and the range's. It gets one
    /// without rows if there is no room for any now. Gives the size of what was sent.
    ///
    /// # Errors
    /// What the disk says.
    pub fn on_fetch(
        &mut self,
        env: &Env<'_>,
        out: &mut Output,
        (from, transfer, turn): (NodeId, u64, u64),
        has_room: bool,
    ) -> Result<usize, StoreError> {
        if !self.has_main() {
            self.acknowledge(env, out, from);
            return Ok(0);
        }
        let main = self.main.as_mut().expect("has_main was just asked");
        if turn == 0 {
            // A repeated call must not begin the feed anew: what changed since the first range
            // would be in neither of the two.
            if self
                .feeds
                .get(&from)
                .is_some_and(|feed| feed.transfer >= transfer)
            {
                return Ok(0);
            }
            if self.feeds.len() >= TRANSFERS_MAX && !self.feeds.contains_key(&from) {
                return Ok(0);
            }
            let last_ms = env.now.monotonic_ms;
            let copy = main.id;
            let feed = Feed {
                transfer,
                copy,
                turn: 0,
                after: None,
                scanned: false,
                last_ms,
            };
            self.feeds.insert(from, feed);
            main.touched.insert(from, Touched::default());
        }
        let Some(feed) = self.feeds.get_mut(&from) else {
            return Ok(0);
        };
        if feed.transfer != transfer || feed.turn != turn || feed.copy != main.id {
            return Ok(0);
        }
        feed.turn += 1;
        feed.last_ms = env.now.monotonic_ms;
        let (rows, end) = if has_room {
            next_range(main, env, feed, from)?
        } else {
            (Vec::new(), None)
        };
        let ended = end.is_some();
        let row_bytes = |(key, row): &(RowKey, Row)| key.heap_bytes() + row.heap_bytes();
        let bytes = rows.iter().map(row_bytes).sum();
        let range = Range {
            transfer,
            turn,
            actors: main.actors.clone(),
            rows,
            end,
        };
        out.sends.push((from, Message::Range(self.id, range)));
        if ended {
            self.end_feed(from);
        }
        Ok(bytes)
    }

    /// The next range came in.
    ///
    /// # Errors
    /// What the disk says.
    pub fn on_range(
        &mut self,
        env: &Env<'_>,
        out: &mut Output,
        from: NodeId,
        range: Range,
    ) -> Result<(), StoreError> {
        let Some(staged) = self.staged.as_mut().filter(|staged| {
            staged.source == from && staged.transfer == range.transfer && staged.turn == range.turn
        }) else {
            return Ok(());
        };
        match stage(&mut staged.copy, env, out, range) {
            Ok(false) => {
                staged.turn += 1;
                staged.deadline_ms = env.now.monotonic_ms + env.settings.transfer_timeout_ms;
                let fetch = Message::Fetch(self.id, staged.transfer, staged.turn);
                out.sends.push((from, fetch));
                Ok(())
            }
            Ok(true) => self.promote(env, out),
            Err(Refusal::Store(error)) => Err(error),
            Err(Refusal::NotCovered | Refusal::Inconsistent) => {
                out.events.push(Event::BadPeer(from));
                if let Some(staged) = self.staged.take() {
                    self.end_copy(out, &staged.copy);
                }
                Ok(())
            }
        }
    }

    /// The last range is in: the staged copy becomes the main copy or joins it, and the fallback's
    /// copy joins both, in this batch.
    fn promote(&mut self, env: &Env<'_>, out: &mut Output) -> Result<(), StoreError> {
        let Some(mut staged) = self.staged.take() else {
            return Ok(());
        };
        self.counts.transfers_done += 1;
        out.events.push(Event::TransferOver);
        let keeps_log = env.other_owners(self.id).next().is_some();
        let was_ready = self.is_ready(env);
        match self.main.as_mut() {
            Some(main) => {
                match main.join_whole(env, &mut out.redo, &mut staged.copy, keeps_log) {
                    Ok(joined) => {
                        main.role = Role::Main;
                        main.record(&mut out.redo);
                        if keeps_log {
                            let keys = &joined.disputed;
                            main.tell_again(env, &mut out.redo, &mut self.stint, keys)?;
                        }
                        self.observe(env, joined.latest);
                        self.tell_watchers(out, &joined.changed);
                    }
                    Err(Refusal::Store(error)) => return Err(error),
                    Err(Refusal::NotCovered | Refusal::Inconsistent) => {
                        panic!("a staged copy was checked when it came in")
                    }
                }
                self.end_copy(out, &staged.copy);
            }
            None => {
                let mut main = staged.copy;
                main.role = Role::Main;
                main.unsynced = true;
                main.record(&mut out.redo);
                self.main = Some(main);
            }
        }
        if self.fallback.is_some() && env.is_owner(self.id) {
            self.join_fallback(env, out)?;
        }
        if !was_ready {
            self.become_ready(env, out);
        }
        Ok(())
    }
}

/// The rows of the next range, and with the last one clock and log.
type NextRange = (Vec<(RowKey, Row)>, Option<(Clock, Log)>);

fn next_range(
    main: &mut Copy,
    env: &Env<'_>,
    feed: &mut Feed,
    receiver: NodeId,
) -> Result<NextRange, StoreError> {
    let rows_max = env.settings.transfer_rows_max.clamp(1, TRANSFER_ROWS_MAX);
    if !feed.scanned {
        let (rows, more) = main.rows.range(env.store, feed.after.as_ref(), rows_max)?;
        feed.after = rows.last().map(|(key, _)| key.clone());
        feed.scanned = !more || rows.is_empty();
        let touched = main.touched.entry(receiver).or_default();
        if !feed.scanned || !touched.0.is_empty() {
            return Ok((rows, None));
        }
        return Ok((rows, Some((main.clock.clone(), main.log.clone()))));
    }
    let mut touched = main.touched.remove(&receiver).unwrap_or_default();
    let mut rows = Vec::new();
    while rows.len() < rows_max {
        let Some(key) = touched.0.pop_first() else {
            break;
        };
        let row = main.rows.get(env.store, &key)?;
        rows.push((key, row));
    }
    let last = touched.0.is_empty();
    main.touched.insert(receiver, touched);
    Ok((rows, last.then(|| (main.clock.clone(), main.log.clone()))))
}

/// Takes a range into the staged copy; says whether it was the last.
fn stage(copy: &mut Copy, env: &Env<'_>, out: &mut Output, range: Range) -> Result<bool, Refusal> {
    let translation = copy.translation(&range.actors, &mut out.redo);
    let slot = copy.slot();
    for (key, row) in range.rows {
        let row = row.translate(&translation)?;
        copy.stage_row(env, &mut out.redo, &key, row)?;
    }
    let Some((clock, log)) = range.end else {
        return Ok(false);
    };
    let clock = clock.translate(&translation)?;
    record::clock(&mut out.redo, slot, &clock);
    copy.clock = clock;
    let mut translated = Log::new();
    for (dot, entry) in log.iter() {
        let group = entry
            .group
            .map(|group| group.translate(&translation))
            .transpose()?;
        translated.insert(dot.translate(&translation)?, entry.key.clone(), group);
    }
    record::log(&mut out.redo, slot, &translated);
    copy.log = translated;
    copy.changed = true;
    Ok(true)
}
