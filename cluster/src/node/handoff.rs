//! How fast whole partitions travel: how many a node fetches at a time, and how many bytes a second
//! it hands over.
//!
//! A source that has handed over its share answers a FETCH later. So that the receiver does not
//! give up, it gets a range without rows now and then.

use std::collections::{BTreeMap, VecDeque};

use super::Node;
use crate::env::Env;
use crate::id::{NodeId, PartitionId};
use crate::limits::FETCHES_MAX;
use crate::store::StoreError;

/// A range that a peer waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) peer: NodeId,
    pub(super) partition: PartitionId,
    pub(super) transfer: u64,
    pub(super) turn: u64,
    since_ms: u64,
}

/// What this node may hand over now.
#[derive(Debug, Default)]
pub(super) struct Handoff {
    /// Bytes that may go, or that have gone too many; in thousandths, as time is in milliseconds.
    budget: i64,
    filled_ms: u64,
    asked: VecDeque<Asked>,
    /// Partitions that peers have offered while as many as may be were under way.
    offers: BTreeMap<PartitionId, NodeId>,
}

impl Handoff {
    /// Fills the budget up to now: at most what one second may take.
    fn refill(&mut self, env: &Env<'_>) {
        let now_ms = env.now.monotonic_ms;
        let rate = i64::try_from(env.settings.handoff_rate).unwrap_or(i64::MAX / 2000);
        let rate = rate.min(i64::MAX / 2000);
        let passed = now_ms.saturating_sub(std::mem::replace(&mut self.filled_ms, now_ms));
        let more = rate.saturating_mul(i64::try_from(passed).unwrap_or(i64::MAX));
        self.budget = self.budget.saturating_add(more).min(rate * 1000);
    }
}

impl Node {
    /// A peer asks for the next range of a transfer.
    pub(super) fn on_fetch(
        &self,
        env: &Env<'_>,
        peer: NodeId,
        partition: PartitionId,
        (transfer, turn): (u64, u64),
    ) -> Result<(), StoreError> {
        let asked = Asked {
            peer,
            partition,
            transfer,
            turn,
            since_ms: env.now.monotonic_ms,
        };
        if env.settings.handoff_rate == 0 {
            return self.hand_over(env, asked, true);
        }
        let mut handoff = self.handoff.lock();
        // The receiver of one too many begins anew.
        if handoff.asked.len() < FETCHES_MAX {
            handoff.asked.push_back(asked);
        }
        drop(handoff);
        self.tend_handoff(env)
    }

    /// Sends what peers wait for, as far as the rate allows.
    pub(super) fn tend_handoff(&self, env: &Env<'_>) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        let patience_ms = env.settings.transfer_timeout_ms / 4;
        let waiting = {
            let mut handoff = self.handoff.lock();
            handoff.refill(env);
            handoff.asked.len()
        };
        for _ in 0..waiting {
            let (asked, has_room) = {
                let mut handoff = self.handoff.lock();
                let Some(asked) = handoff.asked.pop_front() else {
                    break;
                };
                let has_room = handoff.budget > 0 || env.settings.handoff_rate == 0;
                let is_patient = env.now.monotonic_ms < asked.since_ms + patience_ms;
                if !has_room && is_patient && env.view.up.contains(&asked.peer) {
                    handoff.asked.push_back(asked);
                    continue;
                }
                (asked, has_room)
            };
            outcome = outcome.and(self.hand_over(env, asked, has_room));
        }
        outcome
    }

    fn hand_over(&self, env: &Env<'_>, asked: Asked, has_room: bool) -> Result<(), StoreError> {
        let Asked {
            peer,
            partition,
            transfer,
            turn,
            ..
        } = asked;
        let sent = self.act(env, partition, |p, env, out| {
            p.on_fetch(env, out, (peer, transfer, turn), has_room)
        });
        let bytes = sent.unwrap_or(Ok(0))?;
        let mut handoff = self.handoff.lock();
        let cost = i64::try_from(bytes)
            .unwrap_or(i64::MAX)
            .saturating_mul(1000);
        handoff.budget = handoff.budget.saturating_sub(cost);
        Ok(())
    }

    /// How many more partitions this node may begin to fetch.
    pub(super) fn bootstraps_left(&self, env: &Env<'_>) -> usize {
        let partitions = env.view.layout.partitions();
        let under_way = partitions.iter().filter(|partition| {
            self.with_partition(*partition, |p| p.staged.is_some())
                .unwrap_or(false)
        });
        env.settings
            .bootstrap_partitions
            .saturating_sub(under_way.count())
    }

    /// A peer offers a whole partition: it is fetched now, or when it is its turn.
    pub(super) fn on_offer(&self, env: &Env<'_>, peer: NodeId, partition: PartitionId) {
        if self.bootstraps_left(env) == 0 {
            self.handoff.lock().offers.insert(partition, peer);
            return;
        }
        self.act(env, partition, |p, env, out| p.on_offer(env, out, peer));
    }

    /// Fetches what was offered, up to `left` partitions; says how many more may be.
    fn take_offers(&self, env: &Env<'_>, mut left: usize) -> usize {
        while left > 0 {
            let Some((partition, peer)) = self.handoff.lock().offers.pop_first() else {
                break;
            };
            let began = self.act(env, partition, |p, env, out| {
                let was_staged = p.staged.is_some();
                p.on_offer(env, out, peer);
                !was_staged && p.staged.is_some()
            });
            left -= usize::from(began == Some(true));
        }
        left
    }

    /// A transfer is over: the next ones begin.
    pub(super) fn tend_bootstraps(&self, env: &Env<'_>) -> Result<(), StoreError> {
        if !std::mem::take(&mut *self.has_bootstrapped.lock()) {
            return Ok(());
        }
        let mut left = self.take_offers(env, self.bootstraps_left(env));
        let mut outcome = Ok(());
        for partition in env.view.layout.partitions().iter() {
            if left == 0 {
                break;
            }
            let tended = self.act(env, partition, |p, env, out| {
                let is_missing = env.is_owner(p.id) && !p.has_main() && p.staged.is_none();
                if is_missing {
                    p.tend(env, out, true)?;
                }
                Ok(is_missing && p.staged.is_some())
            });
            match tended.unwrap_or(Ok(false)) {
                Ok(began) => left -= usize::from(began),
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }
}
