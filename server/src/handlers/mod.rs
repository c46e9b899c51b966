//! The commands that are about a connection, a node or the cluster rather than about rows, and the
//! spreading of commands whose keys live on several nodes.
//!
//! What a command is like stands in its row of the table of commands; here is who runs it, by the
//! row's name. A quick handler answers at once, among the other requests of its batch. A slow one
//! runs alone: everything before it is answered first, and it may wait for the disk, for other
//! nodes or for time to pass.

mod across;
mod arrival;
mod client;
mod client_kill;
mod cluster;
mod config;
mod conflicts;
mod connection;
mod counts;
mod debug;
mod help;
mod info;
mod keyspace;
mod lag;
mod latency;
mod membership;
mod numbers;
mod process;
mod ring;
mod scan;
mod server;
mod slots;
mod slow;
mod spread;
mod transaction;
mod wait;
mod watch;

use std::future::Future;
use std::pin::Pin;
use std::sync::LazyLock;

use larder_commands::args::{Args, OwnedArgs};
use larder_commands::error::CommandError;
use larder_commands::introspect;
use larder_commands::plan::Plan;
use larder_commands::table;

pub(crate) use spread::spread;

use crate::client::{Batch, Connection, Step};

/// What became of a command.
type Outcome = Result<Step, CommandError>;

