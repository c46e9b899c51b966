//! Nothing is left at rest beyond what DESIGN.md section 4 allows.

use larder_cluster::copy::Copy;
use larder_cluster::store::Store;
use larder_crdt::{Sibling, Value};

use crate::disk;

/// Checks a copy of an idle partition.
///
/// # Errors
/// What is left, to follow "the partition …".
pub fn check(copy: &Copy, store: &dyn Store) -> Result<(), String> {
    if !copy.log.is_empty() {
        return Err(format!("has {} entries left in its log", copy.log.len()));
    }
    for (key, row) in disk::rows_of(copy, store) {
        let is_reset = |s: &Sibling| matches!(&s.value, Value::Counter(c) if c.is_reset());
        if row.siblings().iter().all(is_reset) {
            return Err(format!("keeps the reset of counter {key:?}"));
        }
    }
    Ok(())
}
