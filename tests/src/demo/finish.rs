//! The end: stop at once, or leave the cluster to whoever watches.

use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use super::walk::Walk;
use crate::failure::{Checked, Failure};
use crate::node::Node;
use crate::wait;

/// Where the first signal arrives, for whoever waits for it.
static ENDED: Mutex<Option<mpsc::Receiver<()>>> = Mutex::new(None);

/// From here on, Ctrl-C and `kill` end all waiting instead of this process, which then ends its
/// nodes itself.
pub(super) fn watch_signals() -> Checked {
    let (sender, receiver) = mpsc::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let guard = runtime.enter();
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    drop(guard);
    *ENDED.lock().unwrap_or_else(PoisonError::into_inner) = Some(receiver);
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            wait::interrupt();
            // The walk may have ended meanwhile.
            let _ = sender.send(());
        })?;
    Ok(())
}

/// Ends all nodes.
pub(super) fn once(walk: &mut Walk<'_>) -> Checked {
    walk.screen.gap();
    stop(walk)?;
    walk.screen.say("Every step held.");
    Ok(())
}

/// Leaves the cluster running until somebody ends it.
pub(super) fn stay(walk: &mut Walk<'_>) -> Checked {
    walk.screen.chapter(4, "Now it is yours");
    walk.screen.show(&manual(walk));
    let root = walk.cluster.root().display();
    walk.screen.say(&format!(
        "Data and logs are in {root}. Ctrl-C ends all nodes and removes them."
    ));
    let ended = ENDED.lock().unwrap_or_else(PoisonError::into_inner).take();
    let ended = ended.ok_or_else(|| Failure::new("nobody watches signals"))?;
    ended
        .recv()
        .map_err(|_| Failure::new("nobody watches signals any more"))?;
    walk.screen.gap();
    // What was waited for has come; what follows waits for other things.
    wait::resume();
    stop(walk)
}

fn manual(walk: &Walk<'_>) -> Vec<String> {
    let port = |node: usize| walk.cluster.node(node).port();
    let last = walk.cluster.nodes.last();
    let (id, pid) = (last.map(Node::short_id), last.and_then(Node::pid));
    let (id, pid) = (id.unwrap_or_default(), pid.unwrap_or_default());
    let key = walk.households[0].key("list");
    let row =
        |command: String, meaning: &str| format!("{command:<62} {}", walk.screen.dim(meaning));
    vec![
        row(
            format!("redis-cli -p {}", port(0)),
            "any node, any Redis client",
        ),
        row(
            format!("redis-cli -p {} --raw LGET '{key}'", port(1)),
            "a list and its context",
        ),
        row(
            format!("redis-cli -p {} CLUSTER RING DRAW", port(2)),
            "who has what",
        ),
        row(
            format!("redis-cli -p {} CLUSTER PEERS", port(2)),
            "who is up, seen from there",
        ),
        row(
            format!("redis-cli -p {} CLUSTER LAG", port(2)),
            "who lacks what, seen from there",
        ),
        row(
            format!("redis-cli -p {} DEBUG LINK {id} cut", port(0)),
            "and heal",
        ),
        row(format!("kill -9 {pid}"), "one node; the others go on"),
    ]
}

fn stop(walk: &mut Walk<'_>) -> Checked {
    let nodes = &mut walk.cluster.nodes;
    let running = nodes.iter_mut().filter(|node| node.pid().is_some());
    for node in running {
        node.stop().map(drop)?;
    }
    Ok(())
}
