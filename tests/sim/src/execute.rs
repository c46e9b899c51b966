//! Runs commands inside the nodes, as the layer of commands does, and notes what they did.

use std::num::NonZeroU64;
use std::sync::Arc;

use larder_cluster::copy::Edit;
use larder_cluster::partition::Target;
use larder_cluster::request::Request;
use larder_cluster::store::StoreError;
use larder_cluster::transaction::{Execute, Place, Transaction};
use larder_crdt::types::register_lww::{joined_counter, visible_register, visible_string};
use larder_crdt::{Dot, Row, Stamp, Value};

use crate::action::Action;
use crate::bits::Bits;
use crate::documents;
use crate::history::{Change, Content, History, Increment, Inserted, SharedHistory};

/// The layer of commands of the simulator.
pub struct Executor {
    history: Arc<SharedHistory>,
}

/// A command while it runs.
pub(crate) struct Run<'h> {
    pub(crate) history: &'h mut History,
    pub(crate) command: u64,
    execution: usize,
}

/// What an edit put under a local dot.
pub(crate) type Put = (Dot, Content);

impl Executor {
    /// An executor that writes to `history`.
    #[must_use]
    pub fn new(history: Arc<SharedHistory>) -> Self {
        Self { history }
    }
}

impl Execute for Executor {
    fn execute(
        &self,
        transaction: &mut Transaction<'_, '_>,
        request: &Request,
        reply: &mut Vec<u8>,
    ) {
        let mut history = self.history.lock();
        let number = request
            .args
            .first()
            .and_then(|id| id.as_ref().try_into().ok());
        let command = u64::from_be_bytes(number.expect("the simulator names its commands"));
        let execution = history.begin_execution(command);
        let action = history.commands[command as usize].action.clone();
        let first = history.changes.len();
        let mut run = Run {
            history: &mut history,
            command,
            execution,
        };
        let outcome = run.act(transaction, &action);
        let last = history.changes.len();
        if first == last {
            let node = transaction.env().node;
            history.commands[command as usize].idle.push(node);
        }
        if matches!(action, Action::Group { .. }) && last > first {
            let partition = history.changes[first].partition;
            history.note_group(partition, (first..last).collect());
        }
        let bytes = outcome.unwrap_or_else(|error| format!("-MISCONF {error}").into_bytes());
        reply.extend_from_slice(&bytes);
    }
}

