//! Documents by example: the histories of the design, and the corners of each command.

mod document_support;

use document_support::{Replica, actor, nothing, path, seal, sync};
use larder_crdt::Stamp;
use larder_crdt::types::document_causal::{
    DocContext, DocDot, Document, DocumentError, Json, Leaf, LeafValue, State, parse_json,
};
use serde_json::json;

const YEAR_MS: u64 = 365 * 24 * 3_600_000;

#[test]
fn a_leaf_put_back_as_it_was_read_stays_as_another_made_it() {
    let mut node = Replica::new(1);
    node.put(&nothing(), &json!({"milk": 2, "bread": 1}), 1);
    let (a, b) = (node.seen(), node.seen());
    node.put(&b, &json!({"milk": 5, "bread": 1}), 2);
    node.put(&a, &json!({"milk": 2, "bread": 3}), 3);
    assert_eq!(node.view(), Some(json!({"milk": 5, "bread": 3})));
    assert_eq!(node.document.leaves().len(), 2);
}

#[test]
fn the_milk_stays_on_two_nodes_in_either_order() {
    let mut one = Replica::new(1);
    one.put(&nothing(), &json!({"milk": 2, "bread": 1}), 1);
    let mut two = Replica::of(2, &one.document);
    let (a, b) = (one.seen(), two.seen());
    one.put(&b, &json!({"milk": 5, "bread": 1}), 3);
    two.put(&a, &json!({"milk": 2, "bread": 3}), 2);
    sync(&mut one, &mut two);
    assert_eq!(one.view(), Some(json!({"milk": 5, "bread": 3})));
}

#[test]
fn the_context_after_a_put_claims_nothing_that_others_wrote() {
    let mut node = Replica::new(1);
    let mine = node.put(&nothing(), &json!({"milk": 2}), 1).seen;
    node.put(&node.seen(), &json!({"milk": 7, "tea": 1}), 2);
    let after = node.put(&mine, &json!({"milk": 2, "eggs": 6}), 3).seen;
    node.put(&after, &json!({"milk": 2, "eggs": 7}), 4);
    assert_eq!(node.view(), Some(json!({"milk": 7, "tea": 1, "eggs": 7})));
}

#[test]
fn history_1_a_fallback_with_an_actor_per_stint_loses_nothing() {
    let mut owner = Replica::new(1);
    for (stint, item) in [(10, "milk"), (11, "eggs")] {
        let mut fallback = Replica::new(stint);
        fallback.put(&nothing(), &json!({ item: 1 }), 1);
        owner.join(&fallback);
    }
    assert_eq!(owner.view(), Some(json!({"milk": 1, "eggs": 1})));
}

#[test]
fn history_2_del_keeps_the_context_and_an_unseen_addition() {
    let mut a = Replica::new(1);
    a.put(&nothing(), &json!({"milk": 1, "eggs": 1}), 1);
    let mut b = Replica::of(2, &a.document);
    b.put(&b.seen(), &json!({"milk": 1, "eggs": 1, "tea": 1}), 2);
    assert!(a.document.remove_all(Stamp::from_ms(3)));
    assert!(a.document.is_removed());
    assert!(!a.document.remove_all(Stamp::from_ms(4)));
    sync(&mut a, &mut b);
    assert_eq!(a.view(), Some(json!({"tea": 1})));
}

#[test]
fn history_3_a_kept_context_holds_off_a_late_delta_and_a_late_retry() {
    let mut node = Replica::new(1);
    let first = DocDot::new(actor(100), 1);
    let json = json!({"old": 1});
    node.try_put(&nothing(), &json, 1_000, Some(first))
        .expect("valid");
    let late = node.document.state_since(None);
    assert_eq!(node.document.kept_until(YEAR_MS), None, "it is not removed");
    node.document.remove_all(Stamp::from_ms(2_000));
    assert_eq!(node.document.kept_until(YEAR_MS), Some(2_000 + YEAR_MS));
    let merged = node
        .document
        .merge(&late, &[], Stamp::from_ms(3_000), YEAR_MS);
    assert!(!merged.expect("it is the client's own").changed);
    let retried = node
        .try_put(&nothing(), &json, 3_000, Some(first))
        .expect("valid");
    assert!(!retried.changed && node.document.is_removed());

    let mut forgotten = Document::new();
    let too_late = Stamp::from_ms(1_001 + YEAR_MS);
    let refused = forgotten.merge(&late, &[], too_late, YEAR_MS);
    assert_eq!(refused, Err(DocumentError::TooOld));
    assert_eq!(forgotten, Document::new());
}

