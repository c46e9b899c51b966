//! What has expired goes by itself, on each node, without messages, from memory and from the disk
//! (SEMANTICS.md section 5).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use harness::World;
use larder_cluster::limits::{EXPIRED_ROWS_MAX, EXPIRY_INTERVAL_MS};
use larder_cluster::row_key::RowKey;
use larder_crdt::Row;

/// All rows of a node, and how many keys it counts.
fn rows(world: &World, at: usize) -> (BTreeMap<RowKey, Row>, u64) {
    let node = world.node(at);
    let (mut found, mut keys) = (BTreeMap::new(), 0);
    for partition in node.view().layout.partitions().iter() {
        node.with_partition(partition, |partition| {
            let main = &partition.main.as_ref().unwrap().rows;
            let (mut after, mut more) = (None, true);
            while more {
                let (rows, further) = main.range(&**node.store(), after.as_ref(), 1_000).unwrap();
                after = rows.last().map(|(key, _)| key.clone());
                found.extend(rows);
                more = further && after.is_some();
            }
            keys += main.keys().iter().sum::<u64>();
        });
    }
    (found, keys)
}

/// How many rows and deadlines the disk of a node has.
fn on_disk(world: &World, at: usize) -> (usize, usize) {
    let node = world.node(at);
    let (mut rows, mut deadlines) = (0, 0);
    for partition in node.view().layout.partitions().iter() {
        let slot = node.with_partition(partition, |p| p.main.as_ref().unwrap().slot());
        rows += node
            .store()
            .rows(slot.unwrap(), None, 100_000)
            .unwrap()
            .len();
        let found = node.store().deadlines(slot.unwrap(), None, 100_000);
        deadlines += found.unwrap().len();
    }
    (rows, deadlines)
}

fn run(world: &World, at: usize, line: &str) {
    let reply = world.line(at, line);
    assert!(!reply.starts_with('-'), "{line}: {reply}");
}

fn number(reply: &str) -> u64 {
    reply.trim_start_matches(':').trim_end().parse().unwrap()
}

/// Rounds of a second and a half: what was due when they began is gone.
fn rounds(world: &World) {
    for _ in 0..15 {
        world.pass(EXPIRY_INTERVAL_MS);
    }
}

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % end
    }
}

