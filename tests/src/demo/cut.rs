//! Chapter 2: the network is cut, both sides write and delete, the cut heals.

use serde_json::{Value as Json, json};

use super::data::{Household, items, lines};
use super::redis_cli::{Form, run, says};
use super::walk::{PATIENCE, Walk};
use crate::client::Client;
use crate::failure::{Checked, Failure, ensure, expect};
use crate::value::{parts, text};
use crate::wait::until;

/// The nodes that are cut off, and where each side is talked to.
const CUT_OFF: [usize; 2] = [3, 4];
const MANY: usize = 0;
const FEW: usize = 4;

/// Trips that each side adds.
const TRIPS_OF_MANY: i64 = 8;
const TRIPS_OF_FEW: i64 = 50;

/// What each side writes on the fridge.
const NOTE_OF_MANY: &str = "Back at six.";
const NOTE_OF_FEW: &str = "Back at seven!";

pub(super) fn walk(walk: &Walk<'_>) -> Checked {
    walk.screen
        .chapter(2, "Cut the network in two and write on both sides");
    cut(walk)?;
    let home = pick(walk)?;
    walk.screen.gap();
    walk.screen.say(&format!(
        "Both sides have the list of the family {}:",
        home.family
    ));
    walk.screen.show(&lines(&home.list));
    let story = Story::of(&home.list)?;
    write_many(walk, home, &story)?;
    write_few(walk, home, &story)?;
    compare(walk, home)?;
    heal(walk, home, &story)
}

/// What happens to one list on both sides.
struct Story {
    /// Changed by the many.
    kept: Item,
    /// Removed by the many, changed by the few.
    contested: Item,
    /// Removed by the few.
    dropped: Item,
}

/// An item of the list: what the document calls it, and what people do.
struct Item {
    key: String,
    name: String,
}

impl Story {
    fn of(list: &Json) -> Checked<Self> {
        let item = |(key, item): (String, Json)| {
            let name = item["name"].as_str().unwrap_or(&key).to_owned();
            Item { key, name }
        };
        let mut found = items(list).into_iter().map(item);
        match (found.next(), found.next(), found.next()) {
            (Some(kept), Some(contested), Some(dropped)) => Ok(Self {
                kept,
                contested,
                dropped,
            }),
            _ => Err(Failure::new(format!(
                "a list of three items was wanted, not {list}"
            ))),
        }
    }

    fn by_many(&self, seen: &Json) -> Json {
        let mut list = seen.clone();
        list["items"][&self.kept.key]["qty"] = json!(5);
        remove(&mut list, &self.contested.key);
        list["items"]["coffee"] = json!({"name": "Coffee", "qty": 1});
        list
    }

    fn by_few(&self, seen: &Json) -> Json {
        let mut list = seen.clone();
        list["items"][&self.contested.key]["qty"] = json!(12);
        remove(&mut list, &self.dropped.key);
        list["items"]["chocolate"] = json!({"name": "Chocolate", "qty": 2});
        list
    }

    /// What both sides must come to. Of the contested item the few have changed the quantity: that
    /// stays. Its name nobody has touched since the many removed it.
    fn merged(&self, before: &Json) -> Json {
        let mut list = self.by_many(before);
        list["items"][&self.contested.key] = json!({"qty": 12});
        remove(&mut list, &self.dropped.key);
        list["items"]["chocolate"] = json!({"name": "Chocolate", "qty": 2});
        list
    }
}

fn remove(list: &mut Json, item: &str) {
    if let Some(items) = list["items"].as_object_mut() {
        // Order of items means nothing; what is shown keeps it all the same.
        items.shift_remove(item);
    }
}

fn cut(walk: &Walk<'_>) -> Checked {
    let (n4, n5) = (walk.name(CUT_OFF[0]), walk.name(CUT_OFF[1]));
    walk.screen.say(&format!(
        "Six links lead from {n4} and {n5} to the other three nodes. DEBUG LINK cuts them:"
    ));
    let id = walk.cluster.node(CUT_OFF[0]).short_id();
    says(walk, MANY, &["DEBUG", "LINK", id, "cut"], "OK")?;
    walk.step("all six links cut, at both ends", || {
        walk.cluster.cut(&CUT_OFF)
    })
}

/// A household of which the cut-off side has a replica, with a list that is short enough to show.
fn pick<'a>(walk: &'a Walk<'_>) -> Checked<&'a Household> {
    until(
        "both sides have a replica of some short list",
        PATIENCE,
        || {
            let mut last = Failure::new("there are no short lists");
            for home in walk.households.iter().filter(|home| home.is_short()) {
                let both = [MANY, FEW].into_iter().try_for_each(|side| {
                    let mut client = walk.cluster.client(side)?;
                    expect(
                        "the list",
                        &read_list(&mut client, &home.key("list"))?.0,
                        &home.list,
                    )
                });
                match both {
                    Ok(()) => return Ok(home),
                    Err(failure) => last = failure,
                }
            }
            Err(last)
        },
    )
}

/// The JSON of a list and its context.
pub(super) fn read_list(client: &mut Client, key: &str) -> Checked<(Json, String)> {
    let reply = client.run(&["LGET", key])?;
    match parts(&reply).as_slice() {
        [list, context] => Ok((serde_json::from_str(&text(list))?, text(context))),
        _ => Err(Failure::new(format!("LGET {key}: {}", text(&reply)))),
    }
}