/// Answers at once, by writing to the connection's replies.
pub(crate) type Quick = fn(&mut Connection, Args<'_>) -> Outcome;

/// What a slow handler is while it works.
type Answering<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Answers when it is done.
type Slow = for<'a> fn(&'a mut Connection, Args<'a>) -> Answering<'a>;

/// Answers at once, with the rows of this node, or says that it cannot.
type Here = fn(&mut Connection, Args<'_>, &mut Batch<'_>) -> Outcome;

/// Who runs a command.
#[derive(Clone, Copy)]
enum Handler {
    Quick(Quick),
    Slow(Slow),
    /// At once if this node leads all keys, else alone.
    Either(Here, Slow),
}

use Handler::{Either as E, Quick as Q, Slow as S};

/// The handlers, by the names of their rows.
static HANDLERS: &[(&str, Handler)] = &[
    ("auth", Q(connection::auth)),
    ("echo", Q(connection::echo_back)),
    ("hello", Q(connection::hello)),
    ("ping", Q(connection::ping)),
    ("quit", Q(connection::quit)),
    ("reset", Q(connection::reset)),
    ("select", Q(connection::select)),
    ("readonly", Q(server::fine)),
    ("readwrite", Q(server::fine)),
    ("wait", S(wait::wait)),
    ("waitaof", S(wait::wait_log)),
    //
    ("discard", Q(transaction::discard)),
    ("exec", E(transaction::exec_here, transaction::exec_away)),
    ("multi", Q(transaction::multi)),
    ("unwatch", Q(transaction::unwatch)),
    ("watch", E(transaction::watch_here, transaction::watch_away)),
    //
    ("client|caching", Q(client::caching)),
    ("client|getname", Q(client::name)),
    ("client|getredir", Q(client::redirection)),
    ("client|id", Q(client::id)),
    ("client|info", Q(client::info)),
    ("client|kill", Q(client_kill::kill)),
    ("client|list", Q(client::list)),
    ("client|no-evict", Q(client::no_evict)),
    ("client|no-touch", Q(client::no_touch)),
    ("client|pause", Q(client::pause)),
    ("client|reply", Q(client::reply)),
    ("client|setinfo", Q(client::set_info)),
    ("client|setname", Q(client::set_name)),
    ("client|tracking", Q(client::tracking)),
    ("client|trackinginfo", Q(client::tracking_info)),
    ("client|unblock", Q(client::unblock)),
    ("client|unpause", Q(client::unpause)),
    //
    //
    ("config|get", Q(config::get)),
    ("config|resetstat", Q(config::reset_statistics)),
    ("config|rewrite", Q(config::rewrite)),
    ("config|set", Q(config::set)),
    //
    ("bgrewriteaof", Q(server::rewrite_log)),
    ("bgsave", Q(server::background_save)),
    ("debug", S(debug::debug)),
    ("info", Q(info::info)),
    ("lastsave", Q(server::last_save)),
    ("latency|doctor", Q(latency::doctor)),
    ("latency|graph", Q(latency::graph)),
    ("latency|histogram", Q(latency::histogram)),
    ("latency|history", Q(latency::history)),
    ("latency|latest", Q(latency::latest)),
    ("latency|reset", Q(latency::reset)),
    ("lolwut", Q(server::lolwut)),
    ("memory|doctor", Q(server::memory_doctor)),
    ("memory|malloc-stats", Q(server::memory_allocator)),
    ("memory|purge", Q(server::memory_purge)),
    ("memory|stats", Q(server::memory_stats)),
    ("module|list", Q(server::modules)),
    ("role", Q(server::role)),
    ("save", S(server::save)),
    ("shutdown", Q(server::shutdown)),
    ("slowlog|get", Q(slow::get)),
    ("slowlog|len", Q(slow::len)),
    ("slowlog|reset", Q(slow::reset)),
    ("time", Q(server::time)),
    ("lconflicts", S(conflicts::conflicts)),
    ("lunwatch", Q(watch::unwatch)),
    ("lwatch", S(watch::watch)),
    //
    ("dbsize", S(keyspace::size)),
    ("flushall", S(keyspace::flush_all)),
    ("flushdb", S(keyspace::flush_database)),
    ("keys", S(scan::scan)),
    ("randomkey", S(keyspace::random_key)),
    ("scan", S(scan::scan)),
    ("swapdb", Q(keyspace::swap)),
    //
    ("cluster|countkeysinslot", Q(slots::count_keys)),
    ("cluster|count-failure-reports", Q(cluster::failure_reports)),
    ("cluster|forget", Q(membership::forget)),
    ("cluster|getkeysinslot", Q(slots::keys)),
    ("cluster|info", Q(cluster::info)),
    ("cluster|join", S(arrival::join)),
    ("cluster|keyslot", Q(slots::of_key)),
    ("cluster|lag", Q(ring::lag)),
    ("cluster|leave", Q(membership::leave)),
    ("cluster|links", Q(cluster::links)),
    ("cluster|meet", S(arrival::meet)),
    ("cluster|myid", Q(cluster::my_id)),
    ("cluster|myshardid", Q(cluster::my_id)),
    ("cluster|nodes", Q(cluster::nodes)),
    ("cluster|peers", Q(ring::peers)),
    ("cluster|replace", Q(membership::replace)),
    ("cluster|reset", Q(membership::reset)),
    ("cluster|ring", Q(ring::ring)),
    ("cluster|shards", Q(cluster::shards)),
    ("cluster|slots", Q(cluster::slots)),
];

/// The handlers by the numbers of their rows.
static BY_NUMBER: LazyLock<Box<[Option<Handler>]>> = LazyLock::new(|| {
    let handler = |name: &str| HANDLERS.iter().find(|(own, _)| *own == name);
    table::rows()
        .map(|found| handler(found.command.name).map(|(_, handler)| *handler))
        .collect()
});

fn handler(number: usize) -> Option<Handler> {
    BY_NUMBER.get(number).copied().flatten()
}

/// Runs a command that may be over at once; [`Step::Alone`] if it is not.
pub(crate) fn quick(
    connection: &mut Connection,
    args: Args<'_>,
    number: usize,
    batch: &mut Batch<'_>,
) -> Outcome {
    match handler(number) {
        Some(Q(quick)) => quick(connection, args),
        Some(E(here, _)) => here(connection, args, batch),
        Some(S(_)) | None => Ok(Step::Alone),
    }
}

/// Whether a command may take its time.
fn is_slow(number: usize) -> bool {
    matches!(handler(number), Some(S(_) | E(..)))
}

/// Runs a command that takes its time.
pub(crate) async fn alone(connection: &mut Connection, args: &OwnedArgs, plan: &Plan) -> Outcome {
    match handler(plan.number) {
        Some(S(slow) | E(_, slow)) => slow(connection, args.as_args()).await,
        Some(Q(_)) | None => at_once(connection, args, plan),
    }
}

/// Runs a command that does not.
fn at_once(connection: &mut Connection, args: &OwnedArgs, plan: &Plan) -> Outcome {
    match handler(plan.number) {
        Some(Q(quick)) => quick(connection, args.as_args()),
        // What the table itself can tell: COMMAND and HELP.
        _ if introspect::answer(plan, args.as_args(), &mut connection.reply) => Ok(Step::Done),
        // Keys of several nodes in a command that cannot be split.
        _ if !plan.partitions.is_empty() => Err(CommandError::CrossSlot),
        // A container of subcommands that came without one.
        _ => Err(CommandError::WrongArity(plan.command.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_commands::table::Scope;

    #[test]
    fn every_row_that_is_the_servers_has_a_handler() {
        for found in table::rows() {
            let command = found.command;
            let is_keyed = matches!(command.scope, Scope::Keys(_));
            let is_container = !command.subcommands.is_empty();
            let is_of_table =
                command.name.starts_with("command") || command.name.ends_with("|help");
            assert_eq!(
                handler(found.number).is_some(),
                !is_keyed && !is_container && !is_of_table,
                "{}",
                command.name
            );
        }
    }

    #[test]
    fn names_are_in_the_table_once() {
        for (at, (name, _)) in HANDLERS.iter().enumerate() {
            assert!(
                !HANDLERS.iter().skip(at + 1).any(|(other, _)| other == name),
                "{name}"
            );
            assert!(
                table::find_full(name.as_bytes()).is_some(),
                "{name} has no row"
            );
        }
    }
}
