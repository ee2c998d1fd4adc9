//! Dead letters: what a message becomes when a queue gives it up, and where it may not go again.
//!
//! RabbitMQ keeps a message's deaths beside it and writes them into the header `x-death` when it is
//! delivered (BA-230 to BA-246). Here they are written when they happen; a message says of itself
//! whether the header is the broker's ([`Message::has_deaths`]), for one that a client sent counts
//! for nothing (BA-242).

use crate::{
    clock::UnixTime,
    message::{Message, Traits, address},
    wire::{
        properties::{Properties, Property},
        table::{ArrayWriter, RawArray, RawTable, RawValue, TableWriter},
    },
};

/// Why a queue gave a message up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A consumer refused it.
    Rejected,
    /// Its time was over.
    Expired,
    /// There was no room for it.
    MaxLen,
    /// It came back too often.
    DeliveryLimit,
}

impl Reason {
    /// How many there are.
    pub const COUNT: usize = 4;

    /// All of them.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Rejected, Self::Expired, Self::MaxLen, Self::DeliveryLimit];

    /// What stands for the moment when a message is ready again that is dead and stays where it is,
    /// since its dead letter has nowhere to go. It is long past, so that a store which a restart
    /// left with such messages has them looked at first of all.
    pub fn ready_at(self) -> u64 {
        1 + self as u64
    }

    /// Why a message is dead, if that is what this moment says.
    pub fn of_ready_at(ready_at: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.ready_at() == ready_at)
    }

    /// The word for it in the headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::MaxLen => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
        }
    }
}

/// A death to be.
#[derive(Clone, Copy, Debug)]
pub struct Death<'a> {
    /// The queue that gives the message up.
    pub queue: &'a str,
    /// Why.
    pub reason: Reason,
    /// When.
    pub time: UnixTime,
    /// The exchange it goes to.
    pub exchange: &'a str,
    /// The routing key it goes with, instead of its own.
    pub routing_key: Option<&'a [u8]>,
}

/// The headers that the broker alone writes.
const HISTORY: [&[u8]; 7] = [
    b"x-death",
    b"x-first-death-exchange",
    b"x-first-death-queue",
    b"x-first-death-reason",
    b"x-last-death-exchange",
    b"x-last-death-queue",
    b"x-last-death-reason",
];

/// The dead letter that `message` becomes.
pub fn dead_letter(message: &Message, death: &Death<'_>) -> Message {
    let properties = Properties::of_message(message.properties());
    let headers = properties.headers().map_or(RawTable(b""), RawTable);
    let known = if message.has_deaths() { headers } else { RawTable(b"") };
    let expiration = properties.expiration();
    let deaths = record(known, message, death, expiration);
    let first = |name: &[u8], now: &str| {
        let known = known.get(name).and_then(RawValue::as_longstr);
        known.map_or_else(|| now.as_bytes().to_vec(), <[u8]>::to_vec)
    };
    let was_published_to = String::from_utf8_lossy(message.exchange());
    let reason = death.reason.as_str();
    let mut table = TableWriter::with_capacity(headers.0.len() + 256);
    table.copy(headers, &HISTORY).put(b"x-death", RawValue::Array(RawArray(&deaths)));
    for (name, now) in
        [("exchange", &*was_published_to), ("queue", death.queue), ("reason", reason)]
    {
        let (first_name, last_name) =
            (format!("x-first-death-{name}"), format!("x-last-death-{name}"));
        let first = first(first_name.as_bytes(), now);
        table.put(first_name.as_bytes(), RawValue::LongStr(&first));
        table.put(last_name.as_bytes(), RawValue::LongStr(now.as_bytes()));
    }
    let table = table.finish();
    let properties =
        properties.with(&[(Property::Headers, Some(&table)), (Property::Expiration, None)]);
    let key = death.routing_key.unwrap_or_else(|| message.routing_key());
    let address = address(death.exchange.as_bytes(), key);
    let mut traits = Traits { has_deaths: true, ..message.traits() };
    traits.has_one_key |= death.routing_key.is_some();
    message.readdressed(&address, &properties, traits)
}

