//! Payloads of DUMP: those of a real Redis hold what its keys show, and ours make the same keys
//! there.

#![expect(
    clippy::disallowed_methods,
    reason = "this test says how to repeat a failure"
)]

mod harness;
mod redis;

use std::num::NonZeroU64;
use std::time::{SystemTime, UNIX_EPOCH};

use harness::World;
use larder_commands::dump::{
    Consumer, DumpError, Entry, EntryId, Field, Group, Pending, Stream, Text, Value, decode,
    encode, seal,
};
use redis::{Answer, Random, Redis};

fn text(bytes: &[u8]) -> Text {
    bytes.into()
}

/// Without an order where there is none.
fn sorted(mut value: Value) -> Value {
    match &mut value {
        Value::Set(members) => members.sort(),
        Value::SortedSet(members) => members.sort_by(|one, next| one.0.cmp(&next.0)),
        Value::Hash(fields) => fields.sort_by(|one, next| one.name.cmp(&next.name)),
        Value::String(_) | Value::List(_) | Value::Stream(_) => {}
    }
    value
}

fn float(bytes: &[u8]) -> f64 {
    let text = std::str::from_utf8(bytes).expect("a number");
    text.parse().expect("a number")
}

fn pairs(answer: &Answer) -> Vec<(Text, Text)> {
    let all = answer.texts();
    let pairs = all.chunks_exact(2);
    pairs.map(|pair| (text(pair[0]), text(pair[1]))).collect()
}

/// What a key of Redis shows by its commands.
fn shown(redis: &mut Redis, key: &str) -> Value {
    let kind = redis.line(&format!("TYPE {key}"));
    let mut ask = |line: &str| redis.line(&line.replace('k', key));
    sorted(match kind.text() {
        b"string" => Value::String(ask("GET k").text().to_vec()),
        b"list" => Value::List(ask("LRANGE k 0 -1").texts().into_iter().map(text).collect()),
        b"set" => Value::Set(ask("SMEMBERS k").texts().into_iter().map(text).collect()),
        b"zset" => {
            let members = pairs(&ask("ZRANGE k 0 -1 WITHSCORES")).into_iter();
            Value::SortedSet(members.map(|(name, score)| (name, float(&score))).collect())
        }
        b"hash" => Value::Hash(fields(redis, key)),
        b"stream" => Value::Stream(stream(&ask("XINFO STREAM k FULL COUNT 0"))),
        other => panic!("{}", other.escape_ascii()),
    })
}

fn fields(redis: &mut Redis, key: &str) -> Vec<Field> {
    let all = pairs(&redis.line(&format!("HGETALL {key}")));
    let count = all.len().to_string();
    let mut words = vec![
        &b"HPEXPIRETIME"[..],
        key.as_bytes(),
        b"FIELDS",
        count.as_bytes(),
    ];
    words.extend(all.iter().map(|(name, _)| &**name));
    // Before Redis 7.4 fields do not end.
    let deadlines = match redis.call(&words) {
        Answer::List(times) => times,
        _ => vec![Answer::Integer(-1); all.len()],
    };
    let fields = all.into_iter().zip(deadlines);
    let field = |((name, value), ends): ((Text, Text), Answer)| Field {
        name,
        value,
        deadline: u64::try_from(ends.integer()).ok().and_then(NonZeroU64::new),
    };
    fields.map(field).collect()
}

fn id(answer: &Answer) -> EntryId {
    let text = String::from_utf8_lossy(answer.text()).into_owned();
    let (ms, sequence) = text.split_once('-').expect("an id");
    EntryId {
        ms: ms.parse().expect("a number"),
        sequence: sequence.parse().expect("a number"),
    }
}

fn number(answer: &Answer) -> u64 {
    answer.integer() as u64
}

