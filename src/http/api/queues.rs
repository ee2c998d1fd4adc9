//! `/queues`: list, look, declare, delete, purge (HT-041 to HT-043).

use std::{borrow::Cow, sync::Arc};

use axum::{
    Router,
    extract::{Path, State},
    routing::{delete, get, post},
};
use serde_json::{Map, Value, json};

use super::{
    Body, Reply, Sent,
    consumers::{self, Connections},
    done, effects, erlang, put,
};
use crate::{
    auth::Permission,
    broker::{
        Error, Vhost,
        arguments::{DEAD_LETTER_EXCHANGE, QueueSpec, QueueType, with_queue_type},
        policy::Policy,
        queue::{Queue, QueueView},
        stats::Stat,
        vhost::DeclaredBy,
    },
    clock,
    http::{
        Api, Failure, Json, blocking,
        caller::{Administrator, Caller, Entered},
        census::Depth,
        history::{Look, Subject},
        json,
        listing::Query,
    },
    names::ConnectionId,
};

/// What `message_stats` of a queue has.
const STATS: [Stat; 8] = [
    Stat::Publish,
    Stat::Deliver,
    Stat::DeliverNoAck,
    Stat::Get,
    Stat::GetNoAck,
    Stat::GetEmpty,
    Stat::Redeliver,
    Stat::Ack,
];

/// No connection: what the API declares belongs to none.
pub(in crate::http) const NOBODY: ConnectionId = ConnectionId(0);

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/queues", get(list))
        .route("/queues/detailed", get(list))
        .route("/queues/{vhost}", get(list_of_vhost))
        .route("/queues/{vhost}/{queue}", get(one).put(declare).delete(remove))
        .route("/queues/{vhost}/{queue}/contents", delete(purge))
        .route("/queues/{vhost}/{queue}/actions", post(act))
        .route("/users/{user}/queues", get(list_of_user))
}

async fn list(State(api): State<Api>, caller: Caller, query: Query) -> Reply {
    blocking(move || answer(&api, &query, caller.entered_vhosts(&api), |_| true)).await
}

async fn list_of_vhost(
    State(api): State<Api>,
    Entered { vhost, .. }: Entered,
    query: Query,
) -> Reply {
    blocking(move || answer(&api, &query, vec![vhost], |_| true)).await
}

async fn one(
    State(api): State<Api>,
    Path((_, queue)): Path<(String, String)>,
    Entered { vhost, .. }: Entered,
    query: Query,
) -> Reply {
    let queue = find(&vhost, &queue)?;
    blocking(move || {
        let look = api.history().look(&query);
        let mut object = describe(&api, &vhost, &queue, &look).ok_or(Failure::NotFound)?;
        let consumers = consumers::of_queue(&api, &Connections::of(&api), &vhost, &queue);
        object.insert("consumer_details".to_owned(), Value::Array(consumers));
        object.insert("deliveries".to_owned(), json!([]));
        object.insert("incoming".to_owned(), json!([]));
        Ok(query.item(Value::Object(object)))
    })
    .await
}

async fn declare(
    State(api): State<Api>,
    Path((_, name)): Path<(String, String)>,
    Entered { caller, vhost }: Entered,
    body: Body,
) -> Reply {
    check_length(&name)?;
    caller.check(&api, &vhost, Permission::Configure, &name)?;
    let arguments = body.arguments()?;
    let (durable, auto_delete) = (body.flag("durable", false)?, body.flag("auto_delete", false)?);
    let default_type = vhost.default_queue_type(durable, false, auto_delete);
    let arguments = with_queue_type(arguments, default_type);
    let permitted = caller.check_onward(&api, &vhost, &name, &arguments, DEAD_LETTER_EXCHANGE);
    let spec = QueueSpec { durable, auto_delete, arguments };
    let by = DeclaredBy {
        connection: NOBODY,
        user: caller.user.clone(),
        gave_name: false,
        may_create: permitted.is_ok(),
    };
    let is_new = vhost.topology().queue(&name).is_none();
    let declared = match (vhost.declare_queue(&name, spec, None, &by), permitted) {
        (Err(Error::NotFound { .. }), Err(refusal)) => return Err(refusal),
        (declared, _) => declared.map_err(|error| Failure::of_broker(&error, vhost.name()))?,
    };
    put(&api, is_new, declared.needed).await
}

/// No client could name it otherwise.
fn check_length(name: &str) -> Result<(), Failure> {
    if u8::try_from(name.len()).is_ok() {
        return Ok(());
    }
    let found = name.len();
    let reason = format!("queue should be less than 255 bytes, actually was {found}\n");
    Err(Failure::BadRequest(reason))
}

