//! Replicas of one element's row, each with numbers of its own for the actors, as copies have them.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of this"
)]

use larder_crdt::actor::Translation;
use larder_crdt::{Actor, ActorTable, Clock, Dot, Row, Sibling, Stamp, Value, Writer};

/// A copy that holds one element.
#[derive(Clone)]
pub struct Replica {
    pub row: Row,
    pub clock: Clock,
    table: ActorTable,
    actor: Actor,
    next: u64,
}

/// One write: it removes what it observes and inserts under fresh dots.
pub struct Edit<'a> {
    replica: &'a mut Replica,
    stamp: Stamp,
    took: bool,
}

impl Edit<'_> {
    pub fn row(&self) -> &Row {
        &self.replica.row
    }

    fn fresh(&mut self) -> Dot {
        self.took = true;
        self.replica.fresh()
    }

    pub fn remove(&mut self, which: impl Fn(&Sibling) -> bool) {
        self.replica.row.retain(|sibling| !which(sibling));
    }

    pub fn insert(&mut self, value: impl FnOnce(Dot) -> Value) {
        let dot = self.fresh();
        self.replica.row.insert(Sibling {
            dot,
            stamp: self.stamp,
            deadline: None,
            value: value(dot),
        });
    }
}

impl Replica {
    /// The `number`-th copy of an element that nobody has written yet.
    pub fn new(number: u64) -> Self {
        Self {
            row: Row::new(),
            clock: Clock::new(),
            table: ActorTable::new(),
            actor: Actor(u128::from(number) << 96 | 7),
            next: 1,
        }
    }

    fn fresh(&mut self) -> Dot {
        let dot = Dot::new(self.table.intern(self.actor), self.next);
        self.next += 1;
        self.clock.insert(dot);
        dot
    }

    /// A write; its stamp is `stamp`, or a later one than all that it observes.
    pub fn write<T>(&mut self, stamp: u64, change: impl FnOnce(&mut Edit<'_>) -> T) -> (T, Stamp) {
        let stamp = Stamp(stamp).max(self.row.latest_stamp().next());
        let mut edit = Edit {
            replica: self,
            stamp,
            took: false,
        };
        let outcome = change(&mut edit);
        if !edit.took {
            edit.fresh();
        }
        (outcome, stamp)
    }

    /// Takes over everything of another replica, as it arrives: in bytes, and in other numbers.
    pub fn take(&mut self, other: &Self) {
        let mut writer = Writer::new();
        other.row.encode(&mut writer);
        let row = Row::from_bytes(writer.as_slice()).expect("what was written can be read");
        assert_eq!(row, other.row, "a row comes back as it was");
        let translation = Translation::new(&other.table, &mut self.table);
        let row = row.translate(&translation).expect("all actors are known");
        let clock = other.clock.translate(&translation);
        let clock = clock.expect("all actors are known");
        let joined = Row::join(&self.row, &self.clock, &row, &clock);
        let reverse = Row::join(&row, &clock, &self.row, &self.clock);
        assert_eq!(joined, reverse, "a join does not depend on sides");
        self.row = joined;
        self.clock.join(&clock);
    }

    /// Whether this replica has seen all that `other` has.
    pub fn covers(&self, other: &Self) -> bool {
        let mut table = self.table.clone();
        let translation = Translation::new(&other.table, &mut table);
        let clock = other.clock.translate(&translation);
        self.clock.covers(&clock.expect("all actors are known"))
    }

    /// Another copy of the same node that begins with what this one holds and signs for itself.
    pub fn restart(&mut self, number: u64) {
        self.actor = Actor(u128::from(number) << 96 | 7);
        self.next = 1;
    }

    /// Forgets siblings without a dot: resets that are settled.
    pub fn forget(&mut self, which: impl Fn(&Sibling) -> bool) {
        self.row.retain(|sibling| !which(sibling));
    }
}

/// Keeps the resets of the counters observed, as DEL and SET do.
pub fn reset_counters(edit: &mut Edit<'_>) {
    use larder_crdt::types::register_lww::joined_counter;
    let is_counter = |sibling: &Sibling| matches!(sibling.value, Value::Counter(_));
    let observed = edit.row().siblings().iter();
    if observed
        .filter(|sibling| is_counter(sibling))
        .all(|sibling| sibling.value.is_reset())
    {
        return;
    }
    let mut counter = joined_counter(edit.row(), 0).unwrap_or_default();
    counter.reset();
    edit.remove(is_counter);
    edit.insert(|_| Value::Counter(Box::new(counter)));
}
