//! The state of one queue and its transitions: pure, under the queue's lock.
//!
//! Nothing here waits, reads a clock or touches the store. What is to be made durable is left in
//! [`Effects`] and submitted before the lock is dropped, so that the store's order is the queue's.

mod view;

pub use view::{Counts, QueueView};

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    sync::Weak,
    task::Waker,
};

use super::{
    Arrival, ConsumerHandle, Effects, GetOutcome, Got, Held, Overflow, Queue, Returned, Settings,
    Settled,
    amount::Amount,
    capacity::Capacity,
    consumers::{Consumer, Consumers},
    effects::{PageIn, Purpose},
    lanes::{Lanes, Place},
    present::Present,
    ready::{Entry, Next},
    residency::Residency,
    sleepers::{FallingAsleep, Sleepers},
    waiting::{Waiter, Waiting},
};
use crate::{
    broker::{
        dead_letter::Reason,
        outbox::{Delivery, Event, Refusal, Stalled},
        stats::{QueueTally, Stat, Tally},
    },
    message::Message,
    names::{CommitSeq, Name, Position, QueueId},
    store::{Standing, StoreOp},
};

/// How a consumer took a message.
enum Taken {
    /// It will acknowledge.
    ToBeSettled,
    /// It does not acknowledge: the message is settled with that.
    Settled,
}

/// A publisher waits when more bytes than this pile up in memory before busy consumers.
const RUNS_AHEAD: usize = 2 * 1024 * 1024;
/// It goes on when fewer bytes than this are left.
const CAUGHT_UP: usize = 1024 * 1024;

/// Messages published from one look at the pace to the next, at least.
const PACE_STEP: u64 = 16;

/// How the consumers keep up with the publishers. Those that hold all that their prefetch allows
/// have not stalled, but if they settle it quickly it is better to wait for them than to page out.
#[derive(Debug, Default)]
struct Pace {
    published: u64,
    delivered: u64,
    /// Half of what came since the look before, or more, has been delivered.
    is_close: bool,
}

impl Pace {
    fn look(&mut self, counts: &Tally) {
        let delivered = counts[Stat::Deliver] + counts[Stat::DeliverNoAck];
        let came = counts[Stat::Publish] - self.published;
        if came >= PACE_STEP {
            self.is_close = (delivered - self.delivered) * 2 >= came;
            (self.published, self.delivered) = (counts[Stat::Publish], delivered);
        }
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) id: QueueId,
    pub(super) name: Name,
    is_durable: bool,
    pub(super) settings: Settings,
    pub(super) me: Weak<Queue>,
    residency: Residency,
    pub(super) ready: Lanes,
    pub(super) consumers: Consumers,
    unacked: u64,
    /// Bytes of their bodies.
    unacked_bytes: u64,
    /// Those of them that are persistent.
    unacked_persistent: Amount,
    /// How much of the time there is a consumer for the next message.
    capacity: Capacity,
    /// Whether all ready messages came while the queue gave them the same time to live.
    pub(super) has_one_ttl: bool,
    /// When messages expire that need not do so in their order, as far as they may be waiting.
    pub(super) expiries: BinaryHeap<Reverse<(u64, Position)>>,
    /// Messages that came back and wait before they are ready again.
    pub(super) waiting: Waiting,
    /// When messages expire that are in the store alone.
    pub(super) sleepers: Sleepers,
    /// Places of dead messages that the store has still, and that a read may come across.
    pub(super) kept: BTreeSet<Position>,
    /// When the queue will be called (milliseconds since 1970).
    pub(super) armed_for: u64,
    /// When it was last used, if it goes for not being used; `u64::MAX` before that is known.
    pub(super) last_used: u64,
    /// Whether there ever was a consumer (auto-delete waits for the first).
    pub(super) had_consumer: bool,
    /// Which values are there, if each may be once alone.
    present: Option<Present>,
    has_exclusive_consumer: bool,
    pub(super) is_deleted: bool,
    /// How many queues had been deleted when this one was; 0 before.
    pub(super) departure: u64,
    /// Whether the store may hold anything of this queue.
    uses_store: bool,
    /// Whether messages were left to the store in this section.
    pub(super) has_paged_out: bool,
    /// The read that is under way.
    pub(super) reading: Option<PageIn>,
    /// Messages that stood among others are dead, and are settled in the store when their letters
    /// arrive: until [`Self::settled`] no read begins.
    pub(super) is_settling: bool,
    pub(super) reads: u64,
    waiting_gets: Vec<Waker>,
    /// Whether the store failed to read what gets waited for.
    has_failed_gets: bool,
    /// Publishers that wait for the consumers to catch up.
    waiting_publishers: Vec<Waker>,
    pace: Pace,
    /// What happened to its messages since it was made or restored.
    pub(super) tally: QueueTally,
    /// When anything last happened to it (milliseconds since 1970); 0 if nothing has.
    used_at: u64,
}

