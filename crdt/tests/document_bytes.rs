//! The bytes of documents and contexts: they survive the round trip, hostile ones do no harm, and
//! every limit is reached.

mod document_support;

use document_support::{Replica, actor, nothing, path, seal, sync};
use larder_crdt::context::{BadContext, ContextKey};
use larder_crdt::limits::{
    CONTEXT_AMENDED_MAX, CONTEXT_TEXT_BYTES_MAX, DOCUMENT_BYTES_MAX, DOCUMENT_COUNTER_MAX,
    DOCUMENT_DEPTH_MAX, DOCUMENT_GAP_MAX, DOCUMENT_INTERVALS_DECODED_MAX, DOCUMENT_INTERVALS_MAX,
    DOCUMENT_LEAVES_DECODED_MAX, DOCUMENT_LEAVES_MAX, DOCUMENT_MASKS_MAX, DOCUMENT_SIBLINGS_MAX,
};
use larder_crdt::types::document_causal::{
    DocContext, DocDot, Document, DocumentError, Signer, State, parse_json,
};
use larder_crdt::{Actor, DecodeError, Reader, Stamp, Writer};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn bytes_of(document: &Document) -> Vec<u8> {
    let mut writer = Writer::new();
    document.encode(&mut writer);
    writer.into_vec()
}

fn decode(bytes: &[u8]) -> Result<Document, DecodeError> {
    let mut reader = Reader::new(bytes);
    let document = Document::decode(&mut reader)?;
    reader.finish()?;
    Ok(document)
}

/// A document with every kind of leaf, a gap, a client's actor, siblings and a mask.
fn rich() -> Document {
    let mut one = Replica::new(1);
    let json = json!({"a": {"b": [1, {"c": null}], "~/": "text"}, "n": 0, "e": {}});
    one.put(&nothing(), &json, 1);
    for _ in 0..20 {
        one.increment("/n", 2, 2).expect("a number");
    }
    let mut two = Replica::new(2);
    let first = DocDot::new(actor(100), 5);
    two.try_put(&nothing(), &json!({"n": 7, "o": {}}), 3, Some(first))
        .expect("a small gap");
    let mut ahead = Replica::of(3, &one.document);
    ahead.patch(&two.seen(), &json!({"o": null}), 4);
    let mut three = Replica::new(4);
    three.put(&nothing(), &json!({"n": 1.5}), 5);
    ahead.join(&three);
    ahead.document
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|float| json!(float)),
        any::<String>().prop_map(Value::from),
    ];
    let tree = leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    prop::collection::btree_map(any::<String>(), tree, 0..5)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_object_survives_put_bytes_and_state(first in any_json(), second in any_json()) {
        let mut node = Replica::new(1);
        node.put(&nothing(), &first, 1);
        let mut other = Replica::new(2);
        other.put(&nothing(), &second, 2);
        node.join(&other);
        let bytes = bytes_of(&node.document);
        let decoded = decode(&bytes);
        prop_assert_eq!(decoded.as_ref(), Ok(&node.document));
        prop_assert_eq!(bytes_of(&decoded.expect("it was just compared")), bytes);
        let state = node.document.state_since(None);
        let text = state.to_json().to_string();
        let parsed = State::from_json(&parse_json(text.as_bytes()).expect("JSON"));
        prop_assert_eq!(parsed.as_ref(), Ok(&state));
        // What was read and put back is left as it was, through text as well.
        let (view, seen) = node.read();
        let text = view.expect("two objects").to_string();
        let back = parse_json(text.as_bytes()).expect("JSON");
        prop_assert!(!node.put(&seen, &back, 3).written.iter().any(|_| true));
    }

    #[test]
    fn garbage_is_refused_or_decodes_to_what_encodes_the_same(
        mut bytes in Just(bytes_of(&rich())),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(document) = decode(&bytes) {
            prop_assert_eq!(decode(&bytes_of(&document)), Ok(document.clone()));
            let _ = (document.view(), document.siblings(), document.state_since(None).to_json());
            let mut joined = rich();
            joined.join(&document);
            let _ = joined.view();
        }
    }

    #[test]
    fn noise_does_no_harm(bytes: Vec<u8>, text: String) {
        let _ = decode(&bytes);
        let mut versioned = vec![1];
        versioned.extend(&bytes);
        let _ = decode(&versioned);
        let _ = DocContext::decode(&mut Reader::new(&bytes));
        prop_assert!(seal().decode(&bytes).is_err() || bytes.is_empty());
        prop_assert!(seal().decode(text.as_bytes()).is_err() || text.is_empty());
    }

    #[test]
    fn sets_of_dots_behave_as_sets(
        left in prop::collection::btree_set((0..3u128, 1..40u64), 0..30),
        right in prop::collection::btree_set((0..3u128, 1..40u64), 0..30),
    ) {
        let context = |set: &std::collections::BTreeSet<(u128, u64)>| -> DocContext {
            set.iter().map(|(a, c)| DocDot::new(actor(*a), *c)).collect()
        };
        let (a, b) = (context(&left), context(&right));
        let mut joined = a.clone();
        joined.join(&b);
        prop_assert_eq!(&joined, &context(&left.union(&right).copied().collect()));
        prop_assert_eq!(a.minus(&b), context(&left.difference(&right).copied().collect()));
        prop_assert_eq!(a.covers(&b), left.is_superset(&right));
        for number in 0..3u128 {
            for counter in 1..40u64 {
                let dot = DocDot::new(actor(number), counter);
                prop_assert_eq!(a.contains(dot), left.contains(&(number, counter)));
            }
            let mine: Vec<u64> = left.iter().filter(|d| d.0 == number).map(|d| d.1).collect();
            let highest = mine.iter().copied().max().unwrap_or(0);
            prop_assert_eq!(a.highest(actor(number)), highest);
            prop_assert_eq!(a.missing(actor(number)), highest - mine.len() as u64);
        }
        let mut writer = Writer::new();
        joined.encode(&mut writer);
        let bytes = writer.into_vec();
        prop_assert_eq!(DocContext::decode(&mut Reader::new(&bytes)), Ok(joined));
    }
}

