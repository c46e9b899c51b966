//! The notation in which rows give the arguments of a command, and the tree that it stands for.
//!
//! ```text
//! key:key         an argument and its type; `value` alone is a string
//! GET             a word that stands for itself
//! EX seconds      an argument behind a word
//! [x]             may be left out
//! <x | y>, x | y  one of several; the brackets are needed beside other arguments
//! (x y)           several together
//! x...            once or more often
//! ```
//!
//! From the tree come the arguments of COMMAND DOCS, which redis-cli makes hints of, and the syntax
//! in `docs/commands.md`.

/// What an argument may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A value of one of Redis's types, such as `string`, `integer` or `key`.
    Value(&'static str),
    /// A word that stands for itself.
    Word,
    /// One of several.
    OneOf(Vec<Argument>),
    /// Several together.
    Block(Vec<Argument>),
}

/// One argument of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its name, in lower case.
    pub name: String,
    /// What it may be.
    pub kind: Kind,
    /// The word before it, or the word that it is.
    pub token: Option<&'static str>,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may be repeated.
    pub multiple: bool,
}

/// The arguments that `usage` stands for.
///
/// # Panics
/// If a row's notation is wrong; a test parses all rows.
#[must_use]
pub fn parse(usage: &'static str) -> Vec<Argument> {
    let mut parser = Parser { rest: usage };
    let arguments = parser.alternatives();
    assert!(
        parser.rest.is_empty(),
        "brackets that do not match in {usage:?}"
    );
    arguments
}

struct Parser {
    rest: &'static str,
}

impl Parser {
    fn skip(&mut self, text: &str) -> bool {
        let trimmed = self.rest.trim_start_matches(' ');
        match trimmed.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn is_at_end(&self) -> bool {
        matches!(
            self.rest.trim_start().chars().next(),
            None | Some(']' | '>' | ')' | '|')
        )
    }

    /// A sequence of arguments, or one argument that is one of several sequences.
    fn alternatives(&mut self) -> Vec<Argument> {
        let mut choices = vec![self.sequence()];
        while self.skip("|") {
            choices.push(self.sequence());
        }
        match choices.len() {
            1 => choices.pop().unwrap_or_default(),
            _ => vec![Argument::new(Kind::OneOf(
                choices.into_iter().map(block).collect(),
            ))],
        }
    }

    fn sequence(&mut self) -> Vec<Argument> {
        let mut arguments = Vec::new();
        while !self.is_at_end() {
            arguments.push(self.argument());
        }
        arguments
    }

    fn argument(&mut self) -> Argument {
        let mut argument = if self.skip("[") {
            let inner = block(self.alternatives());
            assert!(self.skip("]"), "an open bracket before {:?}", self.rest);
            Argument {
                optional: true,
                ..inner
            }
        } else if self.skip("<") {
            let inner = block(self.alternatives());
            assert!(self.skip(">"), "an open bracket before {:?}", self.rest);
            inner
        } else if self.skip("(") {
            let inner = Argument::new(Kind::Block(self.alternatives()));
            assert!(self.skip(")"), "an open bracket before {:?}", self.rest);
            inner
        } else {
            self.word()
        };
        argument.multiple |= self.skip("...");
        argument
    }

    /// A name, or a word with the argument behind it.
    fn word(&mut self) -> Argument {
        let trimmed = self.rest.trim_start_matches(' ');
        let end = trimmed
            .find([' ', ']', '>', ')', '[', '(', '<'])
            .unwrap_or(trimmed.len());
        let (word, rest) = trimmed.split_at(end);
        let repeated = word.strip_suffix("...");
        self.rest = rest;
        let word = repeated.unwrap_or(word);
        let is_token = word.chars().all(|letter| !letter.is_ascii_lowercase());
        let mut argument = if is_token {
            self.behind(word)
        } else {
            value(word)
        };
        argument.multiple |= repeated.is_some();
        argument
    }

    fn behind(&mut self, token: &'static str) -> Argument {
        let next = self.rest.trim_start().chars().next();
        let has_value = next.is_some_and(|next| next.is_ascii_lowercase() || "(<".contains(next));
        let inner = if has_value {
            self.argument()
        } else {
            word(token)
        };
        Argument {
            token: Some(token),
            ..inner
        }
    }
}

fn value(word: &'static str) -> Argument {
    // A colon that is not followed by a type is part of the name.
    const TYPES: &[&str] = &["key", "integer", "double", "pattern", "unix-time", "string"];
    let (name, kind) = match word.rsplit_once(':') {
        Some((name, kind)) if TYPES.contains(&kind) => (name, kind),
        _ => (word, "string"),
    };
    Argument {
        name: name.to_owned(),
        ..Argument::new(Kind::Value(kind))
    }
}

fn word(token: &'static str) -> Argument {
    Argument {
        name: token.to_ascii_lowercase(),
        ..Argument::new(Kind::Word)
    }
}

/// One argument for a sequence: itself, if it is alone.
fn block(mut sequence: Vec<Argument>) -> Argument {
    match sequence.len() {
        1 => sequence.pop().expect("it has one"),
        _ => Argument::new(Kind::Block(sequence)),
    }
}

impl Argument {
    fn new(kind: Kind) -> Self {
        let name = match &kind {
            Kind::OneOf(inner) | Kind::Block(inner) => inner
                .first()
                .map(|first| first.name.clone())
                .unwrap_or_default(),
            Kind::Value(_) | Kind::Word => String::new(),
        };
        Self {
            name,
            kind,
            token: None,
            optional: false,
            multiple: false,
        }
    }

