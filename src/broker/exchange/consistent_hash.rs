//! `x-consistent-hash`: each value goes to one destination, and always to the same as long as that
//! is bound (EX-090..092).
//!
//! Rendezvous hashing: value and destination together have a hash, and the highest wins. So
//! binding a queue takes values from the others and gives them to it alone, unbinding it spreads
//! its own over the others, and no other value moves. It matters neither in which order things were
//! bound nor whether the broker was restarted since.
//!
//! deviation: RabbitMQ numbers buckets, and an unbind moves those behind it; its mapping differs.

use std::collections::BTreeMap;

use super::{
    BindingRef, ExchangeType, HeaderValue, Matches, Target, View,
    hash::{hash, mix},
};
use crate::{
    broker::{
        Error,
        error::{BindingFault, ExchangeFault},
    },
    wire::{
        properties::Properties,
        table::{Table, TableWriter, Value},
    },
};

/// The highest weight of a binding (EX-090).
const WEIGHT_MAX: i64 = 10_000;

/// The destinations of one exchange.
#[derive(Debug)]
pub(super) struct ConsistentHash {
    hash_on: HashOn,
    destinations: BTreeMap<Target, Destination>,
}

/// What of a message is hashed.
#[derive(Debug)]
enum HashOn {
    RoutingKey,
    Header(Box<[u8]>),
    Property(Property),
}

#[derive(Clone, Copy, Debug)]
enum Property {
    CorrelationId,
    MessageId,
    Timestamp,
}

#[derive(Debug)]
struct Destination {
    /// The hash of its name.
    seed: u64,
    /// Its bindings with their weights. The first counts (EX-092); when that is gone, the next.
    weights: Vec<(u32, u16)>,
}

impl ConsistentHash {
    pub(super) fn new(arguments: &Table) -> Result<Self, Error> {
        let header = text(arguments, "hash-header")?;
        let property = text(arguments, "hash-property")?;
        let hash_on = match (header, property) {
            (None, None) => HashOn::RoutingKey,
            (Some(header), None) => HashOn::Header(header.into()),
            (None, Some(b"correlation_id")) => HashOn::Property(Property::CorrelationId),
            (None, Some(b"message_id")) => HashOn::Property(Property::MessageId),
            (None, Some(b"timestamp")) => HashOn::Property(Property::Timestamp),
            (None, Some(other)) => {
                let property = String::from_utf8_lossy(other).into();
                return Err(ExchangeFault::UnsupportedProperty { property }.into());
            }
            (Some(_), Some(_)) => return Err(ExchangeFault::HeaderAndProperty.into()),
        };
        Ok(Self { hash_on, destinations: BTreeMap::new() })
    }

    /// The hash of what this exchange looks at. What a message lacks is hashed, too: all of those
    /// that lack it go to one destination.
    fn hash(&self, message: &View<'_>) -> u64 {
        match &self.hash_on {
            HashOn::RoutingKey => hash(message.keys.first().copied().unwrap_or_default()),
            HashOn::Header(name) => match message.header(name) {
                Some(value) => hash_value(&value),
                None => hash(b""),
            },
            HashOn::Property(property) => hash_property(*property, message.properties),
        }
    }
}

/// An argument that must be a string.
///
/// deviation: RabbitMQ answers 541 to one that is none.
fn text<'a>(arguments: &'a Table, argument: &'static str) -> Result<Option<&'a [u8]>, Error> {
    match arguments.inner().get(argument) {
        None => Ok(None),
        Some(Value::LongString(text)) => Ok(Some(text.as_bytes())),
        Some(_) => Err(ExchangeFault::NoString { argument }.into()),
    }
}

fn hash_property(property: Property, properties: Option<Properties<'_>>) -> u64 {
    let value = properties.and_then(|properties| match property {
        Property::CorrelationId => properties.correlation_id().map(hash),
        Property::MessageId => properties.message_id().map(hash),
        Property::Timestamp => properties.timestamp().map(|t| hash(t.to_string().as_bytes())),
    });
    value.unwrap_or_else(|| hash(b""))
}

/// Equal values have equal hashes, whatever the widths of their numbers.
fn hash_value(value: &HeaderValue<'_>) -> u64 {
    let tagged = |tag: u8, bytes: &[u8]| hash(bytes) ^ mix(tag.into());
    match value {
        HeaderValue::Bytes(bytes) => hash(bytes),
        HeaderValue::Int(value) => tagged(1, &value.to_be_bytes()),
        HeaderValue::Bool(value) => tagged(2, &[u8::from(*value)]),
        HeaderValue::Float(bits) => tagged(3, &bits.to_be_bytes()),
        HeaderValue::Timestamp(value) => tagged(4, &value.to_be_bytes()),
        HeaderValue::Compound(value) => {
            let mut writer = TableWriter::new();
            writer.put_value(b"", value);
            tagged(5, &writer.finish())
        }
        HeaderValue::Void => tagged(6, b""),
    }
}

