//! Names in the form of Erlang's process identifiers, by which RabbitMQ's tools call connections,
//! channels and queues. They have no blanks in them, as scripts expect.

use serde_json::Value;

/// The identifier of what has this name on this node; nothing for what has none.
pub(super) fn of(node: &Value, name: &Value) -> Value {
    if name.is_null() {
        return Value::Null;
    }
    let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
    let node = node.as_str().unwrap_or("rabbit@localhost");
    let hash = fnv(name.as_bytes());
    let (creation, id) = (hash >> 32, hash & 0xffff_ffff);
    format!("<{node}.{creation}.{id}.0>").into()
}

/// The hash of Fowler, Noll and Vo, in 64 bits: the same everywhere and in every version.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn identifiers_are_words_and_stay_the_same() {
        let name = json!("127.0.0.1:1 -> 127.0.0.1:2");
        let pid = of(&json!("rabbit@host"), &name);
        assert_eq!(pid, of(&json!("rabbit@host"), &name));
        assert_ne!(pid, of(&json!("rabbit@host"), &json!("127.0.0.1:3 -> 127.0.0.1:2")));
        let text = pid.as_str().unwrap();
        assert!(text.starts_with("<rabbit@host.") && text.ends_with(".0>"), "{text}");
        assert!(!text.contains(' '), "{text}");
        assert_eq!(of(&json!("rabbit@host"), &json!(null)), json!(null));
    }

    #[test]
    fn hash_is_the_published_one() {
        assert_eq!(fnv(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
