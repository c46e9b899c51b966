//! Takes clients in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::connection::serve;
use crate::server::Server;

/// How long to wait when the system has no sockets left.
const PAUSE: Duration = Duration::from_millis(50);

const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

const DENIED: &[u8] = b"-DENIED Larder is running in protected mode because protected mode is \
    enabled and no password is set for the default user. In this mode connections are only \
    accepted from the loopback interface. If you want to connect from external computers to \
    Larder you may adopt one of the following solutions: 1) Disable protected mode by sending the \
    command 'CONFIG SET protected-mode no' from the loopback interface by connecting from the \
    same host the server is running on. 2) Set a password by the setting 'requirepass'.\r\n";

/// Takes clients from `listener` until the process ends.
pub async fn listen(server: Arc<Server>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => admit(&server, stream, address),
            Err(error) => {
                tracing::warn!(%error, "a client could not be taken in");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn admit(server: &Arc<Server>, mut stream: TcpStream, address: SocketAddr) {
    let settings = server.settings();
    let Ok(local) = stream.local_addr() else {
        return;
    };
    // A socket that cannot be tuned works all the same.
    let _ = stream.set_nodelay(true);
    if settings.tcp_keepalive > 0 {
        let probes = TcpKeepalive::new().with_time(Duration::from_secs(settings.tcp_keepalive));
        let _ = SockRef::from(&stream).set_tcp_keepalive(&probes);
    }
    let open = settings.requirepass.0.is_empty() && settings.protected_mode;
    let refusal = if open && !address.ip().to_canonical().is_loopback() {
        Err(DENIED)
    } else {
        server
            .clients
            .admit(address, local, settings.maxclients)
            .ok_or(TOO_MANY)
    };
    match refusal {
        Ok(info) => {
            server.metrics.connections.add(1);
            tokio::spawn(serve(server.clone(), stream, info));
        }
        Err(text) => {
            server.metrics.connections_refused.add(1);
            tokio::spawn(async move {
                let _ = stream.write_all(text).await;
                let _ = stream.shutdown().await;
            });
        }
    }
}
