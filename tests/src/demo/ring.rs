//! The ring as a picture: who comes first where, and how much each node has.

use redis::Value;

use crate::client::Client;
use crate::cluster::Cluster;
use crate::failure::{Checked, Failure, ensure};
use crate::value::{field, parts, text};

/// Letters by which `CLUSTER RING DRAW` names nodes, in the order of `CLUSTER RING`.
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// Columns of a bar that stands for all partitions.
const BAR_COLUMNS: u64 = 100;

/// What a node has of the ring.
struct Share {
    /// Its place in the demo's cluster.
    node: usize,
    name: String,
    port: u16,
    /// Partitions in which it comes first.
    primaries: u64,
    /// Partitions that it holds.
    copies: u64,
}

/// The ring as a node sees it.
pub struct Ring {
    shares: Vec<Share>,
    /// Who comes first, clockwise, one letter for a few partitions; a node's letter is its place in
    /// `shares`.
    strip: Vec<String>,
}

impl Ring {
    /// Asks a node.
    ///
    /// # Errors
    /// It does not know the nodes of `cluster`.
    pub fn read(client: &mut Client, cluster: &Cluster) -> Checked<Self> {
        let members = parts(&client.run(&["CLUSTER", "RING"])?);
        let shares = members.iter().map(|member| share(member, cluster));
        let drawn = text(&client.run(&["CLUSTER", "RING", "DRAW"])?);
        let is_strip =
            |line: &&str| !line.is_empty() && line.chars().all(|c| LETTERS.contains(c) || c == '.');
        let strip: Vec<String> = drawn.lines().filter(is_strip).map(str::to_owned).collect();
        ensure(!strip.is_empty(), || format!("CLUSTER RING DRAW: {drawn}"))?;
        Ok(Self {
            shares: shares.collect::<Checked<_>>()?,
            strip,
        })
    }

    /// All partitions.
    #[must_use]
    pub fn partitions(&self) -> u64 {
        self.shares.iter().map(|share| share.primaries).sum()
    }

    /// The ring, unrolled, and a line for each node. `paint` gives a text the colour of a node.
    pub fn picture(&self, paint: impl Fn(usize, &str) -> String) -> Vec<String> {
        let letter = |letter: char| {
            let share = LETTERS
                .find(letter)
                .and_then(|place| self.shares.get(place));
            share.map_or(letter.to_string(), |share| {
                paint(share.node, share.name.trim_start_matches('n'))
            })
        };
        let mut lines: Vec<String> = self
            .strip
            .iter()
            .map(|row| row.chars().map(letter).collect())
            .collect();
        lines.push(String::new());
        let mut shares: Vec<&Share> = self.shares.iter().collect();
        shares.sort_by_key(|share| share.node);
        let all = self.partitions().max(1);
        for Share {
            node,
            name,
            port,
            primaries,
            copies,
        } in shares
        {
            let bar = "█".repeat(usize::try_from(primaries * BAR_COLUMNS / all).unwrap_or(0));
            let percent = *primaries as f64 * 100.0 / all as f64;
            let name = paint(*node, name);
            let bar = paint(*node, &bar);
            lines.push(format!(
                "{name} :{port}  first in {primaries:>3}, holds {copies:>3}  \
                 {percent:>4.1} %  {bar}"
            ));
        }
        lines
    }
}

fn share(member: &Value, cluster: &Cluster) -> Checked<Share> {
    let word = |name: &str| field(member, name).as_ref().map(text).unwrap_or_default();
    let number = |name: &str| word(name).trim_start_matches(':').parse().ok();
    let id = word("id");
    let node = cluster.nodes.iter().position(|node| node.id() == id);
    match (node, number("primaries"), number("copies")) {
        (Some(node), Some(primaries), Some(copies)) => {
            let own = cluster.node(node);
            Ok(Share {
                node,
                name: own.name().to_owned(),
                port: own.port(),
                primaries,
                copies,
            })
        }
        _ => Err(Failure::new(format!(
            "an unknown member of the ring: {}",
            text(member)
        ))),
    }
}
