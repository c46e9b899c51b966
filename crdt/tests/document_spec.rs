//! The executable specification of documents, on random histories of three replicas.
//!
//! The specification knows neither contexts nor joins. A history is a set of operations; each has
//! created some leaves and removed some, by what its writer had seen; a replica knows a set of
//! operations, and shows the leaves that one of them created and none of them removed.

mod document_support;

use std::collections::{BTreeMap, BTreeSet};

use document_support::{Replica, actor, nothing, path, seal, sync};
use larder_crdt::Stamp;
use larder_crdt::context::Seen;
use larder_crdt::types::document_causal::{
    DocContext, DocDot, Document, LeafValue, Pointer, leaves_of,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Names a leaf in the specification: by its operation, or by the client's own name for it.
type Id = (u64, u64);
/// Marks the ids whose first part is a client's number.
const CLIENT: u64 = 1 << 32;

/// What is specified of a leaf.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Spec {
    path: String,
    /// JSON text, or an amount.
    value: String,
    stamp: Stamp,
}

#[derive(Debug, Clone, Default)]
struct Operation {
    creates: BTreeMap<Id, Spec>,
    removes: BTreeSet<Id>,
    /// What counts as seen wherever the operation is known.
    covers: BTreeSet<Id>,
}

/// A reader's context, as the implementation hands it out and as the specification sees it.
#[derive(Clone)]
struct Reader {
    seen: Seen,
    ids: BTreeSet<Id>,
    shown: BTreeSet<(String, String)>,
}

/// One replica twice: as it is, and as the set of operations that it knows.
#[derive(Clone)]
struct Twin {
    real: Replica,
    known: BTreeSet<usize>,
}

struct World {
    twins: Vec<Twin>,
    operations: Vec<Operation>,
    readers: Vec<Reader>,
    /// The puts of clients, to be sent again: reader, JSON, time, first dot.
    sent: Vec<(Reader, Value, u64, u64, u64)>,
    next_counter: [u64; 2],
    now_ms: u64,
}

fn client(number: u64) -> larder_crdt::Actor {
    actor(100 + u128::from(number))
}

fn texts(value: &LeafValue) -> String {
    match value {
        LeafValue::EmptyObject => "{}".into(),
        LeafValue::Json(json) => json.as_str().into(),
        LeafValue::Increment { by, .. } => format!("{by:+}"),
    }
}

fn pairs(json: &Value) -> Vec<(String, String)> {
    let leaves = leaves_of(json, 1000).expect("small objects");
    leaves
        .iter()
        .map(|(path, value)| (path.to_string(), texts(value)))
        .collect()
}

fn is_within(path: &str, other: &str) -> bool {
    path == other || path.starts_with(&format!("{other}/"))
}

impl World {
    fn new() -> Self {
        let twin = |number| Twin {
            real: Replica::new(number),
            known: BTreeSet::new(),
        };
        let reader = Reader {
            seen: nothing(),
            ids: BTreeSet::new(),
            shown: BTreeSet::new(),
        };
        Self {
            twins: (1..=3).map(twin).collect(),
            operations: Vec::new(),
            readers: vec![reader],
            sent: Vec::new(),
            next_counter: [1, 1],
            now_ms: 1,
        }
    }

    fn covered(&self, at: usize) -> BTreeSet<Id> {
        let known = self.twins[at]
            .known
            .iter()
            .map(|operation| &self.operations[*operation]);
        known
            .flat_map(|operation| operation.covers.iter().copied())
            .collect()
    }

    /// The leaves that one known operation created and none removed.
    fn alive(&self, at: usize) -> BTreeMap<Id, Spec> {
        let known: Vec<_> = self.twins[at]
            .known
            .iter()
            .map(|o| &self.operations[*o])
            .collect();
        let removed: BTreeSet<Id> = known
            .iter()
            .flat_map(|o| o.removes.iter().copied())
            .collect();
        let created = known.iter().flat_map(|operation| &operation.creates);
        let alive = created.filter(|(id, _)| !removed.contains(id));
        // A retry that another node stamped created the same leaf later: the later stamp stands.
        let mut leaves: BTreeMap<Id, Spec> = BTreeMap::new();
        for (id, spec) in alive {
            let leaf = leaves.entry(*id).or_insert_with(|| spec.clone());
            *leaf = spec.clone().max_by_stamp(leaf.clone());
        }
        leaves
    }

