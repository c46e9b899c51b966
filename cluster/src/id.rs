//! The names of nodes, partitions and points of the ring.

use std::fmt;

/// A node: 128 random bits, drawn once for a data directory. A wiped disk is a new node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u128);

impl NodeId {
    /// Reads the 32 hexadecimal digits that [`fmt::Display`] writes, or the 40 of
    /// [`NodeId::to_redis`].
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let digits = match text.len() {
            32 => text,
            40 => text.strip_suffix(REDIS_TAIL)?,
            _ => return None,
        };
        u128::from_str_radix(digits, 16).ok().map(Self)
    }

    /// The 40 digits that Redis clients expect of a node in CLUSTER NODES: the 32 of the id, then
    /// eight zeros.
    #[must_use]
    pub fn to_redis(self) -> String {
        format!("{self}{REDIS_TAIL}")
    }
}

/// What fills 32 digits up to the length of a Redis node id.
const REDIS_TAIL: &str = "00000000";

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{:06x}", self.0 >> 104)
    }
}

/// One of the equal ranges of the ring, numbered clockwise from token 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u16);

impl PartitionId {
    /// The number as a position in a table of partitions.
    #[inline]
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A point of the ring.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u128);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_survives_both_of_its_texts() {
        let node = NodeId(0x00ff << 100 | 7);
        assert_eq!(NodeId::from_hex(&node.to_string()), Some(node));
        assert_eq!(NodeId::from_hex(&node.to_redis()), Some(node));
        assert_eq!(node.to_redis().len(), 40);
    }

    #[test]
    fn other_texts_are_no_node_id() {
        let signed = format!("+{}", "1".repeat(31));
        let foreign = "1".repeat(40);
        for text in ["", "12", "zz", &signed, &foreign, &"é".repeat(16)] {
            assert_eq!(NodeId::from_hex(text), None, "{text}");
        }
    }
}
