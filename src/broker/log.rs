//! The logs of exchanges: what the store has for a type that keeps something of its messages.
//!
//! A log is a queue number of its own; whoever has it submits and reads as a queue does.

use std::sync::{Arc, Weak, mpsc};

use super::{timers::Timers, vhost::Vhost};
use crate::{
    names::{CommitSeq, Position, QueueId},
    store::{ReadRequest, RecoveredQueue, Store, StoredMessage},
};

/// Bytes that are read from a log at a time.
pub(super) const READ_BYTES: usize = 1024 * 1024;

/// What a log is part of.
#[derive(Clone, Debug)]
pub struct Backing {
    /// The store.
    pub store: Store,
    /// Who waits for which moment.
    pub timers: Arc<Timers>,
    /// The vhost of the exchange.
    pub vhost: Weak<Vhost>,
    /// The number under which the store has the exchange's messages.
    pub log: QueueId,
    /// Whether the exchange outlives the process.
    pub is_durable: bool,
    /// What the store has of it.
    pub recovered: Option<RecoveredQueue>,
    /// What the store has of the second log, whose number is the next one.
    pub recovered_inner: Option<RecoveredQueue>,
}

impl Backing {
    /// What an exchange type inside another one gets.
    pub(super) fn inner(&self) -> Self {
        let log = QueueId(self.log.0 + 1);
        Self { log, recovered: self.recovered_inner, recovered_inner: None, ..self.clone() }
    }

    /// Reads all that the log has, in order. Blocks as [`read_blocking`] does.
    pub(super) fn read_blocking(&self, each: impl FnMut(StoredMessage)) {
        if let Some(found) = self.recovered {
            read_blocking(&self.store, self.log, found, each);
        }
    }

    /// The place of the next entry.
    pub(super) fn next(&self) -> Position {
        self.recovered.map_or(Position(1), |found| found.end.max(Position(1)))
    }
}

/// Reads all that the store has of a queue, in order. Blocks: it is for the start alone, when
/// nobody else is there (R3 is bent for it: the topology's lock may be held).
pub(super) fn read_blocking(
    store: &Store,
    queue: QueueId,
    found: RecoveredQueue,
    mut each: impl FnMut(StoredMessage),
) {
    if found.count == 0 {
        return;
    }
    let mut from = found.first;
    loop {
        let (end, after) = (found.end, CommitSeq(0));
        let request = ReadRequest { queue, from, end, max_bytes: READ_BYTES, after };
        let (done, result) = mpsc::sync_channel(1);
        store.read(request, move |batch| {
            // Nobody waits for it if the start was given up.
            let _ = done.send(batch);
        });
        match result.recv() {
            Ok(Ok(batch)) => {
                for message in batch.messages {
                    each(message);
                }
                if batch.is_end {
                    return;
                }
                from = batch.next;
            }
            Ok(Err(error)) => {
                tracing::error!(queue = queue.0, %error, "what was kept cannot be read");
                return;
            }
            Err(_) => return,
        }
    }
}
