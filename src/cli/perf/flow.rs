//! Messages through queues: producers, consumers, and what is measured of them.
//!
//! Each connection has a thread of its own; a producer with confirms has one more that reads them.
//! A message carries its number and when it was sent in its first sixteen bytes. Consumers check
//! that nothing is lost, doubled or out of order where one producer fills one queue, and that
//! nothing comes before its time.

use std::{
    io::Write,
    net::TcpStream,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    histogram::Histogram,
    link::{CHANNEL, Error, Link},
    uri::Uri,
};
use crate::{
    clock::{self, Now},
    names::PublishSeq,
    wire::{
        content, encode,
        frame::FrameKind,
        method::{AMQPClass, basic, confirm, queue},
        table::{Table, Value},
    },
};

/// Bytes at the front of a body that tell which message it is.
pub(super) const STAMP_BYTES: usize = 16;
/// Bytes that a producer writes at a time.
const WRITE_BYTES: usize = 64 * 1024;
/// How often a thread that waits looks whether it is over.
const LOOK: Duration = Duration::from_millis(100);
/// How long a producer rests that is ahead of its rate.
const PACE: Duration = Duration::from_micros(200);

/// What goes through which queues.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) producers: usize,
    pub(super) consumers: usize,
    pub(super) queues: usize,
    pub(super) size: usize,
    /// Durable queues, persistent messages.
    pub(super) persistent: bool,
    /// Publishes of one producer that may wait for their confirms; 0 for no confirms.
    pub(super) confirm: u64,
    pub(super) prefetch: u16,
    /// Messages to an acknowledgement; 0 for none.
    pub(super) ack_every: u64,
    /// Messages a second for each producer; 0 for as many as go.
    pub(super) rate: u64,
    /// `x-queue-type`; empty for none.
    pub(super) queue_type: String,
    /// What the names of queues begin with.
    pub(super) prefix: String,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) seconds: f64,
    pub(super) published: u64,
    pub(super) confirmed: u64,
    pub(super) consumed: u64,
    /// From sending to arrival.
    pub(super) latency: Histogram,
    /// From sending to confirm.
    pub(super) confirms: Histogram,
    /// Messages that came out of order, doubled or not at all.
    pub(super) faults: u64,
}

/// What all threads of a run share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    published: AtomicU64,
    confirmed: AtomicU64,
    consumed: AtomicU64,
    faults: AtomicU64,
    /// Producers stop.
    is_drained: AtomicBool,
    /// Everybody stops.
    is_over: AtomicBool,
    /// Whether times are kept: not while warming up.
    is_measured: AtomicBool,
}

impl Shared {
    fn counts(&self) -> [u64; 3] {
        [&self.published, &self.confirmed, &self.consumed].map(|count| count.load(Relaxed))
    }
}

impl Plan {
    pub(super) fn queue(&self, index: usize) -> String {
        format!("{}-{index}", self.prefix)
    }

    /// Makes the queues.
    pub(super) fn declare(&self, link: &mut Link) -> Result<(), Error> {
        for index in 0..self.queues {
            let mut arguments = Table::default();
            if !self.queue_type.is_empty() {
                let value = Value::LongString(self.queue_type.as_str().into());
                arguments.insert("x-queue-type".into(), value);
            }
            let declare = queue::Declare {
                queue: self.queue(index).into(),
                passive: false,
                durable: self.persistent || self.queue_type == "quorum",
                exclusive: false,
                auto_delete: false,
                nowait: false,
                arguments,
            };
            link.call(&AMQPClass::Queue(queue::AMQPMethod::Declare(declare)), (50, 11))?;
        }
        Ok(())
    }

    /// Deletes the queues.
    pub(super) fn delete(&self, link: &mut Link) -> Result<(), Error> {
        for index in 0..self.queues {
            let delete = queue::Delete {
                queue: self.queue(index).into(),
                if_unused: false,
                if_empty: false,
                nowait: false,
            };
            link.call(&AMQPClass::Queue(queue::AMQPMethod::Delete(delete)), (50, 41))?;
        }
        Ok(())
    }

