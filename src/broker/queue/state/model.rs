//! Random work on a queue and on a plain model of it, which must agree after every step.
//!
//! The model plays everybody around the queue: connections with their outboxes and windows, and a
//! store that writes down every operation and answers reads as of some moment since they were
//! allowed. Budgets are so small that messages leave memory and come back all the time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
};

use proptest::prelude::*;

use super::*;
use crate::{
    broker::{
        outbox::{Outbox, OutboxLimits, Window},
        queue::{Budget, Cause, DeadLetterTo, effects::Purpose, ready::Run},
    },
    clock::UnixTime,
    message::Traits,
    names::{ChannelId, ConnectionId},
};

const QUEUE: QueueId = QueueId(7);
const CONNECTIONS: usize = 3;
/// Milliseconds that a message lives at the most.
const LIFETIME_MAX: u64 = 300;

#[derive(Clone, Debug)]
enum Step {
    Publish {
        is_persistent: bool,
        size: usize,
        /// Milliseconds to live; 0 for any time.
        lifetime: u64,
    },
    /// Time passes, and whoever waited for that is called.
    Pass(u64),
    Subscribe {
        on: usize,
        no_ack: bool,
        prefetch: u32,
        priority: i32,
    },
    /// The first resume of a consumer, or one more.
    Resume(u16),
    Cancel(u16),
    Settle(Vec<u16>),
    /// Some come back, without those messages that the store holds, or with all.
    Requeue {
        picks: Vec<u16>,
        are_held: bool,
    },
    Get {
        no_ack: bool,
    },
    Purge,
    /// A connection takes what is in its outbox and resumes who found no room.
    Drain(usize),
    /// A channel closes, or its connection dies: consumers end, everything comes back.
    Abandon(usize),
    SetLimit(usize, u32),
    /// The store answers its oldest read, as of one of the moments when it might; or what an answer
    /// ended is settled.
    Read(u16),
    /// The store fails to answer its oldest read.
    FailRead,
}

fn step() -> impl Strategy<Value = Step> {
    let on = 0..CONNECTIONS;
    let some = || prop::collection::vec(any::<u16>(), 1..6);
    prop_oneof![
        30 => (
            any::<bool>(),
            prop_oneof![8usize..200, Just(900)],
            prop_oneof![3 => Just(0), 1 => 1u64..LIFETIME_MAX],
        )
            .prop_map(|(is_persistent, size, lifetime)| {
                Step::Publish { is_persistent, size, lifetime }
            }),
        5 => (1u64..100).prop_map(Step::Pass),
        4 => (on.clone(), prop::bool::weighted(0.2), 0u32..4, 0i32..2).prop_map(
            |(on, no_ack, prefetch, priority)| Step::Subscribe { on, no_ack, prefetch, priority }
        ),
        4 => any::<u16>().prop_map(Step::Resume),
        1 => any::<u16>().prop_map(Step::Cancel),
        10 => some().prop_map(Step::Settle),
        10 => (some(), any::<bool>())
            .prop_map(|(picks, are_held)| Step::Requeue { picks, are_held }),
        6 => any::<bool>().prop_map(|no_ack| Step::Get { no_ack }),
        1 => Just(Step::Purge),
        10 => on.clone().prop_map(Step::Drain),
        1 => on.clone().prop_map(Step::Abandon),
        1 => (on, 0u32..5).prop_map(|(on, limit)| Step::SetLimit(on, limit)),
        12 => any::<u16>().prop_map(Step::Read),
        1 => Just(Step::FailRead),
    ]
}

#[derive(Clone, Debug)]
struct Setup {
    is_durable: bool,
    queue_max: usize,
    limits: OutboxLimits,
    /// Messages of an earlier life, and whether each is still there.
    recovered: Vec<bool>,
}

fn setup() -> impl Strategy<Value = Setup> {
    let recovered =
        prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(any::<bool>(), 20)];
    (any::<bool>(), 100usize..1500, 1usize..5, 100usize..1000, recovered).prop_map(
        |(is_durable, queue_max, events_max, bytes_max, recovered)| Setup {
            is_durable,
            queue_max,
            limits: OutboxLimits { events_max, bytes_max },
            recovered: if is_durable { recovered } else { Vec::new() },
        },
    )
}

