//! The pages that are made from the rows: `docs/settings.md` and `docs/larder.toml`.

use super::rewrite::toml_value;
use super::row::{Row, When};
use super::rows;
use super::value::Kind;

/// The text of `docs/settings.md`.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(HEAD);
    let mut group = "";
    for row in rows() {
        if row.group != group {
            group = row.group;
            page.push_str(&format!("\n## {group}\n\n{COLUMNS}"));
        }
        page.push_str(&line(row));
    }
    page
}

const HEAD: &str = "\
# Settings

Made from the table in `server/src/settings.rs`; edit that.

A setting comes from, in rising order of weight: its default, the TOML file named by `--config`, the
environment (`LARDER_CACHE_SIZE` for `cache-size`), the command line (`--cache-size 1gb`), and
CONFIG SET for those that may change at any time. CONFIG REWRITE puts what CONFIG SET has changed
into the file. Passwords and secrets are never taken from the command line. Sizes are as in Redis:
`1k` is 1000 bytes, `1kb` is 1024.
";

const COLUMNS: &str =
    "| setting | default | values | changes | meaning |\n| --- | --- | --- | --- | --- |\n";

fn line(row: &Row) -> String {
    let names: Vec<String> = row.names().map(|name| format!("`{name}`")).collect();
    let default = if row.default.is_empty() {
        String::new()
    } else {
        format!("`{}`", row.default)
    };
    format!(
        "| {} | {default} | {} | {} | {} |\n",
        names.join(" "),
        values(row),
        row.when.text(),
        row.meaning()
    )
}

fn values(row: &Row) -> String {
    match row.kind {
        Kind::YesNo => "yes, no".to_owned(),
        Kind::Number => numbers(row),
        Kind::AutoNumber => format!("auto, {}", numbers(row)),
        Kind::Memory => "bytes".to_owned(),
        Kind::Duration => "seconds, or with s, m, h, d".to_owned(),
        Kind::Word(words) => words.join(", "),
        Kind::Text => "text".to_owned(),
        Kind::Secret => "text, hidden".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::List => "words".to_owned(),
    }
}

fn numbers(row: &Row) -> String {
    let (min, max) = (*row.bounds.start(), *row.bounds.end());
    match (min, max) {
        (i64::MIN, _) => "number".to_owned(),
        (_, max) if max >= i64::from(i32::MAX) => format!("from {min}"),
        _ => format!("{min} to {max}"),
    }
}

/// The text of `docs/larder.toml`: a file of settings with every default, commented out.
#[must_use]
pub fn example() -> String {
    let mut text = String::from(
        "# Settings of a Larder node: larder-server --config larder.toml\n\
         # Every line shows a default; remove the first # to change it.\n",
    );
    let mut group = "";
    for row in rows().filter(|row| row.when != When::Never && row.name != "config") {
        if row.group != group {
            group = row.group;
            text.push_str(&format!("\n# {}\n", group.to_uppercase()));
        }
        text.push('\n');
        for line in row.doc.trim().lines() {
            text.push_str(&format!("# {}\n", line.trim()));
        }
        text.push_str(&format!(
            "#{} = {}\n",
            row.name,
            toml_value(row, row.default)
        ));
    }
    text
}