fn stream(info: &Answer) -> Stream {
    let entries = info.field("entries").expect("entries").list();
    let entries = entries.iter().map(|entry| {
        let (names, values): (Vec<_>, Vec<_>) = pairs(&entry.list()[1]).into_iter().unzip();
        Entry {
            id: id(&entry.list()[0]),
            names: names.into(),
            values,
        }
    });
    // Redis 6 knows nothing of what was added and deleted.
    let added = info.field("entries-added").or(info.field("length"));
    Stream {
        entries: entries.collect(),
        last_id: id(info.field("last-generated-id").expect("an id")),
        max_deleted_id: info
            .field("max-deleted-entry-id")
            .map(id)
            .unwrap_or_default(),
        entries_added: number(added.expect("a length")),
        groups: info
            .field("groups")
            .expect("groups")
            .list()
            .iter()
            .map(group)
            .collect(),
    }
}

fn group(info: &Answer) -> Group {
    let all = info.field("consumers").expect("consumers").list();
    let consumers = all.iter().map(|consumer| {
        let seen_ms = number(consumer.field("seen-time").expect("a time"));
        Consumer {
            name: text(consumer.field("name").expect("a name").text()),
            seen_ms,
            active_ms: match consumer.field("active-time") {
                Some(time) => u64::try_from(time.integer()).ok(),
                None => Some(seen_ms),
            },
        }
    });
    let consumers: Vec<_> = consumers.collect();
    let pending = info.field("pel").or(info.field("pending"));
    let pending = pending
        .expect("pending entries")
        .list()
        .iter()
        .map(|entry| {
            let owner = entry.list()[1].text();
            let place = consumers.iter().position(|one| &*one.name == owner);
            Pending {
                id: id(&entry.list()[0]),
                consumer: place.expect("a consumer"),
                delivered_ms: number(&entry.list()[2]),
                deliveries: number(&entry.list()[3]),
            }
        });
    let read = info.field("entries-read");
    Group {
        name: text(info.field("name").expect("a name").text()),
        last_id: id(info.field("last-delivered-id").expect("an id")),
        entries_read: read.filter(|read| **read != Answer::Null).map(number),
        pending: pending.collect(),
        consumers,
    }
}

/// Elements in all the ways that Redis packs them.
fn element(random: &mut Random) -> Vec<u8> {
    let length = match random.below(20) {
        0 => 0,
        1..14 => random.below(12),
        14..17 => random.below(80),
        17..19 => random.below(5_000),
        _ => random.below(20_000),
    };
    match random.below(6) {
        0 => (random.below(300) as i64 - 150).to_string().into_bytes(),
        1 => {
            let bits = random.below(64);
            let wide = random.below(usize::MAX) as i64;
            (wide >> bits).to_string().into_bytes()
        }
        2 => vec![b'z'; length],
        3 => b"abcdefg".iter().copied().cycle().take(length).collect(),
        _ => (0..length).map(|_| random.below(256) as u8).collect(),
    }
}

fn configure(redis: &mut Redis, random: &mut Random) {
    for (name, values) in [
        ("hash-max-ziplist-entries", ["0", "8", "512"]),
        ("hash-max-ziplist-value", ["4", "64", "10000"]),
        ("zset-max-ziplist-entries", ["0", "8", "512"]),
        ("zset-max-ziplist-value", ["4", "64", "10000"]),
        ("set-max-intset-entries", ["0", "8", "512"]),
        ("list-max-ziplist-size", ["-2", "3", "128"]),
        ("list-compress-depth", ["0", "1", "2"]),
        ("stream-node-max-entries", ["2", "10", "100"]),
        ("stream-node-max-bytes", ["50", "400", "4096"]),
        ("rdbcompression", ["yes", "yes", "no"]),
    ] {
        let set = redis.line(&format!("CONFIG SET {name} {}", random.one(&values)));
        assert_eq!(set, Answer::Text(b"OK".to_vec()), "{name}");
    }
}

