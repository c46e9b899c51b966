//! Lets faults happen.

use larder_cluster::store::StoreError;

use crate::clock::YEAR_MS;
use crate::event::Event;
use crate::member::Fate;
use crate::network::Place;
use crate::world::World;

/// What a fault does.
type Act = fn(&mut World);

impl World {
    /// One step of bad luck.
    pub fn misfortune(&mut self) {
        let faults = self.faults.clone();
        let rows: [(f64, Act); 19] = [
            (faults.break_link, Self::fault_break_link),
            (faults.cut_one_way, Self::fault_cut_one_way),
            (faults.cut_in_two, Self::fault_cut_in_two),
            (faults.cut_off, Self::fault_cut_off),
            (faults.crowd, Self::fault_crowd),
            (faults.pause, Self::fault_pause),
            (faults.kill, Self::fault_kill),
            (faults.roll, Self::fault_roll),
            (faults.power_cut, Self::fault_power_cut),
            (faults.disk_full, Self::fault_disk_full),
            (faults.lose_disk, Self::fault_lose_disk),
            (faults.backup, Self::fault_backup),
            (faults.restore, Self::fault_restore),
            (faults.clock_jump, Self::fault_clock_jump),
            (faults.join, Self::fault_join),
            (faults.leave, Self::fault_leave),
            (faults.checkpoint, Self::fault_checkpoint),
            (faults.evict, Self::fault_evict),
            (faults.disk_full, Self::fault_mend_disk),
        ];
        for (rate, act) in rows {
            if self.dice.chance(rate) {
                self.tally.faults += 1;
                act(self);
            }
        }
    }

    fn any_awake(&mut self) -> Option<Place> {
        let awake = self.awake();
        self.dice.pick(&awake)
    }

    fn any_running(&mut self) -> Option<Place> {
        let running = self.running();
        self.dice.pick(&running)
    }

    fn two_running(&mut self) -> Option<(Place, Place)> {
        let mut running = self.running();
        let a = self.dice.pick(&running)?;
        running.retain(|place| *place != a);
        Some((a, self.dice.pick(&running)?))
    }

    fn fault_break_link(&mut self) {
        if let Some((a, b)) = self.two_running() {
            self.break_link(a, b);
        }
    }

    fn fault_cut_one_way(&mut self) {
        if let Some((a, b)) = self.two_running() {
            let lasts = self.dice.between(1, 400);
            self.cut(a, b, lasts);
        }
    }

    fn fault_cut_in_two(&mut self) {
        let running = self.running();
        let lasts = self.dice.between(20, 1_500);
        let sides: Vec<bool> = running.iter().map(|_| self.dice.chance(0.5)).collect();
        for (a, a_side) in running.iter().zip(&sides) {
            for (b, b_side) in running.iter().zip(&sides) {
                if a_side != b_side {
                    self.cut(*a, *b, lasts);
                }
            }
        }
    }

    fn fault_cut_off(&mut self) {
        let Some(place) = self.any_running() else {
            return;
        };
        let lasts = self.dice.between(20, 1_500);
        for peer in self.running() {
            self.cut(place, peer, lasts);
            self.cut(peer, place, lasts);
        }
    }

    fn fault_crowd(&mut self) {
        if let Some((node, peer)) = self.two_running() {
            self.crowd(node, peer, true);
            let lasts = self.dice.between(1, 300);
            let life = self.members[node].life;
            self.later(lasts, Event::Relax { node, life, peer });
        }
    }

    /// Says whether messages from `node` to `peer` pile up.
    pub(crate) fn crowd(&mut self, node: Place, peer: Place, crowded: bool) {
        let id = self.members[peer].id;
        if let Some(node) = self.node(node) {
            node.set_crowded(id, crowded);
        }
    }