/// What the store holds after some operations.
#[derive(Clone, Debug, Default)]
struct Stored {
    messages: BTreeMap<Position, (Message, Standing)>,
    last_published: Position,
    last_spilled: Position,
}

impl Stored {
    fn apply(&mut self, op: &StoreOp) {
        match op {
            StoreOp::Publish { queue, position, message, standing } => {
                assert_eq!(*queue, QUEUE);
                assert!(*position > self.last_published, "a place published twice or too late");
                self.last_published = *position;
                self.messages.insert(*position, (message.clone(), *standing));
            }
            StoreOp::Spill { position, message, standing, .. } => {
                assert!(*position > self.last_spilled, "a place spilled twice or too late");
                self.last_spilled = *position;
                let before = self.messages.insert(*position, (message.clone(), *standing));
                assert!(before.is_none(), "a stored message spilled");
            }
            StoreOp::Settle { position, .. } => {
                assert!(self.messages.remove(position).is_some(), "settled but not stored");
            }
            StoreOp::SettleRange { first, end, .. } => {
                self.messages.retain(|position, _| position < first || position >= end);
            }
            StoreOp::Returned { position, returns, .. } => {
                let stored = self.messages.get_mut(position);
                stored.expect("returned but not stored").1.returns = *returns;
            }
            StoreOp::DropQueue { .. } => self.messages.clear(),
            other => panic!("no business of a queue: {other:?}"),
        }
    }
}

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ready,
    Unacked,
    Settled,
}

#[derive(Debug)]
struct Published {
    size: usize,
    is_persistent: bool,
    place: Place,
    came_back: bool,
    /// When its time is over; 0 for never.
    expires_at: u64,
}

#[derive(Debug)]
struct Client {
    on: usize,
    handle: ConsumerHandle,
    no_ack: bool,
    prefetch: u32,
    priority: i32,
    is_started: bool,
    is_cancelled: bool,
    unacked: u32,
}

/// A delivery in a client's hands.
#[derive(Debug)]
struct InHand {
    position: Position,
    client: Option<usize>,
    message: Message,
    standing: Standing,
    is_stored: bool,
}

#[derive(Debug)]
struct Link {
    outbox: Arc<Outbox>,
    window: Arc<Window>,
    limit: u32,
    /// Events in the outbox that were looked at.
    seen: usize,
}

#[derive(Debug, Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Bench {
    is_durable: bool,
    state: State,
    fx: Effects,
    log: Vec<StoreOp>,
    /// Operations of an earlier life.
    old: usize,
    stored: Stored,
    reads: Vec<PageIn>,
    /// The read whose messages have expired, and await their settlement.
    expiring: Option<u64>,
    /// What settles those that have expired: dead letters go out on their own.
    late: Vec<StoreOp>,
    /// By place, the first at 0.
    messages: Vec<Published>,
    links: Vec<Link>,
    clients: Vec<Client>,
    held: Vec<InHand>,
    getters: Vec<Arc<Flag>>,
    /// Places handed out in this step.
    handed_out: Vec<Position>,
    /// Clients that were served in it.
    served: Vec<usize>,
    /// Consumers that have room or places again, of which their queue is to hear yet. It hears of
    /// one after the other, so that one of a lower priority may get a message before.
    to_resume: Vec<ConsumerHandle>,
}

fn message(position: u64, size: usize, is_persistent: bool) -> Message {
    let mut body = position.to_le_bytes().to_vec();
    body.resize(size, 0);
    let traits = Traits { is_persistent, ..Traits::default() };
    Message::copied(b"\0\0", b"\0\0", &[&body], traits, &mut Vec::new())
}

/// Which of so many a number stands for.
fn at(pick: u16, count: usize) -> Option<usize> {
    usize::from(pick).checked_rem(count)
}

