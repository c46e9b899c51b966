//! JSON as documents keep it: one canonical text per value, and objects taken apart into leaves.
//!
//! A reader who writes back what it read must be understood to have changed nothing, whatever its
//! language makes of JSON. So equal values have equal text, as in RFC 8785: members of objects
//! inside arrays are sorted, nothing is spaced, and a number without a fraction is written without
//! one (2.0 and 2e0 are 2).

use std::fmt;

use serde_json::{Number, Value};

use crate::limits::{DOCUMENT_DEPTH_MAX, VALUE_BYTES_MAX};
use crate::types::document_causal::{DocumentError, LeafValue};
use crate::types::document_pointer::Pointer;

/// The canonical text of a JSON scalar or array.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json(Box<str>);

impl Json {
    /// The canonical form of a scalar or array that stands `depth` objects deep.
    ///
    /// # Errors
    /// [`DocumentError::TooDeep`], or [`DocumentError::NotALeaf`] for an object.
    pub fn from_value(value: &Value, depth: usize) -> Result<Self, DocumentError> {
        if value.is_object() {
            return Err(DocumentError::NotALeaf);
        }
        let mut text = String::new();
        write_canonical(value, DOCUMENT_DEPTH_MAX.saturating_sub(depth), &mut text)?;
        Ok(Self(text.into()))
    }

    /// Takes over text that is canonical already, of a leaf that stands `depth` objects deep.
    ///
    /// # Errors
    /// As [`Json::from_value`], [`DocumentError::NotJson`], or [`DocumentError::NotALeaf`] for text
    /// that is not canonical.
    pub fn from_canonical(text: &str, depth: usize) -> Result<Self, DocumentError> {
        let json = Self::from_value(&parse_json(text.as_bytes())?, depth)?;
        if &*json.0 == text {
            Ok(json)
        } else {
            Err(DocumentError::NotALeaf)
        }
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value.
    ///
    /// # Panics
    /// Never: the text was made from a value.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).expect("canonical text was made from a value")
    }

