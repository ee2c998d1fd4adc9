//! What a queue is to do, in the plainest way: one list of all messages there ever were, which is
//! searched from end to end for every question, and a time that is a number.
//!
//! It knows nothing of places, lanes, memory or the store. Messages are called by their numbers,
//! in the order in which they were published.

use std::cmp::Reverse;

use crate::broker::{
    dead_letter::Reason,
    queue::{Cause, Counts, Overflow},
    stats::{Stat, Tally},
};

/// What a queue was declared as.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) is_durable: bool,
    pub(super) is_quorum: bool,
    pub(super) priority_max: u8,
    pub(super) is_single_active: bool,
    pub(super) has_dead_letters: bool,
    /// Whether a message stays until its dead letter has arrived.
    pub(super) keeps_letters: bool,
    /// Whether messages leave memory. If none does, all that is to happen happens at once.
    pub(super) is_paging: bool,
}

/// What may be changed later.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    pub(super) ttl: Option<u64>,
    pub(super) length_max: Option<u64>,
    pub(super) bytes_max: Option<u64>,
    pub(super) overflow: Overflow,
    pub(super) delivery_limit: Option<u32>,
    /// The first delay, and the longest.
    pub(super) retry: Option<(u64, u64)>,
}

impl Rules {
    /// What such a queue makes of them.
    pub(super) fn of(self, kind: Kind) -> Self {
        let overflow = match self.overflow {
            // QU-120
            _ if kind.keeps_letters => Overflow::Reject,
            // QT-025
            Overflow::RejectToDeadLetters if kind.is_quorum => Overflow::DropHead,
            overflow => overflow,
        };
        Self { overflow, ..self }
    }
}

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Ready,
    /// Some client has it.
    Unacked,
    /// It came back, and is ready again at this moment.
    Waiting(u64),
    /// It is to die, and its death is still to be seen.
    Dying(Reason),
    /// It is dead, and stays since its letter had nowhere to go.
    Kept(Reason),
    Gone(End),
}

/// How a message left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Settled,
    Purged,
    Refused,
    Died(Reason),
    /// It was transient, and the process ended.
    Lost,
}

#[derive(Debug)]
pub(super) struct Known {
    pub(super) size: usize,
    pub(super) level: u8,
    pub(super) is_persistent: bool,
    /// 0 for never.
    pub(super) expires_at: u64,
    pub(super) place: Place,
    /// How often it came back from a client that had seen it.
    pub(super) returns: u16,
    /// How many of those times were failures.
    pub(super) failures: u16,
    /// Whether it died, and was kept.
    pub(super) was_kept: bool,
    /// A restart left it in the store, and nobody has looked at it since: it is counted as ready,
    /// whatever it waits for.
    pub(super) is_unread: bool,
}

#[derive(Debug)]
pub(super) struct Reference {
    pub(super) kind: Kind,
    pub(super) rules: Rules,
    pub(super) time: u64,
    pub(super) messages: Vec<Known>,
    /// What was counted since the process began.
    pub(super) counted: Tally,
    pub(super) deaths: [u64; Reason::COUNT],
}

impl Reference {
    pub(super) fn new(kind: Kind, rules: Rules) -> Self {
        Self {
            kind,
            rules: rules.of(kind),
            time: 1000,
            messages: Vec::new(),
            counted: Tally::default(),
            deaths: [0; Reason::COUNT],
        }
    }

    pub(super) fn place(&self, number: usize) -> Place {
        self.messages[number].place
    }

    /// Messages with smaller ones come first.
    pub(super) fn rank(&self, number: usize) -> (Reverse<u8>, usize) {
        (Reverse(self.messages[number].level), number)
    }

    /// All messages for which something holds, in the order in which they would be served.
    pub(super) fn all(&self, is_meant: impl Fn(&Known) -> bool) -> Vec<usize> {
        let meant = |number: &usize| is_meant(&self.messages[*number]);
        let mut found: Vec<_> = (0..self.messages.len()).filter(meant).collect();
        found.sort_by_key(|number| self.rank(*number));
        found
    }

