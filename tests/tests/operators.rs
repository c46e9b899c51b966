//! What operators and their tools ask of one node: clients, settings, figures, faults.

use larder_tests::failure::ensure;
use larder_tests::value::text;
use larder_tests::wait::{PATIENCE, until};
use larder_tests::{Checked, Client, Cluster, Plan};

/// Commands of one connection and their replies.
type Steps = &'static [(&'static str, &'static str)];

fn run(client: &mut Client, steps: Steps) -> Checked {
    steps
        .iter()
        .try_for_each(|(line, wanted)| client.says(line, wanted))
}

#[test]
fn a_connection_tells_of_itself_as_in_redis() -> Checked {
    let cluster = Cluster::of(1)?;
    run(
        &mut cluster.client(0)?,
        &[
            ("PING", "+PONG"),
            ("PING 'a b'", "a b"),
            (
                "PING a b",
                "-ERR wrong number of arguments for 'ping' command",
            ),
            ("ECHO x", "x"),
            ("SELECT 15", "+OK"),
            ("SELECT 16", "-ERR DB index is out of range"),
            ("SELECT x", "-ERR value is not an integer or out of range"),
            ("CLIENT GETNAME", "nil"),
            ("CLIENT SETNAME me", "+OK"),
            ("CLIENT GETNAME", "me"),
            (
                "CLIENT SETNAME 'a b'",
                "-ERR Client names cannot contain spaces, newlines or special characters.",
            ),
            ("CLIENT SETINFO lib-name tests", "+OK"),
            (
                "CLIENT SETINFO lib-ver '1 2'",
                "-ERR lib-ver cannot contain spaces, newlines or special characters.",
            ),
            (
                "CLIENT SETINFO shoes 43",
                "-ERR Unrecognized option 'shoes'",
            ),
            ("CLIENT NO-EVICT on", "+OK"),
            ("CLIENT NO-TOUCH maybe", "-ERR syntax error"),
            ("CLIENT GETREDIR", ":-1"),
            ("CLIENT TRACKING off", "+OK"),
            ("CLIENT LIST ID 999999", ""),
            ("CLIENT LIST TYPE pubsub", ""),
            ("CLIENT KILL 1.2.3.4:5", "-ERR No such client"),
            (
                "CLIENT KILL ID 0",
                "-ERR client-id should be greater than 0",
            ),
            ("CLIENT KILL TYPE odd", "-ERR Unknown client type 'odd'"),
            ("CLIENT KILL ID 999999", ":0"),
            ("HELLO 4", "-NOPROTO unsupported protocol version"),
            (
                "HELLO x",
                "-ERR Protocol version is not an integer or out of range",
            ),
            ("HELLO 2 FOO", "-ERR Syntax error in HELLO option 'FOO'"),
            (
                "AUTH x",
                "-ERR AUTH <password> called without any password configured for the default \
                 user. Are you sure your configuration is correct?",
            ),
            (
                "AUTH nobody x",
                "-WRONGPASS invalid username-password pair or user is disabled.",
            ),
            ("AUTH default x", "+OK"),
            ("RESET", "+RESET"),
            ("CLIENT GETNAME", "nil"),
            (
                "CLIENT FOO",
                "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.",
            ),
        ],
    )?;
    let mut client = cluster.client(0)?;
    client.says("CLIENT SETNAME lister", "+OK")?;
    let info = client.ask("CLIENT INFO")?;
    for part in [
        "name=lister",
        "db=0",
        "cmd=client|info",
        "resp=2",
        "flags=N",
    ] {
        ensure(info.contains(part), || format!("{part} is not in {info}"))?;
    }
    Ok(())
}

#[test]
fn replies_are_silenced_one_by_one_or_all() -> Checked {
    let cluster = Cluster::of(1)?;
    let mut client = cluster.client(0)?;
    for line in ["CLIENT REPLY SKIP", "PING skipped", "PING heard"] {
        client.send_words(&line.split(' ').collect::<Vec<_>>())?;
    }
    let heard = text(&client.reply()?);
    ensure(heard == "heard", || heard.clone())?;
    for line in [
        "CLIENT REPLY OFF",
        "PING skipped",
        "GET nothing",
        "CLIENT REPLY ON",
    ] {
        client.send_words(&line.split(' ').collect::<Vec<_>>())?;
    }
    let heard = text(&client.reply()?);
    ensure(heard == "+OK", || heard.clone())?;
    client.says("PING again", "again")
}

#[test]
fn a_client_is_killed_by_what_is_known_of_it() -> Checked {
    let cluster = Cluster::of(1)?;
    let mut killer = cluster.client(0)?;
    let mut victim = cluster.client(0)?;
    let id = victim.ask("CLIENT ID")?;
    killer.says(
        &format!("CLIENT KILL ID {}", id.trim_start_matches(':')),
        ":1",
    )?;
    victim.rest()?;
    killer.says("CLIENT KILL TYPE normal", ":0")?;
    // One that kills itself gets its reply first.
    killer.says("CLIENT KILL TYPE normal SKIPME no", ":1")?;
    killer.rest()?;
    cluster
        .node(0)
        .comes_to_say("CLIENT KILL TYPE normal SKIPME yes", ":0")
}

