//! What a client writes to a document, and with which context.

use larder_crdt::types::document_causal::DocDot;
use serde_json::{Value, json};

use crate::action::{Action, DocumentWrite, Key, Way};
use crate::documents;
use crate::workload::Known;
use crate::world::World;

impl World {
    pub(crate) fn draw_document(&mut self, client: usize, key: Key) -> Action {
        match self.dice.below(28) {
            0..9 => return self.draw_read(&key),
            9 | 10 => return Action::new([b"DEL".as_slice(), &key]),
            11..15 => return self.draw_increment_inside(client, &key),
            _ => {}
        }
        let base = self.draw_known(client, &key);
        let (way, json) = match self.dice.below(8) {
            0..5 => (Way::Put, self.edited(&base.shown)),
            5 | 6 => (Way::Patch, self.patch()),
            _ => (Way::Remove, json!({})),
        };
        let context = base.context.as_bytes();
        let mut action = match way {
            Way::Put => Action::new([b"LPUT".as_slice(), &key, context]),
            Way::Patch => Action::new([b"LPATCH".as_slice(), &key, context]),
            Way::Remove => Action::new([b"LDEL".as_slice(), &key, context]),
        };
        let mut is_named = false;
        if way != Way::Remove {
            action = action.with(json.to_string());
            let leaves = documents::leaves(&without_nulls(&json)).len();
            if let Some(first) = self.name_dots(client, &key, leaves as u64) {
                is_named = true;
                action = with_name(action, first);
            }
            if self.dice.chance(0.1) {
                action = action.with("RETURN");
            }
        }
        action.write = Some(DocumentWrite {
            way,
            shown: base.shown,
            json,
            is_named,
        });
        self.with_copies(action)
    }

    /// Adds `W n` to as many commands as ask for copies in this run.
    pub(crate) fn with_copies(&mut self, action: Action) -> Action {
        if self.dice.chance(self.plan.quorums) {
            let copies = self.dice.between(1, 3).to_string();
            action.with("W").with(copies)
        } else {
            action
        }
    }

    fn draw_read(&mut self, key: &Key) -> Action {
        let action = Action::new([b"LGET".as_slice(), key]);
        if self.dice.chance(self.plan.quorums) {
            let copies = self.dice.between(1, 3).to_string();
            action.with("R").with(copies)
        } else {
            action
        }
    }

    fn draw_increment_inside(&mut self, client: usize, key: &Key) -> Action {
        let path = format!("/n{}", self.dice.below(2));
        let by = (self.dice.between(1, 20) as i64 - 8).to_string();
        let action = Action::new([b"LINCRBY".as_slice(), key, path.as_bytes(), by.as_bytes()]);
        let action = match self.name_dots(client, key, 1) {
            Some(first) => with_name(action, first),
            None => action,
        };
        self.with_copies(action)
    }

    /// What the client goes by: mostly what it read last, sometimes something older or nothing.
    fn draw_known(&mut self, client: usize, key: &Key) -> Known {
        let known = self.workload.clients[client].known.get(key);
        let known = known.map_or(&[][..], Vec::as_slice);
        let latest = known.last().cloned();
        let stale = if known.is_empty() {
            None
        } else {
            Some(known[self.dice.below(known.len())].clone())
        };
        let base = if self.dice.chance(0.7) { latest } else { stale };
        base.filter(|_| !self.dice.chance(0.1))
            .unwrap_or_else(|| Known {
                context: String::new(),
                shown: json!({}),
            })
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
        let mut json = if shown.is_object() {
            shown.clone()
        } else {
            json!({})
        };
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

    /// A merge patch of one member.
    pub(crate) fn patch(&mut self) -> Value {
        let (path, value) = self.member();
        let value = if self.dice.chance(0.3) {
            Value::Null
        } else {
            value
        };
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
            _ => json!(format!("t{}", self.dice.below(1_000))),
        };
        let path = match self.dice.below(5) {
            0 => ("name".to_owned(), None),
            1 => (format!("n{}", self.dice.below(2)), None),
            _ => ("items".to_owned(), Some(format!("i{}", self.dice.below(4)))),
        };
        (path, value)
    }
}

fn with_name(action: Action, first: DocDot) -> Action {
    let action = action.with("AS").with(first.actor.to_string());
    action.with(first.counter.to_string())
}

/// A merge patch without its removals: the leaves that it writes.
pub(crate) fn without_nulls(json: &Value) -> Value {
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
