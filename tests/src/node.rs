//! One node: a process of `larder-server` with its directory.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value as Json;

use crate::binary;
use crate::client::Client;
use crate::failure::{Checked, Failure};
use crate::process::send_signal;
use crate::wait::{PATIENCE, until};

/// Where a node tells its process, its name and its ports once it listens.
const FACTS_FILE: &str = "node.json";
/// Lines of a node's log that a failure shows.
const LOG_LINES_SHOWN: usize = 12;

/// With what a node is started.
#[derive(Debug, Clone)]
pub struct NodePlan {
    /// What the log file and messages call it.
    pub name: String,
    /// The directory under which its own and its log are made.
    pub root: PathBuf,
    /// The file with the cluster's secret.
    pub secret: PathBuf,
    /// Peer addresses to join.
    pub join: Vec<String>,
    /// Port for clients; 0 takes a free one.
    pub port: u16,
    /// More settings, as flags without their dashes.
    pub settings: Vec<(String, String)>,
}

/// What a node has written down of itself.
#[derive(Debug, Clone)]
struct Facts {
    id: String,
    port: u16,
    peer_port: u16,
}

/// A node that runs, or that has been killed and may run again.
pub struct Node {
    plan: NodePlan,
    child: Option<Child>,
    facts: Facts,
}

impl Node {
    /// Starts a node and waits until it listens.
    ///
    /// # Errors
    /// It does not; with the end of its log.
    pub fn start(plan: NodePlan) -> Checked<Self> {
        Self::launch(plan)?.listening()
    }

