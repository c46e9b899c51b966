//! Replicas of one document with little ceremony.

#![allow(dead_code, reason = "each test binary uses some of it")]

use larder_crdt::context::{ContextKey, ContextSeal, Seen};
use larder_crdt::types::document_causal::{
    DocDot, Document, DocumentError, Incremented, Pointer, Signer, Written,
};
use larder_crdt::{Actor, Stamp};
use serde_json::Value;

/// The actor with this number.
pub(crate) fn actor(number: u128) -> Actor {
    Actor(number << 64 | 1)
}

/// A path that is known to be well-formed.
pub(crate) fn path(text: &str) -> Pointer {
    Pointer::parse(text).expect("tests write valid pointers")
}

/// The contexts of the key that all tests write to.
pub(crate) fn seal() -> ContextSeal {
    ContextKey::from_secret(b"the cluster's secret").for_key(b"\0list:9f1c")
}

/// One copy of the document: its state and the actor that signs there.
#[derive(Clone)]
pub(crate) struct Replica {
    pub(crate) document: Document,
    pub(crate) copy: Actor,
}

impl Replica {
    /// An empty copy that signs as `number`.
    pub(crate) fn new(number: u128) -> Self {
        Self {
            document: Document::new(),
            copy: actor(number),
        }
    }

    /// A new copy with another actor that has received `document`.
    pub(crate) fn of(number: u128, document: &Document) -> Self {
        Self {
            document: document.clone(),
            copy: actor(number),
        }
    }

    /// LGET: what a reader is shown, and its context after a trip through text.
    pub(crate) fn read(&self) -> (Option<Value>, Seen) {
        let text = seal().encode(&seal().whole(&self.document));
        (
            self.document.view(),
            seal()
                .decode(text.as_bytes())
                .expect("it was just handed out"),
        )
    }

    /// The context of a reader.
    pub(crate) fn seen(&self) -> Seen {
        self.read().1
    }

    /// LPUT at a time, signed by the node.
    pub(crate) fn put(&mut self, seen: &Seen, json: &Value, ms: u64) -> Written {
        self.try_put(seen, json, ms, None)
            .expect("the put is valid")
    }

    /// LPUT, with `AS` if `first` is given.
    pub(crate) fn try_put(
        &mut self,
        seen: &Seen,
        json: &Value,
        ms: u64,
        first: Option<DocDot>,
    ) -> Result<Written, DocumentError> {
        self.document
            .put(seen, json, Stamp::from_ms(ms), &self.signer(first))
    }

    /// LPATCH at a time, signed by the node.
    pub(crate) fn patch(&mut self, seen: &Seen, patch: &Value, ms: u64) -> Written {
        let signer = self.signer(None);
        self.document
            .patch(seen, patch, Stamp::from_ms(ms), &signer)
            .expect("the patch is valid")
    }

    /// LINCRBY at a time, signed by the node.
    pub(crate) fn increment(
        &mut self,
        at: &str,
        by: i64,
        ms: u64,
    ) -> Result<Incremented, DocumentError> {
        let signer = self.signer(None);
        self.document
            .increment(&path(at), by, &signer, Stamp::from_ms(ms))
    }

    /// Joins another replica's state.
    pub(crate) fn join(&mut self, other: &Self) {
        self.document.join(&other.document);
    }

    /// What is shown.
    pub(crate) fn view(&self) -> Option<Value> {
        self.document.view()
    }

    pub(crate) fn signer(&self, first: Option<DocDot>) -> Signer {
        match first {
            Some(first) => Signer::of_client(self.copy, first),
            None => Signer::of_copy(self.copy),
        }
    }
}

/// Exchanges everything both ways.
pub(crate) fn sync(a: &mut Replica, b: &mut Replica) {
    a.join(b);
    b.join(a);
    assert_eq!(
        a.document, b.document,
        "replicas that know the same are the same"
    );
}

/// What one who read nothing has seen.
pub(crate) fn nothing() -> Seen {
    seal().nothing()
}
