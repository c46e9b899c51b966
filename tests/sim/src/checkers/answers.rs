//! What a client is told is true: it ran, it is on the disk, it is on as many disks as was said.

use std::collections::BTreeMap;

use larder_cluster::request::Reply;
use larder_crdt::Dot;

use crate::disk::{self, Held};
use crate::history::Command;
use crate::member::Fate;
use crate::workload::Pending;
use crate::world::World;

/// How many answers of a run have their promise checked on the disks: reading these costs time.
const CHECKED_MAX: u64 = 12;

/// Checks an answer at the moment when the client gets it.
pub(crate) fn check(world: &mut World, token: u64, pending: Pending, reply: &Reply) {
    let command = world.history.lock().commands[token as usize].clone();
    let is_read = command.action.is_read();
    match reply {
        Reply::NoReplica | Reply::Refused(_) | Reply::NotReady | Reply::PartialRead { .. }
            if command.executions > 0 && !command.action.is_named() && !is_read =>
        {
            world.report(
                "answers",
                format!("command {token} ran, but was refused: {reply:?}"),
            );
        }
        Reply::Done(_) | Reply::Partial { .. } => {
            if command.executions == 0 {
                world.report(
                    "answers",
                    format!("command {token} was answered but never ran"),
                );
            }
            if command.executions == 1 {
                check_committed(world, token, &command);
            }
        }
        _ => {}
    }
    if command.executions > 1 && !command.action.is_named() && !is_read {
        world.report(
            "answers",
            format!("command {token} ran {} times", command.executions),
        );
    }
    let promised = match reply {
        Reply::Done(_) => usize::from(pending.write_copies),
        Reply::Partial {
            reached, wanted, ..
        } if *wanted == pending.write_copies => usize::from(*reached),
        _ => 0,
    };
    if !is_read && promised > 0 {
        check_promise(world, token, &command, promised);
    }
}

fn check_committed(world: &mut World, token: u64, command: &Command) {
    let committed = {
        let history = world.history.lock();
        command
            .changes
            .iter()
            .all(|change| history.changes[*change].committed)
    };
    if !committed {
        world.report(
            "answers",
            format!("command {token} was answered before it was on the disk"),
        );
    }
}

/// The dots of each execution of a command; one that changed nothing does not count.
fn executions(world: &World, command: &Command) -> Vec<Vec<Dot>> {
    let history = world.history.lock();
    let mut executions: BTreeMap<usize, Vec<Dot>> = BTreeMap::new();
    for change in &command.changes {
        let change = &history.changes[*change];
        executions
            .entry(change.execution)
            .or_default()
            .extend(&change.dots);
    }
    executions.into_values().collect()
}

fn check_promise(world: &mut World, token: u64, command: &Command, promised: usize) {
    {
        let mut history = world.history.lock();
        let noted = &mut history.commands[token as usize];
        noted.promised_copies = noted.promised_copies.max(promised);
    }
    let executions = executions(world, command);
    // Where it ran again and found nothing to do, what it wanted was so already.
    if executions.is_empty()
        || !command.idle.is_empty()
        || world.workload.promises_checked >= CHECKED_MAX
    {
        return;
    }
    world.workload.promises_checked += 1;
    let Some(partition) = command
        .changes
        .first()
        .map(|change| world.history.lock().changes[*change].partition)
    else {
        return;
    };
    // Owners that handed over and left meanwhile may have counted.
    let owners = world.running().into_iter().filter_map(|place| {
        let node = world.node(place)?;
        Some(node.view().ownership.owners(partition).len())
    });
    let promised = promised.min(owners.min().unwrap_or(promised));
    let mut copies = 0;
    for member in &world.members {
        if matches!(member.fate, Fate::Running | Fate::Crashed) {
            let held: Held = disk::held_durably(&member.store, &mut world.history.lock());
            let holds = held.get(&partition).is_some_and(|clock| {
                executions
                    .iter()
                    .any(|dots| dots.iter().all(|dot| clock.contains(*dot)))
            });
            copies += usize::from(holds);
        }
    }
    // Disks that were lost since it ran may have had it.
    let lost = world.disks_lost - command.disks_lost;
    if copies + lost < promised {
        let what = format!(
            "command {token} was said to be on {promised} disks, but {copies} would have it after \
             a power cut"
        );
        world.report("durability", what);
    }
}
