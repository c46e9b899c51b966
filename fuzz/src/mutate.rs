//! Damage: bytes changed, cut, repeated, swapped and spliced, and numbers at their ends.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// The longest input that is made; long enough for lengths of three bytes.
const INPUT_BYTES_MAX: usize = 1 << 17;

/// What breaks decoders: ends of numbers as varints and fixed integers, marks of protocols.
const SPICES: &[&[u8]] = &[
    &[0],
    &[0x7f],
    &[0x80],
    &[0xff],
    &[0xff; 4],
    &[0xff; 8],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
    &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0, 0, 0, 0, 0],
    b"\r\n",
    b"\n",
    b"*-1\r\n",
    b"*1048576\r\n",
    b"$0\r\n\r\n",
    b"$536870912\r\n",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"18446744073709551615",
    b"1e400",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"~1~0",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":",
    b"\xc3\x28",
    b"= ",
];

/// Makes inputs from a seed.
pub(crate) struct Mutator {
    random: StdRng,
}

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
        }
    }

    fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end.max(1))
    }

    /// The next input: one of `seeds`, damaged in one to eight places.
    pub(crate) fn next(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let at = self.below(seeds.len());
        let mut input = seeds.get(at).cloned().unwrap_or_default();
        for _ in 0..=self.below(8) {
            self.damage(&mut input, seeds);
            input.truncate(INPUT_BYTES_MAX);
        }
        input
    }

    /// A range within `length`, short more often than long.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let longest = if self.below(4) == 0 { length } else { 16 };
        let end = (start + self.below(longest + 1)).min(length);
        start..end
    }

    fn damage(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let range = self.range(input.len());
        match self.below(8) {
            0 => {
                if let Some(byte) = input.get_mut(range.start) {
                    *byte ^= 1 << self.random.random_range(0..8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(range.start) {
                    *byte = byte
                        .wrapping_add(self.random.random_range(0..3))
                        .wrapping_sub(1);
                }
            }
            2 => {
                let byte: u8 = self.random.random();
                input.insert(range.start, byte);
            }
            3 => drop(input.drain(range)),
            4 => input.truncate(range.start),
            5 => {
                let spice = SPICES.get(self.below(SPICES.len())).copied();
                input.splice(range, spice.unwrap_or_default().iter().copied());
            }
            6 => {
                let part: Vec<u8> = input.get(range.clone()).unwrap_or_default().to_vec();
                let times = 1 + self.below(64);
                let again = part.repeat(times);
                input.splice(range.end..range.end, again);
            }
            _ => {
                let at = self.below(seeds.len());
                let other = seeds.get(at).cloned().unwrap_or_default();
                let part = self.range(other.len());
                let part = other.get(part).unwrap_or_default();
                input.splice(range, part.iter().copied());
            }
        }
    }
}
