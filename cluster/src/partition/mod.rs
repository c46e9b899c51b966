//! One partition on one node: its copies, and what they tell those of other nodes.
//!
//! A node has at most three copies of a partition. The **main** copy is an owner's: read, written,
//! replicated. The **fallback** copy holds what this node took while no owner was in reach; it goes
//! to the owners and ends. The **staged** copy is a bootstrap under way; when its last range is in,
//! it becomes or joins the main copy.
//!
//! ```text
//!            owner?  main      reads, writes           replication
//! fresh      yes     none      to others, or fallback  bootstrap
//! ready      yes     Main      here                    deltas both ways
//! returning  yes     Returning to others, or fallback  bootstrap, then joined with what is here
//! handing    no      Main      to owners, or fallback  deltas out, ends when all owners have it
//! ```

mod acknowledge;
mod clearing;
mod deliver;
mod lifecycle;
mod open;
mod reclaim;
mod sync;
mod transfer;

use std::collections::{BTreeMap, BTreeSet};

use larder_crdt::types::position;
use larder_crdt::{Clock, Dot, HybridClock, Stamp, Writer};

pub use acknowledge::Acknowledgement;
pub use clearing::Clearing;
pub(crate) use open::damaged;
use sync::Ends;
pub use sync::SyncPoint;
pub use transfer::{Feed, Range, Staged};

use crate::copy::{Copy, CopyId, Edit};
use crate::element::Family;
use crate::env::Env;
use crate::id::{NodeId, PartitionId};
use crate::message::{KnownClock, Message};
use crate::record::Role;
use crate::row_key::RowKey;
use crate::rows::Effort;
use crate::store::{Slot, StoreError};

/// What a call into the core leaves to be done, in this order: the redo is appended, then messages
/// are sent, then events are acted upon.
#[derive(Debug, Default)]
pub struct Output {
    /// Entries of the redo record of this commit.
    pub redo: Writer,
    /// Messages, in order per receiver.
    pub sends: Vec<(NodeId, Message)>,
    /// What the node may want to react to.
    pub events: Vec<Event>,
}

/// What happened in a partition that others on the node may wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody waits for a sync.
    SyncWanted,
    /// An element changed under a key that is watched.
    Changed(PartitionId, RowKey),
    /// More is known durable, here or elsewhere.
    Durable(PartitionId),
    /// The partition's own copy became ready, or ceased to be.
    ReadyChanged(PartitionId),
    /// Another node's copy became ready, or ceased to be.
    PeerReadyChanged,
    /// A transfer to this node has ended.
    TransferOver,
    /// A peer sent what contradicts itself, or what no peer of this release sends.
    BadPeer(NodeId),
}

/// Which of its copies a node uses for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The owner's copy.
    Main,
    /// The stand-in's copy.
    Fallback,
}

/// What a command wants to be durable in a partition.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The partition.
    pub partition: PartitionId,
    /// What the copy's actor has signed so far, if the command signed something; else all that the
    /// copy has seen: the command found its change made already, by whomever.
    pub dots: KnownClock,
}

/// Figures of a partition for operators and tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Deltas that were joined.
    pub deltas_joined: u64,
    /// Deltas that were refused because the clock does not cover them.
    pub deltas_refused: u64,
    /// Deltas that were sent.
    pub deltas_sent: u64,
    /// Elements in them.
    pub elements_sent: u64,
    /// Whole transfers that were begun.
    pub transfers_begun: u64,
    /// Whole transfers that ended well.
    pub transfers_done: u64,
    /// Fallback copies that were handed over.
    pub fallbacks_dropped: u64,
    /// Copies that an old owner handed over.
    pub mains_dropped: u64,
    /// Rows of which something expired and was dropped.
    pub expired: u64,
}

