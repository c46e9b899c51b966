//! Compressed strings: LZF by Marc Lehmann, as Redis writes it.
//!
//! ```text
//! 000nnnnn               n + 1 bytes follow as they are
//! nnnooooo oooooooo      n + 2 bytes once more, from o + 1 before the end
//! 111ooooo nnnnnnnn oooooooo   the same for n + 9 bytes
//! ```

/// A reference of three bytes stands for at most 264.
const RATIO_MAX: usize = 88;

/// Whether so many packed bytes can stand for `length`.
pub(super) fn can_hold(packed: usize, length: usize) -> bool {
    length <= packed.saturating_mul(RATIO_MAX)
}

/// The `length` bytes that `packed` stands for; `None` if it does not stand for as many.
pub(super) fn unpack(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    if !can_hold(packed.len(), length) {
        return None;
    }
    let mut bytes = Vec::with_capacity(length);
    let mut rest = packed;
    while let Some((&control, after)) = rest.split_first() {
        rest = if control < 1 << 5 {
            let (literal, after) = after.split_at_checked(usize::from(control) + 1)?;
            bytes.extend_from_slice(literal);
            after
        } else {
            let (count, after) = match control >> 5 {
                7 => {
                    let (&more, after) = after.split_first()?;
                    (usize::from(more) + 9, after)
                }
                count => (usize::from(count) + 2, after),
            };
            let (&low, after) = after.split_first()?;
            let back = (usize::from(control & 0x1f) << 8 | usize::from(low)) + 1;
            repeat(&mut bytes, back, count)?;
            after
        };
        if bytes.len() > length {
            return None;
        }
    }
    (bytes.len() == length).then_some(bytes)
}

/// Appends `count` bytes from `back` before the end, among them those that it appends.
fn repeat(bytes: &mut Vec<u8>, back: usize, count: usize) -> Option<()> {
    let start = bytes.len().checked_sub(back)?;
    let mut left = count;
    while left > 0 {
        let step = left.min(bytes.len() - start);
        bytes.extend_from_within(start..start + step);
        left -= step;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_may_overlap_what_they_make() {
        assert_eq!(unpack(b"\x01ab\x40\x01", 6), Some(b"ababab".to_vec()));
        let zeros = [&[0, 0][..], &[0xe0, 255, 0]].concat();
        assert_eq!(unpack(&zeros, 265), Some(vec![0; 265]));
    }

    #[test]
    fn what_lies_about_its_length_is_refused() {
        assert_eq!(unpack(b"\x01ab", 3), None);
        assert_eq!(unpack(b"\x01ab", 1), None);
        assert_eq!(unpack(b"\x05ab", 2), None);
        assert_eq!(unpack(b"\x00a\x20\x01", 4), None);
        assert_eq!(unpack(b"\x00a\x20", 4), None);
        assert_eq!(unpack(b"\x00a\xe0", 4), None);
        assert_eq!(unpack(b"\x00a", usize::MAX), None);
        assert_eq!(unpack(b"", 0), Some(Vec::new()));
    }
}
