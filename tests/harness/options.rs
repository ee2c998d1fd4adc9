//! How a client introduces itself, and how far it goes.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io::BufReader,
    net::{SocketAddr, TcpStream},
    rc::Rc,
};

use super::{
    Connection, DEADLINE, Method, Request, Table, Value, Writer, broker, connection_open,
    socket::Wire, tune_ok,
};

pub(crate) const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\x00\x00\x09\x01";

/// What a client may choose before a connection is open.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) address: SocketAddr,
    pub(crate) mechanism: String,
    pub(crate) response: Vec<u8>,
    pub(crate) properties: Table,
    pub(crate) vhost: String,
    pub(crate) channel_max: u16,
    pub(crate) frame_max: u32,
    pub(crate) heartbeat_s: u16,
}

impl Options {
    pub(crate) fn at(address: SocketAddr) -> Self {
        let capabilities = Table::new()
            .with("authentication_failure_close", true)
            .with("basic.nack", true)
            .with("connection.blocked", true)
            .with("consumer_cancel_notify", true)
            .with("publisher_confirms", true);
        Self {
            address,
            mechanism: "PLAIN".to_owned(),
            response: b"\0guest\0guest".to_vec(),
            properties: Table::new().with("product", "tests").with("capabilities", capabilities),
            vhost: "/".to_owned(),
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat_s: 0,
        }
    }

    pub(crate) fn new() -> Self {
        Self::at(broker().address)
    }

    pub(crate) fn login(self, user: &str, password: &str) -> Self {
        self.sasl("PLAIN", format!("\0{user}\0{password}"))
    }

    pub(crate) fn sasl(mut self, mechanism: &str, response: impl Into<Vec<u8>>) -> Self {
        mechanism.clone_into(&mut self.mechanism);
        self.response = response.into();
        self
    }

    /// The capabilities of the client are exactly these.
    pub(crate) fn capabilities(mut self, capabilities: Table) -> Self {
        self.properties = Table::new().with("product", "tests").with("capabilities", capabilities);
        self
    }

    pub(crate) fn vhost(mut self, vhost: &str) -> Self {
        vhost.clone_into(&mut self.vhost);
        self
    }

    pub(crate) fn channel_max(mut self, channel_max: u16) -> Self {
        self.channel_max = channel_max;
        self
    }

    pub(crate) fn frame_max(mut self, frame_max: u32) -> Self {
        self.frame_max = frame_max;
        self
    }

    pub(crate) fn heartbeat_s(mut self, heartbeat_s: u16) -> Self {
        self.heartbeat_s = heartbeat_s;
        self
    }

    pub(crate) fn start_ok(&self) -> Request {
        let fields = Writer::new()
            .table(&self.properties)
            .short_string(&self.mechanism)
            .long_string(&self.response)
            .short_string("en_US");
        Request::new((10, 11), fields)
    }

    /// A socket, and not a byte written to it.
    #[track_caller]
    pub(crate) fn dial(&self) -> Connection {
        let socket = TcpStream::connect(self.address)
            .unwrap_or_else(|error| panic!("no broker at {}: {error}", self.address));
        socket.set_read_timeout(Some(DEADLINE)).expect("the deadline is not zero");
        socket.set_write_timeout(Some(DEADLINE)).expect("the deadline is not zero");
        socket.set_nodelay(true).expect("a fresh socket takes options");
        let wire = Wire {
            socket: BufReader::with_capacity(65536, socket),
            waiting: BTreeMap::new(),
            frame_max: self.frame_max as usize,
        };
        Connection { wire: Rc::new(RefCell::new(wire)) }
    }

    /// Header sent, connection.start received.
    #[track_caller]
    pub(crate) fn until_start(&self) -> (Connection, Method) {
        let connection = self.dial();
        connection.send_bytes(PROTOCOL_HEADER);
        let start = connection.control().expect((10, 10));
        (connection, start)
    }

    /// Logged in, connection.tune received.
    #[track_caller]
    pub(crate) fn until_tune(&self) -> (Connection, Method) {
        let (connection, _) = self.until_start();
        connection.control().send(&self.start_ok());
        let tune = connection.control().expect((10, 30));
        (connection, tune)
    }

    /// Tuned; connection.open not sent yet.
    #[track_caller]
    pub(crate) fn until_tuned(&self) -> Connection {
        let (connection, _) = self.until_tune();
        let tuned = tune_ok(self.channel_max, self.frame_max, self.heartbeat_s);
        connection.control().send(&tuned);
        connection
    }

    #[track_caller]
    pub(crate) fn open(&self) -> Connection {
        let connection = self.until_tuned();
        connection.control().call(&connection_open(&self.vhost));
        connection
    }
}

/// The capability table of a client that has none but these.
pub(crate) fn only<const N: usize>(capabilities: [(&str, Value); N]) -> Table {
    capabilities.into_iter().fold(Table::new(), |table, (key, value)| table.with(key, value))
}
