//! The management API, as RabbitMQ's tools expect it (COMPATIBILITY chapter 8).
//!
//! Floor 6, over `admin`, `broker` and `auth`. What the API says and reads as JSON is here (R10).
//!
//! - [`caller`]: who asks, and what that user may see and do.
//! - [`failure`]: RabbitMQ's status codes and bodies for what cannot be done.
//! - [`history`]: what counters were, for rates and charts; [`census`]: sums over everything.
//! - [`certificates`]: those of the listeners, as their files have them.
//! - [`listing`]: columns, sorting, filters and pages of lists.
//! - [`json`], [`properties`]: arguments and properties, to JSON and back.
//! - [`api`]: one file for each kind of thing, with its routes.
//! - [`definitions`]: everything that was declared, out and in.
//! - [`origin`]: what pages of other sites make a browser ask is refused, unless they may.
//! - [`prefix`]: what paths begin with, where that is configured.
//! - [`serve`]: HTTP on a connection, whose other end has its time and no more ([`pace`]).
//! - [`bounded`]: how many connections there may be.
//! - [`assets`]: the management page, which uses the API alone.
//! - [`metrics`]: what Prometheus scrapes, on a port of its own.
//!
//! What is listed is true at the moment of the call; only rates look back. Work that grows with
//! the number of things runs beside the tasks that serve clients ([`blocking`]).

mod api;
mod assets;
mod bounded;
mod caller;
mod census;
mod certificates;
mod definitions;
mod failure;
mod history;
mod json;
mod listing;
mod metrics;
mod origin;
mod pace;
mod prefix;
mod properties;
mod serve;

use std::{
    future, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Deref,
    sync::{Arc, atomic::AtomicBool},
};

use axum::{
    Router,
    extract::Request,
    http::Uri,
    middleware::{from_fn_with_state, map_request},
    response::{IntoResponse, Response},
    serve::Listener,
};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, watch},
};

pub use bounded::{Bounded, Placed};
pub use definitions::{Definitions, DefinitionsError, Files, FilesError};
pub use failure::Failure;
use history::History;

use crate::{
    admin::Admin,
    auth::Authenticator,
    broker::{Broker, parameter::Scope},
    clock::{self, UnixTime},
    config::Config,
};

/// What an endpoint answers.
pub type Reply = Result<Response, Failure>;

/// What the API is an API of. Clones are the same.
#[derive(Clone, Debug)]
pub struct Api(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Shared,
    history: History,
    untagged: AtomicBool,
}

/// What all endpoints share.
#[derive(Debug)]
pub struct Shared {
    /// The broker.
    pub broker: Arc<Broker>,
    /// Its users.
    pub auth: Arc<Authenticator>,
    /// What operators do.
    pub admin: Admin,
    /// Its settings.
    pub config: Arc<Config>,
    /// When it was started.
    pub started_at: UnixTime,
    /// Where it listens.
    pub listeners: Vec<Listening>,
}

/// A port that the broker listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// `amqp`, `amqp/ssl`, `http`, `https`, `http/prometheus`.
    pub protocol: &'static str,
    /// The address with the real port.
    pub address: SocketAddr,
}

impl Listening {
    /// A protocol as it is called here, of any of the names that people call it.
    pub fn protocol_called(name: &str) -> &str {
        match name {
            "amqp091" | "amqp0.9.1" | "amqp-0-9-1" | "amqp0-9-1" | "amqp0" => "amqp",
            "amqps" | "amqp+tls" | "amqp-tls" | "amqp/tls" => "amqp/ssl",
            "management" => "http",
            "prometheus" => "http/prometheus",
            other => other,
        }
    }
}

impl Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0.shared
    }
}

impl Api {
    /// The API of a broker.
    pub fn new(shared: Shared) -> Self {
        let untagged = AtomicBool::new(false);
        Self(Arc::new(Inner { shared, history: History::default(), untagged }))
    }

    /// The cluster's name: the one that was set while it ran, else the configuration's.
    fn cluster_name(&self) -> String {
        let set = self.broker.parameter(&Scope::Global, "cluster_name");
        let set = set.and_then(|name| name.as_text().map(str::to_owned));
        set.unwrap_or_else(|| self.config.cluster())
    }

    /// Whether the global parameter of the cluster's tags was deleted since the start.
    fn untagged(&self) -> &AtomicBool {
        &self.0.untagged
    }

    /// Whether somebody named the cluster: the configuration, or someone while it ran.
    fn is_named(&self) -> bool {
        self.config.cluster_name.is_some()
            || self.broker.parameter(&Scope::Global, "cluster_name").is_some()
    }

