//! Whatever a client or a node sends to a command: an answer, and no panic.

mod harness;

use bytes::Bytes;
use harness::{Client, World};
use larder_cluster::id::PartitionId;
use larder_cluster::request::{Access, Request};
use larder_commands::internal::settle_request;
use larder_commands::reply::Protocol;
use larder_commands::table;
use proptest::prelude::*;

/// Words that mean something to some command, and some that mean nothing to any.
fn word() -> impl Strategy<Value = Vec<u8>> {
    const KNOWN: &[&str] = &[
        "a",
        "b",
        "{a}b",
        "",
        "0",
        "1",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "1.5",
        "inf",
        "nan",
        "EX",
        "PX",
        "EXAT",
        "PXAT",
        "NX",
        "XX",
        "GT",
        "LT",
        "GET",
        "KEEPTTL",
        "PERSIST",
        "LEN",
        "IDX",
        "MINMATCHLEN",
        "WITHMATCHLEN",
        "DB",
        "REPLACE",
        "PATH",
        "R",
        "W",
        "SIBLINGS",
        "STATE",
        "SINCE",
        "AT",
        "AS",
        "RETURN",
        "MATCH",
        "COUNT",
        "TYPE",
        "SAMPLES",
        "00000000000000000000000000000001",
        "{}",
        "{\"a\":1}",
        "{\"a\":{\"b\":[1,2]}}",
        "[1]",
        "/a",
        "/a/b",
        "null",
        "*",
        "FILTERBY",
        "ACLCAT",
        "PATTERN",
        "string",
        "get",
        "mset",
        "{\"v\":1,\"leaves\":[],\"context\":{}}",
    ];
    prop_oneof![
        4 => proptest::sample::select(KNOWN).prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_arguments_are_answered(seeds in proptest::collection::vec(
        proptest::collection::vec(word(), 0..8), 24))
    {
        let world = World::new(1);
        for found in table::rows() {
            let name: Vec<&[u8]> = found.command.name.split('|').map(str::as_bytes).collect();
            let is_ours = matches!(found.command.scope, table::Scope::Keys(_))
                || ["scan", "keys", "dbsize", "flushdb", "flushall"].contains(&found.command.name)
                || found.command.name.starts_with("command");
            if !is_ours {
                continue;
            }
            for (at, seed) in seeds.iter().enumerate() {
                let words = name.iter().copied().chain(seed.iter().map(Vec::as_slice));
                let words: Vec<&[u8]> = words.collect();
                let protocol = if at % 2 == 0 { Protocol::Resp2 } else { Protocol::Resp3 };
                let client = Client { database: 0, protocol, scattered: at % 3 == 0 };
                let reply = world.ask_as(0, &words, client);
                prop_assert!(reply.ends_with(b"\r\n"), "{words:?}");
            }
        }
    }

    #[test]
    fn any_bytes_between_nodes_are_answered(
        name in proptest::sample::select(
            ["scan", "count", "pick", "flush", "dump", "load", "drop", "nosuch", ""].as_slice()),
        args in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..3),
        database in 0u8..20,
        partition in 0u16..8,
    ) {
        let world = World::new(1);
        world.line(0, "SET a 1");
        let mut words = vec![Bytes::from(format!("\0{name}").into_bytes())];
        words.extend(args.into_iter().map(Bytes::from));
        let request = Request::new(database, words, vec![PartitionId(partition)], Access::Write);
        prop_assert!(!world.submit(0, request).is_empty());
    }
}

#[test]
fn what_changes_nothing_waits_for_no_disk() {
    let world = World::new(2);
    let reply = world.line(0, "LMERGE a a a W 1");
    assert!(reply.starts_with("-ERR"), "{reply}");
    world.line(0, "MSET a 1 b 1 c 1 d 1 e 1 f 1");
    world.pass(1_000);
    for partition in 0..8 {
        let reply = world.submit(0, settle_request(PartitionId(partition), 2));
        assert_eq!(reply, b"\0", "everything was on both disks before");
    }
}

#[test]
fn a_request_that_does_not_name_its_partition_is_refused() {
    let world = World::new(1);
    for partition in 0..8 {
        let words = [&b"SET"[..], b"a", b"1"].map(Bytes::from_static).to_vec();
        let request = Request::new(0, words, vec![PartitionId(partition)], Access::Write);
        let reply = world.submit(0, request);
        assert!(
            reply == b"+OK\r\n" || reply.starts_with(b"-ERR the request"),
            "{partition}"
        );
    }
}