/// The weight that a binding key says.
fn weight(key: &[u8]) -> Result<u16, BindingFault> {
    let text = str::from_utf8(key).unwrap_or_default();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BindingFault::WeightNoInteger { key: key.to_vec() });
    }
    // What is too long for the number is too large, or too small.
    let out_of_range = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    match text.parse().unwrap_or(out_of_range) {
        ..1 => Err(BindingFault::WeightTooLow),
        weight @ 1..=WEIGHT_MAX => Ok(weight.unsigned_abs() as u16),
        _ => Err(BindingFault::WeightTooHigh { max: WEIGHT_MAX }),
    }
}

impl ExchangeType for ConsistentHash {
    fn check_binding(&self, key: &[u8], _arguments: &Table) -> Result<(), Error> {
        weight(key)?;
        Ok(())
    }

    fn bind(&mut self, binding: BindingRef<'_>) {
        let weight = weight(binding.key).unwrap_or(1);
        let seed = hash(binding.name.as_bytes()) ^ u64::from(binding.target.as_queue().is_none());
        let none = || Destination { seed, weights: Vec::new() };
        let destination = self.destinations.entry(binding.target).or_insert_with(none);
        destination.weights.push((binding.id, weight));
    }

    fn unbind(&mut self, binding: BindingRef<'_>) {
        if let Some(destination) = self.destinations.get_mut(&binding.target) {
            destination.weights.retain(|(id, _)| *id != binding.id);
            if destination.weights.is_empty() {
                self.destinations.remove(&binding.target);
            }
        }
    }

    fn route(&self, message: &View<'_>, out: &mut Matches) {
        if self.destinations.is_empty() {
            return;
        }
        let value = self.hash(message);
        let scores = self.destinations.iter().map(|(target, destination)| {
            let weight = destination.weights.first().map_or(1, |(_, weight)| *weight);
            (score(mix(value ^ mix(destination.seed)), weight), destination.seed, target)
        });
        let highest = scores.max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        out.targets.extend(highest.map(|(.., target)| *target));
    }

    fn is_cacheable(&self) -> bool {
        matches!(self.hash_on, HashOn::RoutingKey)
    }
}

