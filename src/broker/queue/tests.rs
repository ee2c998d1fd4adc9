//! Queues over a real store, used by real threads.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::*;
use crate::{
    broker::outbox::{Event, Outbox, OutboxLimits, Stalled, Window, tests::Unpark},
    message::Traits,
    names::{ChannelId, Position},
    store::{StoreConfig, StoreOp, SyncMode},
    wire::table::Table,
};

const QUEUE_MAX: usize = 20_000;

fn message(number: u64, is_persistent: bool) -> Message {
    let body = number.to_le_bytes().repeat(10);
    let traits = Traits { is_persistent, ..Traits::default() };
    Message::copied(b"\0\0", b"\0\0", &[&body], traits, &mut Vec::new())
}

fn number(message: &Message) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&message.inline_body().unwrap()[..8]);
    u64::from_le_bytes(bytes)
}

fn open(dir: &std::path::Path) -> (Store, Option<RecoveredQueue>) {
    let config = StoreConfig { sync: SyncMode::Off, ..StoreConfig::new(dir) };
    let (store, recovered) = Store::open(config).unwrap();
    (store, recovered.queues.get(&QueueId(1)).copied())
}

fn queue(store: &Store, recovered: Option<&RecoveredQueue>) -> Arc<Queue> {
    let identity = Identity {
        id: QueueId(1),
        name: Name::from("q"),
        spec: QueueSpec { durable: true, auto_delete: false, arguments: Table::default() },
        queue_type: QueueType::Classic,
        owner: None,
        declared_by: Name::from("u"),
    };
    let surroundings = Surroundings {
        vhost: Weak::new(),
        timers: Arc::default(),
        store: store.clone(),
        budget: Arc::new(Budget::new(1 << 30, QUEUE_MAX)),
        departed: Arc::default(),
    };
    Queue::new(identity, Settings::default(), surroundings, |_| recovered.copied())
}

/// A connection with one consumer, on a thread of its own.
struct Client<'a> {
    queue: &'a Arc<Queue>,
    task: Arc<Unpark>,
    outbox: Arc<Outbox>,
    window: Arc<Window>,
    handle: ConsumerHandle,
    prefetch: u32,
    fx: Effects,
    unacked: Vec<crate::broker::outbox::Delivery>,
    /// Messages that were sent back once.
    sent_back: BTreeSet<Position>,
}

impl<'a> Client<'a> {
    fn new(queue: &'a Arc<Queue>, prefetch: u32) -> Self {
        let outbox = Arc::new(Outbox::new(OutboxLimits { events_max: 16, bytes_max: 1000 }));
        let window = Arc::new(Window::new(0, 0));
        let consumer = consumer(&outbox, &window, prefetch);
        let handle = queue.consume(consumer, false).unwrap();
        let mut fx = Effects::default();
        queue.resume(handle, &mut fx);
        Self {
            queue,
            task: Unpark::of_this_thread(),
            outbox,
            window,
            handle,
            prefetch,
            fx,
            unacked: Vec::new(),
            sent_back: BTreeSet::new(),
        }
    }

    fn drain(&mut self) -> bool {
        let (mut events, mut stalled) = (VecDeque::new(), Vec::<Stalled>::new());
        let has_some = self.outbox.drain(&mut events, &mut stalled);
        for stalled in stalled {
            assert_eq!(stalled.queue.upgrade().map(|queue| queue.id), Some(self.queue.id));
            self.queue.resume(stalled.consumer, &mut self.fx);
        }
        for event in events {
            let Event::Deliver(delivery) = event else { panic!("{event:?}") };
            assert!(
                delivery.standing.is_redelivered() >= self.sent_back.contains(&delivery.position)
            );
            self.unacked.push(delivery);
        }
        has_some
    }

    fn requeue(&mut self, seen: usize) {
        let handle = self.handle;
        let mut returned = Vec::new();
        for (at, delivery) in self.unacked.drain(..).enumerate() {
            let mut message = Held::Message(delivery.message);
            if delivery.is_stored && at % 2 == 0 && at < seen {
                message.leave_to_store();
            }
            if at < seen {
                self.sent_back.insert(delivery.position);
            }
            returned.push(Returned {
                position: delivery.position,
                consumer: Some(handle),
                message,
                standing: delivery.standing,
                is_stored: delivery.is_stored,
                cause: if at < seen { Cause::Requeued } else { Cause::Unseen },
            });
        }
        let places = returned.len() as u32;
        self.queue.take_back(returned, &mut self.fx);
        self.window.give_back(places);
    }

    /// Settles what it has; returns the numbers of the messages.
    fn settle(&mut self) -> Vec<u64> {
        let settled = |delivery: &crate::broker::outbox::Delivery| Settled {
            position: delivery.position,
            consumer: Some(self.handle),
            is_stored: delivery.is_stored,
            is_persistent: delivery.message.is_persistent(),
            body_bytes: delivery.message.body_len(),
        };
        let settled: Vec<_> = self.unacked.iter().map(settled).collect();
        self.queue.settle(&settled, &mut self.fx);
        self.window.give_back(settled.len() as u32);
        self.unacked.drain(..).map(|delivery| number(&delivery.message)).collect()
    }

