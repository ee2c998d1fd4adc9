//! Everybody around the queue: connections with their outboxes and windows, a store that answers
//! reads as of some moment since they were allowed, a timer, and wherever dead letters go. What
//! each step does to the queue it does to the reference too.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
};

use super::{
    reference::{Place, Reference},
    steps::CONNECTIONS,
    stored::Stored,
    *,
};
use crate::{
    broker::{
        dead_letter::Reason,
        outbox::{Outbox, OutboxLimits, Window},
        queue::{
            Budget, Cause, DeadLetter, DeadLetterTo, Place as StorePlace, Retry, effects::Purpose,
            in_lane, lane_of, ready::Run,
        },
    },
    clock::UnixTime,
    message::Traits,
    names::{ChannelId, ConnectionId},
};

pub(super) const QUEUE: QueueId = QueueId(7);

#[derive(Debug)]
pub(super) struct Client {
    pub(super) on: usize,
    pub(super) handle: ConsumerHandle,
    pub(super) no_ack: bool,
    pub(super) prefetch: u32,
    pub(super) priority: i32,
    pub(super) is_started: bool,
    pub(super) is_cancelled: bool,
    pub(super) unacked: u32,
}

/// A delivery in a client's hands.
#[derive(Debug)]
pub(super) struct InHand {
    pub(super) number: usize,
    pub(super) position: Position,
    client: Option<usize>,
    message: Message,
    standing: Standing,
    pub(super) is_stored: bool,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) outbox: Arc<Outbox>,
    pub(super) window: Arc<Window>,
    pub(super) limit: u32,
    /// Events in the outbox that were looked at.
    pub(super) seen: usize,
}

impl Link {
    fn new(limits: OutboxLimits) -> Self {
        let (outbox, window) = (Arc::new(Outbox::new(limits)), Arc::new(Window::new(0, 0)));
        Self { outbox, window, limit: 0, seen: 0 }
    }
}

