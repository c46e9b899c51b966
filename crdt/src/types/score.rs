//! The score of a sorted set's element: a base that is set, and amounts that add up.
//!
//! An element's row holds bases (from ZADD) and counters (from ZINCRBY) as siblings, as the row of
//! a string holds registers and counters. ZADD replaces the bases it observed and resets the
//! counters it observed; ZINCRBY replaces the counters it observed and leaves the bases alone;
//! ZREM removes the bases and leaves the counters' resets. So whoever had not seen an increment
//! keeps it:
//!
//! ```text
//! 4.1, then ZINCRBY 2.0 ∥ ZREM      2.0     the increment that ZREM had not seen
//! ZADD 5 ∥ ZINCRBY 2                7       it adds to the base
//! ZADD 5 ∥ ZADD 3, later            3       of bases the one with the latest stamp shows
//! ZADD GT 5 ∥ ZADD GT 7             7       whatever the stamps; LT joins as the least
//! ZADD GT 7 ∥ ZADD 3                3 if 3 was later, else 7
//! ```
//!
//! Concurrent bases read as if they had been written one after another in the order of their
//! stamps: a plain one takes the place of what came before, GT and LT only if they are greater or
//! less. Where only GT (or only LT) meet, the order makes no difference.

use thiserror::Error;

use smallvec::SmallVec;

use crate::codec::{DecodeError, Reader, Writer};
use crate::dot::Dot;
use crate::row::{Row, Sibling};
use crate::stamp::Stamp;
use crate::types::counter_dotted::{Counter, Sum};
use crate::types::register_lww::joined_counter;
use crate::value::Value;

/// What a base does to concurrent ones of earlier stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Update {
    /// It takes their place.
    Set,
    /// It takes their place if it is greater: `ZADD GT`.
    Greatest,
    /// It takes their place if it is less: `ZADD LT`.
    Least,
}

impl Update {
    const TAGS: [(u8, Self); 3] = [(1, Self::Set), (2, Self::Greatest), (3, Self::Least)];
}

/// A base, as one ZADD wrote it. Never not a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    update: Update,
    value: f64,
}

/// A score would be infinity less infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("resulting score is not a number (NaN)")]
pub struct NotANumber;

impl Score {
    /// A base; infinities are scores, too.
    ///
    /// # Errors
    /// [`NotANumber`] if `value` is none.
    pub fn new(update: Update, value: f64) -> Result<Self, NotANumber> {
        if value.is_nan() {
            Err(NotANumber)
        } else {
            Ok(Self { update, value })
        }
    }

    /// The number.
    #[must_use]
    pub fn value(self) -> f64 {
        self.value
    }

    /// What it does to others.
    #[must_use]
    pub fn update(self) -> Update {
        self.update
    }

    /// What shows after this was written over `before`.
    fn over(self, before: f64) -> f64 {
        let wins = match self.update {
            Update::Set => true,
            Update::Greatest => self.value > before,
            Update::Least => self.value < before,
        };
        if wins { self.value } else { before }
    }

    /// Appends the number of the update and the value's eight bytes.
    pub fn encode(self, writer: &mut Writer) {
        let tag = Update::TAGS.iter().find(|(_, kind)| *kind == self.update);
        writer.u8(tag.expect("each kind has a tag").0);
        writer.u64_be(self.value.to_bits());
    }

    /// Reads what [`Score::encode`] wrote.
    ///
    /// # Errors
    /// Any [`DecodeError`]; a value that is no number is inconsistent.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tag = reader.u8()?;
        let (_, update) = *Update::TAGS
            .iter()
            .find(|(number, _)| *number == tag)
            .ok_or(DecodeError::UnknownTag)?;
        Self::new(update, f64::from_bits(reader.u64_be()?)).map_err(|_| DecodeError::Inconsistent)
    }
}

/// Whether a sibling is a base: what ZADD and ZREM take away. Counters they reset.
#[must_use]
pub fn is_base(sibling: &Sibling) -> bool {
    matches!(sibling.value, Value::Score(_))
}