    /// Starts a node without waiting for it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn launch(plan: NodePlan) -> Checked<Launched> {
        fs::create_dir_all(&plan.root)?;
        let child = spawn(&plan, None)?;
        Ok(Launched {
            plan,
            child: Some(child),
        })
    }

    /// Its name here.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// Its name in the cluster.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.facts.id
    }

    /// The beginning of its name in the cluster: enough for people, and for DEBUG LINK.
    #[must_use]
    pub fn short_id(&self) -> &str {
        self.facts.id.get(..8).unwrap_or(&self.facts.id)
    }

    /// Its port for clients.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.facts.port
    }

    /// Where peers reach it.
    #[must_use]
    pub fn peer_address(&self) -> String {
        format!("127.0.0.1:{}", self.facts.peer_port)
    }

    /// Its data.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.plan.directory()
    }

    /// Its process, if it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// A new connection to it.
    ///
    /// # Errors
    /// It takes none.
    pub fn client(&self) -> Checked<Client> {
        Client::connect(self.port()).map_err(|failure| failure.during(self.name()))
    }

    /// Runs a command on a connection of its own and holds if the reply is `wanted`.
    ///
    /// # Errors
    /// The node, the command, what was expected and what came.
    pub fn says(&self, line: &str, wanted: &str) -> Checked {
        self.client()?
            .says(line, wanted)
            .map_err(|failure| failure.during(self.name()))
    }

    /// Runs a command on a connection of its own.
    ///
    /// # Errors
    /// There is no reply.
    pub fn ask(&self, line: &str) -> Checked<String> {
        self.client()?
            .ask(line)
            .map_err(|failure| failure.during(self.name()))
    }

    /// Runs a command until its reply is `wanted`.
    ///
    /// # Errors
    /// The last reply.
    pub fn comes_to_say(&self, line: &str, wanted: &str) -> Checked {
        let what = format!("{} answers {line} with {wanted}", self.name());
        until(&what, PATIENCE, || self.says(line, wanted))
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> Checked {
        let mut child = self.child.take().ok_or_else(|| not_running(&self.plan))?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Errors
    /// It does not run, or does not stop.
    pub fn stop(&mut self) -> Checked<ExitStatus> {
        let child = self.child.as_ref().ok_or_else(|| not_running(&self.plan))?;
        send_signal(child, Signal::TERM)?;
        self.ended(PATIENCE)
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub fn ended(&mut self, patience: Duration) -> Checked<ExitStatus> {
        let mut child = self.child.take().ok_or_else(|| not_running(&self.plan))?;
        let ended = until(&format!("{} has ended", self.plan.name), patience, || {
            child.try_wait()?.ok_or_else(|| Failure::new("it runs"))
        });
        if ended.is_err() {
            self.child = Some(child);
        }
        ended
    }

    /// Stops its process where it stands (SIGSTOP), as a machine that hangs.
    ///
    /// # Errors
    /// It does not run.
    pub fn pause(&self) -> Checked {
        send_signal(
            self.child.as_ref().ok_or_else(|| not_running(&self.plan))?,
            Signal::STOP,
        )
    }

    /// Lets its process go on (SIGCONT).
    ///
    /// # Errors
    /// It does not run.
    pub fn resume(&self) -> Checked {
        send_signal(
            self.child.as_ref().ok_or_else(|| not_running(&self.plan))?,
            Signal::CONT,
        )
    }

    /// Starts it again on its directory, with its ports if they are free, and waits until it
    /// listens.
    ///
    /// # Errors
    /// It runs, or does not start.
    pub fn restart(&mut self) -> Checked {
        if self.child.is_some() {
            return Err(Failure::new(format!("{} still runs", self.plan.name)));
        }
        let own = (self.facts.port, self.facts.peer_port);
        let again = Launched {
            plan: self.plan.clone(),
            child: Some(spawn(&self.plan, Some(own))?),
        };
        let mut started = match again.listening() {
            Ok(node) => node,
            // Somebody else may have been given its port meanwhile.
            Err(failure) if failure.to_string().contains("cannot listen") => Launched {
                plan: self.plan.clone(),
                child: Some(spawn(&self.plan, None)?),
            }
            .listening()?,
            Err(failure) => return Err(failure),
        };
        self.facts = started.facts.clone();
        self.child = started.child.take();
        Ok(())
    }

    /// Changes a setting for the next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.plan.settings.retain(|(other, _)| other != name);
        self.plan.settings.push((name.to_owned(), value.to_owned()));
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.plan.log()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        end(self.child.take());
    }
}

/// A node that has been started and may not listen yet.
pub struct Launched {
    plan: NodePlan,
    child: Option<Child>,
}

impl Launched {
    /// Waits until it listens.
    ///
    /// # Errors
    /// It has ended, or takes too long; with the end of its log.
    pub fn listening(mut self) -> Checked<Node> {
        let facts = until(&format!("{} listens", self.plan.name), PATIENCE, || {
            self.look()
        })??;
        Ok(Node {
            plan: self.plan.clone(),
            child: self.child.take(),
            facts,
        })
    }

    /// Waits until it has given up, and gives its log.
    ///
    /// # Errors
    /// It started, or takes too long.
    pub fn refusal(mut self) -> Checked<String> {
        let what = format!("{} gives up", self.plan.name);
        match until(&what, PATIENCE, || self.look())? {
            Ok(_) => Err(Failure::new(format!("{} has started", self.plan.name))),
            Err(_) => Ok(self.plan.log()),
        }
    }

    /// `Err` while it is on its way; then whether it listens or has ended.
    fn look(&mut self) -> Checked<Checked<Facts>> {
        let child = self.child.as_mut().ok_or_else(|| not_running(&self.plan))?;
        if let Some(status) = child.try_wait()? {
            let (name, log) = (&self.plan.name, tail(&self.plan.log()));
            return Ok(Err(Failure::new(format!(
                "{name} ended ({status}):\n{log}"
            ))));
        }
        let text = fs::read_to_string(self.plan.directory().join(FACTS_FILE))?;
        Ok(Ok(read_facts(&text, child.id())?))
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        end(self.child.take());
    }
}

impl NodePlan {
    fn directory(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    fn log_path(&self) -> PathBuf {
        self.root.join(format!("{}.log", self.name))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Whether the settings name a directory of their own.
    fn names(&self, setting: &str) -> bool {
        self.settings.iter().any(|(name, _)| name == setting)
    }
}

fn read_facts(text: &str, pid: u32) -> Checked<Facts> {
    let facts: Json = serde_json::from_str(text)?;
    if facts["pid"].as_u64() != Some(u64::from(pid)) {
        return Err(Failure::new("its directory tells of an earlier process"));
    }
    let port = |name: &str| {
        facts[name][0]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
    };
    let parts = (
        facts["node_id"].as_str(),
        port("client_ports"),
        port("peer_ports"),
    );
    let (Some(id), Some(port), Some(peer_port)) = parts else {
        return Err(Failure::new(format!(
            "{FACTS_FILE} lacks something: {facts}"
        )));
    };
    Ok(Facts {
        id: id.to_owned(),
        port,
        peer_port,
    })
}

fn spawn(plan: &NodePlan, ports: Option<(u16, u16)>) -> Checked<Child> {
    let mut command = command(&binary::server()?);
    // What is set for whoever runs the tests is not meant for these nodes.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LARDER_") {
            command.env_remove(name);
        }
    }
    let (port, peer_port) = ports.unwrap_or((plan.port, 0));
    command
        .arg(format!("--port={port}"))
        .arg(format!("--peer-port={peer_port}"))
        .arg("--bind=127.0.0.1");
    if !plan.names("dir") {
        command.arg("--dir").arg(plan.directory());
    }
    if !plan.names("cluster-secret-file") {
        command.arg("--cluster-secret-file").arg(&plan.secret);
    }
    for (name, value) in &plan.settings {
        command.arg(format!("--{name}={value}"));
    }
    if !plan.join.is_empty() {
        command.arg(format!("--join={}", plan.join.join(" ")));
    }
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(plan.log_path())?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    command
        .spawn()
        .map_err(|error| Failure::new(format!("starting {}: {error}", plan.name)))
}

/// A command that ends with this process, whatever ends it, where the system has a tool for that.
fn command(program: &Path) -> Command {
    let Some(tool) = binary::installed("setpriv") else {
        return Command::new(program);
    };
    let mut command = Command::new(tool);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        // One that has ended already is no mistake.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}

fn not_running(plan: &NodePlan) -> Failure {
    Failure::new(format!("{} does not run", plan.name))
}
