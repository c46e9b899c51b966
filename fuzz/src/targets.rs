//! The decoders. A row is a name, what valid inputs there are, and what is done with an input.

use std::fmt::Debug;

use bytes::Bytes;
use larder_cluster::layout::Layout;
use larder_cluster::message::Message;
use larder_cluster::node::NodeState;
use larder_cluster::record::{CopyImage, Entry};
use larder_cluster::request::{Access, Request};
use larder_cluster::token::Partitions;
use larder_cluster::version::Version;
use larder_commands::args::Args;
use larder_commands::batch::{self, Batch, BatchCommand, WatchedKey};
use larder_commands::dump;
use larder_commands::plan::plan;
use larder_commands::reply::Protocol;
use larder_crdt::context::ContextKey;
use larder_crdt::types::counter_dotted::Counter;
use larder_crdt::types::document_json::parse_json;
use larder_crdt::types::document_pointer::Pointer;
use larder_crdt::types::document_state::State;
use larder_crdt::types::hyperloglog::HyperLogLog;
use larder_crdt::types::position::{PositionError, Signer, between, is_position};
use larder_crdt::types::register_lww::visible_string;
use larder_crdt::types::score::{Score, Update, visible_score};
use larder_crdt::{
    Actor, ActorIndex, ActorTable, Clock, DecodeError, Dot, Reader, Row, Sibling, Stamp, Value,
    Writer,
};
use larder_server::resp::request::{RequestLimits, RequestParser};
use larder_server::settings::source::load;
use larder_storage::RocksStore;

use crate::corpus::{Corpus, REQUESTS, SECRET};

/// A decoder.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Valid inputs.
    pub seeds: fn(&Corpus) -> Vec<Vec<u8>>,
    /// What is done with an input; an error says what is wrong about what came out.
    pub run: fn(&[u8]) -> Result<(), String>,
    /// How many runs of other targets one of this costs.
    pub cost: u64,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    target("request", requests, request),
    target("message", |corpus| corpus.messages.clone(), message),
    target("record", |corpus| corpus.records.clone(), record),
    target("batch", batches, batch),
    target("row", rows, row),
    target("clock", clocks, clock),
    target("copy", copies, copy),
    target("layout", |corpus| corpus.layouts.clone(), layout),
    target("context", contexts, context),
    target("json", jsons, json),
    target("pointer", pointers, pointer),
    target("dump", dumps, dump),
    target("position", positions, position),
    target("hyperloglog", hyperloglogs, hyperloglog),
    Target {
        cost: 100,
        ..target("settings", settings, setting)
    },
    Target {
        cost: 5_000,
        ..target("segment", segments, segment)
    },
];

