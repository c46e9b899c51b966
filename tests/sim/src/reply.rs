//! Reading what commands reply, as a client of RESP2 does.

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A status or an error, without its mark.
    Line(u8, String),
    /// An integer.
    Integer(i64),
    /// Text; `None` for null.
    Text(Option<Vec<u8>>),
    /// Several; `None` for null.
    List(Option<Vec<Self>>),
}

impl Said {
    /// Reads a whole reply.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        match Self::next(bytes)? {
            (said, []) => Some(said),
            _ => None,
        }
    }

    fn next(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
        let (mark, text) = bytes.get(..end)?.split_first()?;
        let rest = bytes.get(end + 2..)?;
        let text = std::str::from_utf8(text).ok()?;
        Some(match mark {
            b'+' | b'-' => (Self::Line(*mark, text.to_owned()), rest),
            b':' => (Self::Integer(text.parse().ok()?), rest),
            b'$' | b'*' if text == "-1" => match mark {
                b'$' => (Self::Text(None), rest),
                _ => (Self::List(None), rest),
            },
            b'$' => {
                let length: usize = text.parse().ok()?;
                let value = rest.get(..length)?.to_vec();
                (Self::Text(Some(value)), rest.get(length + 2..)?)
            }
            b'*' => {
                let (mut list, mut rest) = (Vec::new(), rest);
                for _ in 0..text.parse::<usize>().ok()? {
                    let (said, behind) = Self::next(rest)?;
                    list.push(said);
                    rest = behind;
                }
                (Self::List(Some(list)), rest)
            }
            _ => return None,
        })
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(Some(text)) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    /// The elements, if it is a list.
    #[must_use]
    pub fn list(&self) -> &[Self] {
        match self {
            Self::List(Some(list)) => list,
            _ => &[],
        }
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Text(None) | Self::List(None))
    }
}

/// Whether a reply is an error.
#[must_use]
pub fn is_error(reply: &[u8]) -> bool {
    reply.first() == Some(&b'-')
}
