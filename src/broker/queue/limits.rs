//! What a queue gives up: messages whose time is over, those it has no room for, those that came
//! back too often. They go to the queue's dead letters, if it has somewhere to send them.

use std::cmp::Reverse;

use super::{
    Cause, DeadLetter, Effects, Held, Overflow, Returned, Settings,
    effects::Kept,
    lanes::Place,
    ready::{Entry, Next},
    state::State,
    waiting::Waiter,
};
use crate::{
    broker::dead_letter::Reason,
    message::Message,
    names::Position,
    store::{Standing, StoreOp},
};

/// Milliseconds after which a dead letter that had nowhere to go is tried again.
const LETTER_RETRY_MS: u64 = 1000;

impl State {
    /// When a message that comes in now expires: the lower of what the queue and the message say
    /// (QU-103); 0 for never.
    pub(super) fn expires_at(&self, expiration: Option<u64>, fx: &Effects) -> u64 {
        let ttl = self.settings.message_ttl.into_iter().chain(expiration).min();
        ttl.map_or(0, |ttl| fx.time.0.saturating_add(ttl).max(1))
    }

    /// Whether an entry's time is over.
    pub(super) fn is_over(standing: Standing, fx: &Effects) -> bool {
        (1..=fx.time.0).contains(&standing.expires_at)
    }

    /// Sees to it that a message which waits now is given up in time, wherever it stands.
    pub(super) fn watch_expiry(&mut self, position: Position, expires_at: u64, fx: &mut Effects) {
        if expires_at == 0 {
            return;
        }
        // Those that left memory are watched as sleepers.
        if self.expiries.len() > 2 * self.ready.in_memory() + 1024 {
            let ready = &mut self.ready;
            self.expiries.retain(|Reverse((_, position))| ready.of(*position).has(*position));
        }
        self.expiries.push(Reverse((expires_at, position)));
        self.arm(expires_at, fx);
    }

    /// The same for a message that comes in now. Those to which only the queue gives a time expire
    /// in order, as long as it gives all the same: there it is enough to look at the first.
    pub(super) fn watch_new(&mut self, position: Position, expires_at: u64, fx: &mut Effects) {
        let ttl = self.settings.message_ttl.filter(|_| self.has_one_ttl);
        if ttl.is_some_and(|ttl| expires_at == fx.time.0.saturating_add(ttl)) {
            self.arm(expires_at, fx);
        } else {
            self.watch_expiry(position, expires_at, fx);
        }
    }

    /// Wants to be called at `at`, unless it will be called before.
    pub(super) fn arm(&mut self, at: u64, fx: &mut Effects) {
        if at < self.armed_for {
            self.armed_for = at;
            fx.arm = Some(at);
        }
    }

    /// The time has come that was armed for, or one before it. Returns whether the queue itself is
    /// to go: it was unused for too long (QU-100).
    pub(super) fn on_deadline(&mut self, fx: &mut Effects) -> bool {
        self.armed_for = u64::MAX;
        if self.is_deleted {
            return false;
        }
        if self.last_used == u64::MAX {
            // Of what has just been recovered all is in the store, and watched from when it comes.
            self.last_used = fx.time.0;
            self.read_ahead(fx);
        }
        while let Some(entry) = self.ready.pop_expired(fx.time.0) {
            self.give_up(entry, Reason::Expired, fx);
        }
        while let Some(&Reverse((at, position))) = self.expiries.peek()
            && at <= fx.time.0
        {
            self.expiries.pop();
            if let Some(entry) = self.ready.remove(position) {
                self.is_settling |= entry.is_stored && self.settings.dead_letter.is_some();
                self.give_up(entry, Reason::Expired, fx);
            }
        }
        while let Some((position, waiter)) = self.waiting.pop_due(fx.time.0) {
            let Waiter { message, standing, is_stored } = waiter;
            let dead = Reason::of_ready_at(standing.ready_at);
            let is_over = Self::is_over(standing, fx);
            if let Some(reason) = dead.or(is_over.then_some(Reason::Expired)) {
                self.end_returned(position, message, reason, (is_stored, standing), fx);
            } else {
                self.put_back(position, message, standing, is_stored);
                self.watch_expiry(position, standing.expires_at, fx);
                // One that waits for a read need not any more.
                self.wake_gets(fx);
            }
        }
        self.trim(fx);
        self.dispatch(fx);
        self.read_expired(fx);
        self.arm_for_sleepers(fx);
        let next = [
            self.ready.next_expiry(),
            self.expiries.peek().map(|Reverse((at, _))| *at),
            self.waiting.next_due(),
            self.unused_until(),
        ];
        if let Some(at) = next.into_iter().flatten().min() {
            self.arm(at, fx);
        }
        self.unused_until().is_some_and(|until| until <= fx.time.0)
    }

