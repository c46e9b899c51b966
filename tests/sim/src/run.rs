//! One run: bad days, then quiet, then the checks.

use std::panic::{AssertUnwindSafe, catch_unwind};

use larder_cluster::env::BrokenRule;

use crate::checkers::{self, clocks, convergence, watches};
use crate::dice::Dice;
use crate::draw::name;
use crate::faults::Faults;
use crate::plan::Plan;
use crate::trace::Trace;
use crate::world::{Tally, Violation, World};

/// How a run is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The rule that is broken on purpose; 0 for none.
    pub broken_rule: u8,
    /// Whether a text of what happens is kept.
    pub verbose: bool,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The first violation.
    pub violation: Option<Violation>,
    /// The hash of everything that happened.
    pub hash: u64,
    /// Figures.
    pub tally: Tally,
    /// What happened, if that was wanted.
    pub text: String,
}

/// How long the cluster may take to come to rest, in virtual milliseconds.
const REST_MS_MAX: u64 = 30_000;
/// How long those who watch may then take to be told.
const WATCH_MS_MAX: u64 = 3_000;
/// How often it is looked at meanwhile.
const LOOK_MS: u64 = 100;

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, options: Options) -> Outcome {
    let mut dice = Dice::new(seed);
    let plan = Plan::draw(&mut dice, BrokenRule(options.broken_rule));
    run_plan(dice, plan, options)
}

/// Runs a plan.
#[must_use]
pub fn run_plan(dice: Dice, plan: Plan, options: Options) -> Outcome {
    let mut world = World::new(dice, plan, Trace::new(options.verbose));
    let done = catch_unwind(AssertUnwindSafe(|| play(&mut world)));
    if let Err(panic) = done {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        world.report(
            "panic",
            text.unwrap_or_else(|| "the core panicked".to_owned()),
        );
    }
    world.sum_up();
    Outcome {
        violation: world.violation.clone(),
        hash: world.trace.hash(),
        tally: world.tally,
        text: world.trace.text().to_owned(),
    }
}

fn play(world: &mut World) {
    world.trace.line(0, || format!("{:?}", world.plan));
    world.start_cluster();
    for number in 0..world.plan.watches {
        world.watch(name('d', number));
    }
    for _ in 0..world.plan.steps {
        if world.violation.is_some() {
            return;
        }
        let pause = world.dice.between(0, world.plan.step_ms_max);
        world.advance(pause);
        if world.dice.chance(0.75) {
            world.command();
        }
        world.tend_watches();
        world.misfortune();
        world.retire_left();
        world.note_size();
    }
    become_quiet(world);
    let begin = world.now_ms;
    let mut state = Err(String::new());
    while world.violation.is_none() && world.now_ms < begin + REST_MS_MAX {
        world.advance(LOOK_MS);
        world.tend_watches();
        world.retire_left();
        mend(world);
        if world.has_ended() {
            return;
        }
        state = convergence::at_rest(world);
        if state.is_ok() {
            break;
        }
    }
    world.tally.quiet_ms = world.now_ms - begin;
    if let Err(what) = state {
        convergence::describe(world);
        world.report(
            "convergence",
            format!("after {REST_MS_MAX} ms of quiet, {what}"),
        );
        return;
    }
    // Who watches what another node leads looks once more, when that is not suspected any more.
    let begin = world.now_ms;
    while world.now_ms < begin + WATCH_MS_MAX && !watches::are_current(world) {
        world.tend_watches();
        world.advance(LOOK_MS);
    }
    for place in world.running() {
        for partition in world.empty_layout().partitions().iter() {
            clocks::check(world, place, partition);
        }
    }
    if world.violation.is_none() {
        checkers::check_all(world);
    }
}

/// The faults stop: links heal, clocks are right, stopped nodes go on.
fn become_quiet(world: &mut World) {
    world.trace.line(world.now_ms, || "quiet".to_owned());
    world.faults = Faults::none();
    world.quiet = true;
    world.network.heal_all();
    for place in 0..world.members.len() {
        world.members[place].clock.skew_ms = 0;
        let life = world.members[place].life;
        world.resume(place, life);
    }
}

/// The operator starts nodes again whose disks refuse writes.
fn mend(world: &mut World) {
    for place in world.running() {
        if world.members[place].disk_failed {
            world.kill(place);
        }
    }
    world.forget_gone();
}