impl Bench {
    fn new(setup: &Setup) -> Self {
        let mut log = Vec::new();
        let mut messages = Vec::new();
        for (at, &is_there) in setup.recovered.iter().enumerate() {
            let position = at as u64 + 1;
            let (queue, position) = (QUEUE, Position(position));
            log.push(StoreOp::Publish {
                queue,
                position,
                message: message(position.0, 50, true),
                standing: crate::store::Standing::default(),
            });
            if !is_there {
                log.push(StoreOp::Settle { queue, position });
            }
            let place = if is_there { Place::Ready } else { Place::Settled };
            messages.push(Published {
                size: 50,
                is_persistent: true,
                place,
                came_back: false,
                expires_at: 0,
            });
        }
        let mut stored = Stored::default();
        for op in &log {
            stored.apply(op);
        }
        let there = setup.recovered.iter().filter(|&&is_there| is_there).count() as u64;
        let run = (!messages.is_empty()).then(|| Run {
            from: stored.messages.keys().next().copied().unwrap_or_default(),
            end: Position(messages.len() as u64 + 1),
            count: there,
            bytes: there * 50,
            after: CommitSeq(0),
        });
        let budget = Arc::new(Budget::new(usize::MAX / 2, setup.queue_max));
        let residency = Residency::new(budget);
        let link = || Link {
            outbox: Arc::new(Outbox::new(setup.limits)),
            window: Arc::new(Window::new(0, 0)),
            limit: 0,
            seen: 0,
        };
        let to = DeadLetterTo { exchange: "".into(), routing_key: None };
        let settings = Settings { dead_letter: Some(to), ..Settings::default() };
        Self {
            is_durable: setup.is_durable,
            state: State::new(
                (QUEUE, "q".into(), setup.is_durable),
                settings,
                Weak::new(),
                residency,
                Lanes::recovered(0, 0, |_| run),
            ),
            fx: Effects { time: UnixTime(1), ..Effects::default() },
            old: log.len(),
            log,
            stored,
            reads: Vec::new(),
            expiring: None,
            late: Vec::new(),
            messages,
            links: std::iter::repeat_with(link).take(CONNECTIONS).collect(),
            clients: Vec::new(),
            held: Vec::new(),
            getters: Vec::new(),
            handed_out: Vec::new(),
            served: Vec::new(),
            to_resume: Vec::new(),
        }
    }

    fn at(&mut self, position: Position) -> &mut Published {
        &mut self.messages[position.0 as usize - 1]
    }

    /// What a queue does at the end of a section.
    fn finish(&mut self) {
        if !self.fx.ops.is_empty() || self.state.has_paged_out() {
            for op in self.fx.ops.drain(..) {
                self.stored.apply(&op);
                self.log.push(op);
            }
            self.state.submitted(CommitSeq(self.log.len() as u64), &mut self.fx);
        }
        self.reads.extend(self.fx.read.take());
        self.fx.wakes.pay();
        self.take_letters();
        if self.expiring.is_none() {
            self.settle_late();
        }
    }

    /// Learns what has expired from the dead letters.
    fn take_letters(&mut self) {
        let time = self.fx.time.0;
        for letter in std::mem::take(&mut self.fx.dead) {
            let body: Vec<u8> = letter.message.body().flatten().take(8).copied().collect();
            let position = Position(u64::from_le_bytes(body.try_into().unwrap()));
            let published = self.at(position);
            assert!((1..=time).contains(&published.expires_at), "{position:?} lives");
            assert_eq!(published.place, Place::Ready, "{position:?} expired");
            published.place = Place::Settled;
            self.late.extend(letter.settle);
        }
        assert!(self.fx.dead_away.is_empty());
    }

    fn settle_late(&mut self) {
        for op in std::mem::take(&mut self.late) {
            // A purge may have been first.
            let StoreOp::Settle { position, .. } = op else { panic!("a settlement: {op:?}") };
            if self.stored.messages.remove(&position).is_some() {
                self.log.push(op);
            }
        }
    }

