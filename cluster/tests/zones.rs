//! How even shares are, and what joins and departures move, with zones and weights: compared with
//! the least that is possible under them, for every size from 3 to 30 nodes.

#![expect(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::collections::BTreeMap;

use larder_cluster::id::NodeId;
use larder_cluster::layout::{Joiner, Layout};
use larder_cluster::ring::{Ownership, Share};
use larder_cluster::token::{KeyPlace, Partitions};

const REPLICAS: usize = 3;
const NODES: usize = 30;

fn node(number: usize) -> NodeId {
    NodeId(KeyPlace::of(format!("node {number}").as_bytes()).token.0)
}

/// Something to be filled: its weight, and the least and the most that it can hold.
type Vessel = (f64, f64, f64);

/// Fills vessels in proportion to their weights, as far as their bounds let them.
fn fill(vessels: &[Vessel], total: f64) -> Vec<f64> {
    let at = |level: f64| {
        vessels
            .iter()
            .map(move |(w, low, high)| (w * level).clamp(*low, *high))
    };
    let (mut low, mut high) = (0.0, 1e6);
    for _ in 0..100 {
        let level = (low + high) / 2.0;
        if at(level).sum::<f64>() < total {
            low = level;
        } else {
            high = level;
        }
    }
    at(high).collect()
}

/// The most even shares of copies that are possible, in parts of the ring: a zone has one copy of
/// everything if there are no more zones than replicas, and at most one if there are as many; a
/// node has at most one.
fn even_copies(layout: &Layout) -> BTreeMap<NodeId, f64> {
    let mut zones: BTreeMap<&str, Vec<(NodeId, f64)>> = BTreeMap::new();
    for (id, entry) in layout.nodes() {
        let members = zones.entry(&entry.zone).or_default();
        members.push((id, f64::from(entry.weight)));
    }
    let copies = REPLICAS.min(layout.nodes().count()) as f64;
    let others = zones.len() as f64 - 1.0;
    let (low, high) = if others < copies {
        (1.0, copies - others)
    } else {
        (0.0, 1.0)
    };
    let vessels: Vec<Vessel> = zones
        .values()
        .map(|members| {
            let weight = members.iter().map(|(_, weight)| weight).sum();
            (weight, low, high.min(members.len() as f64))
        })
        .collect();
    let mut even = BTreeMap::new();
    for (members, share) in zones.values().zip(fill(&vessels, copies)) {
        let vessels: Vec<Vessel> = members.iter().map(|(_, w)| (*w, 0.0, 1.0)).collect();
        let shares = fill(&vessels, share);
        even.extend(members.iter().map(|(id, _)| *id).zip(shares));
    }
    even
}

/// The heaviest node in relation to its even share: primaries, replicas.
fn heaviest(layout: &Layout, held: &BTreeMap<NodeId, Share>) -> (f64, f64) {
    let all = layout.partitions().count() as f64;
    let even = even_copies(layout);
    let weights: f64 = layout
        .nodes()
        .map(|(_, entry)| f64::from(entry.weight))
        .sum();
    let ratios = layout.nodes().map(|(id, entry)| {
        let primaries = all * f64::from(entry.weight) / weights;
        let replicas = (all * even[&id] - primaries).max(1.0);
        let share = held[&id];
        (
            share.primaries as f64 / primaries.ceil(),
            (share.copies - share.primaries) as f64 / replicas.ceil(),
        )
    });
    ratios.fold((0.0, 0.0), |(p, r), (primaries, replicas)| {
        (primaries.max(p), replicas.max(r))
    })
}

/// Copies that have to be shipped for the change under way.
fn movement(ownership: &Ownership) -> f64 {
    let gained = |p| ownership.owners(p).len() - ownership.current(p).len();
    ownership.partitions().iter().map(gained).sum::<usize>() as f64
}

/// The worst of a history: primaries, replicas, movement in relation to the least possible.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
struct Worst {
    primaries: f64,
    replicas: f64,
    moved: f64,
}

impl Worst {
    const NONE: Self = Self {
        primaries: 0.0,
        replicas: 0.0,
        moved: 0.0,
    };

    fn note(&mut self, (primaries, replicas): (f64, f64), moved: f64) {
        self.primaries = self.primaries.max(primaries);
        self.replicas = self.replicas.max(replicas);
        self.moved = self.moved.max(moved);
    }

    fn assert_within(&self, limit: Self, what: &str) {
        let is_within = self.primaries <= limit.primaries
            && self.replicas <= limit.replicas
            && self.moved <= limit.moved;
        assert!(is_within, "{what}: {self:?}, allowed {limit:?}");
    }
}

const fn limit(primaries: f64, replicas: f64, moved: f64) -> Worst {
    Worst {
        primaries,
        replicas,
        moved,
    }
}

