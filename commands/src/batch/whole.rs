//! Commands that speak for all keys, where all of them are locked: SCAN, KEYS, DBSIZE, RANDOMKEY,
//! FLUSHDB and FLUSHALL inside MULTI.

use larder_cluster::id::PartitionId;
use larder_cluster::limits::DATABASES_MAX;
use larder_cluster::request::Request;
use larder_cluster::token::{KeyPlace, Partitions};
use larder_cluster::transaction::Transaction;
use larder_crdt::context::ContextKey;

use crate::args::Args;
use crate::error::CommandError;
use crate::internal::{self, walk};
use crate::limits::BATCH_FLUSH_KEYS_MAX;
use crate::plan::Plan;
use crate::reply::Reply;
use crate::scan::Scan;

/// Runs a command that speaks for all keys. `transaction` must hold all partitions.
pub(super) fn run(
    plan: &Plan,
    args: Args<'_>,
    database: u8,
    contexts: &ContextKey,
    transaction: &mut Transaction<'_, '_>,
    reply: &mut Reply,
) -> Result<(), CommandError> {
    let mut whole = Whole {
        database,
        contexts,
        transaction,
    };
    match plan.command.name {
        "scan" | "keys" => whole.scan(args, reply),
        "dbsize" => {
            let keys = whole.size(database)?;
            reply.integer(i64::try_from(keys).unwrap_or(i64::MAX));
            Ok(())
        }
        "randomkey" => whole.random_key(reply),
        "flushdb" => whole.flush(args, Some(database), reply),
        "flushall" => whole.flush(args, None, reply),
        _ => Err(CommandError::NotInTransaction),
    }
}

struct Whole<'c, 'a, 'b> {
    database: u8,
    contexts: &'c ContextKey,
    transaction: &'c mut Transaction<'a, 'b>,
}

impl Whole<'_, '_, '_> {
    /// Runs a step that the same command is made of outside of a transaction.
    fn step(&mut self, request: &Request) -> Result<Vec<u8>, CommandError> {
        internal::run(self.transaction, request, self.contexts)
    }

    fn partitions(&self) -> Partitions {
        self.transaction.env().view.layout.partitions()
    }

    fn scan(&mut self, args: Args<'_>, reply: &mut Reply) -> Result<(), CommandError> {
        let mut scan = Scan::parse(args)?;
        let partitions = self.partitions();
        while !scan.is_over() {
            let first = scan.partition(partitions);
            let rest: Vec<PartitionId> = partitions.iter().filter(|id| *id >= first).collect();
            let page = self.step(&scan.request(self.database, &rest))?;
            scan.take(&page)?;
        }
        scan.write_to(reply);
        Ok(())
    }

    fn size(&mut self, database: u8) -> Result<u64, CommandError> {
        let all: Vec<PartitionId> = self.partitions().iter().collect();
        walk::counted(&self.step(&walk::count_request(database, &all))?)
    }

    /// Here nothing is random but the moment.
    fn random_key(&mut self, reply: &mut Reply) -> Result<(), CommandError> {
        let now = self.transaction.env().now;
        let moment = [now.unix_ms.to_be_bytes(), now.monotonic_ms.to_be_bytes()].concat();
        let place = KeyPlace::of(&moment);
        let mut all: Vec<PartitionId> = self.partitions().iter().collect();
        let begin = place.partition(self.partitions()).index();
        all.rotate_left(begin);
        for partition in all {
            let picked = self.step(&walk::pick_request(
                self.database,
                partition,
                place.key_hash,
            ))?;
            if let Some(key) = walk::picked(&picked)? {
                reply.bulk(&key);
                return Ok(());
            }
        }
        reply.null();
        Ok(())
    }

    fn flush(
        &mut self,
        args: Args<'_>,
        database: Option<u8>,
        reply: &mut Reply,
    ) -> Result<(), CommandError> {
        walk::check_flush(args)?;
        let databases = 0..u8::try_from(DATABASES_MAX).unwrap_or(u8::MAX);
        let mut keys = 0;
        for meant in databases.filter(|own| database.is_none_or(|database| database == *own)) {
            keys += self.size(meant)?;
        }
        if keys > BATCH_FLUSH_KEYS_MAX {
            return Err(CommandError::FlushInTransaction(BATCH_FLUSH_KEYS_MAX));
        }
        for partition in self.partitions().iter() {
            let mut after = None;
            loop {
                let request = walk::flush_request(database, partition, after.as_ref());
                after = walk::flushed(&self.step(&request)?)?;
                if after.is_none() {
                    break;
                }
            }
        }
        reply.ok();
        Ok(())
    }
}
