//! Many keys at once.

use std::ops::Range;

use crate::client::{Client, request};
use crate::failure::{Checked, ensure};
use crate::value::text;

/// Requests that are sent before their replies are read.
const PIPELINE: usize = 500;

/// Runs a command for each number, pipelined, and holds if each reply is as `wanted` says.
///
/// # Errors
/// The first one that is not.
pub fn each(
    client: &mut Client,
    numbers: Range<usize>,
    command: impl Fn(usize) -> Vec<String>,
    wanted: impl Fn(usize) -> String,
) -> Checked {
    let mut start = numbers.start;
    while start < numbers.end {
        let end = numbers.end.min(start + PIPELINE);
        let requests: Vec<u8> = (start..end)
            .flat_map(|number| request(&command(number)))
            .collect();
        client.send(&requests)?;
        for number in start..end {
            let (seen, wanted) = (text(&client.reply()?), wanted(number));
            ensure(seen == wanted, || {
                format!(
                    "{}: expected {wanted}, saw {seen}",
                    command(number).join(" ")
                )
            })?;
        }
        start = end;
    }
    Ok(())
}

/// The key of a number.
fn key(prefix: &str, number: usize) -> String {
    format!("{prefix}:{number}")
}

/// Sets keys whose values tell their numbers.
///
/// # Errors
/// The first one that is not answered with `OK`.
pub fn set(client: &mut Client, prefix: &str, numbers: Range<usize>) -> Checked {
    let command = |number| {
        vec![
            "SET".to_owned(),
            key(prefix, number),
            format!("value {number}"),
        ]
    };
    each(client, numbers, command, |_| "+OK".to_owned())
}

/// Deletes keys that are there.
///
/// # Errors
/// The first one that is not.
pub fn delete(client: &mut Client, prefix: &str, numbers: Range<usize>) -> Checked {
    let command = |number| vec!["DEL".to_owned(), key(prefix, number)];
    each(client, numbers, command, |_| ":1".to_owned())
}

/// Holds if all keys have the values that [`set`] gave them.
///
/// # Errors
/// The first one that has not.
pub fn are_set(client: &mut Client, prefix: &str, numbers: Range<usize>) -> Checked {
    let command = |number| vec!["GET".to_owned(), key(prefix, number)];
    each(client, numbers, command, |number| format!("value {number}"))
}

/// Holds if none of the keys is there.
///
/// # Errors
/// The first one that is.
pub fn are_gone(client: &mut Client, prefix: &str, numbers: Range<usize>) -> Checked {
    let command = |number| vec!["GET".to_owned(), key(prefix, number)];
    each(client, numbers, command, |_| "nil".to_owned())
}
