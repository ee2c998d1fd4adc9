//! The deliveries of one channel that are not settled yet, by delivery tag.
//!
//! Tags grow by one, and most are settled near the front. So they stand in one ring in order; a
//! settled one leaves a hole, and holes go when they are at the front or outnumber the rest: an
//! old delivery that is never settled does not keep room for all those after it.
//!
//! A consumer without a prefetch limit may leave a whole backlog unsettled. So beyond a limit (the
//! setting `unacked_bytes_max`) a delivery whose message the store has keeps the place alone;
//! should it come back, it is read again. One that the store has not keeps its message: a
//! transient message that went straight to its consumer is nowhere else.

use std::{collections::VecDeque, ops::RangeInclusive, sync::Arc};

use crate::{
    broker::{client::ChannelInfo, queue::Held},
    names::{DeliveryTag, Position},
    store::Standing,
};

/// Deliveries for which an empty list keeps memory.
const KEPT_CAPACITY: usize = 512;

/// A delivery that awaits its settlement.
#[derive(Debug)]
pub(super) struct Unacked {
    /// Where it came from: a source of the connection.
    pub(super) slot: u32,
    /// Its place in its queue.
    pub(super) position: Position,
    pub(super) message: Held,
    pub(super) standing: Standing,
    pub(super) is_stored: bool,
}

#[derive(Debug)]
pub(super) struct UnackedList {
    ring: VecDeque<(DeliveryTag, Option<Unacked>)>,
    len: usize,
    /// Bytes of memory that its messages keep alive.
    bytes: usize,
    /// Bytes beyond which messages that the store has are left to it.
    bytes_max: usize,
    /// Where others see how many there are.
    info: Arc<ChannelInfo>,
}

impl UnackedList {
    /// None yet. Beyond `bytes_max` bytes, messages that the store has are left to it.
    pub(super) fn new(info: Arc<ChannelInfo>, bytes_max: usize) -> Self {
        Self { ring: VecDeque::new(), len: 0, bytes: 0, bytes_max, info }
    }

    /// Adds the latest delivery.
    pub(super) fn push(&mut self, tag: DeliveryTag, mut unacked: Unacked) {
        debug_assert!(self.ring.back().is_none_or(|(last, _)| *last < tag));
        let bytes = unacked.message.footprint();
        if unacked.is_stored && self.bytes + bytes > self.bytes_max {
            unacked.message.leave_to_store();
        } else {
            self.bytes += bytes;
        }
        self.ring.push_back((tag, Some(unacked)));
        self.len += 1;
        self.info.unacked.set(self.len as u64);
    }

    fn index(&self, tag: DeliveryTag) -> Option<usize> {
        let first = self.ring.front()?.0;
        let guess = usize::try_from(tag.0.checked_sub(first.0)?).ok()?;
        if self.ring.get(guess).is_some_and(|(at, _)| *at == tag) {
            return Some(guess);
        }
        self.ring.binary_search_by_key(&tag, |(at, _)| *at).ok()
    }

    pub(super) fn contains(&self, tag: DeliveryTag) -> bool {
        self.index(tag).is_some_and(|index| self.ring[index].1.is_some())
    }

    /// The oldest there is, or one before it.
    pub(super) fn oldest(&self) -> Option<DeliveryTag> {
        self.ring.front().map(|(tag, _)| *tag)
    }

    /// Those of a range of tags that came from a source.
    pub(super) fn tags_of(&self, slot: u32, tags: RangeInclusive<DeliveryTag>) -> Vec<DeliveryTag> {
        let first = self.ring.partition_point(|(tag, _)| tag < tags.start());
        let within = self.ring.range(first..).take_while(|(tag, _)| tag <= tags.end());
        let of_slot = |unacked: &Option<Unacked>| unacked.as_ref().is_some_and(|u| u.slot == slot);
        within.filter(|(_, unacked)| of_slot(unacked)).map(|(tag, _)| *tag).collect()
    }

    /// Takes one delivery out.
    pub(super) fn take(&mut self, tag: DeliveryTag) -> Option<Unacked> {
        let index = self.index(tag)?;
        let unacked = self.ring[index].1.take()?;
        self.len -= 1;
        self.info.unacked.set(self.len as u64);
        self.bytes -= unacked.message.footprint();
        self.close_holes();
        Some(unacked)
    }

    /// Takes all deliveries up to `tag` out, in order.
    pub(super) fn take_up_to(
        &mut self,
        tag: DeliveryTag,
    ) -> impl Iterator<Item = (DeliveryTag, Unacked)> {
        let count = self.ring.partition_point(|(at, _)| *at <= tag);
        let (len, bytes, shown) = (&mut self.len, &mut self.bytes, &self.info.unacked);
        self.ring
            .drain(..count)
            .filter_map(|(tag, unacked)| unacked.map(|unacked| (tag, unacked)))
            .inspect(move |(_, unacked)| {
                *len -= 1;
                shown.set(*len as u64);
                *bytes -= unacked.message.footprint();
            })
    }

