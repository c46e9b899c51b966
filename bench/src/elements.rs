//! What an element takes, on disk and in memory, in a collection of a million.

use crate::Options;
use crate::report::{Figure, Report};
use crate::servers::Server;
use crate::wire::Wire;

/// A type: what writes one of its elements, and the command that must be there.
struct Kind {
    name: &'static str,
    needs: &'static str,
    line: &'static str,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "string",
        needs: "SET",
        line: "SET key:{n} value:{n}",
    },
    Kind {
        name: "hash",
        needs: "HSET",
        line: "HSET big field:{n} value:{n}",
    },
    Kind {
        name: "set",
        needs: "SADD",
        line: "SADD big member:{n}",
    },
    Kind {
        name: "zset",
        needs: "ZADD",
        line: "ZADD big {n} member:{n}",
    },
    Kind {
        name: "list",
        needs: "RPUSH",
        line: "RPUSH big value:{n}",
    },
    Kind {
        name: "stream",
        needs: "XADD",
        line: "XADD big * field value:{n}",
    },
];

/// Fills fresh servers with one type after the other.
pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), String> {
    let count = if options.quick { 100_000 } else { 1_000_000 };
    for kind in KINDS.iter().filter(|kind| options.wants(kind.name)) {
        let larder = Server::larder(&options.server, "everysec", &[])?;
        if !larder.has(kind.needs)? {
            report.not_built("elements", kind.name, kind.needs);
            continue;
        }
        for server in [larder, Server::redis("everysec")?] {
            fill(&server, kind, count, report)?;
        }
    }
    Ok(())
}

fn fill(server: &Server, kind: &Kind, count: usize, report: &mut Report) -> Result<(), String> {
    let sizes = |server: &Server| -> Result<[u64; 2], String> {
        server.checkpoint()?;
        Ok([server.disk_bytes(), server.data_bytes()?])
    };
    let before = sizes(server)?;
    Wire::connect(server)?.fill(kind.line, count, |_| {})?;
    let after = sizes(server)?;
    let place = if server.is_larder() {
        "in cache"
    } else {
        "in memory"
    };
    for (at, place) in ["on disk", place].into_iter().enumerate() {
        report.figure(Figure {
            name: format!("elements: {} {place}, {}", kind.name, server.name),
            value: after[at].saturating_sub(before[at]) as f64 / count as f64,
            unit: "bytes",
            at_most: None,
        });
    }
    Ok(())
}
