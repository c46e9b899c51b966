//! Real nodes on a stage: every message is delivered, held or dropped by the script.

#![expect(dead_code, reason = "each file of tests uses some of it")]

use std::sync::Arc;

use larder_cluster::env::{Now, Settings};
use larder_cluster::id::{NodeId, PartitionId};
use larder_cluster::layout::{Joiner, Layout};
use larder_cluster::memory_store::{MemoryStore, Survivors};
use larder_cluster::message::Message;
use larder_cluster::node::{Answer, Node, NodeState, Submitted};
use larder_cluster::partition::Partition;
use larder_cluster::request::{Reply, Request};
use larder_cluster::row_key::RowKey;
use larder_cluster::store::Store;
use larder_cluster::token::{KeyPlace, Partitions};
use larder_commands::plan::plan;
use larder_commands::reply::Protocol;
use larder_crdt::{Row, Value};
use larder_sim::action::Action;
use larder_sim::execute::{Executor, marked};
use larder_sim::history::{Moment, SharedHistory};

/// Nodes, and the letters between them.
pub(crate) struct Stage {
    pub(crate) nodes: Vec<Node>,
    pub(crate) stores: Vec<MemoryStore>,
    pub(crate) mail: Vec<(usize, usize, Message)>,
    pub(crate) now_ms: u64,
    /// What nodes have said to the layer above.
    pub(crate) answers: Vec<(usize, Answer)>,
    pub(crate) settings: Settings,
    history: Arc<SharedHistory>,
    executor: Arc<Executor>,
    runs: u128,
    values: u64,
}

/// The key of a short name; all of them are in one partition.
pub(crate) fn full(name: &str) -> Vec<u8> {
    format!("{{stage}}{name}").into_bytes()
}

/// The partition of all keys.
pub(crate) fn stage_partition() -> PartitionId {
    let partitions = Partitions::new(16).expect("sixteen is a power of two");
    KeyPlace::of(&full("")).partition(partitions)
}

/// The row of a short name.
pub(crate) fn row_key(name: &str) -> RowKey {
    let key = full(name);
    RowKey::new(KeyPlace::of(&key).key_hash, 0, &key, b"")
}

/// What a power cut leaves of what was not synced.
pub(crate) const NOTHING: Survivors = Survivors {
    records: 0,
    parts: 0,
};

/// The number of a node that is not there.
const OFF_STAGE: usize = 99;

/// The id of the n-th node.
pub(crate) fn id(node: usize) -> NodeId {
    NodeId((node as u128 + 1) << 100)
}

pub(crate) fn joiner(node: usize) -> Joiner {
    Joiner {
        node: id(node),
        zone: String::new(),
        weight: 1,
        address: "stage:1".to_owned(),
    }
}

impl Stage {
    /// `up` nodes that are members from the beginning.
    pub(crate) fn new(up: usize, replicas: usize) -> Self {
        let partitions = Partitions::new(16).expect("sixteen is a power of two");
        let mut layout = Layout::new(7, partitions, replicas);
        for node in 0..up {
            let joining = layout.with_joining(joiner(node)).expect("it is new");
            layout = joining.become_up(id(node)).expect("it is joining");
        }
        let history = Arc::new(SharedHistory::default());
        let settings = Settings {
            replication_interval_ms: 1,
            anti_entropy_interval_ms: 10,
            resend_after_ms: 20,
            transfer_timeout_ms: 100,
            ..Settings::default()
        };
        let mut stage = Self {
            nodes: Vec::new(),
            stores: Vec::new(),
            mail: Vec::new(),
            now_ms: 1_000,
            answers: Vec::new(),
            executor: Arc::new(Executor::new(history.clone())),
            history,
            runs: 0,
            values: 0,
            settings,
        };
        for _ in 0..up {
            stage.add(layout.clone());
        }
        stage.pump(20);
        stage
    }

    /// Starts one more node, and links it to all others.
    pub(crate) fn add(&mut self, layout: Layout) -> usize {
        let at = self.add_apart(layout);
        for other in 0..at {
            self.link(at, other);
        }
        at
    }

    /// Starts one more node that joins, and links it to all others.
    pub(crate) fn add_joining(&mut self) -> usize {
        let layout = self.nodes[0].view().layout.clone();
        let layout = layout.with_joining(joiner(self.nodes.len()));
        self.add(layout.expect("it is new"))
    }

