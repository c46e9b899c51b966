//! What a document, or a reader of it, has seen: per actor a set of counters.
//!
//! ```text
//! a1   [1..=7]            the version vector's entry: all up to 7
//! a2   [1..=3] [6..=6]    and, behind a gap, a dot of the cloud
//! ```
//!
//! Counters of an actor in a document begin at 1 and are contiguous in the steady state, so that
//! there is one interval an actor. Actors are named in full: a document's context travels to
//! clients, who know no partition's numbers.

use std::collections::BTreeMap;
use std::fmt;

use crate::actor::Actor;
use crate::codec::{DecodeError, Reader, Writer};
use crate::limits::{DOCUMENT_COUNTER_MAX, DOCUMENT_INTERVALS_DECODED_MAX};

/// The name of one change inside a document: the `counter`-th of `actor` there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocDot {
    /// Who signed it: a copy of a partition, or a client under a name of its own.
    pub actor: Actor,
    /// Begins at 1 in each document.
    pub counter: u64,
}

impl DocDot {
    /// The `counter`-th change of `actor` in the document.
    #[must_use]
    pub fn new(actor: Actor, counter: u64) -> Self {
        Self { actor, counter }
    }
}

impl fmt::Debug for DocDot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{}", self.actor, self.counter)
    }
}

/// A set of counters: sorted, disjoint, not adjacent, ends inclusive, from 1 to
/// [`DOCUMENT_COUNTER_MAX`], so that one more or less never overflows.
#[derive(Clone, Default, PartialEq, Eq)]
struct Counters {
    ranges: Vec<(u64, u64)>,
    /// Whether a client gave the actor its name.
    is_named: bool,
}

impl Counters {
    fn contains(&self, counter: u64) -> bool {
        let at = self.ranges.partition_point(|&(_, end)| end < counter);
        self.ranges
            .get(at)
            .is_some_and(|&(start, _)| start <= counter)
    }

    fn insert(&mut self, start: u64, end: u64) {
        // Those that touch the new interval are between `from` and `to`, and become one with it.
        let from = self.ranges.partition_point(|&(_, other)| other + 1 < start);
        let to = self
            .ranges
            .partition_point(|&(other, _)| other <= end + 1)
            .max(from);
        let touched = self
            .ranges
            .drain(from..to)
            .fold((start, end), |whole, (other, until)| {
                (whole.0.min(other), whole.1.max(until))
            });
        self.ranges.insert(from, touched);
    }

    fn covers(&self, other: &Self) -> bool {
        other.ranges.iter().all(|&(start, end)| {
            let at = self.ranges.partition_point(|&(_, until)| until < start);
            self.ranges
                .get(at)
                .is_some_and(|&(from, until)| from <= start && end <= until)
        })
    }

    fn minus(&self, other: &Self) -> Self {
        let mut rest = Vec::new();
        for &(start, end) in &self.ranges {
            let mut from = start;
            let first = other.ranges.partition_point(|&(_, until)| until < start);
            for &(taken, until) in other
                .ranges
                .iter()
                .skip(first)
                .take_while(|(taken, _)| *taken <= end)
            {
                if taken > from {
                    rest.push((from, taken - 1));
                }
                from = until + 1;
            }
            if from <= end {
                rest.push((from, end));
            }
        }
        Self {
            ranges: rest,
            is_named: self.is_named,
        }
    }

    fn missing(&self) -> u64 {
        let mut next = 1;
        let mut missing = 0;
        for &(start, end) in &self.ranges {
            missing += start - next;
            next = end + 1;
        }
        missing
    }

    fn highest(&self) -> u64 {
        self.ranges.last().map_or(0, |&(_, end)| end)
    }
}

/// A set of dots of one document.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DocContext {
    /// No actor without counters.
    actors: BTreeMap<Actor, Counters>,
}

impl DocContext {
    /// The context of one who has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    /// Whether `dot` was seen.
    #[must_use]
    pub fn contains(&self, dot: DocDot) -> bool {
        self.actors
            .get(&dot.actor)
            .is_some_and(|counters| counters.contains(dot.counter))
    }

