//! Lists on nodes that cannot see each other: what each of them did is there afterwards, in one
//! order, and what was pushed in a row stands in a row.

#![expect(
    clippy::disallowed_macros,
    reason = "a failing history is printed step by step"
)]

mod harness;
mod redis;

use std::collections::{BTreeMap, BTreeSet};

use harness::{Client, World};
use redis::{Answer, Random};

const NODES: usize = 3;
const ROUNDS: usize = 3;
const STEPS: usize = 8;

/// What one node pushed at one end without doing anything else meanwhile.
#[derive(Debug, Clone)]
struct Run {
    round: usize,
    node: usize,
    is_left: bool,
    values: Vec<String>,
}

struct History {
    world: World,
    random: Random,
    runs: Vec<Run>,
    /// Every value with the round and node that added it.
    added: BTreeMap<String, (usize, usize)>,
    removed: BTreeSet<String>,
    lines: Vec<String>,
}

impl History {
    fn ask(&mut self, node: usize, line: &str) -> Answer {
        let reply = self.world.line(node, line);
        self.lines
            .push(format!("{node}> {line}: {}", reply.escape_debug()));
        Answer::of(reply.as_bytes())
    }

    fn list(&mut self, node: usize) -> Vec<String> {
        let answer = self.ask(node, "LRANGE k 0 -1");
        let texts = answer.texts();
        let text = |bytes: &&[u8]| String::from_utf8_lossy(bytes).into_owned();
        texts.iter().map(text).collect()
    }

    fn fresh(&mut self, round: usize, node: usize) -> String {
        let value = format!("v{}", self.added.len());
        self.added.insert(value.clone(), (round, node));
        value
    }

    /// Pushes some values at one end, by one command or by several.
    fn push(&mut self, round: usize, node: usize) {
        let is_left = self.random.below(2) == 0;
        let name = if is_left { "LPUSH" } else { "RPUSH" };
        let mut run = Run {
            round,
            node,
            is_left,
            values: Vec::new(),
        };
        for _ in 0..1 + self.random.below(3) {
            let count = 1 + self.random.below(2);
            let values: Vec<String> = (0..count).map(|_| self.fresh(round, node)).collect();
            self.ask(node, &format!("{name} k {}", values.join(" ")));
            run.values.extend(values);
        }
        self.runs.push(run);
    }

    fn step(&mut self, round: usize, node: usize) {
        let list = self.list(node);
        let some = (!list.is_empty()).then(|| list[self.random.below(list.len())].clone());
        match (self.random.below(8), some) {
            (0..=3, _) | (_, None) => self.push(round, node),
            (4, Some(pivot)) => {
                let side = self.random.one(&["BEFORE", "AFTER"]);
                let value = self.fresh(round, node);
                self.ask(node, &format!("LINSERT k {side} {pivot} {value}"));
            }
            (5, Some(value)) => {
                let answer = self.ask(node, &format!("LREM k 0 {value}"));
                assert_eq!(answer, Answer::Integer(1));
                self.removed.insert(value);
            }
            (6, Some(_)) => {
                let line = self
                    .random
                    .one(&["LPOP k 2", "RPOP k", "LPOP k", "RPOP k 3"]);
                let popped = match self.ask(node, line) {
                    Answer::Text(text) => vec![text],
                    other => other.texts().iter().map(|text| text.to_vec()).collect(),
                };
                let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("a value");
                self.removed.extend(popped.into_iter().map(text));
            }
            (_, Some(_)) => {
                let kept = list.len() - self.random.below(2).min(list.len() - 1);
                self.ask(node, &format!("LTRIM k 0 {}", kept as i64 - 1));
                self.removed.extend(list.into_iter().skip(kept));
            }
        }
    }

