//! The page of metrics and its place in the documentation.

use std::sync::Arc;
use std::time::Duration;

use larder_server::limits::{METRICS_CONNECTIONS_MAX, METRICS_REQUEST_BYTES_MAX};
use larder_server::metrics::{LINK_ROWS, Metrics, NODE_ROWS, ROWS, Source, docs, docs_lines, page};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

async fn start(metrics: Arc<Metrics>) -> String {
    start_with(metrics, page::PATIENCE).await
}

async fn start_with(metrics: Arc<Metrics>, patience: Duration) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Source {
        rows: ROWS,
        values: metrics,
    }));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(page::serve(listener, Arc::new(registry), patience));
    address
}

async fn ask(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let _ = stream.write_all(request).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn the_page_shows_every_row() {
    let metrics = Arc::new(Metrics::default());
    let address = start(metrics.clone()).await;
    metrics.commands.add(41);
    metrics.commands.add(1);
    metrics.clients.add(3);
    metrics.clients.subtract(1);
    metrics.start_time.set(1_700_000_000);
    let text = ask(&address, b"GET /metrics?x=1 HTTP/1.1\r\nHost: here\r\n\r\n").await;
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text;"));
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    for row in ROWS {
        assert!(
            body.contains(&format!("\n{} ", row.name)),
            "{}: {body}",
            row.name
        );
    }
    assert!(
        body.contains("# HELP larder_commands Commands of clients.\n"),
        "{body}"
    );
    assert!(
        body.contains("# TYPE larder_commands counter\nlarder_commands_total 42\n"),
        "{body}"
    );
    assert!(
        body.contains("# TYPE larder_clients gauge\nlarder_clients 2\n"),
        "{body}"
    );
    assert!(body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn other_requests_get_short_answers() {
    let address = start(Arc::default()).await;
    let long = format!(
        "GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n",
        "x".repeat(METRICS_REQUEST_BYTES_MAX)
    );
    let cases: &[(&[u8], &str)] = &[
        (b"GET / HTTP/1.1\r\n\r\n", "404"),
        (b"GET /metricsx HTTP/1.1\r\n\r\n", "404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", "405"),
        (b"GET /metrics\r\n\r\n", "400"),
        (b"GET /metrics HTTP/1.1\r\n", "400"),
        (b"\xff\xff\r\n\r\n", "400"),
        (b"", "400"),
        (b"HEAD /metrics HTTP/1.0\r\n\r\n", "200"),
        (long.as_bytes(), "431"),
    ];
    for (request, status) in cases {
        let text = ask(&address, request).await;
        let want = format!("HTTP/1.1 {status} ");
        assert!(
            text.starts_with(&want),
            "{}: {text}",
            request.escape_ascii()
        );
    }
    let head = ask(&address, b"HEAD /metrics HTTP/1.1\r\n\r\n").await;
    assert!(head.ends_with("\r\n\r\n"));
}

#[tokio::test]
async fn too_many_readers_are_turned_away() {
    let address = start(Arc::default()).await;
    let mut idle = Vec::new();
    for _ in 0..METRICS_CONNECTIONS_MAX {
        idle.push(TcpStream::connect(&address).await.expect("it listens"));
    }
    assert_eq!(ask(&address, b"GET /metrics HTTP/1.1\r\n\r\n").await, "");
    drop(idle);
    while ask(&address, b"GET /metrics HTTP/1.1\r\n\r\n")
        .await
        .is_empty()
    {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_reader_that_says_nothing_is_turned_away() {
    let address = start_with(Arc::default(), Duration::from_millis(100)).await;
    let mut silent = TcpStream::connect(&address).await.expect("it listens");
    let mut answer = Vec::new();
    let _ = silent.read_to_end(&mut answer).await;
    assert_eq!(answer, b"");
}

#[test]
fn names_are_of_one_kind_and_the_page_of_the_documentation_is_fresh() {
    let lines: Vec<String> = docs_lines(ROWS)
        .chain(docs_lines(LINK_ROWS))
        .chain(docs_lines(NODE_ROWS))
        .collect();
    for line in &lines {
        assert!(
            line.starts_with("| `larder_") && line.ends_with(". |\n"),
            "{line}"
        );
        assert_eq!(
            line.contains("_total`"),
            line.contains("| counter |"),
            "{line}"
        );
    }
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let text = docs(&lines);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &text).expect("writable");
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == text,
        "docs/metrics.md is stale: run this test with UPDATE_DOCS=1"
    );
}
