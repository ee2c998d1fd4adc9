//! `/login` for pages, `/auth/hash_password`, `/auth/attempts` (HT-059 to HT-061).

use axum::{
    Router,
    extract::{ConnectInfo, DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Reply, Sent};
use crate::{
    auth::{PasswordHash, Via},
    http::{
        Api, Failure, Json, Peer,
        caller::{Administrator, Caller, log_in},
    },
};

/// Bytes of a form with a login at most.
const FORM_BYTES_MAX: usize = 64 * 1024;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/login", post(start_session).delete(async || StatusCode::NO_CONTENT))
        // So much is taken from anybody; it may be a token.
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .route("/auth/hash_password/{password}", get(hash))
        .route("/auth/attempts/{node}", get(attempts).delete(forget_attempts))
        .route("/auth/attempts/{node}/source", get(attempts_by_source).delete(forget_attempts))
}

/// Takes a form with `username` and `password`; the answer says what to send with each call.
async fn start_session(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    form: Sent,
) -> Reply {
    let field = |name: &str| {
        let found = form_urlencoded::parse(&form.0).find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned())
    };
    let (user, password) = field("username").zip(field("password")).ok_or(Failure::LoginFailed)?;
    let caller = log_in(&api, &user, &password, (peer.ip(), &headers)).await?;
    let token = STANDARD.encode(format!("{user}:{password}"));
    Ok(Json(json!({
        "user": {
            "name": caller.user.as_str(),
            "tags": caller.tags,
            "is_internal_user": caller.is_internal(),
        },
        "token": {"type": "basic", "value": token},
    }))
    .into_response())
}

async fn hash(Path(password): Path<String>, _: Administrator) -> Reply {
    let hash = PasswordHash::new(password.as_bytes()).map_err(|error| {
        tracing::error!(%error, "no random numbers");
        Failure::Internal
    })?;
    Ok(Json(json!({"ok": hash.to_base64()})).into_response())
}

/// There is one node.
fn check_node(api: &Api, node: &str) -> Result<(), Failure> {
    if node == api.config.node() { Ok(()) } else { Err(Failure::NotFound) }
}

async fn attempts(State(api): State<Api>, Path(node): Path<String>, caller: Caller) -> Reply {
    caller.monitor()?;
    check_node(&api, &node)?;
    let counts = Via::ALL.map(|via| (via, api.auth.attempts().get(via)));
    let tried = counts.iter().filter(|(_, counts)| counts.succeeded + counts.failed > 0);
    let list = tried.map(|(via, counts)| {
        json!({
            "protocol": via.as_str(),
            "auth_attempts": counts.succeeded + counts.failed,
            "auth_attempts_failed": counts.failed,
            "auth_attempts_succeeded": counts.succeeded,
        })
    });
    Ok(Json(list.collect::<Value>()).into_response())
}

/// Where attempts came from is not kept, as in a RabbitMQ that was not told to.
async fn attempts_by_source(
    State(api): State<Api>,
    Path(node): Path<String>,
    caller: Caller,
) -> Reply {
    caller.monitor()?;
    check_node(&api, &node)?;
    Ok(Json(json!([])).into_response())
}

async fn forget_attempts(
    State(api): State<Api>,
    Path(node): Path<String>,
    _: Administrator,
) -> Reply {
    check_node(&api, &node)?;
    api.auth.attempts().reset();
    Ok(StatusCode::NO_CONTENT.into_response())
}