    /// Takes other settings on, but for what only a declare can say.
    pub(super) fn apply(&mut self, settings: Settings) {
        let Settings { max_priority, is_single_active, message_ttl, .. } = self.settings;
        self.has_one_ttl &= settings.message_ttl == message_ttl;
        self.settings = Settings { max_priority, is_single_active, ..settings };
        self.last_used = u64::MAX;
    }

    /// When the queue will have been unused for too long.
    fn unused_until(&self) -> Option<u64> {
        let expires = self.settings.expires?;
        (self.consumers.len() == 0).then(|| self.last_used.saturating_add(expires))
    }

    /// The queue is used now (QU-100): declared, asked for a message, left by a consumer.
    pub(super) fn touch(&mut self, fx: &mut Effects) {
        if self.settings.expires.is_some() {
            self.last_used = fx.time.0;
            if let Some(until) = self.unused_until() {
                self.arm(until, fx);
            }
        }
    }

    /// Whether one more message of this size would be too much, and is to be refused (QU-114).
    pub(super) fn refuses(&self, body_bytes: usize) -> bool {
        self.settings.overflow != Overflow::DropHead
            && (self.settings.max_length.is_some_and(|max| self.ready.count() >= max)
                || self
                    .settings
                    .max_length_bytes
                    .is_some_and(|max| self.ready.body_bytes() + body_bytes as u64 > max))
    }

    /// Whether the first messages are to go, though nobody asks for them: there are too many, or
    /// their time will be over.
    pub(super) fn gives_up_at_front(&self) -> bool {
        self.settings.message_ttl.is_some()
            || (self.settings.overflow == Overflow::DropHead && self.is_over_limit())
    }

    fn is_over_limit(&self) -> bool {
        self.settings.max_length.is_some_and(|max| self.ready.count() > max)
            || self.settings.max_length_bytes.is_some_and(|max| self.ready.body_bytes() > max)
    }

    /// Drops messages from the head until the limits hold (QU-111, QU-112).
    pub(super) fn trim(&mut self, fx: &mut Effects) {
        if self.settings.overflow != Overflow::DropHead {
            return;
        }
        while self.is_over_limit() {
            let Next::Entry(entry, _) = self.ready.pop_front() else {
                // One that is in the store alone goes when it has come.
                return self.read_ahead(fx);
            };
            self.give_up(entry, Reason::MaxLen, fx);
        }
    }

    /// Ends a message that stood in the queue.
    pub(super) fn give_up(&mut self, entry: Entry, reason: Reason, fx: &mut Effects) {
        let Entry { position, message, standing, is_stored } = entry;
        self.bury(position, message, reason, (is_stored, standing), fx);
    }

    fn settle_op(&self, position: Position) -> StoreOp {
        let place = Place::of(self.id, position);
        StoreOp::Settle { queue: place.queue, position: place.position }
    }

    /// Ends a message: sends it to the dead letters, or settles it.
    pub(super) fn bury(
        &mut self,
        position: Position,
        message: Message,
        reason: Reason,
        (is_stored, standing): (bool, Standing),
        fx: &mut Effects,
    ) {
        self.left(position);
        if Reason::of_ready_at(standing.ready_at).is_none() {
            let tally = &mut self.tally;
            let counts = match &self.settings.dead_letter {
                None => &mut tally.given_up,
                Some(_) if self.settings.keeps_letters => &mut tally.kept_letters,
                Some(_) => &mut tally.dead_lettered,
            };
            counts[reason as usize] += 1;
        }
        let settle = is_stored.then(|| self.settle_op(position));
        match &self.settings.dead_letter {
            None => fx.ops.extend(settle),
            Some(to) => fx.dead.push_back(DeadLetter {
                message,
                reason,
                queue: self.name.clone(),
                to: to.clone(),
                settle,
                was_delivered: standing.returns > 0,
                kept: self
                    .settings
                    .keeps_letters
                    .then(|| Kept::new(self.me.clone(), position, standing, is_stored)),
            }),
        }
    }

