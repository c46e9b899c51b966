//! One load against one server: throughput and latency as redis-benchmark says, CPU as the system
//! says.

use std::process::Command;

use serde::Serialize;

use crate::cases::{CLIENTS, Case, KEYS};
use crate::servers::Server;

/// What one load showed.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Measured {
    /// Requests per second.
    pub(crate) per_second: f64,
    /// CPU of the servers' processes, in seconds per million requests.
    pub(crate) cpu_seconds_per_million: f64,
    /// Milliseconds.
    pub(crate) p50_ms: f64,
    /// Milliseconds.
    pub(crate) p99_ms: f64,
}

/// Runs a load through one of `servers`, another one each round; the CPU is that of all of them.
pub(crate) fn measure(case: &Case, servers: &[Server], round: usize) -> Result<Measured, String> {
    let first = servers.get(round % servers.len().max(1));
    let first = first.ok_or("no server to measure")?;
    if let Some((test, times)) = case.row.before {
        prepare(first, test, case.requests * times)?;
    }
    let cpu = || servers.iter().map(Server::cpu_seconds).sum::<f64>();
    let before = cpu();
    let run = Command::new("redis-benchmark")
        .args(["-h", "127.0.0.1", "-p", &first.port.to_string(), "--csv"])
        .args(["-n", &case.requests.to_string()])
        .args(["-c", &CLIENTS.to_string(), "-P", &case.pipeline.to_string()])
        .args(["-r", &KEYS.to_string()])
        .args(["-d", &case.row.value_bytes.to_string()])
        .args(match case.row.load {
            [test] => vec!["-t", test],
            words => words.to_vec(),
        })
        .output()
        .map_err(|error| format!("redis-benchmark does not run: {error}"))?;
    let spent = cpu() - before;
    let text = String::from_utf8_lossy(&run.stdout);
    let line = text
        .lines()
        .rfind(|line| line.starts_with('"') && !line.starts_with("\"test\""));
    let line = line.ok_or_else(|| {
        let why = String::from_utf8_lossy(&run.stderr);
        format!(
            "redis-benchmark said nothing of {} on {}: {why}",
            case.row.name, first.name
        )
    })?;
    let fields: Vec<f64> = line
        .split(',')
        .map(|f| f.trim_matches('"').parse().unwrap_or(0.0))
        .collect();
    let field = |at: usize| fields.get(at).copied().unwrap_or(0.0);
    Ok(Measured {
        per_second: field(1),
        cpu_seconds_per_million: spent * 1e6 / case.requests as f64,
        p50_ms: field(4),
        p99_ms: field(6),
    })
}

/// Runs a test of redis-benchmark for what it leaves.
fn prepare(server: &Server, test: &str, requests: usize) -> Result<(), String> {
    let run = Command::new("redis-benchmark")
        .args(["-h", "127.0.0.1", "-p", &server.port.to_string(), "-q"])
        .args(["-t", test, "-n", &requests.to_string(), "-P", "64"])
        .args(["-r", &KEYS.to_string()])
        .output()
        .map_err(|error| format!("redis-benchmark does not run: {error}"))?;
    if run.status.success() {
        Ok(())
    } else {
        Err(format!("{test} on {} failed", server.name))
    }
}

/// The middle one; of an even number, the lower of the two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(0.0)
}