impl State {
    pub(super) fn new(
        (id, name, is_durable): (QueueId, Name, bool),
        settings: Settings,
        me: Weak<Queue>,
        residency: Residency,
        ready: Lanes,
    ) -> Self {
        let is_single_active = settings.is_single_active;
        let present = settings.is_deduplicating.then(Present::default);
        Self {
            id,
            name,
            is_durable,
            settings,
            me,
            residency,
            uses_store: !ready.is_empty(),
            ready,
            consumers: Consumers::new(is_single_active),
            unacked: 0,
            unacked_bytes: 0,
            unacked_persistent: Amount::default(),
            capacity: Capacity::default(),
            has_one_ttl: false,
            expiries: BinaryHeap::new(),
            waiting: Waiting::default(),
            sleepers: Sleepers::default(),
            kept: BTreeSet::new(),
            armed_for: u64::MAX,
            last_used: u64::MAX,
            had_consumer: false,
            present,
            has_exclusive_consumer: false,
            is_deleted: false,
            departure: 0,
            has_paged_out: false,
            reading: None,
            is_settling: false,
            reads: 0,
            waiting_gets: Vec::new(),
            has_failed_gets: false,
            waiting_publishers: Vec::new(),
            pace: Pace::default(),
            tally: QueueTally::default(),
            used_at: 0,
        }
    }

    /// Adds a message behind all others, or hands it straight to a waiting consumer. Returns
    /// whether the queue took it.
    pub(super) fn publish(&mut self, message: Message, arrival: Arrival, fx: &mut Effects) -> bool {
        self.used_at = fx.time.0;
        self.tally.messages[Stat::Publish] += 1;
        let position = self.ready.next_place(self.settings.priority(&message));
        if self.present.as_mut().is_some_and(|present| !present.admit(position, &message)) {
            // A duplicate is confirmed no earlier than the first of its kind.
            self.has_paged_out = true;
            return true;
        }
        let expires_at = self.expires_at(arrival.expiration, fx);
        let standing = Standing { expires_at, returns: arrival.returns, ..Standing::default() };
        // QT-027: a quorum queue keeps whatever it has.
        let is_kept = message.is_persistent() || self.settings.is_quorum;
        let is_stored = self.is_durable && is_kept;
        let entry = Entry { position, message, standing, is_stored };
        // QU-114: that a consumer waits makes no room.
        if self.refuses(entry.message.body_len()) {
            self.left(position);
            if self.settings.overflow == Overflow::RejectToDeadLetters {
                self.give_up(Entry { is_stored: false, ..entry }, Reason::MaxLen, fx);
            }
            return false;
        }
        if !self.ready.is_empty() {
            self.keep(entry, fx);
            self.serve_first(fx);
            return true;
        }
        // The store's copy costs a reference count.
        let copy = is_stored.then(|| entry.message.clone());
        match self.hand_over(entry, fx) {
            Ok(Taken::ToBeSettled) => {
                if let Some(message) = copy {
                    self.store(position, message, standing, fx);
                }
                true
            }
            // Without an acknowledgement to come it is settled already, and never stored.
            Ok(Taken::Settled) => {
                self.left(position);
                true
            }
            Err(entry) => {
                self.keep(entry, fx);
                self.note_capacity(fx);
                true
            }
        }
    }

