//! Whether all is well: `/health/checks/...` and its elders (HT-100 to HT-105).

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use super::Reply;
use crate::{
    broker::alarm::Alarm,
    clock::{self, UnixTime},
    http::{
        Api, Failure, Json, Listening, blocking,
        caller::{Caller, Entered},
        certificates::Certificates,
    },
};

pub(super) fn routes() -> Router<Api> {
    let always = || get(|_: Caller| async { ok(json!({})) });
    Router::new()
        .route("/health/checks/alarms", get(alarms))
        .route("/health/checks/local-alarms", get(alarms))
        .route("/health/checks/port-listener/{port}", get(port))
        .route("/health/checks/protocol-listener/{protocols}", get(protocols))
        .route("/health/checks/virtual-hosts", get(store))
        .route("/health/checks/is-in-service", get(serving))
        .route("/health/checks/ready-to-serve-clients", get(serving))
        .route("/health/checks/metadata-store/initialized", get(store))
        .route("/health/checks/metadata-store/initialized/with-data", get(store))
        .route("/health/checks/below-node-connection-limit", get(connections))
        .route("/health/checks/node-is-quorum-critical", get(quorum))
        .route("/health/checks/node-is-mirror-sync-critical", get(quorum))
        .nest(
            "/health/checks/quorum-queues-without-elected-leaders",
            Router::new()
                .route("/all-vhosts", always())
                .route("/all-vhosts/pattern/{pattern}", always())
                .route("/vhost/{vhost}", always())
                .route("/vhost/{vhost}/pattern/{pattern}", always()),
        )
        .route("/health/checks/certificate-expiration/{within}/{unit}", get(certificates))
        .route("/healthchecks/node", get(store))
        .route("/healthchecks/node/{node}", get(store))
        .route("/aliveness-test/{vhost}", get(alive))
}

/// All is well, and this besides.
fn ok(more: Value) -> Response {
    Json(with("ok", more)).into_response()
}

/// Something is wrong.
fn failed(reason: &str, more: Value) -> Response {
    let mut body = with("failed", more);
    body["reason"] = json!(reason);
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

fn with(status: &str, mut more: Value) -> Value {
    more["status"] = json!(status);
    more
}

/// AL-011, HT-100
async fn alarms(State(api): State<Api>, _: Caller) -> Response {
    let alarms = [(Alarm::Memory, "memory"), (Alarm::Disk, "disk")];
    let raised: Vec<Value> = alarms
        .into_iter()
        .filter(|(alarm, _)| api.broker.gate.is_raised(*alarm))
        .map(|(_, resource)| json!({"node": api.config.node(), "resource": resource}))
        .collect();
    if raised.is_empty() {
        return ok(json!({}));
    }
    failed("There are alarms in effect in the cluster", json!({"alarms": raised}))
}

/// HT-101
async fn port(State(api): State<Api>, Path(port): Path<String>, _: Caller) -> Reply {
    // No port has such a number as some ask for; it is one that nobody listens on.
    let port: i64 = port.parse().map_err(|_| Failure::bad_request("port must be an integer"))?;
    let mut ports: Vec<i64> = api.listeners.iter().map(|l| l.address.port().into()).collect();
    if ports.contains(&port) {
        return Ok(ok(json!({"port": port})));
    }
    ports.sort_unstable();
    ports.dedup();
    Ok(failed("No active listener", json!({"missing": port, "ports": ports})))
}

/// HT-102
async fn protocols(State(api): State<Api>, Path(wanted): Path<String>, _: Caller) -> Response {
    let mut active: Vec<&str> = api.listeners.iter().map(|l| l.protocol).collect();
    active.sort_unstable();
    active.dedup();
    let is_active = |name: &str| active.contains(&Listening::protocol_called(name));
    let missing: Vec<&str> = wanted.split(',').filter(|name| !is_active(name)).collect();
    if missing.is_empty() {
        return ok(json!({"protocols": active}));
    }
    failed("No active listener", json!({"missing": missing, "protocols": active}))
}

/// Whether what is durable can be made so.
async fn store(State(api): State<Api>, _: Caller) -> Response {
    match api.broker.store.failed() {
        None => ok(json!({})),
        Some(reason) => failed(&format!("the store has failed: {reason}"), json!({})),
    }
}

/// Whether clients are served.
async fn serving(State(api): State<Api>, caller: Caller) -> Response {
    if !api.broker.registry.is_accepting() {
        return failed("this node does not accept client connections", json!({}));
    }
    store(State(api), caller).await
}

async fn alive(api: State<Api>, Entered { caller, .. }: Entered) -> Response {
    store(api, caller).await
}

async fn connections(State(api): State<Api>, _: Caller) -> Response {
    if api.broker.registry.count() < api.config.connections_max as usize {
        return ok(json!({}));
    }
    let more = json!({"connections": api.broker.registry.count()});
    failed("the node connection limit is reached", more)
}

async fn quorum(_: Caller) -> Response {
    ok(json!({"reason": "single node cluster"}))
}

/// HT-104
async fn certificates(
    State(api): State<Api>,
    Path((within, unit)): Path<(String, String)>,
    _: Caller,
) -> Reply {
    const DAY: u64 = 86_400;
    let seconds = match unit.to_lowercase().as_str() {
        "days" => DAY,
        "weeks" => 7 * DAY,
        "months" => 365 * DAY / 12,
        "years" => 365 * DAY,
        _ => {
            return Err(Failure::bad_request(
                "Time unit not recognised. Supported units: days, weeks, months, years.",
            ));
        }
    };
    let invalid = |_| Failure::bad_request("Invalid expiration value.");
    let within = u64::from(within.parse::<u32>().map_err(invalid)?) * seconds;
    blocking(move || {
        let (node, now) = (api.config.node(), clock::unix_time());
        let deadline = UnixTime(now.0.saturating_add(within.saturating_mul(1000)));
        let ending = |certificates: &Certificates| certificates.ending(&node, now, deadline);
        let all = Certificates::read_blocking(&api);
        let expired: Vec<Value> = all.iter().filter_map(ending).collect();
        if expired.is_empty() {
            return Ok(ok(json!({})));
        }
        Ok(failed("Certificates expiring", json!({"expired": expired})))
    })
    .await
}
