//! The server: listeners, accepted connections, and an orderly stop.
//!
//! Floor 7. [`Server::start`] needs a tokio runtime and nothing else, so that a program or a test
//! can hold a broker, or many of them, each with its own data directory and port 0. Responsible for
//!
//! * the data directory's existence, and opening the broker on it;
//! * the listeners (`listen`): which addresses, which socket options;
//! * TLS (`tls`): certificates, and what is spoken over them;
//! * accepting (`accept`): one task for each connection, a limit on how many, a panic in one of
//!   them that ends that one alone;
//! * memory and disk (`monitor`): the alarms that hold publishers up;
//! * the timer thread (`timers`): whoever waits for a moment is called when it has come;
//! * the management API and the metrics (`web`): their ports, and the operator's socket;
//! * stopping: no new connections, a goodbye to the old ones, then the store is closed.

mod accept;
mod amqp;
mod listen;
mod monitor;
mod node;
mod room;
mod timers;
mod tls;
mod web;

use std::{
    fs::DirBuilder,
    io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
};

use amqp::Listeners;
use monitor::Monitor;
use timers::TimerThread;
pub use tls::{Tls, TlsError, TlsSettings};
pub use web::OPERATOR_SOCKET;
use web::Web;

use crate::{
    admin::{self, Admin, AlarmLimits, Lacks},
    auth,
    broker::RestoreError,
    clock,
    config::Config,
    connection::Context,
    http::{Api, Files, FilesError, Listening, Shared},
    machine,
    store::StoreError,
};

/// What keeps a server from starting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another program listens there.
    #[error("port {} on {} is taken", .0.port(), .0.ip())]
    PortTaken(SocketAddr),
    /// The operating system reserves the port.
    #[error("listening on port {} of {} is not permitted", .0.port(), .0.ip())]
    PortForbidden(SocketAddr),
    /// The machine has no such address.
    #[error("this machine has no address {}", .0.ip())]
    NoSuchAddress(SocketAddr),
    /// Listening failed in another way.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Something else than AMQP without TLS cannot be listened for.
    #[error("{source}")]
    Port {
        /// The setting of its port.
        setting: &'static str,
        /// Why.
        source: Box<StartError>,
    },
    /// The data directory cannot be made or is none.
    #[error("cannot use the data directory {}: {source}", path.display())]
    DataDirectory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the store holds cannot be understood.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// A user in the store cannot be understood.
    #[error(transparent)]
    User(#[from] auth::RecordError),
    /// A certificate, or what belongs to it, cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// OAuth 2 is wanted and cannot be had.
    #[error(transparent)]
    Oauth2(#[from] auth::Oauth2Error),
    /// AMQP is spoken neither with TLS nor without.
    #[error("`amqp_plain` is false and there is no `tls_certificate`: nobody could connect")]
    NoListener,
    /// Definitions cannot be read, or make no sense.
    #[error(transparent)]
    Definitions(#[from] FilesError),
    /// What definitions declare cannot be made durable.
    #[error(transparent)]
    Admin(#[from] admin::Error),
    /// The operating system gives no thread.
    #[error("no thread for the timers: {0}")]
    Thread(io::Error),
    /// The operating system has no random numbers to give.
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

impl StartError {
    /// What is behind it: why a port cannot be listened on, or the error itself.
    pub fn cause(&self) -> &Self {
        match self {
            Self::Port { source, .. } => source.cause(),
            other => other,
        }
    }

    /// The same error, about the port of this setting.
    fn of_port(self, setting: &'static str) -> Self {
        Self::Port { setting, source: Box::new(self) }
    }
}

/// The server, before it runs.
#[derive(Debug)]
pub struct Server;

impl Server {
    /// Opens the data directory and the listeners, and serves from then on.
    pub async fn start(config: Config) -> Result<Handle, StartError> {
        let data_path = config.data_path();
        // The listeners come first: a second start must not touch the data of the first.
        let config = Arc::new(config);
        let tls = load_tls(&config)?;
        let listeners = Listeners::open(&config, tls)?;
        let web = Web::open(&config)?;
        // A file that makes no sense changes nothing, either.
        let definitions = config.load_definitions.as_deref().map(Files::read_blocking);
        let definitions = definitions.transpose()?.unwrap_or_default();
        make_data_directory(&data_path)?;
        let alarm_limits = AlarmLimits::new(&config, &data_path);
        let lacks = Lacks { users: !definitions.have_users(), vhosts: !definitions.have_vhosts() };
        let opening = (Arc::clone(&config), data_path.clone(), alarm_limits.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let (config, path, limits) = opening;
            let context = node::open_blocking(&config, &path, lacks)?;
            // Nobody publishes before the first look.
            let mut monitor = Monitor::new(Arc::clone(&context.broker), &limits);
            monitor.look_blocking();
            Ok::<_, StartError>((context, monitor))
        });
        // It is what is in the directory that something panics over.
        let (context, monitor) = opened.await.map_err(|panic| StoreError::Damaged {
            path: data_path.clone(),
            what: panic.to_string(),
        })??;

        let room = room::for_connections(&config, machine::open_files_max());
        let room = Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS)));
        let (running, stopped) = watch::channel(());
        tokio::spawn(monitor.run(stopped.clone()));
        let (addresses, tls_addresses) = listeners.addresses();
        let listening = |protocol, addresses: &[SocketAddr]| {
            addresses.iter().map(|&address| Listening { protocol, address }).collect::<Vec<_>>()
        };
        let amqp = [listening("amqp", &addresses), listening("amqp/ssl", &tls_addresses)].concat();
        let (broker, auth) = (Arc::clone(&context.broker), Arc::clone(&context.auth));
        let admin = Admin::new(broker, auth, alarm_limits, Arc::clone(&config))?;
        if lacks.vhosts {
            admin.introduce_vhost()?;
        }
        // Nobody finds half of what is defined.
        let needed = definitions.apply(&admin, &config.default_user)?;
        admin.durable(needed).await?;
        for vhost in &config.trace_vhosts {
            if admin.trace_vhost(vhost, true).is_err() {
                tracing::warn!(vhost, "there is no such vhost to trace");
            }
        }
        let acceptors = listeners.accept(&context, &room, &stopped);
        let timers =
            TimerThread::start(Arc::clone(&context.broker.timers)).map_err(StartError::Thread)?;
        let api = Api::new(Shared {
            broker: Arc::clone(&context.broker),
            auth: Arc::clone(&context.auth),
            admin: admin.clone(),
            config: Arc::clone(&config),
            started_at: clock::unix_time(),
            listeners: amqp.into_iter().chain(web.listening()).collect(),
        });
        let (http_addresses, https_addresses) = (web.http_addresses(), web.https_addresses());
        let metrics_addresses = web.metrics_addresses();
        let web = web.serve(&api, &data_path, &stopped);
        let drain_timeout = config.drain_timeout;
        Ok(Handle {
            addresses,
            http_addresses,
            https_addresses,
            metrics_addresses,
            tls_addresses,
            data_path,
            drain_timeout,
            running,
            acceptors,
            timers,
            web,
            context,
            admin,
        })
    }
}

