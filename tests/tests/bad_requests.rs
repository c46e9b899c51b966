//! What no client should send, and clients that do not do their part.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use larder_tests::failure::{Failure, ensure, expect};
use larder_tests::process::raise_open_files;
use larder_tests::value::text;
use larder_tests::wait::{PATIENCE, until};
use larder_tests::{Checked, Client, Cluster, Plan};

/// The longest key.
const KEY_BYTES_MAX: usize = 65_535;

/// Sends bytes on a connection of their own and gives all that comes back until it is closed.
fn last_words(cluster: &Cluster, bytes: &[u8]) -> Checked<String> {
    let mut client = cluster.client(0)?;
    client.send(bytes)?;
    Ok(String::from_utf8_lossy(&client.rest()?).into_owned())
}

#[test]
fn malformed_requests_get_an_error_and_end_the_connection() -> Checked {
    let cluster = Cluster::of(1)?;
    for (bytes, wanted) in [
        (
            &b"*1\r\n+PING\r\n"[..],
            "-ERR Protocol error: expected '$', got '+'\r\n",
        ),
        (
            b"*x\r\n",
            "-ERR Protocol error: invalid multibulk length\r\n",
        ),
        (
            b"*1048577\r\n",
            "-ERR Protocol error: invalid multibulk length\r\n",
        ),
        (
            b"*99999999999999999999\r\n",
            "-ERR Protocol error: invalid multibulk length\r\n",
        ),
        (
            b"*1\r\n$x\r\n",
            "-ERR Protocol error: invalid bulk length\r\n",
        ),
        (
            b"*1\r\n$-1\r\n",
            "-ERR Protocol error: invalid bulk length\r\n",
        ),
        (
            b"*1\r\n$536870913\r\n",
            "-ERR Protocol error: invalid bulk length\r\n",
        ),
        (
            b"*1\r\n$9223372036854775807\r\n",
            "-ERR Protocol error: invalid bulk length\r\n",
        ),
        (
            b"SET \"unbalanced\r\n",
            "-ERR Protocol error: unbalanced quotes in request\r\n",
        ),
    ] {
        let seen = last_words(&cluster, bytes)?;
        expect(&String::from_utf8_lossy(bytes), &seen.as_str(), &wanted)?;
    }
    let long = vec![b'x'; 70_000];
    let seen = last_words(&cluster, &long)?;
    expect(
        "a long line",
        &seen.as_str(),
        &"-ERR Protocol error: too big inline request\r\n",
    )?;
    let count = [b"*".as_slice(), &vec![b'1'; 70_000]].concat();
    let seen = last_words(&cluster, &count)?;
    expect(
        "a long count",
        &seen.as_str(),
        &"-ERR Protocol error: too big mbulk count string\r\n",
    )?;
    cluster.node(0).says("PING", "+PONG")
}

#[test]
fn what_came_before_a_malformed_request_is_done_and_answered() -> Checked {
    let cluster = Cluster::of(1)?;
    let seen = last_words(&cluster, b"SET k v\r\nINCR n\r\n*1\r\n!\r\nSET k w\r\n")?;
    ensure(seen.starts_with("+OK\r\n:1\r\n-ERR Protocol error"), || {
        seen.clone()
    })?;
    cluster.node(0).says("GET k", "v")
}

#[test]
fn empty_and_inline_requests_are_understood() -> Checked {
    let cluster = Cluster::of(1)?;
    let mut client = cluster.client(0)?;
    client.send(b"\r\n*0\r\n*-1\r\nPING\r\nSET \"a b\" 'c d'\nGET \"a\\x20b\"\r\n")?;
    for wanted in ["+PONG", "+OK", "c d"] {
        expect("a reply", &text(&client.reply()?).as_str(), &wanted)?;
    }
    Ok(())
}

#[test]
fn a_request_may_come_byte_by_byte_and_half_of_one_does_nothing() -> Checked {
    let cluster = Cluster::of(1)?;
    let mut client = cluster.client(0)?;
    for byte in b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\none\r\n" {
        client.send(&[*byte])?;
    }
    expect("a slow request", &text(&client.reply()?).as_str(), &"+OK")?;
    client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\ntw")?;
    client.finish()?;
    ensure(client.rest()?.is_empty(), || {
        "half a request was answered".to_owned()
    })?;
    cluster.node(0).says("GET k", "one")
}