    fn fault_pause(&mut self) {
        let Some(place) = self.any_awake() else {
            return;
        };
        self.members[place].paused = true;
        let lasts = self.dice.between(1, 800);
        let life = self.members[place].life;
        self.trace
            .line(self.now_ms, || format!("{place} is stopped for {lasts} ms"));
        self.later(lasts, Event::Resume { node: place, life });
        if self.dice.chance(0.7) {
            for peer in self.running() {
                if peer != place {
                    let noticed = self.dice.between(10, 200);
                    self.later(
                        noticed,
                        Event::Detect {
                            from: place,
                            to: peer,
                        },
                    );
                }
            }
        }
    }

    /// A stopped node goes on: everything that happened meanwhile happens to it now.
    pub(crate) fn resume(&mut self, place: Place, life: u32) {
        let member = &mut self.members[place];
        if !member.paused || member.life != life {
            return;
        }
        member.paused = false;
        let stash = std::mem::take(&mut member.stash);
        for event in stash {
            self.later(0, event);
        }
    }

    fn fault_kill(&mut self) {
        if let Some(place) = self.any_running() {
            self.kill(place);
        }
    }

    fn fault_roll(&mut self) {
        let left = self.running();
        self.roll(left);
    }

    /// Restarts the next of some nodes, unless the operator has been called home.
    pub(crate) fn roll(&mut self, mut left: Vec<Place>) {
        let Some(place) = left.pop().filter(|_| !self.quiet) else {
            return;
        };
        if self.members[place].fate == Fate::Running {
            self.kill(place);
        }
        let pause = self.dice.between(20, 600);
        self.later(pause, Event::Roll { left });
    }

    fn fault_power_cut(&mut self) {
        if let Some(place) = self.any_running() {
            self.cut_power(place);
        }
    }

    fn fault_disk_full(&mut self) {
        if let Some(place) = self.any_running() {
            self.trace
                .line(self.now_ms, || format!("{place} has a full disk"));
            self.members[place].store.fail_writes(StoreError::Full);
        }
    }

    /// The operator starts nodes again whose disks have failed.
    fn fault_mend_disk(&mut self) {
        let failed = |place: &Place| self.members[*place].disk_failed;
        let failed: Vec<Place> = self.running().into_iter().filter(failed).collect();
        if let Some(place) = self.dice.pick(&failed) {
            self.kill(place);
        }
    }

    fn fault_lose_disk(&mut self) {
        let place = if self.running().len() > 1 {
            self.any_running()
        } else {
            None
        };
        let lost = self.members.iter().any(|member| member.fate == Fate::Lost);
        if let Some(place) = place.filter(|_| self.plan.reckless || !lost) {
            self.lose_disk(place);
        }
    }

    fn fault_backup(&mut self) {
        if let Some(place) = self.any_running() {
            let member = &mut self.members[place];
            let parts = member.store.parts_unfinished();
            let parts = self.dice.below(parts + 1);
            member.backups.push(member.store.crash_kill(parts));
        }
    }

    fn fault_restore(&mut self) {
        let Some(place) = self.any_running() else {
            return;
        };
        let count = self.members[place].backups.len();
        if count > 0 {
            let backup = self.members[place].backups[self.dice.below(count)].clone();
            self.restore(place, &backup);
        }
    }

    fn fault_clock_jump(&mut self) {
        let Some(place) = self.any_running() else {
            return;
        };
        let skew = match self.dice.below(4) {
            0 => 0,
            1 => self.dice.between(0, 2_000) as i64 - 1_000,
            2 => self.dice.between(0, 240_000) as i64 - 120_000,
            _ => self.dice.pick(&[YEAR_MS, -YEAR_MS]).unwrap_or(0),
        };
        self.trace.line(self.now_ms, || {
            format!("{place} has its clock off by {skew} ms")
        });
        self.members[place].clock.skew_ms = skew;
    }

    fn fault_checkpoint(&mut self) {
        if let Some(place) = self.any_awake() {
            self.start_checkpoint(place);
        }
    }

    fn fault_evict(&mut self) {
        if let Some(place) = self.any_awake()
            && let Some(node) = self.node(place)
        {
            node.evict();
        }
    }
}
