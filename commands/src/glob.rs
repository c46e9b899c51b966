//! Patterns as in KEYS, SCAN and CONFIG GET: `?`, `*`, `[a-z]`, `[^x]` and `\` before a character
//! that stands for itself.
//!
//! What matches is as in Redis (`stringmatchlen`), its corners included: a class without its `]`
//! ends with the pattern, in `[a-]` the `]` is the end of a range, and of the empty string no
//! pattern but the empty one matches (`*` alone is answered before by whoever lists keys). How long
//! it takes is not: every item but `*` stands for exactly one byte, so it is enough to go back to
//! the last `*`, and no pattern takes longer than its length times that of the text.

/// Whether the whole of `text` matches `pattern`.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, false)
}

/// As [`matches`], with ASCII letters of either case alike.
#[must_use]
pub fn matches_ignoring_case(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, true)
}

fn run(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut pattern, mut text) = (pattern, text);
    // After the last `*`: the pattern behind it, and the text that it has not swallowed yet.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some((b'*', rest)) = pattern.split_first() {
            if rest.is_empty() {
                return true;
            }
            pattern = rest;
            star = Some((rest, text));
            continue;
        }
        let step = text
            .split_first()
            .map(|(byte, rest)| (one(pattern, *byte, ignore_case), rest));
        match step {
            None if pattern.is_empty() => return true,
            // Nothing is left of the text: a `*` that swallowed more would leave even less.
            None => return false,
            Some((Some(behind), rest)) => (pattern, text) = (behind, rest),
            Some((None, _)) => {
                let Some((behind, kept)) = star else {
                    return false;
                };
                let Some((_, rest)) = kept.split_first() else {
                    return false;
                };
                (pattern, text) = (behind, rest);
                star = Some((behind, rest));
            }
        }
    }
}

/// What is left of `pattern` if its first item, which is no `*`, stands for `byte`.
fn one(pattern: &[u8], byte: u8, ignore_case: bool) -> Option<&[u8]> {
    let same = |item: u8| fold(item, ignore_case) == fold(byte, ignore_case);
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => class(rest, byte, ignore_case),
        [b'\\', item, rest @ ..] | [item, rest @ ..] => same(*item).then_some(rest),
    }
}

/// As [`one`], behind a `[`.
fn class(pattern: &[u8], byte: u8, ignore_case: bool) -> Option<&[u8]> {
    let byte = fold(byte, ignore_case);
    let (negated, mut items) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        all => (false, all),
    };
    let mut found = false;
    let behind = loop {
        items = match items {
            [] => break items,
            // An escaped byte is compared as it stands, in Redis too.
            [b'\\', item, rest @ ..] => {
                found |= *item == byte;
                rest
            }
            [b']', rest @ ..] => break rest,
            [from, b'-', to, rest @ ..] => {
                let (from, to) = (fold(*from, ignore_case), fold(*to, ignore_case));
                found |= (from.min(to)..=from.max(to)).contains(&byte);
                rest
            }
            [item, rest @ ..] => {
                found |= fold(*item, ignore_case) == byte;
                rest
            }
        };
    };
    (found != negated).then_some(behind)
}

fn fold(byte: u8, ignore_case: bool) -> u8 {
    if ignore_case {
        byte.to_ascii_lowercase()
    } else {
        byte
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_as_in_redis() {
        let cases: &[(&[u8], &[u8], bool)] = &[
            (b"", b"", true),
            (b"*", b"", false),
            (b"*", b"a", true),
            (b"a*", b"a", true),
            (b"a**", b"a", true),
            (b"*a*", b"xay", true),
            (b"h?llo", b"hello", true),
            (b"h?llo", b"hllo", false),
            (b"h*llo", b"heeeello", true),
            (b"h[ae]llo", b"hallo", true),
            (b"h[ae]llo", b"hillo", false),
            (b"h[^e]llo", b"hallo", true),
            (b"h[^e]llo", b"hello", false),
            (b"h[a-b]llo", b"hbllo", true),
            (b"h[b-a]llo", b"hallo", true),
            (b"h\\*llo", b"h*llo", true),
            (b"h\\*llo", b"hello", false),
            (b"a\\", b"a\\", true),
            (b"[abc", b"b", true),
            (b"[", b"[", false),
            (b"[^", b"x", true),
            (b"[a-]b", b"b", true),
            (b"[]a]", b"a]", false),
            (b"[\\]]", b"]", true),
            (b"*b*c", b"abbbc", true),
            (b"*bc", b"abcbc", true),
            (b"*bc?", b"abcbc", false),
        ];
        for (pattern, text, want) in cases {
            let shown = (
                String::from_utf8_lossy(pattern),
                String::from_utf8_lossy(text),
            );
            assert_eq!(matches(pattern, text), *want, "{shown:?}");
        }
    }

    #[test]
    fn letters_of_either_case_are_alike_on_demand() {
        assert!(matches_ignoring_case(b"MAX[a-m]*", b"maxMEMORY"));
        assert!(!matches(b"MAX*", b"maxmemory"));
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = b"a*".repeat(60);
        let mut text = b"a".repeat(5000);
        text.push(b'b');
        assert!(matches(&pattern, &text));
        let pattern = [&pattern[..], b"c"].concat();
        assert!(!matches(&pattern, &text));
    }

    /// The rule in its plainest words, at any cost.
    fn plain(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|at| plain(rest, &text[at..])),
            ([], _) => text.is_empty(),
            (_, []) => false,
            (_, [byte, rest @ ..]) => {
                one(pattern, *byte, false).is_some_and(|behind| plain(behind, rest))
            }
        }
    }

    proptest! {
        #[test]
        fn going_back_to_the_last_star_is_enough(
            pattern in "[ab*?\\[\\]^\\\\-]{0,9}",
            text in "[ab]{1,9}",
        ) {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(matches(pattern, text), plain(pattern, text));
        }

        #[test]
        fn any_bytes_are_a_pattern(pattern in any::<Vec<u8>>(), text in any::<Vec<u8>>()) {
            let _ = matches(&pattern, &text) && matches_ignoring_case(&pattern, &text);
        }
    }
}
