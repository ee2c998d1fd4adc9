//! A message's properties, to JSON and back (HT-039, HT-086).

use serde_json::{Map, Value as Json, json};

use super::{Failure, json};
use crate::wire::{
    properties::{Properties, Property},
    table,
};

/// What RabbitMQ says of a property that is too long.
pub(super) const TOO_LONG: &str =
    "506 failed to deliver message: content_properties_shortstr_overflow";

/// The name of a property in JSON.
fn name(property: Property) -> &'static str {
    match property {
        Property::ContentType => "content_type",
        Property::ContentEncoding => "content_encoding",
        Property::Headers => "headers",
        Property::DeliveryMode => "delivery_mode",
        Property::Priority => "priority",
        Property::CorrelationId => "correlation_id",
        Property::ReplyTo => "reply_to",
        Property::Expiration => "expiration",
        Property::MessageId => "message_id",
        Property::Timestamp => "timestamp",
        Property::Type => "type",
        Property::UserId => "user_id",
        Property::AppId => "app_id",
        Property::ClusterId => "cluster_id",
    }
}

/// Raw properties as an object; without any as an empty list (HT-018). Bytes that are no text
/// become replacement characters.
pub(super) fn of_raw(raw: &[u8]) -> Json {
    let properties = Properties::of_message(raw);
    let mut object = Map::new();
    for property in Property::ALL {
        let Some(value) = properties.get(property) else { continue };
        let value = match property {
            Property::Headers => table::decode(value).map_or(json!({}), |t| json::of_table(&t)),
            Property::DeliveryMode | Property::Priority => json!(value.first()),
            // RabbitMQ shows what is beyond its range as a negative number.
            Property::Timestamp => json!(properties.timestamp().map(u64::cast_signed)),
            _ => json!(String::from_utf8_lossy(value)),
        };
        object.insert(name(property).to_owned(), value);
    }
    if object.is_empty() { json!([]) } else { Json::Object(object) }
}

/// An object as raw properties. What is none of them is passed over.
///
/// # Errors
/// [`Failure::BadTerm`] or [`Failure::BadRequest`] for a value of the wrong type.
pub(super) fn to_raw(object: &Map<String, Json>) -> Result<Vec<u8>, Failure> {
    let mut values = Vec::new();
    for property in Property::ALL {
        if let Some(value) = object.get(name(property)) {
            values.push((property, bytes(property, value)?));
        }
    }
    let changes: Vec<_> =
        values.iter().map(|(property, value)| (*property, Some(value.as_slice()))).collect();
    Ok(Properties::EMPTY.with(&changes))
}

/// A value as it lies in the list of properties.
fn bytes(property: Property, value: &Json) -> Result<Vec<u8>, Failure> {
    let integer = || value.as_i64().ok_or(Failure::BadTerm("not_int", json!(name(property))));
    match property {
        Property::Headers => match value {
            Json::Object(object) => Ok(table::encode(&json::to_table(object)?)),
            Json::Array(items) if items.is_empty() => Ok(Vec::new()),
            _ => Err(Failure::bad_request("headers must be an object")),
        },
        // What is beyond an octet is cut off, as in RabbitMQ.
        Property::DeliveryMode | Property::Priority => Ok(vec![integer()? as u8]),
        Property::Timestamp => Ok(integer()?.to_be_bytes().into()),
        _ => match value {
            Json::String(text) if u8::try_from(text.len()).is_ok() => Ok(text.clone().into()),
            Json::String(_) => Err(Failure::bad_request(TOO_LONG)),
            _ => Err(Failure::BadTerm("not_string", json!(name(property)))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // HT-018, HT-039
    #[test]
    fn properties_go_to_raw_and_back() {
        let object = json!({
            "content_type": "text/plain", "content_encoding": "utf8",
            "headers": {"a": 1, "b": [true, {"c": "d"}], "e": 0.5},
            "delivery_mode": 2, "priority": 5, "correlation_id": "c", "reply_to": "r",
            "expiration": "1000", "message_id": "m", "timestamp": -5, "type": "t",
            "user_id": "guest", "app_id": "a", "cluster_id": "cl",
        });
        let raw = to_raw(object.as_object().unwrap()).unwrap();
        assert!(Properties::parse(&raw).is_ok());
        assert_eq!(of_raw(&raw), object);
        assert_eq!(of_raw(&to_raw(&Map::new()).unwrap()), json!([]));
        let no_headers = json!({"headers": []});
        let raw = to_raw(no_headers.as_object().unwrap()).unwrap();
        assert_eq!(of_raw(&raw), json!({"headers": {}}));
    }

    #[test]
    fn properties_of_the_wrong_type_are_refused_by_name() {
        let refused = |object: Json| to_raw(object.as_object().unwrap()).unwrap_err();
        let term = |word, name: &str| Failure::BadTerm(word, json!(name));
        assert_eq!(refused(json!({"priority": "5"})), term("not_int", "priority"));
        assert_eq!(refused(json!({"timestamp": 1.5})), term("not_int", "timestamp"));
        assert_eq!(refused(json!({"expiration": 5})), term("not_string", "expiration"));
        assert_eq!(refused(json!({"message_id": "x".repeat(256)})), Failure::bad_request(TOO_LONG));
        assert_eq!(
            refused(json!({"headers": {"a": null}})),
            Failure::bad_request("null_not_allowed")
        );
    }
}
