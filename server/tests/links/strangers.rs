//! Who finds the peer port without knowing the secret.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use larder_server::limits::{HANDSHAKE_FIELD_BYTES_MAX, HANDSHAKES_MAX};
use larder_server::link::{LinkError, LinkLimits};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Plan, TestNode, in_time, limits, until};

/// All that the node says to a stranger who says `bytes`, until it hangs up.
async fn answer(node: &TestNode, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(&node.address)
        .await
        .expect("the node listens");
    // It may hang up before all is said.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = in_time("hanging up", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A HELLO as the first frame of `node`.
fn hello(node: u128) -> Vec<u8> {
    let mut bytes = b"*6\r\n$5\r\nHELLO\r\n$1\r\n1\r\n".to_vec();
    for number in [node, 7, 99] {
        bytes.extend_from_slice(b"$16\r\n");
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"$32\r\n");
    bytes.extend_from_slice(&[1; 32]);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// Where log lines go.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn another_secret_is_refused_and_both_sides_say_so() {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(log.finish());
    let a = TestNode::start(1, &Plan::default()).await;
    let b = TestNode::start(
        2,
        &Plan {
            secret: "quite another secret",
            ..Plan::default()
        },
    )
    .await;
    let error = in_time("dialling", b.links.dial_once(&a.address))
        .await
        .expect_err("no link");
    assert_eq!(
        error.to_string(),
        "the peer refused: the cluster secrets differ"
    );
    until("it is logged", || {
        let text = String::from_utf8_lossy(&lines.0.lock()).into_owned();
        text.contains("WARN") && text.contains("no link: the cluster secrets differ")
    })
    .await;
    assert_eq!((a.seen.events(), b.seen.events()), (vec![], vec![]));
    assert!(
        a.links
            .stats()
            .handshakes_failed
            .load(std::sync::atomic::Ordering::Relaxed)
            > 0
    );
}

#[tokio::test]
async fn another_cluster_is_refused_and_a_node_without_one_is_not() {
    let a = TestNode::start(1, &Plan::default()).await;
    let b = TestNode::start(
        2,
        &Plan {
            cluster: 8,
            ..Plan::default()
        },
    )
    .await;
    let c = TestNode::start(
        3,
        &Plan {
            cluster: 0,
            ..Plan::default()
        },
    )
    .await;
    let error = in_time("dialling", b.links.dial_once(&a.address))
        .await
        .expect_err("no link");
    assert_eq!(
        error.to_string(),
        "the peer refused: the peer belongs to another cluster"
    );
    in_time("dialling", c.links.dial_once(&a.address))
        .await
        .expect("a link");
}

#[tokio::test]
async fn another_node_at_a_known_address_is_not_taken_for_the_peer() {
    let a = TestNode::start(1, &Plan::default()).await;
    let mut b = TestNode::start(2, &Plan::default()).await;
    b.id = larder_cluster::id::NodeId(9);
    a.know(&[&b]);
    let failed = || {
        a.links
            .stats()
            .handshakes_failed
            .load(std::sync::atomic::Ordering::Relaxed)
    };
    until("it was tried", || failed() > 1).await;
    assert_eq!(a.seen.events(), []);
}

/// Says to every caller what the caller says, after `change`.
async fn echo(listener: TcpListener, change: fn(&mut [u8])) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut buffer = vec![0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                change(&mut buffer[..length]);
                if stream.write_all(&buffer[..length]).await.is_err() {
                    return;
                }
            }
        });
    }
}

#[tokio::test]
async fn a_nodes_own_words_prove_nothing_to_it() {
    let a = TestNode::start(1, &Plan::default()).await;
    // The first mirror is plain, the second one gives itself another name.
    let rename: fn(&mut [u8]) = |bytes| {
        let own = 1_u128.to_be_bytes();
        if let Some(at) = bytes.windows(16).position(|window| window == own) {
            bytes[at] = 0xff;
        }
    };
    for (change, want) in [(|_: &mut [u8]| {}) as fn(&mut [u8]), rename]
        .into_iter()
        .zip([
            "the address leads back to this node",
            "the cluster secrets differ",
        ])
    {
        let mirror = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = mirror.local_addr().expect("bound").to_string();
        tokio::spawn(echo(mirror, change));
        let error = in_time("dialling", a.links.dial_once(&address))
            .await
            .expect_err("no link");
        assert_eq!(error.to_string(), want);
    }
    assert_eq!(a.seen.events(), []);
}