    /// Redis's word for what it may be.
    #[must_use]
    pub fn type_word(&self) -> &'static str {
        match self.kind {
            Kind::Value(word) => word,
            Kind::Word => "pure-token",
            Kind::OneOf(_) => "oneof",
            Kind::Block(_) => "block",
        }
    }

    /// As redis-cli shows it.
    #[must_use]
    pub fn shown(&self) -> String {
        let inner = match &self.kind {
            Kind::Value(_) => self.name.clone(),
            Kind::Word => String::new(),
            Kind::OneOf(choices) => {
                let choices: Vec<String> = choices.iter().map(Self::shown).collect();
                let choices = choices.join(" | ");
                if self.optional && self.token.is_none() {
                    choices
                } else {
                    format!("<{choices}>")
                }
            }
            Kind::Block(parts) => shown(parts),
        };
        let mut text = match (self.token, inner.is_empty()) {
            (Some(token), true) => token.to_owned(),
            (Some(token), false) => format!("{token} {inner}"),
            (None, _) => inner,
        };
        if self.multiple {
            text = format!("{text} [{text} ...]");
        }
        if self.optional {
            format!("[{text}]")
        } else {
            text
        }
    }
}

/// Arguments as redis-cli shows them.
#[must_use]
pub fn shown(arguments: &[Argument]) -> String {
    arguments
        .iter()
        .map(Argument::shown)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;

    #[test]
    fn the_notation_of_every_row_is_understood() {
        for found in table::rows() {
            let arguments = parse(found.command.usage);
            let has_key = arguments
                .iter()
                .any(|a| format!("{a:?}").contains("Value(\"key\")"));
            assert_eq!(
                has_key,
                !found.command.keys.is_empty(),
                "{}",
                found.command.name
            );
        }
    }

    #[test]
    fn arguments_are_shown_as_redis_cli_does() {
        for (usage, text) in [
            ("key:key value [NX | XX] [GET]", "key value [NX | XX] [GET]"),
            ("key:key...", "key [key ...]"),
            ("(key:key value)...", "key value [key value ...]"),
            ("[EX seconds:integer | KEEPTTL]", "[EX seconds | KEEPTTL]"),
            ("<ON | OFF>", "<ON | OFF>"),
            ("[AS (actor counter:integer)]", "[AS actor counter]"),
            ("[FILTERBY <A b | C d>]", "[FILTERBY <A b | C d>]"),
            ("ip:port", "ip:port"),
            ("[section...]", "[section [section ...]]"),
        ] {
            assert_eq!(shown(&parse(usage)), text);
        }
    }

    #[test]
    fn words_and_types_are_told_apart() {
        let arguments = parse("key:key [EX seconds:integer | KEEPTTL]");
        let [key, expiry] = &arguments[..] else {
            panic!("two arguments")
        };
        assert_eq!(
            (key.name.as_str(), key.type_word(), key.optional),
            ("key", "key", false)
        );
        assert_eq!((expiry.type_word(), expiry.optional), ("oneof", true));
        let Kind::OneOf(choices) = &expiry.kind else {
            panic!("one of several")
        };
        assert_eq!(
            (choices[0].token, choices[0].type_word()),
            (Some("EX"), "integer")
        );
        assert_eq!(
            (choices[1].token, choices[1].type_word()),
            (Some("KEEPTTL"), "pure-token")
        );
    }
}
