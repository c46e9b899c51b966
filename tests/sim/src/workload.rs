//! Clients: what they know, and what they are told.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use larder_cluster::id::PartitionId;
use larder_cluster::request::{Access, Reply};
use larder_cluster::token::KeyPlace;
use larder_crdt::Actor;
use serde_json::{Value, json};

use crate::action::{Action, Key, Way};
use crate::checkers::{answers, contexts};
use crate::dice::Dice;
use crate::network::Place;
use crate::plan::Plan;
use crate::replica::Replica;
use crate::reply::{Said, is_error};
use crate::submit::{Pending, Purpose, Scattered};
use crate::transactions::Watching;
use crate::watch::Watch;
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
    /// The documents of which it is a replica itself.
    pub(crate) replicas: BTreeMap<Key, Replica>,
    /// What it was told is written, by node and partition: what WAIT waits for.
    pub(crate) written: BTreeMap<Place, BTreeMap<PartitionId, Vec<u64>>>,
    /// Commands whose answers were lost, to be sent again.
    retries: Vec<Action>,
}

/// All clients.
#[derive(Debug)]
pub struct Workload {
    pub(crate) clients: Vec<Client>,
    pub(crate) pending: BTreeMap<u64, Pending>,
    /// Commands that run on several nodes, by number.
    pub(crate) scattered: BTreeMap<u64, Scattered>,
    /// Documents that somebody watches.
    pub(crate) watches: Vec<Watch>,
    /// Clients that will EXEC.
    pub(crate) watching: Vec<Watching>,
    /// How many numbers were drawn for values.
    pub(crate) values: u64,
    /// How many promises of durability were looked up on the disks.
    pub promises_checked: u64,
}

/// States of a document that a client remembers, to write with stale ones.
const KNOWN_MAX: usize = 4;
/// Commands that a client remembers to send again.
const RETRIES_MAX: usize = 8;

impl Workload {
    /// The clients of a plan.
    pub fn new(plan: &Plan, dice: &mut Dice) -> Self {
        let client = |dice: &mut Dice| Client {
            actor: Actor(dice.id()),
            known: BTreeMap::new(),
            counters: BTreeMap::new(),
            replicas: BTreeMap::new(),
            written: BTreeMap::new(),
            retries: Vec::new(),
        };
        let clients = (0..plan.clients).map(|_| client(dice)).collect();
        Self {
            clients,
            pending: BTreeMap::new(),
            scattered: BTreeMap::new(),
            watches: Vec::new(),
            watching: Vec::new(),
            values: 0,
            promises_checked: 0,
        }
    }

    /// A command that may still change something.
    pub(crate) fn unanswered(&self) -> Option<u64> {
        let mut pending = self.pending.iter();
        pending
            .find(|(_, pending)| pending.request.access == Access::Write)
            .map(|(token, _)| *token)
            .or_else(|| self.scattered.keys().next().copied())
    }