    /// Whether everything in `other` was seen.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.actors.iter().all(|(actor, counters)| {
            self.actors
                .get(actor)
                .is_some_and(|mine| mine.covers(counters))
        })
    }

    /// Adds one dot.
    ///
    /// # Panics
    /// If its counter is 0 or beyond [`DOCUMENT_COUNTER_MAX`].
    pub fn insert(&mut self, dot: DocDot) {
        self.insert_range(dot.actor, dot.counter, dot.counter);
    }

    /// Adds the counters `start..=end` of an actor.
    ///
    /// # Panics
    /// If the range is empty, begins at 0 or ends beyond [`DOCUMENT_COUNTER_MAX`].
    pub fn insert_range(&mut self, actor: Actor, start: u64, end: u64) {
        assert!(
            start > 0 && start <= end && end <= DOCUMENT_COUNTER_MAX,
            "a range of counters"
        );
        self.actors.entry(actor).or_default().insert(start, end);
    }

    /// Takes over all that `other` has seen.
    pub fn join(&mut self, other: &Self) {
        for (actor, counters) in &other.actors {
            let mine = self.actors.entry(*actor).or_default();
            mine.is_named |= counters.is_named;
            for &(start, end) in &counters.ranges {
                mine.insert(start, end);
            }
        }
    }

    /// What `self` has seen and `other` has not.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut rest = Self::new();
        for (actor, counters) in &self.actors {
            let left = match other.actors.get(actor) {
                Some(theirs) => counters.minus(theirs),
                None => counters.clone(),
            };
            if !left.ranges.is_empty() {
                rest.actors.insert(*actor, left);
            }
        }
        rest
    }

    /// The part about one actor.
    #[must_use]
    pub fn of_actor(&self, actor: Actor) -> Self {
        let counters = self.actors.get(&actor).cloned();
        Self {
            actors: counters
                .map(|counters| (actor, counters))
                .into_iter()
                .collect(),
        }
    }

    /// The highest counter seen of `actor`; 0 for none.
    #[must_use]
    pub fn highest(&self, actor: Actor) -> u64 {
        self.actors.get(&actor).map_or(0, Counters::highest)
    }

    /// How many counters below the highest one of `actor` are missing.
    #[must_use]
    pub fn missing(&self, actor: Actor) -> u64 {
        self.actors.get(&actor).map_or(0, Counters::missing)
    }

    /// How many intervals it holds, at least one an actor.
    #[must_use]
    pub fn intervals(&self) -> usize {
        self.actors
            .values()
            .map(|counters| counters.ranges.len())
            .sum()
    }

    /// Whether any dot of `actor` was seen.
    #[must_use]
    pub fn knows(&self, actor: Actor) -> bool {
        self.actors.contains_key(&actor)
    }

    /// Notes that `actor`, if anything of it was seen, is a client and no node.
    pub fn mark_named(&mut self, actor: Actor) {
        if let Some(counters) = self.actors.get_mut(&actor) {
            counters.is_named = true;
        }
    }

    /// Whether `actor` is known as a client's.
    #[must_use]
    pub fn is_named(&self, actor: Actor) -> bool {
        self.actors
            .get(&actor)
            .is_some_and(|counters| counters.is_named)
    }

    /// The actors of which something was seen, in order.
    pub fn actors(&self) -> impl Iterator<Item = Actor> + '_ {
        self.actors.keys().copied()
    }

    /// All counters as `(actor, start, end)`, ends inclusive, in order.
    pub fn ranges(&self) -> impl Iterator<Item = (Actor, u64, u64)> + '_ {
        self.actors.iter().flat_map(|(actor, counters)| {
            counters
                .ranges
                .iter()
                .map(move |&(start, end)| (*actor, start, end))
        })
    }

    /// About how many bytes it takes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.actors
            .values()
            .map(|counters| 64 + 16 * counters.ranges.capacity())
            .sum()
    }

    /// Appends the set: per actor its 16 bytes, the number of its intervals and whether a client
    /// named it (in the lowest bit), and the intervals as distances.
    pub fn encode(&self, writer: &mut Writer) {
        writer.length(self.actors.len());
        for (actor, counters) in &self.actors {
            writer.u128_be(actor.0);
            writer.length(counters.ranges.len() << 1 | usize::from(counters.is_named));
            let mut last = 0;
            for &(start, end) in &counters.ranges {
                writer.varint(start - last);
                writer.varint(end - start);
                last = end;
            }
        }
    }

    /// Reads what [`DocContext::encode`] wrote.
    ///
    /// # Errors
    /// Any [`DecodeError`]; actors out of order and intervals that touch are inconsistent.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut context = Self::new();
        let mut intervals = 0;
        for _ in 0..reader.count(DOCUMENT_INTERVALS_DECODED_MAX)? {
            let actor = Actor(reader.u128_be()?);
            if context
                .actors
                .last_key_value()
                .is_some_and(|(last, _)| *last >= actor)
            {
                return Err(DecodeError::Inconsistent);
            }
            let head = reader.length((DOCUMENT_INTERVALS_DECODED_MAX - intervals) << 1 | 1)?;
            let count = head >> 1;
            intervals += count;
            let mut counters = decode_counters(reader, count)?;
            counters.is_named = head & 1 == 1;
            context.actors.insert(actor, counters);
        }
        Ok(context)
    }
}

fn decode_counters(reader: &mut Reader<'_>, count: usize) -> Result<Counters, DecodeError> {
    let mut counters = Counters::default();
    let mut last = 0u64;
    for at in 0..count {
        let distance = reader.varint()?;
        // An interval that touches the one before it would have been one with it.
        if distance < if at == 0 { 1 } else { 2 } {
            return Err(DecodeError::Inconsistent);
        }
        let start = last.checked_add(distance).ok_or(DecodeError::Overflow)?;
        last = start
            .checked_add(reader.varint()?)
            .ok_or(DecodeError::Overflow)?;
        if last > DOCUMENT_COUNTER_MAX {
            return Err(DecodeError::OverLimit);
        }
        counters.ranges.push((start, last));
    }
    if counters.ranges.is_empty() {
        Err(DecodeError::Inconsistent)
    } else {
        Ok(counters)
    }
}

impl fmt::Debug for DocContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(
                self.ranges()
                    .map(|(actor, start, end)| format!("{actor:?} {start}..={end}")),
            )
            .finish()
    }
}

impl FromIterator<DocDot> for DocContext {
    fn from_iter<T: IntoIterator<Item = DocDot>>(dots: T) -> Self {
        let mut context = Self::new();
        for dot in dots {
            context.insert(dot);
        }
        context
    }
}
