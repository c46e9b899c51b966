//! The settings of a running node: CONFIG GET, SET and REWRITE.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use larder_commands::error::{CommandError, echo};
use larder_commands::glob;
use parking_lot::Mutex;

use super::check::{Refused, check};
use super::rewrite::rewrite;
use super::row::{Row, When};
use super::source::Loaded;
use super::{Settings, find, rows};

/// The settings of a running node. Reading them takes no lock.
#[derive(Debug)]
pub struct LiveSettings {
    current: ArcSwap<Settings>,
    file: Option<PathBuf>,
    /// The names that CONFIG SET has changed; held while it does.
    changed: Mutex<BTreeSet<&'static str>>,
}

impl LiveSettings {
    /// Begins with what was read on start.
    #[must_use]
    pub fn new(loaded: Loaded) -> Self {
        Self {
            current: ArcSwap::from_pointee(loaded.settings),
            file: loaded.file,
            changed: Mutex::default(),
        }
    }

    /// The current values, for a short look.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Settings>> {
        self.current.load()
    }

    /// The current values, to keep.
    #[must_use]
    pub fn load_full(&self) -> Arc<Settings> {
        self.current.load_full()
    }

    /// The file that was read on start.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The names that match any of `patterns`, each once, with their texts: CONFIG GET. A name that
    /// is no pattern comes back in the letters in which it was asked for.
    #[must_use]
    pub fn get<'a>(
        &self,
        patterns: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Vec<(String, String)> {
        let settings = self.current.load();
        let is_glob = |pattern: &&[u8]| pattern.iter().any(|byte| b"*?[".contains(byte));
        let asked = |name: &str| {
            let exact = patterns
                .clone()
                .filter(|pattern| !is_glob(pattern))
                .find(|pattern| pattern.eq_ignore_ascii_case(name.as_bytes()));
            if let Some(exact) = exact {
                return Some(String::from_utf8_lossy(exact).into_owned());
            }
            let mut globs = patterns.clone().filter(is_glob);
            globs
                .any(|pattern| glob::matches_ignoring_case(pattern, name.as_bytes()))
                .then(|| name.to_owned())
        };
        let named = rows().flat_map(|row| row.names().map(move |name| (name, row)));
        named
            .filter_map(|(name, row)| Some((asked(name)?, row.get(&settings))))
            .collect()
    }

    /// Sets all of `pairs` of name and text, or none: CONFIG SET. `apply` is told the old and the
    /// new values before anybody else sees them; if it refuses, it is told to go back.
    ///
    /// # Errors
    /// [`CommandError::ConfigUnknown`] or [`CommandError::ConfigFailed`].
    pub fn set(
        &self,
        pairs: &[(&[u8], &[u8])],
        apply: &mut dyn FnMut(&Settings, &Settings) -> Result<(), Refused>,
    ) -> Result<(), CommandError> {
        let mut changed = self.changed.lock();
        let named = named(pairs)?;
        let old = self.current.load_full();
        let mut new = Settings::clone(&old);
        for (row, name, text) in &named {
            let text = std::str::from_utf8(text).map_err(|_| "argument must be text".to_owned());
            let taken = text.and_then(|text| row.set(&mut new, text));
            taken.map_err(|reason| failed((*name).to_owned(), reason))?;
        }
        check(&new).map_err(|refused| failed(refused.name.to_owned(), refused.reason))?;
        if let Err(refused) = apply(&old, &new) {
            // What was applied of the new values goes back to the old ones.
            let _ = apply(&new, &old);
            return Err(failed(refused.name.to_owned(), refused.reason));
        }
        changed.extend(named.iter().map(|(row, ..)| row.name));
        self.current.store(Arc::new(new));
        Ok(())
    }

    /// Writes what CONFIG SET has changed into the file: CONFIG REWRITE.
    ///
    /// # Errors
    /// [`CommandError::ConfigNoFile`] or [`CommandError::ConfigRewrite`].
    pub fn rewrite(&self) -> Result<(), CommandError> {
        let file = self.file.as_ref().ok_or(CommandError::ConfigNoFile)?;
        let changed = self.changed.lock();
        let written = rewrite(file, &changed, &self.current.load());
        written.map_err(|error| CommandError::ConfigRewrite(error.to_string()))
    }
}

type Named<'a> = (&'static Row, String, &'a [u8]);

/// The rows of `pairs`, checked in the order in which Redis checks them.
fn named<'a>(pairs: &[(&[u8], &'a [u8])]) -> Result<Vec<Named<'a>>, CommandError> {
    let mut named: Vec<Named<'a>> = Vec::with_capacity(pairs.len());
    let mut wrong = None;
    for (word, text) in pairs {
        let name = echo(word);
        let row = find(&name).ok_or_else(|| CommandError::ConfigUnknown(name.clone()))?;
        let reason = match row.when {
            When::Start | When::Creation => "can't set immutable config",
            _ if named.iter().any(|(other, ..)| other.name == row.name) => "duplicate parameter",
            When::Live | When::Never => "",
        };
        if !reason.is_empty() {
            wrong.get_or_insert_with(|| failed(name.clone(), reason.to_owned()));
        }
        named.push((row, name, text));
    }
    wrong.map_or(Ok(named), Err)
}

fn failed(name: String, reason: String) -> CommandError {
    CommandError::ConfigFailed { name, reason }
}
