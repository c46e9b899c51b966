//! How many partitions travel as a whole at a time, and how fast.

mod support;

use larder_cluster::message::Message;
use larder_cluster::node::Node;
use support::Stage;

fn staged(node: &Node) -> usize {
    let partitions = node.view().layout.partitions();
    let staged = partitions
        .iter()
        .filter(|partition| node.with_partition(*partition, |p| p.staged.is_some()) == Some(true));
    staged.count()
}

fn has_all(stage: &Stage, node: usize) -> bool {
    let node = &stage.nodes[node];
    let partitions = node.view().layout.partitions();
    partitions
        .iter()
        .all(|partition| node.with_partition(partition, |p| p.has_main()) == Some(true))
}

#[test]
fn a_node_fetches_as_many_partitions_at_a_time_as_its_setting_says() {
    for bootstrap_partitions in [1, 3] {
        let mut stage = Stage::new(1, 3);
        stage.settings.bootstrap_partitions = bootstrap_partitions;
        let newcomer = stage.add_joining();
        let mut most = 0;
        for _ in 0..40 {
            stage.pump(1);
            stage.now_ms += 10;
            stage.poll(newcomer);
            most = most.max(staged(&stage.nodes[newcomer]));
        }
        assert_eq!(most, bootstrap_partitions);
        assert!(has_all(&stage, newcomer));
    }
}

/// Bytes are counted by the rows that have left; a slow source is waited for.
#[test]
fn a_node_hands_over_as_many_bytes_a_second_as_its_setting_says() {
    const ROWS: usize = 100;
    let mut stage = Stage::new(1, 3);
    for number in 0..ROWS {
        stage.set(0, &format!("k{number}"));
    }
    let mut settings = (*stage.nodes[0].settings()).clone();
    // A row takes some hundred bytes.
    settings.handoff_rate = 1_000;
    settings.transfer_rows_max = 1;
    stage.nodes[0].set_settings(settings);
    let newcomer = stage.add_joining();
    let mut sent = 0;
    let mut after_a_second = 0;
    let began_ms = stage.now_ms;
    while !has_all(&stage, newcomer) {
        stage.now_ms += 10;
        for node in 0..2 {
            stage.poll(node);
            stage.sync(node);
        }
        for (.., message) in &stage.mail {
            if let Message::Range(_, range) = message {
                sent += range.rows.len();
            }
        }
        let letters = stage.take(|_, _, _| true);
        for (from, to, message) in letters {
            stage.hand_over(from, to, message);
        }
        if stage.now_ms < began_ms + 1_000 {
            after_a_second = sent;
        }
        assert!(stage.now_ms < began_ms + 120_000, "it never ends");
    }
    assert!((1..ROWS / 2).contains(&after_a_second), "{after_a_second}");
    assert_eq!(sent, ROWS);
    let begun = stage.nodes[newcomer].counts().transfers_begun;
    assert_eq!(begun, 16, "none was given up");
}
