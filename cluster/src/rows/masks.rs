//! The dots that a key's collections were cleared of, one set for each family.

use larder_crdt::{Clock, Row, Value};
use smallvec::SmallVec;

use crate::element::{Family, Role};

/// The masks of one key.
#[derive(Debug, Clone, Default)]
pub(super) struct Masks(SmallVec<[(Family, Clock); 1]>);

impl Masks {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The dots that a family was cleared of.
    pub(super) fn of(&self, family: Family) -> Option<&Clock> {
        let found = self.0.iter().find(|(other, _)| *other == family);
        found.map(|(_, clock)| clock)
    }

    /// Takes over what the row of a reset header says: the union of its siblings.
    pub(super) fn set(&mut self, family: Family, header: &Row) {
        self.0.retain(|(other, _)| *other != family);
        let mut union: Option<Clock> = None;
        for sibling in header.siblings() {
            if let Value::Mask(clock) = &sibling.value {
                union.get_or_insert_with(Clock::new).join(clock);
            }
        }
        if let Some(union) = union {
            self.0.push((family, union));
        }
    }

    /// Drops the siblings of an element that are masked; says whether there were any.
    #[inline]
    pub(super) fn apply(&self, element: &[u8], row: &mut Row) -> bool {
        if self.0.is_empty() || row.is_empty() {
            return false;
        }
        let Some(mask) = Family::of(element).and_then(|family| self.of(family)) else {
            return false;
        };
        if Role::of(element) == Some(Role::MASK) {
            return false;
        }
        let before = row.siblings().len();
        row.retain(|sibling| !mask.contains(sibling.dot));
        row.siblings().len() != before
    }
}
