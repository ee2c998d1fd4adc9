//! `POST /queues/:vhost/:queue/get`.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::IntoResponse,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{as_client, check_read, find_queue, integer, next};
use crate::{
    broker::{
        Vhost,
        queue::{Cause, Got, Held, Queue, Returned, Settled},
        stats::{Stat, Tally},
    },
    http::{
        Api, Failure, Json, Reply,
        api::{Body, Sent, effects},
        caller::Caller,
        properties,
    },
    message::Message,
    names::CommitSeq,
};

/// Bytes of messages in one answer after which no further message is taken.
const GET_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What the description of a message takes besides its payload and its properties, about.
const DESCRIPTION_BYTES: usize = 2048;
/// Messages after which others have a turn.
const GET_BATCH: usize = 64;

/// What becomes of messages once they were shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AckMode {
    /// `ack_requeue_false`
    Ack,
    /// `ack_requeue_true`: they stay.
    Stay,
    /// `reject_requeue_true`
    Requeue,
    /// `reject_requeue_false`
    Reject,
}

impl AckMode {
    fn parse(word: &Value) -> Result<Self, Failure> {
        match word.as_str() {
            Some("ack_requeue_false") => Ok(Self::Ack),
            Some("ack_requeue_true") => Ok(Self::Stay),
            Some("reject_requeue_true") => Ok(Self::Requeue),
            Some("reject_requeue_false") => Ok(Self::Reject),
            found => {
                let found = found.map_or_else(|| word.to_string(), str::to_owned);
                Err(Failure::BadRequest(format!(
                    "Invalid ackmode value: {found}. Valid values are: ack_requeue_true, \
                     ack_requeue_false, reject_requeue_true, reject_requeue_false"
                )))
            }
        }
    }
}

/// How messages are to be shown.
#[derive(Clone, Copy, Debug)]
struct Look {
    ack_mode: AckMode,
    /// How many at the most; none for all.
    count: Option<u64>,
    is_base64: bool,
    truncate: Option<usize>,
}

impl Look {
    fn read(body: &mut Body) -> Result<Self, Failure> {
        // Other brokers and some clients call it so.
        if let Some(mode) = body.0.remove("ack_mode") {
            body.0.entry("ackmode").or_insert(mode);
        }
        body.require(&["ackmode", "count", "encoding"])?;
        let ack_mode = AckMode::parse(&body.0["ackmode"])?;
        let count = integer(&body.0["count"])?;
        let is_base64 = match body.0["encoding"].as_str() {
            Some("auto") => false,
            Some("base64") => true,
            _ => {
                let reason = "Unsupported encoding. Please use auto or base64.";
                return Err(Failure::bad_request(reason));
            }
        };
        let truncate = body.0.get("truncate").map(integer).transpose()?;
        let negative = |_| Failure::bad_request("truncate must not be negative");
        let truncate = truncate.map(usize::try_from).transpose().map_err(negative)?;
        Ok(Self { ack_mode, count: u64::try_from(count).ok(), is_base64, truncate })
    }
}

