//! The types that settings have: how each is read and written as text, with Redis's errors.

mod buffer_limits;
mod events;
mod numbers;
mod words;

use std::ops::RangeInclusive;
use std::path::PathBuf;

pub use buffer_limits::{BufferLimit, BufferLimits};
pub use events::KeyspaceEvents;
pub use numbers::{Bytes, Seconds};
pub use words::not_one_of;
pub use words::{DebugAccess, Durability, LogLevel, ReadsWithoutReplica};

/// What the texts of a setting look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `yes` or `no`.
    YesNo,
    /// An integer.
    Number,
    /// An integer, or `auto`.
    AutoNumber,
    /// Bytes, as in `256mb`.
    Memory,
    /// Seconds, as in `90`, `15m` or `400d`.
    Duration,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any text.
    Text,
    /// A text that is not shown.
    Secret,
    /// The path of a file or directory.
    Path,
    /// Words between blanks.
    List,
}

/// A type that a setting may have.
pub trait SettingValue: Default {
    /// What its texts look like.
    const KIND: Kind;

    /// Takes over `text`.
    ///
    /// # Errors
    /// What is wrong with `text`; the value is as before then.
    fn assign(&mut self, text: &str, bounds: &RangeInclusive<i64>) -> Result<(), String>;

    /// The text that CONFIG GET answers.
    fn text(&self) -> String;
}

impl SettingValue for bool {
    const KIND: Kind = Kind::YesNo;

    fn assign(&mut self, text: &str, _: &RangeInclusive<i64>) -> Result<(), String> {
        if text.eq_ignore_ascii_case("yes") {
            *self = true;
        } else if text.eq_ignore_ascii_case("no") {
            *self = false;
        } else {
            return Err("argument must be 'yes' or 'no'".to_owned());
        }
        Ok(())
    }

    fn text(&self) -> String {
        if *self { "yes" } else { "no" }.to_owned()
    }
}

impl SettingValue for String {
    const KIND: Kind = Kind::Text;

    fn assign(&mut self, text: &str, _: &RangeInclusive<i64>) -> Result<(), String> {
        text.clone_into(self);
        Ok(())
    }

    fn text(&self) -> String {
        self.clone()
    }
}

impl SettingValue for PathBuf {
    const KIND: Kind = Kind::Path;

    fn assign(&mut self, text: &str, _: &RangeInclusive<i64>) -> Result<(), String> {
        *self = Self::from(text);
        Ok(())
    }

    fn text(&self) -> String {
        self.to_string_lossy().into_owned()
    }
}

/// A value that is `auto` unless someone names one.
impl<V: SettingValue> SettingValue for Option<V> {
    const KIND: Kind = match V::KIND {
        Kind::Number => Kind::AutoNumber,
        kind => kind,
    };

    fn assign(&mut self, text: &str, bounds: &RangeInclusive<i64>) -> Result<(), String> {
        if text.eq_ignore_ascii_case("auto") {
            *self = None;
        } else {
            let mut value = V::default();
            value.assign(text, bounds)?;
            *self = Some(value);
        }
        Ok(())
    }

    fn text(&self) -> String {
        self.as_ref().map_or_else(|| "auto".to_owned(), V::text)
    }
}

/// Words between blanks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl SettingValue for Words {
    const KIND: Kind = Kind::List;

    fn assign(&mut self, text: &str, _: &RangeInclusive<i64>) -> Result<(), String> {
        self.0 = text.split_whitespace().map(str::to_owned).collect();
        Ok(())
    }

    fn text(&self) -> String {
        self.0.join(" ")
    }
}

/// A text that logs and debug output do not show.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "hidden" })
    }
}

impl SettingValue for Secret {
    const KIND: Kind = Kind::Secret;

    fn assign(&mut self, text: &str, _: &RangeInclusive<i64>) -> Result<(), String> {
        text.clone_into(&mut self.0);
        Ok(())
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}
