//! Reads that ask several replicas: what each has of an element, joined before the command runs.

use std::collections::BTreeSet;

use super::Node;
use super::requests::Pulling;
use crate::copy::Delta;
use crate::env::Env;
use crate::id::{NodeId, PartitionId};
use crate::message::{KnownClock, Message};
use crate::row_key::RowKey;
use crate::store::StoreError;

impl Node {
    /// Asks the other owners in reach for what this node lacks of an element.
    pub(super) fn pull(
        &self,
        env: &Env<'_>,
        partition: PartitionId,
        key: &RowKey,
    ) -> Option<(u64, BTreeSet<NodeId>)> {
        let known = self.with_partition(partition, |p| {
            let ready = p.is_ready(env);
            p.main.as_ref().filter(|_| ready).map(|main| KnownClock {
                actors: main.actors.clone(),
                clock: main.clock.clone(),
            })
        })??;
        let peers: BTreeSet<NodeId> = env
            .other_owners(partition)
            .filter(|owner| env.view.up.contains(owner))
            .collect();
        if peers.is_empty() {
            return None;
        }
        let number = self.requests.lock().number();
        for &peer in &peers {
            self.send(
                peer,
                Message::Pull(number, partition, known.clone(), key.clone()),
            );
        }
        Some((number, peers))
    }

    /// A peer wants what it lacks of an element.
    pub(super) fn on_pull(
        &self,
        env: &Env<'_>,
        peer: NodeId,
        number: u64,
        partition: PartitionId,
        known: &KnownClock,
        key: &RowKey,
    ) -> Result<(), StoreError> {
        let delta = self
            .act(env, partition, |p, env, out| {
                p.on_pull(env, &known.actors, &known.clock, key, out)
            })
            .unwrap_or(Ok(None))?;
        self.send(
            peer,
            Message::Pulled(number, partition, delta.map(Box::new)),
        );
        Ok(())
    }

    /// A replica's state of an element came in.
    pub(super) fn on_pull_answer(
        &self,
        env: &Env<'_>,
        peer: NodeId,
        number: u64,
        partition: PartitionId,
        delta: Option<Box<Delta>>,
    ) -> Result<(), StoreError> {
        let joined = delta.is_some();
        if let Some(delta) = delta {
            self.act(env, partition, |p, env, out| {
                p.on_delta(env, out, peer, *delta)
            })
            .unwrap_or(Ok(()))?;
        }
        let done = {
            let mut requests = self.requests.lock();
            let Some(pulling) = requests.pulling.get_mut(&number) else {
                return Ok(());
            };
            if pulling.awaited.remove(&peer) && joined {
                pulling.reached += 1;
            }
            let enough = pulling.reached >= pulling.request.read_copies;
            let over = enough || pulling.awaited.is_empty();
            if over {
                requests.pulling.remove(&number)
            } else {
                None
            }
        };
        if let Some(pulling) = done {
            self.finish_pull(env, pulling);
        }
        Ok(())
    }

    pub(super) fn finish_pull(&self, env: &Env<'_>, pulling: Pulling) {
        let Pulling {
            caller,
            request,
            reached,
            ..
        } = pulling;
        if let Some(reply) = self.execute_here(env, caller, &request, reached) {
            self.answer(env, caller, reply);
        }
    }
}
