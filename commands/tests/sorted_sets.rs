//! What sorted sets come to under concurrency, as a specification that runs: random histories of
//! three nodes against a model that knows which command had seen which.

mod harness;

use std::collections::BTreeSet;

use harness::World;
use proptest::prelude::*;

const NODES: usize = 3;
const MEMBERS: usize = 3;

/// What a client does at a node.
#[derive(Debug, Clone, Copy)]
enum Act {
    Add(usize, i32),
    Increase(usize, i32),
    Remove(usize),
    Pop,
    Delete,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    At(usize, Act),
    Cut,
    Heal,
    /// Rows go to the disk, and the node begins anew.
    Restart(usize),
}

/// A change of one member, and what its node had seen.
struct Change {
    member: usize,
    base: Option<i32>,
    amount: Option<i32>,
    /// Whether it replaces what it had seen of the base, and of the increments.
    replaces: (bool, bool),
    seen: BTreeSet<usize>,
}

/// Who has seen what; the score of a member follows.
#[derive(Default)]
struct Model {
    changes: Vec<Change>,
    seen: [BTreeSet<usize>; NODES],
    is_cut: bool,
}

impl Model {
    fn note(&mut self, at: usize, mut change: Change) {
        change.seen = self.seen[at].clone();
        let number = self.changes.len();
        self.changes.push(change);
        for (node, seen) in self.seen.iter_mut().enumerate() {
            if node == at || !self.is_cut {
                seen.insert(number);
            }
        }
    }

    /// The last base that nobody who had seen it replaced, and all increments of that kind.
    fn score(&self, at: usize, member: usize) -> Option<i32> {
        let known = || {
            let known = self.seen[at]
                .iter()
                .map(|number| (*number, &self.changes[*number]));
            known.filter(|(_, change)| change.member == member)
        };
        let is_gone = |number: usize, of_base: bool| {
            known().any(|(_, other)| {
                let (base, amounts) = other.replaces;
                other.seen.contains(&number) && if of_base { base } else { amounts }
            })
        };
        let base = known()
            .rfind(|(number, change)| change.base.is_some() && !is_gone(*number, true))
            .and_then(|(_, change)| change.base);
        let amounts: Vec<i32> = known()
            .filter(|(number, _)| !is_gone(*number, false))
            .filter_map(|(_, change)| change.amount)
            .collect();
        if base.is_none() && amounts.is_empty() {
            return None;
        }
        Some(base.unwrap_or(0) + amounts.iter().sum::<i32>())
    }

    fn all(&self, at: usize) -> Vec<(i32, usize)> {
        let scored = |member| self.score(at, member).map(|score| (score, member));
        let mut all: Vec<_> = (0..MEMBERS).filter_map(scored).collect();
        all.sort_unstable();
        all
    }

    fn act(&mut self, at: usize, act: Act) {
        let change = |member, base, amount, replaces| Change {
            member,
            base,
            amount,
            replaces,
            seen: BTreeSet::new(),
        };
        match act {
            Act::Add(member, score) => {
                self.note(at, change(member, Some(score), None, (true, true)));
            }
            Act::Increase(member, amount) => {
                self.note(at, change(member, None, Some(amount), (false, false)));
            }
            Act::Remove(member) => self.note(at, change(member, None, None, (true, true))),
            Act::Pop => {
                if let Some((_, member)) = self.all(at).first() {
                    self.note(at, change(*member, None, None, (true, true)));
                }
            }
            Act::Delete => {
                let seen = self.seen[at].clone();
                for member in 0..MEMBERS {
                    self.note(at, change(member, None, None, (true, true)));
                    self.changes.last_mut().expect("it was noted").seen = seen.clone();
                }
            }
        }
    }
}

/// A long name, so that its text stands in a row of its own, and two short ones.
fn name(member: usize) -> String {
    match member {
        0 => "m".repeat(1_100),
        other => format!("m{other}"),
    }
}

fn line(act: Act) -> String {
    match act {
        Act::Add(member, score) => format!("ZADD k {score} {}", name(member)),
        Act::Increase(member, amount) => format!("ZINCRBY k {amount} {}", name(member)),
        Act::Remove(member) => format!("ZREM k {}", name(member)),
        Act::Pop => "ZPOPMIN k".to_owned(),
        Act::Delete => "DEL k".to_owned(),
    }
}

fn expected(model: &Model, at: usize) -> String {
    let mut all: Vec<(i32, bool, String)> = model
        .all(at)
        .into_iter()
        .map(|(score, member)| (score, member == 0, name(member)))
        .collect();
    // The long one stands behind all others of its score.
    all.sort();
    let texts: Vec<String> = all
        .into_iter()
        .map(|(score, _, name)| format!("{name}, {score}"))
        .collect();
    format!("[{}]", texts.join(", "))
}

