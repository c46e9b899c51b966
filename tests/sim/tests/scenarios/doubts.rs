//! Who believes of an owner that it has no copy finds out when it has one.

use larder_cluster::node::Submitted;
use larder_cluster::request::Reply;
use larder_sim::action::Action;

use crate::support::{Stage, id};

fn read(stage: &mut Stage, at: usize) -> Submitted {
    let (token, request) = stage.request(Action::of("GET {stage}x"));
    let submitted = stage.nodes[at].submit(token, request, stage.now());
    stage.collect(at);
    submitted
}

/// The word of an owner that became ready may be lost, or find a node that was suspected just then.
/// Owners compare clocks anyway; others had no reason to ask again, and refused reads for ever.
#[test]
fn a_node_asks_again_an_owner_that_it_passes_over() {
    let mut stage = Stage::new(2, 1);
    let owner = (0..2)
        .find(|at| stage.partition(*at, |p| p.main.is_some()))
        .expect("one of them owns the key");
    let other = 1 - owner;
    stage.set(owner, "x");
    stage.pump(20);
    stage.partition(other, |p| p.ready.insert(id(owner), false));
    assert_eq!(
        read(&mut stage, other),
        Submitted::Done(Reply::NoReplica),
        "it knows no copy"
    );
    stage.pump(150);
    assert_eq!(
        read(&mut stage, other),
        Submitted::Pending,
        "it asks the owner"
    );
}
