//! How much may wait for a client that reads slowly.

use std::ops::RangeInclusive;

use super::numbers::memory;
use super::{Kind, SettingValue};

/// The limit of one class of clients; 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BufferLimit {
    /// Bytes at which a client is cut off at once.
    pub hard_bytes: u64,
    /// Bytes that may be passed for a while.
    pub soft_bytes: u64,
    /// How long the soft limit may be passed.
    pub soft_seconds: u64,
}

/// The limits by class. Setting some classes leaves the others as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BufferLimits {
    /// Clients that send requests.
    pub normal: BufferLimit,
    /// Replicas of Redis; Larder has none.
    pub replica: BufferLimit,
    /// Clients that wait for messages.
    pub pubsub: BufferLimit,
}

impl SettingValue for BufferLimits {
    const KIND: Kind = Kind::Text;

    fn assign(&mut self, text: &str, _: &RangeInclusive<i64>) -> Result<(), String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut limits = *self;
        for group in words.chunks(4) {
            let [class, hard, soft, seconds] = *group else {
                return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
            };
            let place = match class.to_ascii_lowercase().as_str() {
                "normal" => &mut limits.normal,
                "slave" | "replica" => &mut limits.replica,
                "pubsub" => &mut limits.pubsub,
                _ => {
                    return Err(
                        "Invalid client class specified in buffer limit configuration.".to_owned(),
                    );
                }
            };
            *place = limit(hard, soft, seconds).ok_or(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            )?;
        }
        *self = limits;
        Ok(())
    }

    fn text(&self) -> String {
        let classes = [
            ("normal", self.normal),
            ("slave", self.replica),
            ("pubsub", self.pubsub),
        ];
        let texts = classes.map(|(class, limit)| {
            format!(
                "{class} {} {} {}",
                limit.hard_bytes, limit.soft_bytes, limit.soft_seconds
            )
        });
        texts.join(" ")
    }
}

fn limit(hard: &str, soft: &str, seconds: &str) -> Option<BufferLimit> {
    Some(BufferLimit {
        hard_bytes: memory(hard)?.try_into().ok()?,
        soft_bytes: memory(soft)?.try_into().ok()?,
        soft_seconds: seconds.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_that_are_not_named_stay() {
        let any = i64::MIN..=i64::MAX;
        let mut limits = BufferLimits::default();
        limits
            .assign("normal 1kb 2 3 pubsub 32mb 8mb 60", &any)
            .expect("two classes");
        limits.assign("slave 4 5 6", &any).expect("one class");
        assert_eq!(
            limits.text(),
            "normal 1024 2 3 slave 4 5 6 pubsub 33554432 8388608 60"
        );
        for wrong in [
            "normal 1 2",
            "other 1 2 3",
            "normal 1 x 3",
            "normal 9 9 9 pubsub a 1 1",
        ] {
            assert!(limits.assign(wrong, &any).is_err(), "{wrong}");
        }
        assert_eq!(limits.normal.hard_bytes, 1024);
    }
}
