//! `/definitions`: everything that was declared, out and in (HT-034, HT-120 to HT-129).

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{
        HeaderMap,
        header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    routing::get,
};

use super::{Reply, Sent, done_beside};
use crate::http::{
    Api, Failure, blocking,
    caller::Caller,
    definitions::{self, Definitions, DefinitionsError},
    listing::Query,
};

/// Bytes of a form's boundary at most (RFC 2046, 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

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

async fn import(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Sent(body): Sent,
) -> Reply {
    import_into(api, caller, None, &headers, body).await
}

async fn import_vhost(
    State(api): State<Api>,
    Path(vhost): Path<String>,
    caller: Caller,
    headers: HeaderMap,
    Sent(body): Sent,
) -> Reply {
    caller.administrator()?;
    api.admin.vhost(&vhost).map_err(|_| Failure::Missing("vhost_not_found"))?;
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
    let boundary = boundary(kind).map(str::to_owned);
    done_beside(api, move |api| {
        let body = match boundary {
            Some(boundary) => uploaded(&body, &boundary)
                .ok_or_else(|| Failure::bad_request("there is no part named `file`"))?,
            None => body,
        };
        // An empty body is an empty object, as everywhere (HT-009).
        let body = if body.is_empty() { b"{}" } else { &body[..] };
        let definitions = Definitions::read(body, vhost.as_deref());
        let applied = definitions.and_then(|all| all.apply(&api.admin, &caller.user));
        applied.map_err(|error| match error {
            DefinitionsError::Json(_) => Failure::bad_request("failed_to_parse_json"),
            other => Failure::BadRequest(other.to_string()),
        })
    })
    .await
}

/// What parts of a form are set apart by, if it is a form (RFC 2046, 5.1.1).
fn boundary(kind: &str) -> Option<&str> {
    let (kind, parameters) = kind.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let value = parameters.split(';').find_map(|part| {
        let (name, value) = part.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then_some(value)
    })?;
    let value = value.trim_matches('"');
    (1..=BOUNDARY_BYTES_MAX).contains(&value.len()).then_some(value)
}

/// The file that a form uploads as `file`.
fn uploaded(body: &Bytes, boundary: &str) -> Option<Bytes> {
    let mark = ["\r\n--", boundary].concat();
    // The first mark may stand at the very beginning, without a line break before it.
    let first = body.starts_with(&mark.as_bytes()[2..]).then_some(0);
    let mut at = first.or_else(|| Some(find(body, mark.as_bytes())? + 2))?;
    loop {
        let start = at + mark.len() - 2;
        let end = start + find(&body[start..], mark.as_bytes())?;
        let part = &body[start..end];
        // A part without headers begins with the empty line that ends them.
        let head = find(part, b"\r\n\r\n")?;
        let names = String::from_utf8_lossy(&part[..head]);
        if names.contains("name=\"file\"") {
            return Some(body.slice(start + head + 4..end));
        }
        at = end + 2;
    }
}

/// Where bytes are, of which there are few: each place is compared with them.
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
        assert_eq!(boundary("Multipart/Form-Data; Boundary=a"), Some("a"));
        assert_eq!(boundary("application/json"), None);
        // So that no form is set apart by what everything has in it, or by what takes long to find.
        let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
        for none in ["multipart/form-data", "multipart/form-data; boundary=", &*long] {
            assert_eq!(boundary(none), None, "{none}");
        }
        let form = "--XyZ\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\n{}\r\n--XyZ\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n{\"a\": 1}\r\n\
            --XyZ--\r\n";
        assert_eq!(uploaded(&form.as_bytes().into(), "XyZ").as_deref(), Some(&b"{\"a\": 1}"[..]));
        // What only looks like a mark is part of the file.
        let form = form.replace("{\"a\": 1}", "{\"a\": \"--XyZ\"}");
        let form = format!("preamble\r\n{form}");
        let found = uploaded(&form.into_bytes().into(), "XyZ");
        assert_eq!(found.as_deref(), Some(&b"{\"a\": \"--XyZ\"}"[..]));
        for broken in ["", "--XyZ", "--XyZ\r\n--XyZ", "--XyZ\r\n\r\n--XyZ--"] {
            assert_eq!(uploaded(&broken.as_bytes().into(), "XyZ"), None, "{broken}");
        }
    }
}
