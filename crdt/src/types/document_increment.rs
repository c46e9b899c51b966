//! Counters inside a document.
//!
//! An increment is a leaf tied to the leaves that it was made on. Increments on one base add up;
//! once somebody has replaced the base, those he had not seen do not count any more, because what
//! they were meant to be added to is gone: they are shown beside the value, not guessed into it.
//! Where nothing stood, the first increments stand alone, and later ones are made on them.
//!
//! An actor's increments on the same bases are folded into one leaf, or a busy counter would grow
//! without end. The trap (riak_dt issue 98): whoever removed the parts did not see the fold, and
//! would find what he removed in it. So the latest [`DOCUMENT_INCREMENTS_APART_MAX`] stay apart,
//! each under its own dot, exact under any removal; and a fold counts only while a leaf that it was
//! made on is there. Increments under dots that a client named are never folded: their content may
//! depend on nothing but the request, or a retry elsewhere would differ.

use serde_json::Number;

use crate::limits::DOCUMENT_INCREMENTS_APART_MAX;
use crate::stamp::Stamp;
use crate::types::document_causal::{Document, DocumentError, Leaf, LeafValue};
use crate::types::document_context::DocDot;
use crate::types::document_plan::Plan;
use crate::types::document_pointer::Pointer;
use crate::types::document_view::{add, is_any_left};
use crate::types::document_write::Signer;

/// What an increment led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Incremented {
    /// What is shown at the path now.
    pub value: Number,
    /// Whether anything changed; a retry changes nothing.
    pub changed: bool,
}

impl Document {
    /// Adds `by` to the number at `path`, or puts it there.
    ///
    /// # Errors
    /// [`DocumentError::NotANumber`], also for a path below a value or in an array;
    /// [`DocumentError::Overflow`]; what [`Signer`] and the limits refuse. Nothing has
    /// changed then.
    pub fn increment(
        &mut self,
        path: &Pointer,
        by: i64,
        signer: &Signer,
        stamp: Stamp,
    ) -> Result<Incremented, DocumentError> {
        let mut plan = Plan::new(self, signer, None, 1, stamp)?;
        let shown = self.number_at(path)?;
        if plan.is_retry() {
            return Ok(Incremented {
                value: shown,
                changed: false,
            });
        }
        let is_integer = shown.as_i64().is_some() || shown.as_u64().is_some();
        let total = add(&shown, i128::from(by));
        let exact = add(&total, -i128::from(by)) == shown && total.as_i64().is_some();
        if is_integer && !exact {
            return Err(DocumentError::Overflow);
        }
        let bases = self.bases_at(path);
        if signer.named.is_none() {
            self.plan_fold(&mut plan, path, &bases, stamp);
        }
        plan.write(
            0,
            path,
            LeafValue::Increment {
                by,
                bases,
                folded: false,
            },
            stamp,
        );
        plan.commit(self)?;
        Ok(Incremented {
            value: self.number_at(path)?,
            changed: true,
        })
    }

    /// The number that shows at `path`; 0 if nothing does.
    fn number_at(&self, path: &Pointer) -> Result<Number, DocumentError> {
        let Some(whole) = self.view() else {
            return if path.depth() == 0 {
                Err(DocumentError::NotANumber)
            } else {
                Ok(Number::from(0))
            };
        };
        let mut here = &whole;
        for name in path.names() {
            let members = here.as_object().ok_or(DocumentError::NotANumber)?;
            let Some(member) = members.get(&*name) else {
                return Ok(Number::from(0));
            };
            here = member;
        }
        here.as_number().cloned().ok_or(DocumentError::NotANumber)
    }

    /// What an increment at `path` is made on: the numbers there, or else the increments that stand
    /// alone.
    fn bases_at(&self, path: &Pointer) -> Vec<DocDot> {
        let here = self.leaves_at(path);
        let is_number = |leaf: &Leaf| match &leaf.value {
            LeafValue::Json(json) => json.number().is_some(),
            LeafValue::EmptyObject | LeafValue::Increment { .. } => false,
        };
        let stands_alone = |leaf: &Leaf| match &leaf.value {
            LeafValue::Increment {
                bases,
                folded: false,
                ..
            } => !is_any_left(bases, &here),
            _ => false,
        };
        let dots_where = |holds: &dyn Fn(&Leaf) -> bool| -> Vec<DocDot> {
            here.iter()
                .filter(|(_, leaf)| holds(leaf))
                .map(|(dot, _)| *dot)
                .collect()
        };
        let numbers = dots_where(&is_number);
        if numbers.is_empty() {
            dots_where(&stands_alone)
        } else {
            numbers
        }
    }

    /// Folds the older increments of the plan's actor on these bases, if there are many apart.
    fn plan_fold(&self, plan: &mut Plan, path: &Pointer, bases: &[DocDot], stamp: Stamp) {
        let mut apart = Vec::new();
        let mut sum = Some(0i64);
        let mut taken = Vec::new();
        for (dot, leaf) in self.leaves_at(path) {
            let LeafValue::Increment {
                by,
                bases: made_on,
                folded,
            } = &leaf.value
            else {
                continue;
            };
            // One that stands alone is a base of others and is never folded.
            if dot.actor != plan.actor() || made_on != bases || bases.is_empty() {
                continue;
            }
            if *folded {
                taken.push(dot);
                sum = sum.and_then(|sum| sum.checked_add(*by));
            } else {
                apart.push((dot, *by));
            }
        }
        if apart.len() < DOCUMENT_INCREMENTS_APART_MAX {
            return;
        }
        for (dot, by) in apart.iter().take(DOCUMENT_INCREMENTS_APART_MAX / 2) {
            taken.push(*dot);
            sum = sum.and_then(|sum| sum.checked_add(*by));
        }
        // A sum beyond 64 bits stays in parts.
        if let Some(by) = sum {
            let bases = bases.to_vec();
            taken.iter().for_each(|dot| plan.remove(*dot));
            plan.write_unnamed(
                path,
                LeafValue::Increment {
                    by,
                    bases,
                    folded: true,
                },
                stamp,
            );
        }
    }
}
