//! The rows of collections against a plain model: whatever is written, masked, checkpointed,
//! evicted, purged and opened again, what shows is what a map of rows would show.

use std::collections::BTreeMap;
use std::ops::Bound;

use larder_cluster::element::{self, Family, Role};
use larder_cluster::id::PartitionId;
use larder_cluster::memory_store::MemoryStore;
use larder_cluster::row_key::RowKey;
use larder_cluster::rows::{Effort, Rows, Span};
use larder_cluster::store::{Checkpoint, RedoPosition, Slot, Store};
use larder_crdt::types::score::{Score, Update};
use larder_crdt::{ActorIndex, Clock, Dot, Row, Sibling, Stamp, Value};
use proptest::prelude::*;

const SLOT: Slot = Slot {
    partition: PartitionId(3),
    number: 1,
};
const FAMILIES: [Family; 2] = [Family::HASH, Family::SORTED_SET];

fn own(key: u8) -> RowKey {
    RowKey::new(u64::from(key / 2), 0, &[key], b"")
}

fn member(family: Family, name: u8) -> Vec<u8> {
    family.element(Role::MEMBER, &element::member_name(&[name]))
}

fn value(family: Family, dot: Dot) -> Value {
    let number = (dot.counter() * 7 % 5) as u8;
    if family == Family::SORTED_SET {
        Value::Score(Score::new(Update::Set, f64::from(number)).expect("a number"))
    } else {
        Value::Register([number].into())
    }
}

fn sibling(dot: Dot, value: Value) -> Sibling {
    Sibling {
        dot,
        stamp: Stamp::default(),
        deadline: None,
        value,
    }
}

/// One thing that happens to a copy.
#[derive(Debug, Clone)]
enum Step {
    /// A member is written, by one of two actors; the row keeps the other's sibling or not.
    Write(u8, usize, u8, u8, bool),
    /// A member is removed.
    Remove(u8, usize, u8),
    /// The key's own row is written or removed.
    Own(u8, bool),
    /// A reset header comes that covers all dots, or those of one actor below a counter.
    Mask(u8, usize, Option<(u8, u8)>),
    /// The reset header goes, if its purge is done.
    Forget(u8, usize),
    /// A checkpoint reaches the disk, or fails.
    Checkpoint(bool),
    /// A checkpoint is begun; the steps until the next [`Step::Checkpoint`] fall into it.
    Begin,
    Evict(u16),
    Purge(u8),
    /// The copy is opened anew from what the last checkpoint left and the changes since.
    Open,
    /// A range is read.
    Range(u8, usize, u8, u8, bool, u8),
    /// One member is looked up.
    Get(u8, usize, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (key, family, name) = (0u8..4, 0usize..2, any::<u8>());
    let step = prop_oneof![
        12 => (key.clone(), family.clone(), name, 0u8..2, any::<bool>())
            .prop_map(|(k, f, n, a, both)| Step::Write(k, f, n, a, both)),
        4 => (key.clone(), family.clone(), name).prop_map(|(k, f, n)| Step::Remove(k, f, n)),
        1 => (key.clone(), any::<bool>()).prop_map(|(k, there)| Step::Own(k, there)),
        2 => (key.clone(), family.clone(), prop::option::of((0u8..2, any::<u8>())))
            .prop_map(|(k, f, part)| Step::Mask(k, f, part)),
        2 => (key.clone(), family.clone()).prop_map(|(k, f)| Step::Forget(k, f)),
        3 => prop::bool::weighted(0.8).prop_map(Step::Checkpoint),
        2 => Just(Step::Begin),
        3 => any::<u16>().prop_map(Step::Evict),
        3 => any::<u8>().prop_map(Step::Purge),
        1 => Just(Step::Open),
        6 => (key.clone(), family.clone(), name, name, any::<bool>(), any::<u8>())
            .prop_map(|(k, f, a, b, back, max)| Step::Range(k, f, a, b, back, max)),
        4 => (key, family, name).prop_map(|(k, f, n)| Step::Get(k, f, n)),
    ];
    prop::collection::vec(step, 1..120)
}

/// A copy's rows with a disk, and what they should be.
struct World {
    store: MemoryStore,
    rows: Rows,
    model: BTreeMap<RowKey, Row>,
    masks: BTreeMap<RowKey, Row>,
    counters: [u64; 2],
    /// Changes since the last finished checkpoint began, for opening.
    redo: Vec<(RowKey, Row)>,
    /// How many of them the checkpoint on its way holds.
    begun: Option<usize>,
    keys: ([u64; 16], u64),
    headers: Vec<RowKey>,
}

impl World {
    fn new() -> Self {
        Self {
            store: MemoryStore::default(),
            rows: Rows::new(SLOT, true, 7),
            model: BTreeMap::new(),
            masks: BTreeMap::new(),
            counters: [0; 2],
            redo: Vec::new(),
            begun: None,
            keys: ([0; 16], 0),
            headers: Vec::new(),
        }
    }

