//! Places as numbers: the bits of latitude and longitude by turns, 52 of them, as in Redis.
//!
//! ```text
//! longitude  1 . 0 . 1 .        halves of the range, from the coarsest
//! latitude   . 1 . 1 . 0
//! score      1 1 0 1 1 0  …     neighbours on the earth are mostly neighbours in order
//! ```

/// Longitude and latitude, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) longitude: f64,
    pub(super) latitude: f64,
}

/// The furthest longitude that is taken.
pub(super) const LONGITUDE_MAX: f64 = 180.0;
/// The furthest latitude: where Mercator's map ends.
pub(super) const LATITUDE_MAX: f64 = 85.051_128_78;
/// Metres, as Redis has it.
const EARTH_RADIUS: f64 = 6_372_797.560_856;
/// Half of the equator on Mercator's map.
const MERCATOR_MAX: f64 = 20_037_726.37;
/// How often both ranges are halved for a score.
const STEPS: u32 = 26;

/// A cell of the grid that arises when both ranges are halved `step` times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    x: u32,
    y: u32,
    step: u32,
}

/// What a cell covers.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Edges {
    west: f64,
    east: f64,
    south: f64,
    north: f64,
}

/// Every other bit, from the lowest.
fn spread(number: u32) -> u64 {
    (0..u32::BITS).fold(0, |bits, at| {
        bits | (u64::from(number >> at & 1) << (2 * at))
    })
}

fn gather(bits: u64) -> u32 {
    (0..u32::BITS).fold(0, |number, at| {
        number | ((bits >> (2 * at) & 1) as u32) << at
    })
}

impl Cell {
    fn at(point: Point, step: u32, latitude_max: f64) -> Self {
        let part = |value: f64, max: f64| {
            let offset = (value + max) / (max + max);
            (offset * f64::from(1u32 << step)) as u32
        };
        Self {
            x: part(point.longitude, LONGITUDE_MAX),
            y: part(point.latitude, latitude_max),
            step,
        }
    }

    fn bits(self) -> u64 {
        spread(self.x) << 1 | spread(self.y)
    }

    fn edges(self) -> Edges {
        let edge =
            |number: f64, max: f64| -max + number / f64::from(1u32 << self.step) * (max + max);
        let (x, y) = (f64::from(self.x), f64::from(self.y));
        Edges {
            west: edge(x, LONGITUDE_MAX),
            east: edge(x + 1.0, LONGITUDE_MAX),
            south: edge(y, LATITUDE_MAX),
            north: edge(y + 1.0, LATITUDE_MAX),
        }
    }

    /// The cell so many columns to the east and rows to the north; the grid has no end. (The cell
    /// of the north pole is beyond the grid, and stays there.)
    fn moved(self, east: i32, north: i32) -> Self {
        let mask = (1u32 << self.step) - 1;
        let moved = |number: u32, by: i32| match by {
            0 => number,
            by => number.wrapping_add_signed(by) & mask,
        };
        Self {
            x: moved(self.x, east),
            y: moved(self.y, north),
            step: self.step,
        }
    }

    /// The scores of the cell: from one to below another.
    pub(super) fn scores(self) -> (f64, f64) {
        let shift = 2 * (STEPS - self.step);
        (
            (self.bits() << shift) as f64,
            ((self.bits() + 1) << shift) as f64,
        )
    }
}

/// The score of a place.
pub(super) fn score(point: Point) -> f64 {
    Cell::at(point, STEPS, LATITUDE_MAX).bits() as f64
}

/// The place of a score: the middle of its cell.
pub(super) fn point(score: f64) -> Point {
    let bits = score as u64;
    let cell = Cell {
        x: gather(bits >> 1),
        y: gather(bits),
        step: STEPS,
    };
    let edges = cell.edges();
    let middle = |one: f64, other: f64, max: f64| ((one + other) / 2.0).clamp(-max, max);
    Point {
        longitude: middle(edges.west, edges.east, LONGITUDE_MAX),
        latitude: middle(edges.south, edges.north, LATITUDE_MAX),
    }
}

/// The usual eleven letters for a score. Their latitudes reach to the poles.
pub(super) fn letters(score: f64) -> [u8; 11] {
    const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
    let bits = Cell::at(point(score), STEPS, 90.0).bits();
    let mut letters = [ALPHABET[0]; 11];
    // The eleventh would need more than 52 bits.
    for (at, letter) in letters.iter_mut().take(10).enumerate() {
        let index = (bits >> (52 - (at + 1) * 5)) & 0x1f;
        *letter = ALPHABET.get(index as usize).copied().unwrap_or_default();
    }
    letters
}

/// Metres between two latitudes.
fn latitude_distance(one: f64, other: f64) -> f64 {
    EARTH_RADIUS * (radians(other) - radians(one)).abs()
}

/// Degrees as Redis makes radians of them: in another order of factors the last bit may differ.
fn radians(degrees: f64) -> f64 {
    degrees * (std::f64::consts::PI / 180.0)
}

fn degrees(radians: f64) -> f64 {
    radians / (std::f64::consts::PI / 180.0)
}

/// Metres between two places on a globe.
pub(super) fn distance(one: Point, other: Point) -> f64 {
    let v = ((radians(other.longitude) - radians(one.longitude)) / 2.0).sin();
    if v == 0.0 {
        return latitude_distance(one.latitude, other.latitude);
    }
    let (from, to) = (radians(one.latitude), radians(other.latitude));
    let u = ((to - from) / 2.0).sin();
    let a = u * u + from.cos() * to.cos() * v * v;
    2.0 * EARTH_RADIUS * a.sqrt().asin()
}