    fn all_specs(&self, ids: &BTreeSet<Id>) -> BTreeMap<Id, Spec> {
        let created = self
            .operations
            .iter()
            .flat_map(|operation| &operation.creates);
        created
            .filter(|(id, _)| ids.contains(id))
            .map(|(id, s)| (*id, s.clone()))
            .collect()
    }

    fn commit(&mut self, at: usize, mut operation: Operation) {
        let created: Vec<Id> = operation.creates.keys().copied().collect();
        operation.covers.extend(created);
        self.twins[at].known.insert(self.operations.len());
        self.operations.push(operation);
    }

    fn read(&mut self, at: usize, part: Option<&str>) {
        let document = &self.twins[at].real.document;
        let part = path(part.unwrap_or_default());
        let text = seal().encode(&seal().part(document, &part));
        let ids = if part == Pointer::root() {
            self.covered(at)
        } else {
            let alive = self.alive(at).into_iter();
            let within = alive.filter(|(_, spec)| {
                let is_around = is_within(part.as_str(), &spec.path);
                let is_json = spec.value != "{}" && !spec.value.starts_with('+');
                is_within(&spec.path, part.as_str()) || (is_around && is_json)
            });
            within.map(|(id, _)| id).collect()
        };
        let view = document.view().unwrap_or(json!({}));
        let mut shown: BTreeSet<_> = pairs(&view).into_iter().collect();
        shown.retain(|(path, _)| is_within(path, part.as_str()) || part == Pointer::root());
        if document.view().is_none() {
            shown.clear();
        }
        let seen = seal().decode(text.as_bytes()).expect("handed out");
        self.readers.push(Reader { seen, ids, shown });
    }

    fn put(&mut self, at: usize, reader: &Reader, json: &Value, named: Option<(u64, u64)>) {
        self.now_ms += 1;
        self.put_at(at, reader, json, named, self.now_ms);
    }

    fn put_at(
        &mut self,
        at: usize,
        reader: &Reader,
        json: &Value,
        named: Option<(u64, u64)>,
        ms: u64,
    ) {
        let leaves = pairs(json);
        let covered = self.covered(at);
        let is_ahead = !reader.ids.is_subset(&covered);
        let claim =
            |place: usize| named.map(|(number, first)| (CLIENT + number, first + place as u64));
        let claims: BTreeSet<Id> = (0..leaves.len()).filter_map(claim).collect();
        let is_retry = named.is_some() && claims.is_subset(&covered);
        let mut operation = Operation::default();
        let mut left_alone = BTreeSet::new();
        let serial = self.operations.len() as u64;
        for (place, (path, value)) in leaves.iter().enumerate() {
            let was_shown = reader.shown.contains(&(path.clone(), value.clone()));
            if was_shown && !is_ahead {
                left_alone.insert(path.clone());
                continue;
            }
            let stamp = if was_shown {
                Stamp::ZERO
            } else {
                Stamp::from_ms(ms)
            };
            let unnamed = (serial, place as u64);
            let id = if was_shown {
                unnamed
            } else {
                claim(place).unwrap_or(unnamed)
            };
            if !covered.contains(&id) {
                let spec = Spec {
                    path: path.clone(),
                    value: value.clone(),
                    stamp,
                };
                operation.creates.insert(id, spec);
            }
        }
        let seen = self.all_specs(&reader.ids);
        operation.removes = reader.ids.iter().copied().collect();
        operation
            .removes
            .retain(|id| seen.get(id).is_none_or(|s| !left_alone.contains(&s.path)));
        operation.covers = claims.clone();
        operation.covers.extend(reader.ids.iter().copied());
        let first = named.map(|(number, counter)| DocDot::new(client(number), counter));
        let written = self.twins[at]
            .real
            .try_put(&reader.seen, json, ms, first)
            .expect("valid");
        let mut ids: BTreeSet<Id> = reader.ids.union(&claims).copied().collect();
        if is_retry {
            assert!(!written.changed, "a retry changes nothing");
        } else {
            ids.extend(operation.creates.keys().copied());
            self.commit(at, operation);
        }
        let shown = leaves.into_iter().collect();
        self.readers.push(Reader {
            seen: written.seen,
            ids,
            shown,
        });
    }

