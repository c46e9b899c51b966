//! MULTI, EXEC and WATCH, as clients use them.

use larder_tests::failure::{Failure, ensure, expect};
use larder_tests::wait::{PATIENCE, until};
use larder_tests::{Checked, Client, Cluster, Plan};
use redis::{Commands, RedisResult, Value, pipe, transaction};

fn connect(cluster: &Cluster, node: usize, protocol: &str) -> Checked<redis::Connection> {
    let url = format!(
        "redis://127.0.0.1:{}/?protocol={protocol}",
        cluster.node(node).port()
    );
    Ok(redis::Client::open(url)?.get_connection()?)
}

/// The node that leads a key, by its place in the cluster.
fn leader(cluster: &Cluster, key: &str) -> Checked<usize> {
    let told = cluster.node(0).ask(&format!("LEXPLAIN {key}"))?;
    let ids: Vec<String> = (0..3)
        .map(|node| cluster.node(node).id().to_owned())
        .collect();
    let first = ids
        .iter()
        .enumerate()
        .filter_map(|(node, id)| told.find(id.as_str()).map(|at| (at, node)))
        .min();
    first
        .map(|(_, node)| node)
        .ok_or_else(|| Failure::new(format!("no node in {told}")))
}

#[test]
fn the_redis_crate_runs_transactions_in_both_protocols() -> Checked {
    let cluster = Cluster::of(1)?;
    for protocol in ["resp2", "resp3"] {
        let mut connection = connect(&cluster, 0, protocol)?;
        let _: () = connection.del(&["a", "b"])?;
        let (first, second): (i64, Option<String>) = pipe()
            .atomic()
            .set("a", 40)
            .ignore()
            .incr("a", 2)
            .get("b")
            .query(&mut connection)?;
        expect("INCR", &first, &42)?;
        expect("GET", &second, &None)?;
        let doubled: (i64,) = transaction(&mut connection, &["a"], |connection, pipe| {
            let seen: i64 = connection.get("a")?;
            pipe.set("a", seen * 2).ignore().get("a").query(connection)
        })?;
        expect("doubled", &doubled, &(84,))?;
        let failed: RedisResult<Value> = pipe()
            .atomic()
            .set("a", "text")
            .cmd("NONSENSE")
            .query(&mut connection);
        let text = failed.err().map(|error| error.to_string());
        let text = text.unwrap_or_default();
        ensure(text.contains("NONSENSE"), || text.clone())?;
        expect("after it", &connection.get::<_, i64>("a")?, &84)?;
    }
    Ok(())
}