#[test]
fn a_removed_document_that_only_nodes_signed_may_go_when_settled() {
    let mut node = Replica::new(1);
    node.put(&nothing(), &json!({"milk": 1}), 1);
    node.document.remove_all(Stamp::from_ms(2));
    assert_eq!(node.document.kept_until(YEAR_MS), None);
}

#[test]
fn history_4_a_context_ahead_of_the_node_is_joined_first_or_rewritten_lowest() {
    let mut b = Replica::new(2);
    b.put(&nothing(), &json!({"milk": 1}), 1);
    let seen = b.seen();
    let mut c = Replica::of(3, &b.document);
    c.put(&c.seen(), &json!({"tea": 1}), 5);

    // The node fetched what it lacked: milk, removed at C, stays removed.
    let mut fetched = Replica::of(1, &b.document);
    assert!(!fetched.document.is_ahead(&seen));
    fetched.put(&seen, &json!({"milk": 1, "eggs": 1}), 2);
    fetched.join(&c);
    assert_eq!(fetched.view(), Some(json!({"eggs": 1, "tea": 1})));

    // Nobody could be reached: the write is taken, and milk kept rather than lost.
    let mut a = Replica::new(1);
    assert!(a.document.is_ahead(&seen));
    a.put(&seen, &json!({"milk": 1, "eggs": 1}), 2);
    assert_eq!(a.view(), Some(json!({"milk": 1, "eggs": 1})));
    sync(&mut a, &mut b);
    assert_eq!(a.view(), Some(json!({"milk": 1, "eggs": 1})));
    assert!(
        a.document
            .leaves()
            .values()
            .any(|leaf| leaf.stamp == Stamp::ZERO)
    );
    sync(&mut a, &mut c);
    assert_eq!(
        a.view(),
        Some(json!({"milk": 1, "eggs": 1, "tea": 1})),
        "said in the manual"
    );
}

#[test]
fn in_that_corner_a_concurrent_edit_wins_and_what_the_writer_dropped_stays_removed() {
    let mut b = Replica::new(2);
    b.put(&nothing(), &json!({"milk": 1, "bread": 1}), 10);
    let seen = b.seen();
    let mut a = Replica::new(1);
    a.put(&seen, &json!({"milk": 1}), 30);
    b.put(&b.seen(), &json!({"milk": 4, "bread": 1}), 20);
    sync(&mut a, &mut b);
    assert_eq!(a.view(), Some(json!({"milk": 4})));
}

#[test]
fn in_that_corner_a_retry_elsewhere_loses_nothing_either() {
    let mut b = Replica::new(2);
    b.put(&nothing(), &json!({"milk": 1}), 1);
    let seen = b.seen();
    let first = Some(DocDot::new(actor(100), 1));
    let json = json!({"eggs": 1, "milk": 1});
    let mut a = Replica::new(1);
    a.try_put(&seen, &json, 2, first).expect("valid");
    b.try_put(&seen, &json, 3, first).expect("valid");
    sync(&mut a, &mut b);
    assert_eq!(a.view(), Some(json.clone()));
    assert!(!a.try_put(&seen, &json, 4, first).expect("valid").changed);
}

#[test]
fn history_5_the_context_of_a_part_removes_nothing_elsewhere() {
    let mut node = Replica::new(1);
    let all = json!({"name": "Party", "items": {"milk": {"qty": 2}, "tea": {"qty": 1}}});
    node.put(&nothing(), &all, 1);
    let part = path("/items/milk");
    assert_eq!(node.document.view_at(&part), Some(json!({"qty": 2})));
    let text = seal().encode(&seal().part(&node.document, &part));
    let seen = seal().decode(text.as_bytes()).expect("handed out");
    node.put(&seen, &json!({"items": {"milk": {"qty": 3}}}), 2);
    let wanted = json!({"name": "Party", "items": {"milk": {"qty": 3}, "tea": {"qty": 1}}});
    assert_eq!(node.view(), Some(wanted));
    // Nor on a node that lacks the rest, which arrives afterwards.
    let full = Replica::of(2, &node.document);
    let mut behind = Replica::new(3);
    let seen = seal().part(&full.document, &part);
    behind.put(&seen, &json!({"items": {"milk": {"qty": 3}}}), 3);
    behind.join(&full);
    assert_eq!(behind.view(), full.view());
}

