//! Which changes of keys are published: Redis's letters.

use std::ops::RangeInclusive;

use super::{Kind, SettingValue};

/// The letters that `A` stands for.
const ALL: &str = "g$lshzxetd";
/// All letters in the order in which Redis shows them.
const SHOWN: &str = "g$lshzxetdnKEm";

/// A set of classes of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyspaceEvents(u16);

impl KeyspaceEvents {
    /// Whether the class of `letter` is in the set.
    #[must_use]
    pub fn has(self, letter: char) -> bool {
        self.0 & bit(letter) != 0
    }

    /// Whether nothing is published.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

fn bit(letter: char) -> u16 {
    SHOWN.find(letter).map_or(0, |place| 1 << place)
}

fn bits(letters: &str) -> u16 {
    letters.chars().map(bit).fold(0, |all, one| all | one)
}

impl SettingValue for KeyspaceEvents {
    const KIND: Kind = Kind::Text;

    fn assign(&mut self, text: &str, _: &RangeInclusive<i64>) -> Result<(), String> {
        if !text.chars().all(|letter| letter == 'A' || bit(letter) != 0) {
            return Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".to_owned());
        }
        let all = if text.contains('A') { bits(ALL) } else { 0 };
        self.0 = all | bits(text);
        Ok(())
    }

    fn text(&self) -> String {
        let all = self.0 & bits(ALL) == bits(ALL);
        let rest = SHOWN
            .chars()
            .filter(|letter| self.has(*letter) && !(all && ALL.contains(*letter)));
        all.then_some('A').into_iter().chain(rest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_shown_in_redis_order() {
        let any = i64::MIN..=i64::MAX;
        for (text, want) in [
            ("", ""),
            ("KEA", "AKE"),
            ("Ex$", "$xE"),
            ("g$lshzxetdm", "Am"),
            ("mKn", "nKm"),
        ] {
            let mut events = KeyspaceEvents::default();
            events.assign(text, &any).expect("known letters");
            assert_eq!(events.text(), want);
        }
        let mut events = KeyspaceEvents::default();
        assert!(events.assign("Kq", &any).is_err());
        assert!(events.is_empty());
    }
}