const fn target(
    name: &'static str,
    seeds: fn(&Corpus) -> Vec<Vec<u8>>,
    run: fn(&[u8]) -> Result<(), String>,
) -> Target {
    Target {
        name,
        seeds,
        run,
        cost: 1,
    }
}

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// What was decoded, written and read again, is the same.
fn comes_back<T: PartialEq + Debug>(
    decoded: &T,
    encode: impl Fn(&T, &mut Writer),
    decode: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<(), String> {
    let mut writer = Writer::new();
    encode(decoded, &mut writer);
    let bytes = writer.into_vec();
    let again = decode(&mut Reader::new(&bytes)).map_err(|error| error.to_string())?;
    // Floats that are no numbers are not equal to themselves, so bytes decide.
    let mut writer = Writer::new();
    encode(&again, &mut writer);
    ensure(
        writer.into_vec() == bytes,
        "it comes back as something else",
    )
}

fn batches(_: &Corpus) -> Vec<Vec<u8>> {
    let command = |line: &&str| BatchCommand {
        database: 1,
        protocol: Protocol::Resp3,
        words: line
            .split(' ')
            .map(|word| Bytes::copy_from_slice(word.as_bytes()))
            .collect(),
    };
    let watched = WatchedKey {
        database: 2,
        key: Bytes::from_static(b"{t}watched"),
        version: Version(7 << 100),
    };
    let batch = Batch {
        watched: vec![watched],
        commands: REQUESTS.iter().map(command).collect(),
    };
    let mut writer = Writer::new();
    batch.request(Vec::new(), Access::Write).encode(&mut writer);
    let ran = batch::answer(Some(vec![b"+OK\r\n".to_vec(), b":1\r\n".to_vec()]));
    vec![writer.into_vec(), ran, batch::answer(None)]
}

/// A request that runs a batch, or the answer to one.
fn batch(input: &[u8]) -> Result<(), String> {
    // Any answer will do that is one or is refused.
    let _ = batch::outcome(&Bytes::copy_from_slice(input));
    let _ = batch::versions(input);
    let Ok(request) = Request::decode(&mut Reader::new(input)) else {
        return Ok(());
    };
    let Ok(batch) = Batch::decode(&request) else {
        return Ok(());
    };
    // Commands that are none are refused here.
    let _ = batch.plans(&request, Partitions::DEFAULT);
    let again = batch.request(request.partitions, request.access);
    ensure(
        Batch::decode(&again) == Ok(batch),
        "it comes back as something else",
    )
}

fn requests(_: &Corpus) -> Vec<Vec<u8>> {
    let arrays = REQUESTS.iter().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let mut bytes = format!("*{}\r\n", words.len());
        for word in words {
            bytes.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        bytes.into_bytes()
    });
    let lines = [&b"SET a 'b c'\r\n"[..], b"PING\r\n\r\nPING \"\\x41\\n\"\n"];
    arrays.chain(lines.map(<[u8]>::to_vec)).collect()
}

const LIMITS: RequestLimits = RequestLimits {
    args_max: 1024 * 1024,
    arg_bytes_max: 1 << 20,
    authenticated: true,
};

/// All requests of `input`, which arrives in pieces of `step` bytes, and how it ends.
fn parsed(input: &[u8], step: usize) -> (Vec<Vec<Vec<u8>>>, Option<String>) {
    let mut parser = RequestParser::new();
    let (mut found, mut start, mut end) = (Vec::new(), 0, 0);
    loop {
        let arrived = input.get(start..end).unwrap_or_default();
        match parser.parse(arrived, &LIMITS) {
            Ok(Some(length)) => {
                let args: Args<'_> = parser.args(arrived);
                found.push(args.iter().map(<[u8]>::to_vec).collect());
                if !args.is_empty() {
                    // What is planned is looked up in the table and its keys are placed.
                    let _ = plan(args, Partitions::DEFAULT);
                }
                start += length;
            }
            Ok(None) if end >= input.len() => return (found, None),
            Ok(None) => end = (end + step).min(input.len()),
            Err(error) => return (found, Some(error.to_string())),
        }
    }
}

fn request(input: &[u8]) -> Result<(), String> {
    let whole = parsed(input, usize::MAX >> 1);
    let step = 1 + input.len() % 7;
    let same = parsed(input, step) == whole;
    ensure(same, "in pieces it is another request")
}

fn message(input: &[u8]) -> Result<(), String> {
    let Ok(message) = Message::decode(input) else {
        return Ok(());
    };
    let decode = |reader: &mut Reader<'_>| Message::decode(reader.rest());
    comes_back(&message, Message::encode, decode)
}

fn entries(input: &[u8]) -> Vec<Entry> {
    let mut reader = Reader::new(input);
    let mut entries = Vec::new();
    while !reader.is_empty() {
        match Entry::decode(&mut reader) {
            Ok(entry) => entries.push(entry),
            Err(_) => break,
        }
    }
    entries
}

fn record(input: &[u8]) -> Result<(), String> {
    for entry in entries(input) {
        if let Entry::Node { state } = entry {
            let _ = NodeState::decode(&state);
        }
    }
    Ok(())
}

fn written(encode: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    encode(&mut writer);
    writer.into_vec()
}

fn rows(corpus: &Corpus) -> Vec<Vec<u8>> {
    let all = corpus.records.iter().flat_map(|record| entries(record));
    all.filter_map(|entry| match entry {
        Entry::Change { row, .. } => Some(written(|writer| row.encode(writer))),
        _ => None,
    })
    .chain([scored(), counted(3), counted(5000)].map(|row| written(|writer| row.encode(writer))))
    .collect()
}

