//! What a copy may forget: log entries behind the watermark, and resets that are settled.

use std::collections::BTreeSet;
use std::ops::Bound;

use larder_crdt::{Clock, Dot, Row, Value, Writer};

use super::Copy;
use crate::element::{self, Ending, Family, Role};
use crate::env::Env;
use crate::id::NodeId;
use crate::limits::SETTLE_ROWS_MAX;
use crate::record;
use crate::row_key::RowKey;
use crate::store::StoreError;

impl Copy {
    /// Forgets the log entries that all `owners` hold durably (rule 2): the watermark has passed.
    pub fn trim(&mut self, owners: &[NodeId]) {
        if self.log.is_empty() {
            return;
        }
        let Some(watermark) = self.watermark(owners) else {
            return;
        };
        let passed: Vec<Dot> = self
            .log
            .iter()
            .map(|(dot, _)| dot)
            .filter(|dot| watermark.contains(*dot))
            .collect();
        for dot in &passed {
            self.log.remove(*dot);
        }
        self.changed |= !passed.is_empty();
    }

    /// What this copy and all `owners` hold durably; `None` if one of them has not told.
    #[must_use]
    pub fn watermark(&self, owners: &[NodeId]) -> Option<Clock> {
        let mut watermark = self.durable.clone();
        for owner in owners {
            let peer = self.peers.get(owner).filter(|peer| peer.copy.is_some())?;
            watermark = watermark.meet(&peer.durable);
        }
        Some(watermark)
    }

    /// Whether every one of `owners` has acknowledged a clock that this copy's own covers, and how
    /// far all of them have come (rule 8): dots in it are settled.
    #[must_use]
    pub fn settled(&self, env: &Env<'_>, owners: &[NodeId]) -> Option<Clock> {
        let watermark = self.watermark(owners)?;
        let covered = owners.iter().all(|owner| {
            self.peers
                .get(owner)
                .is_some_and(|peer| peer.ready && self.clock.covers(&peer.durable))
        });
        (covered || !env.keeps(8)).then_some(watermark)
    }

    /// The resets that may be forgotten as far as the owners tell. Each call looks at some of them,
    /// and the next one at those behind: removed documents may have to stay for long.
    ///
    /// # Errors
    /// What the disk says.
    pub fn settled_resets(
        &mut self,
        env: &Env<'_>,
        owners: &[NodeId],
    ) -> Result<BTreeSet<Dot>, StoreError> {
        let mut found = BTreeSet::new();
        if self.resets.is_empty() {
            return Ok(found);
        }
        let Some(settled) = self.settled(env, owners) else {
            return Ok(found);
        };
        let from = self.settle_after.map_or(Bound::Unbounded, Bound::Excluded);
        let some: Vec<(Dot, RowKey)> = self
            .resets
            .range((from, Bound::Unbounded))
            .take(SETTLE_ROWS_MAX)
            .map(|(dot, key)| (*dot, key.clone()))
            .collect();
        self.settle_after = some.last().map(|(dot, _)| *dot);
        for (dot, key) in some {
            if !self.is_purged(env, &key)? {
                continue;
            }
            let mut row = self.rows.get(env.store, &key)?;
            row.drop_expired(env.now.unix_ms);
            let over = || {
                Kind::ALL
                    .iter()
                    .flat_map(|kind| kind.forgettable(&row, &settled, env))
            };
            if !row.contains(dot) || over().any(|over| over == dot) {
                found.insert(dot);
            }
        }
        Ok(found)
    }

    /// Forgets those of the resets in `due` that are settled: counters that are all reset, removed
    /// documents whose time is over. This removes nothing from anybody's view and takes no dot.
    /// Gives the deadlines' rows of the collections that may be cleared, because they have ended
    /// for everybody.
    ///
    /// # Errors
    /// What the disk says.
    pub fn forget_resets(
        &mut self,
        env: &Env<'_>,
        redo: &mut Writer,
        owners: &[NodeId],
        due: &BTreeSet<Dot>,
    ) -> Result<Vec<RowKey>, StoreError> {
        let mut ended = Vec::new();
        let Some(settled) = self.settled(env, owners) else {
            return Ok(ended);
        };
        let due: Vec<(Dot, RowKey)> = self
            .resets
            .iter()
            .filter(|(dot, _)| due.contains(*dot) && settled.contains(**dot))
            .map(|(dot, key)| (*dot, key.clone()))
            .collect();
        for (dot, key) in due {
            if self.has_ended(env, dot, &key)? {
                ended.push(key);
                continue;
            }
            if self.forget_reset(env, redo, dot, &key, &settled)? {
                self.resets.remove(&dot);
                self.changed = true;
            }
        }
        Ok(ended)
    }

