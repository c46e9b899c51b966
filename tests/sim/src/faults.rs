//! What may go wrong, and how often in one run.
//!
//! Each run draws its own rates, many of them 0: a swarm of different bad days finds more than one
//! average day repeated (Groce et al., "Swarm Testing", 2012).

use crate::dice::Dice;

/// Declares the faults of a run, one row each: name and wildest rate.
macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident: $wildest:literal,)+) => {
        /// How often each fault happens in a run: probabilities per message or per step.
        #[derive(Debug, Clone, Default)]
        pub struct Faults {
            $($(#[doc = $doc])+ pub $name: f64,)+
        }

        impl Faults {
            /// Name and wildest rate of every fault.
            pub const ROWS: &'static [(&'static str, f64)] = &[$((stringify!($name), $wildest),)+];

            /// The rates of one run.
            pub fn draw(dice: &mut Dice) -> Self {
                Self { $($name: rate(dice, $wildest),)+ }
            }

            /// No faults: the quiet phase.
            #[must_use]
            pub fn none() -> Self {
                Self::default()
            }

            /// The rates as text, faults that do not happen left out.
            #[must_use]
            pub fn line(&self) -> String {
                let rates = [$((stringify!($name), self.$name),)+];
                let there = rates.iter().filter(|(_, rate)| *rate > 0.0);
                there.map(|(name, rate)| format!("{name} {rate:.4}")).collect::<Vec<_>>().join(", ")
            }
        }
    };
}

faults! {
    /// Per message: it is lost although the link stays.
    lose: 0.20,
    /// Per message: it arrives twice.
    duplicate: 0.20,
    /// Per message: it is late, behind younger ones.
    delay: 0.30,
    /// Per step: a link breaks and comes back.
    break_link: 0.03,
    /// Per step: one direction between two nodes is cut for a while.
    cut_one_way: 0.02,
    /// Per step: the nodes are cut in two groups for a while.
    cut_in_two: 0.01,
    /// Per step: all links of a node are cut for a while.
    cut_off: 0.02,
    /// Per step: a link counts as crowded for a while.
    crowd: 0.02,
    /// Per step: a node is stopped for a while, as by SIGSTOP.
    pause: 0.02,
    /// Per step: a process is killed and started again.
    kill: 0.02,
    /// Per step: all nodes are restarted, one after the other.
    roll: 0.006,
    /// Per step: the power of a machine fails; what was not synced may be lost.
    power_cut: 0.02,
    /// Per step: a disk refuses writes until its node is started again.
    disk_full: 0.008,
    /// Per step: a sync takes long.
    slow_sync: 0.02,
    /// Per step: a disk is lost for good; its node is replaced or forgotten.
    lose_disk: 0.006,
    /// Per step: somebody makes a copy of a directory.
    backup: 0.02,
    /// Per step: a node is started on an old copy of its directory.
    restore: 0.006,
    /// Per step: a wall clock jumps, by up to a year either way.
    clock_jump: 0.02,
    /// Per step: a new node joins.
    join: 0.012,
    /// Per step: a node begins to leave.
    leave: 0.010,
    /// Per step: a node writes a checkpoint.
    checkpoint: 0.10,
    /// Per step: a node frees memory of rows that are on its disk.
    evict: 0.20,
}

/// Half of the faults do not happen in a run; small rates are more likely than wild ones.
fn rate(dice: &mut Dice, wildest: f64) -> f64 {
    if dice.chance(0.5) {
        return 0.0;
    }
    let share = dice.unit();
    wildest * share * share
}
