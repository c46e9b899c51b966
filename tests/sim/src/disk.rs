//! What a disk holds, read from its bytes alone: the judge of what a crash has taken.

use std::collections::BTreeMap;

use larder_cluster::id::PartitionId;
use larder_cluster::memory_store::{MemoryStore, Survivors};
use larder_cluster::record::{CopyImage, Entry, Role};
use larder_cluster::store::{Slot, Store};
use larder_crdt::{ActorTable, Clock, Reader};

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
            apply(&mut copies, Entry::decode(&mut reader).expect("a node has written it"));
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
    held(&store.crash_power(Survivors { records: 0, parts: 0 }), history)
}

fn seen(image: CopyImage) -> Seen {
    Seen { role: image.role, actors: image.actors, clock: image.clock }
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
