//! One value of a list, as each format writes it.

use std::fmt::Write;

use serde_json::{Map, Value, json};

/// What a value is, which tells how RabbitMQ's tools write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, a number, a truth value, nothing.
    Plain,
    /// A list of words: `[administrator, monitoring]`.
    Words,
    /// An AMQP table: `[{"x-max-length",10}]`.
    Arguments,
    /// What policies make of a queue: `[{<<"max-length">>, 10}]`.
    Definition,
    /// A JSON document.
    Document,
    /// What is kept about a vhost: `#{description => text, tags => []}`.
    Metadata,
    /// States by node: `[{rabbit@host, running}]`.
    States,
}

impl Kind {
    /// The value in a table: on one line, and without control characters.
    pub(super) fn text(self, value: &Value) -> String {
        let mut text = match (self, value) {
            (_, Value::Null) => String::new(),
            (Self::Document, value) => value.to_string(),
            (_, Value::String(text)) => text.clone(),
            (Self::Words, Value::Array(words)) => list(words.iter().map(plain)),
            (Self::Arguments, value) => term(value),
            (Self::Definition, Value::Object(settings)) if settings.is_empty() => "#{}".into(),
            (Self::Definition, Value::Object(settings)) => list(
                settings.iter().map(|(key, value)| format!("{{<<\"{key}\">>, {}}}", term(value))),
            ),
            (Self::Definition, _) => "[]".into(),
            (Self::Metadata, Value::Object(fields)) => metadata(fields),
            (Self::States, Value::Object(states)) => {
                list(states.iter().map(|(node, state)| format!("{{{node}, {}}}", plain(state))))
            }
            (_, value) => plain(value),
        };
        escape_controls(&mut text);
        text
    }

    /// The value as RabbitMQ's `--formatter json` has it.
    pub(super) fn compatible(self, value: &Value) -> Value {
        match (self, value) {
            (_, Value::Null) => json!(""),
            (Self::Arguments, value) => typed_table(value),
            (Self::Document, value) => Value::String(value.to_string()),
            (Self::States, Value::Object(states)) => {
                states.iter().map(|(k, v)| json!([k, v])).collect()
            }
            (_, value) => value.clone(),
        }
    }

    /// The value as plain JSON.
    pub(super) fn json(self, value: &Value) -> Value {
        match (self, value) {
            // The management API writes an empty table as an empty array (HT-018).
            (Self::Arguments | Self::Definition, Value::Array(none)) if none.is_empty() => {
                json!({})
            }
            (_, value) => value.clone(),
        }
    }
}

/// A value that is no structure; structures as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// A value as an Erlang term, in the way that RabbitMQ shows AMQP tables.
fn term(value: &Value) -> String {
    let joined = |items: Vec<String>| format!("[{}]", items.join(","));
    match value {
        Value::Null => "undefined".into(),
        Value::String(text) => quoted(text),
        Value::Array(items) => joined(items.iter().map(term).collect()),
        Value::Object(fields) => {
            let pair =
                |(key, value): (&String, &Value)| format!("{{{},{}}}", quoted(key), term(value));
            joined(fields.iter().map(pair).collect())
        }
        value => value.to_string(),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn metadata(fields: &Map<String, Value>) -> String {
    let pair = |(key, value): (&String, &Value)| {
        let value = match value {
            Value::Array(words) => list(words.iter().map(plain)),
            value => plain(value),
        };
        format!("{key} => {value}")
    };
    format!("#{{{}}}", fields.iter().map(pair).collect::<Vec<_>>().join(", "))
}

/// Replaces control characters, which could break the table or command the terminal.
fn escape_controls(text: &mut String) {
    if !text.chars().any(char::is_control) {
        return;
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\t' => escaped.push_str("\\t"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            control if control.is_control() => {
                // A String takes all that is written to it.
                let _ = write!(escaped, "\\x{:02x}", u32::from(control));
            }
            other => escaped.push(other),
        }
    }
    *text = escaped;
}