    /// Dies as a connection does, and comes back as another.
    fn die(&mut self) {
        self.queue.cancel(self.handle, &mut self.fx);
        let seen = self.unacked.len();
        self.drain();
        self.requeue(seen);
        self.fx.wakes.pay();
        assert_eq!(self.outbox.close().len(), 0, "pushed after cancel");
        let sent_back = std::mem::take(&mut self.sent_back);
        let task = Arc::clone(&self.task);
        *self = Self { task, sent_back, ..Self::new(self.queue, self.prefetch) };
    }
}

fn consumer(outbox: &Arc<Outbox>, window: &Arc<Window>, prefetch: u32) -> Consumer {
    Consumer {
        outbox: Arc::clone(outbox),
        slot: 0,
        channel: ChannelId(1),
        connection: ConnectionId(1),
        tag: Arc::from(""),
        arguments: None,
        exclusive: false,
        no_ack: false,
        prefetch,
        window: Arc::clone(window),
        priority: 0,
    }
}

/// Two publish as fast as they can; three consume, send some back and die now and then. Every
/// message is settled once; nobody waits in vain.
#[test]
fn every_message_is_settled_once_whatever_the_threads_do() {
    const EACH: u64 = 4000;
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let queue = queue(&store, None);
    let left = AtomicUsize::new(2 * EACH as usize);
    let settled = Mutex::new(Vec::new());
    let tasks = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for publisher in 0..2 {
            let queue = &queue;
            scope.spawn(move || {
                let mut fx = Effects::default();
                for at in 0..EACH {
                    let message = message(at * 2 + publisher, at % 3 != 0);
                    assert_ne!(
                        queue.publish(message, Arrival::default(), &mut fx),
                        Published::Gone
                    );
                    fx.wakes.pay();
                }
            });
        }
        for prefetch in [0, 3, 40] {
            let (queue, left, settled, tasks) = (&queue, &left, &settled, &tasks);
            scope.spawn(move || {
                let mut client = Client::new(queue, prefetch);
                tasks.lock().unwrap().push(Arc::clone(&client.task));
                let waker = Waker::from(Arc::clone(&client.task));
                let mut turns = 0;
                while left.load(Ordering::Acquire) > 0 {
                    turns += 1;
                    if !client.drain() {
                        client.fx.wakes.pay();
                        if client.outbox.park(&waker) {
                            client.task.wait();
                        }
                        continue;
                    }
                    match turns % 10 {
                        3 => client.requeue(usize::MAX),
                        7 => client.die(),
                        _ => {
                            let numbers = client.settle();
                            let count = numbers.len();
                            settled.lock().unwrap().extend(numbers);
                            if left.fetch_sub(count, Ordering::AcqRel) == count {
                                let tasks = tasks.lock().unwrap();
                                tasks.iter().for_each(|task| Waker::from(Arc::clone(task)).wake());
                            }
                        }
                    }
                    client.fx.wakes.pay();
                }
            });
        }
    });
    let mut settled = settled.into_inner().unwrap();
    settled.sort_unstable();
    assert!(settled.into_iter().eq(0..2 * EACH));
    let counts = queue.counts();
    assert_eq!((counts.ready, counts.ready_bytes, counts.unacked), (0, 0, 0));
    store.close();
    drop((queue, store));
    assert_eq!(open(dir.path()).1.map_or(0, |found| found.count), 0, "the store has some left");
}

#[test]
fn get_is_refused_when_the_store_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.submit(StoreOp::Publish {
        queue: QueueId(1),
        position: Position(1),
        message: message(1, true),
        standing: crate::store::Standing::default(),
    });
    store.close();
    drop(store);
    let (store, recovered) = open(dir.path());
    let queue = queue(&store, recovered.as_ref());
    let (outbox, window) = (
        Arc::new(Outbox::new(OutboxLimits { events_max: 9, bytes_max: 9 })),
        Arc::new(Window::new(0, 0)),
    );
    let handle = queue.consume(consumer(&outbox, &window, 0), false).unwrap();
    store.close();
    let mut fx = Effects::default();
    assert!(matches!(queue.get(true, Waker::noop(), &mut fx), GetOutcome::Wait));
    assert!(matches!(queue.get(true, Waker::noop(), &mut fx), GetOutcome::Unreadable));
    queue.resume(handle, &mut fx);
    let counts = queue.counts();
    assert_eq!((counts.ready, counts.consumers), (1, 0));
    outbox.look(|events, _| assert!(matches!(events, [Event::Cancelled { .. }])));
}

#[test]
fn message_that_expired_in_the_store_is_not_delivered_when_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    for (position, expires_at) in [(1, 1), (2, u64::MAX)] {
        store.submit(StoreOp::Publish {
            queue: QueueId(1),
            position: Position(position),
            message: message(position, true),
            standing: crate::store::Standing { expires_at, ..crate::store::Standing::default() },
        });
    }
    store.close();
    drop(store);
    let (store, recovered) = open(dir.path());
    let queue = queue(&store, recovered.as_ref());
    let outbox = Arc::new(Outbox::new(OutboxLimits { events_max: 9, bytes_max: 9000 }));
    let window = Arc::new(Window::new(0, 0));
    let handle = queue.consume(consumer(&outbox, &window, 0), false).unwrap();
    queue.resume(handle, &mut Effects::default());
    // Answers what was asked before it ends.
    store.close();
    let counts = queue.counts();
    assert_eq!((counts.ready, counts.unacked), (0, 1));
    outbox.look(|events, _| match events {
        [Event::Deliver(delivery)] => assert_eq!(delivery.position, Position(2)),
        other => panic!("{other:?}"),
    });
}