async fn remove(
    State(api): State<Api>,
    Path((_, name)): Path<(String, String)>,
    Entered { caller, vhost }: Entered,
    query: Query,
) -> Reply {
    caller.check(&api, &vhost, Permission::Configure, &name)?;
    let queue = find_free(&vhost, &name)?;
    let (if_unused, if_empty) = (query.is_true("if-unused"), query.is_true("if-empty"));
    let refused = |error| Failure::of_broker(&error, vhost.name());
    Vhost::check_conditions(&queue, if_unused, if_empty).map_err(refused)?;
    let deleted = {
        let mut fx = effects();
        let deleted = vhost.delete_queue(&queue, if_unused, if_empty, &mut fx);
        fx.wakes.pay();
        deleted
    };
    let (_, needed) = deleted.map_err(refused)?;
    done(&api, needed).await
}

async fn purge(
    State(api): State<Api>,
    Path((_, name)): Path<(String, String)>,
    Entered { caller, vhost }: Entered,
) -> Reply {
    caller.check(&api, &vhost, Permission::Read, &name)?;
    let queue = find_free(&vhost, &name)?;
    {
        let mut fx = effects();
        queue.purge(&mut fx);
        fx.wakes.pay();
    }
    done(&api, api.broker.store.submitted()).await
}

/// What a queue could be told to do once, before it was told nothing any more (HT-045).
async fn act(
    State(api): State<Api>,
    Path((vhost, name)): Path<(String, String)>,
    _: Administrator,
    body: Sent,
) -> Reply {
    let vhost = api.admin.vhost(&vhost).map_err(|_| Failure::Missing("vhost_not_found"))?;
    find(&vhost, &name).map_err(|error| error.missing("queue_not_found"))?;
    let body = body.read()?;
    body.require(&["action"])?;
    Err(Failure::BadTerm("unknown", body.0["action"].clone()))
}

/// The queues that a user declared, in the vhosts that the caller may enter.
async fn list_of_user(
    State(api): State<Api>,
    Path(user): Path<String>,
    caller: Caller,
    query: Query,
) -> Reply {
    let is_theirs = move |queue: &Queue| *queue.declared_by == *user;
    blocking(move || answer(&api, &query, caller.entered_vhosts(&api), is_theirs)).await
}

/// A queue by name, whoever it belongs to.
fn find(vhost: &Vhost, name: &str) -> Result<Arc<Queue>, Failure> {
    vhost.topology().queue(name).cloned().ok_or(Failure::NotFound)
}

/// A queue by name that belongs to no connection: only its owner may use another (QU-010).
pub(super) fn find_free(vhost: &Vhost, name: &str) -> Result<Arc<Queue>, Failure> {
    vhost.queue(name, NOBODY).map_err(|error| Failure::of_broker(&error, vhost.name()))
}

/// Lists the queues of vhosts that are meant, those of each by name.
fn answer(
    api: &Api,
    query: &Query,
    vhosts: Vec<Arc<Vhost>>,
    is_meant: impl Fn(&Queue) -> bool,
) -> Result<Json, Failure> {
    let mut all = Vec::new();
    for vhost in vhosts {
        let mut queues: Vec<_> = {
            let topology = vhost.topology();
            topology.queues().map(|(_, queue)| Arc::clone(queue)).collect()
        };
        queues.retain(|queue| is_meant(queue));
        queues.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        all.extend(queues.into_iter().map(|queue| (Arc::clone(&vhost), queue)));
    }
    let is_brief = query.is_true("disable_stats");
    let with_totals = query.is_true("enable_queue_totals");
    query.list_with_past(
        api.history(),
        all,
        |(_, queue)| Cow::Borrowed(&queue.name),
        |(vhost, queue), look| {
            if is_brief {
                return Some(describe_briefly(api, vhost, queue, with_totals));
            }
            describe(api, vhost, queue, look).map(Value::Object)
        },
    )
}

/// The cheap form of lists, for whoever reads names and totals alone (HT-014).
fn describe_briefly(api: &Api, vhost: &Vhost, queue: &Queue, with_totals: bool) -> Value {
    let mut object = Map::new();
    put_identity(&mut object, api, vhost, queue);
    if with_totals {
        for (name, value) in Depth::of(&queue.counts()).named() {
            object.insert(name.to_owned(), json!(value));
        }
    }
    Value::Object(object)
}

