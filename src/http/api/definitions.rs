//! `/definitions`: everything that was declared, out and in (HT-034, HT-120 to HT-129).

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    response::IntoResponse,
    routing::get,
};

use super::Reply;
use crate::http::{
    Api, Failure, blocking,
    caller::Caller,
    definitions::{self, Definitions, DefinitionsError},
    listing::Query,
};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/definitions", get(export).post(import))
        .route("/all-configuration", get(export).post(import))
        .route("/definitions/{vhost}", get(export_vhost).post(import_vhost))
}

async fn export(State(api): State<Api>, caller: Caller, query: Query) -> Reply {
    caller.administrator()?;
    blocking(move || {
        let json = query.item(definitions::of_all(&api));
        Ok((as_file(&query), json))
    })
    .await
}

async fn export_vhost(
    State(api): State<Api>,
    Path(vhost): Path<String>,
    caller: Caller,
    query: Query,
) -> Reply {
    caller.administrator()?;
    let vhost = api.admin.vhost(&vhost).map_err(|_| Failure::bad_request("vhost_not_found"))?;
    blocking(move || {
        let json = query.item(definitions::of_vhost(&api, &vhost));
        Ok((as_file(&query), json))
    })
    .await
}

/// What makes a browser keep it as a file.
fn as_file(query: &Query) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let name = query.get("download").map(|name| name.replace(['"', '\\', '\r', '\n'], "_"));
    let value = name.and_then(|name| format!("attachment; filename=\"{name}\"").parse().ok());
    headers.extend(value.map(|value| (CONTENT_DISPOSITION, value)));
    headers
}

async fn import(State(api): State<Api>, caller: Caller, headers: HeaderMap, body: Bytes) -> Reply {
    import_into(api, caller, None, &headers, body).await
}

async fn import_vhost(
    State(api): State<Api>,
    Path(vhost): Path<String>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    caller.administrator()?;
    api.admin.vhost(&vhost).map_err(|_| Failure::bad_request("vhost_not_found"))?;
    import_into(api, caller, Some(vhost), &headers, body).await
}

async fn import_into(
    api: Api,
    caller: Caller,
    vhost: Option<String>,
    headers: &HeaderMap,
    body: Bytes,
) -> Reply {
    caller.administrator()?;
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let body = match boundary(kind) {
        Some(boundary) => uploaded(&body, boundary)
            .ok_or_else(|| Failure::bad_request("there is no part named `file`"))?,
        None => body,
    };
    let worked = {
        let (api, caller) = (api.clone(), caller.clone());
        tokio::task::spawn_blocking(move || {
            let definitions = Definitions::read(&body, vhost.as_deref())?;
            definitions.apply(&api.admin, &caller.user)
        })
        .await
    };
    let needed = worked.map_err(|_| Failure::Internal)?.map_err(|error| match error {
        DefinitionsError::Json(_) => Failure::bad_request("failed_to_parse_json"),
        other => Failure::BadRequest(other.to_string()),
    })?;
    api.admin.durable(needed).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What parts of a form are set apart by, if it is a form.
fn boundary(kind: &str) -> Option<&str> {
    let parameters = kind.strip_prefix("multipart/form-data")?;
    let value = parameters.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?;
    Some(value.trim_matches('"'))
}

/// The file that a form uploads as `file`.
fn uploaded(body: &Bytes, boundary: &str) -> Option<Bytes> {
    let mark = [b"--", boundary.as_bytes()].concat();
    let mut rest = 0;
    loop {
        let start = rest + find(&body[rest..], &mark)? + mark.len();
        let end = start + find(&body[start..], &mark)?;
        let part = &body[start..end];
        let head = find(part, b"\r\n\r\n")?;
        let names = String::from_utf8_lossy(&part[..head]);
        if names.contains("name=\"file\"") {
            let from = start + head + 4;
            // The line break before the mark belongs to the mark.
            return Some(body.slice(from..end.saturating_sub(2).max(from)));
        }
        rest = end;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    // HT-034
    #[test]
    fn a_file_is_found_in_a_form() {
        let kind = "multipart/form-data; charset=x; boundary=\"XyZ\"";
        assert_eq!(boundary(kind), Some("XyZ"));
        assert_eq!(boundary("application/json"), None);
        let form = "--XyZ\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\n{}\r\n--XyZ\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n{\"a\": 1}\r\n\
            --XyZ--\r\n";
        assert_eq!(uploaded(&form.as_bytes().into(), "XyZ").as_deref(), Some(&b"{\"a\": 1}"[..]));
        for broken in ["", "--XyZ", "--XyZ\r\n--XyZ", "--XyZ\r\n\r\n--XyZ--"] {
            assert_eq!(uploaded(&broken.as_bytes().into(), "XyZ"), None, "{broken}");
        }
    }
}
