//! Signals and limits of processes.

use std::process::Child;

use rustix::process::{Pid, Resource, Rlimit, Signal};

use crate::failure::{Checked, Failure};

/// Sends a signal to a process that this one has started.
///
/// # Errors
/// What the system says.
pub fn send_signal(child: &Child, signal: Signal) -> Checked {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Failure::new("a process without a number"))?;
    rustix::process::kill_process(pid, signal)
        .map_err(|error| Failure::new(format!("signalling process {}: {error}", child.id())))
}

/// Raises the limit of open files to `wanted` if the system lets it; gives what it is then.
#[must_use]
pub fn raise_open_files(wanted: u64) -> u64 {
    let now = rustix::process::getrlimit(Resource::Nofile);
    let current = now.current.unwrap_or(u64::MAX);
    if current >= wanted {
        return current;
    }
    let maximum = now.maximum.unwrap_or(u64::MAX);
    // Root may go beyond the hard limit; who may not goes up to it.
    for (current, maximum) in [
        (wanted, maximum.max(wanted)),
        (maximum.min(wanted), maximum),
    ] {
        let limit = Rlimit {
            current: Some(current),
            maximum: Some(maximum),
        };
        if rustix::process::setrlimit(Resource::Nofile, limit).is_ok() {
            return current;
        }
    }
    current
}
