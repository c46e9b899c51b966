//! The same random commands on sorted sets and places to Larder and to a real Redis, if there is
//! one: the same bytes back.

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

const MEMBERS: &[&str] = &["a", "b", "c", "d", "e", "f", "foo", "bar", "", "a b", "ab"];
/// Sums of these are exact in any order.
const SCORES: &[&str] = &[
    "0", "1", "2", "3", "-1", "1.5", "-0.25", "1e3", "inf", "-inf", "10", "100", "+inf",
];
const BAD_SCORES: &[&str] = &["x", "nan", "", "1x", " 1"];
const BOUNDS: &[&str] = &[
    "0", "1", "(1", "2", "(2", "3", "-1", "1.5", "-inf", "+inf", "inf", "(-inf", "(inf", "x", "(",
    "nan", "", "10",
];
const NAMES: &[&str] = &[
    "-", "+", "[a", "(a", "[b", "(b", "[c", "(foo", "[", "(", "[ab", "a", "", "--", "[zzz",
];
const NUMBERS: &[&str] = &[
    "0", "1", "2", "-1", "-2", "3", "5", "-3", "100", "-100", "x", "",
];
const COUNTS: &[&str] = &["0", "1", "2", "3", "-1", "10", "x"];
const CITIES: &[&str] = &["Palermo", "Catania", "Rome", "Paris", "edge1", "edge2"];
const LONGITUDES: &[&str] = &[
    "13.361389",
    "15.087269",
    "12.5",
    "2.35",
    "-180",
    "179.9",
    "0",
    "13.4",
    "181",
    "x",
];
const LATITUDES: &[&str] = &[
    "38.115556",
    "37.502669",
    "41.9",
    "48.85",
    "85.05112878",
    "-85",
    "0",
    "38",
    "-66.5",
    "86",
    "x",
];
const RADII: &[&str] = &["200", "1", "1000", "0", "5000", "0.5", "20000", "-1", "x"];
const UNITS: &[&str] = &["m", "km", "ft", "mi", "KM", "km", "km", "yd"];

