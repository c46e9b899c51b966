//! Documents through the commands: contexts handed out and given back.

mod harness;

use harness::World;
use serde_json::{Value, json};

/// The elements of an array of bulk strings; `None` for null.
fn elements(reply: &[u8]) -> Vec<Option<String>> {
    let text = String::from_utf8_lossy(reply);
    let mut lines = text.split("\r\n");
    let count: usize = lines
        .next()
        .and_then(|line| line.strip_prefix('*'))
        .expect("an array")
        .parse()
        .expect("a count");
    let mut element = || match lines.next() {
        Some("$-1") => None,
        Some(_) => lines.next().map(str::to_owned),
        None => panic!("the array is too short: {text}"),
    };
    (0..count).map(|_| element()).collect()
}

fn bulk(reply: &[u8]) -> String {
    let text = String::from_utf8_lossy(reply);
    text.strip_prefix('$')
        .and_then(|text| text.split("\r\n").nth(1))
        .expect(&text)
        .to_owned()
}

struct Client<'w>(&'w World, usize);

impl Client<'_> {
    fn ask(&self, words: &[&str]) -> Vec<u8> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.0.ask(self.1, &words)
    }

    /// The object and the context.
    fn get(&self, words: &[&str]) -> (Option<Value>, String) {
        let reply = elements(&self.ask(&[&["LGET", "d"], words].concat()));
        let object = reply[0]
            .as_deref()
            .map(|text| serde_json::from_str(text).expect("JSON"));
        (object, reply[1].clone().expect("a context"))
    }

    fn put(&self, context: &str, json: &Value, more: &[&str]) -> String {
        let json = json.to_string();
        bulk(&self.ask(&[&["LPUT", "d", context, &json], more].concat()))
    }

    fn object(&self) -> Option<Value> {
        self.get(&[]).0
    }
}

const ACTOR: &str = "000000000000000000000000000000aa";

#[test]
fn what_a_writer_left_as_it_was_stays_as_others_made_it() {
    let world = World::new(1);
    let client = Client(&world, 0);
    client.put("", &json!({"milk": 2, "bread": 1}), &[]);
    let (seen, a) = client.get(&[]);
    assert_eq!(seen, Some(json!({"bread": 1, "milk": 2})));
    let (_, b) = client.get(&[]);
    client.put(&b, &json!({"milk": 5, "bread": 1}), &[]);
    let after = client.put(&a, &json!({"milk": 2, "bread": 3}), &[]);
    assert_eq!(client.object(), Some(json!({"bread": 3, "milk": 5})));
    // The context after the put claims nothing that others wrote.
    client.put(&after, &json!({"bread": 3}), &[]);
    assert_eq!(client.object(), Some(json!({"bread": 3, "milk": 5})));
}

