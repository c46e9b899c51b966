//! Failure detection by SWIM (Das et al. 2002), as the library foca keeps it: probes to one member
//! at a time, through others where that fails, and rumours about who is down.
//!
//! Its messages travel in the links between nodes. Its verdict decides only who is passed over;
//! who owns what changes by an explicit join or leave alone.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use bytes::Bytes;
use foca::{
    AccumulatingRuntime, Config, Foca, Identity, NoCustomBroadcast, OwnedNotification,
    PeriodicParams, PostcardCodec, Timer,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::Node;
use crate::env::Now;
use crate::id::NodeId;
use crate::message::Message;

/// A member as SWIM names it: the node, and which of its lives it is in. A life ends when others
/// have declared it down, or when the process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    node: u128,
    life: u64,
    /// By how much the next life is above this one.
    step: u64,
}

/// The step of a first life, in the milliseconds by which first lives are numbered.
const STEP_MIN: u64 = 1 << 10;
/// The longest step: some two years.
const STEP_MAX: u64 = 1 << 36;

impl Identity for Member {
    type Addr = u128;

    /// Steps grow, so that a node that began under a clock set back is soon above its earlier
    /// lives, which the others remember.
    fn renew(&self) -> Option<Self> {
        Some(Self {
            life: self.life.saturating_add(self.step),
            step: (self.step * 2).min(STEP_MAX),
            ..*self
        })
    }

    fn addr(&self) -> u128 {
        self.node
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.life > adversary.life
    }
}

/// How often one member is probed.
const PROBE_PERIOD_MS: u64 = 500;
/// How long a probe waits for its answer before others are asked to help.
const PROBE_ANSWER_MS: u64 = 200;
/// How long a member is suspected before it counts as down.
const SUSPECT_MS: u64 = 1_000;
/// How long a life that ended is remembered.
const REMEMBER_MS: u64 = 30_000;

/// The detector of one node.
pub(super) struct Swim {
    detector: Foca<Member, PostcardCodec, StdRng, NoCustomBroadcast>,
    timers: BTreeMap<(u64, u64), Timer<Member>>,
    timer_number: u64,
    down: BTreeSet<NodeId>,
}

impl Swim {
    /// A detector that knows nobody yet. Lives are ordered by the time of the start, so that a node
    /// that comes back soon is believed at once.
    pub(super) fn new(node: NodeId, run: u128, now: Now) -> Self {
        let identity = Member {
            node: node.0,
            life: now.unix_ms,
            step: STEP_MIN,
        };
        let mut seed = [0; 32];
        for (at, byte) in (run ^ node.0).to_be_bytes().iter().enumerate() {
            seed[at] = *byte;
        }
        let rng = StdRng::from_seed(seed);
        Self {
            detector: Foca::new(identity, config(), rng, PostcardCodec),
            timers: BTreeMap::new(),
            timer_number: 0,
            down: BTreeSet::new(),
        }
    }

    /// Members that count as down.
    pub(super) fn down(&self) -> &BTreeSet<NodeId> {
        &self.down
    }

    /// A link to `node` has just come up, which says more than any rumour.
    pub(super) fn is_back(&mut self, node: NodeId) {
        self.down.remove(&node);
    }

