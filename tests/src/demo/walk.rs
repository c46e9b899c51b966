//! The walk: chapters in their order, and what they share.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::data::{Household, households};
use super::options::Options;
use super::screen::Screen;
use super::{anywhere, crash, cut, finish};
use crate::cluster::{Cluster, Plan};
use crate::failure::{Checked, ensure};
use crate::wait;

/// Nodes of the demo's cluster.
const NODES: u16 = 5;
/// Ports that are easy to type, if they are free.
const FIRST_PORT: u16 = 7001;

/// What the chapters share.
pub struct Walk<'a> {
    /// Where it speaks.
    pub screen: &'a Screen,
    /// The nodes.
    pub cluster: Cluster,
    /// What they hold.
    pub households: Vec<Household>,
}

/// Runs the demo; whether all of it held.
#[must_use]
pub fn run(screen: &Screen, options: Options) -> bool {
    screen.opening(
        "Larder",
        "five nodes, three replicas of everything, all on this machine",
    );
    let outcome = prepare().and_then(|directory| {
        let outcome = walk_in(screen, options, directory.path());
        if let Err(failure) = &outcome
            && !wait::is_interrupted()
        {
            screen.failed(&failure.to_string());
            screen.say(&format!(
                "The nodes' logs are kept in {}",
                directory.keep().display()
            ));
        }
        outcome
    });
    screen.end(outcome.is_ok());
    outcome.is_ok()
}

fn prepare() -> Checked<TempDir> {
    finish::watch_signals()?;
    Ok(tempfile::Builder::new().prefix("larder-demo-").tempdir()?)
}

fn walk_in(screen: &Screen, options: Options, root: &Path) -> Checked {
    let households = households()?;
    let cluster = start(screen, root)?;
    let mut walk = Walk {
        screen,
        cluster,
        households,
    };
    anywhere::walk(&walk)?;
    cut::walk(&walk)?;
    crash::walk(&mut walk)?;
    if options.once {
        finish::once(&mut walk)
    } else {
        finish::stay(&mut walk)
    }
}

fn start(screen: &Screen, root: &Path) -> Checked<Cluster> {
    let shown = root.display().to_string();
    let cluster = step(
        screen,
        &format!("five nodes started, one cluster; data in {shown}"),
        || {
            let mut plan = Plan::bare(usize::from(NODES)).with("enable-debug-command", "local");
            if (0..NODES).all(is_free) {
                plan = plan.with_ports_from(FIRST_PORT);
            }
            plan.start_in(root, None)
        },
    )?;
    Ok(cluster)
}

fn is_free(offset: u16) -> bool {
    TcpListener::bind(("127.0.0.1", FIRST_PORT + offset)).is_ok()
}

impl Walk<'_> {
    /// Checks a claim, and says whether it holds and how long that took.
    ///
    /// # Errors
    /// It does not hold.
    pub fn step<T>(&self, claim: &str, check: impl FnOnce() -> Checked<T>) -> Checked<T> {
        step(self.screen, claim, check)
    }

    /// The name of a node in its colour.
    #[must_use]
    pub fn name(&self, node: usize) -> String {
        self.screen.node(node, self.cluster.node(node).name())
    }

    /// Shows a line of the shell that is not `redis-cli`.
    pub fn shell(&self, line: &str) {
        self.screen.command(None, line, "");
    }
}

fn step<T>(screen: &Screen, claim: &str, check: impl FnOnce() -> Checked<T>) -> Checked<T> {
    let start = Instant::now();
    let outcome = ensure(!wait::is_interrupted(), || "interrupted".to_owned());
    let outcome = outcome.and_then(|()| check());
    let outcome = outcome.map_err(|failure| failure.during(&format!("not so: {claim}")))?;
    screen.held(claim, start.elapsed());
    Ok(outcome)
}

/// How long the nodes may take to hold what they are told; long enough for a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
