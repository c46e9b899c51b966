//! What a node leaves to its caller, in order: persist, send, reply.

use std::sync::atomic::Ordering;

use super::Node;
use crate::env::Now;
use crate::id::{NodeId, PartitionId};
use crate::message::Message;
use crate::partition::SyncPoint;
use crate::request::Reply;
use crate::row_key::RowKey;
use crate::rows::Effort;
use crate::store::{Checkpoint, StoreError};

/// Something for the layer above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The request that was submitted under this token is over.
    Reply(u64, Reply),
    /// An element that is watched here changed.
    Changed(PartitionId, RowKey),
    /// A peer sent what contradicts itself.
    BadPeer(NodeId),
}

/// What waits for the next commit.
#[derive(Debug, Default)]
pub(super) struct Commit {
    pub(super) redo: Vec<u8>,
    pub(super) sends: Vec<(NodeId, Message)>,
    /// Messages that say nothing of what is on the disk, and need not wait for it.
    pub(super) urgent: Vec<(NodeId, Message)>,
    pub(super) answers: Vec<Answer>,
    pub(super) sync_wanted: bool,
    /// Why the disk refused the last append; nothing is written until it takes it.
    pub(super) refused: Option<StoreError>,
}

/// What is to be done after a commit, in this order.
#[derive(Debug, Default)]
pub struct Effects {
    /// Messages, in order per receiver.
    pub sends: Vec<(NodeId, Message)>,
    /// Answers for the layer above.
    pub answers: Vec<Answer>,
    /// Whether somebody waits for a sync now.
    pub sync_wanted: bool,
}

/// Partitions of which one part of a checkpoint is written at a time: each part syncs the redo
/// first, and has all its rows in memory twice.
const PARTITIONS_PER_PART: usize = 32;

impl Node {
    /// Appends to the disk what has been changed since the last commit, by whichever thread, and
    /// hands over what may happen now. When it returns, every change that was made before the call
    /// is on the disk.
    ///
    /// # Errors
    /// What the disk says. Nothing is handed over then; the changes wait, and are appended first by
    /// the next commit that the disk takes. Until then commands that write are refused.
    pub fn commit(&self) -> Result<Effects, StoreError> {
        let appending = self.appending.lock();
        let (redo, sends, answers, sync_wanted) = {
            let mut commit = self.commit.lock();
            (
                std::mem::take(&mut commit.redo),
                std::mem::take(&mut commit.sends),
                std::mem::take(&mut commit.answers),
                std::mem::take(&mut commit.sync_wanted),
            )
        };
        if !redo.is_empty() {
            match self.store.append(&redo) {
                Ok(position) => {
                    self.redo_end.store(position.0, Ordering::Release);
                    if self.refused.swap(false, Ordering::AcqRel) {
                        self.commit.lock().refused = None;
                    }
                }
                Err(error) => {
                    let mut commit = self.commit.lock();
                    let mut redo = redo;
                    redo.append(&mut commit.redo);
                    commit.redo = redo;
                    let mut sends = sends;
                    sends.append(&mut commit.sends);
                    commit.sends = sends;
                    let mut answers = answers;
                    answers.append(&mut commit.answers);
                    commit.answers = answers;
                    commit.sync_wanted |= sync_wanted;
                    commit.refused = Some(error.clone());
                    self.refused.store(true, Ordering::Release);
                    return Err(error);
                }
            }
        }
        drop(appending);
        let mut sends = sends;
        sends.append(&mut self.take_urgent());
        Ok(Effects {
            sends,
            answers,
            sync_wanted,
        })
    }

    /// Messages of failure detection: they say nothing of what is on the disk, and so need not wait
    /// for a commit, which may take long.
    #[must_use]
    pub fn take_urgent(&self) -> Vec<(NodeId, Message)> {
        std::mem::take(&mut self.commit.lock().urgent)
    }