    fn dot(&mut self, actor: u8) -> Dot {
        let counter = &mut self.counters[usize::from(actor)];
        *counter += 1;
        Dot::new(ActorIndex(u32::from(actor)), *counter)
    }

    fn set(&mut self, key: &RowKey, row: &Row) {
        self.redo.push((key.clone(), row.clone()));
        self.rows
            .set(&self.store, key, row.clone())
            .expect("in memory");
        let place = if key.element().len() == 2 {
            &mut self.masks
        } else {
            &mut self.model
        };
        if row.is_empty() {
            place.remove(key);
        } else {
            place.insert(key.clone(), row.clone());
        }
        self.hide();
    }

    /// What masks cover is gone for good in the model.
    fn hide(&mut self) {
        for (header, mask) in &self.masks {
            let family = header.element().first().copied();
            for (key, row) in &mut self.model {
                if key.is_of(&header.with_element(b"")) && key.element().first().copied() == family
                {
                    row.retain(|s| {
                        !mask.siblings().iter().any(|m| match &m.value {
                            Value::Mask(clock) => clock.contains(s.dot),
                            _ => false,
                        })
                    });
                }
            }
        }
        self.model.retain(|_, row| !row.is_empty());
    }

    fn begin(&mut self) {
        if self.begun.is_some() {
            return;
        }
        let rows = self.rows.take_dirty();
        self.keys = (*self.rows.keys(), self.rows.collected());
        self.headers = self.masks.keys().cloned().collect();
        let part = Checkpoint {
            rows: rows.into_iter().map(|(k, r)| (SLOT, k, r)).collect(),
            ..Checkpoint::default()
        };
        self.store.checkpoint(&part).expect("in memory");
        self.begun = Some(self.redo.len());
    }

    fn settle(&mut self, reached: bool) {
        self.begin();
        let count = self.begun.take().expect("begun");
        if reached {
            self.store
                .finish_checkpoint(RedoPosition(0))
                .expect("in memory");
            self.redo.drain(..count);
        } else {
            // A part that was not finished may be there or not; here it is.
        }
        self.rows.settle_written(reached);
    }

