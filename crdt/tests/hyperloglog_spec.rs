//! HyperLogLogs: the numbers and bytes of Redis 7.0, the laws of a join, and what concurrent PFADD,
//! SET and DEL leave, on random histories of three replicas.

mod row_support;

use std::collections::BTreeSet;

use larder_crdt::conflict::{ConflictKind, conflicts};
use larder_crdt::types::hyperloglog::{HyperLogLog, HyperLogLogError};
use larder_crdt::types::register_lww::{is_whole_string, visible_hyperloglog, visible_string};
use larder_crdt::{Reader, Row, Stamp, Value, Writer};
use proptest::prelude::*;
use row_support::{Replica, reset_counters};
use sha2::{Digest as _, Sha256};

const HEADER_BYTES: usize = 16;

fn of(elements: impl IntoIterator<Item = u32>) -> HyperLogLog {
    let mut log = HyperLogLog::new();
    for element in elements {
        log.add(format!("element:{element}").as_bytes());
    }
    log
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).expect("digits"), 16).expect("hex"))
        .collect()
}

/// What Redis 7.0.15 counted after `PFADD k element:0 element:1 …`, and what GET gave behind the
/// header: as hex, or the SHA-256 of it.
const OF_REDIS: &[(u32, u64, &str)] = &[
    (0, 0, "7fff"),
    (1, 1, "6081805f7c"),
    (2, 2, "448e805bf1805f7c"),
    (5, 5, "448e80453b844688904501804b27805f7c"),
    (
        10,
        10,
        "448e80453b8441ed88441b80407c904501804ab38440728058dc80444f84424d",
    ),
    (
        50,
        50,
        "71ac1fd11adac8b9c6e0ea45a48b092130bdd0c4d5c6bd8f0f1738d020199276",
    ),
    (
        100,
        99,
        "fffa82468983338c5e39eab10b5f95b334927d290e35589fff4c77634115901f",
    ),
    (
        500,
        502,
        "b13767c3fce5b3d0cc15aa35d8d38fe27936ee79577c55f8d0f792a1e2271914",
    ),
    (
        1000,
        997,
        "fbd6cff5d245b374d5cf99c0276816dbe52f699c185f68806fcd58eb18a4d18a",
    ),
    (
        5000,
        5005,
        "c7b33b6a8df305fc52fefcd6be40ed00a794a789e15584bf44c66e5b3be1c4c8",
    ),
    (
        10_000,
        10_017,
        "1d3f9fb082c556b59b9d38c4d2050ae79d49f1748f4c7661693952a298bff065",
    ),
    (
        100_000,
        100_039,
        "8003c562b323dec2a6b3b4c449440024f8b044724ac18fa661f2234bc8797dee",
    ),
    (
        300_000,
        298_112,
        "f592df038223d3a2d0a5c652fb3518e4b550d43987fca3a27d7845851f233cf5",
    ),
];

#[test]
fn counts_and_registers_are_those_of_redis() {
    for (elements, count, registers) in OF_REDIS {
        let log = of(0..*elements);
        assert_eq!(log.count(), *count, "of {elements}");
        let bytes = log.to_bytes();
        let (header, behind) = bytes.split_at(HEADER_BYTES);
        assert!(header.starts_with(b"HYLL"));
        let shown = if behind.len() <= 44 {
            hex(behind)
        } else {
            hex(&Sha256::digest(behind))
        };
        assert_eq!(shown, *registers, "of {elements}");
    }
}

#[test]
fn elements_of_any_length_have_the_hash_of_redis() {
    let mut log = HyperLogLog::new();
    for length in 0..18 {
        assert!(log.add(&vec![0xff; length]));
    }
    assert_eq!(log.count(), 18);
    let registers = "40bd884c348043b884418588128043378041748438844a3d80405a8c467d8041198046fe8c41\
        df8841cb84415c8448838040558c41af";
    assert_eq!(hex(&log.to_bytes()[HEADER_BYTES..]), registers);
}

#[test]
fn strings_that_are_no_hyperloglog_are_refused_as_redis_does() {
    let header = |encoding: &str| format!("48594c4c{encoding}0000000000000000000080");
    let sparse = header("01");
    for (text, error) in [
        (String::new(), HyperLogLogError::Foreign),
        ("48594c4c".into(), HyperLogLogError::Foreign),
        (header("00"), HyperLogLogError::Foreign),
        (header("02"), HyperLogLogError::Foreign),
        (
            header("00") + &"00".repeat(12_289),
            HyperLogLogError::Foreign,
        ),
        (
            sparse.replace("48", "68") + "7fff",
            HyperLogLogError::Foreign,
        ),
        (sparse.clone(), HyperLogLogError::Corrupted),
        (sparse.clone() + "7ffe", HyperLogLogError::Corrupted),
        (sparse.clone() + "7fff00", HyperLogLogError::Corrupted),
        (sparse.clone() + "7f", HyperLogLogError::Corrupted),
        (sparse + &"80".repeat(16_385), HyperLogLogError::Corrupted),
    ] {
        let read = HyperLogLog::from_bytes(&unhex(&text));
        assert_eq!(read, Err(error), "{}", &text[..text.len().min(50)]);
    }
}