    /// A merge patch of one path: `Some` is written there, `None` removes what is at and below.
    fn patch(&mut self, at: usize, reader: &Reader, place: &str, value: Option<&Value>) {
        self.now_ms += 1;
        let names: Vec<&str> = place.split('/').skip(1).collect();
        let leaf = value.cloned().unwrap_or(Value::Null);
        let patch = names
            .iter()
            .rev()
            .fold(leaf, |inner, name| json!({ *name: inner }));
        let text = value.map(Value::to_string);
        let pair = text.clone().map(|text| (place.to_owned(), text));
        let was_shown = pair
            .as_ref()
            .is_some_and(|pair| reader.shown.contains(pair));
        let mut operation = Operation::default();
        let covered = self.covered(at);
        if !was_shown {
            for (id, spec) in self.all_specs(&reader.ids) {
                let is_below = is_within(&spec.path, place);
                let gives_way =
                    value.is_some() && is_within(place, &spec.path) && spec.value != "{}";
                if is_below || (gives_way && covered.contains(&id)) {
                    operation.removes.insert(id);
                }
            }
            if let Some(value) = text {
                let stamp = Stamp::from_ms(self.now_ms);
                let spec = Spec {
                    path: place.into(),
                    value,
                    stamp,
                };
                operation
                    .creates
                    .insert((self.operations.len() as u64, 0), spec);
            }
        }
        let written = self.twins[at].real.patch(&reader.seen, &patch, self.now_ms);
        let mut after = Reader {
            seen: written.seen,
            ..reader.clone()
        };
        // An empty object above stays where it is, but is none to who has put something into it.
        after.shown.retain(|(path, _)| {
            let gives_way = pair.is_some() && is_within(place, path);
            !is_within(path, place) && !gives_way
        });
        after.shown.extend(pair);
        after.ids.extend(operation.creates.keys().copied());
        self.commit(at, operation);
        self.readers.push(after);
    }

    fn remove(&mut self, at: usize, reader: &Reader) {
        self.now_ms += 1;
        let removes = reader.ids.clone();
        let covers = removes.clone();
        self.commit(
            at,
            Operation {
                removes,
                covers,
                ..Operation::default()
            },
        );
        self.twins[at]
            .real
            .document
            .remove(&reader.seen, Stamp::from_ms(self.now_ms));
    }

    fn remove_all(&mut self, at: usize) {
        self.now_ms += 1;
        let removes: BTreeSet<Id> = self.alive(at).into_keys().collect();
        self.commit(
            at,
            Operation {
                removes,
                ..Operation::default()
            },
        );
        self.twins[at]
            .real
            .document
            .remove_all(Stamp::from_ms(self.now_ms));
    }

    fn increment(&mut self, at: usize, place: &str, by: i64) {
        self.now_ms += 1;
        if self.twins[at]
            .real
            .increment(place, by, self.now_ms)
            .is_ok()
        {
            let stamp = Stamp::from_ms(self.now_ms);
            let spec = Spec {
                path: place.into(),
                value: format!("{by:+}"),
                stamp,
            };
            let creates = BTreeMap::from([((self.operations.len() as u64, 0), spec)]);
            self.commit(
                at,
                Operation {
                    creates,
                    ..Operation::default()
                },
            );
        }
    }

    fn join(&mut self, from: usize, to: usize) {
        let other = self.twins[from].clone();
        self.twins[to].real.join(&other.real);
        self.twins[to].known.extend(&other.known);
    }

    fn check(&self) {
        for (at, twin) in self.twins.iter().enumerate() {
            let mut expected: Vec<Spec> = self.alive(at).into_values().collect();
            let leaves = twin.real.document.leaves().values();
            let mut found: Vec<Spec> = leaves
                .map(|leaf| Spec {
                    path: leaf.path.to_string(),
                    value: texts(&leaf.value),
                    stamp: leaf.stamp,
                })
                .collect();
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "replica {at}");
            assert_eq!(
                twin.real.view(),
                view_of(&twin.real.document),
                "replica {at}"
            );
        }
    }
}

impl Spec {
    fn max_by_stamp(self, other: Self) -> Self {
        if (self.stamp, &self.path) >= (other.stamp, &other.path) {
            self
        } else {
            other
        }
    }
}

/// What shows, straight from the rules in `document_view.rs`.
fn view_of(document: &Document) -> Option<Value> {
    shown_object(document, "").map(|(value, _)| value)
}

