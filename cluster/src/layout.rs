//! The layout: which nodes belong to the cluster, and which tokens of the ring they hold.
//!
//! Every node keeps a copy and changes it without asking anybody, on both sides of a cut if need
//! be; the copies are joined when they meet, in any order and as often as they like. So a layout
//! is a map of small lattices. Of each node it holds three parts that join separately, so that a
//! new address written here does not undo a departure decided there:
//!
//! ```text
//!                state         joining → up → leaving → left         the furthest wins
//!   node ──►     description   zone, weight, address                 the later version wins
//!                tokens        points of the ring                    the later version wins
//! ```
//!
//! *Left* is the top of the lattice: such an entry says nothing else, and never changes again. A
//! node that wants to return takes a new id, as one does whose disk was wiped. Equal versions with
//! different contents (written on two sides of a cut) are told apart by the contents, the same way
//! everywhere. Whatever tokens result, ownership is well defined; at worst it is less even until
//! the next join or departure.
//!
//! The operations here return the changed layout and leave the old one as it is.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::id::{NodeId, Token};
use crate::limits::{
    ADDRESS_BYTES_MAX, LAYOUT_ENTRIES_MAX, LAYOUT_NODES_MAX, LAYOUT_VERSION_MAX, REPLICAS_MAX,
    WEIGHT_MAX, ZONE_BYTES_MAX,
};
use crate::placement;
use crate::token::Partitions;

/// How far a node's membership has come. The numbers are part of the stored format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// Has chosen its tokens and is being filled; others still answer for its partitions.
    Joining = 1,
    /// Holds its share.
    Up = 2,
    /// Still holds its share, while its heirs are being filled.
    Leaving = 3,
    /// Gone for good.
    Left = 4,
}

/// What the layout says of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// How far its membership has come.
    pub state: State,
    /// The version of zone, weight and address.
    pub version: u64,
    /// Nodes of one zone are likely to fail together; replicas avoid that.
    pub zone: String,
    /// Its share in relation to the others; 1 unless told otherwise.
    pub weight: u32,
    /// Where peers reach it.
    pub address: String,
    /// The version of the tokens.
    pub tokens_version: u64,
    /// Its points on the ring, ascending.
    pub tokens: Vec<Token>,
}

impl Entry {
    /// The one entry of every node that left.
    pub(crate) fn left() -> Self {
        Self {
            state: State::Left,
            version: 0,
            zone: String::new(),
            weight: 0,
            address: String::new(),
            tokens_version: 0,
            tokens: Vec::new(),
        }
    }

    fn join(&mut self, other: &Self) {
        let state = self.state.max(other.state);
        if state == State::Left {
            *self = Self::left();
            return;
        }
        self.state = state;
        let mine = (self.version, &self.zone, self.weight, &self.address);
        if (other.version, &other.zone, other.weight, &other.address) > mine {
            self.version = other.version;
            self.zone.clone_from(&other.zone);
            self.weight = other.weight;
            self.address.clone_from(&other.address);
        }
        if (other.tokens_version, &other.tokens) > (self.tokens_version, &self.tokens) {
            self.tokens_version = other.tokens_version;
            self.tokens.clone_from(&other.tokens);
        }
    }
}

/// What a node says of itself when it joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joiner {
    /// Its id.
    pub node: NodeId,
    /// Its zone; the empty text is a zone as any other.
    pub zone: String,
    /// Its share in relation to the others, from 1 to [`WEIGHT_MAX`].
    pub weight: u32,
    /// Where peers reach it.
    pub address: String,
}

/// Why a layout could not be changed. It is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LayoutError {
    /// The other layout has another cluster id.
    #[error("the layouts belong to different clusters")]
    OtherCluster,
    /// Same cluster id, but another number of partitions or replicas.
    #[error("the layouts of one cluster disagree about its partitions or replicas")]
    OtherShape,
    /// No entry for this node.
    #[error("the node is not part of the cluster")]
    Unknown,
    /// There is an entry for this node already.
    #[error("the node is part of the cluster already")]
    AlreadyKnown,
    /// The node left, which is final.
    #[error("the node left the cluster for good; it can only return under a new id")]
    HasLeft,
    /// The node's state does not allow the change.
    #[error("the node is not in the state that this change starts from")]
    WrongState,
    /// Nobody would be left to hold the data.
    #[error("the last node of the cluster cannot leave it")]
    LastNode,
    /// [`LAYOUT_NODES_MAX`] or [`LAYOUT_ENTRIES_MAX`] reached.
    #[error("the cluster has no room for another node")]
    TooManyNodes,
    /// The weight is zero or over [`WEIGHT_MAX`].
    #[error("the weight of a node must be from 1 to {WEIGHT_MAX}")]
    BadWeight,
    /// The zone or the address is over its limit.
    #[error("the zone or the address of the node is too long")]
    TooLong,
    /// A node that brings its data has left others behind.
    #[error(
        "this node's cluster has other members; a node takes what it holds to another cluster only \
         when it is alone"
    )]
    NotAlone,
    /// A node that brings its data has cut it otherwise.
    #[error("this node's ring has {own} partitions and the cluster's has {other}")]
    OtherPartitions {
        /// Of the node that would join.
        own: usize,
        /// Of the cluster.
        other: usize,
    },
}