/// The base that the bases of a row make together.
fn base(row: &Row) -> Option<f64> {
    let mut bases: SmallVec<[(Stamp, Score); 4]> = SmallVec::new();
    for sibling in row.siblings() {
        if let Value::Score(score) = &sibling.value {
            bases.push((sibling.stamp, *score));
        }
    }
    // Dots take no part: their numbers differ between replicas.
    bases.sort_by(|(stamp, a), (other, b)| {
        let order = (stamp, a.update).cmp(&(other, b.update));
        order.then_with(|| a.value.total_cmp(&b.value))
    });
    let mut bases = bases.into_iter().map(|(_, score)| score);
    let first = bases.next()?.value;
    Some(bases.fold(first, |shown, score| score.over(shown)))
}

/// The score that readers see; `None` if the element is not in the sorted set.
///
/// All replicas compute the same bits from the same siblings. It is never not a number.
#[must_use]
pub fn visible_score(row: &Row) -> Option<f64> {
    if let [only] = row.siblings()
        && let Value::Score(score) = &only.value
    {
        return Some(score.value);
    }
    let base = base(row);
    // Elements of sorted sets have no deadlines.
    let counter = joined_counter(row, 0).filter(|counter| !counter.is_reset());
    match counter.map(|counter| counter.sum()) {
        None => base,
        Some(Sum::Integer(sum)) => Some(base.unwrap_or(0.0) + sum as f64),
        Some(Sum::Float(sum)) => Some(base.unwrap_or(0.0) + sum),
    }
}

/// What an increment writes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Increment {
    /// [`counted`] in place of the counters observed.
    Count,
    /// A base in place of the bases observed: the sum is infinite, and counters hold none such.
    Set(Score),
}

/// How `amount` is added to what a row shows.
///
/// # Errors
/// [`NotANumber`] if the sum would be none.
pub fn increment(row: &Row, amount: f64) -> Result<Increment, NotANumber> {
    let before = visible_score(row).unwrap_or(0.0);
    let sum = Score::new(Update::Set, before + amount)?;
    // Whatever is added to an infinite base may show once another base has taken its place.
    let counts = amount.is_finite() && (sum.value.is_finite() || before.is_infinite());
    Ok(if counts {
        Increment::Count
    } else {
        Increment::Set(sum)
    })
}

/// The counters observed with `amount`, which is finite, added under `fresh`.
#[must_use]
pub fn counted(observed: &Row, amount: f64, fresh: Dot) -> Counter {
    let mut counter = joined_counter(observed, 0).unwrap_or_default();
    counter.add_float(amount, fresh);
    counter
}

const SIGN: u64 = 1 << 63;

/// Eight bytes that sort as the scores do; -0 is 0.
#[must_use]
pub fn sortable(score: f64) -> [u8; 8] {
    let bits = if score == 0.0 { 0 } else { score.to_bits() };
    let ordered = if bits & SIGN == 0 { bits | SIGN } else { !bits };
    ordered.to_be_bytes()
}