    /// What all nodes show is one list of all that was added and not removed, in an order that no
    /// node has seen otherwise.
    fn check(&mut self, before: &[Vec<String>]) {
        let lists: Vec<Vec<String>> = (0..NODES).map(|node| self.list(node)).collect();
        let list = lists[0].clone();
        assert!(lists.iter().all(|other| *other == list), "one order");
        assert_eq!(self.ask(1, "LLEN k"), Answer::Integer(list.len() as i64));
        let there: BTreeSet<&String> = list.iter().collect();
        assert_eq!(there.len(), list.len(), "nothing twice");
        let wanted = self.added.keys().filter(|v| !self.removed.contains(*v));
        assert_eq!(there, wanted.collect(), "nothing lost, nothing back");
        let place = |value: &String| list.iter().position(|other| other == value);
        for seen in before {
            let places: Vec<usize> = seen.iter().filter_map(place).collect();
            assert!(places.is_sorted(), "as each node saw it: {seen:?}");
        }
        for run in &self.runs {
            let mut places: Vec<usize> = run.values.iter().filter_map(place).collect();
            if run.is_left {
                places.reverse();
            }
            assert!(places.is_sorted(), "{run:?} in its order");
            let (Some(first), Some(last)) = (places.first(), places.last()) else {
                continue;
            };
            for value in &list[*first..*last] {
                let (round, node) = self.added[value];
                let is_foreign = round == run.round && node != run.node;
                assert!(!is_foreign, "{value} came between {run:?}");
            }
        }
    }
}

impl Drop for History {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.lines.iter().for_each(|line| eprintln!("{line}"));
        }
    }
}

#[test]
fn runs_of_concurrent_pushes_never_interleave_and_nothing_is_lost() {
    for seed in 0..40 {
        let mut history = History {
            world: World::new(NODES),
            random: Random(seed),
            runs: Vec::new(),
            added: BTreeMap::new(),
            removed: BTreeSet::new(),
            lines: vec![format!("seed {seed}")],
        };
        for round in 0..ROUNDS {
            history.world.cut();
            for _ in 0..STEPS {
                let node = history.random.below(NODES);
                history.world.pass(7);
                history.step(round, node);
            }
            let before: Vec<Vec<String>> = (0..NODES).map(|node| history.list(node)).collect();
            history.world.heal();
            history.check(&before);
        }
    }
}

#[test]
fn a_list_outlives_its_node_and_goes_on_where_it_was() {
    let mut world = World::new(1);
    for line in ["RPUSH k a b c", "LPUSH k z", "LINSERT k AFTER b x"] {
        world.line(0, line);
    }
    world.checkpoint(0);
    world.line(0, "RPUSH k d");
    world.pass(1_000);
    world.restart(0);
    assert_eq!(world.shown(0, "LRANGE k 0 -1"), "[z, a, b, x, c, d]");
    world.line(0, "RPUSH k e");
    world.line(0, "LPUSH k y");
    assert_eq!(world.shown(0, "LRANGE k 0 -1"), "[y, z, a, b, x, c, d, e]");
    assert_eq!(world.shown(0, "LLEN k"), ":8");
}

#[test]
fn a_list_that_begins_anew_has_no_deadline() {
    let mut world = World::new(2);
    for (line, reply) in [
        ("RPUSH k a", ":1"),
        ("PEXPIRE k 1000000", ":1"),
        ("LPOP k", "a"),
        ("EXISTS k", ":0"),
        ("RPUSH k b c", ":2"),
        ("TTL k", ":-1"),
        ("PEXPIRE k 1000000", ":1"),
    ] {
        assert_eq!(world.shown(0, line), reply, "{line}");
    }
    world.pass(5_000);
    // Neither side sees that the list is empty, but both together.
    world.cut();
    world.line(0, "LREM k 1 b");
    world.line(1, "LREM k 1 c");
    world.heal();
    assert_eq!(world.shown(0, "EXISTS k"), ":0");
    assert_eq!(world.shown(1, "RPUSH k d"), ":1");
    assert_eq!(world.shown(1, "TTL k"), ":-1");
}

