//! The public conformance cases of `tests/conformance` against a node, against three nodes, and
//! against a real Redis.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use larder_tests::failure::{Failure, ensure};
use larder_tests::real_redis::RealRedis;
use larder_tests::value::{field, parts, text};
use larder_tests::words::split;
use larder_tests::{Checked, Client, Cluster, Plan};
use redis::Value;
use serde_json::Value as Json;

const CASES: &str = include_str!("../conformance/cts.json");

/// How long one reply may take; the cases block for 3.14 s at most.
const REPLY_PATIENCE: Duration = Duration::from_secs(20);

/// The version that Larder is as: cases of later ones are not asked for.
const VERSION: &str = "7.2.4";

/// Commands whose replies Redis promises no order for.
const UNORDERED: &[&str] = &[
    "HGETALL", "HKEYS", "HSCAN", "HVALS", "KEYS", "SCAN", "SDIFF", "SINTER", "SMEMBERS", "SSCAN",
    "SUNION", "ZSCAN",
];

/// Two strings that are the same number may differ by so much of it.
const FLOAT_ERROR: f64 = 1e-12;

/// One of the cases.
struct Case {
    name: String,
    lines: Vec<String>,
    results: Vec<Json>,
    since: Vec<u32>,
    /// Whether its keys may live on several nodes.
    is_scattered: bool,
    is_binary: bool,
    is_sorted: bool,
    is_float: bool,
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').flat_map(str::parse).collect()
}

fn cases() -> Checked<Vec<Case>> {
    let cases: Vec<Json> = serde_json::from_str(CASES)?;
    let read = |case: &Json| {
        let is = |name: &str| case[name].as_bool() == Some(true);
        let list = |name: &str| case[name].as_array().cloned();
        let lines = list("command")?;
        Some(Case {
            name: case["name"].as_str()?.to_owned(),
            lines: lines
                .iter()
                .filter_map(|line| Some(line.as_str()?.to_owned()))
                .collect(),
            results: list("result")?,
            since: numbers(case["since"].as_str()?),
            is_scattered: case["tags"] == "standalone",
            is_binary: is("command_binary"),
            is_sorted: is("sort_result"),
            is_float: is("float_result"),
        })
    };
    let unread = |case: &Json| Failure::new(format!("this is no case: {case}"));
    cases
        .iter()
        .map(|case| read(case).ok_or_else(|| unread(case)))
        .collect()
}

impl Case {
    /// The bytes of a line's words.
    fn words(&self, line: &str) -> Vec<Vec<u8>> {
        let bytes = |word: String| match self.is_binary {
            true => unescaped(&word),
            false => word.into_bytes(),
        };
        split(line).into_iter().map(bytes).collect()
    }

    fn uses(&self, command: &str) -> bool {
        self.lines.iter().any(|line| {
            let name = line.split(' ').next().unwrap_or_default();
            name.eq_ignore_ascii_case(command)
        })
    }

    /// Runs it on a new connection to a server without keys.
    fn run(&self, port: u16) -> Checked {
        let mut client = Client::connect(port)?;
        client.set_patience(REPLY_PATIENCE)?;
        client.says("FLUSHALL", "+OK")?;
        for (line, wanted) in self.lines.iter().zip(&self.results) {
            let reply = client.run(&self.words(line));
            let seen = plain(&reply.map_err(|failure| failure.during(line))?);
            ensure(self.agree(line, &seen, wanted), || {
                format!("{line}: expected {wanted}, saw {seen}")
            })?;
        }
        Ok(())
    }

    fn agree(&self, line: &str, seen: &Json, wanted: &Json) -> bool {
        let name = line.split(' ').next().unwrap_or_default();
        let is_unordered = UNORDERED
            .iter()
            .any(|other| name.eq_ignore_ascii_case(other));
        if self.is_sorted || is_unordered {
            return sorted(seen) == sorted(wanted);
        }
        seen == wanted || self.is_float && same_numbers(seen, wanted)
    }
}

/// What a word of a case with bytes stands for.
fn unescaped(word: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = word.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.extend(match rest.next() {
            Some(b'x') => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                u8::from_str_radix(&String::from_utf8_lossy(&digits), 16).ok()
            }
            Some(b'a') => Some(7),
            Some(b'n') => Some(b'\n'),
            Some(b'r') => Some(b'\r'),
            other => other,
        });
    }
    bytes
}

