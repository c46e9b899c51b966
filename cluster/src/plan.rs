//! Which partitions change hands when a node joins or leaves, so that shares stay even.
//!
//! The plan moves one partition after the other, and each time takes the candidate that costs
//! least. Cost is what one would complain about: squared distances from the even share, in
//! primaries and in copies, and copies that have to be shipped although no share asks for it. How
//! a change of one primary ripples through the next few preference lists is simulated, not
//! guessed, so zones and repeated nodes count as what they are.
//!
//! What was chosen first is looked at again when the rest is known, [`ROUNDS`] times: each choice
//! is taken back and made anew.
//!
//! All of it is integers, in a fixed order: every machine chooses the same.

use std::cmp::Ordering;
use std::collections::VecDeque;

use crate::limits::{PLACEMENT_CANDIDATES_MAX, PLACEMENT_STEPS_MAX};
use crate::ring::{Reach, Ring, Walker};

/// Even shares are fractions; they count in this part of a partition.
const SCALE: i64 = 1024;
/// The cost of a copy that moves although no share asks for it. One partition too many costs a
/// node 64 Ki divided by its share, so this is what a deviation of some percent may cost.
const MOVE_COST: i64 = 12_000;
/// The cost of being a near neighbour of oneself, where a list would go further back.
const REPEAT_COST: i64 = 300;

/// The part of its share that a node may have too much or too little if there are zones.
const SLACK: i64 = 12;
/// The part of its share by which a node that joins may leave anybody too much.
const UNEVEN: i64 = 10;
/// How often what was chosen is looked at again.
const ROUNDS: usize = 2;

/// A ring in the course of a change.
#[derive(Debug)]
pub(crate) struct Plan {
    ring: Ring,
    replicas: usize,
    reach: Reach,
    walker: Walker,
    /// Per partition: its preference list, and how far back that had to look.
    lists: Vec<(Vec<usize>, usize)>,
    /// The preference lists before the change.
    originals: Vec<Vec<usize>>,
    primaries: Vec<i64>,
    copies: Vec<i64>,
    primary_targets: Vec<i64>,
    copy_targets: Vec<i64>,
    /// The joining node: what it gains is meant.
    taker: Option<usize>,
}

impl Plan {
    /// A plan for `ring` whose members all stay, but for `leaver`.
    pub(crate) fn new(ring: Ring, replicas: usize, leaver: Option<usize>) -> Self {
        let members = ring.members.len();
        let weights: Vec<i64> = (0..members)
            .map(|index| {
                if Some(index) == leaver {
                    0
                } else {
                    ring.members[index].weight.into()
                }
            })
            .collect();
        let reach = reach_of(&ring, &weights, replicas);
        let partitions = ring.slots.len() as i64;
        let total: i64 = weights.iter().sum();
        let primary_targets = weights
            .iter()
            .map(|w| partitions * SCALE * w / total)
            .collect();
        let copy_targets = copy_targets(&ring, &weights, replicas, reach);
        let mut plan = Self {
            replicas,
            reach,
            walker: Walker::new(members, reach),
            lists: Vec::new(),
            originals: Vec::new(),
            primaries: vec![0; members],
            copies: vec![0; members],
            primary_targets,
            copy_targets,
            taker: None,
            ring,
        };
        for slot in &plan.ring.slots {
            plan.primaries[*slot] += 1;
        }
        plan
    }

    /// The plan with the preference lists of the ring as it is.
    pub(crate) fn with_lists(mut self) -> Self {
        self.compute_lists();
        self
    }

    /// What each member leads and holds, beside its even share of that.
    fn counts_and_targets(&self) -> impl Iterator<Item = (i64, i64)> {
        let leads = self.primaries.iter().zip(&self.primary_targets);
        // Without lists everybody holds everything.
        let holds = self.copies.iter().zip(&self.copy_targets);
        let holds = holds.filter(|_| !self.lists.is_empty());
        leads.chain(holds).map(|(count, target)| (*count, *target))
    }

