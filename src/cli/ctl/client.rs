//! The HTTP client: one request after another, over TCP or the broker's socket.

use std::{
    fmt::Write,
    io::{self, ErrorKind},
    pin::Pin,
    time::Duration,
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    runtime::{self, Runtime},
    time,
};

use super::{
    failure::{Failure, code},
    target::{self, Target},
    tls,
};

/// The longest answer that is taken.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// The header that says who asks.
const LOGIN: &str = "authorization";

/// Speaks to a broker's management API.
#[derive(Debug)]
pub(super) struct Client {
    runtime: Runtime,
    pub(super) target: Target,
    /// For each request, its connection included; none is forever.
    pub(super) timeout: Option<Duration>,
    /// The connection of the last request, while it is open.
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// An answer of the broker.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// Nothing could be connected to.
    Unreachable(io::Error),
    /// It is connected, and what came is no answer.
    Broken(String),
    /// It is not the one that it should be, or there is no telling.
    Untrusted(String),
    TimedOut(Duration),
}

/// A request that is made up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: &'a Method,
    /// The segments of the path after `/api`, not encoded.
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) body: Option<&'a Value>,
    pub(super) headers: &'a [(&'a str, &'a str)],
}

impl<'a> Ask<'a> {
    /// Asks for what is at this path.
    pub(super) const fn get(path: &'a [&'a str]) -> Self {
        Self { method: &Method::GET, path, query: &[], body: None, headers: &[] }
    }
}

/// Both kinds of sockets.
trait Socket: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Socket for S {}

impl Client {
    pub(super) fn new(target: Target, timeout: Option<Duration>) -> Result<Self, Failure> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            let text = format!("Error: the operating system refused: {error}");
            Failure::plain(code::UNAVAILABLE, text)
        })?;
        Ok(Self { runtime, target, timeout, sender: None })
    }

    /// Sends a request and waits for the answer, whatever its status.
    pub(super) fn ask(&mut self, ask: Ask<'_>) -> Result<Answer, NoAnswer> {
        let request = self.request(ask)?;
        let reused = self.sender.take().filter(|sender| !sender.is_closed());
        let (target, timeout) = (&self.target, self.timeout);
        let exchanged = self.runtime.block_on(async {
            let exchange = exchange(target, reused, request);
            match timeout {
                Some(limit) => {
                    time::timeout(limit, exchange).await.unwrap_or(Err(NoAnswer::TimedOut(limit)))
                }
                None => exchange.await,
            }
        });
        let (answer, sender) = exchanged?;
        self.sender = Some(sender);
        Ok(answer)
    }

    /// Asks who a login is, which tells whether the broker takes it.
    pub(super) fn authenticate(&mut self, user: &str, password: &str) -> Result<Answer, NoAnswer> {
        let login = target::basic(user, password);
        let headers = &[(LOGIN, login.as_str())];
        self.ask(Ask { headers, ..Ask::get(&["whoami"]) })
    }

    /// Tells whether something accepts connections there.
    pub(super) fn connect(&self, place: (&str, u16), limit: Duration) -> io::Result<()> {
        let connected = async {
            let timed_out = || io::Error::from(ErrorKind::TimedOut);
            let connected = time::timeout(limit, TcpStream::connect(place)).await;
            connected.map_err(|_| timed_out())?.map(drop)
        };
        self.runtime.block_on(connected)
    }

    /// Lets time pass.
    pub(super) fn wait(&self, time: Duration) {
        self.runtime.block_on(async { time::sleep(time).await });
    }

    fn request(&self, ask: Ask<'_>) -> Result<Request<Full<Bytes>>, NoAnswer> {
        let uri = format!("{}{}", self.target.prefix(), path_and_query(ask.path, ask.query));
        let mut request = Request::builder()
            .method(ask.method)
            .uri(uri)
            .header(header::HOST, self.target.host())
            .header(header::ACCEPT, "*/*");
        let is_another = ask.headers.iter().any(|(name, _)| *name == LOGIN);
        if let Some(login) = self.target.authorization().filter(|_| !is_another) {
            request = request.header(LOGIN, login);
        }
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        let body = ask.body.map(Value::to_string).unwrap_or_default();
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request.body(Full::from(body)).map_err(|error| NoAnswer::Broken(error.to_string()))
    }
}

/// Sends a request over an open connection or a new one, and reads the answer.
async fn exchange(
    target: &Target,
    reused: Option<SendRequest<Full<Bytes>>>,
    request: Request<Full<Bytes>>,
) -> Result<(Answer, SendRequest<Full<Bytes>>), NoAnswer> {
    let broken = |error: hyper::Error| NoAnswer::Broken(error.to_string());
    let reused = match reused {
        Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
        None => None,
    };
    let mut sender = match reused {
        Some(sender) => sender,
        None => connect(target).await?,
    };
    let answer = sender.send_request(request).await.map_err(broken)?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| NoAnswer::Broken(error.to_string()))?.to_bytes().to_vec();
    Ok((Answer { status, body }, sender))
}

async fn connect(target: &Target) -> Result<SendRequest<Full<Bytes>>, NoAnswer> {
    let socket: Pin<Box<dyn Socket>> = match target {
        Target::Socket(path) => {
            Box::pin(UnixStream::connect(path).await.map_err(NoAnswer::Unreachable)?)
        }
        Target::Http { host, port, tls, .. } => {
            let socket = TcpStream::connect((host.as_str(), *port)).await;
            let socket = socket.map_err(NoAnswer::Unreachable)?;
            match tls {
                None => Box::pin(socket),
                Some(authorities) => Box::pin(tls::connect(socket, host, authorities).await?),
            }
        }
    };
    let handshake = http1::handshake(TokioIo::new(socket)).await;
    let (sender, connection) = handshake.map_err(|error| NoAnswer::Broken(error.to_string()))?;
    tokio::spawn(connection);
    Ok(sender)
}

impl NoAnswer {
    /// Whether nothing listens there, which is how a broker that has not started yet looks.
    pub(super) fn is_absent(&self) -> bool {
        let absent = [ErrorKind::NotFound, ErrorKind::ConnectionRefused];
        matches!(self, Self::Unreachable(error) if absent.contains(&error.kind()))
    }
}

/// The path of a request, encoded.
fn path_and_query(path: &[&str], query: &[(&str, &str)]) -> String {
    let mut text = String::from("/api");
    for segment in path {
        text.push('/');
        encode(segment, &mut text);
    }
    for (index, (name, value)) in query.iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        encode(name, &mut text);
        text.push('=');
        encode(value, &mut text);
    }
    text
}

/// Percent-encodes all but what RFC 3986 calls unreserved.
fn encode(text: &str, encoded: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // A String takes all that is written to it.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_in_paths() {
        assert_eq!(path_and_query(&["vhosts"], &[]), "/api/vhosts");
        assert_eq!(
            path_and_query(&["queues", "/", "a b\u{e9}?#%"], &[("a", "b&c"), ("d", "")]),
            "/api/queues/%2F/a%20b%C3%A9%3F%23%25?a=b%26c&d="
        );
    }
}