/// Lets key `a` be a value at random.
fn make(redis: &mut Redis, random: &mut Random) {
    redis.line("DEL a");
    let size = [3, 30, 700][random.below(3)];
    let count = 1 + random.below(size);
    let numbers_only = random.below(3) == 0;
    let kind = random.below(6);
    if kind == 5 {
        return make_stream(redis, random, count.min(150));
    }
    for _ in 0..count {
        let mut one = || match numbers_only {
            true => (random.below(100_000) as i64 - 70_000)
                .to_string()
                .into_bytes(),
            false => element(random),
        };
        let (name, value) = (one(), one());
        let score = match random.below(5) {
            0 => "inf".to_owned(),
            1 => (random.below(200) as i64 - 100).to_string(),
            2 => "-1e300".to_owned(),
            _ => (random.below(1 << 50) as f64 / 7.0).to_string(),
        };
        match kind {
            0 => redis.call(&[b"SET", b"a", &name]),
            1 => redis.call(&[b"RPUSH", b"a", &name]),
            2 => redis.call(&[b"SADD", b"a", &name]),
            3 => redis.call(&[b"ZADD", b"a", score.as_bytes(), &name]),
            _ => redis.call(&[b"HSET", b"a", &name, &value]),
        };
    }
}

fn make_stream(redis: &mut Redis, random: &mut Random, count: usize) {
    redis.line("XGROUP CREATE a g $ MKSTREAM");
    redis.line("XGROUP CREATE a empty 3-3 MKSTREAM");
    let mut ms = random.below(1_000_000);
    for turn in 0..count {
        ms += random.below(3);
        let (id, value) = (format!("{ms}-{turn}"), element(random));
        let words = [&b"XADD"[..], b"a", id.as_bytes(), b"name", &value];
        match random.below(4) {
            0 => redis.call(&[&words[..], &[b"other", b"17"]].concat()),
            _ => redis.call(&words),
        };
        match random.below(12) {
            0 => drop(redis.line("XREADGROUP GROUP g one COUNT 3 STREAMS a >")),
            1 => drop(redis.line("XREADGROUP GROUP g two STREAMS a >")),
            2 => drop(redis.line("XREADGROUP GROUP g two STREAMS a 0")),
            3 => drop(redis.call(&[b"XDEL", b"a", id.as_bytes()])),
            4 => drop(redis.call(&[b"XACK", b"a", b"g", id.as_bytes()])),
            5 => drop(redis.line("XGROUP CREATECONSUMER a g idle")),
            6 => drop(redis.line("XTRIM a MAXLEN 40")),
            _ => {}
        }
    }
}

fn seed() -> u64 {
    let given = std::env::var("LIVE_SEED").ok();
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let fresh = since.map_or(1, |since| since.as_nanos() as u64);
    given.and_then(|text| text.parse().ok()).unwrap_or(fresh)
}

fn ok() -> Answer {
    Answer::Text(b"OK".to_vec())
}

#[test]
fn values_go_from_redis_and_back_as_they_are() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let seed = seed();
    let mut random = Random(seed);
    let keeps_streams = redis.line("CONFIG GET shutdown-timeout") != Answer::List(Vec::new());
    for round in 0..300 {
        let during = format!("LIVE_SEED={seed} round {round}");
        configure(&mut redis, &mut random);
        make(&mut redis, &mut random);
        let payload = redis.line("DUMP a").text().to_vec();
        let expected = shown(&mut redis, "a");
        let value = decode(&payload).unwrap_or_else(|error| panic!("{during}: {error}"));
        assert_eq!(sorted(value.clone()), expected, "{during}");
        let ours = encode(&value);
        assert_eq!(decode(&ours), Ok(value.clone()), "{during}");
        if keeps_streams || !matches!(value, Value::Stream(_)) {
            configure(&mut redis, &mut random);
            let restored = redis.call(&[b"RESTORE", b"b", b"0", &ours, b"REPLACE"]);
            assert_eq!(restored, ok(), "{during}");
            assert_eq!(shown(&mut redis, "b"), expected, "{during}");
        }
        for mut damaged in [payload, ours] {
            let at = random.below(damaged.len());
            damaged[at] ^= 1 << random.below(8);
            assert_eq!(decode(&damaged), Err(DumpError::Footer), "{during}: {at}");
        }
    }
}