    /// Runs producers and consumers together for a time, after a warm-up. `tell` hears every
    /// second how many messages were consumed, or published where nothing consumes.
    pub(super) fn run(
        &self,
        uri: &Uri,
        warm_up: Duration,
        time: Duration,
        tell: &mut dyn FnMut(u64),
    ) -> Result<Outcome, Error> {
        let shared = Arc::new(Shared::default());
        let consumers = self.start_consumers(uri, &shared, self.is_ordered())?;
        let producers = self.start_producers(uri, &shared, None)?;
        wait(warm_up, &mut |_| {}, &shared, &producers, &consumers);
        shared.is_measured.store(true, Relaxed);
        let (begin, before) = (clock::now(), shared.counts());
        let mut last = before[2].max(before[0]);
        let mut each_second = |shared: &Shared| {
            let [published, _, consumed] = shared.counts();
            let now = if self.consumers > 0 { consumed } else { published };
            tell(now.saturating_sub(last));
            last = now;
        };
        wait(time, &mut each_second, &shared, &producers, &consumers);
        shared.is_measured.store(false, Relaxed);
        let (seconds, after) = (clock::now().since(begin).as_secs_f64(), shared.counts());
        shared.is_drained.store(true, Relaxed);
        let mut outcome = Outcome { seconds, ..Outcome::default() };
        for producer in producers {
            outcome.confirms.merge(&joined(producer)?);
        }
        self.await_rest(&shared);
        shared.is_over.store(true, Relaxed);
        for consumer in consumers {
            outcome.latency.merge(&joined(consumer)?);
        }
        [outcome.published, outcome.confirmed, outcome.consumed] =
            std::array::from_fn(|at| after[at] - before[at]);
        let [published, _, consumed] = shared.counts();
        outcome.faults = shared.faults.load(Relaxed);
        if self.consumers > 0 {
            outcome.faults += published.abs_diff(consumed);
        }
        Ok(outcome)
    }

    /// Publishes so many messages, and then consumes them; each is measured for itself.
    pub(super) fn backlog(&self, uri: &Uri, count: u64) -> Result<[Outcome; 2], Error> {
        let shared = Arc::new(Shared::default());
        shared.is_measured.store(true, Relaxed);
        let begin = clock::now();
        let share = count / self.producers.max(1) as u64;
        let mut filled = Outcome::default();
        for producer in self.start_producers(uri, &shared, Some(share))? {
            filled.confirms.merge(&joined(producer)?);
        }
        filled.seconds = clock::now().since(begin).as_secs_f64();
        [filled.published, filled.confirmed, _] = shared.counts();
        let begin = clock::now();
        let consumers = self.start_consumers(uri, &shared, self.is_ordered())?;
        self.await_rest(&shared);
        let mut drained = Outcome {
            seconds: clock::now().since(begin).as_secs_f64(),
            consumed: shared.counts()[2],
            ..Outcome::default()
        };
        shared.is_over.store(true, Relaxed);
        for consumer in consumers {
            // How long a message of a backlog waited says nothing.
            joined(consumer)?;
        }
        let [published, _, consumed] = shared.counts();
        drained.faults = shared.faults.load(Relaxed) + published.abs_diff(consumed);
        Ok([filled, drained])
    }

    /// Waits until everything that was published has been consumed, or nothing more comes.
    fn await_rest(&self, shared: &Shared) {
        if self.consumers == 0 {
            return;
        }
        let mut last = (shared.counts()[2], clock::now());
        loop {
            let [published, _, consumed] = shared.counts();
            if consumed >= published {
                return;
            }
            if consumed != last.0 {
                last = (consumed, clock::now());
            } else if clock::now().since(last.1) > Duration::from_secs(10) {
                return;
            }
            clock::rest_blocking(Duration::from_millis(1));
        }
    }

    /// Whether messages come in the order in which they were published.
    fn is_ordered(&self) -> bool {
        self.producers == 1 && self.consumers <= self.queues && self.queues == 1
    }

    fn start_consumers(
        &self,
        uri: &Uri,
        shared: &Arc<Shared>,
        is_ordered: bool,
    ) -> Result<Vec<Worker>, Error> {
        let indices = 0..self.consumers;
        indices.map(|index| self.start_consumer(uri, shared, index, is_ordered)).collect()
    }

