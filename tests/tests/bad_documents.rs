//! Contexts that are not what they should be, JSON that is none, and JSON that is too much.

use larder_tests::failure::ensure;
use larder_tests::value::text;
use larder_tests::{Checked, Cluster};

/// A document, and its context.
fn party(cluster: &Cluster) -> Checked<String> {
    let context = cluster
        .node(0)
        .ask(r#"LPUT list '' '{"name":"Party","milk":2}'"#)?;
    ensure(!context.starts_with('-'), || context.clone())?;
    Ok(context)
}

/// The same text with one letter changed.
fn forged(context: &str, at: usize) -> String {
    let mut letters: Vec<char> = context.chars().collect();
    letters[at] = if letters[at] == 'A' { 'B' } else { 'A' };
    letters.into_iter().collect()
}

#[test]
fn a_forged_foreign_or_truncated_context_changes_nothing() -> Checked {
    let cluster = Cluster::of(3)?;
    let context = party(&cluster)?;
    let before = cluster.node(0).ask("LGET list")?;
    let foreign = cluster.node(0).ask(r#"LPUT other '' '{"a":1}'"#)?;
    let long = "A".repeat(100_000);
    let mut wrong = vec![foreign, "AAAA".to_owned(), "not base64 !".to_owned(), long];
    wrong.extend((0..context.len()).step_by(5).map(|at| forged(&context, at)));
    wrong.extend(
        (1..context.len())
            .step_by(5)
            .map(|end| context[..end].to_owned()),
    );
    for (node, wrong) in (0..3).cycle().zip(&wrong) {
        let mut client = cluster.client(node)?;
        for words in [
            &["LPUT", "list", wrong, "{}"][..],
            &["LPATCH", "list", wrong, r#"{"milk":null}"#],
            &["LDEL", "list", wrong],
        ] {
            let reply = text(&client.run(words)?);
            ensure(reply.starts_with("-BADCONTEXT "), || {
                format!("{} with {wrong}: {reply}", words[0])
            })?;
        }
    }
    cluster.node(2).says("LGET list", &before)
}

/// Contexts of all kinds of wrongness, and one that is ahead of the nodes that it reaches, on
/// connections that go on: each reply is one, and the next request gets its own.
#[test]
fn whatever_stands_for_a_context_gets_a_reply_that_parses() -> Checked {
    let cluster = Cluster::of(3)?;
    let context = party(&cluster)?;
    let foreign = cluster.node(0).ask(r#"LPUT other '' '{"a":1}'"#)?;
    cluster.cut(&[0])?;
    let ahead = cluster
        .node(0)
        .ask(&format!(r#"LPUT list {context} '{{"milk":5}}'"#))?;
    ensure(!ahead.starts_with('-'), || ahead.clone())?;
    let mut contexts: Vec<Vec<u8>> = [
        "",
        "=",
        "A",
        "AQ",
        "AAAA",
        "\r\n",
        "\r\n-ERR x\r\n",
        "a\0b",
        "+OK",
        "$-1",
        "ä€",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    contexts.extend([
        ahead.clone().into_bytes(),
        foreign.into_bytes(),
        vec![0xff; 64],
    ]);
    contexts.extend((0..ahead.len()).map(|at| forged(&ahead, at).into_bytes()));
    contexts.extend((0..ahead.len()).map(|end| ahead.as_bytes()[..end].to_vec()));
    for protocol in ["2", "3"] {
        for node in 0..3 {
            let mut client = cluster.client(node)?;
            client.begins(&format!("HELLO {protocol}"), "")?;
            for context in &contexts {
                let requests: [&[&[u8]]; 9] = [
                    &[b"LPUT", b"list", context, b"{\"n\":1}"],
                    &[b"LPUT", b"list", context, b"{\"n\":2}", b"RETURN"],
                    &[b"LPATCH", b"list", context, b"{\"n\":null}"],
                    &[b"LDEL", b"list", context],
                    &[b"LDEL", b"nothing", context],
                    &[b"LGET", b"list", b"STATE", b"SINCE", context],
                    &[b"LMERGE", b"list", b"{\"v\":1,\"leaves\":[]}", context],
                    &[b"LMERGE", b"list", b"{}", context, context],
                    &[b"LPUT", context, context, context, context, context],
                ];
                for request in requests {
                    client.send_words(request)?;
                    client.send_words(&["PING"])?;
                }
                for request in requests {
                    let during = || format!("{request:?} at {node}");
                    let reply = client
                        .reply()
                        .map_err(|failure| failure.during(&during()))?;
                    let shown = text(&reply);
                    ensure(!shown.contains(['\0', '\r']), || {
                        format!("{request:?}: {shown}")
                    })?;
                    let next = text(&client.reply()?);
                    ensure(next == "+PONG", || format!("behind {}: {next}", during()))?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn a_context_of_another_cluster_is_refused() -> Checked {
    let (one, other) = (Cluster::of(1)?, Cluster::of(1)?);
    let context = party(&one)?;
    party(&other)?;
    let before = other.node(0).ask("LGET list")?;
    let reply = other.node(0).ask(&format!("LPUT list {context} '{{}}'"))?;
    ensure(reply.starts_with("-BADCONTEXT "), || reply.clone())?;
    other.node(0).says("LGET list", &before)
}

#[test]
fn what_is_no_json_is_refused() -> Checked {
    let cluster = Cluster::of(1)?;
    let context = party(&cluster)?;
    let mut client = cluster.client(0)?;
    let deep_arrays = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_objects = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    for json in [
        "",
        "{",
        "nonsense",
        "[1,2]",
        "1",
        "null",
        r#"{"a":1,}"#,
        r#"{"a":01}"#,
        r#"{"a":1}{"b":2}"#,
        r#"{"a":"\ud800"}"#,
        "{\"a\":\"\u{1}\"}",
        "{\"a\":NaN}",
        &deep_arrays,
        &deep_objects,
    ] {
        for command in ["LPUT", "LPATCH"] {
            let reply = text(&client.run(&[command, "list", &context, json])?);
            let shown: String = json.chars().take(40).collect();
            ensure(reply.starts_with("-ERR"), || {
                format!("{command} {shown}: {reply}")
            })?;
        }
    }
    let reply = text(&client.run(&[
        b"LPUT",
        &b"list"[..],
        context.as_bytes(),
        b"{\"a\":\"\xff\"}",
    ])?);
    ensure(reply.starts_with("-ERR"), || {
        format!("bytes that are no text: {reply}")
    })?;
    client.begins("LGET list PATH /milk", "[2, ").map(drop)
}

#[test]
fn paths_and_options_that_make_no_sense_are_refused() -> Checked {
    let cluster = Cluster::of(1)?;
    let context = party(&cluster)?;
    let mut client = cluster.client(0)?;
    for line in [
        "LGET list PATH milk",
        "LGET list PATH",
        "LGET list R 0",
        "LGET list R x",
        "LGET list NONSENSE",
        "LINCRBY list /name 1",
        "LINCRBY list milk 1",
        "LINCRBY list /milk x",
        &format!("LPUT list {context} {{}} W x"),
        &format!("LPUT list {context} {{}} AS nonsense 1"),
        &format!("LPUT list {context} {{}} AT 99999999999999"),
    ] {
        let reply = client.ask(line)?;
        ensure(reply.starts_with('-'), || format!("{line}: {reply}"))?;
    }
    client.begins("LGET list PATH /milk", "[2, ").map(drop)
}

#[test]
fn documents_and_strings_do_not_mix() -> Checked {
    let cluster = Cluster::of(1)?;
    party(&cluster)?;
    let mut client = cluster.client(0)?;
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    client.says("SET text v", "+OK")?;
    client.says("GET list", wrong)?;
    client.says("INCR list", wrong)?;
    client.says("LGET text", wrong)?;
    client.says("LPUT text '' '{}'", wrong)?;
    client.says("GET text", "v")
}