#[test]
fn strings_and_counters_go_to_redis_and_come_from_it() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let (seed, world) = (seed(), World::new(1));
    let mut random = Random(seed);
    let ours = |words: &[&[u8]]| Answer::of(&world.ask(0, words));
    for round in 0..300 {
        let during = format!("LIVE_SEED={seed} round {round}");
        configure(&mut redis, &mut random);
        let (one, other) = (element(&mut random), element(&mut random));
        let set = ours(&[b"SET", b"a", &one]);
        assert_eq!(set, ok());
        ours(&[b"INCRBY", b"a", b"7"]);
        let payload = ours(&[b"DUMP", b"a"]);
        let restored = redis.call(&[b"RESTORE", b"a", b"0", payload.text(), b"REPLACE"]);
        assert_eq!(restored, ok(), "{during}");
        assert_eq!(redis.line("GET a"), ours(&[b"GET", b"a"]), "{during}");
        redis.call(&[b"SET", b"b", &other]);
        let payload = redis.line("DUMP b");
        let restored = ours(&[b"RESTORE", b"b", b"0", payload.text(), b"REPLACE"]);
        assert_eq!(restored, ok(), "{during}");
        assert_eq!(ours(&[b"GET", b"b"]), Answer::Text(other), "{during}");
    }
}

const DUMPS: &str = include_str!("cases/dumps.txt");

/// The bytes that a text with escapes stands for.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        let escaped = (byte == b'\\').then(|| rest.next().expect("an escape"));
        bytes.push(match escaped {
            None => byte,
            Some(b'x') => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let digits = String::from_utf8_lossy(&digits).into_owned();
                u8::from_str_radix(&digits, 16).expect("two digits")
            }
            Some(other) => other,
        });
    }
    bytes
}

fn texts(all: &[&str]) -> Vec<Text> {
    all.iter().map(|one| text(one.as_bytes())).collect()
}

fn hash_of(deadlines: [u64; 3]) -> Value {
    let fields = [("a", "12"), ("bc", "-300"), ("long", &"z".repeat(100))];
    let fields = fields.into_iter().zip(deadlines);
    Value::Hash(
        fields
            .map(|((name, value), deadline)| Field {
                name: text(name.as_bytes()),
                value: text(value.as_bytes()),
                deadline: NonZeroU64::new(deadline),
            })
            .collect(),
    )
}

fn stream_of(version: u8) -> Value {
    let id = |ms, sequence| EntryId { ms, sequence };
    let entry = |id, names: &[&str], values: &[&str]| Entry {
        id,
        names: texts(names).into(),
        values: texts(values),
    };
    let consumer = |name: &str, seen_ms, active_ms: Option<u64>| Consumer {
        name: text(name.as_bytes()),
        seen_ms,
        active_ms: if version == 3 {
            active_ms
        } else {
            Some(seen_ms)
        },
    };
    let pending = |id, consumer, delivered_ms, deliveries| Pending {
        id,
        consumer,
        delivered_ms,
        deliveries,
    };
    Value::Stream(Stream {
        entries: vec![
            entry(id(1, 2), &["n"], &["x"]),
            entry(id(5, 0), &["n", "m"], &["y", "7"]),
        ],
        last_id: id(6, 6),
        max_deleted_id: if version == 1 { id(0, 0) } else { id(6, 6) },
        entries_added: if version == 1 { 2 } else { 4 },
        groups: vec![
            Group {
                name: text(b"g"),
                last_id: id(5, 0),
                entries_read: (version > 1).then_some(3),
                consumers: vec![
                    consumer("c1", 1_700_000_000_002, Some(1_700_000_000_001)),
                    consumer("c2", 1_700_000_000_003, Some(1_700_000_000_003)),
                    consumer("idle", 1_700_000_000_004, None),
                ],
                pending: vec![
                    pending(id(1, 2), 1, 1_700_000_000_000, 1),
                    pending(id(5, 0), 0, 1_700_000_000_001, 300),
                ],
            },
            Group {
                name: text(b"new"),
                last_id: id(6, 6),
                ..Group::default()
            },
        ],
    })
}

