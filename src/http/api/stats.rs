//! Counters as RabbitMQ shows them: each with its rate beside it (HT-016).

use serde_json::{Map, Value, json};

use crate::broker::stats::{Stat, Tally};

/// Puts a counter or a gauge into an object, with its rate per second.
pub(super) fn put(object: &mut Map<String, Value>, name: &str, value: u64, rate: f64) {
    object.insert(name.to_owned(), json!(value));
    object.insert(format!("{name}_details"), json!({"rate": rate}));
}

/// `message_stats` (HT-074): all of these counters, and `deliver_get`.
pub(super) fn messages(
    tally: &Tally,
    stats: &[Stat],
    rate: impl Fn(&str, u64) -> f64,
) -> Map<String, Value> {
    let mut object = Map::new();
    for stat in stats {
        put(&mut object, stat.name(), tally[*stat], rate(stat.name(), tally[*stat]));
    }
    let deliver_get = tally.deliver_get();
    put(&mut object, "deliver_get", deliver_get, rate("deliver_get", deliver_get));
    object
}
