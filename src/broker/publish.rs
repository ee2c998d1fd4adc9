//! Publishing, as far as it is the same for whoever publishes: what must hold of a message, and
//! handing it to its queues.
//!
//! Connections know many routes already and hand messages over themselves; what the management API
//! publishes comes this way.

use std::sync::Arc;

use super::{
    Error, Vhost,
    queue::{Arrival, Cause, Effects, Got, Held, Published, Queue, Returned, Settled},
    route::RouteSet,
    trace,
};
use crate::{
    message::{Message, Traits},
    names::CommitSeq,
    wire::{
        properties::Scan,
        table::{RawTable, RawValue},
    },
};

/// What became of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What the store must have reached before it may be confirmed.
    pub needed: CommitSeq,
    /// Whether it had somewhere to go.
    pub is_routed: bool,
    /// Whether a queue has no room for it and says so (BA-045).
    pub is_refused: bool,
}

/// The routing keys in the headers `CC` and `BCC` (BA-010, BA-011).
///
/// # Errors
/// [`Error::InvalidHeader`].
pub fn extra_keys(headers: RawTable<'_>) -> Result<Vec<&[u8]>, Error> {
    let mut keys = Vec::new();
    for name in ["CC", "BCC"] {
        match headers.get(name.as_bytes()) {
            None => {}
            Some(RawValue::Array(array)) => {
                keys.extend(array.iter().filter_map(RawValue::as_longstr));
            }
            Some(other) => {
                return Err(Error::InvalidHeader { name, type_name: other.type_name() });
            }
        }
    }
    Ok(keys)
}

/// Reads the property `expiration`: milliseconds in decimal digits, up to ten years (BA-008).
///
/// # Errors
/// [`Error::InvalidExpiration`].
pub fn expiration(raw: &[u8]) -> Result<u64, Error> {
    const MAX: i128 = 10 * 365 * 24 * 60 * 60 * 1000;
    let text = String::from_utf8_lossy(raw);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let digits = unsigned.len() - unsigned.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = text.split_at(text.len() - unsigned.len() + digits);
    let reason = match number.parse::<i128>() {
        _ if digits == 0 => "no_integer".to_owned(),
        _ if !rest.is_empty() => format!("{{leftover_string,\"{rest}\"}}"),
        Ok(value) if value < 0 => format!("{{value_negative,{value}}}"),
        Ok(value) if value <= MAX => return Ok(value.unsigned_abs() as u64),
        _ => format!("{{value_too_large,{}}}", number.trim_start_matches('+')),
    };
    Err(Error::InvalidExpiration { text: text.into_owned(), reason })
}

/// What a message of these properties needs besides its bytes.
pub fn traits(scan: &Scan<'_>) -> Traits {
    Traits {
        is_persistent: scan.delivery_mode == 2,
        priority: scan.priority,
        has_blind_keys: scan.headers.is_some_and(|raw| RawTable(raw).get(b"BCC").is_some()),
        ..Traits::default()
    }
}

impl Vhost {
    /// Publishes a message of a client to the exchange that it names.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::InternalExchange`].
    pub fn publish(
        &self,
        message: &Message,
        arrival: Arrival,
        by: trace::Client<'_>,
        fx: &mut Effects,
    ) -> Result<Outcome, Error> {
        let mut route = RouteSet::new();
        match self.reply_queue(message.routing_key()) {
            Some(queue) if message.exchange().is_empty() => route.only(Some(queue)),
            _ => {
                let exchange = String::from_utf8_lossy(message.exchange());
                self.topology().check_publish(&exchange)?;
                self.route_again(&exchange, message, fx.time, &mut route)?;
            }
        }
        if let Some(source) = route.source() {
            source.add(1, route.queues().len() as u64);
        }
        if self.is_traced() {
            self.trace_publish(message, route.queues(), by, fx);
        }
        Ok(route.hand_out(message, arrival, fx))
    }

    /// Moves a message that was taken from a queue to another, both in one commit; exchange and
    /// routing key stay. Returns what must be durable for that; none if the other queue does not
    /// take it, and then it is back where it was.
    pub fn move_message(
        &self,
        from: &Arc<Queue>,
        got: Got,
        to: &Arc<Queue>,
        fx: &mut Effects,
    ) -> Option<CommitSeq> {
        let Got { position, message, standing, is_stored, .. } = got;
        let body_bytes = message.body_len();
        // Nothing is written in the middle of this.
        let _group = self.shared.store.group();
        let Published::Taken(needed) = to.publish(message.clone(), Arrival::of(&message), fx)
        else {
            let message = Held::Message(message);
            let cause = Cause::Unseen;
            let back = Returned { position, consumer: None, message, standing, is_stored, cause };
            from.take_back(vec![back], fx);
            return None;
        };
        let is_persistent = message.is_persistent();
        let settled = Settled { position, consumer: None, is_stored, is_persistent, body_bytes };
        Some(from.settle(&[settled], fx).max(needed))
    }
}

impl RouteSet<Arc<Queue>> {
    /// Gives a message to its queues, and to whoever keeps it.
    pub(super) fn hand_out(
        &self,
        message: &Message,
        arrival: Arrival,
        fx: &mut Effects,
    ) -> Outcome {
        let is_routed = !self.queues().is_empty() || !self.taps().is_empty();
        let mut outcome = Outcome { is_routed, ..Outcome::default() };
        for queue in self.queues() {
            match queue.publish(message.clone(), arrival, fx) {
                Published::Taken(needed) => outcome.needed = outcome.needed.max(needed),
                Published::Refused => outcome.is_refused = true,
                // One that was deleted just now takes nothing; that is no loss that anybody could
                // have avoided (QU-089).
                Published::Gone => {}
            }
        }
        for tap in self.taps() {
            outcome.needed = outcome.needed.max(tap.keep(message, fx));
        }
        outcome
    }
}