#[test]
fn history_5_a_state_since_a_context_is_joined_whole() {
    let mut node = Replica::new(1);
    node.put(&nothing(), &json!({"milk": 1, "eggs": 1}), 1);
    let mut client = Document::new();
    client.absorb(&State::from_json(&node.document.state_since(None).to_json()).expect("ours"));
    let since = client.context().clone();
    node.put(&node.seen(), &json!({"eggs": 1, "tea": 1}), 2);
    let news = node.document.state_since(Some(&since));
    assert_eq!(news.leaves.len(), 1, "only tea is new");
    client.absorb(&State::from_json(&news.to_json()).expect("ours"));
    assert_eq!(client.view(), Some(json!({"eggs": 1, "tea": 1})));
    assert_eq!(client.leaves(), node.document.leaves());
}

#[test]
fn history_6_a_wiped_node_under_a_new_actor_loses_nothing() {
    let mut node = Replica::new(1);
    node.put(&nothing(), &json!({"milk": 1}), 1);
    let mut peer = Replica::of(2, &node.document);
    let mut wiped = Replica::new(9);
    wiped.put(&nothing(), &json!({"tea": 1}), 2);
    sync(&mut peer, &mut wiped);
    assert_eq!(peer.view(), Some(json!({"milk": 1, "tea": 1})));
}

#[test]
fn a_retry_with_named_dots_applies_once_on_whichever_nodes_it_lands() {
    let first = Some(DocDot::new(actor(100), 1));
    let json = json!({"b": 2, "a": 1});
    let (mut one, mut two) = (Replica::new(1), Replica::new(2));
    let written = one
        .try_put(&nothing(), &json, 5, first)
        .expect("valid")
        .written;
    assert_eq!(
        written,
        [DocDot::new(actor(100), 1), DocDot::new(actor(100), 2)]
    );
    let at_first = one
        .document
        .leaves()
        .values()
        .next()
        .map(|leaf| leaf.path.clone());
    assert_eq!(at_first, Some(path("/a")), "dots go out in path order");
    two.try_put(&nothing(), &json, 6, first).expect("valid");
    sync(&mut one, &mut two);
    assert_eq!(one.document.leaves().len(), 2);
    let before = one.document.clone();
    assert!(
        !one.try_put(&nothing(), &json, 7, first)
            .expect("valid")
            .changed
    );
    assert_eq!(one.document, before);
    // Nor does it come back after a removal.
    one.document.remove(&one.seen(), Stamp::from_ms(8));
    assert!(
        !one.try_put(&nothing(), &json, 9, first)
            .expect("valid")
            .changed
    );
    assert_eq!(one.view(), None);
}

#[test]
fn counters_of_leaves_left_as_they_were_count_as_spent() {
    let mut node = Replica::new(1);
    let client = actor(100);
    let mut seen = nothing();
    for round in 0..20u64 {
        let json = json!({"a": 1, "b": 1, "c": round});
        let first = Some(DocDot::new(client, 1 + round * 3));
        seen = node
            .try_put(&seen, &json, round, first)
            .expect("no gap")
            .seen;
    }
    assert_eq!(node.document.context().missing(client), 0);
    assert_eq!(node.document.context().intervals(), 1);
}

#[test]
fn a_node_is_no_client_and_a_client_no_node() {
    let mut node = Replica::new(1);
    node.put(&nothing(), &json!({"a": 1}), 1);
    let other = Replica::of(2, &node.document);
    let foreign = Some(DocDot::new(actor(1), 7));
    for mut replica in [node, other] {
        let refused = replica.try_put(&nothing(), &json!({"a": 2}), 2, foreign);
        assert_eq!(refused.map(|_| ()), Err(DocumentError::ForeignActor));
    }
    let zero = Replica::new(3).try_put(&nothing(), &json!({}), 1, Some(DocDot::new(actor(9), 0)));
    assert_eq!(zero.map(|_| ()), Err(DocumentError::CounterOutOfRange));
}