#[test]
fn clients_are_held_up_and_let_go_in_order() -> Checked {
    let cluster = Cluster::of(3)?;
    let (mut operator, mut client) = (cluster.client(0)?, cluster.client(0)?);
    // A pause that only lasts its time lets go by itself.
    operator.says("CLIENT PAUSE 200 ALL", "+OK")?;
    client.says("SET a 0", "+OK")?;
    operator.says("CLIENT PAUSE 3600000 WRITE", "+OK")?;
    client.says("GET a", "0")?;
    for line in ["SET a 1", "GET a", "INCR a", "FLUSHALL", "EXISTS a", "PING"] {
        client.send_words(&line.split(' ').collect::<Vec<_>>())?;
    }
    // Neither the write nor what stands behind it has run; other nodes take writes.
    operator.says("GET a", "0")?;
    cluster.client(1)?.says("SET b 1", "+OK")?;
    operator.says("CLIENT UNPAUSE", "+OK")?;
    for wanted in ["+OK", "1", ":2", "+OK", ":0", "+PONG"] {
        let reply = text(&client.reply()?);
        ensure(reply == wanted, || format!("{wanted}: {reply}"))?;
    }
    // One that is held can be ended, and goes if it breaks off.
    let mut other = cluster.client(0)?;
    let id = other.ask("CLIENT ID")?;
    let id = id.trim_start_matches(':');
    operator.says("CLIENT PAUSE 3600000 WRITE", "+OK")?;
    client.send_words(&["SET", "a", "2"])?;
    other.send_words(&["SET", "a", "3"])?;
    operator.says(&format!("CLIENT KILL ID {id}"), ":1")?;
    other.rest()?;
    client.finish()?;
    client.rest()?;
    operator.says("CLIENT UNPAUSE", "+OK")?;
    operator.says("EXISTS a", ":0")
}

#[test]
fn slow_commands_are_noted_as_latency_events() -> Checked {
    let cluster = Cluster::of(1)?;
    let mut client = cluster.client(0)?;
    client.says("LATENCY LATEST", "[]")?;
    client.says("CONFIG SET latency-monitor-threshold 1", "+OK")?;
    client.says("DEBUG SLEEP 0.02", "+OK")?;
    let latest = client.begins("LATENCY LATEST", "[[command, :")?;
    ensure(latest.matches('[').count() == 2, || latest.clone())?;
    client.begins("LATENCY HISTORY command", "[[:")?;
    client.begins("LATENCY GRAPH command", "command - high ")?;
    client.says("SET a 1", "+OK")?;
    client.begins(
        "LATENCY HISTOGRAM set",
        "[set, [calls, :1, histogram_usec, [:",
    )?;
    client.says("LATENCY RESET command", ":1")?;
    client.says("LATENCY LATEST", "[]")
}

#[test]
fn settings_change_while_the_node_runs() -> Checked {
    let cluster = Cluster::of(1)?;
    let mut client = cluster.client(0)?;
    run(
        &mut client,
        &[
            ("CONFIG SET timeout 100 loglevel debug", "+OK"),
            ("CONFIG GET timeout", "[timeout, 100]"),
            (
                "CONFIG SET timeout 5 port 7",
                "-ERR CONFIG SET failed (possibly related to argument 'port') - can't set \
                 immutable config",
            ),
            ("CONFIG GET timeout", "[timeout, 100]"),
            (
                "CONFIG SET shoes 43",
                "-ERR Unknown option or number of arguments for CONFIG SET - 'shoes'",
            ),
            (
                "CONFIG SET timeout",
                "-ERR wrong number of arguments for 'config|set' command",
            ),
            ("CONFIG SET timeout 1 hz", "-ERR syntax error"),
            (
                "CONFIG REWRITE",
                "-ERR The server is running without a config file",
            ),
            ("CONFIG SET requirepass secret", "+OK"),
            ("CONFIG GET requirepass", "[requirepass, secret]"),
        ],
    )?;
    let mut other = cluster.client(0)?;
    run(
        &mut other,
        &[
            ("GET a", "-NOAUTH Authentication required."),
            (
                "AUTH wrong",
                "-WRONGPASS invalid username-password pair or user is disabled.",
            ),
            ("AUTH secret", "+OK"),
            ("GET a", "nil"),
        ],
    )
}