    fn start_consumer(
        &self,
        uri: &Uri,
        shared: &Arc<Shared>,
        index: usize,
        is_ordered: bool,
    ) -> Result<Worker, Error> {
        let mut link = Link::open(uri)?;
        if self.ack_every > 0 {
            let qos = basic::Qos { prefetch_count: self.prefetch, global: false };
            link.call(&AMQPClass::Basic(basic::AMQPMethod::Qos(qos)), (60, 11))?;
        }
        // With fewer consumers than queues, each takes several.
        let step = self.consumers.min(self.queues);
        for queue in (index % self.queues..self.queues).step_by(step) {
            let consume = basic::Consume {
                queue: self.queue(queue).into(),
                consumer_tag: format!("c{queue}").as_str().into(),
                no_local: false,
                no_ack: self.ack_every == 0,
                exclusive: false,
                nowait: true,
                arguments: Table::default(),
            };
            let mut bytes = Vec::new();
            let class = AMQPClass::Basic(basic::AMQPMethod::Consume(consume));
            encode::method(&mut bytes, CHANNEL, &class);
            link.send(&bytes)?;
        }
        link.set_patience(LOOK)?;
        let consumer = Consumer {
            writer: link.writer()?,
            link,
            shared: Arc::clone(shared),
            ack_every: self.ack_every,
            is_ordered,
            latency: Histogram::default(),
        };
        Ok(thread::spawn(move || consumer.run()))
    }

    fn start_producers(
        &self,
        uri: &Uri,
        shared: &Arc<Shared>,
        count: Option<u64>,
    ) -> Result<Vec<Worker>, Error> {
        (0..self.producers)
            .map(|index| {
                let mut link = Link::open(uri)?;
                if self.confirm > 0 {
                    let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
                    link.call(&AMQPClass::Confirm(select), (85, 11))?;
                }
                let producer = Producer {
                    plan: self.clone(),
                    first_queue: index % self.queues,
                    shared: Arc::clone(shared),
                    window: Arc::new(Window::default()),
                    count,
                };
                Ok(thread::spawn(move || producer.run(link)))
            })
            .collect()
    }
}

/// Consumers of what somebody else publishes, in any order.
pub(super) struct Arriving<'a> {
    plan: &'a Plan,
    shared: Arc<Shared>,
    consumers: Vec<Worker>,
}

impl<'a> Arriving<'a> {
    pub(super) fn start(plan: &'a Plan, uri: &Uri) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        shared.is_measured.store(true, Relaxed);
        let consumers = plan.start_consumers(uri, &shared, false)?;
        Ok(Self { plan, shared, consumers })
    }

    /// Waits for the rest of `count` messages, or until nothing more comes.
    pub(super) fn finish(self, count: u64) -> Result<Outcome, Error> {
        self.shared.published.store(count, Relaxed);
        self.plan.await_rest(&self.shared);
        self.shared.is_over.store(true, Relaxed);
        let mut outcome = Outcome { published: count, ..Outcome::default() };
        for consumer in self.consumers {
            outcome.latency.merge(&joined(consumer)?);
        }
        outcome.consumed = self.shared.consumed.load(Relaxed);
        outcome.faults = self.shared.faults.load(Relaxed) + count.abs_diff(outcome.consumed);
        Ok(outcome)
    }
}

type Worker = JoinHandle<Result<Histogram, Error>>;

fn joined(worker: Worker) -> Result<Histogram, Error> {
    worker.join().unwrap_or_else(|_| Err(Error::Garbage("a thread failed".to_owned())))
}

/// Waits, and tells every second. Ends early when a worker does.
fn wait(
    time: Duration,
    each_second: &mut dyn FnMut(&Shared),
    shared: &Shared,
    producers: &[Worker],
    consumers: &[Worker],
) {
    let end = clock::now().after(time);
    let mut next = clock::now().after(Duration::from_secs(1));
    while clock::now() < end && !producers.iter().chain(consumers).any(JoinHandle::is_finished) {
        clock::rest_blocking(end.since(clock::now()).min(Duration::from_millis(20)));
        if clock::now() >= next {
            next = next.after(Duration::from_secs(1));
            each_second(shared);
        }
    }
}