    fn pass(&mut self, millis: u64) {
        self.fx.time.0 += millis;
        if self.state.armed_for <= self.fx.time.0 {
            assert!(!self.state.on_deadline(&mut self.fx), "it has no expiry of its own");
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Pass(millis) => self.pass(*millis),
            Step::Publish { is_persistent, size, lifetime } => {
                let position = self.messages.len() as u64 + 1;
                self.messages.push(Published {
                    size: *size,
                    is_persistent: *is_persistent,
                    place: Place::Ready,
                    came_back: false,
                    expires_at: if *lifetime == 0 { 0 } else { self.fx.time.0 + lifetime },
                });
                let expiration = (*lifetime > 0).then_some(*lifetime);
                let arrival = Arrival { expiration, ..Arrival::default() };
                let message = message(position, *size, *is_persistent);
                assert!(self.state.publish(message, arrival, &mut self.fx));
            }
            &Step::Subscribe { on, no_ack, prefetch, priority } => {
                if self.clients.len() < 12 {
                    self.subscribe(on, no_ack, prefetch, priority);
                }
            }
            Step::Resume(pick) => {
                if let Some(client) = at(*pick, self.clients.len()) {
                    self.clients[client].is_started = true;
                    self.state.resume(self.clients[client].handle, &mut self.fx);
                }
            }
            Step::Cancel(pick) => {
                if let Some(client) = at(*pick, self.clients.len()) {
                    self.clients[client].is_cancelled = true;
                    self.state.cancel(self.clients[client].handle, &mut self.fx);
                    self.finish();
                    self.look();
                    self.drain(self.clients[client].on);
                }
            }
            Step::Settle(picks) => {
                let held = self.pick(picks);
                self.settle(&held);
            }
            Step::Requeue { picks, are_held } => {
                let held = self.pick(picks);
                self.requeue(held.into_iter().map(|held| (held, true)).collect(), *are_held);
            }
            Step::Get { no_ack } => {
                self.get(*no_ack);
            }
            Step::Purge => self.purge(),
            Step::Drain(on) => self.drain(*on),
            Step::Abandon(on) => self.abandon(*on),
            Step::SetLimit(on, limit) => {
                self.links[*on].limit = *limit;
                self.links[*on].window.set_limit(*limit);
                self.resume_all(*on);
            }
            Step::Read(moment) => self.read(Some(*moment)),
            Step::FailRead => self.fail_read(),
        }
        self.finish();
        self.check();
    }

    fn subscribe(&mut self, on: usize, no_ack: bool, prefetch: u32, priority: i32) {
        let link = &self.links[on];
        let consumer = Consumer {
            outbox: Arc::clone(&link.outbox),
            slot: self.clients.len() as u32,
            channel: ChannelId(1),
            connection: ConnectionId(1),
            tag: Arc::from(""),
            arguments: None,
            exclusive: false,
            no_ack,
            prefetch,
            window: Arc::clone(&link.window),
            priority,
        };
        self.clients.push(Client {
            on,
            handle: self.state.add_consumer(consumer, false),
            no_ack,
            prefetch,
            priority,
            is_started: false,
            is_cancelled: false,
            unacked: 0,
        });
    }

    fn pick(&mut self, picks: &[u16]) -> Vec<InHand> {
        let mut picked = Vec::new();
        for pick in picks {
            if let Some(at) = at(*pick, self.held.len()) {
                picked.push(self.held.swap_remove(at));
            }
        }
        picked
    }

    fn settle(&mut self, held: &[InHand]) {
        let mut settled = Vec::new();
        for held in held {
            self.at(held.position).place = Place::Settled;
            settled.push(Settled {
                position: held.position,
                consumer: held.client.map(|client| self.clients[client].handle),
                is_stored: held.is_stored,
                body_bytes: held.message.body_len(),
            });
        }
        self.state.settle(&settled, &mut self.fx);
        self.give_back(held.iter().filter_map(|held| held.client).collect());
    }

    fn requeue(&mut self, held: Vec<(InHand, bool)>, are_held: bool) {
        let mut clients = Vec::new();
        let mut returned = Vec::new();
        for (held, was_seen) in held {
            let published = self.at(held.position);
            published.place = Place::Ready;
            published.came_back |= was_seen;
            clients.extend(held.client);
            returned.push(Returned {
                position: held.position,
                consumer: held.client.map(|client| self.clients[client].handle),
                message: if are_held || !held.is_stored || !was_seen {
                    Held::Message(held.message)
                } else {
                    Held::Stored { body_bytes: held.message.body_len() }
                },
                standing: held.standing,
                is_stored: held.is_stored,
                cause: if was_seen { Cause::Requeued } else { Cause::Unseen },
            });
        }
        self.state.take_back(returned, &mut self.fx);
        self.give_back(clients);
    }

