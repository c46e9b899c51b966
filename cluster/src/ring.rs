//! Who owns which partition: a pure function of the layout.
//!
//! Picture a clock face with Q equal ranges, the partitions, and many small flags around the rim,
//! the tokens, each in the colour of its node (Dynamo, section 4.2, and Riak after it; both give
//! every partition to the node of the next flag). A partition belongs to the first flag clockwise
//! from it, the **primary**, and is kept on the nodes of the flags just passed as well, the
//! **replicas**:
//!
//! ```text
//!     partition      …    17     18     19     20     21    …         clockwise ──►
//!     first token         A      C      B      D      A
//!                                       ▲
//!     preference list of 20:   D, then B (19), then C (18)            going back
//! ```
//!
//! Larder's nodes plant one flag in each partition that they mean to lead (`placement.rs` says
//! which), so the row of first tokens *is* the assignment. A token behind another one of the same
//! partition is asleep: it holds nothing and counts for nothing until all before it are gone. That
//! makes both kinds of change gentle. A joining node plants its flag in front of another's: it
//! enters the lists of that partition and of the next few, and pushes out one node each time;
//! nobody else gains anything. A leaving node's heir plants its flag behind: the moment the leaver
//! is gone, the heir stands in its place, in all those lists.
//!
//! Going back, a list takes the nearest node of each zone first, and fills what is left over with
//! the nearest nodes of zones that it has already.

use std::collections::BTreeMap;

use crate::id::{NodeId, PartitionId, Token};
use crate::layout::{Layout, State};
use crate::token::Partitions;

/// A node on a [`Ring`].
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) node: NodeId,
    /// The number of its zone, in the order of the zones' names.
    pub(crate) zone: usize,
    pub(crate) weight: u32,
}

/// The primaries of all partitions, for the nodes in some states.
#[derive(Debug, Clone)]
pub(crate) struct Ring {
    /// Ascending by node; everything else names them by their position here.
    pub(crate) members: Vec<Member>,
    /// The member that is the primary of each partition; empty if there are no tokens.
    pub(crate) slots: Vec<usize>,
    /// Whether the partition has a token of its own, rather than the token of a later one.
    pub(crate) planted: Vec<bool>,
}

impl Ring {
    /// The ring of those nodes of `layout` whose state is among `states`.
    pub(crate) fn of(layout: &Layout, states: &[State]) -> Self {
        let present = layout
            .nodes()
            .filter(|(_, entry)| states.contains(&entry.state));
        let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, entry) in present.clone() {
            zones.insert(&entry.zone, 0);
        }
        zones
            .values_mut()
            .enumerate()
            .for_each(|(number, zone)| *zone = number);

        let mut first: Vec<Option<(Token, usize)>> = vec![None; layout.partitions().count()];
        let mut members = Vec::new();
        for (node, entry) in present {
            for token in &entry.tokens {
                let first = &mut first[token.partition(layout.partitions()).index()];
                if first.is_none_or(|(earliest, _)| *token < earliest) {
                    *first = Some((*token, members.len()));
                }
            }
            members.push(Member {
                node,
                zone: zones[&*entry.zone],
                weight: entry.weight,
            });
        }
        Self {
            members,
            slots: slots_of(&first),
            planted: first.iter().map(Option::is_some).collect(),
        }
    }

    /// How many distinct nodes and zones each preference list can have.
    pub(crate) fn reach(&self, replicas: usize) -> Reach {
        let mut holds = vec![false; self.members.len()];
        self.slots.iter().for_each(|slot| holds[*slot] = true);
        let holders = || self.members.iter().zip(&holds).filter(|(_, holds)| **holds);
        let mut zones: Vec<usize> = holders().map(|(member, _)| member.zone).collect();
        zones.sort_unstable();
        zones.dedup();
        let nodes = holders().count().min(replicas);
        Reach {
            nodes,
            zones: zones.len().min(nodes),
        }
    }
}