    /// Ends a message that has been read again: it was given up when only the store had it, which
    /// was not told that the last delivery came back.
    pub(super) fn bury_read(
        &mut self,
        position: Position,
        message: Message,
        reason: Reason,
        mut standing: Standing,
        fx: &mut Effects,
    ) {
        if matches!(reason, Reason::Rejected | Reason::DeliveryLimit) {
            standing.returns = standing.returns.max(1);
        }
        self.bury(position, message, reason, (true, standing), fx);
    }

    /// When a dead letter that has nowhere to go is tried again: the later, the more there are.
    pub(super) fn letter_due(&self, fx: &Effects) -> u64 {
        fx.time.0 + LETTER_RETRY_MS + self.waiting.len() as u64
    }

    /// Keeps a dead message until its letter has somewhere to go. That it is dead is durable.
    pub(super) fn keep_letter(
        &mut self,
        position: Position,
        mut waiter: Waiter,
        reason: Reason,
        fx: &mut Effects,
    ) {
        if self.is_deleted {
            return;
        }
        let known = std::mem::replace(&mut waiter.standing.ready_at, reason.ready_at());
        if waiter.is_stored && known != reason.ready_at() {
            fx.ops.push(self.returned_op(position, waiter.standing));
        }
        if waiter.is_stored && self.ready.of(position).is_ahead(position) {
            if self.kept.len() > 2 * self.waiting.len() + 1024 {
                let ready = &mut self.ready;
                self.kept.retain(|position| ready.of(*position).is_ahead(*position));
            }
            self.kept.insert(position);
        }
        self.wait(self.letter_due(fx), position, waiter, fx);
    }

    fn returned_op(&self, position: Position, standing: Standing) -> StoreOp {
        let Place { queue, position } = Place::of(self.id, position);
        let Standing { returns, failures, ready_at, .. } = standing;
        StoreOp::Returned { queue, position, returns, failures, ready_at }
    }

    /// A delivery came back: counts it, and decides whether it is to come again.
    pub(super) fn come_back(&mut self, returned: Returned, fx: &mut Effects) {
        let Returned { position, message, mut standing, is_stored, cause, .. } = returned;
        if cause == Cause::Refused {
            let held = (is_stored, standing);
            return self.end_returned(position, message, Reason::Rejected, held, fx);
        }
        if cause != Cause::Unseen {
            standing.returns = standing.returns.saturating_add(1);
            // BA-262: a quorum queue does not count what is merely put back.
            let is_counted = match cause {
                Cause::Shown => false,
                Cause::Failed => true,
                _ => !self.settings.is_quorum,
            };
            if is_counted {
                standing.failures = standing.failures.saturating_add(1);
            }
            let limit = self.settings.delivery_limit;
            if limit.is_some_and(|limit| u32::from(standing.failures) > limit) {
                let held = (is_stored, standing);
                return self.end_returned(position, message, Reason::DeliveryLimit, held, fx);
            }
            if cause != Cause::Shown {
                standing.ready_at = self.ready_at(standing, fx);
            }
            if is_stored {
                fx.ops.push(self.returned_op(position, standing));
            }
        }
        if standing.ready_at > fx.time.0 {
            let waiter = Waiter { message, standing, is_stored };
            self.wait(standing.ready_at, position, waiter, fx);
        } else {
            self.put_back(position, message, standing, is_stored);
            self.watch_expiry(position, standing.expires_at, fx);
        }
    }

    /// When a message that comes back now is ready again; 0 for at once.
    fn ready_at(&self, standing: Standing, fx: &Effects) -> u64 {
        let Some(retry) = self.settings.retry else { return 0 };
        // One that does not live that long only waits for its end.
        let end = Some(standing.expires_at).filter(|at| *at != 0).unwrap_or(u64::MAX / 2);
        fx.time.0.saturating_add(retry.delay(standing.returns.into())).min(end)
    }

    /// Ends a message that does not stand in the queue: it was delivered, or it waited.
    fn end_returned(
        &mut self,
        position: Position,
        message: Held,
        reason: Reason,
        (is_stored, mut standing): (bool, Standing),
        fx: &mut Effects,
    ) {
        self.left(position);
        if reason == Reason::Rejected {
            // BA-244: it has been delivered, though that is not counted.
            standing.returns = standing.returns.max(1);
        }
        match message {
            Held::Message(message) => {
                self.bury(position, message, reason, (is_stored, standing), fx);
            }
            Held::Stored { .. } if self.settings.dead_letter.is_some() => {
                fx.dead_away.push((position, reason));
            }
            Held::Stored { .. } => {
                self.tally.given_up[reason as usize] += 1;
                fx.ops.push(self.settle_op(position));
            }
        }
    }
}
