//! Keys of a real Redis, if there is one, carried to a cluster and back by Redis's own means.

use larder_tests::failure::{Failure, ensure};
use larder_tests::real_redis::RealRedis;
use larder_tests::value::text;
use larder_tests::{Checked, Client, Cluster};
use redis::Value;

const KEYS: usize = 50;

fn dump(client: &mut Client, key: &str) -> Checked<Vec<u8>> {
    match client.run(&["DUMP", key])? {
        Value::BulkString(payload) => Ok(payload),
        other => Err(Failure::new(format!("DUMP {key}: {}", text(&other)))),
    }
}

/// Many keys with one MIGRATE, as people do it who move to another server.
#[test]
fn a_redis_migrates_its_keys_to_any_node() -> Checked {
    let Some(redis) = RealRedis::start()? else {
        return Ok(());
    };
    let cluster = Cluster::of(3)?;
    let mut from = Client::connect(redis.port())?;
    let mut names = Vec::new();
    for key in 0..KEYS {
        from.says(&format!("SET key{key} value{key}"), "+OK")?;
        names.push(format!("key{key}"));
    }
    from.says("SET key0 41 EX 1000", "+OK")?;
    let names = names.join(" ");
    let port = cluster.node(1).port();
    let migrate = format!("MIGRATE 127.0.0.1 {port} \"\" 3 20000 KEYS {names}");
    from.says(&migrate, "+OK")?;
    from.says("DBSIZE", ":0")?;
    let mut other = cluster.client(2)?;
    other.says("SELECT 3", "+OK")?;
    for key in 1..KEYS {
        other.says(&format!("GET key{key}"), &format!("value{key}"))?;
    }
    other.says("INCR key0", ":42")?;
    let ttl = other.ask("TTL key0")?;
    let seconds = ttl.trim_start_matches(':').parse::<u64>();
    ensure(seconds.is_ok_and(|ttl| (1..=1000).contains(&ttl)), || {
        format!("TTL key0: {ttl}")
    })?;
    // A key that is there is not written over.
    from.says("SET key1 other", "+OK")?;
    let refused = format!("MIGRATE 127.0.0.1 {port} key1 3 20000");
    from.begins(&refused, "-ERR Target instance replied with error: BUSYKEY")?;
    from.says(&format!("{refused} COPY REPLACE"), "+OK")?;
    other.says("GET key1", "other")?;
    // And back again.
    for key in ["key0", "key7"] {
        let payload = dump(&mut other, key)?;
        let words = [b"RESTORE", key.as_bytes(), b"0", &payload];
        let restored = from.run(&words)?;
        ensure(text(&restored) == "+OK", || text(&restored))?;
    }
    from.says("GET key0", "42")?;
    from.says("GET key7", "value7")
}
