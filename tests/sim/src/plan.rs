//! The shape of one run, drawn from its seed.

use larder_cluster::env::{BrokenRule, Settings};

use crate::dice::Dice;
use crate::draw::KINDS;
use crate::faults::Faults;

/// When a node makes its writes survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before it answers.
    Always,
    /// By a timer.
    Timer {
        /// The interval.
        every_ms: u64,
    },
}

/// The shape of one run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Nodes at the beginning.
    pub nodes: usize,
    /// Nodes at any time.
    pub nodes_max: usize,
    /// Replicas of a partition.
    pub replicas: usize,
    /// Partitions of the ring.
    pub partitions: usize,
    /// Steps before the quiet phase.
    pub steps: usize,
    /// How long a step takes at most.
    pub step_ms_max: u64,
    /// How long a message usually takes at most.
    pub latency_ms_max: u64,
    /// When writes are synced.
    pub durability: Durability,
    /// Keys of each kind.
    pub keys: usize,
    /// Clients that keep contexts.
    pub clients: usize,
    /// Weights of the kinds of commands, see the workload.
    pub(crate) mix: [f64; KINDS],
    /// Share of commands that wait for other nodes.
    pub quorums: f64,
    /// Share of commands that are WAIT.
    pub waits: f64,
    /// Share of commands that are WATCH or EXEC.
    pub transactions: f64,
    /// Documents that somebody watches.
    pub watches: usize,
    /// Zones that the nodes are in.
    pub zones: usize,
    /// The heaviest weight of a node.
    pub weight_max: u32,
    /// Whether several changes of membership may be under way at once.
    pub reckless: bool,
    /// How the nodes are set.
    pub settings: Settings,
    /// What goes wrong.
    pub faults: Faults,
}

impl Plan {
    /// Draws the shape of a run in which `broken` is broken.
    pub fn draw(dice: &mut Dice, broken: BrokenRule) -> Self {
        let partitions = 2 << dice.below(4);
        let nodes = 1 + dice.below(5);
        let durability = if dice.chance(0.2) {
            Durability::Always
        } else {
            Durability::Timer {
                every_ms: dice.between(5, 300),
            }
        };
        let mut mix = [0.0; KINDS];
        for weight in &mut mix {
            *weight = if dice.chance(0.3) { 0.0 } else { dice.unit() };
        }
        mix[0] += 0.05;
        let plan = Self {
            nodes,
            nodes_max: 6,
            replicas: 1 + dice.below(3),
            partitions,
            steps: 200 + (1_800.0 * dice.unit().powi(3)) as usize,
            step_ms_max: dice.between(1, 12),
            latency_ms_max: dice.between(0, 6),
            durability,
            keys: 1 + dice.below(5),
            clients: 1 + dice.below(3),
            mix,
            quorums: if dice.chance(0.5) {
                0.0
            } else {
                0.3 * dice.unit()
            },
            waits: if dice.chance(0.7) {
                0.0
            } else {
                0.2 * dice.unit()
            },
            transactions: if dice.chance(0.4) {
                0.0
            } else {
                0.3 * dice.unit()
            },
            watches: dice.below(3),
            zones: 1 + dice.below(3),
            weight_max: if dice.chance(0.7) { 1 } else { 3 },
            reckless: dice.chance(0.1),
            settings: Self::settings(dice, broken),
            faults: Faults::draw(dice),
        };
        match dice.below(8) {
            0 => plan.with_backups(dice),
            1 => plan.with_resets(dice),
            _ => plan,
        }
    }

    /// Little goes wrong but that disks go back to old copies: by then the others have forgotten
    /// how they came to what they have.
    fn with_backups(mut self, dice: &mut Dice) -> Self {
        self.nodes = 2 + dice.below(3);
        self.replicas = 2 + dice.below(2);
        self.partitions = 2 << dice.below(2);
        self.step_ms_max = dice.between(4, 12);
        let every_ms = dice.between(5, 40);
        self.durability = Durability::Timer { every_ms };
        self.settings.anti_entropy_interval_ms = dice.between(20, 60);
        self.faults = Faults {
            backup: 0.02,
            restore: 0.015 * dice.unit(),
            kill: 0.004 * dice.unit(),
            delay: 0.3 * dice.unit(),
            duplicate: 0.1 * dice.unit(),
            break_link: 0.01 * dice.unit(),
            checkpoint: 0.02,
            ..Faults::none()
        };
        self
    }

    /// Few counters and documents, often removed, among nodes that are often cut off: what is
    /// forgotten too early is missed.
    fn with_resets(mut self, dice: &mut Dice) -> Self {
        self.nodes = 3 + dice.below(3);
        self.replicas = 2 + dice.below(2);
        self.partitions = 2;
        self.keys = 1 + dice.below(2);
        self.mix = [0.05, 1.0, 0.0, 0.2 * dice.unit(), 0.0, 0.1, 0.1];
        let every_ms = dice.between(5, 40);
        self.durability = Durability::Timer { every_ms };
        self.settings.anti_entropy_interval_ms = dice.between(20, 60);
        self.faults = Faults {
            cut_in_two: 0.01 * dice.unit(),
            cut_off: 0.03 * dice.unit(),
            cut_one_way: 0.02 * dice.unit(),
            crowd: 0.1 * dice.unit(),
            delay: 0.3 * dice.unit(),
            lose: 0.1 * dice.unit(),
            pause: 0.01 * dice.unit(),
            ..Faults::none()
        };
        self
    }

    fn settings(dice: &mut Dice, broken: BrokenRule) -> Settings {
        Settings {
            replication_interval_ms: dice.between(2, 20),
            anti_entropy_interval_ms: dice.between(20, 150),
            resend_after_ms: dice.between(40, 300),
            transfer_timeout_ms: dice.between(60, 500),
            request_timeout_ms: dice.between(40, 400),
            delta_bytes_max: if dice.chance(0.5) {
                256 << 10
            } else {
                dice.between(1, 2_000) as usize
            },
            transfer_rows_max: if dice.chance(0.5) {
                512
            } else {
                1 + dice.below(4)
            },
            cache_bytes_max: if dice.chance(0.5) {
                0
            } else {
                dice.between(0, 4_000) as usize
            },
            broken_rule: broken,
            ..Settings::default()
        }
    }
}
