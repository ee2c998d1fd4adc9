//! `x-recent-history`: a fanout that gives a new binding the latest messages (EX-096).
//!
//! Of persistent messages on a durable exchange the store has a copy, so that a restart keeps them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{BindingRef, ExchangeType, Fittings, HeaderValue, Matches, Tap, TargetSet, View};
use crate::{
    broker::{Error, error::ExchangeFault, log::Backing},
    message::Message,
    names::{CommitSeq, Position, QueueId},
    store::{Standing, Store, StoreOp},
    wire::table::{Table, Value},
};

/// How many messages are kept unless the declare says otherwise.
const LENGTH: usize = 20;

/// A recent history exchange.
#[derive(Debug)]
pub(super) struct RecentHistory {
    targets: TargetSet,
    length: usize,
    history: Option<Arc<History>>,
}

impl RecentHistory {
    pub(super) fn new(arguments: &Table) -> Result<Self, Error> {
        let length = match arguments.inner().get("x-recent-history-length") {
            None => Some(LENGTH),
            Some(Value::ShortShortInt(length)) => usize::try_from(*length).ok(),
            Some(Value::ShortInt(length)) => usize::try_from(*length).ok(),
            Some(Value::LongInt(length)) => usize::try_from(*length).ok(),
            Some(Value::LongLongInt(length)) => usize::try_from(*length).ok(),
            Some(_) => None,
        };
        match (length, arguments.inner().get("x-recent-history-length")) {
            (Some(length @ 1..), _) => {
                Ok(Self { targets: TargetSet::default(), length, history: None })
            }
            (_, value) => {
                let value = value.cloned().unwrap_or(Value::Void);
                Err(ExchangeFault::HistoryLength { value }.into())
            }
        }
    }
}

impl ExchangeType for RecentHistory {
    fn needs_log(&self) -> bool {
        true
    }

    fn fit(&mut self, fittings: &Fittings<'_>) {
        let backing = fittings.backing.as_ref();
        self.history = backing.map(|backing| Arc::new(History::open(backing, self.length)));
    }

    fn end(&mut self) {
        if let Some(history) = self.history.take() {
            history.close();
        }
    }

    fn history(&self) -> Option<Arc<History>> {
        self.history.clone()
    }

    fn bind(&mut self, binding: BindingRef<'_>) {
        self.targets.add(binding.target);
    }

    fn unbind(&mut self, binding: BindingRef<'_>) {
        self.targets.remove(binding.target);
    }

    fn route(&self, message: &View<'_>, out: &mut Matches) {
        out.targets.extend_from_slice(self.targets.as_slice());
        let no_store = message.header(b"x-recent-history-no-store");
        if no_store != Some(HeaderValue::Bool(true)) {
            out.taps.extend(self.history.clone().map(Tap::History));
        }
    }

    fn is_cacheable(&self) -> bool {
        false
    }
}

/// The latest messages of one exchange.
///
/// # Locks
/// One mutex; the store's inbox is reached under it, nothing else.
#[derive(Debug)]
pub struct History {
    log: QueueId,
    is_durable: bool,
    length: usize,
    store: Store,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// At the most `length`, the latest last.
    messages: VecDeque<Kept>,
    next: Position,
    is_closed: bool,
}

#[derive(Debug)]
struct Kept {
    position: Position,
    is_stored: bool,
    message: Message,
}

impl History {
    /// What is kept for an exchange; reads what an earlier process kept.
    fn open(backing: &Backing, length: usize) -> Self {
        let history = Self {
            log: backing.log,
            is_durable: backing.is_durable,
            length,
            store: backing.store.clone(),
            state: Mutex::new(State {
                messages: VecDeque::new(),
                next: backing.next(),
                is_closed: false,
            }),
        };
        backing.read_blocking(|stored| {
            let (position, message) = (stored.position, stored.message);
            history.state().messages.push_back(Kept { position, is_stored: true, message });
        });
        history
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each section leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a message in place of the oldest. Returns what must be durable before it may be
    /// confirmed.
    pub(super) fn keep(&self, message: &Message) -> CommitSeq {
        let mut state = self.state();
        if state.is_closed {
            return CommitSeq(0);
        }
        let (queue, position) = (self.log, state.next);
        state.next = position.next();
        let is_stored = self.is_durable && message.is_persistent();
        state.messages.push_back(Kept { position, is_stored, message: message.clone() });
        let mut ops = Vec::new();
        if is_stored {
            let (message, standing) = (message.clone(), Standing::default());
            ops.push(StoreOp::Publish { queue, position, message, standing });
        }
        while state.messages.len() > self.length {
            let oldest = state.messages.pop_front().filter(|oldest| oldest.is_stored);
            ops.extend(oldest.map(|oldest| StoreOp::Settle { queue, position: oldest.position }));
        }
        if ops.is_empty() {
            return CommitSeq(0);
        }
        let seq = self.store.submit_all(ops);
        if is_stored { seq } else { CommitSeq(0) }
    }

    /// The messages, the oldest first.
    pub fn messages(&self) -> Vec<Message> {
        self.state().messages.iter().map(|kept| kept.message.clone()).collect()
    }

    fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.messages.clear();
        self.store.submit(StoreOp::DropQueue { queue: self.log });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::table::{LongString, ShortString};

    // EX-096
    #[test]
    fn the_length_is_a_positive_signed_integer() {
        let make = |value: Value| {
            let mut table = Table::default();
            table.insert(ShortString::from("x-recent-history-length"), value);
            RecentHistory::new(&table).map(|exchange| exchange.length)
        };
        assert_eq!(RecentHistory::new(&Table::default()).unwrap().length, 20);
        assert_eq!(make(Value::ShortShortInt(5)), Ok(5));
        assert_eq!(make(Value::LongLongInt(5)), Ok(5));
        let text = Value::LongString(LongString::from("abc"));
        for (value, written) in [
            (Value::LongInt(0), "0"),
            (Value::LongInt(-1), "-1"),
            (text, "<<\"abc\">>"),
            (Value::LongUInt(5), "5"),
            (Value::Boolean(true), "true"),
        ] {
            let text = format!(
                "Invalid argument {written}, 'x-recent-history-length' must be a positive integer"
            );
            assert_eq!(make(value).unwrap_err().to_string(), text);
        }
    }
}
