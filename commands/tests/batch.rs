//! What EXEC runs, and the versions that WATCH remembers.

mod harness;

use std::collections::BTreeSet;

use bytes::Bytes;
use harness::World;
use larder_cluster::id::PartitionId;
use larder_cluster::limits::{COUNTED_KEYS_MAX, GROUP_BYTES_MAX};
use larder_cluster::request::{Access, Request};
use larder_cluster::token::Partitions;
use larder_cluster::version::Version;
use larder_commands::args::Args;
use larder_commands::batch::{
    Batch, BatchCommand, Outcome, WatchedKey, answer, outcome, versions, versions_request,
};
use larder_commands::limits::{BATCH_FLUSH_KEYS_MAX, BATCH_REPLY_BYTES_MAX};
use larder_commands::plan::plan;
use larder_commands::reply::Protocol;

fn partitions() -> Partitions {
    Partitions::new(8).expect("a power of two")
}

fn command(database: u8, line: &str) -> BatchCommand {
    BatchCommand {
        database,
        protocol: Protocol::Resp2,
        words: line
            .split(' ')
            .map(|word| Bytes::copy_from_slice(word.as_bytes()))
            .collect(),
    }
}

fn batch(lines: &[&str]) -> Batch {
    Batch {
        watched: Vec::new(),
        commands: lines.iter().map(|line| command(0, line)).collect(),
    }
}

/// The request of a batch that names all partitions, so that any command may be in it.
fn whole(batch: &Batch) -> Request {
    batch.request(partitions().iter().collect(), Access::Write)
}

/// The request of a batch with the partitions of its keys, as the server makes it.
fn request(batch: &Batch) -> Request {
    let mut ids: BTreeSet<PartitionId> = batch
        .watched
        .iter()
        .map(|watched| watched.partition(partitions()))
        .collect();
    for command in &batch.commands {
        let planned = plan(Args::of_list(&command.words), partitions()).expect("a command");
        ids.extend(planned.partitions);
    }
    batch.request(ids.into_iter().collect(), Access::Write)
}

/// The replies of a batch as text; `None` if a watched key has changed.
fn run(world: &World, at: usize, request: Request) -> Option<Vec<String>> {
    let answer = Bytes::from(world.submit(at, request));
    match outcome(&answer).expect("a batch of this release") {
        Outcome::Changed => None,
        Outcome::Ran(replies) => Some(
            replies
                .iter()
                .map(|reply| String::from_utf8_lossy(reply).trim_end().to_owned())
                .collect(),
        ),
    }
}

fn watch(world: &World, at: usize, key: &str) -> WatchedKey {
    let key = Bytes::copy_from_slice(key.as_bytes());
    let request = versions_request(0, std::slice::from_ref(&key), partitions());
    let version = versions(&world.submit(at, request)).expect("a key")[0];
    WatchedKey {
        database: 0,
        key,
        version,
    }
}

#[test]
fn commands_run_in_order_and_an_error_stops_none_of_them() {
    let world = World::new(1);
    let lines = [
        "SET a 1",
        "INCR a",
        "SET b text",
        "INCR b",
        "GET a",
        "GET b",
    ];
    let mut batch = batch(&lines);
    batch.commands.push(command(3, "SETNX a three"));
    batch.commands.push(BatchCommand {
        protocol: Protocol::Resp3,
        ..command(0, "GET nosuch")
    });
    let error = "-ERR value is not an integer or out of range";
    let wanted = [
        "+OK",
        ":2",
        "+OK",
        error,
        "$1\r\n2",
        "$4\r\ntext",
        ":1",
        "_",
    ];
    assert_eq!(run(&world, 0, request(&batch)).expect("no watch"), wanted);
}

#[test]
fn commands_for_all_keys_see_what_was_done_before_them() {
    let world = World::new(1);
    let lines = [
        "DBSIZE",
        "RANDOMKEY",
        "SET a 1",
        "SET b 2",
        "DBSIZE",
        "DEL b",
        "KEYS *",
        "RANDOMKEY",
        "FLUSHDB x",
        "FLUSHALL",
        "SCAN 0",
        "DBSIZE",
    ];
    let replies = run(&world, 0, whole(&batch(&lines))).expect("no watch");
    let wanted = [
        ":0",
        "$-1",
        "+OK",
        "+OK",
        ":2",
        ":1",
        "*1\r\n$1\r\na",
        "$1\r\na",
        "-ERR syntax error",
        "+OK",
        "*2\r\n$1\r\n0\r\n*0",
        ":0",
    ];
    assert_eq!(replies, wanted);
}