    /// The value, if it is a number.
    #[must_use]
    pub fn number(&self) -> Option<Number> {
        match self.0.bytes().next() {
            Some(b'-' | b'0'..=b'9') => match self.value() {
                Value::Number(number) => Some(number),
                _ => None,
            },
            _ => None,
        }
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Parses JSON from outside; objects and arrays nest at most as deep as documents may.
///
/// # Errors
/// [`DocumentError::NotJson`], or [`DocumentError::TooLarge`].
pub fn parse_json(text: &[u8]) -> Result<Value, DocumentError> {
    if text.len() > VALUE_BYTES_MAX {
        return Err(DocumentError::TooLarge);
    }
    serde_json::from_slice(text).map_err(|_| DocumentError::NotJson)
}

/// A number in its canonical form: an integer wherever it is one and fits 64 bits.
#[must_use]
pub fn canonical_number(number: &Number) -> Number {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 => {
            if (-TWO_TO_63..0.0).contains(&float) {
                Number::from(float as i64)
            } else if (0.0..2.0 * TWO_TO_63).contains(&float) {
                Number::from(float as u64)
            } else {
                number.clone()
            }
        }
        _ => number.clone(),
    }
}

fn write_canonical(
    value: &Value,
    depth_left: usize,
    out: &mut String,
) -> Result<(), DocumentError> {
    if depth_left == 0 && (value.is_array() || value.is_object()) {
        return Err(DocumentError::TooDeep);
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(&canonical_number(number).to_string()),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_canonical(item, depth_left - 1, out)?;
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (at, (name, member)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_string(name, out);
                out.push(':');
                write_canonical(member, depth_left - 1, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_string(text: &str, out: &mut String) {
    out.push_str(&serde_json::to_string(text).expect("every string has a JSON form"));
}

/// What a merge patch does at a path: writes a leaf, or removes what is there (`None`).
pub(crate) type Edit = (Pointer, Option<LeafValue>);

/// The leaves of an object, in path order.
///
/// # Errors
/// [`DocumentError::NotAnObject`], [`DocumentError::TooDeep`], [`DocumentError::PathTooLong`], or
/// [`DocumentError::TooManyLeaves`] beyond `leaves_max`.
pub fn leaves_of(
    json: &Value,
    leaves_max: usize,
) -> Result<Vec<(Pointer, LeafValue)>, DocumentError> {
    let mut walk = Walk {
        edits: Vec::new(),
        leaves_max,
        nulls_remove: false,
    };
    walk.object(&Pointer::root(), json)?;
    let leaves = walk.finish().into_iter();
    Ok(leaves
        .filter_map(|(path, value)| value.map(|value| (path, value)))
        .collect())
}

/// The edits of an RFC 7396 merge patch, in path order. An empty patch names nothing.
pub(crate) fn edits_of(patch: &Value, leaves_max: usize) -> Result<Vec<Edit>, DocumentError> {
    let mut walk = Walk {
        edits: Vec::new(),
        leaves_max,
        nulls_remove: true,
    };
    if patch.as_object().is_some_and(serde_json::Map::is_empty) {
        return Ok(Vec::new());
    }
    walk.object(&Pointer::root(), patch)?;
    Ok(walk.finish())
}

struct Walk {
    edits: Vec<Edit>,
    leaves_max: usize,
    nulls_remove: bool,
}

impl Walk {
    fn object(&mut self, path: &Pointer, json: &Value) -> Result<(), DocumentError> {
        let members = json.as_object().ok_or(DocumentError::NotAnObject)?;
        if members.is_empty() {
            return self.push(path.clone(), Some(LeafValue::EmptyObject));
        }
        for (name, member) in members {
            // The recursion ends because a path is at most `DOCUMENT_DEPTH_MAX` deep.
            let at = path.child(name)?;
            match member {
                Value::Object(_) => self.object(&at, member)?,
                Value::Null if self.nulls_remove => self.push(at, None)?,
                leaf => {
                    let json = Json::from_value(leaf, at.depth())?;
                    self.push(at, Some(LeafValue::Json(json)))?;
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, path: Pointer, value: Option<LeafValue>) -> Result<(), DocumentError> {
        if self.edits.len() == self.leaves_max {
            return Err(DocumentError::TooManyLeaves);
        }
        self.edits.push((path, value));
        Ok(())
    }

    fn finish(mut self) -> Vec<Edit> {
        self.edits.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        self.edits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn canonical(value: &Value) -> String {
        Json::from_value(value, 0)
            .expect("a leaf")
            .as_str()
            .to_owned()
    }

    #[test]
    fn equal_values_have_equal_text() {
        assert_eq!(canonical(&json!(2.0)), "2");
        assert_eq!(canonical(&json!(-0.0)), "0");
        assert_eq!(canonical(&json!(1e18)), "1000000000000000000");
        assert_eq!(canonical(&json!(0.5)), "0.5");
        assert_eq!(
            canonical(&json!([{"b": 1, "a": [2.0]}])),
            r#"[{"a":[2],"b":1}]"#
        );
    }

    #[test]
    fn what_nests_deeper_than_the_limit_is_refused() {
        let nest = |levels: usize| {
            let text = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
            serde_json::from_str::<Value>(&text).expect("valid JSON")
        };
        assert!(Json::from_value(&nest(DOCUMENT_DEPTH_MAX), 0).is_ok());
        let too_deep = Json::from_value(&nest(DOCUMENT_DEPTH_MAX + 1), 0);
        assert_eq!(too_deep, Err(DocumentError::TooDeep));
        assert_eq!(
            Json::from_value(&nest(1), DOCUMENT_DEPTH_MAX),
            Err(DocumentError::TooDeep)
        );
        let bomb = "[".repeat(1 << 20);
        assert_eq!(parse_json(bomb.as_bytes()), Err(DocumentError::NotJson));
        let mut object = json!(1);
        for _ in 0..=DOCUMENT_DEPTH_MAX {
            object = json!({ "x": object });
        }
        assert_eq!(leaves_of(&object, 10), Err(DocumentError::TooDeep));
    }

    #[test]
    fn leaves_come_in_path_order_and_empty_objects_are_leaves() {
        let leaves = leaves_of(
            &json!({"b": {"y": [1], "x": {}}, "a-": 1, "a": {"z": null}}),
            9,
        );
        let paths: Vec<_> = leaves
            .expect("small")
            .iter()
            .map(|(path, _)| path.to_string())
            .collect();
        assert_eq!(paths, ["/a-", "/a/z", "/b/x", "/b/y"]);
        assert_eq!(leaves_of(&json!([1]), 9), Err(DocumentError::NotAnObject));
        assert_eq!(
            leaves_of(&json!({"a": 1, "b": 2}), 1),
            Err(DocumentError::TooManyLeaves)
        );
    }

    proptest! {
        #[test]
        fn canonical_text_of_numbers_is_a_fixed_point(bits: u64) {
            if let Some(number) = Number::from_f64(f64::from_bits(bits)) {
                let text = canonical(&Value::Number(number));
                let again = Json::from_canonical(&text, 0).map(|json| json.as_str().to_owned());
                prop_assert_eq!(again, Ok(text));
            }
        }
    }
}