/// Gives each partition the first token clockwise from it.
fn slots_of(first: &[Option<(Token, usize)>]) -> Vec<usize> {
    // Behind the last token of the ring comes its first one.
    let Some((_, mut holder)) = first.iter().flatten().next().copied() else {
        return Vec::new();
    };
    let mut slots = vec![holder; first.len()];
    for (slot, first) in slots.iter_mut().zip(first).rev() {
        if let Some((_, member)) = first {
            holder = *member;
        }
        *slot = holder;
    }
    slots
}

/// How many distinct nodes, and distinct zones among them, a preference list shall have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) nodes: usize,
    pub(crate) zones: usize,
}

/// Walks back from a partition and collects its preference list.
#[derive(Debug)]
pub(crate) struct Walker {
    reach: Reach,
    /// The walk that last met the member or the zone of that number.
    member_met: Vec<u64>,
    zone_met: Vec<u64>,
    walk: u64,
    /// Nodes of zones that the list has already.
    spares: Vec<usize>,
    /// Partitions looked at in all walks: what they cost.
    pub(crate) steps: u64,
}

impl Walker {
    pub(crate) fn new(members: usize, reach: Reach) -> Self {
        let (member_met, zone_met) = (vec![0; members], vec![0; members]);
        Self {
            reach,
            member_met,
            zone_met,
            walk: 0,
            spares: Vec::new(),
            steps: 0,
        }
    }

    /// Writes the preference list of the partition at `from` into `list`; returns how many steps
    /// back it had to look.
    pub(crate) fn list(
        &mut self,
        members: &[Member],
        slots: &[usize],
        from: usize,
        list: &mut Vec<usize>,
    ) -> usize {
        list.clear();
        self.spares.clear();
        self.walk += 1;
        let backwards = slots[..=from]
            .iter()
            .rev()
            .chain(slots[from + 1..].iter().rev());
        let mut back = 0;
        for (steps, member) in backwards.enumerate() {
            back = steps;
            if std::mem::replace(&mut self.member_met[*member], self.walk) == self.walk {
                continue;
            }
            let zone = members[*member].zone;
            if std::mem::replace(&mut self.zone_met[zone], self.walk) != self.walk {
                list.push(*member);
            } else {
                self.spares.push(*member);
            }
            let complete = list.len() + self.spares.len() >= self.reach.nodes;
            if list.len() >= self.reach.zones && complete {
                break;
            }
        }
        self.steps += back as u64 + 1;
        list.extend(&self.spares);
        list.truncate(self.reach.nodes);
        back
    }
}

/// The partitions that a node leads, and those that it holds in any place of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Partitions whose primary the node is.
    pub primaries: usize,
    /// Partitions in whose preference list the node is, the led ones included.
    pub copies: usize,
}

/// Where the preference lists of a partition stand in [`Ownership::nodes`].
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    current: u16,
    owners: u16,
    next: u16,
}

/// The table of owners that a layout amounts to; made once per layout, then only read.
///
/// Of each partition it knows two preference lists: *current*, by the ring of the nodes that are
/// up or leaving, who have the data; and *next*, by the ring of those that are up or joining, who
/// will. The two differ only while a join or a departure is under way.
#[derive(Debug, Clone)]
pub struct Ownership {
    partitions: Partitions,
    spans: Box<[Span]>,
    /// Per partition: the current list, then the nodes that are only in the next, then the next.
    nodes: Box<[NodeId]>,
    current: BTreeMap<NodeId, Share>,
    next: BTreeMap<NodeId, Share>,
}

impl Ownership {
    /// The owners by `layout`.
    #[must_use]
    pub fn of(layout: &Layout) -> Self {
        let current = lists_of(layout, &[State::Up, State::Leaving]);
        let next = lists_of(layout, &[State::Up, State::Joining]);
        let mut spans = Vec::with_capacity(current.len());
        let mut nodes = Vec::new();
        for (current, next) in current.iter().zip(&next) {
            let start = u32::try_from(nodes.len()).expect("65536 partitions of at most 48 nodes");
            nodes.extend(current);
            nodes.extend(next.iter().filter(|node| !current.contains(node)));
            let owners = nodes.len() - start as usize;
            nodes.extend(next);
            let length = |length| u16::try_from(length).expect("at most 32 nodes");
            let (current, next) = (length(current.len()), length(next.len()));
            spans.push(Span {
                start,
                current,
                owners: length(owners),
                next,
            });
        }
        Self {
            partitions: layout.partitions(),
            spans: spans.into(),
            nodes: nodes.into(),
            current: shares_of(&current),
            next: shares_of(&next),
        }
    }