/// A reply in the words of the cases.
fn plain(value: &Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Int(number) => Json::from(*number),
        Value::BulkString(bytes) => Json::from(String::from_utf8_lossy(bytes)),
        Value::SimpleString(status) => Json::from(status.as_str()),
        Value::Okay => Json::from("OK"),
        Value::Array(values) => values.iter().map(plain).collect(),
        other => Json::from(text(other)),
    }
}

/// The same with every list in one order.
fn sorted(value: &Json) -> Json {
    let Some(values) = value.as_array() else {
        return value.clone();
    };
    let mut values: Vec<Json> = values.iter().map(sorted).collect();
    values.sort_by_cached_key(Json::to_string);
    Json::from(values)
}

fn same_numbers(one: &Json, other: &Json) -> bool {
    if let (Some(one), Some(other)) = (one.as_array(), other.as_array()) {
        let mut pairs = one.iter().zip(other);
        return one.len() == other.len() && pairs.all(|(one, other)| same_numbers(one, other));
    }
    let number = |value: &Json| value.as_str()?.parse::<f64>().ok();
    match (number(one), number(other)) {
        (Some(one), Some(other)) => (one - other).abs() <= FLOAT_ERROR * other.abs(),
        _ => one == other,
    }
}

/// Against what the cases run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Node,
    Cluster,
}

/// A row of `skipped.txt`.
#[derive(Clone)]
struct Skip {
    /// Skips what uses this command, else the case of this name.
    is_command: bool,
    name: String,
    /// Everywhere unless it names a place.
    place: Option<Place>,
    reason: String,
}

const NOT_BUILT: &str = "not built yet";
/// Why a case fails that moves something from one key to another, unless both are on one node.
const ON_TWO_NODES: &str = "its keys may be on two nodes";

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_command { "command" } else { "case" };
        let place = match self.place {
            None => "everywhere",
            Some(Place::Node) => "node",
            Some(Place::Cluster) => "cluster",
        };
        write!(f, "{kind} | {} | {place} | {}", self.name, self.reason)
    }
}

impl Skip {
    fn read(line: &str) -> Option<Self> {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [kind, name, place, reason] = columns[..] else {
            return None;
        };
        let is_command = match kind {
            "command" => true,
            "case" => false,
            _ => return None,
        };
        let place = match place {
            "everywhere" => None,
            "node" => Some(Place::Node),
            "cluster" => Some(Place::Cluster),
            _ => return None,
        };
        (!name.is_empty() && !reason.is_empty()).then(|| Self {
            is_command,
            name: name.to_owned(),
            place,
            reason: reason.to_owned(),
        })
    }

    fn covers(&self, case: &Case, place: Place) -> bool {
        let is_here = self.place.is_none_or(|only| only == place);
        is_here
            && match self.is_command {
                true => case.uses(&self.name),
                false => case.name == self.name,
            }
    }
}

/// The list of what is skipped.
struct Skipped {
    /// The comment above the rows.
    head: String,
    rows: Vec<Skip>,
}

impl Skipped {
    fn path() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("conformance/skipped.txt")
    }

    fn read() -> Checked<Self> {
        let text = std::fs::read_to_string(Self::path())?;
        let (head, rows): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with('#'));
        let row = |line: &&str| {
            Skip::read(line).ok_or_else(|| Failure::new(format!("this is no row: {line}")))
        };
        Ok(Self {
            head: head.join("\n"),
            rows: rows.iter().map(row).collect::<Checked<_>>()?,
        })
    }

    fn write(&self) -> Checked {
        let rows: String = self.rows.iter().map(|row| format!("{row}\n")).collect();
        Ok(std::fs::write(
            Self::path(),
            format!("{}\n{rows}", self.head),
        )?)
    }
}

/// What one case came to.
struct Outcome<'a> {
    case: &'a Case,
    place: Place,
    result: Checked,
}

