//! Nodes of one cluster in one thread, asked as clients ask.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;
use larder_cluster::env::{Now, Settings};
use larder_cluster::id::{NodeId, PartitionId};
use larder_cluster::layout::{Joiner, Layout};
use larder_cluster::memory_store::MemoryStore;
use larder_cluster::node::{Answer, Node, NodeState, Submitted};
use larder_cluster::request::{Reply, Request};
use larder_cluster::token::Partitions;
use larder_commands::args::{Args, OwnedArgs};
use larder_commands::commands::{Commands, FETCH_FIRST, READ_COPIES_WAIVED};
use larder_commands::error::CommandError;
use larder_commands::internal::walk;
use larder_commands::introspect;
use larder_commands::plan::plan;
use larder_commands::reply::{Protocol, Reply as Output};
use larder_commands::scan::Scan;
use larder_commands::scatter::Scatter;
use larder_crdt::context::ContextKey;

/// Where the clock stands at first: 2023-11-14, 22:13:20 UTC.
pub(crate) const START_MS: u64 = 1_700_000_000_000;
const TOKEN: u64 = 7;

/// How a client asks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Client {
    /// The selected database.
    pub(crate) database: u8,
    /// The version of RESP.
    pub(crate) protocol: Protocol,
    /// Whether each partition counts as a node of its own.
    pub(crate) scattered: bool,
}

/// A cluster all of whose nodes own everything.
pub(crate) struct World {
    nodes: Vec<Node>,
    linked: bool,
    now_ms: Cell<u64>,
}

impl World {
    /// `count` nodes that have found each other.
    pub(crate) fn new(count: usize) -> Self {
        let partitions = Partitions::new(8).expect("a power of two");
        let mut layout = Layout::new(1, partitions, count);
        let ids: Vec<NodeId> = (1..=count as u128).map(|n| NodeId(n << 100)).collect();
        for node in &ids {
            let joiner = Joiner {
                node: *node,
                zone: String::new(),
                weight: 1,
                address: String::new(),
            };
            layout = layout.with_joining(joiner).expect("room for a node");
            layout = layout.become_up(*node).expect("it joins");
        }
        let open = |id: &NodeId| {
            Node::open(
                Arc::new(MemoryStore::new()),
                Arc::new(Commands::new(ContextKey::from_secret(b"secret"))),
                Settings::default(),
                Some(NodeState {
                    id: *id,
                    layout: layout.clone(),
                }),
                id.0,
                now(START_MS),
            )
            .expect("an empty disk")
        };
        let nodes = ids.iter().map(open).collect();
        let mut world = Self {
            nodes,
            linked: false,
            now_ms: Cell::new(START_MS),
        };
        world.heal();
        world
    }

    /// Cuts all links.
    pub(crate) fn cut(&mut self) {
        for (node, peer) in self.pairs() {
            self.nodes[node].on_link_down(self.nodes[peer].id());
        }
        self.linked = false;
    }

    /// Mends all links, and waits until all nodes hold the same.
    pub(crate) fn heal(&mut self) {
        self.linked = true;
        for (node, peer) in self.pairs() {
            self.nodes[node].on_link_up(self.nodes[peer].id(), self.now());
        }
        for _ in 0..12 {
            self.pass(1_000);
        }
    }

    fn pairs(&self) -> Vec<(usize, usize)> {
        let count = self.nodes.len();
        let all = (0..count).flat_map(|node| (0..count).map(move |peer| (node, peer)));
        all.filter(|(node, peer)| node != peer).collect()
    }

    /// What the clocks show.
    pub(crate) fn now(&self) -> Now {
        now(self.now_ms.get())
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, ms: u64) {
        self.now_ms.set(self.now_ms.get() + ms);
        for node in &self.nodes {
            node.poll(self.now()).expect("memory does not fail");
        }
        self.deliver();
        for node in &self.nodes {
            let (points, effects) = node.begin_sync().expect("memory does not fail");
            node.finish_sync(&points, self.now());
            self.send(node.id(), effects.sends);
        }
        self.deliver();
    }

    /// Sets the clocks, unless they are ahead already.
    pub(crate) fn catch_up(&self, unix_ms: u64) {
        self.now_ms.set(self.now_ms.get().max(unix_ms));
    }