#[test]
fn a_rich_document_survives_the_round_trip() {
    let document = rich();
    assert_eq!(decode(&bytes_of(&document)), Ok(document));
}

#[test]
fn bytes_that_contradict_themselves_are_refused() {
    let plain = |leaves: &dyn Fn(&mut Writer)| {
        let mut writer = Writer::new();
        writer.u8(1);
        writer.varint(0);
        let mut context = DocContext::new();
        context.insert_range(actor(1), 1, 3);
        context.encode(&mut writer);
        leaves(&mut writer);
        decode(writer.as_slice())
    };
    let leaf = |writer: &mut Writer, place: usize, counter: u64, path: &str, json: &str| {
        writer.length(place);
        writer.varint(counter);
        writer.u64_be(7);
        writer.bytes(path.as_bytes());
        writer.u8(1);
        writer.bytes(json.as_bytes());
    };
    type Case = (usize, u64, &'static str, &'static str, Option<DecodeError>);
    let cases: [Case; 9] = [
        (0, 1, "/a", "1", None),
        (1, 1, "/a", "1", Some(DecodeError::Inconsistent)),
        (0, 4, "/a", "1", Some(DecodeError::Inconsistent)),
        (0, 0, "/a", "1", Some(DecodeError::Inconsistent)),
        (0, 1, "a", "1", Some(DecodeError::Inconsistent)),
        (0, 1, "", "1", Some(DecodeError::Inconsistent)),
        (0, 1, "/a", "1.0", Some(DecodeError::Inconsistent)),
        (0, 1, "/a", "{}", Some(DecodeError::Inconsistent)),
        (0, 1, "/a", "[ ]", Some(DecodeError::Inconsistent)),
    ];
    for (place, counter, at, json, error) in cases {
        let decoded = plain(&|writer| {
            writer.length(1);
            leaf(writer, place, counter, at, json);
            writer.length(0);
        });
        assert_eq!(decoded.err(), error, "{place} {counter} {at} {json}");
    }
    let twice = plain(&|writer| {
        writer.length(2);
        leaf(writer, 0, 1, "/a", "1");
        leaf(writer, 0, 1, "/a", "1");
        writer.length(0);
    });
    assert_eq!(twice, Err(DecodeError::Inconsistent));
    assert_eq!(decode(&[2]), Err(DecodeError::UnknownTag));
}

