//! Cases as data: requests and the replies that Redis gives, or that the design asks for.
//!
//! ```text
//! # a comment
//! select 3 | resp 3 | pass 100     another database or protocol; time passes, in milliseconds
//! > SET key "a value\r\n"          a request
//! < +OK                            its reply, line by line
//! ```

mod harness;

use harness::{Client, World};
use larder_commands::reply::Protocol;

/// The words of a line: separated by spaces, or in quotes, with `\r`, `\n`, `\"` and `\\`.
fn words(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quoted = false;
    let mut letters = line.bytes();
    while let Some(letter) = letters.next() {
        match letter {
            b' ' if !quoted => words.extend(word.take()),
            b'"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            b'\\' if quoted => word.get_or_insert_default().push(match letters.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b'0') => 0,
                Some(other) => other,
                None => panic!("a line ends in a backslash"),
            }),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

fn play(name: &str, text: &str) {
    let world = World::new(1);
    let mut client = Client::default();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let number = number + 1;
        match line.split_once(' ').unwrap_or((line, "")) {
            ("" | "#", _) => {}
            ("select", database) => client.database = database.parse().expect("a database"),
            ("resp", "2") => client.protocol = Protocol::Resp2,
            ("resp", "3") => client.protocol = Protocol::Resp3,
            ("pass", ms) => world.pass(ms.parse().expect("milliseconds")),
            (">", request) => {
                let mut wanted = String::new();
                while let Some((_, next)) = lines.next_if(|(_, next)| next.starts_with('<')) {
                    wanted.push_str(next.strip_prefix("< ").unwrap_or_default());
                    wanted.push_str("\r\n");
                }
                let words = words(request);
                let slices: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
                for scattered in [false, true] {
                    // A request that writes is not repeated: its second reply may differ.
                    client.scattered = scattered;
                    if scattered == (number % 2 == 0) {
                        let reply = world.ask_as(0, &slices, client);
                        let reply = String::from_utf8_lossy(&reply).into_owned();
                        assert_eq!(reply, wanted, "{name}:{number}: {request}");
                    }
                }
            }
            _ => panic!("{name}:{number}: {line:?} is no line of a case"),
        }
    }
}

#[test]
fn every_case_is_answered_as_written() {
    for (name, text) in [
        ("strings", include_str!("cases/strings.txt")),
        ("expiry", include_str!("cases/expiry.txt")),
        ("keys", include_str!("cases/keys.txt")),
        ("hashes", include_str!("cases/hashes.txt")),
        ("sets", include_str!("cases/sets.txt")),
        ("documents", include_str!("cases/documents.txt")),
        ("command", include_str!("cases/command.txt")),
    ] {
        play(name, text);
    }
}
