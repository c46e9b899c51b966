//! Changes go out to the owners that lack them, and come in from others.

use larder_crdt::{ActorTable, Clock};

use super::{Event, Output, Partition};
use crate::copy::{Copy, Delta, Refusal};
use crate::env::Env;
use crate::id::NodeId;
use crate::message::{KnownClock, Message};
use crate::row_key::RowKey;
use crate::store::StoreError;

/// Messages that one round sends to one peer for one partition; the rest waits for the next round.
const MESSAGES_PER_ROUND: usize = 64;

/// What one round for one peer did.
enum Round {
    /// Everything missing is on its way.
    Sent,
    /// As much as one round takes is on its way; more is left.
    More,
    /// The peer lacks something that the log cannot name.
    Unexplained,
}

impl Partition {
    /// The owners that can take changes now.
    fn receivers(&self, env: &Env<'_>) -> Vec<NodeId> {
        env.other_owners(self.id)
            .filter(|owner| env.view.up.contains(owner))
            .collect()
    }

    /// Sends what this node's own commands changed and was not sent yet: the asynchronous
    /// replication, a round per interval. `crowded` peers wait.
    ///
    /// # Errors
    /// What the disk says.
    pub fn replicate(
        &mut self,
        env: &Env<'_>,
        out: &mut Output,
        crowded: &dyn Fn(NodeId) -> bool,
    ) -> Result<(), StoreError> {
        self.outgoing = false;
        for peer in self.receivers(env) {
            if crowded(peer) {
                self.outgoing = true;
                continue;
            }
            let mut unexplained = false;
            for copy in [self.main.as_mut(), self.fallback.as_mut()]
                .into_iter()
                .flatten()
            {
                let Some(signer) = copy.signer else {
                    continue;
                };
                let mut own = Clock::new();
                if signer.next > 1 {
                    own.insert_range(signer.index, 1, signer.next - 1);
                }
                let round = send(copy, env, self.id, out, peer, Some(&own), &mut self.counts)?;
                unexplained |= matches!(round, Round::Unexplained);
                self.outgoing |= matches!(round, Round::More);
            }
            if unexplained {
                self.offer(env, out, peer);
            }
        }
        Ok(())
    }

    /// Compares clocks with every owner in reach: asks those that have not told theirs, or that
    /// have lacked something for too long, and sends what did not arrive.
    ///
    /// # Errors
    /// What the disk says.
    pub fn exchange(
        &mut self,
        env: &Env<'_>,
        out: &mut Output,
        crowded: &dyn Fn(NodeId) -> bool,
    ) -> Result<(), StoreError> {
        if std::mem::take(&mut self.is_doubted) {
            self.ask_doubted(env, out);
        }
        if self.main.is_none() && self.fallback.is_none() {
            return Ok(());
        }
        for peer in self.receivers(env) {
            if self.is_unheard(peer) {
                out.sends.push((peer, Message::Ask(self.id, 0)));
                continue;
            }
            if crowded(peer) {
                continue;
            }
            self.tell_retirements(out, peer);
            let mut unexplained = false;
            let mut asks = self.needs_new_word(env, peer);
            for copy in [self.main.as_mut(), self.fallback.as_mut()]
                .into_iter()
                .flatten()
            {
                match due(copy, env, peer) {
                    Due::Nothing => continue,
                    Due::Changes => {}
                    Due::ChangesAndQuestion => asks = true,
                }
                let round = send(copy, env, self.id, out, peer, None, &mut self.counts)?;
                unexplained |= matches!(round, Round::Unexplained);
                if matches!(round, Round::More) {
                    copy.peers.entry(peer).or_default().behind_since_ms = Some(0);
                }
            }
            if asks {
                out.sends.push((peer, Message::Ask(self.id, 0)));
            }
            if unexplained {
                self.offer(env, out, peer);
            }
        }
        Ok(())
    }

    /// Asks the owners in reach that are believed to have no copy. One that has become ready says
    /// so once, and that word may be lost, or come while this node was suspected.
    fn ask_doubted(&self, env: &Env<'_>, out: &mut Output) {
        for owner in env.other_owners(self.id) {
            if env.view.up.contains(&owner) && self.ready.get(&owner) == Some(&false) {
                out.sends.push((owner, Message::Ask(self.id, 0)));
            }
        }
    }

    fn tell_retirements(&self, out: &mut Output, peer: NodeId) {
        let Some(main) = &self.main else {
            return;
        };
        let dots = main.retirements_for(peer);
        if !dots.is_empty() {
            let dots = KnownClock {
                actors: main.actors.clone(),
                clock: dots,
            };
            out.sends.push((peer, Message::Retire(self.id, dots)));
        }
    }

