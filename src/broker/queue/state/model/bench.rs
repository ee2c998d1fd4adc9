//! Everybody around the queue: its clients, a store that answers reads as of some moment since they
//! were allowed, a timer, and wherever dead letters go. What each step does to the queue it does to
//! the reference too.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{
    clients::{Client, Flag, InHand, Link},
    reference::{Place, Reference},
    steps::CONNECTIONS,
    stored::Stored,
    *,
};
use crate::{
    broker::{
        dead_letter::Reason,
        queue::{Amount, Budget, DeadLetterTo, Retry, in_lane, ready::Run},
    },
    clock::UnixTime,
    message::Traits,
};

pub(super) const QUEUE: QueueId = QueueId(7);

#[derive(Debug)]
pub(super) struct Bench {
    pub(super) setup: Setup,
    pub(super) reference: Reference,
    pub(super) state: State,
    pub(super) fx: Effects,
    /// When the queue wants to be called.
    pub(super) deadline: u64,
    /// What the store held when this process began, and what it was told since.
    pub(super) base: Stored,
    pub(super) log: Vec<StoreOp>,
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
    pub(super) is_open: bool,
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
pub(super) fn at(pick: u16, count: usize) -> Option<usize> {
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
            let bytes: u64 = rows.iter().map(|(_, row)| row.message.body_len() as u64).sum();
            Some(Run {
                from: rows.first().map_or(end, |(position, _)| *position),
                end,
                count: rows.len() as u64,
                bytes,
                persistent: Amount { messages: rows.len() as u64, bytes },
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

    /// Whether messages are over that are to be settled later, and no read begins until then.
    pub(super) fn is_settling(&self) -> bool {
        self.expiring.is_some() || self.state.is_settling
    }

    fn is_reading(&self) -> bool {
        !self.reads.is_empty() || self.is_settling() || !self.away.is_empty()
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