    fn open(&mut self) {
        self.settle(true);
        let mut rows = Rows::new(SLOT, false, 9);
        rows.set_keys(self.keys.0, self.keys.1);
        for header in &self.headers {
            rows.open_mask(&self.store, header).expect("in memory");
        }
        for (key, row) in self.redo.clone() {
            rows.set(&self.store, &key, row).expect("in memory");
        }
        self.rows = rows;
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Write(key, family, name, actor, both) => {
                let key = own(key).with_element(&member(FAMILIES[family], name));
                let dot = self.dot(actor);
                let mut row = self.model.get(&key).cloned().unwrap_or_default();
                row.retain(|s| both && s.dot.actor() != dot.actor());
                row.insert(sibling(dot, value(FAMILIES[family], dot)));
                self.set(&key, &row);
            }
            Step::Remove(key, family, name) => {
                let key = own(key).with_element(&member(FAMILIES[family], name));
                self.set(&key, &Row::new());
            }
            Step::Own(key, there) => {
                let mut row = Row::new();
                if there {
                    let dot = self.dot(0);
                    row.insert(sibling(dot, Value::Register([1].into())));
                }
                self.set(&own(key), &row);
            }
            Step::Mask(key, family, part) => self.mask(key, FAMILIES[family], part),
            Step::Forget(key, family) => {
                let header = own(key).with_element(&FAMILIES[family].element(Role::MASK, b""));
                if self.masks.contains_key(&header) && !self.rows.is_purging(&header) {
                    self.set(&header, &Row::new());
                }
            }
            Step::Checkpoint(reached) => self.settle(reached),
            Step::Begin => self.begin(),
            Step::Evict(bytes) => {
                self.rows.evict(usize::from(bytes), Effort::Evict);
            }
            Step::Purge(rows) => {
                self.rows
                    .purge(&self.store, usize::from(rows))
                    .expect("in memory");
            }
            Step::Open => self.open(),
            Step::Range(key, family, a, b, backwards, max) => {
                let span = Span {
                    from: Bound::Included(member(FAMILIES[family], a)),
                    to: Bound::Excluded(member(FAMILIES[family], b)),
                    backwards,
                };
                self.check_range(key, &span, usize::from(max % 8));
            }
            Step::Get(key, family, name) => {
                let key = own(key).with_element(&member(FAMILIES[family], name));
                let row = self.rows.get(&self.store, &key).expect("in memory");
                assert_eq!(row, self.model.get(&key).cloned().unwrap_or_default());
            }
        }
    }

    fn mask(&mut self, key: u8, family: Family, part: Option<(u8, u8)>) {
        let header = own(key).with_element(&family.element(Role::MASK, b""));
        let mut clock = Clock::new();
        match part {
            None => {
                for (actor, counter) in self.counters.into_iter().enumerate() {
                    if counter > 0 {
                        clock.insert_range(ActorIndex(actor as u32), 1, counter);
                    }
                }
            }
            Some((actor, counter)) if counter > 0 => {
                let actor = ActorIndex(u32::from(actor));
                let highest = self.counters[actor.0 as usize];
                if highest > 0 {
                    clock.insert_range(actor, 1, u64::from(counter).min(highest));
                }
            }
            Some(_) => {}
        }
        for sibling in self
            .masks
            .get(&header)
            .iter()
            .flat_map(|row| row.siblings())
        {
            if let Value::Mask(before) = &sibling.value {
                clock.join(before);
            }
        }
        let dot = self.dot(0);
        self.set(
            &header,
            &Row::of(sibling(dot, Value::Mask(Box::new(clock)))),
        );
    }

    fn expected(&self, key: u8, span: &Span) -> Vec<(Box<[u8]>, Row)> {
        let within = |name: &[u8]| {
            let from = match &span.from {
                Bound::Included(from) => name >= &from[..],
                Bound::Excluded(from) => name > &from[..],
                Bound::Unbounded => true,
            };
            from && match &span.to {
                Bound::Included(to) => name <= &to[..],
                Bound::Excluded(to) => name < &to[..],
                Bound::Unbounded => true,
            }
        };
        let all = self.model.iter().chain(&self.masks);
        let mut found: Vec<(Box<[u8]>, Row)> = all
            .filter(|(row_key, _)| row_key.is_of(&own(key)) && !row_key.element().is_empty())
            .filter(|(row_key, _)| within(row_key.element()))
            .map(|(row_key, row)| (row_key.element().into(), row.clone()))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        if span.backwards {
            found.reverse();
        }
        found
    }

