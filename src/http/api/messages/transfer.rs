//! `POST /queues/:vhost/:queue/move`.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::IntoResponse,
};
use serde_json::{Map, Value, json};

use super::{check_read, find_queue, integer, next, refusal};
use crate::{
    auth::Permission,
    broker::{Kind, Vhost, error::resource},
    http::{
        Api, Failure, Json, Reply,
        api::{Sent, effects},
        caller::Caller,
    },
};

/// Messages after which the store is waited for and others have a turn.
const MOVE_BATCH: u64 = 1000;

/// Moves the messages that are ready, or the first of them, to another queue of the vhost.
/// deviation: RabbitMQ makes a shovel for that.
pub(super) async fn transfer(
    State(api): State<Api>,
    Path((vhost, queue)): Path<(String, String)>,
    caller: Caller,
    sent: Sent,
) -> Reply {
    let (vhost, from) = find_queue(&api, &caller, &vhost, &queue)?;
    let body = sent.read()?;
    let [destination] = body.texts(["destination"])?;
    let count = body.0.get("count").map(integer).transpose()?;
    let (_, to) = find_queue(&api, &caller, vhost.name(), destination)
        .map_err(|_| Failure::BadRequest(format!("no {}", queue_of(destination, &vhost))))?;
    check_read(&api, &caller, &vhost, &from)?;
    if !caller.is_permitted(&api, &vhost, Permission::Write, &to.name) {
        let refusal = refusal(&caller, "write", Kind::Queue, &to.name, &vhost);
        return Err(Failure::NotAuthorised(format!("ACCESS_REFUSED - {refusal}")));
    }
    if Arc::ptr_eq(&from, &to) {
        return Err(Failure::bad_request("a queue's messages cannot be moved to itself"));
    }
    // What comes while they are moved, perhaps from there again, stays.
    let ready = from.counts().ready;
    let count = count.and_then(|count| u64::try_from(count).ok()).map_or(ready, |n| n.min(ready));
    let mut answer = Map::new();
    let mut moved = 0;
    while moved < count {
        let Some(got) = next(&vhost, &from).await? else { break };
        let needed = {
            let mut fx = effects();
            let needed = vhost.move_message(&from, got, &to, &mut fx);
            fx.wakes.pay();
            needed
        };
        let Some(needed) = needed else {
            let refused = format!("{} takes no more", queue_of(destination, &vhost));
            answer.insert("reason".to_owned(), json!(refused));
            break;
        };
        moved += 1;
        if moved % MOVE_BATCH == 0 {
            api.admin.durable(needed).await?;
            // For messages that are only in memory there was nothing to wait for.
            tokio::task::yield_now().await;
        }
    }
    api.admin.durable(api.broker.store.submitted()).await?;
    answer.insert("moved".to_owned(), json!(moved));
    Ok(Json(Value::Object(answer)).into_response())
}

fn queue_of(name: &str, vhost: &Vhost) -> String {
    resource(Kind::Queue, name, vhost.name())
}