/// Rows that cover nothing which fails, or something that holds, or a command that is there.
fn is_needless(row: &Skip, outcomes: &[Outcome<'_>], client: &mut Client) -> Checked<bool> {
    let mut covered = outcomes
        .iter()
        .filter(|outcome| row.covers(outcome.case, outcome.place))
        .peekable();
    // Where keys are differs from run to run.
    let may_hold = row.reason == ON_TWO_NODES;
    if covered.peek().is_none() || !may_hold && covered.any(|outcome| outcome.result.is_ok()) {
        return Ok(true);
    }
    let said = client.ask(&format!("COMMAND INFO {}", row.name))?;
    Ok(row.is_command && row.reason == NOT_BUILT && said != "[nil]")
}

/// The node that has the fewest of a case's keys, none if it can be.
fn farthest(case: &Case, cluster: &Cluster, client: &mut Client) -> Checked<usize> {
    let mut owned = vec![0; cluster.nodes.len()];
    for line in &case.lines {
        let mut words = vec![b"COMMAND".to_vec(), b"GETKEYS".to_vec()];
        words.extend(case.words(line));
        let keys = client.run(&words)?;
        // A command without keys, or one that is not there.
        let Value::Array(keys) = keys else { continue };
        for key in keys {
            let explained = client.run(&["LEXPLAIN", &text(&key)])?;
            let owners = field(&explained, "preference").unwrap_or(Value::Nil);
            for owner in parts(&owners) {
                let id = field(&owner, "node").as_ref().map(text);
                let at = (cluster.nodes.iter()).position(|node| Some(node.id()) == id.as_deref());
                let at = at.ok_or_else(|| Failure::new("an owner that is no node"))?;
                owned[at] += 1;
            }
        }
    }
    let least = owned.iter().min().copied().unwrap_or_default();
    ensure(least == 0 || case.is_scattered, || {
        format!("{}: every node owns a key of it", case.name)
    })?;
    Ok(owned.iter().position(|count| *count == least).unwrap_or(0))
}

#[test]
fn every_case_holds_on_a_node_and_on_three_or_is_skipped_for_a_reason() -> Checked {
    let wanted = numbers(VERSION);
    let mut cases = cases()?;
    cases.retain(|case| case.since <= wanted);
    let node = Cluster::of(1)?;
    let three = Plan::of(3).with("replicas", "1").start()?;
    let (mut alone, mut among) = (node.client(0)?, three.client(0)?);
    let mut outcomes = Vec::new();
    for case in &cases {
        let far = farthest(case, &three, &mut among)?;
        for (place, port) in [
            (Place::Node, node.node(0).port()),
            (Place::Cluster, three.node(far).port()),
        ] {
            let result = case.run(port);
            outcomes.push(Outcome {
                case,
                place,
                result,
            });
        }
    }
    let mut skipped = Skipped::read()?;
    let mut needless = Vec::new();
    for row in &skipped.rows {
        if is_needless(row, &outcomes, &mut alone)? {
            needless.push(row.to_string());
        }
    }
    let mut findings = Vec::new();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        skipped
            .rows
            .retain(|row| !needless.contains(&row.to_string()));
        skipped.write()?;
    } else {
        findings.extend(needless.iter().map(|row| {
            format!("tests/conformance/skipped.txt: {row}: holds; UPDATE_DOCS=1 drops the row")
        }));
    }
    for outcome in outcomes {
        let Outcome {
            case,
            place,
            result,
        } = outcome;
        let Err(failure) = result else { continue };
        if !skipped.rows.iter().any(|row| row.covers(case, place)) {
            findings.push(format!("{place:?}: {}: {failure}", case.name));
        }
    }
    ensure(findings.is_empty(), || findings.join("\n"))
}

/// Shows that the runner reads the cases as they are meant.
#[test]
fn a_real_redis_passes_every_case_that_its_version_has() -> Checked {
    let Some(redis) = RealRedis::start()? else {
        return Ok(());
    };
    let info = Client::connect(redis.port())?.ask("INFO server")?;
    let version = info
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"));
    let version = numbers(version.unwrap_or_default());
    let mut findings = Vec::new();
    for case in cases()?.iter().filter(|case| case.since <= version) {
        if let Err(failure) = case.run(redis.port()) {
            findings.push(format!("{}: {failure}", case.name));
        }
    }
    ensure(findings.is_empty(), || findings.join("\n"))
}
