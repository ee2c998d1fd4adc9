//! `/lepus`: what the command line asks of a broker and RabbitMQ's API has no words for. For
//! administrators alone; and what stops or wipes the broker is for whoever may open its socket, as
//! RabbitMQ has it, whose API can do nothing of the kind.

use std::{env, ffi::OsString};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, put},
};
use serde_json::{Map, Value, json};

use super::{Body, Reply, done_beside};
use crate::{
    admin::Lacks,
    config::{DiskLimit, MemoryLimit, Setting, Size},
    http::{
        Api, Failure, Files, FilesError, Json, blocking,
        caller::{Administrator, Operator},
        certificates::Certificates,
    },
    machine,
    names::CommitSeq,
};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/lepus/app", put(app))
        .route("/lepus/listeners", put(listeners))
        .route("/lepus/reset", put(reset))
        .route("/lepus/stop", put(stop))
        .route("/lepus/log-level", put(log_level))
        .route("/lepus/memory-watermark", put(memory_watermark))
        .route("/lepus/disk-free-limit", put(disk_free_limit))
        .route("/lepus/settings", get(settings))
        .route("/lepus/certificates", get(certificates))
        .route("/lepus/variables", get(variables))
}

fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// Stops serving clients, `{"running": false}`, or serves them again.
async fn app(State(api): State<Api>, _: Operator, body: Body) -> Reply {
    body.require(&["running"])?;
    if body.flag("running", true)? {
        tracing::info!("clients are served again");
        api.admin.accept_connections(true);
    } else {
        tracing::warn!("clients are served no more until start_app");
        api.admin.suspend();
    }
    Ok(no_content())
}

/// Takes no more connections, `{"accepting": false}`, or takes them again.
async fn listeners(State(api): State<Api>, _: Operator, body: Body) -> Reply {
    body.require(&["accepting"])?;
    let is_accepting = body.flag("accepting", true)?;
    tracing::info!(is_accepting, "listeners were suspended or resumed");
    api.admin.accept_connections(is_accepting);
    Ok(no_content())
}

/// Deletes everything.
async fn reset(State(api): State<Api>, _: Operator) -> Reply {
    tracing::warn!("reset: everything is deleted");
    done_beside(api, reset_blocking).await
}

/// What is imported at a start is there again, as after a start with an empty directory. A file
/// that makes no sense keeps everything as it is.
fn reset_blocking(api: &Api) -> Result<CommitSeq, Failure> {
    let refused = |error: FilesError| Failure::BadRequest(error.to_string());
    let files = api.config.load_definitions.as_deref().map(Files::read_blocking).transpose();
    let files = files.map_err(refused)?.unwrap_or_default();
    let lacks = Lacks { users: !files.have_users(), vhosts: !files.have_vhosts() };
    let needed = api.admin.reset(&api.config, lacks)?;
    Ok(needed.max(files.apply(&api.admin, &api.config.default_user).map_err(refused)?))
}

/// Stops the server, in order.
async fn stop(State(api): State<Api>, _: Operator) -> Reply {
    tracing::info!("asked to stop");
    api.admin.node().stop();
    Ok(no_content())
}

/// Sets what is logged, `{"level": "debug"}`.
async fn log_level(
    State(api): State<Api>,
    Administrator(caller): Administrator,
    body: Body,
) -> Reply {
    body.require(&["level"])?;
    let level = body.text("level")?.unwrap_or_default();
    api.admin.node().set_log_level(level).map_err(Failure::BadRequest)?;
    tracing::info!(user = %caller.user, level, "what is logged was changed");
    Ok(no_content())
}

/// A number that is not negative.
fn number(body: &Body, key: &str) -> Result<Option<f64>, Failure> {
    match body.0.get(key) {
        None => Ok(None),
        Some(value) => match value.as_f64().filter(|number| *number >= 0.0) {
            Some(number) => Ok(Some(number)),
            None => Err(Failure::bad_request(format!("{key} must be a number from 0 up"))),
        },
    }
}