#[test]
fn figures_follow_what_happens() -> Checked {
    let cluster = Cluster::of(1)?;
    let mut client = cluster.client(0)?;
    run(
        &mut client,
        &[
            ("CONFIG RESETSTAT", "+OK"),
            ("SET a 1", "+OK"),
            ("GET a", "1"),
            ("GET b", "nil"),
            ("INCR a", ":2"),
            (
                "LPUT a '' '{}'",
                "-WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
        ],
    )?;
    for (section, parts) in [
        (
            "stats",
            &[
                "keyspace_hits:1\r\n",
                "keyspace_misses:1\r\n",
                "total_error_replies:1\r\n",
            ][..],
        ),
        ("errorstats", &["errorstat_WRONGTYPE:count=1\r\n"]),
        (
            "commandstats",
            &[
                "cmdstat_get:calls=2,",
                "cmdstat_set:calls=1,",
                "failed_calls=1\r\n",
            ],
        ),
        ("keyspace", &["db0:keys=1,expires=0,avg_ttl=0\r\n"]),
        (
            "server",
            &[
                "redis_version:7.2.4\r\n",
                "redis_mode:standalone\r\n",
                "larder_version:",
            ],
        ),
        ("cluster", &["cluster_enabled:0\r\n"]),
        (
            "replication",
            &["role:master\r\n", "connected_slaves:0\r\n"],
        ),
        ("persistence", &["loading:0\r\n", "aof_enabled:1\r\n"]),
        ("clients", &["connected_clients:1\r\n"]),
        ("larder_ring", &["ring_nodes_up:1\r\n", "ring_partitions:"]),
        ("larder_storage", &["storage_writes:taken\r\n"]),
        ("larder_replication", &["lag_changes:0\r\n"]),
        ("larder_partitions", &["partitions_missing_copies:0\r\n"]),
        ("larder_cache", &["cache_bytes:"]),
    ] {
        let info = client.ask(&format!("INFO {section}"))?;
        for part in parts {
            ensure(info.contains(part), || format!("{part:?} is not in {info}"))?;
        }
    }
    Ok(())
}

#[test]
fn slow_commands_are_noted() -> Checked {
    let cluster = Plan::of(1).with("slowlog-log-slower-than", "0").start()?;
    let mut client = cluster.client(0)?;
    run(
        &mut client,
        &[
            ("SLOWLOG RESET", "+OK"),
            ("SET slow 1", "+OK"),
            ("CONFIG SET slowlog-log-slower-than -1", "+OK"),
            ("GET slow", "1"),
        ],
    )?;
    let log = client.ask("SLOWLOG GET -1")?;
    ensure(
        log.contains("[SET, slow, 1]") && !log.contains("[GET, slow]"),
        || log.clone(),
    )
}

#[test]
fn debug_is_for_those_who_are_let() -> Checked {
    let cluster = Plan::of(1).with("enable-debug-command", "no").start()?;
    cluster
        .client(0)?
        .begins("DEBUG SLEEP 0", "-ERR DEBUG command not allowed.")?;
    let cluster = Plan::of(2).with("enable-debug-command", "local").start()?;
    cluster.settle()?;
    let mut client = cluster.client(0)?;
    run(
        &mut client,
        &[
            ("DEBUG SLEEP 0.01", "+OK"),
            ("DEBUG SET-ACTIVE-EXPIRE 0", "+OK"),
            ("DEBUG LINK nobody cut", "-ERR Unknown node nobody"),
            ("DEBUG LINK * delay", "-ERR syntax error"),
            ("DEBUG LINK * delay 999999999", "-ERR value is out of range"),
            (
                "DEBUG FOO",
                "-ERR unknown subcommand or wrong number of arguments for 'FOO'. Try DEBUG HELP.",
            ),
            ("DEBUG LINK * cut", "+OK"),
        ],
    )?;
    let sees = |wanted: &str| {
        let peers = cluster.node(0).ask("CLUSTER PEERS")?;
        ensure(peers.contains(wanted), || peers.clone())
    };
    until("the cut to be seen", PATIENCE, || sees("state, down"))?;
    client.says("DEBUG LINK * heal", "+OK")?;
    until("the link to return", PATIENCE, || sees("state, up"))?;
    until("a ping to be answered", PATIENCE, || {
        let peers = cluster.node(0).ask("CLUSTER PEERS")?;
        let is_measured =
            peers.contains("round-trip-us, :") && !peers.contains("round-trip-us, :0");
        ensure(is_measured, || peers.clone())
    })
}

#[test]
fn what_is_not_supported_says_so() -> Checked {
    let cluster = Cluster::of(1)?;
    let mut client = cluster.client(0)?;
    for line in [
        "SWAPDB 0 1",
        "CLIENT TRACKING on",
        "CLUSTER RESET",
        "CLUSTER COUNTKEYSINSLOT 1",
        "SHUTDOWN ABORT",
    ] {
        client.begins(line, "-ERR ")?;
    }
    run(
        &mut client,
        &[
            ("CLUSTER KEYSLOT foo", ":12182"),
            (
                "CLUSTER LEAVE",
                "-ERR the last node of the cluster cannot leave it",
            ),
            (
                "LASTSAVE x",
                "-ERR wrong number of arguments for 'lastsave' command",
            ),
            ("SAVE", "+OK"),
            ("BGSAVE", "+Background saving started"),
            ("LATENCY LATEST", "[]"),
            ("MODULE LIST", "[]"),
            ("LCONFLICTS COUNT 3", "[]"),
            ("LCONFLICTS a b", "-ERR syntax error"),
        ],
    )
}