/// Lets thirty nodes join and leave again down to `least` nodes; looks from that size on.
fn live(
    zone: impl Fn(usize) -> usize,
    weight: impl Fn(usize) -> usize,
    least: usize,
) -> [Worst; 2] {
    let mut layout = Layout::new(7, Partitions::DEFAULT, REPLICAS);
    let all = layout.partitions().count() as f64;
    let (mut joins, mut departures) = (Worst::NONE, Worst::NONE);
    for number in 0..NODES {
        let joiner = Joiner {
            node: node(number),
            zone: zone(number).to_string(),
            weight: weight(number) as u32,
            address: String::new(),
        };
        let joining = layout.with_joining(joiner).unwrap();
        let ownership = Ownership::of(&joining);
        if number + 1 >= least {
            let moved = movement(&ownership) / (even_copies(&joining)[&node(number)] * all);
            joins.note(heaviest(&joining, ownership.next_shares()), moved);
        }
        layout = joining.become_up(node(number)).unwrap();
    }
    for step in 0..NODES - least {
        let leaver = node((step * 7 + 3) % NODES);
        let leaving = layout.leave(leaver).unwrap();
        let ownership = Ownership::of(&leaving);
        let moved = movement(&ownership) / ownership.shares()[&leaver].copies as f64;
        layout = leaving.become_left(leaver).unwrap();
        departures.note(heaviest(&layout, ownership.next_shares()), moved);
    }
    [joins, departures]
}

#[test]
fn zones_of_equal_size_are_even_and_changes_move_little() {
    for zones in [1, 2, 3, 5] {
        let [joins, departures] = live(|number| number % zones, |_| 1, 3);
        // With as many zones as replicas a node that takes over from another zone's shifts a copy
        // of a third node.
        let moved = if zones == REPLICAS { 1.09 } else { 1.05 };
        joins.assert_within(limit(1.10, 1.10, moved), &format!("joins, {zones} zones"));
        let what = format!("departures, {zones} zones");
        departures.assert_within(limit(1.10, 1.10, 1.05), &what);
    }
}

/// The zones of the first nodes, again and again; what joins and departures may reach.
const UNEQUAL: &[(&str, Worst, Worst)] = &[
    ("abb", limit(1.10, 1.12, 1.11), limit(1.10, 1.12, 1.05)),
    ("aab", limit(1.10, 1.14, 1.16), limit(1.10, 1.17, 1.05)),
    ("abbccc", limit(1.10, 1.10, 1.16), limit(1.10, 1.14, 1.05)),
    ("abccc", limit(1.10, 1.10, 1.15), limit(1.10, 1.17, 1.05)),
    ("abcdd", limit(1.10, 1.10, 1.07), limit(1.10, 1.14, 1.05)),
    ("aaaab", limit(1.10, 1.10, 1.19), limit(1.10, 1.10, 1.05)),
];

#[test]
fn zones_of_unequal_size_come_near_to_what_is_possible() {
    for (pattern, joins_limit, departures_limit) in UNEQUAL {
        let zone = |number: usize| usize::from(pattern.as_bytes()[number % pattern.len()]);
        let [joins, departures] = live(zone, |_| 1, 3);
        joins.assert_within(*joins_limit, &format!("joins, {pattern}"));
        departures.assert_within(*departures_limit, &format!("departures, {pattern}"));
    }
}

/// Zones, the heaviest weight, what joins and departures may reach. Below ten nodes of so different
/// weights a single list more or less is more than a tenth.
const WEIGHTED: &[(usize, usize, Worst, Worst)] = &[
    (1, 4, limit(1.10, 1.10, 1.05), limit(1.10, 1.10, 1.05)),
    (2, 2, limit(1.10, 1.13, 1.06), limit(1.10, 1.10, 1.05)),
    (2, 4, limit(1.10, 1.13, 1.06), limit(1.10, 1.13, 1.05)),
    (3, 2, limit(1.10, 1.10, 1.10), limit(1.10, 1.10, 1.05)),
    (3, 4, limit(1.10, 1.10, 1.10), limit(1.10, 1.10, 1.05)),
    (5, 4, limit(1.10, 1.10, 1.05), limit(1.10, 1.10, 1.05)),
];

#[test]
fn weights_come_near_to_what_is_possible_with_and_without_zones() {
    for (zones, heaviest, joins_limit, departures_limit) in WEIGHTED {
        let weight = |number: usize| 1 + number / zones % heaviest;
        let [joins, departures] = live(|number| number % zones, weight, 10);
        let what = format!("{zones} zones, weights to {heaviest}");
        joins.assert_within(*joins_limit, &format!("joins, {what}"));
        departures.assert_within(*departures_limit, &format!("departures, {what}"));
    }
}