    /// Whether nobody leads or holds more than a tenth beyond its even share, or one partition if
    /// that is more.
    pub(crate) fn are_even(&self) -> bool {
        let is_even =
            |(count, target): (i64, i64)| count * SCALE <= target + (target / UNEVEN).max(SCALE);
        self.counts_and_targets().all(is_even)
    }

    /// How far the members are from their even shares, all together.
    pub(crate) fn cost_of_shares(&self) -> i64 {
        let costs = self.counts_and_targets();
        costs.map(|(count, target)| penalty(count, target)).sum()
    }

    /// The partitions that `taker` is to lead, of which it leads none yet; it prefers those that
    /// stand early in `order`.
    pub(crate) fn choose_for(mut self, taker: usize, order: Vec<usize>) -> Vec<usize> {
        self.taker = Some(taker);
        let share = (self.primary_targets[taker] + SCALE / 2) / SCALE;
        let mut queue = self.queue(order);
        let mut near = VecDeque::new();
        let mut chosen = Vec::new();
        // A zone that is new to the ring is in hardly any list at first: lists would go back all
        // the way. So the first picks of its first node are made without looking.
        let unseen = self.is_zone_new(taker);
        let blind = if unseen { share / 4 } else { 0 };
        while (chosen.len() as i64) < share.max(1) {
            if self.lists.is_empty() && chosen.len() as i64 >= blind {
                self.compute_lists();
            }
            let candidates = self.eligible(taker, &mut queue, &mut near);
            let Some(best) = self.cheapest(&candidates, |plan, index| plan.cost(*index, taker))
            else {
                break;
            };
            queue.extend(candidates.iter().filter(|index| **index != best));
            let donor = self.ring.slots[best];
            self.assign(best, taker);
            chosen.push((best, donor));
        }
        self.improve_choice(taker, &mut chosen, &mut queue);
        chosen.into_iter().map(|(index, _)| index).collect()
    }

    /// Gives each chosen partition back, and chooses anew in its place: the first choices were made
    /// when the last ones were not known.
    fn improve_choice(
        &mut self,
        taker: usize,
        chosen: &mut [(usize, usize)],
        queue: &mut VecDeque<usize>,
    ) {
        if self.lists.is_empty() {
            return;
        }
        for _ in 0..ROUNDS {
            for place in chosen.iter_mut() {
                let (index, donor) = *place;
                self.assign(index, donor);
                let mut candidates = vec![index];
                let fits = queue.len().min(PLACEMENT_CANDIDATES_MAX);
                for _ in 0..fits {
                    let Some(other) = queue.pop_front() else {
                        break;
                    };
                    let is_free =
                        self.ring.slots[other] != taker && self.ring.planted[self.before(other)];
                    if is_free {
                        candidates.push(other);
                    } else {
                        queue.push_back(other);
                    }
                }
                let best = self
                    .cheapest(&candidates, |plan, index| plan.cost(*index, taker))
                    .expect("the partition itself is one");
                queue.extend(candidates.iter().filter(|index| **index != best));
                *place = (best, self.ring.slots[best]);
                self.assign(best, taker);
            }
        }
    }

    /// An heir for each partition that `leaver` leads.
    pub(crate) fn choose_heirs_of(mut self, leaver: usize, order: &[usize]) -> Vec<(usize, usize)> {
        self.compute_lists();
        let mut chosen = Vec::new();
        for index in order.iter().copied() {
            if self.ring.slots[index] != leaver {
                continue;
            }
            let others = (0..self.ring.members.len()).filter(|heir| *heir != leaver);
            let mut candidates: Vec<usize> =
                others.clone().filter(|heir| self.lacks(*heir)).collect();
            if candidates.is_empty() {
                candidates = others.collect();
            }
            // The walk round the members starts elsewhere each time, so that ties spread.
            let turn = index % candidates.len();
            candidates.rotate_left(turn);
            let heir = self
                .cheapest(&candidates, |plan, heir| plan.cost(index, *heir))
                .expect("the caller has seen that somebody stays");
            self.assign(index, heir);
            chosen.push((index, heir));
        }
        self.improve_heirs(leaver, &mut chosen);
        chosen
    }

