//! Chapter 3: a node is killed, the others go on, and it catches up.

use std::time::{Duration, Instant};

use super::redis_cli::{Form, run, says};
use super::walk::{PATIENCE, Walk};
use crate::client::Client;
use crate::failure::{Checked, Failure, ensure};
use crate::value::text;
use crate::wait::until;

/// The node that is killed.
const VICTIM: usize = 1;
/// Keys that were there before, and are deleted while the node is away.
const DELETED: usize = 200;
/// Keys that are written while it is away.
const WRITTEN: usize = 800;

pub(super) fn walk(walk: &mut Walk<'_>) -> Checked {
    let name = walk.name(VICTIM);
    walk.screen
        .chapter(3, "Kill a node, go on writing, start it again");
    write(walk, &[0, 2, 3, 4, VICTIM], "old", DELETED)?;
    // Who deletes removes what it has seen. What only the killed node had would come back with it.
    walk.cluster.level()?;
    let pid = walk.cluster.node(VICTIM).pid().unwrap_or_default();
    walk.shell(&format!("kill -9 {pid}        # {name}"));
    walk.cluster.node_mut(VICTIM).kill()?;
    let slowest = walk.step(
        &format!("{WRITTEN} writes and {DELETED} deletes, all answered without {name}"),
        || {
            let mut slowest = write(walk, &[0, 2, 3, 4], "new", WRITTEN)?;
            slowest = slowest.max(delete(walk, &[0, 2, 3, 4])?);
            Ok(slowest)
        },
    )?;
    walk.screen.say(&format!(
        "The slowest of them took {:.1} ms.",
        slowest.as_secs_f64() * 1e3
    ));
    walk.screen.gap();
    let node = walk.cluster.node(VICTIM);
    walk.shell(&format!(
        "larder-server --dir {} …",
        node.directory().display()
    ));
    let start = Instant::now();
    walk.cluster.node_mut(VICTIM).restart()?;
    walk.screen
        .held(&format!("{name} is back"), start.elapsed());
    walk.step(&format!("{name} has caught up"), || {
        until("no node has anything left to tell", PATIENCE, || {
            walk.cluster.is_level()
        })
    })?;
    run(walk, 0, Form::Terminal, &["CLUSTER", "LAG"])?;
    walk.screen.gap();
    ask_alone(walk)?;
    walk.cluster.settle()?;
    says(walk, VICTIM, &["GET", "new:1"], "\"1\"")
}

/// Writes keys through the given nodes in turn; gives the slowest reply.
fn write(walk: &Walk<'_>, nodes: &[usize], kind: &str, count: usize) -> Checked<Duration> {
    through(walk, nodes, count, |index| {
        (
            vec![
                "SET".to_owned(),
                format!("{kind}:{index}"),
                index.to_string(),
            ],
            "+OK",
        )
    })
}

fn delete(walk: &Walk<'_>, nodes: &[usize]) -> Checked<Duration> {
    through(walk, nodes, DELETED, |index| {
        (vec!["DEL".to_owned(), format!("old:{index}")], ":1")
    })
}

fn through(
    walk: &Walk<'_>,
    nodes: &[usize],
    count: usize,
    command: impl Fn(usize) -> (Vec<String>, &'static str),
) -> Checked<Duration> {
    let clients = nodes.iter().map(|node| walk.cluster.client(*node));
    let mut clients = clients.collect::<Checked<Vec<_>>>()?;
    let mut slowest = Duration::ZERO;
    for index in 0..count {
        let (words, wanted) = command(index);
        let turn = index % clients.len();
        let start = Instant::now();
        let seen = text(&clients[turn].run(&words)?);
        slowest = slowest.max(start.elapsed());
        ensure(seen == wanted, || {
            format!("{}: expected {wanted}, saw {seen}", words.join(" "))
        })?;
    }
    Ok(slowest)
}

/// Cuts the returned node off and reads what it has itself: what others have cannot help it then.
fn ask_alone(walk: &Walk<'_>) -> Checked {
    let name = walk.name(VICTIM);
    walk.screen.say(&format!(
        "Reads go to whoever has a key, so to see what {name} itself has, we cut it off for a \
         moment and ask it for all of these keys."
    ));
    let claim = format!("alone, {name} has every write of its share, and no deleted key");
    let own = walk.step(&claim, || walk.cluster.alone(VICTIM, own_share))?;
    walk.screen
        .say(&format!("It holds {own} of the {WRITTEN} new keys."));
    Ok(())
}

fn own_share(client: &mut Client) -> Checked<usize> {
    let mut own = 0;
    for index in 0..WRITTEN {
        let seen = client.ask(&format!("GET new:{index}"))?;
        let is_elsewhere = seen.starts_with("-NOREPLICA");
        ensure(is_elsewhere || seen == index.to_string(), || {
            format!("new:{index} is {seen}")
        })?;
        own += usize::from(!is_elsewhere);
    }
    for index in 0..DELETED {
        let seen = client.ask(&format!("GET old:{index}"))?;
        let is_right = seen == "nil" || seen.starts_with("-NOREPLICA");
        ensure(is_right, || format!("old:{index} came back as {seen}"))?;
    }
    // Three of five nodes have each key; far fewer would mean that the node answers for nothing.
    if own * 4 < WRITTEN {
        return Err(Failure::new(format!(
            "it holds only {own} of {WRITTEN} keys"
        )));
    }
    Ok(own)
}