#[test]
fn registers_at_their_highest_are_read_and_counted() {
    let mut bytes = unhex("48594c4c000000000000000000000080");
    bytes.extend([0xff; 12_288]);
    let log = HyperLogLog::from_bytes(&bytes).expect("a dense one");
    assert_eq!(log.count(), u64::MAX);
    assert_eq!(log.to_bytes(), bytes);
}

fn elements() -> impl Strategy<Value = BTreeSet<u32>> {
    let size = prop_oneof![
        Just(0..20usize),
        Just(900..1200usize),
        Just(2000..4000usize)
    ];
    size.prop_flat_map(|size| prop::collection::btree_set(0..20_000u32, size))
}

fn joined(one: &HyperLogLog, other: &HyperLogLog) -> HyperLogLog {
    let mut joined = one.clone();
    joined.join(other);
    joined
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_join_counts_what_either_has(a in elements(), b in elements(), c in elements()) {
        let whole = of(a.iter().chain(&b).copied());
        let [a, b, c] = [a, b, c].map(of);
        prop_assert_eq!(&joined(&a, &b), &whole);
        prop_assert_eq!(&joined(&b, &a), &whole);
        prop_assert_eq!(joined(&joined(&a, &b), &c), joined(&a, &joined(&b, &c)));
        prop_assert!(!joined(&a, &b).join(&b), "joined twice is joined once");
    }

    #[test]
    fn it_comes_back_from_both_kinds_of_bytes(a in elements()) {
        let log = of(a);
        let shown = log.to_bytes();
        prop_assert_eq!(HyperLogLog::from_bytes(&shown), Ok(log.clone()));
        let mut writer = Writer::new();
        log.encode(&mut writer);
        let mut reader = Reader::new(writer.as_slice());
        prop_assert_eq!(HyperLogLog::decode(&mut reader), Ok(log));
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn replicas_show_what_the_specification_says(steps in steps()) {
        run(&steps);
    }
}

#[derive(Debug, Clone)]
enum What {
    Add(u32),
    Text,
    /// SET of what another HyperLogLog's GET gave.
    Copied(u32),
    Remove,
}

#[derive(Debug, Clone)]
enum Step {
    Do(usize, What, u64),
    Take(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let what = prop_oneof![
        6 => (0..50u32).prop_map(What::Add),
        1 => Just(What::Text),
        1 => (50..60u32).prop_map(What::Copied),
        2 => Just(What::Remove),
    ];
    let step = prop_oneof![
        3 => (0..3usize, what, 0..30u64).prop_map(|(at, what, stamp)| Step::Do(at, what, stamp)),
        2 => (0..3usize, 0..3usize).prop_map(|(at, from)| Step::Take(at, from)),
    ];
    prop::collection::vec(step, 0..40)
}

/// What an operation left under its dot.
#[derive(Clone, PartialEq)]
enum Left {
    Counted(BTreeSet<u32>),
    Copied(u32),
    Text,
    Nothing,
}

struct Operation {
    left: Left,
    stamp: Stamp,
    seen: BTreeSet<usize>,
}

/// What a replica that knows these operations shows: a set, or another string.
fn expected(
    operations: &[Operation],
    known: &BTreeSet<usize>,
) -> Option<Result<BTreeSet<u32>, ()>> {
    let is_seen = |at: &usize| known.iter().any(|by| operations[*by].seen.contains(at));
    let standing = || {
        let left = known.iter().filter(|at| !is_seen(at));
        left.map(|at| &operations[*at])
    };
    let strings = standing().filter_map(|operation| match operation.left {
        // A longer life and greater bytes decide between equal stamps: "text" is over "HYLL".
        Left::Text => Some((operation.stamp, true, None)),
        Left::Copied(element) => Some((operation.stamp, false, Some(element))),
        Left::Counted(_) | Left::Nothing => None,
    });
    let shown = strings.max_by_key(|(stamp, is_text, element)| {
        let bytes = element.map(|element| of([element]).to_bytes());
        (*stamp, *is_text, bytes)
    });
    let counted = standing().filter_map(|operation| match &operation.left {
        Left::Counted(set) => Some((operation.stamp, set)),
        _ => None,
    });
    let (mut all, mut latest) = (BTreeSet::new(), None);
    for (stamp, set) in counted {
        all.extend(set);
        latest = latest.max(Some(stamp));
    }
    match (shown, latest) {
        (None, None) => None,
        (Some((stamp, true, _)), latest) if Some(stamp) > latest => Some(Err(())),
        (Some((_, false, element)), _) => {
            all.extend(element);
            Some(Ok(all))
        }
        _ => Some(Ok(all)),
    }
}

fn shown(row: &Row) -> Option<Result<HyperLogLog, ()>> {
    visible_hyperloglog(row, 0).map_err(|_| ()).transpose()
}

fn run(steps: &[Step]) {
    let mut twins: Vec<(Replica, BTreeSet<usize>)> = (1..=3)
        .map(|number| (Replica::new(number), BTreeSet::new()))
        .collect();
    let mut operations: Vec<Operation> = Vec::new();
    for step in steps {
        match step {
            Step::Take(at, from) => {
                let (other, others) = twins[*from].clone();
                twins[*at].0.take(&other);
                twins[*at].1.extend(others);
            }
            Step::Do(at, what, stamp) => {
                let (replica, known) = &mut twins[*at];
                let before = shown(&replica.row);
                let (value, left) = match what {
                    What::Add(element) => {
                        // PFADD of a string that is none is refused.
                        let Some(mut log) = before.unwrap_or(Ok(HyperLogLog::new())).ok() else {
                            continue;
                        };
                        log.add(format!("element:{element}").as_bytes());
                        let set = expected(&operations, known).unwrap_or(Ok(BTreeSet::new()));
                        let mut set = set.expect("a set where the replica has one");
                        set.insert(*element);
                        (Some(Value::HyperLogLog(Box::new(log))), Left::Counted(set))
                    }
                    What::Text => (Some(Value::Register(b"text"[..].into())), Left::Text),
                    What::Copied(element) => {
                        let bytes = of([*element]).to_bytes();
                        (Some(Value::Register(bytes.into())), Left::Copied(*element))
                    }
                    What::Remove => (None, Left::Nothing),
                };
                let ((), stamp) = replica.write(*stamp, |edit| {
                    edit.remove(is_whole_string);
                    reset_counters(edit);
                    if let Some(value) = value {
                        edit.insert(|_| value);
                    }
                });
                let seen = known.clone();
                known.insert(operations.len());
                operations.push(Operation { left, stamp, seen });
            }
        }
        for (replica, known) in &twins {
            let specified = expected(&operations, known);
            assert_eq!(
                shown(&replica.row),
                specified.clone().map(|set| set.map(of))
            );
            let text = visible_string(&replica.row, 0);
            let specified =
                specified.map(|set| set.map_or(b"text".to_vec(), |set| of(set).to_bytes()));
            assert_eq!(text.map(std::borrow::Cow::into_owned), specified);
        }
    }
}

/// Two replicas write without knowing of each other, and meet.
fn met(writes: [(u64, Value); 2]) -> Row {
    let [mut one, mut other] = [1, 2].map(Replica::new);
    let [(stamp, first), (later, second)] = writes;
    one.write(stamp, |edit| edit.insert(|_| first));
    other.write(later, |edit| edit.insert(|_| second));
    one.take(&other);
    one.row
}

#[test]
fn only_what_is_not_shown_of_a_text_and_a_hyperloglog_has_lost() {
    let log = || Value::HyperLogLog(Box::new(of([1])));
    let text = |bytes: &[u8]| Value::Register(bytes.into());
    let lost = |row: &Row| -> Vec<Vec<u8>> {
        let conflicts = conflicts(row, 0);
        assert!(conflicts.iter().all(|conflict| {
            let shown = visible_string(row, 0).expect("a string");
            conflict.kind == ConflictKind::Value && *conflict.winner.value == *shown
        }));
        conflicts
            .into_iter()
            .map(|conflict| conflict.loser.value.into())
            .collect()
    };
    assert_eq!(
        lost(&met([(1, log()), (2, text(b"text"))])),
        [of([1]).to_bytes()]
    );
    assert_eq!(lost(&met([(2, log()), (1, text(b"text"))])), [b"text"]);
    assert!(lost(&met([(1, log()), (2, text(&of([2]).to_bytes()))])).is_empty());
    assert!(lost(&met([(1, log()), (2, log())])).is_empty());
}