/// One partition on one node.
#[derive(Debug)]
pub struct Partition {
    /// Which one.
    pub id: PartitionId,
    /// The owner's copy.
    pub main: Option<Copy>,
    /// The stand-in's copy.
    pub fallback: Option<Copy>,
    /// A bootstrap under way.
    pub staged: Option<Staged>,
    /// Transfers that read the main copy, by receiver.
    pub feeds: BTreeMap<NodeId, Feed>,
    /// Which nodes said on the current link that they have a ready copy, and which that they have
    /// none.
    pub ready: BTreeMap<NodeId, bool>,
    /// Whether a command has passed over an owner because of that: it is asked again.
    pub is_doubted: bool,
    /// What waits to be forgotten until all members have said a word.
    pub clearing: Clearing,
    /// Keys whose changes are to be told.
    pub watched: BTreeSet<RowKey>,
    /// Copies that ended since the last checkpoint.
    pub dropped: Vec<Slot>,
    dropping: Vec<Slot>,
    /// Whether the main or fallback copy has changes of its own that were not offered yet.
    pub outgoing: bool,
    /// Figures.
    pub counts: Counts,
    hybrid: HybridClock,
    stint: u32,
    serial: u32,
    next_slot: u32,
    attempts: usize,
    tell: BTreeSet<NodeId>,
    ends: Ends,
}

impl Partition {
    /// A partition of which this node has no copy.
    #[must_use]
    pub fn new(id: PartitionId) -> Self {
        Self {
            id,
            main: None,
            fallback: None,
            staged: None,
            feeds: BTreeMap::new(),
            ready: BTreeMap::new(),
            is_doubted: false,
            clearing: Clearing::default(),
            watched: BTreeSet::new(),
            dropped: Vec::new(),
            dropping: Vec::new(),
            outgoing: false,
            counts: Counts::default(),
            hybrid: HybridClock::new(),
            stint: 0,
            serial: 0,
            next_slot: 0,
            attempts: 0,
            tell: BTreeSet::new(),
            ends: Ends::default(),
        }
    }

    fn next_copy_id(&mut self, env: &Env<'_>) -> CopyId {
        self.serial += 1;
        CopyId::of_run(env.run, self.serial)
    }

    fn next_slot(&mut self) -> Slot {
        self.next_slot += 1;
        Slot {
            partition: self.id,
            number: self.next_slot - 1,
        }
    }

    /// Begins an empty copy.
    fn begin_copy(&mut self, env: &Env<'_>, out: &mut Output, role: Role) -> Copy {
        let id = self.next_copy_id(env);
        let mut copy = Copy::new(id, role, self.next_slot());
        copy.record(&mut out.redo);
        copy
    }

    /// Ends a copy with its rows, clock, log and actor, in this batch (rule 3).
    fn end_copy(&mut self, out: &mut Output, copy: &Copy) {
        crate::record::drop_copy(&mut out.redo, copy.slot());
        if copy.role != Role::Staged {
            self.ends = Ends::Written;
        }
        self.counts.expired += copy.expired;
        self.dropped.push(copy.slot());
    }

    /// Whether this node owns the partition and has a copy that can be read and written.
    #[must_use]
    pub fn is_ready(&self, env: &Env<'_>) -> bool {
        env.is_owner(self.id) && self.has_main()
    }

    /// Whether the main copy is whole.
    #[must_use]
    pub fn has_main(&self) -> bool {
        self.main
            .as_ref()
            .is_some_and(|main| main.role == Role::Main)
    }

    /// Whether changes must be kept for other owners.
    fn keeps_log(&self, env: &Env<'_>, target: Target) -> bool {
        target == Target::Fallback || env.other_owners(self.id).next().is_some()
    }

    /// The copy that `target` names, begun if need be for a fallback.
    pub fn copy_for(
        &mut self,
        env: &Env<'_>,
        out: &mut Output,
        target: Target,
    ) -> Option<&mut Copy> {
        match target {
            Target::Main => self.main.as_mut(),
            Target::Fallback => {
                if self.fallback.is_none() {
                    self.fallback = Some(self.begin_copy(env, out, Role::Fallback));
                }
                self.fallback.as_mut()
            }
        }
    }

