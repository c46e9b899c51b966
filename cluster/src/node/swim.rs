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

/// A member as SWIM names it: one run of a node, and which of its lives it is in. A life ends when
/// others have declared it down. Two runs of a node are as different as two nodes, so what is said
/// of the earlier one does not touch the later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    node: u128,
    run: u128,
    life: u64,
}

impl Member {
    fn first(node: NodeId, run: u128) -> Self {
        Self {
            node: node.0,
            run,
            life: 0,
        }
    }

    fn node(&self) -> NodeId {
        NodeId(self.node)
    }
}

impl Identity for Member {
    type Addr = (u128, u128);

    fn renew(&self) -> Option<Self> {
        Some(Self {
            life: self.life.saturating_add(1),
            ..*self
        })
    }

    fn addr(&self) -> Self::Addr {
        (self.node, self.run)
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
    /// Runs that count as down, by node.
    down: BTreeSet<(NodeId, u128)>,
}

impl Swim {
    /// A detector that knows nobody yet.
    pub(super) fn new(node: NodeId, run: u128) -> Self {
        let identity = Member::first(node, run);
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

    /// Runs that count as down, by node.
    pub(super) fn down(&self) -> &BTreeSet<(NodeId, u128)> {
        &self.down
    }

    /// A link to `node` has just come up, which says more than any rumour.
    pub(super) fn is_back(&mut self, node: NodeId) {
        self.down.retain(|(down, _)| *down != node);
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
    ) -> Vec<(Member, Bytes)> {
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
                    self.down.remove(&(member.node(), member.run));
                }
                OwnedNotification::MemberDown(member) => {
                    self.down.insert((member.node(), member.run));
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
            sends.push((to, data));
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
        for (member, data) in sends {
            // What is meant for another run of the node nobody is there to read.
            let peer = member.node();
            if self.links.lock().runs.get(&peer) == Some(&member.run) {
                let message = Message::Swim(data);
                self.commit.lock().urgent.push((peer, message));
            }
        }
        if changed {
            self.refresh_view();
        }
    }

    /// A peer has told its current run: that is told of this one, and any earlier run of the peer
    /// is over.
    pub(super) fn greet(&self, peer: NodeId, run: u128, now: Now) {
        let member = Member::first(peer, run);
        self.swim(now, |detector, runtime| {
            let earlier: Vec<Member> = detector
                .iter_members()
                .map(|known| *known.id())
                .filter(|known| known.node() == peer && known.run != run)
                .collect();
            let ended = earlier.into_iter().map(foca::Member::down);
            detector.apply_many(ended, true, &mut *runtime)?;
            detector.announce(member, runtime)
        });
    }

    /// A peer that counts as down has sent something: it is not.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::layout::{Joiner, Layout};
    use crate::memory_store::MemoryStore;
    use crate::node::NodeState;
    use crate::request::Request;
    use crate::token::Partitions;
    use crate::transaction::{Execute, Transaction};

    struct Nothing;

    impl Execute for Nothing {
        fn execute(&self, _: &mut Transaction<'_, '_>, _: &Request, _: &mut Vec<u8>) {}
    }

    const NOW: Now = Now {
        monotonic_ms: 1_000,
        unix_ms: 1_000,
    };

    /// A node of two, which has a link to the other one.
    fn linked(peer: NodeId) -> Node {
        let id = NodeId(1);
        let single = Partitions::new(1).expect("a power of two");
        let layout = [id, peer]
            .into_iter()
            .fold(Layout::new(7, single, 2), |layout, node| {
                let joiner = Joiner {
                    node,
                    zone: String::new(),
                    weight: 1,
                    address: String::new(),
                };
                let joining = layout.with_joining(joiner).expect("it is new");
                joining.become_up(node).expect("it is joining")
            });
        let (store, settings) = (
            Arc::new(MemoryStore::new()),
            crate::env::Settings::default(),
        );
        let fresh = Some(NodeState { id, layout });
        let node = Node::open(store, Arc::new(Nothing), settings, fresh, 9 << 64, NOW);
        let node = node.expect("the disk is sound");
        node.on_link_up(peer, NOW);
        node
    }

    fn tell(node: &Node, about: foca::Member<Member>) {
        node.swim(NOW, |detector, runtime| {
            detector.apply_many([about].into_iter(), true, runtime)
        });
    }

    #[test]
    fn a_rumour_of_the_end_of_a_former_run_does_not_touch_the_present_one() {
        let peer = NodeId(2);
        let (former, present) = (3 << 64, 4 << 64);
        let node = linked(peer);
        let is_up = || node.view().up.contains(&peer);
        tell(&node, foca::Member::alive(Member::first(peer, former)));
        // Before it has said which run it is, and afterwards.
        tell(&node, foca::Member::down(Member::first(peer, former)));
        assert!(is_up());
        node.on_run(peer, present, NOW);
        tell(&node, foca::Member::alive(Member::first(peer, present)));
        tell(&node, foca::Member::down(Member::first(peer, former)));
        assert!(is_up());
        tell(&node, foca::Member::down(Member::first(peer, present)));
        assert!(!is_up());
    }

    #[test]
    fn a_new_run_ends_the_former_one_at_once() {
        let peer = NodeId(2);
        let (former, present) = (3 << 64, 4 << 64);
        let node = linked(peer);
        tell(&node, foca::Member::alive(Member::first(peer, former)));
        node.on_run(peer, present, NOW);
        let swim = node.swim.lock();
        let known = |run| {
            let mut members = swim.detector.iter_members();
            members.any(|member| *member.id() == Member::first(peer, run))
        };
        assert!(!known(former));
    }

    #[test]
    fn a_run_that_was_declared_down_renews_itself() {
        let member = Member::first(NodeId(1), 7);
        let renewed = member.renew().expect("it may always");
        assert!(renewed.win_addr_conflict(&member) && !member.win_addr_conflict(&renewed));
        assert_eq!(renewed.addr(), member.addr());
        assert_ne!(Member::first(NodeId(1), 8).addr(), member.addr());
    }
}
