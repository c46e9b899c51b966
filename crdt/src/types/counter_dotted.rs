//! The counter whose increments add up exactly, under DEL and SET as well.
//!
//! A counter that folds an actor's increments under one dot brings deleted amounts back when an
//! increment was concurrent with the delete (riak_dt issue 98). So each actor keeps, per birth,
//! amounts that only grow: what it added and what a reset has seen of that. They join by maximum,
//! and the value is the sum of what was added less what was reset:
//!
//! ```text
//! birth 3:17   increased 12   decreased 0   reset: 10, 0       counts 2
//! birth 5:2    increased  1   decreased 4   reset:  0, 0       counts -3
//! ```
//!
//! The birth is the dot of the entry's first increment. An entry that is all reset may be forgotten
//! once that is settled (DESIGN.md rule 8); its actor then counts on under a new birth, because the
//! old one could meet a late sibling. Floats keep one sum per birth and add up only when read.

use smallvec::SmallVec;

use crate::actor::Translation;
use crate::codec::{DecodeError, Reader, Writer};
use crate::dot::Dot;
use crate::limits::COUNTER_ENTRIES_MAX;

/// What one actor has added since a birth.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Amounts {
    /// Increments and decrements, and how much of each a reset has seen.
    Integer {
        increased: u64,
        decreased: u64,
        increased_reset: u64,
        decreased_reset: u64,
    },
    /// The sum after `changes` changes, and the same as a reset saw it.
    Float {
        changes: u64,
        sum: f64,
        changes_reset: u64,
        sum_reset: f64,
    },
}

impl Amounts {
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::Integer {
                    increased,
                    decreased,
                    increased_reset,
                    decreased_reset,
                },
                Self::Integer {
                    increased: i,
                    decreased: d,
                    increased_reset: ir,
                    decreased_reset: dr,
                },
            ) => Self::Integer {
                increased: increased.max(i),
                decreased: decreased.max(d),
                increased_reset: increased_reset.max(ir),
                decreased_reset: decreased_reset.max(dr),
            },
            (
                Self::Float {
                    changes,
                    sum,
                    changes_reset,
                    sum_reset,
                },
                Self::Float {
                    changes: c,
                    sum: s,
                    changes_reset: cr,
                    sum_reset: sr,
                },
            ) => {
                let later = |a: (u64, f64), b: (u64, f64)| {
                    if (a.0, a.1.to_bits()) >= (b.0, b.1.to_bits()) {
                        a
                    } else {
                        b
                    }
                };
                let (changes, sum) = later((changes, sum), (c, s));
                let (changes_reset, sum_reset) = later((changes_reset, sum_reset), (cr, sr));
                Self::Float {
                    changes,
                    sum,
                    changes_reset,
                    sum_reset,
                }
            }
            // One birth is either: only forged bytes come here, and any fixed choice is a join.
            (whole @ Self::Integer { .. }, Self::Float { .. })
            | (Self::Float { .. }, whole @ Self::Integer { .. }) => whole,
        }
    }

    fn reset(&mut self) {
        match self {
            Self::Integer {
                increased,
                decreased,
                increased_reset,
                decreased_reset,
            } => {
                *increased_reset = *increased;
                *decreased_reset = *decreased;
            }
            Self::Float {
                changes,
                sum,
                changes_reset,
                sum_reset,
            } => {
                *changes_reset = *changes;
                *sum_reset = *sum;
            }
        }
    }

    fn is_reset(&self) -> bool {
        match *self {
            Self::Integer {
                increased,
                decreased,
                increased_reset,
                decreased_reset,
            } => increased == increased_reset && decreased == decreased_reset,
            Self::Float {
                changes,
                changes_reset,
                ..
            } => changes == changes_reset,
        }
    }
}

/// What a counter adds to the register beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sum {
    /// Only whole amounts count.
    Integer(i128),
    /// At least one float counts; the whole amounts are in it.
    Float(f64),
}

/// Sums beyond the range of floats stay at its end, so that infinities never meet.
fn finite(sum: f64) -> f64 {
    sum.clamp(f64::MIN, f64::MAX)
}

/// Amounts of every actor that has counted here, by birth.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counter {
    /// Ascending by birth.
    entries: SmallVec<[(Dot, Amounts); 1]>,
}

impl Counter {
    /// A counter to which nobody has added anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over what `other` knows more.
    pub fn join(&mut self, other: &Self) {
        for (birth, amounts) in &other.entries {
            let own = self.entry(*birth, *amounts);
            *own = own.join(*amounts);
        }
    }

    fn own_entry(
        &mut self,
        fresh: Dot,
        usable: impl Fn(&Amounts) -> bool,
        empty: Amounts,
    ) -> &mut Amounts {
        let own = |(birth, _): &&(Dot, Amounts)| birth.actor() == fresh.actor() && *birth <= fresh;
        let last = self.entries.iter().rfind(own);
        let birth = last
            .filter(|(_, amounts)| usable(amounts))
            .map_or(fresh, |(birth, _)| *birth);
        self.entry(birth, empty)
    }

