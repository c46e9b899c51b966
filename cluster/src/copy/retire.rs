//! Actors whose copies are closed, and whose dots will never be complete (DESIGN.md rule 10).
//!
//! A crash can lose dots that nobody else had, while later ones survive elsewhere: the gap would
//! stay in every clock for ever. When the actor signs no more, and every owner durably has the same
//! of its dots, all of them are counted as seen, those that were lost included. One owner finds
//! that out and tells the others which dots it means; an owner that has others fetches the whole
//! partition instead.
//!
//! A backup may hold dots that were taken for lost. Values under them stay lost. But what it knows
//! to be removed by them another owner may show, and neither clock tells that the two differ:
//!
//! ```text
//! a:1 SET x   a:2 DEL x   a:3 SET y      a:2 lost, a retired      a backup with a:2 returns
//! others      {a:1}   clock a:1, a:3     {a:1}  clock a:all  ──▶  all of it, joined with
//! the backup  {}      clock a:1, a:2                              {}: x is removed here only
//! ```
//!
//! So wherever two copies join of which one alone has retired an actor, and the other knows more of
//! an element, that is told again under a fresh dot ([`settle_dispute`], [`Copy::tell_again`]).

use std::collections::BTreeSet;

use larder_crdt::{ActorIndex, Clock, Dot, Row, Sibling, Value, Writer};

use super::{Copy, Signer};
use crate::env::Env;
use crate::id::NodeId;
use crate::record;
use crate::row_key::RowKey;
use crate::store::StoreError;

/// Whether one of two clocks has retired an actor of which the other has some dots.
pub(super) fn differ(one: &Clock, other: &Clock) -> bool {
    has_retired_more(one, other) || has_retired_more(other, one)
}

fn has_retired_more(retired: &Clock, other: &Clock) -> bool {
    let mut ranges = other.ranges();
    ranges.any(|(actor, ..)| retired.is_retired(actor) && !other.is_retired(actor))
}

/// A row as one side has it, with the side's clock.
type Side<'a> = (&'a Row, &'a Clock);

/// Looks at what joining two rows has made, of which one side has retired more than the other; says
/// whether it removed something that other owners may still show. If all that the other side knew
/// of the element is lost, a value included, the row stays as the side has it that retired the
/// actor: a value that replaced another one is not to take that along.
pub(super) fn settle_dispute(mine: Side<'_>, theirs: Side<'_>, joined: &mut Row) -> bool {
    let mut disputed = false;
    for ((row, clock), (other, other_clock)) in [(mine, theirs), (theirs, mine)] {
        let is_gone = |sibling: &&Sibling| !joined.contains(sibling.dot);
        let gone: Vec<&Sibling> = row.siblings().iter().filter(is_gone).collect();
        if gone.is_empty() || !has_retired_more(clock, other_clock) {
            continue;
        }
        let is_lost = |actor| clock.is_retired(actor) && !other_clock.is_retired(actor);
        let mut others = other.siblings().iter().filter(is_gone);
        if clock.covers(other_clock) && others.any(|sibling| is_lost(sibling.dot.actor())) {
            *joined = row.clone();
            return false;
        }
        // What a mask hides there is told again by itself, and it goes when that is purged.
        let is_mask = |sibling: &&Sibling| matches!(sibling.value, Value::Mask(_));
        disputed |= !gone.iter().all(is_mask);
    }
    disputed
}

impl Copy {
    /// Signs elements as they are here: who has seen the dot removes what this copy has seen and
    /// not got.
    ///
    /// # Errors
    /// What the disk says.
    pub fn tell_again(
        &mut self,
        env: &Env<'_>,
        redo: &mut Writer,
        stint: &mut u32,
        keys: &[RowKey],
    ) -> Result<(), StoreError> {
        for key in keys {
            let row = self.rows.get(env.store, key)?;
            let signer = self.ensure_signer(env, stint, redo);
            let dots = [(Dot::new(signer.index, signer.next), None)];
            record::change(redo, self.slot(), key, &dots, &row);
            self.signer = Some(Signer {
                next: signer.next + 1,
                ..signer
            });
            self.note_change(key, &dots, true);
        }
        Ok(())
    }

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