    /// How many partitions the ring has.
    #[must_use]
    pub fn partitions(&self) -> Partitions {
        self.partitions
    }

    /// The nodes that hold `partition` by the ring of those up or leaving, the primary first. Empty
    /// while the first node of a cluster is joining.
    #[inline]
    #[must_use]
    pub fn current(&self, partition: PartitionId) -> &[NodeId] {
        let span = self.spans[partition.index()];
        &self.nodes[span.start as usize..][..usize::from(span.current)]
    }

    /// The nodes that will hold `partition` when all joins and departures under way are done.
    #[inline]
    #[must_use]
    pub fn next(&self, partition: PartitionId) -> &[NodeId] {
        let span = self.spans[partition.index()];
        &self.nodes[span.start as usize + usize::from(span.owners)..][..usize::from(span.next)]
    }

    /// All nodes that count as owners of `partition`: the current list, then who is only in the
    /// next. The log is kept until all of these have it.
    #[inline]
    #[must_use]
    pub fn owners(&self, partition: PartitionId) -> &[NodeId] {
        let span = self.spans[partition.index()];
        &self.nodes[span.start as usize..][..usize::from(span.owners)]
    }

    /// Whom to ask for `partition`, in this order: the current list, or the next one while there
    /// is no other.
    #[inline]
    #[must_use]
    pub fn preference(&self, partition: PartitionId) -> &[NodeId] {
        let current = self.current(partition);
        if current.is_empty() {
            self.next(partition)
        } else {
            current
        }
    }

    /// On how many nodes `partition` is kept now: `replicas`, or as many nodes as there are.
    #[inline]
    #[must_use]
    pub fn replicas_now(&self, partition: PartitionId) -> usize {
        self.preference(partition).len()
    }

    /// Whether `node` is among the [`Ownership::owners`] of `partition`.
    #[inline]
    #[must_use]
    pub fn is_owner(&self, node: NodeId, partition: PartitionId) -> bool {
        self.owners(partition).contains(&node)
    }

    /// Whether `node` will hold `partition` when all changes under way are done.
    #[inline]
    #[must_use]
    pub fn is_next_owner(&self, node: NodeId, partition: PartitionId) -> bool {
        self.next(partition).contains(&node)
    }

    /// The partitions that `node` is an owner of, clockwise.
    pub fn partitions_of(&self, node: NodeId) -> impl Iterator<Item = PartitionId> {
        self.partitions
            .iter()
            .filter(move |partition| self.is_owner(node, *partition))
    }

    /// What each node holds by the current lists.
    #[must_use]
    pub fn shares(&self) -> &BTreeMap<NodeId, Share> {
        &self.current
    }

    /// What each node will hold by the next lists.
    #[must_use]
    pub fn next_shares(&self) -> &BTreeMap<NodeId, Share> {
        &self.next
    }
}

fn lists_of(layout: &Layout, states: &[State]) -> Vec<Vec<NodeId>> {
    let ring = Ring::of(layout, states);
    if ring.slots.is_empty() {
        return vec![Vec::new(); layout.partitions().count()];
    }
    let mut walker = Walker::new(ring.members.len(), ring.reach(layout.replicas()));
    let mut list = Vec::new();
    let list_of = |from| {
        walker.list(&ring.members, &ring.slots, from, &mut list);
        list.iter()
            .map(|member| ring.members[*member].node)
            .collect()
    };
    (0..ring.slots.len()).map(list_of).collect()
}

fn shares_of(lists: &[Vec<NodeId>]) -> BTreeMap<NodeId, Share> {
    let mut shares: BTreeMap<NodeId, Share> = BTreeMap::new();
    for list in lists {
        for (place, node) in list.iter().enumerate() {
            let share = shares.entry(*node).or_default();
            share.primaries += usize::from(place == 0);
            share.copies += 1;
        }
    }
    shares
}
