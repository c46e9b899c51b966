//! What must hold between settings, and of texts that are more than text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use larder_cluster::limits::{ADDRESS_BYTES_MAX, ZONE_BYTES_MAX};

use super::Settings;

/// A setting that cannot be as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The setting.
    pub name: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindAddress {
    /// The address.
    pub address: IpAddr,
    /// Whether the node starts without it if the machine has no such address.
    pub may_be_missing: bool,
}

/// Checks what no single row can.
///
/// # Errors
/// The first setting that cannot be as it is.
pub fn check(settings: &Settings) -> Result<(), Refused> {
    let checks = [
        ("bind", bind_addresses(&settings.bind.0).map(|_| ())),
        (
            "metrics-bind",
            bind_addresses(&settings.metrics_bind.0).map(|_| ()),
        ),
        ("peer-bind", peer_bind(settings)),
        ("peer-port", peer_port(settings).map(|_| ())),
        (
            "join",
            settings
                .join
                .0
                .iter()
                .try_for_each(|address| peer_address(address)),
        ),
        ("announce-address", announce_address(settings)),
        ("partitions", power_of_two(settings.partitions)),
        ("zone", zone(&settings.zone)),
        ("dir", not_empty(settings.dir.as_os_str().is_empty())),
    ];
    for (name, outcome) in checks {
        outcome.map_err(|reason| Refused { name, reason })?;
    }
    Ok(())
}

/// The addresses that `bind` means.
///
/// # Errors
/// Which word is no address.
pub fn bind_addresses(words: &[String]) -> Result<Vec<BindAddress>, String> {
    let address = |word: &String| {
        let (may_be_missing, text) = match word.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, word.as_str()),
        };
        let address = match text {
            "*" => Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            "::*" => Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            _ => text
                .parse()
                .map_err(|_| format!("'{text}' is not an IP address")),
        };
        Ok(BindAddress {
            address: address?,
            may_be_missing,
        })
    };
    words.iter().map(address).collect()
}

/// The port for peers.
///
/// # Errors
/// There is no port 10000 above the clients'.
pub fn peer_port(settings: &Settings) -> Result<u16, String> {
    match (settings.peer_port, settings.port) {
        (Some(port), _) => Ok(port),
        (None, 0) => Ok(0),
        (None, port) => port.checked_add(PEER_PORT_OFFSET).ok_or_else(|| {
            format!("must be given, as port + {PEER_PORT_OFFSET} is beyond the last port")
        }),
    }
}

/// How far the port for peers is above the one for clients.
const PEER_PORT_OFFSET: u16 = 10_000;

fn peer_bind(settings: &Settings) -> Result<(), String> {
    settings
        .peer_bind
        .as_ref()
        .map_or(Ok(()), |words| bind_addresses(&words.0).map(|_| ()))
}

fn announce_address(settings: &Settings) -> Result<(), String> {
    match &settings.announce_address {
        Some(host) if host.is_empty() || host.contains(char::is_whitespace) => {
            Err("must be a host, or host:port".to_owned())
        }
        Some(host) if host.len() > ADDRESS_BYTES_MAX => {
            Err(format!("must have at most {ADDRESS_BYTES_MAX} bytes"))
        }
        _ => Ok(()),
    }
}

/// Whether `address` looks like `host:port`.
///
/// # Errors
/// What is wrong with it.
pub fn peer_address(address: &str) -> Result<(), String> {
    let parts = address.rsplit_once(':');
    let good = parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !good {
        return Err(format!(
            "'{address}' is not a peer address (host:port, such as 10.0.0.1:16379)"
        ));
    }
    if address.len() > ADDRESS_BYTES_MAX {
        return Err(format!(
            "a peer address has at most {ADDRESS_BYTES_MAX} bytes"
        ));
    }
    Ok(())
}

fn power_of_two(number: u64) -> Result<(), String> {
    if number.is_power_of_two() {
        Ok(())
    } else {
        Err("must be a power of two".to_owned())
    }
}

fn zone(name: &str) -> Result<(), String> {
    if name.len() > ZONE_BYTES_MAX {
        return Err(format!("must have at most {ZONE_BYTES_MAX} bytes"));
    }
    if name.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err("must have no spaces".to_owned());
    }
    Ok(())
}

fn not_empty(is_empty: bool) -> Result<(), String> {
    if is_empty {
        Err("must not be empty".to_owned())
    } else {
        Ok(())
    }
}
