//! A document's state as clients that are replicas themselves exchange it.
//!
//! ```text
//! {"v":1,
//!  "leaves":  [["<actor>","<counter>","<path>",kind,value,"<stamp>"], …],
//!  "context": {"<actor>":[["<first>","<last>"], …], …},
//!  "remain":  {…}}
//! ```
//!
//! Actors are 32 hex digits; counters, stamps and amounts are text, because JSON's readers take
//! numbers for floats. Kinds: 1 scalar or array, 2 the object `{}`, 3 increment and 4 folded
//! increments, both with the value `{"by":"<amount>","bases":[["<actor>","<counter>"], …]}`.
//! `remain` is there only if the state was asked for since a context: it has the form of a context,
//! and names all leaves that are left, so that what is neither new nor named is gone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::actor::Actor;
use crate::context::Seen;
use crate::limits::{
    DOCUMENT_BYTES_MAX, DOCUMENT_COUNTER_MAX, DOCUMENT_INTERVALS_DECODED_MAX,
    DOCUMENT_LEAVES_DECODED_MAX, DOCUMENT_LEAVES_MAX,
};
use crate::stamp::Stamp;
use crate::types::document_causal::{Document, DocumentError, Leaf, LeafValue};
use crate::types::document_context::{DocContext, DocDot};
use crate::types::document_json::Json;
use crate::types::document_pointer::Pointer;

/// A document's state, what is new of it, or the delta of a client replica.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Surviving leaves.
    pub leaves: BTreeMap<DocDot, Leaf>,
    /// All dots that count as seen: those of the leaves, and those that are gone.
    pub context: DocContext,
    /// Of a state since a context: the dots of all leaves that are left.
    pub remain: Option<DocContext>,
}

/// What a merge led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// Whether the state is another than before.
    pub changed: bool,
    /// What the client replica has seen for certain: its contexts and its delta.
    pub dots: DocContext,
}

impl Document {
    /// The whole state, or what one lacks who has seen `since`.
    #[must_use]
    pub fn state_since(&self, since: Option<&DocContext>) -> State {
        let is_new = |dot: &DocDot| since.is_none_or(|since| !since.contains(*dot));
        let leaves = self.leaves.iter().filter(|(dot, _)| is_new(dot));
        State {
            leaves: leaves.map(|(dot, leaf)| (*dot, leaf.clone())).collect(),
            context: self.context.clone(),
            remain: since.map(|_| self.leaves.keys().copied().collect()),
        }
    }

    /// Takes over a state, as a client replica does with what LGET STATE answers. A state since a
    /// context may only be given to one who has joined that context's state.
    pub fn absorb(&mut self, state: &State) {
        let mut other = Self {
            leaves: state.leaves.clone(),
            ..Self::new()
        };
        if let Some(remain) = &state.remain {
            for (dot, leaf) in self.leaves.iter().filter(|(dot, _)| remain.contains(**dot)) {
                other.leaves.insert(*dot, leaf.clone());
            }
        }
        other.context = state.context.clone();
        other.context.join(&state.leaves.keys().copied().collect());
        self.join(&other);
    }

    /// LMERGE: joins a client replica's delta, which is its own new leaves and the dots that it
    /// removes. Repeating it changes nothing.
    ///
    /// What the delta claims to have seen must be covered by `contexts`, or be its own: dots of
    /// the actors of its new leaves or, in a delta without any, of one actor. (A retry may come
    /// with contexts that cover its leaves by then, but not all that they replaced.)
    ///
    /// # Errors
    /// [`DocumentError::UnseenClaim`], [`DocumentError::TooOld`] for a new leaf from more than
    /// `forget_after_ms` before `now`, what a client may not sign, and what is beyond a limit.
    /// Nothing has changed then.
    pub fn merge(
        &mut self,
        delta: &State,
        contexts: &[Seen],
        now: Stamp,
        forget_after_ms: u64,
    ) -> Result<Merged, DocumentError> {
        let is_misplaced =
            |leaf: &Leaf| leaf.path.depth() == 0 && leaf.value != LeafValue::EmptyObject;
        if delta.remain.is_some() || delta.leaves.values().any(is_misplaced) {
            return Err(DocumentError::BadState);
        }
        let mut covered = DocContext::new();
        contexts.iter().for_each(|seen| covered.join(seen.dots()));
        let mut claims = delta.context.clone();
        claims.join(&delta.leaves.keys().copied().collect());
        let own = claims.minus(&covered);
        self.check_own(delta, &own, &covered)?;
        let oldest_ms = now.ms().saturating_sub(forget_after_ms);
        let is_new = |dot: &DocDot| own.contains(*dot) && !self.context.contains(*dot);
        if delta
            .leaves
            .iter()
            .any(|(dot, leaf)| is_new(dot) && leaf.stamp.ms() < oldest_ms)
        {
            return Err(DocumentError::TooOld);
        }
        own.actors().for_each(|actor| claims.mark_named(actor));
        covered
            .actors()
            .filter(|a| covered.is_named(*a))
            .for_each(|a| claims.mark_named(a));
        covered.join(&claims);
        let removes = |dot: &DocDot| claims.contains(*dot) && !delta.leaves.contains_key(dot);
        let changed = !self.context.covers(&claims) || self.leaves.keys().any(removes);
        if changed {
            self.check_growth(delta)?;
            let leaves = delta.leaves.clone();
            let last_ms = now.ms();
            self.join(&Self {
                leaves,
                context: claims,
                last_ms,
                ..Self::new()
            });
        }
        Ok(Merged {
            changed,
            dots: covered,
        })
    }