#[test]
fn a_client_stays_a_client_to_those_who_only_heard_of_its_dots() {
    let mut one = Replica::new(1);
    let client = actor(100);
    one.try_put(
        &nothing(),
        &json!({"a": 1}),
        1,
        Some(DocDot::new(client, 1)),
    )
    .expect("valid");
    let mut two = Replica::new(2);
    two.document.remove(&one.seen(), Stamp::from_ms(2));
    assert_eq!(two.document.named_actors().collect::<Vec<_>>(), [client]);
    two.try_put(
        &nothing(),
        &json!({"b": 1}),
        3,
        Some(DocDot::new(client, 2)),
    )
    .expect("valid");
    sync(&mut one, &mut two);
    assert_eq!(one.view(), Some(json!({"b": 1})));
}

#[test]
fn an_empty_object_is_a_value_of_its_own() {
    let mut node = Replica::new(1);
    node.put(&nothing(), &json!({}), 1);
    assert_eq!(node.view(), Some(json!({})));
    node.put(&node.seen(), &json!({"a": {}, "b": 1}), 2);
    assert_eq!(node.view(), Some(json!({"a": {}, "b": 1})));
    node.put(&node.seen(), &json!({"a": {"x": {"y": 1}}}), 3);
    assert_eq!(node.view(), Some(json!({"a": {"x": {"y": 1}}})));
    node.put(&node.seen(), &json!({}), 4);
    assert_eq!(node.view(), Some(json!({})));
    node.document.remove(&node.seen(), Stamp::from_ms(5));
    assert_eq!(node.view(), None);
}

#[test]
fn ldel_removes_what_was_seen_and_no_more_also_before_it_arrives() {
    let mut one = Replica::new(1);
    one.put(&nothing(), &json!({"milk": 1}), 1);
    let seen = one.seen();
    let mut two = Replica::new(2);
    assert!(two.document.remove(&seen, Stamp::from_ms(2)).changed);
    assert!(!two.document.remove(&seen, Stamp::from_ms(3)).changed);
    one.put(&one.seen(), &json!({"milk": 1, "tea": 1}), 4);
    sync(&mut one, &mut two);
    assert_eq!(one.view(), Some(json!({"tea": 1})));
}

#[test]
fn a_merge_patch_touches_only_what_it_names() {
    let mut node = Replica::new(1);
    node.put(
        &nothing(),
        &json!({"a": {"b": 1, "c": 2}, "d": 3, "e": [1]}),
        1,
    );
    let seen = node.seen();
    node.patch(&node.seen(), &json!({"d": 4}), 2);
    let patch = json!({"a": {"b": null, "x": {"y": null, "z": 1}}, "e": [2, null]});
    node.patch(&seen, &patch, 3);
    let wanted = json!({"a": {"c": 2, "x": {"z": 1}}, "d": 4, "e": [2, null]});
    assert_eq!(node.view(), Some(wanted));
    assert!(!node.patch(&node.seen(), &json!({}), 4).changed);
}

#[test]
fn a_merge_patch_replaces_objects_by_values_and_values_by_objects() {
    let mut node = Replica::new(1);
    node.put(&nothing(), &json!({"a": {"b": 1, "c": 2}, "d": 3}), 1);
    node.patch(&node.seen(), &json!({"a": 7, "d": {"x": 1}}), 2);
    assert_eq!(node.view(), Some(json!({"a": 7, "d": {"x": 1}})));
    assert_eq!(node.document.leaves().len(), 2);
    node.patch(&node.seen(), &json!({"a": {}, "d": {}}), 3);
    assert_eq!(node.view(), Some(json!({"a": {}, "d": {"x": 1}})));
    node.patch(&node.seen(), &json!({"d": {"x": null}}), 4);
    assert_eq!(
        node.view(),
        Some(json!({"a": {}, "d": {}})),
        "an object was asked for"
    );
}

