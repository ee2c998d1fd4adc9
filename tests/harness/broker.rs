//! The broker under test.

use std::env;
use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use lepus::config::Config;
use lepus::server::{Handle, Server};
use tokio::runtime::Runtime;

use super::{Connection, Options};

/// Where the tests connect.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) address: SocketAddr,
    /// Started by somebody else, and taken for a RabbitMQ 4.3.
    pub(crate) is_external: bool,
    /// It runs as long as the process.
    _running: Option<PrivateBroker>,
}

/// The broker that all tests of the process share.
pub(crate) fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(|| {
        if let Ok(uri) = env::var("LEPUS_TEST_URI") {
            return Broker { address: address_of(&uri), is_external: true, _running: None };
        }
        sweep_directories();
        let running = PrivateBroker::start(Config::default());
        Broker { address: running.address(), is_external: false, _running: Some(running) }
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

/// None, with a word why, where the broker under test is external.
pub(crate) fn private_broker(change: impl FnOnce(&mut Config)) -> Option<PrivateBroker> {
    only_on_lepus("needs a broker of its own").then(|| {
        let mut config = Config::default();
        change(&mut config);
        PrivateBroker::start(config)
    })
}

/// A Lepus inside this process, with settings of its own, which may be stopped and started again.
#[derive(Debug)]
pub(crate) struct PrivateBroker {
    runtime: Runtime,
    handle: Option<Handle>,
    config: Config,
}

impl PrivateBroker {
    /// On a free port and a fresh directory.
    fn start(mut config: Config) -> Self {
        config.amqp_port = 0;
        config.data_dir = Some(fresh_directory());
        let runtime = Runtime::new().expect("threads for the broker");
        let mut broker = Self { runtime, handle: None, config };
        broker.begin();
        broker
    }

    fn begin(&mut self) {
        let started = self.runtime.block_on(Server::start(self.config.clone()));
        self.handle = Some(started.expect("the broker starts"));
    }

    fn directory(&self) -> &Path {
        self.config.data_dir.as_deref().expect("every broker of the tests has one")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.handle.as_ref().expect("the broker runs").amqp_addr()
    }

    pub(crate) fn options(&self) -> Options {
        Options::at(self.address())
    }

    #[track_caller]
    pub(crate) fn open(&self) -> Connection {
        self.options().open()
    }

    /// Stops in order.
    pub(crate) fn stop(&mut self) {
        let handle = self.handle.take().expect("the broker runs");
        self.runtime.block_on(handle.stop());
    }

    /// Stops in order, and starts again on the same directory.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.begin();
    }
}

impl Drop for PrivateBroker {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            self.runtime.block_on(handle.stop());
        }
        let _ = fs::remove_dir_all(self.directory());
    }
}

fn directories() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("brokers")
}

fn fresh_directory() -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let directory = directories().join(format!("{}-{number}", process::id()));
    fs::create_dir_all(&directory).expect("the target directory can be written");
    directory
}

/// The shared broker is never dropped: its directory is removed by the next run.
fn sweep_directories() {
    let is_left_over = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let process = name.split('-').next().unwrap_or_default();
        !Path::new("/proc").join(process).exists()
    };
    let entries = fs::read_dir(directories()).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| is_left_over(path)) {
        let _ = fs::remove_dir_all(path);
    }
}