    /// The amounts of a birth, `empty` if there are none yet.
    fn entry(&mut self, birth: Dot, empty: Amounts) -> &mut Amounts {
        let at = match self
            .entries
            .binary_search_by_key(&birth, |(birth, _)| *birth)
        {
            Ok(at) => at,
            Err(at) => {
                self.entries.insert(at, (birth, empty));
                at
            }
        };
        let (_, amounts) = self
            .entries
            .get_mut(at)
            .expect("the entry was just found or made");
        amounts
    }

    /// Adds a whole amount on behalf of the actor of `fresh`, the dot that this change takes.
    pub fn add(&mut self, amount: i64, fresh: Dot) {
        let size = amount.unsigned_abs();
        let usable = |amounts: &Amounts| match *amounts {
            Amounts::Integer {
                increased,
                decreased,
                ..
            } => {
                let grown = if amount < 0 { decreased } else { increased };
                grown.checked_add(size).is_some()
            }
            Amounts::Float { .. } => false,
        };
        let empty = Amounts::Integer {
            increased: 0,
            decreased: 0,
            increased_reset: 0,
            decreased_reset: 0,
        };
        match self.own_entry(fresh, usable, empty) {
            Amounts::Integer { decreased, .. } if amount < 0 => *decreased += size,
            Amounts::Integer { increased, .. } => *increased += size,
            Amounts::Float { .. } => unreachable!("a float entry is never usable here"),
        }
    }

    /// Adds a float on behalf of the actor of `fresh`, the dot that this change takes.
    pub fn add_float(&mut self, amount: f64, fresh: Dot) {
        let usable = |amounts: &Amounts| match *amounts {
            Amounts::Float { sum, .. } => (sum + amount).is_finite(),
            Amounts::Integer { .. } => false,
        };
        let empty = Amounts::Float {
            changes: 0,
            sum: 0.0,
            changes_reset: 0,
            sum_reset: 0.0,
        };
        match self.own_entry(fresh, usable, empty) {
            Amounts::Float {
                changes,
                sum,
                changes_reset,
                sum_reset,
            } => {
                if *changes > 0 && changes == changes_reset {
                    // All of it is reset: a change back to 0, reset at once, keeps what was rounded
                    // before out of what comes.
                    *changes += 1;
                    (*changes_reset, *sum, *sum_reset) = (*changes, 0.0, 0.0);
                }
                *changes += 1;
                *sum += amount;
            }
            Amounts::Integer { .. } => unreachable!("a whole entry is never usable here"),
        }
    }

    /// Counts everything seen here as reset.
    pub fn reset(&mut self) {
        self.entries
            .iter_mut()
            .for_each(|(_, amounts)| amounts.reset());
    }