/// An AMQP table as RabbitMQ's JSON formatter has it: `[["key","longstr","value"]]`.
fn typed_table(value: &Value) -> Value {
    let Value::Object(fields) = value else { return json!([]) };
    let entry = |(key, value): (&String, &Value)| {
        let (kind, value) = typed(value);
        json!([key, kind, value])
    };
    fields.iter().map(entry).collect()
}

fn typed(value: &Value) -> (&'static str, Value) {
    match value {
        Value::Null => ("void", json!("undefined")),
        Value::Bool(_) => ("bool", value.clone()),
        Value::Number(number) if number.is_f64() => ("double", value.clone()),
        Value::Number(_) => ("long", value.clone()),
        Value::String(_) => ("longstr", value.clone()),
        Value::Object(_) => ("table", typed_table(value)),
        Value::Array(items) => {
            let item = |item| {
                let (kind, value) = typed(item);
                json!([kind, value])
            };
            ("array", items.iter().map(item).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_look_as_in_rabbitmq() {
        let arguments =
            json!({"x-b": true, "x-f": 1.5, "x-l": ["a", 1], "x-m": 100, "x-t": {"k": "v\""}});
        let shown =
            r#"[{"x-b",true},{"x-f",1.5},{"x-l",["a",1]},{"x-m",100},{"x-t",[{"k","v\""}]}]"#;
        for (kind, value, text) in [
            (Kind::Plain, json!(null), ""),
            (Kind::Plain, json!(12), "12"),
            (Kind::Plain, json!("a \"b\" \\d \u{e9}\u{4e2d}"), "a \"b\" \\d \u{e9}\u{4e2d}"),
            (Kind::Words, json!(["administrator", "x"]), "[administrator, x]"),
            (Kind::Words, json!([]), "[]"),
            (Kind::Arguments, json!([]), "[]"),
            (Kind::Arguments, json!({}), "[]"),
            (Kind::Arguments, arguments, shown),
            (Kind::Definition, json!({"max-length": 10}), "[{<<\"max-length\">>, 10}]"),
            (Kind::Definition, json!([]), "[]"),
            (Kind::Definition, json!({}), "#{}"),
            (Kind::Document, json!({"max-length": 10}), "{\"max-length\":10}"),
            (Kind::Document, json!("text"), "\"text\""),
            (
                Kind::Metadata,
                json!({"description": "d", "tags": ["a"]}),
                "#{description => d, tags => [a]}",
            ),
            (Kind::States, json!({"rabbit@h": "running"}), "[{rabbit@h, running}]"),
        ] {
            assert_eq!(kind.text(&value), text, "{kind:?} {value}");
        }
    }

    #[test]
    fn control_characters_do_not_reach_a_table() {
        let text = Kind::Plain.text(&json!("a\tb\nc\r\u{1b}[31m\u{7f}\u{9b}"));
        assert_eq!(text, "a\\tb\\nc\\r\\x1b[31m\\x7f\\x9b");
        let text = Kind::Arguments.text(&json!({"k\u{1b}": "\n"}));
        assert_eq!(text, r#"[{"k\x1b","\n"}]"#);
    }

    #[test]
    fn json_is_rabbitmqs_or_plain() {
        let arguments = json!({"a": [1, "b"], "n": 1, "t": {"b": true}});
        let typed = json!([
            ["a", "array", [["long", 1], ["longstr", "b"]]],
            ["n", "long", 1],
            ["t", "table", [["b", "bool", true]]]
        ]);
        assert_eq!(Kind::Arguments.compatible(&arguments), typed);
        assert_eq!(Kind::Arguments.json(&arguments), arguments);
        assert_eq!(Kind::Arguments.compatible(&json!([])), json!([]));
        assert_eq!(Kind::Arguments.json(&json!([])), json!({}));
        assert_eq!(Kind::Plain.compatible(&json!(null)), json!(""));
        assert_eq!(Kind::Plain.json(&json!(null)), json!(null));
        assert_eq!(Kind::Document.compatible(&json!({"a": 1})), json!("{\"a\":1}"));
        assert_eq!(Kind::Document.json(&json!({"a": 1})), json!({"a": 1}));
    }
}
