//! Three nodes, three replicas: every node has everything, and takes everything.

use std::time::{Duration, Instant};

use larder_tests::failure::ensure;
use larder_tests::wait::{PATIENCE, until};
use larder_tests::{Checked, Cluster, Plan, load};

/// Steps: node, command, reply.
type Steps = &'static [(usize, &'static str, &'static str)];

fn run(cluster: &Cluster, steps: Steps) -> Checked {
    steps
        .iter()
        .try_for_each(|(node, line, wanted)| cluster.node(*node).says(line, wanted))
}

#[test]
fn any_node_takes_a_write_and_any_other_has_it_at_once() -> Checked {
    run(
        &Cluster::of(3)?,
        &[
            (0, "SET greeting hello", "+OK"),
            (1, "GET greeting", "hello"),
            (2, "APPEND greeting ' you'", ":9"),
            (0, "GET greeting", "hello you"),
            (1, "INCRBY visitors 40", ":40"),
            (2, "INCR visitors", ":41"),
            (0, "DECRBY visitors 1", ":40"),
            (2, "EXISTS greeting visitors nobody", ":2"),
            (1, "DEL greeting nobody", ":1"),
            (0, "GET greeting", "nil"),
            (2, "SET greeting again EX 1000", "+OK"),
            (0, "PERSIST greeting", ":1"),
            (1, "TTL greeting", ":-1"),
            (2, "MSET a 1 b 2 c 3", "+OK"),
            (0, "MGET a b c d", "[1, 2, 3, nil]"),
            (1, "DBSIZE", ":5"),
        ],
    )
}

