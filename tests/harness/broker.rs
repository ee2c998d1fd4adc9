//! The broker under test.

use std::{
    env, fs,
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    process,
    sync::{OnceLock, mpsc},
    thread::{self, JoinHandle},
    time::Instant,
};

use lepus::{
    admin::{Admin, AlarmLimits},
    config::Config,
    server::{Handle, Server, StartError},
    store::StoreError,
};
use tempfile::TempDir;
use tokio::{runtime, sync::oneshot};

use super::{Api, Connection, DEADLINE, Metrics, Operator, Options};

/// Where the tests connect.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) address: SocketAddr,
    /// Started by somebody else, and taken for a RabbitMQ 4.3.
    pub(crate) is_external: bool,
    /// Where the management API is.
    pub(crate) http_address: String,
    /// Where its metrics are.
    pub(crate) metrics_address: String,
    /// Of ours.
    pub(crate) admin: Option<Admin>,
}

/// The broker that all tests of the process share.
pub(crate) fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(|| {
        if let Ok(uri) = env::var("LEPUS_TEST_URI") {
            let http_address =
                env::var("LEPUS_TEST_API").unwrap_or_else(|_| "127.0.0.1:15673".into());
            let address = address_of(&uri);
            let metrics_address =
                env::var("LEPUS_TEST_METRICS").unwrap_or_else(|_| "127.0.0.1:15693".into());
            let is_external = true;
            return Broker { address, is_external, http_address, metrics_address, admin: None };
        }
        sweep_directories();
        let running = start_lepus(&fresh_directory().keep(), "");
        let (address, admin) = (running.address, Some(running.admin.clone()));
        let http_address = running.http_address.to_string();
        let metrics_address = running.metrics_address.expect("metrics are served").to_string();
        // It serves all tests, and ends with the process.
        std::mem::forget(running);
        Broker { address, is_external: false, http_address, metrics_address, admin }
    })
}

fn address_of(uri: &str) -> SocketAddr {
    let rest = uri.strip_prefix("amqp://").expect("LEPUS_TEST_URI is amqp://HOST:PORT");
    let host = rest.rsplit('@').next().unwrap_or(rest).trim_end_matches('/');
    let found = host.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    found.unwrap_or_else(|| panic!("LEPUS_TEST_URI names no address: {uri}"))
}

/// True where the broker is ours; else the test says why it does not apply and leaves.
pub(crate) fn only_on_lepus(reason: &str) -> bool {
    if broker().is_external {
        eprintln!("skipped on an external broker: {reason}");
    }
    !broker().is_external
}

/// A Lepus inside this process. It is stopped in order when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) http_address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    tls_address: Option<SocketAddr>,
    https_address: Option<SocketAddr>,
    admin: Admin,
    /// Ends the server's thread when dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a Lepus with these lines of `lepus.toml` on free ports.
fn start_lepus(directory: &Path, settings: &str) -> Running {
    let mut config = Config::from_toml(Path::new("settings of the test"), settings)
        .unwrap_or_else(|error| panic!("{error}"));
    (config.amqp_port, config.http_port, config.metrics_port) = (0, 0, 0);
    (config.tls_port, config.https_port) = (0, 0);
    config.data_dir = Some(directory.to_owned());
    let (stop, stopped) = oneshot::channel();
    let (started, start) = mpsc::channel();
    let thread = thread::spawn(move || {
        let runtime = runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let server = start_once_free(&config).await;
            let running = Running {
                address: server.amqp_addr(),
                http_address: server.http_addrs()[0],
                metrics_address: server.metrics_addrs().first().copied(),
                tls_address: server.tls_addrs().first().copied(),
                https_address: server.https_addrs().first().copied(),
                admin: server.admin().clone(),
                stop: None,
                thread: None,
            };
            started.send(running).expect("the test waits for the start");
            let _ = stopped.await;
            server.stop().await;
        });
    });
    let running = start.recv().expect("the server starts");
    Running { stop: Some(stop), thread: Some(thread), ..running }
}

/// Starts a server. A process that another test is starting has, until it runs its program, all
/// files of this one, and with them the lock of a data directory that was given up just now.
async fn start_once_free(config: &Config) -> Handle {
    let begun = Instant::now();
    loop {
        match Server::start(config.clone()).await {
            Ok(server) => return server,
            Err(StartError::Store(StoreError::Locked { .. })) if begun.elapsed() < DEADLINE => {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl Running {
    fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server stops in order");
        }
    }
}

/// A broker with settings of its own, which may be stopped and started again.
#[derive(Debug)]
pub(crate) struct PrivateBroker {
    running: Running,
    directory: TempDir,
    pub(crate) settings: String,
}

/// None, with a word why, where the broker under test is external.
pub(crate) fn private_broker(settings: &str) -> Option<PrivateBroker> {
    only_on_lepus("needs a broker of its own").then(|| {
        let directory = fresh_directory();
        let running = start_lepus(directory.path(), settings);
        PrivateBroker { running, directory, settings: settings.to_owned() }
    })
}

impl PrivateBroker {
    pub(crate) fn options(&self) -> Options {
        Options::at(self.running.address)
    }

    /// Where it speaks TLS.
    pub(crate) fn tls_address(&self) -> SocketAddr {
        self.running.tls_address.expect("the settings have a certificate")
    }

    /// Where it speaks HTTPS.
    pub(crate) fn https_address(&self) -> SocketAddr {
        self.running.https_address.expect("the settings have a certificate for it")
    }

    pub(crate) fn operator(&self) -> Operator {
        Operator::Lepus(self.running.admin.clone())
    }

    /// The management API, asked by guest.
    pub(crate) fn api(&self) -> Api {
        Api::at(self.running.http_address.to_string()).login("guest", "guest")
    }

    /// Its metrics, if they are served.
    pub(crate) fn metrics(&self) -> Option<Metrics> {
        Some(Metrics::at(self.running.metrics_address?.to_string()))
    }

    #[track_caller]
    pub(crate) fn open(&self) -> Connection {
        self.options().open()
    }

    pub(crate) fn alarm_limits(&self) -> &AlarmLimits {
        self.running.admin.alarm_limits()
    }

    /// Stops in order.
    pub(crate) fn stop(&mut self) {
        self.running.stop();
    }

    /// Stops in order, and starts again on the same directory.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.running = start_lepus(self.directory.path(), &self.settings);
    }
}

impl Drop for PrivateBroker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where the brokers of the tests keep their data.
fn directories() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("brokers")
}

fn fresh_directory() -> TempDir {
    fs::create_dir_all(directories()).expect("the target directory can be written");
    let prefix = format!("{}-", process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(directories()).expect("a fresh directory")
}

/// The shared broker is never dropped: a later run removes what it left.
fn sweep_directories() {
    let is_left = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let process = name.split('-').next().unwrap_or_default();
        !Path::new("/proc").join(process).exists()
    };
    let entries = fs::read_dir(directories()).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| is_left(path)) {
        let _ = fs::remove_dir_all(path);
    }
}
