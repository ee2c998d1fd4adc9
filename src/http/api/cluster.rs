//! The one node as a cluster: its name, feature flags, and what only several nodes need
//! (HT-031, HT-055, HT-061).

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::IntoResponse,
    routing::{delete, get, post, put},
};
use serde_json::{Value, json};

use super::{Body, Reply, done_beside};
use crate::{
    config::GlobalPrefetch,
    http::{
        Api, Failure, Json, blocking,
        caller::{Administrator, Caller},
        listing::Query,
    },
};

/// Feature flags, all enabled: a name, what it is for, the plugin that RabbitMQ has it in.
const FLAGS: [(&str, &str, &str); 33] = [
    ("classic_mirrored_queue_version", "Versions of classic queues", RABBIT),
    ("classic_queue_type_delivery_support", "Deliveries of classic queues", RABBIT),
    ("detailed_queues_endpoint", "Detailed lists of queues", MANAGEMENT),
    ("direct_exchange_routing_v2", "Routing of direct exchanges", RABBIT),
    ("drop_unroutable_metric", "Counts of dropped messages", AGENT),
    ("empty_basic_get_metric", "Counts of gets that found nothing", AGENT),
    ("feature_flags_v2", "Feature flags", RABBIT),
    ("implicit_default_bindings", "Bindings of the default exchange", RABBIT),
    ("khepri_db", "The store of definitions", RABBIT),
    ("listener_records_in_ets", "Records of listeners", RABBIT),
    ("maintenance_mode_status", "Maintenance mode", RABBIT),
    ("message_containers", "Messages of several protocols", RABBIT),
    ("message_containers_deaths_v2", "Detection of dead letter cycles", RABBIT),
    ("quorum_queue", "Quorum queues", RABBIT),
    ("quorum_queue_non_voters", "Members of quorum queues without a vote", RABBIT),
    ("rabbit_exchange_type_local_random", "Exchanges of type x-local-random", RABBIT),
    ("rabbitmq_4.0.0", "What came with 4.0", RABBIT),
    ("rabbitmq_4.1.0", "What came with 4.1", RABBIT),
    ("rabbitmq_4.2.0", "What came with 4.2", RABBIT),
    ("rabbitmq_4.3.0", "What came with 4.3", RABBIT),
    ("restart_streams", "Restarts of streams", RABBIT),
    ("stream_filtering", "Filters of streams", RABBIT),
    ("stream_queue", "Streams", RABBIT),
    ("stream_sac_coordinator_unblock_group", "Groups of consumers of streams", RABBIT),
    ("stream_single_active_consumer", "Single active consumers of streams", RABBIT),
    ("stream_update_config_command", "Policies of streams", RABBIT),
    ("tie_binding_to_dest_with_keep_while_cond", "Bindings of what is deleted", RABBIT),
    ("topic_binding_projection_v4", "Routing of topic exchanges", RABBIT),
    ("topic_binding_projection_v5", "Routing of topic exchanges", RABBIT),
    ("track_qq_members_uids", "Members of quorum queues", RABBIT),
    ("tracking_records_in_ets", "Records of connections", RABBIT),
    ("user_limits", "Limits of users", RABBIT),
    ("virtual_host_metadata", "Descriptions and tags of vhosts", RABBIT),
];

/// Those that can still be off in RabbitMQ 4.3; it takes the others for granted.
const STABLE: [&str; 5] = [
    "rabbitmq_4.3.0",
    "tie_binding_to_dest_with_keep_while_cond",
    "topic_binding_projection_v4",
    "topic_binding_projection_v5",
    "track_qq_members_uids",
];

const RABBIT: &str = "rabbit";
const MANAGEMENT: &str = "rabbitmq_management";
const AGENT: &str = "rabbitmq_management_agent";

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/cluster-name", get(name).put(rename))
        .route("/feature-flags", get(flags))
        .route("/feature-flags/{name}/enable", put(enable))
        .route("/deprecated-features", get(deprecated))
        .route("/deprecated-features/used", get(deprecated_in_use))
        .route("/reset", delete(done_at_once))
        .route("/reset/{node}", delete(reset_node))
        .route("/rebalance/queues", post(done_at_once))
}