/// What is searched, in metres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Shape {
    Circle(f64),
    Box { width: f64, height: f64 },
}

/// A shape around a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) middle: Point,
    pub(super) shape: Shape,
}

impl Area {
    /// How far a place within is from the middle.
    pub(super) fn distance_within(&self, other: Point) -> Option<f64> {
        match self.shape {
            Shape::Circle(radius) => {
                let found = distance(self.middle, other);
                (found <= radius).then_some(found)
            }
            Shape::Box { width, height } => {
                let across = Point {
                    longitude: self.middle.longitude,
                    latitude: other.latitude,
                };
                let is_in = latitude_distance(other.latitude, self.middle.latitude) <= height / 2.0
                    && distance(other, across) <= width / 2.0;
                is_in.then(|| distance(self.middle, other))
            }
        }
    }

    /// What surrounds it on the map.
    fn edges(&self) -> Edges {
        let (width, height) = match self.shape {
            Shape::Circle(radius) => (radius, radius),
            Shape::Box { width, height } => (width / 2.0, height / 2.0),
        };
        let Point {
            longitude,
            latitude,
        } = self.middle;
        let up = degrees(height / EARTH_RADIUS);
        let nearer_pole = if latitude < 0.0 {
            latitude - up
        } else {
            latitude + up
        };
        let aside = degrees(width / EARTH_RADIUS / radians(nearer_pole).cos());
        Edges {
            west: longitude - aside,
            east: longitude + aside,
            south: latitude - up,
            north: latitude + up,
        }
    }

    /// How fine the grid may be so that nine cells cover the area.
    fn step(&self) -> u32 {
        let mut range = match self.shape {
            Shape::Circle(radius) => radius,
            Shape::Box { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
        };
        if range == 0.0 {
            return STEPS;
        }
        let mut step = 1i32;
        while range < MERCATOR_MAX {
            range *= 2.0;
            step += 1;
        }
        // Cells are narrower towards the poles.
        let latitude = self.middle.latitude.abs();
        step -= 2 + i32::from(latitude > 66.0) + i32::from(latitude > 80.0);
        step.clamp(1, STEPS as i32) as u32
    }

    /// The cells in which places of the area may be, in Redis's order: what is found first is the
    /// same. Neighbours in this list are different ones.
    pub(super) fn cells(&self) -> Vec<Cell> {
        let edges = self.edges();
        let mut step = self.step();
        let cell = Cell::at(self.middle, step, LATITUDE_MAX);
        let too_small = cell.moved(0, 1).edges().north < edges.north
            || cell.moved(0, -1).edges().south > edges.south
            || cell.moved(1, 0).edges().east < edges.east
            || cell.moved(-1, 0).edges().west > edges.west;
        if step > 1 && too_small {
            step -= 1;
        }
        let cell = Cell::at(self.middle, step, LATITUDE_MAX);
        let within = cell.edges();
        let is_needed = |east: i32, north: i32| {
            step < 2
                || !(north < 0 && within.south < edges.south
                    || north > 0 && within.north > edges.north
                    || east < 0 && within.west < edges.west
                    || east > 0 && within.east > edges.east)
        };
        const AROUND: [(i32, i32); 9] = [
            (0, 0),
            (0, 1),
            (0, -1),
            (1, 0),
            (-1, 0),
            (1, 1),
            (-1, 1),
            (1, -1),
            (-1, -1),
        ];
        let mut cells: Vec<Cell> = Vec::new();
        for (east, north) in AROUND.into_iter().filter(|(x, y)| is_needed(*x, *y)) {
            let next = cell.moved(east, north);
            // Where a few cells cover the earth, one may be neighbour on both sides.
            if cells.len() < 2 || cells.last() != Some(&next) {
                cells.push(next);
            }
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PALERMO: Point = Point {
        longitude: 13.361_389,
        latitude: 38.115_556,
    };

    #[test]
    fn scores_letters_and_distances_are_those_of_redis() {
        assert_eq!(score(PALERMO), 3_479_099_956_230_698.0);
        assert_eq!(&letters(score(PALERMO)), b"sqc8b49rny0");
        let catania = Point {
            longitude: 15.087_269,
            latitude: 37.502_669,
        };
        let [one, other] = [PALERMO, catania].map(|place| point(score(place)));
        assert_eq!(format!("{:.4}", distance(one, other)), "166274.1516");
    }

    proptest! {
        #[test]
        fn whatever_is_within_an_area_is_in_one_of_its_cells(
            longitude in -179.0..179.0f64,
            latitude in -80.0..80.0f64,
            east in -1.0..1.0f64,
            north in -1.0..1.0f64,
            radius in 1.0..100_000.0f64,
        ) {
            let middle = Point { longitude, latitude };
            let area = Area { middle, shape: Shape::Circle(radius) };
            let other = point(score(Point {
                longitude: (longitude + east).clamp(-180.0, 180.0),
                latitude: latitude + north,
            }));
            let number = score(other);
            let found = area.cells().iter().any(|cell| {
                let (from, to) = cell.scores();
                from <= number && number < to
            });
            prop_assert!(found || area.distance_within(other).is_none());
        }
    }
}