/// Sets the memory in use beyond which publishers wait: `{"fraction": 0.4}` or `{"bytes": n}`.
async fn memory_watermark(
    State(api): State<Api>,
    Administrator(caller): Administrator,
    body: Body,
) -> Reply {
    let watermark = match (number(&body, "fraction")?, number(&body, "bytes")?) {
        (Some(fraction), None) if fraction <= 1.0 => {
            // Less than a hundredth is not nothing.
            let least = u8::from(fraction > 0.0);
            MemoryLimit::Percent(((fraction * 100.0).round() as u8).max(least))
        }
        (None, Some(bytes)) => MemoryLimit::Absolute(Size(bytes as u64)),
        _ => return Err(Failure::bad_request("a fraction from 0 to 1 or a number of bytes")),
    };
    tracing::info!(user = %caller.user, ?watermark, "memory watermark was changed");
    api.admin.alarm_limits().set_memory_watermark(watermark);
    Ok(no_content())
}

/// Sets the free space on the disk below which publishers wait: `{"bytes": n}` or
/// `{"memory_fraction": 1.5}`.
async fn disk_free_limit(
    State(api): State<Api>,
    Administrator(caller): Administrator,
    body: Body,
) -> Reply {
    let bytes = match (number(&body, "bytes")?, number(&body, "memory_fraction")?) {
        (Some(bytes), None) => bytes,
        (None, Some(fraction)) => {
            let memory = machine::memory_available();
            let unknown = || Failure::bad_request("the system does not say how much memory it has");
            memory.ok_or_else(unknown)? as f64 * fraction
        }
        _ => return Err(Failure::bad_request("a number of bytes or a fraction of the memory")),
    };
    let limit = Size(bytes as u64);
    tracing::info!(user = %caller.user, ?limit, "disk free limit was changed");
    api.admin.alarm_limits().set_disk_free_limit(limit);
    Ok(no_content())
}

/// Every setting in effect, but for secrets.
async fn settings(State(api): State<Api>, _: Administrator) -> Reply {
    let mut config = (*api.config).clone();
    let limits = api.admin.alarm_limits().get();
    config.memory_watermark = limits.memory;
    config.disk_free_limit = DiskLimit::Absolute(limits.disk_free);
    let value = |setting: &Setting| {
        if setting.is_secret {
            return json!("(secret)");
        }
        // What TOML writes is JSON, but for what only TOML has.
        let text = (setting.show)(&config);
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    };
    let all: Map<_, _> =
        Setting::ALL.iter().map(|setting| (setting.key.into(), value(setting))).collect();
    Ok(Json(Value::Object(all)).into_response())
}

/// The certificates of all listeners that speak TLS.
async fn certificates(State(api): State<Api>, _: Administrator) -> Reply {
    blocking(move || {
        let node = api.config.node();
        let all = Certificates::read_blocking(&api);
        let all: Vec<_> = all.iter().map(|certificates| certificates.json(&node)).collect();
        Ok(Json(Value::Array(all)))
    })
    .await
}

/// The variables of the environment that are for the broker, but for secrets.
async fn variables(_: State<Api>, _: Administrator) -> Reply {
    let is_secret =
        |text: &str| ["PASS", "SECRET", "COOKIE", "TOKEN"].iter().any(|word| text.contains(word));
    let is_ours = |name: &str| name.starts_with("LEPUS_") || name.starts_with("RABBITMQ_");
    let shown = |(name, value): (OsString, OsString)| {
        let (name, value) = (name.into_string().ok()?, value.to_string_lossy().into_owned());
        // Arguments of the Erlang machine have names of their own: `-setcookie`, `default_pass`.
        let hides = is_secret(&name) && !name.ends_with("_FILE")
            || name.ends_with("ERL_ARGS") && is_secret(&value.to_uppercase());
        let value = if hides { "(secret)".into() } else { value };
        is_ours(&name).then_some((name, Value::String(value)))
    };
    let all: Map<_, _> = env::vars_os().filter_map(shown).collect();
    Ok(Json(Value::Object(all)).into_response())
}
