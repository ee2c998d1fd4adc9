//! `/nodes`: the one node that there is (HT-075).

use std::time::Duration;

use axum::{
    Router,
    extract::{Path, State},
    response::IntoResponse,
    routing::get,
};
use serde_json::{Map, Value, json};

use super::Reply;
use crate::{
    broker::{alarm::Alarm, exchange},
    clock,
    http::{
        Api, Failure, Json, blocking, caller::Caller, census, history::Subject, listing::Query,
    },
    machine,
};

/// What is said where RabbitMQ tells the version of something that is not here.
pub(super) const NO_ERLANG: &str = "none";

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/nodes", get(list))
        .route("/nodes/{node}", get(one))
        .route("/nodes/{node}/memory", get(memory))
}

async fn list(State(api): State<Api>, caller: Caller, query: Query) -> Reply {
    caller.monitor()?;
    blocking(move || query.list(vec![describe(&api, &query)])).await
}

async fn one(
    State(api): State<Api>,
    Path(node): Path<String>,
    caller: Caller,
    query: Query,
) -> Reply {
    caller.monitor()?;
    if node != api.config.node() {
        return Err(Failure::NotFound);
    }
    blocking(move || Ok(query.item(describe(&api, &query)))).await
}

/// What RabbitMQ uses memory for and Lepus does not, or does not count. Tools take it for granted
/// that each is told.
const NOT_COUNTED: [&str; 23] = [
    "connection_readers",
    "connection_writers",
    "connection_channels",
    "connection_other",
    "quorum_queue_procs",
    "quorum_queue_dlx_procs",
    "stream_queue_procs",
    "stream_queue_replica_reader_procs",
    "stream_queue_coordinator_procs",
    "plugins",
    "metadata_store",
    "metrics",
    "mgmt_db",
    "mnesia",
    "quorum_ets",
    "metadata_store_ets",
    "other_ets",
    "binary",
    "code",
    "atom",
    "other_system",
    "allocated_unused",
    "reserved_unallocated",
];

/// What RabbitMQ counts and Lepus does not do or count. Of most of it RabbitMQ 4.3 says 0.
const NOT_HERE: [&str; 11] = [
    "gc_num",
    "gc_bytes_reclaimed",
    "context_switches",
    "io_read_count",
    "io_read_bytes",
    "io_reopen_count",
    "io_seek_count",
    "mnesia_disk_tx_count",
    "mnesia_ram_tx_count",
    "queue_index_read_count",
    "queue_index_write_count",
];

/// What RabbitMQ has yet to clean up of its statistics.
const METRICS_GC_QUEUES: [&str; 8] = [
    "connection_closed",
    "channel_closed",
    "consumer_deleted",
    "exchange_deleted",
    "queue_deleted",
    "vhost_deleted",
    "node_node_deleted",
    "channel_consumer_deleted",
];

fn metrics_gc_queues() -> Value {
    Value::Object(METRICS_GC_QUEUES.map(|name| (name.to_owned(), json!(0))).into_iter().collect())
}

async fn memory(State(api): State<Api>, Path(node): Path<String>, caller: Caller) -> Reply {
    caller.monitor()?;
    if node != api.config.node() {
        return Err(Failure::NotFound);
    }
    Ok(Json(json!({"memory": memory_breakdown(&api)})).into_response())
}

/// What the memory in use is used for, as far as it is counted.
fn memory_breakdown(api: &Api) -> Value {
    let used = machine::memory_used().unwrap_or(0);
    let messages = api.broker.budget.used() as u64;
    let store = api.broker.store.stats().inbox_bytes;
    let other = used.saturating_sub(messages + store);
    let mut breakdown = json!({
        "queue_procs": messages,
        "msg_index": store,
        "other_proc": other,
        "total": {"rss": used, "allocated": used, "erlang": used},
        "strategy": "rss",
    });
    for key in NOT_COUNTED {
        breakdown[key] = json!(0);
    }
    breakdown
}