/// What the payloads of this name hold.
fn held(name: &str) -> Result<Value, DumpError> {
    const ENDS_MS: u64 = 4_102_444_800_000;
    let long = [("z", 100), ("y", 5_000), ("x", 20_000)];
    let long = long.map(|(letter, count)| letter.repeat(count));
    let mut list = texts(&[
        "",
        "a",
        "0",
        "12",
        "13",
        "-1",
        "127",
        "-129",
        "-300",
        "4095",
        "-4096",
        "32768",
        "8388607",
        "-8388609",
        "2147483648",
        "-9223372036854775808",
    ]);
    list.extend(long.iter().map(|one| text(one.as_bytes())));
    let scores = [1.0, -2.5, f64::INFINITY, f64::NEG_INFINITY, 1e300];
    let members = texts(&["a", "b", "c", "12", "d"]).into_iter().zip(scores);
    Ok(sorted(match name {
        "list" => Value::List(list),
        "set" => Value::Set(texts(&["-300", "12", "70000", "5000000000"])),
        "sorted-set" => Value::SortedSet(members.collect()),
        "hash" => hash_of([0, 0, 0]),
        "hash-deadlines" => hash_of([0, ENDS_MS, ENDS_MS + 500]),
        "stream" => stream_of(1),
        "stream-2" => stream_of(2),
        "stream-3" => stream_of(3),
        "module" => return Err(DumpError::Module),
        other => panic!("{other}"),
    }))
}

fn dumps() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let lines = DUMPS.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let (name, payload) = line.split_once(' ').expect("a name and a payload");
        (name, unescaped(payload))
    })
}

#[test]
fn every_encoding_is_read() {
    let mut kinds: Vec<u8> = Vec::new();
    for (name, payload) in dumps() {
        kinds.push(payload[0]);
        assert_eq!(
            decode(&payload).map(sorted),
            held(name),
            "{name} {}",
            payload[0]
        );
    }
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            1, 2, 3, 4, 5, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 24, 25
        ]
    );
}

#[test]
fn what_was_read_can_be_written_and_read_again() {
    for (name, payload) in dumps() {
        let Ok(value) = decode(&payload) else {
            continue;
        };
        let again = decode(&encode(&value)).expect("our own");
        if name == "stream-3" {
            // The encoding of Redis 7.0 does not tell when consumers were active.
            assert_eq!(Ok(again), held("stream-2"));
        } else {
            assert_eq!(again, value, "{name}");
        }
    }
}

#[test]
fn redis_reads_every_encoding_alike() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let mut taken = 0;
    for (name, payload) in dumps() {
        let answer = redis.call(&[b"RESTORE", b"a", b"0", &payload, b"REPLACE"]);
        if answer != ok() {
            continue;
        }
        taken += 1;
        let value = decode(&payload).expect("Redis reads it");
        let theirs = shown(&mut redis, "a");
        // Redis reckons what a group has read where the payload does not say it.
        let is_reckoned = name == "stream";
        assert!(
            is_reckoned || sorted(value.clone()) == theirs,
            "{name} {}",
            payload[0]
        );
        let again = redis.call(&[b"RESTORE", b"a", b"0", &encode(&value), b"REPLACE"]);
        // The encoding of streams does not say when consumers were active.
        let is_forgotten = name == "stream-3";
        let is_same = is_forgotten || is_reckoned || shown(&mut redis, "a") == theirs;
        assert!(again == ok() && is_same, "{name} {}: {again:?}", payload[0]);
    }
    assert!(taken >= 23, "{taken} payloads were taken");
}

/// A body, with a footer that is right.
fn refused(body: &[u8]) {
    let payload = seal(body.to_vec(), 11);
    let name = body.escape_ascii();
    assert_eq!(decode(&payload), Err(DumpError::Format), "{name}");
}

