//! A client of the management API, for answers that matter byte by byte.

use std::{
    fmt::Write as _,
    io::{Read, Write},
    net::TcpStream,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value as Json;

use super::{DEADLINE, broker};

/// Where the API is, and who asks.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    address: String,
    credentials: Option<(String, String)>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) text: String,
}

/// The API of the broker that all tests share, asked by guest.
pub(crate) fn api() -> Api {
    Api::at(broker().http_address.clone()).login("guest", "guest")
}

impl Api {
    /// The API at an address, asked by nobody.
    pub(crate) fn at(address: String) -> Self {
        Self { address, credentials: None }
    }

    pub(crate) fn login(&self, user: &str, password: &str) -> Self {
        let credentials = Some((user.to_owned(), password.to_owned()));
        Self { credentials, ..self.clone() }
    }

    pub(crate) fn anonymous(&self) -> Self {
        Self::at(self.address.clone())
    }

    /// Asks for a path below `/api`, with this body if there is any.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        self.call_with(method, path, "application/json", body)
    }

    /// Asks with a body of this type.
    #[track_caller]
    pub(crate) fn call_with(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &str,
    ) -> Answer {
        let more = format!("content-type: {content_type}\r\n");
        self.ask(method, &format!("/api{path}"), &more, body)
    }

    /// Asks for any path, with more header lines, each with its end.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, path: &str, more: &str, body: &str) -> Answer {
        let more = format!("host: {}\r\n{more}", self.address);
        self.ask_without_host(method, path, &more, body)
    }

    /// The same, where the header lines say which host is meant.
    #[track_caller]
    pub(crate) fn ask_without_host(
        &self,
        method: &str,
        path: &str,
        more: &str,
        body: &str,
    ) -> Answer {
        let mut socket = TcpStream::connect(&self.address)
            .unwrap_or_else(|error| panic!("no management API at {}: {error}", self.address));
        socket.set_read_timeout(Some(DEADLINE)).expect("the deadline is not zero");
        let login = self.credentials.as_ref().map_or(String::new(), |(user, password)| {
            let encoded = STANDARD.encode(format!("{user}:{password}"));
            format!("authorization: Basic {encoded}\r\n")
        });
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{login}{more}\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).expect("the API reads");
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).expect("the API answers");
        let answer = String::from_utf8(answer).expect("answers are text");
        let (head, text) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("{method} {path}: {head}"));
        let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let text = if is_chunked { unchunked(text) } else { text.to_owned() };
        Answer { status, head: head.to_owned(), text }
    }

    /// Gets something that is there.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Json {
        let answer = self.call("GET", path, "");
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text);
        answer.json()
    }

    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: &Json) -> Answer {
        self.call("PUT", path, &body.to_string())
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Json) -> Answer {
        self.call("POST", path, &body.to_string())
    }

    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, "")
    }
}

impl Answer {
    /// The body, which is JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// A header, whose name is given in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// Status, `error` and `reason` of a refusal.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let json = self.json();
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        (self.status, text("error"), text("reason"))
    }
}

/// A body that came in chunks.
fn unchunked(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk has a size");
        whole.push_str(&rest[..size]);
        text = &rest[(size + 2).min(rest.len())..];
    }
    whole
}

/// A name as a part of a path.
pub(crate) fn part(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                out.push(char::from(byte));
            }
            _ => write!(out, "%{byte:02X}").expect("strings can be written to"),
        }
    }
    out
}
