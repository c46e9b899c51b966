//! The options of commands on documents.

use larder_crdt::Actor;
use larder_crdt::types::document_causal::DocDot;

use crate::args::Args;
use crate::error::CommandError;
use crate::numbers;
use crate::table::Asked;

fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// What LGET is to show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ReadOptions<'c> {
    /// A part of the document.
    pub(super) path: Option<&'c [u8]>,
    /// Whether to show where writers disagree.
    pub(super) siblings: bool,
    /// Whether to show the state rather than the object.
    pub(super) state: bool,
    /// Show only what is new since this context.
    pub(super) since: Option<&'c [u8]>,
    read_copies: Option<u8>,
}

impl<'c> ReadOptions<'c> {
    pub(super) fn parse(args: Args<'c>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut words = args.from(2).iter();
        while let Some(word) = words.next() {
            if is(word, "path") {
                options.path = Some(words.next().ok_or(CommandError::Syntax)?);
            } else if is(word, "r") {
                let copies = numbers::copies(words.next().ok_or(CommandError::Syntax)?)?;
                options.read_copies = Some(copies);
            } else if is(word, "siblings") {
                options.siblings = true;
            } else if is(word, "state") {
                options.state = true;
            } else if is(word, "since") {
                options.since = Some(words.next().ok_or(CommandError::Syntax)?);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        let of_object = options.path.is_some() || options.siblings;
        if options.state && of_object || options.since.is_some() && !options.state {
            return Err(CommandError::Syntax);
        }
        Ok(options)
    }
}

/// How a write is stamped, signed and answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct WriteOptions {
    /// Unix milliseconds of the edit.
    pub(super) at_ms: Option<u64>,
    /// The dot of the first leaf.
    pub(super) named: Option<DocDot>,
    /// Whether to answer with the merged object.
    pub(super) returns: bool,
    write_copies: Option<u8>,
}

impl WriteOptions {
    /// Reads the options behind the third argument.
    pub(super) fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut words = args.from(4).iter();
        while let Some(word) = words.next() {
            let mut next = || words.next().ok_or(CommandError::Syntax);
            if is(word, "at") {
                let at_ms = u64::try_from(numbers::integer(next()?)?);
                options.at_ms = Some(at_ms.map_err(|_| CommandError::NotPositive)?);
            } else if is(word, "as") {
                options.named = Some(dot(next()?, next()?)?);
            } else if is(word, "w") {
                options.write_copies = Some(numbers::copies(next()?)?);
            } else if is(word, "return") {
                options.returns = true;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

fn dot(actor: &[u8], counter: &[u8]) -> Result<DocDot, CommandError> {
    let actor = std::str::from_utf8(actor).ok().and_then(Actor::from_hex);
    let actor = actor.ok_or(CommandError::Fixed(
        "ERR the actor must be 32 hexadecimal digits",
    ))?;
    let counter = u64::try_from(numbers::integer(counter)?)
        .ok()
        .filter(|counter| *counter > 0);
    Ok(DocDot::new(
        actor,
        counter.ok_or(CommandError::NotPositive)?,
    ))
}

/// The contexts of LMERGE, and the replicas that it is to wait for.
pub(super) fn contexts_of_merge(args: Args<'_>) -> Result<(usize, Option<u8>), CommandError> {
    let end = args.len();
    // No context is as short as an option's name.
    match end.checked_sub(2).map(|at| (at, args.at(at))) {
        Some((at, word)) if at > 3 && is(word, "w") => {
            Ok((at, Some(numbers::copies(args.at(at + 1))?)))
        }
        _ => Ok((end, None)),
    }
}

pub(super) fn asked_of_read(args: Args<'_>) -> Result<Asked, CommandError> {
    let options = ReadOptions::parse(args)?;
    Ok(Asked {
        read_copies: options.read_copies,
        ..Asked::default()
    })
}

pub(super) fn asked_of_write(args: Args<'_>) -> Result<Asked, CommandError> {
    let options = WriteOptions::parse(args)?;
    if options.returns && is(args.at(0), "lincrby") {
        return Err(CommandError::Syntax);
    }
    let (write_copies, is_named) = (options.write_copies, options.named.is_some());
    Ok(Asked {
        write_copies,
        is_named,
        read_copies: None,
    })
}

pub(super) fn asked_of_removal(args: Args<'_>) -> Result<Asked, CommandError> {
    let write_copies = match args.len() {
        3 => None,
        5 if is(args.at(3), "w") => Some(numbers::copies(args.at(4))?),
        _ => return Err(CommandError::Syntax),
    };
    Ok(Asked {
        write_copies,
        ..Asked::default()
    })
}

pub(super) fn asked_of_merge(args: Args<'_>) -> Result<Asked, CommandError> {
    let (_, write_copies) = contexts_of_merge(args)?;
    Ok(Asked {
        write_copies,
        ..Asked::default()
    })
}
