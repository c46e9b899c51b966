//! LWATCH: somebody looks at a document again whenever the node says that it may have changed.
//!
//! As the server does it: a change of a copy on this node, or a word of the node that leads the
//! key, wakes the watch. As messages of the simulator can be lost, a key that another node leads is
//! looked at from time to time.

use bytes::Bytes;
use larder_cluster::id::PartitionId;
use larder_cluster::node::Route;
use larder_cluster::request::Reply;
use larder_cluster::row_key::RowKey;
use larder_cluster::token::KeyPlace;
use larder_commands::plan::plan;
use larder_commands::reply::Protocol;

use crate::action::{Action, Key};
use crate::network::Place;
use crate::reply::is_error;
use crate::submit::Purpose;
use crate::world::World;

/// How often a key is looked at that another node leads.
const LOOK_AWAY_MS: u64 = 200;

/// Somebody who watches a document.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    pub(crate) key: Key,
    partition: PartitionId,
    row: RowKey,
    /// Whom it is connected to; none if that node ended.
    entry: Option<Place>,
    /// What it was sent last.
    pub(crate) last: Option<Bytes>,
    /// Whether an answer is under way.
    looking: bool,
    /// Whether something has changed since it was asked for.
    stale: bool,
    /// Whether another node led the key when it was looked at last.
    away: bool,
    next_ms: u64,
}

impl World {
    /// Somebody begins to watch a document.
    pub(crate) fn watch(&mut self, key: Key) {
        let token = KeyPlace::of(&key);
        self.workload.watches.push(Watch {
            partition: self.partition_of(&key),
            row: RowKey::new(token.key_hash, 0, &key, b""),
            key,
            entry: None,
            last: None,
            looking: false,
            stale: false,
            away: false,
            next_ms: 0,
        });
    }

    /// The watches on a node lose their connection.
    pub(crate) fn end_watches(&mut self, entry: Place) {
        for watch in &mut self.workload.watches {
            if watch.entry == Some(entry) {
                watch.entry = None;
                watch.looking = false;
            }
        }
    }

    /// Lets those who watch connect, and look at what is led elsewhere.
    pub(crate) fn tend_watches(&mut self) {
        for at in 0..self.workload.watches.len() {
            let watch = &self.workload.watches[at];
            let (partition, row) = (watch.partition, watch.row.clone());
            match watch.entry {
                None => {
                    let awake = self.awake();
                    let Some(entry) = self.dice.pick(&awake) else {
                        return;
                    };
                    if let Some(node) = self.node(entry) {
                        node.watch(partition, &row, self.clock_of(entry));
                    }
                    self.workload.watches[at].entry = Some(entry);
                    self.look(at);
                }
                Some(entry) if self.members[entry].is_awake() => {
                    let now = self.clock_of(entry);
                    let route = self.node(entry).map(|node| node.route(partition, now));
                    let away = route != Some(Route::Here);
                    let watch = &mut self.workload.watches[at];
                    let due = watch.next_ms <= self.now_ms && away;
                    let came = watch.away && !away;
                    watch.away = away;
                    if due || came {
                        self.look(at);
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// A node says that a row may have changed.
    pub(crate) fn wake(&mut self, entry: Place, partition: PartitionId, row: &RowKey) {
        for at in 0..self.workload.watches.len() {
            let watch = &mut self.workload.watches[at];
            if watch.entry == Some(entry) && watch.partition == partition && watch.row == *row {
                watch.stale = true;
                self.look(at);
            }
        }
    }

    fn look(&mut self, at: usize) {
        let watch = &mut self.workload.watches[at];
        let Some(entry) = watch.entry.filter(|_| !watch.looking) else {
            return;
        };
        watch.looking = true;
        watch.stale = false;
        watch.next_ms = self.now_ms + LOOK_AWAY_MS;
        let action = Action::new([b"LGET".as_slice(), &watch.key]);
        let planned = plan(action.args(), self.empty_layout().partitions());
        let planned = planned.expect("LGET takes a key");
        let request = planned.request(action.args(), 0, Protocol::Resp2, 1);
        let to = (entry, 0, Purpose::Look { watch: at });
        self.send_request(to, action, request, Some(&planned));
    }

    /// The state that a watch asked for.
    pub(crate) fn looked(&mut self, at: usize, reply: &Reply) {
        let watch = &mut self.workload.watches[at];
        watch.looking = false;
        match reply {
            Reply::Done(bytes) if !is_error(bytes) => watch.last = Some(bytes.clone()),
            // It passes; the next look is due soon.
            _ => watch.away = true,
        }
        if std::mem::take(&mut self.workload.watches[at].stale) {
            self.look(at);
        }
    }
}
