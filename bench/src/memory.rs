//! How much memory a node takes while it holds ten times more than its cache.

use std::time::{Duration, Instant};

use crate::Options;
use crate::report::{Figure, Report};
use crate::servers::Server;
use crate::wire::Wire;

const VALUE_BYTES: usize = 1024;
/// What a node may take beside its cache.
const BESIDE_CACHE_MB: f64 = 300.0;
/// Commands between two looks at the memory.
const BATCH: usize = 1_000;
/// How often a word about the way goes to stderr.
const PROGRESS: Duration = Duration::from_secs(5);

/// Writes every key once in no order, then reads and writes a fifth of them again.
pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), String> {
    let (keys, cache_mb) = if options.quick {
        (250_000, 32)
    } else {
        (2_500_000, 256)
    };
    let cache = ("--cache-size", format!("{cache_mb}mb"));
    let server = Server::larder(&options.server, "everysec", &[cache])?;
    let mut load = Load {
        wire: Wire::connect(&server)?,
        server,
        peak: 0,
    };
    load.pass("write", keys, keys, |wire, n| {
        wire.push(&[b"SET".as_slice(), &key(n), &value(n)]);
    })?;
    load.pass("read and write again", keys, keys / 5, |wire, n| {
        wire.push(&[b"GET".as_slice(), &key(n)]);
        wire.push(&[b"SET".as_slice(), &key(n), &value(n + keys)]);
    })?;
    report.figure(Figure {
        name: format!(
            "memory: peak over {:.1} GB of values, cache-size {cache_mb} MB",
            (keys * VALUE_BYTES) as f64 / 1e9
        ),
        value: load.peak as f64 / 1e6,
        unit: "MB",
        at_most: Some(f64::from(cache_mb << 20) / 1e6 + BESIDE_CACHE_MB),
    });
    Ok(())
}

struct Load {
    wire: Wire,
    server: Server,
    peak: u64,
}

impl Load {
    /// Runs `command` for `count` of the numbers below `keys`, none twice, and watches the memory.
    fn pass(
        &mut self,
        what: &str,
        keys: usize,
        count: usize,
        command: impl Fn(&mut Wire, usize),
    ) -> Result<(), String> {
        let began = Instant::now();
        let mut told = began;
        for done in 1..=count {
            // A prime that does not divide the number of keys meets each of them once.
            command(&mut self.wire, (done * 7_919_317) % keys);
            if done % BATCH == 0 || done == count {
                self.wire.run()?;
                self.peak = self.peak.max(self.server.resident_bytes());
            }
            if done == count || told.elapsed() >= PROGRESS {
                told = Instant::now();
                eprintln!(
                    "memory: {what}: {done} of {count} keys after {:.0} s, peak {:.0} MB",
                    began.elapsed().as_secs_f64(),
                    self.peak as f64 / 1e6
                );
            }
        }
        Ok(())
    }
}

fn key(n: usize) -> Vec<u8> {
    format!("key:{n:012}").into_bytes()
}

/// Bytes that no compression makes fewer.
fn value(seed: usize) -> Vec<u8> {
    let mut state = (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let words = (0..VALUE_BYTES / 8).flat_map(|_| {
        // Xorshift; see Marsaglia 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
}
