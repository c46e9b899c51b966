//! The same random commands to Larder and to a real Redis, if there is one: the same bytes back.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "this test talks to another process, and says how to repeat a failure"
)]

mod harness;
mod redis;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use harness::{Client, World};
use larder_commands::reply::Protocol;
use redis::{Random, Redis};

const KEYS: &[&str] = &["a", "b", "c", "{t}a", "{t}b"];
const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "10",
    "x",
    "hello world",
    "9223372036854775807",
    "-9223372036854775808",
    "01",
    " 1",
    "1.5",
    "abc",
    "3.0",
    "inf",
    "ohmytext",
    "mynewtext",
    "a\r\nb",
    "+1",
    "-0",
    "1e3",
    "1 ",
    "nan",
    "99999999999999999999",
];
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "5",
    "-3",
    "100",
    "9223372036854775807",
    "-9223372036854775808",
    "x",
    "",
    "1.5",
    "20",
    "+1",
    " 1",
    "0x1",
    "1e3",
    "-0",
    "9223372036854775808",
];
const TIMES: &[&str] = &[
    "100000",
    "1000000",
    "50000000",
    "0",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "x",
    "9223372036854775",
    "10000000",
    "92233720368547758",
    "+1",
    " 1",
    "0x1",
    "1e3",
    "-0",
];
const FLOATS: &[&str] = &[
    "1.5", "0.25", "-2", "1", "x", "inf", "-0.5", "", "3.0e2", "nan",
];

