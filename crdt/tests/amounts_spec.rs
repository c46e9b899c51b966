//! The executable specification of what is set and added to: the score of a sorted set's element,
//! and the field of a hash, on random histories of three replicas.
//!
//! The specification knows neither siblings nor resets. A history is a set of operations, each with
//! those that its writer had seen; a replica knows a set of operations. A base stands unless an
//! operation that is known had seen it and set or removed; an amount counts unless one had seen it
//! that set or removed. What is shown is the bases in the order of their stamps, and the amounts.

mod row_support;

use std::collections::BTreeSet;

use larder_crdt::types::register_lww::{joined_counter, parse_float, visible_string};
use larder_crdt::types::score::{
    Increment, Score, Update, counted, increment, is_base, visible_score,
};
use larder_crdt::{Row, Sibling, Stamp, Value};
use proptest::prelude::*;
use row_support::{Edit, Replica, reset_counters};

/// What the element is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Score,
    Field,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    Set(Update, f64),
    Add(f64),
    Remove,
}

struct Operation {
    what: What,
    stamp: Stamp,
    seen: BTreeSet<usize>,
}

#[derive(Debug, Clone)]
enum Step {
    Do(usize, What, u64),
    Take(usize, usize),
    Settle(usize),
    Restart(usize),
}

#[derive(Clone)]
struct Twin {
    real: Replica,
    known: BTreeSet<usize>,
}

fn is_counter(sibling: &Sibling) -> bool {
    matches!(sibling.value, Value::Counter(_))
}

fn is_register(sibling: &Sibling) -> bool {
    matches!(sibling.value, Value::Register(_))
}

impl Kind {
    fn shown(self, row: &Row) -> Option<f64> {
        match self {
            Self::Score => visible_score(row),
            Self::Field => visible_string(row, 0).map(|text| parse_float(&text).expect("a number")),
        }
    }

    /// What a command does to the row.
    fn act(self, edit: &mut Edit<'_>, what: What) {
        match (self, what) {
            (_, What::Remove) => {
                edit.remove(|sibling| is_base(sibling) || is_register(sibling));
                reset_counters(edit);
            }
            (Self::Score, What::Set(update, value)) => {
                edit.remove(is_base);
                reset_counters(edit);
                let score = Score::new(update, value).expect("a number");
                edit.insert(|_| Value::Score(score));
            }
            (Self::Field, What::Set(_, value)) => {
                edit.remove(is_register);
                reset_counters(edit);
                edit.insert(|_| Value::Register(format!("{value}").into_bytes().into()));
            }
            (Self::Score, What::Add(amount)) => {
                assert_eq!(increment(edit.row(), amount), Ok(Increment::Count));
                let observed = edit.row().clone();
                edit.remove(is_counter);
                edit.insert(|dot| Value::Counter(Box::new(counted(&observed, amount, dot))));
            }
            (Self::Field, What::Add(amount)) => {
                let mut counter = joined_counter(edit.row(), 0).unwrap_or_default();
                edit.remove(is_counter);
                edit.insert(|dot| {
                    if amount.fract() == 0.0 {
                        counter.add(amount as i64, dot);
                    } else {
                        counter.add_float(amount, dot);
                    }
                    Value::Counter(Box::new(counter))
                });
            }
        }
    }
}

struct World {
    kind: Kind,
    twins: Vec<Twin>,
    operations: Vec<Operation>,
    actors: u64,
}

impl World {
    fn new(kind: Kind) -> Self {
        let twin = |number| Twin {
            real: Replica::new(number),
            known: BTreeSet::new(),
        };
        Self {
            kind,
            twins: (1..=3).map(twin).collect(),
            operations: Vec::new(),
            actors: 3,
        }
    }