type Rank = (Stamp, DocDot);

fn shown_at(document: &Document, at: &str) -> Option<(Value, Rank)> {
    let value = shown_value(document, at);
    let object = shown_object(document, at);
    [value, object]
        .into_iter()
        .flatten()
        .max_by_key(|(_, rank)| *rank)
}

fn shown_object(document: &Document, at: &str) -> Option<(Value, Rank)> {
    let here = document
        .leaves()
        .iter()
        .filter(|(_, leaf)| leaf.path.as_str() == at);
    let mut ranks: Vec<Rank> = here
        .filter(|(_, leaf)| leaf.value == LeafValue::EmptyObject)
        .map(|(dot, leaf)| (leaf.stamp, *dot))
        .collect();
    let below = document.leaves().values().filter_map(|leaf| {
        let rest = leaf.path.as_str().strip_prefix(&format!("{at}/"))?;
        rest.split('/').next().map(str::to_owned)
    });
    let mut members = Map::new();
    for name in below.collect::<BTreeSet<String>>() {
        if let Some((value, rank)) = shown_at(document, &format!("{at}/{name}")) {
            members.insert(name, value);
            ranks.push(rank);
        }
    }
    ranks
        .into_iter()
        .max()
        .map(|rank| (Value::Object(members), rank))
}

fn shown_value(document: &Document, at: &str) -> Option<(Value, Rank)> {
    let here: Vec<_> = document
        .leaves()
        .iter()
        .filter(|(_, leaf)| leaf.path.as_str() == at)
        .collect();
    let base = here
        .iter()
        .filter_map(|(dot, leaf)| match &leaf.value {
            LeafValue::Json(json) => Some(((leaf.stamp, **dot), json.value())),
            _ => None,
        })
        .max_by_key(|(rank, _)| *rank);
    let increments: Vec<(Rank, i64)> = here
        .iter()
        .filter_map(|(dot, leaf)| match &leaf.value {
            LeafValue::Increment { by, bases, .. } => match &base {
                Some((rank, value)) if value.is_number() && bases.contains(&rank.1) => {
                    Some(((leaf.stamp, **dot), *by))
                }
                Some(_) => None,
                None => Some(((leaf.stamp, **dot), *by)),
            },
            _ => None,
        })
        .collect();
    let sum: i64 = increments.iter().map(|(_, by)| by).sum();
    let last = increments.iter().map(|(rank, _)| *rank).max();
    match base {
        Some((rank, value)) => {
            let total = value
                .as_i64()
                .map_or(value.clone(), |number| json!(number + sum));
            Some((total, last.map_or(rank, |last| last.max(rank))))
        }
        None => last.map(|rank| (json!(sum), rank)),
    }
}

/// Steps with choices that are resolved against whatever the world holds when they run.
#[derive(Debug, Clone)]
enum Step {
    Read {
        at: usize,
    },
    ReadPart {
        at: usize,
        place: usize,
    },
    /// Puts what the reader saw at `at`, changed by `edits`, with any reader's context.
    Put {
        at: usize,
        reader: usize,
        keep: u8,
        edits: Vec<(usize, u8)>,
        client: Option<u64>,
    },
    Retry {
        at: usize,
        which: usize,
    },
    Patch {
        at: usize,
        reader: usize,
        place: usize,
        value: Option<u8>,
    },
    Remove {
        at: usize,
        reader: usize,
    },
    RemoveAll {
        at: usize,
    },
    Increment {
        at: usize,
        place: usize,
        by: i64,
    },
    Join {
        from: usize,
        to: usize,
    },
}

/// Paths that get in each other's way.
const PLACES: [&str; 6] = ["/a", "/a/x", "/a/y", "/b", "/b/x/z", "/c"];

