//! Clients: what they ask for, through which node, and what they are told.

use std::collections::BTreeMap;

use bytes::Bytes;
use larder_cluster::id::PartitionId;
use larder_cluster::node::Submitted;
use larder_cluster::request::{Access, Reply, Request};
use larder_cluster::row_key::RowKey;
use larder_cluster::token::KeyPlace;
use larder_crdt::Actor;
use larder_crdt::types::document_causal::DocDot;
use serde_json::{Value, json};

use crate::action::{Action, DocumentWrite, Key};
use crate::checkers::answers;
use crate::dice::Dice;
use crate::documents;
use crate::network::Place;
use crate::plan::{Durability, Plan};
use crate::world::World;

/// What a client knows of a document.
#[derive(Debug, Clone)]
struct Known {
    context: String,
    shown: Value,
}

/// A client that keeps contexts and names its dots.
#[derive(Debug, Clone)]
struct Client {
    actor: Actor,
    known: BTreeMap<Key, Vec<Known>>,
    counters: BTreeMap<Key, u64>,
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
    clients: Vec<Client>,
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
        Self { clients, pending: BTreeMap::new(), promises_checked: 0 }
    }

    /// How many commands wait for an answer.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }
}

fn name(kind: char, number: usize) -> Key {
    format!("{kind}{number}").into_bytes()
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

    fn draw_action(&mut self, client: usize) -> Action {
        let mix = self.plan.mix;
        let mut rest = self.dice.unit() * mix.iter().sum::<f64>();
        let kind = mix.iter().position(|weight| {
            rest -= weight;
            rest <= 0.0
        });
        let number = self.dice.below(self.plan.keys);
        match kind.unwrap_or(0) {
            1 => self.draw_counter(number),
            2 => self.draw_volatile(number),
            3 => self.draw_document(client, number),
            4 => self.draw_group(number),
            _ => self.draw_register(number),
        }
    }

    fn draw_register(&mut self, number: usize) -> Action {
        let key = name('r', number);
        match self.dice.below(10) {
            0..5 => Action::Set { key, life_ms: None },
            5 => Action::SetIfAbsent { key },
            6..9 => Action::Delete { key },
            _ => Action::Get { key },
        }
    }

    fn draw_counter(&mut self, number: usize) -> Action {
        let float = number % 2 == 1;
        let key = name('c', number);
        match self.dice.below(12) {
            0..7 => {
                let amount = self.dice.between(1, 30) as i64;
                let amount = if self.dice.chance(0.3) { -amount } else { amount };
                let quarters = if float { amount } else { amount * 4 };
                Action::Add { key, quarters, float }
            }
            7..10 => Action::Delete { key },
            10 => Action::Set { key, life_ms: None },
            _ => Action::Get { key },
        }
    }

    fn draw_volatile(&mut self, number: usize) -> Action {
        let key = name('v', number);
        let life_ms = self.dice.between(1, 1_000);
        match self.dice.below(8) {
            0..3 => Action::Set { key, life_ms: Some(life_ms) },
            3 => Action::Set { key, life_ms: None },
            4 => Action::Expire { key, life_ms },
            5 => Action::Persist { key },
            6 => Action::Delete { key },
            _ => Action::Get { key },
        }
    }

    fn draw_group(&mut self, number: usize) -> Action {
        let key = |letter: char| format!("{{g{number}}}{letter}").into_bytes();
        let (mut sets, mut deletes) = (Vec::new(), Vec::new());
        for letter in ['x', 'y', 'z'] {
            match self.dice.below(4) {
                0 | 1 => sets.push(key(letter)),
                2 => deletes.push(key(letter)),
                _ => {}
            }
        }
        if sets.is_empty() {
            sets.push(key('x'));
        }
        Action::Group { sets, deletes }
    }

    fn draw_document(&mut self, client: usize, number: usize) -> Action {
        let key = name('d', number);
        let known = self.workload.clients[client].known.get(&key);
        let known = known.map_or(&[][..], Vec::as_slice);
        let latest = known.last().cloned();
        let stale = if known.is_empty() {
            None
        } else {
            Some(known[self.dice.below(known.len())].clone())
        };
        let base = if self.dice.chance(0.7) { latest } else { stale };
        match self.dice.below(14) {
            0..5 => return Action::Read { key },
            5 => return Action::Delete { key },
            6 | 7 => {
                let path = format!("/n{}", self.dice.below(2));
                let by = self.dice.between(1, 20) as i64 - 8;
                let named = self.name_dots(client, &key, 1);
                return Action::AddInside { key, path, by, named };
            }
            _ => {}
        }
        let nothing = Known { context: String::new(), shown: json!({}) };
        let base = if self.dice.chance(0.1) { nothing } else { base.unwrap_or(nothing) };
        let way = self.dice.below(8);
        let json = if way < 5 { self.edited(&base.shown) } else { self.patch() };
        let leaves = documents::leaves(&without_nulls(&json)).len();
        let named = if way < 7 { self.name_dots(client, &key, leaves as u64) } else { None };
        let write = DocumentWrite { context: base.context, shown: base.shown, json, named };
        match way {
            0..5 => Action::Put { key, write },
            5 | 6 => Action::Patch { key, write },
            _ => Action::Remove { key, write },
        }
    }

    /// The first of the client's next dots in a document, if it names this write.
    fn name_dots(&mut self, client: usize, key: &Key, leaves: u64) -> Option<DocDot> {
        if leaves == 0 || self.dice.chance(0.5) {
            return None;
        }
        let client = &mut self.workload.clients[client];
        let counter = client.counters.entry(key.clone()).or_insert(1);
        let first = DocDot::new(client.actor, *counter);
        *counter += leaves;
        Some(first)
    }

    fn edited(&mut self, shown: &Value) -> Value {
        let mut json = if shown.is_object() { shown.clone() } else { json!({}) };
        for _ in 0..=self.dice.below(3) {
            let (path, value) = self.member();
            let Some(object) = json.as_object_mut() else {
                break;
            };
            match path {
                (outer, None) if self.dice.chance(0.3) => {
                    object.remove(&outer);
                }
                (outer, None) => {
                    object.insert(outer, value);
                }
                (outer, Some(inner)) => {
                    let items = object.entry(outer).or_insert_with(|| json!({}));
                    if !items.is_object() {
                        *items = json!({});
                    }
                    if let Some(items) = items.as_object_mut() {
                        if self.dice.chance(0.3) {
                            items.remove(&inner);
                        } else {
                            items.insert(inner, value);
                        }
                    }
                }
            }
        }
        json
    }

    fn patch(&mut self) -> Value {
        let (path, value) = self.member();
        let value = if self.dice.chance(0.3) { Value::Null } else { value };
        match path {
            (outer, None) => json!({ outer: value }),
            (outer, Some(inner)) => json!({ outer: { inner: value } }),
        }
    }

    fn member(&mut self) -> ((String, Option<String>), Value) {
        let value = match self.dice.below(5) {
            0 => json!(self.dice.below(3)),
            1 => json!([self.dice.below(3)]),
            2 => json!({}),
            _ => json!(format!("t{}", self.workload.pending.len() + self.dice.below(1_000))),
        };
        let path = match self.dice.below(5) {
            0 => ("name".to_owned(), None),
            1 => (format!("n{}", self.dice.below(2)), None),
            _ => ("items".to_owned(), Some(format!("i{}", self.dice.below(4)))),
        };
        (path, value)
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
            format!("client {client} at {entry}: command {token} {}", text.unwrap_or_default())
        });
        let mut args = vec![Bytes::copy_from_slice(&token.to_be_bytes())];
        if grouped {
            // The core takes commands of several keys for groups by the number of arguments.
            args.resize(5, Bytes::new());
        }
        let access = if read { Access::Read } else { Access::Write };
        let mut request = Request::new(0, args, vec![partition], access);
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
        self.workload.pending.insert(token, Pending { entry, client, write_copies });
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
        self.trace.line(self.now_ms, || format!("answer {token}: {}", brief(reply)));
        self.trace.mix(token);
        answers::check(self, token, pending, reply);
        match reply {
            Reply::Done(bytes) | Reply::Partial { reply: bytes, .. } => {
                self.tally.done += 1;
                self.learn(token, pending.client, bytes);
            }
            Reply::Unknown => self.ask_again(token, pending.client),
            Reply::NoReplica
            | Reply::NotReady
            | Reply::PartialRead { .. }
            | Reply::Refused(_) => {}
        }
    }

    /// A client takes over the context that it was given.
    fn learn(&mut self, token: u64, client: usize, bytes: &[u8]) {
        let action = self.history.lock().commands[token as usize].action.clone();
        if !matches!(action, Action::Read { .. } | Action::Put { .. } | Action::Patch { .. }) {
            return;
        }
        let Ok(Value::Array(parts)) = serde_json::from_slice::<Value>(bytes) else {
            return;
        };
        let [Value::String(context), shown] = &parts[..] else {
            return;
        };
        let known = Known { context: context.clone(), shown: shown.clone() };
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

fn without_nulls(json: &Value) -> Value {
    match json {
        Value::Object(members) => Value::Object(
            members
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), without_nulls(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

fn brief(reply: &Reply) -> String {
    match reply {
        Reply::Done(bytes) => format!("done {}", String::from_utf8_lossy(bytes)),
        other => format!("{other:?}"),
    }
}