#[test]
fn a_patch_from_ahead_removes_what_arrives_later_at_its_paths_only() {
    let mut full = Replica::new(1);
    full.put(
        &nothing(),
        &json!({"a": {"x": 1, "y": 2}, "b": 1, "c": 1}),
        5,
    );
    let seen = full.seen();
    let mut behind = Replica::new(2);
    let written = behind.patch(&seen, &json!({"a": null, "b": 2}), 1);
    assert!(written.changed);
    assert!(!behind.patch(&seen, &json!({"a": null}), 2).changed);
    assert_eq!(behind.view(), Some(json!({"b": 2})));
    full.patch(&full.seen(), &json!({"a": {"z": 3}}), 6);
    sync(&mut behind, &mut full);
    assert_eq!(behind.view(), Some(json!({"a": {"z": 3}, "b": 2, "c": 1})));
}

#[test]
fn a_copy_that_forgot_a_document_signs_beyond_the_dots_that_a_writer_shows_it() {
    let mut node = Replica::new(1);
    node.put(&nothing(), &json!({"a": 1, "b": 2}), 1);
    let seen = node.seen();
    let mut forgetful = Replica::new(1);
    let written = forgetful.put(&seen, &json!({"a": 2}), 2).written;
    assert_eq!(written, [DocDot::new(actor(1), 3)]);
    let mut forgetful = Replica::new(1);
    forgetful.patch(&seen, &json!({"a": null}), 2);
    let written = forgetful.put(&nothing(), &json!({"a": 2}), 3).written;
    assert_eq!(written, [DocDot::new(actor(1), 3)]);
}

#[test]
fn a_late_retry_does_not_bring_back_what_was_removed_before_it_arrived() {
    let mut one = Replica::new(1);
    let first = Some(DocDot::new(actor(100), 1));
    one.try_put(&nothing(), &json!({"b": 1}), 1, first)
        .expect("valid");
    let mut behind = Replica::new(2);
    behind.patch(&one.seen(), &json!({"b": null}), 2);
    behind
        .try_put(&nothing(), &json!({"b": 1}), 3, first)
        .expect("valid");
    assert_eq!(behind.view(), None);
    sync(&mut one, &mut behind);
    assert_eq!(one.view(), None);
}

#[test]
fn after_a_patch_the_context_knows_the_new_values_and_not_the_old() {
    let mut node = Replica::new(1);
    node.put(
        &nothing(),
        &json!({"milk": 2, "a": {"b": 1}, "s": 5, "keep": 1}),
        1,
    );
    let seen = node.seen();
    // Somebody replaces milk, so that its old value is nowhere any more.
    node.put(
        &node.seen(),
        &json!({"milk": 9, "a": {"b": 1}, "s": 5, "keep": 8}),
        2,
    );
    let seen = node
        .patch(&seen, &json!({"milk": 5, "a": null, "s": {"t": 1}}), 3)
        .seen;
    let text = seal().encode(&seen);
    let seen = seal().decode(text.as_bytes()).expect("ours");
    // Back to what it was: each of these is a change now; `keep` is left as it was.
    node.put(
        &seen,
        &json!({"milk": 2, "a": {"b": 1}, "s": 5, "keep": 1}),
        4,
    );
    assert_eq!(
        node.view(),
        Some(json!({"milk": 2, "a": {"b": 1}, "s": 5, "keep": 8}))
    );
    let seen = node.patch(&node.seen(), &json!({"milk": 5}), 5).seen;
    node.patch(&node.seen(), &json!({"milk": 6}), 6);
    node.put(
        &seen,
        &json!({"milk": 5, "a": {"b": 1}, "s": 5, "keep": 8}),
        7,
    );
    assert_eq!(
        node.document.view_at(&path("/milk")),
        Some(json!(6)),
        "it was left as written"
    );
}

#[test]
fn increments_add_up_and_those_on_a_replaced_base_are_shown_beside_it() {
    let mut one = Replica::new(1);
    one.put(&nothing(), &json!({"qty": 6}), 1);
    let mut two = Replica::of(2, &one.document);
    for _ in 0..3 {
        one.increment("/qty", 1, 2).expect("a number");
    }
    assert_eq!(
        two.increment("/qty", -1, 3).expect("a number").value,
        5.into()
    );
    sync(&mut one, &mut two);
    assert_eq!(one.view(), Some(json!({"qty": 8})));
    assert_eq!(one.document.siblings(), []);

    one.increment("/qty", 3, 4).expect("a number");
    two.put(&two.seen(), &json!({"qty": 2}), 3);
    sync(&mut one, &mut two);
    assert_eq!(one.view(), Some(json!({"qty": 2})));
    let siblings = one.document.siblings();
    let [qty] = siblings.as_slice() else {
        panic!("one path is in conflict")
    };
    let lost = qty
        .leaves
        .iter()
        .find(|leaf| !leaf.shown)
        .expect("the increment of 3");
    assert!(matches!(lost.value, LeafValue::Increment { by: 3, .. }));
    // Whoever writes next has seen it, and settles it.
    one.put(&one.seen(), &json!({"qty": 5}), 5);
    assert_eq!(one.document.siblings(), []);
}

