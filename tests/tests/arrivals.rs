//! A running node that is alone joins a running cluster, and nothing is lost on either side.

use larder_tests::failure::ensure;
use larder_tests::node::{Node, NodePlan};
use larder_tests::value::{parts, text};
use larder_tests::wait::{PATIENCE, until};
use larder_tests::{Checked, Cluster, load};

/// The plan of a node of its own, with the cluster's secret and settings.
fn apart(cluster: &Cluster, name: &str) -> NodePlan {
    let mut plan = cluster.plan_for_another();
    plan.join.clear();
    plan.name = name.to_owned();
    plan
}

fn join(cluster: &Cluster) -> String {
    format!("CLUSTER JOIN {}", cluster.node(0).peer_address())
}

/// Writes what `side` has: keys of its own, keys of both sides, and one that it deletes.
fn write_side(node: &Node, side: &str, amount: usize) -> Checked {
    let mut client = node.client()?;
    load::set(&mut client, side, 0..1500)?;
    let add = |number| {
        let (key, amount) = (format!("count:{number}"), amount.to_string());
        vec!["INCRBY".to_owned(), key, amount]
    };
    load::each(&mut client, 0..200, add, |_| format!(":{amount}"))?;
    let put = |number| {
        let json = format!(r#"{{"items":{{"{side}":{{"qty":{number}}}}}}}"#);
        let words = ["LPUT", &format!("list:{number}"), "", &json];
        words.map(str::to_owned).to_vec()
    };
    for number in 0..50 {
        client.run(&put(number))?;
    }
    let set = |number| {
        let words = ["SET", &format!("both:{number}"), side];
        words.map(str::to_owned).to_vec()
    };
    load::each(&mut client, 0..200, set, |_| "+OK".to_owned())?;
    client.says(&format!("SET gone:{side} 1"), "+OK")?;
    client.says(&format!("DEL gone:{side}"), ":1")
}

/// Holds if a node gives what both sides wrote.
fn has_both(node: &Node) -> Checked {
    let mut client = node.client()?;
    load::are_set(&mut client, "theirs", 0..1500)?;
    load::are_set(&mut client, "ours", 0..1500)?;
    let count = |number| vec!["GET".to_owned(), format!("count:{number}")];
    load::each(&mut client, 0..200, count, |_| "42".to_owned())?;
    for number in 0..50 {
        let reply = client.run(&["LGET", &format!("list:{number}")])?;
        let json = parts(&reply).first().map(text).unwrap_or_default();
        let wanted =
            format!(r#"{{"items":{{"ours":{{"qty":{number}}},"theirs":{{"qty":{number}}}}}}}"#);
        ensure(json == wanted, || format!("{json} is not {wanted}"))?;
    }
    // Of two values of a string the later shows.
    let both = |number| vec!["GET".to_owned(), format!("both:{number}")];
    load::each(&mut client, 0..200, both, |_| "ours".to_owned())?;
    client.says("EXISTS gone:theirs gone:ours", ":0")
}

#[test]
fn a_node_with_data_joins_a_cluster_with_data_and_nothing_is_lost() -> Checked {
    let mut cluster = Cluster::of(3)?;
    let alone = Node::start(apart(&cluster, "alone"))?;
    write_side(cluster.node(1), "theirs", 2)?;
    write_side(&alone, "ours", 40)?;
    let mut client = alone.client()?;
    client.says(&join(&cluster), "+OK")?;
    client.says(
        &join(&cluster),
        "-ERR this node's cluster has other members; a node takes what it \
         holds to another cluster only when it is alone. Send CLUSTER JOIN to the node that is to \
         move, or let this one leave first",
    )?;
    load::set(&mut client, "during", 0..300)?;
    cluster.nodes.push(alone);
    cluster.settle()?;
    until("both sides are merged", PATIENCE, || {
        cluster.is_level()?;
        cluster.running().try_for_each(has_both)
    })?;
    for node in 0..4 {
        load::are_set(&mut cluster.client(node)?, "during", 0..300)?;
    }
    // What one of the nodes held alone is on others now.
    cluster.node_mut(3).kill()?;
    cluster.node(0).says("GET ours:7", "value 7")
}

#[test]
fn a_node_that_is_killed_right_after_it_has_joined_still_brings_its_data() -> Checked {
    let mut cluster = Cluster::of(3)?;
    let alone = Node::start(apart(&cluster, "alone"))?;
    load::set(&mut cluster.client(0)?, "theirs", 0..500)?;
    load::set(&mut alone.client()?, "ours", 0..500)?;
    alone.says(&join(&cluster), "+OK")?;
    cluster.nodes.push(alone);
    cluster.node_mut(3).kill()?;
    cluster.node_mut(3).restart()?;
    cluster.settle()?;
    cluster.level()?;
    for node in 0..4 {
        let mut client = cluster.client(node)?;
        load::are_set(&mut client, "theirs", 0..500)?;
        load::are_set(&mut client, "ours", 0..500)?;
    }
    Ok(())
}

#[test]
fn redis_words_lead_to_the_same_by_the_client_port() -> Checked {
    let mut cluster = Cluster::of(1)?;
    let alone = Node::start(apart(&cluster, "alone"))?;
    load::set(&mut alone.client()?, "ours", 0..100)?;
    let peer = cluster.node(0).peer_address();
    let (host, peer_port) = peer.split_once(':').unwrap_or_default();
    let port = cluster.node(0).port();
    alone.says(&format!("CLUSTER MEET {host} {port} {peer_port}"), "+OK")?;
    cluster.nodes.push(alone);
    cluster.settle()?;
    cluster.level()?;
    load::are_set(&mut cluster.client(0)?, "ours", 0..100)
}

#[test]
fn a_join_that_cannot_be_says_why_and_changes_nothing() -> Checked {
    let cluster = Cluster::of(2)?;
    let alone = Node::start(apart(&cluster, "alone"))?;
    let port = cluster.node(0).port();
    let own = alone.peer_address();
    let peer = cluster.node(0).peer_address();
    let mut client = alone.client()?;
    client.says("SET a 1", "+OK")?;
    for (line, wanted) in [
        (
            "CLUSTER JOIN nowhere".to_owned(),
            "-ERR Invalid node address specified: nowhere",
        ),
        (
            "CLUSTER JOIN :7".to_owned(),
            "-ERR Invalid node address specified: :7",
        ),
        (
            "CLUSTER JOIN 127.0.0.1:1".to_owned(),
            "-ERR cannot reach 127.0.0.1:1: ",
        ),
        (format!("CLUSTER JOIN {own}"), "-ERR the node at 127.0.0.1:"),
        (
            format!("CLUSTER JOIN 127.0.0.1:{port}"),
            "-ERR no node answers at 127.0.0.1:",
        ),
        (
            "CLUSTER MEET 127.0.0.1 x".to_owned(),
            "-ERR Invalid base port specified: x",
        ),
        (
            "CLUSTER MEET 127.0.0.1 7 0".to_owned(),
            "-ERR Invalid bus port specified: 0",
        ),
        (
            "CLUSTER MEET 127.0.0.1 65535".to_owned(),
            "-ERR Invalid node address specified: 127.0.0.1:65535",
        ),
        (
            "CLUSTER MEET 127.0.0.1 1 2 3".to_owned(),
            "-ERR wrong number of arguments for 'cluster|meet' command",
        ),
    ] {
        client.begins(&line, wanted)?;
    }
    let stranger = Cluster::of(1)?;
    let foreign = stranger.node(0).peer_address();
    let told = client.ask(&format!("CLUSTER JOIN {foreign}"))?;
    ensure(told.contains("the cluster secrets differ"), || told.clone())?;
    let mut other = apart(&cluster, "other");
    other.settings.retain(|(name, _)| name != "partitions");
    other
        .settings
        .push(("partitions".to_owned(), "32".to_owned()));
    let other = Node::start(other)?;
    other.client()?.begins(
        &format!("CLUSTER JOIN {peer}"),
        "-ERR this node's ring has 32 partitions and the cluster's has 64. ",
    )?;
    let mut member = cluster.client(1)?;
    member.begins(
        &format!("CLUSTER JOIN {own}"),
        "-ERR this node's cluster has other members",
    )?;
    client.says("GET a", "1")?;
    client.begins("CLUSTER MYID", alone.id())?;
    ensure(parts(&client.run(&["CLUSTER", "RING"])?).len() == 1, || {
        "it has company".to_owned()
    })
}