    /// Gives credit back, as connections do after the queue was told.
    fn give_back(&mut self, clients: Vec<usize>) {
        let mut places = [0; CONNECTIONS];
        for client in clients {
            self.clients[client].unacked -= 1;
            places[self.clients[client].on] += 1;
        }
        self.finish();
        self.look();
        for (on, places) in places.into_iter().enumerate() {
            if self.links[on].window.give_back(places) {
                self.resume_all(on);
            }
        }
    }

    fn resume_all(&mut self, on: usize) {
        let is_here = |client: &&Client| client.on == on;
        self.to_resume = self.clients.iter().filter(is_here).map(|c| c.handle).collect();
        while let Some(consumer) = self.to_resume.pop() {
            self.state.window_opened(consumer, &mut self.fx);
            self.finish();
            self.look();
        }
    }

    fn get(&mut self, no_ack: bool) -> bool {
        let flag = Arc::new(Flag::default());
        let outcome = self.state.get(no_ack, &Waker::from(Arc::clone(&flag)), &mut self.fx);
        self.take_letters();
        match outcome {
            GetOutcome::Got(got) => {
                let position = got.position;
                self.delivered(position, &got.message, got.standing.is_redelivered());
                self.handed_out.push(position);
                let ready = self.messages.iter().filter(|m| m.place == Place::Ready).count();
                assert_eq!(got.left, ready as u64 - 1);
                self.at(position).place = Place::Settled;
                if !no_ack {
                    self.at(position).place = Place::Unacked;
                    self.held.push(InHand {
                        position,
                        client: None,
                        message: got.message,
                        standing: got.standing,
                        is_stored: got.is_stored,
                    });
                }
                return true;
            }
            GetOutcome::Empty => assert_eq!(self.first_ready(), None),
            GetOutcome::Wait => self.getters.push(flag),
            GetOutcome::Unreadable => {
                assert!(!self.state.has_failed_gets, "it tries again");
                return self.get(no_ack);
            }
            GetOutcome::Gone => panic!("it is there"),
        }
        false
    }

    fn purge(&mut self) {
        let mut count = 0;
        for message in &mut self.messages {
            if message.place == Place::Ready {
                message.place = Place::Settled;
                count += 1;
            }
        }
        assert_eq!(self.state.purge(&mut self.fx), count);
    }

    /// Takes the deliveries out of an outbox; returns those for consumers that acknowledge.
    fn take_events(&mut self, on: usize) -> (Vec<InHand>, Vec<Stalled>) {
        let (mut events, mut stalled) = (Vec::new(), Vec::new());
        self.links[on].outbox.drain(&mut events, &mut stalled);
        assert_eq!(self.links[on].seen, events.len());
        self.links[on].seen = 0;
        let mut held = Vec::new();
        for event in events {
            let Event::Deliver(delivery) = event else { continue };
            let client = delivery.slot as usize;
            if !self.clients[client].no_ack {
                held.push(InHand {
                    position: delivery.position,
                    client: Some(client),
                    message: delivery.message,
                    standing: delivery.standing,
                    is_stored: delivery.is_stored,
                });
            }
        }
        (held, stalled)
    }

    fn drain(&mut self, on: usize) {
        let (held, stalled) = self.take_events(on);
        self.held.extend(held);
        self.to_resume = stalled.into_iter().map(|stalled| stalled.consumer).collect();
        while let Some(consumer) = self.to_resume.pop() {
            self.state.resume(consumer, &mut self.fx);
            self.finish();
            self.look();
        }
    }

    fn abandon(&mut self, on: usize) {
        for client in 0..self.clients.len() {
            if self.clients[client].on == on && !self.clients[client].is_cancelled {
                self.clients[client].is_cancelled = true;
                self.state.cancel(self.clients[client].handle, &mut self.fx);
                self.finish();
                self.look();
            }
        }
        let clients = &self.clients;
        let is_here =
            |held: &mut InHand| held.client.is_some_and(|client| clients[client].on == on);
        let mut back: Vec<_> = self.held.extract_if(.., is_here).map(|held| (held, true)).collect();
        let (unseen, _) = self.take_events(on);
        back.extend(unseen.into_iter().map(|held| (held, false)));
        self.requeue(back, true);
    }

