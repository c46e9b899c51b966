//! What clients ask for: real commands, and what the checkers must know of them.

use bytes::Bytes;
use larder_commands::args::Args;
use larder_crdt::types::document_causal::State;
use serde_json::Value;

/// The name of a key.
pub type Key = Vec<u8>;

/// Which command writes a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// LPUT.
    Put,
    /// LPATCH.
    Patch,
    /// LDEL.
    Remove,
}

/// A write to a document, and what its writer knew.
#[derive(Debug, Clone)]
pub struct DocumentWrite {
    /// Which command it is.
    pub way: Way,
    /// What the writer was shown with the context that it hands back.
    pub shown: Value,
    /// What it wants; unused by LDEL.
    pub json: Value,
    /// Whether the writer names its dots.
    pub is_named: bool,
}

/// One command.
#[derive(Debug, Clone)]
pub struct Action {
    /// The command and its arguments.
    pub words: Vec<Bytes>,
    /// The intent behind LPUT, LPATCH and LDEL.
    pub write: Option<DocumentWrite>,
    /// The delta of LMERGE.
    pub delta: Option<State>,
}

impl Action {
    /// A command of these words.
    pub fn new<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        let words = words.into_iter();
        Self {
            words: words
                .map(|word| Bytes::copy_from_slice(word.as_ref()))
                .collect(),
            write: None,
            delta: None,
        }
    }

    /// A command of the words of a line.
    #[must_use]
    pub fn of(line: &str) -> Self {
        Self::new(line.split(' '))
    }

    /// Adds a word.
    #[must_use]
    pub fn with(mut self, word: impl AsRef<[u8]>) -> Self {
        self.words.push(Bytes::copy_from_slice(word.as_ref()));
        self
    }

    /// The words, as commands take them.
    #[must_use]
    pub fn args(&self) -> Args<'_> {
        Args::of_list(&self.words)
    }

    /// The first key.
    #[must_use]
    pub fn key(&self) -> Bytes {
        self.words.get(1).cloned().unwrap_or_default()
    }

    /// Whether its name is this one.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.words
            .first()
            .is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The words as text.
    #[must_use]
    pub fn text(&self) -> String {
        let words = self
            .words
            .iter()
            .map(|word| word.escape_ascii().to_string());
        words.collect::<Vec<_>>().join(" ")
    }
}

/// What a command does to the elements that it changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Meaning {
    /// It changes nothing.
    Look,
    /// It removes or replaces what it observed.
    Replace,
    /// It adds to a counter, in quarters.
    Add(i64),
    /// What shows stays, under another deadline.
    Keep,
    /// It removes what somebody else observed, who hands it over.
    Take,
    /// It writes a document.
    Write,
}

impl Meaning {
    /// What a command means.
    ///
    /// # Panics
    /// If it is none of those that the simulator sends.
    pub(crate) fn of(args: &[Bytes]) -> Self {
        let name = args.first().map(|name| name.to_ascii_lowercase());
        let quarters = |at: usize| {
            let text = args.get(at).and_then(|arg| std::str::from_utf8(arg).ok());
            let amount: f64 = text
                .and_then(|text| text.parse().ok())
                .expect("it is a number");
            (amount * 4.0) as i64
        };
        match name.as_deref().unwrap_or_default() {
            b"incr" => Self::Add(4),
            b"decr" => Self::Add(-4),
            b"incrby" | b"incrbyfloat" => Self::Add(quarters(2)),
            b"decrby" => Self::Add(-quarters(2)),
            b"set" | b"getset" | b"getdel" | b"append" | b"mset" | b"msetnx" | b"del"
            | b"rename" | b"renamenx" | b"copy" | b"\0load" => Self::Replace,
            b"pexpire" | b"persist" | b"getex" => Self::Keep,
            b"\0drop" => Self::Take,
            b"lput" | b"lpatch" | b"ldel" | b"lincrby" | b"lmerge" => Self::Write,
            b"get" | b"mget" | b"exists" | b"lget" | b"pttl" | b"\0dump" | b"\0settle" => {
                Self::Look
            }
            other => panic!("{} has no row", other.escape_ascii()),
        }
    }
}
