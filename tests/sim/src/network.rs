//! Links between nodes: sessions, cuts, loss, duplication, delay.
//!
//! Two nodes have at most one session at a time. Each end learns of its beginning and end in its
//! own time; a message of an old session is never delivered after a new one is up at its receiver,
//! as the server guarantees. Within a session messages may be lost, doubled and overtaken: more
//! than a stream does, except that commands and their answers are never doubled, because nothing
//! but the stream keeps a command from running twice.

use std::collections::{BTreeMap, BTreeSet};

/// A node, by its place among all that the run ever had.
pub type Place = usize;

/// What one end knows of its link.
#[derive(Debug, Clone, Copy, Default)]
pub struct End {
    /// The session that it was told of last.
    pub session: u64,
    /// Whether it was told that the session is up, and not yet that it is over.
    pub up: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Link {
    session: u64,
    up: bool,
    /// Whether an attempt to connect is under way.
    connecting: bool,
}

/// All links.
#[derive(Debug, Default)]
pub struct Network {
    links: BTreeMap<(Place, Place), Link>,
    ends: BTreeMap<(Place, Place), End>,
    cuts: BTreeSet<(Place, Place)>,
    sessions: u64,
}

fn pair(a: Place, b: Place) -> (Place, Place) {
    (a.min(b), a.max(b))
}

impl Network {
    /// What `node` knows of its link to `peer`.
    #[must_use]
    pub fn end(&self, node: Place, peer: Place) -> End {
        self.ends.get(&(node, peer)).copied().unwrap_or_default()
    }

    /// Notes what `node` was told of its link to `peer`.
    pub fn set_end(&mut self, node: Place, peer: Place, end: End) {
        self.ends.insert((node, peer), end);
    }

    /// The session that is up, if one is.
    #[must_use]
    pub fn session(&self, a: Place, b: Place) -> Option<u64> {
        self.links
            .get(&pair(a, b))
            .filter(|link| link.up)
            .map(|link| link.session)
    }

    /// Ends the session; says which it was, if one was up.
    pub fn break_link(&mut self, a: Place, b: Place) -> Option<u64> {
        let link = self.links.get_mut(&pair(a, b)).filter(|link| link.up)?;
        link.up = false;
        Some(link.session)
    }

    /// Begins to connect, unless somebody is at it; says whether it did.
    pub fn begin_connecting(&mut self, a: Place, b: Place) -> bool {
        let link = self.links.entry(pair(a, b)).or_default();
        let begins = !link.up && !link.connecting;
        link.connecting |= begins;
        begins
    }

    /// An attempt to connect failed; another may begin.
    pub fn give_up_connecting(&mut self, a: Place, b: Place) {
        self.links.entry(pair(a, b)).or_default().connecting = false;
    }

    /// An attempt to connect succeeded; gives the new session.
    pub fn connect(&mut self, a: Place, b: Place) -> u64 {
        self.sessions += 1;
        let link = Link {
            session: self.sessions,
            up: true,
            connecting: false,
        };
        self.links.insert(pair(a, b), link);
        self.sessions
    }

    /// Cuts one direction; says whether it was open.
    pub fn cut(&mut self, from: Place, to: Place) -> bool {
        self.cuts.insert((from, to))
    }

    /// Opens one direction.
    pub fn heal(&mut self, from: Place, to: Place) {
        self.cuts.remove(&(from, to));
    }

    /// Opens all directions.
    pub fn heal_all(&mut self) {
        self.cuts.clear();
    }

    /// Whether one direction is cut.
    #[must_use]
    pub fn is_cut(&self, from: Place, to: Place) -> bool {
        self.cuts.contains(&(from, to))
    }
}
