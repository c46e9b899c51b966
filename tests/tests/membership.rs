//! Nodes come and go while there are data and writes.

use std::fs;

use larder_tests::client::Client;
use larder_tests::failure::ensure;
use larder_tests::node::Node;
use larder_tests::value::{field, parts, text};
use larder_tests::wait::{PATIENCE, until};
use larder_tests::{Checked, Cluster, Plan, load};

/// Members that a node knows, with their states and copies.
fn members(client: &mut Client) -> Checked<Vec<(String, String, u64)>> {
    let reply = client.run(&["CLUSTER", "RING"])?;
    let word = |member: &redis::Value, name: &str| {
        field(member, name).as_ref().map(text).unwrap_or_default()
    };
    let row = |member: &redis::Value| {
        let copies = word(member, "copies")
            .trim_start_matches(':')
            .parse()
            .unwrap_or_default();
        (word(member, "id"), word(member, "state"), copies)
    };
    Ok(parts(&reply).iter().map(row).collect())
}

#[test]
fn nodes_that_join_take_their_share_while_writes_go_on() -> Checked {
    let mut cluster = Cluster::of(3)?;
    load::set(&mut cluster.client(0)?, "before", 0..3000)?;
    for joined in [3, 4] {
        cluster.add()?;
        load::set(
            &mut cluster.client(joined - 1)?,
            &format!("while{joined}"),
            0..500,
        )?;
        cluster.settle()?;
    }
    cluster.level()?;
    for (id, state, copies) in members(&mut cluster.client(4)?)? {
        // Three copies of 64 partitions on five nodes.
        ensure(state == "up" && (32..=45).contains(&copies), || {
            format!("{id} is {state} and holds {copies} of 64 partitions")
        })?;
    }
    for node in 0..5 {
        let mut client = cluster.client(node)?;
        load::are_set(&mut client, "before", 0..3000)?;
        load::are_set(&mut client, "while3", 0..500)?;
        load::are_set(&mut client, "while4", 0..500)?;
    }
    Ok(())
}

#[test]
fn a_node_that_leaves_hands_over_what_only_it_and_lost_nodes_had() -> Checked {
    let mut cluster = Cluster::of(4)?;
    load::set(&mut cluster.client(3)?, "k", 0..2000)?;
    let leaving = cluster.node(3).id().to_owned();
    cluster
        .node(0)
        .says(&format!("CLUSTER LEAVE {leaving}"), "+OK")?;
    until("the node has left", PATIENCE, || {
        let members = members(&mut cluster.client(0)?)?;
        let there = members.iter().find(|(id, ..)| *id == leaving);
        ensure(there.is_none_or(|(_, state, _)| state == "left"), || {
            format!("it is {there:?}")
        })
    })?;
    cluster.nodes.truncate(3);
    cluster.level()?;
    for node in 0..3 {
        cluster.alone(node, |client| load::are_set(client, "k", 0..2000))?;
    }
    Ok(())
}

#[test]
fn a_node_that_lost_its_disk_is_replaced_by_a_new_one() -> Checked {
    let mut cluster = Cluster::of(3)?;
    load::set(&mut cluster.client(0)?, "k", 0..2000)?;
    cluster.level()?;
    let lost = cluster.node(2).id().to_owned();
    cluster.node_mut(2).kill()?;
    fs::remove_dir_all(cluster.node(2).directory())?;
    cluster.nodes.truncate(2);
    let new = cluster.add()?.id().to_owned();
    until("a node takes the place of the lost one", PATIENCE, || {
        cluster
            .node(0)
            .says(&format!("CLUSTER REPLACE {lost} {new}"), "+OK")
    })?;
    until("the lost node is gone", PATIENCE, || {
        let members = members(&mut cluster.client(1)?)?;
        let is_there = members
            .iter()
            .any(|(id, state, _)| *id == lost && state != "left");
        ensure(!is_there, || format!("{members:?}"))
    })?;
    cluster.level()?;
    cluster.alone(2, |client| load::are_set(client, "k", 0..2000))
}