    /// Starts one more node, without links.
    pub(crate) fn add_apart(&mut self, layout: Layout) -> usize {
        let at = self.nodes.len();
        let store = MemoryStore::new();
        let node = self.open(&store, Some(NodeState { id: id(at), layout }));
        self.stores.push(store);
        self.nodes.push(node);
        at
    }

    /// Starts a node that is a cluster of its own.
    pub(crate) fn add_alone(&mut self, cluster: u128) -> usize {
        let at = self.nodes.len();
        let partitions = Partitions::new(16).expect("sixteen is a power of two");
        let layout = Layout::new(cluster, partitions, 3);
        let layout = layout.with_joining(joiner(at)).expect("it is new");
        let at = self.add_apart(layout.become_up(id(at)).expect("it is joining"));
        self.pump(5);
        at
    }

    /// Lets a node that is alone join the cluster of another one, up to where it is on its disk.
    pub(crate) fn move_in(&mut self, at: usize, contact: usize) {
        let theirs = self.nodes[contact].view().layout.clone();
        let now = self.now();
        let moved = self.nodes[at].join_cluster(&theirs, now);
        moved.expect("it is alone");
        self.collect(at);
        self.nodes[at].follow_layout();
    }

    fn open(&mut self, store: &MemoryStore, fresh: Option<NodeState>) -> Node {
        self.runs += 1;
        let store: Arc<dyn Store> = Arc::new(store.clone());
        let (settings, now) = (self.settings.clone(), self.now());
        Node::open(
            store,
            self.executor.clone(),
            settings,
            fresh,
            self.runs << 64,
            now,
        )
        .expect("the disk is sound")
    }