    /// Changes one element of the copy that `target` names; see [`Copy::edit`].
    ///
    /// # Errors
    /// What the disk says; nothing has changed then.
    ///
    /// # Panics
    /// If `target` is the main copy and there is none: the caller has looked.
    pub fn edit<T>(
        &mut self,
        env: &Env<'_>,
        out: &mut Output,
        target: Target,
        key: &RowKey,
        group: Option<&mut Option<Dot>>,
        change: impl FnOnce(&mut Edit<'_>) -> T,
    ) -> Result<T, StoreError> {
        let keeps_log = self.keeps_log(env, target);
        self.copy_for(env, out, target);
        let copy = match target {
            Target::Main => self.main.as_mut(),
            Target::Fallback => self.fallback.as_mut(),
        }
        .expect("the caller has looked for a main copy, and a fallback was just begun");
        let outcome = copy.edit(
            crate::copy::EditContext {
                env,
                hybrid: &mut self.hybrid,
                stint: &mut self.stint,
                redo: &mut out.redo,
                keeps_log,
                group,
            },
            key,
            change,
        )?;
        self.outgoing |= keeps_log;
        self.tell_watchers(out, std::slice::from_ref(key));
        Ok(outcome)
    }

    /// Who makes the next position in a list of a copy.
    pub fn next_position(
        &mut self,
        env: &Env<'_>,
        out: &mut Output,
        target: Target,
    ) -> position::Signer {
        self.copy_for(env, out, target);
        let copy = match target {
            Target::Main => self.main.as_mut(),
            Target::Fallback => self.fallback.as_mut(),
        }
        .expect("the caller has looked for a main copy, and a fallback was just begun");
        copy.next_position(env, &mut self.stint, &mut out.redo)
    }

    fn observe(&mut self, env: &Env<'_>, stamp: Stamp) {
        self.hybrid
            .observe(stamp, env.now.unix_ms, env.settings.max_clock_drift_ms);
    }

    /// How many stamps from elsewhere were too far ahead.
    #[must_use]
    pub fn drifted(&self) -> u64 {
        self.hybrid.drifted()
    }

    /// The next stamp of this partition.
    pub fn tick(&mut self, env: &Env<'_>) -> Stamp {
        self.hybrid.tick(env.now.unix_ms)
    }

    /// On a new or broken link: what the peer had told before no longer counts.
    pub fn forget_peer(&mut self, peer: NodeId) {
        self.ready.remove(&peer);
        self.feeds.remove(&peer);
        for copy in [self.main.as_mut(), self.fallback.as_mut()]
            .into_iter()
            .flatten()
        {
            copy.peers.remove(&peer);
            copy.touched.remove(&peer);
        }
    }

    /// How many nodes hold durably what `written` names, this one included, as far as it knows. A
    /// copy that was handed over or replaced meanwhile speaks for what it took over, not by its
    /// numbers.
    #[must_use]
    pub fn durable_copies(&self, written: &Written) -> usize {
        let count = |copy: &Copy| {
            let dots = copy.known_whole(&written.dots.clock, &written.dots.actors)?;
            let peers = copy
                .peers
                .values()
                .filter(|peer| peer.durable.covers(&dots));
            Some(peers.count() + usize::from(copy.durable.covers(&dots)))
        };
        let copies = [self.main.as_ref(), self.fallback.as_ref()];
        copies
            .into_iter()
            .flatten()
            .filter_map(count)
            .max()
            .unwrap_or(0)
    }

    /// Whether [`Partition::drop_expired`] may find something.
    #[must_use]
    pub fn is_due(&self, now_ms: u64) -> bool {
        let copies = [self.main.as_ref(), self.fallback.as_ref()];
        let mut copies = copies.into_iter().flatten();
        copies.any(|copy| copy.rows.is_due(now_ms))
    }

    /// Whether [`Partition::purge`] has something to do.
    #[must_use]
    pub fn has_purges(&self) -> bool {
        let copies = [self.main.as_ref(), self.fallback.as_ref()];
        let mut copies = copies.into_iter().flatten();
        copies.any(|copy| copy.rows.has_purges())
    }

    /// Lets up to about `rows_max` rows of cleared collections go; says how many were looked at.
    ///
    /// # Errors
    /// What the disk says; the rest is looked at again.
    pub fn purge(&mut self, env: &Env<'_>, rows_max: usize) -> Result<usize, StoreError> {
        let copies = [self.main.as_mut(), self.fallback.as_mut()];
        let mut copies = copies.into_iter().flatten();
        copies.try_fold(0, |seen, copy| Ok(seen + copy.purge(env, rows_max)?))
    }

    /// Removes all that the copy has seen of a collection; see [`Copy::clear`].
    ///
    /// # Errors
    /// What the disk says; nothing has changed then.
    #[expect(
        clippy::too_many_arguments,
        reason = "the call of an edit, and what it clears"
    )]
    pub fn clear(
        &mut self,
        env: &Env<'_>,
        out: &mut Output,
        target: Target,
        key: &RowKey,
        group: Option<&mut Option<Dot>>,
        family: Family,
        seen: Clock,
    ) -> Result<(), StoreError> {
        let keeps_log = self.keeps_log(env, target);
        self.copy_for(env, out, target);
        let copy = match target {
            Target::Main => self.main.as_mut(),
            Target::Fallback => self.fallback.as_mut(),
        }
        .expect("the caller has looked for a main copy, and a fallback was just begun");
        let context = crate::copy::EditContext {
            env,
            hybrid: &mut self.hybrid,
            stint: &mut self.stint,
            redo: &mut out.redo,
            keeps_log,
            group,
        };
        copy.clear(context, key, family, seen)?;
        self.outgoing |= keeps_log;
        self.tell_watchers(out, std::slice::from_ref(key));
        Ok(())
    }

    /// Drops what has expired by now in up to `rows_max` rows. Gives the number of rows that were
    /// looked at: fewer than `rows_max` if no more are due.
    ///
    /// # Errors
    /// What the disk says; the rest is due again.
    pub fn drop_expired(
        &mut self,
        env: &Env<'_>,
        out: &mut Output,
        rows_max: usize,
    ) -> Result<usize, StoreError> {
        let (mut changed, mut outcome) = (Vec::new(), Ok(0));
        for copy in [self.main.as_mut(), self.fallback.as_mut()]
            .into_iter()
            .flatten()
        {
            outcome = outcome.and_then(|seen| {
                let left = rows_max - seen;
                let looked_at = copy.drop_expired(env, &mut out.redo, left, &mut changed)?;
                Ok(seen + looked_at)
            });
        }
        outcome = outcome.and_then(|seen| self.close_ended(env, out).map(|()| seen));
        self.tell_watchers(out, &changed);
        outcome
    }

    /// Its figures.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let copies = [self.main.as_ref(), self.fallback.as_ref()];
        let expired: u64 = copies.into_iter().flatten().map(|copy| copy.expired).sum();
        Counts {
            expired: self.counts.expired + expired,
            ..self.counts
        }
    }

    /// Appends an encoded log for tests and operators: how much of it there is.
    #[must_use]
    pub fn log_len(&self) -> usize {
        [self.main.as_ref(), self.fallback.as_ref()]
            .into_iter()
            .flatten()
            .map(|copy| copy.log.len())
            .sum()
    }
}

