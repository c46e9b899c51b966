//! The `redis` crate as it is, against any node: what most users of Rust will do.

use std::collections::HashMap;

use larder_tests::failure::{ensure, expect};
use larder_tests::{Checked, Cluster, Plan};
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncCommands, Client, Commands, RedisResult, Value};

const PROTOCOLS: [&str; 2] = ["resp2", "resp3"];

fn url(cluster: &Cluster, node: usize, protocol: &str) -> String {
    format!(
        "redis://127.0.0.1:{}/?protocol={protocol}",
        cluster.node(node).port()
    )
}

fn runtime() -> Checked<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

#[test]
fn a_synchronous_client_speaks_both_protocols() -> Checked {
    let cluster = Cluster::of(3)?;
    for (node, protocol) in PROTOCOLS.into_iter().enumerate() {
        let mut connection = Client::open(url(&cluster, node, protocol))?.get_connection()?;
        let _: () = connection.set("name", protocol)?;
        expect(
            "GET",
            &connection.get::<_, String>("name")?,
            &protocol.to_owned(),
        )?;
        let key = format!("counter:{protocol}");
        expect("INCRBY", &connection.incr::<_, _, i64>(&key, 5)?, &5)?;
        expect(
            "GET of nothing",
            &connection.get::<_, Option<String>>("nothing")?,
            &None,
        )?;
        let bytes: Vec<u8> = (0..=255).collect();
        let _: () = connection.set("bytes", &bytes)?;
        expect("bytes", &connection.get::<_, Vec<u8>>("bytes")?, &bytes)?;
        let float: f64 = connection.incr(format!("float:{protocol}"), 1.5)?;
        expect("INCRBYFLOAT", &float, &1.5)?;
        let many: Vec<Option<String>> = connection.mget(&["name", "nothing"])?;
        expect("MGET", &many, &vec![Some(protocol.to_owned()), None])?;
        let settings: HashMap<String, String> = redis::cmd("CONFIG")
            .arg("GET")
            .arg("replicas")
            .query(&mut connection)?;
        expect(
            "CONFIG GET",
            &settings.get("replicas").map(String::as_str),
            &Some("3"),
        )?;
    }
    Ok(())
}

#[test]
fn errors_keep_their_prefixes() -> Checked {
    let cluster = Cluster::of(1)?;
    let mut connection = Client::open(url(&cluster, 0, "resp3"))?.get_connection()?;
    let _: () = connection.set("text", "no number")?;
    let error: RedisResult<i64> = connection.incr("text", 1);
    let text = error
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    ensure(
        text.contains("value is not an integer or out of range"),
        || text.clone(),
    )?;
    let error: RedisResult<Value> = redis::cmd("NONSENSE").arg("x").query(&mut connection);
    let text = error
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    ensure(text.contains("unknown command 'NONSENSE'"), || text.clone())
}

#[test]
fn a_pipeline_of_ten_thousand_commands_is_answered_in_order() -> Checked {
    let cluster = Cluster::of(3)?;
    for protocol in PROTOCOLS {
        let mut connection = Client::open(url(&cluster, 1, protocol))?.get_connection()?;
        let mut pipeline = redis::pipe();
        for number in 0..5_000_u32 {
            pipeline
                .set(format!("k:{number}"), number)
                .ignore()
                .get(format!("k:{number}"));
        }
        let seen: Vec<u32> = pipeline.query(&mut connection)?;
        expect("all values", &seen, &(0..5_000).collect())?;
    }
    Ok(())
}