/// The publishes of one producer that wait for their confirms, by when they were sent.
#[derive(Debug, Default)]
struct Window {
    state: Mutex<Open>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Open {
    /// The oldest first.
    sent: std::collections::VecDeque<Now>,
    confirmed: u64,
    is_broken: bool,
}

impl Window {
    fn locked(&self) -> std::sync::MutexGuard<'_, Open> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for more; returns how much.
    fn room(&self, size: u64) -> u64 {
        let mut open = self.locked();
        loop {
            let room = size.saturating_sub(open.sent.len() as u64);
            // A window that is nearly full is waited for: a few at a time are dear.
            if open.is_broken || room >= size.div_ceil(8) {
                return room;
            }
            let waited = self.changed.wait_timeout(open, LOOK);
            open = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

struct Producer {
    plan: Plan,
    first_queue: usize,
    shared: Arc<Shared>,
    window: Arc<Window>,
    /// Messages to publish; none for as many as go.
    count: Option<u64>,
}

impl Producer {
    fn run(self, link: Link) -> Result<Histogram, Error> {
        let writer = link.writer()?;
        let frame_max = link.frame_max();
        if self.plan.confirm == 0 {
            self.publish(writer, frame_max)?;
            // A broker may forget what it has not looked at when a client leaves without a word.
            link.close();
            return Ok(Histogram::default());
        }
        let (window, shared) = (Arc::clone(&self.window), Arc::clone(&self.shared));
        let reader = thread::spawn(move || read_confirms(link, &window, &shared));
        let published = self.publish(writer, frame_max)?;
        let mut open = self.window.locked();
        while open.confirmed < published && !open.is_broken {
            let waited = self.window.changed.wait_timeout(open, LOOK);
            open = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        open.is_broken = true;
        drop(open);
        joined(reader)
    }

    fn is_done(&self, published: u64) -> bool {
        match self.count {
            Some(count) => published >= count,
            None => self.shared.is_drained.load(Relaxed),
        }
    }

    /// Publishes; returns how many messages.
    fn publish(&self, mut writer: TcpStream, frame_max: u32) -> Result<u64, Error> {
        let plan = &self.plan;
        let messages = self.messages();
        let mut body = vec![0; plan.size];
        let properties: &[u8] = if plan.persistent { &[0x10, 0, 2] } else { &[0, 0] };
        let mut out = Vec::with_capacity(2 * WRITE_BYTES);
        let (mut published, begin) = (0, clock::now());
        while !self.is_done(published) {
            let mut room = match plan.confirm {
                0 => u64::MAX,
                window => self.window.room(window),
            };
            if room == 0 {
                break;
            }
            if plan.rate > 0 {
                let due = clock::now().since(begin).as_secs_f64() * plan.rate as f64;
                room = room.min((due as u64).saturating_sub(published));
                if room == 0 {
                    clock::rest_blocking(PACE);
                    continue;
                }
            }
            let now = clock::now();
            let mut batch = 0;
            while batch < room && out.len() < WRITE_BYTES && !self.is_full(published + batch) {
                let number = published + batch;
                body[..8].copy_from_slice(&number.to_be_bytes());
                body[8..STAMP_BYTES].copy_from_slice(&(now.as_nanos()).to_be_bytes());
                out.extend_from_slice(&messages[number as usize % messages.len()]);
                encode::content(&mut out, CHANNEL, properties, &body, frame_max);
                batch += 1;
            }
            if plan.confirm > 0 {
                self.window.locked().sent.extend((0..batch).map(|_| now));
            }
            published += batch;
            self.shared.published.fetch_add(batch, Relaxed);
            writer.write_all(&out)?;
            out.clear();
        }
        Ok(published)
    }

    fn is_full(&self, published: u64) -> bool {
        self.count.is_some_and(|count| published >= count)
    }

    /// The `basic.publish` for each queue that this producer fills in turn.
    fn messages(&self) -> Vec<Vec<u8>> {
        let plan = &self.plan;
        let step = plan.producers.min(plan.queues);
        let queues = (self.first_queue..plan.queues).step_by(step);
        queues
            .map(|queue| {
                let publish = basic::Publish {
                    exchange: "".into(),
                    routing_key: plan.queue(queue).into(),
                    mandatory: false,
                    immediate: false,
                };
                let mut bytes = Vec::new();
                let class = AMQPClass::Basic(basic::AMQPMethod::Publish(publish));
                encode::method(&mut bytes, CHANNEL, &class);
                bytes
            })
            .collect()
    }
}

/// Reads confirms until the producer is done.
fn read_confirms(mut link: Link, window: &Window, shared: &Shared) -> Result<Histogram, Error> {
    let mut times = Histogram::default();
    link.set_patience(LOOK)?;
    let result = loop {
        if window.locked().is_broken {
            break Ok(());
        }
        let mut last = None;
        let received = link.receive(|incoming| {
            if let Some((60, 80 | 120)) = incoming.ids() {
                let tag = incoming.payload.get(4..12).and_then(|tag| tag.try_into().ok());
                let tag = tag.map_or(0, u64::from_be_bytes);
                let multiple = incoming.payload.get(12).is_some_and(|bits| bits & 1 == 1);
                last = Some((PublishSeq(tag), multiple));
                confirmed(window, shared, tag, multiple, &mut times);
            }
            Ok(true)
        });
        if let Err(error) = received {
            break Err(error);
        }
        if last.is_some() {
            window.changed.notify_all();
        }
    };
    window.locked().is_broken = true;
    window.changed.notify_all();
    result.map(|()| {
        link.close();
        times
    })
}

/// Takes confirmed publishes out of the window. Confirms one by one may come in any order; the
/// times are then those of as many of the oldest.
fn confirmed(window: &Window, shared: &Shared, tag: u64, multiple: bool, times: &mut Histogram) {
    let mut open = window.locked();
    let count = if multiple { tag.saturating_sub(open.confirmed) } else { 1 };
    let now = clock::now();
    let is_measured = shared.is_measured.load(Relaxed);
    for _ in 0..count {
        let Some(sent) = open.sent.pop_front() else { break };
        open.confirmed += 1;
        shared.confirmed.fetch_add(1, Relaxed);
        if is_measured {
            times.add(now.since(sent));
        }
    }
}

struct Consumer {
    link: Link,
    writer: TcpStream,
    shared: Arc<Shared>,
    ack_every: u64,
    /// Whether messages must come in the order of their numbers.
    is_ordered: bool,
    latency: Histogram,
}

impl Consumer {
    fn run(mut self) -> Result<Histogram, Error> {
        let mut state = Arrivals::default();
        let mut acks = Vec::new();
        while !self.shared.is_over.load(Relaxed) {
            let is_measured = self.shared.is_measured.load(Relaxed);
            let (shared, ack_every, is_ordered) = (&self.shared, self.ack_every, self.is_ordered);
            let latency = &mut self.latency;
            let mut now = None;
            self.link.receive(|incoming| {
                match incoming.kind {
                    FrameKind::Method if incoming.ids() == Some((60, 60)) => {
                        state.tag = delivery_tag(incoming.payload);
                    }
                    FrameKind::Header => {
                        let size = content::header(incoming.payload).map_or(0, |h| h.body_size);
                        state.left = size;
                        state.is_first = true;
                    }
                    FrameKind::Body => {
                        if state.is_first {
                            state.stamp(incoming.payload);
                        }
                        state.left = state.left.saturating_sub(incoming.payload.len() as u64);
                        if state.left > 0 {
                            return Ok(true);
                        }
                        let now = *now.get_or_insert_with(clock::now);
                        if is_measured {
                            latency.add(now.since(state.sent));
                        }
                        let is_misplaced = is_ordered && state.number != state.expected;
                        if is_misplaced || now < state.sent {
                            shared.faults.fetch_add(1, Relaxed);
                        }
                        state.expected = state.number + 1;
                        shared.consumed.fetch_add(1, Relaxed);
                        state.unacked += 1;
                        if ack_every > 0 && state.unacked >= ack_every {
                            let tag = PublishSeq(state.tag);
                            encode::ack(&mut acks, CHANNEL, tag, state.unacked > 1);
                            state.unacked = 0;
                        }
                    }
                    _ => {}
                }
                Ok(true)
            })?;
            if !acks.is_empty() {
                self.writer.write_all(&acks)?;
                acks.clear();
            }
        }
        let mut rest = Vec::new();
        if self.ack_every > 0 && state.unacked > 0 {
            encode::ack(&mut rest, CHANNEL, PublishSeq(state.tag), true);
            self.writer.write_all(&rest)?;
        }
        self.link.close();
        Ok(self.latency)
    }
}

/// What of a message has come so far.
#[derive(Debug, Default)]
struct Arrivals {
    tag: u64,
    left: u64,
    is_first: bool,
    number: u64,
    sent: Now,
    expected: u64,
    unacked: u64,
}

impl Arrivals {
    /// Reads the stamp at the front of a body.
    fn stamp(&mut self, body: &[u8]) {
        self.is_first = false;
        let number = |range: std::ops::Range<usize>| {
            let bytes = body.get(range).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_be_bytes)
        };
        self.number = number(0..8);
        self.sent = Now::from_nanos(number(8..STAMP_BYTES));
    }
}

/// The delivery tag in the payload of a `basic.deliver`.
fn delivery_tag(payload: &[u8]) -> u64 {
    let at = 5 + payload.get(4).map_or(0, |len| usize::from(*len));
    let tag = payload.get(at..at + 8).and_then(|tag| tag.try_into().ok());
    tag.map_or(0, u64::from_be_bytes)
}
