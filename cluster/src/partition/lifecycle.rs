//! How copies begin and end (DESIGN.md section 4, rules 3, 4 and 9).

use super::{Event, Output, Partition};
use crate::copy::{Copy, Refusal};
use crate::env::Env;
use crate::id::NodeId;
use crate::record::Role;
use crate::store::StoreError;

impl Partition {
    /// Housekeeping of a partition, called now and then and when the view has changed: begins
    /// bootstraps, joins what is at home again, ends what was handed over, forgets what is settled.
    /// `may_fetch` says whether one more partition may be fetched.
    ///
    /// # Errors
    /// What the disk says.
    pub fn tend(
        &mut self,
        env: &Env<'_>,
        out: &mut Output,
        may_fetch: bool,
    ) -> Result<(), StoreError> {
        self.follow_ownership(env, out);
        self.tend_staged(env, out);
        self.tend_feeds(env);
        if env.is_owner(self.id) && !self.has_main() && self.staged.is_none() {
            self.seek_bootstrap(env, out, may_fetch);
        }
        if self.is_ready(env) && self.fallback.is_some() {
            self.join_fallback(env, out)?;
        }
        self.trim(env);
        self.end_what_is_handed_over(env, out);
        if self.is_ready(env) {
            self.forget_settled(env, out)?;
        }
        Ok(())
    }

    /// A copy that this node kept while others owned the partition is not whole any more: it waits
    /// for a bootstrap. (Rule 4: a returning owner is treated as a new one.)
    fn follow_ownership(&mut self, env: &Env<'_>, out: &mut Output) {
        let owner = env.is_owner(self.id);
        let Some(main) = self.main.as_mut() else {
            return;
        };
        if owner && main.handing_over {
            main.handing_over = false;
            let alone = env.other_owners(self.id).next().is_none();
            if main.role == Role::Main && !alone {
                main.role = Role::Returning;
                main.record(&mut out.redo);
                out.events.push(Event::ReadyChanged(self.id));
            }
        } else if !owner && !main.handing_over {
            main.handing_over = true;
            if main.role == Role::Returning {
                // It only ever hands over what it has; for that it is whole.
                main.role = Role::Main;
                main.record(&mut out.redo);
            }
            out.events.push(Event::ReadyChanged(self.id));
        }
    }

    /// The node has come from a cluster of its own: its copy is whole no more (rule 4), unless
    /// there is nobody else.
    pub fn arrive(&mut self, env: &Env<'_>, out: &mut Output) {
        self.ready.clear();
        if env.other_owners(self.id).next().is_none() {
            return;
        }
        let Some(mut main) = self.main.take() else {
            return;
        };
        out.events.push(Event::ReadyChanged(self.id));
        if main.clock.is_empty() {
            self.end_copy(out, &main);
            return;
        }
        if env.is_owner(self.id) {
            main.role = Role::Returning;
        } else {
            main.handing_over = true;
        }
        main.record(&mut out.redo);
        self.main = Some(main);
    }

    /// Looks for a source of a bootstrap: a ready owner; failing that, when all members have told
    /// that no owner is ready, an old owner that still has its copy; failing that, there is nothing
    /// to fetch anywhere and the copy begins empty.
    fn seek_bootstrap(&mut self, env: &Env<'_>, out: &mut Output, may_fetch: bool) {
        let has_copy = |node: &NodeId| self.ready.get(node) == Some(&true);
        let owners: Vec<NodeId> = env.other_owners(self.id).collect();
        let mut sources: Vec<NodeId> = owners
            .iter()
            .copied()
            .filter(|owner| env.view.up.contains(owner) && has_copy(owner))
            .collect();
        if sources.is_empty() {
            let others: Vec<NodeId> = env
                .view
                .layout
                .nodes()
                .map(|(member, _)| member)
                .filter(|member| *member != env.node)
                .collect();
            for member in &others {
                if env.view.up.contains(member) && !self.ready.contains_key(member) {
                    out.sends
                        .push((*member, crate::message::Message::Ask(self.id, 0)));
                }
            }
            let told =
                |member: &NodeId| env.view.up.contains(member) && self.ready.contains_key(member);
            if !others.iter().all(told) {
                return;
            }
            sources = others.into_iter().filter(has_copy).collect();
        }
        if sources.is_empty() {
            self.begin_empty(env, out);
            return;
        }
        if !may_fetch {
            return;
        }
        let source = sources[self.attempts % sources.len()];
        self.attempts += 1;
        self.begin_transfer(env, out, source);
    }

