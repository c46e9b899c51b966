//! Clients: what they ask for, through which node, and what they are told.

use std::collections::BTreeMap;

use bytes::Bytes;
use larder_cluster::id::PartitionId;
use larder_cluster::node::Submitted;
use larder_cluster::request::{Access, Reply, Request};
use larder_cluster::row_key::RowKey;
use larder_cluster::token::KeyPlace;
use larder_crdt::Actor;
use serde_json::Value;

use crate::action::{Action, Key};
use crate::checkers::answers;
use crate::dice::Dice;
use crate::network::Place;
use crate::plan::{Durability, Plan};
use crate::world::World;

/// What a client knows of a document.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) context: String,
    pub(crate) shown: Value,
}

/// A client that keeps contexts and names its dots.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) actor: Actor,
    pub(crate) known: BTreeMap<Key, Vec<Known>>,
    pub(crate) counters: BTreeMap<Key, u64>,
    /// Commands whose answers were lost, to be sent again.
    retries: Vec<Action>,
}

/// A command that is not answered yet.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    entry: Place,
    client: usize,
    /// On how many disks it was asked to be.
    pub write_copies: u8,
}

/// All clients.
#[derive(Debug)]
pub struct Workload {
    pub(crate) clients: Vec<Client>,
    pending: BTreeMap<u64, Pending>,
    /// How many promises of durability were looked up on the disks.
    pub promises_checked: u64,
}

/// States of a document that a client remembers, to write with stale ones.
const KNOWN_MAX: usize = 4;

impl Workload {
    /// The clients of a plan.
    pub fn new(plan: &Plan, dice: &mut Dice) -> Self {
        let client = |dice: &mut Dice| Client {
            actor: Actor(dice.id()),
            known: BTreeMap::new(),
            counters: BTreeMap::new(),
            retries: Vec::new(),
        };
        let clients = (0..plan.clients).map(|_| client(dice)).collect();
        Self {
            clients,
            pending: BTreeMap::new(),
            promises_checked: 0,
        }
    }

    /// How many commands wait for an answer.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }
}

impl World {
    /// A client sends a command.
    pub fn command(&mut self) {
        let awake = self.awake();
        let Some(entry) = self.dice.pick(&awake) else {
            return;
        };
        let client = self.dice.below(self.workload.clients.len());
        let retries = &mut self.workload.clients[client].retries;
        let action = if !retries.is_empty() && self.dice.chance(0.7) {
            retries.remove(0)
        } else {
            self.draw_action(client)
        };
        self.submit(entry, client, action);
    }

    /// The partition of a key.
    ///
    /// # Panics
    /// Never: the layout was made from the plan.
    #[must_use]
    pub fn partition_of(&self, key: &[u8]) -> PartitionId {
        KeyPlace::of(key).partition(self.empty_layout().partitions())
    }

