//! The page `/metrics`: as much HTTP as Prometheus speaks, and no more.
//!
//! Every connection is one request. What is too long, too slow or too much at a time is turned
//! away, so that nobody can hold up the node through this port.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::limits::{METRICS_CONNECTIONS_MAX, METRICS_REQUEST_BYTES_MAX, METRICS_SECONDS_MAX};

/// How long to wait when the system cannot accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long a request may take.
pub const PATIENCE: Duration = Duration::from_secs(METRICS_SECONDS_MAX);

/// Answers on `listener` until the task is dropped, to those who take no longer than `patience`.
pub async fn serve(listener: TcpListener, registry: Arc<Registry>, patience: Duration) {
    let places = Arc::new(Semaphore::new(METRICS_CONNECTIONS_MAX));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Too many at a time: this one is closed.
                if let Ok(place) = places.clone().try_acquire_owned() {
                    let registry = registry.clone();
                    tokio::spawn(async move {
                        // Whoever is too slow, or gone, gets no answer.
                        let _ = timeout(patience, answer(stream, &registry)).await;
                        drop(place);
                    });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a reader of metrics");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream, registry: &Registry) -> std::io::Result<()> {
    let response = match read_head(&mut stream).await? {
        Some(head) => respond(&head, registry),
        None => plain(
            "431 Request Header Fields Too Large",
            "The request is too long.\n",
        ),
    };
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}

/// The head of a request, unless it is too long.
async fn read_head(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut reader = stream.take(METRICS_REQUEST_BYTES_MAX as u64);
    while !is_complete(&head) {
        if reader.read_buf(&mut head).await? == 0 {
            let is_too_long = head.len() >= METRICS_REQUEST_BYTES_MAX;
            return if is_too_long {
                Ok(None)
            } else {
                Ok(Some(head))
            };
        }
    }
    Ok(Some(head))
}

fn is_complete(head: &[u8]) -> bool {
    memchr::memmem::find(head, b"\r\n\r\n").is_some()
}

fn respond(head: &[u8], registry: &Registry) -> String {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let path = target
        .split(|byte| *byte == b'?')
        .next()
        .unwrap_or_default();
    if !words
        .next()
        .is_some_and(|version| version.starts_with(b"HTTP/1."))
        || !is_complete(head)
    {
        return plain("400 Bad Request", "This is no HTTP request.\n");
    }
    match (method, path) {
        (b"GET", b"/metrics") => metrics(registry, true),
        (b"HEAD", b"/metrics") => metrics(registry, false),
        (b"GET" | b"HEAD", _) => plain("404 Not Found", "See /metrics.\n"),
        _ => plain("405 Method Not Allowed", "Only GET is answered.\n"),
    }
}

fn metrics(registry: &Registry, has_body: bool) -> String {
    let mut text = String::new();
    match encode(&mut text, registry) {
        Ok(()) => response("200 OK", CONTENT_TYPE, &text, has_body),
        Err(_) => plain(
            "500 Internal Server Error",
            "The metrics cannot be written.\n",
        ),
    }
}

fn plain(status: &str, text: &str) -> String {
    response(status, "text/plain; charset=utf-8", text, true)
}

fn response(status: &str, content_type: &str, body: &str, has_body: bool) -> String {
    let length = body.len();
    let body = if has_body { body } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}