    /// A message that an earlier process left here is one of those that are present.
    pub(super) fn recall(&mut self, position: Position, message: &Message) {
        if let Some(present) = &mut self.present {
            present.admit(position, message);
        }
    }

    /// A message is gone from this queue for good.
    pub(super) fn left(&mut self, position: Position) {
        if let Some(present) = &mut self.present {
            present.left(position);
        }
    }

    fn store(&mut self, at: Position, message: Message, standing: Standing, fx: &mut Effects) {
        let Place { queue, position } = Place::of(self.id, at);
        self.uses_store = true;
        fx.ops.push(StoreOp::Publish { queue, position, message, standing });
    }

    /// Keeps a message that nobody took.
    fn keep(&mut self, entry: Entry, fx: &mut Effects) {
        if Self::is_over(entry.standing, fx) {
            // QU-106: without a moment to live it only ever reaches a consumer that waits. It is
            // stored if it may have to stay for its letter (QU-120).
            let is_stored = entry.is_stored && self.settings.keeps_letters;
            if is_stored {
                self.store(entry.position, entry.message.clone(), entry.standing, fx);
            }
            return self.give_up(Entry { is_stored, ..entry }, Reason::Expired, fx);
        }
        let (position, expires_at) = (entry.position, entry.standing.expires_at);
        if entry.is_stored {
            self.store(position, entry.message.clone(), entry.standing, fx);
        }
        self.has_one_ttl |= self.ready.is_empty();
        self.ready.push_back(entry);
        self.trim(fx);
        self.watch_new(position, expires_at, fx);
        self.residency.report(self.resident_bytes());
        let ready = self.ready.of(position);
        let (is_paging, head, tail) = (ready.is_paging(), ready.head_bytes(), ready.tail_bytes());
        if self.residency.wants_out(is_paging, head, tail) {
            self.page_out(position, fx);
        }
    }

    /// Moves the messages of a lane out of memory, that of `position`.
    fn page_out(&mut self, position: Position, fx: &mut Effects) {
        let id = self.id;
        let ops = &mut fx.ops;
        let mut falling_asleep = FallingAsleep::default();
        let sleepers = &mut self.sleepers;
        self.ready.of(position).page_out(self.residency.near_bytes(), |entry| {
            falling_asleep.add(&entry, sleepers);
            if !entry.is_stored {
                let Place { queue, position } = Place::of(id, entry.position);
                let Entry { message, standing, .. } = entry;
                ops.push(StoreOp::Spill { queue, position, message, standing });
            }
        });
        falling_asleep.end(sleepers);
        self.uses_store = true;
        self.has_paged_out = true;
        self.note_memory(fx);
        self.arm_for_sleepers(fx);
    }

    /// Whether the number of what was submitted last is needed, even without operations.
    pub(super) fn has_paged_out(&self) -> bool {
        self.has_paged_out
    }

    /// The operations of this section were submitted; `seq` is the last number so far. What the
    /// section left to the store, it may want to read at once.
    pub(super) fn submitted(&mut self, seq: CommitSeq, fx: &mut Effects) {
        if std::mem::take(&mut self.has_paged_out) {
            self.ready.written_by(seq);
            if let Some(page_in) = &mut fx.read {
                page_in.wanted.after = seq;
            }
        }
    }