#[test]
fn no_update_is_lost_between_watchers_at_three_nodes() -> Checked {
    let cluster = Cluster::of(3)?;
    let adders = (0..3).map(|node| {
        let mut connection = connect(&cluster, node, "resp3")?;
        Ok(std::thread::spawn(move || -> RedisResult<()> {
            for _ in 0..50 {
                let _: Vec<Value> = transaction(&mut connection, &["n"], |connection, pipe| {
                    let seen: Option<i64> = connection.get("n")?;
                    let next = seen.unwrap_or(0) + 1;
                    pipe.set("n", next).query(connection)
                })?;
            }
            Ok(())
        }))
    });
    for adder in adders.collect::<Checked<Vec<_>>>()? {
        match adder.join() {
            Ok(added) => added?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    cluster.node(0).says("GET n", "150")
}

#[test]
fn a_transaction_runs_where_its_keys_are() -> Checked {
    let cluster = Plan::of(3).with("replicas", "1").start()?;
    let away = (leader(&cluster, "{t}")? + 1) % 3;
    let mut client = cluster.client(away)?;
    for (line, wanted) in [
        ("WATCH {t}a", "+OK"),
        ("MULTI", "+OK"),
        ("SET {t}a 1", "+QUEUED"),
        ("SELECT 2", "+QUEUED"),
        ("INCR {t}a", "+QUEUED"),
        ("INCR {t}a", "+QUEUED"),
        ("PING", "+QUEUED"),
        ("HELLO 3", "+QUEUED"),
        ("GET {t}b", "+QUEUED"),
        (
            "LCS {t}a",
            "-ERR wrong number of arguments for 'lcs' command",
        ),
        (
            "EXEC",
            "-EXECABORT Transaction discarded because of previous errors.",
        ),
        ("WATCH {t}a", "+OK"),
        ("MULTI", "+OK"),
        ("SET {t}a text", "+QUEUED"),
        ("INCR {t}a", "+QUEUED"),
        ("SELECT 2", "+QUEUED"),
        ("INCR {t}a", "+QUEUED"),
        ("PING", "+QUEUED"),
        (
            "EXEC",
            "[+OK, -ERR value is not an integer or out of range, +OK, :1, +PONG]",
        ),
        ("INCR {t}a", ":2"),
        ("SELECT 0", "+OK"),
        ("GET {t}a", "text"),
    ] {
        client.says(line, wanted)?;
    }
    // Somebody else changes it at the node that has it.
    client.says("WATCH {t}a {t}none", "+OK")?;
    cluster.node((away + 1) % 3).says("SET {t}none 1", "+OK")?;
    cluster.node((away + 2) % 3).says("DEL {t}none", ":1")?;
    client.says("MULTI", "+OK")?;
    client.says("SET {t}a lost", "+QUEUED")?;
    client.says("EXEC", "nil")?;
    client.says("GET {t}a", "text")
}

#[test]
fn keys_of_several_nodes_are_refused_and_nothing_is_done() -> Checked {
    let cluster = Plan::of(3).with("replicas", "1").start()?;
    let mut client = cluster.client(0)?;
    client.says("MULTI", "+OK")?;
    for number in 0..32 {
        client.says(&format!("SET k:{number} 1"), "+QUEUED")?;
    }
    client.says(
        "EXEC",
        "-CROSSSLOT Keys in request don't hash to the same slot",
    )?;
    client.says("DBSIZE", ":0")?;
    client.says("EXEC", "-ERR EXEC without MULTI")?;
    client.says("MULTI", "+OK")?;
    client.says(
        "DBSIZE",
        "-CROSSSLOT DBSIZE inside MULTI needs one node that leads all keys",
    )?;
    client.begins("EXEC", "-EXECABORT").map(|_| ())
}

#[test]
fn a_transaction_is_taken_by_a_node_that_is_alone() -> Checked {
    let cluster = Cluster::of(3)?;
    cluster.node(0).says("SET {t}a 1", "+OK")?;
    cluster.level()?;
    cluster.cut(&[2])?;
    let mut client = cluster.client(2)?;
    for (line, wanted) in [
        ("WATCH {t}a", "+OK"),
        ("MULTI", "+OK"),
        ("INCR {t}a", "+QUEUED"),
        ("SET {t}b 2", "+QUEUED"),
        ("EXEC", "[:2, +OK]"),
    ] {
        client.says(line, wanted)?;
    }
    // A change that comes by replication counts as any other.
    client.says("WATCH {t}a", "+OK")?;
    cluster.node(0).says("INCRBY {t}a 10", ":11")?;
    cluster.heal(&[2])?;
    cluster.level()?;
    cluster.all_come_to_say("GET {t}a", "12")?;
    client.says("MULTI", "+OK")?;
    client.says("SET {t}a lost", "+QUEUED")?;
    client.says("EXEC", "nil")?;
    cluster.all_come_to_say("GET {t}b", "2")
}

#[test]
fn copies_asked_for_in_a_transaction_are_waited_for() -> Checked {
    let cluster = Cluster::of(3)?;
    let mut client = cluster.client(1)?;
    client.says("MULTI", "+OK")?;
    client.says("LPUT {t}list '' '{\"a\":1}' W 3", "+QUEUED")?;
    client.says("SET {t}b 1", "+QUEUED")?;
    let done = client.ask("EXEC")?;
    ensure(done.ends_with(", +OK]") && !done.starts_with("[-"), || {
        done.clone()
    })?;
    for node in 0..3 {
        cluster.alone(node, |client| client.says("GET {t}b", "1"))?;
    }
    cluster.cut(&[1])?;
    client.says("MULTI", "+OK")?;
    client.says("LINCRBY {t}list /n 1 W 2", "+QUEUED")?;
    client.says("INCR {t}b", "+QUEUED")?;
    let partial = client.ask("EXEC")?;
    let wanted = "[-PARTIAL written on 1 of 2 replicas, :2]";
    ensure(partial == wanted, || {
        format!("expected {wanted}, saw {partial}")
    })
}

#[test]
fn a_queue_is_shown_and_ends_with_its_connection() -> Checked {
    let cluster = Cluster::of(1)?;
    let mut client = cluster.client(0)?;
    let mut other = cluster.client(0)?;
    client.says("CLIENT SETNAME queuing", "+OK")?;
    let line = |other: &mut Client| -> Checked<String> {
        let all = other.ask("CLIENT LIST")?;
        let own = all.lines().find(|line| line.contains("name=queuing"));
        Ok(own.unwrap_or_default().to_owned())
    };
    let shows = |line: &str, words: &[&str]| {
        ensure(words.iter().all(|word| line.contains(word)), || {
            format!("expected {words:?} in {line}")
        })
    };
    shows(&line(&mut other)?, &["flags=N", "multi=-1", "multi-mem=0"])?;
    client.says("MULTI", "+OK")?;
    shows(&line(&mut other)?, &["flags=x", "multi=0"])?;
    client.says("SET a 1", "+QUEUED")?;
    shows(&line(&mut other)?, &["flags=x", "multi=1"])?;
    client.says("CLIENT INFO", "+QUEUED")?;
    let inside = client.ask("EXEC")?;
    shows(&inside, &["flags=x", "multi=2"])?;
    shows(&line(&mut other)?, &["flags=N", "multi=-1", "multi-mem=0"])?;
    client.says("MULTI", "+OK")?;
    client.says("SET a 2", "+QUEUED")?;
    drop(client);
    until("the connection is gone", PATIENCE, || {
        let line = line(&mut other)?;
        ensure(line.is_empty(), || line.clone())
    })?;
    other.says("GET a", "1")
}

#[test]
fn a_queue_is_bounded() -> Checked {
    let cluster = Plan::of(1)
        .with("client-query-buffer-limit", "1mb")
        .start()?;
    let mut client = cluster.client(0)?;
    client.says("MULTI", "+OK")?;
    let value = "v".repeat(100_000);
    for _ in 0..10 {
        client.says(&format!("SET a {value}"), "+QUEUED")?;
    }
    client.send_words(&["SET", "a", &value])?;
    expect("the end", &client.rest()?.len(), &0)?;
    cluster.node(0).says("EXISTS a", ":0")?;
    let mut client = cluster.client(0)?;
    for batch in 0..4 {
        let keys = |from: usize| (from..from + 1024).map(|number| format!("k:{number}"));
        let words: Vec<String> = std::iter::once("WATCH".to_owned())
            .chain(keys(batch * 1024))
            .collect();
        let reply = client.run(&words)?;
        expect("WATCH", &reply, &Value::Okay)?;
    }
    client.says(
        "WATCH one-more",
        "-ERR a connection watches at most 4096 keys",
    )?;
    client.says("UNWATCH", "+OK")?;
    client.says("WATCH one-more", "+OK")
}

#[test]
fn a_pause_of_writes_holds_a_transaction_that_writes() -> Checked {
    let cluster = Cluster::of(1)?;
    let mut client = cluster.client(0)?;
    client.says("MULTI", "+OK")?;
    client.says("SET a 1", "+QUEUED")?;
    let mut other = cluster.client(0)?;
    other.says("CLIENT PAUSE 600000 WRITE", "+OK")?;
    client.send_words(&["EXEC"])?;
    other.says("GET a", "nil")?;
    other.says("CLIENT UNPAUSE", "+OK")?;
    expect("EXEC", &client.reply()?, &Value::Array(vec![Value::Okay]))
}