    /// How many bytes wait for the next commit.
    #[must_use]
    pub fn uncommitted_bytes(&self) -> usize {
        self.commit.lock().redo.len()
    }

    /// Why commands that write are refused now, if they are.
    #[must_use]
    pub fn refusal(&self) -> Option<StoreError> {
        if !self.refused.load(Ordering::Acquire) {
            return None;
        }
        self.commit.lock().refused.clone()
    }

    /// Notes what every copy has seen, then appends it: what a sync that begins afterwards makes
    /// durable.
    ///
    /// # Errors
    /// As [`Node::commit`].
    pub fn begin_sync(&self) -> Result<(Vec<SyncPoint>, Effects), StoreError> {
        self.begin_farewell();
        let points: Vec<SyncPoint> = self
            .partitions
            .iter()
            .filter_map(|partition| partition.lock().begin_sync())
            .collect();
        match self.commit() {
            Ok(effects) => Ok((points, effects)),
            Err(error) => {
                self.abandon_sync(&points);
                Err(error)
            }
        }
    }

    /// The sync that began after [`Node::begin_sync`] succeeded.
    pub fn finish_sync(&self, points: &[SyncPoint], now: Now) {
        let settings = self.settings();
        let env = self.env(&settings, now);
        for point in points {
            self.act(&env, point.partition(), |p, env, out| {
                p.finish_sync(env, out, point)
            });
        }
        self.say_farewell();
    }

    /// The sync failed.
    pub fn abandon_sync(&self, points: &[SyncPoint]) {
        self.abandon_farewell();
        for point in points {
            self.with_partition(point.partition(), |partition| partition.abandon_sync(point));
        }
    }

    /// Writes what changed since the last checkpoint. Everything that was committed before the call
    /// is in it; the caller may then finish it with the end of the redo as it was before. `commit`
    /// is to do what [`Node::commit`] does and to carry out the effects: no row reaches the disk
    /// before its redo.
    ///
    /// # Errors
    /// What the disk says; what did not reach it is in the next checkpoint.
    pub fn checkpoint(
        &self,
        commit: &dyn Fn() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for chunk in self.partitions.chunks(PARTITIONS_PER_PART) {
            let mut part = Checkpoint::default();
            for partition in chunk {
                partition.lock().take_checkpoint(&mut part);
            }
            if part == Checkpoint::default() {
                continue;
            }
            part.rows.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
            let written = commit().and_then(|()| self.store.checkpoint(&part));
            for partition in chunk {
                partition.lock().settle_checkpoint(written.is_ok());
            }
            written?;
        }
        let node = Some(self.state().encode());
        self.store.checkpoint(&Checkpoint {
            node,
            ..Checkpoint::default()
        })
    }

    /// Frees memory of rows until they take at most the setting's bytes, as far as they are on the
    /// disk: all that can be squeezed is, before any is evicted that was squeezed.
    pub fn evict(&self) {
        let budget = self.settings().cache_bytes_max;
        let mut total: usize = self.cached_bytes();
        // Each call goes on behind the partition where the last one ended, so that none is
        // favoured.
        for effort in [Effort::SqueezeUnused, Effort::SqueezeAll, Effort::Evict] {
            for _ in 0..self.partitions.len() {
                if total <= budget {
                    return;
                }
                let hand = self.evict_hand.fetch_add(1, Ordering::Relaxed);
                if let Some(partition) = self.partitions.get(hand % self.partitions.len()) {
                    total -= partition.lock().evict(total - budget, effort);
                }
            }
        }
    }

    /// About how many bytes decoded rows take.
    #[must_use]
    pub fn cached_bytes(&self) -> usize {
        self.partitions
            .iter()
            .map(|partition| partition.lock().cached_bytes().0)
            .sum()
    }

    /// About how many bytes of decoded rows wait for a checkpoint.
    #[must_use]
    pub fn dirty_bytes(&self) -> usize {
        self.partitions
            .iter()
            .map(|partition| partition.lock().cached_bytes().1)
            .sum()
    }
}
