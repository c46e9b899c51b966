//! Who is told when an element changes: clients of this node, and nodes whose clients ask.
//!
//! A node that does not lead an element tells the one that does that it watches. Whoever leads is
//! told again now and then, and the leader forgets who is silent for long or whose link is gone.
//!
//! ```text
//! watcher's node                      leader
//! WATCH element ────────────────────▶ notes it for a while
//! REQUEST (LGET) ───────────────────▶ so no change falls between the two
//!               ◀──────────────────── CHANGED element, after each change
//! ```
//!
//! When another node comes to lead, it is told at once, and the watcher looks as if the element had
//! changed: what happened meanwhile is in what it sees then.

use std::collections::BTreeMap;

use super::effects::Answer;
use super::{Node, Route};
use crate::env::{Env, Now};
use crate::id::{NodeId, PartitionId};
use crate::limits::WATCHES_PER_PEER_MAX;
use crate::message::Message;
use crate::row_key::RowKey;

type Element = (PartitionId, RowKey);

/// How often a leader is told that an element is still watched, in milliseconds.
const RENEW_MS: u64 = 5_000;
/// For how long a leader believes that.
const FORGET_MS: u64 = 4 * RENEW_MS;

/// What is watched here, and by whom.
#[derive(Debug, Default)]
pub(super) struct Watches {
    /// Elements that clients of this node watch.
    own: BTreeMap<Element, Own>,
    /// Elements that other nodes watch, and until when they are believed to.
    others: BTreeMap<Element, BTreeMap<NodeId, u64>>,
    /// How many elements each of them watches.
    counts: BTreeMap<NodeId, usize>,
    /// Whether somebody else may lead an element now.
    is_stale: bool,
    renew_ms: u64,
}

/// An element that clients of this node watch.
#[derive(Debug, Default)]
struct Own {
    /// The leader that was told.
    told: Option<NodeId>,
    told_ms: u64,
}

impl Watches {
    fn is_watched(&self, element: &Element) -> bool {
        self.own.contains_key(element) || self.others.contains_key(element)
    }

    /// A peer watches no more; true if it did.
    fn forget(&mut self, element: &Element, peer: NodeId) {
        let Some(peers) = self.others.get_mut(element) else {
            return;
        };
        if peers.remove(&peer).is_some()
            && let Some(count) = self.counts.get_mut(&peer)
        {
            *count -= 1;
        }
        if peers.is_empty() {
            self.others.remove(element);
        }
    }
}

impl Node {
    /// From here on [`Answer::Changed`] tells of every change of an element, wherever it is led.
    pub fn watch(&self, partition: PartitionId, key: &RowKey, now: Now) {
        let element = (partition, key.clone());
        self.change_watches(&element, |watches| {
            watches.own.entry(element.clone()).or_default();
        });
        let settings = self.settings();
        let env = self.env(&settings, now);
        self.tell_leader(&env, &element);
    }

    /// Nobody here wants to be told of an element any more.
    pub fn unwatch(&self, partition: PartitionId, key: &RowKey) {
        let element = (partition, key.clone());
        let told = self.change_watches(&element, |watches| watches.own.remove(&element));
        if let Some(leader) = told.flatten().and_then(|own| own.told) {
            self.send(leader, Message::Unwatch(partition, element.1));
        }
    }

    /// Changes who watches an element; its partition then knows whether anybody does.
    fn change_watches<T>(
        &self,
        element: &Element,
        change: impl FnOnce(&mut Watches) -> T,
    ) -> Option<T> {
        self.with_partition(element.0, |partition| {
            let mut watches = self.watches.lock();
            let outcome = change(&mut watches);
            if watches.is_watched(element) {
                partition.watched.insert(element.1.clone());
            } else {
                partition.watched.remove(&element.1);
            }
            outcome
        })
    }

    /// A peer watches an element that this node leads, or so it believes.
    pub(super) fn on_watch(
        &self,
        env: &Env<'_>,
        peer: NodeId,
        partition: PartitionId,
        key: RowKey,
    ) {
        let until_ms = env.now.monotonic_ms + FORGET_MS;
        let element = (partition, key);
        self.change_watches(&element, |watches| {
            let count = watches.counts.entry(peer).or_default();
            let peers = watches.others.get(&element);
            let is_new = peers.is_none_or(|peers| !peers.contains_key(&peer));
            // A peer beyond its limit finds out by looking.
            if is_new && *count >= WATCHES_PER_PEER_MAX {
                return;
            }
            *count += usize::from(is_new);
            let peers = watches.others.entry(element.clone()).or_default();
            peers.insert(peer, until_ms);
        });
    }

