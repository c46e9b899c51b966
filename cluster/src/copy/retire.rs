//! Actors whose copies are closed, and whose dots will never be complete (DESIGN.md rule 10).
//!
//! A crash can lose dots that nobody else had, while later ones survive elsewhere: the gap would
//! stay in every clock for ever. When the actor signs no more, and every owner durably has the same
//! of its dots, all of them are counted as seen, those that were lost included. One owner finds
//! that out and tells the others which dots it means; an owner that has others fetches the whole
//! partition instead.

use std::collections::BTreeSet;

use larder_crdt::{ActorIndex, Clock, Writer};

use super::Copy;
use crate::env::Env;
use crate::id::NodeId;
use crate::record;

impl Copy {
    /// The dots of one actor that `clock` has.
    fn of_actor(clock: &Clock, actor: ActorIndex) -> Clock {
        let mut own = Clock::new();
        if clock.highest(actor) > 0 {
            own.insert_range(actor, 1, clock.highest(actor));
        }
        clock.meet(&own)
    }

    /// The actors with gaps that are closed and of which every owner durably has the same dots. The
    /// view holds the current runs of all members, if they are all known.
    #[must_use]
    pub fn retirable(&self, env: &Env<'_>, owners: &[NodeId]) -> BTreeSet<ActorIndex> {
        let Some(runs) = &env.view.runs else {
            return BTreeSet::new();
        };
        self.actors
            .iter()
            .filter(|(index, _)| self.clock.has_gaps(*index))
            .filter(|(_, actor)| !runs.contains(&actor.run()) || !env.keeps(10))
            .map(|(index, _)| index)
            .filter(|actor| self.is_agreed(owners, *actor) || !env.keeps(10))
            .collect()
    }

    /// Whether every owner durably has the dots of `actor` that this copy has, and no others.
    fn is_agreed(&self, owners: &[NodeId], actor: ActorIndex) -> bool {
        let dots = Self::of_actor(&self.clock, actor);
        let same = |clock: &Clock| Self::of_actor(clock, actor) == dots;
        same(&self.durable)
            && owners.iter().all(|owner| {
                let peer = self.peers.get(owner);
                peer.is_some_and(|peer| peer.ready && same(&peer.durable))
            })
    }

    /// Retires those of the actors in `due` that still may.
    pub fn retire_closed(
        &mut self,
        env: &Env<'_>,
        redo: &mut Writer,
        owners: &[NodeId],
        due: &BTreeSet<ActorIndex>,
    ) {
        for actor in self.retirable(env, owners).intersection(due).copied() {
            self.retiring
                .insert(actor, Self::of_actor(&self.clock, actor));
            self.retire(redo, actor);
        }
    }

    fn retire(&mut self, redo: &mut Writer, actor: ActorIndex) {
        self.clock.retire(actor);
        self.unsynced = true;
        self.changed = true;
        let mut retired = Clock::new();
        retired.retire(actor);
        record::clock(redo, self.slot(), &retired);
    }

    /// Another owner counts all dots of the actors of `dots` as seen: done here, too, if this copy
    /// has exactly those. Says whether that was so.
    pub fn follow_retirement(&mut self, redo: &mut Writer, dots: &Clock) -> bool {
        let actors: BTreeSet<ActorIndex> = dots.ranges().map(|(actor, ..)| actor).collect();
        let mut all = true;
        for actor in actors {
            if self.clock.is_retired(actor) {
                continue;
            }
            if Self::of_actor(&self.clock, actor) == Self::of_actor(dots, actor) {
                self.retire(redo, actor);
            } else {
                all = false;
            }
        }
        all
    }

    /// Forgets which dots retired actors had, once all owners have retired them.
    pub fn forget_retired(&mut self, owners: &[NodeId]) {
        let peers = &self.peers;
        self.retiring.retain(|actor, _| {
            !owners.iter().all(|owner| {
                peers
                    .get(owner)
                    .is_some_and(|peer| peer.durable.is_retired(*actor))
            })
        });
    }

    /// The dots of the actors that `peer` has yet to retire.
    #[must_use]
    pub fn retirements_for(&self, peer: NodeId) -> Clock {
        let mut dots = Clock::new();
        let Some(known) = self.peers.get(&peer).filter(|known| known.ready) else {
            return dots;
        };
        for (actor, had) in &self.retiring {
            if !known.durable.is_retired(*actor) {
                dots.join(had);
            }
        }
        dots
    }

    /// What a side that knows `known` lacks, but for the dots of actors that it is about to retire.
    #[must_use]
    pub fn lacking(&self, known: &Clock) -> Clock {
        let missing = self.clock.minus(known);
        if self.retiring.is_empty() {
            return missing;
        }
        let mut lacking = Clock::new();
        for (actor, start, end) in missing.ranges() {
            let covered = self
                .retiring
                .get(&actor)
                .is_some_and(|had| Self::of_actor(known, actor).covers(had));
            if !covered {
                lacking.insert_range(actor, start, end);
            }
        }
        lacking
    }
}