    /// Nobody has a copy: this one begins the partition.
    fn begin_empty(&mut self, env: &Env<'_>, out: &mut Output) {
        match self.main.as_mut() {
            Some(main) => {
                main.role = Role::Main;
                main.record(&mut out.redo);
            }
            None => self.main = Some(self.begin_copy(env, out, Role::Main)),
        }
        self.become_ready(env, out);
    }

    /// The main copy is whole from here on; everybody is told.
    pub(super) fn become_ready(&mut self, env: &Env<'_>, out: &mut Output) {
        out.events.push(Event::ReadyChanged(self.id));
        self.tell_everybody(env, out);
    }

    fn tell_everybody(&self, env: &Env<'_>, out: &mut Output) {
        for &member in env.view.up.iter().filter(|node| **node != env.node) {
            self.acknowledge(env, out, member);
        }
    }

    /// What this node took as a fallback comes home: its own main copy is ready again.
    pub(super) fn join_fallback(
        &mut self,
        env: &Env<'_>,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let Some(mut fallback) = self.fallback.take() else {
            return Ok(());
        };
        let keeps_log = env.other_owners(self.id).next().is_some();
        let main = self
            .main
            .as_mut()
            .expect("the caller has looked for a ready main copy");
        let delta = match fallback.whole_by_log(env) {
            Ok(delta) => delta,
            Err(error) => {
                self.fallback = Some(fallback);
                return Err(error);
            }
        };
        match main.join(env, &mut out.redo, delta, keeps_log) {
            Ok(joined) => {
                self.observe(env, joined.latest);
                self.tell_watchers(out, &joined.changed);
                self.end_copy(out, &fallback);
                self.counts.fallbacks_dropped += 1;
                Ok(())
            }
            Err(Refusal::Store(error)) => {
                self.fallback = Some(fallback);
                Err(error)
            }
            Err(Refusal::NotCovered | Refusal::Inconsistent) => {
                panic!("a fallback's copy began empty, so its log explains all of it")
            }
        }
    }

    /// Ends copies that every current owner holds durably: a fallback's, and an old owner's once
    /// all current owners are ready (rule 9).
    pub(super) fn end_what_is_handed_over(&mut self, env: &Env<'_>, out: &mut Output) {
        let owners: Vec<NodeId> = env.other_owners(self.id).collect();
        let is_owner = env.is_owner(self.id);
        let rule_kept = env.keeps(9);
        let handed_over = |copy: &Copy| {
            let mut holds = owners.iter().map(|owner| {
                let peer = copy.peers.get(owner);
                peer.is_some_and(|peer| peer.holds(&copy.clock, env.view.digest))
            });
            let all = if rule_kept {
                holds.all(|held| held)
            } else {
                holds.any(|held| held)
            };
            !owners.is_empty() && all
        };
        if self.fallback.as_ref().is_some_and(|fallback| {
            fallback.clock.is_empty() || (!is_owner && handed_over(fallback))
        }) && let Some(fallback) = self.fallback.take()
        {
            self.end_copy(out, &fallback);
            self.counts.fallbacks_dropped += 1;
        }
        if !is_owner
            && self.main.as_ref().is_some_and(handed_over)
            && let Some(main) = self.main.take()
        {
            self.end_copy(out, &main);
            self.feeds.clear();
            self.counts.mains_dropped += 1;
            out.events.push(Event::ReadyChanged(self.id));
            self.tell_everybody(env, out);
        }
    }
}
