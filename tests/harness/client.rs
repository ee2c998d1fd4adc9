//! A small blocking client that shows every frame and hides none.
//!
//! Nothing here sleeps. Every wait ends with the thing waited for, with something else (the test
//! fails and says what came), or at the deadline.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use super::broker;
use super::request::{
    Publish, Request, cancel, channel_close, channel_close_ok, channel_open, confirm_select,
    connection_close, connection_close_ok, connection_open, consume, flow, get, publish, queue,
    tune_ok,
};
use super::wire::{
    BODY, FRAME_END, Frame, HEADER, HEARTBEAT, METHOD, Method, Properties, Reader, Table, Value,
    Writer, method_name,
};

pub(crate) const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\x00\x00\x09\x01";

/// How long a test waits for something that is certain to come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

const CONNECTION_CLOSE: (u16, u16) = (10, 50);
const CHANNEL_CLOSE: (u16, u16) = (20, 40);
const RETURN: (u16, u16) = (60, 50);
const DELIVER: (u16, u16) = (60, 60);
const GET_OK: (u16, u16) = (60, 71);
const GET_EMPTY: (u16, u16) = (60, 72);
const ACK: (u16, u16) = (60, 80);
const NACK: (u16, u16) = (60, 120);

/// Why there is no next frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The broker closed the socket, in order or by a reset.
    Closed(String),
    /// Nothing came within the deadline.
    Silent,
}

/// The socket and the frames that came but were not asked for yet.
struct Wire {
    socket: BufReader<TcpStream>,
    waiting: BTreeMap<u16, VecDeque<Frame>>,
    frame_max: usize,
}

impl Wire {
    fn write(&mut self, bytes: &[u8]) {
        // A broker that has closed resets the socket: the test learns of it when it reads.
        let _ = self.socket.get_mut().write_all(bytes);
    }

    fn read_frame(&mut self) -> Result<Frame, End> {
        let mut head = [0; 7];
        self.fill(&mut head)?;
        let mut read = Reader::new(&head);
        let (kind, channel, size) = (read.octet(), read.short(), read.long());
        let mut payload = vec![0; size as usize + 1];
        self.fill(&mut payload)?;
        assert_eq!(payload.pop(), Some(FRAME_END), "the frame of the broker has no end");
        Ok(Frame { kind, channel, payload })
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<(), End> {
        self.socket.read_exact(out).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => End::Silent,
            _ => End::Closed(error.to_string()),
        })
    }

    fn next_on(&mut self, channel: u16) -> Result<Frame, End> {
        loop {
            if let Some(frame) = self.waiting.get_mut(&channel).and_then(VecDeque::pop_front) {
                return Ok(frame);
            }
            let frame = self.read_frame()?;
            if frame.kind == HEARTBEAT {
                continue;
            }
            let is_close = frame.kind == METHOD && {
                let id = Method::parse(&frame.payload).id;
                id == CONNECTION_CLOSE || (id == CHANNEL_CLOSE && channel == 0)
            };
            if is_close && frame.channel != channel {
                // It ends the wait on any channel: nothing else will come.
                return Ok(frame);
            }
            self.waiting.entry(frame.channel).or_default().push_back(frame);
        }
    }
}

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
        self.mechanism = mechanism.to_owned();
        self.response = response.into();
        self
    }

    /// The capabilities of the client are exactly these.
    pub(crate) fn capabilities(mut self, capabilities: Table) -> Self {
        self.properties = Table::new().with("product", "tests").with("capabilities", capabilities);
        self
    }

    pub(crate) fn vhost(mut self, vhost: &str) -> Self {
        self.vhost = vhost.to_owned();
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

/// One connection of a client.
pub(crate) struct Connection {
    wire: Rc<RefCell<Wire>>,
}

impl Connection {
    /// An open connection to the broker under test.
    #[track_caller]
    pub(crate) fn open() -> Self {
        Options::new().open()
    }

    /// Channel 0, where the connection itself speaks.
    pub(crate) fn control(&self) -> Channel {
        self.channel_as_is(0)
    }

    /// Opens channel `number`.
    #[track_caller]
    pub(crate) fn channel(&self, number: u16) -> Channel {
        let channel = self.channel_as_is(number);
        channel.call(&channel_open());
        channel
    }

    /// A handle to channel `number`, opened or not.
    pub(crate) fn channel_as_is(&self, number: u16) -> Channel {
        Channel { wire: Rc::clone(&self.wire), number }
    }

    pub(crate) fn send_bytes(&self, bytes: &[u8]) {
        self.wire.borrow_mut().write(bytes);
    }

    pub(crate) fn send_frame(&self, frame: &Frame) {
        self.send_bytes(&frame.bytes());
    }

    /// A second handle to the socket, for a thread that only writes or shuts it.
    pub(crate) fn socket(&self) -> TcpStream {
        self.wire.borrow().socket.get_ref().try_clone().expect("sockets can be duplicated")
    }

    /// How long the next waits may take.
    pub(crate) fn set_deadline(&self, deadline: Duration) {
        let wire = self.wire.borrow();
        wire.socket.get_ref().set_read_timeout(Some(deadline)).expect("deadlines are not zero");
    }

    /// The next frame on any channel, heartbeats too.
    pub(crate) fn next_frame(&self) -> Result<Frame, End> {
        self.wire.borrow_mut().read_frame()
    }

    /// The next bytes, whether they are frames or not.
    pub(crate) fn next_bytes(&self, count: usize) -> Result<Vec<u8>, End> {
        let mut out = vec![0; count];
        self.wire.borrow_mut().fill(&mut out)?;
        Ok(out)
    }

    /// Frames until the socket is closed; heartbeats are left out.
    #[track_caller]
    pub(crate) fn frames_until_end(&self) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            match self.next_frame() {
                Ok(frame) if frame.kind == HEARTBEAT => {}
                Ok(frame) => frames.push(frame),
                Err(End::Closed(_)) => return frames,
                Err(End::Silent) => panic!("expected the socket to be closed, got {frames:?}"),
            }
        }
    }

    /// The socket is closed and nothing is said before.
    #[track_caller]
    pub(crate) fn expect_end_without_a_word(&self) {
        let frames = self.frames_until_end();
        assert!(frames.is_empty(), "expected the socket to be closed silently, got {frames:?}");
    }

    /// connection.close with this code, text, class and method; it is answered.
    #[track_caller]
    pub(crate) fn expect_close(&self, code: u16, text: impl Into<Text>, method: (u16, u16)) {
        let control = self.control();
        let got = control.expect(CONNECTION_CLOSE);
        assert_close(&got, code, &text.into(), method);
        control.send(&connection_close_ok());
    }

    /// Closes in order and waits until the broker has agreed.
    #[track_caller]
    pub(crate) fn close(self) {
        self.control().call(&connection_close());
    }

    /// Cuts the socket without a word.
    pub(crate) fn cut(self) {
        let _ = self.socket().shutdown(std::net::Shutdown::Both);
    }
}

