//! The deliveries of one channel that are not settled yet, by delivery tag.
//!
//! Tags grow by one, and most are settled near the front. So they stand in one ring in order; a
//! settled one leaves a hole, and holes go when they are at the front or outnumber the rest: an
//! old delivery that is never settled does not keep room for all those after it.

use std::collections::VecDeque;

use crate::{
    message::Message,
    names::{DeliveryTag, Position},
};

/// A delivery that awaits its settlement.
#[derive(Debug)]
pub(super) struct Unacked {
    /// Where it came from: a source of the connection.
    pub(super) slot: u32,
    /// Its place in its queue.
    pub(super) position: Position,
    pub(super) message: Message,
    pub(super) was_redelivered: bool,
    pub(super) is_stored: bool,
}

#[derive(Debug, Default)]
pub(super) struct UnackedList {
    ring: VecDeque<(DeliveryTag, Option<Unacked>)>,
    len: usize,
}

impl UnackedList {
    /// Adds the latest delivery.
    pub(super) fn push(&mut self, tag: DeliveryTag, unacked: Unacked) {
        debug_assert!(self.ring.back().is_none_or(|(last, _)| *last < tag));
        self.ring.push_back((tag, Some(unacked)));
        self.len += 1;
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

    /// Takes one delivery out.
    pub(super) fn take(&mut self, tag: DeliveryTag) -> Option<Unacked> {
        let index = self.index(tag)?;
        let unacked = self.ring[index].1.take()?;
        self.len -= 1;
        self.close_holes();
        Some(unacked)
    }

    /// Takes all deliveries up to `tag` out, in order.
    pub(super) fn take_up_to(
        &mut self,
        tag: DeliveryTag,
    ) -> impl Iterator<Item = (DeliveryTag, Unacked)> {
        let count = self.ring.partition_point(|(at, _)| *at <= tag);
        let len = &mut self.len;
        self.ring
            .drain(..count)
            .filter_map(|(tag, unacked)| unacked.map(|unacked| (tag, unacked)))
            .inspect(move |_| *len -= 1)
    }

    /// Takes everything out, in order.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = (DeliveryTag, Unacked)> + use<> {
        self.len = 0;
        let ring = std::mem::take(&mut self.ring);
        ring.into_iter().filter_map(|(tag, unacked)| unacked.map(|unacked| (tag, unacked)))
    }

    /// Puts deliveries back under their tags, in any order: a transaction was rolled back.
    pub(super) fn restore(&mut self, deliveries: impl Iterator<Item = (DeliveryTag, Unacked)>) {
        let mut all: Vec<_> = self.take_all().chain(deliveries).collect();
        all.sort_unstable_by_key(|(tag, _)| *tag);
        self.len = all.len();
        self.ring = all.into_iter().map(|(tag, unacked)| (tag, Some(unacked))).collect();
    }

    fn close_holes(&mut self) {
        while self.ring.front().is_some_and(|(_, unacked)| unacked.is_none()) {
            self.ring.pop_front();
        }
        if self.ring.len() > 2 * self.len + 64 {
            self.ring.retain(|(_, unacked)| unacked.is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::Traits;

    fn unacked(position: u64) -> Unacked {
        let message = Message::copied(b"\0\0", b"\0\0", &[], Traits::default(), &mut Vec::new());
        Unacked {
            slot: 0,
            position: Position(position),
            message,
            was_redelivered: false,
            is_stored: false,
        }
    }

    proptest! {
        #[test]
        fn behaves_as_an_ordered_map(steps in prop::collection::vec((0u8..4, 1u64..80), 1..300)) {
            let mut list = UnackedList::default();
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
            let all: Vec<_> = list.take_all().map(|(t, u)| (t, u.position.0)).collect();
            prop_assert_eq!(all, model.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_old_delivery_does_not_keep_room_for_all_after_it() {
        let mut list = UnackedList::default();
        list.push(DeliveryTag(1), unacked(1));
        for tag in 2..100_000 {
            list.push(DeliveryTag(tag), unacked(tag));
            assert!(list.take(DeliveryTag(tag)).is_some());
        }
        assert_eq!(list.len, 1);
        assert!(list.ring.len() < 100);
    }
}
