//! All dots that a replica of a partition has seen: a version vector with exceptions.
//!
//! Per actor a contiguous prefix `1..=base`, and behind it the intervals that arrived out of order.
//! Counters are contiguous per copy, so in the steady state there is one number an actor. See
//! Gonçalves et al., "DottedDB: Anti-Entropy without Merkle Trees, Deletes without Tombstones"
//! (2017), whose bitmaps are intervals here.
//!
//! ```text
//! actor 0   1 2 3 4 5 . . 8 9        base 5, intervals [8..=9]
//! actor 1   1 2                      base 2
//! actor 2   everything               base COUNTER_MAX: retired
//! ```

use std::fmt;

use crate::actor::{ActorIndex, Translation};
use crate::codec::{DecodeError, Reader, Writer};
use crate::dot::Dot;
use crate::limits::{ACTORS_MAX, CLOCK_INTERVALS_MAX, COUNTER_MAX};

/// The counters of one actor.
#[derive(Clone, Default, PartialEq, Eq)]
struct Counters {
    base: u64,
    /// Sorted, disjoint, not adjacent, all beyond `base + 1`; ends inclusive.
    intervals: Vec<(u64, u64)>,
}

impl Counters {
    fn contains(&self, counter: u64) -> bool {
        counter <= self.base
            || self
                .intervals
                .iter()
                .any(|&(start, end)| start <= counter && counter <= end)
    }

    fn insert_range(&mut self, start: u64, end: u64) {
        if end <= self.base {
            return;
        }
        if start <= self.base + 1 {
            self.base = end;
        } else {
            let at = self.intervals.partition_point(|&(other, _)| other < start);
            self.intervals.insert(at, (start, end));
        }
        self.normalise();
    }

    fn normalise(&mut self) {
        if self.intervals.is_empty() {
            return;
        }
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(self.intervals.len());
        for &(start, end) in &self.intervals {
            if start <= self.base.saturating_add(1) {
                self.base = self.base.max(end);
                continue;
            }
            match merged.last_mut() {
                Some(last) if start <= last.1.saturating_add(1) => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        let base = self.base;
        merged.retain(|&(_, end)| end > base);
        self.intervals = merged;
    }

    fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let prefix = (self.base > 0).then_some((1, self.base));
        prefix.into_iter().chain(self.intervals.iter().copied())
    }

    fn covers_range(&self, start: u64, end: u64) -> bool {
        end <= self.base || self.intervals.iter().any(|&(s, e)| s <= start && end <= e)
    }

    fn covers(&self, other: &Self) -> bool {
        other
            .ranges()
            .all(|(start, end)| self.covers_range(start, end))
    }

    /// The parts of `self` that `other` lacks.
    fn minus(&self, other: &Self, mut found: impl FnMut(u64, u64)) {
        for (start, end) in self.ranges() {
            let mut from = start;
            for (taken, until) in other.ranges() {
                if until < from {
                    continue;
                }
                if taken > end {
                    break;
                }
                if taken > from {
                    found(from, taken - 1);
                }
                from = until + 1;
                if from > end {
                    break;
                }
            }
            if from <= end {
                found(from, end);
            }
        }
    }
}

/// A set of dots. Indices are those of one actor table; clocks of different tables must be
/// translated before they meet.
#[derive(Clone, Default)]
pub struct Clock {
    actors: Vec<Counters>,
}

impl PartialEq for Clock {
    fn eq(&self, other: &Self) -> bool {
        self.covers(other) && other.covers(self)
    }
}

impl Eq for Clock {}

impl Clock {
    /// The clock of a copy that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn counters(&self, actor: ActorIndex) -> Option<&Counters> {
        self.actors.get(actor.0 as usize)
    }

    fn counters_mut(&mut self, actor: ActorIndex) -> &mut Counters {
        let at = actor.0 as usize;
        if at >= self.actors.len() {
            self.actors.resize_with(at + 1, Counters::default);
        }
        self.actors
            .get_mut(at)
            .expect("the vector was just grown to hold it")
    }

