//! Commands that speak for all keys of the cluster, and those whose keys live on several nodes.

use std::collections::BTreeSet;

use larder_tests::failure::ensure;
use larder_tests::value::{parts, text};
use larder_tests::wait::{PATIENCE, until};
use larder_tests::{Checked, Client, Cluster};

/// All keys that a walk with these options returns, and how often it did so.
fn walk(client: &mut Client, options: &str) -> Checked<Vec<String>> {
    let (mut keys, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let reply = client.run(
            &format!("SCAN {cursor} {options}")
                .split_whitespace()
                .collect::<Vec<_>>(),
        )?;
        let [next, page] = &parts(&reply)[..] else {
            return Err(larder_tests::Failure::new(text(&reply)));
        };
        keys.extend(parts(page).iter().map(text));
        cursor = text(next);
        if cursor == "0" {
            return Ok(keys);
        }
    }
}

fn fill(client: &mut Client, count: usize) -> Checked {
    for key in 0..count {
        client.send_words(&["SET", &format!("key:{key}"), "v"])?;
    }
    for _ in 0..count {
        client.reply()?;
    }
    Ok(())
}

#[test]
fn a_walk_returns_every_key_once_from_any_node() -> Checked {
    let cluster = Cluster::of(3)?;
    fill(&mut cluster.client(0)?, 500)?;
    cluster.client(1)?.begins("LPUT doc '' '{\"a\":1}'", "")?;
    for node in 0..3 {
        let mut client = cluster.client(node)?;
        for options in [
            "",
            "COUNT 1",
            "COUNT 97",
            "COUNT 100000",
            "MATCH key:* COUNT 7",
        ] {
            let mut keys = walk(&mut client, options)?;
            let all = keys.len();
            keys.sort();
            keys.dedup();
            keys.retain(|key| key.starts_with("key:"));
            ensure(keys.len() == 500 && all - keys.len() <= 1, || {
                format!("{options}: {all} keys, {} of them apart", keys.len())
            })?;
        }
        let some = walk(&mut client, "MATCH key:1?? TYPE string")?;
        ensure(some.len() == 100, || format!("{} keys", some.len()))?;
        let none = walk(&mut client, "TYPE list")?;
        ensure(none.is_empty(), || format!("{none:?}"))?;
        client.says("DBSIZE", ":501")?;
        let found = parts(&client.run(&["KEYS", "key:2*"])?).len();
        ensure(found == 111, || format!("{found} keys"))?;
        client.begins("RANDOMKEY", "")?;
    }
    Ok(())
}

/// Keys that are there all the while are returned, whatever others do meanwhile.
#[test]
fn a_walk_misses_no_key_that_stays() -> Checked {
    let cluster = Cluster::of(3)?;
    let mut client = cluster.client(0)?;
    fill(&mut client, 300)?;
    let mut writer = cluster.client(1)?;
    let (mut keys, mut cursor, mut round) = (BTreeSet::new(), "0".to_owned(), 0);
    loop {
        let reply = client.run(&["SCAN", &cursor, "COUNT", "5"])?;
        let [next, page] = &parts(&reply)[..] else {
            return Err(larder_tests::Failure::new(text(&reply)));
        };
        keys.extend(parts(page).iter().map(text));
        writer.says(&format!("SET other:{round} v"), "+OK")?;
        if round >= 10 {
            writer.says(&format!("DEL other:{}", round - 10), ":1")?;
        }
        round += 1;
        cursor = text(next);
        if cursor == "0" {
            break;
        }
    }
    let stayed = keys.iter().filter(|key| key.starts_with("key:")).count();
    ensure(stayed == 300, || format!("{stayed} of 300 keys"))
}

#[test]
fn flushing_reaches_every_node_and_one_database_or_all() -> Checked {
    let cluster = Cluster::of(3)?;
    let mut client = cluster.client(0)?;
    fill(&mut client, 100)?;
    client.says("SELECT 3", "+OK")?;
    client.says("SET there 1", "+OK")?;
    client.says("DBSIZE", ":1")?;
    client.says("FLUSHDB ASYNC", "+OK")?;
    client.says("DBSIZE", ":0")?;
    client.says("FLUSHDB SOON", "-ERR syntax error")?;
    cluster.node(2).says("DBSIZE", ":100")?;
    client.says("SET there 2", "+OK")?;
    let mut other = cluster.client(2)?;
    other.says("FLUSHALL", "+OK")?;
    other.says("RANDOMKEY", "nil")?;
    for node in 0..3 {
        cluster.node(node).says("DBSIZE", ":0")?;
    }
    client.says("GET there", "nil")
}

/// With more nodes than replicas, losing more than the replicas makes some keys unknown.
#[test]
fn what_speaks_for_all_keys_is_an_error_when_some_are_out_of_reach() -> Checked {
    let mut cluster = Cluster::of(5)?;
    cluster.settle()?;
    fill(&mut cluster.client(0)?, 200)?;
    cluster.level()?;
    // Which three nodes share a partition depends on where their tokens fell.
    let explained = cluster.node(0).ask("LEXPLAIN key:0")?;
    let (owners, others): (Vec<usize>, Vec<usize>) =
        (0..5).partition(|node| explained.contains(cluster.node(*node).id()));
    ensure(owners.len() == 3, || explained.clone())?;
    for node in owners {
        cluster.node_mut(node).kill()?;
    }
    let reached = others.first().copied().unwrap_or_default();
    let mut client = cluster.client(reached)?;
    until("the lost nodes to be noticed", PATIENCE, || {
        for line in ["DBSIZE", "KEYS *", "SCAN 0", "RANDOMKEY", "FLUSHALL"] {
            let seen = client.ask(line)?;
            ensure(
                seen.starts_with("-NOREPLICA ") && seen.contains("partitions"),
                || format!("{line}: {seen}"),
            )?;
        }
        Ok(())
    })?;
    client.says("SET new 1", "+OK")
}

#[test]
fn keys_on_several_nodes_are_served_together() -> Checked {
    let cluster = Cluster::of(3)?;
    let steps: &[(usize, &str, &str)] = &[
        (0, "MSET a 1 b 2 c 3 d 4 e 5", "+OK"),
        (1, "MGET a b c d e nobody", "[1, 2, 3, 4, 5, nil]"),
        (2, "EXISTS a b c d e a", ":6"),
        (0, "MSETNX f 1 a 2", ":0"),
        (1, "MSETNX f 1 g 2 h 3", ":1"),
        (2, "UNLINK f g h nobody", ":3"),
        (0, "TOUCH a b f", ":2"),
        (1, "RENAME a moved", "+OK"),
        (2, "GET moved", "1"),
        (0, "RENAMENX b c", ":0"),
        (1, "COPY b c", ":0"),
        (2, "COPY b c REPLACE", ":1"),
        (0, "MGET b c", "[2, 2]"),
        (1, "RENAME nobody x", "-ERR no such key"),
        (2, "LCS d e LEN", ":0"),
        (0, "DEL b c d e moved", ":5"),
        (1, "DBSIZE", ":0"),
    ];
    steps
        .iter()
        .try_for_each(|(node, line, wanted)| cluster.node(*node).says(line, wanted))
}
