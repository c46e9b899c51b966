//! Positions of lists: in order, unique, short, and never interleaved, on random histories.

use std::collections::BTreeSet;

use larder_crdt::Actor;
use larder_crdt::limits::{COUNTER_MAX, POSITION_BYTES_MAX, POSITION_NESTED_AT_ENDS_MAX};
use larder_crdt::types::position::{PositionError, Signer, between, is_position};
use proptest::prelude::*;

type Position = Vec<u8>;

fn actor(number: u64) -> Actor {
    Actor(u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | 1)
}

/// What one writer inserted in one go: positions in the order of the list, and what it had seen.
struct Batch {
    positions: Vec<Position>,
    seen: BTreeSet<usize>,
}

#[derive(Debug, Clone)]
struct Replica {
    actor: u64,
    counter: u64,
    added: BTreeSet<Position>,
    removed: BTreeSet<Position>,
    seen: BTreeSet<usize>,
}

impl Replica {
    fn new(actor: u64, counter: u64) -> Self {
        Self {
            actor,
            counter,
            added: BTreeSet::new(),
            removed: BTreeSet::new(),
            seen: BTreeSet::new(),
        }
    }

    fn list(&self) -> Vec<Position> {
        self.added.difference(&self.removed).cloned().collect()
    }

    fn make(&mut self, left: Option<&[u8]>, right: Option<&[u8]>) -> Position {
        let signer = Signer {
            actor: actor(self.actor),
            counter: self.counter,
        };
        self.counter += 1;
        let made = between(left, right, signer).expect("room in short histories");
        assert!(left.is_none_or(|left| left < made.as_slice()));
        assert!(right.is_none_or(|right| made.as_slice() < right));
        assert!(is_position(&made));
        made
    }

    /// Inserts a run into the gap before the `at`-th element, from left to right or the other way.
    fn insert(&mut self, at: usize, count: usize, forwards: bool) -> Vec<Position> {
        let list = self.list();
        let at = at % (list.len() + 1);
        let mut left = at.checked_sub(1).map(|before| list[before].clone());
        let mut right = list.get(at).cloned();
        let mut made = Vec::new();
        for _ in 0..count {
            let position = self.make(left.as_deref(), right.as_deref());
            if forwards {
                left = Some(position.clone());
            } else {
                right = Some(position.clone());
            }
            self.added.insert(position.clone());
            made.push(position);
        }
        if !forwards {
            made.reverse();
        }
        made
    }

    fn take(&mut self, other: &Self) {
        self.added.extend(other.added.iter().cloned());
        self.removed.extend(other.removed.iter().cloned());
        self.seen.extend(&other.seen);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert {
        at: usize,
        gap: usize,
        count: usize,
        forwards: bool,
    },
    /// At an end, as LPUSH and RPUSH do.
    Push {
        at: usize,
        count: usize,
        right: bool,
    },
    Remove {
        at: usize,
        from: usize,
        count: usize,
    },
    Take {
        at: usize,
        from: usize,
    },
    Restart {
        at: usize,
    },
    /// Other writes of the same signer.
    Skip {
        at: usize,
        count: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0..3usize, 0..1000usize, 1..5usize, any::<bool>())
            .prop_map(|(at, gap, count, forwards)| Step::Insert { at, gap, count, forwards }),
        5 => (0..3usize, 1..5usize, any::<bool>())
            .prop_map(|(at, count, right)| Step::Push { at, count, right }),
        3 => (0..3usize, 0..1000usize, 1..6usize)
            .prop_map(|(at, from, count)| Step::Remove { at, from, count }),
        4 => (0..3usize, 0..3usize).prop_map(|(at, from)| Step::Take { at, from }),
        1 => (0..3usize).prop_map(|at| Step::Restart { at }),
        1 => (0..3usize, 1..5000u64).prop_map(|(at, count)| Step::Skip { at, count }),
    ];
    prop::collection::vec(step, 0..50)
}

