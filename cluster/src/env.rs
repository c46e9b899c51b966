//! What the core is told from outside at every call: time, the view of the cluster, settings, disk.

use std::collections::BTreeSet;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use siphasher::sip::SipHasher13;

use crate::id::{NodeId, PartitionId};
use crate::journal::Journal;
use crate::layout::Layout;
use crate::ring::Ownership;
use crate::store::Store;

/// The two clocks of a machine, in milliseconds. The first never goes back, the second may jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Since an arbitrary moment; for timeouts.
    pub monotonic_ms: u64,
    /// Unix time; for stamps and deadlines.
    pub unix_ms: u64,
}

/// A rule of DESIGN.md section 4 that a test breaks on purpose. Production breaks none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BrokenRule(pub u8);

impl BrokenRule {
    /// Whether `rule` (1 to 10) is to be kept.
    #[must_use]
    #[inline]
    pub fn keeps(self, rule: u8) -> bool {
        self.0 != rule
    }
}

/// The settings that concern the core. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How often changes are sent to the other owners.
    pub replication_interval_ms: u64,
    /// How often clocks are compared.
    pub anti_entropy_interval_ms: u64,
    /// How long an owner may lack a change before everything it lacks is sent once more.
    pub resend_after_ms: u64,
    /// How long a transfer or a request between nodes may make no progress.
    pub transfer_timeout_ms: u64,
    /// Partitions that a node fetches at a time.
    pub bootstrap_partitions: usize,
    /// Bytes of whole partitions that a node hands over in a second; 0 is no limit.
    pub handoff_rate: u64,
    /// How long a forwarded request may take.
    pub request_timeout_ms: u64,
    /// How far ahead a stamp from elsewhere may be and still move the clock.
    pub max_clock_drift_ms: u64,
    /// How long a removed document keeps its context if its writers named dots themselves.
    pub document_forget_after_ms: u64,
    /// About how many bytes one message of changes holds.
    pub delta_bytes_max: usize,
    /// Rows that one message of a whole transfer holds, at most
    /// [`TRANSFER_ROWS_MAX`](crate::limits::TRANSFER_ROWS_MAX).
    pub transfer_rows_max: usize,
    /// Bytes of decoded objects that are kept in memory, all partitions together.
    pub cache_bytes_max: usize,
    /// How long a value may become, at most
    /// [`VALUE_BYTES_MAX`](larder_crdt::limits::VALUE_BYTES_MAX).
    pub value_bytes_max: usize,
    /// Conflicts that the journal of a node holds.
    pub conflicts_max: usize,
    /// The rule that a test breaks.
    pub broken_rule: BrokenRule,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            replication_interval_ms: 5,
            anti_entropy_interval_ms: 1_000,
            resend_after_ms: 3_000,
            transfer_timeout_ms: 5_000,
            bootstrap_partitions: 4,
            handoff_rate: 0,
            request_timeout_ms: 2_000,
            max_clock_drift_ms: 60_000,
            document_forget_after_ms: 400 * 24 * 3_600_000,
            delta_bytes_max: 256 << 10,
            transfer_rows_max: crate::limits::TRANSFER_ROWS_MAX,
            cache_bytes_max: 256 << 20,
            value_bytes_max: larder_crdt::limits::VALUE_BYTES_MAX,
            conflicts_max: 1_000,
            broken_rule: BrokenRule::default(),
        }
    }
}

/// Who owns what and who is in reach, as one node sees it now.
#[derive(Debug, Clone)]
pub struct View {
    /// The members and their tokens.
    pub layout: Arc<Layout>,
    /// The digest of the layout.
    pub digest: u64,
    /// Who owns which partition, from the layout.
    pub ownership: Arc<Ownership>,
    /// Members with a link to this node that are not suspected.
    pub up: BTreeSet<NodeId>,
    /// The current runs of all members, if every one of them has told; `None` otherwise.
    pub runs: Option<BTreeSet<u128>>,
}

/// Numbers that nobody can guess without knowing the run of the node: for commands that pick. Those
/// of one run and one order of calls are always the same.
#[derive(Debug)]
pub struct Draws {
    run: u128,
    drawn: AtomicU64,
}

impl Draws {
    /// The numbers of a run.
    #[must_use]
    pub fn new(run: u128) -> Self {
        Self {
            run,
            drawn: AtomicU64::new(0),
        }
    }

    /// The next number.
    #[must_use]
    pub fn draw(&self) -> u64 {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        let mut hasher = SipHasher13::new_with_keys((self.run >> 64) as u64, self.run as u64);
        hasher.write_u64(drawn);
        hasher.finish()
    }
}

/// The surroundings of one call into the core.
#[derive(Clone)]
pub struct Env<'a> {
    /// The disk.
    pub store: &'a dyn Store,
    /// Settings.
    pub settings: &'a Settings,
    /// Membership and reach.
    pub view: Arc<View>,
    /// This node.
    pub node: NodeId,
    /// The random name of this run of the node; its lower 32 bits are zero.
    pub run: u128,
    /// The time.
    pub now: Now,
    /// Where values are noted that lose a conflict.
    pub journal: &'a Journal,
    /// Numbers at random.
    pub draws: &'a Draws,
}

impl Env<'_> {
    /// Whether `rule` of DESIGN.md section 4 is to be kept.
    #[must_use]
    #[inline]
    pub fn keeps(&self, rule: u8) -> bool {
        self.settings.broken_rule.keeps(rule)
    }

    /// The owners of a partition without this node.
    pub fn other_owners(&self, partition: PartitionId) -> impl Iterator<Item = NodeId> + '_ {
        let node = self.node;
        self.view
            .ownership
            .owners(partition)
            .iter()
            .copied()
            .filter(move |owner| *owner != node)
    }

    /// Whether this node owns the partition.
    #[must_use]
    pub fn is_owner(&self, partition: PartitionId) -> bool {
        self.view.ownership.owners(partition).contains(&self.node)
    }
}
