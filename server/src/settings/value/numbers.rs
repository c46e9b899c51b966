//! Numbers, sizes of memory, and times.

use std::ops::RangeInclusive;

use super::{Kind, SettingValue};

/// A size of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A time in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub u64);

fn integer(text: &str) -> Result<i64, String> {
    let plain = !text.starts_with('+');
    let value = if plain { text.parse().ok() } else { None };
    value.ok_or_else(|| "argument couldn't be parsed into an integer".to_owned())
}

fn within(value: i64, bounds: &RangeInclusive<i64>) -> Result<i64, String> {
    if bounds.contains(&value) {
        Ok(value)
    } else {
        let (min, max) = (bounds.start(), bounds.end());
        Err(format!(
            "argument must be between {min} and {max} inclusive"
        ))
    }
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).expect("the bounds of an unsigned setting begin at 0 or above")
}

impl SettingValue for i64 {
    const KIND: Kind = Kind::Number;

    fn assign(&mut self, text: &str, bounds: &RangeInclusive<i64>) -> Result<(), String> {
        *self = within(integer(text)?, bounds)?;
        Ok(())
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl SettingValue for u64 {
    const KIND: Kind = Kind::Number;

    fn assign(&mut self, text: &str, bounds: &RangeInclusive<i64>) -> Result<(), String> {
        *self = unsigned(within(integer(text)?, bounds)?);
        Ok(())
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl SettingValue for u16 {
    const KIND: Kind = Kind::Number;

    fn assign(&mut self, text: &str, bounds: &RangeInclusive<i64>) -> Result<(), String> {
        let value = within(integer(text)?, bounds)?;
        *self = Self::try_from(value).expect("the bounds of a 16-bit setting have 16 bits");
        Ok(())
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl SettingValue for Bytes {
    const KIND: Kind = Kind::Memory;

    fn assign(&mut self, text: &str, bounds: &RangeInclusive<i64>) -> Result<(), String> {
        let bytes = memory(text).ok_or("argument must be a memory value")?;
        self.0 = unsigned(within(bytes, bounds)?);
        Ok(())
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

impl SettingValue for Seconds {
    const KIND: Kind = Kind::Duration;

    fn assign(&mut self, text: &str, bounds: &RangeInclusive<i64>) -> Result<(), String> {
        let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86400)];
        let seconds = scaled(text, &units)
            .ok_or("argument must be a number of seconds, or of a unit s, m, h or d")?;
        self.0 = unsigned(within(seconds, bounds)?);
        Ok(())
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// A size as Redis writes it: `1k` is 1000 bytes, `1kb` is 1024, in letters of either case.
#[must_use]
pub(super) fn memory(text: &str) -> Option<i64> {
    let units = [
        ("b", 1),
        ("k", 1000),
        ("kb", 1 << 10),
        ("m", 1_000_000),
        ("mb", 1 << 20),
        ("g", 1_000_000_000),
        ("gb", 1 << 30),
    ];
    scaled(text, &units)
}

fn scaled(text: &str, units: &[(&str, i64)]) -> Option<i64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = text.strip_prefix(digits)?;
    let factor = match unit {
        "" => 1,
        _ => {
            units
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))?
                .1
        }
    };
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    digits.parse::<i64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_in_redis() {
        let cases = [
            ("0", Some(0)),
            ("100", Some(100)),
            ("1b", Some(1)),
            ("1k", Some(1000)),
            ("1Kb", Some(1024)),
            ("3m", Some(3_000_000)),
            ("256mb", Some(256 << 20)),
            ("2g", Some(2_000_000_000)),
            ("1GB", Some(1 << 30)),
            ("1t", None),
            ("", None),
            ("mb", None),
            ("-1", None),
            ("1.5gb", None),
            ("9223372036854775807gb", None),
        ];
        for (text, want) in cases {
            assert_eq!(memory(text), want, "{text}");
        }
    }
}
