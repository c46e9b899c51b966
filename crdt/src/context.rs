//! Context tokens: what a reader of a document had seen, as opaque text.
//!
//! Think of the counterfoil of a ticket: the reader cannot read it and need not, but has to show it
//! to change something, and only the cluster can have made it. It says which dots the reader had
//! seen, and holds a keyed 32-bit fingerprint of every (path, leaf) that was handed out. Dots alone
//! could not tell "left as it was" from "written again" once somebody else has replaced the leaf.
//!
//! ```text
//! token       base64url of: version (1)  dots  shown  amended  tag (16 bytes)
//! dots        a document's context, see document_context.rs
//! shown       count, then the fingerprints in order, 4 bytes each
//! amended     count, then what patches changed since, oldest first:
//!             fingerprint of the path (4)  0 removed | 1 written, fingerprint (4) | 2 an object
//! tag         HMAC-SHA256 over the key's identity and all before, cut to 16 bytes
//! ```
//!
//! Equal contents give equal tokens. A changed leaf whose fingerprint happens to be one of the `n`
//! that were shown would be taken as unchanged: that is a chance of `n` in 2^32 per changed leaf,
//! and nobody without the secret can look for one.
//!
//! What is handed out is the merged view. Of concurrent leaves only the one that shows gets a
//! fingerprint, so that writing one of the others is a change, and settles the conflict.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

use crate::codec::{DecodeError, Reader, Writer};
use crate::limits::{CONTEXT_AMENDED_MAX, CONTEXT_TEXT_BYTES_MAX, DOCUMENT_LEAVES_DECODED_MAX};
use crate::types::document_causal::{Document, LeafValue, Pointer, leaves_of};
use crate::types::document_context::DocContext;
use crate::types::document_json::Edit;

const VERSION: u8 = 1;
const TAG_BYTES: usize = 16;

/// Why a context was refused. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadContext {
    /// More than [`CONTEXT_TEXT_BYTES_MAX`].
    #[error("the context is longer than any that is handed out")]
    TooLong,
    /// Not base64url, or cut off.
    #[error("the context is not whole")]
    Malformed,
    /// Made for another key, by another cluster, or by hand.
    #[error("the context was not handed out for this key by this cluster")]
    NotAuthentic,
    /// Made by a newer release.
    #[error("the context is of a version that this node does not know")]
    UnknownVersion,
}

/// The cluster's key for contexts, derived from its secret.
#[derive(Clone)]
pub struct ContextKey {
    tag: Hmac<Sha256>,
    fingerprint: Hmac<Sha256>,
}

impl ContextKey {
    /// Derives the key from the cluster's secret.
    #[must_use]
    pub fn from_secret(secret: &[u8]) -> Self {
        let derive = |purpose: &[u8]| {
            let mut mac = keyed(secret);
            mac.update(purpose);
            keyed(&mac.finalize().into_bytes())
        };
        Self {
            tag: derive(b"larder context 1 tag"),
            fingerprint: derive(b"larder context 1 fingerprint"),
        }
    }

    /// What makes and reads the contexts of one key; `key_id` is its database number and name.
    #[must_use]
    pub fn for_key(&self, key_id: &[u8]) -> ContextSeal {
        let bound = |mac: &Hmac<Sha256>| {
            let mut mac = mac.clone();
            update_framed(&mut mac, key_id);
            mac
        };
        ContextSeal {
            tag: bound(&self.tag),
            fingerprints: Fingerprints {
                mac: bound(&self.fingerprint),
            },
        }
    }
}

impl fmt::Debug for ContextKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContextKey")
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// Adds bytes behind their length, so that no two sequences of fields run together alike.
fn update_framed(mac: &mut Hmac<Sha256>, bytes: &[u8]) {
    mac.update(&(bytes.len() as u64).to_be_bytes());
    mac.update(bytes);
}

/// Makes and reads the contexts of one key.
#[derive(Clone)]
pub struct ContextSeal {
    tag: Hmac<Sha256>,
    fingerprints: Fingerprints,
}

impl ContextSeal {
    /// What one who read nothing has seen.
    #[must_use]
    pub fn nothing(&self) -> Seen {
        Seen {
            dots: DocContext::new(),
            shown: Vec::new(),
            amended: Vec::new(),
            fingerprints: self.fingerprints.clone(),
        }
    }

    /// What a replica has seen that knows these dots; no values were handed out.
    #[must_use]
    pub fn dots(&self, dots: DocContext) -> Seen {
        Seen {
            dots,
            ..self.nothing()
        }
    }

    /// What the reader of a whole document has seen.
    #[must_use]
    pub fn whole(&self, document: &Document) -> Seen {
        let mut seen = self.nothing();
        seen.dots = document.context().clone();
        seen.show(document, &Pointer::root());
        seen
    }