    fn expected(&self, known: &BTreeSet<usize>) -> Option<f64> {
        let clears = |by: &usize| !matches!(self.operations[*by].what, What::Add(_));
        let stands = |at: &&usize| {
            !known
                .iter()
                .any(|by| self.operations[*by].seen.contains(*at) && clears(by))
        };
        let standing: Vec<&Operation> = known
            .iter()
            .filter(stands)
            .map(|at| &self.operations[*at])
            .collect();
        let mut bases: Vec<(Stamp, Update, f64)> = standing
            .iter()
            .filter_map(|operation| match operation.what {
                What::Set(update, value) => Some((operation.stamp, update, value)),
                _ => None,
            })
            .collect();
        bases.sort_by(|(stamp, update, value), (later, other, theirs)| {
            let order = (stamp, update).cmp(&(later, other));
            order.then_with(|| match self.kind {
                Kind::Score => value.total_cmp(theirs),
                // Texts of one stamp are told apart by their bytes.
                Kind::Field => value.to_string().cmp(&theirs.to_string()),
            })
        });
        let base =
            bases
                .into_iter()
                .fold(None, |shown, (_, update, value)| match (shown, update) {
                    (Some(shown), Update::Greatest) => Some(f64::max(shown, value)),
                    (Some(shown), Update::Least) => Some(f64::min(shown, value)),
                    _ => Some(value),
                });
        let amounts: Vec<f64> = standing
            .iter()
            .filter_map(|operation| match operation.what {
                What::Add(amount) => Some(amount),
                _ => None,
            })
            .collect();
        if base.is_none() && amounts.is_empty() {
            return None;
        }
        Some(base.unwrap_or(0.0) + amounts.iter().sum::<f64>())
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Do(at, what, stamp) => self.operate(at, what, stamp),
            Step::Take(at, from) => {
                let other = self.twins[from].clone();
                self.twins[at].real.take(&other.real);
                self.twins[at].known.extend(other.known);
            }
            Step::Settle(at) => self.settle(at),
            Step::Restart(at) => {
                self.actors += 1;
                let number = self.actors;
                self.twins[at].real.restart(number);
            }
        }
    }

    fn operate(&mut self, at: usize, what: What, stamp: u64) {
        let kind = self.kind;
        let twin = &mut self.twins[at];
        let shown = kind.shown(&twin.real.row);
        // GT and LT write only what changes the score.
        let wants = match (what, shown) {
            (What::Set(Update::Greatest, value), Some(shown)) => value > shown,
            (What::Set(Update::Least, value), Some(shown)) => value < shown,
            // INCRBY 0 writes a base if there is nothing, else nothing.
            (What::Add(amount), _) => amount != 0.0 || kind == Kind::Score,
            _ => true,
        };
        let what = match what {
            What::Set(_, value) if kind == Kind::Field => What::Set(Update::Set, value),
            other => other,
        };
        if wants {
            let ((), stamp) = twin.real.write(stamp, |edit| kind.act(edit, what));
            let seen = twin.known.clone();
            twin.known.insert(self.operations.len());
            self.operations.push(Operation { what, stamp, seen });
        }
    }

    /// Forgets the resets at one replica if they are settled, as DESIGN.md's rule 8 has it: all
    /// have seen the same, and every counter of the row is a reset.
    fn settle(&mut self, at: usize) {
        let real = self.twins[at].real.clone();
        let all_agree = self
            .twins
            .iter()
            .all(|twin| twin.real.covers(&real) && real.covers(&twin.real));
        let counters = || real.row.siblings().iter().filter(|s| is_counter(s));
        if all_agree && counters().all(|sibling| sibling.value.is_reset()) {
            self.twins[at].real.forget(is_counter);
        }
    }

    fn check(&self) {
        for twin in &self.twins {
            let shown = self.kind.shown(&twin.real.row);
            assert_eq!(shown, self.expected(&twin.known), "{:?}", twin.real.row);
        }
    }
}

/// Quarters add up without rounding, so that the order of additions does not show.
fn quarters() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-8i32..8).prop_map(f64::from),
        (-32i32..32).prop_map(|n| f64::from(n) / 4.0)
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let update = prop_oneof![
        2 => Just(Update::Set),
        1 => Just(Update::Greatest),
        1 => Just(Update::Least),
    ];
    let what = prop_oneof![
        3 => (update, quarters()).prop_map(|(update, value)| What::Set(update, value)),
        5 => quarters().prop_map(What::Add),
        3 => Just(What::Remove),
    ];
    let step = prop_oneof![
        8 => (0..3usize, what, 0..40u64).prop_map(|(at, what, stamp)| Step::Do(at, what, stamp)),
        6 => (0..3usize, 0..3usize).prop_map(|(at, from)| Step::Take(at, from)),
        2 => (0..3usize).prop_map(Step::Settle),
        1 => (0..3usize).prop_map(Step::Restart),
    ];
    prop::collection::vec(step, 0..60)
}

