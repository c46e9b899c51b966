//! Commands whose keys live on several nodes, and those that speak for the whole cluster.

mod harness;

use std::collections::BTreeSet;

use harness::{Client, World};
use larder_cluster::id::PartitionId;
use larder_commands::args::OwnedArgs;
use larder_commands::plan::plan;
use larder_commands::reply::{Protocol, Reply};
use larder_commands::scatter::Scatter;

fn scattered(world: &World, line: &str) -> String {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let client = Client {
        scattered: true,
        ..Client::default()
    };
    String::from_utf8_lossy(&world.ask_as(0, &words, client)).into_owned()
}

/// Two keys of different partitions.
fn apart(world: &World) -> [String; 2] {
    let partitions = world.node(0).view().layout.partitions();
    let place = |key: &str| {
        let args = OwnedArgs::new(&[b"GET", key.as_bytes()]);
        plan(args.as_args(), partitions).expect("a GET").partitions[0]
    };
    let second = (0..)
        .map(|n| format!("k{n}"))
        .find(|key| place(key) != place("x"));
    ["x".to_owned(), second.expect("there are eight partitions")]
}

#[test]
fn counters_and_documents_move_between_nodes() {
    let world = World::new(1);
    let [x, y] = apart(&world);
    world.line(0, &format!("INCRBY {x} 5"));
    world.line(0, &format!("EXPIRE {x} 100"));
    assert_eq!(scattered(&world, &format!("RENAME {x} {y}")), "+OK\r\n");
    assert_eq!(world.line(0, &format!("EXISTS {x}")), ":0\r\n");
    assert_eq!(world.line(0, &format!("TTL {y}")), ":100\r\n");
    assert_eq!(world.line(0, &format!("INCR {y}")), ":6\r\n");
    assert_eq!(world.line(0, &format!("INCR {x}")), ":1\r\n");
    world.line(0, &format!("DEL {x} {y}"));
    world.line(0, &format!("LPUT {x}  {{\"a\":1}}"));
    assert_eq!(scattered(&world, &format!("RENAMENX {x} {y}")), ":1\r\n");
    assert_eq!(world.line(0, &format!("TYPE {x}")), "+none\r\n");
    assert!(world.line(0, &format!("LGET {y}")).contains("{\"a\":1}"));
    assert_eq!(
        scattered(&world, &format!("RENAME {x} {y}")),
        "-ERR no such key\r\n"
    );
    assert_eq!(scattered(&world, &format!("COPY {x} {y}")), ":0\r\n");
}

#[test]
fn a_write_between_the_steps_of_a_rename_stays_at_the_source() {
    for (before, between, left, moved) in [
        ("SET x old", "SET x new", "$3\r\nnew\r\n", "$3\r\nold\r\n"),
        ("INCRBY x 10", "INCRBY x 3", "$1\r\n3\r\n", "$2\r\n10\r\n"),
        ("SET x 10", "INCRBY x 3", "$1\r\n3\r\n", "$2\r\n10\r\n"),
    ] {
        let world = World::new(1);
        let [_, y] = apart(&world);
        world.line(0, before);
        let args = OwnedArgs::new(&[b"RENAME", b"x", y.as_bytes()]);
        let partitions = world.node(0).view().layout.partitions();
        let plan = plan(args.as_args(), partitions).expect("a RENAME");
        let node_of = |partition: PartitionId| u64::from(partition.0);
        let resp2 = Protocol::Resp2;
        let begun = Scatter::begin(&plan, args.as_args(), 0, resp2, partitions, &node_of);
        let (mut scatter, mut requests) = begun.expect("it can be split");
        let mut reply = Reply::new(resp2);
        let mut rounds = 0;
        while !requests.is_empty() {
            let answers: Vec<_> = requests
                .into_iter()
                .map(|request| world.submit(0, request).into())
                .collect();
            if rounds == 0 {
                world.line(0, between);
            }
            rounds += 1;
            requests = scatter.gather(&answers, &mut reply);
        }
        assert_eq!((rounds, reply.as_bytes()), (3, &b"+OK\r\n"[..]));
        assert_eq!(world.line(0, "GET x"), left, "{before}, {between}");
        assert_eq!(
            world.line(0, &format!("GET {y}")),
            moved,
            "{before}, {between}"
        );
    }
}

#[test]
fn an_error_of_one_node_is_the_reply() {
    let world = World::new(1);
    let [x, y] = apart(&world);
    let args = OwnedArgs::new(&[b"DEL", x.as_bytes(), y.as_bytes()]);
    let partitions = world.node(0).view().layout.partitions();
    let plan = plan(args.as_args(), partitions).expect("a DEL");
    let node_of = |partition: PartitionId| u64::from(partition.0);
    let begun = Scatter::begin(
        &plan,
        args.as_args(),
        0,
        Protocol::Resp2,
        partitions,
        &node_of,
    );
    let (mut scatter, requests) = begun.expect("it can be split");
    assert_eq!(requests.len(), 2);
    let mut reply = Reply::new(Protocol::Resp2);
    let answers = [b":1\r\n".as_slice(), b"-NOREPLICA x\r\n"].map(bytes::Bytes::from_static);
    assert!(scatter.gather(&answers, &mut reply).is_empty());
    assert_eq!(reply.as_bytes(), b"-NOREPLICA x\r\n");
}

/// The cursor and the keys of a SCAN.
fn page(reply: &str) -> (String, Vec<String>) {
    let lines: Vec<&str> = reply.split("\r\n").collect();
    let keys = lines
        .iter()
        .skip(5)
        .step_by(2)
        .filter(|key| !key.is_empty());
    (
        lines[2].to_owned(),
        keys.map(|key| (*key).to_owned()).collect(),
    )
}

#[test]
fn a_scan_returns_every_key_once() {
    let world = World::new(1);
    let mut wanted = BTreeSet::new();
    for number in 0..700 {
        let key = if number % 7 == 0 {
            format!("{{t}}{number}")
        } else {
            format!("k{number}")
        };
        world.line(0, &format!("SET {key} 1"));
        wanted.insert(key);
    }
    let other = Client {
        database: 5,
        ..Client::default()
    };
    world.ask_as(0, &[b"SET", b"elsewhere", b"1"], other);
    world.line(0, "SET gone 1 PX 10");
    world.line(0, "INCR deleted");
    world.line(0, "DEL deleted");
    world.pass(10);
    for count in ["1", "10", "1000000"] {
        let mut found = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let (next, keys) = page(&world.line(0, &format!("SCAN {cursor} COUNT {count}")));
            found.extend(keys);
            cursor = next;
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(found.len(), wanted.len(), "COUNT {count}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), wanted);
    }
    let (_, tagged) = page(&world.line(0, "SCAN 0 MATCH {t}* COUNT 100000"));
    assert_eq!(tagged.len(), 100);
    assert_eq!(world.line(0, "FLUSHDB"), "+OK\r\n");
    assert_eq!(world.line(0, "DBSIZE"), ":0\r\n");
    assert_eq!(
        world.ask_as(0, &[b"EXISTS", b"elsewhere"], other),
        b":1\r\n"
    );
}