    fn read(&mut self, moment: Option<u16>) {
        if let Some(id) = self.expiring.take() {
            self.settle_late();
            self.state.expired(id, CommitSeq(self.log.len() as u64), &mut self.fx);
            return;
        }
        if self.reads.is_empty() {
            return;
        }
        let asked = self.reads.remove(0);
        let mut seen = Stored::default();
        let after = self.old.max(asked.wanted.after.0 as usize);
        let moments = self.log.len() - after + 1;
        let moment = moment.and_then(|moment| at(moment, moments)).unwrap_or(moments - 1);
        let until = after + moment;
        self.log[..until].iter().for_each(|op| seen.apply(op));
        let mut next = asked.wanted.end;
        let mut bytes = 0;
        let mut entries = Vec::new();
        for (&position, (message, standing)) in
            seen.messages.range(asked.wanted.from..asked.wanted.end)
        {
            if bytes >= asked.bytes_max {
                next = position;
                break;
            }
            bytes += message.footprint();
            entries.push(Entry {
                position,
                message: message.clone(),
                standing: *standing,
                is_stored: true,
            });
        }
        let entries = entries.into_iter();
        match asked.purpose {
            Purpose::Deliver => self.state.page_in(asked.id, entries, next, &mut self.fx),
            Purpose::Expire => {
                self.state.expire_stored(asked.id, entries, next, &mut self.fx);
                self.expiring = Some(asked.id);
            }
        }
    }

    fn fail_read(&mut self) {
        if self.reads.is_empty() {
            return;
        }
        let asked = self.reads.remove(0);
        if asked.purpose == Purpose::Expire {
            return self.state.expire_failed(asked.id, &mut self.fx);
        }
        if self.state.reading.is_some_and(|reading| reading.id == asked.id) {
            self.clients.iter_mut().for_each(|client| client.is_cancelled = true);
        }
        self.state.read_failed(asked.id, &mut self.fx);
    }

    fn first_ready(&self) -> Option<Position> {
        let at = self.messages.iter().position(|message| message.place == Place::Ready)?;
        Some(Position(at as u64 + 1))
    }

    /// A message left the queue: the right one, with the right flag?
    fn delivered(&mut self, position: Position, message: &Message, is_redelivered: bool) {
        let time = self.fx.time.0;
        let published = self.at(position);
        assert!(!(1..=time).contains(&published.expires_at), "{position:?} is over");
        assert_eq!(published.place, Place::Ready, "delivered though not ready: {position:?}");
        assert_eq!(is_redelivered, published.came_back, "redelivered: {position:?}");
        assert_eq!(message.body_len(), published.size);
        assert_eq!(message.is_persistent(), published.is_persistent);
        let body: Vec<u8> = message.body().flatten().take(8).copied().collect();
        assert_eq!(body, position.0.to_le_bytes());
    }

    /// Looks at what the queue put into outboxes since the last look.
    fn look(&mut self) {
        for on in 0..CONNECTIONS {
            let seen = self.links[on].seen;
            let outbox = Arc::clone(&self.links[on].outbox);
            let new: Vec<_> = outbox.look(|events, _| {
                let delivery = |event: &Event| match event {
                    Event::Deliver(d) => Some((
                        d.slot as usize,
                        d.position,
                        d.message.clone(),
                        d.standing.is_redelivered(),
                    )),
                    _ => None,
                };
                events[seen..].iter().filter_map(delivery).collect()
            });
            self.links[on].seen = outbox.look(|events, _| events.len());
            let mut last = BTreeMap::new();
            for (client, position, message, is_redelivered) in new {
                self.delivered(position, &message, is_redelivered);
                assert!(!self.clients[client].is_cancelled, "delivered after cancel");
                let before = last.insert(client, position);
                assert!(before < Some(position), "{position:?} came after {before:?}");
                self.handed_out.push(position);
                self.served.push(client);
                let no_ack = self.clients[client].no_ack;
                self.at(position).place = if no_ack { Place::Settled } else { Place::Unacked };
                self.clients[client].unacked += u32::from(!no_ack);
                self.check_credit(client);
            }
        }
        let served = std::mem::take(&mut self.served).into_iter();
        if let Some(lowest) = served.map(|client| self.clients[client].priority).min() {
            let is_above = |client: &&Client| client.priority > lowest;
            let above = self.clients.iter().filter(is_above).find(|c| self.may_have_more(c));
            assert!(above.is_none(), "{above:?} had to be served first");
        }
        let last = self.handed_out.drain(..).max();
        if let (Some(last), Some(first)) = (last, self.first_ready()) {
            assert!(last < first, "{last:?} was handed out before {first:?}");
        }
    }