/// A reply text: all of it, or the part that is not Erlang's formatting (DP-10).
#[derive(Clone, Debug)]
pub(crate) enum Text {
    Exactly(String),
    StartsWith(String),
    Contains(String),
}

impl Text {
    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Exactly(expected) => text == expected,
            Self::StartsWith(start) => text.starts_with(start.as_str()),
            Self::Contains(part) => text.contains(part.as_str()),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Exactly(text.to_owned())
    }
}
impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Exactly(text)
    }
}
impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Self::Exactly(text.clone())
    }
}

pub(crate) fn starts_with(text: impl Into<String>) -> Text {
    Text::StartsWith(text.into())
}

pub(crate) fn contains(text: impl Into<String>) -> Text {
    Text::Contains(text.into())
}

#[track_caller]
fn assert_close(got: &Method, code: u16, text: &Text, method: (u16, u16)) {
    let (got_code, got_text, got_method) = got.close();
    assert!(
        got_code == code && text.fits(&got_text) && got_method == method,
        "expected {} {code} {text:?} {method:?}\n     got {got}",
        method_name(got.id),
    );
}

/// What came on a channel: a method, and the content that belongs to it.
#[derive(Clone)]
pub(crate) struct Incoming {
    pub(crate) method: Method,
    content: Option<(Properties, Vec<u8>)>,
    /// Sizes of the body frames, in order.
    bodies: Vec<usize>,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.method)?;
        match &self.content {
            Some((_, body)) => {
                let start = &body[..body.len().min(40)];
                write!(f, " with {:?}", String::from_utf8_lossy(start))
            }
            None => Ok(()),
        }
    }
}

