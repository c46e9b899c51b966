//! Pairs of commands at the same time: each cell of `matrix.txt` is run, and the cells make
//! `docs/concurrency-matrix.md`.

#![expect(
    clippy::disallowed_methods,
    reason = "this test writes the page on demand"
)]

mod harness;

use std::path::Path;

use harness::World;

const MATRIX: &str = include_str!("matrix.txt");

/// What a command of the matrix runs on the first and on the second side.
struct Act {
    name: &'static str,
    first: &'static str,
    second: &'static str,
}

/// What two commands come to.
struct Pair {
    one: &'static str,
    other: &'static str,
    /// Whether that needs the second's stamp to be later.
    is_ordered: bool,
    /// Requests, and the replies of either side.
    checks: Vec<(&'static str, &'static str)>,
    words: &'static str,
}

/// A type with its commands and all their pairs.
struct Table {
    name: &'static str,
    before: Vec<&'static str>,
    acts: Vec<Act>,
    pairs: Vec<Pair>,
}

fn columns(text: &'static str) -> Vec<&'static str> {
    text.split(" | ").map(str::trim).collect()
}

fn pair(line: &'static str) -> Pair {
    let columns = columns(line);
    let [names, checks, words] = columns[..] else {
        panic!("no row: {line}")
    };
    let is_ordered = names.contains(" < ");
    let mark = if is_ordered { " < " } else { " ~ " };
    let (one, other) = names.split_once(mark).expect("two commands");
    let checks = checks
        .split(';')
        .map(|check| check.trim().split_once(" = ").expect("a check"));
    Pair {
        one,
        other,
        is_ordered,
        checks: checks.collect(),
        words,
    }
}

fn tables() -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let lines = MATRIX.lines().filter(|line| !line.starts_with('#'));
    for line in lines.filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix("table ") {
            tables.push(Table {
                name,
                before: Vec::new(),
                acts: Vec::new(),
                pairs: Vec::new(),
            });
            continue;
        }
        let table = tables.last_mut().expect("a table");
        if let Some(line) = line.strip_prefix("before ") {
            table.before.push(line);
        } else if let Some(act) = line.strip_prefix("command ") {
            let columns = columns(act);
            let (name, first) = (columns[0], columns[1]);
            let second = columns.get(2).copied().unwrap_or(first);
            table.acts.push(Act {
                name,
                first,
                second,
            });
        } else {
            table.pairs.push(pair(line));
        }
    }
    tables
}

impl Table {
    fn act(&self, name: &str) -> &Act {
        let found = self.acts.iter().find(|act| act.name == name);
        found.unwrap_or_else(|| panic!("{}: no command {name}", self.name))
    }

    /// What `one` and `other` come to, the second with the later stamp. Exactly one row says it.
    fn pair(&self, one: &str, other: &str) -> &Pair {
        let says = |pair: &&Pair| {
            let is_so = pair.one == one && pair.other == other;
            is_so || !pair.is_ordered && pair.one == other && pair.other == one
        };
        let found: Vec<&Pair> = self.pairs.iter().filter(says).collect();
        assert_eq!(found.len(), 1, "{}: {one}, then {other}", self.name);
        found[0]
    }

    /// Every command with every other, in both orders.
    fn cells(&self) -> impl Iterator<Item = (&Act, &Act)> {
        self.acts
            .iter()
            .flat_map(|one| self.acts.iter().map(move |other| (one, other)))
    }

    /// Runs a cell and gives what differs from what its row says.
    fn findings(&self, one: &Act, other: &Act) -> Vec<String> {
        let mut world = World::new(2);
        let run = |world: &World, at, line: &str| {
            let reply = act(world, at, line);
            let during = format!("{}: {line}: {reply}", self.name);
            assert!(!reply.starts_with('-'), "{during}");
        };
        for line in &self.before {
            run(&world, 0, line);
        }
        world.pass(5_000);
        world.cut();
        let is_twice = one.name == other.name;
        let second = if is_twice { other.second } else { other.first };
        for (at, line) in [(0, one.first), (1, second)] {
            // The second side's stamp is the later one.
            world.pass(20);
            run(&world, at, line);
        }
        world.heal();
        world.cut();
        let pair = self.pair(one.name, other.name);
        let mut findings = Vec::new();
        for at in 0..2 {
            for (line, wanted) in &pair.checks {
                let seen = world.shown(at, line);
                if seen != *wanted {
                    findings.push(format!(
                        "{}: {}, then {}: side {at}: {line} = {seen}, expected {wanted}",
                        self.name, one.name, other.name
                    ));
                }
            }
        }
        findings
    }
}

/// Runs a line with the context that LGET gives there.
fn act(world: &World, at: usize, line: &str) -> String {
    let reply = world.line(at, "LGET k");
    let context = reply.trim_end().rsplit("\r\n").next().unwrap_or_default();
    world.shown(at, &line.replace("{context}", context))
}

const HEAD: &str = "\
# What two commands at the same time come to

Made from `commands/tests/matrix.txt`, whose every cell is a test; edit that.

*At the same time* means that neither had seen the other: they ran on two sides of a cut, or on two
nodes that took each other for dead. The command of a row runs on one side, that of a column on the
other; the cell says what both sides show when they see each other again. Where it depends on the
order of the two, the column's is the later one, by its stamp. A command that *had* seen the other
replaces, removes or adds to it as in Redis, whatever the clocks say. What lost and shows nowhere is
found by `LCONFLICTS`.
";

/// The text of `docs/concurrency-matrix.md`.
fn page() -> String {
    let mut page = String::from(HEAD);
    for table in tables() {
        page.push_str(&format!("\n## {}\n\n", table.name));
        for line in &table.before {
            // An empty word between two spaces.
            page.push_str(&format!("Before: `{}`.\n", line.replace("  ", " \"\" ")));
        }
        page.push_str("\n| | run on a side |\n|---|---|\n");
        for act in &table.acts {
            page.push_str(&format!("| {} | `{}`", act.name, act.first));
            if act.second != act.first {
                page.push_str(&format!(
                    "; where both sides run it, `{}` there",
                    act.second
                ));
            }
            page.push_str(" |\n");
        }
        page.push_str("\n| |");
        for act in &table.acts {
            page.push_str(&format!(" {} |", act.name));
        }
        page.push_str(&format!("\n|---|{}\n", "---|".repeat(table.acts.len())));
        for one in &table.acts {
            page.push_str(&format!("| **{}** |", one.name));
            for other in &table.acts {
                page.push_str(&format!(" {} |", table.pair(one.name, other.name).words));
            }
            page.push('\n');
        }
    }
    page
}

#[test]
fn the_page_of_the_matrix_is_fresh() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/concurrency-matrix.md");
    let wanted = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &wanted).expect("docs can be written");
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/concurrency-matrix.md is stale: run this test with UPDATE_DOCS=1"
    );
}

#[test]
fn every_pair_of_concurrent_commands_comes_to_what_the_matrix_says() {
    let mut findings = Vec::new();
    for table in tables() {
        for (one, other) in table.cells() {
            findings.extend(table.findings(one, other));
        }
        for pair in &table.pairs {
            // Rows of commands that are not in the matrix would never be run.
            table.act(pair.one);
            table.act(pair.other);
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}
