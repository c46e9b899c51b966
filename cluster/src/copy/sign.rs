//! Who signs the changes of a copy (DESIGN.md section 4, rule 3).
//!
//! An actor belongs to one copy and one run of its node. It is minted when the copy first signs,
//! and counts from 1.

use larder_crdt::limits::COUNTER_MAX;
use larder_crdt::types::position;
use larder_crdt::{Actor, ActorIndex, Writer};

use super::Copy;
use crate::env::Env;

/// Counters that an actor leaves unused at its end; more than one edit takes.
const RESERVE: u64 = 8;

/// The actor of a copy during this run, and its next counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signer {
    /// Its number in the copy's table.
    pub index: ActorIndex,
    /// The counter of the next dot.
    pub next: u64,
}

/// The bit of a stint that tells the actors inside documents from those of copies.
const DOCUMENT_STINT: u32 = 1 << 31;

impl Copy {
    /// The actor that signs inside documents of this copy. It is in no table of actors: documents
    /// name theirs in full.
    pub(super) fn document_actor(&mut self, env: &Env<'_>, stint: &mut u32) -> Actor {
        let own = *self.document_stint.get_or_insert_with(|| {
            *stint += 1;
            *stint - 1
        });
        let run = if env.keeps(3) { env.run } else { env.node.0 };
        Actor::of_run(run, own | DOCUMENT_STINT)
    }

    /// Whether it can sign without minting anything.
    pub(super) fn signs_already(&self) -> bool {
        let signer = self.signer;
        self.document_stint.is_some()
            && signer.is_some_and(|signer| signer.next < COUNTER_MAX - RESERVE)
    }

    /// Who makes the next position in a list: the actor and counter of the next dot, so that no two
    /// are alike.
    pub(crate) fn next_position(
        &mut self,
        env: &Env<'_>,
        stint: &mut u32,
        redo: &mut Writer,
    ) -> position::Signer {
        let signer = self.ensure_signer(env, stint, redo);
        position::Signer {
            actor: self.actors.actor(signer.index),
            counter: signer.next,
        }
    }

    /// Mints the copy's actor if it has none, or if the counter has come to its end; `stint` counts
    /// the actors of this partition in this run.
    pub(super) fn ensure_signer(
        &mut self,
        env: &Env<'_>,
        stint: &mut u32,
        redo: &mut Writer,
    ) -> Signer {
        // The last counters are left unused: the very last one stands for a retired actor.
        if let Some(signer) = self
            .signer
            .filter(|signer| signer.next < COUNTER_MAX - RESERVE)
        {
            return signer;
        }
        let signer = if env.keeps(3) {
            let actor = Actor::of_run(env.run, *stint);
            *stint += 1;
            Signer {
                index: self.intern(actor, redo),
                next: 1,
            }
        } else {
            let index = self.intern(Actor::of_run(env.node.0, 0), redo);
            Signer {
                index,
                next: self.clock.highest(index) + 1,
            }
        };
        self.signer = Some(signer);
        signer
    }
}
