//! Where settings come from on start: the file, the environment and the command line.

use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};
use thiserror::Error;
use toml::de::{DeTable, DeValue};

use super::check::check;
use super::row::Row;
use super::value::Kind;
use super::{Settings, find, rows};

/// The largest file of settings.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The settings that a node starts with.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// Their values.
    pub settings: Settings,
    /// The file that was read, for CONFIG REWRITE.
    pub file: Option<PathBuf>,
    /// What looks like a mistake and is none for sure.
    pub warnings: Vec<String>,
}

/// Why a node does not start.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The command line is wrong, or asks for help or the version only: `exit` prints and ends.
    #[error("{0}")]
    Usage(#[from] clap::Error),
    /// The file cannot be read.
    #[error("cannot read the settings in {file}: {source}")]
    File {
        /// Its path.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A source says something that makes no sense.
    #[error("{place}: {reason}")]
    Invalid {
        /// The line of the file, the variable or the flag.
        place: String,
        /// What is wrong.
        reason: String,
    },
}

impl LoadError {
    fn invalid(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid {
            place: place.into(),
            reason: reason.into(),
        }
    }
}

/// The command line, made from the rows.
#[must_use]
pub fn command() -> Command {
    let flag = |row: &'static Row| {
        Arg::new(row.name)
            .long(row.name)
            .aliases(row.aliases)
            .value_name(placeholder(row.kind))
            .help(row.meaning())
            .help_heading(row.group)
            .allow_negative_numbers(row.kind == Kind::Number)
            .allow_hyphen_values(row.kind == Kind::List)
            .action(ArgAction::Append)
    };
    Command::new("larder-server")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A node of Larder, the store that takes every write and speaks Redis.")
        .after_help(
            "Every setting may also stand in the file of --config (TOML) or in the environment, as \
             LARDER_PORT for port. Passwords and secrets are taken from there only.",
        )
        .args(rows().filter(|row| row.is_flag()).map(flag))
}

fn placeholder(kind: Kind) -> &'static str {
    match kind {
        Kind::YesNo => "yes|no",
        Kind::Number | Kind::AutoNumber => "NUMBER",
        Kind::Memory => "BYTES",
        Kind::Duration => "SECONDS",
        Kind::Word(_) => "WORD",
        Kind::Text | Kind::Secret => "TEXT",
        Kind::Path => "PATH",
        Kind::List => "WORDS",
    }
}

/// Reads all sources; the command line wins over the environment, and that over the file.
///
/// # Errors
/// Any [`LoadError`].
pub fn load(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, LoadError> {
    let flags = flags(arguments)?;
    let (variables, warnings) = variables(environment);
    let mut settings = Settings::default();
    apply(
        &mut settings,
        variables
            .iter()
            .chain(&flags)
            .filter(|given| given.row.name == "config"),
    )?;
    let file = (!settings.config.as_os_str().is_empty()).then(|| absolute(&settings.config));
    if let Some(file) = &file {
        apply(&mut settings, &read_file(file)?)?;
    }
    apply(&mut settings, variables.iter().chain(&flags))?;
    settings.dir = absolute(&settings.dir);
    check(&settings).map_err(|refused| LoadError::invalid(refused.name, refused.reason))?;
    Ok(Loaded {
        settings,
        file,
        warnings,
    })
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A text for a setting, and where it stands.
struct Given {
    row: &'static Row,
    text: String,
    place: String,
}

fn apply<'a>(
    settings: &mut Settings,
    all: impl IntoIterator<Item = &'a Given>,
) -> Result<(), LoadError> {
    for given in all {
        let taken = given.row.set(settings, &given.text);
        taken.map_err(|reason| LoadError::invalid(&given.place, reason))?;
    }
    Ok(())
}

fn flags(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<Given>, LoadError> {
    let matches = command().try_get_matches_from(arguments)?;
    let given = |row: &'static Row| {
        let words: Vec<&str> = matches
            .get_many::<String>(row.name)?
            .map(String::as_str)
            .collect();
        let text = match row.kind {
            Kind::List => words.join(" "),
            _ => (*words.last()?).to_owned(),
        };
        Some(Given {
            row,
            text,
            place: format!("--{}", row.name),
        })
    };
    Ok(rows()
        .filter(|row| row.is_flag())
        .filter_map(given)
        .collect())
}

/// Variables that Larder reads beside the settings.
const OTHER_VARIABLES: &[&str] = &[crate::secret::VARIABLE];

fn variables(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> (Vec<Given>, Vec<String>) {
    let (mut given, mut warnings) = (Vec::new(), Vec::new());
    for (name, value) in environment {
        let (Some(name), Some(text)) = (name.to_str(), value.to_str()) else {
            continue;
        };
        if !name.starts_with("LARDER_") || OTHER_VARIABLES.contains(&name) {
            continue;
        }
        match rows().find(|row| row.is_source() && row.variable() == name) {
            Some(row) => given.push(Given {
                row,
                text: text.to_owned(),
                place: name.to_owned(),
            }),
            None => warnings.push(format!("{name} in the environment is no setting")),
        }
    }
    (given, warnings)
}

fn read_file(file: &Path) -> Result<Vec<Given>, LoadError> {
    let shown = file.display().to_string();
    let text = read_bounded(file).map_err(|source| LoadError::File {
        file: shown.clone(),
        source,
    })?;
    let table = DeTable::parse(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(&text, &span));
        LoadError::invalid(format!("{shown} line {line}"), error.message())
    })?;
    let mut all = Vec::new();
    for (key, value) in table.get_ref() {
        let place = format!(
            "{shown} line {}, {}",
            line_of(&text, &key.span()),
            key.get_ref()
        );
        let row = find(key.get_ref()).filter(|row| row.is_source());
        let Some(row) = row else {
            return Err(LoadError::invalid(place, "no setting has this name"));
        };
        match plain_text(value.get_ref()) {
            Some(text) => all.push(Given { row, text, place }),
            None => {
                return Err(LoadError::invalid(
                    place,
                    "a value must be a text, a number, true or false, or a list of texts",
                ));
            }
        }
    }
    Ok(all)
}

/// Reads a file of settings.
///
/// # Errors
/// Those of the system, and [`FILE_BYTES_MAX`] exceeded.
pub fn read_bounded(file: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(file)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!(
            "it is larger than {FILE_BYTES_MAX} bytes"
        )));
    }
    Ok(text)
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.bytes()
        .take(span.start)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}

/// The text of a TOML value, as CONFIG SET would be given it.
fn plain_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Boolean(true) => Some("yes".to_owned()),
        DeValue::Boolean(false) => Some("no".to_owned()),
        DeValue::Integer(number) => {
            let number = i128::from_str_radix(number.as_str(), number.radix()).ok()?;
            Some(number.to_string())
        }
        DeValue::Array(items) => {
            let words = items.iter().map(|item| match item.get_ref() {
                DeValue::String(text) => Some(text.to_string()),
                _ => None,
            });
            Some(words.collect::<Option<Vec<_>>>()?.join(" "))
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}