/// Moves the redo that `output` holds into a vector of bytes.
#[must_use]
pub fn take_redo(output: &mut Output) -> Vec<u8> {
    std::mem::replace(&mut output.redo, Writer::new()).into_vec()
}

impl Partition {
    /// About how many bytes its decoded rows take, and how many of them wait for a checkpoint.
    #[must_use]
    pub fn cached_bytes(&self) -> (usize, usize) {
        let staged = self.staged.as_ref().map(|staged| &staged.copy);
        let copies = [self.main.as_ref(), self.fallback.as_ref(), staged];
        copies
            .into_iter()
            .flatten()
            .fold((0, 0), |(all, dirty), copy| {
                (all + copy.rows.bytes(), dirty + copy.rows.dirty_bytes())
            })
    }

    /// Frees about `bytes` of rows that are on the disk; says how many were freed. See
    /// [`crate::rows::Rows::evict`].
    pub fn evict(&mut self, bytes: usize, effort: Effort) -> usize {
        let staged = self.staged.as_mut().map(|staged| &mut staged.copy);
        let copies = [self.main.as_mut(), self.fallback.as_mut(), staged];
        copies.into_iter().flatten().fold(0, |freed, copy| {
            if freed >= bytes {
                freed
            } else {
                freed + copy.rows.evict(bytes - freed, effort)
            }
        })
    }
}
