//! What a node does now and then: replicate, compare clocks, tend its copies, give up waiting.

use super::Node;
use crate::env::{Env, Now};
use crate::id::{NodeId, PartitionId};
use crate::limits::{
    EXPIRED_ROWS_AT_ONCE, EXPIRED_ROWS_MAX, EXPIRY_INTERVAL_MS, PURGED_ROWS_AT_ONCE,
    PURGED_ROWS_MAX,
};
use crate::partition::Partition;
use crate::store::StoreError;

/// What a look at the disk's index of deadlines counts, in expired rows that it finds.
const LOOK_COST: usize = 16;

/// When the next rounds are due, by the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    replicate_ms: u64,
    exchange_ms: u64,
    expire_ms: u64,
    /// The partition that is looked at first for what has expired.
    expire_hand: usize,
}

impl Node {
    /// Does what is due, and says when to call again at the latest.
    ///
    /// # Errors
    /// What the disk says; the rest of the round is done all the same, and what failed is due
    /// again.
    pub fn poll(&self, now: Now) -> Result<u64, StoreError> {
        let settings = self.settings();
        let mut env = self.env(&settings, now);
        self.expire_suspicions(now);
        self.expire_requests(&env);
        self.poll_swim(now);
        self.tend_watches(&env);
        let (replicate, exchange, expire, next) = {
            let mut rounds = self.rounds.lock();
            let replicate = rounds.replicate_ms <= now.monotonic_ms;
            let exchange = rounds.exchange_ms <= now.monotonic_ms;
            let expire = rounds.expire_ms <= now.monotonic_ms;
            if expire {
                rounds.expire_ms = now.monotonic_ms + EXPIRY_INTERVAL_MS;
            }
            if replicate {
                rounds.replicate_ms = now.monotonic_ms + settings.replication_interval_ms;
            }
            if exchange {
                rounds.exchange_ms = now.monotonic_ms + settings.anti_entropy_interval_ms;
            }
            (
                replicate,
                exchange,
                expire,
                rounds
                    .replicate_ms
                    .min(rounds.exchange_ms)
                    .min(rounds.expire_ms),
            )
        };
        let mut outcome = self.tend_handoff(&env).and(self.tend_bootstraps(&env));
        if replicate {
            outcome = outcome.and(self.replicate_round(&env));
        }
        if exchange {
            self.tell_digest(&env);
            self.advance_membership(&env);
            env.view = self.view();
            outcome = outcome.and(self.exchange_round(&env));
        }
        if expire {
            outcome = outcome.and(self.expiry_round(&env));
            outcome = outcome.and(self.purge_round(&env));
        }
        outcome.map(|()| next)
    }

    fn is_crowded(&self, peer: NodeId) -> bool {
        self.links.lock().crowded.contains(&peer)
    }

    fn replicate_round(&self, env: &Env<'_>) -> Result<(), StoreError> {
        let dirty = std::mem::take(&mut *self.dirty.lock());
        let mut outcome = Ok(());
        for partition in dirty {
            outcome = outcome.and(self.replicate_now(env, partition));
        }
        outcome
    }

    /// Sends what one partition's commands have changed.
    pub(super) fn replicate_now(
        &self,
        env: &Env<'_>,
        partition: PartitionId,
    ) -> Result<(), StoreError> {
        self.act(env, partition, |p, env, out| {
            p.replicate(env, out, &|peer| self.is_crowded(peer))
        })
        .unwrap_or(Ok(()))
    }

    /// Drops what has expired, a bounded number of rows. The next round begins with the partition
    /// behind the last one, so that none is favoured.
    fn expiry_round(&self, env: &Env<'_>) -> Result<(), StoreError> {
        // What cannot be written down would only pile up.
        if self.refusal().is_some() {
            return Ok(());
        }
        let begin = self.rounds.lock().expire_hand;
        let mut left = EXPIRED_ROWS_MAX;
        let mut partitions: Vec<PartitionId> = env.view.layout.partitions().iter().collect();
        partitions.rotate_left(begin % self.partitions.len());
        for (at, partition) in partitions.into_iter().enumerate() {
            let is_due = |p: &mut Partition| p.is_due(env.now.unix_ms);
            while left > 0 && self.with_partition(partition, is_due) == Some(true) {
                let rows_max = left.min(EXPIRED_ROWS_AT_ONCE);
                let dropped = self.act(env, partition, |p, env, out| {
                    p.drop_expired(env, out, rows_max)
                });
                let dropped = dropped.unwrap_or(Ok(0))?;
                left = left.saturating_sub(dropped.max(LOOK_COST));
            }
            if left == 0 {
                self.rounds.lock().expire_hand = begin + at + 1;
                break;
            }
        }
        Ok(())
    }

    /// Lets rows of cleared collections go, a bounded number of them.
    fn purge_round(&self, env: &Env<'_>) -> Result<(), StoreError> {
        let mut left = PURGED_ROWS_MAX;
        for partition in env.view.layout.partitions().iter() {
            let has_purges = |p: &mut Partition| p.has_purges();
            while left > 0 && self.with_partition(partition, has_purges) == Some(true) {
                let purged = self.act(env, partition, |p, env, _| {
                    p.purge(env, left.min(PURGED_ROWS_AT_ONCE))
                });
                left = left.saturating_sub(purged.unwrap_or(Ok(0))?.max(LOOK_COST));
            }
        }
        Ok(())
    }

    fn exchange_round(&self, env: &Env<'_>) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        let mut left = self.bootstraps_left(env);
        for partition in env.view.layout.partitions().iter() {
            let done = self.act(env, partition, |p, env, out| {
                let was_staged = p.staged.is_some();
                let tended = p.tend(env, out, left > 0);
                left = left.saturating_sub(usize::from(!was_staged && p.staged.is_some()));
                tended?;
                p.exchange(env, out, &|peer| self.is_crowded(peer))
            });
            outcome = outcome.and(done.unwrap_or(Ok(())));
        }
        outcome
    }
}

impl Node {
    /// Whether every owner in reach holds durably what this node's copies have seen.
    #[must_use]
    pub fn is_told(&self) -> bool {
        let view = self.view();
        self.partitions
            .iter()
            .all(|partition| partition.lock().is_told(&view, self.id))
    }
}
