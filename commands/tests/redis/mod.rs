//! A real Redis to compare with, if there is one, and numbers at random.

#![allow(dead_code, reason = "each test uses a part of it")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests talk to another process"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A real Redis on a free port, ended with the test.
pub(crate) struct Redis {
    process: Child,
    link: TcpStream,
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Redis {
    /// `None` if it is not installed here. `LIVE_REDIS` names another program than the usual one.
    pub(crate) fn start() -> Option<Self> {
        let program = std::env::var_os("LIVE_REDIS").unwrap_or("redis-server".into());
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let process = Command::new(program)
            .args([
                "--port",
                &port.to_string(),
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args(["--bind", "127.0.0.1", "--proto-max-bulk-len", "512mb"])
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(link) => {
                    link.set_read_timeout(Some(Duration::from_secs(10)))
                        .expect("a timeout");
                    link.set_nodelay(true).expect("a socket");
                    return Some(Self { process, link });
                }
                Err(_) if Instant::now() < deadline => std::thread::yield_now(),
                Err(error) => panic!("redis-server does not answer: {error}"),
            }
        }
    }

    pub(crate) fn ask(&mut self, words: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend(format!("${}\r\n", word.len()).into_bytes());
            bytes.extend(word);
            bytes.extend(b"\r\n");
        }
        // The end of a reply is known by what is asked behind it.
        let mark = b"$4\r\nmark\r\n";
        bytes.extend(b"*2\r\n$4\r\nECHO\r\n$4\r\nmark\r\n");
        self.link.write_all(&bytes).expect("redis-server reads");
        let mut reply = Vec::new();
        let mut buffer = [0; 1 << 16];
        while !reply.ends_with(mark) {
            let count = self.link.read(&mut buffer).expect("redis-server answers");
            assert!(count > 0, "redis-server closed the connection");
            reply.extend_from_slice(&buffer[..count]);
        }
        reply.truncate(reply.len() - mark.len());
        reply
    }

    /// As [`Redis::ask`], with the answer taken apart.
    pub(crate) fn call(&mut self, words: &[&[u8]]) -> Answer {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
        Answer::of(&self.ask(&words))
    }

    /// As [`Redis::call`] for words without spaces.
    pub(crate) fn line(&mut self, line: &str) -> Answer {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.call(&words)
    }
}

/// An answer in RESP2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Null,
    Integer(i64),
    /// A string, or a word such as OK.
    Text(Vec<u8>),
    Error(String),
    List(Vec<Self>),
}

impl Answer {
    /// The one answer in `reply`.
    pub(crate) fn of(reply: &[u8]) -> Self {
        let mut rest = reply;
        let answer = Self::parse(&mut rest);
        assert!(rest.is_empty(), "one answer at a time");
        answer
    }

    fn parse(rest: &mut &[u8]) -> Self {
        let end = rest.windows(2).position(|pair| pair == b"\r\n");
        let line = &rest[..end.expect("a line")];
        *rest = &rest[line.len() + 2..];
        let text = String::from_utf8_lossy(&line[1..]).into_owned();
        let number = || text.parse::<i64>().expect("a number");
        match line[0] {
            b'+' => Self::Text(line[1..].to_vec()),
            b'-' => Self::Error(text),
            b':' => Self::Integer(number()),
            b'$' | b'*' if number() < 0 => Self::Null,
            b'$' => {
                let (bytes, after) = rest.split_at(number() as usize);
                *rest = &after[2..];
                Self::Text(bytes.to_vec())
            }
            b'*' => Self::List((0..number()).map(|_| Self::parse(rest)).collect()),
            other => panic!("an answer begins with {other}"),
        }
    }

    pub(crate) fn text(&self) -> &[u8] {
        match self {
            Self::Text(text) => text,
            other => panic!("no text: {other:?}"),
        }
    }

    pub(crate) fn integer(&self) -> i64 {
        match self {
            Self::Integer(number) => *number,
            other => panic!("no number: {other:?}"),
        }
    }

    pub(crate) fn list(&self) -> &[Self] {
        match self {
            Self::List(list) => list,
            other => panic!("no list: {other:?}"),
        }
    }

    pub(crate) fn texts(&self) -> Vec<&[u8]> {
        self.list().iter().map(Self::text).collect()
    }

    /// The value behind a name in a list of names and values.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        let mut pairs = self.list().chunks_exact(2);
        let found = pairs.find(|pair| pair[0].text() == name.as_bytes());
        found.map(|pair| &pair[1])
    }
}

/// SplitMix64: a test needs no better one.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }

    pub(crate) fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}
