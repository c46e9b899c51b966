//! Valid encodings: what three nodes say to each other and write while clients work.

use std::collections::BTreeSet;
use std::sync::Arc;

use larder_cluster::env::{Now, Settings};
use larder_cluster::id::NodeId;
use larder_cluster::layout::{Joiner, Layout};
use larder_cluster::memory_store::MemoryStore;
use larder_cluster::node::{Node, NodeState, Submitted};
use larder_cluster::request::Reply;
use larder_cluster::store::Store as _;
use larder_cluster::token::Partitions;
use larder_commands::args::OwnedArgs;
use larder_commands::commands::Commands;
use larder_commands::plan::plan;
use larder_commands::reply::Protocol;
use larder_crdt::Writer;
use larder_crdt::context::ContextKey;

/// The secret of the cluster that the corpus comes from.
pub(crate) const SECRET: &[u8] = b"secret";
const START_MS: u64 = 1_700_000_000_000;
/// Encodings of one kind that are kept.
const KEPT: usize = 400;

/// What clients ask for, again and again.
pub(crate) const REQUESTS: &[&str] = &[
    "SET a 1",
    "SET b text PX 100000",
    "INCRBY n 5",
    "INCRBYFLOAT f 1.5",
    "DEL n",
    "MSET {t}a 1 {t}b 2",
    "RENAME {t}a {t}c",
    r#"LPUT list  {"name":"Party","items":{"milk":{"qty":2,"done":false}},"x":[1,null]}"#,
    r#"LPATCH list  {"items":{"bread":{"qty":1.5}}}"#,
    "LINCRBY list /items/milk/qty 3",
    "LGET list",
    "LDEL b ",
    "GET a",
];

/// Valid encodings by kind.
#[derive(Debug, Default)]
pub struct Corpus {
    /// Messages between nodes.
    pub messages: Vec<Vec<u8>>,
    /// Redo records.
    pub records: Vec<Vec<u8>>,
    /// Contexts of the document `list`.
    pub contexts: Vec<Vec<u8>>,
    /// Layouts.
    pub layouts: Vec<Vec<u8>>,
}

fn now(ms: u64) -> Now {
    Now {
        monotonic_ms: ms,
        unix_ms: START_MS + ms,
    }
}

struct World {
    nodes: Vec<(Node, Arc<MemoryStore>)>,
    now_ms: u64,
    corpus: Corpus,
}

impl World {
    fn new() -> Self {
        let partitions = Partitions::new(2).expect("a power of two");
        let mut layout = Layout::new(1, partitions, 3);
        let ids: Vec<NodeId> = (1..=3).map(|n| NodeId(n << 100)).collect();
        for node in &ids {
            let joiner = Joiner {
                node: *node,
                zone: "zone".to_owned(),
                weight: 1,
                address: "127.0.0.1:1".to_owned(),
            };
            layout = layout.with_joining(joiner).expect("room for a node");
            layout = layout.become_up(*node).expect("it joins");
        }
        let open = |id: &NodeId| {
            let store = Arc::new(MemoryStore::new());
            let state = NodeState {
                id: *id,
                layout: layout.clone(),
            };
            let commands = Commands::new(ContextKey::from_secret(SECRET));
            let settings = Settings {
                transfer_rows_max: 2,
                ..Settings::default()
            };
            let own = Arc::clone(&store);
            let node = Node::open(own, Arc::new(commands), settings, Some(state), id.0, now(0));
            (node.expect("an empty disk"), store)
        };
        Self {
            nodes: ids.iter().map(open).collect(),
            now_ms: 0,
            corpus: Corpus::default(),
        }
    }

    fn link(&self, is_up: bool) {
        for (node, _) in &self.nodes {
            for (peer, _) in &self.nodes {
                match (node.id() == peer.id(), is_up) {
                    (true, _) => {}
                    (false, true) => node.on_link_up(peer.id(), now(self.now_ms)),
                    (false, false) => node.on_link_down(peer.id()),
                }
            }
        }
    }

    /// Lets a second pass; what the nodes send goes into the corpus, and to its receivers if
    /// `delivers`.
    fn pass(&mut self, delivers: bool) {
        self.now_ms += 1000;
        let now = now(self.now_ms);
        for (node, _) in &self.nodes {
            node.poll(now).expect("memory does not fail");
        }
        for _ in 0..20 {
            for at in 0..self.nodes.len() {
                let Some((node, _)) = self.nodes.get(at) else {
                    continue;
                };
                let mut sends = node.commit().expect("memory does not fail").sends;
                let (points, effects) = node.begin_sync().expect("memory does not fail");
                node.finish_sync(&points, now);
                sends.extend(effects.sends);
                for (to, message) in sends {
                    let mut writer = Writer::new();
                    message.encode(&mut writer);
                    self.corpus.messages.push(writer.into_vec());
                    let receiver = self.nodes.iter().find(|(node, _)| node.id() == to);
                    if let Some((receiver, _)) = receiver.filter(|_| delivers) {
                        receiver
                            .on_message(node.id(), message, now)
                            .expect("memory does not fail");
                    }
                }
            }
        }
    }

    fn ask(&mut self, at: usize, line: &str) {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let args = OwnedArgs::new(&words);
        let Some((node, _)) = self.nodes.get(at) else {
            return;
        };
        let partitions = node.view().layout.partitions();
        let planned = plan(args.as_args(), partitions).expect("a command");
        let mut request = planned.request(args.as_args(), 0, Protocol::Resp2, 1);
        request.read_copies = if line.starts_with("LGET") { 2 } else { 1 };
        request.pull = planned.pull(args.as_args(), 0);
        let token = self.now_ms;
        if let Submitted::Done(Reply::Done(reply)) = node.submit(token, request, now(self.now_ms))
            && line.contains(" list ")
        {
            let text = String::from_utf8_lossy(&reply);
            let context = text.lines().find(|line| line.starts_with("AQ"));
            self.corpus
                .contexts
                .extend(context.map(|text| text.as_bytes().to_vec()));
        }
    }
}

impl Corpus {
    /// Lets the nodes work.
    ///
    /// # Panics
    /// If they do not: the tests of other crates tell why.
    #[must_use]
    pub fn make() -> Self {
        let mut world = World::new();
        world.link(true);
        for _ in 0..10 {
            world.pass(true);
        }
        for (turn, line) in REQUESTS.iter().cycle().take(60).enumerate() {
            let is_cut = turn % 20 >= 14;
            if turn % 20 == 14 {
                world.link(false);
            } else if turn % 20 == 0 {
                world.link(true);
            }
            world.ask(turn % 3, line);
            world.pass(!is_cut);
        }
        for (node, store) in &world.nodes {
            world.corpus.layouts.push(node.view().layout.encode());
            let mut records = Vec::new();
            store
                .replay(&mut |_, record| {
                    records.push(record.to_vec());
                    Ok(())
                })
                .expect("memory does not fail");
            world.corpus.records.extend(records);
        }
        let mut corpus = world.corpus;
        for kind in [
            &mut corpus.messages,
            &mut corpus.records,
            &mut corpus.contexts,
            &mut corpus.layouts,
        ] {
            // One of each length, so that a frequent kind does not crowd out the others.
            let mut seen = BTreeSet::new();
            kind.retain(|bytes| seen.insert((bytes.first().copied(), bytes.len())));
            kind.truncate(KEPT);
        }
        corpus
    }
}
