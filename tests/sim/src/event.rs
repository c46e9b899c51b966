//! What is going to happen at some virtual time.

use std::collections::BTreeMap;

use larder_cluster::id::NodeId;
use larder_cluster::partition::SyncPoint;
use larder_cluster::store::RedoPosition;

use crate::network::Place;

/// One process of a node: the how-many-th start on its machine.
pub type Life = u32;

/// What is going to happen.
#[derive(Debug, Clone)]
pub enum Event {
    /// A message arrives.
    Deliver {
        /// Its sender.
        from: Place,
        /// Its receiver.
        to: Place,
        /// The session it was sent in.
        session: u64,
        /// The message.
        bytes: Vec<u8>,
    },
    /// A node's timers.
    Poll {
        /// The node.
        node: Place,
        /// Its process.
        life: Life,
    },
    /// The timer of syncs.
    SyncDue {
        /// The node.
        node: Place,
        /// Its process.
        life: Life,
    },
    /// A sync is over.
    SyncDone {
        /// The node.
        node: Place,
        /// Its process.
        life: Life,
        /// What had been seen when it began.
        points: Vec<SyncPoint>,
    },
    /// A checkpoint is over.
    CheckpointDone {
        /// The node.
        node: Place,
        /// Its process.
        life: Life,
        /// The end of the redo when it began.
        end: RedoPosition,
    },
    /// Two nodes try to connect.
    Connect {
        /// One.
        a: Place,
        /// The other.
        b: Place,
    },
    /// An end learns that a session is up or over.
    End {
        /// Who learns.
        node: Place,
        /// Of the link to whom.
        peer: Place,
        /// Which session.
        session: u64,
        /// Whether it is up.
        up: bool,
    },
    /// Silence is noticed, if it still lasts.
    Detect {
        /// Who is not heard.
        from: Place,
        /// Who does not hear.
        to: Place,
    },
    /// A direction opens again.
    Heal {
        /// From here.
        from: Place,
        /// To there.
        to: Place,
    },
    /// A link is not crowded any more.
    Relax {
        /// Who sends.
        node: Place,
        /// Its process.
        life: Life,
        /// To whom.
        peer: Place,
    },
    /// A stopped node goes on.
    Resume {
        /// The node.
        node: Place,
        /// Its process.
        life: Life,
    },
    /// A crashed node starts.
    Start {
        /// The node.
        node: Place,
        /// The process that ended.
        life: Life,
    },
    /// The next nodes of a rolling restart have their turn.
    Roll {
        /// Those that are left, the next one last.
        left: Vec<Place>,
    },
    /// The operator gives up a node whose disk is lost.
    GiveUp {
        /// The node.
        node: Place,
    },
    /// A new node is told whom it replaces.
    Replace {
        /// The new node.
        new: Place,
        /// The lost one.
        old: NodeId,
    },
}

/// Events by time, and by order of their making within one.
#[derive(Debug, Default)]
pub struct Queue {
    events: BTreeMap<(u64, u64), Event>,
    made: u64,
}

impl Queue {
    /// Adds an event.
    pub fn push(&mut self, at_ms: u64, event: Event) {
        self.made += 1;
        self.events.insert((at_ms, self.made), event);
    }

    /// Takes the next event that is due at `until_ms`.
    pub fn pop(&mut self, until_ms: u64) -> Option<(u64, Event)> {
        let entry = self.events.first_entry()?;
        let (at_ms, _) = *entry.key();
        (at_ms <= until_ms).then(|| (at_ms, entry.remove()))
    }
}