    /// Offers the message to the consumers in line. Gives it back when nobody takes it.
    fn hand_over(&mut self, entry: Entry, fx: &mut Effects) -> Result<Taken, Entry> {
        let Entry { position, mut message, standing, is_stored } = entry;
        while let Some((handle, consumer)) = self.consumers.next() {
            let no_ack = consumer.no_ack;
            let is_stored_after = is_stored && !no_ack;
            let (body_bytes, is_persistent) = (message.body_len(), message.is_persistent());
            let delivery = Delivery {
                slot: consumer.slot,
                position,
                message,
                standing,
                is_stored: is_stored_after,
            };
            let me = &self.me;
            let since = fx.now;
            let stalled = || Stalled { queue: me.clone(), consumer: handle, since };
            let window = (!no_ack).then_some(&*consumer.window);
            match consumer.outbox.offer(delivery, window, stalled, &mut fx.wakes) {
                Ok(()) => {
                    if !no_ack {
                        self.count_delivery(body_bytes, is_persistent);
                    }
                    let stat = if no_ack { Stat::DeliverNoAck } else { Stat::Deliver };
                    self.tally.messages[stat] += 1;
                    if standing.is_redelivered() {
                        self.tally.messages[Stat::Redeliver] += 1;
                    }
                    self.consumers.served();
                    return Ok(if no_ack { Taken::Settled } else { Taken::ToBeSettled });
                }
                Err((refusal, delivery)) => {
                    message = delivery.message;
                    self.consumers.step_aside(refusal == Refusal::Full);
                }
            }
        }
        Err(Entry { position, message, standing, is_stored })
    }

    /// Hands out ready messages while there is a consumer for the next one.
    pub(super) fn dispatch(&mut self, fx: &mut Effects) {
        while self.consumers.next().is_some() {
            let Next::Entry(entry, came_back) = self.ready.pop_front() else { break };
            if Self::is_over(entry.standing, fx) {
                self.give_up(entry, Reason::Expired, fx);
                continue;
            }
            let (position, is_stored) = (entry.position, entry.is_stored);
            match self.hand_over(entry, fx) {
                Ok(Taken::Settled) => {
                    self.left(position);
                    if !is_stored {
                        continue;
                    }
                    let Place { queue, position } = Place::of(self.id, position);
                    fx.ops.push(StoreOp::Settle { queue, position });
                }
                Ok(Taken::ToBeSettled) => {}
                Err(entry) => {
                    self.ready.undo_pop(entry, came_back);
                    break;
                }
            }
        }
        self.note_memory(fx);
        self.note_capacity(fx);
        if self.consumers.len() > 0 || self.gives_up_at_front() {
            self.read_ahead(fx);
        }
    }

    /// Whether there is somebody for the next message may have changed: a message waits for its
    /// consumers if none of them can take it.
    fn note_capacity(&mut self, fx: &Effects) {
        let is_blocked =
            self.consumers.len() > 0 && self.consumers.next().is_none() && !self.ready.is_empty();
        self.capacity.note(is_blocked, fx.now);
    }

    /// A message came behind others. Whoever waits for those to be read takes it if its priority is
    /// higher.
    fn serve_first(&mut self, fx: &mut Effects) {
        if self.settings.max_priority > 0 && self.reading.is_some() {
            self.wake_gets(fx);
            if self.consumers.next().is_some() {
                self.dispatch(fx);
            }
        }
    }

    /// The memory in use, or who waits for room, has changed.
    fn note_memory(&mut self, fx: &mut Effects) {
        self.residency.report(self.resident_bytes());
        if !self.waiting_publishers.is_empty() && !self.is_outrun(CAUGHT_UP) {
            self.wake_publishers(fx);
        }
    }

    /// Bytes of memory of the messages that no client has.
    fn resident_bytes(&self) -> usize {
        self.ready.resident_bytes() + self.waiting.bytes()
    }

    /// Has a message that came back wait until `due`.
    pub(super) fn wait(&mut self, due: u64, position: Position, waiter: Waiter, fx: &mut Effects) {
        self.waiting.add(due, position, waiter, self.residency.near_bytes());
        self.arm(due, fx);
    }

    /// Whether messages pile up although there are consumers for them, which are busy reading or
    /// take nearly as many as come: the publishers run ahead.
    fn is_outrun(&self, bytes: usize) -> bool {
        let is_busy = self.consumers.has_stalled() || self.pace.is_close;
        is_busy && self.consumers.len() > 0 && self.ready.waiting_bytes() > bytes
    }

    /// Whether a publisher should wait a turn; the task is woken when it need not any more.
    pub(super) fn is_ahead(&mut self, waker: &Waker) -> bool {
        self.pace.look(&self.tally.messages);
        let is_ahead = self.is_outrun(RUNS_AHEAD);
        if is_ahead && !self.waiting_publishers.iter().any(|other| other.will_wake(waker)) {
            self.waiting_publishers.push(waker.clone());
        }
        is_ahead
    }

