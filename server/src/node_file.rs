//! `node.json` in the data directory: where a running node listens, for scripts and tests that let
//! it take free ports.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use larder_cluster::id::NodeId;

/// The file's name.
const NAME: &str = "node.json";

/// The file of a running node.
#[derive(Debug)]
pub struct NodeFile {
    path: PathBuf,
}

impl NodeFile {
    /// Writes the file, all of it or nothing.
    ///
    /// # Errors
    /// Those of the system.
    pub fn write(
        directory: &Path,
        node: NodeId,
        clients: &[SocketAddr],
        peers: &[SocketAddr],
    ) -> std::io::Result<Self> {
        let ports = |addresses: &[SocketAddr]| {
            let mut ports: Vec<u16> = addresses.iter().map(SocketAddr::port).collect();
            ports.dedup();
            ports
        };
        let text = serde_json::json!({
            "pid": std::process::id(),
            "client_ports": ports(clients),
            "peer_ports": ports(peers),
            "node_id": node.to_string(),
        });
        let path = directory.join(NAME);
        let draft = directory.join(format!("{NAME}.new"));
        fs::write(&draft, format!("{text}\n"))?;
        fs::rename(&draft, &path)?;
        Ok(Self { path })
    }

    /// Removes the file: the node has stopped as it should.
    pub fn remove(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, file = %self.path.display(), "cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_tells_ports_and_goes_when_the_node_does() {
        let directory = tempfile::tempdir().expect("a directory");
        let clients = ["127.0.0.1:7", "[::1]:7"].map(|address| address.parse().expect("valid"));
        let peers = ["127.0.0.1:8".parse().expect("valid")];
        let file = NodeFile::write(directory.path(), NodeId(5), &clients, &peers);
        let path = directory.path().join(NAME);
        let text = fs::read_to_string(&path).expect("it is there");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value.get("client_ports"), Some(&serde_json::json!([7])));
        assert_eq!(value.get("peer_ports"), Some(&serde_json::json!([8])));
        assert_eq!(
            value
                .get("node_id")
                .and_then(|id| id.as_str())
                .map(str::len),
            Some(32)
        );
        file.expect("written").remove();
        assert!(!path.exists());
    }
}
