//! Requests in one line, as a person types them: words between blanks, with quotes and escapes.
//!
//! ```text
//! SET "my key" 'it''s'      fails: a closing quote must be followed by a blank
//! SET "a\x00\n" b"c d"      → SET, a 00 0a, bc d
//! ```
//!
//! This is Redis's `sdssplitargs`, byte for byte: a zero byte ends the line, and only blanks
//! between words may be vertical tabs or form feeds.

use larder_commands::args::ArgRange;

/// A quote without its end, or with something else than a blank behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unbalanced;

/// Appends the words of `line` to `bytes`, without quotes and escapes, and their places to `words`.
///
/// # Errors
/// [`Unbalanced`]; some words may have been appended then.
pub fn split(
    line: &[u8],
    bytes: &mut Vec<u8>,
    words: &mut Vec<ArgRange>,
) -> Result<(), Unbalanced> {
    let mut rest = line.split(|byte| *byte == 0).next().unwrap_or(line);
    loop {
        while let Some((first, behind)) = rest.split_first() {
            if !is_space(*first) {
                break;
            }
            rest = behind;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let start = place(bytes.len());
        rest = word(rest, bytes)?;
        words.push(ArgRange {
            start,
            end: place(bytes.len()),
        });
    }
}

fn place(length: usize) -> u32 {
    u32::try_from(length).expect("a line is bounded by LINE_BYTES_MAX")
}

/// Appends one word and returns what is behind it.
fn word<'a>(line: &'a [u8], bytes: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    let mut rest = line;
    loop {
        match rest {
            [] => return Ok(rest),
            [b' ' | b'\n' | b'\r' | b'\t', behind @ ..] => return Ok(behind),
            [b'"', quoted @ ..] => return double_quoted(quoted, bytes),
            [b'\'', quoted @ ..] => return single_quoted(quoted, bytes),
            [byte, behind @ ..] => {
                bytes.push(*byte);
                rest = behind;
            }
        }
    }
}

fn double_quoted<'a>(line: &'a [u8], bytes: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    let mut rest = line;
    loop {
        let (byte, behind) = match rest {
            [] => return Err(Unbalanced),
            [b'"', behind @ ..] => return closed(behind),
            [b'\\', b'x', high, low, behind @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex(*high) * 16 + hex(*low), behind)
            }
            [b'\\', escaped, behind @ ..] => (unescape(*escaped), behind),
            [byte, behind @ ..] => (*byte, behind),
        };
        bytes.push(byte);
        rest = behind;
    }
}

fn single_quoted<'a>(line: &'a [u8], bytes: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    let mut rest = line;
    loop {
        let (byte, behind) = match rest {
            [] => return Err(Unbalanced),
            [b'\\', b'\'', behind @ ..] => (b'\'', behind),
            [b'\'', behind @ ..] => return closed(behind),
            [byte, behind @ ..] => (*byte, behind),
        };
        bytes.push(byte);
        rest = behind;
    }
}

fn closed(behind: &[u8]) -> Result<&[u8], Unbalanced> {
    match behind.first() {
        Some(byte) if !is_space(*byte) => Err(Unbalanced),
        _ => Ok(behind),
    }
}

/// As `isspace` of C has it, which knows one blank more than Rust's ASCII white space.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
        let (mut bytes, mut ranges) = (Vec::new(), Vec::new());
        split(line, &mut bytes, &mut ranges).ok()?;
        let word = |range: &ArgRange| bytes[range.start as usize..range.end as usize].to_vec();
        Some(ranges.iter().map(word).collect())
    }

    #[test]
    fn lines_are_split_as_in_redis() {
        type Case = (&'static [u8], Option<&'static [&'static [u8]]>);
        let cases: &[Case] = &[
            (b"", Some(&[])),
            (b"   ", Some(&[])),
            (b"PING", Some(&[b"PING"])),
            (b" \tSET\x0b a  1 ", Some(&[b"SET\x0b", b"a", b"1"])),
            (
                br#"SET "a b" "\x00\xfF\n\r\t\b\a\q""#,
                Some(&[b"SET", b"a b", b"\0\xff\n\r\t\x08\x07q"]),
            ),
            (br#"SET "\xg1""#, Some(&[b"SET", b"xg1"])),
            (br"SET 'a\'b\n' c", Some(&[b"SET", br"a'b\n", b"c"])),
            (br#"a"b c" d"#, Some(&[b"ab c", b"d"])),
            (br#""" ''"#, Some(&[b"", b""])),
            (br#"a "b"#, None),
            (br#"a "b"c"#, None),
            (br"a 'b'c", None),
            (br"a 'b", None),
            (br#"a "b\"#, None),
            (b"a\0b c", Some(&[b"a"])),
        ];
        for (line, want) in cases {
            let want = want.map(|words| words.iter().map(|word| word.to_vec()).collect());
            assert_eq!(words(line), want, "{}", line.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_line_is_split_or_refused(line in any::<Vec<u8>>()) {
            if let Some(words) = words(&line) {
                prop_assert!(words.concat().len() <= line.len());
            }
        }

        #[test]
        fn a_quoted_word_comes_back(word in any::<Vec<u8>>()) {
            let escaped: String = word.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            prop_assert_eq!(words(format!("\"{escaped}\"").as_bytes()), Some(vec![word]));
        }
    }
}
