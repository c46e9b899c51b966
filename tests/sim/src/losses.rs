//! Disks that were lost or went back to an old state, and who has yet to learn of it.
//!
//! Until its links tell it so, a node goes by what a peer has acknowledged on them, and may say of
//! a write that it is on a disk which is gone already. A client that is told this is as well off as
//! one that was told just before the disk was lost; so for a promise, such a disk counts as lost
//! since.

use std::collections::BTreeMap;

use crate::network::Place;
use crate::world::World;

/// A disk that was lost, or went back to an old state.
#[derive(Debug, Clone)]
pub struct Loss {
    place: Place,
    /// The sessions by which others may still go by what it had acknowledged.
    sessions: BTreeMap<Place, u64>,
}

impl World {
    /// Notes that a disk is lost.
    pub(crate) fn note_loss(&mut self, place: Place) {
        let ends = (0..self.members.len()).map(|other| (other, self.network.end(other, place)));
        let sessions = ends
            .filter(|(_, end)| end.up)
            .map(|(other, end)| (other, end.session))
            .collect();
        self.losses.push(Loss { place, sessions });
    }

    /// How many losses of disks every node has learnt of.
    #[must_use]
    pub fn losses_known(&self) -> usize {
        let is_known = |loss: &&Loss| {
            loss.sessions.iter().all(|(other, session)| {
                let end = self.network.end(*other, loss.place);
                !end.up || end.session != *session
            })
        };
        self.losses.iter().filter(is_known).count()
    }
}

#[cfg(test)]
mod tests {
    use larder_cluster::env::BrokenRule;

    use crate::action::Action;
    use crate::dice::Dice;
    use crate::faults::Faults;
    use crate::plan::{Durability, Plan};
    use crate::trace::Trace;
    use crate::world::World;

    /// Three nodes on which nothing goes wrong by itself.
    fn world() -> World {
        let mut dice = Dice::new(1);
        let drawn = Plan::draw(&mut dice, BrokenRule::default());
        let plan = Plan {
            nodes: 3,
            replicas: 3,
            durability: Durability::Timer { every_ms: 5 },
            quorums: 0.0,
            faults: Faults::none(),
            ..drawn
        };
        let mut world = World::new(dice, plan, Trace::new(false));
        world.start_cluster();
        world.advance(1_000);
        world
    }

    /// Seed 8001769.
    #[test]
    fn a_disk_may_be_counted_on_until_the_one_who_counts_learns_that_it_is_lost() {
        let mut world = world();
        let partition = world.partition_of(b"x");
        let leads = |world: &World, place: usize| {
            let node = world.node(place).expect("it runs");
            node.view().ownership.preference(partition).first() == Some(&node.id())
        };
        let leader = (0..3).find(|place| leads(&world, *place));
        let leader = leader.expect("somebody leads");
        let other = (leader + 1) % 3;
        let before = world.members[other].store.crash_kill(usize::MAX);
        world.submit(leader, 0, Action::of("SET x 1"));
        world.advance(1_000);
        world.restore(other, &before);
        assert_eq!(world.losses_known(), 0, "its links are not seen to end yet");
        for _ in 0..10 {
            world.wait(leader, 0);
        }
        let most = {
            let history = world.history.lock();
            let promises = history
                .commands
                .iter()
                .flat_map(|command| &command.promises);
            promises.map(|promise| promise.copies).max()
        };
        assert_eq!(most, Some(3), "it believes the other two");
        assert_eq!(world.violation, None);
        world.advance(100);
        assert_eq!(world.losses_known(), 1);
    }
}
