//! Random commands on lists to Larder and to a real Redis, if there is one: the same bytes back.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "this test talks to another process, and says how to repeat a failure"
)]

mod harness;
mod redis;

use std::time::{SystemTime, UNIX_EPOCH};

use harness::{Client, World};
use larder_commands::reply::Protocol;
use redis::{Random, Redis};

const VALUES: &[&str] = &[
    "a",
    "b",
    "c",
    "a",
    "b",
    "1",
    "-1",
    "01",
    "",
    "a\r\nb",
    "hello world",
];
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "-1",
    "-2",
    "-3",
    "1",
    "2",
    "10",
    "-10",
    "",
    "x",
    "1.5",
    "+1",
    " 1",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "2147483648",
];

/// Forms of requests: `k` a list's key, `s` a string's, `v` a value, `n` a number, `r` a rank,
/// `e` an end, `w` a word of LINSERT; other words stand for themselves.
const FORMS: &[&str] = &[
    "LPUSH k v",
    "RPUSH k v",
    "LPUSH k v v v",
    "RPUSH k v v v v",
    "RPUSH k v v",
    "LPUSHX k v v",
    "RPUSHX k v",
    "LPUSH s v",
    "LPUSHX s v",
    "LPOP k",
    "RPOP k",
    "LPOP k n",
    "RPOP k n",
    "LPOP k n n",
    "RPOP s",
    "LPOP s 0",
    "LPOP s n",
    "LLEN k",
    "LLEN s",
    "LRANGE k n n",
    "LRANGE k n n",
    "LRANGE k 0 -1",
    "LRANGE s 0 n",
    "LINDEX k n",
    "LINDEX k n",
    "LINDEX s n",
    "LSET k n v",
    "LSET k n v",
    "LSET s n v",
    "LINSERT k w v v",
    "LINSERT k w v v",
    "LINSERT s w v v",
    "LREM k n v",
    "LREM s n v",
    "LTRIM k n n",
    "LTRIM s n n",
    "LPOS k v",
    "LPOS k v RANK r",
    "LPOS k v COUNT n",
    "LPOS k v COUNT n RANK r",
    "LPOS k v RANK r COUNT n MAXLEN n",
    "LPOS k v MAXLEN n RANK r",
    "LPOS s v",
    "LPOS k v FOO n",
    "LPOS k v RANK",
    "LMOVE k k e e",
    "LMOVE k k e e",
    "LMOVE k s e e",
    "LMOVE s k e e",
    "RPOPLPUSH k k",
    "RPOPLPUSH s k",
    "LMPOP n k e",
    "LMPOP 2 k k e",
    "LMPOP 2 k k e COUNT n",
    "LMPOP 1 k e COUNT n COUNT n",
    "LMPOP 2 s k e",
    "LMPOP n k k e COUNT n",
    "LMPOP 3 k k k",
    "TYPE k",
    "EXISTS k",
    "DEL k",
    "EXPIRE k 100000",
    "PERSIST k",
    "SET k v",
    "GET k",
    "SET s v",
    "APPEND k v",
    "COMMAND GETKEYS LMPOP r k k LEFT",
    "COMMAND GETKEYS LMOVE k k LEFT LEFT",
];

fn request(random: &mut Random) -> Vec<Vec<u8>> {
    let form = random.one(FORMS);
    let words = form.split(' ').map(|word| match word {
        "k" => random.one(&["a", "b", "{b}c"]).to_owned(),
        "s" => "string".to_owned(),
        "v" => random.one(VALUES).to_owned(),
        "n" => random.one(NUMBERS).to_owned(),
        // Redis 7.0 takes the lowest number for a rank, later ones refuse it.
        "r" => random
            .one(&["1", "2", "3", "-1", "-2", "0", "x", "-9"])
            .to_owned(),
        "e" => random
            .one(&["LEFT", "RIGHT", "left", "Right", "x"])
            .to_owned(),
        "w" => random.one(&["BEFORE", "AFTER", "after", "x"]).to_owned(),
        other => other.to_owned(),
    });
    words.map(String::into_bytes).collect()
}

#[test]
fn random_commands_on_lists_are_answered_as_by_redis() {
    let Some(mut redis) = Redis::start() else {
        eprintln!("there is no redis-server to compare with");
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
    for (protocol, version) in [(Protocol::Resp2, b"2"), (Protocol::Resp3, b"3")] {
        redis.ask(&[b"HELLO".to_vec(), version.to_vec()]);
        redis.ask(&[b"FLUSHALL".to_vec()]);
        let world = World::new(1);
        let mut history = Vec::new();
        for step in 0..6_000 {
            let words = request(&mut random);
            let real = redis.ask(&words);
            let slices: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let client = Client {
                protocol,
                scattered: words[0] == b"LMPOP" && step % 2 == 1,
                ..Client::default()
            };
            let ours = world.ask_as(0, &slices, client);
            let shown: Vec<_> = words
                .iter()
                .map(|word| String::from_utf8_lossy(word))
                .collect();
            history.push(format!("{shown:?}: {:?}", String::from_utf8_lossy(&real)));
            if ours != real {
                let last = history.iter().rev().take(40).rev();
                last.for_each(|line| eprintln!("{line}"));
                let ours = String::from_utf8_lossy(&ours);
                panic!("LIVE_SEED={number} step {step}: {ours:?}");
            }
        }
    }
}
