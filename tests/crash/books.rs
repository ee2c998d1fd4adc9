//! The books: which message must be in which queue, which may be, and which must not.
//!
//! They claim no more than the broker promised. A message is owed once its confirm, or the
//! commit-ok of its transaction, has been read; from the moment at which its ack is about to be
//! sent it may be there or not. After a restart there is no doubt any more: what is there stays,
//! and what is not never comes back.

use std::collections::{BTreeMap, BTreeSet};

use super::load::{Ending, Log};
use crate::harness::*;

/// A message of the load: who published it, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) publisher: u32,
    pub(super) n: u64,
}

impl Id {
    /// The body: the id in words, then octets that only this message has. Some take many frames.
    pub(super) fn body(self) -> Vec<u8> {
        let mut random = Random((self.n + 1) << 16 | u64::from(self.publisher));
        let size = match self.n {
            n if n % 400 == 13 => 300_000,
            n if n % 100 == 7 => 70_000,
            _ => random.below(400),
        };
        let mut body = format!("{} {} ", self.publisher, self.n).into_bytes();
        body.extend(random.bytes(size));
        body
    }

    /// Whether it is published as persistent.
    pub(super) fn is_persistent(self) -> bool {
        self.n % 10 != 3
    }

    /// The id of a message that came from the broker, which must be as it was published.
    pub(super) fn check(message: &Message) -> Self {
        let mut words = message.body.splitn(3, |octet| *octet == b' ');
        let mut number = || std::str::from_utf8(words.next()?).ok()?.parse::<u64>().ok();
        let id =
            number().zip(number()).map(|(publisher, n)| Self { publisher: publisher as u32, n });
        let id = id.unwrap_or_else(|| panic!("no message of the load: {message:?}"));
        assert!(message.body == id.body(), "the body of {id:?} has changed");
        assert_eq!(message.properties.delivery_mode == Some(2), id.is_persistent(), "{id:?}");
        id
    }
}

/// What is known of a message in a queue, or of anything else that may be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It must be there.
    Owed,
    /// It may be there.
    Possible,
    /// It must not be there.
    Gone,
}

#[derive(Default)]
struct Book {
    standing: BTreeMap<Id, Standing>,
    /// What was there after the last restart, in order.
    order: Vec<Id>,
}

pub(super) struct Books {
    queues: BTreeMap<&'static str, Book>,
}

impl Books {
    pub(super) fn new(queues: &[&'static str]) -> Self {
        Self { queues: queues.iter().map(|q| (*q, Book::default())).collect() }
    }

    pub(super) fn set(&mut self, queue: &str, id: Id, standing: Standing) {
        let book = self.queues.get_mut(queue).expect("a queue of the load");
        book.standing.insert(id, standing);
    }

    /// Enters what was said and heard until the broker ended.
    pub(super) fn enter(&mut self, log: &Log, ending: Ending) {
        for sent in &log.sent {
            let standing = match (sent.id.is_persistent(), sent.is_promised) {
                (true, true) => Standing::Owed,
                (true, false) => Standing::Possible,
                (false, _) => Standing::Gone,
            };
            for queue in sent.queues {
                self.set(queue, sent.id, standing);
            }
        }
        for settled in log.settled.iter().filter(|settled| settled.id.is_persistent()) {
            // AMQP does not say when an ack is durable; a clean stop makes it so.
            let is_gone = ending == Ending::Stop && settled.is_certain;
            let standing = if is_gone { Standing::Gone } else { Standing::Possible };
            self.set(settled.queue, settled.id, standing);
        }
    }

    /// Compares a queue with its book, and brings that up to date.
    pub(super) fn compare(&mut self, queue: &str, found: &[(Id, u64)]) {
        let book = self.queues.get_mut(queue).expect("a queue of the load");
        let found: Vec<Id> = found.iter().map(|(id, _)| *id).collect();
        let present: BTreeSet<Id> = found.iter().copied().collect();
        assert_eq!(present.len(), found.len(), "{queue:?} has messages twice");
        for id in &found {
            let standing = book.standing.get(id);
            assert!(
                matches!(standing, Some(Standing::Owed | Standing::Possible)),
                "{queue:?} has {id:?}, which is {standing:?}"
            );
        }
        let owed = book.standing.iter().filter(|(_, standing)| **standing == Standing::Owed);
        let lost: Vec<_> = owed.filter(|(id, _)| !present.contains(id)).map(|(id, _)| id).collect();
        assert!(lost.is_empty(), "{queue:?} has lost {} messages: {lost:?}", lost.len());
        let mut in_order = InOrder::default();
        for id in &found {
            in_order.check(queue, *id);
        }
        let still: Vec<_> = book.order.iter().filter(|id| present.contains(id)).collect();
        let first: Vec<_> = found.iter().take(still.len()).collect();
        assert!(first == still, "the order of {queue:?} has changed");
        for (id, standing) in &mut book.standing {
            *standing = if present.contains(id) { Standing::Owed } else { Standing::Gone };
        }
        book.order = found;
    }
}

/// Checks that the messages of each publisher come in the order in which they were published.
#[derive(Default)]
pub(super) struct InOrder {
    last: BTreeMap<u32, u64>,
}

impl InOrder {
    pub(super) fn check(&mut self, queue: &str, id: Id) {
        let last = self.last.insert(id.publisher, id.n);
        assert!(last < Some(id.n), "{queue:?} has {id:?} after number {last:?}");
    }
}
