//! What a node does now and then: replicate, compare clocks, tend its copies, give up waiting.

use super::Node;
use crate::env::{Env, Now};
use crate::id::{NodeId, PartitionId};
use crate::store::StoreError;

/// When the next rounds are due, by the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    replicate_ms: u64,
    exchange_ms: u64,
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
        let (replicate, exchange, next) = {
            let mut rounds = self.rounds.lock();
            let replicate = rounds.replicate_ms <= now.monotonic_ms;
            let exchange = rounds.exchange_ms <= now.monotonic_ms;
            if replicate {
                rounds.replicate_ms = now.monotonic_ms + settings.replication_interval_ms;
            }
            if exchange {
                rounds.exchange_ms = now.monotonic_ms + settings.anti_entropy_interval_ms;
            }
            (
                replicate,
                exchange,
                rounds.replicate_ms.min(rounds.exchange_ms),
            )
        };
        let mut outcome = Ok(());
        if replicate {
            outcome = outcome.and(self.replicate_round(&env));
        }
        if exchange {
            self.tell_digest(&env);
            self.advance_membership(&env);
            env.view = self.view();
            outcome = outcome.and(self.exchange_round(&env));
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

    fn exchange_round(&self, env: &Env<'_>) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        for partition in env.view.layout.partitions().iter() {
            let done = self.act(env, partition, |p, env, out| {
                p.tend(env, out)?;
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