async fn name(State(api): State<Api>, _: Caller) -> Reply {
    Ok(Json(json!({"name": api.cluster_name()})).into_response())
}

async fn rename(State(api): State<Api>, _: Administrator, body: Body) -> Reply {
    done_beside(api, move |api| {
        let [name] = body.texts(["name"])?;
        Ok(api.admin.set_global_parameter("cluster_name", name.into()))
    })
    .await
}

async fn flags(_: Caller, query: Query) -> Reply {
    let flags = FLAGS.iter().map(|(name, desc, provided_by)| {
        let (stability, level) =
            if STABLE.contains(name) { ("stable", "none") } else { ("required", "hard") };
        json!({
            "name": name,
            "desc": desc,
            "doc_url": "",
            "state": "enabled",
            "stability": stability,
            "require_level": level,
            "experiment_level": "supported",
            "callbacks": [],
            "provided_by": provided_by,
        })
    });
    Ok(query.list(flags.collect())?.into_response())
}

/// All of them are enabled already.
async fn enable(Path(name): Path<String>, _: Administrator) -> Reply {
    if FLAGS.iter().any(|(known, ..)| *known == name) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Err(Failure::bad_request("unsupported"))
}

/// Where a deprecated feature is on its way out.
const PERMITTED: &str = "permitted_by_default";
const DENIED: &str = "denied_by_default";
const REMOVED: &str = "removed";

/// Deprecated features: name, phase, plugin, and whether it can be used.
fn features(api: &Api) -> [(&'static str, &'static str, &'static str, bool); 8] {
    let has_global_qos = api.config.global_prefetch == GlobalPrefetch::Channel;
    let global_qos = if has_global_qos { PERMITTED } else { DENIED };
    [
        ("amqp_address_v1", DENIED, RABBIT, false),
        ("amqp_filter_set_bug", DENIED, RABBIT, false),
        ("classic_queue_mirroring", REMOVED, RABBIT, false),
        ("global_qos", global_qos, RABBIT, has_global_qos),
        ("management_metrics_collection", PERMITTED, AGENT, true),
        ("queue_master_locator", DENIED, RABBIT, false),
        ("ram_node_type", REMOVED, RABBIT, false),
        (TRANSIENT_QUEUES, PERMITTED, RABBIT, true),
    ]
}

/// Queues that are neither durable nor exclusive.
const TRANSIENT_QUEUES: &str = "transient_nonexcl_queues";

async fn deprecated(State(api): State<Api>, _: Caller, query: Query) -> Reply {
    let features = features(&api).map(|(name, phase, provided_by, is_permitted)| {
        let mut feature = described(name, phase, provided_by);
        feature["state"] = json!(if is_permitted { "permitted" } else { "denied" });
        feature
    });
    Ok(query.list(features.into())?.into_response())
}

fn described(name: &str, phase: &str, provided_by: &str) -> Value {
    json!({
        "name": name,
        "desc": "",
        "deprecation_phase": phase,
        "doc_url": "",
        "provided_by": provided_by,
    })
}

/// Those in use of which anybody can tell.
async fn deprecated_in_use(State(api): State<Api>, _: Caller, query: Query) -> Reply {
    blocking(move || {
        let is_used = api.admin.vhosts().iter().any(|vhost| {
            let topology = vhost.topology();
            topology.queues().any(|(_, queue)| !queue.spec.durable && queue.owner.is_none())
        });
        let used = is_used.then(|| described(TRANSIENT_QUEUES, PERMITTED, RABBIT));
        query.list(used.into_iter().collect())
    })
    .await
}

/// There is no database of statistics that could be in a wrong state, and one node has all queues.
async fn done_at_once(_: Administrator) -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn reset_node(State(api): State<Api>, Path(node): Path<String>, _: Administrator) -> Reply {
    if node != api.config.node() {
        return Err(Failure::NotFound);
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