/// What concurrent ZADD and ZINCRBY leave of a member of a sorted set.
fn scored() -> Row {
    let mut row = Row::new();
    let updates = [Update::Set, Update::Greatest, Update::Least];
    let score = |update, value| Score::new(update, value).map(Value::Score);
    let bases = updates.map(|update| score(update, 4.1).expect("a number"));
    let mut counter = Counter::new();
    for (amount, actor) in [(2.0, 0), (-0.5, 1)] {
        counter.add_float(amount, Dot::new(ActorIndex(actor), 9));
    }
    let counter = Value::Counter(Box::new(counter));
    for (actor, value) in (0..).zip(bases.into_iter().chain([counter])) {
        row.insert(Sibling {
            dot: Dot::new(ActorIndex(actor), 10),
            stamp: Stamp::from_ms(1_700_000_000_000 + u64::from(actor)),
            deadline: None,
            value,
        });
    }
    row
}

/// A HyperLogLog to which so many elements were added.
fn counted(elements: u32) -> Row {
    Row::of(Sibling {
        dot: Dot::new(ActorIndex(0), 1),
        stamp: Stamp::from_ms(1_700_000_000_000),
        deadline: None,
        value: Value::HyperLogLog(Box::new(log_of(elements))),
    })
}

fn log_of(elements: u32) -> HyperLogLog {
    let mut log = HyperLogLog::new();
    for element in 0..elements {
        log.add(&element.to_be_bytes());
    }
    log
}

fn hyperloglogs(_: &Corpus) -> Vec<Vec<u8>> {
    [0, 3, 300, 5000]
        .map(|elements| log_of(elements).to_bytes())
        .to_vec()
}

fn hyperloglog(input: &[u8]) -> Result<(), String> {
    let Ok(log) = HyperLogLog::from_bytes(input) else {
        return Ok(());
    };
    let _ = (log.count(), log.heap_bytes());
    let mut joined = log.clone();
    ensure(!joined.join(&log), "a join with itself changes nothing")?;
    ensure(
        HyperLogLog::from_bytes(&log.to_bytes()) == Ok(log),
        "it comes back as something else",
    )
}

fn row(input: &[u8]) -> Result<(), String> {
    let Ok(row) = Row::from_bytes(input) else {
        return Ok(());
    };
    let clock = Clock::new();
    let joined = Row::join(&row, &clock, &row, &clock);
    ensure(
        joined.siblings().len() == row.siblings().len(),
        "a row joins with itself",
    )?;
    let mut expired = row.clone();
    expired.drop_expired(u64::MAX);
    let _ = (
        row.heap_bytes(),
        row.latest_stamp(),
        visible_string(&row, 0),
    );
    let score = visible_score(&row).unwrap_or_default();
    ensure(!score.is_nan(), "a score is a number")?;
    comes_back(&row, Row::encode, Row::decode)
}

const ACTORS: usize = 1 << 16;

fn clocks(corpus: &Corpus) -> Vec<Vec<u8>> {
    let all = corpus.records.iter().flat_map(|record| entries(record));
    all.filter_map(|entry| match entry {
        Entry::Clock { clock, .. } => Some(written(|writer| clock.encode(writer))),
        Entry::Copy { image, .. } => Some(written(|writer| image.clock.encode(writer))),
        _ => None,
    })
    .collect()
}

fn clock(input: &[u8]) -> Result<(), String> {
    let _ = ActorTable::decode(&mut Reader::new(input), ACTORS);
    let Ok(clock) = Clock::decode(&mut Reader::new(input), ACTORS) else {
        return Ok(());
    };
    let mut joined = Clock::new();
    joined.join(&clock);
    ensure(joined.covers(&clock), "a join covers both")?;
    ensure(clock.minus(&clock).is_empty(), "less itself it is empty")?;
    comes_back(&clock, Clock::encode, |reader| {
        Clock::decode(reader, ACTORS)
    })
}

