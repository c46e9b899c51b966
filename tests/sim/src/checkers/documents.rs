//! Documents hold every leaf that was written and not removed by somebody who had seen it, and no
//! other: the join of what every write had made of them.

use std::collections::BTreeMap;

use larder_crdt::types::document_causal::{DocDot, Document, Leaf};

use crate::checkers::{Finals, is_doubtful, may_be_expired, stands};
use crate::documents::joined;
use crate::history::Content;
use crate::world::World;

/// Checks all documents.
pub fn check(world: &mut World, finals: &Finals) {
    if let Some(what) = wrong(world, finals) {
        world.report("documents", what);
    }
}

/// What the writes to one document have made of it.
#[derive(Default)]
struct Expected {
    /// The join of all that stands.
    document: Document,
    /// Whether nobody can say if some write stands, or what has expired was still there.
    doubtful: bool,
    /// The states in which it was removed so that it could be forgotten.
    removed: Vec<Document>,
    /// All leaves that stood at some time.
    leaves: BTreeMap<DocDot, Leaf>,
}

impl Expected {
    fn take(&mut self, document: &Document) {
        self.document.join(document);
        if document.is_removed() && document.named_actors().next().is_none() {
            self.removed.push(document.clone());
        }
        let leaves = document.leaves().iter();
        self.leaves
            .extend(leaves.map(|(dot, leaf)| (*dot, leaf.clone())));
    }

    /// Whether a disk that went back may have brought this, whose removal all others have
    /// forgotten (see docs/consistency.md).
    fn may_be_back(&self, dot: DocDot, leaf: &Leaf) -> bool {
        let was_removed = self
            .removed
            .iter()
            .any(|document| document.context().contains(dot));
        was_removed && self.leaves.get(&dot) == Some(leaf)
    }

    fn allows(&self, found: &Document, restored: bool) -> bool {
        if !restored || self.doubtful {
            return self.doubtful || found.leaves() == self.document.leaves();
        }
        let expected = self.document.leaves();
        let mut wanted = expected.iter();
        wanted.all(|(dot, leaf)| found.leaves().get(dot) == Some(leaf))
            && found
                .leaves()
                .iter()
                .all(|(dot, leaf)| expected.contains_key(dot) || self.may_be_back(*dot, leaf))
    }
}

fn wrong(world: &World, finals: &Finals) -> Option<String> {
    let history = world.history.lock();
    let mut elements: BTreeMap<usize, Expected> = BTreeMap::new();
    for change in &history.changes {
        for inserted in &change.inserted {
            if let Content::Document(document) = &inserted.content {
                let expected = elements.entry(change.element).or_default();
                expected.doubtful |= may_be_expired(world, inserted.deadline_ms);
                if stands(world, finals, change) {
                    expected.take(document);
                } else {
                    expected.doubtful |= is_doubtful(world, finals, change);
                }
            }
        }
    }
    for (element, expected) in elements {
        let (partition, key) = &history.elements[element];
        let row = finals.get(partition).and_then(|f| f.rows.get(key));
        let found = row.map(joined).unwrap_or_default();
        if !expected.allows(&found, world.restores > 0) {
            return Some(format!(
                "{key:?} holds {:?}, but its writes make {:?}",
                found.leaves(),
                expected.document.leaves()
            ));
        }
    }
    None
}
