//! The load: clients that publish, consume and declare until the broker ends, and what each of
//! them was told until then.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{Scope, ScopedJoinHandle},
    time::Duration,
};

use super::{
    FANOUT, QUEUES,
    books::{Id, InOrder, Standing},
};
use crate::harness::*;

/// How long anything may take that is certain to happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Publishes without a confirm that a publisher goes on with.
const WINDOW: usize = 100;
/// Acks after which a consumer asks whether they have come.
const ACKS_TO_ASK: usize = 20;
/// Publishes in a transaction.
const TRANSACTION: usize = 7;
/// Sets of durable things that are declared in a round.
const MADE_MAX: usize = 150;

const ACK: (u16, u16) = (60, 80);
const COMMIT_OK: (u16, u16) = (90, 21);
const FLOW_OK: (u16, u16) = (20, 21);

/// How a broker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Kill,
    Stop,
}

/// A message that may have reached the broker.
pub(super) struct Sent {
    pub(super) id: Id,
    pub(super) queues: &'static [&'static str],
    /// The broker has said that it has it.
    pub(super) is_promised: bool,
}

/// A message whose ack may have reached the broker.
pub(super) struct Settled {
    pub(super) queue: &'static str,
    pub(super) id: Id,
    /// The broker has answered on that channel afterwards.
    pub(super) is_certain: bool,
}

/// A queue, an exchange of the same name, and a binding between them.
pub(super) struct Made {
    pub(super) name: String,
    pub(super) queue: Standing,
    pub(super) exchange: Standing,
    pub(super) binding: Standing,
}

/// What was said and heard.
#[derive(Default)]
pub(super) struct Log {
    pub(super) sent: Vec<Sent>,
    pub(super) settled: Vec<Settled>,
    pub(super) made: Vec<Made>,
}

/// The clients of a round.
pub(super) struct Load {
    options: Options,
    round: u32,
    /// Promises of the broker so far: confirms, commits and declares.
    promises: AtomicU64,
    enough: u64,
    /// Told once by each client, when its connection is open, and once when the promises are
    /// enough.
    reached: SyncSender<()>,
}

/// Hears of how far a load has come.
pub(super) struct Reached(Receiver<()>);

impl Reached {
    /// Waits until all clients are at work and the broker has given its promises.
    pub(super) fn wait(&self) {
        for _ in 0..=CLIENTS {
            self.0.recv_timeout(PATIENCE).expect("the promises in time");
        }
    }
}

/// The threads of a load.
pub(super) struct Running<'scope>(Vec<ScopedJoinHandle<'scope, Log>>);

impl Running<'_> {
    /// Waits for the clients, which end with the broker, and puts their logs together.
    pub(super) fn finish(self) -> Log {
        let mut all = Log::default();
        for thread in self.0 {
            let log = thread.join().expect("the client found nothing wrong");
            all.sent.extend(log.sent);
            all.settled.extend(log.settled);
            all.made.extend(log.made);
        }
        all
    }
}

/// A way to the queues.
#[derive(Clone, Copy)]
struct Target {
    exchange: &'static str,
    key: &'static str,
    queues: &'static [&'static str],
}

const fn straight_to(queues: &'static [&'static str; 1]) -> Target {
    Target { exchange: "", key: queues[0], queues }
}

const PLAIN: Target = straight_to(&["plain"]);
const CONSUMED: Target = straight_to(&["consumed"]);
const COPIED: Target =
    Target { exchange: FANOUT, key: "", queues: &["copied", "copied and consumed"] };

const CLIENTS: usize = 8;

impl Load {
    /// The load, to run against a broker until it has given `enough` promises.
    pub(super) fn new(options: Options, round: u32, enough: u64) -> (Self, Reached) {
        let (reached, receiver) = sync_channel(CLIENTS + 1);
        (Self { options, round, promises: AtomicU64::new(0), enough, reached }, Reached(receiver))
    }