    /// Chooses each heir anew, now that the others are known.
    fn improve_heirs(&mut self, leaver: usize, chosen: &mut [(usize, usize)]) {
        for _ in 0..ROUNDS {
            for (index, heir) in chosen.iter_mut() {
                let present = *heir;
                let others = (0..self.ring.members.len())
                    .filter(|other| *other != leaver && *other != present);
                let others: Vec<usize> = others.collect();
                let best = others
                    .into_iter()
                    .map(|other| (self.cost(*index, other), other))
                    .min();
                if let Some((cost, better)) = best
                    && cost < 0
                {
                    self.assign(*index, better);
                    *heir = better;
                }
            }
        }
    }

    /// While there are fewer nodes than replicas, lists hold everybody and only primaries matter.
    /// Then the n-th node takes every n-th partition of the pattern that all will have once there
    /// are enough (a b c a b c …), which no later choice could bring about.
    fn queue(&self, order: Vec<usize>) -> VecDeque<usize> {
        let nodes = self.ring.members.len();
        if nodes > self.replicas {
            return order.into();
        }
        let mut order = order;
        order.sort_by_key(|index| match (index % self.replicas).cmp(&(nodes - 1)) {
            Ordering::Equal => 0,
            Ordering::Greater => 1,
            Ordering::Less => 2,
        });
        order.into()
    }

    fn is_zone_new(&self, member: usize) -> bool {
        let zone = self.ring.members[member].zone;
        let mut members = self.ring.members.iter().zip(&self.primaries);
        !members.any(|(other, primaries)| other.zone == zone && *primaries > 0)
    }

    /// By how much of a partition, scaled, `member` leads more than its even share.
    fn surplus(&self, member: usize) -> i64 {
        self.primaries[member] * SCALE - self.primary_targets[member]
    }

    /// Whether a joining node may take from `member`.
    fn gives(&self, member: usize) -> bool {
        self.surplus(member) > -self.slack(member)
    }

    /// Whether `member` may inherit from a leaving node.
    fn lacks(&self, member: usize) -> bool {
        self.surplus(member) < self.slack(member)
    }

    /// By how much a node may miss its share of primaries: with zones a little, because changes
    /// within a zone move least.
    fn slack(&self, member: usize) -> i64 {
        if self.reach.zones == 1 {
            0
        } else {
            self.primary_targets[member] / SLACK
        }
    }

    /// The next candidates for `taker`, taken off the queue: partitions whose primary leads too
    /// many and that are not too near to what `taker` has; if there are none, the near ones too.
    fn eligible(
        &self,
        taker: usize,
        queue: &mut VecDeque<usize>,
        near: &mut VecDeque<usize>,
    ) -> Vec<usize> {
        let is_small = self.ring.members.len() <= self.replicas;
        let enough = if is_small || self.lists.is_empty() {
            1
        } else {
            PLACEMENT_CANDIDATES_MAX
        };
        let mut candidates = Vec::new();
        let mut later = Vec::new();
        while candidates.len() < enough {
            let Some(index) = queue.pop_front() else {
                break;
            };
            let donor = self.ring.slots[index];
            if donor == taker || !self.gives(donor) {
                continue;
            }
            if !self.ring.planted[self.before(index)] {
                // A token here would take over the unplanted partitions before it as well.
                later.push(index);
            } else if !is_small && self.reach.zones == 1 && self.repeats(index, taker) > 0 {
                near.push_back(index);
            } else {
                candidates.push(index);
            }
        }
        queue.extend(later);
        if candidates.is_empty() {
            near.retain(|index| {
                let donor = self.ring.slots[*index];
                donor != taker && self.gives(donor)
            });
            candidates.extend(near.drain(..near.len().min(enough)));
        }
        if candidates.is_empty() {
            candidates.extend(queue.pop_front());
        }
        candidates
    }