fn copies(corpus: &Corpus) -> Vec<Vec<u8>> {
    let all = corpus.records.iter().flat_map(|record| entries(record));
    all.filter_map(|entry| match entry {
        Entry::Copy { image, .. } => Some(written(|writer| image.encode(writer))),
        _ => None,
    })
    .collect()
}

fn copy(input: &[u8]) -> Result<(), String> {
    match CopyImage::decode(&mut Reader::new(input)) {
        Ok(image) => comes_back(&image, CopyImage::encode, CopyImage::decode),
        Err(_) => Ok(()),
    }
}

fn layout(input: &[u8]) -> Result<(), String> {
    let Ok(layout) = Layout::decode(input) else {
        return Ok(());
    };
    let again = Layout::decode(&layout.encode()).map_err(|error| error.to_string())?;
    ensure(again == layout, "it comes back as something else")
}

fn contexts(corpus: &Corpus) -> Vec<Vec<u8>> {
    let mut contexts = corpus.contexts.clone();
    contexts.push(Vec::new());
    contexts
}

fn context(input: &[u8]) -> Result<(), String> {
    let seal = ContextKey::from_secret(SECRET).for_key(b"\0list");
    let Ok(seen) = seal.decode(input) else {
        return Ok(());
    };
    let again = seal.decode(seal.encode(&seen).as_bytes());
    ensure(again.is_ok(), "a context that is taken can be given out")
}