/// Forms of requests: `z` a key of a sorted set, `l` the key whose scores are all 0, `g` one of
/// places, `m` a member, `s` a score, `B` a bad one, `b` a bound of scores, `n` one of names, `i` a
/// rank, `N` a count; `c` a city, `x`, `y`, `r` and `u` a position, a radius and a unit; other
/// words stand for themselves.
const FORMS: &[&str] = &[
    "ZADD z s m",
    "ZADD z s m s m s m",
    "ZADD z s m s m",
    "ZADD l 0 m 0 m",
    "ZADD z B m",
    "ZADD z s m B m",
    "ZADD z s m s",
    "ZADD z NX s m s m",
    "ZADD z XX s m",
    "ZADD z XX CH s m s m",
    "ZADD z GT CH s m s m",
    "ZADD z LT CH s m s m",
    "ZADD z XX GT s m",
    "ZADD z NX GT s m",
    "ZADD z GT LT s m",
    "ZADD z NX XX s m",
    "ZADD z INCR s m",
    "ZADD z NX INCR s m",
    "ZADD z XX INCR s m",
    "ZADD z GT INCR s m",
    "ZADD z LT XX INCR s m",
    "ZADD z INCR s m s m",
    "ZADD z NX",
    "ZINCRBY z s m",
    "ZINCRBY z B m",
    "ZREM z m",
    "ZREM l m",
    "ZREM z m m m",
    "ZSCORE z m",
    "ZMSCORE z m m m",
    "ZCARD z",
    "ZCOUNT z b b",
    "ZLEXCOUNT l n n",
    "ZRANK z m",
    "ZREVRANK z m",
    "ZRANGE z i i",
    "ZRANGE z i i WITHSCORES",
    "ZRANGE z i i REV WITHSCORES",
    "ZRANGE z b b BYSCORE",
    "ZRANGE z b b BYSCORE WITHSCORES LIMIT i i",
    "ZRANGE z b b BYSCORE REV LIMIT i i",
    "ZRANGE l n n BYLEX",
    "ZRANGE l n n BYLEX REV LIMIT i i",
    "ZRANGE l n n BYLEX WITHSCORES",
    "ZRANGE z 0 -1 LIMIT 0 1",
    "ZRANGE z 0 -1 FOO",
    "ZRANGE z 0 -1 LIMIT 0",
    "ZRANGE z 0 -1 BYSCORE BYLEX",
    "ZREVRANGE z i i",
    "ZREVRANGE z i i WITHSCORES",
    "ZREVRANGE z 0 -1 REV",
    "ZRANGEBYSCORE z b b",
    "ZRANGEBYSCORE z b b WITHSCORES LIMIT i i",
    "ZREVRANGEBYSCORE z b b WITHSCORES",
    "ZREVRANGEBYSCORE z b b LIMIT i i",
    "ZRANGEBYLEX l n n",
    "ZRANGEBYLEX l n n LIMIT i i",
    "ZRANGEBYLEX l n n WITHSCORES",
    "ZREVRANGEBYLEX l n n",
    "ZRANGESTORE z z i i",
    "ZRANGESTORE z z b b BYSCORE LIMIT i i",
    "ZRANGESTORE z z i i WITHSCORES",
    "ZRANGESTORE z l n n BYLEX REV",
    "ZREMRANGEBYRANK z i i",
    "ZREMRANGEBYSCORE z b b",
    "ZREMRANGEBYLEX l n n",
    "ZPOPMIN z",
    "ZPOPMAX z",
    "ZPOPMIN z N",
    "ZPOPMAX z N",
    "ZPOPMIN z 1 1",
    "ZMPOP 2 z z MIN",
    "ZMPOP 1 z MAX COUNT N",
    "ZMPOP 3 z z MIN",
    "ZMPOP i z z MIN",
    "ZMPOP 1 z FOO",
    "ZUNION 2 z z",
    "ZUNION 2 z z WITHSCORES",
    "ZUNION 2 z z WEIGHTS s s AGGREGATE MIN WITHSCORES",
    "ZUNION 3 z z l AGGREGATE MAX WITHSCORES",
    "ZUNION 1 z WEIGHTS B",
    "ZUNION 2 z z WEIGHTS 1",
    "ZUNION i z z",
    "ZUNION 2 z z AGGREGATE AVG",
    "ZINTER 2 z z WITHSCORES",
    "ZINTER 2 z z WEIGHTS s s WITHSCORES",
    "ZINTER 3 z z z AGGREGATE MIN WITHSCORES",
    "ZDIFF 2 z z",
    "ZDIFF 2 z z WITHSCORES",
    "ZDIFF 2 z z WEIGHTS 1 1",
    "ZUNIONSTORE z 2 z z",
    "ZUNIONSTORE z 2 z z WEIGHTS 2 0.5 AGGREGATE MAX",
    "ZUNIONSTORE z i z z",
    "ZUNIONSTORE z 1 z WITHSCORES",
    "ZINTERSTORE z 2 z z",
    "ZDIFFSTORE z 2 z z",
    "ZINTERCARD 2 z z",
    "ZINTERCARD 2 z z LIMIT i",
    "ZINTERCARD i z",
    "ZSCAN z x",
    "ZSCAN z 0 COUNT 0",
    "ZSCAN z 0 COUNT",
    "ZSCAN z 0 FOO 1",
    "ZSCAN nokey 0",
    "DEL z",
    "DEL l",
    "TYPE z",
    "EXISTS z z",
    "EXPIRE z 1000",
    "PERSIST z",
    "SET s x",
    "SET z x",
    "GET z",
    "ZADD s 1 a",
    "ZADD",
    "ZUNION 1",
    "COMMAND GETKEYS ZUNIONSTORE d 2 a b",
    "COMMAND GETKEYS ZMPOP 1 a MIN",
    "COMMAND GETKEYS ZMPOP 3 a MIN",
    "COMMAND INFO zunionstore",
    "COMMAND INFO zmpop",
    "COMMAND INFO zadd",
];

