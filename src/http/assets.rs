//! The management page: files inside the binary, served at `/`.
//!
//! The page is plain HTML, CSS and JavaScript modules in `ui/`, made by hand; nothing is built.
//! It uses the API alone, and asks no other host for anything: its content policy forbids it. A
//! debug build reads the files from the source, so that a change shows when the page is loaded
//! again.

use std::io::Write;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use rust_embed::{Embed, EmbeddedFile};

#[derive(Embed)]
#[folder = "src/http/ui/"]
struct Page;

/// What holds for every answer. The page's names and messages come from strangers: even if one of
/// them became markup, it could run nothing, load nothing and send nothing elsewhere.
const GUARDS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         object-src 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    // Kept, but asked about each time: a new version of the broker has a new page at once.
    (header::CACHE_CONTROL, "no-cache"),
    (header::VARY, "accept-encoding"),
];

/// Where RabbitMQ has a page about `rabbitmqadmin`, and had that program up to 4.2 (HT-019).
const ABOUT_ADMIN: &str = "<!DOCTYPE html><title>rabbitmqadmin</title><h1>rabbitmqadmin</h1>\
    <p>rabbitmqadmin is a program of its own that calls the HTTP API. See \
    <a href=\"https://www.rabbitmq.com/docs/management-cli\">its documentation</a>.</p>";

/// Answers a request for a file of the page; `/` is the page itself.
pub(super) async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let path = match uri.path() {
        "/" => "index.html",
        path => path.trim_start_matches('/'),
    };
    let mut response = match Page::get(path) {
        Some(file) => answer(path, &file, &headers),
        None if matches!(path, "cli" | "cli/" | "cli/index.html") => {
            Html(ABOUT_ADMIN).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    };
    for (name, value) in GUARDS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn answer(path: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let tag = tag(&file.metadata.sha256_hash());
    if says(headers, &header::IF_NONE_MATCH, |known| known == "*" || known == tag) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    let described = [(header::ETAG, tag), (header::CONTENT_TYPE, content_type(path).to_owned())];
    if says(headers, &header::ACCEPT_ENCODING, accepts_gzip) {
        let encoded = [(header::CONTENT_ENCODING, "gzip")];
        return (described, encoded, gzip(&file.data)).into_response();
    }
    (described, file.data.clone()).into_response()
}

/// If a list in a header has an item of which `is` is true.
fn says(headers: &HeaderMap, name: &HeaderName, is: impl Fn(&str) -> bool) -> bool {
    let lists = headers.get_all(name).iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|item| is(item.trim()))
}

/// If an item of `accept-encoding` is gzip, with any weight but none.
fn accepts_gzip(item: &str) -> bool {
    let (coding, weight) = item.split_once(';').unwrap_or((item, ""));
    let weight = weight.trim().trim_start_matches("q=");
    coding.trim().eq_ignore_ascii_case("gzip")
        && !(weight.starts_with('0') && weight.chars().all(|digit| matches!(digit, '0' | '.')))
}

/// A weak tag, as the same file may be sent compressed or not.
fn tag(hash: &[u8; 32]) -> String {
    let half: u128 = hash.iter().take(16).fold(0, |tag, byte| tag << 8 | u128::from(*byte));
    format!("W/\"{half:032x}\"")
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to a vector does not fail.
    let _ = encoder.write_all(content);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (item, accepted) in [
            ("gzip", true),
            ("GZIP;q=0.5", true),
            ("gzip; q=1", true),
            ("gzip;q=0", false),
            ("gzip;q=0.00", false),
            ("br", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(item), accepted, "{item}");
        }
    }

    #[test]
    fn every_file_has_a_type_and_together_they_are_small() {
        let index = Page::get("index.html").expect("the page itself").data;
        let index = String::from_utf8_lossy(&index);
        let mut sent = 0;
        for path in Page::iter() {
            let file = Page::get(&path).unwrap_or_else(|| panic!("{path} is listed"));
            assert_ne!(content_type(&path), "application/octet-stream", "{path}");
            assert!(file.data.is_ascii(), "{path} is ASCII");
            // So that none is found only when another one has come.
            assert!(path == "index.html" || index.contains(&format!("\"{path}\"")), "{path}");
            sent += gzip(&file.data).len();
        }
        assert!(sent > 10_000 && sent < 100_000, "{sent} bytes are sent");
    }

    /// Whatever the page is made of, it names no other host and sets no markup from data.
    #[test]
    fn the_page_keeps_to_itself() {
        for path in Page::iter() {
            let file = Page::get(&path).unwrap_or_else(|| panic!("{path} is listed"));
            let text = String::from_utf8_lossy(&file.data);
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for never in
                ["http://", "https://", "innerHTML", "insertAdjacent", "document.write", "eval("]
            {
                assert!(!text.contains(never), "{path} has {never}");
            }
        }
    }
}