    /// What counters were.
    fn history(&self) -> &History {
        &self.0.history
    }

    /// Takes samples of what is counted, until `stopped` has lost its sender.
    pub async fn sample(self, mut stopped: watch::Receiver<()>) {
        loop {
            let next = clock::now().after(history::until_next(clock::unix_time()));
            tokio::select! {
                _ = stopped.changed() => return,
                () = clock::sleep_until(next) => {}
            }
            let api = self.clone();
            let taken = tokio::task::spawn_blocking(move || {
                api.history().record(clock::unix_time(), census::take(&api));
            });
            if let Err(error) = taken.await {
                tracing::error!(%error, "no samples were taken");
            }
        }
    }

    /// All routes, for callers who log in.
    fn router(&self) -> Router {
        let routes = Router::new().nest("/api", api::routes()).fallback(assets::serve);
        let routes = routes.with_state(self.clone());
        // Which methods a path has is known only outside of the routes.
        let guard = from_fn_with_state(self.clone(), origin::guard);
        // What changes a path has to be done before routes are looked at.
        let trimmed = map_request(async |request| without_last_slash(request));
        let router = Router::new().fallback_service(routes).layer(guard).layer(trimmed);
        if self.config.http_path_prefix.is_empty() {
            return router;
        }
        router.layer(from_fn_with_state(self.clone(), prefix::strip))
    }

    /// Serves on a listener until `stopped` has lost its sender.
    pub async fn serve<L>(self, listener: L, stopped: watch::Receiver<()>)
    where
        L: Listener,
        L::Addr: Into<Peer>,
    {
        serve::serve(listener, self.router(), stopped).await;
    }

    /// Serves metrics in the same way, to whoever asks.
    pub async fn serve_metrics<L>(self, listener: L, stopped: watch::Receiver<()>)
    where
        L: Listener,
        L::Addr: Into<Peer>,
    {
        serve::serve(listener, metrics::router(self), stopped).await;
    }
}

/// A slash at the end of a path means nothing: RabbitMQ's Java client writes `/api/nodes/`.
fn without_last_slash(mut request: Request) -> Request {
    let (path, query) = (request.uri().path(), request.uri().query());
    let Some(path) = path.strip_suffix('/').filter(|path| path.starts_with("/api/")) else {
        return request;
    };
    let path = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    set_path(&mut request, &path);
    request
}

/// Asks for another path, with its query, which is a part of the one that came.
fn set_path(request: &mut Request, path: &str) {
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = path.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A client, who has to log in.
    Network(SocketAddr),
    /// Whoever may open the socket in the data directory: an operator, without a password.
    Operator,
}

impl Peer {
    /// Its address; the operator is on this machine.
    fn ip(self) -> IpAddr {
        match self {
            Self::Network(peer) => peer.ip(),
            Self::Operator => Ipv4Addr::LOCALHOST.into(),
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self::Network(address)
    }
}

impl From<tokio::net::unix::SocketAddr> for Peer {
    fn from(_: tokio::net::unix::SocketAddr) -> Self {
        Self::Operator
    }
}

/// Streams that somebody else accepts, such as those of TLS, in place of a listener.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The streams, each with the client's address.
    pub streams: mpsc::Receiver<(S, SocketAddr)>,
    /// Where they are accepted.
    pub local: SocketAddr,
}

impl<S> Listener for Accepted<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Io = S;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (S, SocketAddr) {
        match self.streams.recv().await {
            Some(accepted) => accepted,
            // The server stops, and ends this wait.
            None => future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

/// Runs what takes long, or may have to wait, beside the tasks that serve clients.
async fn beside<T, F>(work: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Failure> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "an API call failed");
        Err(Failure::Internal)
    })
}

/// Runs what takes long beside the tasks that serve clients, and answers with its result.
async fn blocking<T, F>(work: F) -> Reply
where
    T: IntoResponse + Send + 'static,
    F: FnOnce() -> Result<T, Failure> + Send + 'static,
{
    beside(work).await.map(IntoResponse::into_response)
}

/// A JSON answer.
struct Json(Value);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        // Keys are strings, so this cannot fail.
        let text = serde_json::to_vec(&self.0).unwrap_or_default();
        let headers = [
            ("content-type", "application/json"),
            ("cache-control", "no-cache"),
            ("vary", "accept, accept-encoding, origin"),
        ];
        (headers, text).into_response()
    }
}
