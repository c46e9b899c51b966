//! CONFIG REWRITE: puts new values into the file of settings and leaves all else as it was,
//! comments and order included.
//!
//! Only what CONFIG SET has changed is written. What stands on the command line or in the
//! environment stays there, and wins again on the next start.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::Path;

use toml::de::DeTable;

use super::row::Row;
use super::source::read_bounded;
use super::value::Kind;
use super::{Settings, find};

/// Writes the settings named in `changed` into `file`, which is replaced as a whole or not at all.
///
/// # Errors
/// Those of the system; `file` is as before then.
pub fn rewrite(
    file: &Path,
    changed: &BTreeSet<&'static str>,
    settings: &Settings,
) -> io::Result<()> {
    let text = read_bounded(file)?;
    let new = rewritten(&text, changed, settings)?;
    replace(file, new.as_bytes())
}

/// The text of the file with new values.
fn rewritten(
    text: &str,
    changed: &BTreeSet<&'static str>,
    settings: &Settings,
) -> io::Result<String> {
    let (mut places, mut missing) = (Vec::new(), changed.clone());
    let table =
        DeTable::parse(text).map_err(|error| io::Error::other(error.message().to_owned()))?;
    for (key, value) in table.get_ref() {
        let row = find(key.get_ref()).filter(|row| changed.contains(row.name));
        if let Some(row) = row {
            missing.remove(row.name);
            places.push((value.span(), row));
        }
    }
    let mut new = replaced(text, places, settings);
    for row in missing.into_iter().filter_map(find) {
        if !new.is_empty() && !new.ends_with('\n') {
            new.push('\n');
        }
        writeln!(
            new,
            "{} = {}",
            row.name,
            toml_value(row, &row.get(settings))
        )
        .map_err(io::Error::other)?;
    }
    Ok(new)
}

fn replaced(text: &str, mut places: Vec<(Range<usize>, &Row)>, settings: &Settings) -> String {
    places.sort_by_key(|(span, _)| span.start);
    let (mut new, mut copied) = (String::with_capacity(text.len()), 0);
    for (span, row) in places {
        new.push_str(text.get(copied..span.start).unwrap_or_default());
        new.push_str(&toml_value(row, &row.get(settings)));
        copied = span.end;
    }
    new.push_str(text.get(copied..).unwrap_or_default());
    new
}

/// A setting's text as a TOML value.
#[must_use]
pub fn toml_value(row: &Row, text: &str) -> String {
    match (row.kind, text) {
        (Kind::YesNo, "yes") => "true".to_owned(),
        (Kind::YesNo, "no") => "false".to_owned(),
        (Kind::Number | Kind::AutoNumber | Kind::Memory | Kind::Duration, number)
            if number.parse::<i64>().is_ok() =>
        {
            number.to_owned()
        }
        (_, text) => quoted(text),
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(control)));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    // A link stays a link: what it points to is replaced.
    let file = fs::canonicalize(file)?;
    let directory = file.parent().unwrap_or(Path::new("."));
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let draft = directory.join(name);
    let written = write_draft(&file, &draft, bytes).and_then(|()| fs::rename(&draft, &file));
    if written.is_err() {
        // The draft may not even be there.
        let _ = fs::remove_file(&draft);
    }
    written?;
    File::open(directory)?.sync_all()
}

/// Writes a draft that nobody can read who could not read `file`.
fn write_draft(file: &Path, draft: &Path, bytes: &[u8]) -> io::Result<()> {
    let permissions = fs::metadata(file)?.permissions();
    let mut draft = crate::secret::create_private(draft)?;
    draft.set_permissions(permissions)?;
    draft.write_all(bytes)?;
    draft.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_order_stay() {
        let text = "# mine\nmaxclients = 5 # few\n\ntimeout=1\nlua-time-limit = 7\n";
        let settings = Settings {
            timeout: 9,
            busy_reply_threshold: 8,
            ..Settings::default()
        };
        let changed = BTreeSet::from(["timeout", "busy-reply-threshold", "requirepass"]);
        let new = rewritten(text, &changed, &settings).expect("a valid file");
        let want =
            "# mine\nmaxclients = 5 # few\n\ntimeout=9\nlua-time-limit = 8\nrequirepass = \"\"\n";
        assert_eq!(new, want);
    }

    #[test]
    fn any_text_is_quoted_so_that_it_reads_back() {
        let text = "a \"b\" \\ c\n\u{7f}\u{1}é";
        let file = format!("zone = {}", quoted(text));
        let table: toml::Table = toml::from_str(&file).expect("valid TOML");
        assert_eq!(table.get("zone").and_then(toml::Value::as_str), Some(text));
    }
}