fn acts() -> impl Strategy<Value = Act> {
    let member = || 0..MEMBERS;
    prop_oneof![
        4 => (member(), -5..5i32).prop_map(|(member, score)| Act::Add(member, score)),
        4 => (member(), -5..5i32).prop_map(|(member, amount)| Act::Increase(member, amount)),
        3 => member().prop_map(Act::Remove),
        1 => Just(Act::Pop),
        2 => Just(Act::Delete),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0..NODES, acts()).prop_map(|(at, act)| Step::At(at, act)),
        2 => Just(Step::Cut),
        2 => Just(Step::Heal),
        1 => (0..NODES).prop_map(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

/// The member that ZPOPMIN takes among equal scores: the order of the model must be that of names.
fn play(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut world = World::new(NODES);
    let mut model = Model::default();
    for step in steps {
        match *step {
            Step::At(at, act) => {
                world.pass(20);
                // Which of equals goes is said by their names, and the long one comes last.
                let pops_long = matches!(act, Act::Pop)
                    && model
                        .all(at)
                        .first()
                        .is_some_and(|(_, member)| *member == 0);
                if pops_long {
                    continue;
                }
                world.line(at, &line(act));
                model.act(at, act);
                if !model.is_cut {
                    world.pass(20);
                }
            }
            Step::Cut => {
                // Until then all nodes have all of it.
                (0..12).for_each(|_| world.pass(1_000));
                world.cut();
                model.is_cut = true;
            }
            Step::Heal => heal(&mut world, &mut model),
            Step::Restart(at) => {
                world.checkpoint(at);
                if !model.is_cut {
                    world.restart(at);
                }
            }
        }
        for at in 0..NODES {
            let shown = world.shown(at, "ZRANGE k 0 -1 WITHSCORES");
            prop_assert_eq!(shown, expected(&model, at), "node {} after {:?}", at, step);
        }
    }
    heal(&mut world, &mut model);
    world.cut();
    for at in 0..NODES {
        let shown = world.shown(at, "ZRANGE k 0 -1 WITHSCORES");
        prop_assert_eq!(shown, expected(&model, at), "node {} in the end", at);
        let count = format!(":{}", model.all(at).len());
        prop_assert_eq!(world.shown(at, "ZCARD k"), count);
    }
    Ok(())
}

fn heal(world: &mut World, model: &mut Model) {
    world.heal();
    model.is_cut = false;
    let all: BTreeSet<usize> = (0..model.changes.len()).collect();
    model.seen.fill(all);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn scores_are_what_the_specification_says_under_cuts_and_restarts(steps in steps()) {
        play(&steps)?;
    }
}

#[test]
fn a_sorted_set_that_was_emptied_has_no_deadline_when_it_begins_anew() {
    let world = World::new(1);
    for (line, reply) in [
        ("ZADD k 1 a", ":1"),
        ("EXPIRE k 100", ":1"),
        ("ZREM k a", ":1"),
        ("TTL k", ":-2"),
        ("ZADD k 1 b", ":1"),
        ("TTL k", ":-1"),
        ("EXPIRE k 100", ":1"),
        ("ZPOPMIN k", "[b, 1]"),
        ("ZINCRBY k 1 c", "1"),
        ("TTL k", ":-1"),
    ] {
        assert_eq!(world.shown(0, line), reply, "{line}");
    }
}

#[test]
fn ranks_and_ranges_of_many_members_are_those_of_their_order() {
    let world = World::new(1);
    const COUNT: usize = 3_000;
    for first in (0..COUNT).step_by(500) {
        let pairs: Vec<String> = (first..first + 500)
            .map(|number| format!("{} m{number:04}", number / 2))
            .collect();
        world.line(0, &format!("ZADD k {}", pairs.join(" ")));
    }
    world.checkpoint(0);
    for rank in [0, 1, 17, 511, 512, 513, 1_499, 1_500, 2_400, 2_999] {
        let name = format!("m{rank:04}");
        let (below, above) = (format!(":{rank}"), format!(":{}", COUNT - 1 - rank));
        assert_eq!(world.shown(0, &format!("ZRANK k {name}")), below);
        assert_eq!(world.shown(0, &format!("ZREVRANK k {name}")), above);
        assert_eq!(
            world.shown(0, &format!("ZRANGE k {rank} {rank}")),
            format!("[{name}]")
        );
        let from_end = COUNT - 1 - rank;
        let line = format!("ZREVRANGE k {from_end} {from_end}");
        assert_eq!(world.shown(0, &line), format!("[{name}]"));
    }
    assert_eq!(world.shown(0, "ZCOUNT k 10 (20"), ":20");
    assert_eq!(world.shown(0, "ZREMRANGEBYRANK k 1 -2"), ":2998");
    assert_eq!(world.shown(0, "ZRANGE k 0 -1"), "[m0000, m2999]");
}

#[test]
fn a_walk_by_zscan_meets_every_member_once() {
    let world = World::new(1);
    let pairs: Vec<String> = (0..300).map(|number| format!("1 m{number}")).collect();
    world.line(0, &format!("ZADD k {}", pairs.join(" ")));
    world.line(0, "ZREM k m7");
    let (mut cursor, mut met) = ("0".to_owned(), Vec::new());
    loop {
        let page = world.shown(0, &format!("ZSCAN k {cursor} COUNT 7"));
        let inner = page.trim_start_matches('[').trim_end_matches(']');
        let (next, members) = inner.split_once(", [").expect("a cursor and members");
        met.extend(members.split(", ").step_by(2).map(str::to_owned));
        cursor = next.to_owned();
        if cursor == "0" {
            break;
        }
    }
    met.sort();
    let mut all: Vec<String> = (0..300)
        .filter(|n| *n != 7)
        .map(|n| format!("m{n}"))
        .collect();
    all.sort();
    assert_eq!(met, all);
}
