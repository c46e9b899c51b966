//! What is known of one setting.

use std::ops::RangeInclusive;

use super::Settings;
use super::value::Kind;

/// When a setting may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At any time, with CONFIG SET.
    Live,
    /// On start only.
    Start,
    /// Heard only by the node that creates a cluster; the others take over what it chose.
    Creation,
    /// Never: this is how Larder is.
    Never,
}

impl When {
    /// The words of the documentation.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Live => "any time",
            Self::Start => "start",
            Self::Creation => "creation of the cluster",
            Self::Never => "never",
        }
    }
}

/// A row of the settings table.
#[derive(Debug)]
pub struct Row {
    /// The heading in the documentation.
    pub group: &'static str,
    /// The name.
    pub name: &'static str,
    /// Older names that Redis gave it.
    pub aliases: &'static [&'static str],
    /// The meaning, in lines that begin with a space.
    pub doc: &'static str,
    /// The text of the default.
    pub default: &'static str,
    /// When it may change.
    pub when: When,
    /// What its texts look like.
    pub kind: Kind,
    /// The bounds of a number.
    pub bounds: RangeInclusive<i64>,
    /// The current text.
    pub read: fn(&Self, &Settings) -> String,
    /// Takes over a text, or says in Redis's words what is wrong with it.
    pub write: fn(&Self, &mut Settings, &str) -> Result<(), String>,
}

impl Row {
    /// The name, then the older ones.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// The current text.
    #[must_use]
    pub fn get(&self, settings: &Settings) -> String {
        (self.read)(self, settings)
    }

    /// Takes over `text`.
    ///
    /// # Errors
    /// What is wrong with `text`, in Redis's words; `settings` is as before then.
    pub fn set(&self, settings: &mut Settings, text: &str) -> Result<(), String> {
        (self.write)(self, settings, text)
    }

    /// The name of its environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!(
            "LARDER_{}",
            self.name.to_ascii_uppercase().replace('-', "_")
        )
    }

    /// Whether it may stand on the command line, which others can see.
    #[must_use]
    pub fn is_flag(&self) -> bool {
        self.is_source() && self.kind != Kind::Secret
    }

    /// Whether a file or the environment may set it.
    #[must_use]
    pub fn is_source(&self) -> bool {
        self.when != When::Never
    }

    /// The meaning as one line.
    #[must_use]
    pub fn meaning(&self) -> String {
        self.doc.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}
