//! What a plan and a handler cost, in nanoseconds: `cargo run --release --example command_cost`.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "it measures time and shows it"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use larder_cluster::env::{Env, Now, Settings};
use larder_cluster::id::NodeId;
use larder_cluster::layout::{Joiner, Layout};
use larder_cluster::memory_store::MemoryStore;
use larder_cluster::node::{LocalCall, Node, NodeState};
use larder_cluster::partition::Output;
use larder_cluster::token::{KeyPlace, Partitions};
use larder_commands::Commands;
use larder_commands::args::OwnedArgs;
use larder_commands::plan::plan;
use larder_commands::reply::{Protocol, Reply};
use larder_crdt::context::ContextKey;

const ROUNDS: u32 = 1_000_000;
const KEYS: u32 = 10_000;
const RUN: u128 = 7 << 64;

fn report(what: &str, mut run: impl FnMut(u32)) {
    (0..ROUNDS / 10).for_each(&mut run);
    let began = Instant::now();
    (0..ROUNDS).for_each(&mut run);
    let nanoseconds = began.elapsed().as_nanos() / u128::from(ROUNDS);
    eprintln!("{what:24}{nanoseconds:6} ns");
}

fn open(store: &Arc<MemoryStore>, commands: &Commands, now: Now) -> Node {
    let id = NodeId(1 << 100);
    let (zone, address) = (String::new(), String::new());
    let joiner = Joiner {
        node: id,
        zone,
        weight: 1,
        address,
    };
    let layout = Layout::new(1, Partitions::DEFAULT, 1).with_joining(joiner);
    let layout = layout
        .and_then(|layout| layout.become_up(id))
        .expect("the first node");
    let state = Some(NodeState { id, layout });
    let (run, settings) = (Arc::new(commands.clone()), Settings::default());
    let node = Node::open(store.clone(), run, settings, state, RUN, now).expect("an empty disk");
    for round in 2..12 {
        let monotonic_ms = 1_000 * round;
        node.poll(Now {
            monotonic_ms,
            ..now
        })
        .expect("memory does not fail");
        node.commit().expect("memory does not fail");
    }
    node
}

/// One request per key; `k` stands for the key.
fn requests(words: &[&str]) -> Vec<OwnedArgs> {
    let line = |at: u32| {
        let key = format!("key:{at:012}");
        let words = words
            .iter()
            .map(|word| if *word == "k" { &key } else { *word });
        let words: Vec<&[u8]> = words.map(str::as_bytes).collect();
        OwnedArgs::new(&words)
    };
    (0..KEYS).map(line).collect()
}

fn main() {
    let gets = requests(&["GET", "k"]);
    let sets = requests(&["SET", "k", "abc"]);
    let increments = requests(&["INCR", "k"]);
    let at = |round: u32| (round % KEYS) as usize;
    report("MD5 of a key", |round| {
        black_box(KeyPlace::of(black_box(gets[at(round)].as_args().at(1))));
    });
    for (name, list) in [("GET", &gets), ("SET", &sets), ("INCR", &increments)] {
        report(&format!("plan of {name}"), |round| {
            black_box(plan(
                black_box(list[at(round)].as_args()),
                Partitions::DEFAULT,
            ))
            .ok();
        });
    }
    let commands = Commands::new(ContextKey::from_secret(b"secret"));
    let store = Arc::new(MemoryStore::new());
    let now = Now {
        monotonic_ms: 1_000,
        unix_ms: 1_700_000_000_000,
    };
    let node = open(&store, &commands, now);
    let (settings, view) = (Settings::default(), node.view());
    let env = Env {
        store: &*store,
        settings: &settings,
        view,
        node: node.id(),
        run: RUN,
        now,
        journal: node.journal(),
        draws: node.draws(),
    };
    let mut out = Output::default();
    let mut reply = Reply::new(Protocol::Resp2);
    let lists = [
        ("SET new", &sets),
        ("SET", &sets),
        ("GET", &gets),
        ("INCR", &increments),
    ];
    for (name, list) in lists {
        report(&format!("plan and run {name}"), |round| {
            let args = list[at(round)].as_args();
            let plan = plan(args, Partitions::DEFAULT).expect("a command");
            let (access, grouped) = (plan.access(), plan.is_grouped());
            let call = LocalCall {
                partitions: &plan.partitions,
                access,
                grouped,
            };
            reply.clear();
            node.run_local(&env, &mut out, &call, |transaction| {
                commands.run(&plan, args, 0, false, transaction, &mut reply);
            })
            .expect("the partition is here");
            if round % 64 == 0 {
                node.commit().expect("memory does not fail");
            }
        });
    }
}