    fn deliver(&self) {
        for _ in 0..100 {
            let mut quiet = true;
            for node in &self.nodes {
                let effects = node.commit().expect("memory does not fail");
                quiet &= effects.sends.is_empty();
                self.send(node.id(), effects.sends);
            }
            if quiet {
                return;
            }
        }
    }

    fn send(&self, from: NodeId, sends: Vec<(NodeId, larder_cluster::message::Message)>) {
        for (to, message) in sends {
            let receiver = self.nodes.iter().find(|node| node.id() == to);
            if let Some(receiver) = receiver.filter(|_| self.linked) {
                receiver
                    .on_message(from, message, self.now())
                    .expect("memory does not fail");
            }
        }
    }

    /// What node `at` answers to a request of a client, in RESP2.
    pub(crate) fn ask(&self, at: usize, words: &[&[u8]]) -> Vec<u8> {
        self.ask_as(at, words, Client::default())
    }

    /// What node `at` answers to a client, as the server would find it out.
    pub(crate) fn ask_as(&self, at: usize, words: &[&[u8]], client: Client) -> Vec<u8> {
        let owned = OwnedArgs::new(words);
        let args = owned.as_args();
        let mut reply = Output::new(client.protocol);
        if let Err(error) = self.answer(at, args, client, &mut reply) {
            error.write_to(&mut reply);
        }
        reply.into_vec()
    }

    fn answer(
        &self,
        at: usize,
        args: Args<'_>,
        client: Client,
        reply: &mut Output,
    ) -> Result<(), CommandError> {
        let Client {
            database,
            protocol,
            scattered,
        } = client;
        let partitions = self.nodes[at].view().layout.partitions();
        let plan = plan(args, partitions)?;
        if introspect::answer(&plan, args, reply) {
            return Ok(());
        }
        if scattered && plan.partitions.len() > 1 {
            let node_of = |partition: PartitionId| u64::from(partition.0);
            let begun = Scatter::begin(&plan, args, database, protocol, partitions, &node_of);
            let (mut scatter, mut requests) = begun?;
            while !requests.is_empty() {
                let run = |request: Request| Bytes::from(self.submit(at, request));
                let answers: Vec<Bytes> = requests.into_iter().map(run).collect();
                requests = scatter.gather(&answers, reply);
            }
            return Ok(());
        }
        match plan.command.name {
            "scan" | "keys" => {
                let mut scan = Scan::parse(args)?;
                while !scan.is_over() {
                    let first = scan.partition(partitions);
                    let run: Vec<_> = partitions.iter().filter(|p| *p >= first).take(3).collect();
                    scan.take(&self.submit(at, scan.request(database, &run)))?;
                }
                scan.write_to(reply);
            }
            "dbsize" => {
                let all: Vec<_> = partitions.iter().collect();
                let count = walk::counted(&self.submit(at, walk::count_request(database, &all)))?;
                reply.integer(count as i64);
            }
            "flushall" | "flushdb" => {
                let database = (plan.command.name == "flushdb").then_some(database);
                for partition in partitions.iter() {
                    let mut after = None;
                    loop {
                        let request = walk::flush_request(database, partition, after.as_ref());
                        after = walk::flushed(&self.submit(at, request))?;
                        if after.is_none() {
                            break;
                        }
                    }
                }
                reply.ok();
            }
            _ => {
                let mut request = plan.request(args, database, protocol, 1);
                let mut answer = self.submit(at, request.clone());
                if answer == FETCH_FIRST {
                    request.read_copies = self.nodes.len().max(2) as u8;
                    request.pull = plan.pull(args, database);
                    answer = match self.try_submit(at, request.clone()) {
                        Reply::PartialRead { .. } => {
                            request.read_copies = READ_COPIES_WAIVED;
                            self.submit(at, request)
                        }
                        reply => done(reply),
                    };
                }
                reply.raw(&answer);
            }
        }
        Ok(())
    }

    /// Has a request run by node `at`.
    pub(crate) fn submit(&self, at: usize, request: Request) -> Vec<u8> {
        done(self.try_submit(at, request))
    }