    /// What the reader of the part at `path` has seen: only what is there, so that writing with
    /// this context cannot remove anything elsewhere. A part of an array shows its leaf.
    #[must_use]
    pub fn part(&self, document: &Document, path: &Pointer) -> Seen {
        if *path == Pointer::root() {
            return self.whole(document);
        }
        let mut seen = self.nothing();
        for (dot, leaf) in document.leaves() {
            let is_array_around =
                matches!(leaf.value, LeafValue::Json(_)) && path.is_within(&leaf.path);
            if leaf.path.is_within(path) || is_array_around {
                seen.dots.insert(*dot);
                if document.context().is_named(dot.actor) {
                    seen.dots.mark_named(dot.actor);
                }
            }
        }
        seen.show(document, path);
        seen
    }

    /// The token of what was seen.
    #[must_use]
    pub fn encode(&self, seen: &Seen) -> String {
        let mut writer = Writer::new();
        writer.u8(VERSION);
        seen.dots.encode(&mut writer);
        writer.length(seen.shown.len());
        for fingerprint in &seen.shown {
            writer.u32_be(*fingerprint);
        }
        writer.length(seen.amended.len());
        for amendment in &seen.amended {
            writer.u32_be(amendment.path);
            match amendment.change {
                Change::Removed => writer.u8(0),
                Change::Written(fingerprint) => {
                    writer.u8(1);
                    writer.u32_be(fingerprint);
                }
                Change::Object => writer.u8(2),
            }
        }
        let mut mac = self.tag.clone();
        mac.update(writer.as_slice());
        let tag = mac.finalize().into_bytes();
        writer.raw(
            tag.first_chunk::<TAG_BYTES>()
                .expect("SHA-256 gives 32 bytes"),
        );
        URL_SAFE_NO_PAD.encode(writer.as_slice())
    }

    /// Reads a token; the empty text says that the writer saw nothing.
    ///
    /// # Errors
    /// [`BadContext`] for what was not handed out for this key.
    pub fn decode(&self, text: &[u8]) -> Result<Seen, BadContext> {
        if text.is_empty() {
            return Ok(self.nothing());
        }
        if text.len() > CONTEXT_TEXT_BYTES_MAX {
            return Err(BadContext::TooLong);
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| BadContext::Malformed)?;
        let (body, tag) = bytes
            .split_last_chunk::<TAG_BYTES>()
            .ok_or(BadContext::Malformed)?;
        let mut mac = self.tag.clone();
        mac.update(body);
        mac.verify_truncated_left(tag)
            .map_err(|_| BadContext::NotAuthentic)?;
        match self.decode_body(body) {
            Ok(seen) => Ok(seen),
            Err(DecodeError::UnknownTag) => Err(BadContext::UnknownVersion),
            Err(_) => Err(BadContext::Malformed),
        }
    }

    fn decode_body(&self, body: &[u8]) -> Result<Seen, DecodeError> {
        let mut reader = Reader::new(body);
        if reader.u8()? != VERSION {
            return Err(DecodeError::UnknownTag);
        }
        let mut seen = self.nothing();
        seen.dots = DocContext::decode(&mut reader)?;
        for _ in 0..reader.count(DOCUMENT_LEAVES_DECODED_MAX)? {
            seen.shown.push(reader.u32_be()?);
        }
        if !seen.shown.is_sorted() {
            return Err(DecodeError::Inconsistent);
        }
        for _ in 0..reader.count(CONTEXT_AMENDED_MAX)? {
            let path = reader.u32_be()?;
            let change = match reader.u8()? {
                0 => Change::Removed,
                1 => Change::Written(reader.u32_be()?),
                2 => Change::Object,
                _ => return Err(DecodeError::UnknownTag),
            };
            seen.amended.push(Amendment { path, change });
        }
        reader.finish()?;
        Ok(seen)
    }
}

impl fmt::Debug for ContextSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContextSeal")
    }
}

/// Fingerprints of one key's paths and leaves.
#[derive(Clone)]
struct Fingerprints {
    mac: Hmac<Sha256>,
}

impl Fingerprints {
    fn path(&self, path: &str) -> u32 {
        self.finish(path, b"")
    }

    fn leaf(&self, path: &Pointer, value: &LeafValue) -> Option<u32> {
        match value {
            LeafValue::EmptyObject => Some(self.finish(path.as_str(), b"{}")),
            LeafValue::Json(json) => Some(self.finish(path.as_str(), json.as_str().as_bytes())),
            LeafValue::Increment { .. } => None,
        }
    }

    fn finish(&self, path: &str, value: &[u8]) -> u32 {
        let mut mac = self.mac.clone();
        update_framed(&mut mac, path.as_bytes());
        mac.update(value);
        let bytes = mac.finalize().into_bytes();
        u32::from_be_bytes(*bytes.first_chunk().expect("SHA-256 gives 32 bytes"))
    }
}

/// What a patch did at a path after the document had been shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Amendment {
    path: u32,
    change: Change,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// Nothing is left at and below the path.
    Removed,
    /// The leaf with this fingerprint was written, and is alone at and below the path.
    Written(u32),
    /// An object was wanted there: no value is left at the path itself.
    Object,
}

/// What a writer had seen of one document.
#[derive(Clone)]
pub struct Seen {
    dots: DocContext,
    /// Sorted, so that equal contents give equal tokens.
    shown: Vec<u32>,
    /// Oldest first.
    amended: Vec<Amendment>,
    fingerprints: Fingerprints,
}