    /// Another owner has retired actors of which it had these dots. If this copy has others, it
    /// takes the whole partition from there.
    pub fn on_retire(&mut self, env: &Env<'_>, out: &mut Output, from: NodeId, dots: &KnownClock) {
        if !self.is_ready(env) {
            return;
        }
        let main = self
            .main
            .as_mut()
            .expect("a ready partition has a main copy");
        let translation = main.translation(&dots.actors, &mut out.redo);
        let followed = match dots.clock.translate(&translation) {
            Ok(dots) => main.follow_retirement(&mut out.redo, &dots),
            Err(_) => {
                out.events.push(Event::BadPeer(from));
                return;
            }
        };
        // The word that said so may have been lost, if this is not the first time.
        if followed && main.durable.covers(&main.clock) {
            self.acknowledge(env, out, from);
        } else if !followed && self.staged.is_none() {
            self.begin_transfer(env, out, from);
        }
    }

    /// Whether `peer` has yet to say that its copy is ready, or said so before a copy here began.
    fn is_unheard(&self, peer: NodeId) -> bool {
        let knows = |copy: &Copy| {
            copy.peers
                .get(&peer)
                .is_some_and(|known| known.copy.is_some())
        };
        let copies = [self.main.as_ref(), self.fallback.as_ref()];
        self.ready.get(&peer) != Some(&true) || !copies.into_iter().flatten().all(knows)
    }

    /// Whether `peer` said under another layout that it holds all of a copy that is to be handed
    /// over.
    fn needs_new_word(&self, env: &Env<'_>, peer: NodeId) -> bool {
        let is_old = |copy: &Copy| {
            let known = copy.peers.get(&peer);
            known.is_some_and(|known| {
                known.layout != env.view.digest && known.durable.covers(&copy.clock)
            })
        };
        let copies = [self.main.as_ref(), self.fallback.as_ref()];
        !env.view.ownership.is_next_owner(env.node, self.id)
            && copies.into_iter().flatten().any(is_old)
    }

    /// Proposes that `peer` take the whole partition from here (rule 5), if what it said of its own
    /// copy is not old: owners do not tell everybody what they have learnt since.
    fn offer(&mut self, env: &Env<'_>, out: &mut Output, peer: NodeId) {
        let Some(main) = self.main.as_mut().filter(|_| self.staged.is_none()) else {
            return;
        };
        let known = main.peers.entry(peer).or_default();
        let old_ms = 2 * env.settings.resend_after_ms + env.settings.anti_entropy_interval_ms;
        if env.now.monotonic_ms.saturating_sub(known.told_ms) > old_ms {
            out.sends.push((peer, Message::Ask(self.id, 0)));
            return;
        }
        let again = known.offered_ms.is_none_or(|at| {
            env.now.monotonic_ms.saturating_sub(at) >= env.settings.transfer_timeout_ms
        });
        if again && main.role == crate::record::Role::Main {
            known.offered_ms = Some(env.now.monotonic_ms);
            out.sends.push((peer, Message::Offer(self.id)));
        }
    }

    /// A peer's changes came in.
    ///
    /// # Errors
    /// What the disk says.
    pub fn on_delta(
        &mut self,
        env: &Env<'_>,
        out: &mut Output,
        from: NodeId,
        delta: Delta,
    ) -> Result<(), StoreError> {
        if !self.has_main() {
            self.acknowledge(env, out, from);
            return Ok(());
        }
        let keeps_log = env.other_owners(self.id).next().is_some();
        let urgent = delta.urgent;
        let main = self.main.as_mut().expect("has_main was just asked");
        match main.join(env, &mut out.redo, delta, keeps_log) {
            Ok(joined) => {
                self.counts.deltas_joined += 1;
                if keeps_log {
                    main.tell_again(env, &mut out.redo, &mut self.stint, &joined.disputed)?;
                }
                self.observe(env, joined.latest);
                self.tell.insert(from);
                if joined.fresh == 0 || !env.keeps(2) {
                    self.acknowledge(env, out, from);
                } else if urgent {
                    out.events.push(Event::SyncWanted);
                }
                self.tell_watchers(out, &joined.changed);
                Ok(())
            }
            Err(Refusal::NotCovered) => {
                self.counts.deltas_refused += 1;
                self.refuse(env, out, from);
                Ok(())
            }
            Err(Refusal::Inconsistent) => {
                out.events.push(Event::BadPeer(from));
                Ok(())
            }
            Err(Refusal::Store(error)) => Err(error),
        }
    }

    pub(super) fn tell_watchers(&self, out: &mut Output, changed: &[RowKey]) {
        if self.watched.is_empty() {
            return;
        }
        // Whoever watches a key is told of all of its rows.
        let mut told: Option<RowKey> = None;
        for row in changed {
            let key = row.with_element(b"");
            if told.as_ref() != Some(&key) && self.watched.contains(&key) {
                out.events.push(Event::Changed(self.id, key.clone()));
                told = Some(key);
            }
        }
    }