#[derive(Debug, Default)]
pub(super) struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Flag {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(super) struct Bench {
    setup: Setup,
    pub(super) reference: Reference,
    pub(super) state: State,
    fx: Effects,
    /// When the queue wants to be called.
    pub(super) deadline: u64,
    /// What the store held when this process began, and what it was told since.
    base: Stored,
    log: Vec<StoreOp>,
    pub(super) stored: Stored,
    pub(super) reads: Vec<PageIn>,
    /// Whether the store failed to answer, and has not answered since.
    pub(super) is_troubled: bool,
    /// The read whose messages have expired, and await their settlement.
    pub(super) expiring: Option<u64>,
    /// What settles those that have expired: dead letters go out on their own.
    pub(super) late: Vec<StoreOp>,
    /// Dead messages that are to be read before they can be sent on.
    pub(super) away: VecDeque<(Position, Reason)>,
    /// Whether dead letters have somewhere to go.
    is_open: bool,
    /// How often each message's dead letter arrived.
    pub(super) letters: BTreeMap<usize, u32>,
    pub(super) links: Vec<Link>,
    pub(super) clients: Vec<Client>,
    /// The consumer that is served, where one is served at a time.
    pub(super) active: Option<usize>,
    pub(super) held: Vec<InHand>,
    pub(super) getters: Vec<Arc<Flag>>,
    /// Messages handed out since the last look.
    pub(super) handed_out: Vec<usize>,
    /// The message that is being published.
    pub(super) arriving: Option<usize>,
    /// Consumers that have room or places again, of which their queue is to hear yet. It hears of
    /// one after the other, so that one of a lower priority may get a message before.
    pub(super) to_resume: Vec<ConsumerHandle>,
}

fn message(number: usize, size: usize, is_persistent: bool, priority: Option<u8>) -> Message {
    let mut body = (number as u64).to_le_bytes().to_vec();
    body.resize(size, 0);
    // As clients write it: the property's flag, and its octet.
    let properties = priority.map_or(vec![0, 0], |priority| vec![0x08, 0x00, priority]);
    let priority = priority.unwrap_or(0);
    let traits = Traits { is_persistent, priority, ..Traits::default() };
    Message::copied(b"\0\0", &properties, &[&body], traits, &mut Vec::new())
}

pub(super) fn number(message: &Message) -> usize {
    let body: Vec<u8> = message.body().flatten().take(8).copied().collect();
    u64::from_le_bytes(body.try_into().unwrap()) as usize
}

/// Which of so many a pick stands for.
fn at(pick: u16, count: usize) -> Option<usize> {
    usize::from(pick).checked_rem(count)
}

impl Bench {
    pub(super) fn new(setup: &Setup) -> Self {
        let reference = Reference::new(setup.kind, setup.rules);
        let settings = settings(&reference);
        let state = Self::state(setup, &settings, &Stored::default());
        Self {
            setup: setup.clone(),
            state,
            fx: Effects { time: UnixTime(reference.time), ..Effects::default() },
            reference,
            deadline: u64::MAX,
            base: Stored::default(),
            log: Vec::new(),
            stored: Stored::default(),
            reads: Vec::new(),
            is_troubled: false,
            expiring: None,
            late: Vec::new(),
            away: VecDeque::new(),
            is_open: true,
            letters: BTreeMap::new(),
            links: (0..CONNECTIONS).map(|_| Link::new(setup.limits)).collect(),
            clients: Vec::new(),
            active: None,
            held: Vec::new(),
            getters: Vec::new(),
            handed_out: Vec::new(),
            arriving: None,
            to_resume: Vec::new(),
        }
    }

    /// The queue as a process finds it that begins with this store.
    fn state(setup: &Setup, settings: &Settings, stored: &Stored) -> State {
        let run = |level: u8| {
            let queue = QueueId(QUEUE.0 + u64::from(level));
            let rows: Vec<_> = stored.of_lane(queue).collect();
            let end = stored.end(queue)?;
            Some(Run {
                from: rows.first().map_or(end, |(position, _)| *position),
                end,
                count: rows.len() as u64,
                bytes: rows.iter().map(|(_, row)| row.message.body_len() as u64).sum(),
                after: CommitSeq(0),
            })
        };
        let queue_max = if setup.kind.is_paging { setup.queue_max } else { usize::MAX / 4 };
        let budget = Arc::new(Budget::new(usize::MAX / 4, queue_max));
        let lanes = Lanes::recovered(setup.kind.priority_max, settings.usual_priority(), run);
        let about = (QUEUE, "q".into(), setup.kind.is_durable);
        State::new(about, settings.clone(), Weak::new(), Residency::new(budget), lanes)
    }

    pub(super) fn step(&mut self, step: &Step) {
        match step {
            Step::Publish { is_persistent, size, priority, lifetime } => {
                self.publish(*is_persistent, *size, *priority, *lifetime);
            }
            Step::Pass(millis) => self.pass(*millis),
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
                    self.cancel(client);
                    self.drain(self.clients[client].on);
                }
            }
            Step::Settle(picks) => {
                let held = picks.iter().filter_map(|pick| self.pick(*pick)).collect();
                self.settle(held);
            }
            Step::Return { picks, are_held } => {
                let picked =
                    picks.iter().filter_map(|(pick, cause)| Some((self.pick(*pick)?, *cause)));
                let picked = picked.collect();
                self.take_back(picked, *are_held || !self.setup.kind.is_paging);
            }
            Step::Get { no_ack } => {
                self.get(*no_ack);
            }
            Step::Purge => {
                let count = self.reference.purge();
                assert_eq!(self.state.purge(&mut self.fx), count);
            }
            Step::Drain(on) => self.drain(*on),
            Step::Abandon(on) => self.abandon(*on),
            Step::SetLimit(on, limit) => {
                self.links[*on].limit = *limit;
                self.links[*on].window.set_limit(*limit);
                self.resume_all(*on);
            }
            Step::Read(moment) => self.read(Some(*moment)),
            Step::FailRead => self.fail_read(),
            Step::Apply(rules) => self.apply(*rules),
            Step::Route(is_open) => self.is_open = *is_open,
            Step::Crash => self.crash(),
        }
        self.finish();
        self.check();
    }

    fn publish(
        &mut self,
        is_persistent: bool,
        size: usize,
        priority: Option<u8>,
        lifetime: Option<u64>,
    ) {
        let number = self.reference.messages.len();
        let is_taken = self.reference.publish(is_persistent, size, priority, lifetime);
        let arrival = Arrival { expiration: lifetime, ..Arrival::default() };
        let message = message(number, size, is_persistent, priority);
        self.arriving = Some(number);
        assert_eq!(self.state.publish(message, arrival, &mut self.fx), is_taken, "the confirm");
        self.finish_section(false);
        self.arriving = None;
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
        let handle = self.state.add_consumer(consumer, false);
        self.clients.push(Client {
            on,
            handle,
            no_ack,
            prefetch,
            priority,
            is_started: false,
            is_cancelled: false,
            unacked: 0,
        });
        self.active = self.active.or(Some(self.clients.len() - 1));
    }

    fn cancel(&mut self, client: usize) {
        self.clients[client].is_cancelled = true;
        if self.active == Some(client) {
            let there = self.clients.iter().enumerate().filter(|(_, client)| !client.is_cancelled);
            // The first of the highest priority.
            let next = there.rev().max_by_key(|(_, client)| client.priority);
            self.active = next.map(|(at, _)| at);
        }
        self.state.cancel(self.clients[client].handle, &mut self.fx);
        self.finish();
    }

    fn pick(&mut self, pick: u16) -> Option<InHand> {
        at(pick, self.held.len()).map(|at| self.held.swap_remove(at))
    }

    fn settle(&mut self, held: Vec<InHand>) {
        let mut settled = Vec::new();
        for held in &held {
            self.reference.settle(held.number);
            settled.push(Settled {
                position: held.position,
                consumer: held.client.map(|client| self.clients[client].handle),
                is_stored: held.is_stored,
                body_bytes: held.message.body_len(),
            });
        }
        self.state.settle(&settled, &mut self.fx);
        self.give_back(held.into_iter().filter_map(|held| held.client).collect());
    }

    fn take_back(&mut self, held: Vec<(InHand, Cause)>, are_held: bool) {
        let mut clients = Vec::new();
        let mut returned = Vec::new();
        for (held, cause) in held {
            self.reference.come_back(held.number, cause);
            clients.extend(held.client);
            returned.push(Returned {
                position: held.position,
                consumer: held.client.map(|client| self.clients[client].handle),
                message: if are_held || !held.is_stored || cause == Cause::Unseen {
                    Held::Message(held.message)
                } else {
                    Held::Stored { body_bytes: held.message.body_len() }
                },
                standing: held.standing,
                is_stored: held.is_stored,
                cause,
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
        }
    }

    pub(super) fn get(&mut self, no_ack: bool) -> bool {
        let flag = Arc::new(Flag::default());
        let outcome = self.state.get(no_ack, &Waker::from(Arc::clone(&flag)), &mut self.fx);
        self.take_deaths(false);
        match outcome {
            GetOutcome::Got(got) => {
                let number = number(&got.message);
                self.check_delivered(number, &got.message, got.standing);
                self.handed_out.push(number);
                assert_eq!(got.left, self.reference.counts().ready - 1);
                let stat = if no_ack { Stat::GetNoAck } else { Stat::Get };
                self.reference.deliver(number, no_ack, stat);
                if !no_ack {
                    self.held.push(InHand {
                        number,
                        position: got.position,
                        client: None,
                        message: got.message,
                        standing: got.standing,
                        is_stored: got.is_stored,
                    });
                }
                return true;
            }
            GetOutcome::Empty => {
                assert_eq!(self.reference.counts().ready, 0);
                self.reference.counted[Stat::GetEmpty] += 1;
            }
            GetOutcome::Wait => self.getters.push(flag),
            GetOutcome::Unreadable => {
                assert!(!self.state.has_failed_gets, "it tries again");
                return self.get(no_ack);
            }
            GetOutcome::Gone => panic!("it is there"),
        }
        false
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
                    number: number(&delivery.message),
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
        }
    }

    fn abandon(&mut self, on: usize) {
        for client in 0..self.clients.len() {
            if self.clients[client].on == on && !self.clients[client].is_cancelled {
                self.cancel(client);
            }
        }
        let clients = &self.clients;
        let is_here =
            |held: &mut InHand| held.client.is_some_and(|client| clients[client].on == on);
        let seen: Vec<_> = self.held.extract_if(.., is_here).collect();
        let (unseen, _) = self.take_events(on);
        let mut back: Vec<_> = seen.into_iter().map(|held| (held, Cause::Failed)).collect();
        back.extend(unseen.into_iter().map(|held| (held, Cause::Unseen)));
        self.take_back(back, true);
    }

    fn pass(&mut self, millis: u64) {
        self.reference.pass(millis);
        self.fx.time = UnixTime(self.reference.time);
        self.keep_time();
    }

    fn apply(&mut self, rules: Rules) {
        self.reference.rules = rules.of(self.setup.kind);
        self.state.apply(settings(&self.reference));
        self.deadline = 0;
        self.keep_time();
    }

    fn crash(&mut self) {
        if !self.setup.kind.is_paging {
            return;
        }
        // A letter that is out, and what settles its message, are one commit.
        self.settle_late();
        self.stored.crash();
        self.reference.crash();
        let settings = settings(&self.reference);
        let next = Self {
            state: Self::state(&self.setup, &settings, &self.stored),
            base: self.stored.clone(),
            stored: self.stored.clone(),
            letters: std::mem::take(&mut self.letters),
            is_open: self.is_open,
            // It is called as soon as possible if there is anything.
            deadline: 0,
            ..Self::new(&self.setup)
        };
        let reference = std::mem::replace(self, next).reference;
        self.fx.time = UnixTime(reference.time);
        self.reference = reference;
        for (&(queue, position), row) in &self.stored.messages {
            let from = in_lane((queue.0 - QUEUE.0) as usize, position);
            let Standing { expires_at, ready_at, .. } = row.standing;
            if let Some(at) = [expires_at, ready_at].into_iter().filter(|at| *at > 0).min() {
                self.state.sleepers.add(from, from.next(), at);
            }
        }
        self.keep_time();
    }

    /// The timer calls the queue if it wanted that.
    fn keep_time(&mut self) {
        let mut calls = 0;
        while self.deadline <= self.reference.time {
            calls += 1;
            assert!(calls < 9, "it wants to be called again and again");
            self.deadline = u64::MAX;
            assert!(!self.state.on_deadline(&mut self.fx), "it has no expiry of its own");
            self.finish_section(true);
        }
    }

    pub(super) fn read(&mut self, moment: Option<u16>) {
        if let Some((position, reason)) = self.away.pop_front() {
            let StorePlace { queue, position: at } = StorePlace::of(QUEUE, position);
            // A purge may have been first.
            if let Some(row) = self.stored.messages.get(&(queue, at)).cloned() {
                self.state.bury_read(position, row.message, reason, row.standing, &mut self.fx);
            }
            return;
        }
        if let Some(id) = self.expiring.take() {
            self.settle_late();
            self.state.expired(id, CommitSeq(self.log.len() as u64), &mut self.fx);
            return;
        }
        if self.reads.is_empty() {
            return;
        }
        let asked = self.reads.remove(0);
        let (entries, next) = self.answer(asked, moment);
        let is_awaited = self.state.reading.is_some_and(|reading| reading.id == asked.id);
        if is_awaited {
            self.is_troubled = false;
        }
        match asked.purpose {
            Purpose::Deliver => {
                for entry in entries.iter().filter(|_| is_awaited) {
                    self.reference.messages[number(&entry.message)].is_unread = false;
                }
                self.state.page_in(asked.id, entries.into_iter(), next, &mut self.fx);
            }
            Purpose::Expire => {
                self.state.expire_stored(asked.id, entries.into_iter(), next, &mut self.fx);
                self.expiring = Some(asked.id);
            }
        }
    }

    /// What the store answers as of one of the moments since it might.
    fn answer(&self, asked: PageIn, moment: Option<u16>) -> (Vec<Entry>, Position) {
        let after = asked.wanted.after.0 as usize;
        let moments = self.log.len() - after + 1;
        let moment = moment.and_then(|moment| at(moment, moments)).unwrap_or(moments - 1);
        let mut seen = self.base.clone();
        self.log[..after + moment].iter().for_each(|op| seen.apply(op));
        let mut bytes = 0;
        let mut entries = Vec::new();
        let lane = lane_of(asked.wanted.from);
        let queue = StorePlace::of(QUEUE, asked.wanted.from).queue;
        for (position, row) in seen.of_lane(queue) {
            let position = in_lane(lane, position);
            if !(asked.wanted.from..asked.wanted.end).contains(&position) {
                continue;
            }
            if bytes >= asked.bytes_max {
                return (entries, position);
            }
            bytes += row.message.footprint();
            let (message, standing) = (row.message.clone(), row.standing);
            entries.push(Entry { position, message, standing, is_stored: true });
        }
        (entries, asked.wanted.end)
    }

    fn fail_read(&mut self) {
        if self.reads.is_empty() {
            return;
        }
        let asked = self.reads.remove(0);
        let is_awaited = self.state.reading.is_some_and(|reading| reading.id == asked.id);
        self.is_troubled |= is_awaited;
        if asked.purpose == Purpose::Expire {
            return self.state.expire_failed(asked.id, &mut self.fx);
        }
        if is_awaited {
            self.clients.iter_mut().for_each(|client| client.is_cancelled = true);
            self.active = None;
        }
        self.state.read_failed(asked.id, &mut self.fx);
    }

    /// What a queue does at the end of a section, and whoever it wants to be called by.
    pub(super) fn finish(&mut self) {
        self.finish_section(false);
        if self.setup.is_prompt {
            self.keep_time();
        }
    }

    fn finish_section(&mut self, is_deadline: bool) {
        loop {
            if !self.fx.ops.is_empty() || self.state.has_paged_out() {
                for op in self.fx.ops.drain(..) {
                    self.stored.apply(&op);
                    self.log.push(op);
                }
                self.state.submitted(CommitSeq(self.log.len() as u64), &mut self.fx);
            }
            self.reads.extend(self.fx.read.take());
            self.take_deaths(is_deadline);
            if self.fx.ops.is_empty() {
                break;
            }
        }
        if let Some(at) = self.fx.arm.take() {
            self.deadline = self.deadline.min(at);
        }
        self.fx.wakes.pay();
        if self.expiring.is_none() {
            self.settle_late();
        }
        self.look();
    }

    fn settle_late(&mut self) {
        for op in std::mem::take(&mut self.late) {
            // A purge may have been first.
            let StoreOp::Settle { queue, position } = op else { panic!("a settlement: {op:?}") };
            if self.stored.remove(queue, position) {
                self.log.push(op);
            }
        }
    }

    /// Learns who died: from the dead letters, else from the counts.
    fn take_deaths(&mut self, is_deadline: bool) {
        if self.setup.kind.has_dead_letters {
            for (position, reason) in std::mem::take(&mut self.fx.dead_away) {
                let StorePlace { queue, position: at } = StorePlace::of(QUEUE, position);
                self.reference.fetch(number(&self.stored.messages[&(queue, at)].message), reason);
                self.away.push_back((position, reason));
            }
            for letter in std::mem::take(&mut self.fx.dead) {
                self.take_letter(letter);
            }
            return;
        }
        assert!(self.fx.dead.is_empty() && self.fx.dead_away.is_empty());
        let mut reasons =
            [Reason::Rejected, Reason::DeliveryLimit, Reason::MaxLen, Reason::Expired];
        if is_deadline {
            // Time is looked at before room is made.
            reasons.swap(2, 3);
        }
        for reason in reasons {
            let count = self.state.tally.given_up[reason as usize];
            self.reference.die_unseen(reason, count - self.reference.deaths[reason as usize]);
        }
    }

    fn take_letter(&mut self, letter: DeadLetter) {
        let DeadLetter { message, reason, queue, to, settle, was_delivered, kept } = letter;
        let number = number(&message);
        self.reference.die(number, reason);
        let known = &self.reference.messages[number];
        let is_of_a_client = matches!(reason, Reason::Rejected | Reason::DeliveryLimit);
        assert_eq!(was_delivered, known.returns > 0 || is_of_a_client, "{number} {reason:?}");
        assert_eq!((queue.as_str(), to.exchange.as_str()), ("q", "dlx"));
        assert_eq!(message.body_len(), known.size);
        assert_eq!(kept.is_some(), self.setup.kind.keeps_letters);
        if let Some(kept) = kept.filter(|_| !self.is_open) {
            self.reference.keep(number, reason);
            let (message, is_stored) = (Held::Message(message), kept.is_stored);
            let waiter = Waiter { message, standing: kept.standing, is_stored };
            self.state.keep_letter(kept.position, waiter, reason, &mut self.fx);
            return;
        }
        *self.letters.entry(number).or_default() += 1;
        self.late.extend(settle);
    }
}

