//! `delta_since` and `join`: how two copies tell each other what they have seen.
//!
//! ```text
//! owner A                                            owner B
//! missing = clock(A) - known(B)
//! Delta { since: known(B), clock: clock(A),
//!         elements with their missing dots } ──────▶ clock(B) covers since?  no: refused (rule 7)
//!                                                    each element: Row::join, dots into clock, log
//!                   ◀────── durable clock of B, once fsynced (rule 2)
//! ```

use larder_crdt::conflict;
use larder_crdt::{ActorTable, Clock, DecodeError, Dot, Reader, Row, Stamp, Writer};

use super::{Copy, CopyId, retire};
use crate::env::Env;
use crate::limits::{ACTORS_PER_PARTITION_MAX, DELTA_ELEMENTS_MAX, LOG_ENTRIES_MAX};
use crate::log::ElementDots;
use crate::record::{self, decode_group, encode_group};
use crate::row_key::RowKey;
use crate::store::StoreError;

/// One element of a delta.
#[derive(Debug, Clone, PartialEq)]
pub struct DeltaChange {
    /// The element.
    pub key: RowKey,
    /// Its dots that the other side lacks, each with its group.
    pub dots: Vec<(Dot, Option<Dot>)>,
    /// Its row as it is now.
    pub row: Row,
}

/// What one copy tells another: the elements that changed, in the numbers of `actors`.
#[derive(Debug, Clone, PartialEq)]
pub struct Delta {
    /// The copy that speaks.
    pub from: CopyId,
    /// Whether somebody waits for the acknowledgement.
    pub urgent: bool,
    /// The actors that all dots name by number.
    pub actors: ActorTable,
    /// What the other side was thought to have.
    pub since: Clock,
    /// What the sender has seen.
    pub clock: Clock,
    /// The elements.
    pub changes: Vec<DeltaChange>,
}

impl Delta {
    /// Appends the delta.
    pub fn encode(&self, writer: &mut Writer) {
        writer.u128_be(self.from.0);
        writer.u8(u8::from(self.urgent));
        self.actors.encode(writer);
        self.since.encode(writer);
        self.clock.encode(writer);
        writer.length(self.changes.len());
        for change in &self.changes {
            change.key.encode(writer);
            writer.length(change.dots.len());
            for (dot, group) in &change.dots {
                dot.encode(writer);
                encode_group(*group, writer);
            }
            change.row.encode(writer);
        }
    }

    /// Reads what [`Delta::encode`] wrote.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let from = CopyId(reader.u128_be()?);
        let urgent = reader.u8()? != 0;
        let actors = ActorTable::decode(reader, ACTORS_PER_PARTITION_MAX)?;
        let since = Clock::decode(reader, actors.len())?;
        let clock = Clock::decode(reader, actors.len())?;
        let mut changes = Vec::new();
        for _ in 0..reader.count(LOG_ENTRIES_MAX)? {
            let key = RowKey::decode(reader)?;
            let mut dots = Vec::new();
            for _ in 0..reader.count(LOG_ENTRIES_MAX)? {
                dots.push((Dot::decode(reader)?, decode_group(reader)?));
            }
            changes.push(DeltaChange {
                key,
                dots,
                row: Row::decode(reader)?,
            });
        }
        Ok(Self {
            from,
            urgent,
            actors,
            since,
            clock,
            changes,
        })
    }
}

/// Why a delta was not joined. The copy is unchanged.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// It was computed against a clock that this copy does not have (rule 7).
    NotCovered,
    /// Its parts contradict each other.
    Inconsistent,
    /// The disk failed.
    Store(StoreError),
}

