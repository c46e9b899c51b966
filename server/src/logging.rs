//! What the node writes about itself: one line an event, to standard error or a file.
//!
//! An error is written where it is handled. *Error* means that somebody must act, *warn* that
//! something works worse than it should, *info* that something changed.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::Mutex;

use thiserror::Error;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;

use crate::settings::value::LogLevel;

/// Why the node cannot write about itself.
#[derive(Debug, Error)]
pub enum LogError {
    /// The file cannot be opened.
    #[error("cannot write the log {file}: {source}")]
    File {
        /// Its path.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// The process has a log already.
    #[error("the log was started before")]
    Started,
}

/// Changes how much is written.
#[derive(Debug, Clone)]
pub struct LogControl(reload::Handle<LevelFilter, Registry>);

impl LogControl {
    /// Writes from now on what `level` says.
    pub fn set_level(&self, level: LogLevel) {
        // It fails only after the log is gone, with the process.
        let _ = self.0.reload(filter(level));
    }
}

/// Starts the log of this process; an empty `file` is standard error.
///
/// # Errors
/// Any [`LogError`].
pub fn start(level: LogLevel, file: &Path) -> Result<LogControl, LogError> {
    let (outcome, control) = if file.as_os_str().is_empty() {
        let (log, control) = log(level, io::stderr, io::stderr().is_terminal());
        (tracing::subscriber::set_global_default(log), control)
    } else {
        let opened = OpenOptions::new().append(true).create(true).open(file);
        let shown = file.display().to_string();
        let opened = opened.map_err(|source| LogError::File {
            file: shown,
            source,
        })?;
        let (log, control) = log(level, Mutex::new(opened), false);
        (tracing::subscriber::set_global_default(log), control)
    };
    outcome.map_err(|_| LogError::Started)?;
    Ok(control)
}

/// A log that writes to `writer`.
fn log<W>(
    level: LogLevel,
    writer: W,
    is_coloured: bool,
) -> (impl Subscriber + Send + Sync, LogControl)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter(level));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(is_coloured);
    (
        Registry::default()
            .with(filter)
            .with(lines.with_target(false)),
        LogControl(handle),
    )
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::TRACE,
        LogLevel::Verbose => LevelFilter::DEBUG,
        LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_may_change_while_the_node_runs() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("log");
        let opened = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&file)
            .expect("writable");
        let (log, control) = log(LogLevel::Warning, Mutex::new(opened), false);
        tracing::subscriber::with_default(log, || {
            tracing::info!("too little");
            tracing::warn!(peer = 7, "a warning");
            control.set_level(LogLevel::Verbose);
            tracing::debug!("a detail");
            tracing::trace!("too much");
        });
        let text = std::fs::read_to_string(&file).expect("readable");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].ends_with(" WARN a warning peer=7"), "{text}");
        assert!(lines[1].ends_with("DEBUG a detail"), "{text}");
    }

    #[test]
    fn a_log_that_cannot_be_written_is_an_error() {
        let error = start(LogLevel::Notice, Path::new("/no/such/log")).expect_err("no directory");
        assert!(
            error
                .to_string()
                .starts_with("cannot write the log /no/such/log: "),
            "{error}"
        );
    }
}