    /// Whether nothing was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actors
            .iter()
            .all(|c| c.base == 0 && c.intervals.is_empty())
    }

    /// Whether `dot` was seen.
    #[must_use]
    #[inline]
    pub fn contains(&self, dot: Dot) -> bool {
        self.counters(dot.actor())
            .is_some_and(|c| c.contains(dot.counter()))
    }

    /// Adds one dot.
    #[inline]
    pub fn insert(&mut self, dot: Dot) {
        let counters = self.counters_mut(dot.actor());
        if dot.counter() == counters.base + 1 && counters.intervals.is_empty() {
            counters.base += 1;
        } else {
            counters.insert_range(dot.counter(), dot.counter());
        }
    }

    /// Adds the counters `start..=end` of an actor.
    ///
    /// # Panics
    /// If the range is empty, begins at 0 or ends beyond [`COUNTER_MAX`].
    pub fn insert_range(&mut self, actor: ActorIndex, start: u64, end: u64) {
        assert!(
            start > 0 && start <= end && end <= COUNTER_MAX,
            "a range of counters"
        );
        self.counters_mut(actor).insert_range(start, end);
    }

    /// Adds everything that `other` has seen.
    pub fn join(&mut self, other: &Self) {
        for (actor, counters) in other.iter_counters() {
            let own = self.counters_mut(actor);
            if counters.intervals.is_empty() && own.intervals.is_empty() {
                own.base = own.base.max(counters.base);
                continue;
            }
            own.base = own.base.max(counters.base);
            own.intervals.extend_from_slice(&counters.intervals);
            own.intervals.sort_unstable();
            own.normalise();
        }
    }

    /// Keeps only what `other` has seen, too.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        let missing = self.minus(other);
        self.minus(&missing)
    }

    /// What this clock has seen and `other` has not.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut difference = Self::new();
        self.for_each_missing(other, |actor, start, end| {
            difference.insert_range(actor, start, end);
        });
        difference
    }

    /// Calls `found` with each range of counters that this clock has seen and `other` has not, in
    /// order of actors and counters.
    pub fn for_each_missing(&self, other: &Self, mut found: impl FnMut(ActorIndex, u64, u64)) {
        let nothing = Counters::default();
        for (actor, counters) in self.iter_counters() {
            let theirs = other.counters(actor).unwrap_or(&nothing);
            if theirs.base >= counters.base && counters.intervals.is_empty() {
                continue;
            }
            counters.minus(theirs, |start, end| found(actor, start, end));
        }
    }

    /// Whether everything that `other` has seen was seen here.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let nothing = Counters::default();
        other
            .iter_counters()
            .all(|(actor, counters)| self.counters(actor).unwrap_or(&nothing).covers(counters))
    }

    fn iter_counters(&self) -> impl Iterator<Item = (ActorIndex, &Counters)> {
        self.actors
            .iter()
            .enumerate()
            .map(|(at, counters)| (ActorIndex(at as u32), counters))
    }

    /// The ranges of counters seen of every actor, in order.
    pub fn ranges(&self) -> impl Iterator<Item = (ActorIndex, u64, u64)> + '_ {
        self.iter_counters().flat_map(|(actor, counters)| {
            counters
                .ranges()
                .map(move |(start, end)| (actor, start, end))
        })
    }

    /// The highest counter seen of an actor, 0 if none.
    #[must_use]
    pub fn highest(&self, actor: ActorIndex) -> u64 {
        self.counters(actor)
            .map_or(0, |c| c.intervals.last().map_or(c.base, |last| last.1))
    }

    /// Up to which counter all of an actor's dots were seen, 0 if the first was not.
    #[must_use]
    pub fn contiguous(&self, actor: ActorIndex) -> u64 {
        self.counters(actor).map_or(0, |c| c.base)
    }

    /// Whether dots of `actor` are missing below one that was seen.
    #[must_use]
    pub fn has_gaps(&self, actor: ActorIndex) -> bool {
        self.counters(actor)
            .is_some_and(|c| !c.intervals.is_empty())
    }

    /// Counts every dot of `actor` as seen, those never signed included: the actor has retired.
    pub fn retire(&mut self, actor: ActorIndex) {
        let counters = self.counters_mut(actor);
        counters.base = COUNTER_MAX;
        counters.intervals.clear();
    }

    /// Whether `actor` has retired, as far as this clock knows.
    #[must_use]
    pub fn is_retired(&self, actor: ActorIndex) -> bool {
        self.contiguous(actor) == COUNTER_MAX
    }

    /// How many ranges describe this clock: its size at rest.
    #[must_use]
    pub fn ranges_count(&self) -> usize {
        self.ranges().count()
    }

    /// The same set in another table's numbers.
    ///
    /// # Errors
    /// [`DecodeError::Inconsistent`] if the source table lacks an actor of this clock.
    pub fn translate(&self, translation: &Translation) -> Result<Self, DecodeError> {
        let mut translated = Self::new();
        for (actor, start, end) in self.ranges() {
            translated.insert_range(translation.index(actor)?, start, end);
        }
        Ok(translated)
    }

    /// Appends, for each actor with dots, its number, how many intervals follow, the prefix, and
    /// the intervals as distances.
    pub fn encode(&self, writer: &mut Writer) {
        let present = |c: &(ActorIndex, &Counters)| c.1.base > 0 || !c.1.intervals.is_empty();
        writer.length(self.iter_counters().filter(present).count());
        for (actor, counters) in self.iter_counters().filter(present) {
            writer.varint(u64::from(actor.0));
            writer.length(counters.intervals.len());
            writer.varint(counters.base);
            let mut last = counters.base;
            for &(start, end) in &counters.intervals {
                writer.varint(start - last);
                writer.varint(end - start);
                last = end;
            }
        }
    }

    /// Reads what [`Clock::encode`] wrote; numbers of actors ascend and are below `actors_max`.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'_>, actors_max: usize) -> Result<Self, DecodeError> {
        let mut clock = Self::new();
        let limit = actors_max.min(ACTORS_MAX);
        let mut free = 0;
        for _ in 0..reader.count(limit)? {
            let actor = reader.length(limit)?;
            if actor >= limit || actor < free {
                return Err(DecodeError::Inconsistent);
            }
            free = actor + 1;
            let actor = ActorIndex(actor as u32);
            let intervals = reader.count(CLOCK_INTERVALS_MAX)?;
            let mut last = reader.length(COUNTER_MAX as usize)? as u64;
            if last > 0 {
                clock.insert_range(actor, 1, last);
            }
            let counters = clock.counters_mut(actor);
            for _ in 0..intervals {
                let start = last
                    .checked_add(reader.varint()?)
                    .ok_or(DecodeError::Overflow)?;
                let end = start
                    .checked_add(reader.varint()?)
                    .ok_or(DecodeError::Overflow)?;
                if end > COUNTER_MAX {
                    return Err(DecodeError::OverLimit);
                }
                if start < last + 2 {
                    return Err(DecodeError::Inconsistent);
                }
                counters.intervals.push((start, end));
                last = end;
            }
        }
        Ok(clock)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for (actor, start, end) in self.ranges() {
            list.entry(&format_args!("{}:{start}-{end}", actor.0));
        }
        list.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    type Model = BTreeSet<(u32, u64)>;

    fn clock(model: &Model) -> Clock {
        let mut clock = Clock::new();
        for &(actor, counter) in model {
            clock.insert(Dot::new(ActorIndex(actor), counter));
        }
        clock
    }

    fn model(clock: &Clock) -> Model {
        clock
            .ranges()
            .flat_map(|(a, s, e)| (s..=e).map(move |c| (a.0, c)))
            .collect()
    }

    fn dots() -> impl Strategy<Value = Vec<(u32, u64)>> {
        prop::collection::vec((0u32..3, 1u64..20), 0..40)
    }

    proptest! {
        #[test]
        fn a_clock_is_a_set_of_dots(order in dots(), other in dots()) {
            let mut a = Clock::new();
            for &(actor, counter) in &order {
                a.insert(Dot::new(ActorIndex(actor), counter));
            }
            let (sa, sb): (Model, Model) =
                (order.into_iter().collect(), other.into_iter().collect());
            let b = clock(&sb);
            prop_assert_eq!(model(&a), sa.clone());
            prop_assert_eq!(model(&a.minus(&b)), sa.difference(&sb).copied().collect::<Model>());
            prop_assert_eq!(model(&a.meet(&b)), sa.intersection(&sb).copied().collect::<Model>());
            prop_assert_eq!(a.covers(&b), sb.is_subset(&sa));
            let mut joined = a.clone();
            joined.join(&b);
            prop_assert_eq!(model(&joined), sa.union(&sb).copied().collect::<Model>());
            prop_assert_eq!(a == b, sa == sb);
        }

        #[test]
        fn a_clock_survives_the_round_trip(dots in dots()) {
            let a = clock(&dots.into_iter().collect());
            let mut writer = Writer::new();
            a.encode(&mut writer);
            let bytes = writer.into_vec();
            let mut reader = Reader::new(&bytes);
            let back = Clock::decode(&mut reader, 3);
            prop_assert_eq!(back, Ok(a));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn garbage_is_refused_or_read_but_never_panics(bytes: Vec<u8>) {
            if let Ok(clock) = Clock::decode(&mut Reader::new(&bytes), 1 << 10) {
                prop_assert!(clock.covers(&clock));
            }
        }
    }

    #[test]
    fn an_actor_stands_in_a_clock_once() {
        let mut writer = Writer::new();
        writer.length(2);
        for (counters, start) in [(1, 8), (1, 2)] {
            writer.varint(0);
            writer.length(counters);
            writer.varint(1);
            writer.varint(start);
            writer.varint(0);
        }
        let bytes = writer.into_vec();
        let read = Clock::decode(&mut Reader::new(&bytes), 4);
        assert_eq!(read, Err(DecodeError::Inconsistent));
    }

    #[test]
    fn a_retired_actor_has_no_unseen_dot() {
        let mut a = Clock::new();
        a.insert(Dot::new(ActorIndex(1), 7));
        a.retire(ActorIndex(1));
        assert!(a.contains(Dot::new(ActorIndex(1), 3)));
        assert!(a.is_retired(ActorIndex(1)));
        assert_eq!(a.ranges_count(), 1);
    }
}
