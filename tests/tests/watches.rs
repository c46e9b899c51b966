//! LWATCH: state first, then after every change, wherever it was made.

use larder_tests::failure::ensure;
use larder_tests::value::text;
use larder_tests::{Checked, Client, Cluster};

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