    /// A value that no command had before: a number, so that counters may stand on it.
    pub(crate) fn next_value(&mut self) -> String {
        self.values += 1;
        self.values.to_string()
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
        if self.dice.chance(self.plan.waits) {
            self.wait(entry, client);
            return;
        }
        if self.dice.chance(self.plan.transactions) {
            self.transact(entry, client);
            return;
        }
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

    /// A client is answered.
    pub(crate) fn on_answer(&mut self, token: u64, reply: &Reply) {
        let Some(pending) = self.workload.pending.remove(&token) else {
            return;
        };
        self.trace
            .line(self.now_ms, || format!("answer {token}: {}", brief(reply)));
        self.trace.mix(token);
        answers::check(self, token, &pending, reply);
        match reply {
            Reply::Done(_) | Reply::Partial { .. } => self.tally.done += 1,
            Reply::Unknown => self.tally.unknown += 1,
            _ => {}
        }
        if self.fetch(token, &pending, reply) {
            return;
        }
        match pending.purpose {
            Purpose::Client => self.on_client(token, &pending, reply),
            Purpose::Part { number, at } => {
                self.note_written(token, &pending, reply);
                self.gather(number, at, reply);
            }
            Purpose::Wait { number } => self.waited(number, token, reply),
            Purpose::Watch { number } => self.told_version(number, &pending, reply),
            Purpose::Exec => self.note_written(token, &pending, reply),
            Purpose::Look { watch } => self.looked(watch, reply),
        }
    }

    fn on_client(&mut self, token: u64, pending: &Pending, reply: &Reply) {
        let client = pending.client;
        self.note_written(token, pending, reply);
        match reply {
            Reply::Done(bytes) | Reply::Partial { reply: bytes, .. } => {
                // Sometimes the answer is lost on its way.
                if self.dice.chance(0.05) {
                    self.ask_again(token, client);
                }
                self.learn(token, client, bytes);
            }
            Reply::Unknown => self.ask_again(token, client),
            Reply::NoReplica | Reply::NotReady | Reply::PartialRead { .. } | Reply::Refused(_) => {}
        }
    }

    /// A client takes over the context that it was given.
    fn learn(&mut self, token: u64, client: usize, bytes: &[u8]) {
        let action = self.history.lock().commands[token as usize].action.clone();
        if is_error(bytes) {
            return;
        }
        let Some(said) = Said::read(bytes) else {
            self.report("answers", format!("the reply to {token} is no reply"));
            return;
        };
        let key = action.key().to_vec();
        if action.is("lmerge") {
            self.merged(client, &key, &action, &said);
            return;
        }
        if action.is("lget") && action.words.len() > 2 && action.words[2] == "STATE" {
            self.fetched(client, &key, &action, &said);
            return;
        }
        let Some(known) = known_of(&action, &said) else {
            return;
        };
        let states = self.workload.clients[client].known.entry(key).or_default();
        if states.len() == KNOWN_MAX {
            states.remove(0);
        }
        states.push(known);
    }

    /// Nobody knows whether it ran: a client that may send it twice asks again.
    fn ask_again(&mut self, token: u64, client: usize) {
        let history = self.history.lock();
        let command = &history.commands[token as usize];
        // A replica that merges keeps its delta until it is told that it arrived.
        let may_repeat =
            command.is_repeatable && !command.is_read && command.action.delta.is_none();
        let retries = &mut self.workload.clients[client].retries;
        if may_repeat && retries.len() < RETRIES_MAX {
            retries.push(command.action.clone());
        }
    }

    /// A node ended: nobody will answer what it was asked.
    pub(crate) fn forget_pending(&mut self, entry: Place) {
        for client in &mut self.workload.clients {
            client.written.remove(&entry);
        }
        let pending = &self.workload.pending;
        let lost: Vec<u64> = pending
            .iter()
            .filter(|(_, pending)| pending.entry == entry)
            .map(|(token, _)| *token)
            .collect();
        for token in lost {
            self.on_answer(token, &Reply::Unknown);
        }
        self.end_watches(entry);
    }

    /// Notes what a connection has written, for WAIT.
    fn note_written(&mut self, token: u64, pending: &Pending, reply: &Reply) {
        let bytes = match reply {
            Reply::Done(bytes) | Reply::Partial { reply: bytes, .. } if !is_error(bytes) => bytes,
            _ => return,
        };
        let history = self.history.lock();
        let command = &history.commands[token as usize];
        if command.is_read || bytes.is_empty() {
            return;
        }
        let partitions: BTreeSet<PartitionId> = command
            .changes
            .iter()
            .map(|change| history.changes[*change].partition)
            .collect();
        let written = &mut self.workload.clients[pending.client].written;
        for partition in partitions {
            let tokens = written.entry(pending.entry).or_default();
            tokens.entry(partition).or_default().push(token);
        }
    }
}

/// What a reply tells of a document.
fn known_of(action: &Action, said: &Said) -> Option<Known> {
    if action.is("lget") {
        let [json, context] = said.list() else {
            return None;
        };
        let shown = json.text().and_then(|text| serde_json::from_str(text).ok());
        return Some(Known {
            context: context.text()?.to_owned(),
            shown: shown.unwrap_or_else(|| json!({})),
        });
    }
    let write = action.write.as_ref()?;
    if let [json, context] = said.list() {
        // RETURN
        let shown = json.text().and_then(|text| serde_json::from_str(text).ok());
        return Some(Known {
            context: context.text()?.to_owned(),
            shown: shown.unwrap_or_else(|| json!({})),
        });
    }
    let shown = match write.way {
        Way::Put => write.json.clone(),
        Way::Patch => contexts::patched(&write.shown, &write.json),
        Way::Remove => return None,
    };
    Some(Known {
        context: said.text()?.to_owned(),
        shown,
    })
}

fn brief(reply: &Reply) -> String {
    let text = |bytes: &Bytes| {
        let mut text = bytes.escape_ascii().to_string();
        text.truncate(160);
        text
    };
    match reply {
        Reply::Done(bytes) => format!("done {}", text(bytes)),
        Reply::Partial {
            reply,
            reached,
            wanted,
        } => format!("on {reached} of {wanted} {}", text(reply)),
        other => format!("{other:?}"),
    }
}
