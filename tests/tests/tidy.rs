//! Rules of style that a machine can check. A rule that people repeat in reviews moves here.

use std::fs;
use std::path::{Path, PathBuf};

use larder_tests::failure::{Checked, Failure};

/// Lines of a source file; files of tests are lists, and longer ones still read well.
const LINES_MAX: usize = 700;
const TEST_LINES_MAX: usize = 800;
/// Columns of a line.
const COLUMNS_MAX: usize = 100;
/// Directories that hold no source of ours.
const SKIPPED: &[&str] = &["target", "larder-data", "node_modules"];

/// Crates that behave the same in every run.
const PURE: &[&str] = &["crdt", "cluster", "commands"];
/// What would make them behave otherwise. Clippy knows the same by `clippy.pure.toml`; this list
/// holds also where a lint is silenced.
const AMBIENT: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "std::thread",
    "std::env",
    "std::fs",
    "std::net",
    "rand::rng(",
    "SysRng",
    "HashMap",
    "HashSet",
    "new_v4",
    "println!",
];

/// Words of unfinished work, in two halves so that this file has none of them.
const UNFINISHED: &[(&str, &str)] = &[
    ("to", "do!("),
    ("unimple", "mented!("),
    ("FIX", "ME"),
    ("TO", "DO"),
    ("XX", "X"),
    ("dbg", "!("),
    ("#[ign", "ore]"),
];

struct Source {
    /// From the top of the workspace.
    path: String,
    text: String,
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The sources below `directory` whose names end with one of `endings`.
fn sources(directory: &Path, endings: &[&str]) -> Checked<Vec<Source>> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            if kind.is_dir() && !name.starts_with('.') && !SKIPPED.contains(&name.as_str()) {
                waiting.push(entry.path());
            } else if kind.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(read(&entry.path())?);
            }
        }
    }
    if found.is_empty() {
        return Err(Failure::new(format!(
            "no sources in {}",
            directory.display()
        )));
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

fn read(path: &Path) -> Checked<Source> {
    let shown = path
        .strip_prefix(workspace())
        .unwrap_or(path)
        .display()
        .to_string();
    let text =
        fs::read_to_string(path).map_err(|error| Failure::new(format!("{shown}: {error}")))?;
    Ok(Source { path: shown, text })
}

/// All findings at once, so that one run is enough to mend them.
fn none(findings: &[String]) -> Checked {
    if findings.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(findings.join("\n")))
    }
}

#[test]
fn files_and_lines_are_short() -> Checked {
    let mut findings = Vec::new();
    for Source { path, text } in sources(&workspace(), &[".rs"])? {
        let is_test = path.contains("/tests/");
        let lines_max = if is_test { TEST_LINES_MAX } else { LINES_MAX };
        let lines = text.lines().count();
        if lines > lines_max {
            findings.push(format!("{path}: {lines} lines, at most {lines_max}"));
        }
        for (number, line) in (1..).zip(text.lines()) {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                findings.push(format!("{path}:{number}: {columns} columns"));
            }
        }
    }
    none(&findings)
}

#[test]
fn nothing_is_left_unfinished() -> Checked {
    let mut findings = Vec::new();
    for Source { path, text } in sources(&workspace(), &[".rs", ".sh", ".md"])? {
        for (number, line) in (1..).zip(text.lines()) {
            for (one, other) in UNFINISHED {
                let word = format!("{one}{other}");
                if line.contains(&word) {
                    findings.push(format!("{path}:{number}: {word}"));
                }
            }
        }
    }
    none(&findings)
}

#[test]
fn pure_crates_take_time_randomness_and_effects_from_nowhere() -> Checked {
    let mut findings = Vec::new();
    for pure in PURE {
        for Source { path, text } in sources(&workspace().join(pure).join("src"), &[".rs"])? {
            for (number, line) in (1..).zip(text.lines()) {
                let code = line.split("//").next().unwrap_or_default();
                let words = AMBIENT.iter().filter(|word| code.contains(**word));
                findings.extend(words.map(|word| format!("{path}:{number}: {word}")));
            }
        }
    }
    none(&findings)
}

#[test]
fn every_source_belongs_to_a_module() -> Checked {
    let mut findings = Vec::new();
    let all = sources(&workspace(), &[".rs"])?;
    for Source { path, .. } in all.iter().filter(|source| source.path.contains("/src/")) {
        let file = Path::new(path);
        let stem = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let is_root = ["lib", "main"].contains(&stem.as_str()) || path.contains("/src/bin/");
        if !is_root && !is_declared(file, &stem, &all) {
            findings.push(format!("{path}: no module declares it"));
        }
    }
    none(&findings)
}

/// Whether a file beside or above `file` has `mod` and its name.
fn is_declared(file: &Path, stem: &str, all: &[Source]) -> bool {
    let Some(directory) = file.parent() else {
        return false;
    };
    let is_mod = stem == "mod";
    let name = if is_mod {
        directory
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    } else {
        stem.to_owned()
    };
    let home = if is_mod {
        directory.parent().unwrap_or(directory)
    } else {
        directory
    };
    let declaration = format!("mod {name};");
    let parents = ["mod.rs", "lib.rs", "main.rs"].map(|parent| home.join(parent));
    let beside = home.with_extension("rs");
    all.iter().any(|source| {
        let path = Path::new(&source.path);
        let is_parent = path == beside || parents.iter().any(|parent| path == parent);
        is_parent && source.text.contains(&declaration)
    })
}

#[test]
fn every_document_has_one_title_in_its_first_line() -> Checked {
    let mut findings = Vec::new();
    for Source { path, text } in sources(&workspace(), &[".md"])? {
        let mut in_code = false;
        let mut titles = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            in_code ^= line.starts_with("```");
            if !in_code && line.starts_with("# ") {
                titles.push(number);
            }
        }
        if titles != [1] {
            findings.push(format!("{path}: titles in lines {titles:?}"));
        }
    }
    none(&findings)
}
