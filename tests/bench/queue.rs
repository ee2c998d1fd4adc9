//! What a queue costs for each message: `cargo bench --bench queue`.
//!
//! One thread plays publisher and consumers, so that what is measured is the queue's state under
//! its lock, its outboxes, and nothing that is done in between. Every message is transient: the
//! queue has a store and never asks it.
//!
//! * `consumed`: publish, hand over, drain; by consumers that acknowledge nothing, each message, or
//!   one for all
//! * `backlog`: publish to a queue that nobody consumes, get it back
//! * `round robin`: the same as `consumed`, by more and more consumers of which all are ready

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::{
    collections::VecDeque,
    hint::black_box,
    sync::{Arc, Weak},
    task::Waker,
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use lepus::{
    broker::{
        arguments::{QueueSpec, QueueType},
        outbox::{Event, Outbox, OutboxLimits, Window},
        queue::{
            Arrival, Budget, Consumer, ConsumerHandle, Effects, GetOutcome, Identity, Queue,
            Settings, Settled, Surroundings,
        },
    },
    message::{Message, Traits},
    names::{ChannelId, ConnectionId, Name, QueueId},
    store::{Store, StoreConfig},
    wire::table::Table,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Messages that are published before the consumers look.
const BATCH: usize = 256;

criterion_group!(benches, consumed, backlog, round_robin);
criterion_main!(benches);

/// A queue, its store's directory, and a consumer for each outbox.
struct Bench {
    queue: Arc<Queue>,
    outboxes: Vec<(Arc<Outbox>, ConsumerHandle)>,
    fx: Effects,
    events: VecDeque<Event>,
    message: Message,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new(consumers: usize, no_ack: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(StoreConfig::new(dir.path())).unwrap();
        let identity = Identity {
            id: QueueId(1),
            name: Name::from("q"),
            spec: QueueSpec { durable: false, auto_delete: false, arguments: Table::default() },
            queue_type: QueueType::Classic,
            owner: None,
            declared_by: Name::from("guest"),
        };
        let surroundings = Surroundings {
            vhost: Weak::new(),
            timers: Arc::default(),
            store,
            budget: Arc::new(Budget::new(1 << 30, 1 << 30)),
            departed: Arc::default(),
        };
        let queue = Queue::new(identity, Settings::default(), surroundings, |_| None);
        let mut fx = Effects::default();
        let outboxes = (0..consumers).map(|_| consume(&queue, no_ack, &mut fx)).collect();
        let body = [7; 100];
        let traits = Traits::default();
        let message = Message::copied(b"\0\x01q", b"\0\0", &[&body], traits, &mut Vec::new());
        Self { queue, outboxes, fx, events: VecDeque::new(), message, _dir: dir }
    }

    fn publish(&mut self) {
        for _ in 0..BATCH {
            let message = black_box(self.message.clone());
            black_box(self.queue.publish(message, Arrival::default(), &mut self.fx));
        }
    }

    /// Takes what is in the outboxes, and settles it, so many with each call.
    fn consume(&mut self, settled_at_once: Option<usize>) {
        let mut taken = 0;
        for (outbox, consumer) in &self.outboxes {
            outbox.drain(&mut self.events, &mut Vec::new());
            taken += self.events.len();
            let settled = self.events.drain(..).map(|event| {
                let Event::Deliver(delivery) = event else { panic!("{event:?}") };
                Settled {
                    position: delivery.position,
                    consumer: Some(*consumer),
                    is_stored: delivery.is_stored,
                    is_persistent: delivery.message.is_persistent(),
                    body_bytes: delivery.message.body_len(),
                }
            });
            let Some(at_once) = settled_at_once else {
                settled.for_each(drop);
                continue;
            };
            for settled in settled.collect::<Vec<_>>().chunks(at_once) {
                self.queue.settle(settled, &mut self.fx);
            }
        }
        assert_eq!(taken, BATCH);
    }
}

fn consume(queue: &Arc<Queue>, no_ack: bool, fx: &mut Effects) -> (Arc<Outbox>, ConsumerHandle) {
    let limits = OutboxLimits { events_max: 2 * BATCH, bytes_max: 1 << 30 };
    let outbox = Arc::new(Outbox::new(limits));
    let consumer = Consumer {
        outbox: Arc::clone(&outbox),
        slot: 0,
        channel: ChannelId(1),
        connection: ConnectionId(1),
        tag: Arc::from("t"),
        arguments: None,
        exclusive: false,
        no_ack,
        prefetch: 0,
        window: Arc::new(Window::new(0, 0)),
        priority: 0,
    };
    let handle = queue.consume(consumer, false).unwrap();
    queue.resume(handle, fx);
    (outbox, handle)
}

fn consumed(c: &mut Criterion) {
    let mut group = c.benchmark_group("consumed");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, settled_at_once) in
        [("without acks", None), ("ack each", Some(1)), ("ack all at once", Some(BATCH))]
    {
        let mut bench = Bench::new(1, settled_at_once.is_none());
        group.bench_function(name, |b| {
            b.iter(|| {
                bench.publish();
                bench.consume(settled_at_once);
            });
        });
    }
}

fn backlog(c: &mut Criterion) {
    let mut group = c.benchmark_group("backlog");
    group.throughput(Throughput::Elements(BATCH as u64));
    for depth in [0, 100_000] {
        let mut bench = Bench::new(0, true);
        for _ in 0..depth {
            let message = bench.message.clone();
            bench.queue.publish(message, Arrival::default(), &mut bench.fx);
        }
        group.bench_function(BenchmarkId::new("publish and get at", depth), |b| {
            b.iter(|| {
                bench.publish();
                for _ in 0..BATCH {
                    let got = bench.queue.get(true, Waker::noop(), &mut bench.fx);
                    assert!(matches!(black_box(got), GetOutcome::Got(_)));
                }
            });
        });
    }
}

fn round_robin(c: &mut Criterion) {
    let mut group = c.benchmark_group("round robin");
    group.throughput(Throughput::Elements(BATCH as u64));
    for consumers in [1, 16, 256] {
        let mut bench = Bench::new(consumers, true);
        group.bench_function(BenchmarkId::new("consumers", consumers), |b| {
            b.iter(|| {
                bench.publish();
                bench.consume(None);
            });
        });
    }
}
