//! What the system says of this process.

use std::fs;

/// Memory of the process.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    /// Bytes in memory now.
    pub(super) resident_bytes: u64,
    /// The most that it ever was.
    pub(super) peak_bytes: u64,
    /// All memory of the machine.
    pub(super) total_bytes: u64,
}

/// The number behind `name` in lines of `name: number kB`.
fn kilobytes(text: &str, name: &str) -> u64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

/// Memory, as far as the system tells; 0 otherwise.
pub(super) fn memory() -> Memory {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let machine = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    Memory {
        resident_bytes: kilobytes(&status, "VmRSS"),
        peak_bytes: kilobytes(&status, "VmHWM"),
        total_bytes: kilobytes(&machine, "MemTotal"),
    }
}

/// Seconds of processor time: of the system for this process, and of the process itself.
pub(super) fn cpu_seconds() -> (f64, f64) {
    // The name of the program may hold blanks and parentheses: what counts is behind the last one.
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let field = |index: usize| {
        let ticks = fields
            .split_whitespace()
            .nth(index)
            .and_then(|field| field.parse().ok());
        // Linux counts a hundred ticks per second for all programs, whatever it uses itself.
        ticks.unwrap_or(0.0) / 100.0
    };
    (field(12), field(11))
}

/// The name and version of the system.
pub(super) fn system() -> String {
    let word = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
        text.trim().to_owned()
    };
    format!(
        "{} {} {}",
        word("ostype"),
        word("osrelease"),
        std::env::consts::ARCH
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_kilobytes_are_read() {
        let text = "VmPeak:\t  10 kB\nVmRSS:\t   3 kB\nVmRSSx:  9 kB\n";
        assert_eq!(kilobytes(text, "VmRSS"), 3072);
        assert_eq!(kilobytes(text, "VmHWM"), 0);
    }

    #[test]
    fn the_process_has_memory_and_time() {
        assert!(memory().resident_bytes > 0);
        let (system, user) = cpu_seconds();
        assert!(system >= 0.0 && user >= 0.0);
    }
}