    /// Whether a read may begin: one at a time, and none that might find what is dead and whose
    /// letter is on the way.
    pub(super) fn may_read(&self) -> bool {
        self.reading.is_none() && !self.is_settling
    }

    /// Asks for the next paged-out messages when those before them run low.
    pub(super) fn read_ahead(&mut self, fx: &mut Effects) {
        if !self.may_read() {
            return;
        }
        let near = self.residency.near_bytes();
        let Some(wanted) = self.ready.wanted(near) else { return };
        self.reads += 1;
        let purpose = Purpose::Deliver;
        self.reading = Some(PageIn { id: self.reads, purpose, wanted, bytes_max: near });
        fx.read = self.reading;
    }

    /// All messages that were asked for before `next` came from the store.
    pub(super) fn page_in(
        &mut self,
        id: u64,
        entries: impl Iterator<Item = Entry>,
        next: Position,
        fx: &mut Effects,
    ) {
        let Some(asked) = self.reading.take_if(|asked| asked.id == id) else { return };
        self.has_failed_gets = false;
        let mut passed = self.kept.split_off(&asked.wanted.from);
        self.kept.append(&mut passed.split_off(&next));
        let mut expiries = Vec::new();
        let entries = entries.filter(|entry| !passed.contains(&entry.position));
        let entries = entries.inspect(|entry| {
            if entry.standing.expires_at != 0 {
                expiries.push((entry.position, entry.standing.expires_at));
            }
        });
        let mut early = Vec::new();
        let time = fx.time.0;
        // Their wait had begun before a restart.
        let is_early = |entry: &Entry| {
            let ready_at = entry.standing.ready_at;
            ready_at > time || Reason::of_ready_at(ready_at).is_some()
        };
        self.sleepers.forget(asked.wanted.from, next);
        let ready = self.ready.of(asked.wanted.from);
        ready.page_in(asked.wanted.from, entries, next, |entry| {
            if is_early(&entry) {
                early.push(entry);
                return None;
            }
            Some(entry)
        });
        for Entry { position, message, standing, is_stored } in early {
            let waiter = Waiter { message: Held::Message(message), standing, is_stored };
            let is_dead = Reason::of_ready_at(standing.ready_at).is_some();
            let due = if is_dead { self.letter_due(fx) } else { standing.ready_at };
            self.wait(due, position, waiter, fx);
        }
        for (position, expires_at) in expiries {
            self.watch_expiry(position, expires_at, fx);
        }
        self.trim(fx);
        self.dispatch(fx);
        self.read_expired(fx);
        self.arm_for_next(fx);
        self.wake_gets(fx);
    }

    /// What was asked for cannot be read. Nobody is left waiting for it: consumers end, as they do
    /// when a queue's node fails (BA-091), and gets are refused. The messages stay, and whoever
    /// consumes or gets next has the store try again, at the clients' pace.
    pub(super) fn read_failed(&mut self, id: u64, fx: &mut Effects) {
        if self.reading.take_if(|asked| asked.id == id).is_none() {
            return;
        }
        self.has_failed_gets = !self.waiting_gets.is_empty();
        self.look_again(fx);
        self.end_consumers(fx);
        self.wake_all(fx);
    }

    fn end_consumers(&mut self, fx: &mut Effects) {
        self.has_exclusive_consumer = false;
        for consumer in self.consumers.clear() {
            let event = Event::Cancelled { slot: consumer.slot };
            consumer.outbox.push(event, &mut fx.wakes);
        }
    }

