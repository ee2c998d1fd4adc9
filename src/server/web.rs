//! Where the management API listens: its port, and the operator's socket in the data directory.

use std::{fs, io, net::SocketAddr, path::Path};

use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
    task::JoinSet,
};

use super::{StartError, listen};
use crate::{
    config::Config,
    http::{Api, Listening},
};

/// The operator's socket, in the data directory: whoever can open it needs no password.
pub const OPERATOR_SOCKET: &str = "lepus.sock";

/// The listeners of the management API, before it serves.
#[derive(Debug, Default)]
pub(super) struct Web {
    http: Vec<(TcpListener, SocketAddr)>,
}

impl Web {
    /// Opens the ports that the configuration wants.
    pub(super) fn open(config: &Config) -> Result<Self, StartError> {
        let backlog = config.listen_backlog;
        let open = |setting, port| {
            listen::open(&config.bind, port, backlog)
                .map_err(|source| StartError::Web { setting, source: Box::new(source) })
        };
        let http = if config.http { open("http_port", config.http_port)? } else { Vec::new() };
        Ok(Self { http })
    }

    /// What is listened on, for the API to tell.
    pub(super) fn listening(&self) -> Vec<Listening> {
        let http = self.http.iter();
        http.map(|(_, address)| Listening { protocol: "http", address: *address }).collect()
    }

    /// The addresses of the management API.
    pub(super) fn http_addresses(&self) -> Vec<SocketAddr> {
        self.http.iter().map(|(_, address)| *address).collect()
    }

    /// Serves until `stopped` has lost its sender.
    pub(super) fn serve(
        self,
        api: &Api,
        data_path: &Path,
        stopped: &watch::Receiver<()>,
    ) -> JoinSet<()> {
        let mut serving = JoinSet::new();
        for (listener, address) in self.http {
            let serve = api.clone().serve(listener, stopped.clone());
            serving.spawn(async move { report(serve.await, address) });
        }
        match operators_socket(data_path) {
            Ok(socket) => {
                let serve = api.clone().serve(socket, stopped.clone());
                serving.spawn(async move { report(serve.await, OPERATOR_SOCKET) });
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

fn report(served: io::Result<()>, listener: impl std::fmt::Debug) {
    if let Err(error) = served {
        tracing::error!(?listener, %error, "the management API is served no more");
    }
}

/// Opens the operator's socket. The directory is this user's alone, and so is the socket. The
/// store is open by now, so nobody else uses one that is there already.
fn operators_socket(data_path: &Path) -> io::Result<UnixListener> {
    let path = data_path.join(OPERATOR_SOCKET);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(path)
}
