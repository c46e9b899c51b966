//! Which command a client sends next.

use crate::action::{Action, Key};
use crate::world::World;

/// The kinds of commands, one row each: a run weighs them differently.
pub(crate) const KINDS: usize = 7;

pub(crate) fn name(kind: char, number: usize) -> Key {
    format!("{kind}{number}").into_bytes()
}

fn text(kind: char, number: usize) -> String {
    format!("{kind}{number}")
}

impl World {
    /// The next command of a client.
    pub(crate) fn draw_action(&mut self, client: usize) -> Action {
        let mix = self.plan.mix;
        let mut rest = self.dice.unit() * mix.iter().sum::<f64>();
        let kind = mix.iter().position(|weight| {
            rest -= weight;
            rest <= 0.0
        });
        let number = self.dice.below(self.plan.keys);
        match kind.unwrap_or(0) {
            1 => self.draw_counter(number),
            2 => self.draw_volatile(client, number),
            3 => self.draw_document(client, name('d', number)),
            4 => self.draw_group(number),
            5 => self.draw_several(number),
            6 => self.draw_replica(client, name('d', number)),
            _ => self.draw_register(number),
        }
    }

    /// SET and its kin on a string.
    fn draw_register(&mut self, number: usize) -> Action {
        let (key, value) = (text('r', number), self.workload.next_value());
        Action::of(&match self.dice.below(16) {
            0..7 => format!("SET {key} {value}"),
            7 => format!("SET {key} {value} NX"),
            8 => format!("GETSET {key} {value}"),
            9 => format!("APPEND {key} {}", self.dice.below(100)),
            10 => format!("GETDEL {key}"),
            11..15 => format!("DEL {key}"),
            _ => format!("GET {key}"),
        })
    }

    /// INCRBY or, for every other key, INCRBYFLOAT.
    fn draw_increment(&mut self, key: &str, float: bool) -> String {
        let sign = if self.dice.chance(0.3) { "-" } else { "" };
        let amount = self.dice.between(1, 30);
        if float {
            format!("INCRBYFLOAT {key} {sign}{}", amount as f64 / 4.0)
        } else {
            format!("INCRBY {key} {sign}{amount}")
        }
    }

    fn draw_counter(&mut self, number: usize) -> Action {
        let key = text('c', number);
        let value = self.workload.next_value();
        let line = match self.dice.below(14) {
            0..8 => self.draw_increment(&key, number % 2 == 1),
            8..11 => format!("DEL {key}"),
            11 => format!("SET {key} {value}"),
            12 => format!("GETSET {key} {value}"),
            _ => format!("GET {key}"),
        };
        Action::of(&line)
    }

    /// Keys that expire: strings, counters on them, documents.
    fn draw_volatile(&mut self, client: usize, number: usize) -> Action {
        let life_ms = self.dice.between(1, 1_000);
        if self.dice.chance(0.25) {
            let key = name('x', number);
            return match self.dice.below(6) {
                0 => Action::of(&format!("PEXPIRE x{number} {life_ms}")),
                1 => Action::of(&format!("PERSIST x{number}")),
                _ => self.draw_document(client, key),
            };
        }
        let (key, value) = (text('v', number), self.workload.next_value());
        let line = match self.dice.below(16) {
            0..4 => format!("SET {key} {value} PX {life_ms}"),
            4 => format!("SET {key} {value}"),
            5 => format!("SET {key} {value} KEEPTTL"),
            6 | 7 => format!("PEXPIRE {key} {life_ms}"),
            8 => format!("PEXPIRE {key} {life_ms} GT"),
            9 => format!("PERSIST {key}"),
            10 => format!("DEL {key}"),
            11 => format!("GETEX {key} PX {life_ms}"),
            12 => format!("APPEND {key} {}", self.dice.below(10)),
            13 | 14 => self.draw_increment(&key, false),
            _ => format!("PTTL {key}"),
        };
        Action::of(&line)
    }

    /// Commands whose keys are in one partition: all of it arrives, or nothing.
    fn draw_group(&mut self, number: usize) -> Action {
        let key = |letter: char| format!("{{g{number}}}{letter}");
        let mut letters = vec!['x', 'y', 'z'];
        letters.remove(self.dice.below(3));
        if self.dice.chance(0.5) {
            letters.reverse();
        }
        let (a, b) = (key(letters[0]), key(letters[1]));
        let values: Vec<String> = (0..3).map(|_| self.workload.next_value()).collect();
        let (u, v, w) = (&values[0], &values[1], &values[2]);
        Action::of(&match self.dice.below(10) {
            0..4 => format!("MSET {a} {u} {b} {v}"),
            4 => format!("MSET {} {u} {} {v} {} {w}", key('x'), key('y'), key('z')),
            5 => format!("MSETNX {a} {u} {b} {v}"),
            6 => format!("DEL {a} {b}"),
            7 => format!("COPY {a} {b} REPLACE"),
            _ => format!("RENAME {a} {b}"),
        })
    }

    /// Commands whose keys are anywhere.
    fn draw_several(&mut self, number: usize) -> Action {
        let other = self.dice.below(self.plan.keys);
        let kind = self.dice.pick(&['r', 'r', 'c', 'd', 'x']).unwrap_or('r');
        let (a, b) = (text(kind, number), text(kind, other));
        let (r, c) = (text('r', number), text('c', other));
        let (u, v) = (self.workload.next_value(), self.workload.next_value());
        Action::of(&match self.dice.below(12) {
            0..4 => format!("MSET {r} {u} {c} {v}"),
            4 => format!("MSETNX {r} {u} {c} {v}"),
            5 => format!("DEL {a} {c} {r}"),
            6 => format!("MGET {r} {c} missing"),
            7 => format!("EXISTS {a} {r} {c}"),
            _ if a == b => format!("DEL {a} {r}x"),
            8 => format!("COPY {a} {b}"),
            9 => format!("COPY {a} {b} REPLACE"),
            10 => format!("RENAMENX {a} {b}"),
            _ => format!("RENAME {a} {b}"),
        })
    }
}
