//! Settings that are one of a few words.

use std::ops::RangeInclusive;

use super::{Kind, SettingValue};

/// An enum of words: each variant with its text, in the order in which Redis lists them.
macro_rules! words {
    ($( $(#[doc = $doc:literal])+ $type:ident {
        $( $(#[$attribute:meta])+ $variant:ident = $text:literal, )+
    } )+) => { $(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub enum $type { $( $(#[$attribute])+ $variant, )+ }

        impl SettingValue for $type {
            const KIND: Kind = Kind::Word(&[$($text),+]);

            fn assign(&mut self, text: &str, _: &RangeInclusive<i64>) -> Result<(), String> {
                $( if text.eq_ignore_ascii_case($text) {
                    *self = Self::$variant;
                    return Ok(());
                } )+
                Err(not_one_of(&[$($text),+]))
            }

            fn text(&self) -> String {
                match self { $( Self::$variant => $text, )+ }.to_owned()
            }
        }
    )+ };
}

words! {
    /// When a write is safe from a power cut.
    Durability {
        /// Within a second.
        #[default]
        Everysec = "everysec",
        /// Before its reply.
        Always = "always",
        /// When the system gets to it.
        Os = "os",
    }
    /// What a read answers that reaches no copy of its key.
    ReadsWithoutReplica {
        /// The error NOREPLICA.
        #[default]
        Error = "error",
        /// As if there were no such key.
        Nil = "nil",
    }
    /// Who may use DEBUG.
    DebugAccess {
        /// Nobody.
        #[default]
        No = "no",
        /// Everybody.
        Yes = "yes",
        /// Clients on this machine.
        Local = "local",
    }
    /// How much is logged, in Redis's words.
    LogLevel {
        /// All that may help to find a fault.
        Debug = "debug",
        /// More than is needed in operation.
        Verbose = "verbose",
        /// What is needed in operation.
        #[default]
        Notice = "notice",
        /// What someone must know of.
        Warning = "warning",
    }
}

/// Redis's error for a word that is none of `words`.
#[must_use]
pub fn not_one_of(words: &[&str]) -> String {
    format!(
        "argument(s) must be one of the following: {}",
        words.join(", ")
    )
}
