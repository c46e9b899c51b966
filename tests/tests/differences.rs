//! `docs/differences.md` says what is: commands that it names are there, or are refused as it says.

use larder_tests::failure::{Failure, ensure};
use larder_tests::value::text;
use larder_tests::{Checked, Client, Cluster, Plan};
use redis::Value;

const PAGE: &str = include_str!("../../docs/differences.md");

/// Words in capitals that are no commands: options, and errors that no node gives.
const OTHER_WORDS: &[&str] = &[
    "AS", "ASK", "GT", "LT", "MOVED", "NX", "R", "REPLACE", "STORE", "XX",
];

/// What stands between backticks.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_in_capitals(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Commands, and what the page says that they are answered.
fn refused() -> Vec<(&'static str, &'static str)> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| {
        let mut columns = row.split('|').skip(1);
        let commands = columns.next().unwrap_or_default();
        let answer = columns.next().and_then(|column| spans(column).next());
        spans(commands).map(move |command| (command, answer.unwrap_or_default()))
    })
    .collect()
}

/// Whether a node has a command, or the subcommand that the second word may name.
fn is_there(client: &mut Client, span: &str) -> Checked<bool> {
    let mut words = span.split(' ');
    let name = words.next().unwrap_or_default();
    let Value::Array(rows) = client.run(&["COMMAND", "INFO", name])? else {
        return Err(Failure::new("COMMAND INFO gives no list"));
    };
    let Some(Value::Array(row)) = rows.first() else {
        return Ok(false);
    };
    let (Some(Value::Array(subcommands)), Some(word)) = (row.last(), words.next()) else {
        return Ok(true);
    };
    let full = format!("{name}|{word}").to_ascii_lowercase();
    let has_it = |row: &Value| text(row).starts_with(&format!("[{full}, "));
    Ok(subcommands.is_empty() || subcommands.iter().any(has_it))
}

#[test]
fn every_command_that_the_page_names_is_there_or_refused_as_it_says() -> Checked {
    let cluster = Cluster::of(1)?;
    let mut client = cluster.client(0)?;
    let refused = refused();
    ensure(refused.len() > 20, || "the table is not found".to_owned())?;
    let mut findings = Vec::new();
    for (command, answer) in &refused {
        let seen = client.ask(command)?;
        if answer.is_empty() || !seen.starts_with(answer) {
            findings.push(format!("{command}: the page says {answer}, a node {seen}"));
        }
    }
    for span in spans(PAGE) {
        let name = span.split(' ').next().unwrap_or_default();
        let is_known = OTHER_WORDS.contains(&name)
            || !is_in_capitals(name)
            || refused.iter().any(|(command, _)| *command == span)
            || is_there(&mut client, span)?;
        if !is_known {
            findings.push(format!("{span}: there is no such command"));
        }
    }
    ensure(findings.is_empty(), || findings.join("\n"))
}

/// The claim that surprises most.
#[test]
fn both_sides_of_a_cut_are_given_the_same_lock() -> Checked {
    let cluster = Cluster::of(3)?;
    cluster.cut(&[2])?;
    cluster.node(0).says("SET lock here NX", "+OK")?;
    cluster.node(2).says("SET lock there NX", "+OK")?;
    cluster.node(1).says("SET lock again NX", "nil")?;
    cluster.heal(&[2])?;
    cluster.level()?;
    let holder = cluster.agree("GET lock")?;
    ensure(["here", "there"].contains(&holder.as_str()), || holder)?;
    cluster.node(0).says("SET lock again NX", "nil")
}

#[test]
fn a_part_of_the_key_space_that_is_out_of_reach_is_no_silent_gap() -> Checked {
    let mut cluster = Plan::of(3).with("replicas", "1").start()?;
    cluster.level()?;
    cluster.node_mut(2).kill()?;
    for line in [
        "KEYS *",
        "DBSIZE",
        "FLUSHALL",
        "FLUSHDB",
        "SCAN 0 COUNT 100000",
        "RANDOMKEY",
    ] {
        cluster.client(0)?.begins(line, "-NOREPLICA")?;
    }
    Ok(())
}