    /// Takes everything out, in order.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = (DeliveryTag, Unacked)> + use<> {
        (self.len, self.bytes) = (0, 0);
        self.info.unacked.set(0);
        let ring = std::mem::take(&mut self.ring);
        ring.into_iter().filter_map(|(tag, unacked)| unacked.map(|unacked| (tag, unacked)))
    }

    /// Puts deliveries back under their tags, in any order: a transaction was rolled back.
    pub(super) fn restore(&mut self, deliveries: impl Iterator<Item = (DeliveryTag, Unacked)>) {
        let mut all: Vec<_> = self.take_all().chain(deliveries).collect();
        all.sort_unstable_by_key(|(tag, _)| *tag);
        self.len = all.len();
        self.info.unacked.set(self.len as u64);
        self.bytes = all.iter().map(|(_, unacked)| unacked.message.footprint()).sum();
        self.ring = all.into_iter().map(|(tag, unacked)| (tag, Some(unacked))).collect();
    }

    /// Gives back memory that only many deliveries needed, when there are none left.
    pub(super) fn rest(&mut self) {
        if self.ring.is_empty() && self.ring.capacity() > KEPT_CAPACITY {
            self.ring = VecDeque::new();
        }
    }

    fn close_holes(&mut self) {
        while self.ring.front().is_some_and(|(_, unacked)| unacked.is_none()) {
            self.ring.pop_front();
        }
        self.rest();
        if self.ring.len() > 2 * self.len + 64 {
            self.ring.retain(|(_, unacked)| unacked.is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        clock::UnixTime,
        message::{Message, Traits},
        names::ChannelId,
    };

    const BYTES_MAX: usize = 100_000;

    fn unacked(position: u64) -> Unacked {
        delivery(position, 0, false)
    }

    fn delivery(position: u64, size: usize, is_stored: bool) -> Unacked {
        let (body, traits) = (vec![0; size], Traits::default());
        let message = Message::copied(b"\0\0", b"\0\0", &[&body], traits, &mut Vec::new());
        Unacked {
            slot: 0,
            position: Position(position),
            message: Held::Message(message),
            standing: Standing::default(),
            is_stored,
        }
    }

    fn list() -> UnackedList {
        UnackedList::new(Arc::new(ChannelInfo::new(ChannelId(1), UnixTime(0))), BYTES_MAX)
    }

    fn is_in_memory(unacked: &Unacked) -> bool {
        matches!(unacked.message, Held::Message(_))
    }

    #[test]
    fn messages_that_the_store_has_leave_memory_beyond_the_limit() {
        let mut list = list();
        for tag in 1..=5 {
            list.push(DeliveryTag(tag), delivery(tag, BYTES_MAX / 3, tag != 4));
        }
        assert!(list.take(DeliveryTag(2)).is_some_and(|unacked| is_in_memory(&unacked)));
        assert!(list.take(DeliveryTag(4)).is_some_and(|unacked| is_in_memory(&unacked)));
        list.push(DeliveryTag(6), delivery(6, BYTES_MAX / 3, true));
        let rest: Vec<_> = list.take_up_to(DeliveryTag(9)).map(|(_, u)| is_in_memory(&u)).collect();
        assert_eq!(rest, [true, false, false, true]);
        assert_eq!(list.bytes, 0);
    }

    proptest! {
        #[test]
        fn behaves_as_an_ordered_map(steps in prop::collection::vec((0u8..4, 1u64..80), 1..300)) {
            let mut list = list();
            let mut model = std::collections::BTreeMap::new();
            let mut next = 1;
            for (step, tag) in steps {
                let tag = DeliveryTag(tag);
                match step {
                    0 | 1 => {
                        next += u64::from(step) + 1;
                        list.push(DeliveryTag(next), unacked(next));
                        model.insert(DeliveryTag(next), next);
                    }
                    2 => {
                        let taken = list.take(tag).map(|u| u.position.0);
                        prop_assert_eq!(taken, model.remove(&tag));
                    }
                    _ => {
                        let taken: Vec<_> =
                            list.take_up_to(tag).map(|(t, u)| (t, u.position.0)).collect();
                        let rest = model.split_off(&DeliveryTag(tag.0 + 1));
                        prop_assert_eq!(taken, model.into_iter().collect::<Vec<_>>());
                        model = rest;
                    }
                }
                prop_assert_eq!(list.len, model.len());
                prop_assert_eq!(list.contains(tag), model.contains_key(&tag));
            }
            let footprint = unacked(0).message.footprint();
            prop_assert_eq!(list.bytes, list.len * footprint);
            let all: Vec<_> = list.take_all().map(|(t, u)| (t, u.position.0)).collect();
            prop_assert_eq!(all, model.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_old_delivery_does_not_keep_room_for_all_after_it() {
        let mut list = list();
        list.push(DeliveryTag(1), unacked(1));
        for tag in 2..100_000 {
            list.push(DeliveryTag(tag), unacked(tag));
            assert!(list.take(DeliveryTag(tag)).is_some());
        }
        assert_eq!(list.len, 1);
        assert!(list.ring.len() < 100);
    }
}