    fn check_range(&mut self, key: u8, span: &Span, max: usize) {
        let mut expected = self.expected(key, span);
        expected.truncate(max);
        let mut found = self
            .rows
            .elements(&self.store, &own(key), span, max)
            .expect("in memory");
        found.retain(|(_, row)| !row.is_empty());
        assert_eq!(found, expected, "{span:?} of {key}");
    }

    fn check_counts(&mut self) {
        for key in 0..4 {
            let mut families = Vec::new();
            for family in FAMILIES {
                let prefix = family.element(Role::MEMBER, b"");
                let members = self.expected(key, &Span::of_prefix(&prefix)).len();
                let counted = self
                    .rows
                    .members(&self.store, &own(key), family)
                    .expect("in memory");
                assert_eq!(counted, members as u64, "members of {key}");
                if members > 0 {
                    families.push(family);
                }
            }
            let shown = self
                .rows
                .families(&self.store, &own(key))
                .expect("in memory");
            assert_eq!(shown, families);
        }
    }

    /// The index of scores lists what its members' scores say.
    fn check_derived(&mut self, key: u8) {
        let all = Span::of_prefix(&[Family::SORTED_SET.0]);
        let members = self.expected(key, &all).into_iter();
        let mut expected: Vec<Box<[u8]>> = members
            .flat_map(|(name, row)| element::derived(&name, &row))
            .collect();
        expected.sort();
        let scores = Span::of_prefix(&Family::SORTED_SET.element(Role::BY_SCORE, b""));
        for span in [scores.clone(), scores.reversed()] {
            let found = self
                .rows
                .elements(&self.store, &own(key), &span, usize::MAX)
                .expect("in memory");
            let found: Vec<Box<[u8]>> = found.into_iter().map(|(name, _)| name).collect();
            assert_eq!(found, expected, "scores of {key}");
            expected.reverse();
        }
    }

    fn check_whole(&mut self) {
        self.check_counts();
        (0..4).for_each(|key| self.check_derived(key));
        for key in 0..4 {
            let all = Span::of_prefix(b"");
            self.check_range(key, &all, usize::MAX);
            self.check_range(key, &all.reversed(), usize::MAX);
        }
        let mut expected: Vec<(RowKey, Row)> = self.model.clone().into_iter().collect();
        expected.extend(self.masks.clone());
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        let (mut walked, mut after) = (Vec::new(), None);
        loop {
            let (rows, more) = self
                .rows
                .range(&self.store, after.as_ref(), 5)
                .expect("in memory");
            after = rows.last().map(|(key, _)| key.clone());
            walked.extend(rows);
            if !more || after.is_none() {
                break;
            }
        }
        assert_eq!(walked, expected);
    }

    /// With all purged and written, the disk holds what shows and no more.
    fn check_disk(&mut self) {
        while self.rows.has_purges() {
            self.rows.purge(&self.store, 7).expect("in memory");
        }
        self.settle(true);
        self.store.limit_scans(0);
        let stored = self.store.rows(SLOT, None, usize::MAX).expect("in memory");
        let names: Vec<RowKey> = stored
            .into_iter()
            .map(|(key, _)| key)
            .filter(|key| !element::is_local(key.element()))
            .collect();
        let mut expected: Vec<RowKey> = self
            .model
            .keys()
            .chain(self.masks.keys())
            .cloned()
            .collect();
        expected.sort();
        assert_eq!(names, expected);
        for header in self.masks.keys() {
            assert!(!self.rows.is_purging(header));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn collections_show_what_a_map_of_rows_would(steps in steps(), scan_rows in 0usize..5) {
        let mut world = World::new();
        world.store.limit_scans(scan_rows);
        for step in &steps {
            world.step(step);
            world.check_counts();
        }
        world.check_whole();
        world.open();
        world.check_whole();
        world.check_disk();
        world.rows.evict(usize::MAX, Effort::Evict);
        world.rows.evict(usize::MAX, Effort::Evict);
        world.check_whole();
        prop_assert!(world.rows.dirty_bytes() <= world.rows.bytes());
    }
}