#[test]
fn a_flush_in_a_batch_is_bounded() {
    let world = World::new(1);
    let keys: Vec<String> = (0..=BATCH_FLUSH_KEYS_MAX)
        .map(|n| format!("k:{n}"))
        .collect();
    for keys in keys.chunks(10_000) {
        let mut words: Vec<&[u8]> = vec![b"MSET"];
        words.extend(keys.iter().flat_map(|key| [key.as_bytes(), b"v"]));
        assert_eq!(world.ask(0, &words), b"+OK\r\n");
    }
    let flushes = ["FLUSHALL", "DEL k:0", "FLUSHALL", "DBSIZE"];
    let replies = run(&world, 0, whole(&batch(&flushes))).expect("no watch");
    let refusal =
        format!("-ERR more than {BATCH_FLUSH_KEYS_MAX} keys cannot be removed inside MULTI");
    assert_eq!(replies, [refusal.as_str(), ":1", "+OK", ":0"]);
}

#[test]
fn what_no_node_sends_is_refused_and_nothing_is_done() {
    let world = World::new(1);
    let sent = request(&batch(&["SET a 1", "SET b 2"]));
    let refusal = |request: Request| {
        let answer = world.submit(0, request);
        assert!(answer.starts_with(b"-ERR"), "{}", answer.escape_ascii());
        assert_eq!(world.line(0, "EXISTS a b"), ":0\r\n");
    };
    refusal(Request {
        partitions: vec![sent.partitions[0]],
        ..sent.clone()
    });
    for words in [1, 2, 3, 7] {
        let mut request = sent.clone();
        request.args.truncate(words);
        refusal(request);
    }
    let mut longer = sent.clone();
    longer.args.push(Bytes::from_static(b"x"));
    refusal(longer);
    for line in ["PING", "MULTI", "nosuch", "SET a"] {
        refusal(whole(&batch(&["SET a 1", line])));
    }
    // A command about all keys needs all partitions.
    let flush = batch(&["SET a 1", "FLUSHALL"]);
    refusal(flush.request(sent.partitions.clone(), Access::Write));
    assert_eq!(Batch::decode(&sent), Ok(batch(&["SET a 1", "SET b 2"])));
}

#[test]
fn replies_without_room_become_errors() {
    let long = || vec![b'x'; BATCH_REPLY_BYTES_MAX / 2];
    let answer = Bytes::from(answer(Some(vec![long(), long(), b"+OK\r\n".to_vec()])));
    let Ok(Outcome::Ran(replies)) = outcome(&answer) else {
        panic!("a batch that ran");
    };
    assert_eq!(replies[0].len(), BATCH_REPLY_BYTES_MAX / 2);
    assert_eq!(
        &replies[1][..],
        b"-ERR the replies of the transaction are too long\r\n"
    );
    assert_eq!(&replies[2][..], b"+OK\r\n");
}

#[test]
fn whatever_changes_a_watched_key_stops_the_batch() {
    for (before, meanwhile, goes_on) in [
        ("SET k 1", "GET k", true),
        ("SET k 1", "SET other 2", true),
        ("SET k 1", "PERSIST k", true),
        ("SET k 1", "SET k 1", false),
        ("SET k 1", "EXPIRE k 100", false),
        ("SET k 1", "DEL k", false),
        ("SET k 1", "RENAME k other", false),
        ("SET other 1", "RENAME other k", false),
        ("INCR k", "INCR k", false),
        ("SET k 1 PX 50", "pass", false),
        ("DEL k", "DEL k", true),
        ("DEL k", "pass", true),
        ("DEL k", "SET k 1", false),
        ("SET k 1 PX 50,pass", "pass", true),
        ("SET k 1 PX 50,pass", "SET k 1", false),
        // It comes and goes.
        ("DEL k", "SET k 1,DEL k", false),
        ("DEL k", "SET k 1 PX 50,pass", false),
        ("INCR k,DEL k", "INCR k,DEL k", false),
        ("SET k 1", "DEL k,SET k 1", false),
        ("SET k 1", "FLUSHALL", false),
        ("DEL k", "FLUSHALL", true),
        // A collection has many rows.
        ("RPUSH k a b", "LRANGE k 0 -1,LREM k 0 c", true),
        ("RPUSH k a b", "RPUSH other a", true),
        ("RPUSH k a b", "RPUSH k c", false),
        ("RPUSH k a b", "RPUSH k c,RPOP k", false),
        ("RPUSH k a b", "LSET k 1 b", false),
        ("RPUSH k a b", "DEL k", false),
        ("RPUSH k a b", "DEL k,RPUSH k a b", false),
        ("RPUSH k a b", "SET k 1", false),
        ("RPUSH k a b", "EXPIRE k 100", false),
        ("RPUSH k a b,PEXPIRE k 50", "pass", false),
        ("RPUSH k a b,PEXPIRE k 50,pass", "pass", true),
        ("DEL k", "RPUSH k a,DEL k", false),
    ] {
        let world = World::new(1);
        let play = |lines: &str| {
            for line in lines.split(',') {
                match line {
                    "pass" => world.pass(100),
                    line => drop(world.line(0, line)),
                }
            }
        };
        play(before);
        let mut batch = batch(&["SET done yes"]);
        batch.watched.push(watch(&world, 0, "k"));
        play(meanwhile);
        let ran = run(&world, 0, request(&batch)).is_some();
        assert_eq!(ran, goes_on, "{before}; WATCH; {meanwhile}; EXEC");
        assert_eq!(world.line(0, "EXISTS done") == ":1\r\n", goes_on);
    }
}