pub(super) async fn get(
    State(api): State<Api>,
    Path((vhost, queue)): Path<(String, String)>,
    caller: Caller,
    sent: Sent,
) -> Reply {
    let (vhost, queue) = find_queue(&api, &caller, &vhost, &queue)?;
    let look = Look::read(&mut sent.read()?)?;
    check_read(&api, &caller, &vhost, &queue)?;
    let mut shown = Shown { queue: Arc::clone(&queue), taken: Vec::new() };
    let mut messages = Vec::new();
    let (mut bytes, mut redelivered) = (0, 0);
    while look.count.is_none_or(|count| (messages.len() as u64) < count) && bytes < GET_BYTES_MAX {
        let Some(got) = next(&vhost, &queue).await? else { break };
        let payload = payload(&got.message, look.truncate);
        bytes += payload.len() + got.message.properties().len() + DESCRIPTION_BYTES;
        redelivered += u64::from(got.standing.is_redelivered());
        if vhost.is_traced() {
            trace(&api, &caller, &vhost, &queue, &got);
        }
        messages.push(describe(&queue, &got, &payload, look.is_base64));
        shown.keep(got);
        if messages.len() % GET_BATCH == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut tally = Tally::default();
    tally[Stat::Get] = messages.len() as u64;
    tally[Stat::Ack] = if look.ack_mode == AckMode::Ack { tally[Stat::Get] } else { 0 };
    tally[Stat::Redeliver] = redelivered;
    api.broker.registry.count_apart(vhost.name(), tally);
    let needed = shown.finish(&api, look.ack_mode);
    api.admin.durable(needed).await?;
    Ok(Json(Value::Array(messages)).into_response())
}

/// Tells of a message that is shown, to those who trace the vhost.
fn trace(api: &Api, caller: &Caller, vhost: &Vhost, queue: &Queue, got: &Got) {
    let shown = queue.shown_properties(&got.message, got.standing);
    let properties = shown.as_deref().unwrap_or(got.message.properties());
    let is_redelivered = got.standing.is_redelivered();
    let mut fx = effects();
    as_client(api, caller, |to| {
        vhost.trace_delivery(&got.message, properties, is_redelivered, queue, to, &mut fx);
    });
    fx.wakes.pay();
}

/// The body of a message, or its beginning.
fn payload(message: &Message, truncate: Option<usize>) -> Vec<u8> {
    let mut left = truncate.unwrap_or(usize::MAX);
    let mut payload = Vec::with_capacity(message.body_len().min(left));
    for piece in message.body() {
        let piece = &piece[..piece.len().min(left)];
        left -= piece.len();
        payload.extend_from_slice(piece);
    }
    payload
}

/// A message as the API shows it (HT-086).
fn describe(queue: &Queue, got: &Got, payload: &[u8], is_base64: bool) -> Value {
    let message = &got.message;
    let shown = queue.shown_properties(message, got.standing);
    let text = if is_base64 { None } else { str::from_utf8(payload).ok() };
    let (payload, encoding) = match text {
        Some(text) => (text.to_owned(), "string"),
        None => (STANDARD.encode(payload), "base64"),
    };
    json!({
        "payload_bytes": message.body_len(),
        "redelivered": got.standing.is_redelivered(),
        "exchange": String::from_utf8_lossy(message.exchange()),
        "routing_key": String::from_utf8_lossy(message.routing_key()),
        "message_count": got.left,
        "properties": properties::of_raw(shown.as_deref().unwrap_or(message.properties())),
        "payload": payload,
        "payload_encoding": encoding,
    })
}

/// Messages that were taken from a queue to be shown. They go back if the caller hangs up before.
struct Shown {
    queue: Arc<Queue>,
    taken: Vec<Returned>,
}

impl Shown {
    fn keep(&mut self, got: Got) {
        let Got { position, message, standing, is_stored, .. } = got;
        let mut message = Held::Message(message);
        if is_stored {
            message.leave_to_store();
        }
        let cause = Cause::Unseen;
        self.taken.push(Returned { position, consumer: None, message, standing, is_stored, cause });
    }

    /// Does with the messages what is to be done. Returns what must be durable for that.
    fn finish(mut self, api: &Api, mode: AckMode) -> CommitSeq {
        let taken = std::mem::take(&mut self.taken);
        let cause = match mode {
            AckMode::Stay => Cause::Shown,
            AckMode::Requeue => Cause::Failed,
            AckMode::Reject => Cause::Refused,
            AckMode::Ack => {
                let settled = |taken: &Returned| {
                    let Returned { position, is_stored, .. } = *taken;
                    let is_persistent = taken.message.is_persistent();
                    let body_bytes = taken.message.body_bytes();
                    Settled { position, consumer: None, is_stored, is_persistent, body_bytes }
                };
                let settled: Vec<_> = taken.iter().map(settled).collect();
                let mut fx = effects();
                let needed = self.queue.settle(&settled, &mut fx);
                fx.wakes.pay();
                return needed;
            }
        };
        Self::give_back(&self.queue, taken, cause);
        if mode == AckMode::Stay { CommitSeq(0) } else { api.broker.store.submitted() }
    }

    fn give_back(queue: &Arc<Queue>, mut taken: Vec<Returned>, cause: Cause) {
        if taken.is_empty() {
            return;
        }
        for returned in &mut taken {
            returned.cause = cause;
        }
        let mut fx = effects();
        queue.take_back(taken, &mut fx);
        fx.wakes.pay();
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        Self::give_back(&self.queue, std::mem::take(&mut self.taken), Cause::Unseen);
    }
}
