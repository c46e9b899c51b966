//! What concurrent commands do (SEMANTICS.md): two nodes, cut off from each other, take commands
//! each; after the cut both show the same, and what is written here.

mod harness;

use harness::World;

/// A history of two nodes. What B does is stamped later than what A does.
struct Case {
    name: &'static str,
    /// While the nodes are in touch.
    before: &'static [&'static str],
    /// During the cut.
    a: &'static [&'static str],
    b: &'static [&'static str],
    /// Afterwards: requests, and the replies of either node.
    then: &'static [(&'static str, &'static str)],
}

const CASES: &[Case] = &[
    Case {
        name: "of concurrent SETs the later stamp shows",
        before: &["SET x 0"],
        a: &["SET x 1"],
        b: &["SET x 2"],
        then: &[("GET x", "2")],
    },
    Case {
        name: "SET holds over a concurrent DEL, whichever came later",
        before: &["SET x 0", "SET y 0"],
        a: &["SET x 1", "DEL y"],
        b: &["DEL x", "SET y 1"],
        then: &[("GET x", "1"), ("GET y", "1")],
    },
    Case {
        name: "a DEL that saw the SET holds, whatever the clocks say",
        before: &["SET x 0"],
        a: &["SET x 1", "DEL x"],
        b: &[],
        then: &[("EXISTS x", ":0"), ("GET x", "nil")],
    },
    Case {
        name: "concurrent increments add up",
        before: &["INCRBY n 10"],
        a: &["INCRBY n 5", "DECR n"],
        b: &["INCRBY n 7", "INCR n"],
        then: &[("GET n", "22")],
    },
    Case {
        name: "concurrent increments of a new counter add up",
        before: &[],
        a: &["INCR n", "INCRBYFLOAT f 1.5"],
        b: &["INCR n", "INCRBYFLOAT f 0.25"],
        then: &[("GET n", "2"), ("GET f", "1.75")],
    },
    Case {
        name: "increments add to the base that SET left",
        before: &["SET n 100"],
        a: &["INCR n"],
        b: &["INCRBY n 10"],
        then: &[("GET n", "111"), ("INCR n", ":112")],
    },
    Case {
        name: "DEL takes the increments that it saw and leaves the others",
        before: &["INCRBY n 10"],
        a: &["DEL n"],
        b: &["INCRBY n 3"],
        then: &[("GET n", "3")],
    },
    Case {
        name: "DEL takes its own node's increments as well",
        before: &["INCRBY n 10"],
        a: &["INCRBY n 4", "DEL n"],
        b: &["DECRBY n 2"],
        then: &[("GET n", "-2"), ("TYPE n", "+string")],
    },
    Case {
        name: "SET shows with the increments that it had not seen",
        before: &["INCRBY n 10"],
        a: &["INCRBY n 3"],
        b: &["SET n 100"],
        then: &[("GET n", "103")],
    },
    Case {
        name: "SET's text shows where it is no number",
        before: &["INCRBY n 10"],
        a: &["INCR n"],
        b: &["SET n hello"],
        then: &[
            ("GET n", "hello"),
            ("INCR n", "-ERR value is not an integer or out of range"),
        ],
    },
    Case {
        name: "two DELs of one counter are one",
        before: &["INCRBY n 10"],
        a: &["DEL n"],
        b: &["DEL n"],
        then: &[("EXISTS n", ":0"), ("INCR n", ":1")],
    },
    Case {
        name: "PERSIST holds over a concurrent EXPIRE",
        before: &["SET x 1 EX 1000", "SET y 1 EX 1000"],
        a: &["EXPIRE x 2000", "PERSIST y"],
        b: &["PERSIST x", "EXPIRE y 2000"],
        then: &[("TTL x", ":-1"), ("TTL y", ":-1"), ("GET x", "1")],
    },
    Case {
        name: "of concurrent EXPIREs the longest holds",
        before: &["SET x 1", "SET y 1"],
        a: &["PEXPIREAT x 1800000000000", "PEXPIREAT y 1900000000000"],
        b: &["PEXPIREAT x 1900000000000", "PEXPIREAT y 1800000000000"],
        then: &[
            ("PEXPIRETIME x", ":1900000000000"),
            ("PEXPIRETIME y", ":1900000000000"),
        ],
    },
    Case {
        name: "EXPIRE keeps the stamp: a concurrent SET shows over it",
        before: &["SET x 0"],
        a: &["SET x 1"],
        b: &["EXPIRE x 1000"],
        then: &[("GET x", "1"), ("TTL x", ":-1")],
    },
    Case {
        name: "a SET stays at the source of a concurrent RENAME",
        before: &["SET x old"],
        a: &["RENAME x y"],
        b: &["SET x new"],
        then: &[("GET x", "new"), ("GET y", "old")],
    },
    Case {
        name: "increments stay at the source of a concurrent RENAME",
        before: &["INCRBY x 10"],
        a: &["RENAME x y"],
        b: &["INCRBY x 3"],
        then: &[("GET x", "3"), ("GET y", "10")],
    },
    Case {
        name: "APPENDs write the whole value",
        before: &["SET x a"],
        a: &["APPEND x b"],
        b: &["APPEND x c"],
        then: &[("GET x", "ac")],
    },
    Case {
        name: "a string and a document by concurrency: the later shows, DEL removes both",
        before: &[],
        a: &["LPUT x  {\"a\":1}"],
        b: &["SET x 1"],
        then: &[
            ("TYPE x", "+string"),
            (
                "LGET x",
                "-WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
            ("GETDEL x", "1"),
            ("EXISTS x", ":0"),
        ],
    },
    Case {
        name: "a string and a document by concurrency: the later document shows",
        before: &[],
        a: &["SET x 1"],
        b: &["LPUT x  {\"a\":1}"],
        then: &[
            ("TYPE x", "+document"),
            (
                "GET x",
                "-WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
            ("DEL x", ":1"),
            ("TYPE x", "+none"),
        ],
    },
    Case {
        name: "FLUSHALL removes what it saw",
        before: &["SET x 1", "SET y 1", "INCRBY n 5"],
        a: &["FLUSHALL"],
        b: &["SET y 2", "INCR n", "SET z 3"],
        then: &[
            ("GET x", "nil"),
            ("GET y", "2"),
            ("GET n", "1"),
            ("GET z", "3"),
            ("DBSIZE", ":3"),
        ],
    },
    Case {
        name: "SETNX may succeed on both sides; the later shows",
        before: &[],
        a: &["SETNX lock a"],
        b: &["SETNX lock b"],
        then: &[("GET lock", "b")],
    },
    Case {
        name: "documents merge field by field, and increments inside add up",
        before: &["LPUT d  {\"n\":1,\"x\":0}"],
        a: &["LINCRBY d /n 2", "LPUT d  {\"a\":1}"],
        b: &["LINCRBY d /n 3", "LPUT d  {\"b\":2}"],
        then: &[("LVIEW d", r#"{"a":1,"b":2,"n":6,"x":0}"#)],
    },
    Case {
        name: "DEL of a document leaves what it had not seen",
        before: &["LPUT d  {\"milk\":1}"],
        a: &["DEL d"],
        b: &["LPUT d  {\"tea\":1}"],
        then: &[("LVIEW d", r#"{"tea":1}"#)],
    },
];

fn play(case: &Case, looker: usize) {
    let mut world = World::new(2);
    for line in case.before {
        let reply = world.shown(0, line);
        assert!(!reply.starts_with('-'), "{}: {line}: {reply}", case.name);
    }
    world.pass(5_000);
    world.cut();
    for (at, lines) in [(0, case.a), (1, case.b)] {
        world.pass(20);
        for line in lines {
            let reply = world.shown(at, line);
            assert!(!reply.starts_with('-'), "{}: {line}: {reply}", case.name);
        }
    }
    world.heal();
    world.cut();
    for (line, wanted) in case.then {
        assert_eq!(
            &world.shown(looker, line),
            wanted,
            "{}: {line} on node {looker}",
            case.name
        );
    }
}

#[test]
fn concurrent_commands_lead_to_the_same_on_both_nodes() {
    for case in CASES {
        play(case, 0);
        play(case, 1);
    }
}

#[test]
fn a_write_to_an_expired_key_inherits_nothing() {
    let world = World::new(1);
    assert_eq!(world.line(0, "SET n 5 PX 100"), "+OK\r\n");
    assert_eq!(world.line(0, "INCRBY n 2"), ":7\r\n");
    world.pass(101);
    assert_eq!(world.line(0, "GET n"), "$-1\r\n");
    assert_eq!(world.line(0, "TTL n"), ":-2\r\n");
    assert_eq!(world.line(0, "INCR n"), ":1\r\n");
    assert_eq!(world.line(0, "TTL n"), ":-1\r\n");
}

#[test]
fn an_expired_document_leaves_no_dot_that_is_signed_twice() {
    let world = World::new(1);
    let context = |reply: &str| {
        let text = reply.split("\r\n").nth(1).expect("a bulk string");
        text.to_owned()
    };
    let old = context(&world.line(0, r#"LPUT d  {"a":1,"b":2}"#));
    assert_eq!(world.line(0, "PEXPIRE d 100"), ":1\r\n");
    world.pass(101);
    world.line(0, r#"LPUT d  {"c":3,"e":5}"#);
    // One who had seen the old document, and drops all of it, has not seen the new one.
    world.line(0, &format!("LPUT d {old} {{\"f\":1}}"));
    let shown = world.shown(0, "LVIEW d");
    assert_eq!(shown, r#"{"c":3,"e":5,"f":1}"#);
}

#[test]
fn a_context_ahead_of_the_node_is_fetched_first() {
    let mut world = World::new(2);
    world.cut();
    let reply = world.line(0, r#"LPUT d  {"milk":1,"tea":1}"#);
    let context = reply
        .split("\r\n")
        .nth(1)
        .expect("a bulk string")
        .to_owned();
    // The other node has not got it and reaches nobody: it takes the write all the same.
    world.line(1, &format!("LPUT d {context} {{\"milk\":1,\"eggs\":6}}"));
    assert_eq!(world.shown(1, "LVIEW d"), r#"{"eggs":6,"milk":1}"#);
    world.heal();
    assert_eq!(world.shown(0, "LVIEW d"), r#"{"eggs":6,"milk":1}"#);
}
