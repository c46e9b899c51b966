//! Searches for places within a circle or a box.

use larder_cluster::transaction::{Place, Transaction};

use crate::args::Args;
use crate::call::Call;
use crate::error::{CommandError, echo};
use crate::numbers;
use crate::reply::Reply;
use crate::sorted_set::{self, FAMILY, Scores, Walk};
use crate::table::Flag::{DenyOom, MovableKeys, ReadOnly, Write};
use crate::table::{Command, KeySpec, Scope};

use super::hash::{self, Area, Cell, Point};
use super::points::position;
use super::{GEO, distance_text, unit, write_point};

pub(crate) const ROWS: &[Command] = &[
    Command {
        name: "geosearch",
        arity: -7,
        usage: "key:key <FROMMEMBER member | FROMLONLAT (longitude:double latitude:double)> \
                  <BYRADIUS (radius:double <M | KM | FT | MI>) | BYBOX (width:double \
                  height:double <M | KM | FT | MI>)> [ASC | DESC] [COUNT count:integer [ANY]] \
                  [WITHCOORD] [WITHDIST] [WITHHASH]",
        summary: "Queries a geospatial index for members inside an area of a box or a circle.",
        since: "6.2.0",
        complexity: "O(N+log(M)) where N is the number of elements in the grid-aligned \
                  bounding box \
                  area around the shape provided as the filter and M is the number of items \
                  inside the shape.",
        flags: &[ReadOnly],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(geosearch),
        ..GEO
    },
    Command {
        name: "geosearchstore",
        arity: -8,
        usage: "destination:key source:key <FROMMEMBER member | FROMLONLAT (longitude:double \
                  latitude:double)> <BYRADIUS (radius:double <M | KM | FT | MI>) | BYBOX \
                  (width:double height:double <M | KM | FT | MI>)> [ASC | DESC] [COUNT \
                  count:integer [ANY]] [STOREDIST]",
        summary: "Queries a geospatial index for members inside an area of a box or a circle, \
                  optionally stores the result.",
        since: "6.2.0",
        complexity: "O(N+log(M)) where N is the number of elements in the grid-aligned \
                  bounding box \
                  area around the shape provided as the filter and M is the number of items \
                  inside the shape.",
        flags: &[Write, DenyOom],
        keys: &[
            KeySpec::at(1, &["OW", "update"]),
            KeySpec::at(2, &["RO", "access"]),
        ],
        scope: Scope::Keys(geosearchstore),
        concurrent: "Removes what it has seen of the destination, then writes the result there: \
                  members written there at the same time elsewhere stay beside it.",
        ..GEO
    },
    Command {
        name: "georadius",
        arity: -6,
        usage: "key:key longitude:double latitude:double radius:double <M | KM | FT | MI> \
                  [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count:integer [ANY]] [ASC | DESC] \
                  [STORE key:key | STOREDIST key:key]",
        summary: "Queries a geospatial index for members within a distance from a coordinate, \
                  optionally stores the result.",
        since: "3.2.0",
        complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the \
                  circular area delimited by center and radius and M is the number of items \
                  inside the index.",
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument",
        )),
        flags: &[Write, DenyOom, MovableKeys],
        keys: &[
            KeySpec::at(1, &["RO", "access"]),
            KeySpec::behind("STORE", 6, &["OW", "update"]),
            KeySpec::behind("STOREDIST", 6, &["OW", "update"]),
        ],
        scope: Scope::Keys(georadius),
        concurrent: "Removes what it has seen of the destination, then writes the result there: \
                  members written there at the same time elsewhere stay beside it.",
        ..GEO
    },
    Command {
        name: "georadiusbymember",
        arity: -5,
        usage: "key:key member radius:double <M | KM | FT | MI> [WITHCOORD] [WITHDIST] \
                  [WITHHASH] [COUNT count:integer [ANY]] [ASC | DESC] [STORE key:key | STOREDIST \
                  key:key]",
        summary: "Queries a geospatial index for members within a distance from a member, \
                  optionally stores the result.",
        since: "3.2.0",
        complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the \
                  circular area delimited by center and radius and M is the number of items \
                  inside the index.",
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` \
                  arguments",
        )),
        flags: &[Write, DenyOom, MovableKeys],
        keys: &[
            KeySpec::at(1, &["RO", "access"]),
            KeySpec::behind("STORE", 5, &["OW", "update"]),
            KeySpec::behind("STOREDIST", 5, &["OW", "update"]),
        ],
        scope: Scope::Keys(georadiusbymember),
        concurrent: "Removes what it has seen of the destination, then writes the result there: \
                  members written there at the same time elsewhere stay beside it.",
        ..GEO
    },
    Command {
        name: "georadius_ro",
        arity: -6,
        usage: "key:key longitude:double latitude:double radius:double <M | KM | FT | MI> \
                  [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count:integer [ANY]] [ASC | DESC]",
        summary: "Returns members from a geospatial index that are within a distance from a \
                  coordinate.",
        since: "3.2.10",
        complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the \
                  circular area delimited by center and radius and M is the number of items \
                  inside the index.",
        deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")),
        flags: &[ReadOnly],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(georadius_ro),
        ..GEO
    },
    Command {
        name: "georadiusbymember_ro",
        arity: -5,
        usage: "key:key member radius:double <M | KM | FT | MI> [WITHCOORD] [WITHDIST] \
                  [WITHHASH] [COUNT count:integer [ANY]] [ASC | DESC]",
        summary: "Returns members from a geospatial index that are within a distance from a \
                  member.",
        since: "3.2.10",
        complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the \
                  circular area delimited by center and radius and M is the number of items \
                  inside the index.",
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments",
        )),
        flags: &[ReadOnly],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(georadiusbymember_ro),
        ..GEO
    },
];

/// Which command asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// GEORADIUS: a position stands before the radius.
    Position,
    /// GEORADIUSBYMEMBER.
    Member,
    /// GEOSEARCH: all of it is in the options.
    Search,
    /// GEOSEARCHSTORE.
    SearchStore,
}

/// What a search is asked for.
struct Asking {
    form: Form,
    middle: Option<Point>,
    shape: Option<hash::Shape>,
    /// Metres of the unit in which distances are shown.
    metres: f64,
    /// Whether a member of a key that is not there is the middle.
    is_nowhere: bool,
    by_member: bool,
    by_position: bool,
    by_radius: bool,
    by_box: bool,
    with_distance: bool,
    with_hash: bool,
    with_position: bool,
    order: Option<Order>,
    count: usize,
    any: bool,
    /// Which argument is the key of the result.
    target: Option<usize>,
    stores_distance: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Near,
    Far,
}

/// A place that was found.
struct Found {
    member: Vec<u8>,
    score: f64,
    distance: f64,
}

fn length(text: &[u8], error: &'static str) -> Result<f64, CommandError> {
    numbers::float(text).map_err(|_| CommandError::Fixed(error))
}

impl Asking {
    fn new(form: Form) -> Self {
        Self {
            form,
            middle: None,
            shape: None,
            metres: 1.0,
            is_nowhere: false,
            by_member: false,
            by_position: false,
            by_radius: false,
            by_box: false,
            with_distance: false,
            with_hash: false,
            with_position: false,
            order: None,
            count: 0,
            any: false,
            target: None,
            stores_distance: false,
        }
    }

    fn is_search(&self) -> bool {
        matches!(self.form, Form::Search | Form::SearchStore)
    }

    /// Reads a radius with its unit.
    fn radius(&mut self, args: Args<'_>, at: usize) -> Result<(), CommandError> {
        let radius = length(args.at(at), "ERR need numeric radius")?;
        if radius < 0.0 {
            return Err(CommandError::Fixed("ERR radius cannot be negative"));
        }
        self.metres = unit(args.at(at + 1))?;
        self.shape = Some(hash::Shape::Circle(radius * self.metres));
        Ok(())
    }

    fn sides(&mut self, args: Args<'_>, at: usize) -> Result<(), CommandError> {
        let width = length(args.at(at), "ERR need numeric width")?;
        let height = length(args.at(at + 1), "ERR need numeric height")?;
        if width < 0.0 || height < 0.0 {
            return Err(CommandError::Fixed(
                "ERR height or width cannot be negative",
            ));
        }
        self.metres = unit(args.at(at + 2))?;
        self.shape = Some(hash::Shape::Box {
            width: width * self.metres,
            height: height * self.metres,
        });
        Ok(())
    }

    fn member(
        &mut self,
        transaction: &mut Transaction<'_, '_>,
        key: Option<&Place>,
        member: &[u8],
    ) -> Result<(), CommandError> {
        let Some(key) = key else {
            self.is_nowhere = true;
            return Ok(());
        };
        let score = sorted_set::score_of(transaction, key, member)?;
        let score = score.ok_or(CommandError::Fixed(
            "ERR could not decode requested zset member",
        ))?;
        self.middle = Some(hash::point(score));
        Ok(())
    }

    /// Reads a whole request; gives where its options begin.
    fn begin(
        &mut self,
        call: &mut Call<'_, '_, '_>,
        key: Option<&Place>,
    ) -> Result<usize, CommandError> {
        let args = call.args;
        match self.form {
            Form::Position => {
                self.middle = Some(position(args, 2)?);
                self.radius(args, 4)?;
                Ok(6)
            }
            Form::Member => {
                self.member(call.transaction, key, args.at(2))?;
                if key.is_some() {
                    self.radius(args, 3)?;
                }
                Ok(5)
            }
            Form::Search => Ok(2),
            Form::SearchStore => {
                self.target = Some(1);
                Ok(3)
            }
        }
    }

    fn options(
        &mut self,
        call: &mut Call<'_, '_, '_>,
        key: Option<&Place>,
        stores: bool,
    ) -> Result<(), CommandError> {
        let mut at = self.begin(call, key)?;
        let args = call.args;
        while at < args.len() {
            let left = args.len() - at - 1;
            let word = args.at(at).to_ascii_lowercase();
            at += 1 + match word.as_slice() {
                b"withdist" => flag(&mut self.with_distance),
                b"withhash" => flag(&mut self.with_hash),
                b"withcoord" => flag(&mut self.with_position),
                b"any" => flag(&mut self.any),
                b"asc" => flag_order(&mut self.order, Order::Near),
                b"desc" => flag_order(&mut self.order, Order::Far),
                b"count" if left > 0 => {
                    let count = numbers::integer(args.at(at + 1))?;
                    let count = usize::try_from(count).ok().filter(|count| *count > 0);
                    self.count = count.ok_or(CommandError::Fixed("ERR COUNT must be > 0"))?;
                    1
                }
                b"store" | b"storedist" if stores && !self.is_search() && left > 0 => {
                    self.target = Some(at + 1);
                    self.stores_distance = word == b"storedist";
                    1
                }
                b"storedist" if self.form == Form::SearchStore => flag(&mut self.stores_distance),
                word if self.is_search() => self.search_option(call, key, at, word)?,
                _ => return Err(CommandError::Syntax),
            };
        }
        self.check(args)
    }

    /// An option that only GEOSEARCH has; gives how many words it takes behind its name.
    fn search_option(
        &mut self,
        call: &mut Call<'_, '_, '_>,
        key: Option<&Place>,
        at: usize,
        word: &[u8],
    ) -> Result<usize, CommandError> {
        let args = call.args;
        let left = args.len() - at - 1;
        match word {
            b"frommember" if left > 0 && !self.by_position => {
                self.member(call.transaction, key, args.at(at + 1))?;
                self.by_member = true;
                Ok(1)
            }
            b"fromlonlat" if left > 1 && !self.by_member => {
                self.middle = Some(position(args, at + 1)?);
                self.by_position = true;
                Ok(2)
            }
            b"byradius" if left > 1 && !self.by_box => {
                self.radius(args, at + 1)?;
                self.by_radius = true;
                Ok(2)
            }
            b"bybox" if left > 2 && !self.by_radius => {
                self.sides(args, at + 1)?;
                self.by_box = true;
                Ok(3)
            }
            _ => Err(CommandError::Syntax),
        }
    }

    fn check(&mut self, args: Args<'_>) -> Result<(), CommandError> {
        let shows_more = self.with_distance || self.with_hash || self.with_position;
        if self.target.is_some() && shows_more {
            let name = if self.form == Form::SearchStore {
                "GEOSEARCHSTORE"
            } else {
                "STORE option in GEORADIUS"
            };
            return Err(CommandError::Text(format!(
                "ERR {name} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let one_of = |names: &str| {
            let name = echo(args.at(0));
            CommandError::Text(format!(
                "ERR exactly one of {names} can be specified for {name}"
            ))
        };
        if self.is_search() && self.by_member == self.by_position {
            return Err(one_of("FROMMEMBER or FROMLONLAT"));
        }
        if self.is_search() && self.by_radius == self.by_box {
            return Err(one_of("BYRADIUS and BYBOX"));
        }
        if self.any && self.count == 0 {
            return Err(CommandError::Fixed(
                "ERR the ANY argument requires COUNT argument",
            ));
        }
        if self.count > 0 && self.order.is_none() && !self.any {
            self.order = Some(Order::Near);
        }
        Ok(())
    }

    /// The places of the area.
    fn find(
        &self,
        transaction: &mut Transaction<'_, '_>,
        key: &Place,
    ) -> Result<Vec<Found>, CommandError> {
        let Some((middle, shape)) = self.middle.zip(self.shape) else {
            return Ok(Vec::new());
        };
        let area = Area { middle, shape };
        let mut found = Vec::new();
        for cell in area.cells() {
            self.find_in(transaction, key, (&area, cell), &mut found)?;
        }
        match self.order {
            Some(Order::Near) => found.sort_by(|a, b| a.distance.total_cmp(&b.distance)),
            Some(Order::Far) => found.sort_by(|a, b| b.distance.total_cmp(&a.distance)),
            None => {}
        }
        if self.count > 0 {
            found.truncate(self.count);
        }
        Ok(found)
    }

    fn find_in(
        &self,
        transaction: &mut Transaction<'_, '_>,
        key: &Place,
        (area, cell): (&Area, Cell),
        found: &mut Vec<Found>,
    ) -> Result<(), CommandError> {
        let (from, to) = cell.scores();
        let mut walk = Walk::new(Scores::half_open(from, to).span(), usize::MAX);
        loop {
            if self.any && found.len() >= self.count {
                return Ok(());
            }
            let Some(place) = walk.next(transaction, key)? else {
                return Ok(());
            };
            let score = sorted_set::score_at(&place);
            if let Some(distance) = area.distance_within(hash::point(score)) {
                found.push(Found {
                    member: sorted_set::member_at(transaction, key, &place)?,
                    score,
                    distance: distance / self.metres,
                });
            }
        }
    }

    fn show(&self, reply: &mut Reply, found: &[Found]) {
        let more = [self.with_distance, self.with_hash, self.with_position];
        let values = 1 + more.iter().filter(|is_wanted| **is_wanted).count();
        reply.array(found.len());
        for place in found {
            if values > 1 {
                reply.array(values);
            }
            reply.bulk(&place.member);
            if self.with_distance {
                reply.bulk(distance_text(place.distance).as_bytes());
            }
            if self.with_hash {
                reply.integer(place.score as i64);
            }
            if self.with_position {
                write_point(reply, hash::point(place.score));
            }
        }
    }
}

/// Notes an option without a value.
fn flag(option: &mut bool) -> usize {
    *option = true;
    0
}

fn flag_order(option: &mut Option<Order>, order: Order) -> usize {
    *option = Some(order);
    0
}

fn search(call: &mut Call<'_, '_, '_>, form: Form, stores: bool) -> Result<(), CommandError> {
    let source = if form == Form::SearchStore { 2 } else { 1 };
    let key = call.collection(source, FAMILY)?;
    let mut asking = Asking::new(form);
    asking.options(call, key.as_ref(), stores)?;
    let found = match &key {
        Some(key) if !asking.is_nowhere => asking.find(call.transaction, key)?,
        _ => Vec::new(),
    };
    let Some(target) = asking.target else {
        asking.show(call.reply, &found);
        return Ok(());
    };
    // A key of the name of an option may hide the one that is meant from the plan.
    if !call.places.iter().any(|(position, _)| *position == target) {
        return Err(CommandError::Syntax);
    }
    let target = call.place(target);
    let shown = |place: Found| match asking.stores_distance {
        true => (place.member, place.distance),
        false => (place.member, place.score),
    };
    let members: Vec<_> = found.into_iter().map(shown).collect();
    sorted_set::replace(call.transaction, &target, &members)?;
    call.reply.count(members.len());
    Ok(())
}

fn geosearch(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    search(call, Form::Search, false)
}

fn geosearchstore(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    search(call, Form::SearchStore, true)
}

fn georadius(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    search(call, Form::Position, true)
}

fn georadius_ro(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    search(call, Form::Position, false)
}

fn georadiusbymember(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    search(call, Form::Member, true)
}

fn georadiusbymember_ro(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    search(call, Form::Member, false)
}
