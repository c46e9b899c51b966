//! Copies of one partition that write into a collection, clear it and hear of each other in any
//! order, against the definition: a clear takes exactly the changes that its copy had seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use larder_cluster::copy::{Copy, CopyId, EditContext};
use larder_cluster::element::{self, Family, Role};
use larder_cluster::env::{Draws, Env, Now, Settings, View};
use larder_cluster::id::{NodeId, PartitionId};
use larder_cluster::journal::Journal;
use larder_cluster::layout::Layout;
use larder_cluster::memory_store::MemoryStore;
use larder_cluster::record;
use larder_cluster::ring::Ownership;
use larder_cluster::row_key::RowKey;
use larder_cluster::rows::{Effort, Span};
use larder_cluster::store::{Checkpoint, RedoPosition, Slot, Store};
use larder_cluster::token::Partitions;
use larder_crdt::{HybridClock, Value, Writer};
use proptest::prelude::*;

const COPIES: usize = 3;
const FAMILY: Family = Family::SET;

/// What the definition knows of a copy: changes by their names, and which of them it has seen.
#[derive(Debug, Clone, Default)]
struct Model {
    /// Surviving writes: the member and the number of the write.
    live: BTreeSet<(u8, usize)>,
    seen: BTreeSet<usize>,
    /// Writes that a clear of which it knows had seen, here or not.
    masked: BTreeSet<usize>,
}

impl Model {
    fn join(&mut self, other: &Self) {
        let theirs = |write: &(u8, usize)| other.live.contains(write);
        self.live
            .retain(|write| theirs(write) || !other.seen.contains(&write.1));
        for write in &other.live {
            if !self.seen.contains(&write.1) {
                self.live.insert(*write);
            }
        }
        self.seen.extend(&other.seen);
        self.mask(&other.masked);
    }

    fn mask(&mut self, masked: &BTreeSet<usize>) {
        self.masked.extend(masked);
        let masked = &self.masked;
        self.live.retain(|(_, write)| !masked.contains(write));
    }

    fn members(&self) -> BTreeSet<u8> {
        self.live.iter().map(|(member, _)| *member).collect()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize, u8),
    Remove(usize, u8),
    Clear(usize),
    /// One copy hears all that another has to say, or only of its clears.
    Hear(usize, usize, bool),
    Checkpoint(usize),
    Purge(usize, u8),
    Evict(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let copy = 0..COPIES;
    let step = prop_oneof![
        8 => (copy.clone(), 0u8..6).prop_map(|(c, m)| Step::Write(c, m)),
        2 => (copy.clone(), 0u8..6).prop_map(|(c, m)| Step::Remove(c, m)),
        2 => copy.clone().prop_map(Step::Clear),
        6 => (copy.clone(), copy.clone(), any::<bool>())
            .prop_map(|(a, b, all)| Step::Hear(a, b, all)),
        2 => copy.clone().prop_map(Step::Checkpoint),
        1 => (copy.clone(), any::<u8>()).prop_map(|(c, rows)| Step::Purge(c, rows)),
        1 => copy.prop_map(Step::Evict),
    ];
    prop::collection::vec(step, 1..60)
}

struct World {
    store: Vec<MemoryStore>,
    copies: Vec<Copy>,
    hybrid: Vec<HybridClock>,
    stints: Vec<u32>,
    models: Vec<Model>,
    writes: usize,
    settings: Settings,
    journal: Journal,
    draws: Draws,
    view: Arc<View>,
}

fn own() -> RowKey {
    RowKey::new(7, 0, b"key", b"")
}

fn member(name: u8) -> RowKey {
    own().with_element(&FAMILY.element(Role::MEMBER, &[name]))
}

/// A redo record that ends here: this test crashes nobody.
fn nowhere() -> Writer {
    Writer::new()
}

impl World {
    fn new() -> Self {
        let layout = Layout::new(1, Partitions::DEFAULT, COPIES);
        let slot = Slot {
            partition: PartitionId(0),
            number: 1,
        };
        let copy = |at: usize| {
            let id = CopyId::of_run((at as u128 + 1) << 64, 1);
            Copy::new(id, record::Role::Main, slot)
        };
        Self {
            store: (0..COPIES).map(|_| MemoryStore::default()).collect(),
            copies: (0..COPIES).map(copy).collect(),
            hybrid: (0..COPIES).map(|_| HybridClock::new()).collect(),
            stints: vec![0; COPIES],
            models: vec![Model::default(); COPIES],
            writes: 0,
            settings: Settings::default(),
            journal: Journal::default(),
            draws: Draws::new(1),
            view: Arc::new(View {
                digest: layout.digest(),
                ownership: Arc::new(Ownership::of(&layout)),
                layout: Arc::new(layout),
                up: BTreeSet::new(),
                runs: None,
            }),
        }
    }