/// The array of deaths with the new one in front; an earlier one of the same queue for the same
/// reason is counted on (BA-232).
fn record(
    known: RawTable<'_>,
    message: &Message,
    death: &Death<'_>,
    expiration: Option<&[u8]>,
) -> Vec<u8> {
    let earlier = known.get(b"x-death").and_then(RawValue::as_array);
    let earlier: Vec<RawTable<'_>> =
        earlier.into_iter().flat_map(RawArray::iter).filter_map(RawValue::as_table).collect();
    let is_same = |entry: &RawTable<'_>| {
        text(*entry, b"queue") == Some(death.queue.as_bytes())
            && text(*entry, b"reason") == Some(death.reason.as_str().as_bytes())
    };
    let newest = match earlier.iter().find(|entry| is_same(entry)) {
        Some(entry) => counted_on(*entry),
        None => first_of_its_kind(message, death, expiration),
    };
    let mut deaths = ArrayWriter::new();
    deaths.push(RawValue::Table(RawTable(&newest)));
    for entry in earlier.iter().filter(|entry| !is_same(entry)) {
        deaths.push(RawValue::Table(*entry));
    }
    deaths.finish()
}

fn text<'a>(entry: RawTable<'a>, key: &[u8]) -> Option<&'a [u8]> {
    entry.get(key).and_then(RawValue::as_longstr)
}

/// An entry whose count is one higher, all else as it was (its time is that of the first death).
fn counted_on(entry: RawTable<'_>) -> Vec<u8> {
    let mut table = TableWriter::with_capacity(entry.0.len());
    for (key, value) in entry.iter() {
        match (key, value.as_int()) {
            (b"count", Some(count)) => table.put(key, RawValue::I64(count.saturating_add(1))),
            _ => table.put(key, value),
        };
    }
    table.finish()
}

/// A new entry, its fields in RabbitMQ's order (BA-233).
fn first_of_its_kind(message: &Message, death: &Death<'_>, expiration: Option<&[u8]>) -> Vec<u8> {
    // BA-234: those of CC with it, those of BCC never.
    let mut known = message.routing_keys();
    for blind in message.keys_in(b"BCC") {
        if let Some(index) = known.iter().position(|key| *key == blind) {
            known.remove(index);
        }
    }
    let mut keys = ArrayWriter::new();
    for key in known {
        keys.push(RawValue::LongStr(key));
    }
    let keys = keys.finish();
    let mut table = TableWriter::with_capacity(256);
    if let Some(expiration) = expiration {
        table.put(b"original-expiration", RawValue::LongStr(expiration));
    }
    table
        .put(b"count", RawValue::I64(1))
        .put(b"reason", RawValue::LongStr(death.reason.as_str().as_bytes()))
        .put(b"queue", RawValue::LongStr(death.queue.as_bytes()))
        .put(b"time", RawValue::Timestamp(death.time.seconds()))
        .put(b"exchange", RawValue::LongStr(message.exchange()))
        .put(b"routing-keys", RawValue::Array(RawArray(&keys)));
    table.finish()
}