    /// Starts a node again, on another state of its disk.
    pub(crate) fn reopen(&mut self, at: usize, store: MemoryStore) {
        for other in (0..self.nodes.len()).filter(|other| *other != at) {
            self.cut(at, other);
        }
        self.nodes[at] = self.open(&store, None);
        self.stores[at] = store;
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            monotonic_ms: self.now_ms,
            unix_ms: 1_750_000_000_000 + self.now_ms,
        }
    }

    pub(crate) fn link(&mut self, a: usize, b: usize) {
        let now = self.now();
        self.nodes[a].on_link_up(id(b), now);
        self.nodes[b].on_link_up(id(a), now);
        self.collect(a);
        self.collect(b);
    }

    /// Cuts a link: letters under way are lost.
    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        self.nodes[a].on_link_down(id(b));
        self.nodes[b].on_link_down(id(a));
        self.mail
            .retain(|(from, to, _)| (*from, *to) != (a, b) && (*from, *to) != (b, a));
    }

    pub(crate) fn collect(&mut self, at: usize) {
        let effects = self.nodes[at].commit().expect("the disk takes all");
        let answers = effects.answers.into_iter();
        self.answers.extend(answers.map(|answer| (at, answer)));
        for (peer, message) in effects.sends {
            let to = (0..self.nodes.len()).find(|node| id(*node) == peer);
            if let Some(to) = to.filter(|to| *to != at) {
                self.mail.push((at, to, message));
            }
        }
    }

    pub(crate) fn sync(&mut self, at: usize) {
        let (points, effects) = self.nodes[at].begin_sync().expect("the disk takes all");
        assert!(effects.answers.is_empty());
        self.stores[at].sync().expect("the disk takes all");
        for (peer, message) in effects.sends {
            let to = (0..self.nodes.len())
                .find(|node| id(*node) == peer)
                .expect("it is known");
            self.mail.push((at, to, message));
        }
        let now = self.now();
        self.nodes[at].finish_sync(&points, now);
        self.collect(at);
    }

    pub(crate) fn poll(&mut self, at: usize) {
        let now = self.now();
        self.nodes[at].poll(now).expect("the disk takes all");
        self.collect(at);
    }

    /// Delivers the first letter that `which` takes; says whether there was one.
    pub(crate) fn deliver(&mut self, which: impl Fn(usize, usize, &Message) -> bool) -> bool {
        let Some(at) = self
            .mail
            .iter()
            .position(|(from, to, m)| which(*from, *to, m))
        else {
            return false;
        };
        let (from, to, message) = self.mail.remove(at);
        self.hand_over(from, to, message);
        true
    }

    /// Delivers a letter, whether it is in the mail or not.
    pub(crate) fn hand_over(&mut self, from: usize, to: usize, message: Message) {
        let now = self.now();
        self.nodes[to]
            .on_message(id(from), message, now)
            .expect("the disk takes all");
        self.collect(to);
    }

    /// Takes letters out of the mail.
    pub(crate) fn take(
        &mut self,
        which: impl Fn(usize, usize, &Message) -> bool,
    ) -> Vec<(usize, usize, Message)> {
        let (taken, left) = std::mem::take(&mut self.mail)
            .into_iter()
            .partition(|(from, to, m)| which(*from, *to, m));
        self.mail = left;
        taken
    }

    /// Lets everything happen for a while, syncs included.
    pub(crate) fn pump(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.now_ms += 10;
            for at in 0..self.nodes.len() {
                self.poll(at);
                self.sync(at);
            }
            while self.deliver(|_, _, _| true) {}
        }
    }

    /// A command and its number.
    pub(crate) fn request(&mut self, action: Action) -> (u64, Request) {
        let partitions = Partitions::new(16).expect("sixteen is a power of two");
        let planned = plan(action.args(), partitions).expect("the script knows its commands");
        let mut request = planned.request(action.args(), 0, Protocol::Resp2, 1);
        let moment = Moment::default();
        let token = self.history.lock().begin_command(action, &request, moment);
        request.args[0] = marked(&request.args[0], token);
        (token, request)
    }

    /// How many commands there were.
    pub(crate) fn requests(&self) -> usize {
        self.history.lock().commands.len()
    }

    /// Runs a command on a node, on its own copy if it has one, whoever comes first in the list of
    /// those who could; gives its number.
    pub(crate) fn run(&mut self, at: usize, action: Action) -> u64 {
        let (token, request) = self.request(action);
        let now = self.now();
        let is_owner = |p: &Partition| {
            let main = p.main.as_ref().filter(|_| p.has_main());
            main.is_some_and(|main| !main.handing_over)
        };
        if self.partition(at, |p| is_owner(p)) {
            // As if a node off the stage had sent it here.
            let asked = Message::Request(token, Box::new(request));
            self.nodes[at]
                .on_message(id(OFF_STAGE), asked, now)
                .expect("the disk takes all");
        } else {
            let submitted = self.nodes[at].submit(token, request, now);
            assert!(
                matches!(submitted, Submitted::Done(Reply::Done(_))),
                "{submitted:?}"
            );
        }
        self.collect(at);
        let executions = self.history.lock().commands[token as usize].executions;
        assert_eq!(executions, 1, "it ran here");
        token
    }

    /// SET; gives the value.
    pub(crate) fn set(&mut self, at: usize, key: &str) -> String {
        self.values += 1;
        let value = self.values.to_string();
        self.run(
            at,
            Action::new([b"SET".as_slice(), &full(key), value.as_bytes()]),
        );
        value
    }

    /// DEL.
    pub(crate) fn delete(&mut self, at: usize, key: &str) {
        self.run(at, Action::new([b"DEL".as_slice(), &full(key)]));
    }

    pub(crate) fn partition<T>(&self, at: usize, look: impl FnOnce(&mut Partition) -> T) -> T {
        self.nodes[at]
            .with_partition(stage_partition(), look)
            .expect("the ring has it")
    }

    /// The values of a key in the main copy of a node, in order of their text.
    pub(crate) fn values(&self, at: usize, key: &str) -> Vec<String> {
        let row_key = row_key(key);
        let store = self.nodes[at].store().clone();
        let row: Row = self.partition(at, |p| {
            let main = p.main.as_mut().expect("the node has a copy");
            main.rows
                .get(&*store, &row_key)
                .expect("the disk is sound")
                .clone()
        });
        let text = |value: &Value| match value {
            Value::Register(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => format!("{other:?}"),
        };
        let mut values: Vec<String> = row
            .siblings()
            .iter()
            .map(|sibling| text(&sibling.value))
            .collect();
        values.sort();
        values
    }
}
