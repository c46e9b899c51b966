//! CLIENT KILL: by address, or by everything that is known of a client.

use larder_commands::args::Args;
use larder_commands::error::{CommandError, echo};

use super::Outcome;
use super::client::{client_id, is_type_of_all};
use crate::client::{ClientInfo, Connection, Step};

/// Whom CLIENT KILL means: all of it must be true of a client.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter<'a> {
    id: Option<u64>,
    address: Option<&'a [u8]>,
    local: Option<&'a [u8]>,
    /// Whether another type of clients is meant, of which there are none.
    is_nobody: bool,
    spares_myself: bool,
}

impl<'a> Filter<'a> {
    fn read(args: Args<'a>) -> Result<Self, CommandError> {
        let mut filter = Self {
            spares_myself: true,
            ..Self::default()
        };
        let mut at = 2;
        while let Some(word) = args.get(at) {
            let value = args.get(at + 1).ok_or(CommandError::Syntax)?;
            let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
            if is(b"ID") {
                let id = client_id(value);
                filter.id = Some(id.ok_or(CommandError::Fixed(
                    "ERR client-id should be greater than 0",
                ))?);
            } else if is(b"TYPE") {
                filter.is_nobody |= !is_type_of_all(value)?;
            } else if is(b"ADDR") {
                filter.address = Some(value);
            } else if is(b"LADDR") {
                filter.local = Some(value);
            } else if is(b"USER") {
                if value != b"default" {
                    return Err(CommandError::Text(format!(
                        "ERR No such user '{}'",
                        echo(value)
                    )));
                }
            } else if is(b"SKIPME") {
                filter.spares_myself = if value.eq_ignore_ascii_case(b"yes") {
                    true
                } else if value.eq_ignore_ascii_case(b"no") {
                    false
                } else {
                    return Err(CommandError::Syntax);
                };
            } else {
                return Err(CommandError::Syntax);
            }
            at += 2;
        }
        Ok(filter)
    }

    fn takes(&self, client: &ClientInfo, myself: u64) -> bool {
        let is = |wanted: Option<&[u8]>, address: std::net::SocketAddr| {
            wanted.is_none_or(|wanted| wanted == address.to_string().as_bytes())
        };
        !self.is_nobody
            && self.id.is_none_or(|id| id == client.id)
            && is(self.address, client.address)
            && is(self.local, client.local)
            && !(self.spares_myself && client.id == myself)
    }
}

pub(super) fn kill(connection: &mut Connection, args: Args<'_>) -> Outcome {
    // The old form names an address, spares nobody and wants to find someone.
    let is_old = args.len() == 3;
    let filter = if is_old {
        Filter {
            address: args.get(2),
            ..Filter::default()
        }
    } else {
        Filter::read(args)?
    };
    let myself = connection.info.id;
    let (mut killed, mut is_end) = (0, false);
    for client in connection.server.clients.all() {
        if !client.is_ending() && filter.takes(&client, myself) {
            killed += 1;
            if client.id == myself {
                is_end = true;
            } else {
                client.end();
            }
        }
    }
    match (is_old, killed) {
        (true, 0) => return Err(CommandError::NoSuchClient),
        (true, _) => connection.reply.ok(),
        (false, _) => connection.reply.count(killed),
    }
    // A client that ends itself gets its reply first.
    Ok(if is_end { Step::Close } else { Step::Done })
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_commands::args::OwnedArgs;

    fn read(line: &str) -> Result<bool, String> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let args = OwnedArgs::new(&words);
        let filter = Filter::read(args.as_args());
        filter
            .map(|filter| filter.spares_myself)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn filters_are_read_as_redis_does() {
        assert_eq!(read("CLIENT KILL ID 3 SKIPME no"), Ok(false));
        assert_eq!(read("CLIENT KILL USER default ADDR a:1"), Ok(true));
        for (line, error) in [
            ("CLIENT KILL ID 0", "ERR client-id should be greater than 0"),
            ("CLIENT KILL ID x", "ERR client-id should be greater than 0"),
            ("CLIENT KILL USER nobody", "ERR No such user 'nobody'"),
            ("CLIENT KILL TYPE odd", "ERR Unknown client type 'odd'"),
            ("CLIENT KILL SKIPME maybe", "ERR syntax error"),
            ("CLIENT KILL ID 1 ADDR", "ERR syntax error"),
        ] {
            assert_eq!(read(line), Err(error.to_owned()), "{line}");
        }
    }
}
