//! Nodes that join at the same moment choose their tokens one after the other all the same.

use larder_cluster::layout::State;
use larder_cluster::ring::Ownership;

use crate::support::{Stage, id, joiner};

/// Each of four nodes had chosen half of what the first one held: one kept half, another nothing.
#[test]
fn nodes_that_join_at_the_same_moment_are_up_with_even_shares() {
    let mut stage = Stage::new(1, 3);
    let value = stage.set(0, "x");
    let base = stage.nodes[0].view().layout.clone();
    for number in 1..5 {
        let joining = base.with_joining(joiner(number)).expect("it is new");
        assert_eq!(stage.add_apart(joining), number);
    }
    for at in 0..5 {
        (0..at).for_each(|other| stage.link(at, other));
    }
    stage.pump(100);
    let layout = stage.nodes[0].view().layout.clone();
    assert!(layout.nodes().all(|(_, entry)| entry.state == State::Up));
    let ownership = Ownership::of(&layout);
    let leads = |at: usize| ownership.shares().get(&id(at)).map(|share| share.primaries);
    let leads: Vec<usize> = (0..5).filter_map(leads).collect();
    assert_eq!(leads.len(), 5);
    // Of sixteen partitions.
    assert!(leads.iter().all(|led| (3..=4).contains(led)), "{leads:?}");
    let holders = (0..5).filter(|at| stage.partition(*at, |p| p.main.is_some()));
    let holders: Vec<usize> = holders.collect();
    assert_eq!(holders.len(), 3, "who chose otherwise has handed over");
    for at in holders {
        assert_eq!(stage.values(at, "x"), [value.as_str()]);
    }
}
