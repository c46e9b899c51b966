//! The comparisons: which servers meet which loads.

use std::process::Command;
use std::time::Duration;

use crate::cases::{self, Case};
use crate::measure::{Measured, measure};
use crate::report::{Figure, Report};
use crate::servers::Server;
use crate::wire::Wire;
use crate::{Options, big, elements, memory};

type Suite = fn(&Options, &mut Report) -> Result<(), String>;

/// All suites, in the order in which they run.
pub(crate) const NAMES: &[(&str, Suite)] = &[
    ("single", single),
    ("always", always),
    ("types", types),
    ("elements", elements::run),
    ("big", big::run),
    ("cluster", cluster),
    ("start", start),
    ("memory", memory::run),
];

/// Runs the suites that were asked for.
pub(crate) fn run(options: &Options) -> Result<Report, String> {
    for tool in ["redis-server", "redis-benchmark"] {
        if Command::new(tool).arg("--version").output().is_err() {
            return Err(format!(
                "{tool} is not installed (Debian: redis-server, redis-tools)"
            ));
        }
    }
    let mut report = Report::default();
    for (name, suite) in NAMES {
        if options.suites.iter().any(|asked| asked == name) {
            suite(options, &mut report)?;
        }
    }
    Ok(report)
}

/// Interleaved rounds of every case against both.
fn compare(
    suite: &str,
    options: &Options,
    cases: &[Case],
    larder: &[Server],
    peer: &[Server],
    report: &mut Report,
) -> Result<(), String> {
    for case in cases {
        let row = case.row;
        if !options.wants(&format!("{} -P{}", row.name, case.pipeline)) {
            continue;
        }
        let mut servers = larder.iter().chain(peer);
        if !servers.try_fold(true, |all, server| {
            Ok::<_, String>(all && server.has(row.needs)?)
        })? {
            report.not_built(suite, row.name, row.needs);
            continue;
        }
        let (mut ours, mut theirs): (Vec<Measured>, Vec<Measured>) = (Vec::new(), Vec::new());
        for round in 0..options.rounds {
            // The order changes, so that neither always meets the warmer machine.
            if round % 2 == 0 {
                ours.push(measure(case, larder, round)?);
            }
            if !peer.is_empty() {
                theirs.push(measure(case, peer, round)?);
            }
            if round % 2 == 1 {
                ours.push(measure(case, larder, round)?);
            }
        }
        report.add(suite, case, &ours, &theirs);
    }
    Ok(())
}

/// A node and a Redis that sync alike, and all cases against both; gives the two.
fn against_redis(
    suite: &str,
    durability: &str,
    cases: &[Case],
    options: &Options,
    report: &mut Report,
) -> Result<[Server; 2], String> {
    let larder = Server::larder(&options.server, durability, &[])?;
    let redis = Server::redis(durability)?;
    let servers = [larder, redis];
    let (ours, theirs) = servers.split_at(1);
    compare(suite, options, cases, ours, theirs, report)?;
    Ok(servers)
}

fn single(options: &Options, report: &mut Report) -> Result<(), String> {
    let cases = cases::single(options.quick);
    let servers = against_redis("single", "everysec", &cases, options, report)?;
    for server in &servers {
        footprint("single", server, report);
    }
    Ok(())
}

/// Every default test of redis-benchmark.
fn types(options: &Options, report: &mut Report) -> Result<(), String> {
    let cases = cases::types(options.quick);
    against_redis("types", "everysec", &cases, options, report).map(|_| ())
}

fn footprint(suite: &str, server: &Server, report: &mut Report) {
    const MB: f64 = 1e6;
    for (what, bytes) in [
        ("memory", server.resident_bytes()),
        ("disk", server.disk_bytes()),
    ] {
        report.figure(Figure {
            name: format!("{suite}: {} of {}", what, server.name),
            value: bytes as f64 / MB,
            unit: "MB",
            at_most: None,
        });
    }
}

fn always(options: &Options, report: &mut Report) -> Result<(), String> {
    let cases = cases::always(options.quick);
    against_redis("always", "always", &cases, options, report).map(|_| ())
}

/// Three nodes that share a secret and have three replicas; each round goes through another one.
fn cluster(options: &Options, report: &mut Report) -> Result<(), String> {
    let secret = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    std::fs::write(
        secret.path(),
        "a secret of the benchmark only, 32 bytes and more",
    )
    .map_err(|error| error.to_string())?;
    let shared = ("--cluster-secret-file", secret.path().display().to_string());
    let first = Server::larder(&options.server, "everysec", std::slice::from_ref(&shared))?;
    let seed = peer_address(&first)?;
    let mut nodes = vec![first];
    for _ in 0..2 {
        let more = [shared.clone(), ("--join", seed.clone())];
        nodes.insert(0, Server::larder(&options.server, "everysec", &more)?);
    }
    await_joined(&nodes)?;
    compare(
        "cluster",
        options,
        &cases::cluster(options.quick),
        &nodes,
        &[],
        report,
    )
}

/// Where a node listens for peers, as it has written down.
fn peer_address(server: &Server) -> Result<String, String> {
    let file = server.path().join("data/node.json");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("node.json: {error}"))?;
    let node: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| format!("node.json: {error}"))?;
    let port = node["peer_ports"][0]
        .as_u64()
        .ok_or("node.json names no port for peers")?;
    Ok(format!("127.0.0.1:{port}"))
}

/// Waits until every node knows all as up and has the copies that it is to have.
fn await_joined(nodes: &[Server]) -> Result<(), String> {
    let has_joined = |node: &Server| {
        Ok::<_, String>(
            node.info("ring_nodes_up")? == nodes.len() as u64
                && node.info("partitions_missing_copies")? == 0
                && node.info("partitions_being_filled")? == 0,
        )
    };
    for _ in 0..600 {
        if nodes
            .iter()
            .try_fold(true, |all, node| Ok::<_, String>(all && has_joined(node)?))?
        {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err("the nodes did not find each other within a minute".to_owned())
}

/// How long a node with a million keys takes to its first reply.
fn start(options: &Options, report: &mut Report) -> Result<(), String> {
    let server = Server::larder(&options.server, "everysec", &[])?;
    let line = "SET key:{n} a-value-of-32-bytes-for:{n}";
    Wire::connect(&server)?.fill(line, cases::KEYS, |_| {})?;
    let (server, took) = server.restart_larder(&options.server)?;
    report.figure(Figure {
        name: "start with a million keys, to the first reply".to_owned(),
        value: took.as_secs_f64() * 1e3,
        unit: "ms",
        at_most: Some(2_000.0),
    });
    drop(server);
    Ok(())
}