impl Bench {
    /// Everybody goes home; whatever is left must come out.
    pub(super) fn run_dry(&mut self) {
        self.step(&Step::Route(true));
        for on in 0..CONNECTIONS {
            self.step(&Step::SetLimit(on, 0));
        }
        self.serve_all();
        self.outlive_all();
        self.serve_all();
        if self.clients.iter().any(|client| self.may_have_more(client)) {
            assert_eq!(self.reference.first_ready(), None, "stuck");
        }
        assert!(self.getters.iter().all(|getter| getter.is_set()));
        while self.reference.first_ready().is_some() {
            if !self.get(true) {
                self.finish();
                assert!(self.is_reading(), "nothing comes");
                self.read(None);
            }
            self.finish();
            self.check();
        }
        self.check_end();
    }

    fn is_reading(&self) -> bool {
        !self.reads.is_empty() || self.expiring.is_some() || !self.away.is_empty()
    }

    fn read_all(&mut self) {
        while self.is_reading() {
            self.read(None);
            self.finish();
            self.check();
        }
    }

    fn serve_all(&mut self) {
        loop {
            let settled = self.reference.counted;
            self.read_all();
            for on in 0..CONNECTIONS {
                self.step(&Step::Drain(on));
            }
            let held = std::mem::take(&mut self.held);
            self.settle(held);
            self.finish();
            self.check();
            if settled == self.reference.counted && !self.is_reading() {
                return;
            }
        }
    }

