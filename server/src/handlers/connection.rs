//! What a client says of its connection: PING, HELLO, AUTH, SELECT and their kin.

use std::sync::atomic::Ordering;

use larder_commands::args::Args;
use larder_commands::error::{CommandError, echo};
use larder_commands::reply::{PONG, Protocol};

use super::Outcome;
use super::client::{is_name, rename};
use super::numbers::integer;
use crate::client::{Connection, Step};

/// The version of Redis whose behaviour clients find here.
pub(crate) const REDIS_VERSION: &str = "7.2.4";

/// The only user.
const USER: &[u8] = b"default";

pub(super) fn ping(connection: &mut Connection, args: Args<'_>) -> Outcome {
    match args.len() {
        1 => connection.reply.raw(PONG),
        2 => connection.reply.bulk(args.at(1)),
        _ => return Err(CommandError::WrongArity("ping")),
    }
    Ok(Step::Done)
}

pub(super) fn echo_back(connection: &mut Connection, args: Args<'_>) -> Outcome {
    connection.reply.bulk(args.at(1));
    Ok(Step::Done)
}

pub(super) fn quit(connection: &mut Connection, _: Args<'_>) -> Outcome {
    connection.reply.ok();
    Ok(Step::Close)
}

pub(super) fn reset(connection: &mut Connection, _: Args<'_>) -> Outcome {
    connection.reset();
    connection.reply.simple("RESET");
    Ok(Step::Done)
}

pub(super) fn select(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let number = selected(connection, args)?;
    connection.database = number;
    connection.info.database.store(number, Ordering::Relaxed);
    connection.reply.ok();
    Ok(Step::Done)
}

/// The database that SELECT names.
pub(super) fn selected(connection: &Connection, args: Args<'_>) -> Result<u8, CommandError> {
    let number = integer(args.at(1))?;
    if i32::try_from(number).is_err() {
        return Err(CommandError::Text(format!(
            "ERR value is out of range, value must between {} and {}",
            i32::MIN,
            i32::MAX
        )));
    }
    let databases = connection.server.settings().databases;
    u8::try_from(number)
        .ok()
        .filter(|number| u64::from(*number) < databases)
        .ok_or(CommandError::DatabaseIndex)
}

pub(super) fn auth(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let (user, password) = match args.len() {
        2 => {
            if connection.server.settings().requirepass.0.is_empty() {
                return Err(CommandError::NoPasswordSet);
            }
            (USER, args.at(1))
        }
        3 => (args.at(1), args.at(2)),
        _ => return Err(CommandError::Syntax),
    };
    authenticate(connection, user, password)?;
    connection.reply.ok();
    Ok(Step::Done)
}

/// Lets the client in, or not.
fn authenticate(
    connection: &mut Connection,
    user: &[u8],
    password: &[u8],
) -> Result<(), CommandError> {
    let settings = connection.server.settings();
    let wanted = settings.requirepass.0.as_bytes();
    // Without a password any will do, as for Redis's user without one.
    if user != USER || !(wanted.is_empty() || is_same(password, wanted)) {
        connection.server.metrics.wrong_passwords.add(1);
        return Err(CommandError::WrongPass);
    }
    connection.authenticated = true;
    Ok(())
}

/// Compares all bytes, so that the time it takes does not tell how many are right.
fn is_same(given: &[u8], wanted: &[u8]) -> bool {
    let mut difference = given.len() ^ wanted.len();
    for (at, byte) in given.iter().enumerate() {
        difference |= usize::from(byte ^ wanted[at % wanted.len()]);
    }
    difference == 0
}

/// What HELLO asks for.
#[derive(Default)]
struct Greeting<'a> {
    protocol: Option<Protocol>,
    credentials: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

impl<'a> Greeting<'a> {
    fn read(args: Args<'a>) -> Result<Self, CommandError> {
        let mut greeting = Self::default();
        if let Some(version) = args.get(1) {
            greeting.protocol = Some(match integer(version) {
                Ok(2) => Protocol::Resp2,
                Ok(3) => Protocol::Resp3,
                Ok(_) => return Err(CommandError::NoProto),
                Err(_) => return Err(CommandError::ProtocolNotInteger),
            });
        }
        let mut at = 2;
        while let Some(word) = args.get(at) {
            let more = args.len() - 1 - at;
            if word.eq_ignore_ascii_case(b"AUTH") && more >= 2 {
                greeting.credentials = Some((args.at(at + 1), args.at(at + 2)));
                at += 3;
            } else if word.eq_ignore_ascii_case(b"SETNAME") && more >= 1 {
                if !is_name(args.at(at + 1)) {
                    return Err(CommandError::ClientName);
                }
                greeting.name = Some(args.at(at + 1));
                at += 2;
            } else {
                return Err(CommandError::HelloOption(echo(word)));
            }
        }
        Ok(greeting)
    }
}

/// The protocol that a HELLO without password chooses.
pub(super) fn greeted(args: Args<'_>) -> Option<Protocol> {
    Greeting::read(args).ok()?.protocol
}

pub(super) fn hello(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let greeting = Greeting::read(args)?;
    if let Some((user, password)) = greeting.credentials {
        authenticate(connection, user, password)?;
    }
    if !connection.authenticated {
        return Err(CommandError::HelloNoAuth);
    }
    if let Some(name) = greeting.name {
        rename(connection, name);
    }
    if let Some(protocol) = greeting.protocol {
        connection.reply.set_protocol(protocol);
    }
    let version = connection.reply.protocol().number();
    connection.info.protocol.store(version, Ordering::Relaxed);
    let is_cluster = connection.server.settings().cluster_announce;
    let id = i64::try_from(connection.info.id).unwrap_or(i64::MAX);
    let reply = &mut connection.reply;
    reply.map(7);
    for (name, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(version.into());
    reply.bulk(b"id");
    reply.integer(id);
    let mode: &[u8] = if is_cluster {
        b"cluster"
    } else {
        b"standalone"
    };
    for (name, value) in [(&b"mode"[..], mode), (b"role", b"master")] {
        reply.bulk(name);
        reply.bulk(value);
    }
    reply.bulk(b"modules");
    reply.array(0);
    Ok(Step::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_password_is_the_password() {
        for given in [&b""[..], b"secre", b"secrets", b"Secret", b"secretsecret"] {
            assert!(!is_same(given, b"secret"), "{}", given.escape_ascii());
        }
        assert!(is_same(b"secret", b"secret"));
    }
}