/// Who belongs to the cluster, and where on the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub(crate) cluster: u128,
    pub(crate) partitions: Partitions,
    pub(crate) replicas: usize,
    pub(crate) entries: BTreeMap<NodeId, Entry>,
}

impl Layout {
    /// A cluster without nodes. All three values are fixed from here on.
    ///
    /// # Panics
    /// If `replicas` is zero or over [`REPLICAS_MAX`].
    #[must_use]
    pub fn new(cluster: u128, partitions: Partitions, replicas: usize) -> Self {
        assert!(
            (1..=REPLICAS_MAX).contains(&replicas),
            "replicas out of range"
        );
        Self {
            cluster,
            partitions,
            replicas,
            entries: BTreeMap::new(),
        }
    }

    /// The id of the cluster; layouts of different clusters never join.
    #[must_use]
    pub fn cluster(&self) -> u128 {
        self.cluster
    }

    /// How many partitions the ring has.
    #[must_use]
    pub fn partitions(&self) -> Partitions {
        self.partitions
    }

    /// On how many nodes each partition is kept, if there are as many.
    #[must_use]
    pub fn replicas(&self) -> usize {
        self.replicas
    }

    /// All entries in the order of their ids, nodes that left included.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<NodeId, Entry> {
        &self.entries
    }

    /// What is known of `node`, if it has not left.
    #[must_use]
    pub fn entry(&self, node: NodeId) -> Option<&Entry> {
        self.entries
            .get(&node)
            .filter(|entry| entry.state != State::Left)
    }

    /// The nodes that have not left.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Entry)> + Clone {
        let present = |(_, entry): &(&NodeId, &Entry)| entry.state != State::Left;
        self.entries
            .iter()
            .filter(present)
            .map(|(node, entry)| (*node, entry))
    }

    /// Takes over what `other` knows; says whether that changed anything.
    ///
    /// # Errors
    /// [`LayoutError::OtherCluster`], [`LayoutError::OtherShape`] or [`LayoutError::TooManyNodes`],
    /// with nothing changed.
    pub fn join(&mut self, other: &Self) -> Result<bool, LayoutError> {
        if self.cluster != other.cluster {
            return Err(LayoutError::OtherCluster);
        }
        if (self.partitions, self.replicas) != (other.partitions, other.replicas) {
            return Err(LayoutError::OtherShape);
        }
        let unknown = other
            .entries
            .keys()
            .filter(|node| !self.entries.contains_key(node))
            .count();
        if self.entries.len() + unknown > LAYOUT_ENTRIES_MAX {
            return Err(LayoutError::TooManyNodes);
        }
        let mut changed = unknown > 0;
        for (node, theirs) in &other.entries {
            let Some(ours) = self.entries.get_mut(node) else {
                self.entries.insert(*node, theirs.clone());
                continue;
            };
            if ours != theirs {
                let before = ours.clone();
                ours.join(theirs);
                changed |= *ours != before;
            }
        }
        Ok(changed)
    }

    /// `joiner` chooses its tokens from the ring that it sees here, and begins to join.
    ///
    /// # Errors
    /// [`LayoutError::AlreadyKnown`], [`LayoutError::HasLeft`], [`LayoutError::TooManyNodes`],
    /// [`LayoutError::BadWeight`] or [`LayoutError::TooLong`].
    pub fn with_joining(&self, joiner: Joiner) -> Result<Self, LayoutError> {
        match self.entries.get(&joiner.node).map(|entry| entry.state) {
            None => {}
            Some(State::Left) => return Err(LayoutError::HasLeft),
            Some(State::Joining | State::Up | State::Leaving) => {
                return Err(LayoutError::AlreadyKnown);
            }
        }
        if self.nodes().count() >= LAYOUT_NODES_MAX || self.entries.len() >= LAYOUT_ENTRIES_MAX / 2
        {
            return Err(LayoutError::TooManyNodes);
        }
        if !(1..=WEIGHT_MAX).contains(&joiner.weight) {
            return Err(LayoutError::BadWeight);
        }
        if joiner.zone.len() > ZONE_BYTES_MAX || joiner.address.len() > ADDRESS_BYTES_MAX {
            return Err(LayoutError::TooLong);
        }
        let mut layout = self.clone();
        let Joiner {
            node,
            zone,
            weight,
            address,
        } = joiner;
        let state = State::Joining;
        let (version, tokens_version, tokens) = (1, 1, Vec::new());
        let entry = Entry {
            state,
            version,
            zone,
            weight,
            address,
            tokens_version,
            tokens,
        };
        layout.entries.insert(node, entry);
        placement::choose_tokens(&mut layout, node);
        Ok(layout)
    }

    /// `node`, which is alone in the cluster of `own`, begins to join this one with what it holds.
    ///
    /// # Errors
    /// [`LayoutError::NotAlone`], [`LayoutError::OtherPartitions`], [`LayoutError::HasLeft`], or as
    /// [`Layout::with_joining`].
    pub fn with_arriving(&self, own: &Self, node: NodeId) -> Result<Self, LayoutError> {
        let entry = own.entry(node).ok_or(LayoutError::HasLeft)?;
        if own.cluster == self.cluster {
            return Err(LayoutError::AlreadyKnown);
        }
        if own.nodes().count() > 1 {
            return Err(LayoutError::NotAlone);
        }
        if own.partitions != self.partitions {
            let (own, other) = (own.partitions.count(), self.partitions.count());
            return Err(LayoutError::OtherPartitions { own, other });
        }
        // It was here before a power cut set it back.
        if self.entry(node).is_some() {
            return Ok(self.clone());
        }
        self.with_joining(Joiner {
            node,
            zone: entry.zone.clone(),
            weight: entry.weight,
            address: entry.address.clone(),
        })
    }

    /// `node`, which is joining, chooses its tokens once more if that makes the ring more even:
    /// others have joined at the same time, and neither had seen the choice of the other. Those
    /// that join take turns in the order of their ids, each as if those behind it were not there,
    /// so that all of them together come to what one after the other would have chosen. `None` if
    /// its tokens are as they should be.
    #[must_use]
    pub fn choose_anew(&self, node: NodeId) -> Option<Self> {
        self.expect_state(node, &[State::Joining]).ok()?;
        placement::choose_anew(self, node)
    }

    /// `node` has been filled and answers for its share from now on.
    ///
    /// # Errors
    /// [`LayoutError::Unknown`], [`LayoutError::HasLeft`] or [`LayoutError::WrongState`] if it is
    /// not joining.
    pub fn become_up(&self, node: NodeId) -> Result<Self, LayoutError> {
        self.expect_state(node, &[State::Joining])?;
        Ok(self.with_state(node, State::Up))
    }

    /// `node` is to leave: the others inherit its tokens, evenly, and it stays an owner until they
    /// are filled ([`Layout::become_left`]). A node that was still joining leaves at once.
    ///
    /// # Errors
    /// [`LayoutError::Unknown`], [`LayoutError::HasLeft`], [`LayoutError::WrongState`] if it is
    /// leaving already, or [`LayoutError::LastNode`].
    pub fn leave(&self, node: NodeId) -> Result<Self, LayoutError> {
        match self.expect_state(node, &[State::Joining, State::Up])? {
            State::Up => Ok(self.with_heirs_of(node)?.with_state(node, State::Leaving)),
            State::Joining | State::Leaving | State::Left => Ok(self.with_left(node)),
        }
    }

    /// The heirs of `node` have been filled: it is gone.
    ///
    /// # Errors
    /// [`LayoutError::Unknown`], [`LayoutError::HasLeft`] or [`LayoutError::WrongState`] if it is
    /// not leaving.
    pub fn become_left(&self, node: NodeId) -> Result<Self, LayoutError> {
        self.expect_state(node, &[State::Leaving])?;
        Ok(self.with_left(node))
    }

    /// `node` is lost with its disk: the others inherit its tokens at once. If both sides of a cut
    /// forget each other, nobody is left when they meet: a node that finds itself gone takes a new
    /// id and joins again.
    ///
    /// # Errors
    /// [`LayoutError::Unknown`], [`LayoutError::HasLeft`] or [`LayoutError::LastNode`].
    pub fn forget(&self, node: NodeId) -> Result<Self, LayoutError> {
        match self.expect_state(node, &[State::Joining, State::Up, State::Leaving])? {
            State::Up => Ok(self.with_heirs_of(node)?.with_left(node)),
            State::Joining | State::Leaving | State::Left => Ok(self.with_left(node)),
        }
    }

    /// `new`, which is joining, takes the place of `old`, which is lost with its disk: `new` gives
    /// up the tokens that it chose for those of `old` and is up at once, although it has yet to be
    /// filled; were it still joining, others would have to stand in as owners meanwhile, and be
    /// filled in vain. `old` is gone.
    ///
    /// # Errors
    /// [`LayoutError::Unknown`], [`LayoutError::HasLeft`] or [`LayoutError::WrongState`] if `new`
    /// is not joining, or if `old` has not got further than that.
    pub fn replace(&self, old: NodeId, new: NodeId) -> Result<Self, LayoutError> {
        self.expect_state(new, &[State::Joining])?;
        self.expect_state(old, &[State::Up, State::Leaving])?;
        let mut layout = self.clone();
        let tokens = layout.entries[&old].tokens.clone();
        let entry = layout
            .entries
            .get_mut(&new)
            .expect("its state was just read");
        entry.tokens = tokens;
        entry.tokens_version = next_version(entry.tokens_version);
        entry.state = State::Up;
        Ok(layout.with_left(old))
    }

    /// Peers reach `node` at `address` from now on.
    ///
    /// # Errors
    /// [`LayoutError::Unknown`], [`LayoutError::HasLeft`] or [`LayoutError::TooLong`].
    pub fn with_address(&self, node: NodeId, address: &str) -> Result<Self, LayoutError> {
        self.expect_state(node, &[State::Joining, State::Up, State::Leaving])?;
        if address.len() > ADDRESS_BYTES_MAX {
            return Err(LayoutError::TooLong);
        }
        let mut layout = self.clone();
        let entry = layout
            .entries
            .get_mut(&node)
            .expect("its state was just read");
        if entry.address != address {
            address.clone_into(&mut entry.address);
            entry.version = next_version(entry.version);
        }
        Ok(layout)
    }

    fn expect_state(&self, node: NodeId, allowed: &[State]) -> Result<State, LayoutError> {
        match self.entries.get(&node).map(|entry| entry.state) {
            None => Err(LayoutError::Unknown),
            Some(State::Left) => Err(LayoutError::HasLeft),
            Some(state) if allowed.contains(&state) => Ok(state),
            Some(_) => Err(LayoutError::WrongState),
        }
    }

    fn with_state(&self, node: NodeId, state: State) -> Self {
        let mut layout = self.clone();
        layout
            .entries
            .get_mut(&node)
            .expect("its state was just read")
            .state = state;
        layout
    }

    fn with_left(&self, node: NodeId) -> Self {
        let mut layout = self.clone();
        layout.entries.insert(node, Entry::left());
        layout
    }

    fn with_heirs_of(&self, node: NodeId) -> Result<Self, LayoutError> {
        let stays = |(other, entry): (NodeId, &Entry)| {
            other != node && matches!(entry.state, State::Joining | State::Up)
        };
        if !self.nodes().any(stays) {
            return Err(LayoutError::LastNode);
        }
        let mut layout = self.clone();
        placement::choose_heirs(&mut layout, node);
        Ok(layout)
    }
}

