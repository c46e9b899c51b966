//! Replies as short text that tests can compare.

use redis::Value;

/// A reply as text: `+status`, `-error`, `:integer`, `nil`, strings as they are, `[arrays]` and
/// `{maps}`.
#[must_use]
pub fn text(value: &Value) -> String {
    match value {
        Value::Nil => "nil".to_owned(),
        Value::Int(number) => format!(":{number}"),
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Array(values) | Value::Set(values) => format!("[{}]", list(values)),
        Value::SimpleString(status) => format!("+{status}"),
        Value::Okay => "+OK".to_owned(),
        Value::Map(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(key, value)| format!("{}: {}", text(key), text(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Attribute { data, .. } => text(data),
        Value::Double(number) => format!(",{number}"),
        Value::Boolean(is_true) => format!("#{is_true}"),
        Value::VerbatimString { text, .. } => text.clone(),
        Value::BigNumber(digits) => String::from_utf8_lossy(digits).into_owned(),
        Value::Push { data, .. } => format!(">[{}]", list(data)),
        Value::ServerError(error) => {
            format!("-{} {}", error.code(), error.details().unwrap_or_default())
        }
        // The client's list of kinds may grow; Larder sends none but these.
        other => format!("{other:?}"),
    }
}

fn list(values: &[Value]) -> String {
    values.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// The parts of an array, or of a map with its keys between its values.
#[must_use]
pub fn parts(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(values) | Value::Set(values) => values.clone(),
        Value::Map(pairs) => pairs
            .iter()
            .flat_map(|(key, value)| [key.clone(), value.clone()])
            .collect(),
        other => vec![other.clone()],
    }
}

/// The value of `name` in a map, or in an array of names and values.
#[must_use]
pub fn field(value: &Value, name: &str) -> Option<Value> {
    let parts = parts(value);
    parts
        .chunks_exact(2)
        .find_map(|pair| (text(pair.first()?) == name).then(|| pair.get(1).cloned())?)
}
