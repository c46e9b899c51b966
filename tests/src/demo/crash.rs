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
    let claim = format!("{WRITTEN} writes and {DELETED} deletes, all answered without {name}");
    let pace = walk.step(&claim, || {
        let pace = write(walk, &[0, 2, 3, 4], "new", WRITTEN)?;
        delete(walk, &[0, 2, 3, 4]).map(|_| pace)
    })?;
    let slowest = pace.slowest.as_secs_f64() * 1e3;
    walk.screen
        .say(&format!("The slowest write took {slowest:.1} ms."));
    if pace.repeated > 0 {
        walk.screen.say(&format!(
            "{} were under way to {name} as it died; their clients were told, and said them again.",
            pace.repeated
        ));
    }
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

/// How writes went.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    slowest: Duration,
    /// Writes that were under way to the node when it died: their outcome is unknown, their clients
    /// are told so, and say them again.
    repeated: usize,
}

/// Writes keys through the given nodes in turn.
fn write(walk: &Walk<'_>, nodes: &[usize], kind: &str, count: usize) -> Checked<Pace> {
    let set = |index: usize| {
        vec![
            "SET".to_owned(),
            format!("{kind}:{index}"),
            index.to_string(),
        ]
    };
    through(walk, nodes, count, set, "+OK")
}

fn delete(walk: &Walk<'_>, nodes: &[usize]) -> Checked<Pace> {
    let delete = |index: usize| vec!["DEL".to_owned(), format!("old:{index}")];
    through(walk, nodes, DELETED, delete, ":1")
}

fn through(
    walk: &Walk<'_>,
    nodes: &[usize],
    count: usize,
    command: impl Fn(usize) -> Vec<String>,
    wanted: &str,
) -> Checked<Pace> {
    let clients = nodes.iter().map(|node| walk.cluster.client(*node));
    let mut clients = clients.collect::<Checked<Vec<_>>>()?;
    let mut pace = Pace::default();
    for index in 0..count {
        let words = command(index);
        let turn = index % clients.len();
        let start = Instant::now();
        let mut seen = text(&clients[turn].run(&words)?);
        if seen.starts_with("-TIMEOUT ") {
            pace.repeated += 1;
            seen = text(&clients[turn].run(&words)?);
        }
        pace.slowest = pace.slowest.max(start.elapsed());
        ensure(seen == wanted, || {
            format!("{}: expected {wanted}, saw {seen}", words.join(" "))
        })?;
    }
    Ok(pace)
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
