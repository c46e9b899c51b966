//! Several nodes that share a secret.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use redis::Value;
use tempfile::TempDir;

use crate::client::Client;
use crate::failure::{Checked, Failure, ensure};
use crate::node::{Node, NodePlan};
use crate::value::{field, parts, text};
use crate::wait::{PATIENCE, until};

/// What INFO says of a node at rest.
const AT_REST: &[&str] = &[
    "partitions_missing_copies:0",
    "partitions_fallback_copies:0",
    "partitions_being_filled:0",
    "lag_partitions:0",
    "lag_changes:0",
];

/// A cluster to start.
#[derive(Debug, Clone)]
pub struct Plan {
    nodes: usize,
    settings: Vec<(String, String)>,
    ports: Option<u16>,
}

impl Plan {
    /// So many nodes. Tests look at data, not at sizes: few partitions and frequent comparisons of
    /// clocks make them quick.
    #[must_use]
    pub fn of(nodes: usize) -> Self {
        Self::bare(nodes)
            .with("enable-debug-command", "yes")
            .with("partitions", "64")
            .with("anti-entropy-interval-ms", "200")
            .with("cache-size", "16mb")
    }

    /// So many nodes with the settings that nodes have by themselves.
    #[must_use]
    pub fn bare(nodes: usize) -> Self {
        Self {
            nodes,
            settings: Vec::new(),
            ports: None,
        }
    }

    /// With a setting of all nodes.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.retain(|(other, _)| other != name);
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// On ports that follow each other, from `first`.
    #[must_use]
    pub fn with_ports_from(mut self, first: u16) -> Self {
        self.ports = Some(first);
        self
    }

    /// Starts the nodes and waits until they are one cluster.
    ///
    /// # Errors
    /// A node does not start, or they do not find each other.
    pub fn start(self) -> Checked<Cluster> {
        let directory = tempfile::Builder::new().prefix("larder-").tempdir()?;
        let root = directory.path().to_owned();
        self.start_in(&root, Some(directory))
    }

    /// As [`Plan::start`], in a directory that stays.
    ///
    /// # Errors
    /// As [`Plan::start`].
    pub fn start_in(self, root: &Path, temporary: Option<TempDir>) -> Checked<Cluster> {
        let secret = root.join("secret");
        // The directory's name makes it another secret than that of other clusters.
        fs::write(&secret, format!("the secret of {}\n", root.display()))?;
        fs::set_permissions(&secret, Permissions::from_mode(0o600))?;
        let mut cluster = Cluster {
            nodes: Vec::new(),
            secret,
            root: root.to_owned(),
            plan: self,
            started: 0,
            _temporary: temporary,
        };
        for _ in 0..cluster.plan.nodes {
            cluster.add()?;
        }
        cluster.settle()?;
        Ok(cluster)
    }
}

/// Nodes at work. They end with it.
pub struct Cluster {
    /// The nodes, in the order in which they were started.
    pub nodes: Vec<Node>,
    secret: PathBuf,
    root: PathBuf,
    plan: Plan,
    started: u16,
    // Last, so that the directory goes after the processes.
    _temporary: Option<TempDir>,
}

impl Cluster {
    /// Nodes with the usual settings.
    ///
    /// # Errors
    /// As [`Plan::start`].
    pub fn of(nodes: usize) -> Checked<Self> {
        Plan::of(nodes).start()
    }

    /// One of the nodes.
    ///
    /// # Panics
    /// There are not so many.
    #[must_use]
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// One of the nodes, to kill it or to start it again.
    ///
    /// # Panics
    /// There are not so many.
    pub fn node_mut(&mut self, index: usize) -> &mut Node {
        &mut self.nodes[index]
    }

    /// A new connection to one of the nodes.
    ///
    /// # Errors
    /// It takes none.
    pub fn client(&self, index: usize) -> Checked<Client> {
        self.node(index).client()
    }

    /// Where the nodes' directories and logs are.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// With what another node of this cluster would be started.
    #[must_use]
    pub fn plan_for_another(&self) -> NodePlan {
        NodePlan {
            name: format!("n{}", self.started + 1),
            root: self.root.clone(),
            secret: self.secret.clone(),
            join: self
                .nodes
                .iter()
                .filter(|node| node.pid().is_some())
                .map(Node::peer_address)
                .collect(),
            port: self.plan.ports.map_or(0, |first| first + self.started),
            settings: self.plan.settings.clone(),
        }
    }

    /// Starts one more node, which joins the others, and waits until it listens.
    ///
    /// # Errors
    /// It does not start.
    pub fn add(&mut self) -> Checked<&Node> {
        let node = Node::start(self.plan_for_another())?;
        self.started += 1;
        self.nodes.push(node);
        self.nodes.last().ok_or_else(|| Failure::new("no node"))
    }

