//! What writing, finding and taking one element costs in collections of ten to ten million, and
//! what it costs to delete them.

use std::time::Duration;

use crate::Options;
use crate::measure::median;
use crate::report::{Report, Series};
use crate::servers::Server;
use crate::wire::Wire;

/// A type with three commands on one element; `{n}` is its number.
struct Kind {
    name: &'static str,
    needs: &'static [&'static str],
    write: &'static str,
    find: &'static str,
    take: &'static str,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "set",
        needs: &["SADD", "SISMEMBER", "SPOP"],
        write: "SADD big member:{n}",
        find: "SISMEMBER big member:{n}",
        take: "SPOP big",
    },
    Kind {
        name: "hash",
        needs: &["HSET", "HEXISTS", "HDEL"],
        write: "HSET big field:{n} value:{n}",
        find: "HEXISTS big field:{n}",
        take: "HDEL big field:{n}",
    },
    Kind {
        name: "zset",
        needs: &["ZADD", "ZSCORE", "ZPOPMIN"],
        write: "ZADD big {n} member:{n}",
        find: "ZSCORE big member:{n}",
        take: "ZPOPMIN big",
    },
    Kind {
        name: "list",
        needs: &["RPUSH", "LINDEX", "LPOP"],
        write: "RPUSH big value:{n}",
        find: "LINDEX big 0",
        take: "LPOP big",
    },
];

/// Commands of a batch: few, so that the smallest collection stays small.
const BATCH: usize = 10;
/// The most that the largest collection may cost, times the smallest.
const GROWTH_MAX: f64 = 2.0;
/// DEL is compared with that of so many elements.
const DELETED_MIN: usize = 1_000;

/// Measures each type on a node and on a Redis.
pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), String> {
    let mut sizes = vec![10, 1_000, 100_000, 1_000_000];
    if !options.quick {
        sizes.push(10_000_000);
    }
    for kind in KINDS.iter().filter(|kind| options.wants(kind.name)) {
        let larder = Server::larder(&options.server, "everysec", &[])?;
        let missing = |needs: &&str| match larder.has(needs) {
            Ok(is_there) => (!is_there).then(|| Ok((*needs).to_owned())),
            Err(error) => Some(Err(error)),
        };
        if let Some(missing) = kind.needs.iter().find_map(missing) {
            report.not_built("big", kind.name, &missing?);
            continue;
        }
        for server in [larder, Server::redis("everysec")?] {
            grow(&server, kind, &sizes, options, report)?;
        }
    }
    Ok(())
}

/// Lets one collection grow from size to size and measures at each.
fn grow(
    server: &Server,
    kind: &Kind,
    sizes: &[usize],
    options: &Options,
    report: &mut Report,
) -> Result<(), String> {
    let is_larder = server.is_larder();
    let series = |what: &str| Series {
        name: format!("big: {} {what}, {}", kind.name, server.name),
        unit: "µs",
        points: Vec::new(),
        growth_max: is_larder.then_some(GROWTH_MAX),
    };
    let mut elements = ["write", "find", "take"].map(series);
    let mut deletes = series("DEL");
    let mut wire = Wire::connect(server)?;
    for &size in sizes {
        eprintln!("{}: {} of {size}", server.name, kind.name);
        wire.fill(kind.write, size, |_| {})?;
        let costs = on_elements(&mut wire, kind, size, options.quick)?;
        for (series, cost) in elements.iter_mut().zip(costs) {
            series.points.push((size, cost));
        }
        let cost = on_delete(&mut wire, kind, size)?;
        if size >= DELETED_MIN {
            deletes.points.push((size, cost));
        }
    }
    for series in elements.into_iter().chain([deletes]) {
        report.series(series);
    }
    Ok(())
}

/// Microseconds of a write, a look and a removal, medians of batches. After each round the
/// collection has `size` elements again.
fn on_elements(wire: &mut Wire, kind: &Kind, size: usize, quick: bool) -> Result<[f64; 3], String> {
    let rounds = if quick { 200 } else { 2_000 };
    let mut costs = [const { Vec::new() }; 3];
    for round in 0..rounds {
        let first = size + round * BATCH;
        // A stride that has no factor in common with the sizes meets all of them.
        let known = |n: usize| (n * 7_919_317) % size;
        let steps: [(&str, &dyn Fn(usize) -> usize); 3] = [
            (kind.write, &|n| n),
            (kind.find, &known),
            (kind.take, &|n| n),
        ];
        for ((line, number), costs) in steps.into_iter().zip(&mut costs) {
            for n in first..first + BATCH {
                wire.push_line(line, number(n));
            }
            costs.push(micros(wire.run()?) / BATCH as f64);
        }
    }
    Ok(costs.map(median))
}

/// Microseconds of deleting a collection of `size`, the median of some; at the end none is left.
fn on_delete(wire: &mut Wire, kind: &Kind, size: usize) -> Result<f64, String> {
    let samples = match size {
        ..DELETED_MIN => 1,
        _ => (3_000_000 / size).clamp(3, 51),
    };
    let mut costs = Vec::new();
    for sample in 0..samples {
        if sample > 0 {
            wire.fill(kind.write, size, |_| {})?;
        }
        costs.push(micros(wire.ask("DEL big")?));
    }
    Ok(median(costs))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