async fn many_at_once(mut connection: MultiplexedConnection) -> RedisResult<Vec<i64>> {
    let tasks = (0..100_i64).map(|number| {
        let mut connection = connection.clone();
        tokio::spawn(async move {
            let key = format!("task:{number}");
            let _: () = connection.set(&key, number).await?;
            let _: i64 = connection.incr("tasks", 1).await?;
            connection.get::<_, i64>(&key).await
        })
    });
    let mut seen = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        match task.await {
            Ok(number) => seen.push(number?),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    seen.push(connection.get("tasks").await?);
    Ok(seen)
}

#[test]
fn an_asynchronous_client_shares_a_connection_between_tasks() -> Checked {
    let cluster = Cluster::of(3)?;
    for (node, protocol) in PROTOCOLS.into_iter().enumerate() {
        let client = Client::open(url(&cluster, node, protocol))?;
        let seen = runtime()?.block_on(async {
            let mut connection = client.get_multiplexed_async_connection().await?;
            let _: () = connection.del("tasks").await?;
            many_at_once(connection).await
        })?;
        let wanted: Vec<i64> = (0..100).chain([100]).collect();
        expect("what the tasks saw", &seen, &wanted)?;
    }
    Ok(())
}

#[test]
fn a_cluster_client_finds_every_key_when_the_cluster_is_announced() -> Checked {
    let cluster = Plan::of(3).with("cluster-announce", "yes").start()?;
    let nodes: Vec<String> = (0..3).map(|node| url(&cluster, node, "resp3")).collect();
    let client = ClusterClient::new(nodes)?;
    let mut connection = client.get_connection()?;
    for number in 0..300 {
        let _: () = connection.set(format!("k:{number}"), number)?;
    }
    let slots: Value = redis::cmd("CLUSTER").arg("SLOTS").query(&mut connection)?;
    ensure(
        matches!(&slots, Value::Array(ranges) if ranges.len() >= 3),
        || format!("{slots:?}"),
    )?;
    let seen = runtime()?.block_on(async {
        let mut connection = client.get_async_connection().await?;
        let mut seen = Vec::new();
        for number in 0..300_i32 {
            seen.push(connection.get::<_, i32>(format!("k:{number}")).await?);
        }
        Ok::<_, redis::RedisError>(seen)
    })?;
    expect("all values", &seen, &(0..300).collect::<Vec<_>>())
}

/// Sets a key. What was under way to a node when it died has an unknown outcome, and the reply says
/// so; to set a key once more does no harm.
async fn set_for_sure(
    connection: &mut ClusterConnection,
    key: &str,
    value: i32,
) -> RedisResult<()> {
    for _ in 0..5 {
        match connection.set(key, value).await {
            Err(error) if error.code() == Some("TIMEOUT") => {}
            other => return other,
        }
    }
    connection.set(key, value).await
}

/// The asynchronous client, as the synchronous one of this release never asks for the slots anew
/// when a connection is refused.
#[test]
fn a_cluster_client_goes_on_when_a_node_is_killed() -> Checked {
    let mut cluster = Plan::of(3).with("cluster-announce", "yes").start()?;
    let nodes: Vec<String> = (0..3).map(|node| url(&cluster, node, "resp2")).collect();
    let client = ClusterClient::builder(nodes)
        .retries(20)
        .min_retry_wait(100)
        .build()?;
    let runtime = runtime()?;
    let mut connection = runtime.block_on(client.get_async_connection())?;
    cluster.node_mut(2).kill()?;
    let seen = runtime.block_on(async {
        let mut seen = Vec::new();
        for number in 0..300_i32 {
            let key = format!("k:{number}");
            set_for_sure(&mut connection, &key, number).await?;
            seen.push(connection.get::<_, i32>(key).await?);
        }
        Ok::<_, redis::RedisError>(seen)
    })?;
    expect("all values", &seen, &(0..300).collect::<Vec<_>>())
}

#[test]
fn databases_are_apart_and_a_url_selects_one() -> Checked {
    let cluster = Cluster::of(3)?;
    let port = cluster.node(0).port();
    let mut zero = Client::open(format!("redis://127.0.0.1:{port}/0"))?.get_connection()?;
    let mut nine = Client::open(format!("redis://127.0.0.1:{port}/9"))?.get_connection()?;
    let _: () = zero.set("k", "zero")?;
    let _: () = nine.set("k", "nine")?;
    expect("in 0", &zero.get::<_, String>("k")?, &"zero".to_owned())?;
    expect("in 9", &nine.get::<_, String>("k")?, &"nine".to_owned())?;
    let _: () = redis::cmd("FLUSHDB").query(&mut nine)?;
    expect("in 9 after FLUSHDB", &nine.exists::<_, bool>("k")?, &false)?;
    expect(
        "in 0 after FLUSHDB of 9",
        &zero.exists::<_, bool>("k")?,
        &true,
    )
}

#[test]
fn a_password_is_asked_for_in_both_protocols() -> Checked {
    let mut cluster = Cluster::of(1)?;
    cluster
        .node(0)
        .says("CONFIG SET requirepass sesame", "+OK")?;
    cluster
        .node(0)
        .says("GET k", "-NOAUTH Authentication required.")?;
    let port = cluster.node(0).port();
    for protocol in PROTOCOLS {
        let url = format!("redis://:sesame@127.0.0.1:{port}/?protocol={protocol}");
        let _: () = Client::open(url)?.get_connection()?.set("k", "v")?;
        let url = format!("redis://:wrong@127.0.0.1:{port}/?protocol={protocol}");
        let refused = Client::open(url)?
            .get_connection()
            .err()
            .map(|error| error.to_string());
        ensure(refused.is_some(), || {
            "a wrong password was taken".to_owned()
        })?;
    }
    cluster.node_mut(0).kill()
}
