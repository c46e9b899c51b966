//! Tables for people, JSON for machines.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::cases::Case;
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

/// What one thing costs as something grows.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Series {
    /// What it is.
    pub(crate) name: String,
    /// Of what.
    pub(crate) unit: &'static str,
    /// Sizes and costs, by size.
    pub(crate) points: Vec<(usize, f64)>,
    /// The most that the last may be, times the first.
    pub(crate) growth_max: Option<f64>,
}

/// A load for which a command is not there yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct NotBuilt {
    suite: String,
    case: String,
    command: String,
}

/// Everything that was measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    lines: Vec<Line>,
    figures: Vec<Figure>,
    series: Vec<Series>,
    not_built: Vec<NotBuilt>,
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
        let floors = case.floors;
        let is_at_most = |ratio: Option<f64>, most: Option<f64>| {
            let pair = ratio.zip(most);
            pair.is_none_or(|(ratio, most)| ratio <= most)
        };
        let floors_held = floors.throughput_min.map(|least| {
            throughput_ratio.is_some_and(|ratio| ratio >= least)
                && is_at_most(cpu_ratio, floors.cpu_max)
                && is_at_most(p99_ratio, floors.p99_max)
        });
        let line = Line {
            suite: suite.to_owned(),
            case: case.row.name.to_owned(),
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

    /// Adds a series.
    pub(crate) fn series(&mut self, series: Series) {
        eprintln!("{}", series.text());
        self.series.push(series);
    }

    /// Notes that a load was passed over, as the server does not know `command`.
    pub(crate) fn not_built(&mut self, suite: &str, case: &str, command: &str) {
        let passed_over = NotBuilt {
            suite: suite.to_owned(),
            case: case.to_owned(),
            command: command.to_owned(),
        };
        if !self.not_built.contains(&passed_over) {
            eprintln!("{}", passed_over.text());
            self.not_built.push(passed_over);
        }
    }

    /// Prints the tables, and writes everything as JSON.
    pub(crate) fn print_and_write(&self, file: &Path) -> ExitCode {
        let mut out = std::io::stdout().lock();
        let mut text = String::from(
            "suite    case         -P   larder k/s  peer k/s  ratio   CPU µs  peer µs  ratio   \
             p50 ms  p99 ms  ratio  floors\n",
        );
        let lines = self.lines.iter().map(Line::text);
        let figures = self.figures.iter().map(Figure::text);
        let series = self.series.iter().map(Series::text);
        let not_built = self.not_built.iter().map(NotBuilt::text);
        for line in lines.chain(figures).chain(series).chain(not_built) {
            text.push_str(&line);
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
            "{:8} {:12} {:3} {:10.1} {:>9} {:>6}  {:7.2} {:>8} {:>6}  {:7.3} {:7.3} {:>6}  {}",
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

impl Series {
    fn text(&self) -> String {
        let points = self.points.iter();
        let points: Vec<String> = points
            .map(|(size, cost)| format!("{cost:.1} at {size}"))
            .collect();
        let growth = match (self.points.first(), self.points.last()) {
            (Some((_, first)), Some((_, last))) if *first > 0.0 => last / first,
            _ => 1.0,
        };
        let verdict = match self.growth_max {
            None => String::new(),
            Some(most) if growth <= most => format!(" (at most {most:.1}: held)"),
            Some(most) => format!(" (at most {most:.1}: MISSED)"),
        };
        let (name, unit) = (&self.name, self.unit);
        format!(
            "{name}: {unit} {}; grows {growth:.2}x{verdict}",
            points.join(", ")
        )
    }
}

impl NotBuilt {
    fn text(&self) -> String {
        let (suite, case, command) = (&self.suite, &self.case, &self.command);
        format!("{suite:8} {case:12} not built: there is no {command} yet")
    }
}