    fn check_own(
        &self,
        delta: &State,
        own: &DocContext,
        covered: &DocContext,
    ) -> Result<(), DocumentError> {
        let mut signers: BTreeSet<Actor> = delta
            .leaves
            .keys()
            .filter(|dot| own.contains(**dot))
            .map(|dot| dot.actor)
            .collect();
        if signers.is_empty() {
            signers.extend(own.actors().next());
        }
        for actor in own.actors() {
            if !signers.contains(&actor) {
                return Err(DocumentError::UnseenClaim);
            }
            self.check_named(actor, own, covered)?;
        }
        Ok(())
    }

    fn check_growth(&self, delta: &State) -> Result<(), DocumentError> {
        let new = delta
            .leaves
            .iter()
            .filter(|(dot, _)| !self.context.contains(**dot));
        let (count, bytes) = new.fold((0, 0), |(n, b), (_, leaf)| (n + 1, b + leaf.size()));
        if count > 0 && self.leaves.len() + count > DOCUMENT_LEAVES_MAX {
            return Err(DocumentError::TooManyLeaves);
        }
        if count > 0 && self.size() + bytes > DOCUMENT_BYTES_MAX {
            return Err(DocumentError::TooLarge);
        }
        Ok(())
    }
}

/// The numbers of the kinds of leaves, in JSON and in bytes; never reused.
pub(super) mod kind {
    pub(in crate::types) const JSON: u8 = 1;
    pub(in crate::types) const EMPTY_OBJECT: u8 = 2;
    pub(in crate::types) const INCREMENT: u8 = 3;
    pub(in crate::types) const FOLDED_INCREMENTS: u8 = 4;
}

impl State {
    /// The JSON form.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let leaves: Vec<Value> = self.leaves.iter().map(leaf_to_json).collect();
        let mut state = Map::new();
        state.insert("v".into(), json!(1));
        state.insert("leaves".into(), Value::Array(leaves));
        state.insert("context".into(), context_to_json(&self.context));
        if let Some(remain) = &self.remain {
            state.insert("remain".into(), context_to_json(remain));
        }
        Value::Object(state)
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// [`DocumentError::BadState`], or what a path or leaf is refused for.
    pub fn from_json(json: &Value) -> Result<Self, DocumentError> {
        if json.get("v").and_then(Value::as_u64) != Some(1) {
            return Err(DocumentError::BadState);
        }
        let entries = json.get("leaves").and_then(Value::as_array);
        let entries = entries.ok_or(DocumentError::BadState)?;
        if entries.len() > DOCUMENT_LEAVES_DECODED_MAX {
            return Err(DocumentError::TooManyLeaves);
        }
        let mut state = Self {
            context: context_from_json(json.get("context").ok_or(DocumentError::BadState)?)?,
            ..Self::default()
        };
        if let Some(remain) = json.get("remain") {
            state.remain = Some(context_from_json(remain)?);
        }
        for entry in entries {
            let (dot, leaf) = leaf_from_json(entry)?;
            state.context.insert(dot);
            if state.leaves.insert(dot, leaf).is_some() {
                return Err(DocumentError::BadState);
            }
        }
        Ok(state)
    }
}