impl Run<'_> {
    fn act(
        &mut self,
        transaction: &mut Transaction<'_, '_>,
        action: &Action,
    ) -> Result<Vec<u8>, StoreError> {
        let now_ms = transaction.now_ms();
        let place = transaction.place(0, action.keys()[0], b"");
        match action {
            Action::Set { life_ms, .. } => {
                let deadline = life_ms.map(|life| now_ms + life);
                self.set(transaction, &place, deadline)?;
            }
            Action::SetIfAbsent { .. } => {
                if visible_string(transaction.row(&place), now_ms).is_some() {
                    return Ok(b"nil".to_vec());
                }
                self.set(transaction, &place, None)?;
            }
            Action::Group { sets, deletes } => {
                for key in sets {
                    let place = transaction.place(0, key, b"");
                    self.set(transaction, &place, None)?;
                }
                for key in deletes {
                    let place = transaction.place(0, key, b"");
                    self.delete(transaction, &place)?;
                }
            }
            Action::Delete { .. } => self.delete(transaction, &place)?,
            Action::Add {
                quarters, float, ..
            } => {
                self.add(transaction, &place, *quarters, *float)?;
            }
            Action::Expire { life_ms, .. } => {
                self.rewrite(transaction, &place, NonZeroU64::new(now_ms + life_ms))?;
            }
            Action::Persist { .. } => self.rewrite(transaction, &place, None)?,
            Action::Get { .. } => {
                let row = transaction.row(&place);
                let seen = visible_string(row, now_ms).map(|text| text.into_owned());
                return Ok(seen.unwrap_or_else(|| b"nil".to_vec()));
            }
            Action::Read { key } => return Ok(documents::read(transaction, &place, key)),
            Action::Put { key, write } => {
                return documents::write(
                    self,
                    transaction,
                    &place,
                    key,
                    write,
                    documents::Way::Put,
                );
            }
            Action::Patch { key, write } => {
                let way = documents::Way::Patch;
                return documents::write(self, transaction, &place, key, write, way);
            }
            Action::Remove { key, write } => {
                let way = documents::Way::Remove;
                return documents::write(self, transaction, &place, key, write, way);
            }
            Action::AddInside {
                path, by, named, ..
            } => {
                return documents::add(self, transaction, &place, path, *by, *named);
            }
        }
        Ok(b"ok".to_vec())
    }

    /// Changes an element and notes what happened to it.
    pub(crate) fn edit<T>(
        &mut self,
        transaction: &mut Transaction<'_, '_>,
        place: &Place,
        change: impl FnOnce(&mut Edit<'_>, &mut Vec<Put>) -> T,
    ) -> Result<T, StoreError> {
        let element = self.history.element(place.partition, &place.key);
        let signed = signed_so_far(transaction, place);
        let mut before = Row::new();
        let mut puts: Vec<Put> = Vec::new();
        let outcome = transaction.edit(place, |edit| {
            before = edit.row().clone();
            change(edit, &mut puts)
        })?;
        let after = transaction.row(place).clone();
        let node = transaction.env().node;
        let (partition, target) = transaction.partition(place.partition);
        let copy = match target {
            Target::Main => partition.main.as_ref(),
            Target::Fallback => partition.fallback.as_ref(),
        }
        .expect("the edit has just used it");
        let signer = copy.signer.expect("the edit has just signed");
        let translation = self.history.translation(&copy.actors);
        let global = |dot: Dot| {
            dot.translate(&translation)
                .expect("the table has its actor")
        };
        let mut dots: Vec<Dot> = (signed..signer.next)
            .map(|counter| global(Dot::new(signer.index, counter)))
            .collect();
        let inserted: Vec<Inserted> = puts
            .into_iter()
            .map(|(dot, content)| Inserted {
                dot: global(dot),
                deadline_ms: after
                    .siblings()
                    .iter()
                    .find(|sibling| sibling.dot == dot)
                    .and_then(|sibling| sibling.deadline.map(NonZeroU64::get)),
                content,
            })
            .collect();
        dots.extend(inserted.iter().map(|inserted| inserted.dot));
        dots.sort_unstable();
        dots.dedup();
        if dots.is_empty() {
            return Ok(outcome);
        }
        let gone = before
            .siblings()
            .iter()
            .filter(|sibling| !after.contains(sibling.dot));
        let removed = gone.map(|sibling| global(sibling.dot)).collect();
        self.history.note(Change {
            command: self.command,
            execution: self.execution,
            node,
            partition: place.partition,
            element,
            dots,
            inserted,
            removed,
            committed: false,
        });
        Ok(outcome)
    }

    /// What all counters of the row together have joined and reset.
    fn counted(&mut self, transaction: &mut Transaction<'_, '_>, place: &Place) -> (Bits, Bits) {
        let element = self.history.element(place.partition, &place.key);
        let now_ms = transaction.now_ms();
        let row = transaction.row(place).clone();
        let (partition, target) = transaction.partition(place.partition);
        let copy = match target {
            Target::Main => partition.main.as_ref(),
            Target::Fallback => partition.fallback.as_ref(),
        };
        let (mut known, mut reset) = (Bits::default(), Bits::default());
        let Some(copy) = copy else {
            return (known, reset);
        };
        let translation = self.history.translation(&copy.actors);
        for sibling in row.siblings() {
            let dot = sibling
                .dot
                .translate(&translation)
                .expect("the table has its actor");
            if matches!(sibling.value, Value::Counter(_))
                && !sibling.is_expired(now_ms)
                && let Some((k, r)) = self.history.counter(element, dot)
            {
                known.join(k);
                reset.join(r);
            }
        }
        (known, reset)
    }

    fn set(
        &mut self,
        transaction: &mut Transaction<'_, '_>,
        place: &Place,
        deadline_ms: Option<u64>,
    ) -> Result<(), StoreError> {
        let (known, _) = self.counted(transaction, place);
        let value = self.command.to_string().into_bytes();
        self.edit(transaction, place, |edit, puts| {
            let stamp = edit.stamp();
            edit.remove(|sibling| matches!(sibling.value, Value::Register(_)));
            reset_counters(edit, stamp, &known, puts);
            edit.insert(stamp, deadline_ms.and_then(NonZeroU64::new), |dot| {
                puts.push((dot, Content::Register));
                Value::Register(value.into())
            });
        })
    }

    fn delete(
        &mut self,
        transaction: &mut Transaction<'_, '_>,
        place: &Place,
    ) -> Result<(), StoreError> {
        if transaction
            .row(place)
            .siblings()
            .iter()
            .all(|sibling| sibling.value.is_reset())
        {
            return Ok(());
        }
        let (known, _) = self.counted(transaction, place);
        self.edit(transaction, place, |edit, puts| {
            let stamp = edit.stamp();
            edit.remove(|sibling| matches!(sibling.value, Value::Register(_)));
            reset_counters(edit, stamp, &known, puts);
            documents::remove_all(edit, stamp, puts);
        })
    }

    fn add(
        &mut self,
        transaction: &mut Transaction<'_, '_>,
        place: &Place,
        quarters: i64,
        float: bool,
    ) -> Result<(), StoreError> {
        let (mut known, reset) = self.counted(transaction, place);
        let increment = self.history.increments.len();
        self.history.increments.push(Increment {
            quarters,
            change: self.history.changes.len(),
        });
        known.insert(increment);
        let now_ms = transaction.now_ms();
        self.edit(transaction, place, |edit, puts| {
            let stamp = edit.stamp();
            let mut counter = joined_counter(edit.row(), now_ms).unwrap_or_default();
            edit.remove(|sibling| matches!(sibling.value, Value::Counter(_)));
            edit.insert(stamp, None, |dot| {
                puts.push((dot, Content::Counter { known, reset }));
                if float {
                    counter.add_float(quarters as f64 / 4.0, dot);
                } else {
                    counter.add(quarters / 4, dot);
                }
                Value::Counter(Box::new(counter))
            });
        })
    }

    /// EXPIRE and PERSIST: the value that shows is written anew with its old stamp.
    fn rewrite(
        &mut self,
        transaction: &mut Transaction<'_, '_>,
        place: &Place,
        deadline: Option<NonZeroU64>,
    ) -> Result<(), StoreError> {
        let now_ms = transaction.now_ms();
        if visible_register(transaction.row(place), now_ms).is_none() {
            return Ok(());
        }
        self.edit(transaction, place, |edit, puts| {
            let Some((stamp, bytes)) = visible_register(edit.row(), now_ms)
                .map(|(sibling, bytes)| (sibling.stamp, Box::<[u8]>::from(bytes)))
            else {
                return;
            };
            edit.remove(|sibling| matches!(sibling.value, Value::Register(_)));
            edit.insert(stamp, deadline, |dot| {
                puts.push((dot, Content::Register));
                Value::Register(bytes)
            });
        })
    }
}

/// The counter of the next dot that the copy will sign.
fn signed_so_far(transaction: &mut Transaction<'_, '_>, place: &Place) -> u64 {
    let (partition, target) = transaction.partition(place.partition);
    let copy = match target {
        Target::Main => partition.main.as_ref(),
        Target::Fallback => partition.fallback.as_ref(),
    };
    copy.and_then(|copy| copy.signer)
        .map_or(1, |signer| signer.next)
}

/// Counts all counters of the row as reset, under a fresh dot.
fn reset_counters(edit: &mut Edit<'_>, stamp: Stamp, known: &Bits, puts: &mut Vec<Put>) {
    let Some(mut counter) = joined_counter(edit.row(), 0) else {
        return;
    };
    counter.reset();
    edit.remove(|sibling| matches!(sibling.value, Value::Counter(_)));
    edit.insert(stamp, None, |dot| {
        puts.push((
            dot,
            Content::Counter {
                known: known.clone(),
                reset: known.clone(),
            },
        ));
        Value::Counter(Box::new(counter))
    });
}
