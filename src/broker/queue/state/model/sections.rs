//! What a section of a queue leaves to be done: operations and reads for the store, a moment for
//! the timer, dead letters for wherever they go.

use super::{
    bench::{Bench, QUEUE, at, number},
    *,
};
use crate::broker::{
    dead_letter::Reason,
    queue::{DeadLetter, Place as StorePlace, effects::Purpose, in_lane, lane_of},
};

impl Bench {
    /// The timer calls the queue if it wanted that.
    pub(super) fn keep_time(&mut self) {
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
        if self.state.is_settling {
            self.settle_late();
            self.state.settled(CommitSeq(self.log.len() as u64), &mut self.fx);
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
    pub(super) fn answer(&self, asked: PageIn, moment: Option<u16>) -> (Vec<Entry>, Position) {
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

    pub(super) fn fail_read(&mut self) {
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

    pub(super) fn finish_section(&mut self, is_deadline: bool) {
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
        if !self.is_settling() {
            self.settle_late();
        }
        self.look();
    }

    pub(super) fn settle_late(&mut self) {
        for op in std::mem::take(&mut self.late) {
            // A purge may have been first.
            let StoreOp::Settle { queue, position } = op else { panic!("a settlement: {op:?}") };
            if self.stored.remove(queue, position) {
                self.log.push(op);
            }
        }
    }

    /// Learns who died: from the dead letters, else from the counts.
    pub(super) fn take_deaths(&mut self, is_deadline: bool) {
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

    pub(super) fn take_letter(&mut self, letter: DeadLetter) {
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
