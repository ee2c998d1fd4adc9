//! The store through its public face: on a real directory, and on a disk in memory that crashes.

mod crash;
mod directory;
mod memory;
mod script;

use std::{sync::mpsc, time::Duration};

use super::*;
use crate::message::Traits;

/// A persistent message with this body.
fn message_of(body: &[u8]) -> Message {
    let traits = Traits { is_persistent: true, ..Traits::default() };
    Message::copied(b"\x02ex\x03key", b"\0\0", &[body], traits, &mut Vec::new())
}

/// Reads a whole queue, about `step` bytes at a time.
fn read_all(store: &Store, queue: QueueId, after: CommitSeq, step: usize) -> Vec<StoredMessage> {
    let mut found = Vec::new();
    let mut from = Position(0);
    loop {
        let (sender, receiver) = mpsc::sync_channel(1);
        let end = Position(u64::MAX);
        let request = ReadRequest { queue, from, end, max_bytes: step, after };
        store.read(request, move |batch| drop(sender.send(batch)));
        let batch = receiver.recv().unwrap().unwrap();
        assert!(batch.is_end || !batch.messages.is_empty());
        found.extend(batch.messages);
        if batch.is_end {
            return found;
        }
        from = batch.next;
    }
}

/// Waits until everything up to `needed` is durable; whether it is.
fn wait_durable(store: &Store, needed: CommitSeq) -> bool {
    struct Unpark(thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::task::Waker::from(Arc::new(Unpark(thread::current())));
    let mut registration = Registration::default();
    let mut cx = Context::from_waker(&waker);
    while store.poll_durable(needed, &mut registration, &mut cx).is_pending() {
        thread::park();
    }
    store.durable() >= needed
}
