//! Bringing rows into the processor's cache before the commands that want them.
//!
//! A command waits for memory three times: for the slot of the table, for the row, and for the rest
//! of the row. Within one lock the processor can wait for the rows of several keys at a time;
//! between two locks it cannot. So the locks of a group of keys are taken first, and the rows are
//! looked at while they are held. Nothing depends on it: a lock that is not free is passed over.

use std::hint::black_box;

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::Node;
use crate::id::PartitionId;
use crate::partition::Partition;

/// Locks that are held at a time.
const LOCKS_MAX: usize = 16;

impl Node {
    /// Looks at the rows that commands on keys of these partitions and hashes will want.
    pub fn warm(&self, places: &[(PartitionId, u64)]) {
        for places in places.chunks(LOCKS_MAX) {
            let mut locked: SmallVec<[(MutexGuard<'_, Partition>, u64); LOCKS_MAX]> =
                SmallVec::new();
            for (partition, hash) in places {
                let partition = self.partitions.get(partition.index());
                if let Some(guard) = partition.and_then(|partition| partition.try_lock()) {
                    locked.push((guard, *hash));
                }
            }
            let mut seen = 0;
            for (partition, hash) in &locked {
                if let Some(main) = &partition.main {
                    seen ^= main.rows.touch(*hash);
                }
            }
            black_box(seen);
        }
    }
}