#[test]
fn a_key_that_shows_has_the_same_version_at_every_node() {
    let mut world = World::new(3);
    for line in ["SET a 1", "INCRBY b 2", "SET c 1 EX 100"] {
        world.line(0, line);
    }
    world.pass(3_000);
    let shown = |world: &World, key: &str| -> BTreeSet<Version> {
        (0..3).map(|at| watch(world, at, key).version).collect()
    };
    world.cut();
    for key in ["a", "b", "c"] {
        assert_eq!(shown(&world, key).len(), 1, "{key}");
    }
    let before = watch(&world, 1, "a");
    world.line(0, "SET a 2");
    assert_eq!(shown(&world, "a").len(), 2);
    // What comes by replication is a change.
    world.heal();
    world.cut();
    let mut late = batch(&["SET done yes"]);
    late.watched.push(before);
    assert_eq!(run(&world, 1, request(&late)), None);
}

#[test]
fn what_came_and_went_elsewhere_is_a_change_of_a_missing_key() {
    let mut world = World::new(2);
    world.cut();
    let mut late = batch(&["SET done yes"]);
    late.watched.push(watch(&world, 1, "k"));
    assert!(
        run(&world, 1, request(&late)).is_some(),
        "nothing changed yet"
    );
    world.line(0, "SET k 1");
    world.line(0, "DEL k");
    world.heal();
    world.cut();
    assert_eq!(run(&world, 1, request(&late)), None);
}

#[test]
fn too_many_missing_keys_void_what_was_said_of_them() {
    let world = World::new(1);
    let mut first = batch(&["SET done yes"]);
    first.watched.push(watch(&world, 0, "{t}first"));
    for number in 1..COUNTED_KEYS_MAX {
        watch(&world, 0, &format!("{{t}}{number}"));
    }
    assert!(
        run(&world, 0, request(&first)).is_some(),
        "as many as there may be"
    );
    watch(&world, 0, "{t}one more");
    assert_eq!(run(&world, 0, request(&first)), None);
}

#[test]
fn a_node_that_was_restarted_knows_a_shown_key_again() {
    let mut world = World::new(1);
    world.line(0, "SET a 1");
    let (shown, missing) = (watch(&world, 0, "a"), watch(&world, 0, "b"));
    world.checkpoint(0);
    world.restart(0);
    for (watched, goes_on) in [(shown, true), (missing, false)] {
        let mut batch = batch(&["SET done yes"]);
        batch.watched.push(watched);
        assert_eq!(run(&world, 0, request(&batch)).is_some(), goes_on);
    }
}

#[test]
fn a_large_batch_is_more_than_one_group() {
    let world = World::new(2);
    let value = "v".repeat(GROUP_BYTES_MAX / 8);
    let lines: Vec<String> = (0..11).map(|n| format!("SET {{t}}{n} {value}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let request = request(&batch(&lines));
    let partition = request.partitions[0];
    run(&world, 0, request).expect("no watch");
    let groups = (0..2).find_map(|at| {
        world.node(at).with_partition(partition, |partition| {
            let log = &partition.main.as_ref()?.log;
            let groups: BTreeSet<_> = log.iter().filter_map(|(_, entry)| entry.group).collect();
            (log.len() == 11).then_some(groups.len())
        })?
    });
    assert_eq!(groups, Some(2));
}