fn describe(api: &Api, query: &Query) -> Value {
    let limits = api.admin.alarm_limits().get();
    let (gate, config) = (&api.broker.gate, &api.config);
    let running = clock::unix_time().0.saturating_sub(api.started_at.0);
    let version = config.server_version.as_str();
    let mut object = match json!({
        "name": config.node(),
        "type": "disc",
        "running": true,
        "being_drained": false,
        "partitions": [],
        "cluster_links": [],
        "os_pid": std::process::id().to_string(),
        "uptime": running,
        "run_queue": 0,
        "processors": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "fd_total": machine::open_files_max().unwrap_or(0),
        "sockets_total": config.connections_max,
        "proc_total": machine::threads_max().unwrap_or(0),
        "mem_limit": limits.memory_bytes().unwrap_or(0),
        "mem_alarm": gate.is_raised(Alarm::Memory),
        "mem_calculation_strategy": "rss",
        "disk_free_limit": limits.disk_free.0,
        "disk_free_alarm": gate.is_raised(Alarm::Disk),
        "rates_mode": "basic",
        "exchange_types": exchange_types(),
        "auth_mechanisms": config
            .auth_mechanisms
            .iter()
            .map(|mechanism| json!({
                "name": mechanism.as_str(),
                "description": format!("SASL {} authentication mechanism", mechanism.as_str()),
                "enabled": true,
            }))
            .collect::<Value>(),
        "applications": [{
            "name": "lepus",
            "description": "Lepus",
            "version": env!("CARGO_PKG_VERSION"),
        }],
        "contexts": contexts(api, false),
        "log_files": ["<stderr>"],
        "db_dir": api.admin.alarm_limits().data_path(),
        "config_files": [],
        "net_ticktime": 60,
        "enabled_plugins": ["rabbitmq_management", "rabbitmq_prometheus"],
        "rabbitmq_version": version,
        "erlang_version": NO_ERLANG,
        "erlang_full_version": platform(),
        "crypto_lib_version": NO_ERLANG,
        "metrics_gc_queue_length": metrics_gc_queues(),
        "ra_open_file_metrics": {"ra_log_wal": 0, "ra_log_segment_writer": 0},
    }) {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    let store = api.broker.store.stats();
    let counted = census::node(api).into_iter().chain(census::disk(&store));
    let counted = counted.chain(census::churn(api)).chain(NOT_HERE.map(|name| (name, 0)));
    let past = api.history().look(query).of_node().of(&Subject::Node);
    for (name, value) in counted {
        past.put(&mut object, name, value);
    }
    let each = Duration::from_nanos(store.commit_nanos / store.commits.max(1));
    let milliseconds = each.as_secs_f64() * 1000.0;
    for (name, value) in [
        // A commit is one write that is synced.
        ("io_write_avg_time", milliseconds),
        ("io_sync_avg_time", milliseconds),
        ("io_read_avg_time", 0.0),
        ("io_seek_avg_time", 0.0),
    ] {
        object.insert(name.to_owned(), json!(value));
        object.insert(format!("{name}_details"), json!({"rate": 0.0}));
    }
    if query.is_true("memory") {
        object.insert("memory".to_owned(), memory_breakdown(api));
    }
    Value::Object(object)
}

/// What this is instead of an Erlang.
pub(super) fn platform() -> &'static str {
    concat!("Lepus ", env!("CARGO_PKG_VERSION"))
}

/// The types of exchanges that can be declared.
pub(super) fn exchange_types() -> Value {
    exchange::type_names()
        .map(|name| {
            let description = match name {
                "direct" | "fanout" | "topic" | "headers" => {
                    format!("AMQP {name} exchange, as per the AMQP specification")
                }
                _ => String::new(),
            };
            json!({"name": name, "description": description, "enabled": true})
        })
        .collect()
}

/// Where the broker listens.
pub(super) fn listeners(api: &Api) -> Value {
    let node = api.config.node();
    let listeners = api.listeners.iter().map(|listening| {
        json!({
            "node": node,
            "protocol": listening.protocol,
            "ip_address": listening.address.ip().to_string(),
            "port": listening.address.port(),
            "tls": listening.protocol.ends_with("/ssl") || listening.protocol == "https",
            "socket_opts": {"backlog": api.config.listen_backlog, "nodelay": true},
        })
    });
    listeners.collect()
}

/// What is served over HTTP.
pub(super) fn contexts(api: &Api, with_node: bool) -> Value {
    let contexts = api.listeners.iter().filter_map(|listening| {
        let description = match listening.protocol {
            "http" | "https" => "RabbitMQ Management",
            "http/prometheus" => "RabbitMQ Prometheus",
            _ => return None,
        };
        let mut context = json!({
            "description": description,
            "path": "/",
            "ip": listening.address.ip().to_string(),
            "port": listening.address.port().to_string(),
            "ssl_opts": [],
        });
        if with_node {
            context["node"] = json!(api.config.node());
        }
        Some(context)
    });
    contexts.collect()
}