impl From<DecodeError> for Refusal {
    fn from(_: DecodeError) -> Self {
        Self::Inconsistent
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What joining did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Joined {
    /// Dots that were new here.
    pub fresh: usize,
    /// The latest stamp that came in.
    pub latest: Stamp,
    /// Elements whose rows changed.
    pub changed: Vec<RowKey>,
    /// Elements of which something was removed that an owner may show for ever: see
    /// [`Copy::tell_again`].
    pub disputed: Vec<RowKey>,
}

/// What became of one element.
#[derive(Debug, Clone, Copy)]
struct Became {
    changed: bool,
    disputed: bool,
}

impl Joined {
    fn note(&mut self, key: RowKey, became: Became) {
        if became.disputed {
            self.disputed.push(key.clone());
        }
        if became.changed {
            self.changed.push(key);
        }
    }
}

impl Copy {
    /// The elements that the dots of `chosen` changed, each with all its dots that a side which
    /// knows `known` lacks (`missing`, which holds `chosen`), as many as one message holds. The
    /// rest is for the next one.
    ///
    /// # Errors
    /// What the disk says when a row is looked up.
    pub fn delta(
        &mut self,
        env: &Env<'_>,
        known: &Clock,
        chosen: &Clock,
        missing: &Clock,
    ) -> Result<Delta, StoreError> {
        let mut elements_max = DELTA_ELEMENTS_MAX;
        loop {
            let batch = self.log.batch(chosen, missing, elements_max, env.keeps(6));
            let delta = self.delta_with(env, known.clone(), batch)?;
            let bytes: usize = delta
                .changes
                .iter()
                .map(|change| change.row.heap_bytes() + change.key.heap_bytes())
                .sum();
            if bytes <= env.settings.delta_bytes_max || elements_max == 1 {
                return Ok(delta);
            }
            elements_max = (elements_max / 4).max(1);
        }
    }

    /// A delta of `elements`, each with its row as it is now, for a side that knows `since`.
    fn delta_with(
        &mut self,
        env: &Env<'_>,
        since: Clock,
        elements: ElementDots,
    ) -> Result<Delta, StoreError> {
        let mut changes = Vec::with_capacity(elements.len());
        for (key, dots) in elements {
            let row = self.rows.get(env.store, &key)?;
            changes.push(DeltaChange { key, dots, row });
        }
        Ok(Delta {
            from: self.id,
            urgent: false,
            actors: self.actors.clone(),
            since,
            clock: self.clock.clone(),
            changes,
        })
    }

    /// The changes of one element that a side which knows `known` lacks, with the groups that they
    /// belong to.
    ///
    /// # Errors
    /// What the disk says when a row is looked up.
    pub fn delta_of(
        &mut self,
        env: &Env<'_>,
        known: &Clock,
        missing: &Clock,
        key: &RowKey,
    ) -> Result<Delta, StoreError> {
        let closure = self.log.closure_of(key, missing);
        self.delta_with(env, known.clone(), closure)
    }

    /// Everything that this copy has seen, as its log tells it: for a fallback's copy, which began
    /// empty and whose log is never trimmed, that is the whole of it.
    ///
    /// # Errors
    /// What the disk says when a row is looked up.
    pub fn whole_by_log(&mut self, env: &Env<'_>) -> Result<Delta, StoreError> {
        let batch = self.log.batch(&self.clock, &self.clock, usize::MAX, true);
        self.delta_with(env, Clock::new(), batch)
    }

    /// Joins a delta into this copy.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub fn join(
        &mut self,
        env: &Env<'_>,
        redo: &mut Writer,
        delta: Delta,
        keeps_log: bool,
    ) -> Result<Joined, Refusal> {
        let delta = self.translated(redo, delta)?;
        if env.keeps(7) && !self.clock.covers(&delta.since) {
            return Err(Refusal::NotCovered);
        }
        let consistent = |change: &DeltaChange| {
            change.row.siblings().iter().all(|sibling| {
                change.dots.iter().any(|(dot, _)| *dot == sibling.dot)
                    || delta.since.contains(sibling.dot)
            })
        };
        if env.settings.broken_rule.0 == 0 && !delta.changes.iter().all(consistent) {
            return Err(Refusal::Inconsistent);
        }
        // Rows are looked up before anything changes, so that a failing disk leaves no half.
        for change in &delta.changes {
            self.rows.load(env.store, &change.key)?;
        }
        let mut joined = Joined::default();
        let differ = env.keeps(10) && retire::differ(&self.clock, &delta.clock);
        for change in delta.changes {
            joined.latest = joined.latest.max(change.row.latest_stamp());
            let fresh: Vec<_> = change
                .dots
                .iter()
                .copied()
                .filter(|(dot, _)| !self.clock.contains(*dot))
                .collect();
            joined.fresh += fresh.len();
            let became = self.join_row(env, redo, &change, &fresh, (&delta.clock, differ))?;
            self.note_change(&change.key, &fresh, keeps_log);
            if became.changed {
                self.counted.note(&change.key);
            }
            joined.note(change.key, became);
        }
        if !env.keeps(4) {
            self.take_clock(redo, &delta.clock);
        }
        Ok(joined)
    }

    /// Joins one element. With the clock of the other side comes whether one of the two has retired
    /// an actor that the other has not.
    fn join_row(
        &mut self,
        env: &Env<'_>,
        redo: &mut Writer,
        change: &DeltaChange,
        fresh: &[(Dot, Option<Dot>)],
        (their_clock, differ): (&Clock, bool),
    ) -> Result<Became, StoreError> {
        let slot = self.rows.slot();
        let (clock, resets, now_ms) = (&self.clock, &mut self.resets, env.now.unix_ms);
        let (mut changed, mut expired, mut lost) = (false, false, Vec::new());
        let mut disputed = false;
        self.rows.update(env.store, &change.key, |mine| {
            let mut row = Row::join(mine, clock, &change.row, their_clock);
            if differ {
                let theirs = (&change.row, their_clock);
                disputed = retire::settle_dispute((mine, clock), theirs, &mut row);
            }
            expired = row.drop_expired(now_ms);
            changed = row != *mine;
            if changed || !fresh.is_empty() {
                Self::note_resets(resets, &change.key, &row);
                record::change(redo, slot, &change.key, fresh, &row);
            }
            if changed {
                lost = conflict::lost(|| conflict::losers(mine, now_ms), &row, now_ms);
                *mine = row;
            }
            changed
        })?;
        self.expired += u64::from(expired);
        self.note_conflicts(env, &change.key, lost);
        Ok(Became { changed, disputed })
    }

    /// Takes over dots whose elements are known to be as the sender has them.
    pub(super) fn take_clock(&mut self, redo: &mut Writer, clock: &Clock) {
        if self.clock.covers(clock) {
            return;
        }
        self.clock.join(clock);
        self.unsynced = true;
        self.changed = true;
        record::clock(redo, self.rows.slot(), clock);
    }

    /// A delta in this copy's numbers.
    fn translated(&mut self, redo: &mut Writer, delta: Delta) -> Result<Delta, DecodeError> {
        let translation = self.translation(&delta.actors, redo);
        let mut changes = Vec::with_capacity(delta.changes.len());
        for change in delta.changes {
            let mut dots = Vec::with_capacity(change.dots.len());
            for (dot, group) in change.dots {
                let group = group
                    .map(|group| group.translate(&translation))
                    .transpose()?;
                dots.push((dot.translate(&translation)?, group));
            }
            let row = change.row.translate(&translation)?;
            changes.push(DeltaChange {
                key: change.key,
                dots,
                row,
            });
        }
        Ok(Delta {
            since: delta.since.translate(&translation)?,
            clock: delta.clock.translate(&translation)?,
            actors: ActorTable::new(),
            changes,
            ..delta
        })
    }

    /// Joins a whole other copy of the partition into this one: all its rows, its whole clock and
    /// its log. Both are this node's own: what a bootstrap has staged, or a fallback's copy.
    ///
    /// # Errors
    /// What the disk says; writes stop then, because a part may have been joined.
    pub fn join_whole(
        &mut self,
        env: &Env<'_>,
        redo: &mut Writer,
        other: &mut Self,
        keeps_log: bool,
    ) -> Result<Joined, Refusal> {
        let translation = self.translation(&other.actors, redo);
        let their_clock = other.clock.translate(&translation)?;
        let mut keys = std::collections::BTreeSet::new();
        collect_keys(env, other, &mut keys)?;
        collect_keys(env, self, &mut keys)?;
        let mut joined = Joined::default();
        let differ = env.keeps(10) && retire::differ(&self.clock, &their_clock);
        for key in keys {
            let row = other.rows.get(env.store, &key)?.translate(&translation)?;
            joined.latest = joined.latest.max(row.latest_stamp());
            let change = DeltaChange {
                key,
                dots: Vec::new(),
                row,
            };
            let became = self.join_row(env, redo, &change, &[], (&their_clock, differ))?;
            if became.changed {
                self.note_change(&change.key, &[], keeps_log);
                self.counted.note(&change.key);
            }
            joined.note(change.key, became);
        }
        joined.fresh = usize::from(!self.clock.covers(&their_clock));
        self.take_clock(redo, &their_clock);
        if keeps_log {
            self.take_log(redo, other, &translation)?;
        }
        Ok(joined)
    }

    fn take_log(
        &mut self,
        redo: &mut Writer,
        other: &Self,
        translation: &larder_crdt::actor::Translation,
    ) -> Result<(), DecodeError> {
        let mut taken = crate::log::Log::new();
        for (dot, entry) in other.log.iter() {
            let dot = dot.translate(translation)?;
            let group = entry
                .group
                .map(|group| group.translate(translation))
                .transpose()?;
            taken.insert(dot, entry.key.clone(), group);
            self.log.insert(dot, entry.key.clone(), group);
        }
        if !taken.is_empty() {
            record::log(redo, self.rows.slot(), &taken);
            self.changed = true;
        }
        Ok(())
    }
}

fn collect_keys(
    env: &Env<'_>,
    copy: &Copy,
    keys: &mut std::collections::BTreeSet<RowKey>,
) -> Result<(), StoreError> {
    let mut after: Option<RowKey> = None;
    loop {
        let (rows, more) =
            copy.rows
                .range(env.store, after.as_ref(), crate::limits::TRANSFER_ROWS_MAX)?;
        after = rows.last().map(|(key, _)| key.clone());
        keys.extend(rows.into_iter().map(|(key, _)| key));
        if !more || after.is_none() {
            return Ok(());
        }
    }
}

impl Copy {
    /// Takes a row of a transfer as it is.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn stage_row(
        &mut self,
        env: &Env<'_>,
        redo: &mut Writer,
        key: &RowKey,
        row: Row,
    ) -> Result<(), StoreError> {
        Self::note_resets(&mut self.resets, key, &row);
        record::change(redo, self.slot(), key, &[], &row);
        self.rows.set(env.store, key, row)
    }
}