#[test]
fn a_document_read_at_one_node_is_written_back_at_another() -> Checked {
    let cluster = Cluster::of(3)?;
    let put = r#"LPUT list '' '{"name":"Party","items":{"milk":{"qty":2},"bread":{"qty":1}}}'"#;
    let first = cluster.node(0).ask(put)?;
    let read = cluster.node(1).ask("LGET list PATH /items")?;
    let items = r#"[{"bread":{"qty":1},"milk":{"qty":2}}, "#;
    ensure(read.starts_with(items), || {
        format!("expected {items}, saw {read}")
    })?;
    // Another writer adds something that the first one has not seen.
    cluster.node(1).ask(&format!(
        r#"LPATCH list {first} '{{"items":{{"eggs":{{"qty":12}}}}}}'"#
    ))?;
    let back = format!(r#"LPUT list {first} '{{"name":"Party","items":{{"milk":{{"qty":3}}}}}}'"#);
    let reply = cluster.node(2).ask(&back)?;
    ensure(!reply.starts_with('-'), || reply.clone())?;
    for (path, wanted) in [
        ("/items/milk/qty", "3"),
        ("/items/eggs/qty", "12"),
        ("/items/bread", "nil"),
        ("/name", "\"Party\""),
    ] {
        let seen = cluster.node(0).ask(&format!("LGET list PATH {path}"))?;
        ensure(seen.starts_with(&format!("[{wanted}, ")), || {
            format!("{path}: expected {wanted}, saw {seen}")
        })?;
    }
    Ok(())
}

#[test]
fn both_sides_of_a_cut_take_writes_and_agree_once_it_heals() -> Checked {
    let cluster = Cluster::of(3)?;
    run(
        &cluster,
        &[
            (
                0,
                "MSET both 0 here 0 there 0 counter 100 gone 1 fought 1",
                "+OK",
            ),
            (0, "SET {text}a x", "+OK"),
        ],
    )?;
    cluster.level()?;
    cluster.cut(&[2])?;
    run(
        &cluster,
        &[
            (0, "SET here a", "+OK"),
            (1, "INCRBY counter 7", ":107"),
            (2, "INCRBY counter 30", ":130"),
            (2, "SET there b", "+OK"),
            (0, "DEL gone", ":1"),
            (2, "GET gone", "1"),
            (0, "DEL fought", ":1"),
            (2, "SET fought 2", "+OK"),
            (0, "SET both first", "+OK"),
            (2, "SET both second", "+OK"),
            (1, "GET there", "0"),
            (2, "GET here", "0"),
        ],
    )?;
    cluster.heal(&[2])?;
    for (line, wanted) in [
        ("GET counter", "137"),
        ("GET here", "a"),
        ("GET there", "b"),
        ("GET gone", "nil"),
        ("GET fought", "2"),
        ("GET both", "second"),
    ] {
        cluster.all_come_to_say(line, wanted)?;
    }
    cluster.level()?;
    for node in 0..3 {
        cluster.alone(node, |client| {
            client.says(
                "MGET counter here there gone both",
                "[137, a, b, nil, second]",
            )
        })?;
    }
    Ok(())
}

#[test]
fn edits_of_one_document_on_both_sides_of_a_cut_all_stay() -> Checked {
    let cluster = Cluster::of(3)?;
    let list = r#"{"items":{"milk":{"qty":2},"bread":{"qty":1},"eggs":{"qty":6}}}"#;
    let seen = cluster.node(0).ask(&format!("LPUT list '' '{list}'"))?;
    cluster.level()?;
    cluster.cut(&[2])?;
    // Here bread goes and milk becomes five; there eggs go and somebody wants three loaves.
    let here = r#"{"items":{"milk":{"qty":5},"eggs":{"qty":6},"tea":{"qty":1}}}"#;
    let there = r#"{"items":{"milk":{"qty":2},"bread":{"qty":3},"jam":{"qty":1}}}"#;
    for (node, json) in [(0, here), (2, there)] {
        let reply = cluster
            .node(node)
            .ask(&format!("LPUT list {seen} '{json}'"))?;
        ensure(!reply.starts_with('-'), || reply.clone())?;
    }
    cluster.heal(&[2])?;
    cluster.level()?;
    let merged = cluster.agree("LGET list")?;
    for part in [
        r#""milk":{"qty":5}"#,
        r#""bread":{"qty":3}"#,
        r#""tea":{"qty":1}"#,
        r#""jam":{"qty":1}"#,
    ] {
        ensure(merged.contains(part), || {
            format!("{part} is missing in {merged}")
        })?;
    }
    ensure(!merged.contains("eggs"), || {
        format!("eggs came back in {merged}")
    })
}

#[test]
fn a_killed_node_catches_up_with_what_it_missed() -> Checked {
    let mut cluster = Cluster::of(3)?;
    load::set(&mut cluster.client(0)?, "old", 0..500)?;
    cluster.level()?;
    cluster.node_mut(2).kill()?;
    // What was on its way in that instant may be answered by -TIMEOUT: nobody knows its outcome.
    for node in [0, 1] {
        until("the others miss the node", PATIENCE, || {
            let info = cluster.node(node).ask("INFO larder_replication")?;
            ensure(info.matches("link=up").count() == 1, || info)
        })?;
    }
    load::set(&mut cluster.client(0)?, "new", 0..1000)?;
    load::delete(&mut cluster.client(1)?, "old", 0..250)?;
    cluster.node_mut(2).restart()?;
    cluster.settle()?;
    cluster.level()?;
    cluster.alone(2, |client| {
        load::are_set(client, "new", 0..1000)?;
        load::are_gone(client, "old", 0..250)?;
        load::are_set(client, "old", 250..500)
    })
}

#[test]
fn what_was_answered_survives_the_kill_of_every_node() -> Checked {
    let mut cluster = Cluster::of(3)?;
    for node in 0..3 {
        load::set(&mut cluster.client(node)?, &format!("by{node}"), 0..500)?;
    }
    run(
        &cluster,
        &[(1, "INCRBY counter 41", ":41"), (2, "INCR counter", ":42")],
    )?;
    for node in 0..3 {
        cluster.node_mut(node).kill()?;
    }
    for node in 0..3 {
        cluster.node_mut(node).restart()?;
    }
    cluster.settle()?;
    cluster.all_come_to_say("GET counter", "42")?;
    for node in 0..3 {
        load::are_set(
            &mut cluster.client(node)?,
            &format!("by{}", (node + 1) % 3),
            0..500,
        )?;
    }
    Ok(())
}

#[test]
fn nodes_that_stop_in_order_start_again_with_everything() -> Checked {
    let mut cluster = Cluster::of(3)?;
    load::set(&mut cluster.client(0)?, "k", 0..500)?;
    for node in 0..3 {
        let status = cluster.node_mut(node).stop()?;
        ensure(status.success(), || format!("stopping ended with {status}"))?;
    }
    for node in 0..3 {
        cluster.node_mut(node).restart()?;
    }
    cluster.settle()?;
    load::are_set(&mut cluster.client(2)?, "k", 0..500)
}

/// Requests that are under way to a node when it hangs have no known outcome, and their clients are
/// told so. Soon nobody asks it any more.
#[test]
fn a_node_that_hangs_holds_up_others_only_until_it_is_noticed() -> Checked {
    let patience = Duration::from_millis(500);
    let plan = Plan::of(3).with("request-timeout-ms", "500");
    let cluster = plan.start()?;
    cluster.node(2).pause()?;
    let mut client = cluster.client(0)?;
    until("a hundred writes in a row are answered", PATIENCE, || {
        (0..100).try_for_each(|number| {
            let start = Instant::now();
            let seen = client.ask(&format!("SET k:{number} v"))?;
            let took = start.elapsed();
            ensure(took < 10 * patience, || format!("a write took {took:?}"))?;
            ensure(seen == "+OK", || seen.clone())
        })
    })?;
    cluster.node(2).resume()?;
    cluster.settle()?;
    cluster.level()?;
    cluster.alone(2, |client| client.says("GET k:99", "v"))
}

#[test]
fn a_slow_link_delays_replication_and_loses_nothing() -> Checked {
    let cluster = Cluster::of(3)?;
    cluster.set_link(0, 2, "delay 100")?;
    cluster.set_link(1, 2, "delay 100")?;
    load::set(&mut cluster.client(0)?, "k", 0..200)?;
    cluster.level()?;
    cluster.set_link(0, 2, "heal")?;
    cluster.set_link(1, 2, "heal")?;
    cluster.alone(2, |client| load::are_set(client, "k", 0..200))
}

#[test]
fn a_write_that_misses_its_replicas_says_so_and_stands() -> Checked {
    let mut cluster = Plan::of(3).with("request-timeout-ms", "500").start()?;
    let reply = cluster.node(0).ask(r#"LPUT doc '' '{"n":1}' W 3"#)?;
    ensure(!reply.starts_with('-'), || {
        format!("W 3 of three nodes: {reply}")
    })?;
    cluster.node_mut(2).kill()?;
    let reply = cluster
        .node(0)
        .ask(&format!(r#"LPUT doc {reply} '{{"n":2}}' W 3"#))?;
    ensure(reply.starts_with("-PARTIAL written on 2 of 3"), || {
        format!("W 3 of two: {reply}")
    })?;
    let read = cluster.node(1).ask("LGET doc")?;
    ensure(read.starts_with(r#"[{"n":2}, "#), || {
        format!("expected n 2, saw {read}")
    })
}

#[test]
fn wait_counts_the_replicas_that_have_a_write_on_disk() -> Checked {
    let cluster = Cluster::of(3)?;
    let mut client = cluster.client(0)?;
    client.says("SET k v", "+OK")?;
    client.says("WAIT 2 20000", ":2")?;
    cluster.cut(&[0])?;
    client.says("SET k w", "+OK")?;
    client.says("WAIT 2 100", ":0")
}