#[test]
fn a_node_that_is_down_may_be_forgotten_and_one_in_reach_may_not() -> Checked {
    let mut cluster = Cluster::of(4)?;
    load::set(&mut cluster.client(0)?, "k", 0..1000)?;
    cluster.level()?;
    let id = cluster.node(3).id().to_owned();
    let refusal = cluster.node(0).ask(&format!("CLUSTER FORGET {id}"))?;
    ensure(refusal.starts_with("-ERR node"), || refusal.clone())?;
    cluster.node_mut(3).kill()?;
    until("the node may be forgotten", PATIENCE, || {
        cluster.node(0).says(&format!("CLUSTER FORGET {id}"), "+OK")
    })?;
    cluster.nodes.truncate(3);
    cluster.level()?;
    for node in 0..3 {
        cluster.alone(node, |client| load::are_set(client, "k", 0..1000))?;
    }
    Ok(())
}

#[test]
fn joins_on_both_sides_of_a_cut_make_one_cluster() -> Checked {
    let mut cluster = Cluster::of(3)?;
    load::set(&mut cluster.client(0)?, "k", 0..500)?;
    cluster.level()?;
    cluster.cut(&[2])?;
    let mut left = cluster.plan_for_another();
    left.join = vec![cluster.node(0).peer_address()];
    left.name = "left".to_owned();
    let mut right = cluster.plan_for_another();
    right.join = vec![cluster.node(2).peer_address()];
    right.name = "right".to_owned();
    cluster.nodes.push(Node::start(left)?);
    cluster.nodes.push(Node::start(right)?);
    load::set(&mut cluster.client(3)?, "left", 0..200)?;
    load::set(&mut cluster.client(4)?, "right", 0..200)?;
    // Only these were cut; the new nodes may not have heard of each other yet.
    for near in [0, 1] {
        cluster.set_link(near, 2, "heal")?;
    }
    cluster.settle()?;
    cluster.level()?;
    for node in 0..5 {
        let mut client = cluster.client(node)?;
        load::are_set(&mut client, "k", 0..500)?;
        load::are_set(&mut client, "left", 0..200)?;
        load::are_set(&mut client, "right", 0..200)?;
    }
    Ok(())
}

#[test]
fn a_rolling_restart_is_not_noticed_by_clients_of_other_nodes() -> Checked {
    let mut cluster = Cluster::of(3)?;
    for node in 0..3 {
        cluster.node_mut(node).stop()?;
        load::set(
            &mut cluster.client((node + 1) % 3)?,
            &format!("k{node}"),
            0..300,
        )?;
        cluster.node_mut(node).restart()?;
        cluster.settle()?;
    }
    cluster.level()?;
    for node in 0..3 {
        cluster.alone(node, |client| {
            (0..3).try_for_each(|round| load::are_set(client, &format!("k{round}"), 0..300))
        })?;
    }
    Ok(())
}

/// What CLUSTER LAG of a node says under a name.
fn lag(cluster: &Cluster, node: usize, name: &str) -> Checked<String> {
    let reply = cluster.client(node)?.run(&["CLUSTER", "LAG"])?;
    Ok(field(&reply, name).as_ref().map(text).unwrap_or_default())
}

/// A new owner that has fetched nothing yet lacks no change that anybody could name.
#[test]
fn partitions_that_a_new_node_has_yet_to_fetch_count_as_lag() -> Checked {
    let mut cluster = Plan::of(2).with("handoff-rate", "1").start()?;
    load::set(&mut cluster.client(0)?, "k", 0..1000)?;
    cluster.level()?;
    cluster.add()?;
    until("the newcomer is known to lack partitions", PATIENCE, || {
        for (node, name) in [
            (0, "whole-partitions"),
            (0, "partitions"),
            (2, "missing-here"),
        ] {
            let seen = lag(&cluster, node, name)?;
            ensure(!seen.is_empty() && seen != ":0", || {
                format!("{name} is {seen}")
            })?;
        }
        Ok(())
    })?;
    for node in 0..2 {
        cluster
            .node(node)
            .says("CONFIG SET handoff-rate 0", "+OK")?;
    }
    cluster.level()?;
    let seen = lag(&cluster, 0, "whole-partitions")?;
    ensure(seen == ":0", || {
        format!("at rest whole-partitions is {seen}")
    })
}