impl Seen {
    /// The dots that were seen.
    #[must_use]
    pub fn dots(&self) -> &DocContext {
        &self.dots
    }

    /// Whether the writer knows this very value at this path: it was handed out, or the writer put
    /// it there.
    #[must_use]
    pub fn was_shown(&self, path: &Pointer, value: &LeafValue) -> bool {
        let fingerprint = self.fingerprints.leaf(path, value);
        fingerprint.is_some_and(|fingerprint| self.knows(path, fingerprint))
    }

    fn knows(&self, path: &Pointer, fingerprint: u32) -> bool {
        if self.amended.is_empty() {
            return self.shown.binary_search(&fingerprint).is_ok();
        }
        let is_any = |_: Change| true;
        let clears_below = |change: Change| change != Change::Object;
        let own = self.latest_amendment(path.as_str(), is_any);
        let above = path
            .above()
            .filter_map(|path| self.latest_amendment(path, clears_below));
        match own.into_iter().chain(above).max_by_key(|(at, _)| *at) {
            None => self.shown.binary_search(&fingerprint).is_ok(),
            latest if latest == own => own.is_some_and(|own| own.1 == Change::Written(fingerprint)),
            // A later patch replaced or removed what is above, and this with it.
            Some(_) => false,
        }
    }

    fn latest_amendment(
        &self,
        path: &str,
        wanted: impl Fn(Change) -> bool,
    ) -> Option<(usize, Change)> {
        let path = self.fingerprints.path(path);
        let found = self
            .amended
            .iter()
            .rposition(|a| a.path == path && wanted(a.change))?;
        self.amended
            .get(found)
            .map(|amendment| (found, amendment.change))
    }

    /// Adds dots that were seen.
    pub(crate) fn add_dots(&mut self, dots: &DocContext) {
        self.dots.join(dots);
    }

    /// Takes note of all leaves that show at and below `path`.
    fn show(&mut self, document: &Document, path: &Pointer) {
        let Some(view) = document.view() else { return };
        let leaves = leaves_of(&view, usize::MAX)
            .expect("what is shown is an object within the limits of its leaves");
        let shown = leaves.iter().filter(|(at, _)| at.is_within(path));
        self.shown = shown
            .filter_map(|(at, value)| self.fingerprints.leaf(at, value))
            .collect();
        self.shown.sort_unstable();
    }

    /// Which leaves of a whole document its writer left as they were, and what it knows after the
    /// write: its own JSON, and of dots what it knew before.
    pub(crate) fn compare(&self, leaves: &[(Pointer, LeafValue)]) -> (Vec<bool>, Self) {
        let mut after = Self {
            shown: Vec::new(),
            amended: Vec::new(),
            ..self.clone()
        };
        let mut unchanged = Vec::with_capacity(leaves.len());
        for (path, value) in leaves {
            let fingerprint = self.fingerprints.leaf(path, value);
            unchanged.push(fingerprint.is_some_and(|fingerprint| self.knows(path, fingerprint)));
            after.shown.extend(fingerprint);
        }
        after.shown.sort_unstable();
        (unchanged, after)
    }

    /// What the writer of a patch knows. The fingerprints do not tell what was at a path, so those
    /// of old values stay, and the amendments overrule them. After too many of them it knows no
    /// values at all: a later put then writes all it holds.
    pub(crate) fn after_patch(&self, edits: &[Edit]) -> Self {
        let mut after = self.clone();
        // A document is an object anyway, so that only matters to who knows it as an empty one.
        let was_empty = self.was_shown(&Pointer::root(), &LeafValue::EmptyObject);
        for (path, value) in edits {
            if value.is_some() {
                let objects = path.above().filter(|above| was_empty || !above.is_empty());
                objects.for_each(|above| after.amend(above, Change::Object));
            }
            let change = match value {
                None => Change::Removed,
                Some(LeafValue::EmptyObject) => Change::Object,
                Some(value) => self
                    .fingerprints
                    .leaf(path, value)
                    .map_or(Change::Removed, Change::Written),
            };
            after.amend(path.as_str(), change);
        }
        if after.amended.len() > CONTEXT_AMENDED_MAX {
            after.shown.clear();
            after.amended.clear();
        }
        after
    }

    fn amend(&mut self, path: &str, change: Change) {
        let path = self.fingerprints.path(path);
        // An object leaves what is below alone, so it does not take the place of what cleared it.
        self.amended.retain(|older| {
            older.path != path || (change == Change::Object && older.change != Change::Object)
        });
        self.amended.push(Amendment { path, change });
    }

    /// What the writer of a removal knows: that nothing is left of what it had seen.
    pub(crate) fn after_remove(&self) -> Self {
        Self {
            shown: Vec::new(),
            amended: Vec::new(),
            ..self.clone()
        }
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leaves = self.shown.len();
        write!(
            f,
            "Seen({:?}, {leaves} leaves, {} amended)",
            self.dots,
            self.amended.len()
        )
    }
}
