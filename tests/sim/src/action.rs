//! What clients ask for.

use larder_crdt::types::document_causal::DocDot;
use serde_json::Value;

/// The name of a key.
pub type Key = Vec<u8>;

/// A write to a document, and what its writer knew.
#[derive(Debug, Clone)]
pub struct DocumentWrite {
    /// The context that the writer hands back; empty if it read nothing.
    pub context: String,
    /// What the writer was shown with that context.
    pub shown: Value,
    /// What it wants.
    pub json: Value,
    /// The first dot of the write if the writer names its dots.
    pub named: Option<DocDot>,
}

/// One command.
#[derive(Debug, Clone)]
pub enum Action {
    /// SET, with a life if given.
    Set {
        /// The key.
        key: Key,
        /// Milliseconds.
        life_ms: Option<u64>,
    },
    /// SET NX.
    SetIfAbsent {
        /// The key.
        key: Key,
    },
    /// MULTI … EXEC of SETs and DELs in one partition.
    Group {
        /// Keys to set.
        sets: Vec<Key>,
        /// Keys to delete.
        deletes: Vec<Key>,
    },
    /// DEL.
    Delete {
        /// The key.
        key: Key,
    },
    /// INCRBY, or INCRBYFLOAT of quarters.
    Add {
        /// The key.
        key: Key,
        /// The amount in quarters; whole amounts unless `float`.
        quarters: i64,
        /// Whether this is INCRBYFLOAT.
        float: bool,
    },
    /// PEXPIRE.
    Expire {
        /// The key.
        key: Key,
        /// Milliseconds.
        life_ms: u64,
    },
    /// PERSIST.
    Persist {
        /// The key.
        key: Key,
    },
    /// GET.
    Get {
        /// The key.
        key: Key,
    },
    /// LGET.
    Read {
        /// The key.
        key: Key,
    },
    /// LPUT.
    Put {
        /// The key.
        key: Key,
        /// The write.
        write: DocumentWrite,
    },
    /// LPATCH.
    Patch {
        /// The key.
        key: Key,
        /// The write; `json` is the patch.
        write: DocumentWrite,
    },
    /// LDEL.
    Remove {
        /// The key.
        key: Key,
        /// The write; `json` is unused.
        write: DocumentWrite,
    },
    /// LINCRBY.
    AddInside {
        /// The key.
        key: Key,
        /// The path.
        path: String,
        /// The amount.
        by: i64,
        /// The dot, if the writer names it.
        named: Option<DocDot>,
    },
}

impl Action {
    /// The keys that it touches.
    #[must_use]
    pub fn keys(&self) -> Vec<&Key> {
        match self {
            Self::Group { sets, deletes } => sets.iter().chain(deletes).collect(),
            Self::Set { key, .. }
            | Self::SetIfAbsent { key }
            | Self::Delete { key }
            | Self::Add { key, .. }
            | Self::Expire { key, .. }
            | Self::Persist { key }
            | Self::Get { key }
            | Self::Read { key }
            | Self::Put { key, .. }
            | Self::Patch { key, .. }
            | Self::Remove { key, .. }
            | Self::AddInside { key, .. } => vec![key],
        }
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_read(&self) -> bool {
        matches!(self, Self::Get { .. } | Self::Read { .. })
    }

    /// Whether running it twice is the same as once, because its writer names its dots.
    #[must_use]
    pub fn is_named(&self) -> bool {
        match self {
            Self::Put { write, .. } | Self::Patch { write, .. } => write.named.is_some(),
            Self::AddInside { named, .. } => named.is_some(),
            _ => false,
        }
    }
}
