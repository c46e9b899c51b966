//! DEBUG: the harmless part, and faults of links for tests and demonstrations.

use std::time::Duration;

use larder_cluster::id::NodeId;
use larder_commands::args::Args;
use larder_commands::error::{CommandError, echo};
use larder_commands::reply::{Protocol, Reply};
use larder_crdt::types::register_lww::parse_float;

use super::numbers::natural;
use super::{Answering, Outcome, help};
use crate::client::{Connection, Step};
use crate::limits::LINK_DELAY_MS_MAX;
use crate::link::Fault;
use crate::server::Server;
use crate::settings::value::DebugAccess;

pub(super) fn debug<'a>(connection: &'a mut Connection, args: Args<'a>) -> Answering<'a> {
    Box::pin(async move {
        let allowed = match connection.server.settings().enable_debug_command {
            DebugAccess::Yes => true,
            DebugAccess::Local => connection.info.address.ip().to_canonical().is_loopback(),
            DebugAccess::No => false,
        };
        if !allowed {
            return Err(CommandError::DebugNotAllowed);
        }
        let word = args.at(1).to_ascii_lowercase();
        match (&word[..], args.len()) {
            (b"sleep", 3) => {
                let seconds = parse_float(args.at(2))
                    .unwrap_or(0.0)
                    .clamp(0.0, SLEEP_SECONDS_MAX);
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                connection.reply.ok();
            }
            // What these switch is not here, and what they call for happens anyway.
            (b"set-active-expire" | b"quicklist-packed-threshold", 3)
            | (b"change-repl-id" | b"reload" | b"loadaof", _) => connection.reply.ok(),
            (b"error", 3) => connection.reply.error(&String::from_utf8_lossy(args.at(2))),
            (b"log", 3) => {
                tracing::warn!("DEBUG LOG: {}", echo(args.at(2)));
                connection.reply.ok();
            }
            (b"link", 4..=5) => return link(connection, args),
            (b"protocol", 3) => return protocol(connection, args.at(2)),
            (b"help", 2) => help::DEBUG.write_to(&mut connection.reply),
            _ => {
                return Err(CommandError::Text(format!(
                    "ERR unknown subcommand or wrong number of arguments for '{}'. Try DEBUG HELP.",
                    echo(args.at(1))
                )));
            }
        }
        Ok(Step::Done)
    })
}

/// The longest sleep.
const SLEEP_SECONDS_MAX: f64 = 3600.0;

/// `DEBUG LINK peer cut|heal|delay ms`.
fn link(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let word = args.at(3).to_ascii_lowercase();
    let fault = match (&word[..], args.get(4)) {
        (b"cut", None) => Fault {
            is_cut: true,
            delay_ms: 0,
        },
        (b"heal", None) => Fault::default(),
        (b"delay", Some(ms)) => {
            let delay_ms = natural(ms)?;
            if delay_ms > LINK_DELAY_MS_MAX {
                return Err(CommandError::OutOfRange);
            }
            Fault {
                is_cut: false,
                delay_ms,
            }
        }
        _ => return Err(CommandError::Syntax),
    };
    let peers = if args.at(2) == b"*" {
        let own = connection.server.runtime.node.id();
        let view = connection.server.runtime.node.view();
        view.layout
            .nodes()
            .map(|(node, _)| node)
            .filter(|node| *node != own)
            .collect()
    } else {
        vec![peer(&connection.server, args.at(2))?]
    };
    for peer in peers {
        connection.server.links.set_fault(peer, fault);
    }
    connection.reply.ok();
    Ok(Step::Done)
}

/// The node that an operator means: by its id or the beginning of it, or by an address.
pub(super) fn member(server: &Server, word: &[u8]) -> Result<NodeId, CommandError> {
    let view = server.runtime.node.view();
    let text = String::from_utf8_lossy(word);
    let lower = text.to_ascii_lowercase();
    let is_meant = |node: NodeId, address: &str| {
        let begins = !lower.is_empty() && node.to_redis().starts_with(&lower);
        let client = server.peers.client_address(node);
        begins || address == text || client.is_some_and(|client| client == text)
    };
    let mut meant = view
        .layout
        .nodes()
        .filter(|(node, entry)| is_meant(*node, &entry.address))
        .map(|(node, _)| node);
    match (meant.next(), meant.next()) {
        (Some(node), None) => Ok(node),
        (None, _) => Err(CommandError::Text(format!(
            "ERR Unknown node {}",
            echo(word)
        ))),
        (Some(_), Some(_)) => Err(CommandError::Text(format!(
            "ERR More than one node begins with {}",
            echo(word)
        ))),
    }
}

fn peer(server: &Server, word: &[u8]) -> Result<NodeId, CommandError> {
    let node = member(server, word)?;
    if node == server.runtime.node.id() {
        return Err(CommandError::Fixed("ERR a node has no link with itself"));
    }
    Ok(node)
}

/// A value of each kind, for those who test clients.
#[expect(clippy::approx_constant, reason = "the number that Redis sends")]
fn protocol(connection: &mut Connection, word: &[u8]) -> Outcome {
    type Write = fn(&mut Reply);
    let kinds: [(&str, Write); 13] = [
        ("string", |reply| reply.bulk(b"Hello World")),
        ("integer", |reply| reply.integer(12_345)),
        ("double", |reply| reply.double(3.141)),
        ("null", Reply::null),
        ("array", |reply| {
            reply.array(3);
            (0..3).for_each(|number| reply.integer(number));
        }),
        ("set", |reply| {
            reply.set(3);
            (0..3).for_each(|number| reply.integer(number));
        }),
        ("map", |reply| {
            reply.map(3);
            for number in 0..3 {
                reply.integer(number);
                reply.boolean(number == 1);
            }
        }),
        ("bignum", |reply| {
            reply.big_number("1234567999999999999999999999999999999")
        }),
        ("attrib", |reply| {
            if reply.protocol() == Protocol::Resp3 {
                reply.attribute(1);
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.integer(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }),
        ("push", |reply| {
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.integer(42);
            reply.bulk(b"Some real reply following the push reply");
        }),
        ("true", |reply| reply.boolean(true)),
        ("false", |reply| reply.boolean(false)),
        ("verbatim", |reply| {
            reply.verbatim(*b"txt", b"This is a verbatim\nstring")
        }),
    ];
    let kind = kinds
        .iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
    let (_, write) = kind.ok_or(CommandError::Fixed(
        "ERR Wrong protocol type name. Please use one of the following: \
         string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
    ))?;
    if word.eq_ignore_ascii_case(b"push") && connection.reply.protocol() == Protocol::Resp2 {
        return Err(CommandError::Fixed(
            "ERR RESP2 is not supported by this command",
        ));
    }
    write(&mut connection.reply);
    Ok(Step::Done)
}
