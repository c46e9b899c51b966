//! Clients that are replicas of a document: they edit their own copy, offline if need be, and hand
//! in their deltas by LMERGE until they are told that they have arrived.

use larder_crdt::types::document_causal::{DocDot, Document, Pointer, Signer, State, parse_json};
use larder_crdt::{Actor, Stamp};

use crate::action::{Action, Key};
use crate::clock::EPOCH_MS;
use crate::documents::{leaves, seal};
use crate::draw_document::without_nulls;
use crate::reply::Said;
use crate::world::World;

/// A client's copy of a document.
#[derive(Debug, Clone)]
pub(crate) struct Replica {
    actor: Actor,
    /// The counter of its next dot.
    next: u64,
    document: Document,
    /// Contexts that cover what it has seen of others.
    contexts: Vec<String>,
    /// Deltas that nobody has confirmed yet.
    outbox: Vec<State>,
}

/// Contexts that a replica keeps before it begins anew from one whole state.
const CONTEXTS_MAX: usize = 4;
/// Deltas that wait in an outbox.
const OUTBOX_MAX: usize = 6;

impl Replica {
    fn new(actor: Actor) -> Self {
        Self {
            actor,
            next: 1,
            document: Document::new(),
            contexts: Vec::new(),
            outbox: Vec::new(),
        }
    }

    /// Takes what an edit has done into the outbox.
    fn note(&mut self, before: &Document) {
        let mut delta = State::default();
        for (dot, leaf) in self.document.leaves() {
            if !before.leaves().contains_key(dot) {
                delta.leaves.insert(*dot, leaf.clone());
                delta.context.insert(*dot);
            }
        }
        for dot in before.leaves().keys() {
            if !self.document.leaves().contains_key(dot) {
                delta.context.insert(*dot);
            }
        }
        if !delta.context.is_empty() {
            self.outbox.push(delta);
        }
    }
}

impl World {
    /// What a client does with its own copy.
    pub(crate) fn draw_replica(&mut self, client: usize, key: Key) -> Action {
        let actor = Actor(self.workload.clients[client].actor.0 ^ 1);
        let replicas = &mut self.workload.clients[client].replicas;
        let replica = replicas
            .entry(key.clone())
            .or_insert_with(|| Replica::new(actor));
        let waiting = replica.outbox.len();
        if waiting > 0 && (waiting >= OUTBOX_MAX || self.dice.chance(0.6)) {
            return self.hand_in_delta(client, &key);
        }
        if self.dice.chance(0.4) {
            return self.draw_state(client, &key);
        }
        self.edit_replica(client, &key);
        if self.workload.clients[client].replicas[&key]
            .outbox
            .is_empty()
        {
            self.draw_state(client, &key)
        } else {
            self.hand_in_delta(client, &key)
        }
    }

    /// LGET STATE: all of it, or what is new.
    fn draw_state(&mut self, client: usize, key: &Key) -> Action {
        let since = self.workload.clients[client].replicas[key].contexts.last();
        let since = since.cloned().filter(|_| self.dice.chance(0.7));
        let action = Action::new([b"LGET".as_slice(), key, b"STATE"]);
        match since {
            Some(since) => action.with("SINCE").with(since),
            None => action,
        }
    }

    /// LMERGE of any delta that waits, with any other that may go along.
    fn hand_in_delta(&mut self, client: usize, key: &Key) -> Action {
        let waiting = self.workload.clients[client].replicas[key].outbox.len();
        let at = self.dice.below(waiting);
        let replica = &self.workload.clients[client].replicas[key];
        let delta = replica.outbox[at].clone();
        let json = delta.to_json().to_string();
        let mut action = Action::new([b"LMERGE".as_slice(), key, json.as_bytes()]);
        for context in &replica.contexts {
            action = action.with(context);
        }
        if replica.contexts.is_empty() {
            action = action.with("");
        }
        action.delta = Some(delta);
        self.with_copies(action)
    }

    fn edit_replica(&mut self, client: usize, key: &Key) {
        let now = Stamp::from_ms(EPOCH_MS + self.now_ms);
        let counts = self.dice.chance(0.4);
        let by = self.dice.between(1, 20) as i64 - 8;
        let path = Pointer::parse(&format!("/n{}", self.dice.below(2))).expect("it is a path");
        let patch = self.patch();
        let replicas = &mut self.workload.clients[client].replicas;
        let replica = replicas.get_mut(key).expect("the caller has it");
        let first = DocDot::new(replica.actor, replica.next);
        let signer = Signer::of_client(Actor(replica.actor.0 ^ 2), first);
        let stamp = now.max(replica.document.latest_stamp().next());
        let before = replica.document.clone();
        let spent = if counts {
            // Where something else than a number stands, nothing is counted.
            let done = replica.document.increment(&path, by, &signer, stamp);
            u64::from(done.is_ok())
        } else {
            let seen = seal(key).whole(&before);
            let done = replica.document.patch(&seen, &patch, stamp, &signer);
            let dots = leaves(&without_nulls(&patch)).len() as u64;
            if done.is_ok() { dots } else { 0 }
        };
        replica.next += spent;
        replica.note(&before);
    }

    /// A replica joins a state that it asked for.
    pub(crate) fn fetched(&mut self, client: usize, key: &Key, action: &Action, said: &Said) {
        let [state, context] = said.list() else {
            return;
        };
        let json = state.text().map(|text| parse_json(text.as_bytes()));
        let state = json.and_then(|json| State::from_json(&json.ok()?).ok());
        let (Some(state), Some(context)) = (state, context.text()) else {
            self.report("answers", "a state does not read");
            return;
        };
        let replicas = &mut self.workload.clients[client].replicas;
        let Some(replica) = replicas.get_mut(key) else {
            return;
        };
        let since = action.words.get(4).map(|since| since.to_vec());
        if since.is_some_and(|since| !replica.contexts.iter().any(|c| c.as_bytes() == since)) {
            // It has begun anew since it asked.
            return;
        }
        if replica.contexts.len() == CONTEXTS_MAX {
            if action.words.len() > 3 {
                return;
            }
            // All that it has seen is in this one state, but for its own deltas.
            replica.contexts.clear();
            replica.document = Document::new();
            let outbox = std::mem::take(&mut replica.outbox);
            replica.outbox = outbox
                .into_iter()
                .filter(|delta| {
                    // What it wanted removed is not covered by a context any more.
                    delta.context.actors().all(|actor| actor == replica.actor)
                })
                .collect();
            for delta in &replica.outbox {
                replica.document.absorb(delta);
            }
        }
        replica.document.absorb(&state);
        replica.contexts.push(context.to_owned());
    }

    /// A delta has arrived.
    pub(crate) fn merged(&mut self, client: usize, key: &Key, action: &Action, _: &Said) {
        let replicas = &mut self.workload.clients[client].replicas;
        if let (Some(replica), Some(delta)) = (replicas.get_mut(key), &action.delta)
            && self.dice.chance(0.9)
        {
            // Else the answer is lost, and the delta is sent again.
            replica.outbox.retain(|waiting| waiting != delta);
        }
    }
}