/// A message that came back: delivered, got, or returned.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Message {
    pub(crate) consumer_tag: String,
    pub(crate) delivery_tag: u64,
    pub(crate) redelivered: bool,
    pub(crate) exchange: String,
    pub(crate) routing_key: String,
    /// Ready messages left behind, with basic.get.
    pub(crate) left: u32,
    /// Code and text of a basic.return.
    pub(crate) returned: Option<(u16, String)>,
    pub(crate) properties: Properties,
    pub(crate) body: Vec<u8>,
    /// Sizes of the body frames it came in.
    pub(crate) body_frames: Vec<usize>,
}

impl Message {
    fn parse(incoming: Incoming) -> Self {
        let (properties, body) = incoming.content.expect("the method carries content");
        let mut out = Self { properties, body, body_frames: incoming.bodies, ..Self::default() };
        let mut read = incoming.method.read();
        match incoming.method.id {
            RETURN => out.returned = Some((read.short(), read.short_string())),
            DELIVER => {
                out.consumer_tag = read.short_string();
                (out.delivery_tag, out.redelivered) = (read.longlong(), read.octet() != 0);
            }
            _ => (out.delivery_tag, out.redelivered) = (read.longlong(), read.octet() != 0),
        }
        out.exchange = read.short_string();
        out.routing_key = read.short_string();
        if incoming.method.id == GET_OK {
            out.left = read.long();
        }
        assert!(read.is_empty(), "{} has arguments to spare", incoming.method);
        out
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The headers in the order of their keys.
    pub(crate) fn headers(&self) -> Table {
        self.properties.headers.clone().unwrap_or_default().sorted()
    }
}

/// The answer to queue.declare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) queue: String,
    pub(crate) messages: u32,
    pub(crate) consumers: u32,
}

/// What the broker decided about the publishes of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Confirms {
    pub(crate) acked: BTreeSet<u64>,
    pub(crate) nacked: BTreeSet<u64>,
}

/// A channel of a connection. Clones are the same channel.
#[derive(Clone)]
pub(crate) struct Channel {
    wire: Rc<RefCell<Wire>>,
    pub(crate) number: u16,
}

impl Channel {
    /// A fresh connection with channel 1 open; the channel keeps it alive.
    #[track_caller]
    pub(crate) fn open() -> Self {
        Connection::open().channel(1)
    }

    pub(crate) fn connection(&self) -> Connection {
        Connection { wire: Rc::clone(&self.wire) }
    }

    // ---- sending

    pub(crate) fn send(&self, request: &Request) {
        self.connection().send_frame(&request.frame(self.number));
    }

    pub(crate) fn publish(&self, publish: &Publish) {
        let mut wire = self.wire.borrow_mut();
        let frames = publish.frames(self.number, wire.frame_max);
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        wire.write(&bytes);
    }

    /// Publishes each body to a queue by its name.
    pub(crate) fn fill<const N: usize>(&self, queue: &str, bodies: [&str; N]) {
        for body in bodies {
            self.publish(&publish("", queue, body));
        }
    }

    // ---- waiting

    #[track_caller]
    pub(crate) fn next(&self) -> Incoming {
        self.next_for("something")
    }

    #[track_caller]
    fn next_for(&self, expected: &str) -> Incoming {
        let frame = self.next_frame_for(expected);
        assert_eq!(frame.kind, METHOD, "expected {expected}, got {frame:?}");
        let method = Method::parse(&frame.payload);
        let (mut content, mut bodies) = (None, Vec::new());
        if matches!(method.id, RETURN | DELIVER | GET_OK) {
            let header = self.next_frame_for("a content header");
            assert_eq!(header.kind, HEADER, "expected a content header, got {header:?}");
            let mut read = Reader::new(&header.payload);
            assert_eq!((read.short(), read.short()), (60, 0), "class and weight of the header");
            let size = read.longlong() as usize;
            let properties = Properties::parse(&mut read);
            assert!(read.is_empty(), "properties to spare");
            let mut body = Vec::with_capacity(size);
            while body.len() < size {
                let part = self.next_frame_for("a body");
                assert_eq!(part.kind, BODY, "expected a body, got {part:?}");
                bodies.push(part.payload.len());
                body.extend(part.payload);
            }
            assert_eq!(body.len(), size, "length of the body");
            content = Some((properties, body));
        }
        Incoming { method, content, bodies }
    }

    #[track_caller]
    fn next_frame_for(&self, expected: &str) -> Frame {
        let got = self.wire.borrow_mut().next_on(self.number);
        match got {
            Ok(frame) if frame.channel == self.number => frame,
            Ok(frame) => panic!("expected {expected} on channel {}, got {frame:?}", self.number),
            Err(end) => {
                let others = self.wire.borrow().waiting.clone();
                panic!(
                    "expected {expected} on channel {}, got {end:?}; waiting elsewhere: {others:?}",
                    self.number
                )
            }
        }
    }

