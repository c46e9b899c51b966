//! The page that is made from the rows: `docs/commands.md`.

use crate::table::{self, Command, Flag, Scope, Spread};
use crate::usage;

/// The text of `docs/commands.md`.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(HEAD);
    let mut groups: Vec<&str> = Vec::new();
    for found in table::commands() {
        if !groups.contains(&found.command.group) {
            groups.push(found.command.group);
        }
    }
    for group in groups {
        page.push_str(&format!("\n## {}\n", title(group)));
        for found in table::commands().filter(|found| found.command.group == group) {
            section(found.command, &mut page);
        }
    }
    page
}

const HEAD: &str = "\
# Commands

Made from the table in `commands/src/families`; edit that.

What Redis has is as in Redis 7.2: arguments, replies, errors. Each command that writes says what
happens when it is used on several nodes at the same time, or on both sides of a cut. Where it says
*split*, its keys may live on several nodes: each node does its part, atomic where it runs.
";

fn title(group: &str) -> &str {
    match group {
        "string" => "Strings and counters",
        "list" => "Lists",
        "generic" => "Keys",
        "document" => "Documents",
        "hash" => "Hashes",
        "set" => "Sets",
        "connection" => "Connections",
        "server" => "Node",
        "cluster" => "Cluster",
        other => other,
    }
}

fn section(command: &Command, page: &mut String) {
    if command.subcommands.is_empty() || command.arity == -1 {
        entry(command, page);
    }
    command.subcommands.iter().for_each(|row| entry(row, page));
}

fn entry(command: &Command, page: &mut String) {
    let name = command.name.replace('|', " ").to_uppercase();
    let arguments = usage::shown(&usage::parse(command.usage));
    page.push_str(&format!(
        "\n### {name}\n\n    {}\n\n",
        format!("{name} {arguments}").trim()
    ));
    page.push_str(command.summary);
    if let Some((since, replaced_by)) = command.deprecated {
        page.push_str(&format!(
            " Deprecated in Redis since {since} in favour of {replaced_by}."
        ));
    }
    page.push('\n');
    if !command.concurrent.is_empty() {
        page.push_str(&format!("\nAt the same time: {}\n", command.concurrent));
    }
    let mut facts = vec![match command.scope {
        Scope::Keys(_) if command.is(Flag::Write) => "writes",
        Scope::Keys(_) => "reads",
        Scope::Connection => "for the connection",
        Scope::Node => "for the reached node",
        Scope::Cluster => "for the cluster",
    }];
    match command.spread {
        Spread::None => {}
        Spread::Sum | Spread::Array | Spread::Ok => facts.push("split by node"),
        Spread::First => facts.push("split by key, one after the other"),
        Spread::Steps => facts.push("split into reads first, then writes"),
    }
    if command.is(Flag::Blocking) {
        facts.push("waits");
    }
    let cost = command.complexity.trim_end_matches('.');
    page.push_str(&format!("\n*{}; {cost}*\n", facts.join("; ")));
}
