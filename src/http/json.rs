//! Arguments, properties and data, to JSON and back.

use serde_json::{Map, Number, Value as Json, json};

use super::Failure;
use crate::{
    broker::datum::{self, Datum},
    wire::table::{Table, Value},
};

/// How deep JSON arguments may be nested: as deep as tables.
const DEPTH_MAX: usize = crate::wire::table::DEPTH_MAX;

/// A table of arguments as an object.
pub(super) fn of_table(table: &Table) -> Json {
    let pairs = table.inner().iter();
    Json::Object(pairs.map(|(key, value)| (key.as_str().to_owned(), of_value(value))).collect())
}

/// A table value. Bytes that are no text become replacement characters, as a string.
pub(super) fn of_value(value: &Value) -> Json {
    match value {
        Value::Boolean(value) => json!(value),
        Value::ShortShortInt(value) => json!(value),
        Value::ShortShortUInt(value) => json!(value),
        Value::ShortInt(value) => json!(value),
        Value::ShortUInt(value) => json!(value),
        Value::LongInt(value) => json!(value),
        Value::LongUInt(value) => json!(value),
        Value::LongLongInt(value) => json!(value),
        Value::Float(value) => json!(value),
        Value::Double(value) => json!(value),
        Value::DecimalValue(value) => {
            json!(f64::from(value.value) / 10_f64.powi(i32::from(value.scale)))
        }
        Value::ShortString(text) => json!(text.as_str()),
        Value::LongString(text) => json!(String::from_utf8_lossy(text.as_bytes())),
        Value::FieldArray(array) => array.as_slice().iter().map(of_value).collect(),
        Value::Timestamp(seconds) => json!(seconds),
        Value::FieldTable(table) => of_table(table),
        Value::ByteArray(bytes) => json!(String::from_utf8_lossy(bytes.as_slice())),
        Value::Void => Json::Null,
    }
}

/// An object as a table of arguments.
///
/// # Errors
/// [`Failure::BadRequest`] if it is nested too deep, a key is too long or anything is null.
pub(super) fn to_table(object: &Map<String, Json>) -> Result<Table, Failure> {
    table_within(object, DEPTH_MAX)
}

/// How deep what is inside may be nested.
fn inside(depth: usize) -> Result<usize, Failure> {
    let too_deep = || Failure::BadRequest(format!("tables nested deeper than {DEPTH_MAX} levels"));
    depth.checked_sub(1).ok_or_else(too_deep)
}

fn table_within(object: &Map<String, Json>, depth: usize) -> Result<Table, Failure> {
    let depth = inside(depth)?;
    let mut table = Table::default();
    for (key, value) in object {
        if key.len() > usize::from(u8::MAX) {
            return Err(Failure::bad_request("a key of a table has more than 255 bytes"));
        }
        table.insert(key.as_str().into(), value_within(value, depth)?);
    }
    Ok(table)
}

fn value_within(value: &Json, depth: usize) -> Result<Value, Failure> {
    Ok(match value {
        Json::Null => return Err(Failure::bad_request("null_not_allowed")),
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(number) => match number.as_i64() {
            Some(value) => Value::LongLongInt(value),
            None => Value::Double(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::LongString(text.as_str().into()),
        Json::Array(items) => {
            let depth = inside(depth)?;
            let items: Result<Vec<Value>, Failure> =
                items.iter().map(|item| value_within(item, depth)).collect();
            Value::FieldArray(items?.into())
        }
        Json::Object(object) => Value::FieldTable(table_within(object, depth)?),
    })
}

/// A runtime parameter's or a policy's value.
pub(super) fn of_datum(datum: &Datum) -> Json {
    match datum {
        Datum::Null => Json::Null,
        Datum::Boolean(value) => json!(value),
        Datum::Integer(value) => json!(value),
        Datum::Float(value) => Number::from_f64(*value).map_or(Json::Null, Json::Number),
        Datum::Text(text) => json!(text),
        Datum::List(items) => items.iter().map(of_datum).collect(),
        Datum::Map(map) => of_map(map),
    }
}

/// A map of such values.
pub(super) fn of_map(map: &datum::Map) -> Json {
    Json::Object(map.iter().map(|(key, value)| (key.clone(), of_datum(value))).collect())
}

/// A value for a runtime parameter or a policy.
///
/// # Errors
/// [`Failure::BadRequest`] if it is nested too deep to be kept.
pub(super) fn to_datum(value: &Json) -> Result<Datum, Failure> {
    datum_within(value, datum::DEPTH_MAX)
}

fn datum_within(value: &Json, depth: usize) -> Result<Datum, Failure> {
    let too_deep =
        || Failure::BadRequest(format!("values nested deeper than {} levels", datum::DEPTH_MAX));
    let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
    Ok(match value {
        Json::Null => Datum::Null,
        Json::Bool(value) => Datum::Boolean(*value),
        Json::Number(number) => match number.as_i64() {
            Some(value) => Datum::Integer(value),
            None => Datum::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Datum::Text(text.clone()),
        Json::Array(items) => {
            let items = items.iter().map(|item| datum_within(item, depth));
            Datum::List(items.collect::<Result<_, _>>()?)
        }
        Json::Object(object) => Datum::Map(map_within(object, depth)?),
    })
}

fn map_within(object: &Map<String, Json>, depth: usize) -> Result<datum::Map, Failure> {
    let pairs = object.iter();
    pairs.map(|(key, value)| Ok((key.clone(), datum_within(value, depth)?))).collect()
}

/// An object as a map of such values.
///
/// # Errors
/// As [`to_datum`]'s.
pub(super) fn to_map(object: &Map<String, Json>) -> Result<datum::Map, Failure> {
    map_within(object, datum::DEPTH_MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_go_to_json_and_back() {
        let object = json!({
            "x-message-ttl": 5, "big": -1, "half": 0.5, "on": true,
            "text": "\u{f6}", "list": [1, "a", [false]], "table": {"a": {"b": 1}},
        });
        let table = to_table(object.as_object().unwrap()).unwrap();
        assert_eq!(of_table(&table), object);
        let map = to_map(object.as_object().unwrap()).unwrap();
        assert_eq!(of_map(&map), object);
    }

    #[test]
    fn what_no_table_can_hold_is_refused() {
        let mut nested = json!(1);
        for _ in 0..=DEPTH_MAX {
            nested = json!({"a": nested});
        }
        assert!(to_table(nested.as_object().unwrap()).is_err());
        let long = json!({"k".repeat(256): 1});
        assert!(to_table(long.as_object().unwrap()).is_err());
        let null = json!({"a": [{"b": null}]});
        let refused = Failure::bad_request("null_not_allowed");
        assert_eq!(to_table(null.as_object().unwrap()), Err(refused));
    }

    #[test]
    fn what_could_not_be_read_back_is_no_datum() {
        let nested = |levels| (1..levels).fold(json!(1), |inner, _| json!([inner]));
        assert!(to_datum(&nested(datum::DEPTH_MAX)).is_ok());
        assert!(to_datum(&nested(datum::DEPTH_MAX + 1)).is_err());
        let object = json!({"a": nested(datum::DEPTH_MAX - 1)});
        assert!(to_map(object.as_object().unwrap()).is_ok());
        let object = json!({"a": nested(datum::DEPTH_MAX)});
        assert!(to_map(object.as_object().unwrap()).is_err());
    }

    #[test]
    fn bytes_that_are_no_text_become_a_string_all_the_same() {
        let value = Value::LongString(vec![b'a', 0xff].into());
        assert_eq!(of_value(&value), json!("a\u{fffd}"));
    }
}
