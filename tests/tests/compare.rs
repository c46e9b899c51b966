//! The same requests to a node and to a real Redis, if there is one: the same bytes back.

use std::io::{Read, Write};
use std::net::TcpStream;

use larder_tests::client::request;
use larder_tests::failure::{Failure, ensure};
use larder_tests::real_redis::RealRedis;
use larder_tests::wait::PATIENCE;
use larder_tests::{Checked, Plan};
use redis::Parser;

const REQUESTS: &str = include_str!("compare.txt");

/// A connection that gives replies as they are.
struct Wire {
    stream: TcpStream,
    parser: Parser,
}

/// Keeps what is read.
struct Kept<'a> {
    stream: &'a mut TcpStream,
    bytes: Vec<u8>,
}

impl Read for Kept<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.bytes
            .extend_from_slice(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl Wire {
    fn connect(port: u16) -> Checked<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let parser = Parser::new();
        Ok(Self { stream, parser })
    }

    fn ask(&mut self, words: &[Vec<u8>]) -> Checked<Vec<u8>> {
        self.stream.write_all(&request(words))?;
        let mut kept = Kept {
            stream: &mut self.stream,
            bytes: Vec::new(),
        };
        // Where the reply ends; what it says is compared as it is.
        self.parser.parse_value(&mut kept)?;
        Ok(kept.bytes)
    }
}

/// The words of a line, with quotes as in redis-cli.
fn words(line: &str) -> Checked<Vec<Vec<u8>>> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<Vec<u8>>, false);
    let mut bytes = line.bytes();
    while let Some(byte) = bytes.next() {
        match (byte, quoted) {
            (b'"', _) => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            (b' ', false) => words.extend(word.take()),
            (b'\\', true) => word.get_or_insert_default().push(match bytes.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b'0') => 0,
                Some(b'x') => {
                    let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                    let digits = String::from_utf8_lossy(&digits).into_owned();
                    u8::from_str_radix(&digits, 16).map_err(|_| Failure::new(line))?
                }
                Some(other) => other,
                None => return Err(Failure::new(format!("{line}: nothing behind \\"))),
            }),
            _ => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Lists that Redis gives in any order.
fn in_any_order(words: &[Vec<u8>]) -> bool {
    let name = words.first().map(|name| name.to_ascii_uppercase());
    name.is_some_and(|name| name == b"KEYS" || name == b"SCAN")
}

fn sorted(reply: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<_> = reply.split(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_node_answers_as_redis_does() -> Checked {
    let Some(redis) = RealRedis::start()? else {
        return Ok(());
    };
    let cluster = Plan::of(1).with("enable-debug-command", "yes").start()?;
    let mut differ = Vec::new();
    for block in REQUESTS.split("\n\n") {
        for protocol in ["2", "3"] {
            let mut both = [
                Wire::connect(redis.port())?,
                Wire::connect(cluster.node(0).port())?,
            ];
            for wire in &mut both {
                wire.ask(&words(&format!("HELLO {protocol}"))?)?;
                wire.ask(&words("FLUSHALL")?)?;
            }
            let lines = block
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'));
            for line in lines {
                let words = words(line)?;
                let [real, ours] = &mut both;
                let during = |failure: Failure| failure.during(line);
                let real = real.ask(&words).map_err(during)?;
                let ours = ours.ask(&words).map_err(during)?;
                let same = real == ours || in_any_order(&words) && sorted(&real) == sorted(&ours);
                if !same {
                    differ.push(format!(
                        "RESP{protocol} {line}\n   Redis:  {}\n   Larder: {}",
                        real.escape_ascii(),
                        ours.escape_ascii()
                    ));
                }
            }
        }
    }
    ensure(differ.is_empty(), || differ.join("\n"))
}