/// A queue as lists have it (HT-078); none if it was deleted just now.
fn describe(
    api: &Api,
    vhost: &Vhost,
    queue: &Queue,
    look: &Look<'_>,
) -> Option<Map<String, Value>> {
    let view = queue.view()?;
    let name_of = |name: Option<&str>| name.map_or(Value::Null, |name| json!(name));
    let mut object = Map::new();
    put_identity(&mut object, api, vhost, queue);
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("consumers", json!(view.counts.consumers));
    put("exclusive_consumer_tag", name_of(view.exclusive_consumer.as_deref()));
    put("single_active_consumer_tag", name_of(view.active_consumer.as_deref()));
    put("storage_version", json!(2));
    put("head_message_timestamp", json!(view.head_timestamp));
    if view.used_at.0 > 0 {
        put("idle_since", json!(view.used_at.to_rfc3339()));
    }
    if let Some(owner) = queue.owner.and_then(|owner| api.broker.registry.connection(owner)) {
        let ends = owner.info.ends;
        let details = json!({
            "name": owner.info.name(),
            "peer_host": ends.peer.ip().to_string(),
            "peer_port": ends.peer.port(),
        });
        put("owner_pid_details", details);
    }
    put_contents(&mut object, &view);
    if queue.queue_type == QueueType::Quorum {
        put_quorum_contents(&mut object, &view);
        object.insert("open_files".to_owned(), json!({api.config.node(): 0}));
    }
    erlang::put_process(&mut object);
    let past = look.of(&Subject::Queue(queue.id));
    for (name, value) in Depth::of(&view.counts).named() {
        past.put(&mut object, name, value);
    }
    if !view.tally.messages.is_zero() {
        let mut stats = Map::new();
        past.put_tally(&mut stats, &view.tally.messages, &STATS);
        object.insert("message_stats".to_owned(), Value::Object(stats));
    }
    Some(object)
}

/// What a queue is, and what holds for it.
fn put_identity(object: &mut Map<String, Value>, api: &Api, vhost: &Vhost, queue: &Queue) {
    let applied = vhost.policies().for_queue(&queue.name, queue.queue_type);
    let policy = |policy: &Option<Arc<Policy>>| {
        policy.as_ref().map_or(Value::Null, |policy| json!(policy.name.as_str()))
    };
    let node = api.config.node();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("name", json!(queue.name.as_str()));
    put("vhost", json!(vhost.name().as_str()));
    put("type", json!(queue.queue_type.as_str()));
    put("durable", json!(queue.spec.durable));
    put("auto_delete", json!(queue.spec.auto_delete));
    put("exclusive", json!(queue.owner.is_some()));
    put("internal", json!(false));
    put("internal_owner", json!(false));
    put("arguments", json::of_table(&queue.spec.arguments));
    put("node", json!(node));
    put("state", json!("running"));
    put("policy", policy(&applied.policy));
    put("operator_policy", policy(&applied.operator_policy));
    put("effective_policy_definition", json::of_map(&applied.definition()));
    if queue.queue_type == QueueType::Quorum {
        put("leader", json!(node));
        put("members", json!([node]));
        put("online", json!([node]));
        let limit = queue.delivery_limit();
        put("delivery_limit", limit.map_or(json!("unlimited"), |limit| json!(limit)));
        // That of RabbitMQ's arguments, which do nothing here.
        put("delayed_retry", json!("disabled"));
    }
}

/// What is in a queue and where, and how well its consumers keep up.
fn put_contents(object: &mut Map<String, Value>, view: &QueueView) {
    let mut put = |key: &str, value: u64| object.insert(key.to_owned(), json!(value));
    let counts = view.counts;
    put("memory", view.resident_bytes);
    put("messages_delayed", counts.delayed.messages);
    put("messages_persistent", counts.persistent.messages);
    put("message_bytes", counts.all().bytes);
    put("message_bytes_ready", counts.ready_bytes);
    put("message_bytes_unacknowledged", counts.unacked_bytes);
    put("message_bytes_persistent", counts.persistent.bytes);
    // What was delivered is in memory until it is settled.
    put("messages_ready_ram", view.resident);
    put("messages_unacknowledged_ram", counts.unacked);
    put("messages_ram", view.resident + counts.unacked);
    put("message_bytes_ram", view.resident_body_bytes + counts.unacked_bytes);
    put("messages_paged_out", counts.ready.saturating_sub(view.resident));
    let paged_out = counts.ready_bytes.saturating_sub(view.resident_body_bytes);
    put("message_bytes_paged_out", paged_out);
    // Where nobody consumes there is nobody who could have.
    let is_consumed = counts.consumers > 0;
    let capacity = if is_consumed { json!(view.capacity.at(clock::now())) } else { json!(0) };
    for key in ["consumer_capacity", "consumer_utilisation"] {
        object.insert(key.to_owned(), capacity.clone());
    }
}

/// What only quorum queues tell of their messages.
fn put_quorum_contents(object: &mut Map<String, Value>, view: &QueueView) {
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("messages_dlx", json!(view.counts.letters.messages));
    put("message_bytes_dlx", json!(view.counts.letters.bytes));
    put("messages_ready_returned", json!(view.returned));
    let by_priority = view.by_priority.iter();
    let by_priority: Map<_, _> =
        by_priority.map(|(priority, count)| (priority.to_string(), json!(count))).collect();
    put("messages_active_priorities", json!(by_priority.len()));
    put("messages_by_priority", Value::Object(by_priority));
}