fn run(steps: &[Step]) -> Vec<Batch> {
    let mut replicas: Vec<Replica> = (1..=3).map(|n| Replica::new(n, 1)).collect();
    let (mut batches, mut actors) = (Vec::new(), 3);
    for step in steps {
        match *step {
            Step::Insert {
                at,
                gap,
                count,
                forwards,
            } => {
                let seen = replicas[at].seen.clone();
                let positions = replicas[at].insert(gap, count, forwards);
                replicas[at].seen.insert(batches.len());
                batches.push(Batch { positions, seen });
            }
            Step::Push { at, count, right } => {
                let seen = replicas[at].seen.clone();
                let end = if right { replicas[at].list().len() } else { 0 };
                let positions = replicas[at].insert(end, count, right);
                replicas[at].seen.insert(batches.len());
                batches.push(Batch { positions, seen });
            }
            Step::Remove { at, from, count } => {
                let list = replicas[at].list();
                let from = from % (list.len() + 1);
                let removed = list.into_iter().skip(from).take(count);
                replicas[at].removed.extend(removed);
            }
            Step::Take { at, from } => {
                let other = replicas[from].clone();
                replicas[at].take(&other);
            }
            Step::Restart { at } => {
                actors += 1;
                replicas[at].actor = actors;
                replicas[at].counter = 1;
            }
            Step::Skip { at, count } => replicas[at].counter += count,
        }
    }
    batches
}

/// Whether all of one stands on one side of all of the other.
fn apart(one: &[Position], other: &[Position]) -> bool {
    let is_before = |a: &[Position], b: &[Position]| a.last() < b.first();
    is_before(one, other) || is_before(other, one)
}

