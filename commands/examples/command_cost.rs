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

fn report(what: &str, mut run: impl FnMut(u32)) {
    (0..ROUNDS / 10).for_each(&mut run);
    let began = Instant::now();
    (0..ROUNDS).for_each(&mut run);
    let nanoseconds = began.elapsed().as_nanos() / u128::from(ROUNDS);
    eprintln!("{what:24}{nanoseconds:6} ns");
}

fn main() {
    let id = NodeId(1 << 100);
    let joiner = Joiner { node: id, zone: String::new(), weight: 1, address: String::new() };
    let layout = Layout::new(1, Partitions::DEFAULT, 1);
    let layout = layout.with_joining(joiner).and_then(|layout| layout.become_up(id));
    let state = NodeState { id, layout: layout.expect("the first node") };
    let commands = Commands::new(ContextKey::from_secret(b"secret"));
    let now = Now { monotonic_ms: 1_000, unix_ms: 1_700_000_000_000 };
    let store = Arc::new(MemoryStore::new());
    let run = Arc::new(commands.clone());
    let settings = Settings::default();
    let node = Node::open(store.clone(), run, settings.clone(), Some(state), 7 << 64, now);
    let node = node.expect("an empty disk");
    for step in 0..10 {
        let later = Now { monotonic_ms: 1_000 * (step + 2), ..now };
        node.poll(later).and_then(|_| node.commit().map(|_| ())).expect("memory does not fail");
    }
    let requests = |words: &[&str]| -> Vec<OwnedArgs> {
        let line = |at: u32| {
            let key = format!("key:{at:012}");
            let words = words.iter().map(|word| if *word == "k" { &key } else { *word });
            let words: Vec<&[u8]> = words.map(str::as_bytes).collect();
            OwnedArgs::new(&words)
        };
        (0..KEYS).map(line).collect()
    };
    let (gets, sets) = (requests(&["GET", "k"]), requests(&["SET", "k", "abc"]));
    let increments = requests(&["INCR", "k"]);
    let at = |list: &[OwnedArgs], round: u32| list[(round % KEYS) as usize].clone();
    report("MD5 of a key", |round| {
        black_box(KeyPlace::of(black_box(gets[(round % KEYS) as usize].as_args().at(1))));
    });
    for (name, list) in [("GET", &gets), ("SET", &sets), ("INCR", &increments)] {
        report(&format!("plan of {name}"), |round| {
            let args = list[(round % KEYS) as usize].as_args();
            black_box(plan(black_box(args), Partitions::DEFAULT)).ok();
        });
    }
    let env = Env {
        store: &*store,
        settings: &settings,
        view: node.view(),
        node: id,
        run: 7 << 64,
        now,
    };
    let mut out = Output::default();
    let mut reply = Reply::new(Protocol::Resp2);
    let lists = [("SET new", &sets), ("SET", &sets), ("GET", &gets), ("INCR", &increments)];
    for (name, list) in lists {
        report(&format!("plan and run {name}"), |round| {
            let owned = at(list, round);
            let args = owned.as_args();
            let plan = plan(args, Partitions::DEFAULT).expect("a command");
            let call = LocalCall {
                partitions: &plan.partitions,
                access: plan.access(),
                grouped: plan.is_grouped(),
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
