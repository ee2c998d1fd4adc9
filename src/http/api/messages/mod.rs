//! Messages: publish, get, move (HT-039, HT-044, HT-086).
//!
//! RabbitMQ publishes and gets as a client of its own would, and shows the words with which that
//! client's channel was closed; so do we.

mod get;
mod publish;
mod transfer;

use std::{future::poll_fn, sync::Arc, task::Poll};

use axum::{Router, routing::post};
use serde_json::Value;

use super::{effects, queues::NOBODY};
use crate::{
    auth::Permission,
    broker::{
        Error, Kind, Vhost,
        error::resource,
        queue::{GetOutcome, Got, Queue},
        trace,
    },
    http::{Api, Failure, caller::Caller},
};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/exchanges/{vhost}/{exchange}/publish", post(publish::publish))
        .route("/queues/{vhost}/{queue}/get", post(get::get))
        .route("/queues/{vhost}/{queue}/move", post(transfer::transfer))
}

/// What a client is told who may not do something.
fn refusal(caller: &Caller, permission: &str, kind: Kind, name: &str, vhost: &Vhost) -> String {
    let resource = resource(kind, name, vhost.name());
    format!("{permission} access to {resource} refused for user '{}'", caller.user)
}

/// A whole number, perhaps as text.
fn integer(value: &Value) -> Result<i64, Failure> {
    let found = value.as_str().map_or_else(|| value.as_i64(), |text| text.parse().ok());
    found.ok_or_else(|| Failure::BadTerm("not_integer", value.clone()))
}

/// Calls `tell` with who publishes or is given a message through the API, as those are told who
/// trace the vhost. Its connection has no two ends.
fn as_client<T>(api: &Api, caller: &Caller, tell: impl FnOnce(trace::Client<'_>) -> T) -> T {
    let node = api.config.node();
    let connection = format!("<{node}.management>");
    tell(trace::Client { node: &node, connection: &connection, channel: 1, user: &caller.user })
}

/// A queue in a vhost that the caller may enter.
fn find_queue(
    api: &Api,
    caller: &Caller,
    vhost: &str,
    queue: &str,
) -> Result<(Arc<Vhost>, Arc<Queue>), Failure> {
    let vhost = caller.entered(api, vhost).map_err(|error| error.missing("vhost_not_found"))?;
    let found = vhost.topology().queue(queue).cloned();
    Ok((vhost, found.ok_or(Failure::Missing("queue_not_found"))?))
}

/// Whether the caller may take messages from a queue, and it gives some.
fn check_read(api: &Api, caller: &Caller, vhost: &Vhost, queue: &Queue) -> Result<(), Failure> {
    caller.check_entry(api, vhost)?;
    if !caller.is_permitted(api, vhost, Permission::Read, &queue.name) {
        let refusal = refusal(caller, "read", Kind::Queue, &queue.name, vhost);
        return Err(Failure::NotAuthorised(format!("ACCESS_REFUSED - {refusal}")));
    }
    let locked = |error: Error| {
        let reason = error.in_vhost(vhost.name());
        Failure::BadRequest(format!("405 RESOURCE_LOCKED - {reason}"))
    };
    vhost.queue(&queue.name, NOBODY).map_err(locked)?;
    queue.check_get().map_err(locked)
}

/// The next message of a queue, which is then to be settled or taken back.
async fn next(vhost: &Vhost, queue: &Arc<Queue>) -> Result<Option<Got>, Failure> {
    let outcome = poll_fn(|cx| {
        let mut fx = effects();
        let outcome = queue.get(false, cx.waker(), &mut fx);
        fx.wakes.pay();
        match outcome {
            GetOutcome::Wait => Poll::Pending,
            outcome => Poll::Ready(outcome),
        }
    });
    match outcome.await {
        GetOutcome::Got(got) => Ok(Some(got)),
        GetOutcome::Empty | GetOutcome::Wait => Ok(None),
        GetOutcome::Gone => Err(Failure::Missing("queue_not_found")),
        GetOutcome::Unreadable => {
            let (queue, vhost) = (&queue.name, vhost.name());
            tracing::error!(%queue, %vhost, "messages cannot be read back");
            Err(Failure::Internal)
        }
    }
}