    /// Whether this settled dot is the word that ends a collection whose deadline nobody extended.
    fn has_ended(&mut self, env: &Env<'_>, dot: Dot, key: &RowKey) -> Result<bool, StoreError> {
        if Role::of(key.element()) != Some(Role::DEADLINE) {
            return Ok(false);
        }
        let row = self.rows.get(env.store, key)?;
        Ok(row.contains(dot) && element::ending(&row) == Ending::Closed)
    }

    /// Whether a row is no reset header that this copy still needs: what it hides is gone from the
    /// disk, and all that it hides has been seen.
    fn is_purged(&mut self, env: &Env<'_>, key: &RowKey) -> Result<bool, StoreError> {
        if !element::is_mask(key.element()) {
            return Ok(true);
        }
        if self.rows.is_purging(key) {
            return Ok(false);
        }
        let family = Family::of(key.element()).unwrap_or(Family(0));
        let mask = self.rows.mask(env.store, key, family)?;
        Ok(mask.is_none_or(|mask| self.clock.covers(&mask)))
    }

    /// Forgets the resets of one row; says whether `dot` needs no further look.
    fn forget_reset(
        &mut self,
        env: &Env<'_>,
        redo: &mut Writer,
        dot: Dot,
        key: &RowKey,
        settled: &Clock,
    ) -> Result<bool, StoreError> {
        if !self.is_purged(env, key)? {
            return Ok(false);
        }
        let slot = self.rows.slot();
        let mut done = true;
        let mut changed = false;
        self.rows.update(env.store, key, |row| {
            if !row.contains(dot) {
                return false;
            }
            // What has expired is gone everywhere, here as well: it needs no reset any more.
            changed = row.drop_expired(env.now.unix_ms);
            let over: Vec<Dot> = Kind::ALL
                .into_iter()
                .flat_map(|kind| kind.forgettable(row, settled, env))
                .collect();
            row.retain(|sibling| !over.contains(&sibling.dot));
            changed |= !over.is_empty();
            done = !row.contains(dot);
            if changed {
                record::change(redo, slot, key, &[], row);
            }
            changed
        })?;
        if changed {
            self.note_change(key, &[], false);
            self.document_stint = None;
        }
        Ok(done)
    }
}

/// The types that have resets. A reset may be forgotten only if no sibling stays whose content it
/// has reset. (It must not wait for siblings that it has nothing to do with: another owner may have
/// forgotten it before those came, and the two would differ for ever.)
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Document,
    Mask,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Counter, Self::Document, Self::Mask];

    fn is_of(self, value: &Value) -> bool {
        match self {
            Self::Counter => matches!(value, Value::Counter(_)),
            Self::Document => matches!(value, Value::Document(_)),
            Self::Mask => matches!(value, Value::Mask(_)),
        }
    }

    /// The resets of a row that may be forgotten.
    fn forgettable(self, row: &Row, settled: &Clock, env: &Env<'_>) -> Vec<Dot> {
        let of_kind = || {
            row.siblings()
                .iter()
                .filter(|sibling| self.is_of(&sibling.value))
        };
        let mut going: Vec<Dot> = of_kind()
            .filter(|sibling| is_over(&sibling.value, env) && settled.contains(sibling.dot))
            .map(|sibling| sibling.dot)
            .collect();
        loop {
            let before = going.len();
            let stays: Vec<&Value> = of_kind()
                .filter(|sibling| !going.contains(&sibling.dot))
                .map(|sibling| &sibling.value)
                .collect();
            going.retain(|dot| {
                let reset = of_kind().find(|sibling| sibling.dot == *dot);
                reset.is_some_and(|reset| !stays.iter().any(|value| needs(value, &reset.value)))
            });
            if going.len() == before {
                return going;
            }
        }
    }
}

/// Whether a value is a reset that need not be kept for its own sake.
fn is_over(value: &Value, env: &Env<'_>) -> bool {
    let kept_until = match value {
        Value::Document(document) => document.kept_until(env.settings.document_forget_after_ms),
        Value::Register(_)
        | Value::Counter(_)
        | Value::Score(_)
        | Value::HyperLogLog(_)
        | Value::Mask(_) => None,
    };
    value.is_reset() && kept_until.is_none_or(|until| until <= env.now.unix_ms)
}

/// Whether a sibling holds something that `reset` has reset.
fn needs(sibling: &Value, reset: &Value) -> bool {
    match (sibling, reset) {
        (Value::Counter(counter), Value::Counter(reset)) => reset
            .births()
            .any(|birth| counter.births().any(|other| other == birth)),
        (Value::Document(document), Value::Document(reset)) => {
            let mut joined = (**document).clone();
            joined.join(reset);
            joined.leaves() != document.leaves()
        }
        _ => false,
    }
}
