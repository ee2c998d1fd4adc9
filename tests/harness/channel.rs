//! A channel: sending methods, and waiting for what must come next.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use super::{
    BODY, Confirms, Connection, DEADLINE, Declared, End, Frame, HEADER, Incoming, METHOD, Message,
    Method, Properties, Publish, Reader, Request, Table, Text, cancel, channel_close,
    channel_close_ok, channel_open, confirm_select,
    connection::assert_close,
    consume, flow, get,
    message::{DELIVER, GET_OK, RETURN},
    method_name, publish, queue,
    socket::{CHANNEL_CLOSE, Wire},
};

const GET_EMPTY: (u16, u16) = (60, 72);
const ACK: (u16, u16) = (60, 80);
const NACK: (u16, u16) = (60, 120);

/// A channel of a connection. Clones are the same channel.
#[derive(Clone)]
pub(crate) struct Channel {
    pub(super) wire: Rc<RefCell<Wire>>,
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
        self.publish_together(std::slice::from_ref(publish));
    }

    /// Publishes with one write, so that nothing of this machine comes between the messages.
    pub(crate) fn publish_together(&self, messages: &[Publish]) {
        let mut wire = self.wire.borrow_mut();
        let frame_max = wire.frame_max;
        let frames = messages.iter().flat_map(|message| message.frames(self.number, frame_max));
        let bytes: Vec<u8> = frames.flat_map(|frame| frame.bytes()).collect();
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
        self.try_next().unwrap_or_else(|end| {
            let others = self.wire.borrow().waiting.clone();
            panic!(
                "expected {expected} on channel {}, got {end:?}; waiting elsewhere: {others:?}",
                self.number
            )
        })
    }

    /// What comes next, unless the connection ends before it is all there.
    pub(crate) fn try_next(&self) -> Result<Incoming, End> {
        let frame = self.try_frame()?;
        assert_eq!(frame.kind, METHOD, "expected a method, got {frame:?}");
        let method = Method::parse(&frame.payload);
        let (mut content, mut bodies) = (None, Vec::new());
        if matches!(method.id, RETURN | DELIVER | GET_OK) {
            let header = self.try_frame()?;
            assert_eq!(header.kind, HEADER, "expected a content header, got {header:?}");
            let mut read = Reader::new(&header.payload);
            assert_eq!((read.short(), read.short()), (60, 0), "class and weight of the header");
            let size = read.longlong() as usize;
            let properties = Properties::parse(&mut read);
            assert!(read.is_empty(), "properties to spare");
            let mut body = Vec::with_capacity(size);
            while body.len() < size {
                let part = self.try_frame()?;
                assert_eq!(part.kind, BODY, "expected a body, got {part:?}");
                bodies.push(part.payload.len());
                body.extend(part.payload);
            }
            assert_eq!(body.len(), size, "length of the body");
            content = Some((properties, body));
        }
        Ok(Incoming { method, content, bodies })
    }

    fn try_frame(&self) -> Result<Frame, End> {
        let frame = self.wire.borrow_mut().next_on(self.number)?;
        // Any other is the connection's or, on channel 0, a channel's close.
        if frame.channel == self.number {
            Ok(frame)
        } else {
            Err(End::Closed(format!("{frame:?}")))
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

    /// Waits until the queue, which may have more, has this many ready messages.
    #[track_caller]
    pub(crate) fn expect_left(&self, queue_name: &str, count: u32) {
        let start = std::time::Instant::now();
        loop {
            let ready = self.declare(&queue(queue_name).passive()).messages;
            if ready == count {
                return;
            }
            let is_in_time = ready > count && start.elapsed() < DEADLINE;
            assert!(is_in_time, "{ready} ready messages are left, not {count}");
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
        // An answer on the channel fails the test at once.
        let next = self.wire.borrow_mut().read_frame();
        match next {
            Ok(frame) if frame.channel == 0 => self.wire.borrow_mut().put_back(frame),
            _ => panic!("expected connection.close {code}, got {next:?}"),
        }
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

    /// Collects acks, nacks and returns until all of these publishes are decided.
    #[track_caller]
    pub(crate) fn confirms_of(&self, undecided: &mut BTreeSet<u64>) -> Confirms {
        let mut out = Confirms::default();
        while !undecided.is_empty() {
            let got = self.next_for("a confirm");
            let mut read = got.method.read();
            let decided = match got.method.id {
                RETURN => {
                    out.returned += 1;
                    continue;
                }
                ACK => &mut out.acked,
                NACK => &mut out.nacked,
                _ => panic!("expected a confirm of {undecided:?}, got {got:?}"),
            };
            let (tag, is_multiple) = (read.longlong(), read.octet() & 1 != 0);
            assert!(undecided.remove(&tag), "publish {tag} was decided twice or never made");
            if is_multiple {
                let later = undecided.split_off(&tag);
                decided.append(undecided);
                *undecided = later;
            }
            decided.insert(tag);
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