fn random_step(world: &mut World, numbers: &mut Numbers) {
    let (at, key) = (numbers.below(2) as usize, numbers.below(30));
    let ms = 1 + numbers.below(20_000);
    match numbers.below(24) {
        0..6 => run(world, at, &format!("SET s{key} v PX {ms}")),
        6..8 => run(world, at, &format!("SET s{key} v")),
        8..10 => run(world, at, &format!("PEXPIRE s{key} {ms}")),
        10 => run(world, at, &format!("PERSIST s{key}")),
        11 => run(world, at, &format!("DEL s{key}")),
        12 => run(world, at, &format!("INCR n{key}")),
        13 => run(world, at, &format!("PEXPIRE n{key} {ms}")),
        14 => run(world, at, &format!(r#"LPUT d{key}  {{"a":{ms}}}"#)),
        15 => run(world, at, &format!("PEXPIRE d{key} {ms}")),
        16..19 => world.pass(numbers.below(2_000)),
        19 | 20 => world.checkpoint(at),
        21 => world.restart(at),
        22 => world.cut(),
        _ => world.heal(),
    }
}

#[test]
fn what_has_expired_is_gone_and_nothing_else_whoever_dropped_it_first() {
    for seed in 0..60 {
        let mut numbers = Numbers(seed);
        let mut world = World::new(2);
        for _ in 0..150 {
            random_step(&mut world, &mut numbers);
        }
        world.heal();
        let (before, _) = rows(&world, 0);
        // One of them is not polled while the other goes ahead, and has to drop what it never looks
        // at by itself.
        world.pass(numbers.below(20_000));
        rounds(&world);
        let now_ms = world.now().unix_ms;
        let mut wanted = before;
        wanted.values_mut().for_each(|row| {
            row.drop_expired(now_ms);
        });
        wanted.retain(|_, row| !row.is_empty());
        for at in 0..2 {
            let (mut found, keys) = rows(&world, at);
            let is_over = |at: NonZeroU64| at.get() <= now_ms - 1_500;
            for (key, row) in &found {
                let mut deadlines = row.siblings().iter().filter_map(|s| s.deadline);
                assert!(!deadlines.any(is_over), "seed {seed}: {key:?} on node {at}");
            }
            let shown = |row: &&Row| row.siblings().iter().any(|s| !s.value.is_reset());
            let shown = found.values().filter(shown).count();
            assert_eq!(keys, shown as u64, "seed {seed}: node {at} counts");
            found.values_mut().for_each(|row| {
                row.drop_expired(now_ms);
            });
            found.retain(|_, row| !row.is_empty());
            // Siblings stand in the order of numbers, which each copy gives for itself.
            assert_eq!(
                found.keys().collect::<Vec<_>>(),
                wanted.keys().collect::<Vec<_>>(),
                "seed {seed}: node {at}"
            );
            for (key, row) in &found {
                let deadlines = |row: &Row| {
                    let each = row.siblings().iter().map(|s| (s.stamp, s.deadline));
                    let mut all: Vec<_> = each.collect();
                    all.sort_unstable();
                    all
                };
                let wanted = wanted.get(key).map(deadlines);
                assert_eq!(Some(deadlines(row)), wanted, "seed {seed}: {key:?}");
            }
        }
    }
}

#[test]
fn a_deadline_that_was_moved_on_the_other_side_of_a_cut_holds() {
    let mut world = World::new(2);
    for line in [
        "SET x v PX 3000",
        "SET y v PX 3000",
        "INCR n",
        "PEXPIRE n 3000",
    ] {
        run(&world, 0, line);
    }
    world.pass(1_000);
    world.cut();
    for line in ["EXPIRE x 1000", "PERSIST y", "EXPIRE n 1000"] {
        run(&world, 1, line);
    }
    world.pass(4_000);
    rounds(&world);
    assert_eq!(rows(&world, 0).1, 0, "here they have expired");
    assert_eq!(rows(&world, 1).1, 3);
    world.heal();
    for at in 0..2 {
        assert_eq!(rows(&world, at).1, 3, "node {at}");
        assert_eq!(world.line(at, "GET x"), "$1\r\nv\r\n");
        assert_eq!(world.line(at, "TTL y"), ":-1\r\n");
        assert_eq!(world.line(at, "GET n"), "$1\r\n1\r\n");
    }
}

#[test]
fn rows_that_only_the_disk_has_go_after_a_restart_as_well() {
    let mut world = World::new(2);
    for key in 0..500 {
        run(&world, 0, &format!("SET k{key} v EX 100"));
        run(&world, 0, &format!("SET l{key} v EX 1000"));
    }
    run(&world, 0, "SET kept v");
    world.pass(1_000);
    for at in 0..2 {
        world.checkpoint(at);
        assert_eq!(on_disk(&world, at), (1_001, 1_000));
    }
    world.restart(0);
    rounds(&world);
    for at in 0..2 {
        assert_eq!(rows(&world, at).1, 1_001);
    }
    world.pass(100_000);
    rounds(&world);
    for at in 0..2 {
        assert_eq!(number(&world.line(at, "DBSIZE")), 501, "node {at}");
        assert_eq!(world.node(at).counts().expired, 500, "node {at}");
        world.checkpoint(at);
        assert_eq!(on_disk(&world, at), (501, 500), "node {at}");
    }
    world.restart(1);
    world.pass(1_000_000);
    rounds(&world);
    for at in 0..2 {
        world.checkpoint(at);
        assert_eq!(on_disk(&world, at), (1, 0), "node {at}");
        assert_eq!(number(&world.line(at, "DBSIZE")), 1);
    }
}

#[test]
fn many_that_expire_at_once_go_in_bounded_rounds() {
    let world = World::new(1);
    let count = 3 * EXPIRED_ROWS_MAX as u64;
    for key in 0..count {
        run(&world, 0, &format!("SET k{key} v EX 10"));
    }
    world.catch_up(world.now().unix_ms + 20_000);
    for round in 1..=3 {
        world.pass(EXPIRY_INTERVAL_MS);
        let left = count - round * EXPIRED_ROWS_MAX as u64;
        assert!(rows(&world, 0).1 >= left);
    }
    rounds(&world);
    assert_eq!(rows(&world, 0).1, 0);
}

#[test]
fn a_deadline_that_is_moved_again_and_again_leaves_one_entry() {
    let world = World::new(1);
    for _ in 0..100 {
        run(&world, 0, "SET x v EX 1000");
        world.pass(1_000);
    }
    world.checkpoint(0);
    assert_eq!(on_disk(&world, 0), (1, 1));
}
