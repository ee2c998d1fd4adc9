//! Producers: they publish, and wait for confirms as far as their window says.

use std::{
    collections::VecDeque,
    io::Write,
    net::TcpStream,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    thread,
    time::Duration,
};

use super::{LOOK, Plan, STAMP_BYTES, Shared, joined};
use crate::{
    cli::perf::{
        histogram::Histogram,
        link::{CHANNEL, Error, Link},
    },
    clock::{self, Now},
    wire::{
        encode,
        method::{AMQPClass, basic},
    },
};

/// Bytes that a producer writes at a time.
const WRITE_BYTES: usize = 64 * 1024;
/// How long a producer rests that is ahead of its rate.
const PACE: Duration = Duration::from_micros(200);

/// The publishes of one producer that wait for their confirms, by when they were sent.
#[derive(Debug, Default)]
struct Window {
    state: Mutex<Open>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Open {
    /// The oldest first.
    sent: VecDeque<Now>,
    confirmed: u64,
    is_broken: bool,
}

impl Window {
    fn locked(&self) -> MutexGuard<'_, Open> {
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

/// Publishes on a connection of its own.
pub(super) struct Producer {
    plan: Plan,
    first_queue: usize,
    shared: Arc<Shared>,
    window: Arc<Window>,
    /// Messages to publish; none for as many as go.
    count: Option<u64>,
}

impl Producer {
    pub(super) fn new(
        plan: Plan,
        first_queue: usize,
        shared: Arc<Shared>,
        count: Option<u64>,
    ) -> Self {
        Self { plan, first_queue, shared, window: Arc::new(Window::default()), count }
    }

    /// Publishes until it is done; returns how long confirms took.
    pub(super) fn run(self, link: Link) -> Result<Histogram, Error> {
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
        let mut has_room = false;
        let received = link.receive(|incoming| {
            if let Some((60, 80 | 120)) = incoming.ids() {
                let tag = incoming.payload.get(4..12).and_then(|tag| tag.try_into().ok());
                let tag = tag.map_or(0, u64::from_be_bytes);
                let multiple = incoming.payload.get(12).is_some_and(|bits| bits & 1 == 1);
                confirmed(window, shared, tag, multiple, &mut times);
                has_room = true;
            }
            Ok(true)
        });
        if let Err(error) = received {
            break Err(error);
        }
        if has_room {
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