#[test]
fn first_increments_add_up_and_later_ones_are_made_on_them() {
    let (mut one, mut two) = (Replica::new(1), Replica::new(2));
    one.increment("/visits", 2, 1).expect("nothing is there");
    two.increment("/visits", 3, 1).expect("nothing is there");
    one.increment("/visits", 1, 2).expect("a number");
    sync(&mut one, &mut two);
    assert_eq!(one.view(), Some(json!({"visits": 6})));
    // A removal takes what it had seen; an increment it had not seen stays.
    let seen = one.seen();
    two.increment("/visits", 10, 3).expect("a number");
    one.document.remove(&seen, Stamp::from_ms(4));
    sync(&mut one, &mut two);
    assert_eq!(one.view(), Some(json!({"visits": 10})));
}

#[test]
fn a_busy_counter_stays_small_and_brings_nothing_removed_back() {
    let mut one = Replica::new(1);
    one.put(&nothing(), &json!({"n": 0}), 1);
    for _ in 0..500 {
        one.increment("/n", 1, 2).expect("a number");
    }
    assert_eq!(one.view(), Some(json!({"n": 500})));
    assert!(one.document.leaves().len() < 20);
    let mut two = Replica::of(2, &one.document);
    two.document.remove(&two.seen(), Stamp::from_ms(3));
    for _ in 0..5 {
        one.increment("/n", 1, 4).expect("a number");
    }
    sync(&mut one, &mut two);
    assert_eq!(
        one.view(),
        Some(json!({"n": 5})),
        "the unseen ones, exactly"
    );

    // So many that unseen ones were folded with seen ones: too few may count, never too many.
    let mut two = Replica::of(3, &one.document);
    two.document.remove(&two.seen(), Stamp::from_ms(5));
    for _ in 0..100 {
        one.increment("/n", 1, 6).expect("a number");
    }
    sync(&mut one, &mut two);
    let left = one
        .document
        .view_at(&path("/n"))
        .and_then(|n| n.as_i64())
        .unwrap_or(0);
    assert!((8..=100).contains(&left), "{left}");
}

#[test]
fn an_increment_under_a_named_dot_applies_once() {
    let mut one = Replica::new(1);
    one.put(&nothing(), &json!({"n": 1}), 1);
    let mut two = Replica::of(2, &one.document);
    let first = Some(DocDot::new(actor(100), 1));
    for (replica, ms) in [(&mut one, 2), (&mut two, 3)] {
        let signer = replica.signer(first);
        let at = Stamp::from_ms(ms);
        assert!(
            replica
                .document
                .increment(&path("/n"), 5, &signer, at)
                .expect("valid")
                .changed
        );
        assert!(
            !replica
                .document
                .increment(&path("/n"), 5, &signer, at)
                .expect("valid")
                .changed
        );
    }
    sync(&mut one, &mut two);
    assert_eq!(one.view(), Some(json!({"n": 6})));
}

#[test]
fn what_is_no_number_cannot_be_incremented_and_sums_end_at_64_bits() {
    let mut node = Replica::new(1);
    let json = json!({"s": "x", "o": {"p": 1}, "l": [1], "max": i64::MAX, "half": 0.5});
    node.put(&nothing(), &json, 1);
    let before = node.document.clone();
    for at in ["/s", "/o", "/l", "/l/0", "/s/x", ""] {
        assert_eq!(
            node.increment(at, 1, 2),
            Err(DocumentError::NotANumber),
            "{at}"
        );
    }
    assert_eq!(node.increment("/max", 1, 2), Err(DocumentError::Overflow));
    assert_eq!(node.document, before);
    assert_eq!(
        node.increment("/half", 1, 2)
            .expect("a number")
            .value
            .as_f64(),
        Some(1.5)
    );
    assert_eq!(
        node.increment("/o/new", -2, 2)
            .expect("nothing there")
            .value,
        (-2).into()
    );

    // Only concurrent ones can go beyond; the value stays at the end of the range.
    node.put(&node.seen(), &json!({"n": i64::MIN + 1}), 3);
    let mut other = Replica::of(2, &node.document);
    node.increment("/n", -1, 4).expect("fits");
    other.increment("/n", -1, 4).expect("fits");
    sync(&mut node, &mut other);
    assert_eq!(node.view(), Some(json!({"n": i64::MIN})));
}

