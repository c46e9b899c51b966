//! Writes listpacks; see `pack.rs` for their form.

use super::pack::back_bytes;

/// Total and number of items.
const HEAD_BYTES: usize = 6;

/// A listpack that is being written.
pub(super) struct PackWriter {
    bytes: Vec<u8>,
    items: usize,
}

impl PackWriter {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; HEAD_BYTES],
            items: 0,
        }
    }

    /// Appends an integer.
    pub(super) fn integer(&mut self, number: i64) {
        let bytes = number.to_le_bytes();
        let is_within = |bits: u32| number << (64 - bits) >> (64 - bits) == number;
        match u8::try_from(number) {
            Ok(small) if small < 0x80 => self.item(&[small], &[]),
            _ if is_within(16) => self.item(&[0xf1], &bytes[..2]),
            _ if is_within(32) => self.item(&[0xf3], &bytes[..4]),
            _ => self.item(&[0xf4], &bytes),
        }
    }

    /// Appends a string.
    pub(super) fn string(&mut self, text: &[u8]) {
        let length = u32::try_from(text.len()).expect("a value is shorter than 4 GB");
        let [high, low] = (length as u16).to_be_bytes();
        match length {
            0..=0x3f => self.item(&[0x80 | low], text),
            0x40..=0xfff => self.item(&[0xe0 | high, low], text),
            _ => {
                let [a, b, c, d] = length.to_le_bytes();
                self.item(&[0xf0, a, b, c, d], text);
            }
        }
    }

    fn item(&mut self, head: &[u8], body: &[u8]) {
        self.bytes.extend_from_slice(head);
        self.bytes.extend_from_slice(body);
        let length = head.len() + body.len();
        let count = back_bytes(length);
        for place in (0..count).rev() {
            let mark = if place + 1 == count { 0 } else { 0x80 };
            self.bytes.push((length >> (7 * place)) as u8 & 0x7f | mark);
        }
        self.items += 1;
    }

    /// The listpack.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.push(0xff);
        let total = u32::try_from(self.bytes.len()).expect("a listpack is shorter than 4 GB");
        let items = u16::try_from(self.items).unwrap_or(u16::MAX);
        let (head, _) = self.bytes.split_at_mut(HEAD_BYTES);
        head[..4].copy_from_slice(&total.to_le_bytes());
        head[4..].copy_from_slice(&items.to_le_bytes());
        self.bytes
    }
}
