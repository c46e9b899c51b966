//! What the server does around a node: commit after each call, sync, checkpoint, timers.
//!
//! ```text
//! call ─▶ commit ─▶ messages, answers       sync wanted or due:
//!                                           begin_sync ─▶ (a while) ─▶ store.sync ─▶ finish_sync
//! ```

use larder_cluster::node::{Answer, Effects};
use larder_cluster::partition::SyncPoint;
use larder_cluster::store::{RedoPosition, Store};

use crate::event::Event;
use crate::network::Place;
use crate::plan::Durability;
use crate::world::World;

impl World {
    /// Commits what a call into a node has left, and carries out what follows from it.
    pub(crate) fn settle(&mut self, place: Place) {
        let Some(node) = self.node(place) else {
            return;
        };
        match node.commit() {
            Ok(effects) => {
                self.history.lock().commit(node.id());
                self.carry_out(place, effects);
            }
            Err(_) => self.members[place].disk_failed = true,
        }
        self.trace_changes();
        let complaint = self.history.lock().complaint.take();
        if let Some(complaint) = complaint {
            self.report("commands", complaint);
        }
    }

    /// Writes into the trace what commands have changed since it was last called.
    fn trace_changes(&mut self) {
        let mut history = self.history.lock();
        let end = history.changes.len();
        let from = std::mem::replace(&mut history.traced, end);
        for change in &history.changes[from..] {
            self.trace.line(self.now_ms, || {
                let (_, key) = &history.elements[change.element];
                let kept: Vec<_> = change
                    .inserted
                    .iter()
                    .map(|inserted| inserted.dot)
                    .collect();
                format!(
                    "command {} on {:?} changes p{} {key:?}: dots {:?} kept {kept:?} removed {:?}",
                    change.command, change.node, change.partition, change.dots, change.removed
                )
            });
        }
    }

    fn carry_out(&mut self, place: Place, effects: Effects) {
        for (peer, message) in &effects.sends {
            self.send(place, *peer, message);
        }
        for answer in effects.answers {
            match answer {
                Answer::Reply(token, reply) => self.on_answer(token, &reply),
                Answer::Changed(partition, row) => self.wake(place, partition, &row),
                Answer::BadPeer(peer) => {
                    if self.plan.settings.broken_rule.0 == 0 {
                        self.report("wire", format!("a node calls a message of {peer:?} bad"));
                    }
                }
            }
        }
        if effects.sync_wanted {
            self.start_sync(place);
        }
    }

    /// Calls a node's timers.
    pub(crate) fn poll(&mut self, place: Place) {
        let Some(node) = self.node(place) else {
            return;
        };
        let now = self.clock_of(place);
        let next_ms = match node.poll(now) {
            Ok(next_ms) => next_ms,
            Err(_) => {
                self.members[place].disk_failed = true;
                now.monotonic_ms + 10
            }
        };
        let delay = next_ms.saturating_sub(now.monotonic_ms).max(1);
        let life = self.members[place].life;
        self.later(delay, Event::Poll { node: place, life });
        self.settle(place);
    }

    /// The timer of syncs.
    pub(crate) fn sync_due(&mut self, place: Place) {
        self.start_sync(place);
        self.schedule_sync(place);
    }

    /// Sets the timer of syncs.
    pub(crate) fn schedule_sync(&mut self, place: Place) {
        let every_ms = match self.plan.durability {
            Durability::Always => 10,
            Durability::Timer { every_ms } => every_ms,
        };
        let life = self.members[place].life;
        self.later(every_ms, Event::SyncDue { node: place, life });
    }

    fn start_sync(&mut self, place: Place) {
        let member = &mut self.members[place];
        let Some(node) = member.node.clone() else {
            return;
        };
        if member.syncing {
            member.sync_again = true;
            return;
        }
        match node.begin_sync() {
            Ok((points, effects)) => {
                self.members[place].syncing = true;
                self.history.lock().commit(node.id());
                let slow = self.dice.chance(self.faults.slow_sync);
                let delay = if slow {
                    self.dice.between(20, 200)
                } else {
                    self.dice.between(0, 5)
                };
                let life = self.members[place].life;
                self.later(
                    delay,
                    Event::SyncDone {
                        node: place,
                        life,
                        points,
                    },
                );
                self.carry_out(place, effects);
            }
            Err(_) => self.members[place].disk_failed = true,
        }
    }

    /// A sync is over.
    pub(crate) fn sync_done(&mut self, place: Place, points: &[SyncPoint]) {
        let Some(node) = self.node(place) else {
            return;
        };
        self.members[place].syncing = false;
        let synced = self.members[place].store.sync();
        self.trace.line(self.now_ms, || {
            format!("{place} synced: {}", synced.is_ok())
        });
        if synced.is_ok() {
            let now = self.clock_of(place);
            node.finish_sync(points, now);
        } else {
            node.abandon_sync(points);
            self.members[place].disk_failed = true;
        }
        self.settle(place);
        if std::mem::take(&mut self.members[place].sync_again) {
            self.start_sync(place);
        }
    }

    /// Begins a checkpoint.
    pub(crate) fn start_checkpoint(&mut self, place: Place) {
        let Some(node) = self.node(place) else {
            return;
        };
        if self.members[place].checkpointing {
            return;
        }
        let end = node.redo_end();
        let committed = std::cell::RefCell::new(Vec::new());
        let outcome = node.checkpoint(&|| {
            committed.borrow_mut().push(node.commit()?);
            self.history.lock().commit(node.id());
            Ok(())
        });
        for effects in committed.into_inner() {
            self.carry_out(place, effects);
        }
        if outcome.is_err() {
            self.members[place].disk_failed = true;
            return;
        }
        self.members[place].checkpointing = true;
        let life = self.members[place].life;
        let delay = self.dice.between(0, 60);
        self.trace
            .line(self.now_ms, || format!("{place} begins a checkpoint"));
        self.later(
            delay,
            Event::CheckpointDone {
                node: place,
                life,
                end,
            },
        );
    }

    /// A checkpoint is over.
    pub(crate) fn checkpoint_done(&mut self, place: Place, end: RedoPosition) {
        let member = &mut self.members[place];
        member.checkpointing = false;
        if member.store.finish_checkpoint(end).is_err() {
            member.disk_failed = true;
        }
    }
}