#[test]
fn a_missing_document_has_a_context_and_return_shows_the_merged_object() {
    let world = World::new(1);
    let client = Client(&world, 0);
    let (object, context) = client.get(&[]);
    assert_eq!(object, None);
    client.put("", &json!({"other": 1}), &[]);
    let reply = client.ask(&["LPUT", "d", &context, "{\"mine\":1}", "RETURN"]);
    let reply = elements(&reply);
    assert_eq!(reply[0].as_deref(), Some(r#"{"mine":1,"other":1}"#));
    // What was returned was seen: it can be removed.
    client.put(
        &reply[1].clone().expect("a context"),
        &json!({"mine": 1}),
        &[],
    );
    assert_eq!(client.object(), Some(json!({"mine": 1})));
}

#[test]
fn a_patch_touches_what_it_names_and_ldel_what_was_seen() {
    let world = World::new(1);
    let client = Client(&world, 0);
    client.put("", &json!({"a": {"x": 1, "y": 2}, "b": 3}), &[]);
    let (_, context) = client.get(&[]);
    client.put("", &json!({"new": 1}), &[]);
    let patch = json!({"a": {"x": null}, "c": 4}).to_string();
    let after = bulk(&client.ask(&["LPATCH", "d", &context, &patch]));
    assert_eq!(
        client.object(),
        Some(json!({"a": {"y": 2}, "b": 3, "c": 4, "new": 1}))
    );
    bulk(&client.ask(&["LDEL", "d", &after]));
    assert_eq!(client.object(), Some(json!({"new": 1})));
    let (_, all) = client.get(&[]);
    bulk(&client.ask(&["LDEL", "d", &all]));
    assert_eq!(client.object(), None);
    assert_eq!(client.ask(&["EXISTS", "d"]), b":0\r\n");
}

#[test]
fn a_retry_with_named_dots_applies_once() {
    let mut world = World::new(2);
    world.cut();
    let (one, two) = (Client(&world, 0), Client(&world, 1));
    let line = ["LINCRBY", "d", "/n", "5", "AS", ACTOR, "1"];
    assert_eq!(one.ask(&line), b":5\r\n");
    assert_eq!(one.ask(&line), b":5\r\n");
    assert_eq!(two.ask(&line), b":5\r\n");
    assert_eq!(
        one.ask(&["LINCRBY", "d", "/n", "1", "AS", ACTOR, "2"]),
        b":6\r\n"
    );
    world.heal();
    assert_eq!(Client(&world, 1).object(), Some(json!({"n": 6})));
    let client = Client(&world, 0);
    let gap = client.ask(&["LINCRBY", "d", "/n", "1", "AS", ACTOR, "5000"]);
    assert!(gap.starts_with(b"-ERR the counters of the actor leave out"));
}

#[test]
fn a_retry_after_del_brings_nothing_back() {
    let world = World::new(1);
    let client = Client(&world, 0);
    client.put("", &json!({"old": 1}), &["AS", ACTOR, "1"]);
    assert_eq!(client.ask(&["DEL", "d"]), b":1\r\n");
    world.pass(60_000);
    client.put("", &json!({"old": 1}), &["AS", ACTOR, "1"]);
    assert_eq!(client.object(), None);
}

#[test]
fn an_edit_made_offline_bears_its_time() {
    let world = World::new(1);
    let client = Client(&world, 0);
    client.put("", &json!({"a": 1}), &[]);
    let early = (world.now().unix_ms - 1_000).to_string();
    client.put("", &json!({"a": 2}), &["AT", &early]);
    assert_eq!(
        client.object(),
        Some(json!({"a": 1})),
        "the later stamp shows"
    );
    let siblings = &elements(&client.ask(&["LGET", "d", "SIBLINGS"]))[2];
    let siblings: Value = serde_json::from_str(siblings.as_deref().expect("JSON")).expect("JSON");
    assert_eq!(siblings[0]["path"], "/a");
    let values: Vec<_> = siblings[0]["leaves"]
        .as_array()
        .expect("leaves")
        .iter()
        .map(|leaf| (leaf["value"].clone(), leaf["shown"].clone()))
        .collect();
    assert_eq!(values.len(), 2);
    assert!(
        values.contains(&(json!(1), json!(true))) && values.contains(&(json!(2), json!(false)))
    );
}

#[test]
fn a_part_is_read_and_written_by_itself() {
    let world = World::new(1);
    let client = Client(&world, 0);
    client.put(
        "",
        &json!({"name": "Party", "items": {"milk": {"qty": 2}}}),
        &[],
    );
    let (part, context) = client.get(&["PATH", "/items/milk"]);
    assert_eq!(part, Some(json!({"qty": 2})));
    client.put(&context, &json!({"items": {"milk": {"qty": 3}}}), &[]);
    let wanted = json!({"items": {"milk": {"qty": 3}}, "name": "Party"});
    assert_eq!(client.object(), Some(wanted));
    assert_eq!(client.get(&["PATH", "/nothing"]).0, None);
}

#[test]
fn a_client_that_is_a_replica_merges_its_changes() {
    let world = World::new(1);
    let client = Client(&world, 0);
    client.put("", &json!({"milk": 1}), &[]);
    let (state, context) = client.get(&["STATE"]);
    let milk = &state.expect("a state")["leaves"][0];
    // It removes milk and adds eggs under a name of its own.
    let stamp = (world.now().unix_ms << 16).to_string();
    let mut seen = json!({ ACTOR: [["1", "1"]] });
    seen[milk[0].as_str().expect("an actor")] = json!([[milk[1], milk[1]]]);
    let delta = json!({
        "v": 1, "leaves": [[ACTOR, "1", "/eggs", 1, 6, stamp]], "context": seen,
    });
    let delta = delta.to_string();
    let refused = client.ask(&["LMERGE", "d", &delta, ""]);
    assert!(
        refused.starts_with(b"-BADCONTEXT the delta claims"),
        "it shows no context for milk"
    );
    let merged = bulk(&client.ask(&["LMERGE", "d", &delta, &context]));
    assert_eq!(client.object(), Some(json!({"eggs": 6})));
    assert_eq!(
        bulk(&client.ask(&["LMERGE", "d", &delta, &context, "W", "1"])),
        merged
    );
    let (news, _) = client.get(&["STATE", "SINCE", &merged]);
    let news = news.expect("a state");
    assert_eq!(news["leaves"], json!([]));
    assert_eq!(news["remain"], json!({ ACTOR: [["1", "1"]] }));
    let late = json!({
        "v": 1, "leaves": [[ACTOR, "2", "/x", 1, 1, u64::MAX.to_string()]], "context": {},
    });
    let reply = client.ask(&["LMERGE", "d", &late.to_string(), &merged]);
    assert!(reply.starts_with(b"-ERR the edit is from the future"));
}

#[test]
fn contexts_are_bound_to_key_and_database() {
    let world = World::new(1);
    let client = Client(&world, 0);
    let context = client.put("", &json!({"a": 1}), &[]);
    let reply = client.ask(&["LPUT", "other", &context, "{}"]);
    assert!(reply.starts_with(b"-BADCONTEXT the context was not handed out for this key"));
    let cut = &context[..context.len() - 2];
    assert!(
        client
            .ask(&["LPUT", "d", cut, "{}"])
            .starts_with(b"-BADCONTEXT")
    );
    assert_eq!(client.object(), Some(json!({"a": 1})));
}

#[test]
fn a_copy_is_a_document_of_its_own() {
    let world = World::new(1);
    let client = Client(&world, 0);
    client.put("", &json!({"a": 1}), &[]);
    client.ask(&["LPUT", "e", "", "{\"b\":2}"]);
    assert_eq!(client.ask(&["COPY", "e", "d", "REPLACE"]), b":1\r\n");
    assert_eq!(client.object(), Some(json!({"b": 2})));
    client.put("", &json!({"c": 3}), &[]);
    assert_eq!(client.object(), Some(json!({"b": 2, "c": 3})));
    let e = elements(&client.ask(&["LGET", "e"]));
    assert_eq!(e[0].as_deref(), Some(r#"{"b":2}"#));
}

#[test]
fn lexplain_says_where_a_key_is_and_who_agrees() {
    let mut world = World::new(2);
    let text = |world: &World| {
        let reply = Client(world, 0).ask(&["LEXPLAIN", "d"]);
        String::from_utf8_lossy(&reply).into_owned()
    };
    world.cut();
    Client(&world, 0).put("", &json!({"a": 1}), &[]);
    let alone = text(&world);
    assert!(
        alone.contains("out of reach") && alone.contains("unknown"),
        "{alone}"
    );
    world.heal();
    let together = text(&world);
    assert!(
        together.contains("agrees") && together.contains("document"),
        "{together}"
    );
    assert!(together.starts_with("*20\r\n"));
}

/// Found by the simulator: what an old context brought back into a document that had expired made
/// the node count on from there, under dots that other readers had seen already.
#[test]
fn a_dot_is_signed_once_although_the_document_expired_meanwhile() {
    let world = World::new(1);
    let client = Client(&world, 0);
    let old = client.put("", &json!({"a": 1}), &[]);
    client.put("", &json!({"b": 1}), &[]);
    let (_, both) = client.get(&[]);
    client.ask(&["PEXPIRE", "d", "10"]);
    world.pass(20);
    assert_eq!(client.object(), None);
    client.ask(&["LDEL", "d", &old]);
    client.put("", &json!({"c": 1}), &[]);
    // Who has seen a and b has not seen c.
    client.put(&both, &json!({"e": 1}), &[]);
    assert_eq!(client.object(), Some(json!({"c": 1, "e": 1})));
}
