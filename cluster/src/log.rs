//! dot → element, for the changes that some owner still lacks.
//!
//! Beside the dots stands the same the other way round: an element always travels with all of its
//! dots that the other side lacks, and a group of changes with all of its elements (DESIGN.md
//! section 4, rule 6).

use std::collections::{BTreeMap, BTreeSet};

use larder_crdt::{ActorIndex, Clock, Dot};
use smallvec::SmallVec;

use crate::row_key::RowKey;

/// Elements, each with dots that changed it and the groups of these.
pub type ElementDots = BTreeMap<RowKey, Vec<(Dot, Option<Dot>)>>;

/// One change that some owner may lack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The element that it changed.
    pub key: RowKey,
    /// The first dot of the group of changes that it belongs to, if others belong to it, too.
    pub group: Option<Dot>,
}

/// The log of one copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    entries: BTreeMap<Dot, LogEntry>,
    elements: BTreeMap<RowKey, SmallVec<[Dot; 2]>>,
    groups: BTreeMap<Dot, SmallVec<[Dot; 4]>>,
}

impl Log {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many changes it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The change of a dot.
    #[must_use]
    pub fn get(&self, dot: Dot) -> Option<&LogEntry> {
        self.entries.get(&dot)
    }

    /// All changes, in order of their dots.
    pub fn iter(&self) -> impl Iterator<Item = (Dot, &LogEntry)> {
        self.entries.iter().map(|(dot, entry)| (*dot, entry))
    }

    /// Adds a change; a dot that is there already stays as it is.
    pub fn insert(&mut self, dot: Dot, key: RowKey, group: Option<Dot>) {
        if self.entries.contains_key(&dot) {
            return;
        }
        self.elements.entry(key.clone()).or_default().push(dot);
        if let Some(group) = group {
            self.groups.entry(group).or_default().push(dot);
        }
        self.entries.insert(dot, LogEntry { key, group });
    }

    /// Forgets a change.
    pub fn remove(&mut self, dot: Dot) {
        let Some(entry) = self.entries.remove(&dot) else {
            return;
        };
        if let Some(dots) = self.elements.get_mut(&entry.key) {
            dots.retain(|other| *other != dot);
            if dots.is_empty() {
                self.elements.remove(&entry.key);
            }
        }
        if let Some(group) = entry.group
            && let Some(dots) = self.groups.get_mut(&group)
        {
            dots.retain(|other| *other != dot);
            if dots.is_empty() {
                self.groups.remove(&group);
            }
        }
    }

    /// The changes of an actor with counters `start..=end`.
    pub fn range(
        &self,
        actor: ActorIndex,
        start: u64,
        end: u64,
    ) -> impl Iterator<Item = (Dot, &LogEntry)> {
        let range = Dot::new(actor, start)..=Dot::new(actor, end);
        self.entries.range(range).map(|(dot, entry)| (*dot, entry))
    }

    /// The first change of `missing` that the log cannot name: if there is one, only the whole
    /// partition brings the other side up to date (rule 5).
    #[must_use]
    pub fn first_unexplained(&self, missing: &Clock) -> Option<Dot> {
        for (actor, start, end) in missing.ranges() {
            let mut expected = start;
            for (dot, _) in self.range(actor, start, end) {
                if dot.counter() != expected {
                    break;
                }
                expected += 1;
            }
            if expected <= end {
                return Some(Dot::new(actor, expected));
            }
        }
        None
    }

    /// The elements that the dots of `chosen` changed, each with all its dots of `missing`, until
    /// about `elements_max`; more where a group of changes must stay together. `closed` is false
    /// only when a test breaks rule 6: then an element travels with some of its dots.
    #[must_use]
    pub fn batch(
        &self,
        chosen: &Clock,
        missing: &Clock,
        elements_max: usize,
        closed: bool,
    ) -> ElementDots {
        let mut batch = BTreeMap::new();
        for (actor, start, end) in chosen.ranges() {
            for (dot, entry) in self.range(actor, start, end) {
                if batch.len() >= elements_max {
                    return batch;
                }
                if !closed {
                    batch
                        .entry(entry.key.clone())
                        .or_insert_with(Vec::new)
                        .push((dot, None));
                    if batch.len() >= elements_max {
                        return batch;
                    }
                } else if !batch.contains_key(&entry.key) {
                    self.add_closure(&entry.key, missing, &mut batch);
                }
            }
        }
        batch
    }

    /// One element with all its dots in `missing`, and the elements of its groups likewise.
    #[must_use]
    pub fn closure_of(&self, key: &RowKey, missing: &Clock) -> ElementDots {
        let mut batch = BTreeMap::new();
        self.add_closure(key, missing, &mut batch);
        batch.retain(|_, dots| !dots.is_empty());
        batch
    }

    /// Adds an element with all its missing dots, then the elements of their groups, and so on.
    fn add_closure(&self, first: &RowKey, missing: &Clock, batch: &mut ElementDots) {
        let mut open = BTreeSet::from([first.clone()]);
        while let Some(key) = open.pop_first() {
            let mut dots = Vec::new();
            for &dot in self.elements.get(&key).into_iter().flatten() {
                if !missing.contains(dot) {
                    continue;
                }
                let group = self.get(dot).and_then(|entry| entry.group);
                dots.push((dot, group));
                for member in group
                    .and_then(|g| self.groups.get(&g))
                    .into_iter()
                    .flatten()
                {
                    if let Some(entry) = self.get(*member)
                        && missing.contains(*member)
                        && entry.key != key
                        && !batch.contains_key(&entry.key)
                    {
                        open.insert(entry.key.clone());
                    }
                }
            }
            dots.sort_unstable();
            batch.insert(key, dots);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(counter: u64) -> Dot {
        Dot::new(ActorIndex(0), counter)
    }

    fn key(name: &str) -> RowKey {
        RowKey::new(1, 0, name.as_bytes(), b"")
    }

    /// short.py, history 4: T1 {x, y} and T2 {y, z} must travel together.
    #[test]
    fn a_batch_holds_groups_whole_and_elements_with_all_their_dots() {
        let mut log = Log::new();
        log.insert(dot(1), key("x"), Some(dot(1)));
        log.insert(dot(2), key("y"), Some(dot(1)));
        log.insert(dot(3), key("y"), Some(dot(3)));
        log.insert(dot(4), key("z"), Some(dot(3)));
        log.insert(dot(5), key("other"), None);
        let mut missing = Clock::new();
        missing.insert_range(ActorIndex(0), 1, 5);
        let batch = log.batch(&missing, &missing, 1, true);
        let keys: Vec<_> = batch.keys().cloned().collect();
        assert_eq!(keys, [key("x"), key("y"), key("z")]);
        assert_eq!(batch[&key("y")].len(), 2);
    }

    #[test]
    fn a_gap_in_the_log_is_named() {
        let mut log = Log::new();
        for counter in [1, 2, 4] {
            log.insert(dot(counter), key("x"), None);
        }
        let mut missing = Clock::new();
        missing.insert_range(ActorIndex(0), 2, 4);
        assert_eq!(log.first_unexplained(&missing), Some(dot(3)));
        log.insert(dot(3), key("y"), None);
        assert_eq!(log.first_unexplained(&missing), None);
        log.remove(dot(4));
        assert_eq!(log.first_unexplained(&missing), Some(dot(4)));
    }
}