fn step() -> impl Strategy<Value = Step> {
    let at = 0..3usize;
    let place = 0..PLACES.len();
    let reader = 0..6usize;
    let edits = prop::collection::vec((place.clone(), 0..5u8), 0..3);
    let writer = prop::option::weighted(0.4, 0..2u64);
    prop_oneof![
        4 => at.clone().prop_map(|at| Step::Read { at }),
        1 => (at.clone(), place.clone()).prop_map(|(at, place)| Step::ReadPart { at, place }),
        6 => (at.clone(), reader.clone(), any::<u8>(), edits, writer)
            .prop_map(|(at, reader, keep, edits, client)| {
                Step::Put { at, reader, keep, edits, client }
            }),
        2 => (at.clone(), 0..4usize).prop_map(|(at, which)| Step::Retry { at, which }),
        3 => (at.clone(), reader.clone(), place.clone(), prop::option::of(0..5u8))
            .prop_map(|(at, reader, place, value)| Step::Patch { at, reader, place, value }),
        1 => (at.clone(), reader).prop_map(|(at, reader)| Step::Remove { at, reader }),
        1 => at.clone().prop_map(|at| Step::RemoveAll { at }),
        2 => (at.clone(), place, 1..4i64)
            .prop_map(|(at, place, by)| Step::Increment { at, place, by }),
        5 => (at.clone(), at).prop_map(|(from, to)| Step::Join { from, to }),
    ]
}

fn value(number: u8) -> Value {
    match number {
        0 => json!([1, 2]),
        1 => json!("text"),
        other => json!(other),
    }
}

/// The object of these leaves; where a value and an object meet, the first one stays.
fn object_of(leaves: &[(String, Value)]) -> Value {
    let mut root = json!({});
    for (path, value) in leaves {
        let mut here = &mut root;
        let names: Vec<&str> = path.split('/').skip(1).collect();
        for (at, name) in names.iter().enumerate() {
            let Some(members) = here.as_object_mut() else {
                break;
            };
            let is_last = at + 1 == names.len();
            let empty = if is_last { value.clone() } else { json!({}) };
            here = members.entry(*name).or_insert(empty);
        }
    }
    root
}

impl World {
    /// One of the latest readers, so that contexts are stale but not always empty.
    fn reader(&self, which: usize) -> Reader {
        let at = self.readers.len().saturating_sub(1 + which);
        self.readers[at].clone()
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Read { at } => self.read(at, None),
            Step::ReadPart { at, place } => self.read(at, Some(PLACES[place])),
            Step::Put {
                at,
                reader,
                keep,
                edits,
                client,
            } => {
                let reader = self.reader(reader);
                let mut leaves: Vec<(String, Value)> = edits
                    .into_iter()
                    .map(|(p, v)| (PLACES[p].to_owned(), value(v)))
                    .collect();
                let kept = reader
                    .shown
                    .iter()
                    .enumerate()
                    .filter(|(n, _)| keep >> (n % 8) & 1 == 1);
                leaves.extend(kept.map(|(_, (path, text))| {
                    (
                        path.clone(),
                        serde_json::from_str(text).expect("shown as JSON"),
                    )
                }));
                let json = object_of(&leaves);
                let count = pairs(&json).len() as u64;
                let named = client.map(|number| {
                    let next = &mut self.next_counter[number as usize];
                    *next += count;
                    (number, *next - count)
                });
                self.put(at, &reader, &json, named);
                if let Some((number, first)) = named {
                    self.sent.push((reader, json, self.now_ms, number, first));
                }
            }
            Step::Retry { at, which } => {
                let found = self
                    .sent
                    .len()
                    .checked_sub(1 + which)
                    .map(|n| self.sent[n].clone());
                if let Some((reader, json, ms, number, first)) = found {
                    self.put_at(at, &reader, &json, Some((number, first)), ms);
                }
            }
            Step::Patch {
                at,
                reader,
                place,
                value: number,
            } => {
                let reader = self.reader(reader);
                self.patch(at, &reader, PLACES[place], number.map(value).as_ref());
            }
            Step::Remove { at, reader } => self.remove(at, &self.reader(reader)),
            Step::RemoveAll { at } => self.remove_all(at),
            Step::Increment { at, place, by } => self.increment(at, PLACES[place], by),
            Step::Join { from, to } => self.join(from, to),
        }
    }
}

