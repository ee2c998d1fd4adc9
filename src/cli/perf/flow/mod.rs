//! Messages through queues: producers, consumers, and what is measured of them.
//!
//! Each connection has a thread of its own; a producer with confirms has one more that reads them.
//! A message carries its number and when it was sent in its first sixteen bytes. Consumers check
//! that nothing is lost, doubled or out of order where one producer fills one queue, and that
//! nothing comes before its time.

mod consumer;
mod producer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use consumer::Consumer;
use producer::Producer;

use super::{
    histogram::Histogram,
    link::{CHANNEL, Error, Link},
    uri::Uri,
};
use crate::{
    clock,
    wire::{
        encode,
        method::{AMQPClass, basic, confirm, queue},
        table::{Table, Value},
    },
};

/// Bytes at the front of a body that tell which message it is.
pub(super) const STAMP_BYTES: usize = 16;
/// How often a thread that waits looks whether it is over.
const LOOK: Duration = Duration::from_millis(100);

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
struct Shared {
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
        let consumer = Consumer::new(link, Arc::clone(shared), self.ack_every, is_ordered)?;
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
                let first_queue = index % self.queues;
                let producer = Producer::new(self.clone(), first_queue, Arc::clone(shared), count);
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
