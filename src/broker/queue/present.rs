//! The values of `x-deduplication-header` among a queue's messages, for a queue that takes each
//! value once at a time (`x-message-deduplication`).
//!
//! A value is there from the publish on until its message has left for good: acknowledged, dropped,
//! expired, sent to the dead letters. Its memory is bounded by the number of messages.

use std::collections::{BTreeMap, HashSet};

use crate::{
    broker::exchange::{Key, deduplication_key},
    message::Message,
    names::Position,
};

#[derive(Debug, Default)]
pub(super) struct Present {
    keys: HashSet<Key>,
    by_place: BTreeMap<Position, Key>,
}

impl Present {
    /// Whether a message may come in; if so, its value is there from now on.
    pub(super) fn admit(&mut self, position: Position, message: &Message) -> bool {
        let Some(key) = deduplication_key(message) else { return true };
        let is_new = self.keys.insert(key);
        if is_new {
            self.by_place.insert(position, key);
        }
        is_new
    }

    /// The message of this place has left.
    pub(super) fn left(&mut self, position: Position) {
        if let Some(key) = self.by_place.remove(&position) {
            self.keys.remove(&key);
        }
    }

    /// All messages in `first..end` have left.
    pub(super) fn left_range(&mut self, first: Position, end: Position) {
        let mut after = self.by_place.split_off(&first);
        self.by_place.extend(after.split_off(&end));
        for key in after.values() {
            self.keys.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        message::Traits,
        wire::{
            properties::Properties,
            table::{RawValue, put_last},
        },
    };

    fn message(value: Option<i32>) -> Message {
        let headers = value.map(|v| put_last(b"", b"x-deduplication-header", RawValue::I32(v)));
        let properties = Properties::EMPTY.with_headers(headers.as_deref());
        Message::copied(b"\0\0", &properties, &[], Traits::default(), &mut Vec::new())
    }

    #[test]
    fn a_value_is_there_until_its_message_has_left() {
        let mut present = Present::default();
        for (place, value, is_admitted) in [
            (1, Some(1), true),
            (2, Some(1), false),
            (3, None, true),
            (4, None, true),
            (5, Some(2), true),
        ] {
            assert_eq!(present.admit(Position(place), &message(value)), is_admitted);
        }
        // What was not admitted takes nothing with it.
        present.left(Position(2));
        assert!(!present.admit(Position(6), &message(Some(1))));
        present.left(Position(1));
        assert!(present.admit(Position(7), &message(Some(1))));
        present.left_range(Position(6), Position(8));
        assert!(present.admit(Position(8), &message(Some(1))));
        assert!(!present.admit(Position(9), &message(Some(2))));
        assert_eq!((present.keys.len(), present.by_place.len()), (2, 2));
    }
}