/// Passes one connection on, and writes down what the dialler says.
async fn overhear(listener: TcpListener, target: String, heard: Arc<Mutex<Vec<u8>>>) {
    let (caller, _) = listener.accept().await.expect("a caller");
    let called = TcpStream::connect(target).await.expect("the node listens");
    let ((mut caller_read, mut caller_write), (mut called_read, mut called_write)) =
        (caller.into_split(), called.into_split());
    tokio::spawn(async move { tokio::io::copy(&mut called_read, &mut caller_write).await });
    let mut buffer = vec![0; 4096];
    while let Ok(length @ 1..) = caller_read.read(&mut buffer).await {
        heard.lock().extend_from_slice(&buffer[..length]);
        if called_write.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_handshake_is_worth_nothing_later() {
    let a = TestNode::start(1, &Plan::default()).await;
    let b = TestNode::start(2, &Plan::default()).await;
    let wire = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let through = wire.local_addr().expect("bound").to_string();
    let heard = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn(overhear(wire, a.address.clone(), heard.clone()));
    in_time("dialling", b.links.dial_once(&through))
        .await
        .expect("a link");
    until("the link is up", || a.is_linked(&b)).await;
    let recorded = heard.lock().clone();
    let secret = Plan::default().secret.as_bytes();
    assert!(
        !recorded
            .windows(secret.len())
            .any(|window| window == secret)
    );
    b.links.close().await;
    until("the link is down", || a.seen.ups_and_downs() == (1, 1)).await;
    let text = answer(&a, &recorded).await;
    assert!(
        text.ends_with("-ERR the cluster secrets differ\r\n"),
        "{text}"
    );
    assert_eq!(a.seen.ups_and_downs(), (1, 1));
}

#[tokio::test]
async fn garbage_is_turned_away() {
    let a = TestNode::start(1, &Plan::default()).await;
    let long = format!(
        "*2\r\n$5\r\nHELLO\r\n${}\r\n",
        HANDSHAKE_FIELD_BYTES_MAX + 1
    );
    let mut forged = hello(2);
    forged.extend_from_slice(b"*3\r\n$5\r\nPROOF\r\n$32\r\n");
    forged.extend_from_slice(&[0; 32]);
    forged.extend_from_slice(b"\r\n$0\r\n\r\n");
    let mut early = hello(2);
    early.extend_from_slice(b"*2\r\n$5\r\nDELTA\r\n$0\r\n\r\n");
    let cases: &[(&[u8], &str)] = &[
        (
            b"GET / HTTP/1.1\r\n\r\n",
            "-ERR the peer sent bytes that are no frame\r\n",
        ),
        (
            b"PING\r\n",
            "-ERR the peer sent bytes that are no frame\r\n",
        ),
        (
            b"*1\r\n$4\r\nPING\r\n",
            "-ERR the peer sent something else than HELLO\r\n",
        ),
        (
            b"*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n",
            "-ERR the peer sent another version of HELLO\r\n",
        ),
        (
            b"*2\r\n$5\r\nHELLO\r\n$1\r\n1\r\n",
            "-ERR the peer sent a HELLO that is broken\r\n",
        ),
        (
            b"*9\r\n",
            "-ERR Protocol error: invalid multibulk length\r\n",
        ),
        (
            long.as_bytes(),
            "-ERR Protocol error: invalid bulk length\r\n",
        ),
        (b"-ERR you\r\n", "-ERR the peer refused: you\r\n"),
        (&hello(1), "-ERR the address leads back to this node\r\n"),
        (&early, "-ERR the peer sent something else than PROOF\r\n"),
        (&forged, "-ERR the cluster secrets differ\r\n"),
        (
            &[0xff; 100],
            "-ERR the peer sent bytes that are no frame\r\n",
        ),
    ];
    for (bytes, want) in cases {
        let text = answer(&a, bytes).await;
        assert!(text.ends_with(want), "{}: {text}", bytes.escape_ascii());
    }
    assert_eq!(a.seen.events(), []);
}

#[tokio::test]
async fn who_says_nothing_is_turned_away_in_time_and_keeps_few_others_out() {
    let limits = LinkLimits {
        handshake: Duration::from_millis(500),
        ..limits()
    };
    let a = TestNode::start(
        1,
        &Plan {
            limits,
            ..Plan::default()
        },
    )
    .await;
    let b = TestNode::start(2, &Plan::default()).await;
    let mut silent = Vec::new();
    for _ in 0..HANDSHAKES_MAX {
        silent.push(
            TcpStream::connect(&a.address)
                .await
                .expect("the node listens"),
        );
    }
    let error = in_time("dialling", b.links.dial_once(&a.address))
        .await
        .expect_err("no room");
    assert!(
        matches!(error, LinkError::Closed | LinkError::Io(_)),
        "{error}"
    );
    for stream in &mut silent {
        let mut text = String::new();
        in_time("hanging up", stream.read_to_string(&mut text))
            .await
            .expect("a farewell");
        assert_eq!(text, "-ERR the handshake took too long\r\n");
    }
    in_time("dialling", b.links.dial_once(&a.address))
        .await
        .expect("there is room again");
}

#[tokio::test]
async fn a_stranger_cannot_hold_up_a_node_that_dials() {
    let limits = LinkLimits {
        handshake: Duration::from_millis(100),
        ..limits()
    };
    let a = TestNode::start(
        1,
        &Plan {
            limits,
            ..Plan::default()
        },
    )
    .await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("bound").to_string();
    let error = in_time("dialling", a.links.dial_once(&address))
        .await
        .expect_err("no link");
    assert!(matches!(error, LinkError::Handshake));
}
