//! Commands that wait for an element: on one node and across nodes, in the order of arrival, and
//! nothing is left of a client that has gone.

use std::time::Duration;

use larder_tests::failure::ensure;
use larder_tests::value::text;
use larder_tests::wait::{PATIENCE, until};
use larder_tests::{Checked, Client, Cluster};

fn send(client: &mut Client, line: &str) -> Checked {
    client.send_words(&line.split(' ').collect::<Vec<_>>())
}

fn comes(client: &mut Client, wanted: &str) -> Checked {
    let seen = text(&client.reply()?);
    ensure(seen == wanted, || format!("expected {wanted}, saw {seen}"))
}

/// Waits until so many clients wait on a node.
fn wait_for(cluster: &Cluster, node: usize, count: usize) -> Checked {
    until("clients wait", PATIENCE, || {
        let info = cluster.node(node).ask("INFO clients")?;
        let wanted = format!("blocked_clients:{count}\r\n");
        ensure(info.contains(&wanted), || info.clone())
    })
}

#[test]
fn a_client_waits_for_an_element_wherever_its_key_is() -> Checked {
    let cluster = Cluster::of(3)?;
    cluster.level()?;
    let mut clients = Vec::new();
    // Keys that different nodes lead.
    for number in 0..12 {
        let mut client = cluster.client(0)?;
        send(&mut client, &format!("BLPOP none{number} list{number} 60"))?;
        clients.push(client);
    }
    wait_for(&cluster, 0, 12)?;
    for (number, client) in clients.iter_mut().enumerate() {
        let pushed = format!("RPUSH list{number} a b");
        cluster.client(1 + number % 2)?.says(&pushed, ":2")?;
        comes(client, &format!("[list{number}, a]"))?;
    }
    wait_for(&cluster, 0, 0)?;
    for number in 0..12 {
        let line = format!("BLMPOP 1 2 none{number} list{number} RIGHT COUNT 5");
        cluster
            .client(2)?
            .says(&line, &format!("[list{number}, [b]]"))?;
    }
    Ok(())
}

#[test]
fn waiting_clients_are_served_in_the_order_of_their_arrival() -> Checked {
    let cluster = Cluster::of(1)?;
    let mut clients = Vec::new();
    for count in 1..=5 {
        let mut client = cluster.client(0)?;
        send(&mut client, "BRPOP k 0")?;
        clients.push(client);
        wait_for(&cluster, 0, count)?;
    }
    cluster.client(0)?.says("LPUSH k a b c", ":3")?;
    for (client, value) in clients.iter_mut().zip(["a", "b", "c"]) {
        comes(client, &format!("[k, {value}]"))?;
    }
    cluster.client(0)?.says("RPUSH k d", ":1")?;
    comes(&mut clients[3], "[k, d]")?;
    cluster.client(0)?.says("RPUSH k e f", ":2")?;
    comes(&mut clients[4], "[k, f]")?;
    cluster.client(0)?.says("LRANGE k 0 -1", "[e]")
}

#[test]
fn a_client_that_has_gone_takes_nothing_with_it() -> Checked {
    let cluster = Cluster::of(1)?;
    let mut gone = cluster.client(0)?;
    send(&mut gone, "BLPOP k 0")?;
    wait_for(&cluster, 0, 1)?;
    let mut next = cluster.client(0)?;
    send(&mut next, "BLPOP k 0")?;
    wait_for(&cluster, 0, 2)?;
    drop(gone);
    wait_for(&cluster, 0, 1)?;
    cluster.client(0)?.says("RPUSH k a", ":1")?;
    comes(&mut next, "[k, a]")?;
    wait_for(&cluster, 0, 0)
}

#[test]
fn waiting_ends_by_time_by_another_client_and_by_kill() -> Checked {
    let cluster = Cluster::of(1)?;
    let mut client = cluster.client(0)?;
    let mut other = cluster.client(0)?;
    client.says("BLPOP k 0.01", "nil")?;
    client.says("BLMOVE k l LEFT LEFT 0.01", "nil")?;
    let id = client.ask("CLIENT ID")?;
    let id = id.trim_start_matches(':');
    other.says(&format!("CLIENT UNBLOCK {id}"), ":0")?;
    for (how, wanted) in [
        ("", "nil"),
        (" TIMEOUT", "nil"),
        (" ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK"),
    ] {
        send(&mut client, "BRPOPLPUSH k l 0")?;
        // What was sent behind it is answered behind it.
        send(&mut client, "ECHO behind")?;
        wait_for(&cluster, 0, 1)?;
        other.says(&format!("CLIENT UNBLOCK {id}{how}"), ":1")?;
        comes(&mut client, wanted)?;
        comes(&mut client, "behind")?;
    }
    send(&mut client, "BLPOP k 0")?;
    wait_for(&cluster, 0, 1)?;
    other.says(&format!("CLIENT KILL ID {id}"), ":1")?;
    wait_for(&cluster, 0, 0)
}

#[test]
fn nothing_waits_in_a_transaction_and_errors_come_at_once() -> Checked {
    let cluster = Cluster::of(1)?;
    let mut client = cluster.client(0)?;
    client.set_patience(Duration::from_secs(10))?;
    for line in [
        "MULTI",
        "BLPOP k 0",
        "BLMOVE k l LEFT RIGHT 0",
        "BLMPOP 0 1 k LEFT",
    ] {
        client.ask(line)?;
    }
    client.says("EXEC", "[nil, nil, nil]")?;
    client.says("SET s 1", "+OK")?;
    client.begins("BLPOP s 0", "-WRONGTYPE")?;
    for (line, wanted) in [
        ("BLPOP k x", "-ERR timeout is not a float or out of range"),
        ("BLPOP k -1", "-ERR timeout is negative"),
        (
            "BLMPOP x 1 k LEFT",
            "-ERR timeout is not a float or out of range",
        ),
        ("BLMPOP 0 0 k LEFT", "-ERR numkeys should be greater than 0"),
        ("BLMOVE k l LEFT x 0", "-ERR syntax error"),
    ] {
        client.says(line, wanted)?;
    }
    Ok(())
}