#[test]
fn strangers_cannot_make_the_node_hold_much_before_they_have_said_the_password() -> Checked {
    let cluster = Cluster::of(1)?;
    cluster
        .node(0)
        .says("CONFIG SET requirepass sesame", "+OK")?;
    let many = last_words(&cluster, b"*11\r\n")?;
    ensure(many.contains("unauthenticated multibulk length"), || {
        many.clone()
    })?;
    let long = last_words(&cluster, b"*2\r\n$16385\r\n")?;
    ensure(long.contains("unauthenticated bulk length"), || {
        long.clone()
    })
}

#[test]
fn keys_of_no_bytes_work_and_keys_over_the_limit_are_refused() -> Checked {
    let cluster = Cluster::of(3)?;
    cluster.node(0).says("SET '' empty", "+OK")?;
    cluster.node(1).says("GET ''", "empty")?;
    let mut client = cluster.client(0)?;
    let longest = vec![b'k'; KEY_BYTES_MAX];
    expect(
        "the longest key",
        &text(&client.run(&[b"SET", &longest[..], b"v"])?).as_str(),
        &"+OK",
    )?;
    let mut other = cluster.client(2)?;
    expect(
        "the longest key",
        &text(&other.run(&[b"GET", &longest[..]])?).as_str(),
        &"v",
    )?;
    let longer = vec![b'k'; KEY_BYTES_MAX + 1];
    for command in [&b"SET"[..], b"GETSET", b"APPEND"] {
        let reply = text(&client.run(&[command, &longer[..], b"v"])?);
        ensure(reply.starts_with("-ERR"), || {
            format!("a key over the limit: {reply}")
        })?;
    }
    cluster.node(0).says("DBSIZE", ":2")
}

/// A client that asks for more than it reads must neither stop the others nor fill the memory.
#[test]
fn a_slow_reader_is_cut_off_at_its_limit_and_others_do_not_notice() -> Checked {
    let limit = "normal 4194304 0 0 slave 0 0 0 pubsub 33554432 8388608 60";
    let cluster = Plan::of(1)
        .with("client-output-buffer-limit", limit)
        .start()?;
    let mut client = cluster.client(0)?;
    let value = vec![b'v'; 1 << 20];
    expect(
        "SET",
        &text(&client.run(&[b"SET", &b"big"[..], &value[..]])?).as_str(),
        &"+OK",
    )?;
    let mut lazy = TcpStream::connect(("127.0.0.1", cluster.node(0).port()))?;
    lazy.set_write_timeout(Some(Duration::from_secs(2)))?;
    lazy.set_read_timeout(Some(PATIENCE))?;
    // Two hundred megabytes of replies; at some point the node stops reading, or goes.
    for _ in 0..200 {
        if lazy.write_all(b"*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n").is_err() {
            break;
        }
        client.says("PING", "+PONG")?;
    }
    let pid = cluster.node(0).pid().unwrap_or_default();
    let resident = resident_bytes(pid)?;
    ensure(resident < 180 << 20, || {
        format!("the node holds {} MB", resident >> 20)
    })?;
    client.says("GET nothing", "nil")?;
    let read = drain(&mut lazy)?;
    ensure(read <= 200 * (value.len() + 20), || {
        format!("{read} bytes were read")
    })
}

/// A client that reads nothing may leave replies over the soft limit lying for so long, no longer.
#[test]
fn a_client_that_reads_nothing_is_cut_off_when_the_soft_limit_has_lasted() -> Checked {
    let limit = "normal 0 65536 1 slave 0 0 0 pubsub 0 0 0";
    let cluster = Plan::of(1)
        .with("client-output-buffer-limit", limit)
        .start()?;
    let mut client = cluster.client(0)?;
    let value = vec![b'v'; 16 << 20];
    client.run(&[b"SET", &b"big"[..], &value[..]])?;
    let mut lazy = TcpStream::connect(("127.0.0.1", cluster.node(0).port()))?;
    lazy.write_all(b"*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n")?;
    until("only one client is left", PATIENCE, || {
        client.says("CLIENT KILL TYPE pubsub", ":0")?;
        let info = client.ask("INFO clients")?;
        ensure(info.contains("connected_clients:1\r\n"), || info.clone())
    })?;
    // Whoever reads gets as much.
    let read = text(&client.run(&["STRLEN", "big"])?);
    expect("the value", &read.as_str(), &":16777216")?;
    let mut eager = cluster.client(0)?;
    let whole = text(&eager.run(&["GET", "big"])?);
    expect("what an eager client reads", &whole.len(), &value.len())
}

fn drain(stream: &mut TcpStream) -> Checked<usize> {
    let mut buffer = vec![0; 1 << 20];
    let mut read = 0;
    stream.shutdown(std::net::Shutdown::Write)?;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(read),
            Ok(count) => read += count,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(read),
            Err(error) => return Err(Failure::from(error)),
        }
    }
}