    fn try_submit(&self, at: usize, request: Request) -> Reply {
        match self.nodes[at].submit(TOKEN, request, self.now()) {
            Submitted::Done(reply) => reply,
            Submitted::Pending => (0..20)
                .find_map(|_| self.wait_for(at))
                .expect("an answer in time"),
        }
    }

    fn wait_for(&self, at: usize) -> Option<Reply> {
        self.now_ms.set(self.now_ms.get() + 10);
        let mut found = None;
        for _ in 0..20 {
            for (index, node) in self.nodes.iter().enumerate() {
                let (points, effects) = node.begin_sync().expect("memory does not fail");
                node.finish_sync(&points, self.now());
                self.send(node.id(), effects.sends);
                for answer in effects.answers {
                    if let (true, Answer::Reply(TOKEN, reply)) = (index == at, answer) {
                        found = Some(reply);
                    }
                }
            }
        }
        found
    }

    /// As [`World::ask`] for a line of words without spaces, answered as text.
    pub(crate) fn line(&self, at: usize, line: &str) -> String {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        String::from_utf8_lossy(&self.ask(at, &words)).into_owned()
    }

    /// As [`World::line`], as people read replies: `nil`, `[lists]`, strings as they are, all else
    /// with its mark. `LVIEW` is the object alone of LGET.
    pub(crate) fn shown(&self, at: usize, line: &str) -> String {
        match line.strip_prefix("LVIEW ") {
            Some(key) => {
                let reply = self.line(at, &format!("LGET {key}"));
                let object = reply.strip_prefix("*2\r\n").unwrap_or(&reply);
                readable(object).0
            }
            None => readable(&self.line(at, line)).0,
        }
    }

    /// Writes a checkpoint of a node, and lets go what it has in memory as far as that can be.
    pub(crate) fn checkpoint(&self, at: usize) {
        let node = &self.nodes[at];
        let commit = || {
            let effects = node.commit()?;
            self.send(node.id(), effects.sends);
            Ok(())
        };
        commit().expect("memory does not fail");
        let position = node.redo_end();
        node.checkpoint(&commit).expect("memory does not fail");
        let finished = node.store().finish_checkpoint(position);
        finished.expect("memory does not fail");
        let kept = (*node.settings()).clone();
        node.set_settings(Settings {
            cache_bytes_max: 0,
            ..kept.clone()
        });
        // What was used lately stays until the second time.
        node.evict();
        node.evict();
        node.set_settings(kept);
    }

    /// Opens a node anew from its disk, as after `kill -9`, and links it again.
    pub(crate) fn restart(&mut self, at: usize) {
        let old = &self.nodes[at];
        let (store, run) = (Arc::clone(old.store()), old.run() + (1 << 32));
        let commands = Commands::new(ContextKey::from_secret(b"secret"));
        let opened = Node::open(
            store,
            Arc::new(commands),
            Settings::default(),
            None,
            run,
            self.now(),
        );
        self.nodes[at] = opened.expect("its own disk");
        self.heal();
    }

    /// The node at a position.
    pub(crate) fn node(&self, at: usize) -> &Node {
        &self.nodes[at]
    }
}

/// The first reply of `text` as people read it, and what comes behind it.
fn readable(text: &str) -> (String, &str) {
    let (line, rest) = text.split_once("\r\n").unwrap_or((text, ""));
    match line.as_bytes().first() {
        _ if matches!(line, "$-1" | "*-1") => ("nil".to_owned(), rest),
        Some(b'$') => {
            let (string, rest) = rest.split_once("\r\n").unwrap_or((rest, ""));
            (string.to_owned(), rest)
        }
        Some(b'*') => {
            let count: usize = line[1..].parse().expect("a count");
            let mut rest = rest;
            let parts: Vec<String> = (0..count)
                .map(|_| {
                    let (part, behind) = readable(rest);
                    rest = behind;
                    part
                })
                .collect();
            (format!("[{}]", parts.join(", ")), rest)
        }
        _ => (line.to_owned(), rest),
    }
}

fn done(reply: Reply) -> Vec<u8> {
    match reply {
        Reply::Done(bytes) | Reply::Partial { reply: bytes, .. } => bytes.to_vec(),
        other => panic!("no answer: {other:?}"),
    }
}

fn now(ms: u64) -> Now {
    Now {
        monotonic_ms: ms - START_MS,
        unix_ms: ms,
    }
}
