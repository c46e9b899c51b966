//! From a key to its place: hash tag, MD5, token, partition.
//!
//! A key's token is the MD5 of the key, read as a big-endian number; its partition is the top bits
//! of the token. A key that carries a `{hash tag}` is placed by the tag alone, so that
//! `{cart:7}:items` and `{cart:7}:total` live together and can change together.
//!
//! ```text
//!   key ──► tag or key ──MD5──► token  0x2f8c…            row order: the first 8 bytes of the MD5
//!                               └┬┘                       of the whole key, whatever the tag
//!                   top bits = partition 190 of 1024
//! ```

use md5::{Digest, Md5};

use crate::id::{PartitionId, Token};
use crate::limits::PARTITIONS_MAX;

/// How many partitions the ring has: a power of two, fixed when the cluster is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partitions {
    bits: u32,
}

impl Partitions {
    /// What a cluster gets unless told otherwise: 1024.
    pub const DEFAULT: Self = Self { bits: 10 };

    /// `count` partitions, if that is a power of two of at most [`PARTITIONS_MAX`].
    #[must_use]
    pub fn new(count: usize) -> Option<Self> {
        let possible = count.is_power_of_two() && count <= PARTITIONS_MAX;
        possible.then(|| Self {
            bits: count.trailing_zeros(),
        })
    }

    /// The number of partitions.
    #[inline]
    #[must_use]
    pub fn count(self) -> usize {
        1 << self.bits
    }

    /// The binary logarithm of [`Partitions::count`].
    #[must_use]
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// All partitions, clockwise.
    pub fn iter(self) -> impl Iterator<Item = PartitionId> {
        (0..self.count()).map(partition_at)
    }

    /// The first and the last token of `partition`.
    #[must_use]
    pub fn range(self, partition: PartitionId) -> (Token, Token) {
        assert!(
            partition.index() < self.count(),
            "a partition of another ring"
        );
        let last_offset = if self.bits == 0 {
            u128::MAX
        } else {
            u128::MAX >> self.bits
        };
        let first = if self.bits == 0 {
            0
        } else {
            u128::from(partition.0) << (128 - self.bits)
        };
        (Token(first), Token(first + last_offset))
    }
}

/// The partition at a position of a table of at most [`PARTITIONS_MAX`] rows.
pub(crate) fn partition_at(index: usize) -> PartitionId {
    PartitionId(u16::try_from(index).expect("a ring has at most 65536 partitions"))
}

impl Token {
    /// The partition that this token lies in.
    #[inline]
    #[must_use]
    pub fn partition(self, partitions: Partitions) -> PartitionId {
        // Two shifts, because a ring of one partition shifts by all 128 bits.
        PartitionId(((self.0 >> 1) >> (127 - partitions.bits)) as u16)
    }
}

/// Where a key lives, and where among the rows of its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPlace {
    /// The MD5 of the key's hash tag, or of the key where it has none.
    pub token: Token,
    /// The first eight bytes of the MD5 of the whole key.
    pub key_hash: u64,
}

impl KeyPlace {
    /// The place of `key`; one MD5 gives both parts unless the key has a hash tag.
    #[inline]
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        let whole = md5_number(key);
        let tag = hash_tag(key);
        let token = if tag.len() == key.len() {
            whole
        } else {
            md5_number(tag)
        };
        Self {
            token: Token(token),
            key_hash: (whole >> 64) as u64,
        }
    }

    /// The partition of the key.
    #[inline]
    #[must_use]
    pub fn partition(self, partitions: Partitions) -> PartitionId {
        self.token.partition(partitions)
    }
}

/// The token of `key`.
#[inline]
#[must_use]
pub fn key_token(key: &[u8]) -> Token {
    Token(md5_number(hash_tag(key)))
}

/// The first eight bytes of the MD5 of the whole key: the order of rows inside a partition.
#[inline]
#[must_use]
pub fn key_hash(key: &[u8]) -> u64 {
    (md5_number(key) >> 64) as u64
}

/// What Redis hashes of a key: the bytes between the first `{` and the first `}` after it, or the
/// whole key if there is no such pair or nothing between them.
#[inline]
#[must_use]
pub fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&byte| byte == b'{') else {
        return key;
    };
    let after = &key[open + 1..];
    match after.iter().position(|&byte| byte == b'}') {
        Some(length) if length > 0 => &after[..length],
        _ => key,
    }
}

#[inline]
pub(crate) fn md5_number(bytes: &[u8]) -> u128 {
    u128::from_be_bytes(Md5::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_tags_follow_the_rule_of_redis() {
        let cases: &[(&str, &str)] = &[
            ("plain", "plain"),
            ("{user1000}.following", "user1000"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("foo}bar{zap", "foo}bar{zap"),
            ("}{a}", "a"),
            ("{", "{"),
            ("", ""),
        ];
        for (key, tag) in cases {
            assert_eq!(hash_tag(key.as_bytes()), tag.as_bytes(), "{key}");
        }
    }

    /// Both numbers are part of what is stored: a release that changes them cannot read old data.
    #[test]
    fn the_place_of_a_key_never_changes() {
        let cases: &[(&str, u128, u64, u16)] = &[
            (
                "",
                0xd41d_8cd9_8f00_b204_e980_0998_ecf8_427e,
                0xd41d_8cd9_8f00_b204,
                848,
            ),
            (
                "abc",
                0x9001_5098_3cd2_4fb0_d696_3f7d_28e1_7f72,
                0x9001_5098_3cd2_4fb0,
                576,
            ),
            (
                "x{abc}",
                0x9001_5098_3cd2_4fb0_d696_3f7d_28e1_7f72,
                0x17c7_a02a_754d_73a7,
                576,
            ),
        ];
        for (key, token, hash, partition) in cases {
            let place = KeyPlace::of(key.as_bytes());
            assert_eq!(place.token, Token(*token), "{key}");
            assert_eq!(place.key_hash, *hash, "{key}: {:x}", place.key_hash);
            assert_eq!(
                place.partition(Partitions::DEFAULT),
                PartitionId(*partition),
                "{key}"
            );
            assert_eq!(place.token, key_token(key.as_bytes()));
            assert_eq!(place.key_hash, key_hash(key.as_bytes()));
        }
    }

    #[test]
    fn partitions_cover_the_ring_without_gap_or_overlap() {
        for count in [1, 2, 1024, PARTITIONS_MAX] {
            let partitions = Partitions::new(count).expect("a power of two");
            let mut next = 0u128;
            for partition in partitions.iter() {
                let (first, last) = partitions.range(partition);
                assert_eq!(first.0, next);
                assert_eq!(first.partition(partitions), partition);
                assert_eq!(last.partition(partitions), partition);
                next = last.0.wrapping_add(1);
            }
            assert_eq!(next, 0);
        }
        for count in [0, 3, 1000, PARTITIONS_MAX * 2] {
            assert_eq!(Partitions::new(count), None);
        }
    }
}
