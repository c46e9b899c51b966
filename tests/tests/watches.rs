//! LWATCH: state first, then after every change, wherever it was made.

use larder_tests::failure::ensure;
use larder_tests::value::text;
use larder_tests::wait::{PATIENCE, until};
use larder_tests::{Checked, Client, Cluster, Plan};

/// The next message begins so.
fn comes(client: &mut Client, wanted: &str) -> Checked {
    let seen = text(&client.reply()?);
    ensure(seen.starts_with(wanted), || {
        format!("expected {wanted}…, saw {seen}")
    })
}

#[test]
fn watchers_on_all_nodes_see_every_change_and_its_end() -> Checked {
    let cluster = Cluster::of(3)?;
    let mut watchers = Vec::new();
    for node in 0..3 {
        let mut watcher = cluster.client(node)?;
        watcher.begins("LWATCH doc", "[lwatch, doc, [nil, ")?;
        watchers.push(watcher);
    }
    let changes = [
        ("LPUT doc '' '{\"a\":1}'", r#"[lwatch, doc, [{"a":1}, "#),
        ("LINCRBY doc /a 2", r#"[lwatch, doc, [{"a":3}, "#),
        ("DEL doc", "[lwatch, doc, [nil, "),
        ("SET doc text", "[lwatch, doc, -WRONGTYPE"),
    ];
    for (at, (line, wanted)) in changes.into_iter().enumerate() {
        cluster.client(at % 3)?.ask(line)?;
        for watcher in &mut watchers {
            comes(watcher, wanted)?;
        }
    }
    for watcher in &mut watchers {
        watcher.says("LUNWATCH doc", "[lunwatch, doc, :0]")?;
    }
    cluster.client(0)?.says("DEL doc", ":1")?;
    watchers
        .iter_mut()
        .try_for_each(|watcher| watcher.says("PING", "+PONG"))
}

/// Of four nodes two have the key. The watchers of the others are told by its leader, whoever that
/// is, and miss nothing while it is away or they are.
#[test]
fn watchers_see_changes_through_the_death_of_a_node_and_a_cut() -> Checked {
    let mut cluster = Plan::of(4).with("replicas", "2").start()?;
    let mut watchers = Vec::new();
    for node in 0..3 {
        let mut watcher = cluster.client(node)?;
        watcher.begins("LWATCH doc", "[lwatch, doc, [nil, ")?;
        watchers.push(watcher);
    }
    let change = |cluster: &Cluster, to: u32| {
        until("the change is taken", PATIENCE, || {
            let line = format!("LPATCH doc '' '{{\"a\":{to}}}'");
            let reply = cluster.node(0).ask(&line)?;
            ensure(!reply.starts_with('-'), || reply.clone())
        })
    };
    let all_see = |watchers: &mut [Client], wanted: u32| {
        let wanted = format!(r#"[lwatch, doc, [{{"a":{wanted}}}, "#);
        let mut watchers = watchers.iter_mut();
        watchers.try_for_each(|watcher| comes_to(watcher, &wanted))
    };
    change(&cluster, 1)?;
    all_see(&mut watchers, 1)?;
    cluster.node_mut(3).kill()?;
    change(&cluster, 11)?;
    all_see(&mut watchers, 11)?;
    cluster.node_mut(3).restart()?;
    cluster.settle()?;
    change(&cluster, 111)?;
    all_see(&mut watchers, 111)?;
    cluster.cut(&[2])?;
    change(&cluster, 1111)?;
    cluster.heal(&[2])?;
    all_see(&mut watchers, 1111)
}

/// The watcher is told so at last; in between it may see older states, and errors.
fn comes_to(watcher: &mut Client, wanted: &str) -> Checked {
    while !text(&watcher.reply()?).starts_with(wanted) {}
    Ok(())
}

#[test]
fn a_document_that_expires_is_told() -> Checked {
    let cluster = Cluster::of(1)?;
    let mut client = cluster.client(0)?;
    client.ask("LPUT doc '' '{\"a\":1}'")?;
    let mut watcher = cluster.client(0)?;
    watcher.begins("LWATCH doc", r#"[lwatch, doc, [{"a":1}, "#)?;
    client.says("PEXPIRE doc 100", ":1")?;
    comes(&mut watcher, "[lwatch, doc, [nil, ")
}

#[test]
fn what_is_no_document_cannot_be_watched() -> Checked {
    let cluster = Cluster::of(1)?;
    let mut client = cluster.client(0)?;
    client.says("SET text 1", "+OK")?;
    client.begins("LWATCH text", "-WRONGTYPE ")?;
    client.says("LUNWATCH text", "[lunwatch, text, :0]")
}
