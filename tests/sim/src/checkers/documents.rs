//! Documents hold every leaf that was written and not removed by somebody who had seen it, and no
//! other: the join of what every write had made of them.

use std::collections::BTreeMap;

use larder_crdt::types::document_causal::Document;

use crate::checkers::{Finals, is_doubtful, stands};
use crate::documents::joined;
use crate::history::Content;
use crate::world::World;

/// Checks all documents.
pub fn check(world: &mut World, finals: &Finals) {
    if let Some(what) = wrong(world, finals) {
        world.report("documents", what);
    }
}

fn wrong(world: &World, finals: &Finals) -> Option<String> {
    if world.restores > 0 {
        // As with counters: what all others have forgotten may come back with an old disk.
        return None;
    }
    let history = world.history.lock();
    let mut expected: BTreeMap<usize, (Document, bool)> = BTreeMap::new();
    for change in &history.changes {
        for inserted in &change.inserted {
            if let Content::Document(document) = &inserted.content {
                let (whole, certain) = expected
                    .entry(change.element)
                    .or_insert((Document::new(), true));
                if stands(world, finals, change) {
                    whole.join(document);
                } else {
                    *certain &= !is_doubtful(world, finals, change);
                }
            }
        }
    }
    for (element, (document, certain)) in expected {
        let (partition, key) = &history.elements[element];
        let row = finals.get(partition).and_then(|f| f.rows.get(key));
        let found = row.map(joined).unwrap_or_default();
        if certain && found.leaves() != document.leaves() {
            return Some(format!(
                "{key:?} holds {:?}, but its writes make {:?}",
                found.leaves(),
                document.leaves()
            ));
        }
    }
    None
}
