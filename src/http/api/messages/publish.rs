//! `POST /exchanges/:vhost/:exchange/publish`.

use axum::{
    extract::{Path, State},
    response::IntoResponse,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{as_client, refusal};
use crate::{
    auth::Permission,
    broker::{
        Error, Kind, Vhost, publish as rules,
        queue::Arrival,
        stats::{Stat, Tally},
    },
    http::{
        Api, Failure, Json, Reply,
        api::{Sent, effects, exchanges::name_in_path},
        caller::Caller,
        properties,
    },
    message::{self, Message},
    names::CommitSeq,
    wire::{
        properties::{Properties, Scan},
        table::RawTable,
    },
};

/// The property `reply_to` that stands for a consumer of the same channel (BA-162).
const REPLY_TO: &[u8] = b"amq.rabbitmq.reply-to";

/// What closes a channel with 403, as the API shows it.
fn access_refused(reason: impl std::fmt::Display) -> Failure {
    Failure::BadRequest(format!("403 ACCESS_REFUSED - {reason}"))
}

/// What closes a channel with 406, as the API shows it.
fn precondition_failed(reason: impl std::fmt::Display) -> Failure {
    Failure::BadRequest(format!("406 PRECONDITION_FAILED - {reason}"))
}

pub(super) async fn publish(
    State(api): State<Api>,
    Path((vhost, exchange)): Path<(String, String)>,
    caller: Caller,
    sent: Sent,
) -> Reply {
    let vhost = caller.entered(&api, &vhost).map_err(|error| error.missing("vhost_not_found"))?;
    let exchange = name_in_path(&exchange);
    if vhost.topology().exchange(exchange).is_none() {
        return Err(Failure::Missing("exchange_not_found"));
    }
    let body = sent.read()?;
    body.require(&["routing_key", "properties", "payload", "payload_encoding"])?;
    let payload = body.0["payload"].as_str().ok_or(Failure::bad_request("payload_not_string"))?;
    caller.check_entry(&api, &vhost)?;
    let [key] = body.texts(["routing_key"])?;
    if key.len() > usize::from(u8::MAX) {
        return Err(Failure::bad_request(properties::TOO_LONG));
    }
    let properties = properties::to_raw(&body.object("properties")?)?;
    let payload = decoded(payload, &body.0["payload_encoding"])?;
    let publish = Publish { caller: &caller, vhost: &vhost, exchange, key };
    let needed = publish.hand_over(&api, &properties, payload)?;
    if let Some(needed) = needed {
        api.admin.durable(needed).await?;
    }
    Ok(Json(json!({"routed": needed.is_some()})).into_response())
}

/// A payload as bytes.
fn decoded(payload: &str, encoding: &Value) -> Result<Bytes, Failure> {
    match encoding.as_str() {
        Some("string") => Ok(payload.to_owned().into()),
        Some("base64") => {
            let not_base64 = |_| Failure::BadTerm("not_base64", json!(payload));
            STANDARD.decode(payload).map(Bytes::from).map_err(not_base64)
        }
        _ => Err(Failure::BadTerm("unsupported_encoding", encoding.clone())),
    }
}

/// A publish.
struct Publish<'a> {
    caller: &'a Caller,
    vhost: &'a Vhost,
    exchange: &'a str,
    key: &'a str,
}

impl Publish<'_> {
    /// Checks, routes and enqueues. Returns what must be durable before it may be confirmed; none
    /// if there is nowhere to go.
    fn hand_over(
        &self,
        api: &Api,
        properties: &[u8],
        payload: Bytes,
    ) -> Result<Option<CommitSeq>, Failure> {
        if let Some(reason) = api.broker.gate.reason() {
            return Err(Failure::Unavailable(format!("publishers are blocked: {reason}")));
        }
        let scan = Properties::scan(properties).map_err(precondition_failed)?;
        let expiration = self.check(api, &scan, payload.len())?;
        let address = message::address(self.exchange.as_bytes(), self.key.as_bytes());
        let message = Message::whole(&address, properties, payload, rules::traits(&scan));
        let mut fx = effects();
        let arrival = Arrival { expiration, returns: 0 };
        let published =
            as_client(api, self.caller, |by| self.vhost.publish(&message, arrival, by, &mut fx));
        fx.wakes.pay();
        let outcome = published.map_err(|error| match error {
            Error::NotFound { .. } => Failure::Missing("exchange_not_found"),
            Error::InternalExchange { .. } => access_refused(error.in_vhost(self.vhost.name())),
            _ => precondition_failed(error.in_vhost(self.vhost.name())),
        })?;
        self.count(api, outcome);
        if outcome.is_refused {
            let reason = "rejected Unable to publish message. Check queue limits.";
            return Err(Failure::bad_request(reason));
        }
        Ok(outcome.is_routed.then_some(outcome.needed))
    }

    /// What may be said before the message is routed. Returns its time to live.
    fn check(&self, api: &Api, scan: &Scan<'_>, size: usize) -> Result<Option<u64>, Failure> {
        let (caller, vhost) = (self.caller, self.vhost);
        let said = |error: Error| precondition_failed(error.in_vhost(vhost.name()));
        if !caller.is_permitted(api, vhost, Permission::Write, self.exchange) {
            let name = if self.exchange.is_empty() { "amq.default" } else { self.exchange };
            return Err(access_refused(refusal(caller, "write", Kind::Exchange, name, vhost)));
        }
        let max = api.config.max_message_size.bytes();
        if size > max {
            return Err(precondition_failed(format_args!(
                "message size {size} is larger than configured max size {max}"
            )));
        }
        if scan.reply_to == Some(REPLY_TO) {
            return Err(precondition_failed("fast reply consumer does not exist"));
        }
        let expiration = scan.expiration.map(rules::expiration).transpose().map_err(said)?;
        if let Some(user_id) = scan.user_id
            && !caller.may_publish_as(user_id)
        {
            let user_id = String::from_utf8_lossy(user_id);
            return Err(precondition_failed(format_args!(
                "user_id property set to '{user_id}' but authenticated user was '{}'",
                caller.user
            )));
        }
        let headers = RawTable(scan.headers.unwrap_or_default());
        let mut keys = vec![self.key.as_bytes()];
        keys.extend(rules::extra_keys(headers).map_err(said)?);
        let forbidden = caller.forbidden_key(api, vhost, Permission::Write, self.exchange, &keys);
        if let Some(key) = forbidden {
            return Err(access_refused(format_args!(
                "write access to topic '{}' in exchange '{}' in vhost '{}' refused for user '{}'",
                String::from_utf8_lossy(key),
                self.exchange,
                vhost.name(),
                caller.user
            )));
        }
        Ok(expiration)
    }

    fn count(&self, api: &Api, outcome: rules::Outcome) {
        let mut tally = Tally::default();
        tally[Stat::Publish] = 1;
        tally[Stat::ReturnUnroutable] = u64::from(!outcome.is_routed);
        tally[Stat::Confirm] = u64::from(!outcome.is_refused);
        api.broker.registry.count_apart(self.vhost.name(), tally);
    }
}