/// Forms of requests: `k` a key, `s` one for sets, `h` one for hashes, `H` one for
/// hashes of floats, `m` a member, `v` a value, `n` a number, `t` a time, `T` an absolute time in
/// milliseconds, `S` one in seconds, `f` a float, `F` a key of floats (doubles here, long doubles
/// in Redis: only sums without rounding are alike), `c` a condition of EXPIRE; other words stand
/// for themselves. Conditions stand beside absolute times only: two relative ones of two machines
/// may compare otherwise if they fall within a millisecond.
const FORMS: &[&str] = &[
    "GET k",
    "SET k v",
    "SET k v",
    "SET k v NX",
    "SET k v XX",
    "SET k v GET",
    "SET k v NX GET",
    "SET k v XX GET KEEPTTL",
    "SET k v EX t",
    "SET k v PX t",
    "SET k v EXAT S",
    "SET k v PXAT T",
    "SET k v KEEPTTL",
    "SET k v EX t KEEPTTL",
    "SET k v NX XX",
    "SET k v EX",
    "SET k v FOO",
    "SET k v GET PX t XX",
    "SETNX k v",
    "SETEX k t v",
    "PSETEX k t v",
    "GETSET k v",
    "GETDEL k",
    "GETEX k",
    "GETEX k EX t",
    "GETEX k PERSIST",
    "GETEX k PXAT T",
    "GETEX k EX t PERSIST",
    "GETEX k KEEPTTL",
    "GETEX k PX t",
    "GETEX k EXAT S",
    "GETEX k t",
    "GETEX k EX t PX t",
    "SET k v PX t NX",
    "SET k v EX t PX t",
    "SET k v GET GET XX",
    "SET k v EXAT S GET",
    "COPY k k DB n REPLACE",
    "LCS k k MINMATCHLEN n",
    "LCS k k LEN MINMATCHLEN n",
    "EXISTS k",
    "MEMORY USAGE nokey SAMPLES n",
    "SETRANGE k 0 v",
    "OBJECT FREQ k k",
    "COMMAND INFO v",
    "MSET k v k v",
    "MSET k v k",
    "MSETNX k v k v",
    "MGET k k k",
    "STRLEN k",
    "GETRANGE k n n",
    "SUBSTR k n n",
    "APPEND k v",
    "SETRANGE k n v",
    "SETRANGE k 3 v",
    "INCR k",
    "DECR k",
    "INCRBY k n",
    "DECRBY k n",
    "INCR k",
    "INCRBYFLOAT F f",
    "INCRBYFLOAT F f",
    "SET F f",
    "INCR F",
    "DEL F",
    "GET F",
    "DECRBY F 7",
    "DEL k",
    "DEL k k",
    "UNLINK k k k",
    "EXISTS k k",
    "TYPE k",
    "TOUCH k k",
    "OBJECT FREQ k",
    "EXPIRE k t",
    "EXPIREAT k S c",
    "EXPIREAT k S c c",
    "PEXPIRE k t",
    "PEXPIREAT k T c",
    "EXPIREAT k S",
    "PEXPIREAT k T c",
    "PEXPIREAT k T",
    "TTL k",
    "PERSIST k",
    "EXPIRETIME k",
    "PEXPIRETIME k",
    "RENAME k k",
    "RENAMENX k k",
    "COPY k k",
    "COPY k k REPLACE",
    "COPY k k DB n",
    "MOVE k n",
    "LCS k k",
    "LCS k k LEN",
    "LCS k k IDX",
    "LCS k k IDX LEN",
    "LCS k k IDX MINMATCHLEN n WITHMATCHLEN",
    "LCS k k FOO",
    "GET",
    "GET k k",
    "MEMORY USAGE nokey",
    "OBJECT FOO k",
    "NOSUCH k v",
    "DBSIZE",
    "FLUSHDB",
    "KEYS ?",
    "KEYS",
    "SCAN x",
    "SCAN 0 COUNT 0",
    "SCAN 0 FOO 1",
    "SADD s m",
    "SADD s m m m",
    "SADD s m m",
    "SREM s m",
    "SREM s m m",
    "SREM s m m k",
    "SISMEMBER s m",
    "SISMEMBER k m",
    "SMISMEMBER s m m m",
    "SCARD s",
    "SCARD k",
    "SMEMBERS s",
    "SMEMBERS k",
    "SINTER s s s",
    "SINTER s",
    "SUNION s s",
    "SDIFF s s",
    "SDIFF s s s",
    "SINTERCARD 2 s s",
    "SINTERCARD 2 s s LIMIT 1",
    "SINTERCARD 1 s LIMIT 0",
    "SINTERCARD 1 s LIMIT x",
    "SINTERCARD 1 s FOO",
    "SINTERCARD n s",
    "SINTERSTORE s s s",
    "SUNIONSTORE s s s",
    "SDIFFSTORE s s s",
    "SMOVE s s m",
    "SPOP s 100",
    "SPOP s 0",
    "SPOP s -1",
    "SRANDMEMBER s 100",
    "SRANDMEMBER s 0",
    "SRANDMEMBER k n m",
    "SSCAN s 0 COUNT 100",
    "SSCAN s 0 COUNT 100 MATCH v",
    "SSCAN s 0 COUNT x",
    "SSCAN s 0 COUNT 0",
    "SSCAN k 0 FOO",
    "SSCAN s x",
    "HSET h m v",
    "HSET h m v m v m v",
    "HSET h m v m",
    "HMSET h m v m v",
    "HSETNX h m v",
    "HGET h m",
    "HGET k m",
    "HMGET h m m m",
    "HGETALL h",
    "HKEYS h",
    "HVALS h",
    "HLEN h",
    "HSTRLEN h m",
    "HEXISTS h m",
    "HDEL h m",
    "HDEL h m m m",
    "HINCRBY h m n",
    "HINCRBY h m 1",
    "HINCRBY h m 7",
    "HINCRBY H m 7",
    "HINCRBYFLOAT H m f",
    "HSET H m f",
    "HDEL H m",
    "HINCRBYFLOAT h m x",
    "HRANDFIELD h 100",
    "HRANDFIELD h 0 WITHVALUES",
    "HRANDFIELD h 1 v",
    "HRANDFIELD k n WITHVALUES",
    "HSCAN h 0 COUNT 100",
    "HSCAN h 0 COUNT 100 MATCH v",
    "HSCAN h 0 COUNT x",
    "HSCAN k 0 FOO",
    "DEL h",
    "TYPE h",
    "TTL h",
    "SET h v",
    "SADD h m",
    "HSET s m v",
    "RENAME h h",
    "COPY h h REPLACE",
    "RENAME s s",
    "PEXPIREAT h T",
    "PERSIST h",
    "DEL s",
    "TYPE s",
    "TTL s",
    "EXISTS s",
    "SET s v",
    "SETNX s v",
    "GET s",
    "INCR s",
    "PEXPIREAT s T",
    "PERSIST s",
    "COMMAND GETKEYSANDFLAGS SINTERSTORE a b c",
    "COMMAND GETKEYSANDFLAGS SMOVE a b c",
    "COMMAND GETKEYSANDFLAGS SPOP a",
    "COMMAND GETKEYS GET a",
    "COMMAND GETKEYS MSET a 1 b 2",
    "COMMAND GETKEYS FOO a",
    "COMMAND GETKEYS GET a b",
    "COMMAND GETKEYSANDFLAGS SET a b",
    "COMMAND GETKEYSANDFLAGS RENAME a b",
    "COMMAND LIST FILTERBY FOO x",
    "COMMAND FOO",
];

