//! Chapter 1: any node takes writes, any other has them.

use super::data::lines;
use super::redis_cli::{Form, run, says};
use super::ring::Ring;
use super::walk::Walk;
use crate::failure::{Checked, ensure};
use crate::value::text;

/// What a household gets from its shop: something to delete later.
pub(super) const COUPON: &str = "2 for 1 on Friday";

pub(super) fn walk(walk: &Walk<'_>) -> Checked {
    load(walk)?;
    show_ring(walk)?;
    walk.screen
        .chapter(1, "Write through any node, read through any other");
    says(walk, 0, &["SET", "greeting", "hello from n1"], "OK")?;
    says(walk, 3, &["GET", "greeting"], "\"hello from n1\"")?;
    says(walk, 1, &["INCRBY", "visitors", "40"], "(integer) 40")?;
    says(walk, 4, &["INCRBY", "visitors", "2"], "(integer) 42")?;
    walk.screen.gap();
    let home = &walk.households[0];
    walk.screen.say(
        "A shopping list is a JSON document. What reads it gets a context too: an opaque text that \
         says what the reader has seen. More about that in a moment.",
    );
    let key = home.key("list");
    let reply = run(walk, 2, Form::Raw, &["LGET", &key, "PATH", "/items/leite"])?;
    let milk = reply.lines().next().unwrap_or_default();
    ensure(milk.contains("Leite meio gordo"), || {
        format!("expected milk, saw {milk}")
    })?;
    walk.screen.gap();
    walk.screen.show(&lines(&home.list));
    walk.step(
        "every list reads the same through each of the five nodes",
        || read_all(walk),
    )
}

fn load(walk: &Walk<'_>) -> Checked {
    let count = walk.households.len();
    walk.step(
        &format!("{count} households loaded, each through another node"),
        || {
            for (index, home) in walk.households.iter().enumerate() {
                let mut client = walk.cluster.client(index % walk.cluster.nodes.len())?;
                let (list, trips) = (home.list.to_string(), home.trips.to_string());
                let reply = client.run(&["LPUT", &home.key("list"), "", &list])?;
                let context = text(&reply);
                ensure(!context.starts_with('-'), || format!("LPUT: {context}"))?;
                for (kind, value) in [
                    ("trips", trips.as_str()),
                    ("note", &home.note),
                    ("coupon", COUPON),
                ] {
                    let reply = text(&client.run(&["SET", &home.key(kind), value])?);
                    ensure(reply == "+OK", || format!("SET {kind}: {reply}"))?;
                }
            }
            Ok(())
        },
    )
}

fn read_all(walk: &Walk<'_>) -> Checked {
    for node in walk.cluster.running() {
        let mut client = node.client()?;
        for home in &walk.households {
            let seen = super::cut::read_list(&mut client, &home.key("list"))?.0;
            ensure(seen == home.list, || {
                format!(
                    "{} reads {} as {seen}, not as {}",
                    node.name(),
                    home.family,
                    home.list
                )
            })?;
        }
    }
    Ok(())
}

fn show_ring(walk: &Walk<'_>) -> Checked {
    let ring = Ring::read(&mut walk.cluster.client(0)?, &walk.cluster)?;
    walk.screen.gap();
    walk.screen.say(&format!(
        "The ring: {} partitions by the MD5 of the key, each on three nodes. Who comes first, \
         and how much each node has:",
        ring.partitions()
    ));
    walk.screen
        .show(&ring.picture(|node, text| walk.screen.node(node, text)));
    Ok(())
}
