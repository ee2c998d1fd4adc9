//! Random operations, and a plain model of what they must come to.

use std::collections::{BTreeMap, HashMap};

use super::{memory::Random, message_of, read_all};
use crate::{
    names::{CommitSeq, Position, QueueId},
    store::{RecordKind, Recovered, Store, StoreOp},
};

/// Bodies of these sizes: empty, usual, a page's worth, several pages' worth.
const BODY_SIZES: [u64; 8] = [0, 10, 100, 100, 1000, 5000, 20_000, 200_000];

/// What the model knows of a message.
#[derive(Clone, Debug)]
struct Sent {
    at: u64,
    body_seed: u64,
    body_len: usize,
    is_spilled: bool,
    settled_at: Option<u64>,
    returned_at: Option<u64>,
}

/// The operation that changed a record, and its value from then on.
type Change = (u64, Option<Vec<u8>>);

/// The operations so far and what they mean.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    /// The number of the last operation.
    pub(super) last: u64,
    sent: BTreeMap<(u64, u64), Sent>,
    next: HashMap<u64, u64>,
    next_spilled: HashMap<u64, u64>,
    records: BTreeMap<Vec<u8>, Vec<Change>>,
    dropped: u64,
    /// First and last numbers of operations that are durable together or not at all.
    groups: Vec<(u64, u64)>,
}

fn body(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random(seed | 1);
    (0..len).map(|_| random.next() as u8).collect()
}

impl Script {
    /// The next operation. `weight` makes bodies large now and then.
    pub(super) fn op(&mut self, random: &mut Random, sizes: u64) -> StoreOp {
        self.last += 1;
        let queue = self.dropped + random.below(3);
        match random.below(100) {
            0..45 => self.publish(queue, random, sizes),
            45..55 => self.spill(queue, random, sizes),
            55..85 => self.settle(queue, random),
            85..88 => self.settle_range(queue, random),
            88..92 => self.returned(queue, random),
            92..99 => self.record(random),
            _ => {
                // The lowest queue goes, and a new one comes.
                let queue = self.dropped;
                self.dropped += 1;
                self.settle_places(queue, 0, u64::MAX);
                StoreOp::DropQueue { queue: QueueId(queue) }
            }
        }
    }

    /// Operations to be submitted as a group.
    pub(super) fn group(&mut self, random: &mut Random, sizes: u64) -> Vec<StoreOp> {
        let first = self.last + 1;
        let ops = (0..=random.below(12)).map(|_| self.op(random, sizes)).collect();
        self.groups.push((first, self.last));
        ops
    }

    fn body(random: &mut Random, sizes: u64) -> (u64, usize) {
        let size = BODY_SIZES[random.below(sizes) as usize];
        let len = if size == 0 { 0 } else { size + random.below(size) };
        (random.next(), len as usize)
    }

    fn publish(&mut self, queue: u64, random: &mut Random, sizes: u64) -> StoreOp {
        let gap = if random.below(10) == 0 { random.below(5) } else { 0 };
        let gap = if random.below(200) == 0 { 70_000 } else { gap };
        let next = self.next.entry(queue).or_default();
        let spilled = self.next_spilled.get(&queue).copied().unwrap_or_default();
        let position = (*next + gap).max(spilled);
        *next = position + 1;
        let (body_seed, body_len) = Self::body(random, sizes);
        self.send(queue, position, body_seed, body_len, false);
        let message = message_of(&body(body_seed, body_len));
        StoreOp::Publish {
            queue: QueueId(queue),
            position: Position(position),
            message,
            standing: crate::store::Standing::default(),
        }
    }

    /// Spills into a gap among the published places, or behind them.
    fn spill(&mut self, queue: u64, random: &mut Random, sizes: u64) -> StoreOp {
        let mut position = self.next_spilled.get(&queue).copied().unwrap_or_default();
        while self.sent.contains_key(&(queue, position)) {
            position += 1;
        }
        self.next_spilled.insert(queue, position + 1);
        let (body_seed, body_len) = Self::body(random, sizes);
        self.send(queue, position, body_seed, body_len, true);
        let message = message_of(&body(body_seed, body_len));
        StoreOp::Spill {
            queue: QueueId(queue),
            position: Position(position),
            message,
            standing: crate::store::Standing::default(),
        }
    }

    fn send(&mut self, queue: u64, position: u64, seed: u64, body_len: usize, is_spilled: bool) {
        let sent = Sent {
            at: self.last,
            body_seed: seed,
            body_len,
            is_spilled,
            settled_at: None,
            returned_at: None,
        };
        assert!(self.sent.insert((queue, position), sent).is_none());
    }