/// Commands whose replies hold the same in any order.
const UNORDERED: &[&str] = &[
    "KEYS",
    "SMEMBERS",
    "SINTER",
    "SUNION",
    "SDIFF",
    "SPOP",
    "SRANDMEMBER",
    "SSCAN",
    "HGETALL",
    "HKEYS",
    "HVALS",
    "HSCAN",
    "HRANDFIELD",
];

fn request(random: &mut Random, start_ms: u64) -> Vec<Vec<u8>> {
    let conditions = ["NX", "XX", "GT", "LT", "nx", "foo"];
    let form = random.one(FORMS);
    let words = form.split(' ').map(|word| match word {
        "k" => random.one(KEYS).to_owned(),
        "F" => random.one(&["f", "g"]).to_owned(),
        "s" => random.one(&["{s}a", "{s}b", "{s}c"]).to_owned(),
        "h" => random.one(&["{h}a", "{h}b"]).to_owned(),
        "H" => random.one(&["{h}c", "{h}d"]).to_owned(),
        "m" => random.one(&["a", "b", "c", "1", "22", ""]).to_owned(),
        "v" => random.one(VALUES).to_owned(),
        "n" => random.one(NUMBERS).to_owned(),
        "t" => random.one(TIMES).to_owned(),
        "T" => (start_ms + 7_000_000 + 1000 * random.below(3) as u64).to_string(),
        "S" => (start_ms / 1000 + 7_000 + random.below(3) as u64).to_string(),
        "f" => random.one(FLOATS).to_owned(),
        "c" => random.one(&conditions).to_owned(),
        other => other.to_owned(),
    });
    words.map(String::into_bytes).collect()
}

/// Replies that depend on the moment differ by a little between two machines' clocks.
fn depends_on_the_moment(words: &[Vec<u8>]) -> bool {
    let name = words[0].to_ascii_uppercase();
    [&b"TTL"[..], b"EXPIRETIME", b"PEXPIRETIME"].contains(&name.as_slice())
}

fn number_of(reply: &[u8]) -> Option<i64> {
    std::str::from_utf8(reply)
        .ok()?
        .trim()
        .strip_prefix(':')?
        .parse()
        .ok()
}

#[test]
fn random_commands_are_answered_as_by_redis() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let given = std::env::var("LIVE_SEED")
        .ok()
        .and_then(|text| text.parse::<u64>().ok());
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let number = given.unwrap_or(unix.as_nanos() as u64);
    let mut random = Random(number);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let version: &[u8] = if protocol == Protocol::Resp2 {
            b"2"
        } else {
            b"3"
        };
        redis.ask(&[b"HELLO".to_vec(), version.to_vec()]);
        redis.ask(&[b"FLUSHALL".to_vec()]);
        let world = World::new(1);
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        world.pass(unix.as_millis() as u64 - world.now().unix_ms);
        let began = Instant::now();
        let start_ms = world.now().unix_ms;
        let mut history = Vec::new();
        for step in 0..6_000 {
            let words = request(&mut random, start_ms);
            let shown: Vec<_> = words
                .iter()
                .map(|word| String::from_utf8_lossy(word))
                .collect();
            let real = redis.ask(&words);
            let behind = start_ms + began.elapsed().as_millis() as u64;
            world.catch_up(behind);
            let slices: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let client = Client {
                database: 0,
                protocol,
                scattered: step % 2 == 1,
            };
            let ours = world.ask_as(0, &slices, client);
            if let (true, Some(real), Some(ours)) = (
                depends_on_the_moment(&words),
                number_of(&real),
                number_of(&ours),
            ) {
                assert!((real - ours).abs() <= 1000, "{shown:?}: {real} and {ours}");
                continue;
            }
            history.push(format!("{shown:?}: {:?}", String::from_utf8_lossy(&real)));
            // Keys and members come in any order.
            let sorted = |reply: &[u8]| {
                let mut lines: Vec<_> = reply.split(|byte| *byte == b'\n').collect();
                lines.sort_unstable();
                lines.concat()
            };
            let same = if UNORDERED.iter().any(|name| words[0] == name.as_bytes()) {
                sorted(&ours) == sorted(&real)
            } else {
                ours == real
            };
            if !same {
                let last = history.iter().rev().take(40).rev();
                last.for_each(|line| eprintln!("{line}"));
                let ours = String::from_utf8_lossy(&ours);
                panic!("LIVE_SEED={number} step {step}: {ours:?}");
            }
        }
    }
}
