//! The journal of values that lost (DESIGN.md section 1): nodes that were cut off from each other
//! note, each for itself and once, what is not shown any more.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::World;
use larder_commands::internal::conflicts::{list_request, listed};
use larder_crdt::ConflictKind;

/// Runs the lines of A and then of B during a cut of a cluster of three, and heals it.
fn fork(before: &[&str], a: &[&str], b: &[&str]) -> World {
    let mut world = World::new(3);
    run(&world, 0, before);
    world.pass(1_000);
    world.cut();
    run(&world, 0, a);
    world.catch_up(world.now().unix_ms + 50);
    run(&world, 1, b);
    world.heal();
    world
}

fn run(world: &World, at: usize, lines: &[&str]) {
    for line in lines {
        let reply = world.line(at, line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
    }
}

/// What a node has noted, the last entry first: kind, key, path, loser, winner.
fn noted(world: &World, at: usize) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let entries = world.node(at).journal().latest(None, 100);
    let line = |entry: &larder_cluster::journal::JournalEntry| {
        format!(
            "{} {}{}: {} < {}",
            entry.kind.word(),
            text(entry.key.key()),
            entry.path.as_deref().unwrap_or_default(),
            text(&entry.loser.value),
            text(&entry.winner.value),
        )
    };
    entries.iter().map(line).collect()
}

#[track_caller]
fn all_noted(world: &World, wanted: &[&str]) {
    for at in 0..3 {
        assert_eq!(noted(world, at), wanted, "node {at}");
    }
}

#[test]
fn of_concurrent_strings_every_replica_notes_the_one_that_lost() {
    let world = fork(&["SET x 0"], &["SET x first"], &["SET x second"]);
    all_noted(&world, &["value x: first < second"]);
    let entry = world.node(2).journal().latest(None, 1).remove(0);
    assert!(entry.loser.stamp_ms < entry.winner.stamp_ms);
    assert_ne!(entry.loser.dot.actor, entry.winner.dot.actor);
    assert_eq!(entry.loser.bytes, 5);
    let same = |at| world.node(at).journal().latest(None, 1).remove(0).loser;
    assert_eq!(same(0), same(1), "dots are named in full");
}

#[test]
fn what_is_heard_again_is_not_noted_again() {
    let mut world = fork(&["SET x 0"], &["SET x first"], &["SET x second"]);
    for _ in 0..3 {
        world.cut();
        world.heal();
    }
    // Another change of the row that leaves the loser hidden.
    run(&world, 2, &["INCR other", "SET y 1"]);
    world.heal();
    all_noted(&world, &["value x: first < second"]);
}

#[test]
fn what_saw_the_other_or_equals_it_has_not_lost() {
    let world = fork(
        &["SET seen 0", "SET gone 0", "SET n 5"],
        &["SET seen 1", "SET same v", "DEL gone", "INCR n"],
        &["SET same v", "SET gone 1", "INCRBY n 7"],
    );
    all_noted(&world, &[]);
    run(&world, 0, &["SET seen 2", "SET same w"]);
    world.node(0).poll(world.now()).unwrap();
    all_noted(&world, &[]);
}

#[test]
fn of_concurrent_leaves_every_replica_notes_the_one_that_lost() {
    let world = fork(
        &[],
        &[
            r#"LPUT list  {"name":"Feast","items":{"milk":2},"x":{"y":1}}"#,
            r#"LPUT same  {"a":[1,2]}"#,
        ],
        &[
            r#"LPUT list  {"name":"Party","items":{"bread":1},"x":5}"#,
            r#"LPUT same  {"a":[1,2]}"#,
        ],
    );
    all_noted(
        &world,
        &[
            "leaf list/x/y: 1 < 5",
            r#"leaf list/name: "Feast" < "Party""#,
        ],
    );
}

#[test]
fn a_write_that_saw_less_than_the_node_has_notes_what_loses() {
    let mut world = World::new(3);
    run(
        &world,
        0,
        &[
            r#"LPUT d  {"a":1}"#,
            r#"LPUT d  {"a":2}"#,
            r#"LPUT d  {"b":2}"#,
        ],
    );
    world.heal();
    all_noted(&world, &["leaf d/a: 1 < 2"]);
}

#[test]
fn of_concurrent_types_the_hidden_one_is_noted() {
    let world = fork(
        &[],
        &[r#"LPUT both  {"a":1}"#, "INCRBY text 3", "SET doc s"],
        &["SET both s", "SET text words", r#"LPUT doc  {"a":1}"#],
    );
    let mut all = noted(&world, 0);
    all.sort_unstable();
    assert_eq!(
        all,
        [
            r#"type both: {"a":1} < s"#,
            r#"type doc: s < {"a":1}"#,
            "type text: 3 < words",
        ]
    );
    assert_eq!(world.node(1).journal().noted(ConflictKind::Type), 3);
}

#[test]
fn a_long_value_is_cut_and_its_length_told() {
    let long = "x".repeat(100_000);
    let world = fork(&[], &[&format!("SET x {long}")], &["SET x short"]);
    let entry = world.node(0).journal().latest(None, 1).remove(0);
    let kept = larder_crdt::limits::CONFLICT_VALUE_BYTES_MAX;
    assert_eq!(entry.loser.value.len(), kept);
    assert_eq!(entry.loser.bytes, 100_000);
}

#[test]
fn the_owner_of_a_key_tells_of_it_whoever_is_asked() {
    let world = fork(&[], &["SET x 1", "SET y 1"], &["SET x 2", "SET y 2"]);
    let partitions = world.node(0).view().layout.partitions();
    for at in 0..3 {
        let ask = |database, key: &[u8]| {
            let request = list_request(partitions, database, key, 10);
            listed(&world.submit(at, request)).unwrap()
        };
        let found = ask(0, b"x");
        assert_eq!(found.len(), 1);
        assert_eq!(&*found.first().unwrap().loser.value, b"1");
        assert_eq!(ask(1, b"x"), []);
        assert_eq!(ask(0, b"z"), []);
    }
}

#[test]
fn the_setting_bounds_the_journal_at_once() {
    let world = fork(
        &[],
        &["SET x 1", "SET y 1", "SET z 1"],
        &["SET x 2", "SET y 2", "SET z 2"],
    );
    let node = world.node(0);
    assert_eq!(node.journal().size().0, 3);
    let mut settings = (*node.settings()).clone();
    settings.conflicts_max = 1;
    node.set_settings(settings);
    assert_eq!(node.journal().size().0, 1);
    assert_eq!(node.journal().noted(ConflictKind::Value), 3);
}