#[test]
fn a_long_list_is_read_from_either_end_and_cut_in_one_step() {
    let mut world = World::new(2);
    for start in (0..3_000).step_by(500) {
        let values: Vec<String> = (start..start + 500).map(|n| n.to_string()).collect();
        world.line(0, &format!("RPUSH k {}", values.join(" ")));
    }
    for node in 0..2 {
        world.heal();
        world.checkpoint(node);
        assert_eq!(world.shown(node, "LLEN k"), ":3000");
        for index in [0, 1, 511, 512, 1499, 1500, 2047, 2998, 2999] {
            assert_eq!(
                world.shown(node, &format!("LINDEX k {index}")),
                index.to_string()
            );
            let line = format!("LINDEX k {}", index - 3000);
            assert_eq!(world.shown(node, &line), index.to_string());
            let line = format!("LRANGE k {index} {}", index + 2);
            let some: Vec<_> = (index..(index + 3).min(3000))
                .map(|n| n.to_string())
                .collect();
            assert_eq!(world.shown(node, &line), format!("[{}]", some.join(", ")));
        }
        assert_eq!(world.shown(node, "LPOS k 2999"), ":2999");
        assert_eq!(world.shown(node, "LPOS k 600 RANK -1"), ":600");
        assert_eq!(world.shown(node, "LPOS k 600 MAXLEN 600"), "nil");
    }
    assert_eq!(world.shown(0, "LSET k 1500 mid"), "+OK");
    assert_eq!(world.shown(0, "LTRIM k 1499 1501"), "+OK");
    world.heal();
    assert_eq!(world.shown(1, "LRANGE k 0 -1"), "[1499, mid, 1501]");
    assert_eq!(world.shown(1, "LLEN k"), ":3");
}

#[test]
fn a_clear_is_sent_to_the_others_as_any_change_is() {
    let mut world = World::new(2);
    let (leader, other) = if world.line(0, "RPUSH k a b c").starts_with(':') {
        (0, 1)
    } else {
        (1, 0)
    };
    world.pass(5_000);
    assert_eq!(world.shown(leader, "DEL k"), ":1");
    world.pass(50);
    world.cut();
    assert_eq!(world.shown(other, "EXISTS k"), ":0");
    assert_eq!(world.shown(leader, "EXISTS k"), ":0");
}

#[test]
fn a_list_is_explained_as_any_key_is() {
    let world = World::new(1);
    world.line(0, "RPUSH k a b");
    world.line(0, "PEXPIREAT k 1800000000000");
    let explained = world.shown(0, "LEXPLAIN k");
    for part in ["type, list", "deadline, :1800000000000", "siblings, []"] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
}

#[test]
fn keys_of_several_nodes_are_asked_one_after_the_other() {
    let world = World::new(1);
    let ask = |line: &str| {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let client = Client {
            scattered: true,
            ..Client::default()
        };
        String::from_utf8(world.ask_as(0, &words, client)).expect("a text")
    };
    world.line(0, "RPUSH b x y z");
    world.line(0, "RPUSH c v w");
    let reply = ask("LMPOP 4 a b c d RIGHT COUNT 2");
    assert_eq!(reply, "*2\r\n$1\r\nb\r\n*2\r\n$1\r\nz\r\n$1\r\ny\r\n");
    assert_eq!(ask("BLPOP a b c 0"), "*2\r\n$1\r\nb\r\n$1\r\nx\r\n");
    let reply = ask("BLMPOP 0 3 a b c LEFT");
    assert_eq!(reply, "*2\r\n$1\r\nc\r\n*1\r\n$1\r\nv\r\n");
    assert_eq!(ask("BRPOP c a 0"), "*2\r\n$1\r\nc\r\n$1\r\nw\r\n");
    assert_eq!(ask("BRPOP c a b d 0"), "*-1\r\n");
    world.line(0, "SET a 1");
    assert!(ask("LMPOP 3 d a b LEFT").starts_with("-WRONGTYPE"));
    let mut targets = ["d", "e", "f", "g", "h"].iter();
    let is_refused = |target: &&str| {
        let reply = ask(&format!("LMOVE b {target} LEFT LEFT"));
        reply.starts_with("-CROSSSLOT")
    };
    assert!(targets.any(is_refused));
}