    /// The next method is this one.
    #[track_caller]
    pub(crate) fn expect(&self, id: (u16, u16)) -> Method {
        let got = self.next_for(method_name(id));
        assert_eq!(got.method.id, id, "expected {}, got {got:?}", method_name(id));
        got.method
    }

    /// Sends a method and takes its answer, which must come next.
    #[track_caller]
    pub(crate) fn call(&self, request: &Request) -> Method {
        self.send(request);
        self.expect(request.reply())
    }

    /// Nothing else came before the answer to a method that changes nothing.
    #[track_caller]
    pub(crate) fn expect_nothing(&self) {
        self.call(&flow(true));
    }

    /// Waits until the queue has this many ready messages.
    ///
    /// A passive declare may overtake the publishes before it (RabbitMQ answers it out of turn), so
    /// one look is not enough. basic.get and queue.purge never overtake: they need no wait.
    #[track_caller]
    pub(crate) fn expect_ready(&self, queue_name: &str, count: u32) {
        let start = std::time::Instant::now();
        loop {
            let ready = self.declare(&queue(queue_name).passive()).messages;
            if ready == count {
                return;
            }
            assert!(
                ready < count && start.elapsed() < DEADLINE,
                "expected {count} ready messages, got {ready}"
            );
        }
    }

    /// The broker has handled everything that was sent on this channel before. Deliveries that come
    /// meanwhile are dropped.
    #[track_caller]
    pub(crate) fn expect_settled(&self) {
        self.send(&flow(true));
        while self.next().method.id != (20, 21) {}
    }

    // ---- failing

    /// The method closes the channel with this code and text, named as the cause.
    #[track_caller]
    pub(crate) fn refused(&self, request: &Request, code: u16, text: impl Into<Text>) {
        self.send(request);
        self.expect_close(code, text, request.id);
    }

    /// The method closes the connection with this code and text, named as the cause.
    #[track_caller]
    pub(crate) fn kills(&self, request: &Request, code: u16, text: impl Into<Text>) {
        self.send(request);
        self.connection().expect_close(code, text, request.id);
    }

    /// channel.close with this code, text, class and method; it is answered.
    #[track_caller]
    pub(crate) fn expect_close(&self, code: u16, text: impl Into<Text>, method: (u16, u16)) {
        self.expect_close_only(code, text, method);
        self.send(&channel_close_ok());
    }

    /// channel.close that is left unanswered.
    #[track_caller]
    pub(crate) fn expect_close_only(&self, code: u16, text: impl Into<Text>, method: (u16, u16)) {
        let got = self.expect(CHANNEL_CLOSE);
        assert_close(&got, code, &text.into(), method);
    }

    #[track_caller]
    pub(crate) fn close(&self) {
        self.call(&channel_close());
    }

    #[track_caller]
    pub(crate) fn reopen(&self) {
        self.call(&channel_open());
    }

    // ---- queues

    #[track_caller]
    pub(crate) fn declare(&self, request: &Request) -> Declared {
        let method = self.call(request);
        let mut read = method.read();
        Declared { queue: read.short_string(), messages: read.long(), consumers: read.long() }
    }

    /// A new queue that goes with the connection.
    #[track_caller]
    pub(crate) fn queue(&self) -> String {
        self.declare(&queue(super::name("queue")).exclusive()).queue
    }

    /// A new durable queue that every connection may use.
    #[track_caller]
    pub(crate) fn shared_queue(&self) -> String {
        self.declare(&queue(super::name("shared")).durable()).queue
    }

    /// A new queue with these arguments that goes with the connection.
    #[track_caller]
    pub(crate) fn queue_with(&self, arguments: Table) -> String {
        self.declare(&queue(super::name("queue")).exclusive().args(arguments)).queue
    }

    /// A new exchange.
    #[track_caller]
    pub(crate) fn exchange(&self, kind: &str) -> String {
        let name = super::name(kind);
        self.call(&super::exchange(&name, kind).auto_delete());
        name
    }

    /// The count in the answer to queue.purge and queue.delete.
    #[track_caller]
    pub(crate) fn count(&self, request: &Request) -> u32 {
        self.call(request).read().long()
    }

    // ---- messages

