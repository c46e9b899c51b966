//! Tables for people, JSON for machines.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::cases::{CPU_MAX, Case, P99_MAX};
use crate::measure::{Measured, median};

/// One case: medians of both servers, and medians of the rounds' ratios.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    suite: String,
    case: String,
    pipeline: usize,
    larder: Measured,
    peer: Option<Measured>,
    throughput_ratio: Option<f64>,
    cpu_ratio: Option<f64>,
    p99_ratio: Option<f64>,
    floors_held: Option<bool>,
}

/// A figure that is not a load.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// What it is.
    pub(crate) name: String,
    /// How much.
    pub(crate) value: f64,
    /// Of what.
    pub(crate) unit: &'static str,
    /// The most that it may be.
    pub(crate) at_most: Option<f64>,
}

/// Everything that was measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    lines: Vec<Line>,
    figures: Vec<Figure>,
}

fn middle(rounds: &[Measured]) -> Measured {
    let of = |pick: fn(&Measured) -> f64| median(rounds.iter().map(pick).collect());
    Measured {
        per_second: of(|m| m.per_second),
        cpu_seconds_per_million: of(|m| m.cpu_seconds_per_million),
        p50_ms: of(|m| m.p50_ms),
        p99_ms: of(|m| m.p99_ms),
    }
}

impl Report {
    /// Adds the rounds of a case; `peer` is empty where there is nothing to compare with.
    pub(crate) fn add(&mut self, suite: &str, case: &Case, larder: &[Measured], peer: &[Measured]) {
        let ratio = |pick: fn(&Measured) -> f64| {
            let ratios: Vec<f64> = larder
                .iter()
                .zip(peer)
                .filter(|(_, theirs)| pick(theirs) > 0.0)
                .map(|(ours, theirs)| pick(ours) / pick(theirs))
                .collect();
            (!ratios.is_empty()).then(|| median(ratios))
        };
        let throughput_ratio = ratio(|m| m.per_second);
        let cpu_ratio = ratio(|m| m.cpu_seconds_per_million);
        let p99_ratio = ratio(|m| m.p99_ms);
        let floors_held = (case.throughput_min > 0.0).then(|| {
            throughput_ratio.is_some_and(|ratio| ratio >= case.throughput_min)
                && cpu_ratio.is_none_or(|ratio| ratio <= CPU_MAX)
                && p99_ratio.is_none_or(|ratio| ratio <= P99_MAX)
        });
        let line = Line {
            suite: suite.to_owned(),
            case: case.name.to_owned(),
            pipeline: case.pipeline,
            larder: middle(larder),
            peer: (!peer.is_empty()).then(|| middle(peer)),
            throughput_ratio,
            cpu_ratio,
            p99_ratio,
            floors_held,
        };
        eprintln!("{}", line.text());
        self.lines.push(line);
    }

    /// Adds a figure.
    pub(crate) fn figure(&mut self, figure: Figure) {
        eprintln!("{}", figure.text());
        self.figures.push(figure);
    }

    /// Prints the tables, and writes everything as JSON.
    pub(crate) fn print_and_write(&self, file: &Path) -> ExitCode {
        let mut out = std::io::stdout().lock();
        let mut text = String::from(
            "suite    case    -P   larder k/s  peer k/s  ratio   CPU µs  peer µs  ratio   \
             p50 ms  p99 ms  ratio  floors\n",
        );
        for line in &self.lines {
            text.push_str(&line.text());
            text.push('\n');
        }
        for figure in &self.figures {
            text.push_str(&figure.text());
            text.push('\n');
        }
        let written = out.write_all(text.as_bytes()).and_then(|()| {
            if let Some(parent) = file.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(file, serde_json::to_vec_pretty(self).unwrap_or_default())
        });
        match written {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("larder-bench: the report cannot be written: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

impl Line {
    fn text(&self) -> String {
        let number = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let peer = self.peer;
        format!(
            "{:8} {:7} {:3} {:10.1} {:>9} {:>6}  {:7.2} {:>8} {:>6}  {:7.3} {:7.3} {:>6}  {}",
            self.suite,
            self.case,
            self.pipeline,
            self.larder.per_second / 1e3,
            number(peer.map(|m| m.per_second / 1e3), 1),
            number(self.throughput_ratio, 2),
            self.larder.cpu_seconds_per_million,
            number(peer.map(|m| m.cpu_seconds_per_million), 2),
            number(self.cpu_ratio, 2),
            self.larder.p50_ms,
            self.larder.p99_ms,
            number(self.p99_ratio, 2),
            match self.floors_held {
                None => "",
                Some(true) => "held",
                Some(false) => "MISSED",
            },
        )
    }
}

impl Figure {
    fn text(&self) -> String {
        let verdict = match self.at_most {
            None => String::new(),
            Some(most) if self.value <= most => format!("  (at most {most:.1}: held)"),
            Some(most) => format!("  (at most {most:.1}: MISSED)"),
        };
        format!("{}: {:.1} {}{verdict}", self.name, self.value, self.unit)
    }
}