fn check(batches: &[Batch]) {
    let all: Vec<&Position> = batches.iter().flat_map(|batch| &batch.positions).collect();
    let distinct: BTreeSet<&Position> = all.iter().copied().collect();
    assert_eq!(distinct.len(), all.len(), "positions are unique");
    for (at, batch) in batches.iter().enumerate() {
        assert!(batch.positions.is_sorted(), "a run is in its order");
        for (before, other) in batches.iter().enumerate().take(at) {
            let concurrent = !batch.seen.contains(&before) && !other.seen.contains(&at);
            assert!(
                !concurrent || apart(&batch.positions, &other.positions),
                "{:02x?} interleave with {:02x?}",
                batch.positions,
                other.positions,
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn concurrent_runs_never_interleave_and_no_position_is_made_twice(steps in steps()) {
        check(&run(&steps));
    }

    #[test]
    fn any_bytes_are_a_position_or_refused(
        mut bytes in prop::collection::vec(any::<u8>(), 0..40), end: u8,
    ) {
        if let Some(last) = bytes.last_mut() {
            *last = end | 0x81;
        }
        let signer = Signer { actor: actor(1), counter: 5 };
        let (left, right) = (
            between(None, Some(&bytes), signer),
            between(Some(&bytes), None, signer),
        );
        if is_position(&bytes) {
            prop_assert!(left.expect("a position") < bytes);
            prop_assert!(right.expect("a position") > bytes);
        } else {
            prop_assert_eq!(left, Err(PositionError::Malformed));
            prop_assert_eq!(right, Err(PositionError::Malformed));
        }
    }
}

#[test]
fn neighbours_out_of_order_are_refused() {
    let mut replica = Replica::new(1, 1);
    let list = replica.insert(0, 2, true);
    let signer = Signer {
        actor: actor(2),
        counter: 1,
    };
    for right in [&list[0], &list[1]] {
        let refused = between(Some(&list[1]), Some(right), signer);
        assert_eq!(refused, Err(PositionError::Malformed));
    }
}

/// The longest position of what `pushes` makes of a list: each says at which end, and by whom.
fn longest(pushes: impl Iterator<Item = (bool, usize)>, first: u64) -> usize {
    let mut writers = [Replica::new(1, first), Replica::new(2, first)];
    let (mut left, mut right): (Option<Position>, Option<Position>) = (None, None);
    let mut longest = 0;
    for (at_right, by) in pushes {
        let made = if at_right {
            writers[by].make(right.as_deref(), None)
        } else {
            writers[by].make(None, left.as_deref())
        };
        longest = longest.max(made.len());
        if at_right {
            left = left.or_else(|| Some(made.clone()));
            right = Some(made);
        } else {
            right = right.or_else(|| Some(made.clone()));
            left = Some(made);
        }
    }
    longest
}

#[test]
fn a_run_of_a_hundred_thousand_grows_as_a_counter_does() {
    for (at_right, first) in [(true, 1), (false, 1), (true, 1 << 30), (false, 1 << 30)] {
        let bytes = longest((0..100_000).map(|_| (at_right, 0)), first);
        assert!(bytes <= if first == 1 { 12 } else { 16 }, "{bytes} bytes");
    }
    let late = COUNTER_MAX - 100_000;
    assert!(longest((0..100_000).map(|_| (true, 0)), late) <= 17);
    // At both ends in turn.
    assert!(longest((0..100_000).map(|n| (n % 2 == 0, 0)), 1) <= 12);
}

#[test]
fn writers_in_turn_at_the_ends_of_a_list_stay_within_the_bound() {
    let bytes = longest((0..100_000).map(|n| (true, n % 2)), 1);
    assert!(bytes <= POSITION_NESTED_AT_ENDS_MAX, "{bytes} bytes");
    let bytes = longest((0..100_000).map(|n| (n % 3 == 0, n % 2)), 1 << 39);
    assert!(bytes <= POSITION_NESTED_AT_ENDS_MAX, "{bytes} bytes");
}

#[test]
fn a_queue_that_is_never_empty_does_not_grow_with_restarts() {
    let mut list: Vec<Position> = Vec::new();
    for actor in 1..2000 {
        let mut writer = Replica::new(actor, 1);
        for _ in 0..5 {
            let made = writer.make(list.last().map(Vec::as_slice), None);
            assert!(made.len() <= POSITION_NESTED_AT_ENDS_MAX);
            list.push(made);
        }
        list.drain(..list.len() - 5);
    }
}

/// Inserts again and again between the last two, until it is refused.
fn bisected(writers: &mut [Replica]) -> Vec<Position> {
    let mut made: Vec<Position> = writers[0].insert(0, 2, true);
    let (mut left, mut right) = (made[0].clone(), made[1].clone());
    for turn in 0.. {
        let writer = &mut writers[turn % 2];
        let signer = Signer {
            actor: actor(writer.actor),
            counter: writer.counter,
        };
        writer.counter += 1;
        match between(Some(&left), Some(&right), signer) {
            Ok(position) => {
                assert!(left < position && position < right);
                made.push(position.clone());
                // Towards another side in each turn, so that no run goes on.
                if turn % 4 < 2 {
                    right = position;
                } else {
                    left = position;
                }
            }
            Err(error) => {
                assert_eq!(error, PositionError::TooLong);
                break;
            }
        }
    }
    made
}

#[test]
fn insertions_at_one_place_grow_slowly_until_they_are_refused() {
    let made = bisected(&mut [Replica::new(1, 100_000), Replica::new(2, 100_000)]);
    assert!(made.len() > 150, "{} insertions", made.len());
    assert!(
        made.iter()
            .all(|position| position.len() <= POSITION_BYTES_MAX)
    );
    let distinct: BTreeSet<&Position> = made.iter().collect();
    assert_eq!(distinct.len(), made.len());
}

#[test]
fn insertions_before_or_after_one_element_stay_short() {
    for forwards in [true, false] {
        let mut writer = Replica::new(1, 1);
        let mut other = Replica::new(2, 1);
        other.insert(0, 3, true);
        writer.take(&other);
        let made = writer.insert(1, 10_000, forwards);
        assert!(made.iter().all(|position| position.len() <= 24));
    }
}

#[test]
fn what_two_sides_of_a_cut_append_in_turns_of_two_writers_stays_together() {
    let mut base = Replica::new(1, 1);
    base.insert(0, 3, true);
    let side = |writers: [u64; 2]| {
        let [mut a, mut b] = writers.map(|number| Replica::new(number, 1));
        a.take(&base);
        let mut made = a.insert(a.list().len(), 3, true);
        b.take(&a);
        made.extend(b.insert(b.list().len(), 3, true));
        made.sort();
        made
    };
    // A run made at the right end by one, and continued by another.
    let (one, other) = (side([2, 3]), side([4, 5]));
    assert!(apart(&one, &other));
}