    fn submit(&mut self, entry: Place, client: usize, action: Action) {
        let Some(node) = self.node(entry) else {
            return;
        };
        let keys = action.keys();
        let partition = self.partition_of(keys[0]);
        let key = RowKey::new(KeyPlace::of(keys[0]).key_hash, 0, keys[0], b"");
        let read = action.is_read();
        let named = action.is_named();
        let grouped = matches!(action, Action::Group { .. });
        let (disks_lost, step) = (self.disks_lost, self.sizes.len());
        let text = self.trace.is_verbose().then(|| format!("{action:?}"));
        let token = self.history.lock().begin_command(action, disks_lost, step);
        self.trace.line(self.now_ms, || {
            format!(
                "client {client} at {entry}: command {token} {}",
                text.unwrap_or_default()
            )
        });
        let args = vec![Bytes::copy_from_slice(&token.to_be_bytes())];
        let access = if read { Access::Read } else { Access::Write };
        let mut request = Request::new(0, args, vec![partition], access);
        request.grouped = grouped;
        request.repeatable |= named && self.dice.chance(0.5);
        if read && self.dice.chance(self.plan.quorums) {
            request.read_copies = self.dice.between(1, 3) as u8;
            request.pull = Some(key);
        }
        if !read && self.dice.chance(self.plan.quorums) {
            request.write_copies = self.dice.between(1, 3) as u8;
        }
        if !read && self.plan.durability == Durability::Always {
            request.write_copies = request.write_copies.max(1);
        }
        let write_copies = request.write_copies;
        self.workload.pending.insert(
            token,
            Pending {
                entry,
                client,
                write_copies,
            },
        );
        self.tally.commands += 1;
        let now = self.clock_of(entry);
        let submitted = node.submit(token, request, now);
        let before = self.members[entry].disk_failed;
        self.settle(entry);
        if let Submitted::Done(reply) = submitted {
            if self.members[entry].disk_failed && !before {
                // Its commit failed: the client is told of the disk instead.
                self.on_answer(token, &Reply::Unknown);
            } else if self.members[entry].disk_failed && matches!(reply, Reply::Done(_)) && !read {
                self.on_answer(token, &Reply::Unknown);
            } else {
                self.on_answer(token, &reply);
            }
        }
    }

    /// A client is answered.
    pub(crate) fn on_answer(&mut self, token: u64, reply: &Reply) {
        let Some(pending) = self.workload.pending.remove(&token) else {
            return;
        };
        self.trace
            .line(self.now_ms, || format!("answer {token}: {}", brief(reply)));
        self.trace.mix(token);
        self.trace.line(self.now_ms, || {
            let history = self.history.lock();
            format!(
                "command {token} was idle on {:?}",
                history.commands[token as usize].idle
            )
        });
        answers::check(self, token, pending, reply);
        match reply {
            Reply::Done(bytes) | Reply::Partial { reply: bytes, .. } => {
                self.tally.done += 1;
                self.learn(token, pending.client, bytes);
            }
            Reply::Unknown => {
                self.tally.unknown += 1;
                self.ask_again(token, pending.client);
            }
            Reply::NoReplica | Reply::NotReady | Reply::PartialRead { .. } | Reply::Refused(_) => {}
        }
    }

    /// A client takes over the context that it was given.
    fn learn(&mut self, token: u64, client: usize, bytes: &[u8]) {
        let action = self.history.lock().commands[token as usize].action.clone();
        if !matches!(
            action,
            Action::Read { .. } | Action::Put { .. } | Action::Patch { .. }
        ) {
            return;
        }
        let Ok(Value::Array(parts)) = serde_json::from_slice::<Value>(bytes) else {
            return;
        };
        let [Value::String(context), shown] = &parts[..] else {
            return;
        };
        let known = Known {
            context: context.clone(),
            shown: shown.clone(),
        };
        let key = action.keys()[0].clone();
        let states = self.workload.clients[client].known.entry(key).or_default();
        if states.len() == KNOWN_MAX {
            states.remove(0);
        }
        states.push(known);
    }

    /// Nobody knows whether it ran: a client that named its dots asks again.
    fn ask_again(&mut self, token: u64, client: usize) {
        let action = self.history.lock().commands[token as usize].action.clone();
        if action.is_named() {
            self.workload.clients[client].retries.push(action);
        }
    }

    /// A node ended: nobody will answer what it was asked.
    pub(crate) fn forget_pending(&mut self, entry: Place) {
        let pending = &self.workload.pending;
        let lost: Vec<u64> = pending
            .iter()
            .filter(|(_, pending)| pending.entry == entry)
            .map(|(token, _)| *token)
            .collect();
        for token in lost {
            self.on_answer(token, &Reply::Unknown);
        }
    }
}

fn brief(reply: &Reply) -> String {
    match reply {
        Reply::Done(bytes) => format!("done {}", String::from_utf8_lossy(bytes)),
        other => format!("{other:?}"),
    }
}