    /// A peer watches an element no more.
    pub(super) fn on_unwatch(&self, peer: NodeId, partition: PartitionId, key: RowKey) {
        let element = (partition, key);
        self.change_watches(&element, |watches| watches.forget(&element, peer));
    }

    /// A leader says that an element has changed.
    pub(super) fn on_changed(&self, partition: PartitionId, key: RowKey) {
        let element = (partition, key);
        if self.watches.lock().own.contains_key(&element) {
            self.say_changed(element);
        }
    }

    fn say_changed(&self, (partition, key): Element) {
        let mut commit = self.commit.lock();
        commit.answers.push(Answer::Changed(partition, key));
    }

    /// An element has changed in a copy of this node: clients and other nodes are told.
    pub(super) fn tell_watchers(&self, partition: PartitionId, key: RowKey) {
        let element = (partition, key);
        let (is_own, peers) = {
            let watches = self.watches.lock();
            let peers = watches.others.get(&element).into_iter().flatten();
            let peers: Vec<NodeId> = peers.map(|(peer, _)| *peer).collect();
            (watches.own.contains_key(&element), peers)
        };
        for peer in peers {
            self.send(peer, Message::Changed(partition, element.1.clone()));
        }
        if is_own {
            self.say_changed(element);
        }
    }

    /// The link to a peer is gone, and with it what it watches: it tells again on the next.
    pub(super) fn forget_watches_of(&self, peer: NodeId) {
        let elements: Vec<Element> = {
            let mut watches = self.watches.lock();
            for own in watches.own.values_mut() {
                own.told = own.told.filter(|leader| *leader != peer);
            }
            watches.is_stale = true;
            let others = watches.others.iter();
            let watched = others.filter(|(_, peers)| peers.contains_key(&peer));
            watched.map(|(element, _)| element.clone()).collect()
        };
        for element in elements {
            self.change_watches(&element, |watches| watches.forget(&element, peer));
        }
    }

    /// Somebody else may lead an element from here on.
    pub(super) fn review_watches(&self) {
        self.watches.lock().is_stale = true;
    }

    /// Tells the leaders of watched elements, those that are new at once, and forgets who has not
    /// told for long.
    pub(super) fn tend_watches(&self, env: &Env<'_>) {
        let now_ms = env.now.monotonic_ms;
        let (own, silent) = {
            let mut watches = self.watches.lock();
            let is_due = watches.renew_ms <= now_ms;
            if !is_due && !std::mem::take(&mut watches.is_stale) {
                return;
            }
            watches.is_stale = false;
            let mut silent = Vec::new();
            if is_due {
                watches.renew_ms = now_ms + RENEW_MS;
                for (element, peers) in &watches.others {
                    let over = peers.iter().filter(|(_, until_ms)| **until_ms <= now_ms);
                    silent.extend(over.map(|(peer, _)| (element.clone(), *peer)));
                }
            }
            let own: Vec<Element> = watches.own.keys().cloned().collect();
            (own, silent)
        };
        for (element, peer) in silent {
            self.change_watches(&element, |watches| watches.forget(&element, peer));
        }
        for element in own {
            if self.tell_leader(env, &element) {
                self.say_changed(element);
            }
        }
    }

    /// Tells the leader of an element that it is watched, if it does not know; says whether it is
    /// another one than before.
    fn tell_leader(&self, env: &Env<'_>, element: &Element) -> bool {
        let leader = match self.route(element.0, env.now) {
            Route::Here => None,
            Route::There(leader) => Some(leader),
        };
        let now_ms = env.now.monotonic_ms;
        let before = {
            let mut watches = self.watches.lock();
            let Some(own) = watches.own.get_mut(element) else {
                return false;
            };
            if own.told == leader && now_ms < own.told_ms + RENEW_MS {
                return false;
            }
            own.told_ms = now_ms;
            std::mem::replace(&mut own.told, leader)
        };
        if let Some(before) = before.filter(|before| Some(*before) != leader) {
            self.send(before, Message::Unwatch(element.0, element.1.clone()));
        }
        if let Some(leader) = leader {
            self.send(leader, Message::Watch(element.0, element.1.clone()));
        }
        before != leader
    }
}