#[test]
fn among_concurrent_values_the_later_shows_and_the_other_is_a_sibling() {
    let (mut one, mut two) = (Replica::new(1), Replica::new(2));
    one.put(&nothing(), &json!({"qty": 6}), 20);
    two.put(&nothing(), &json!({"qty": 8}), 10);
    sync(&mut one, &mut two);
    assert_eq!(one.view(), Some(json!({"qty": 6})));
    let siblings = one.document.siblings();
    let [qty] = siblings.as_slice() else {
        panic!("one path is in conflict")
    };
    assert_eq!(qty.leaves.iter().filter(|leaf| leaf.shown).count(), 1);
    assert_eq!(qty.leaves.len(), 2);
    // Writing the hidden one is a change, and settles it.
    one.put(&one.seen(), &json!({"qty": 8}), 30);
    assert_eq!(one.view(), Some(json!({"qty": 8})));
    assert_eq!(one.document.siblings(), []);
}

#[test]
fn where_a_value_meets_an_object_the_later_side_shows_as_a_whole() {
    for (value_ms, wanted) in [(10, json!({"a": {"b": 1, "c": 2}})), (40, json!({"a": 5}))] {
        let (mut one, mut two) = (Replica::new(1), Replica::new(2));
        one.put(&nothing(), &json!({"a": 5}), value_ms);
        two.put(&nothing(), &json!({"a": {"b": 1}}), 5);
        two.patch(&nothing(), &json!({"a": {"c": 2}}), 20);
        sync(&mut one, &mut two);
        assert_eq!(one.view(), Some(wanted));
        assert!(!one.document.siblings().is_empty());
    }
}

#[test]
fn a_client_replica_merges_its_own_leaves_and_what_it_saw_and_removes() {
    let mut node = Replica::new(1);
    node.put(&nothing(), &json!({"milk": 1, "eggs": 1}), 1);
    let mut client = Replica::new(50);
    client.document.absorb(&node.document.state_since(None));
    let context = node.seen();
    // The client works offline under an actor of its own, and sends what it did as a delta.
    let written = client.put(&client.seen(), &json!({"eggs": 1, "tea": 2}), 2);
    let mut delta = State::default();
    for dot in &written.written {
        delta
            .leaves
            .insert(*dot, client.document.leaves()[dot].clone());
    }
    delta.context = written.removed.iter().copied().collect();
    let delta = State::from_json(&delta.to_json()).expect("ours");

    let at = Stamp::from_ms(3);
    let refused = node.document.merge(&delta, &[], at, YEAR_MS);
    assert_eq!(
        refused,
        Err(DocumentError::UnseenClaim),
        "no context covers milk"
    );
    let merged = node
        .document
        .merge(&delta, std::slice::from_ref(&context), at, YEAR_MS)
        .expect("covered");
    assert!(merged.changed);
    assert_eq!(node.view(), Some(json!({"eggs": 1, "tea": 2})));
    assert!(
        merged.dots.contains(written.written[0]),
        "the context is the acknowledgement"
    );
    let before = node.document.clone();
    assert!(
        !node
            .document
            .merge(&delta, &[context], at, YEAR_MS)
            .expect("covered")
            .changed
    );
    assert_eq!(node.document, before);
    assert_eq!(
        node.document.named_actors().collect::<Vec<_>>(),
        [actor(50)]
    );
}

