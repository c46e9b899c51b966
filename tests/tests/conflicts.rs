//! Values that lost a conflict are found where they lost.

use larder_tests::failure::{Failure, ensure};
use larder_tests::value::{field, parts, text};
use larder_tests::wait::{PATIENCE, until};
use larder_tests::{Checked, Cluster};

/// What a node says to `line`: for each entry kind, key, path, loser and winner.
fn listed(cluster: &Cluster, node: usize, line: &str) -> Checked<Vec<String>> {
    let words: Vec<&str> = line.split(' ').collect();
    let reply = cluster.client(node)?.run(&words)?;
    parts(&reply)
        .iter()
        .map(|entry| {
            let word = |name: &str| {
                let value = field(entry, name);
                value.ok_or_else(|| Failure::new(format!("no {name} in {}", text(entry))))
            };
            let winner = field(&word("winner")?, "value").unwrap_or(redis::Value::Nil);
            Ok(format!(
                "{} {} {}: {} < {}",
                text(&word("kind")?),
                text(&word("key")?),
                text(&word("path")?),
                text(&word("value")?),
                text(&winner)
            ))
        })
        .collect()
}

#[test]
fn every_replica_lists_what_lost_on_the_two_sides_of_a_cut_once() -> Checked {
    let cluster = Cluster::of(3)?;
    cluster.node(0).says("SET fought 0", "+OK")?;
    cluster.level()?;
    cluster.cut(&[2])?;
    for (node, name) in [(0, "first"), (2, "second")] {
        cluster
            .node(node)
            .says(&format!("SET fought {name}"), "+OK")?;
        let put = format!(r#"LPUT list '' '{{"name":"{name}","{name}":1}}'"#);
        let context = cluster.node(node).ask(&put)?;
        ensure(!context.starts_with('-'), || context.clone())?;
    }
    cluster.heal(&[2])?;
    cluster.level()?;
    let wanted = [
        "leaf list /name: \"first\" < \"second\"",
        "value fought nil: first < second",
    ];
    for round in ["once", "and no more when all is heard again"] {
        for node in 0..3 {
            let listed = || {
                let mut listed = listed(&cluster, node, "LCONFLICTS COUNT 10")?;
                listed.sort_unstable();
                ensure(listed == wanted, || format!("node {node}: {listed:?}"))
            };
            until(round, PATIENCE, listed)?;
        }
        cluster.cut(&[1])?;
        cluster.heal(&[1])?;
        cluster.level()?;
    }
    for node in 0..3 {
        let of_key = listed(&cluster, node, "LCONFLICTS fought")?;
        ensure(of_key == wanted[1..], || format!("{of_key:?}"))?;
        cluster.node(node).says("LCONFLICTS nobody", "[]")?;
    }
    let info = cluster.node(1).ask("INFO larder_conflicts")?;
    for line in ["conflicts_value:1", "conflicts_leaf:1", "conflicts_type:0"] {
        ensure(info.contains(line), || format!("no {line} in {info}"))?;
    }
    cluster
        .node(1)
        .says("CONFIG SET conflict-journal-size 1", "+OK")?;
    let kept = listed(&cluster, 1, "LCONFLICTS")?;
    ensure(kept.len() == 1, || format!("{kept:?}"))?;
    cluster
        .node(1)
        .says("LCONFLICTS COUNT 0", "-ERR COUNT must be > 0")
}
