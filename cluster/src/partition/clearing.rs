//! Before an owner forgets for good what a late change could need, it makes sure that nobody still
//! has one (DESIGN.md section 4, rules 8 and 10).
//!
//! That all owners hold a reset durably, and that this copy has seen all that they had seen, leaves
//! two places for a change that was made before: a fallback's copy, and one of an old owner. A word
//! about these may be older than the copy it denies. So once something is due, every member is
//! asked anew, under a number, and has to say in answer that it has no such copy: what it began
//! before, all owners hold by now; what it begins afterwards, it begins empty. It says so once the
//! end of the last copy is durable: a power cut could bring that back, as the copy of an owner or
//! a stand-in that goes on with it. Without a copy it does no harm by an older layout either: as an
//! owner it would have to fetch the partition first.

use std::collections::BTreeSet;

use larder_crdt::{ActorIndex, Dot};

use super::{Acknowledgement, Output, Partition};
use crate::env::Env;
use crate::id::NodeId;
use crate::message::Message;
use crate::store::StoreError;

/// What waits for the members' word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clearing {
    /// The number of the question; 0 if nothing was ever asked.
    round: u64,
    /// The layout that the question was asked under.
    layout: u64,
    /// The resets that were settled when it was asked.
    resets: BTreeSet<Dot>,
    /// The actors that could retire then.
    actors: BTreeSet<ActorIndex>,
    /// Who has answered that it has no copy that owners may lack.
    cleared: BTreeSet<NodeId>,
}

impl Clearing {
    fn is_idle(&self) -> bool {
        self.resets.is_empty() && self.actors.is_empty()
    }
}

impl Partition {
    /// Forgets what is settled: asks for the members' word first.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn forget_settled(
        &mut self,
        env: &Env<'_>,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let owners: Vec<NodeId> = env.other_owners(self.id).collect();
        let Some(main) = self.main.as_mut() else {
            return Ok(());
        };
        main.forget_retired(&owners);
        let clearing = &mut self.clearing;
        if clearing.is_idle() || clearing.layout != env.view.digest {
            *clearing = Clearing {
                round: clearing.round + 1,
                layout: env.view.digest,
                resets: main.settled_resets(env, &owners)?,
                actors: main.retirable(env, &owners),
                cleared: BTreeSet::new(),
            };
            if clearing.is_idle() {
                return Ok(());
            }
        }
        let members = env.view.layout.nodes().map(|(node, _)| node);
        let awaited: Vec<NodeId> = members
            .filter(|node| *node != env.node && !clearing.cleared.contains(node))
            .collect();
        for &member in awaited.iter().filter(|node| env.view.up.contains(node)) {
            let question = Message::Ask(self.id, clearing.round);
            out.sends.push((member, question));
        }
        let (resets, actors) = (clearing.resets.clone(), clearing.actors.clone());
        let mut ended = Vec::new();
        if awaited.is_empty() || !env.keeps(8) {
            ended = main.forget_resets(env, &mut out.redo, &owners, &resets)?;
        }
        if awaited.is_empty() || !env.keeps(10) {
            main.retire_closed(env, &mut out.redo, &owners, &actors);
        }
        if awaited.is_empty() {
            self.clearing.resets.clear();
            self.clearing.actors.clear();
        }
        self.clear_ended(env, out, ended)
    }

    /// A member has answered a question of [`Partition::forget_settled`], or said something else.
    pub(super) fn note_word(&mut self, env: &Env<'_>, from: NodeId, told: &Acknowledgement) {
        if told.asked != self.clearing.round || told.asked == 0 {
            return;
        }
        let is_owner = env.view.ownership.owners(self.id).contains(&from);
        if !told.stands_in && told.copy.is_some() == is_owner {
            self.clearing.cleared.insert(from);
        }
    }
}