    /// The candidate of least cost, the earliest of equals; it stops looking at
    /// [`PLACEMENT_STEPS_MAX`].
    fn cheapest(
        &mut self,
        candidates: &[usize],
        cost: impl Fn(&mut Self, &usize) -> i64,
    ) -> Option<usize> {
        let stop_at = self.walker.steps + PLACEMENT_STEPS_MAX;
        let mut best: Option<(i64, usize)> = None;
        for candidate in candidates {
            let cost = cost(self, candidate);
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, *candidate));
            }
            if self.walker.steps > stop_at {
                break;
            }
        }
        best.map(|(_, candidate)| candidate)
    }

    /// What it costs, or saves, to make `member` the primary of the partition at `index`.
    fn cost(&mut self, index: usize, member: usize) -> i64 {
        let donor = self.ring.slots[index];
        let mut cost = REPEAT_COST * self.repeats(index, member);
        for (member, change) in [(donor, -1), (member, 1)] {
            let (count, target) = (self.primaries[member], self.primary_targets[member]);
            cost += penalty(count + change, target) - penalty(count, target);
        }
        let mut changes: Vec<(usize, i64)> = Vec::new();
        for (at, list, _) in self.ripple(index, member) {
            let (old, original) = (&self.lists[at].0, &self.originals[at]);
            for gained in list.iter().filter(|member| !old.contains(member)) {
                add(&mut changes, *gained, 1);
                cost += self.move_cost(*gained, original);
            }
            for lost in old.iter().filter(|member| !list.contains(member)) {
                add(&mut changes, *lost, -1);
                cost -= self.move_cost(*lost, original);
            }
        }
        for (member, change) in changes {
            let (count, target) = (self.copies[member], self.copy_target(member));
            cost += penalty(count + change, target) - penalty(count, target);
        }
        cost
    }

    /// The copies that `member` should have. Those of the joining node grow with the partitions
    /// that it leads; otherwise its first picks would be greedy, and its last could not make up
    /// for that.
    fn copy_target(&self, member: usize) -> i64 {
        let target = self.copy_targets[member];
        if Some(member) != self.taker {
            return target;
        }
        let progress = (self.primaries[member] + 1) * SCALE;
        target * progress / self.primary_targets[member].max(progress)
    }

    /// What it costs that `member` is in a list, given who was in it before the change.
    fn move_cost(&self, member: usize, original: &[usize]) -> i64 {
        let is_meant = Some(member) == self.taker || original.contains(&member);
        if is_meant { 0 } else { MOVE_COST }
    }

    /// Makes `member` the primary of the partition at `index`.
    fn assign(&mut self, index: usize, member: usize) {
        for (at, list, back) in self.ripple(index, member) {
            for lost in &self.lists[at].0 {
                self.copies[*lost] -= 1;
            }
            for gained in &list {
                self.copies[*gained] += 1;
            }
            self.lists[at] = (list, back);
        }
        self.primaries[self.ring.slots[index]] -= 1;
        self.primaries[member] += 1;
        self.ring.slots[index] = member;
        self.ring.planted[index] = true;
    }

    /// The lists that would look at the partition at `index` if `member` were its primary.
    fn ripple(&mut self, index: usize, member: usize) -> Vec<(usize, Vec<usize>, usize)> {
        let mut ripple = Vec::new();
        if self.lists.is_empty() {
            return ripple;
        }
        let donor = std::mem::replace(&mut self.ring.slots[index], member);
        let partitions = self.ring.slots.len();
        for distance in 0..partitions {
            let at = (index + distance) % partitions;
            let mut list = Vec::with_capacity(self.replicas);
            let back = self
                .walker
                .list(&self.ring.members, &self.ring.slots, at, &mut list);
            // Each list looks back at least as far as the one before it, so none beyond does.
            if back < distance && self.lists[at].1 < distance {
                break;
            }
            ripple.push((at, list, back));
        }
        self.ring.slots[index] = donor;
        ripple
    }

    fn compute_lists(&mut self) {
        // Everybody is in every list as long as there are no more nodes than replicas.
        if self.reach.nodes
            == self
                .primary_targets
                .iter()
                .filter(|target| **target > 0)
                .count()
        {
            return;
        }
        for at in 0..self.ring.slots.len() {
            let mut list = Vec::new();
            let back = self
                .walker
                .list(&self.ring.members, &self.ring.slots, at, &mut list);
            list.iter().for_each(|member| self.copies[*member] += 1);
            self.originals.push(list.clone());
            self.lists.push((list, back));
        }
    }

    /// How often `member` leads a partition so near to `index` that one list looks at both.
    fn repeats(&self, index: usize, member: usize) -> i64 {
        let partitions = self.ring.slots.len();
        let reach = (self.replicas - 1).min(partitions / 2);
        let is_member = |at: usize| i64::from(self.ring.slots[at % partitions] == member);
        (1..=reach)
            .map(|d| is_member(index + d) + is_member(index + partitions - d))
            .sum()
    }

    fn before(&self, index: usize) -> usize {
        let partitions = self.ring.slots.len();
        (index + partitions - 1) % partitions
    }
}