    pub(super) fn get(&mut self, no_ack: bool, waker: &Waker, fx: &mut Effects) -> GetOutcome {
        if self.is_deleted {
            return GetOutcome::Gone;
        }
        self.touch(fx);
        while let Some(entry) = self.ready.pop_expired(fx.time.0) {
            self.give_up(entry, Reason::Expired, fx);
        }
        let entry = match self.ready.pop_front() {
            Next::Entry(entry, _) => entry,
            Next::Empty => {
                self.tally.messages[Stat::GetEmpty] += 1;
                return GetOutcome::Empty;
            }
            Next::Paged if std::mem::take(&mut self.has_failed_gets) => {
                return GetOutcome::Unreadable;
            }
            Next::Paged => {
                if !self.waiting_gets.iter().any(|other| other.will_wake(waker)) {
                    self.waiting_gets.push(waker.clone());
                }
                self.read_ahead(fx);
                return GetOutcome::Wait;
            }
        };
        self.note_memory(fx);
        if self.capacity.is_blocked() {
            // It may have been the last that waited.
            self.note_capacity(fx);
        }
        self.tally.messages[if no_ack { Stat::GetNoAck } else { Stat::Get }] += 1;
        if entry.standing.is_redelivered() {
            self.tally.messages[Stat::Redeliver] += 1;
        }
        if no_ack {
            self.left(entry.position);
            if entry.is_stored {
                let Place { queue, position } = Place::of(self.id, entry.position);
                fx.ops.push(StoreOp::Settle { queue, position });
            }
        } else {
            self.count_delivery(entry.message.body_len(), entry.message.is_persistent());
        }
        self.read_ahead(fx);
        GetOutcome::Got(Got {
            position: entry.position,
            message: entry.message,
            standing: entry.standing,
            is_stored: entry.is_stored && !no_ack,
            left: self.ready.count(),
        })
    }

    /// Whether a consumer may be added now. COMPATIBILITY BA-083.
    pub(super) fn admits(&self, exclusive: bool) -> bool {
        // QU-142: among consumers of which one is active, none can be alone.
        let is_alone = self.consumers.len() == 0 && !self.settings.is_single_active;
        // QT-013: a quorum queue knows no exclusive consumers.
        if self.settings.is_quorum {
            return true;
        }
        !self.has_exclusive_consumer && (!exclusive || is_alone)
    }

    /// Adds a consumer without serving it yet: its `consume-ok` goes first (BA-081).
    pub(super) fn add_consumer(&mut self, consumer: Consumer, exclusive: bool) -> ConsumerHandle {
        self.had_consumer = true;
        self.has_exclusive_consumer = exclusive;
        self.consumers.add(consumer)
    }

    pub(super) fn resume(&mut self, handle: ConsumerHandle, fx: &mut Effects) {
        self.consumers.resume(handle);
        self.dispatch(fx);
    }

    /// The consumer's window has places. If it is stalled, its outbox will resume it.
    pub(super) fn window_opened(&mut self, handle: ConsumerHandle, fx: &mut Effects) {
        self.consumers.settled(handle, 0);
        self.dispatch(fx);
    }

    /// Removes a consumer. Its unacknowledged messages stay with its channel (BA-090).
    pub(super) fn cancel(&mut self, handle: ConsumerHandle, fx: &mut Effects) -> bool {
        let found = self.consumers.remove(handle).is_some();
        if self.consumers.len() == 0 {
            self.has_exclusive_consumer = false;
            self.touch(fx);
        }
        self.dispatch(fx);
        found
    }

    pub(super) fn settle(&mut self, settled: &[Settled], fx: &mut Effects) {
        if self.is_deleted {
            return;
        }
        self.used_at = fx.time.0;
        self.tally.messages[Stat::Ack] += settled.len() as u64;
        for delivery in settled {
            self.count_back(delivery.body_bytes, delivery.is_persistent);
            if let Some(consumer) = delivery.consumer {
                self.consumers.settled(consumer, 1);
            }
            self.left(delivery.position);
            if delivery.is_stored {
                let Place { queue, position } = Place::of(self.id, delivery.position);
                fx.ops.push(StoreOp::Settle { queue, position });
            }
        }
        self.dispatch(fx);
    }

    /// A delivery is out, to be settled.
    fn count_delivery(&mut self, body_bytes: usize, is_persistent: bool) {
        self.unacked += 1;
        self.unacked_bytes += body_bytes as u64;
        if is_persistent {
            self.unacked_persistent.add(body_bytes as u64);
        }
    }

