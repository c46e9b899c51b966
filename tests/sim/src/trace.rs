//! What happened in a run: a hash of everything, and lines of text if somebody reads them.

use std::fmt::Write as _;

/// The trace of one run.
#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    lines: Option<String>,
}

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Trace {
    /// A trace that also keeps text if `verbose`.
    #[must_use]
    pub fn new(verbose: bool) -> Self {
        Self {
            hash: 0,
            lines: verbose.then(String::new),
        }
    }

    /// Takes a number into the hash.
    pub fn mix(&mut self, number: u64) {
        self.hash = (self.hash.rotate_left(23) ^ number).wrapping_mul(FACTOR);
    }

    /// Takes bytes into the hash.
    pub fn mix_bytes(&mut self, bytes: &[u8]) {
        self.mix(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    /// Whether text is kept.
    #[must_use]
    pub fn is_verbose(&self) -> bool {
        self.lines.is_some()
    }

    /// Adds a line of text, made only if somebody reads it.
    pub fn line(&mut self, now_ms: u64, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            let _ = writeln!(lines, "{now_ms:>7} {}", text());
        }
    }

    /// The hash of everything so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The lines so far.
    #[must_use]
    pub fn text(&self) -> &str {
        self.lines.as_deref().unwrap_or_default()
    }
}
