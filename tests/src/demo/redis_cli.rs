//! Commands as a person would run them.

use std::process::Command;

use super::walk::Walk;
use crate::binary;
use crate::failure::{Checked, Failure, ensure};
use crate::words::quoted;

/// Letters of a context that are shown.
const CONTEXT_SHOWN: usize = 10;
/// From how many letters on a word without spaces is a context.
const CONTEXT_LETTERS_MIN: usize = 40;

/// How a reply is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// With types and numbers, as on a terminal.
    Terminal,
    /// Only the bytes, for text that is not ASCII.
    Raw,
}

/// Runs `redis-cli` against a node, shows the command and its reply, and gives the reply.
pub(super) fn run(walk: &Walk<'_>, node: usize, form: Form, words: &[&str]) -> Checked<String> {
    let program = binary::installed("redis-cli").ok_or_else(|| {
        Failure::new("redis-cli is not installed: apt-get install redis-tools, or ./x setup")
    })?;
    let port = walk.cluster.node(node).port();
    let output = Command::new(program)
        .args(["-p", &port.to_string()])
        .arg(if form == Form::Raw {
            "--raw"
        } else {
            "--no-raw"
        })
        .args(words)
        .output()?;
    let reply = String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned();
    let raw = if form == Form::Raw { " --raw" } else { "" };
    let shown: Vec<String> = words.iter().map(|word| shorten(&quoted(word))).collect();
    let line = format!("redis-cli -p {port}{raw} {}", shown.join(" "));
    let shown_reply: Vec<String> = reply.lines().map(shorten).collect();
    walk.screen
        .command(Some(node), &line, &shown_reply.join("\n"));
    ensure(output.status.success(), || {
        format!("{line}: {}", output.status)
    })?;
    Ok(reply)
}

/// Runs a command and holds if the reply is `wanted`.
pub(super) fn says(walk: &Walk<'_>, node: usize, words: &[&str], wanted: &str) -> Checked {
    let seen = run(walk, node, Form::Terminal, words)?;
    ensure(seen == wanted, || {
        format!("{}: expected {wanted}, saw {seen}", words.join(" "))
    })
}

/// A context is opaque, so its beginning tells as much as the whole.
fn shorten(word: &str) -> String {
    let is_context = word.len() >= CONTEXT_LETTERS_MIN
        && word
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter));
    if is_context {
        format!("{}…", &word[..CONTEXT_SHOWN])
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_contexts_are_shortened() {
        let context = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA";
        assert_eq!(shorten(context), "AQIDBAUGBw…");
        let json = r#"{"name":"Piquenique","items":{"agua":{"name":"Água"}}}"#;
        assert_eq!(shorten(json), json);
    }
}