fn write_many(walk: &Walk<'_>, home: &Household, story: &Story) -> Checked {
    let [n1, n2, n3] = [0, 1, 2].map(|node| walk.name(node));
    walk.screen.say(&format!(
        "On the side of {n1}, {n2} and {n3}: a new note, {TRIPS_OF_MANY} more trips, and the \
         coupon is used up. On the list, {} becomes 5, {} is struck off, coffee is new.",
        story.kept.name, story.contested.name
    ));
    says(walk, MANY, &["SET", &home.key("note"), NOTE_OF_MANY], "OK")?;
    let trips = format!("(integer) {}", home.trips + TRIPS_OF_MANY);
    says(
        walk,
        MANY,
        &["INCRBY", &home.key("trips"), &TRIPS_OF_MANY.to_string()],
        &trips,
    )?;
    says(walk, MANY, &["DEL", &home.key("coupon")], "(integer) 1")?;
    edit(walk, MANY, home, |list| story.by_many(list))
}

fn write_few(walk: &Walk<'_>, home: &Household, story: &Story) -> Checked {
    let [n4, n5] = CUT_OFF.map(|node| walk.name(node));
    walk.screen.say(&format!(
        "On the side of {n4} and {n5}, which knows nothing of that: another note, \
         {TRIPS_OF_FEW} more trips. On the list, {} becomes 12, {} is struck off, chocolate is \
         new.",
        story.contested.name, story.dropped.name
    ));
    let trips = format!("(integer) {}", home.trips + TRIPS_OF_FEW);
    says(
        walk,
        FEW,
        &["INCRBY", &home.key("trips"), &TRIPS_OF_FEW.to_string()],
        &trips,
    )?;
    edit(walk, FEW, home, |list| story.by_few(list))?;
    says(walk, FEW, &["SET", &home.key("note"), NOTE_OF_FEW], "OK")
}

/// Reads the list, changes its JSON, and writes it back with the context that came with it: all
/// that a client has to know.
fn edit(
    walk: &Walk<'_>,
    side: usize,
    home: &Household,
    change: impl FnOnce(&Json) -> Json,
) -> Checked {
    let key = home.key("list");
    let reply = run(walk, side, Form::Raw, &["LGET", &key])?;
    let (Some(list), Some(context)) = (reply.lines().next(), reply.lines().nth(1)) else {
        return Err(Failure::new(format!("LGET {key}: {reply}")));
    };
    let changed = change(&serde_json::from_str(list)?).to_string();
    let reply = run(walk, side, Form::Raw, &["LPUT", &key, context, &changed])?;
    ensure(!reply.is_empty() && !reply.contains(' '), || {
        format!("LPUT {key}: {reply}")
    })?;
    walk.screen.gap();
    Ok(())
}

fn compare(walk: &Walk<'_>, home: &Household) -> Checked {
    walk.screen.say("Each side has its own truth now:");
    let trips = home.key("trips");
    for (side, added) in [(MANY, TRIPS_OF_MANY), (FEW, TRIPS_OF_FEW)] {
        says(
            walk,
            side,
            &["GET", &trips],
            &format!("\"{}\"", home.trips + added),
        )?;
    }
    walk.screen.gap();
    Ok(())
}

fn heal(walk: &Walk<'_>, home: &Household, story: &Story) -> Checked {
    walk.screen.say("Heal the links, and look again:");
    let id = walk.cluster.node(CUT_OFF[0]).short_id();
    says(walk, MANY, &["DEBUG", "LINK", id, "heal"], "OK")?;
    walk.cluster.heal(&CUT_OFF)?;
    walk.step("all five nodes agree again", || {
        until("every node has what both sides wrote", PATIENCE, || {
            walk.cluster.running().try_for_each(|node| {
                is_merged(&mut node.client()?, home, story)
                    .map_err(|failure| failure.during(node.name()))
            })
        })
    })?;
    walk.screen.gap();
    let trips = home.trips + TRIPS_OF_MANY + TRIPS_OF_FEW;
    says(
        walk,
        1,
        &["GET", &home.key("trips")],
        &format!("\"{trips}\""),
    )?;
    says(
        walk,
        2,
        &["GET", &home.key("note")],
        &format!("\"{NOTE_OF_FEW}\""),
    )?;
    says(walk, 3, &["EXISTS", &home.key("coupon")], "(integer) 0")?;
    run(walk, 4, Form::Raw, &["LGET", &home.key("list")])?;
    walk.screen.gap();
    walk.screen.show(&lines(&story.merged(&home.list)));
    walk.screen.say(&format!(
        "The trips of both sides add up to {trips}; of two notes the later shows; the coupon stays \
         deleted. The list has all that either side wrote. {} stays, because somebody wanted more \
         of it while it was struck off; {} is gone for good.",
        story.contested.name, story.dropped.name
    ));
    Ok(())
}

fn is_merged(client: &mut Client, home: &Household, story: &Story) -> Checked {
    let trips = home.trips + TRIPS_OF_MANY + TRIPS_OF_FEW;
    client.says(&format!("GET {}", home.key("trips")), &trips.to_string())?;
    client.says(&format!("GET {}", home.key("note")), NOTE_OF_FEW)?;
    client.says(&format!("EXISTS {}", home.key("coupon")), ":0")?;
    let (list, _) = read_list(client, &home.key("list"))?;
    expect("the list", &list, &story.merged(&home.list))
}