    /// A peer that is about to read `key` asks for what it lacks of it: the changes of that element
    /// (and of the groups it was changed in) if the log explains all that the peer lacks.
    ///
    /// # Errors
    /// What the disk says.
    pub fn on_pull(
        &mut self,
        env: &Env<'_>,
        actors: &ActorTable,
        known: &Clock,
        key: &RowKey,
        out: &mut Output,
    ) -> Result<Option<Delta>, StoreError> {
        if !self.has_main() {
            return Ok(None);
        }
        let main = self.main.as_mut().expect("has_main was just asked");
        let translation = main.translation(actors, &mut out.redo);
        let Ok(known) = known.translate(&translation) else {
            return Ok(None);
        };
        let missing = main.clock.minus(&known);
        if main.log.first_unexplained(&missing).is_some() {
            return Ok(None);
        }
        main.delta_of(env, &known, &missing, key).map(Some)
    }
}

/// What is to be done for a peer that may lack something.
enum Due {
    /// It lacks nothing, or not for long.
    Nothing,
    /// What it lacks is to be sent, unless it is under way.
    Changes,
    /// As before, and it is to say what has arrived of the rest: a large change takes its time, and
    /// sent once more it would take longer still.
    ChangesAndQuestion,
}

fn due(copy: &mut Copy, env: &Env<'_>, peer: NodeId) -> Due {
    let clock = &copy.clock;
    let Some(known) = copy
        .peers
        .get_mut(&peer)
        .filter(|known| known.copy.is_some())
    else {
        return Due::Nothing;
    };
    if known.durable.covers(clock) {
        known.behind_since_ms = None;
        return Due::Nothing;
    }
    let now = env.now.monotonic_ms;
    let since = *known.behind_since_ms.get_or_insert(now);
    if since != 0 && now.saturating_sub(since) < env.settings.resend_after_ms {
        return Due::Nothing;
    }
    known.behind_since_ms = Some(now.max(1));
    if since == 0 || known.durable.covers(&known.sent) {
        return Due::Changes;
    }
    known.sent_since_asked = Some(Clock::new());
    Due::ChangesAndQuestion
}

/// Sends to `peer` what it lacks of `copy`; if `only` is given, of the elements that those dots
/// changed. An element travels with all its dots that the peer lacks, by whomever (rule 6).
fn send(
    copy: &mut Copy,
    env: &Env<'_>,
    partition: crate::id::PartitionId,
    out: &mut Output,
    peer: NodeId,
    only: Option<&Clock>,
    counts: &mut super::Counts,
) -> Result<Round, StoreError> {
    let Some(known) = copy.peers.get(&peer).filter(|known| known.ready) else {
        return Ok(Round::Sent);
    };
    let known = known.known();
    let mut missing = copy.lacking(&known);
    let explained = copy.log.first_unexplained(&missing).is_none();
    if !explained && env.keeps(5) {
        return Ok(Round::Unexplained);
    }
    let mut chosen = only.map_or_else(|| missing.clone(), |only| missing.meet(only));
    for _ in 0..MESSAGES_PER_ROUND {
        if chosen.is_empty() {
            break;
        }
        let delta = copy.delta(env, &known, &chosen, &missing)?;
        let mut sent = Clock::new();
        for change in &delta.changes {
            change.dots.iter().for_each(|(dot, _)| sent.insert(*dot));
        }
        if sent.is_empty() {
            return Ok(Round::Sent);
        }
        counts.deltas_sent += 1;
        counts.elements_sent += delta.changes.len() as u64;
        missing = missing.minus(&sent);
        chosen = chosen.minus(&sent);
        copy.peers.entry(peer).or_default().note_sent(&sent);
        out.sends.push((peer, Message::Delta(partition, delta)));
    }
    Ok(if chosen.is_empty() {
        Round::Sent
    } else {
        Round::More
    })
}

impl Partition {
    /// Whether every owner in reach holds durably what the copies here have seen.
    #[must_use]
    pub fn is_told(&self, view: &crate::env::View, node: NodeId) -> bool {
        let owners = view.ownership.owners(self.id);
        [self.main.as_ref(), self.fallback.as_ref()]
            .into_iter()
            .flatten()
            .all(|copy| {
                owners
                    .iter()
                    .filter(|owner| **owner != node && view.up.contains(owner))
                    .all(|owner| {
                        copy.peers
                            .get(owner)
                            .is_none_or(|peer| peer.durable.covers(&copy.clock))
                    })
            })
    }
}
