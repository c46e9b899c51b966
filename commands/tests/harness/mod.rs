//! Nodes of one cluster in one thread, asked as clients ask.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::cell::Cell;
use std::sync::Arc;

use larder_cluster::env::{Now, Settings};
use larder_cluster::id::NodeId;
use larder_cluster::layout::{Joiner, Layout};
use larder_cluster::memory_store::MemoryStore;
use larder_cluster::node::{Answer, Node, NodeState, Submitted};
use larder_cluster::request::{Reply, Request};
use larder_cluster::token::Partitions;
use larder_commands::Commands;
use larder_commands::args::OwnedArgs;
use larder_commands::plan::plan;
use larder_commands::reply::Protocol;
use larder_crdt::context::ContextKey;

/// Where the clock stands at first: 2023-11-14, 22:13:20 UTC.
pub const START_MS: u64 = 1_700_000_000_000;
const TOKEN: u64 = 7;

/// A cluster all of whose nodes own everything.
pub struct World {
    nodes: Vec<Node>,
    linked: bool,
    now_ms: Cell<u64>,
}

impl World {
    /// `count` nodes that have found each other.
    pub fn new(count: usize) -> Self {
        let partitions = Partitions::new(8).expect("a power of two");
        let mut layout = Layout::new(1, partitions, count);
        let ids: Vec<NodeId> = (1..=count as u128).map(|n| NodeId(n << 100)).collect();
        for node in &ids {
            let joiner =
                Joiner { node: *node, zone: String::new(), weight: 1, address: String::new() };
            layout = layout.with_joining(joiner).expect("room for a node");
            layout = layout.become_up(*node).expect("it joins");
        }
        let open = |id: &NodeId| {
            Node::open(
                Arc::new(MemoryStore::new()),
                Arc::new(Commands::new(ContextKey::from_secret(b"secret"))),
                Settings::default(),
                Some(NodeState { id: *id, layout: layout.clone() }),
                id.0,
                now(START_MS),
            )
            .expect("an empty disk")
        };
        let nodes = ids.iter().map(open).collect();
        let mut world = Self { nodes, linked: false, now_ms: Cell::new(START_MS) };
        world.heal();
        world
    }

    /// Cuts all links.
    pub fn cut(&mut self) {
        for (node, peer) in self.pairs() {
            self.nodes[node].on_link_down(self.nodes[peer].id());
        }
        self.linked = false;
    }

    /// Mends all links, and waits until all nodes hold the same.
    pub fn heal(&mut self) {
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
    pub fn now(&self) -> Now {
        now(self.now_ms.get())
    }

    /// Lets time pass.
    pub fn pass(&self, ms: u64) {
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
    pub fn catch_up(&self, unix_ms: u64) {
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
                receiver.on_message(from, message, self.now()).expect("memory does not fail");
            }
        }
    }

    /// What node `at` answers to a request of a client, in RESP2.
    pub fn ask(&self, at: usize, words: &[&[u8]]) -> Vec<u8> {
        self.ask_in(at, 0, Protocol::Resp2, words)
    }

    /// What node `at` answers in a database and a version of RESP.
    pub fn ask_in(
        &self,
        at: usize,
        database: u8,
        protocol: Protocol,
        words: &[&[u8]],
    ) -> Vec<u8> {
        let args = OwnedArgs::new(words);
        let partitions = self.nodes[at].view().layout.partitions();
        match plan(args.as_args(), partitions) {
            Ok(plan) => self.submit(at, plan.request(args.as_args(), database, protocol, 1)),
            Err(error) => {
                let mut reply = larder_commands::reply::Reply::new(protocol);
                error.write_to(&mut reply);
                reply.into_vec()
            }
        }
    }

    /// Has a request run by node `at`.
    pub fn submit(&self, at: usize, request: Request) -> Vec<u8> {
        let reply = match self.nodes[at].submit(TOKEN, request, self.now()) {
            Submitted::Done(reply) => Some(reply),
            Submitted::Pending => (0..20).find_map(|_| self.wait_for(at)),
        };
        match reply {
            Some(Reply::Done(bytes) | Reply::Partial { reply: bytes, .. }) => bytes.to_vec(),
            other => panic!("no answer: {other:?}"),
        }
    }

    fn wait_for(&self, at: usize) -> Option<Reply> {
        self.now_ms.set(self.now_ms.get() + 10);
        let mut found = None;
        for _ in 0..20 {
            for (index, node) in self.nodes.iter().enumerate() {
                let effects = node.commit().expect("memory does not fail");
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
    pub fn line(&self, at: usize, line: &str) -> String {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        String::from_utf8_lossy(&self.ask(at, &words)).into_owned()
    }

    /// The node at a position.
    pub fn node(&self, at: usize) -> &Node {
        &self.nodes[at]
    }
}

fn now(ms: u64) -> Now {
    Now { monotonic_ms: ms - START_MS, unix_ms: ms }
}
