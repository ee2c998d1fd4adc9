//! The broker under test.

use std::env;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::OnceLock;

use super::{Connection, Options};

/// Where the tests connect.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) address: SocketAddr,
    /// Started by somebody else, and taken for a RabbitMQ 4.3.
    pub(crate) is_external: bool,
}

/// The broker that all tests of the process share.
pub(crate) fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(|| match env::var("LEPUS_TEST_URI") {
        Ok(uri) => Broker { address: address_of(&uri), is_external: true },
        Err(_) => Broker { address: start_lepus("").address, is_external: false },
    })
}

fn address_of(uri: &str) -> SocketAddr {
    let rest = uri.strip_prefix("amqp://").expect("LEPUS_TEST_URI is amqp://HOST:PORT");
    let host = rest.rsplit('@').next().unwrap_or(rest).trim_end_matches('/');
    let found = host.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    found.unwrap_or_else(|| panic!("LEPUS_TEST_URI names no address: {uri}"))
}

/// True where the broker is not ours: the test says why it does not apply there and leaves.
pub(crate) fn only_on_lepus(reason: &str) -> bool {
    if broker().is_external {
        eprintln!("skipped on an external broker: {reason}");
    }
    !broker().is_external
}

/// A Lepus inside this process.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
}

/// Starts a Lepus with these lines of `lepus.toml` on free ports and a fresh directory.
pub(crate) fn start_lepus(_settings: &str) -> Running {
    panic!("lepus::server::Server does not exist yet: set LEPUS_TEST_URI=amqp://127.0.0.1:5673")
}

/// A broker with settings of its own, which may be stopped and started again.
#[derive(Debug)]
pub(crate) struct PrivateBroker {
    running: Running,
    #[expect(dead_code, reason = "read by restart() when there is a server")]
    settings: String,
}

/// None, with a word why, where the broker under test is external.
pub(crate) fn private_broker(settings: &str) -> Option<PrivateBroker> {
    only_on_lepus("needs a broker of its own")
        .then(|| PrivateBroker { running: start_lepus(settings), settings: settings.to_owned() })
}

impl PrivateBroker {
    pub(crate) fn options(&self) -> Options {
        Options::at(self.running.address)
    }

    #[track_caller]
    pub(crate) fn open(&self) -> Connection {
        self.options().open()
    }

    /// Stops in order, and starts again on the same directory.
    pub(crate) fn restart(self) -> Self {
        panic!("lepus::server::Server does not exist yet")
    }
}