    /// Whether nothing counts: readers see no counter.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        self.entries.iter().all(|(_, amounts)| amounts.is_reset())
    }

    /// The sum of all amounts that no reset has seen. It does not depend on the order of actors,
    /// which differs between replicas: floats are added from the smallest.
    #[must_use]
    pub fn sum(&self) -> Sum {
        let mut whole = 0i128;
        let mut floats = Vec::new();
        for (_, amounts) in &self.entries {
            match *amounts {
                Amounts::Integer {
                    increased,
                    decreased,
                    increased_reset,
                    decreased_reset,
                } => {
                    whole += i128::from(increased) - i128::from(increased_reset);
                    whole -= i128::from(decreased) - i128::from(decreased_reset);
                }
                Amounts::Float {
                    sum,
                    sum_reset,
                    changes,
                    changes_reset,
                } => {
                    if changes != changes_reset {
                        floats.push(finite(sum - sum_reset));
                    }
                }
            }
        }
        if floats.is_empty() {
            return Sum::Integer(whole);
        }
        floats.sort_by(f64::total_cmp);
        let add = |sum: f64, amount| finite(sum + amount);
        Sum::Float(floats.into_iter().fold(whole as f64, add))
    }

    /// The births of all entries.
    pub fn births(&self) -> impl Iterator<Item = Dot> + '_ {
        self.entries.iter().map(|(birth, _)| *birth)
    }

    /// About how many bytes the counter takes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        size_of::<Self>() + self.entries.len() * size_of::<(Dot, Amounts)>()
    }

    /// The same counter in another table's numbers.
    ///
    /// # Errors
    /// [`DecodeError::Inconsistent`] if the source table lacks an actor of a birth.
    pub fn translate(&self, translation: &Translation) -> Result<Self, DecodeError> {
        let mut translated = Self::new();
        for (birth, amounts) in &self.entries {
            *translated.entry(birth.translate(translation)?, *amounts) = *amounts;
        }
        Ok(translated)
    }

    /// Appends a count, then per entry the birth, a flag and the amounts.
    pub fn encode(&self, writer: &mut Writer) {
        writer.length(self.entries.len());
        for (birth, amounts) in &self.entries {
            birth.encode(writer);
            match *amounts {
                Amounts::Integer {
                    increased,
                    decreased,
                    increased_reset,
                    decreased_reset,
                } => {
                    writer.u8(1);
                    for amount in [increased, decreased, increased_reset, decreased_reset] {
                        writer.varint(amount);
                    }
                }
                Amounts::Float {
                    changes,
                    sum,
                    changes_reset,
                    sum_reset,
                } => {
                    writer.u8(2);
                    writer.varint(changes);
                    writer.u64_be(sum.to_bits());
                    writer.varint(changes_reset);
                    writer.u64_be(sum_reset.to_bits());
                }
            }
        }
    }

    /// Reads what [`Counter::encode`] wrote.
    ///
    /// # Errors
    /// Any [`DecodeError`]; sums that are not finite are inconsistent.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut entries: SmallVec<[(Dot, Amounts); 1]> = SmallVec::new();
        for _ in 0..reader.count(COUNTER_ENTRIES_MAX)? {
            let birth = Dot::decode(reader)?;
            let amounts = Self::decode_amounts(reader)?;
            if entries.last().is_some_and(|(last, _)| *last >= birth) {
                return Err(DecodeError::Inconsistent);
            }
            entries.push((birth, amounts));
        }
        Ok(Self { entries })
    }

    fn decode_amounts(reader: &mut Reader<'_>) -> Result<Amounts, DecodeError> {
        match reader.u8()? {
            1 => {
                let (increased, decreased) = (reader.varint()?, reader.varint()?);
                let (increased_reset, decreased_reset) = (reader.varint()?, reader.varint()?);
                if increased_reset > increased || decreased_reset > decreased {
                    return Err(DecodeError::Inconsistent);
                }
                Ok(Amounts::Integer {
                    increased,
                    decreased,
                    increased_reset,
                    decreased_reset,
                })
            }
            2 => {
                let (changes, sum) = (reader.varint()?, f64::from_bits(reader.u64_be()?));
                let (changes_reset, sum_reset) =
                    (reader.varint()?, f64::from_bits(reader.u64_be()?));
                if !sum.is_finite() || !sum_reset.is_finite() || changes_reset > changes {
                    return Err(DecodeError::Inconsistent);
                }
                Ok(Amounts::Float {
                    changes,
                    sum,
                    changes_reset,
                    sum_reset,
                })
            }
            _ => Err(DecodeError::UnknownTag),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::ActorIndex;

    fn dot(actor: u32, counter: u64) -> Dot {
        Dot::new(ActorIndex(actor), counter)
    }

    #[test]
    fn a_reset_takes_what_it_saw_and_leaves_the_rest() {
        let mut here = Counter::new();
        here.add(10, dot(0, 1));
        let mut there = here.clone();
        there.add(3, dot(1, 1));
        here.reset();
        here.join(&there);
        assert_eq!(here.sum(), Sum::Integer(3));
    }

    #[test]
    fn an_actor_counts_on_under_its_last_birth() {
        let mut counter = Counter::new();
        counter.add(1, dot(0, 4));
        counter.add(-5, dot(0, 9));
        assert_eq!(counter.births().collect::<Vec<_>>(), [dot(0, 4)]);
        assert_eq!(counter.sum(), Sum::Integer(-4));
    }

    #[test]
    fn an_amount_that_would_overflow_begins_a_new_birth() {
        let mut counter = Counter::new();
        for counter_of_dot in 1..=4 {
            counter.add(i64::MIN, dot(0, counter_of_dot));
        }
        assert_eq!(counter.sum(), Sum::Integer(4 * i128::from(i64::MIN)));
        assert!(counter.births().count() > 1);
    }

    #[test]
    fn what_was_rounded_before_a_reset_is_gone_after_it() {
        let mut here = Counter::new();
        here.add_float(1e17, dot(0, 1));
        let mut there = here.clone();
        here.reset();
        here.add_float(0.5, dot(0, 2));
        assert_eq!(here.sum(), Sum::Float(0.5));
        there.reset();
        there.join(&here);
        assert_eq!(there.sum(), Sum::Float(0.5));
        there.reset();
        here.add_float(0.25, dot(0, 3));
        here.join(&there);
        assert_eq!(here.sum(), Sum::Float(0.25));
        assert_eq!(here.births().count(), 1);
    }

    #[test]
    fn amounts_beyond_the_range_of_floats_add_up_to_a_number() {
        let mut seen = Counter::new();
        seen.add_float(f64::MAX, dot(0, 1));
        seen.add_float(f64::MIN, dot(1, 1));
        let mut reset = seen.clone();
        reset.reset();
        for (amount, actor) in [(f64::MIN, 0), (f64::MAX, 1)] {
            seen.add_float(amount, dot(actor, 2));
            seen.add_float(amount, dot(actor, 3));
        }
        seen.join(&reset);
        assert!(matches!(seen.sum(), Sum::Float(sum) if sum.is_finite()));
    }

    #[test]
    fn floats_add_up_to_the_same_bits_in_any_order_of_actors() {
        let amounts = [0.1, 1e17, -1e17, 0.3];
        let sum_in = |order: [u32; 4]| {
            let mut counter = Counter::new();
            for (amount, actor) in amounts.iter().zip(order) {
                counter.add_float(*amount, dot(actor, 1));
            }
            counter.sum()
        };
        assert_eq!(sum_in([0, 1, 2, 3]), sum_in([3, 1, 0, 2]));
    }
}
