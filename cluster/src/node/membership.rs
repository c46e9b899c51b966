//! Who belongs to the cluster, who is in reach, and when a node has joined or left.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Node;
use crate::env::{Env, Now, View};
use crate::id::NodeId;
use crate::layout::{Layout, LayoutError, State};
use crate::message::Message;
use crate::ring::Ownership;

/// How far it is that this node has left. Peers must not know before a power cut cannot take it
/// back: nobody asks who has left what it still holds, and it would go on as an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Farewell {
    /// It has not left, or may say so.
    #[default]
    Free,
    /// It has left, and that is yet to be written down.
    Begun,
    /// That waits for a sync.
    Written,
    /// A sync is under way that makes it durable.
    Syncing,
}

/// What a joining node has seen of the others' tokens, and since when: all that join at the same
/// time may have to choose anew, one after the other, before any of them owns what it has chosen.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Who is there, with the version of its tokens.
    tokens: Vec<(NodeId, u64)>,
    since_ms: u64,
}

/// For how many rounds of comparing layouts the tokens must have stayed as they are before one of
/// several joining nodes is up.
const TURN_ROUNDS: u64 = 3;

/// How long a peer that did not answer a command in time is passed over, in milliseconds.
const SUSPICION_MS: u64 = 1_000;

impl Node {
    /// Makes the view follow layout and links.
    pub(super) fn refresh_view(&self) {
        let down = self.swim.lock().down().clone();
        let mut view = self.view.write();
        let links = self.links.lock();
        let is_down = |peer: &NodeId| {
            let run = links.runs.get(peer);
            run.is_some_and(|run| down.contains(&(*peer, *run)))
        };
        let mut up: BTreeSet<NodeId> = links
            .linked
            .iter()
            .copied()
            .filter(|peer| !links.suspected.contains_key(peer) && !is_down(peer))
            .collect();
        up.insert(self.id);
        let run_of = |node| {
            if node == self.id {
                Some(self.run)
            } else {
                links.runs.get(&node).copied()
            }
        };
        let runs = view.layout.nodes().map(|(node, _)| run_of(node)).collect();
        if view.up != up {
            self.review_watches();
        }
        if view.up != up || view.runs != runs {
            *view = Arc::new(View {
                up,
                runs,
                ..(**view).clone()
            });
        }
    }

    /// A peer told its current run.
    pub(super) fn on_run(&self, peer: NodeId, run: u128, now: Now) {
        if self.links.lock().runs.insert(peer, run) != Some(run) {
            self.refresh_view();
            self.greet(peer, run, now);
        }
    }

    /// Tells every peer with a link which layout this node has.
    pub(super) fn tell_digest(&self, env: &Env<'_>) {
        let linked = self.links.lock().linked.clone();
        for peer in linked {
            self.send(peer, Message::Digest(self.run, env.view.digest));
        }
    }

    /// A peer told which layout it has.
    pub(super) fn on_digest(&self, env: &Env<'_>, peer: NodeId, run: u128, digest: u64) {
        self.on_run(peer, run, env.now);
        if digest != env.view.digest {
            self.send_layout(peer, &env.view.layout);
        }
    }

    pub(super) fn send_layout(&self, peer: NodeId, layout: &Layout) {
        if *self.farewell.lock() != Farewell::Free {
            return;
        }
        self.send(peer, Message::Layout(self.run, Box::new(layout.clone())));
    }

    /// A peer did not answer a command in time: for a while it is passed over.
    pub(super) fn suspect(&self, peer: NodeId, now: Now) {
        self.links
            .lock()
            .suspected
            .insert(peer, now.monotonic_ms + SUSPICION_MS);
        self.refresh_view();
    }

    pub(super) fn expire_suspicions(&self, now: Now) {
        let before = {
            let mut links = self.links.lock();
            let before = links.suspected.len();
            links.suspected.retain(|_, until| *until > now.monotonic_ms);
            before != links.suspected.len()
        };
        if before {
            self.refresh_view();
        }
    }

    /// A peer's layout came in.
    pub(super) fn on_layout(&self, peer: NodeId, layout: &Layout) {
        let _changing = self.changing.lock();
        let mut joined = (*self.view().layout).clone();
        let Ok(changed) = joined.join(layout) else {
            return;
        };
        if changed {
            self.adopt(&joined, Some(peer));
        } else if joined != *layout {
            self.send_layout(peer, &joined);
        }
    }

    /// Makes `layout` this node's own, as everybody here sees it from now on.
    pub(super) fn see(&self, layout: &Layout) {
        let ownership = Ownership::of(layout);
        let mut view = self.view.write();
        *view = Arc::new(View {
            digest: layout.digest(),
            layout: Arc::new(layout.clone()),
            ownership: Arc::new(ownership),
            up: view.up.clone(),
            runs: None,
        });
    }

