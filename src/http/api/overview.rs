//! `/overview`, `/whoami`, `/version`: the broker as a whole.

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use serde_json::json;

use super::Reply;
use crate::http::{Api, Json, caller::Caller};

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/whoami", get(whoami)).route("/version", get(version))
}

/// HT-051
async fn whoami(caller: Caller) -> Reply {
    Ok(Json(json!({
        "name": caller.user.as_str(),
        "tags": caller.tags,
        "is_internal_user": true,
    }))
    .into_response())
}

/// HT-061
async fn version(State(api): State<Api>, _: Caller) -> Reply {
    Ok(Json(json!(api.config.server_version.as_str())).into_response())
}