/// As [`FORMS`], for places.
const PLACES: &[&str] = &[
    "GEOADD g x y c",
    "GEOADD g x y c x y c",
    "GEOADD g NX x y c",
    "GEOADD g XX CH x y c",
    "GEOADD g NX XX x y c",
    "GEOADD g x y",
    "GEODIST g c c",
    "GEODIST g c c u",
    "GEODIST g c c km km",
    "GEOHASH g c c",
    "GEOHASH g",
    "GEOPOS g c c",
    "ZRANGE g 0 -1 WITHSCORES",
    "GEOSEARCH g FROMLONLAT x y BYRADIUS r u",
    "GEOSEARCH g FROMLONLAT x y BYRADIUS r u ASC WITHDIST WITHCOORD WITHHASH",
    "GEOSEARCH g FROMMEMBER c BYBOX r r u DESC WITHDIST",
    "GEOSEARCH g FROMMEMBER c BYBOX r r u",
    "GEOSEARCH g FROMMEMBER c BYRADIUS r u COUNT N",
    "GEOSEARCH g FROMMEMBER c BYRADIUS r u COUNT N ANY",
    "GEOSEARCH g FROMMEMBER c BYRADIUS r u ANY",
    "GEOSEARCH g FROMMEMBER c FROMLONLAT x y BYRADIUS r u",
    "GEOSEARCH g FROMMEMBER c BYRADIUS r u BYBOX r r u",
    "GEOSEARCH g FROMMEMBER c ASC DESC WITHDIST",
    "GEOSEARCH g BYRADIUS r u ASC WITHDIST",
    "GEOSEARCH g FROMMEMBER c BYRADIUS r u STOREDIST",
    "GEOSEARCHSTORE h g FROMMEMBER c BYRADIUS r u",
    "GEOSEARCHSTORE h g FROMLONLAT x y BYBOX r r u STOREDIST",
    "GEOSEARCHSTORE h g FROMMEMBER c BYRADIUS r u WITHDIST",
    "ZRANGE h 0 -1",
    "GEORADIUS g x y r u",
    "GEORADIUS g x y r u WITHDIST WITHCOORD COUNT N ASC",
    "GEORADIUS g x y r u STORE h",
    "GEORADIUS g x y r u STOREDIST h DESC",
    "GEORADIUS g x y r u WITHDIST STORE h",
    "GEORADIUS_RO g x y r u WITHHASH",
    "GEORADIUS_RO g x y r u STORE h",
    "GEORADIUSBYMEMBER g c r u WITHDIST",
    "GEORADIUSBYMEMBER g c r u STORE h",
    "GEORADIUSBYMEMBER_RO g c r u DESC",
    "ZREM g c",
    "DEL h",
    "SET h x",
    "COMMAND INFO georadius",
    "COMMAND INFO geosearchstore",
    "COMMAND GETKEYS GEORADIUS g 1 2 3 m STORE h",
    "COMMAND GETKEYSANDFLAGS GEORADIUS g 1 2 3 m STOREDIST h",
];

fn request(random: &mut Random, forms: &[&'static str]) -> Vec<Vec<u8>> {
    let form = random.one(forms);
    let words = form.split(' ').map(|word| match word {
        "z" => random.one(&["z1", "z2", "z3", "z1", "z2", "z3", "s", "none"]),
        "m" => random.one(MEMBERS),
        "s" if !form.starts_with("SET") => random.one(SCORES),
        "B" => random.one(BAD_SCORES),
        "b" => random.one(BOUNDS),
        "n" => random.one(NAMES),
        "i" => random.one(NUMBERS),
        "N" => random.one(COUNTS),
        "c" => random.one(CITIES),
        "x" if form.starts_with("GEO") => random.one(LONGITUDES),
        "y" => random.one(LATITUDES),
        "r" => random.one(RADII),
        "u" => random.one(UNITS),
        other => other,
    });
    words.map(|word| word.as_bytes().to_vec()).collect()
}

fn play(forms: &[&'static str], steps: usize) {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let given = std::env::var("LIVE_SEED").ok();
    let unix = SystemTime::now().duration_since(UNIX_EPOCH);
    let number = given
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or(unix.expect("after 1970").as_nanos() as u64);
    let mut random = Random(number);
    for (protocol, version) in [(Protocol::Resp2, "2"), (Protocol::Resp3, "3")] {
        redis.ask(&[b"HELLO".to_vec(), version.into()]);
        redis.ask(&[b"FLUSHALL".to_vec()]);
        let world = World::new(1);
        let mut history = Vec::new();
        for step in 0..steps {
            let words = request(&mut random, forms);
            let shown: Vec<_> = words.iter().map(|w| String::from_utf8_lossy(w)).collect();
            let real = redis.ask(&words);
            let slices: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let client = Client {
                protocol,
                ..Client::default()
            };
            let ours = world.ask_as(0, &slices, client);
            history.push(format!("{shown:?}: {:?}", String::from_utf8_lossy(&real)));
            if ours != real {
                let last = history.iter().rev().take(30).rev();
                last.for_each(|line| eprintln!("{line}"));
                let ours = String::from_utf8_lossy(&ours);
                panic!("LIVE_SEED={number} step {step}: {ours:?}");
            }
        }
    }
}

#[test]
fn sorted_sets_are_answered_for_as_by_redis() {
    play(FORMS, 6_000);
}

#[test]
fn places_on_the_earth_are_answered_for_as_by_redis() {
    play(PLACES, 4_000);
}