    fn check_credit(&self, client: usize) {
        let Client { on, prefetch, unacked, no_ack, .. } = self.clients[client];
        assert!(no_ack || prefetch == 0 || unacked <= prefetch);
        let limit = self.links[on].limit;
        assert!(no_ack || limit == 0 || self.window_used(on) <= limit);
    }

    fn window_used(&self, on: usize) -> u32 {
        self.clients.iter().filter(|client| client.on == on).map(|client| client.unacked).sum()
    }

    fn may_have_more(&self, client: &Client) -> bool {
        let link = &self.links[client.on];
        let is_stalled = link
            .outbox
            .look(|_, stalled| stalled.iter().any(|stalled| stalled.consumer == client.handle))
            || self.to_resume.contains(&client.handle);
        let has_place = || {
            let has_place = link.window.try_take();
            link.window.give_back(has_place.into());
            has_place
        };
        let has_credit = client.no_ack
            || ((client.prefetch == 0 || client.unacked < client.prefetch) && has_place());
        client.is_started && !client.is_cancelled && !is_stalled && has_credit
    }

    fn check(&mut self) {
        self.look();
        let ready = self.messages.iter().filter(|message| message.place == Place::Ready);
        let unacked = self.messages.iter().filter(|message| message.place == Place::Unacked);
        let counts = self.state.counts();
        assert_eq!(counts.ready, ready.clone().count() as u64);
        assert_eq!(counts.ready_bytes, ready.map(|message| message.size as u64).sum::<u64>());
        assert_eq!(counts.unacked, unacked.clone().count() as u64);
        assert_eq!(counts.unacked_bytes, unacked.map(|message| message.size as u64).sum::<u64>());
        let there = self.clients.iter().filter(|client| !client.is_cancelled);
        assert_eq!(counts.consumers, there.count());
        self.check_liveness();
        self.check_store();
    }

    /// A message that is ready waits for a consumer, or for the store, but not for nothing.
    fn check_liveness(&self) {
        let Some(first) = self.first_ready() else { return };
        let is_wanted = self.clients.iter().any(|client| self.may_have_more(client))
            || self.getters.iter().any(|getter| !getter.0.load(Ordering::Relaxed));
        let is_asked_for = |asked: &PageIn| self.reads.iter().any(|read| read.id == asked.id);
        // When what has expired is settled, the queue goes on.
        let is_coming = self.expiring.is_some()
            || (self.state.ready.is_paged()
                && self.state.reading.as_ref().is_some_and(is_asked_for));
        assert!(!is_wanted || is_coming, "{first:?} is forgotten");
    }

    fn check_store(&self) {
        let mut expected = BTreeSet::new();
        for (at, published) in self.messages.iter().enumerate() {
            let position = Position(at as u64 + 1);
            let is_there = published.place != Place::Settled;
            let stored = self.stored.messages.get(&position);
            let is_late =
                |op: &StoreOp| matches!(op, StoreOp::Settle { position: p, .. } if *p == position);
            if self.late.iter().any(is_late) {
                expected.extend(stored.map(|_| position));
                continue;
            }
            if is_there && (published.is_persistent && self.is_durable || stored.is_some()) {
                expected.insert(position);
                let is_returned = stored.expect("it is persistent").1.returns > 0;
                assert!(published.came_back || !is_returned);
                assert!(published.came_back == is_returned || !published.is_persistent);
            }
        }
        assert!(self.stored.messages.keys().eq(expected.iter()));
        for held in &self.held {
            assert_eq!(held.is_stored, self.stored.messages.contains_key(&held.position));
        }
    }

