//! What the nodes of the cluster tell each other of themselves, beside the layout: where clients
//! reach them, and which release they run.
//!
//! It travels with the handshake of every link, as lines of `name value`; names that a node does
//! not know it passes over.

use std::collections::BTreeMap;

use bytes::Bytes;
use larder_cluster::id::NodeId;
use parking_lot::Mutex;

/// The longest text that is believed.
const TEXT_BYTES_MAX: usize = 256;

/// What a node tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Where clients reach it, as `host:port`; empty if it has not told.
    pub clients: String,
    /// The release.
    pub version: String,
}

impl About {
    /// The text of the handshake.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        Bytes::from(format!(
            "clients {}\nversion {}\n",
            self.clients, self.version
        ))
    }

    /// Reads what [`About::encode`] wrote, as far as it makes sense.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let mut about = Self::default();
        let Ok(text) = std::str::from_utf8(bytes) else {
            return about;
        };
        for (name, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            let is_plain = value.bytes().all(|byte| byte.is_ascii_graphic());
            if value.len() > TEXT_BYTES_MAX || !is_plain {
                continue;
            }
            match name {
                "clients" if has_port(value) => value.clone_into(&mut about.clients),
                "version" => value.clone_into(&mut about.version),
                _ => {}
            }
        }
        about
    }
}

fn has_port(address: &str) -> bool {
    split(address).is_some()
}

/// The host and the port of `host:port`; an IPv6 host loses its brackets.
#[must_use]
pub fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    Some((bare.unwrap_or(host), port.parse().ok()?))
}

/// What is known of all nodes, this one included. What a node told stays known while its link is
/// down.
#[derive(Debug, Default)]
pub struct Peers {
    known: Mutex<BTreeMap<NodeId, About>>,
}

impl Peers {
    /// Takes over what a node tells of itself.
    pub fn learn(&self, node: NodeId, about: About) {
        self.known.lock().insert(node, about);
    }

    /// What is known of a node.
    #[must_use]
    pub fn about(&self, node: NodeId) -> Option<About> {
        self.known.lock().get(&node).cloned()
    }

    /// Where clients reach a node, if it has told.
    #[must_use]
    pub fn client_address(&self, node: NodeId) -> Option<String> {
        let about = self.about(node)?;
        (!about.clients.is_empty()).then_some(about.clients)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_tells_arrives() {
        let about = About {
            clients: "10.0.0.1:6379".to_owned(),
            version: "0.1.0".to_owned(),
        };
        assert_eq!(About::decode(&about.encode()), about);
        assert_eq!(
            About::decode(b"clients [::1]:7\nshoes 43\n").clients,
            "[::1]:7"
        );
    }

    #[test]
    fn nonsense_is_passed_over() {
        let long = format!("clients {}:1\n", "h".repeat(TEXT_BYTES_MAX));
        for bytes in [
            &b""[..],
            b"\xff\xff",
            b"clients\n",
            b"clients nowhere",
            long.as_bytes(),
        ] {
            assert_eq!(About::decode(bytes), About::default());
        }
        assert_eq!(About::decode(b"clients a b:1\nversion \x01").clients, "");
    }

    #[test]
    fn addresses_are_split_at_the_port() {
        assert_eq!(split("[::1]:6379"), Some(("::1", 6379)));
        assert_eq!(split("localhost:1"), Some(("localhost", 1)));
        assert_eq!(split("localhost"), None);
        assert_eq!(split("localhost:99999"), None);
    }
}