/// The version after `version`; at the limit the contents alone decide.
pub(crate) fn next_version(version: u64) -> u64 {
    (version + 1).min(LAYOUT_VERSION_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_left_are_remembered_up_to_a_limit() {
        let single = Partitions::new(1).expect("a power of two");
        let mut layout = Layout::new(7, single, 3);
        let joiner = |node| Joiner {
            node,
            zone: String::new(),
            weight: 1,
            address: String::new(),
        };
        let fill = |layout: &mut Layout, from: usize, to: usize| {
            let nodes = (from..to).map(|number| (NodeId(number as u128), Entry::left()));
            layout.entries.extend(nodes);
        };
        fill(&mut layout, 0, LAYOUT_ENTRIES_MAX / 2 - 1);
        let new = NodeId(u128::MAX);
        assert!(layout.with_joining(joiner(new)).is_ok());
        fill(
            &mut layout,
            LAYOUT_ENTRIES_MAX / 2 - 1,
            LAYOUT_ENTRIES_MAX / 2,
        );
        assert_eq!(
            layout.with_joining(joiner(new)),
            Err(LayoutError::TooManyNodes)
        );

        fill(&mut layout, LAYOUT_ENTRIES_MAX / 2, LAYOUT_ENTRIES_MAX);
        let mut one = Layout::new(7, single, 3);
        fill(&mut one, 0, 1);
        assert_eq!(layout.join(&one), Ok(false));
        fill(&mut one, LAYOUT_ENTRIES_MAX, LAYOUT_ENTRIES_MAX + 1);
        assert_eq!(layout.join(&one), Err(LayoutError::TooManyNodes));
    }
}
