//! LATENCY: what took long, and how long each kind of command takes.

use larder_commands::args::Args;
use larder_commands::error::{CommandError, echo};
use larder_commands::table::{self, Found};

use super::Outcome;
use crate::client::{Connection, Step};
use crate::latency::Event;

/// How many lines a graph has.
const GRAPH_ROWS: u64 = 4;
/// How many of the latest samples a graph shows.
const GRAPH_COLUMNS: usize = 80;

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn latest(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let events = connection.server.latency.events();
    let reply = &mut connection.reply;
    reply.array(events.len());
    for (name, event) in events {
        let last = event.samples.back();
        reply.array(4);
        reply.bulk(name.as_bytes());
        reply.integer(integer(last.map_or(0, |sample| sample.unix_s)));
        reply.integer(integer(last.map_or(0, |sample| sample.ms)));
        reply.integer(integer(event.max_ms));
    }
    Ok(Step::Done)
}

pub(super) fn history(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let event = connection.server.latency.event(args.at(2));
    let samples = event.unwrap_or_default().samples;
    let reply = &mut connection.reply;
    reply.array(samples.len());
    for sample in samples {
        reply.array(2);
        reply.integer(integer(sample.unix_s));
        reply.integer(integer(sample.ms));
    }
    Ok(Step::Done)
}

/// RESET: how many kinds of events were forgotten.
pub(super) fn reset(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let names = args.from(2);
    let forgotten = connection.server.latency.forget(|name| {
        names.is_empty()
            || names
                .iter()
                .any(|asked| asked.eq_ignore_ascii_case(name.as_bytes()))
    });
    connection.reply.count(forgotten);
    Ok(Step::Done)
}

pub(super) fn graph(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let event = connection.server.latency.event(args.at(2)).ok_or_else(|| {
        CommandError::Text(format!(
            "ERR No samples available for event '{}'",
            echo(args.at(2))
        ))
    })?;
    let text = drawn(&echo(args.at(2)), &event);
    connection.reply.verbatim(*b"txt", text.as_bytes());
    Ok(Step::Done)
}

/// A heading and a column per sample, the oldest first.
fn drawn(name: &str, event: &Event) -> String {
    let skipped = event.samples.len().saturating_sub(GRAPH_COLUMNS);
    let shown: Vec<u64> = event.samples.iter().skip(skipped).map(|s| s.ms).collect();
    let (low, high) = (shown.iter().min(), shown.iter().max());
    let (low, high) = (low.copied().unwrap_or(0), high.copied().unwrap_or(0));
    let mut text = format!(
        "{name} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        event.max_ms,
        "-".repeat(GRAPH_COLUMNS)
    );
    for row in (0..GRAPH_ROWS).rev() {
        let line: String = shown
            .iter()
            .map(|ms| {
                // From 0 for the lowest to the number of lines less one for the highest.
                let height = (ms - low) * (GRAPH_ROWS - 1) / (high - low).max(1);
                match height.cmp(&row) {
                    std::cmp::Ordering::Less => ' ',
                    std::cmp::Ordering::Equal => '#',
                    std::cmp::Ordering::Greater => '|',
                }
            })
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// HISTOGRAM: of each command that ran, how many calls were done within how many microseconds.
pub(super) fn histogram(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let names = args.from(2);
    let is_asked = |name: &[u8], row: &str| {
        let row = row.as_bytes();
        let (command, rest) = row.split_at_checked(name.len()).unwrap_or((row, b""));
        command.eq_ignore_ascii_case(name) && (rest.is_empty() || rest.starts_with(b"|"))
    };
    let stats = &connection.server.stats;
    let ran: Vec<_> = table::rows()
        .filter(|Found { command, .. }| {
            names.is_empty() || names.iter().any(|name| is_asked(name, command.name))
        })
        .filter_map(|Found { command, number }| {
            let row = stats.rows.get(number)?;
            let histogram = row.histogram();
            let calls = histogram.last()?.1;
            Some((command.name, calls, histogram))
        })
        .collect();
    let reply = &mut connection.reply;
    reply.map(ran.len());
    for (name, calls, histogram) in ran {
        reply.bulk(name.as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.integer(integer(calls));
        reply.bulk(b"histogram_usec");
        reply.map(histogram.len());
        for (microseconds, calls) in histogram {
            reply.integer(integer(microseconds));
            reply.integer(integer(calls));
        }
    }
    Ok(Step::Done)
}

pub(super) fn doctor(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let threshold = connection.server.settings().latency_monitor_threshold;
    let events = connection.server.latency.events();
    let mut text = if threshold == 0 {
        "Larder notes no latency events now: set 'latency-monitor-threshold' to the milliseconds \
         from which on they count. "
            .to_owned()
    } else if events.is_empty() {
        format!("No event took {threshold} ms or more. ")
    } else {
        format!("Events that took {threshold} ms or more:\n")
    };
    for (name, event) in &events {
        text.push_str(&format!(
            "{name}: in {} of the latest seconds, {} ms at worst.\n",
            event.samples.len(),
            event.max_ms
        ));
    }
    text.push_str("SLOWLOG GET shows slow commands, LATENCY HISTOGRAM how long each kind takes.\n");
    connection.reply.verbatim(*b"txt", text.as_bytes());
    Ok(Step::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Sample;

    #[test]
    fn a_graph_has_a_column_per_sample() {
        let mut event = Event {
            max_ms: 40,
            ..Event::default()
        };
        for (unix_s, ms) in [(1, 10), (2, 40), (3, 20)] {
            event.samples.push_back(Sample { unix_s, ms });
        }
        let text = drawn("command", &event);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines.first(),
            Some(&"command - high 40 ms, low 10 ms (all time high 40 ms)")
        );
        assert_eq!(lines.get(2..), Some(&[" #", " |", " |#", "#||"][..]));
    }
}
