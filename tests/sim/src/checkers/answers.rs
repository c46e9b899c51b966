//! What a client is told is true: it ran, it is on the disk, it is on as many disks as was said.

use std::collections::BTreeMap;

use larder_cluster::id::PartitionId;
use larder_cluster::request::Reply;
use larder_commands::commands::FETCH_FIRST;
use larder_crdt::Dot;

use crate::disk::{self, Held};
use crate::history::{Command, Promise};
use crate::member::Fate;
use crate::submit::Pending;
use crate::world::World;

/// How many answers of a run have their promise checked on the disks: reading these costs time.
const CHECKED_MAX: u64 = 12;

/// Checks an answer at the moment when the client gets it.
pub(crate) fn check(world: &mut World, token: u64, pending: &Pending, reply: &Reply) {
    let command = world.history.lock().commands[token as usize].clone();
    let is_read = command.is_read;
    match reply {
        Reply::NoReplica | Reply::Refused(_) | Reply::NotReady | Reply::PartialRead { .. }
            if command.executions > 0 && !command.is_repeatable && !is_read =>
        {
            world.report(
                "answers",
                format!("command {token} ran, but was refused: {reply:?}"),
            );
        }
        // It is to be asked again: a client is not told of this.
        Reply::Done(bytes) | Reply::Partial { reply: bytes, .. } if bytes == FETCH_FIRST => return,
        Reply::Done(_) | Reply::Partial { .. } => {
            if command.executions + command.fetches == 0 {
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
    if command.executions > 1 && !command.is_repeatable && !is_read {
        world.report(
            "answers",
            format!("command {token} ran {} times", command.executions),
        );
    }
    let write_copies = pending.request.write_copies;
    let promised = match reply {
        Reply::Done(_) => usize::from(write_copies),
        Reply::Partial {
            reached, wanted, ..
        } if *wanted == write_copies => usize::from(*reached),
        _ => 0,
    };
    if !is_read && promised > 0 {
        world.promise(
            token,
            Promise {
                copies: promised,
                disks_lost: command.disks_lost,
                step: command.step,
            },
        );
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

/// By partition the dots of each execution of a command; one that changed nothing does not count.
fn executions(world: &World, command: &Command) -> BTreeMap<PartitionId, Vec<Vec<Dot>>> {
    let history = world.history.lock();
    let mut parts: BTreeMap<PartitionId, BTreeMap<usize, Vec<Dot>>> = BTreeMap::new();
    for change in &command.changes {
        let change = &history.changes[*change];
        let executions = parts.entry(change.partition).or_default();
        let dots = executions.entry(change.execution).or_default();
        dots.extend(&change.dots);
    }
    let each = parts.into_iter();
    each.map(|(partition, executions)| (partition, executions.into_values().collect()))
        .collect()
}

impl World {
    /// A client is told on how many disks a command's changes are.
    pub(crate) fn promise(&mut self, token: u64, promise: Promise) {
        if promise.copies > 0 {
            let command = {
                let mut history = self.history.lock();
                let command = &mut history.commands[token as usize];
                command.promises.push(promise);
                command.clone()
            };
            check_promise(self, token, &command, promise);
        }
    }
}

fn check_promise(world: &mut World, token: u64, command: &Command, promise: Promise) {
    let executions = executions(world, command);
    // Where it ran again and found nothing to do, what it wanted was so already.
    if executions.is_empty()
        || !command.idle.is_empty()
        || world.workload.promises_checked >= CHECKED_MAX
    {
        return;
    }
    world.workload.promises_checked += 1;
    let disks: Vec<Held> = world
        .members
        .iter()
        .filter(|member| matches!(member.fate, Fate::Running | Fate::Crashed))
        .map(|member| disk::held_durably(&member.store, &mut world.history.lock()))
        .collect();
    // Disks that were lost since it ran may have had it.
    let lost = world.losses.len() - promise.disks_lost;
    for (partition, executions) in executions {
        // Owners that handed over and left meanwhile may have counted.
        let owners = world.running().into_iter().filter_map(|place| {
            let node = world.node(place)?;
            Some(node.view().ownership.owners(partition).len())
        });
        let promised = promise.copies;
        let promised = promised.min(owners.min().unwrap_or(promised));
        let holds = |held: &&Held| {
            let clock = held.get(&partition);
            clock.is_some_and(|clock| {
                let mut executions = executions.iter();
                executions.any(|dots| dots.iter().all(|dot| clock.contains(*dot)))
            })
        };
        let copies = disks.iter().filter(holds).count();
        if copies + lost < promised {
            let what = format!(
                "command {token} was said to be on {promised} disks, but {copies} would have it \
                 after a power cut"
            );
            world.report("durability", what);
            return;
        }
    }
}