    /// Lets the detector act, and gives what it wants sent. Its errors are about single packets,
    /// which it has ignored then.
    fn with(
        &mut self,
        now: Now,
        act: impl FnOnce(
            &mut Foca<Member, PostcardCodec, StdRng, NoCustomBroadcast>,
            &mut AccumulatingRuntime<Member>,
        ) -> Result<(), foca::Error>,
    ) -> Vec<(NodeId, Bytes)> {
        let mut runtime = AccumulatingRuntime::new();
        let _ = act(&mut self.detector, &mut runtime);
        while let Some((after, timer)) = runtime.to_schedule() {
            self.timer_number += 1;
            let due = now.monotonic_ms + after.as_millis() as u64;
            self.timers.insert((due, self.timer_number), timer);
        }
        while let Some(notification) = runtime.to_notify() {
            match notification {
                OwnedNotification::MemberUp(member) => {
                    self.down.remove(&NodeId(member.node));
                }
                OwnedNotification::MemberDown(member) => {
                    self.down.insert(NodeId(member.node));
                }
                OwnedNotification::Rename(..)
                | OwnedNotification::Active
                | OwnedNotification::Idle
                | OwnedNotification::Defunct
                | OwnedNotification::Rejoin(_) => {}
            }
        }
        let mut sends = Vec::new();
        while let Some((to, data)) = runtime.to_send() {
            sends.push((NodeId(to.node), data));
        }
        sends
    }

    fn due(&mut self, now: Now) -> Option<Timer<Member>> {
        let first = self.timers.first_entry()?;
        if first.key().0 > now.monotonic_ms {
            return None;
        }
        Some(first.remove())
    }
}

fn config() -> Config {
    let several = NonZeroUsize::new(3).expect("three is not zero");
    let announce = PeriodicParams {
        frequency: Duration::from_secs(10),
        num_members: several,
    };
    let gossip = PeriodicParams {
        frequency: Duration::from_millis(500),
        num_members: several,
    };
    Config {
        probe_period: Duration::from_millis(PROBE_PERIOD_MS),
        probe_rtt: Duration::from_millis(PROBE_ANSWER_MS),
        num_indirect_probes: several,
        max_transmissions: NonZeroU8::new(8).expect("eight is not zero"),
        suspect_to_down_after: Duration::from_millis(SUSPECT_MS),
        remove_down_after: Some(Duration::from_millis(REMEMBER_MS)),
        max_packet_size: NonZeroUsize::new(8 << 10).expect("8 KiB is not zero"),
        notify_down_members: true,
        periodic_announce: Some(announce.clone()),
        periodic_announce_to_down_members: Some(announce),
        periodic_gossip: Some(gossip),
    }
}

impl Node {
    fn swim(
        &self,
        now: Now,
        act: impl FnOnce(
            &mut Foca<Member, PostcardCodec, StdRng, NoCustomBroadcast>,
            &mut AccumulatingRuntime<Member>,
        ) -> Result<(), foca::Error>,
    ) {
        let (sends, changed) = {
            let mut swim = self.swim.lock();
            let before = swim.down.clone();
            let sends = swim.with(now, act);
            (sends, before != swim.down)
        };
        for (peer, data) in sends {
            if self.links.lock().linked.contains(&peer) {
                let message = Message::Swim(data);
                self.commit.lock().urgent.push((peer, message));
            }
        }
        if changed {
            self.refresh_view();
        }
    }

    /// A link is up: its other end is told of this node's life.
    pub(super) fn greet(&self, peer: NodeId, now: Now) {
        let member = Member {
            node: peer.0,
            life: 0,
            step: STEP_MIN,
        };
        self.swim(now, |detector, runtime| detector.announce(member, runtime));
    }

    /// A peer that counts as down has sent something: it is not. A restart under a clock that was
    /// set back begins a life that the others take for an older one, and so hold for over.
    pub(super) fn heard(&self, peer: NodeId) {
        self.swim.lock().is_back(peer);
        self.refresh_view();
    }

    /// A packet of the detector came in.
    pub(super) fn on_swim(&self, payload: &[u8], now: Now) {
        self.swim(now, |detector, runtime| {
            detector.handle_data(payload, runtime)
        });
    }

    /// Fires the detector's timers that are due.
    pub(super) fn poll_swim(&self, now: Now) {
        loop {
            let due = self.swim.lock().due(now);
            let Some(timer) = due else {
                return;
            };
            self.swim(now, |detector, runtime| {
                detector.handle_timer(timer, runtime)
            });
        }
    }
}
