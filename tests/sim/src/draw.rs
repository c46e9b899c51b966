//! Which command a client sends next.

use larder_crdt::types::document_causal::DocDot;
use serde_json::{Value, json};

use crate::action::{Action, DocumentWrite, Key};
use crate::documents;
use crate::workload::Known;
use crate::world::World;

fn name(kind: char, number: usize) -> Key {
    format!("{kind}{number}").into_bytes()
}

impl World {
    /// The next command of a client.
    pub(crate) fn draw_action(&mut self, client: usize) -> Action {
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
                let amount = if self.dice.chance(0.3) {
                    -amount
                } else {
                    amount
                };
                let quarters = if float { amount } else { amount * 4 };
                Action::Add {
                    key,
                    quarters,
                    float,
                }
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
            0..3 => Action::Set {
                key,
                life_ms: Some(life_ms),
            },
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
                return Action::AddInside {
                    key,
                    path,
                    by,
                    named,
                };
            }
            _ => {}
        }
        let nothing = Known {
            context: String::new(),
            shown: json!({}),
        };
        let base = if self.dice.chance(0.1) {
            nothing
        } else {
            base.unwrap_or(nothing)
        };
        let way = self.dice.below(8);
        let json = if way < 5 {
            self.edited(&base.shown)
        } else {
            self.patch()
        };
        let leaves = documents::leaves(&without_nulls(&json)).len();
        let named = if way < 7 {
            self.name_dots(client, &key, leaves as u64)
        } else {
            None
        };
        let write = DocumentWrite {
            context: base.context,
            shown: base.shown,
            json,
            named,
        };
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

    fn patch(&mut self) -> Value {
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
            _ => json!(format!(
                "t{}",
                self.workload.pending() + self.dice.below(1_000)
            )),
        };
        let path = match self.dice.below(5) {
            0 => ("name".to_owned(), None),
            1 => (format!("n{}", self.dice.below(2)), None),
            _ => ("items".to_owned(), Some(format!("i{}", self.dice.below(4)))),
        };
        (path, value)
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