#[test]
fn payloads_that_lie_are_refused() {
    // Nothing, or no type.
    for body in [&b""[..], b"\x08", b"\x16\x01", b"\x1a\x01", b"\xff\x01"] {
        refused(body);
    }
    // Lengths beyond the end.
    refused(b"\x00\x05abc");
    refused(b"\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff");
    refused(b"\x00\xc3\x02\x81\x7f\xff\xff\xff\xff\xff\xff\xff\x00a");
    refused(b"\x00\xc3\x02\x40\xb1\x00a");
    for kind in [1, 2, 3, 4, 5, 14, 15, 18, 19, 21] {
        refused(&[kind, 0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        refused(&[kind, 0x80, 0xff, 0xff, 0xff, 0xff]);
    }
    // What follows.
    refused(b"\x00\x03abcd");
    // Nothing in a collection.
    for kind in [1, 2, 4, 5] {
        refused(&[kind, 0]);
    }
    // The same twice.
    refused(b"\x02\x02\x01a\x01a");
    refused(b"\x04\x02\x01a\x01x\x01a\x01y");
    refused(b"\x05\x02\x01a\0\0\0\0\0\0\0\0\x01a\0\0\0\0\0\0\0\0");
    // A score that is no number.
    refused(b"\x05\x01\x01a\0\0\0\0\0\0\xf8\x7f");
    refused(b"\x03\x01\x01a\xfd");
    refused(b"\x03\x01\x01a\x01x");
    // Numbers of an intset that do not ascend.
    refused(b"\x0b\x0c\x02\0\0\0\x02\0\0\0\x01\0\x01\0");
    refused(b"\x0b\x0a\x03\0\0\0\x01\0\0\0\x01\0");
}

#[test]
fn footers_of_other_versions_and_other_bytes_are_refused() {
    for version in [1, 9, 10, 11, 12] {
        let value = decode(&seal(b"\x00\x02ab".to_vec(), version));
        assert_eq!(value, Ok(Value::String(b"ab".to_vec())), "{version}");
    }
    let newer = seal(b"\x00\x02ab".to_vec(), 13);
    assert_eq!(decode(&newer), Err(DumpError::Footer));
    for length in 0..10 {
        assert_eq!(decode(&vec![0; length]), Err(DumpError::Footer), "{length}");
    }
}

#[test]
fn a_compressed_part_takes_no_more_than_a_value_may() {
    // A list of strings of 264 times 88 zeros each, of 300 bytes; many of them.
    let run = [&b"\x00\x00"[..], &b"\xe0\xff\x00".repeat(4_000)].concat();
    let string = [
        &b"\xc3\x80"[..],
        &12_002_u32.to_be_bytes(),
        b"\x80",
        &1_056_001_u32.to_be_bytes(),
    ];
    let string = [&string.concat()[..], &run].concat();
    let body = |count: u32| {
        let head = [&b"\x01\x80"[..], &count.to_be_bytes()].concat();
        [head, string.repeat(count as usize)].concat()
    };
    let taken = decode(&seal(body(200), 11)).map(|value| match value {
        Value::List(elements) => elements.len(),
        _ => 0,
    });
    assert_eq!(taken, Ok(200));
    assert_eq!(decode(&seal(body(600), 11)), Err(DumpError::TooLarge));
}

#[test]
fn a_payload_that_is_refused_changes_nothing() {
    let world = World::new(1);
    world.ask(0, &[b"SET", b"a", b"before"]);
    let module = dumps().find(|(name, _)| *name == "module");
    let (_, module) = module.expect("a payload of a module");
    let newer = seal(b"\x00\x01a".to_vec(), 13);
    let lie = seal(b"\x00\x02a".to_vec(), 9);
    for (payload, error) in [
        (
            module,
            "-ERR Bad data format: the value is of a Redis module",
        ),
        (newer, "-ERR DUMP payload version or checksum are wrong\r\n"),
        (lie, "-ERR Bad data format\r\n"),
    ] {
        let reply = world.ask(0, &[b"RESTORE", b"a", b"0", &payload, b"REPLACE"]);
        let reply = String::from_utf8_lossy(&reply).into_owned();
        assert!(reply.starts_with(error), "{reply}");
        assert_eq!(world.line(0, "GET a"), "$6\r\nbefore\r\n");
    }
}