#[test]
fn lying_counts_and_deep_values_are_refused_without_harm() {
    let mut writer = Writer::new();
    writer.u8(1);
    writer.varint(0);
    writer.length(DOCUMENT_INTERVALS_DECODED_MAX + 1);
    assert_eq!(decode(writer.as_slice()), Err(DecodeError::OverLimit));

    let mut writer = Writer::new();
    writer.u8(1);
    writer.varint(0);
    writer.length(1);
    writer.u128_be(1);
    writer.length((DOCUMENT_INTERVALS_DECODED_MAX + 1) << 1);
    assert_eq!(decode(writer.as_slice()), Err(DecodeError::OverLimit));

    let mut writer = Writer::new();
    writer.u8(1);
    writer.varint(0);
    writer.length(1);
    writer.u128_be(1);
    writer.length(1 << 1);
    writer.varint(DOCUMENT_COUNTER_MAX + 1);
    writer.varint(0);
    assert_eq!(decode(writer.as_slice()), Err(DecodeError::OverLimit));

    let mut writer = Writer::new();
    writer.u8(1);
    writer.varint(0);
    DocContext::new().encode(&mut writer);
    writer.length(DOCUMENT_LEAVES_DECODED_MAX + 1);
    assert_eq!(decode(writer.as_slice()), Err(DecodeError::OverLimit));

    let mut writer = Writer::new();
    writer.u8(1);
    writer.varint(0);
    let context: DocContext = [DocDot::new(actor(1), 1)].into_iter().collect();
    context.encode(&mut writer);
    writer.length(1);
    writer.length(0);
    writer.varint(1);
    writer.u64_be(0);
    writer.bytes(b"/a");
    writer.u8(1);
    writer.bytes("[".repeat(1 << 20).as_bytes());
    assert_eq!(decode(writer.as_slice()), Err(DecodeError::Inconsistent));
}

#[test]
fn a_document_takes_so_many_leaves_and_bytes_and_no_more() {
    let object = |count: usize| -> Value {
        let members: Map<String, Value> = (0..count).map(|n| (n.to_string(), json!(1))).collect();
        Value::Object(members)
    };
    let mut node = Replica::new(1);
    node.put(&nothing(), &object(DOCUMENT_LEAVES_MAX), 1);
    let before = node.document.clone();
    let signer = Signer::of_copy(actor(1));
    let at = Stamp::from_ms(2);
    let one_more = node.document.put(&nothing(), &json!({"x": 1}), at, &signer);
    assert_eq!(one_more.map(|_| ()), Err(DocumentError::TooManyLeaves));
    let too_many = Document::new().put(&nothing(), &object(DOCUMENT_LEAVES_MAX + 1), at, &signer);
    assert_eq!(too_many.map(|_| ()), Err(DocumentError::TooManyLeaves));
    let mut delta = Replica::new(50);
    delta.put(&nothing(), &json!({"x": 1}), 2);
    let merged = node
        .document
        .merge(&delta.document.state_since(None), &[], at, 1_000_000);
    assert_eq!(merged, Err(DocumentError::TooManyLeaves));
    assert_eq!(node.document, before);
    // A join goes beyond, and what is beyond may still shrink.
    node.join(&delta);
    let seen = node.seen();
    node.patch(&seen, &json!({"0": null}), 3);
    assert_eq!(node.document.leaves().len(), DOCUMENT_LEAVES_MAX);

    let half = "x".repeat(DOCUMENT_BYTES_MAX / 2);
    let mut node = Replica::new(1);
    node.put(&nothing(), &json!({ "a": half }), 1);
    let refused = node
        .document
        .put(&nothing(), &json!({ "b": half }), at, &signer);
    assert_eq!(refused.map(|_| ()), Err(DocumentError::TooLarge));
}