    /// Everybody goes home; whatever is left must come out.
    fn run_dry(&mut self) {
        for on in 0..CONNECTIONS {
            self.step(&Step::SetLimit(on, 0));
        }
        loop {
            let before = (self.log.len(), self.first_ready(), self.held.len(), self.reads.len());
            while !self.reads.is_empty() || self.expiring.is_some() {
                self.read(None);
                self.finish();
                self.check();
            }
            for on in 0..CONNECTIONS {
                self.step(&Step::Drain(on));
            }
            let held = std::mem::take(&mut self.held);
            self.settle(&held);
            self.finish();
            self.check();
            let after = (self.log.len(), self.first_ready(), self.held.len(), self.reads.len());
            if before == after {
                break;
            }
        }
        if self.clients.iter().any(|client| client.is_started && !client.is_cancelled) {
            assert_eq!(self.first_ready(), None, "stuck");
        }
        self.outlive_all();
        assert!(self.getters.iter().all(|getter| getter.0.load(Ordering::Relaxed)));
        while self.first_ready().is_some() {
            if !self.get(true) {
                self.finish();
                let is_coming = !self.reads.is_empty() || self.expiring.is_some();
                assert!(is_coming, "nothing comes");
                self.read(None);
            }
            self.finish();
            self.check();
        }
        assert!(self.stored.messages.is_empty());
        assert_eq!(self.state.ready.resident_bytes(), 0);
    }
}

impl Bench {
    /// Time passes until whatever can expire has, though nobody asks for anything.
    fn outlive_all(&mut self) {
        for _ in 0..1000 {
            self.step(&Step::Pass(1000));
            while !self.reads.is_empty() || self.expiring.is_some() {
                self.step(&Step::Read(0));
            }
            let is_mortal = |message: &Published| message.expires_at != 0;
            let mut ready = self.messages.iter().filter(|message| message.place == Place::Ready);
            if !ready.any(is_mortal) {
                return;
            }
        }
        panic!("something lives for ever: {:?}", self.messages);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn behaves_as_its_model(setup in setup(), steps in prop::collection::vec(step(), 1..150)) {
        run(&setup, &steps);
    }
}

fn run(setup: &Setup, steps: &[Step]) {
    let mut bench = Bench::new(setup);
    for step in steps {
        bench.step(step);
    }
    bench.run_dry();
}

/// A queue with a budget of 100 bytes, and outboxes that have room for one delivery each.
const TIGHT: Setup = Setup {
    is_durable: true,
    queue_max: 100,
    limits: OutboxLimits { events_max: 1, bytes_max: 100 },
    recovered: Vec::new(),
};

fn publish(is_persistent: bool, size: usize) -> Step {
    Step::Publish { is_persistent, size, lifetime: 0 }
}

fn subscribe(prefetch: u32) -> Step {
    Step::Subscribe { on: 0, no_ack: false, prefetch, priority: 0 }
}

fn requeue() -> Step {
    Step::Requeue { picks: vec![0], are_held: true }
}

#[test]
fn message_that_came_back_does_not_take_unacked_ones_behind_it_into_the_run() {
    // The first and the second are taken, the third is in the outbox, when the first comes back.
    let mut steps = vec![subscribe(0), publish(true, 200), Step::Drain(0)];
    steps.extend([publish(true, 8), Step::Drain(0), publish(true, 8), requeue()]);
    steps.extend([publish(true, 8), Step::Drain(0), Step::Read(0), Step::Drain(0)]);
    run(&TIGHT, &steps);
}

#[test]
fn get_that_waits_for_the_store_takes_what_came_back_meanwhile() {
    let get = Step::Get { no_ack: false };
    let mut steps = vec![get.clone(), publish(true, 8), publish(true, 200), publish(true, 200)];
    steps.extend([get.clone(), get, requeue()]);
    run(&TIGHT, &steps);
}

#[test]
fn consumers_and_gets_do_not_wait_for_what_cannot_be_read() {
    let get = Step::Get { no_ack: false };
    let mut bench = Bench::new(&TIGHT);
    for step in [publish(true, 200), subscribe(0), Step::Resume(0), get.clone(), Step::FailRead] {
        bench.step(&step);
    }
    assert!(bench.getters[0].0.load(Ordering::Relaxed));
    assert_eq!(bench.state.counts(), Counts { ready: 1, ready_bytes: 200, ..Counts::default() });
    bench.links[0].outbox.look(|events, _| {
        assert!(matches!(events, [Event::Cancelled { slot: 0 }]));
    });
    let outcome = bench.state.get(true, Waker::noop(), &mut bench.fx);
    assert!(matches!(outcome, GetOutcome::Unreadable));
    bench.run_dry();
}