fn add(changes: &mut Vec<(usize, i64)>, member: usize, change: i64) {
    match changes.iter_mut().find(|(other, _)| *other == member) {
        Some((_, sum)) => *sum += change,
        None => changes.push((member, change)),
    }
}

/// The squared distance of a count from its target, in relation to the target.
fn penalty(count: i64, target: i64) -> i64 {
    let distance = count * SCALE - target;
    distance * distance * 64 / target.max(SCALE)
}

/// How many nodes and zones a list will have when the change is done.
fn reach_of(ring: &Ring, weights: &[i64], replicas: usize) -> Reach {
    let staying = || {
        ring.members
            .iter()
            .zip(weights)
            .filter(|(_, weight)| **weight > 0)
    };
    let mut zones: Vec<usize> = staying().map(|(member, _)| member.zone).collect();
    zones.sort_unstable();
    zones.dedup();
    let nodes = staying().count().min(replicas);
    Reach {
        nodes,
        zones: zones.len().min(nodes),
    }
}

/// The even shares of copies, scaled: by weight, as far as no node, and no zone if there are
/// enough of them, has more than one copy of everything.
fn copy_targets(ring: &Ring, weights: &[i64], replicas: usize, reach: Reach) -> Vec<i64> {
    let by_zone = reach.zones == replicas;
    let group = |index: usize| {
        if by_zone {
            ring.members[index].zone
        } else {
            index
        }
    };
    let mut group_weights = vec![0; ring.members.len()];
    weights
        .iter()
        .enumerate()
        .for_each(|(index, weight)| group_weights[group(index)] += weight);

    let whole = ring.slots.len() as i64 * SCALE;
    let mut is_full = vec![false; group_weights.len()];
    let (mut copies, mut weight) = (whole * reach.nodes as i64, weights.iter().sum::<i64>());
    while let Some(full) = (0..group_weights.len())
        .find(|g| !is_full[*g] && weight > 0 && group_weights[*g] * copies > whole * weight)
    {
        is_full[full] = true;
        copies -= whole;
        weight -= group_weights[full];
    }
    let target = |(index, own): (usize, &i64)| match group(index) {
        full if is_full[full] => whole * own / group_weights[full],
        _ => copies * own / weight.max(1),
    };
    weights.iter().enumerate().map(target).collect()
}
