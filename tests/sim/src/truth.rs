//! What the rows must hold after a command, by its name alone.

use bytes::Bytes;
use larder_cluster::copy::Copy;
use larder_cluster::limits::ACTORS_PER_PARTITION_MAX;
use larder_crdt::{ActorTable, Reader, Row, Value};

use crate::action::Meaning;
use crate::bits::Bits;
use crate::history::{Content, History, Increment, Inserted};
use crate::reply::is_error;

/// One element that a command has changed, in the history's numbers.
pub(crate) struct Edited<'a> {
    pub(crate) element: usize,
    /// What was there before, without what had expired.
    pub(crate) observed: &'a Row,
    /// What is there now.
    pub(crate) after: &'a Row,
    /// What somebody else had observed of its counters: joined, and reset.
    pub(crate) taken: Option<(Bits, Bits)>,
}

/// What all counters of a row together have joined and reset.
fn counted(history: &History, element: usize, row: &Row) -> (Bits, Bits) {
    let (mut known, mut reset) = (Bits::default(), Bits::default());
    for sibling in row.siblings() {
        if let Some((k, r)) = history.counter(element, sibling.dot) {
            known.join(k);
            reset.join(r);
        }
    }
    (known, reset)
}

/// What a command has put under its fresh dots.
pub(crate) fn inserted(
    history: &mut History,
    meaning: Meaning,
    edited: &Edited<'_>,
) -> Vec<Inserted> {
    let fresh = edited.after.siblings().iter();
    let fresh = fresh.filter(|sibling| !edited.observed.contains(sibling.dot));
    let fresh: Vec<_> = fresh.cloned().collect();
    let mut inserted = Vec::new();
    for sibling in fresh {
        let content = match sibling.value {
            Value::Register(_) | Value::Score(_) | Value::HyperLogLog(_) | Value::Mask(_) => {
                Content::Register
            }
            Value::Document(document) => Content::Document(document),
            Value::Counter(_) => {
                let (mut known, mut reset) = counted(history, edited.element, edited.observed);
                match meaning {
                    Meaning::Add(quarters) => {
                        known.insert(history.increments.len());
                        let change = history.changes.len();
                        history.increments.push(Increment { quarters, change });
                    }
                    Meaning::Replace => reset = known.clone(),
                    Meaning::Take => {
                        if let Some((k, r)) = &edited.taken {
                            known.join(k);
                            reset.join(r);
                            reset.join(k);
                        }
                    }
                    Meaning::Keep | Meaning::Look | Meaning::Write => {}
                }
                Content::Counter { known, reset }
            }
        };
        inserted.push(Inserted {
            dot: sibling.dot,
            deadline_ms: sibling.deadline.map(std::num::NonZeroU64::get),
            content,
        });
    }
    inserted
}

/// The counters that the other half of a RENAME had observed here, as far as this copy knows their
/// actors.
pub(crate) fn handed_over(
    history: &mut History,
    element: usize,
    args: &[Bytes],
    (copy, known): (&Copy, usize),
) -> Option<(Bits, Bits)> {
    let mut reader = Reader::new(args.get(2)?);
    let table = ActorTable::decode(&mut reader, ACTORS_PER_PARTITION_MAX).ok()?;
    let mut observed = Row::decode(&mut reader).ok()?;
    let is_known = |dot: larder_crdt::Dot| {
        let index = copy.actors.find(table.actor(dot.actor()));
        index.is_some_and(|index| (index.0 as usize) < known)
    };
    observed.retain(|sibling| {
        let mut all_known = is_known(sibling.dot);
        sibling.value.for_each_dot(|dot| all_known &= is_known(dot));
        all_known
    });
    let translation = history.translation(&table);
    let observed = observed.translate(&translation).ok()?;
    Some(counted(history, element, &observed))
}

/// Holds a reply against what has changed: who is told that it was done must find it done.
pub(crate) fn check_reply(
    history: &mut History,
    command: u64,
    args: &[Bytes],
    reply: &[u8],
    first: usize,
) {
    let changes = history.changes.len() - first;
    let name = args[0].to_ascii_lowercase();
    let mut keys: Vec<&Bytes> = args.iter().skip(1).step_by(2).collect();
    let expected = match &name[..] {
        b"set" if args.len() == 3 => 1,
        b"getset" | b"append" | b"incrby" | b"incrbyfloat" => 1,
        b"mset" => {
            keys.sort_unstable();
            keys.dedup();
            keys.len()
        }
        _ => return,
    };
    if is_error(reply) {
        if changes > 0 {
            history.complain(|| format!("command {command} failed, but changed something"));
        }
    } else if changes != expected {
        history.complain(|| {
            format!("command {command} was to change {expected} elements, but changed {changes}")
        });
    }
}