fn jsons(_: &Corpus) -> Vec<Vec<u8>> {
    [
        r#"{"name":"Party","items":{"milk":{"qty":2,"done":false}},"x":[1,null,-1.5e3,"\u00e4"]}"#,
        r#"{"v":1,"leaves":[["000102030405060708090a0b0c0d0e0f",1,"/a","v",2,"5"]],"context":{}}"#,
        r#"{"":{"~":{"/":[[],{}]}},"n":9223372036854775807,"f":1e300}"#,
        "{}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

fn json(input: &[u8]) -> Result<(), String> {
    let Ok(value) = parse_json(input) else {
        return Ok(());
    };
    let _ = State::from_json(&value);
    let again = parse_json(value.to_string().as_bytes());
    ensure(again.is_ok(), "what was parsed can be written and parsed")
}

fn pointers(_: &Corpus) -> Vec<Vec<u8>> {
    ["", "/", "/items/milk/qty", "/a~1b/~0", "//"]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
}

fn pointer(input: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(input);
    let Ok(pointer) = Pointer::parse(&text) else {
        return Ok(());
    };
    let names: Vec<_> = pointer.names().collect();
    ensure(
        names.len() == pointer.depth(),
        "it is as deep as it has names",
    )?;
    let mut again = Pointer::root();
    for name in names {
        again = again.child(&name).map_err(|error| error.to_string())?;
    }
    ensure(again == pointer, "its names make it up")
}

const DUMPS: &str = include_str!("../../commands/tests/cases/dumps.txt");
const FOOTER_BYTES: usize = 10;
const DUMP_VERSION: u16 = 11;

/// A type and a value in each encoding of Redis, without the footer.
fn dumps(_: &Corpus) -> Vec<Vec<u8>> {
    let lines = DUMPS.lines().filter(|line| !line.starts_with('#'));
    let payloads = lines.filter_map(|line| line.split_once(' '));
    payloads
        .map(|(_, text)| {
            let mut body = unescaped(text);
            body.truncate(body.len().saturating_sub(FOOTER_BYTES));
            body
        })
        .collect()
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        bytes.extend(u8::from_str_radix(digits, 16));
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

fn dump(input: &[u8]) -> Result<(), String> {
    let _ = dump::decode(input);
    // A damaged value has a footer that is right, else nothing behind the footer would be tried.
    let Ok(value) = dump::decode(&dump::seal(input.to_vec(), DUMP_VERSION)) else {
        return Ok(());
    };
    let written = dump::encode(&value);
    let again = dump::decode(&written).map_err(|error| error.to_string())?;
    ensure(
        dump::encode(&again) == written,
        "it comes back as something else",
    )
}

fn signer(number: u128) -> Signer {
    Signer {
        actor: Actor(number << 100),
        counter: 100_000 + number as u64,
    }
}

fn positions(_: &Corpus) -> Vec<Vec<u8>> {
    let mut made: Vec<Vec<u8>> = Vec::new();
    for turn in 0..60 {
        made.sort();
        let at = turn * 7 % (made.len() + 1);
        let left = at.checked_sub(1).and_then(|before| made.get(before));
        let right = made.get(at).map(Vec::as_slice);
        let by = signer(turn as u128 % 3 + 1);
        let by = Signer {
            counter: by.counter + turn as u64 * 3,
            ..by
        };
        made.extend(between(left.map(Vec::as_slice), right, by));
    }
    made
}

/// Two neighbours and what is made beside and between them.
fn position(input: &[u8]) -> Result<(), String> {
    let half = input.len() / 2;
    let (one, other) = input.split_at(half);
    for by in [signer(1), signer(9)] {
        let is_one = is_position(input);
        for (left, right) in [(Some(input), None), (None, Some(input))] {
            match between(left, right, by) {
                Ok(made) => {
                    ensure(
                        is_one && is_position(&made),
                        "only positions have any beside",
                    )?;
                    let is_right = made.as_slice() > input;
                    ensure(is_right == left.is_some(), "it stands on its side")?;
                }
                Err(error) => ensure(!is_one || error == PositionError::TooLong, "no room")?,
            }
        }
        if let Ok(made) = between(Some(one), Some(other), by) {
            let made = made.as_slice();
            ensure(one < made && made < other, "it stands between")?;
        }
    }
    Ok(())
}

fn settings(_: &Corpus) -> Vec<Vec<u8>> {
    let all = "port = 7000\nbind = \"127.0.0.1 -::1\"\nmaxclients = 10\ncache-size = \"1gb\"\n\
               requirepass = 'x'\nzone = \"a\"\ndurability = \"always\"\nreplicas = 3\n\
               client-output-buffer-limit = \"normal 0 0 0\"\ndocument-forget-after = \"400d\"\n";
    let lines = all.lines().map(|line| line.as_bytes().to_vec());
    lines.chain([all.as_bytes().to_vec()]).collect()
}

fn setting(input: &[u8]) -> Result<(), String> {
    let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    std::fs::write(file.path(), input).map_err(|error| error.to_string())?;
    let arguments = [
        "larder-server".into(),
        "--config".into(),
        file.path().into(),
    ];
    let _ = load(arguments, []);
    Ok(())
}

/// A file of the redo that a store has written.
fn segments(_: &Corpus) -> Vec<Vec<u8>> {
    let Ok(directory) = tempfile::tempdir() else {
        return Vec::new();
    };
    let _ = filled(directory.path());
    redo_file(directory.path())
        .and_then(|file| std::fs::read(file).ok())
        .into_iter()
        .collect()
}

fn filled(path: &std::path::Path) -> Result<(), String> {
    use larder_cluster::store::Store as _;
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let store = RocksStore::open(path, &larder_storage::Settings::default());
    let store = store.map_err(|error| text(&error))?;
    for length in 1..40 {
        store
            .append(&vec![7; length * length])
            .map_err(|error| text(&error))?;
    }
    store.sync().map_err(|error| text(&error))
}

fn redo_file(path: &std::path::Path) -> Option<std::path::PathBuf> {
    let files = std::fs::read_dir(path.join("redo")).ok()?;
    files.filter_map(|file| Some(file.ok()?.path())).max()
}

fn segment(input: &[u8]) -> Result<(), String> {
    use larder_cluster::store::Store as _;
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    filled(directory.path())?;
    let file = redo_file(directory.path()).ok_or("the store has no redo")?;
    std::fs::write(file, input).map_err(|error| error.to_string())?;
    // What is damaged is refused or cut off; what is not comes back.
    if let Ok(store) = RocksStore::open(directory.path(), &larder_storage::Settings::default()) {
        let _ = store.replay(&mut |_, _| Ok(()));
    }
    Ok(())
}
