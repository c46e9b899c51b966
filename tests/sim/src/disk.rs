//! What a disk holds, read from its bytes alone: the judge of what a crash has taken.

use std::collections::BTreeMap;

use larder_cluster::copy::Copy;
use larder_cluster::id::PartitionId;
use larder_cluster::memory_store::{MemoryStore, Survivors};
use larder_cluster::record::{CopyImage, Entry, Role};
use larder_cluster::row_key::RowKey;
use larder_cluster::store::{Slot, Store};
use larder_crdt::{ActorTable, Clock, Reader, Row};

use crate::history::History;

/// The dots that a disk holds, by partition, in the history's numbers.
pub type Held = BTreeMap<PartitionId, Clock>;

/// What is known of one copy from the bytes.
#[derive(Debug, Clone)]
struct Seen {
    role: Role,
    actors: ActorTable,
    clock: Clock,
}

/// All dots that copies on the disk have seen; those of a bootstrap under way do not count.
///
/// # Panics
/// If the disk holds what no node writes.
#[must_use]
pub fn held(store: &MemoryStore, history: &mut History) -> Held {
    let mut copies: BTreeMap<Slot, Seen> = BTreeMap::new();
    let stored = store.stored().expect("memory does not fail");
    for (slot, bytes) in stored.copies {
        let image = CopyImage::decode(&mut Reader::new(&bytes)).expect("a node has written it");
        copies.insert(slot, seen(image));
    }
    let mut each = |_, redo: &[u8]| {
        let mut reader = Reader::new(redo);
        while !reader.is_empty() {
            apply(
                &mut copies,
                Entry::decode(&mut reader).expect("a node has written it"),
            );
        }
        Ok(())
    };
    store.replay(&mut each).expect("memory does not fail");
    let mut held = Held::new();
    for (slot, seen) in copies {
        if seen.role != Role::Staged {
            let clock = history.clock(&seen.actors, &seen.clock);
            held.entry(slot.partition).or_default().join(&clock);
        }
    }
    held
}

/// What the disk would hold after a power cut now.
#[must_use]
pub fn held_durably(store: &MemoryStore, history: &mut History) -> Held {
    held(
        &store.crash_power(Survivors {
            records: 0,
            parts: 0,
        }),
        history,
    )
}

/// All rows of a copy, in order.
///
/// # Panics
/// Never: memory does not fail.
#[must_use]
pub fn rows_of(copy: &Copy, store: &dyn Store) -> Vec<(RowKey, Row)> {
    let mut all: Vec<(RowKey, Row)> = Vec::new();
    loop {
        let after = all.last().map(|(key, _)| key.clone());
        let rows = copy.rows.range(store, after.as_ref(), usize::MAX);
        let (rows, more) = rows.expect("memory does not fail");
        let over = !more || rows.is_empty();
        all.extend(rows);
        if over {
            return all;
        }
    }
}

fn seen(image: CopyImage) -> Seen {
    Seen {
        role: image.role,
        actors: image.actors,
        clock: image.clock,
    }
}

fn apply(copies: &mut BTreeMap<Slot, Seen>, entry: Entry) {
    match entry {
        Entry::Copy { slot, image } => match copies.get_mut(&slot) {
            Some(copy) => {
                copy.role = image.role;
                copy.clock.join(&image.clock);
            }
            None => {
                copies.insert(slot, seen(*image));
            }
        },
        Entry::Drop { slot } => {
            copies.remove(&slot);
        }
        Entry::Change { slot, dots, .. } => {
            if let Some(copy) = copies.get_mut(&slot) {
                dots.iter().for_each(|(dot, _)| copy.clock.insert(*dot));
            }
        }
        Entry::Clock { slot, clock } => {
            if let Some(copy) = copies.get_mut(&slot) {
                copy.clock.join(&clock);
            }
        }
        Entry::Actor { slot, actor, .. } => {
            if let Some(copy) = copies.get_mut(&slot) {
                copy.actors.intern(actor);
            }
        }
        Entry::Log { .. } | Entry::Node { .. } => {}
    }
}

/// What the disk says of one partition, for those who look for a fault.
///
/// # Panics
/// If the disk holds what no node writes.
#[must_use]
pub fn describe(store: &MemoryStore, partition: PartitionId) -> String {
    let mut lines = Vec::new();
    for (slot, bytes) in store.stored().expect("memory does not fail").copies {
        if slot.partition == partition {
            let image = CopyImage::decode(&mut Reader::new(&bytes));
            let rows = store
                .rows(slot, None, usize::MAX)
                .expect("memory does not fail");
            let keys: Vec<_> = rows.into_iter().map(|(key, _)| key).collect();
            lines.push(format!("checkpoint {}: {image:?} {keys:?}", slot.number));
        }
    }
    let mut each = |position, redo: &[u8]| {
        let mut reader = Reader::new(redo);
        while !reader.is_empty() {
            let entry = Entry::decode(&mut reader).expect("a node has written it");
            if entry.slot().is_some_and(|slot| slot.partition == partition) {
                lines.push(format!("{position:?} {entry:?}"));
            }
        }
        Ok(())
    };
    store.replay(&mut each).expect("memory does not fail");
    lines.join("\n")
}