#[test]
fn writers_who_never_read_are_stopped_at_so_many_siblings() {
    let mut node = Replica::new(1);
    for round in 0..DOCUMENT_SIBLINGS_MAX as u64 {
        node.put(&nothing(), &json!({ "a": round }), round);
    }
    let refused = node.try_put(&nothing(), &json!({"a": 1}), 1, None);
    assert_eq!(refused.map(|_| ()), Err(DocumentError::TooManySiblings));
    node.put(&node.seen(), &json!({"a": 1}), 1);
    assert_eq!(node.document.leaves().len(), 1);
}

#[test]
fn a_client_may_leave_out_so_many_counters() {
    let client = actor(100);
    let json = json!({"a": 1});
    for (gap, allowed) in [(DOCUMENT_GAP_MAX, true), (DOCUMENT_GAP_MAX + 1, false)] {
        let mut node = Replica::new(1);
        let first = Some(DocDot::new(client, 1 + gap));
        assert_eq!(
            node.try_put(&nothing(), &json, 1, first).is_ok(),
            allowed,
            "{gap}"
        );
    }
    let mut node = Replica::new(1);
    node.try_put(&nothing(), &json, 1, Some(DocDot::new(client, 700)))
        .expect("a gap of 699");
    let refused = node.try_put(&nothing(), &json, 1, Some(DocDot::new(client, 1400)));
    assert_eq!(refused.map(|_| ()), Err(DocumentError::Gap), "gaps add up");
    // Unless the client's context shows where its other writes are.
    let mut other = Replica::new(2);
    let mut seen = nothing();
    for counter in 1..2000u64 {
        let first = Some(DocDot::new(client, counter));
        seen = other
            .try_put(&seen, &json!({ "b": counter }), 1, first)
            .expect("contiguous")
            .seen;
    }
    let first = Some(DocDot::new(client, 2000));
    Replica::new(3)
        .try_put(&seen, &json, 1, first)
        .expect("the context covers those before");
    let end = Some(DocDot::new(client, DOCUMENT_COUNTER_MAX));
    let refused = node.try_put(&nothing(), &json, 1, end);
    assert_eq!(refused.map(|_| ()), Err(DocumentError::CounterOutOfRange));
}

#[test]
fn a_document_remembers_so_many_clients() {
    let mut context = DocContext::new();
    for number in 0..DOCUMENT_INTERVALS_MAX as u128 {
        context.insert(DocDot::new(Actor(number), 1));
    }
    let mut node = Replica::new(1 << 60);
    let seen = seal().dots(context);
    node.document.remove(&seen, Stamp::from_ms(1));
    let first = Some(DocDot::new(actor(7), 1));
    let refused = node.try_put(&nothing(), &json!({"a": 1}), 1, first);
    assert_eq!(refused.map(|_| ()), Err(DocumentError::TooManyActors));
    node.put(&nothing(), &json!({"a": 1}), 1);
}

#[test]
fn so_many_removals_wait_for_what_has_not_arrived() {
    let mut full = Replica::new(1);
    full.put(&nothing(), &json!({"a": 1}), 1);
    let seen = full.seen();
    let mut behind = Replica::new(2);
    for round in 0..DOCUMENT_MASKS_MAX {
        behind.patch(&seen, &json!({ (round.to_string()): null }), 1);
    }
    let signer = behind.signer(None);
    let patch = json!({"one more": null});
    let refused = behind
        .document
        .patch(&seen, &patch, Stamp::from_ms(1), &signer);
    assert_eq!(refused.map(|_| ()), Err(DocumentError::TooFarBehind));
    assert_eq!(
        decode(&bytes_of(&behind.document)),
        Ok(behind.document.clone())
    );
    sync(&mut behind, &mut full);
    assert!(decode(&bytes_of(&behind.document)).is_ok_and(|d| d.view() == Some(json!({"a": 1}))));
    behind.patch(&behind.seen(), &patch, 2);
}