fn resident_bytes(pid: u32) -> Checked<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(kilobytes(&status, "VmRSS:")? << 10)
}

/// The number of a line of a file in /proc.
fn kilobytes(text: &str, name: &str) -> Checked<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let number = number.and_then(|number| number.trim().parse().ok());
    number.ok_or_else(|| Failure::new(format!("there is no {name}")))
}

#[test]
fn ten_thousand_idle_connections_cost_little_and_new_ones_are_served() -> Checked {
    const WANTED: u64 = 10_000;
    // Sockets here, sockets there: the node has its own limit, inherited from this process.
    let open = raise_open_files(WANTED + 500);
    let count = WANTED.min(open.saturating_sub(500));
    if count < WANTED {
        eprintln!("only {count} connections: the system allows {open} open files");
    }
    let cluster = Plan::of(1)
        .with("maxclients", &(count + 1).to_string())
        .start()?;
    let port = cluster.node(0).port();
    let mut idle = Vec::new();
    for _ in 0..count {
        idle.push(TcpStream::connect(("127.0.0.1", port))?);
    }
    let mut client = cluster.client(0)?;
    until("all of them are counted", PATIENCE, || {
        let info = client.ask("INFO clients")?;
        let wanted = format!("connected_clients:{}\r\n", count + 1);
        ensure(info.contains(&wanted), || info.clone())
    })?;
    client.says("SET k v", "+OK")?;
    let refused = Client::connect(port)?.rest()?;
    expect(
        "one too many",
        &&refused[..],
        &&b"-ERR max number of clients reached\r\n"[..],
    )?;
    let resident = resident_bytes(cluster.node(0).pid().unwrap_or_default())?;
    ensure(resident < 400 << 20, || {
        format!("the node holds {} MB", resident >> 20)
    })?;
    drop(idle);
    until("they are gone", PATIENCE, || {
        let info = client.ask("INFO clients")?;
        ensure(info.contains("connected_clients:1\r\n"), || info.clone())
    })
}

#[test]
fn a_value_over_the_limit_is_refused_before_it_is_sent() -> Checked {
    let cluster = Plan::of(1).with("proto-max-bulk-len", "1mb").start()?;
    let seen = last_words(&cluster, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048577\r\n")?;
    expect(
        "a value",
        &seen.as_str(),
        &"-ERR Protocol error: invalid bulk length\r\n",
    )?;
    let mut client = cluster.client(0)?;
    client.says("SETRANGE k 536870911 ab", TOO_LONG)?;
    client.says("SETRANGE k 1048575 ab", TOO_LONG)?;
    client.says("EXISTS k", ":0")?;
    client.says("SETRANGE k 1048575 a", ":1048576")?;
    client.says("APPEND k b", TOO_LONG)?;
    client.says("CONFIG SET proto-max-bulk-len 2mb", "+OK")?;
    client.says("APPEND k b", ":1048577")
}

const TOO_LONG: &str = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";

/// Sets a value of so many bytes at one node, and reads it back from every replica.
fn travels(cluster: &Cluster, bytes: usize) -> Checked {
    let value: Vec<u8> = (0..bytes).map(|byte| (byte % 251) as u8).collect();
    let reply = text(&cluster.client(0)?.run(&[b"SET", &b"big"[..], &value[..]])?);
    expect("SET", &reply.as_str(), &"+OK")?;
    cluster.level()?;
    for node in 0..cluster.nodes.len() {
        cluster.alone(node, |client| {
            let seen = client.run(&["GET", "big"])?;
            let is_same = matches!(&seen, redis::Value::BulkString(bytes) if *bytes == value);
            ensure(is_same, || "another value came back".to_owned())
        })?;
    }
    cluster.node(0).says("DEL big", ":1")
}

#[test]
fn a_value_of_many_megabytes_reaches_every_replica() -> Checked {
    travels(&Cluster::of(3)?, 48 << 20)
}

/// Wants 12 GB of memory and an idle machine, so it runs only where `LARDER_DEEP` is set.
#[test]
fn the_largest_value_reaches_every_replica() -> Checked {
    if std::env::var_os("LARDER_DEEP").is_none() {
        eprintln!("skipped: LARDER_DEEP is not set");
        return Ok(());
    }
    const MEMORY_WANTED: u64 = 12 << 30;
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    if kilobytes(&memory, "MemAvailable:")? < MEMORY_WANTED >> 10 {
        eprintln!("skipped: three nodes and a value of 512 MB want 12 GB of memory");
        return Ok(());
    }
    travels(&Cluster::of(3)?, 512 << 20)
}