    /// Makes `layout` this node's own, stores it, and tells the peers except `source`. The caller
    /// has locked `changing` since it looked at the layout before.
    fn adopt(&self, layout: &Layout, source: Option<NodeId>) {
        let has_left = |layout: &Layout| {
            let entry = layout.entries().get(&self.id);
            entry.is_some_and(|entry| entry.state == State::Left)
        };
        let leaves = has_left(layout) && !has_left(&self.view().layout);
        if leaves {
            *self.farewell.lock() = Farewell::Begun;
        }
        self.see(layout);
        self.review_watches();
        self.layout_version
            .fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        self.refresh_view();
        self.record_state();
        if leaves {
            *self.farewell.lock() = Farewell::Written;
            self.commit.lock().sync_wanted = true;
        }
        let linked = self.links.lock().linked.clone();
        for peer in linked.into_iter().filter(|peer| Some(*peer) != source) {
            self.send_layout(peer, layout);
        }
    }

    /// A sync begins: what was written down becomes durable.
    pub(super) fn begin_farewell(&self) {
        self.advance_farewell(Farewell::Written, Farewell::Syncing);
    }

    /// The sync failed.
    pub(super) fn abandon_farewell(&self) {
        self.advance_farewell(Farewell::Syncing, Farewell::Written);
    }

    /// The sync succeeded: if this node has left, peers are told.
    pub(super) fn say_farewell(&self) {
        if !self.advance_farewell(Farewell::Syncing, Farewell::Free) {
            return;
        }
        let layout = self.view().layout.clone();
        let linked = self.links.lock().linked.clone();
        for peer in linked {
            self.send_layout(peer, &layout);
        }
    }

    fn advance_farewell(&self, from: Farewell, to: Farewell) -> bool {
        let mut farewell = self.farewell.lock();
        let is_due = *farewell == from;
        if is_due {
            *farewell = to;
        }
        is_due
    }

    /// Changes the layout: a member leaves, is forgotten or replaced.
    ///
    /// # Errors
    /// What `change` says; nothing has changed then.
    pub fn change_layout(
        &self,
        change: impl FnOnce(&Layout) -> Result<Layout, LayoutError>,
    ) -> Result<(), LayoutError> {
        let _changing = self.changing.lock();
        let layout = change(&self.view().layout)?;
        self.adopt(&layout, None);
        Ok(())
    }

    /// Says that this node has joined or left, once that is so.
    pub(super) fn advance_membership(&self, env: &Env<'_>) {
        let state = env.view.layout.entry(self.id).map(|entry| entry.state);
        let change: fn(&Layout, NodeId) -> Result<Layout, LayoutError> = match state {
            Some(State::Joining) if self.has_had_its_turn(env) && self.has_its_share(env) => {
                Layout::become_up
            }
            Some(State::Leaving) if self.has_handed_over(env) => Layout::become_left,
            _ => return,
        };
        // Who was told otherwise meanwhile looks again in the next round.
        let _ = self.change_layout(|layout| change(layout, self.id));
    }

    /// Whether this node, which is joining, may be up with the tokens that it has: it chooses anew
    /// if others have joined at the same time, and waits until all of them have done so.
    fn has_had_its_turn(&self, env: &Env<'_>) -> bool {
        let _changing = self.changing.lock();
        let layout = self.view().layout.clone();
        let tokens = layout
            .nodes()
            .map(|(node, entry)| (node, entry.tokens_version));
        let tokens: Vec<(NodeId, u64)> = tokens.collect();
        let mut turn = self.turn.lock();
        if turn.tokens != tokens {
            let since_ms = env.now.monotonic_ms;
            *turn = Turn { tokens, since_ms };
            if let Some(chosen) = layout.choose_anew(self.id) {
                self.adopt(&chosen, None);
                return false;
            }
        }
        let mut others = layout.nodes().filter(|(node, _)| *node != self.id);
        let rounds_ms = TURN_ROUNDS * env.settings.anti_entropy_interval_ms;
        others.all(|(_, entry)| entry.state != State::Joining)
            || env.now.monotonic_ms >= turn.since_ms + rounds_ms
    }

    /// Whether every partition that this node will own is ready here.
    fn has_its_share(&self, env: &Env<'_>) -> bool {
        let ownership = &env.view.ownership;
        layout_partitions(env).all(|partition| {
            !ownership.is_next_owner(self.id, partition)
                || self
                    .with_partition(partition, |p| p.has_main())
                    .unwrap_or(false)
        })
    }

    /// Whether everybody who will own what this node has holds all of it durably.
    fn has_handed_over(&self, env: &Env<'_>) -> bool {
        let ownership = &env.view.ownership;
        layout_partitions(env).all(|partition| {
            let heirs: Vec<NodeId> = ownership
                .next(partition)
                .iter()
                .copied()
                .filter(|heir| *heir != self.id)
                .collect();
            let held = self.with_partition(partition, |p| {
                p.fallback.is_none()
                    && p.main.as_ref().is_none_or(|main| {
                        heirs.iter().all(|heir| {
                            let peer = main.peers.get(heir);
                            peer.is_some_and(|peer| peer.holds(&main.clock, env.view.digest))
                        })
                    })
            });
            held.unwrap_or(true)
        })
    }
}

fn layout_partitions(env: &Env<'_>) -> impl Iterator<Item = crate::id::PartitionId> {
    env.view.layout.partitions().iter()
}

impl Node {
    /// Grows with every change of the layout.
    #[must_use]
    pub fn layout_version(&self) -> u64 {
        self.layout_version
            .load(std::sync::atomic::Ordering::Acquire)
    }
}