/// The score that [`sortable`] made bytes of.
#[must_use]
pub fn from_sortable(bytes: [u8; 8]) -> f64 {
    let ordered = u64::from_be_bytes(bytes);
    f64::from_bits(if ordered & SIGN == 0 {
        !ordered
    } else {
        ordered & !SIGN
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::ActorIndex;
    use proptest::prelude::*;

    fn base_at(counter: u64, stamp: u64, update: Update, value: f64) -> Sibling {
        Sibling {
            dot: Dot::new(ActorIndex(0), counter),
            stamp: Stamp(stamp),
            deadline: None,
            value: Value::Score(Score::new(update, value).expect("a number")),
        }
    }

    fn row(siblings: impl IntoIterator<Item = Sibling>) -> Row {
        let mut row = Row::new();
        siblings.into_iter().for_each(|sibling| row.insert(sibling));
        row
    }

    #[test]
    fn the_greatest_of_concurrent_gt_shows_and_the_least_of_lt_whatever_the_stamps() {
        for (update, shown) in [(Update::Greatest, 7.0), (Update::Least, 5.0)] {
            for stamps in [(1, 2), (2, 1), (1, 1)] {
                let row = row([
                    base_at(1, stamps.0, update, 5.0),
                    base_at(2, stamps.1, update, 7.0),
                ]);
                assert_eq!(visible_score(&row), Some(shown), "{update:?} {stamps:?}");
            }
        }
    }

    #[test]
    fn gt_beside_a_plain_base_reads_in_the_order_of_stamps() {
        let shown = |plain: u64, gt: u64| {
            visible_score(&row([
                base_at(1, plain, Update::Set, 3.0),
                base_at(2, gt, Update::Greatest, 7.0),
            ]))
        };
        assert_eq!(shown(2, 1), Some(3.0));
        assert_eq!(shown(1, 2), Some(7.0));
        assert_eq!(shown(1, 1), Some(7.0));
    }

    #[test]
    fn infinity_less_infinity_is_refused_and_infinite_sums_are_bases() {
        let infinite = row([base_at(1, 1, Update::Set, f64::INFINITY)]);
        assert_eq!(increment(&infinite, f64::NEG_INFINITY), Err(NotANumber));
        assert_eq!(increment(&infinite, -1.0), Ok(Increment::Count));
        let huge = row([base_at(1, 1, Update::Set, f64::MAX)]);
        let sum = Score::new(Update::Set, f64::INFINITY).expect("a number");
        assert_eq!(increment(&huge, f64::MAX), Ok(Increment::Set(sum)));
        assert_eq!(
            increment(&Row::new(), f64::INFINITY),
            Ok(Increment::Set(sum))
        );
        assert_eq!(increment(&Row::new(), f64::NAN), Err(NotANumber));
        assert_eq!(Score::new(Update::Greatest, f64::NAN), Err(NotANumber));
    }

    #[test]
    fn an_infinite_base_beside_amounts_that_overflow_is_still_a_number() {
        let mut row = row([base_at(1, 1, Update::Set, f64::NEG_INFINITY)]);
        let mut counter = Counter::new();
        for actor in 0..3 {
            counter.add_float(f64::MAX, Dot::new(ActorIndex(actor), 9));
        }
        row.insert(Sibling {
            dot: Dot::new(ActorIndex(1), 9),
            stamp: Stamp(2),
            deadline: None,
            value: Value::Counter(Box::new(counter)),
        });
        assert_eq!(visible_score(&row), Some(f64::NEG_INFINITY));
    }

    #[test]
    fn a_score_that_is_no_number_is_refused_by_the_decoder() {
        for (tag, value, error) in [
            (1, f64::NAN, DecodeError::Inconsistent),
            (0, 1.0, DecodeError::UnknownTag),
            (4, 1.0, DecodeError::UnknownTag),
        ] {
            let mut writer = Writer::new();
            writer.u8(tag);
            writer.u64_be(value.to_bits());
            assert_eq!(
                Score::decode(&mut Reader::new(writer.as_slice())),
                Err(error)
            );
        }
        assert_eq!(
            Score::decode(&mut Reader::new(&[1, 2, 3])),
            Err(DecodeError::Truncated)
        );
    }

    #[test]
    fn minus_zero_sorts_as_zero_between_its_neighbours() {
        assert_eq!(sortable(-0.0), sortable(0.0));
        let order = [
            f64::NEG_INFINITY,
            f64::MIN,
            -1.0,
            -f64::MIN_POSITIVE,
            -f64::from_bits(1),
            0.0,
            f64::from_bits(1),
            1.0,
            f64::MAX,
            f64::INFINITY,
        ];
        assert!(order.map(sortable).is_sorted());
        assert_eq!(order.map(sortable).map(from_sortable), order);
    }

    proptest! {
        #[test]
        fn bytes_sort_as_scores_do(
            a in prop::num::f64::ANY.prop_filter("a number", |a| !a.is_nan()),
            b in prop::num::f64::ANY.prop_filter("a number", |b| !b.is_nan()),
        ) {
            prop_assert_eq!(Some(sortable(a).cmp(&sortable(b))), a.partial_cmp(&b));
            prop_assert_eq!(from_sortable(sortable(a)), a);
        }
    }
}