fn run(kind: Kind, steps: &[Step]) {
    let mut world = World::new(kind);
    for step in steps {
        world.step(step);
        world.check();
    }
    // However they meet, they come to the same: each order of joins, each of them twice.
    let orders = [[0, 1, 2], [2, 1, 0], [1, 2, 0]];
    let ends = orders.map(|order| {
        let mut world = World {
            twins: world.twins.clone(),
            operations: Vec::new(),
            kind,
            actors: 0,
        };
        for (at, from) in [0, 1, 0, 1].map(|n| (order[n + 1], order[n])) {
            world.step(&Step::Take(at, from));
        }
        let twin = world.twins.swap_remove(order[2]);
        (kind.shown(&twin.real.row).map(f64::to_bits), twin.known)
    });
    assert!(ends.iter().all(|end| *end == ends[0]));
    let expected = world.expected(&ends[0].1).map(f64::to_bits);
    assert_eq!(ends[0].0.map(f64::from_bits), expected.map(f64::from_bits));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_score_shows_what_the_specification_says(steps in steps()) {
        run(Kind::Score, &steps);
    }

    #[test]
    fn a_field_shows_what_the_specification_says(steps in steps()) {
        run(Kind::Field, &steps);
    }

    #[test]
    fn any_scores_read_as_the_same_bits_everywhere(
        amounts in prop::collection::vec((0..3usize, any::<f64>()), 1..12),
    ) {
        let mut world = World::new(Kind::Score);
        for (at, amount) in amounts {
            let twin = &mut world.twins[at];
            if increment(&twin.real.row, amount) == Ok(Increment::Count) {
                twin.real.write(0, |edit| Kind::Score.act(edit, What::Add(amount)));
            }
        }
        run_to_agreement(&mut world);
        let bits = |twin: &Twin| visible_score(&twin.real.row).map(f64::to_bits);
        prop_assert!(world.twins.iter().all(|twin| bits(twin) == bits(&world.twins[0])));
    }
}

fn run_to_agreement(world: &mut World) {
    for (at, from) in [(1, 0), (2, 1), (1, 2), (0, 2)] {
        world.step(&Step::Take(at, from));
    }
}

fn example(kind: Kind, steps: &[Step]) -> Option<f64> {
    let mut world = World::new(kind);
    for step in steps {
        world.step(step);
        world.check();
    }
    run_to_agreement(&mut world);
    world.check();
    kind.shown(&world.twins[0].real.row)
}

#[test]
fn a_remove_that_is_concurrent_with_an_increment_leaves_the_increment_alone() {
    let set = What::Set(Update::Set, 4.1);
    let history = [
        Step::Do(0, set, 1),
        Step::Take(1, 0),
        Step::Do(0, What::Add(2.0), 2),
        Step::Do(1, What::Remove, 3),
    ];
    assert_eq!(example(Kind::Score, &history), Some(2.0));
    assert_eq!(example(Kind::Field, &history), Some(2.0));
}

#[test]
fn a_remove_takes_the_part_of_a_sum_that_it_had_seen() {
    let history = [
        Step::Do(0, What::Add(1.5), 1),
        Step::Do(0, What::Add(2.0), 1),
        Step::Take(1, 0),
        Step::Do(0, What::Add(4.25), 2),
        Step::Do(1, What::Remove, 3),
        Step::Do(1, What::Add(0.5), 3),
    ];
    assert_eq!(example(Kind::Score, &history), Some(4.75));
    assert_eq!(example(Kind::Field, &history), Some(4.75));
}

#[test]
fn an_increment_adds_to_the_base_that_was_set_meanwhile() {
    let history = [
        Step::Do(0, What::Set(Update::Set, 1.0), 1),
        Step::Take(1, 0),
        Step::Do(0, What::Set(Update::Set, 5.0), 2),
        Step::Do(1, What::Add(2.0), 3),
    ];
    assert_eq!(example(Kind::Score, &history), Some(7.0));
    assert_eq!(example(Kind::Field, &history), Some(7.0));
}

#[test]
fn an_increment_by_nothing_makes_a_member_and_keeps_it() {
    let history = [
        Step::Do(0, What::Set(Update::Set, 1.0), 1),
        Step::Take(1, 0),
        Step::Do(0, What::Add(0.0), 2),
        Step::Do(1, What::Remove, 3),
    ];
    assert_eq!(
        example(Kind::Score, &[Step::Do(2, What::Add(0.0), 1)]),
        Some(0.0)
    );
    assert_eq!(example(Kind::Score, &history), Some(0.0));
}