    /// Lets `act` work on a copy.
    fn with<T>(
        &mut self,
        at: usize,
        act: impl FnOnce(&mut Copy, EditContext<'_, '_>, &Env<'_>) -> T,
    ) -> T {
        let env = Env {
            store: &self.store[at],
            settings: &self.settings,
            view: Arc::clone(&self.view),
            node: NodeId(at as u128 + 1),
            run: (at as u128 + 1) << 64,
            now: Now {
                monotonic_ms: 1,
                unix_ms: 1,
            },
            journal: &self.journal,
            draws: &self.draws,
        };
        let mut redo = nowhere();
        let context = EditContext {
            env: &env,
            hybrid: &mut self.hybrid[at],
            stint: &mut self.stints[at],
            redo: &mut redo,
            keeps_log: true,
            group: None,
        };
        act(&mut self.copies[at], context, &env)
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Write(at, name) => {
                self.writes += 1;
                let value = [name];
                self.with(at, |copy, context, _| {
                    copy.edit(context, &member(name), |edit| {
                        edit.remove(|_| true);
                        edit.insert(edit.stamp(), None, |_| Value::Register(value.into()));
                    })
                })
                .expect("in memory");
                let model = &mut self.models[at];
                model.live.retain(|(other, _)| *other != name);
                model.live.insert((name, self.writes));
                model.seen.insert(self.writes);
            }
            Step::Remove(at, name) => {
                self.with(at, |copy, context, _| {
                    copy.edit(context, &member(name), |edit| edit.remove(|_| true))
                })
                .expect("in memory");
                self.models[at].live.retain(|(other, _)| *other != name);
            }
            Step::Clear(at) => {
                self.with(at, |copy, context, _| {
                    let seen = copy.clock.clone();
                    copy.clear(context, &own(), FAMILY, seen)
                })
                .expect("in memory");
                let seen = self.models[at].seen.clone();
                self.models[at].mask(&seen);
            }
            Step::Hear(to, from, all) => self.hear(to, from, all),
            Step::Checkpoint(at) => {
                let slot = self.copies[at].slot();
                let rows = self.copies[at].rows.take_dirty();
                let part = Checkpoint {
                    rows: rows.into_iter().map(|(k, r)| (slot, k, r)).collect(),
                    ..Checkpoint::default()
                };
                self.store[at].checkpoint(&part).expect("in memory");
                self.store[at]
                    .finish_checkpoint(RedoPosition(0))
                    .expect("in memory");
                self.copies[at].rows.settle_written(true);
            }
            Step::Purge(at, rows) => {
                self.with(at, |copy, _, env| copy.purge(env, usize::from(rows)))
                    .expect("in memory");
            }
            Step::Evict(at) => {
                self.copies[at].rows.evict(usize::MAX, Effort::Evict);
            }
        }
    }

    /// `to` joins what `from` has and it lacks, or only what `from` knows of clears.
    fn hear(&mut self, to: usize, from: usize, all: bool) {
        if to == from {
            return;
        }
        let known = self.copies[to].clock.clone();
        let actors = self.copies[to].actors.clone();
        let known = self.copies[from].known_part(&known, &actors);
        let delta = self
            .with(from, |copy, _, env| {
                let missing = copy.clock.minus(&known);
                copy.delta(env, &known, &missing, &missing)
            })
            .expect("in memory");
        let other = self.models[from].clone();
        if !all {
            // The reset header comes before what it hides.
            let mut part = delta;
            part.changes
                .retain(|change| element::is_mask(change.key.element()));
            if !part.changes.is_empty() {
                let joined = self.with(to, |copy, context, env| {
                    copy.join(env, context.redo, part, true)
                });
                joined.expect("it was computed against what the copy has");
                self.models[to].mask(&other.masked);
            }
            return;
        }
        let joined = self.with(to, |copy, context, env| {
            copy.join(env, context.redo, delta, true)
        });
        joined.expect("it was computed against what the copy has");
        self.models[to].join(&other);
    }

    fn check(&mut self) {
        for at in 0..COPIES {
            let members = self.models[at].members();
            let shown: BTreeMap<u8, usize> = self
                .with(at, |copy, _, env| {
                    let span = Span::of_prefix(&FAMILY.element(Role::MEMBER, b""));
                    copy.rows.elements(env.store, &own(), &span, usize::MAX)
                })
                .expect("in memory")
                .into_iter()
                .map(|(name, row)| (name[2], row.siblings().len()))
                .collect();
            let names: BTreeSet<u8> = shown.keys().copied().collect();
            assert_eq!(names, members, "copy {at}");
            let count = self
                .with(at, |copy, _, env| {
                    copy.rows.members(env.store, &own(), FAMILY)
                })
                .expect("in memory");
            assert_eq!(count, members.len() as u64, "members of copy {at}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_clear_takes_exactly_what_its_copy_had_seen(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            world.check();
        }
        for round in 0..2 * COPIES {
            for from in 0..COPIES {
                world.hear((from + 1 + round) % COPIES, from, true);
            }
        }
        world.check();
        let all = world.models[0].members();
        prop_assert!(world.models.iter().all(|model| model.members() == all));
    }
}
