//! Where a connection has written: what WAIT waits for.

use larder_cluster::id::PartitionId;

/// A set of partitions. It takes no room until something is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    words: Vec<u64>,
}

/// Where a partition's bit is.
fn bit(partition: PartitionId) -> (usize, u64) {
    (partition.index() / 64, 1 << (partition.index() % 64))
}

impl Written {
    /// Adds partitions.
    #[inline]
    pub fn insert(&mut self, partitions: &[PartitionId]) {
        for partition in partitions {
            let (word, bit) = bit(*partition);
            if self.words.len() <= word {
                self.words.resize(word + 1, 0);
            }
            if let Some(word) = self.words.get_mut(word) {
                *word |= bit;
            }
        }
    }

    /// The partitions, ascending.
    pub fn iter(&self) -> impl Iterator<Item = PartitionId> + '_ {
        let bits = self.words.len() * 64;
        (0..bits).filter_map(|index| {
            let partition = PartitionId(u16::try_from(index).ok()?);
            let (word, bit) = bit(partition);
            (self.words.get(word)? & bit != 0).then_some(partition)
        })
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.words.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_come_back_in_order() {
        let mut written = Written::default();
        assert!(written.is_empty());
        written.insert(&[PartitionId(1023), PartitionId(0), PartitionId(64)]);
        written.insert(&[PartitionId(64), PartitionId(65_535)]);
        let found: Vec<u16> = written.iter().map(|partition| partition.0).collect();
        assert_eq!(found, [0, 64, 1023, 65_535]);
        written.clear();
        assert_eq!((written.iter().count(), written.is_empty()), (0, true));
    }
}