    /// Mostly the front message, sometimes any, sometimes one that is not there.
    fn settle(&mut self, queue: u64, random: &mut Random) -> StoreOp {
        let position = self.pick(queue, random);
        self.settle_places(queue, position, position + 1);
        StoreOp::Settle { queue: QueueId(queue), position: Position(position) }
    }

    fn pick(&self, queue: u64, random: &mut Random) -> u64 {
        let alive: Vec<u64> = self
            .sent
            .range((queue, 0)..=(queue, u64::MAX))
            .filter(|(_, sent)| sent.settled_at.is_none())
            .map(|(&(_, position), _)| position)
            .collect();
        match random.below(10) {
            0 => random.below(200),
            1..3 if !alive.is_empty() => alive[random.below(alive.len() as u64) as usize],
            _ => alive.first().copied().unwrap_or_default(),
        }
    }

    fn settle_places(&mut self, queue: u64, first: u64, end: u64) {
        for (_, sent) in self.sent.range_mut((queue, first)..(queue, end)) {
            sent.settled_at.get_or_insert(self.last);
        }
    }

    fn settle_range(&mut self, queue: u64, random: &mut Random) -> StoreOp {
        let (first, end) = match random.below(3) {
            0 => (0, u64::MAX),
            1 => (self.pick(queue, random), self.pick(queue, random)),
            _ => (0, self.pick(queue, random)),
        };
        if first < end {
            self.settle_places(queue, first, end);
        }
        StoreOp::SettleRange { queue: QueueId(queue), first: Position(first), end: Position(end) }
    }

    fn returned(&mut self, queue: u64, random: &mut Random) -> StoreOp {
        let position = self.pick(queue, random);
        if let Some(sent) = self.sent.get_mut(&(queue, position)) {
            sent.returned_at.get_or_insert(self.last);
        }
        StoreOp::Returned {
            queue: QueueId(queue),
            position: Position(position),
            returns: 1,
            failures: 1,
            ready_at: 5,
        }
    }

    fn record(&mut self, random: &mut Random) -> StoreOp {
        let key = vec![random.below(5) as u8];
        let boxed = key.clone().into_boxed_slice();
        let history = self.records.entry(key).or_default();
        if random.below(3) == 0 {
            history.push((self.last, None));
            return StoreOp::Remove { kind: RecordKind::Queue, key: boxed };
        }
        let value = random.next().to_le_bytes().to_vec();
        history.push((self.last, Some(value.clone())));
        StoreOp::Put { kind: RecordKind::Queue, key: boxed, value: value.into() }
    }

    /// Forgets what a restart loses.
    pub(super) fn restart(&mut self) {
        self.sent.retain(|_, sent| !sent.is_spilled);
    }

    /// What the broker does after a restart: goes on behind what was recovered.
    pub(super) fn resume(&mut self, recovered: &Recovered) {
        for (id, queue) in &recovered.queues {
            let next = self.next.entry(id.0).or_default();
            *next = (*next).max(queue.end.0);
        }
    }

    /// Checks a store that may hold any state between `confirmed` and `submitted`.
    pub(super) fn check(
        &self,
        store: &Store,
        random: &mut Random,
        (confirmed, submitted): (u64, u64),
        after: CommitSeq,
    ) -> Result<(), String> {
        for queue in 0..self.dropped + 3 {
            let step = [1, 3000, usize::MAX][random.below(3) as usize];
            let found = read_all(store, QueueId(queue), after, step);
            let mut found_places = found.iter().map(|m| m.position.0).collect::<Vec<_>>();
            if !found_places.is_sorted_by(|a, b| a < b) {
                return Err(format!("queue {queue}: not in order: {found_places:?}"));
            }
            for message in &found {
                let place = (queue, message.position.0);
                let Some(sent) = self.sent.get(&place) else {
                    return Err(format!("{place:?} was never sent"));
                };
                if sent.at > submitted || sent.settled_at.is_some_and(|at| at <= confirmed) {
                    return Err(format!("{place:?} is there, {sent:?} {confirmed}..{submitted}"));
                }
                let bytes = message.message.body().collect::<Vec<_>>().concat();
                if bytes != body(sent.body_seed, sent.body_len) {
                    return Err(format!("{place:?} has another body"));
                }
                let must = sent.returned_at.is_some_and(|at| at <= confirmed);
                let may = sent.returned_at.is_some_and(|at| at <= submitted);
                if (must && message.standing.returns == 0)
                    || (!may && (message.standing.returns > 0))
                {
                    return Err(format!(
                        "{place:?} redelivered: {}",
                        (message.standing.returns > 0)
                    ));
                }
            }
            found_places.push(u64::MAX);
            for (place, sent) in self.sent.range((queue, 0)..=(queue, u64::MAX)) {
                let is_settled = sent.settled_at.is_some_and(|at| at <= submitted);
                let must = sent.at <= confirmed && !is_settled;
                if must && found_places.binary_search(&place.1).is_err() {
                    return Err(format!("{place:?} is lost, {sent:?} {confirmed}..{submitted}"));
                }
            }
        }
        Ok(())
    }