/// A running server. Dropping it ends it at once: connections are cut without a goodbye.
#[derive(Debug)]
pub struct Handle {
    addresses: Vec<SocketAddr>,
    http_addresses: Vec<SocketAddr>,
    https_addresses: Vec<SocketAddr>,
    metrics_addresses: Vec<SocketAddr>,
    tls_addresses: Vec<SocketAddr>,
    data_path: PathBuf,
    drain_timeout: Duration,
    /// Acceptors and the monitor run until it is dropped.
    running: watch::Sender<()>,
    acceptors: Vec<JoinHandle<JoinSet<()>>>,
    timers: TimerThread,
    web: JoinSet<()>,
    context: Arc<Context>,
    admin: Admin,
}

impl Handle {
    /// The first AMQP address listened on, with its real port; one without TLS if there is any.
    pub fn amqp_addr(&self) -> SocketAddr {
        self.addresses.first().copied().unwrap_or_else(|| self.tls_addresses[0])
    }

    /// All addresses where AMQP is spoken without TLS, with their real ports.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// All addresses where the management API is served, with their real ports.
    pub fn http_addrs(&self) -> &[SocketAddr] {
        &self.http_addresses
    }

    /// All addresses where the management API is served over TLS, with their real ports.
    pub fn https_addrs(&self) -> &[SocketAddr] {
        &self.https_addresses
    }

    /// All addresses where Prometheus finds metrics, with their real ports.
    pub fn metrics_addrs(&self) -> &[SocketAddr] {
        &self.metrics_addresses
    }

    /// All addresses where AMQP is spoken over TLS, with their real ports.
    pub fn tls_addrs(&self) -> &[SocketAddr] {
        &self.tls_addresses
    }

    /// The data directory in use.
    pub fn data_path(&self) -> &Path {
        &self.data_path
    }

    /// The limits of memory and disk beyond which publishers wait.
    pub fn alarm_limits(&self) -> &AlarmLimits {
        self.admin.alarm_limits()
    }

    /// What operators do: vhosts, users, permissions, limits, policies.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Waits until the store has failed, and says why. Nothing is confirmed from then on, which
    /// only the next start changes: it is time to [`Self::stop`].
    pub async fn store_failure(&self) -> Arc<str> {
        self.context.broker.store.failure().await
    }

