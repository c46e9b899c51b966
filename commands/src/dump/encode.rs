//! From a value to a payload, in the plainest encoding that every Redis reads.

use super::pack_writer::PackWriter;
use super::stream::SAME_NAMES;
use super::value::{Entry, EntryId, Field, Group, Stream, Text, Value};
use super::{checksum, kind};

/// The version of Redis 6.0: of all values but those for which it has no encoding.
const VERSION: u16 = 9;
/// The version of Redis 7.0, the first that keeps all of a stream.
const STREAM_VERSION: u16 = 10;
/// The version of Redis 7.4, the first whose fields may end.
const DEADLINES_VERSION: u16 = 12;

/// Entries of one listpack of a stream, and its bytes, beyond which the next begins: as Redis has
/// them by default.
const NODE_ENTRIES_MAX: usize = 100;
const NODE_BYTES_MAX: usize = 4096;

/// The payload that holds a value.
#[must_use]
pub fn encode(value: &Value) -> Vec<u8> {
    let mut sink = Sink(Vec::new());
    let version = match value {
        Value::String(value) => {
            sink.u8(kind::STRING);
            sink.string(value);
            VERSION
        }
        Value::List(elements) => {
            sink.u8(kind::LIST);
            sink.strings(elements);
            VERSION
        }
        Value::Set(members) => {
            sink.u8(kind::SET);
            sink.strings(members);
            VERSION
        }
        Value::SortedSet(members) => {
            sink.u8(kind::SORTED_SET_2);
            sink.count(members.len());
            for (member, score) in members {
                sink.string(member);
                sink.u64_le(score.to_bits());
            }
            VERSION
        }
        Value::Hash(fields) => sink.hash(fields),
        Value::Stream(stream) => {
            sink.u8(kind::STREAM_2);
            sink.stream(stream);
            STREAM_VERSION
        }
    };
    seal(sink.0, version)
}

/// Appends the footer to a type and a value.
#[must_use]
pub fn seal(mut body: Vec<u8>, version: u16) -> Vec<u8> {
    body.extend_from_slice(&version.to_le_bytes());
    let checksum = checksum::of(&body);
    body.extend_from_slice(&checksum.to_le_bytes());
    body
}

struct Sink(Vec<u8>);

impl Sink {
    fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn u8(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn u64_le(&mut self, number: u64) {
        self.raw(&number.to_le_bytes());
    }

    fn length(&mut self, length: u64) {
        if let Ok(short) = u16::try_from(length)
            && short < 1 << 14
        {
            match u8::try_from(short) {
                Ok(short) if short < 1 << 6 => self.u8(short),
                _ => self.raw(&(short | 1 << 14).to_be_bytes()),
            }
        } else if let Ok(long) = u32::try_from(length) {
            self.u8(0x80);
            self.raw(&long.to_be_bytes());
        } else {
            self.u8(0x81);
            self.raw(&length.to_be_bytes());
        }
    }

    fn count(&mut self, count: usize) {
        self.length(count as u64);
    }

    fn string(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    fn strings(&mut self, all: &[Text]) {
        self.count(all.len());
        all.iter().for_each(|text| self.string(text));
    }

    fn hash(&mut self, fields: &[Field]) -> u16 {
        let deadlines = fields.iter().filter_map(|field| field.deadline);
        let Some(first) = deadlines.min() else {
            self.u8(kind::HASH);
            self.count(fields.len());
            for field in fields {
                self.string(&field.name);
                self.string(&field.value);
            }
            return VERSION;
        };
        self.u8(kind::HASH_DEADLINES);
        self.u64_le(first.get());
        self.count(fields.len());
        for field in fields {
            let after = field.deadline.map(|ends| ends.get() - first.get() + 1);
            self.length(after.unwrap_or(0));
            self.string(&field.name);
            self.string(&field.value);
        }
        DEADLINES_VERSION
    }

    fn id(&mut self, id: EntryId) {
        self.length(id.ms);
        self.length(id.sequence);
    }

    fn raw_id(&mut self, id: EntryId) {
        self.raw(&id.ms.to_be_bytes());
        self.raw(&id.sequence.to_be_bytes());
    }

    fn stream(&mut self, stream: &Stream) {
        let nodes = nodes(&stream.entries);
        self.count(nodes.len());
        for (master, pack) in &nodes {
            self.count(16);
            self.raw_id(*master);
            self.string(pack);
        }
        self.count(stream.entries.len());
        self.id(stream.last_id);
        self.id(stream
            .entries
            .first()
            .map(|entry| entry.id)
            .unwrap_or_default());
        self.id(stream.max_deleted_id);
        self.length(stream.entries_added);
        self.count(stream.groups.len());
        stream.groups.iter().for_each(|group| self.group(group));
    }

    fn group(&mut self, group: &Group) {
        self.string(&group.name);
        self.id(group.last_id);
        self.length(group.entries_read.unwrap_or(u64::MAX));
        self.count(group.pending.len());
        for entry in &group.pending {
            self.raw_id(entry.id);
            self.u64_le(entry.delivered_ms);
            self.length(entry.deliveries);
        }
        let mut own = vec![Vec::new(); group.consumers.len()];
        for entry in &group.pending {
            own[entry.consumer].push(entry.id);
        }
        self.count(group.consumers.len());
        for (consumer, ids) in group.consumers.iter().zip(own) {
            self.string(&consumer.name);
            self.u64_le(consumer.seen_ms);
            self.count(ids.len());
            ids.into_iter().for_each(|id| self.raw_id(id));
        }
    }
}

/// The listpacks of a stream, each behind the id of its master.
fn nodes(entries: &[Entry]) -> Vec<(EntryId, Vec<u8>)> {
    let (mut nodes, mut rest) = (Vec::new(), entries);
    while let Some(master) = rest.first() {
        let (node, after) = rest.split_at(node_length(rest));
        nodes.push((master.id, node_pack(master, node)));
        rest = after;
    }
    nodes
}

/// How many of `entries` make a node; at least one.
fn node_length(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    let fitting = entries.iter().take(NODE_ENTRIES_MAX).take_while(|entry| {
        let fits = bytes < NODE_BYTES_MAX;
        let parts = entry.names.iter().chain(&entry.values);
        bytes += parts.map(|part| part.len()).sum::<usize>();
        fits
    });
    fitting.count()
}

fn node_pack(master: &Entry, entries: &[Entry]) -> Vec<u8> {
    let number = |count: usize| i64::try_from(count).expect("a count of what is in memory");
    let mut pack = PackWriter::new();
    pack.integer(number(entries.len()));
    pack.integer(0);
    pack.integer(number(master.names.len()));
    master.names.iter().for_each(|name| pack.string(name));
    pack.integer(0);
    for entry in entries {
        let has_same = entry.names == master.names;
        pack.integer(if has_same { SAME_NAMES } else { 0 });
        pack.integer(entry.id.ms.wrapping_sub(master.id.ms) as i64);
        pack.integer(entry.id.sequence.wrapping_sub(master.id.sequence) as i64);
        let fields = entry.values.len();
        if has_same {
            entry.values.iter().for_each(|value| pack.string(value));
            pack.integer(number(fields + 3));
        } else {
            pack.integer(number(fields));
            for (name, value) in entry.names.iter().zip(&entry.values) {
                pack.string(name);
                pack.string(value);
            }
            pack.integer(number(2 * fields + 4));
        }
    }
    pack.finish()
}
