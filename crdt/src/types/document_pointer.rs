//! Where a leaf is: a path of object members, as JSON Pointer (RFC 6901).

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use crate::limits::{DOCUMENT_DEPTH_MAX, DOCUMENT_PATH_BYTES_MAX};
use crate::types::document_causal::DocumentError;

/// A path as RFC 6901 text: empty for the whole document, else `/member/member…` with `~0` for `~`
/// and `~1` for `/`. Path order is the order of this text's bytes.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer(Box<str>);

impl Pointer {
    /// The whole document.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads a pointer.
    ///
    /// # Errors
    /// [`DocumentError::BadPointer`], [`DocumentError::PathTooLong`] or [`DocumentError::TooDeep`].
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        if text.len() > DOCUMENT_PATH_BYTES_MAX {
            return Err(DocumentError::PathTooLong);
        }
        if !text.is_empty() && !text.starts_with('/') {
            return Err(DocumentError::BadPointer);
        }
        let escapes = text.split('~').skip(1);
        if escapes
            .into_iter()
            .any(|after| !after.starts_with(['0', '1']))
        {
            return Err(DocumentError::BadPointer);
        }
        let pointer = Self(text.into());
        if pointer.depth() > DOCUMENT_DEPTH_MAX {
            return Err(DocumentError::TooDeep);
        }
        Ok(pointer)
    }

    /// The member `name` of the object here.
    ///
    /// # Errors
    /// [`DocumentError::PathTooLong`] or [`DocumentError::TooDeep`].
    pub fn child(&self, name: &str) -> Result<Self, DocumentError> {
        if self.0.len() + 1 + name.len() > DOCUMENT_PATH_BYTES_MAX {
            return Err(DocumentError::PathTooLong);
        }
        let mut text = String::with_capacity(self.0.len() + 1 + name.len());
        text.push_str(&self.0);
        text.push('/');
        for letter in name.chars() {
            match letter {
                '~' => text.push_str("~0"),
                '/' => text.push_str("~1"),
                other => text.push(other),
            }
        }
        Self::parse(&text)
    }

    /// The RFC 6901 text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many members it names.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.bytes().filter(|byte| *byte == b'/').count()
    }

    /// The names of the members, unescaped, outermost first.
    pub fn names(&self) -> impl Iterator<Item = Cow<'_, str>> + '_ {
        self.0.split('/').skip(1).map(|escaped| {
            if escaped.contains('~') {
                Cow::Owned(escaped.replace("~1", "/").replace("~0", "~"))
            } else {
                Cow::Borrowed(escaped)
            }
        })
    }

    /// The texts of the paths above this one, the whole document first, this one not included.
    pub fn above(&self) -> impl Iterator<Item = &str> + '_ {
        let ends = self.0.match_indices('/').map(|(at, _)| at);
        ends.filter_map(|end| self.0.get(..end))
    }

    /// An order in which a path is followed at once by all that lies below it.
    #[must_use]
    pub fn cmp_nested(&self, other: &Self) -> Ordering {
        let rank = |byte: u8| (byte != b'/', byte);
        let (own, others) = (self.0.as_bytes(), other.0.as_bytes());
        let differs = own.iter().zip(others).find(|(a, b)| a != b);
        match differs {
            Some((a, b)) => rank(*a).cmp(&rank(*b)),
            None => own.len().cmp(&others.len()),
        }
    }

    /// Whether this is `other` or lies below it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        match self.0.strip_prefix(&*other.0) {
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_escapes() {
        let path = Pointer::root()
            .child("a/b")
            .and_then(|path| path.child("~1"))
            .expect("short");
        assert_eq!(path.as_str(), "/a~1b/~01");
        assert_eq!(path.names().collect::<Vec<_>>(), ["a/b", "~1"]);
        assert_eq!(path.above().collect::<Vec<_>>(), ["", "/a~1b"]);
        assert_eq!(Pointer::parse(path.as_str()), Ok(path));
    }

    #[test]
    fn a_path_lies_within_itself_and_what_is_above_but_not_beside() {
        let path = |text| Pointer::parse(text).expect("valid");
        assert!(path("/a/b").is_within(&path("/a")));
        assert!(path("/a").is_within(&path("/a")));
        assert!(path("/a").is_within(&Pointer::root()));
        assert!(!path("/ab").is_within(&path("/a")));
    }

    #[test]
    fn what_lies_below_a_path_follows_it_at_once() {
        let wanted = ["", "/a", "/a/b", "/a/b/c", "/a/bc", "/a!", "/a!/x", "/ab"];
        let mut paths = wanted.map(|text| Pointer::parse(text).expect("valid"));
        paths.reverse();
        paths.sort_by(Pointer::cmp_nested);
        assert_eq!(paths.each_ref().map(Pointer::as_str), wanted);
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for text in ["a", "/~", "/~2", "~"] {
            assert_eq!(
                Pointer::parse(text),
                Err(DocumentError::BadPointer),
                "{text}"
            );
        }
        let long = format!("/{}", "x".repeat(DOCUMENT_PATH_BYTES_MAX));
        assert_eq!(Pointer::parse(&long), Err(DocumentError::PathTooLong));
        assert_eq!(
            Pointer::root().child(long.trim_start_matches('/')),
            Err(DocumentError::PathTooLong)
        );
        let deep = "/x".repeat(DOCUMENT_DEPTH_MAX + 1);
        assert_eq!(Pointer::parse(&deep), Err(DocumentError::TooDeep));
    }
}
