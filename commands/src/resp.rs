//! Reading back the few replies that are gathered from several nodes.

/// The line up to its end, and what is behind it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some((bytes.get(..end)?, bytes.get(end + 2..)?))
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// An integer reply.
pub(crate) fn integer(reply: &[u8]) -> Option<i64> {
    let (text, rest) = line(reply.strip_prefix(b":")?)?;
    if rest.is_empty() { number(text) } else { None }
}

/// Whether a reply says that nothing is there.
#[must_use]
pub fn is_null(reply: &[u8]) -> bool {
    matches!(reply, b"$-1\r\n" | b"*-1\r\n" | b"_\r\n")
}

/// The elements of an array of bulk strings, nulls and integers, each as it is written.
pub(crate) fn elements(reply: &[u8]) -> Option<Vec<&[u8]>> {
    let (count, mut rest) = line(reply.strip_prefix(b"*")?)?;
    let count = usize::try_from(number(count)?).ok()?;
    let mut found = Vec::new();
    for _ in 0..count {
        let (head, behind) = line(rest)?;
        let length = match head.split_first()? {
            (b'$', length) => usize::try_from(number(length)?).map_or(0, |bytes| bytes + 2),
            (b'_' | b':', _) => 0,
            _ => return None,
        };
        let whole = rest.len() - behind.len() + length;
        let (element, left) = rest.split_at_checked(whole)?;
        found.push(element);
        rest = left;
    }
    if rest.is_empty() { Some(found) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_cut_where_they_end() {
        let reply = b"*4\r\n$4\r\na\r\nb\r\n$-1\r\n_\r\n$0\r\n\r\n";
        let found = elements(reply).expect("well-formed");
        assert_eq!(
            found,
            [
                &b"$4\r\na\r\nb\r\n"[..],
                b"$-1\r\n",
                b"_\r\n",
                b"$0\r\n\r\n"
            ]
        );
        assert_eq!(elements(b"*0\r\n"), Some(vec![]));
        for bad in [
            &b"*1\r\n"[..],
            b"*1\r\n$5\r\nab\r\n",
            b"$1\r\na\r\n",
            b"*-1\r\n",
            b"",
            b"*0\r\nx",
        ] {
            assert_eq!(elements(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn integers_are_read_whole() {
        assert_eq!(integer(b":-12\r\n"), Some(-12));
        assert_eq!(integer(b":1\r\n:2\r\n"), None);
        assert_eq!(integer(b"$1\r\n1\r\n"), None);
    }
}