fn world_after(steps: Vec<Step>) -> World {
    let mut world = World::new();
    for step in steps {
        world.run(step);
        world.check();
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replicas_hold_what_the_specification_says(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut world = world_after(steps);
        for (from, to) in [(0, 1), (1, 2), (2, 0), (2, 1)] {
            world.join(from, to);
        }
        world.check();
        let documents: Vec<_> = world.twins.iter().map(|twin| &twin.real.document).collect();
        prop_assert_eq!(documents[0], documents[1]);
        prop_assert_eq!(documents[1], documents[2]);
    }

    #[test]
    fn join_is_commutative_associative_and_idempotent(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let world = world_after(steps);
        let [a, b, c] = [0, 1, 2].map(|at: usize| world.twins[at].real.document.clone());
        let join = |left: &Document, right: &Document| {
            let mut joined = left.clone();
            joined.join(right);
            joined
        };
        prop_assert_eq!(join(&a, &b), join(&b, &a));
        prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
        prop_assert_eq!(join(&a, &a), a.clone());
        prop_assert_eq!(join(&join(&a, &b), &b), join(&a, &b));
        let states: Vec<_> = [&a, &b, &c].into_iter().map(Document::view).collect();
        prop_assert_eq!(states, vec![view_of(&a), view_of(&b), view_of(&c)]);
    }

    #[test]
    fn a_state_since_a_context_brings_a_replica_up_to_date(
        steps in prop::collection::vec(step(), 1..30),
    ) {
        let world = world_after(steps);
        let (mut behind, full) = (Document::new(), &world.twins[0].real.document);
        behind.absorb(&world.twins[1].real.document.state_since(None));
        let mut whole = behind.clone();
        whole.absorb(&full.state_since(None));
        let since: DocContext = behind.context().clone();
        behind.absorb(&full.state_since(Some(&since)));
        prop_assert_eq!(behind.leaves(), whole.leaves());
        prop_assert_eq!(behind.context(), whole.context());
    }

    /// However stale the context, a put neither removes nor replaces what others have done where
    /// its writer left things as it had read them.
    #[test]
    fn a_put_with_a_stale_context_loses_no_update_at_an_untouched_path(
        before in prop::collection::btree_map("[a-d](/[xy])?", 0..9u8, 1..6),
        theirs in prop::collection::btree_map("[a-h](/[xyz])?", prop::option::of(10..19u8), 1..6),
        mine in prop::collection::btree_map("[a-d](/[xy])?", prop::option::of(20..29u8), 0..3),
        is_same_node: bool,
        joins_first: bool,
    ) {
        let base = |map: &BTreeMap<String, u8>| -> BTreeMap<String, Value> {
            map.iter().map(|(place, value)| (format!("/{place}"), json!(value))).collect()
        };
        let object = |map: &BTreeMap<String, Value>| {
            object_of(&map.iter().map(|(p, v)| (p.clone(), v.clone())).collect::<Vec<_>>())
        };
        let mut node = Replica::new(1);
        node.put(&nothing(), &object(&base(&before)), 1);
        let mut other = Replica::of(2, &node.document);
        let (read, seen) = node.read();
        let read: BTreeMap<String, Value> = pairs(&read.expect("something is there"))
            .into_iter()
            .map(|(p, text)| (p, serde_json::from_str(&text).expect("JSON")))
            .collect();
        let edit = |edits: &BTreeMap<String, Option<u8>>| {
            let mut edited = read.clone();
            for (place, value) in edits {
                let place = format!("/{place}");
                let clashes = |p: &String| is_within(p, &place) || is_within(&place, p);
                edited.retain(|p, _| !clashes(p));
                edited.extend(value.map(|value| (place, json!(value))));
            }
            edited
        };
        let (theirs, mine) = (edit(&theirs), edit(&mine));
        // The others wrote with what they had seen; then comes the stale put.
        other.put(&other.seen(), &object(&theirs), 5);
        if is_same_node {
            node.join(&other);
        }
        node.put(&seen, &object(&mine), 9);
        if joins_first {
            sync(&mut node, &mut other);
        } else {
            other.join(&node);
            node.join(&other);
        }
        let view = node.view().map(|view| pairs(&view)).unwrap_or_default();
        let shown: BTreeMap<String, Value> = view
            .into_iter()
            .map(|(p, text)| (p, serde_json::from_str(&text).expect("JSON")))
            .collect();
        let touched: Vec<&String> = read.keys().chain(mine.keys())
            .filter(|place| read.get(*place) != mine.get(*place))
            .collect();
        let is_clear = |place: &String| {
            touched.iter().all(|t| !is_within(t, place) && !is_within(place, t))
        };
        for place in read.keys().chain(theirs.keys()).filter(|place| is_clear(place)) {
            prop_assert_eq!(shown.get(place), theirs.get(place), "at {}", place);
        }
    }
}