fn leaf_to_json((dot, leaf): (&DocDot, &Leaf)) -> Value {
    let (kind, value) = match &leaf.value {
        LeafValue::Json(json) => (kind::JSON, json.value()),
        LeafValue::EmptyObject => (kind::EMPTY_OBJECT, json!({})),
        LeafValue::Increment { by, bases, folded } => {
            let bases: Vec<Value> = bases.iter().map(|base| json!(dot_texts(*base))).collect();
            let kind = if *folded {
                kind::FOLDED_INCREMENTS
            } else {
                kind::INCREMENT
            };
            (kind, json!({ "by": by.to_string(), "bases": bases }))
        }
    };
    let [actor, counter] = dot_texts(*dot);
    json!([
        actor,
        counter,
        leaf.path.as_str(),
        kind,
        value,
        leaf.stamp.0.to_string()
    ])
}

fn leaf_from_json(entry: &Value) -> Result<(DocDot, Leaf), DocumentError> {
    let parts = entry.as_array().map(Vec::as_slice);
    let Some([actor, counter, path, kind, value, stamp]) = parts else {
        return Err(DocumentError::BadState);
    };
    let dot = dot_from_json(actor, counter)?;
    let path = Pointer::parse(path.as_str().ok_or(DocumentError::BadState)?)?;
    let stamp = Stamp(number_from_json(stamp)?);
    let kind = kind.as_u64().and_then(|kind| u8::try_from(kind).ok());
    let value = match kind.ok_or(DocumentError::BadState)? {
        kind::JSON if path.depth() > 0 => LeafValue::Json(Json::from_value(value, path.depth())?),
        kind::EMPTY_OBJECT => LeafValue::EmptyObject,
        kind @ (kind::INCREMENT | kind::FOLDED_INCREMENTS) if path.depth() > 0 => {
            increment_from_json(value, kind == kind::FOLDED_INCREMENTS)?
        }
        _ => return Err(DocumentError::BadState),
    };
    Ok((dot, Leaf { stamp, path, value }))
}

fn increment_from_json(value: &Value, folded: bool) -> Result<LeafValue, DocumentError> {
    let by = value
        .get("by")
        .and_then(Value::as_str)
        .and_then(|by| by.parse::<i64>().ok());
    let listed = value
        .get("bases")
        .and_then(Value::as_array)
        .ok_or(DocumentError::BadState)?;
    let mut bases = Vec::with_capacity(listed.len());
    for base in listed {
        let Some([actor, counter]) = base.as_array().map(Vec::as_slice) else {
            return Err(DocumentError::BadState);
        };
        bases.push(dot_from_json(actor, counter)?);
    }
    bases.sort_unstable();
    bases.dedup();
    Ok(LeafValue::Increment {
        by: by.ok_or(DocumentError::BadState)?,
        bases,
        folded,
    })
}

fn context_to_json(context: &DocContext) -> Value {
    let mut actors = Map::new();
    for (actor, first, last) in context.ranges() {
        let ranges = actors.entry(actor.to_string()).or_insert_with(|| json!([]));
        if let Value::Array(ranges) = ranges {
            ranges.push(json!([first.to_string(), last.to_string()]));
        }
    }
    Value::Object(actors)
}

fn context_from_json(json: &Value) -> Result<DocContext, DocumentError> {
    let mut context = DocContext::new();
    let mut intervals = 0;
    for (actor, ranges) in json.as_object().ok_or(DocumentError::BadState)? {
        let actor = Actor::from_hex(actor).ok_or(DocumentError::BadState)?;
        for range in ranges.as_array().ok_or(DocumentError::BadState)? {
            let Some([first, last]) = range.as_array().map(Vec::as_slice) else {
                return Err(DocumentError::BadState);
            };
            let (first, last) = (number_from_json(first)?, number_from_json(last)?);
            intervals += 1;
            if intervals > DOCUMENT_INTERVALS_DECODED_MAX {
                return Err(DocumentError::TooLarge);
            }
            if first == 0 || first > last || last > DOCUMENT_COUNTER_MAX {
                return Err(DocumentError::CounterOutOfRange);
            }
            context.insert_range(actor, first, last);
        }
    }
    Ok(context)
}

fn dot_texts(dot: DocDot) -> [String; 2] {
    [dot.actor.to_string(), dot.counter.to_string()]
}

fn dot_from_json(actor: &Value, counter: &Value) -> Result<DocDot, DocumentError> {
    let actor = actor
        .as_str()
        .and_then(Actor::from_hex)
        .ok_or(DocumentError::BadState)?;
    let counter = number_from_json(counter)?;
    if counter == 0 || counter > DOCUMENT_COUNTER_MAX {
        return Err(DocumentError::CounterOutOfRange);
    }
    Ok(DocDot::new(actor, counter))
}

fn number_from_json(text: &Value) -> Result<u64, DocumentError> {
    let digits = text
        .as_str()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or(DocumentError::BadState)
}