    pub(super) fn start<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) -> Running<'scope> {
        let clients: [Box<dyn FnOnce() -> Log + Send + 'scope>; CLIENTS] = [
            Box::new(|| self.publish(0, PLAIN)),
            Box::new(|| self.publish(1, PLAIN)),
            Box::new(|| self.publish(2, CONSUMED)),
            Box::new(|| self.publish(3, COPIED)),
            Box::new(|| self.publish_in_transactions(4, PLAIN)),
            Box::new(|| self.consume(QUEUES[1], false)),
            Box::new(|| self.consume(QUEUES[3], true)),
            Box::new(|| self.declare()),
        ];
        Running(clients.into_iter().map(|client| scope.spawn(client)).collect())
    }

    fn promised(&self, count: u64) {
        let before = self.promises.fetch_add(count, Ordering::Relaxed);
        if (before..before + count).contains(&(self.enough - 1)) {
            self.tell();
        }
    }

    fn tell(&self) {
        self.reached.try_send(()).expect("there is room for all that are told");
    }

    fn open(&self) -> Channel {
        let connection = self.options.open();
        connection.set_deadline(PATIENCE);
        connection.channel(1)
    }

    fn id(&self, publisher: u32, n: usize) -> Id {
        Id { publisher: self.round * 10 + publisher, n: n as u64 }
    }

    /// Publishes with confirms.
    fn publish(&self, publisher: u32, target: Target) -> Log {
        let channel = self.open();
        channel.confirm_select();
        self.tell();
        let mut log = Log::default();
        let mut undecided = BTreeSet::new();
        loop {
            while undecided.len() < WINDOW {
                let id = self.id(publisher, log.sent.len());
                send(&channel, target, id, &mut log);
                undecided.insert(log.sent.len() as u64);
            }
            let Some(got) = next(&channel) else { return log };
            assert_eq!(got.method.id, ACK, "expected a confirm, got {got:?}");
            let mut read = got.method.read();
            let (tag, is_multiple) = (read.longlong(), read.octet() & 1 != 0);
            let first = if is_multiple { 0 } else { tag };
            let confirmed: Vec<u64> = undecided.range(first..=tag).copied().collect();
            for tag in &confirmed {
                undecided.remove(tag);
                log.sent[*tag as usize - 1].is_promised = true;
            }
            self.promised(confirmed.len() as u64);
        }
    }

    fn publish_in_transactions(&self, publisher: u32, target: Target) -> Log {
        let channel = self.open();
        channel.call(&tx_select());
        self.tell();
        let mut log = Log::default();
        loop {
            let first = log.sent.len();
            for n in first..first + TRANSACTION {
                send(&channel, target, self.id(publisher, n), &mut log);
            }
            channel.send(&tx_commit());
            let Some(got) = next(&channel) else { return log };
            assert_eq!(got.method.id, COMMIT_OK, "expected a commit-ok, got {got:?}");
            for sent in &mut log.sent[first..] {
                sent.is_promised = true;
            }
            self.promised(1);
        }
    }

    /// Consumes a queue. It acks all that it gets, many with one ack, or every other message.
    fn consume(&self, queue: &'static str, acks_all: bool) -> Log {
        let channel = self.open();
        channel.subscribe(queue, queue);
        self.tell();
        let mut log = Log::default();
        let mut in_order = InOrder::default();
        // Places in the log: acked since the broker was last asked, and with each question.
        let mut acked = Vec::new();
        let mut asked = VecDeque::new();
        while let Some(got) = next(&channel) {
            if got.method.id == FLOW_OK {
                let certain: Vec<usize> = asked.pop_front().expect("an answer to a question");
                for at in certain {
                    log.settled[at].is_certain = true;
                }
                continue;
            }
            assert_eq!(got.method.id, DELIVER, "got {got:?}");
            let message = Message::parse(got);
            let id = Id::check(&message);
            in_order.check(queue, id);
            if !acks_all && message.delivery_tag.is_multiple_of(2) {
                continue;
            }
            acked.push(log.settled.len());
            log.settled.push(Settled { queue, id, is_certain: false });
            let is_time_to_ask = acked.len() == ACKS_TO_ASK;
            if !acks_all {
                channel.send(&ack(message.delivery_tag));
            } else if is_time_to_ask {
                channel.send(&ack(message.delivery_tag).multiple());
            }
            if is_time_to_ask {
                channel.send(&flow(true));
                asked.push_back(std::mem::take(&mut acked));
            }
        }
        log
    }

    /// Declares durable things, and deletes some of them again.
    fn declare(&self) -> Log {
        let channel = self.open();
        self.tell();
        let mut log = Log::default();
        for n in 0..MADE_MAX {
            let name = format!("made-{}-{n}", self.round);
            log.made.push(Made {
                name,
                queue: Standing::Gone,
                exchange: Standing::Gone,
                binding: Standing::Gone,
            });
            let made = log.made.last_mut().expect("it was pushed");
            if self.make(&channel, made, n % 3 == 2).is_none() {
                break;
            }
        }
        log
    }

    fn make(&self, channel: &Channel, made: &mut Made, is_deleted: bool) -> Option<()> {
        let name = made.name.clone();
        let ask = |request: &Request, standing: &mut Standing, then: Standing| {
            *standing = Standing::Possible;
            channel.send(request);
            let got = next(channel)?;
            assert_eq!(got.method.id, request.reply(), "got {got:?}");
            *standing = then;
            self.promised(1);
            Some(())
        };
        let exists = Standing::Owed;
        ask(&queue(&name).durable(), &mut made.queue, exists)?;
        ask(&exchange(&name, "direct").durable(), &mut made.exchange, exists)?;
        ask(&bind(&name, &name, "key"), &mut made.binding, exists)?;
        if is_deleted {
            made.binding = Standing::Gone;
            ask(&delete(&name), &mut made.queue, Standing::Gone)?;
            ask(&exchange_delete(&name), &mut made.exchange, Standing::Gone)?;
        }
        Some(())
    }
}

fn send(channel: &Channel, target: Target, id: Id, log: &mut Log) {
    log.sent.push(Sent { id, queues: target.queues, is_promised: false });
    let message = publish(target.exchange, target.key, id.body());
    channel.publish(&if id.is_persistent() { message.persistent() } else { message });
}

/// What comes next; none when the broker has ended.
fn next(channel: &Channel) -> Option<Incoming> {
    match channel.try_next() {
        Ok(incoming) => Some(incoming),
        Err(End::Closed(_)) => None,
        Err(End::Silent) => panic!("the broker says nothing any more"),
    }
}