#[test]
fn depth_is_limited_for_values_and_paths_together() {
    let nest = |objects: usize, arrays: usize| {
        let inner = (0..arrays).fold(json!(1), |inner, _| json!([inner]));
        (0..objects).fold(inner, |inner, _| json!({ "x": inner }))
    };
    for (objects, arrays, fits) in [
        (DOCUMENT_DEPTH_MAX, 0, true),
        (60, DOCUMENT_DEPTH_MAX - 60, true),
        (60, DOCUMENT_DEPTH_MAX - 59, false),
        (DOCUMENT_DEPTH_MAX + 1, 0, false),
    ] {
        let mut node = Replica::new(1);
        let put = node.try_put(&nothing(), &nest(objects, arrays), 1, None);
        assert_eq!(put.is_ok(), fits, "{objects} {arrays}");
        if fits {
            let text = node.view().expect("it was just put").to_string();
            assert!(
                parse_json(text.as_bytes()).is_ok(),
                "what is shown can be read"
            );
        }
    }
}

#[test]
fn a_context_is_refused_unless_it_was_handed_out_for_this_key_here() {
    let mut node = Replica::new(1);
    node.put(&nothing(), &json!({"milk": 2, "bread": 1}), 1);
    let seal = seal();
    let text = seal.encode(&seal.whole(&node.document));
    assert_eq!(
        text,
        seal.encode(&seal.whole(&node.document)),
        "equal contents, equal text"
    );
    assert!(seal.decode(text.as_bytes()).is_ok());
    let other_key = ContextKey::from_secret(b"the cluster's secret").for_key(b"\0list:other");
    let other_cluster = ContextKey::from_secret(b"another secret").for_key(b"\0list:9f1c");
    for foreign in [other_key, other_cluster] {
        assert_eq!(
            foreign.decode(text.as_bytes()).map(|_| ()),
            Err(BadContext::NotAuthentic)
        );
    }
    for length in 1..text.len() {
        assert!(
            seal.decode(&text.as_bytes()[..length]).is_err(),
            "cut to {length}"
        );
    }
    for at in 0..text.len() {
        let mut forged = text.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        assert!(seal.decode(&forged).is_err(), "changed at {at}");
    }
    for wrong in ["====", "a b", "AAAA\n"] {
        assert_eq!(
            seal.decode(wrong.as_bytes()).map(|_| ()),
            Err(BadContext::Malformed)
        );
    }
    let long = "A".repeat(CONTEXT_TEXT_BYTES_MAX + 1);
    assert_eq!(
        seal.decode(long.as_bytes()).map(|_| ()),
        Err(BadContext::TooLong)
    );
    assert!(seal.decode(b"").is_ok_and(|seen| seen.dots().is_empty()));
}

#[test]
fn a_context_takes_an_entry_a_writer_and_four_bytes_a_leaf() {
    let length = |leaves: usize| {
        let mut node = Replica::new(1);
        let members = (0..leaves).map(|n| (format!("a rather long name {n}"), json!("a value")));
        node.put(&nothing(), &Value::Object(members.collect()), 1);
        seal().encode(&seal().whole(&node.document)).len() * 3 / 4
    };
    assert!(length(1) <= 48, "{}", length(1));
    assert!(length(100) - length(1) <= 99 * 4 + 4);
}

#[test]
fn a_context_that_remembers_too_many_patches_knows_no_values() {
    let mut node = Replica::new(1);
    node.put(&nothing(), &json!({"a": 1}), 1);
    let mut seen = node.seen();
    for round in 0..=CONTEXT_AMENDED_MAX {
        seen = node
            .patch(&seen, &json!({ (round.to_string()): null }), 2)
            .seen;
        seen = seal()
            .decode(seal().encode(&seen).as_bytes())
            .expect("handed out");
    }
    node.put(&node.seen(), &json!({"a": 2}), 3);
    node.put(&seen, &json!({"a": 1}), 4);
    assert_eq!(node.view(), Some(json!({"a": 1})), "it counts as changed");
    assert_eq!(node.document.view_at(&path("/a")), Some(json!(1)));
}