    pub(super) fn first_ready(&self) -> Option<usize> {
        self.all(|known| known.place == Place::Ready).first().copied()
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self, known: &Known) -> bool {
        known.expires_at != 0 && known.expires_at <= self.time
    }

    /// What is to be counted, but for consumers.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for known in &self.messages {
            let bytes = known.size as u64;
            let is_there = !matches!(known.place, Place::Dying(_) | Place::Gone(_));
            let is_counted = u64::from(is_there && self.is_kept(known));
            counts.persistent.messages += is_counted;
            counts.persistent.bytes += is_counted * bytes;
            match known.place {
                Place::Waiting(_) if !known.is_unread => counts.delayed.add(bytes),
                Place::Kept(_) if !known.is_unread => counts.letters.add(bytes),
                Place::Ready | Place::Waiting(_) | Place::Kept(_) => {
                    counts.ready += 1;
                    counts.ready_bytes += bytes;
                }
                Place::Unacked => {
                    counts.unacked += 1;
                    counts.unacked_bytes += bytes;
                }
                Place::Dying(_) | Place::Gone(_) => {}
            }
        }
        counts
    }

    /// Whether it holds more than it may and makes room.
    pub(super) fn has_too_much(&self) -> bool {
        let counts = self.counts();
        let Rules { length_max, bytes_max, overflow, .. } = self.rules;
        overflow == Overflow::DropHead
            && (counts.ready > length_max.unwrap_or(u64::MAX)
                || counts.ready_bytes > bytes_max.unwrap_or(u64::MAX))
    }

    /// A message comes in. Returns whether the queue is to take it.
    pub(super) fn publish(
        &mut self,
        is_persistent: bool,
        size: usize,
        priority: Option<u8>,
        lifetime: Option<u64>,
    ) -> bool {
        let (counts, rules) = (self.counts(), self.rules);
        let too_many = rules.length_max.is_some_and(|max| counts.ready + 1 > max);
        let too_large = rules.bytes_max.is_some_and(|max| counts.ready_bytes + size as u64 > max);
        let place = match rules.overflow {
            Overflow::Reject if too_many || too_large => Place::Gone(End::Refused),
            Overflow::RejectToDeadLetters if too_many || too_large => Place::Dying(Reason::MaxLen),
            _ => Place::Ready,
        };
        let usual = if self.kind.is_quorum { 4 } else { 0 };
        let lives = match (rules.ttl, lifetime) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.messages.push(Known {
            size,
            level: priority.unwrap_or(usual).min(self.kind.priority_max),
            is_persistent,
            expires_at: lives.map_or(0, |lives| self.time + lives),
            place,
            returns: 0,
            failures: 0,
            was_kept: false,
            is_unread: false,
        });
        self.counted[Stat::Publish] += 1;
        place == Place::Ready
    }

    /// A client gets a message.
    pub(super) fn deliver(&mut self, number: usize, no_ack: bool, stat: Stat) {
        let known = &mut self.messages[number];
        known.place = if no_ack { Place::Gone(End::Settled) } else { Place::Unacked };
        self.counted[stat] += 1;
        self.counted[Stat::Redeliver] += u64::from(known.returns > 0);
    }

    pub(super) fn settle(&mut self, number: usize) {
        assert_eq!(self.place(number), Place::Unacked);
        self.messages[number].place = Place::Gone(End::Settled);
        self.counted[Stat::Ack] += 1;
    }

    /// A delivery comes back.
    pub(super) fn come_back(&mut self, number: usize, cause: Cause) {
        let Self { rules, kind, time, .. } = *self;
        let known = &mut self.messages[number];
        assert_eq!(known.place, Place::Unacked);
        known.place = Place::Ready;
        let (mut is_failure, mut has_to_wait) = (false, true);
        match cause {
            Cause::Unseen => return,
            Cause::Refused => {
                known.place = Place::Dying(Reason::Rejected);
                return;
            }
            Cause::Requeued => is_failure = !kind.is_quorum,
            Cause::Failed => is_failure = true,
            Cause::Shown => has_to_wait = false,
        }
        let failures = known.failures + u16::from(is_failure);
        if rules.delivery_limit.is_some_and(|limit| u32::from(failures) > limit) {
            known.place = Place::Dying(Reason::DeliveryLimit);
            return;
        }
        known.failures = failures;
        known.returns += 1;
        let Some((first, longest)) = rules.retry.filter(|_| has_to_wait) else { return };
        let delay = (1..known.returns).fold(first, |delay, _| (2 * delay).min(longest));
        // Nobody waits for longer than he lives.
        let end = if known.expires_at == 0 { u64::MAX } else { known.expires_at };
        let due = (time + delay).min(end);
        if due > time {
            known.place = Place::Waiting(due);
        }
    }

    pub(super) fn pass(&mut self, millis: u64) {
        self.time += millis;
        let time = self.time;
        for known in &mut self.messages {
            let is_over = known.expires_at != 0 && known.expires_at <= time;
            if matches!(known.place, Place::Waiting(due) if due <= time) {
                let is_dying = is_over && !known.is_unread;
                known.place = if is_dying { Place::Dying(Reason::Expired) } else { Place::Ready };
            }
        }
    }

    /// Everything goes that no client has. Returns how many were counted as ready.
    pub(super) fn purge(&mut self) -> u64 {
        let count = self.counts().ready;
        for known in &mut self.messages {
            if matches!(known.place, Place::Ready | Place::Waiting(_) | Place::Kept(_)) {
                known.place = Place::Gone(End::Purged);
            }
        }
        count
    }

    /// A message died; could it?
    pub(super) fn die(&mut self, number: usize, reason: Reason) {
        let known = &self.messages[number];
        let may_die = match (known.place, reason) {
            (Place::Dying(why) | Place::Kept(why), _) => why == reason,
            (Place::Ready, Reason::Expired) => self.is_over(known),
            (Place::Ready, Reason::MaxLen) => {
                self.has_too_much() && self.first_ready() == Some(number)
            }
            _ => false,
        };
        assert!(may_die, "{number} died as {reason:?}: {known:?}");
        self.deaths[reason as usize] += u64::from(!known.was_kept);
        self.messages[number].place = Place::Gone(End::Died(reason));
    }

    /// The letter of a message that just died had nowhere to go.
    pub(super) fn keep(&mut self, number: usize, reason: Reason) {
        let known = &mut self.messages[number];
        known.place = Place::Kept(reason);
        known.was_kept = true;
        known.is_unread = false;
    }

    /// A dead message is to be read before its letter can be sent.
    pub(super) fn fetch(&mut self, number: usize, reason: Reason) {
        let place = &mut self.messages[number].place;
        assert!(matches!(place, Place::Dying(why) | Place::Kept(why) if *why == reason));
        *place = Place::Dying(reason);
    }

    /// Messages died whose deaths nobody could see but for their count: whose were they?
    pub(super) fn die_unseen(&mut self, reason: Reason, count: u64) {
        for _ in 0..count {
            let dying = self.all(|known| known.place == Place::Dying(reason));
            let over = self.all(|known| known.place == Place::Ready && self.is_over(known));
            let next = dying.first().copied().or(match reason {
                Reason::Expired => over.first().copied(),
                Reason::MaxLen => self.first_ready(),
                Reason::Rejected | Reason::DeliveryLimit => None,
            });
            let number = next.unwrap_or_else(|| panic!("nobody was to die as {reason:?}"));
            self.die(number, reason);
        }
    }

    /// Whether the store is to have a message, for as long as it is there.
    pub(super) fn is_kept(&self, known: &Known) -> bool {
        self.kind.is_durable && (known.is_persistent || self.kind.is_quorum)
    }

    /// The process is killed, and another one begins.
    pub(super) fn crash(&mut self) {
        let lost = self.all(|known| !matches!(known.place, Place::Gone(_)) && !self.is_kept(known));
        for number in lost {
            self.messages[number].place = Place::Gone(End::Lost);
        }
        for known in &mut self.messages {
            known.is_unread = true;
            known.place = match known.place {
                Place::Dying(reason) if known.was_kept => Place::Kept(reason),
                Place::Unacked | Place::Dying(_) => Place::Ready,
                place => place,
            };
        }
        (self.counted, self.deaths) = Default::default();
    }
}