    /// basic.get with manual acknowledgement.
    #[track_caller]
    pub(crate) fn get(&self, queue: &str) -> Option<Message> {
        self.get_by(&get(queue))
    }

    #[track_caller]
    pub(crate) fn get_by(&self, request: &Request) -> Option<Message> {
        self.send(request);
        let got = self.next_for("basic.get-ok or get-empty");
        match got.method.id {
            GET_OK => Some(Message::parse(got)),
            GET_EMPTY => {
                assert_eq!(got.method.read().short_string(), "", "cluster_id of get-empty");
                None
            }
            _ => panic!("expected basic.get-ok or get-empty, got {got:?}"),
        }
    }

    /// The bodies that are ready, in order; they are acknowledged.
    #[track_caller]
    pub(crate) fn drain(&self, queue: &str) -> Vec<String> {
        let next = || self.get_by(&get(queue).no_ack());
        std::iter::from_fn(next).map(|message| message.text()).collect()
    }

    /// Starts a consumer; the consume-ok must come next.
    #[track_caller]
    pub(crate) fn consume(&self, request: &Request) -> String {
        self.call(request).read().short_string()
    }

    /// Starts a consumer under a tag, with manual acknowledgement.
    #[track_caller]
    pub(crate) fn subscribe(&self, queue: &str, tag: &str) {
        assert_eq!(self.consume(&consume(queue, tag)), tag);
    }

    #[track_caller]
    pub(crate) fn cancel(&self, tag: &str) {
        assert_eq!(self.call(&cancel(tag)).read().short_string(), tag);
    }

    #[track_caller]
    pub(crate) fn delivery(&self) -> Message {
        self.message(DELIVER)
    }

    #[track_caller]
    pub(crate) fn returned(&self) -> Message {
        self.message(RETURN)
    }

    #[track_caller]
    fn message(&self, id: (u16, u16)) -> Message {
        let got = self.next_for(method_name(id));
        assert_eq!(got.method.id, id, "expected {}, got {got:?}", method_name(id));
        Message::parse(got)
    }

    /// The bodies of the next deliveries, in order.
    #[track_caller]
    pub(crate) fn deliveries(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.delivery().text()).collect()
    }

    #[track_caller]
    pub(crate) fn confirm_select(&self) {
        self.call(&confirm_select());
    }

    /// Collects acks and nacks until the publishes `1..=count` are decided.
    #[track_caller]
    pub(crate) fn confirms(&self, count: u64) -> Confirms {
        let mut undecided: BTreeSet<u64> = (1..=count).collect();
        self.confirms_of(&mut undecided)
    }

    /// Collects acks and nacks until all of these publishes are decided.
    #[track_caller]
    pub(crate) fn confirms_of(&self, undecided: &mut BTreeSet<u64>) -> Confirms {
        let mut out = Confirms::default();
        while !undecided.is_empty() {
            let got = self.next_for("a confirm");
            let mut read = got.method.read();
            let decided = match got.method.id {
                ACK => &mut out.acked,
                NACK => &mut out.nacked,
                _ => panic!("expected a confirm of {undecided:?}, got {got:?}"),
            };
            let (tag, is_multiple) = (read.longlong(), read.octet() & 1 != 0);
            if is_multiple {
                let later = undecided.split_off(&(tag + 1));
                decided.append(undecided);
                *undecided = later;
            } else {
                assert!(undecided.remove(&tag), "publish {tag} was decided twice or never made");
                decided.insert(tag);
            }
        }
        out
    }

    /// Every publish so far is acked; the channel is in confirm mode and had `count` publishes.
    #[track_caller]
    pub(crate) fn expect_acked(&self, count: u64) {
        let confirms = self.confirms(count);
        assert!(confirms.nacked.is_empty(), "nacked: {:?}", confirms.nacked);
    }

    /// The next method is basic.ack or basic.nack: (id, tag, multiple).
    #[track_caller]
    pub(crate) fn next_confirm(&self) -> ((u16, u16), u64, bool) {
        let got = self.next_for("a confirm");
        assert!(matches!(got.method.id, ACK | NACK), "expected a confirm, got {got:?}");
        let mut read = got.method.read();
        (got.method.id, read.longlong(), read.octet() & 1 != 0)
    }
}

/// The capability table of a client that has none but these.
pub(crate) fn only<const N: usize>(capabilities: [(&str, Value); N]) -> Table {
    capabilities.into_iter().fold(Table::new(), |table, (key, value)| table.with(key, value))
}
