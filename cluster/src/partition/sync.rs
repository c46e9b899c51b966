//! From seen to durable: what a sync of the disk makes true, and who is told.

use larder_crdt::Clock;

use super::{Event, Output, Partition};
use crate::copy::{Copy, CopyId};
use crate::env::Env;
use crate::id::{NodeId, PartitionId};

/// What the copies of a partition had seen when a sync began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncPoint {
    partition: PartitionId,
    copies: Vec<(CopyId, Clock)>,
}

/// How far it is that the copies which have ended here are gone for good: until a sync, a power cut
/// brings them back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Ends {
    /// They are.
    #[default]
    Durable,
    /// That waits for a sync.
    Written,
    /// A sync is under way that makes it durable.
    Syncing,
}

impl SyncPoint {
    /// The partition.
    #[must_use]
    pub fn partition(&self) -> PartitionId {
        self.partition
    }
}

impl Partition {
    fn copies_mut(&mut self) -> impl Iterator<Item = &mut Copy> {
        [self.main.as_mut(), self.fallback.as_mut()]
            .into_iter()
            .flatten()
    }

    /// Notes what the copies have seen; all of it must be in the redo that the sync makes durable.
    pub fn begin_sync(&mut self) -> Option<SyncPoint> {
        let partition = self.id;
        let mut copies = Vec::new();
        for copy in self.copies_mut() {
            if std::mem::take(&mut copy.unsynced) {
                copies.push((copy.id, copy.clock.clone()));
            }
        }
        if self.ends == Ends::Written {
            self.ends = Ends::Syncing;
        }
        let is_due = !copies.is_empty() || self.ends == Ends::Syncing;
        is_due.then_some(SyncPoint { partition, copies })
    }

    /// The sync succeeded: what the copies had seen is durable, and every owner is told, and who
    /// else sent some of it.
    pub fn finish_sync(&mut self, env: &Env<'_>, out: &mut Output, point: &SyncPoint) {
        if self.ends == Ends::Syncing {
            self.ends = Ends::Durable;
        }
        if point.copies.is_empty() {
            return;
        }
        for copy in self.copies_mut() {
            if let Some((_, clock)) = point.copies.iter().find(|(id, _)| *id == copy.id) {
                copy.durable.join(clock);
            }
        }
        out.events.push(Event::Durable(self.id));
        if !self.has_main() {
            return;
        }
        let mut receivers: std::collections::BTreeSet<NodeId> = env
            .other_owners(self.id)
            .filter(|owner| env.view.up.contains(owner))
            .collect();
        receivers.append(&mut self.tell);
        for peer in receivers {
            self.acknowledge(env, out, peer);
        }
        self.trim(env);
        self.end_what_is_handed_over(env, out);
    }

    /// The sync failed: nothing more is durable.
    pub fn abandon_sync(&mut self, point: &SyncPoint) {
        if self.ends == Ends::Syncing {
            self.ends = Ends::Written;
        }
        for copy in self.copies_mut() {
            copy.unsynced |= point.copies.iter().any(|(id, _)| *id == copy.id);
        }
    }
}