    /// Time passes until whatever can expire has, and whatever waits is ready, though nobody asks
    /// for anything.
    fn outlive_all(&mut self) {
        for _ in 0..1000 {
            self.step(&Step::Pass(1000));
            self.read_all();
            let left = self.reference.all(|known| match known.place {
                Place::Ready => known.expires_at != 0,
                Place::Waiting(_) | Place::Kept(_) => true,
                _ => false,
            });
            if left.is_empty() {
                return;
            }
        }
        panic!("something lives for ever: {:?}", self.reference.messages);
    }
}

/// The settings that ask for what the reference does.
fn settings(reference: &Reference) -> Settings {
    let Reference { kind, rules, .. } = reference;
    let to = DeadLetterTo { exchange: "dlx".into(), routing_key: None };
    Settings {
        message_ttl: rules.ttl,
        max_length: rules.length_max,
        max_length_bytes: rules.bytes_max,
        overflow: rules.overflow,
        dead_letter: kind.has_dead_letters.then_some(to),
        keeps_letters: kind.keeps_letters,
        max_priority: kind.priority_max,
        is_single_active: kind.is_single_active,
        delivery_limit: rules.delivery_limit,
        retry: rules.retry.map(|(delay, delay_max)| Retry { delay, delay_max }),
        is_quorum: kind.is_quorum,
        ..Settings::default()
    }
}