    /// Waits until every running node knows all nodes as members, and the running ones as up.
    ///
    /// # Errors
    /// They do not come to that.
    pub fn settle(&self) -> Checked {
        until("the nodes are one cluster", PATIENCE, || {
            self.running().try_for_each(|node| self.is_settled(node))
        })
    }

    fn is_settled(&self, node: &Node) -> Checked {
        let members = parts(&node.client()?.run(&["CLUSTER", "RING"])?);
        let word = |member: &Value, name: &str| field(member, name).as_ref().map(text);
        ensure(members.len() == self.nodes.len(), || {
            format!("{} knows {} nodes", node.name(), members.len())
        })?;
        for other in self.running() {
            let is_other = |member: &&Value| word(member, "id").as_deref() == Some(other.id());
            let seen = members.iter().find(is_other);
            let state =
                seen.and_then(|member| Some((word(member, "state")?, word(member, "reach")?)));
            ensure(state == Some(("up".to_owned(), "up".to_owned())), || {
                format!("{} knows {} as {state:?}", node.name(), other.name())
            })?;
        }
        Ok(())
    }

    /// Holds if every running node has what it is to hold, holds nothing for others, and knows of
    /// nothing that another one lacks on its disk.
    ///
    /// # Errors
    /// The node and what it says.
    pub fn is_level(&self) -> Checked {
        for node in self.running() {
            let info = node.ask("INFO larder_partitions larder_replication")?;
            for rest in AT_REST {
                let is_there = info.lines().any(|line| line == *rest);
                ensure(is_there, || {
                    format!("{}: {rest} is not in {info}", node.name())
                })?;
            }
        }
        Ok(())
    }

    /// Waits for [`Cluster::is_level`].
    ///
    /// # Errors
    /// A node still lacks something.
    pub fn level(&self) -> Checked {
        until("every node has everything of its share", PATIENCE, || {
            self.is_level()
        })
    }

    /// The nodes that run.
    pub fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.pid().is_some())
    }

    /// Cuts every link between the nodes of `here` and all others.
    ///
    /// # Errors
    /// A node does not do it.
    pub fn cut(&self, here: &[usize]) -> Checked {
        self.set_links(here, "cut")
    }

    /// Heals what [`Cluster::cut`] has cut.
    ///
    /// # Errors
    /// A node does not do it.
    pub fn heal(&self, here: &[usize]) -> Checked {
        self.set_links(here, "heal")
    }

    fn set_links(&self, here: &[usize], how: &str) -> Checked {
        for &near in here {
            let far = (0..self.nodes.len()).filter(|far| !here.contains(far));
            far.filter(|far| self.node(*far).pid().is_some())
                .try_for_each(|far| self.set_link(near, far, how))?;
        }
        Ok(())
    }

    /// Runs DEBUG LINK at both ends of the link between two nodes.
    ///
    /// # Errors
    /// A node does not do it.
    pub fn set_link(&self, one: usize, other: usize, how: &str) -> Checked {
        for (from, to) in [(one, other), (other, one)] {
            let line = format!("DEBUG LINK {} {how}", self.node(to).id());
            self.node(from).says(&line, "+OK")?;
        }
        Ok(())
    }

    /// Cuts one node off from all others and asks it until the answer is `Ok`: what it says then,
    /// it has itself. Heals the cut in any case.
    ///
    /// # Errors
    /// The last answer.
    pub fn alone<T>(
        &self,
        index: usize,
        mut ask: impl FnMut(&mut Client) -> Checked<T>,
    ) -> Checked<T> {
        self.cut(&[index])?;
        let name = self.node(index).name();
        let answer = until(&format!("{name} alone answers"), PATIENCE, || {
            ask(&mut self.client(index)?)
        });
        self.heal(&[index])?;
        answer
    }

    /// Waits until every running node answers `line` with `wanted`.
    ///
    /// # Errors
    /// One does not; with its last reply.
    pub fn all_come_to_say(&self, line: &str, wanted: &str) -> Checked {
        self.running()
            .try_for_each(|node| node.comes_to_say(line, wanted))
    }

    /// Waits until all running nodes give the same answer to `line`, and gives it.
    ///
    /// # Errors
    /// Two answers that still differ.
    pub fn agree(&self, line: &str) -> Checked<String> {
        until(&format!("all nodes answer {line} alike"), PATIENCE, || {
            let mut common: Option<(&str, String)> = None;
            for node in self.running() {
                let seen = node.ask(line)?;
                let (first, answer) = common.get_or_insert((node.name(), seen.clone()));
                ensure(seen == *answer, || {
                    format!("{first} says {answer}, {} says {seen}", node.name())
                })?;
            }
            Ok(common.map(|(_, answer)| answer).unwrap_or_default())
        })
    }
}