    /// Stops the server: accepts nothing more, tells every connection, waits for them up to
    /// `drain_timeout`, cuts those that are left, and closes the store. When this returns, port
    /// and data directory are free.
    pub async fn stop(mut self) {
        drop(self.running);
        self.context.broker.registry.close_all();
        let mut connections = Vec::new();
        for acceptor in self.acceptors {
            // An acceptor that panicked has dropped its connections and so ended them.
            connections.extend(acceptor.await.ok());
        }
        let drained = async {
            for set in &mut connections {
                while set.join_next().await.is_some() {}
            }
        };
        if tokio::time::timeout(self.drain_timeout, drained).await.is_err() {
            let left: usize = connections.iter().map(JoinSet::len).sum();
            tracing::warn!(connections = left, "cut connections that did not close in time");
            for set in &mut connections {
                set.shutdown().await;
            }
        }
        self.context.complaints.tell_of_left_out();
        // Calls that are being answered are cut with the rest.
        self.web.shutdown().await;
        let timers = self.timers;
        let store = self.context.broker.store.clone();
        // If closing panics, the store has said so; there is nothing left to do.
        let _ = tokio::task::spawn_blocking(move || {
            timers.stop_blocking();
            store.close();
        })
        .await;
    }
}

/// Reads the certificate for AMQP, if one is configured.
fn load_tls(config: &Config) -> Result<Option<Arc<Tls>>, StartError> {
    let Some(settings) = TlsSettings::of_amqp(config) else {
        return if config.amqp_plain { Ok(None) } else { Err(StartError::NoListener) };
    };
    // A few small files, before anybody is served.
    Ok(Some(Arc::new(Tls::load_blocking(settings)?)))
}

/// Makes the directory if need be, for this user alone: it will hold password hashes.
fn make_data_directory(path: &Path) -> Result<(), StartError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| StartError::DataDirectory { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    fn config(directory: &Path) -> Config {
        let data_dir = Some(directory.join("data"));
        Config { amqp_port: 0, http_port: 0, metrics_port: 0, data_dir, ..Config::default() }
    }

    #[tokio::test]
    async fn starts_on_a_free_port_and_gives_it_back_when_it_stops() {
        let directory = tempfile::tempdir().unwrap();
        let handle = Server::start(config(directory.path())).await.unwrap();
        let address = handle.amqp_addr();
        assert_ne!(address.port(), 0);
        assert!(handle.addrs().iter().all(|other| other.port() == address.port()));
        assert!(handle.data_path().is_dir());
        TcpStream::connect(address).await.unwrap();
        handle.stop().await;
        assert!(TcpStream::connect(address).await.is_err());
        let again = Config { amqp_port: address.port(), ..config(directory.path()) };
        Server::start(again).await.unwrap().stop().await;
    }

    #[tokio::test]
    async fn a_taken_port_is_named_and_the_data_directory_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let first = Server::start(config(directory.path())).await.unwrap();
        let elsewhere = directory.path().join("elsewhere");
        let second = Config { amqp_port: first.amqp_addr().port(), ..config(&elsewhere) };
        let error = Server::start(second).await.unwrap_err();
        assert!(matches!(error, StartError::PortTaken(at) if at == first.amqp_addr()), "{error}");
        assert!(!elsewhere.exists());
    }

    #[tokio::test]
    async fn a_data_directory_that_is_a_file_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let config = Config { data_dir: Some(file.path().into()), ..config(file.path()) };
        let error = Server::start(config).await.unwrap_err();
        assert!(error.to_string().contains(&*file.path().to_string_lossy()), "{error}");
    }

    #[tokio::test]
    async fn many_servers_run_in_one_process() {
        let directory = tempfile::tempdir().unwrap();
        let mut handles = Vec::new();
        for name in ["a", "b", "c"] {
            handles.push(Server::start(config(&directory.path().join(name))).await.unwrap());
        }
        for handle in handles {
            TcpStream::connect(handle.amqp_addr()).await.unwrap();
            handle.stop().await;
        }
    }

    #[tokio::test]
    async fn what_is_in_the_data_directory_is_for_its_user_alone_whoever_may_enter() {
        use std::{fs, os::unix::fs::PermissionsExt};
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let data = config.data_path();
        fs::create_dir(&data).unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).unwrap();
        let handle = Server::start(config).await.unwrap();
        let socket = data.join(OPERATOR_SOCKET);
        assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        tokio::net::UnixStream::connect(&socket).await.unwrap();
        for file in fs::read_dir(&data).unwrap().map(Result::unwrap) {
            let mode = file.metadata().unwrap().permissions().mode();
            // There is nothing in the one that is locked.
            assert!(file.file_name() == "lock" || mode & 0o777 == 0o600, "{file:?} {mode:o}");
        }
        handle.stop().await;
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_data_directory_is_for_its_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let handle = Server::start(config(directory.path())).await.unwrap();
        let mode = handle.data_path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        handle.stop().await;
    }
}