    /// A delivery is not out any more.
    fn count_back(&mut self, body_bytes: usize, is_persistent: bool) {
        self.unacked = self.unacked.saturating_sub(1);
        self.unacked_bytes = self.unacked_bytes.saturating_sub(body_bytes as u64);
        if is_persistent {
            self.unacked_persistent.take(body_bytes as u64);
        }
    }

    /// Takes deliveries back, each to its own place or wherever else it goes. All of them are back
    /// before the first is handed out again, so that they go out in order.
    pub(super) fn take_back(&mut self, returned: Vec<Returned>, fx: &mut Effects) {
        if self.is_deleted {
            return;
        }
        for delivery in returned {
            self.count_back(delivery.message.body_bytes(), delivery.message.is_persistent());
            if let Some(consumer) = delivery.consumer {
                self.consumers.settled(consumer, 1);
            }
            self.come_back(delivery, fx);
        }
        self.trim(fx);
        self.dispatch(fx);
        self.wake_gets(fx);
    }

    pub(super) fn put_back(
        &mut self,
        position: Position,
        message: Held,
        standing: Standing,
        is_stored: bool,
    ) {
        let (body_bytes, is_persistent) = (message.body_bytes(), message.is_persistent());
        let has_room = self.ready.of(position).returned_bytes() < self.residency.near_bytes();
        if let Held::Message(message) = message
            && (has_room || !is_stored)
        {
            self.ready.put_back(Entry { position, message, standing, is_stored });
            return;
        }
        self.ready.of(position).put_away(position, body_bytes as u64, is_persistent);
        self.has_paged_out = true;
        if standing.expires_at != 0 {
            self.sleepers.add(position, position.next(), standing.expires_at);
        }
    }

    /// Removes every ready message; those delivered and not settled stay (QU-083).
    pub(super) fn purge(&mut self, fx: &mut Effects) -> u64 {
        let count = self.ready.count();
        let (entries, ranges) = self.ready.clear();
        let entries = entries.into_iter().map(|entry| (entry.position, entry.is_stored));
        for (position, is_stored) in entries.chain(self.waiting.clear()) {
            self.left(position);
            if !is_stored {
                continue;
            }
            let Place { queue, position } = Place::of(self.id, position);
            fx.ops.push(StoreOp::Settle { queue, position });
        }
        for (first, end) in ranges {
            if let Some(present) = &mut self.present {
                present.left_range(first, end);
            }
            let (first, end) = (Place::of(self.id, first), Place::of(self.id, end));
            let queue = first.queue;
            fx.ops.push(StoreOp::SettleRange { queue, first: first.position, end: end.position });
        }
        self.expiries.clear();
        self.sleepers.clear();
        self.kept.clear();
        self.reading = None;
        self.wake_all(fx);
        self.residency.report(0);
        self.note_capacity(fx);
        count
    }

    /// Ends the queue: everything in it goes, its consumers are told. Returns how many messages
    /// were ready.
    pub(super) fn delete(&mut self, fx: &mut Effects) -> u64 {
        self.is_deleted = true;
        let count = self.ready.count();
        drop(self.ready.clear());
        self.residency.report(0);
        if self.uses_store {
            for level in self.ready.levels() {
                fx.ops.push(StoreOp::DropQueue { queue: QueueId(self.id.0 + u64::from(level)) });
            }
        }
        drop(self.waiting.clear());
        self.expiries.clear();
        self.sleepers.clear();
        self.kept.clear();
        self.end_consumers(fx);
        self.wake_all(fx);
        count
    }

    pub(super) fn wake_gets(&mut self, fx: &mut Effects) {
        for waker in self.waiting_gets.drain(..) {
            fx.wakes.owe(waker);
        }
    }

    fn wake_publishers(&mut self, fx: &mut Effects) {
        for waker in self.waiting_publishers.drain(..) {
            fx.wakes.owe(waker);
        }
    }

    fn wake_all(&mut self, fx: &mut Effects) {
        self.wake_gets(fx);
        self.wake_publishers(fx);
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