#[test]
fn a_delta_may_not_claim_the_dots_of_others_or_of_nodes() {
    let mut node = Replica::new(1);
    node.put(&nothing(), &json!({"milk": 1}), 1);
    let before = node.document.clone();
    let at = Stamp::from_ms(9);
    let mut delta = State::default();
    delta.context.insert_range(actor(1), 1, 5);
    let refused = node.document.merge(&delta, &[], at, YEAR_MS);
    assert_eq!(refused, Err(DocumentError::ForeignActor));
    delta.context.insert(DocDot::new(actor(60), 1));
    let refused = node.document.merge(&delta, &[], at, YEAR_MS);
    assert!(
        refused.is_err(),
        "two actors, and no leaf to say which is its own"
    );
    let seen = node.seen();
    let refused = node.document.merge(&delta, &[seen], at, YEAR_MS);
    assert!(refused.is_err(), "the context covers dot 1 and not dot 5");
    assert_eq!(node.document, before);
}

#[test]
fn a_state_has_the_form_of_the_manual() {
    let mut node = Replica::new(1);
    node.put(&nothing(), &json!({"milk": {"qty": 2}}), 1);
    node.increment("/milk/qty", 3, 2).expect("a number");
    let hex = node.copy.to_string();
    let json = node
        .document
        .state_since(Some(&DocContext::new()))
        .to_json();
    let wanted = json!({
        "v": 1,
        "leaves": [
            [hex, "1", "/milk/qty", 1, 2, "65536"],
            [hex, "2", "/milk/qty", 3, {"by": "3", "bases": [[hex, "1"]]}, "131072"],
        ],
        "context": { hex.clone(): [["1", "2"]] },
        "remain": { hex.clone(): [["1", "2"]] },
    });
    assert_eq!(json, wanted);
    assert_eq!(State::from_json(&json).expect("ours").to_json(), wanted);
    for bad in [
        json!({"v": 2, "leaves": [], "context": {}}),
        json!({"v": 1, "leaves": [[hex, "0", "/a", 1, 1, "1"]], "context": {}}),
        json!({"v": 1, "leaves": [[hex, "1", "a", 1, 1, "1"]], "context": {}}),
        json!({"v": 1, "leaves": [[hex, "1", "/a", 9, 1, "1"]], "context": {}}),
        json!({"v": 1, "leaves": [[hex, "1", "", 1, 1, "1"]], "context": {}}),
        json!({"v": 1, "leaves": [[hex, "1", "/a", 1, {"b": 1}, "1"]], "context": {}}),
        json!({"v": 1, "leaves": [], "context": {"xyz": []}}),
        json!({"v": 1, "leaves": [], "context": { hex: [["5", "2"]] }}),
        json!([]),
    ] {
        assert!(State::from_json(&bad).is_err(), "{bad}");
    }
}

#[test]
fn a_put_understands_numbers_as_other_languages_print_them() {
    let mut node = Replica::new(1);
    let read = parse_json(br#"{"n": 2.0, "f": 0.1, "l": [{"b": 1, "a": 1e2}]}"#).expect("JSON");
    node.put(&nothing(), &read, 1);
    let back = parse_json(br#"{"n": 2, "f": 1e-1, "l": [{"a": 100, "b": 1.0}]}"#).expect("JSON");
    assert!(!node.put(&node.seen(), &back, 2).changed);
}

/// Found by the simulator: a retry with a newer context, which covers the leaf of the delta but not
/// all of its own dots, was refused.
#[test]
fn a_retried_delta_may_bring_contexts_that_cover_its_leaves() {
    let mut node = Replica::new(1);
    let dot = |counter| DocDot::new(actor(50), counter);
    let leaf = |by: &str| Leaf {
        stamp: Stamp::from_ms(1),
        path: path("/eggs"),
        value: LeafValue::Json(Json::from_canonical(by, 1).expect("a number")),
    };
    // The first write never arrived; the second replaced it, and the third the second.
    let mut second = State::default();
    second.leaves.insert(dot(2), leaf("2"));
    second.context = [dot(1), dot(2)].into_iter().collect();
    let mut third = State::default();
    third.leaves.insert(dot(3), leaf("3"));
    third.context = [dot(2), dot(3)].into_iter().collect();
    let at = Stamp::from_ms(9);
    let merged = node.document.merge(&third, &[], at, YEAR_MS);
    assert!(merged.expect("its own").changed);
    let seen = node.seen();
    let merged = node.document.merge(&second, &[seen], at, YEAR_MS);
    assert!(merged.expect("its own").changed, "it brings the first dot");
    assert_eq!(node.view(), Some(json!({"eggs": 3})));
}
