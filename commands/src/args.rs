//! The arguments of one request: ranges of the bytes that came in, nothing copied.

use bytes::Bytes;

/// Where an argument stands in the bytes of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ArgRange {
    /// The first byte.
    pub start: u32,
    /// Behind the last byte.
    pub end: u32,
}

/// The arguments of a request, the command's name first.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    form: Form<'a>,
}

#[derive(Clone, Copy)]
enum Form<'a> {
    /// As they came in.
    Ranges {
        bytes: &'a [u8],
        ranges: &'a [ArgRange],
    },
    /// As another node sent them on.
    List(&'a [Bytes]),
}

impl<'a> Args<'a> {
    /// Views `bytes` as the arguments in `ranges`. A range outside of `bytes` is an empty argument.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8], ranges: &'a [ArgRange]) -> Self {
        Self {
            form: Form::Ranges { bytes, ranges },
        }
    }

    /// Views a list of arguments.
    #[inline]
    #[must_use]
    pub fn of_list(list: &'a [Bytes]) -> Self {
        Self {
            form: Form::List(list),
        }
    }

    /// How many there are.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        match self.form {
            Form::Ranges { ranges, .. } => ranges.len(),
            Form::List(list) => list.len(),
        }
    }

    /// Whether there is none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The argument at `index`; 0 is the command's name.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        match self.form {
            Form::Ranges { bytes, ranges } => {
                let range = ranges.get(index)?;
                let found = bytes.get(range.start as usize..range.end as usize);
                Some(found.unwrap_or_default())
            }
            Form::List(list) => list.get(index).map(|arg| &**arg),
        }
    }

    /// The argument at `index`, or an empty one: for handlers whose row has checked the arity.
    #[inline]
    #[must_use]
    pub fn at(&self, index: usize) -> &'a [u8] {
        self.get(index).unwrap_or_default()
    }

    /// All arguments from the one at `index` on.
    #[inline]
    #[must_use]
    pub fn from(&self, index: usize) -> Self {
        let form = match self.form {
            Form::Ranges { bytes, ranges } => Form::Ranges {
                bytes,
                ranges: ranges.get(index..).unwrap_or_default(),
            },
            Form::List(list) => Form::List(list.get(index..).unwrap_or_default()),
        };
        Self { form }
    }

    /// The arguments in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + 'a {
        let args = *self;
        (0..self.len()).map(move |index| args.at(index))
    }

    /// A copy of the argument at `index` that outlives the request.
    #[must_use]
    pub fn to_bytes(&self, index: usize) -> Bytes {
        Bytes::copy_from_slice(self.at(index))
    }

    /// A copy of all arguments that outlives the request.
    #[must_use]
    pub fn to_owned(&self) -> OwnedArgs {
        OwnedArgs::collect(self.iter())
    }
}

impl std::fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts = self.iter().map(String::from_utf8_lossy);
        f.debug_list().entries(texts).finish()
    }
}

/// Arguments that own their bytes: of a queued, forwarded or remembered request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnedArgs {
    bytes: Bytes,
    ranges: Vec<ArgRange>,
}

impl OwnedArgs {
    /// Copies `args`.
    #[must_use]
    pub fn new(args: &[&[u8]]) -> Self {
        Self::collect(args.iter().copied())
    }

    /// Takes over the bytes of a request without copying them.
    #[must_use]
    pub fn from_parts(bytes: Bytes, ranges: Vec<ArgRange>) -> Self {
        Self { bytes, ranges }
    }

    fn collect<'a>(args: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut bytes = Vec::new();
        let mut ranges = Vec::with_capacity(args.size_hint().0);
        for arg in args {
            let start = offset(bytes.len());
            bytes.extend_from_slice(arg);
            ranges.push(ArgRange {
                start,
                end: offset(bytes.len()),
            });
        }
        Self {
            bytes: bytes.into(),
            ranges,
        }
    }

    /// The view that handlers take.
    #[inline]
    #[must_use]
    pub fn as_args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.ranges)
    }

    /// The argument at `index` as a part of the shared bytes of the request, not copied.
    #[must_use]
    pub fn share(&self, index: usize) -> Bytes {
        let range = self.ranges.get(index).copied().unwrap_or_default();
        let (start, end) = (range.start as usize, range.end as usize);
        if start <= end && end <= self.bytes.len() {
            self.bytes.slice(start..end)
        } else {
            Bytes::new()
        }
    }
}

fn offset(length: usize) -> u32 {
    u32::try_from(length).expect("a request is shorter than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_views_of_the_bytes() {
        let ranges = [
            ArgRange { start: 0, end: 3 },
            ArgRange { start: 3, end: 3 },
            ArgRange { start: 4, end: 6 },
        ];
        let args = Args::new(b"SET xy", &ranges);
        assert_eq!(args.len(), 3);
        assert_eq!(args.at(0), b"SET");
        assert_eq!(args.get(1), Some(&b""[..]));
        assert_eq!(args.from(1).at(1), b"xy");
        assert_eq!(args.get(3), None);
        assert_eq!(args.from(9).len(), 0);
        assert_eq!(args.to_bytes(2), Bytes::from_static(b"xy"));
        let owned = args.to_owned();
        assert!(owned.as_args().iter().eq(args.iter()));
        let list: Vec<Bytes> = args.iter().map(Bytes::copy_from_slice).collect();
        assert!(Args::of_list(&list).iter().eq(args.iter()));
        assert_eq!(Args::of_list(&list).from(2).at(0), b"xy");
        assert_eq!(owned.share(2), Bytes::from_static(b"xy"));
    }

    #[test]
    fn a_range_outside_of_the_bytes_is_empty() {
        let ranges = [ArgRange { start: 2, end: 9 }, ArgRange { start: 3, end: 1 }];
        let args = Args::new(b"abc", &ranges);
        assert_eq!((args.at(0), args.at(1)), (&b""[..], &b""[..]));
        let owned = OwnedArgs::from_parts(Bytes::from_static(b"abc"), ranges.to_vec());
        assert_eq!((owned.share(0).len(), owned.share(1).len()), (0, 0));
    }
}