/// Whether a dead letter must not go to this queue: it died there before, and nobody but the broker
/// has kept it going since (BA-237).
pub fn is_cycle(letter: &Message, reason: Reason, target: &str) -> bool {
    if reason == Reason::Rejected {
        return false;
    }
    let headers = Properties::of_message(letter.properties()).headers().map(RawTable);
    let deaths = headers.and_then(|headers| headers.get(b"x-death")).and_then(RawValue::as_array);
    for entry in deaths.into_iter().flat_map(RawArray::iter).filter_map(RawValue::as_table) {
        if text(entry, b"reason") == Some(b"rejected") {
            return false;
        }
        if text(entry, b"queue") == Some(target.as_bytes()) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(properties: &[u8]) -> Message {
        let address = b"\x02ex\x03key";
        Message::copied(address, properties, &[b"body"], Traits::default(), &mut Vec::new())
    }

    fn died(message: &Message, queue: &str, reason: Reason) -> Message {
        let time = UnixTime(5_000);
        dead_letter(message, &Death { queue, reason, time, exchange: "dlx", routing_key: None })
    }

    fn deaths(message: &Message) -> Vec<(String, String, i64)> {
        let headers = RawTable(Properties::of_message(message.properties()).headers().unwrap());
        let array = headers.get(b"x-death").unwrap().as_array().unwrap();
        let text = |entry, key| String::from_utf8(text(entry, key).unwrap().to_vec()).unwrap();
        array
            .iter()
            .map(|entry| {
                let entry = entry.as_table().unwrap();
                let count = entry.get(b"count").unwrap().as_int().unwrap();
                (text(entry, b"queue"), text(entry, b"reason"), count)
            })
            .collect()
    }

    // BA-232, BA-236
    #[test]
    fn one_entry_for_each_queue_and_reason_the_newest_first() {
        let mut letter = message(&[0, 0]);
        for (queue, reason) in [
            ("a", Reason::Expired),
            ("b", Reason::Rejected),
            ("a", Reason::Expired),
            ("a", Reason::MaxLen),
        ] {
            letter = died(&letter, queue, reason);
        }
        let expected = [("a", "maxlen", 1), ("a", "expired", 2), ("b", "rejected", 1)];
        let expected = expected.map(|(q, r, count)| (q.to_owned(), r.to_owned(), count));
        assert_eq!(deaths(&letter), expected);
        let headers = RawTable(Properties::of_message(letter.properties()).headers().unwrap());
        assert_eq!(text(headers, b"x-first-death-reason"), Some(&b"expired"[..]));
        assert_eq!(text(headers, b"x-first-death-exchange"), Some(&b"ex"[..]));
        assert_eq!(text(headers, b"x-last-death-reason"), Some(&b"maxlen"[..]));
        assert_eq!(text(headers, b"x-last-death-exchange"), Some(&b"dlx"[..]));
        assert_eq!(letter.exchange(), b"dlx");
        assert_eq!(letter.routing_key(), b"key");
        assert_eq!(letter.body().collect::<Vec<_>>().concat(), b"body");
    }

    // BA-235
    #[test]
    fn expiration_is_saved_and_removed() {
        let letter = died(&message(b"\x01\x00\x0260"), "q", Reason::Expired);
        let properties = Properties::of_message(letter.properties());
        assert_eq!(properties.expiration(), None);
        let headers = RawTable(properties.headers().unwrap());
        let array = headers.get(b"x-death").unwrap().as_array().unwrap();
        let entry = array.iter().next().unwrap().as_table().unwrap();
        let keys: Vec<&[u8]> = entry.iter().map(|(key, _)| key).collect();
        assert_eq!(keys[..2], [&b"original-expiration"[..], b"count"]);
        assert_eq!(text(entry, b"original-expiration"), Some(&b"60"[..]));
    }

    // BA-242
    #[test]
    fn what_a_client_calls_deaths_counts_for_nothing() {
        let letter = died(&message(&[0, 0]), "q", Reason::Rejected);
        // Published again by a client, with all its headers.
        let again = message(letter.properties());
        assert_eq!(deaths(&died(&again, "q", Reason::Rejected))[0].2, 1);
        assert_eq!(deaths(&died(&letter, "q", Reason::Rejected))[0].2, 2);
    }

    // BA-237, BA-238
    #[test]
    fn only_a_circle_that_nobody_interrupts_is_one() {
        let expired = died(&message(&[0, 0]), "a", Reason::Expired);
        assert!(is_cycle(&expired, Reason::Expired, "a"));
        assert!(!is_cycle(&expired, Reason::Expired, "b"));
        let both = died(&expired, "b", Reason::MaxLen);
        assert!(is_cycle(&both, Reason::MaxLen, "a"));
        let rejected = died(&both, "c", Reason::Rejected);
        assert!(!is_cycle(&rejected, Reason::Rejected, "a"));
        let after = died(&rejected, "d", Reason::Expired);
        assert!(!is_cycle(&after, Reason::Expired, "a"));
        assert!(is_cycle(&after, Reason::Expired, "d"));
    }
}