    /// Checks that a store that was just opened holds what the first so many operations come to,
    /// for some number between `confirmed` and `submitted` that is in no group.
    pub(super) fn check_prefix(
        &self,
        store: &Store,
        recovered: &Recovered,
        (confirmed, submitted): (u64, u64),
    ) -> Result<(), String> {
        let records: BTreeMap<&[u8], &[u8]> =
            recovered.records.iter().map(|(_, key, value)| (&**key, &**value)).collect();
        let mut messages: BTreeMap<(u64, u64), bool> = BTreeMap::new();
        for queue in 0..self.dropped + 3 {
            let found = read_all(store, QueueId(queue), CommitSeq(0), usize::MAX);
            let found = found.iter().map(|m| ((queue, m.position.0), m.standing.is_redelivered()));
            messages.extend(found);
        }
        let is_state_after = |last: u64| {
            let is_then = |at: Option<u64>| at.is_some_and(|at| at <= last);
            let sent =
                self.sent.iter().filter(|(_, sent)| sent.at <= last && !is_then(sent.settled_at));
            let sent = sent.map(|(&place, sent)| (place, is_then(sent.returned_at)));
            let put = self.records.iter().filter_map(|(key, history)| {
                let (_, value) = history.iter().rev().find(|(at, _)| *at <= last)?;
                Some((&key[..], &value.as_ref()?[..]))
            });
            sent.eq(messages.iter().map(|(&place, &returned)| (place, returned)))
                && put.eq(records.iter().map(|(&key, &value)| (key, value)))
        };
        let mut ends = (confirmed..=submitted)
            .filter(|&last| !self.groups.iter().any(|&(first, end)| (first..end).contains(&last)));
        if ends.any(is_state_after) {
            return Ok(());
        }
        Err(format!("no state between {confirmed} and {submitted}: {messages:?} {records:?}"))
    }

    /// Checks what opening said.
    pub(super) fn check_recovered(
        &self,
        store: &Store,
        recovered: &Recovered,
        (confirmed, submitted): (u64, u64),
    ) -> Result<(), String> {
        let found: HashMap<&[u8], &[u8]> =
            recovered.records.iter().map(|(_, key, value)| (&**key, &**value)).collect();
        for (key, history) in &self.records {
            let found = found.get(&key[..]).map(|value| value.to_vec());
            let before = history.iter().rev().find(|(at, _)| *at <= confirmed);
            let before = before.and_then(|(_, value)| value.clone());
            let mut allowed = vec![before];
            let between = history.iter().filter(|(at, _)| (confirmed + 1..=submitted).contains(at));
            allowed.extend(between.map(|(_, value)| value.clone()));
            if !allowed.contains(&found) {
                return Err(format!("record {key:?} is {found:?}, allowed {allowed:?}"));
            }
        }
        for queue in 0..self.dropped + 3 {
            let found = read_all(store, QueueId(queue), CommitSeq(0), usize::MAX);
            let counted = recovered.queues.get(&QueueId(queue)).copied().unwrap_or_default();
            let bytes: usize = found.iter().map(|m| m.message.body_len()).sum();
            if (counted.count, counted.bytes) != (found.len() as u64, bytes as u64) {
                let found: Vec<_> =
                    found.iter().map(|m| (m.position.0, m.message.body_len())).collect();
                return Err(format!("queue {queue}: counted {counted:?}, found {found:?}"));
            }
            if let (Some(first), Some(last)) = (found.first(), found.last()) {
                if counted.first != first.position || counted.end <= last.position {
                    return Err(format!("queue {queue}: counted {counted:?}"));
                }
                if recovered.queue_id_floor.0 <= queue {
                    return Err(format!("queue {queue}: floor {:?}", recovered.queue_id_floor));
                }
            }
        }
        Ok(())
    }
}
