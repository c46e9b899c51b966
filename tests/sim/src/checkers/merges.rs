//! LMERGE joins a client replica's delta: its leaves arrive once, what it has seen and dropped
//! goes, and nothing else does.

use larder_crdt::types::document_causal::{DocDot, Document, State};

/// Says what is wrong with a merge that was done, if anything is.
/// `is_new` knows the leaves that nobody can have removed before: no replica had them, and their
/// client did not drop them.
pub(crate) fn check(
    delta: &State,
    before: &Document,
    after: &Document,
    is_new: impl Fn(DocDot) -> bool,
) -> Option<String> {
    for (dot, leaf) in &delta.leaves {
        let was_seen = before.context().contains(*dot);
        match after.leaves().get(dot) {
            Some(found) if found.path != leaf.path || found.value != leaf.value => {
                return Some(format!("a merge made {leaf:?} into {found:?}"));
            }
            None if !was_seen && is_new(*dot) => return Some(format!("a merge lost {leaf:?}")),
            Some(_) if was_seen && !before.leaves().contains_key(dot) => {
                return Some(format!("a merge brought {leaf:?} back"));
            }
            _ => {}
        }
        if !after.context().contains(*dot) {
            return Some(format!("a merge forgot {dot:?}"));
        }
    }
    let is_claimed = |dot| delta.context.contains(dot) && !delta.leaves.contains_key(&dot);
    for (dot, leaf) in before.leaves() {
        let is_left = after.leaves().contains_key(dot);
        if is_claimed(*dot) && is_left {
            return Some(format!("a merge left {leaf:?}, which it was to remove"));
        }
        if !is_claimed(*dot) && !is_left {
            return Some(format!(
                "a merge removed {leaf:?}, which its client had not"
            ));
        }
    }
    let strange = after
        .leaves()
        .iter()
        .find(|(dot, _)| !before.leaves().contains_key(dot) && !delta.leaves.contains_key(dot));
    strange.map(|(_, leaf)| format!("a merge made up {leaf:?}"))
}