/// How well a destination does for a value: it wins as often as its weight is part of all weights.
fn score(hash: u64, weight: u16) -> f64 {
    // A number above 0 and up to 1.
    let even = (f64::from((hash >> 32) as u32) + 1.0) / 4_294_967_296.0;
    even.ln() / f64::from(weight)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::table::{LongString, ShortString};

    fn table(entries: &[(&str, Value)]) -> Table {
        let mut table = Table::default();
        for (name, value) in entries {
            table.insert(ShortString::from(*name), value.clone());
        }
        table
    }

    fn text(text: &str) -> Value {
        Value::LongString(LongString::from(text))
    }

    fn binding<'a>(number: u32, name: &'a str, key: &'a str, none: &'a Table) -> BindingRef<'a> {
        let target = Target::queue(number % 1000);
        BindingRef { id: number, target, name, key: key.as_bytes(), arguments: none }
    }

    /// An exchange with the queues of these numbers and weights.
    fn exchange(queues: &[(u32, u32)]) -> ConsistentHash {
        let none = Table::default();
        let mut exchange = ConsistentHash::new(&none).unwrap();
        for (queue, weight) in queues {
            let (name, key) = (format!("queue {queue}"), weight.to_string());
            exchange.bind(binding(*queue, &name, &key, &none));
        }
        exchange
    }

    fn unbind(exchange: &mut ConsistentHash, queue: u32, weight: u32) {
        let (name, key, none) = (format!("queue {queue}"), weight.to_string(), Table::default());
        exchange.unbind(binding(queue, &name, &key, &none));
    }

    fn route(exchange: &ConsistentHash, key: u32) -> Option<u32> {
        let mut out = Matches::default();
        exchange.route(&View::new(&[key.to_string().as_bytes()], None), &mut out);
        assert!(out.targets.len() <= 1);
        out.targets.first().and_then(|target| target.as_queue())
    }

    // EX-090
    #[test]
    fn binding_keys_are_weights() {
        let exchange = exchange(&[]);
        for (key, text) in [
            ("abc", "The binding key must be an integer: <<\"abc\">>"),
            ("", "The binding key must be an integer: <<>>"),
            ("1.5", "The binding key must be an integer: <<\"1.5\">>"),
            (" 1", "The binding key must be an integer: <<\" 1\">>"),
            ("0", "The binding key must be greater than 0"),
            ("-99999999999999999999", "The binding key must be greater than 0"),
            ("10001", "The binding key must not exceed 10000"),
            ("99999999999999999999", "The binding key must not exceed 10000"),
        ] {
            let refused = exchange.check_binding(key.as_bytes(), &Table::default());
            assert_eq!(refused.unwrap_err().to_string(), text);
        }
        for key in ["1", "10000", "+5", "007"] {
            assert_eq!(exchange.check_binding(key.as_bytes(), &Table::default()), Ok(()));
        }
    }

    // EX-091
    #[test]
    fn one_property_or_header_may_be_hashed() {
        let make = |entries: &[(&str, Value)]| {
            ConsistentHash::new(&table(entries)).map(|exchange| exchange.is_cacheable())
        };
        assert_eq!(make(&[]), Ok(true));
        for property in ["correlation_id", "message_id", "timestamp"] {
            assert_eq!(make(&[("hash-property", text(property))]), Ok(false));
        }
        assert_eq!(make(&[("hash-header", text("h"))]), Ok(false));
        let unsupported = make(&[("hash-property", text("foo"))]).unwrap_err();
        assert_eq!(unsupported.to_string(), "Unsupported property: foo");
        let both = make(&[("hash-property", text("timestamp")), ("hash-header", text("h"))]);
        assert_eq!(
            both.unwrap_err().to_string(),
            "hash-header and hash-property are mutually exclusive"
        );
    }

    // EX-092
    #[test]
    fn a_second_binding_adds_no_weight_and_stays_when_the_first_goes() {
        let single = exchange(&[(1, 1), (2, 1)]);
        let mut double = exchange(&[(1, 1), (2, 1), (1001, 9)]);
        assert!((0..1000).all(|key| route(&single, key) == route(&double, key)));
        unbind(&mut double, 1, 1);
        assert!((0..1000).any(|key| route(&double, key) == Some(1)));
        unbind(&mut double, 1001, 9);
        assert!((0..1000).all(|key| route(&double, key) == Some(2)));
        unbind(&mut double, 2, 1);
        assert_eq!(route(&double, 7), None);
    }

    #[test]
    fn headers_are_hashed_by_value() {
        let exchange = {
            let mut exchange = ConsistentHash::new(&table(&[("hash-header", text("h"))])).unwrap();
            let none = Table::default();
            for (queue, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
                exchange.bind(binding(queue as u32, name, "1", &none));
            }
            exchange
        };
        let route = |value: Option<Value>| {
            let headers = value.map_or_else(Table::default, |value| table(&[("h", value)]));
            let mut out = Matches::default();
            exchange.route(&View::new(&[b"ignored"], Some(&headers)), &mut out);
            out.targets
        };
        assert_eq!(route(Some(Value::LongInt(5))), route(Some(Value::LongLongInt(5))));
        assert_eq!(route(None), route(None));
        let array = |n| Value::FieldArray(vec![Value::LongInt(n)].into());
        let of_strings = (0..50).map(|n| route(Some(text(&n.to_string()))));
        let of_numbers = (0..50).map(|n| route(Some(Value::LongInt(n))));
        let of_arrays = (0..50).map(|n| route(Some(array(n))));
        for mut routes in [of_strings.collect(), of_numbers.collect(), of_arrays.collect()] {
            let routes: &mut Vec<_> = &mut routes;
            routes.sort();
            routes.dedup();
            assert_eq!(routes.len(), 4);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn each_queue_gets_its_share(weights in proptest::collection::vec(1..6_u32, 1..8)) {
            let queues: Vec<_> = (0..).zip(weights.iter().copied()).collect();
            let exchange = exchange(&queues);
            let mut counts = vec![0_u32; weights.len()];
            for key in 0..20_000 {
                counts[route(&exchange, key).unwrap() as usize] += 1;
            }
            let total: u32 = weights.iter().sum();
            for (count, weight) in counts.iter().zip(&weights) {
                let fair = 20_000 * weight / total;
                prop_assert!(count.abs_diff(fair) <= 450, "{counts:?} for {weights:?}");
            }
        }

        #[test]
        fn only_the_values_of_the_queue_that_comes_or_goes_move(
            weights in proptest::collection::vec(1..20_u32, 2..8),
            gone in any::<prop::sample::Index>(),
        ) {
            let queues: Vec<_> = (0..).zip(weights.iter().copied()).collect();
            let mut exchange = exchange(&queues);
            let before: Vec<_> = (0..2000).map(|key| route(&exchange, key)).collect();
            let gone = gone.index(weights.len());
            unbind(&mut exchange, gone as u32, weights[gone]);
            for (key, before) in (0..).zip(&before) {
                let after = route(&exchange, key);
                prop_assert!(after != Some(gone as u32));
                prop_assert!(after == *before || *before == Some(gone as u32));
            }
            // In another order, and it is all as it was.
            let (name, key, none) =
                (format!("queue {gone}"), weights[gone].to_string(), Table::default());
            exchange.bind(binding(gone as u32, &name, &key, &none));
            let again: Vec<_> = (0..2000).map(|key| route(&exchange, key)).collect();
            prop_assert_eq!(again, before);
        }
    }
}
