//! Where the management API and the metrics listen: their ports, with TLS and without, and the
//! operator's socket in the data directory.

use std::{
    fs::{self, Permissions},
    io,
    net::SocketAddr,
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};

use super::{
    StartError, accept, listen,
    tls::{Tls, TlsSettings},
};
use crate::{
    broker::client::Ends,
    clock,
    config::Config,
    http::{Accepted, Api, Bounded, Listening},
};

/// The operator's socket, in the data directory: whoever can open it needs no password.
pub const OPERATOR_SOCKET: &str = "lepus.sock";

/// Connections to the operator's socket that may wait to be accepted.
const OPERATORS_BACKLOG: i32 = 128;

/// Connections to the management API at a time, and to the metrics; those beyond are cut off.
const CONNECTIONS_MAX: usize = 1024;
const SCRAPERS_MAX: usize = 64;

/// As the log has it.
const MANAGEMENT: &str = "the management API";

/// TLS handshakes of the management API under way at a time; a client beyond them is cut off.
const HANDSHAKES_MAX: usize = 256;

/// The listeners of the management API and of the metrics, before they serve.
#[derive(Debug)]
pub(super) struct Web {
    http: Vec<(TcpListener, SocketAddr)>,
    https: Vec<(TcpListener, SocketAddr)>,
    tls: Option<Arc<Tls>>,
    handshake_timeout: Duration,
    metrics: Vec<(TcpListener, SocketAddr)>,
}

impl Web {
    /// Opens the ports that the configuration wants.
    pub(super) fn open(config: &Config) -> Result<Self, StartError> {
        let backlog = config.listen_backlog;
        let open_at = |addresses, setting, port| {
            listen::open(addresses, port, backlog).map_err(|error| error.of_port(setting))
        };
        let http = if config.http {
            open_at(config.addresses(&config.http_bind), "http_port", config.http_port)?
        } else {
            Vec::new()
        };
        let tls = match TlsSettings::of_http(config) {
            Some(settings) => Some(Arc::new(Tls::load_blocking(settings)?)),
            None => None,
        };
        let https = if tls.is_some() {
            open_at(config.https_addresses(), "https_port", config.https_port)?
        } else {
            Vec::new()
        };
        let metrics = if config.metrics {
            open_at(config.addresses(&config.metrics_bind), "metrics_port", config.metrics_port)?
        } else {
            Vec::new()
        };
        Ok(Self { http, https, metrics, tls, handshake_timeout: config.handshake_timeout })
    }

    /// What is listened on, for the API to tell.
    pub(super) fn listening(&self) -> Vec<Listening> {
        let of = |protocol, listeners: &[(TcpListener, SocketAddr)]| {
            let addresses = listeners.iter().map(|(_, address)| *address);
            addresses.map(|address| Listening { protocol, address }).collect::<Vec<_>>()
        };
        let metrics = of("http/prometheus", &self.metrics);
        [of("http", &self.http), of("https", &self.https), metrics].concat()
    }

    /// The addresses of the management API.
    pub(super) fn http_addresses(&self) -> Vec<SocketAddr> {
        self.http.iter().map(|(_, address)| *address).collect()
    }

    /// The addresses of the management API over TLS.
    pub(super) fn https_addresses(&self) -> Vec<SocketAddr> {
        self.https.iter().map(|(_, address)| *address).collect()
    }

    /// The addresses of the metrics.
    pub(super) fn metrics_addresses(&self) -> Vec<SocketAddr> {
        self.metrics.iter().map(|(_, address)| *address).collect()
    }

    /// Serves until `stopped` has lost its sender.
    pub(super) fn serve(
        self,
        api: &Api,
        data_path: &Path,
        stopped: &watch::Receiver<()>,
    ) -> JoinSet<()> {
        let mut serving = JoinSet::new();
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        for (listener, _) in self.http {
            let listener = Bounded::new(MANAGEMENT, listener, &places);
            serving.spawn(api.clone().serve(listener, stopped.clone()));
        }
        let https = self.https.into_iter().filter_map(|l| Some((l, self.tls.clone()?)));
        for ((listener, address), tls) in https {
            let (sender, streams) = mpsc::channel(1);
            let timeout = self.handshake_timeout;
            let shake_hands = move |stream, ends: Ends| {
                let (tls, sender) = (Arc::clone(&tls), sender.clone());
                async move {
                    let until = clock::now().after(timeout);
                    if let Some(stream) = tls.accept(stream, ends.peer, until).await {
                        // It fails when the server stops.
                        let _ = sender.send((stream, ends.peer)).await;
                    }
                }
            };
            let room = Arc::new(Semaphore::new(HANDSHAKES_MAX));
            let accepting = accept::run(listener, room, stopped.clone(), shake_hands);
            // Handshakes that are under way end with it.
            serving.spawn(async move { drop(accepting.await) });
            let accepted = Bounded::new(MANAGEMENT, Accepted { streams, local: address }, &places);
            serving.spawn(api.clone().serve(accepted, stopped.clone()));
        }
        serving.spawn(api.clone().sample(stopped.clone()));
        let places = Arc::new(Semaphore::new(SCRAPERS_MAX));
        for (listener, _) in self.metrics {
            let listener = Bounded::new("the metrics", listener, &places);
            serving.spawn(api.clone().serve_metrics(listener, stopped.clone()));
        }
        match operators_socket(data_path) {
            Ok(socket) => {
                serving.spawn(api.clone().serve(socket, stopped.clone()));
            }
            Err(error) => {
                let path = data_path.join(OPERATOR_SOCKET);
                tracing::warn!(
                    path = %path.display(), %error,
                    "no socket for the command line; lepus ctl needs --uri"
                );
            }
        }
        serving
    }
}

/// Opens the operator's socket, for this user alone, whoever may enter the directory. The store is
/// open by now, so nobody else uses one that is there already.
fn operators_socket(data_path: &Path) -> io::Result<UnixListener> {
    let path = data_path.join(OPERATOR_SOCKET);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(&path)?)?;
    // Nobody can connect before it listens.
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    socket.listen(OPERATORS_BACKLOG)?;
    UnixListener::from_std(std::os::unix::net::UnixListener::from(OwnedFd::from(socket)))
}
