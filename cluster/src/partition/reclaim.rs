//! Collections whose time is over leave memory and disk by an ordinary clearing, once it is sure
//! that no owner has extended their deadline unseen (SEMANTICS.md section 5).
//!
//! ```text
//! deadline and drift have passed    the first live owner adds a sibling to the deadline's row: the
//!                                   dots of the deadlines that it has seen. Whoever has it takes
//!                                   the collection for ended, and extends nothing any more
//! that sibling's dot is settled     all owners have had it, and what they did before is here: the
//!                                   collection is cleared, unless an extension has come to light
//! ```

use larder_crdt::{Clock, Value};

use super::{Output, Partition, Target};
use crate::element::{self, Ending, Family};
use crate::env::Env;
use crate::limits::RECLAIM_RETRY_MS;
use crate::record::Role;
use crate::row_key::RowKey;
use crate::store::StoreError;

impl Partition {
    fn is_first_live_owner(&self, env: &Env<'_>) -> bool {
        let owners = env.view.ownership.preference(self.id).iter();
        let mut live = owners.filter(|owner| **owner == env.node || env.view.up.contains(owner));
        live.next() == Some(&env.node)
    }

    /// Begins to end the collections whose deadlines have come up, or looks at them later.
    pub(super) fn close_ended(
        &mut self,
        env: &Env<'_>,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let is_first = self.is_first_live_owner(env);
        let Some(main) = self.main.as_mut() else {
            return Ok(());
        };
        let acts = is_first && main.role == Role::Main && !main.handing_over;
        for key in main.rows.take_ended() {
            let main = self.main.as_mut().expect("it was there");
            let Ending::At(deadline) = element::ending(&main.rows.get(env.store, &key)?) else {
                continue;
            };
            let due_ms = deadline
                .get()
                .saturating_add(env.settings.max_clock_drift_ms);
            if env.now.unix_ms < due_ms {
                main.rows.look_again(key, due_ms);
            } else if !acts {
                let later_ms = env.now.unix_ms.saturating_add(RECLAIM_RETRY_MS);
                main.rows.look_again(key, later_ms);
            } else {
                self.edit(env, out, Target::Main, &key, None, |edit| {
                    let mut seen = Clock::new();
                    for sibling in edit.row().siblings() {
                        seen.insert(sibling.dot);
                    }
                    edit.insert(edit.stamp(), None, |_| Value::Mask(Box::new(seen)));
                })?;
            }
        }
        Ok(())
    }

    /// Clears collections that have ended for everybody.
    pub(super) fn clear_ended(
        &mut self,
        env: &Env<'_>,
        out: &mut Output,
        ended: Vec<RowKey>,
    ) -> Result<(), StoreError> {
        if !self.is_first_live_owner(env) {
            return Ok(());
        }
        for key in ended {
            let (Some(main), Some(family)) = (&self.main, Family::of(key.element())) else {
                continue;
            };
            let seen = main.clock.clone();
            let own = key.with_element(b"");
            self.clear(env, out, Target::Main, &own, None, family, seen)?;
        }
        Ok(())
    }
}
