//! The ready messages of one queue, in order, however many there are.
//!
//! ```text
//! returned   messages that came back, each at its own place; always before all others
//! head       the next messages, in memory
//! paged      one run of places whose messages are in the store alone: from, end, count, bytes
//! tail       the latest messages, in memory, on their way into the run
//! ```
//!
//! The run is one pair of places, so a queue of ten million messages takes no more memory than
//! one of ten thousand. Nothing leaves the middle of the run: it is read into the head before it
//! is needed, and the tail joins the head when the run is empty.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    message::Message,
    names::{CommitSeq, Position},
};

/// A message and its standing in the queue.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) position: Position,
    pub(super) message: Message,
    pub(super) is_redelivered: bool,
    /// Whether the store holds it.
    pub(super) is_stored: bool,
}

/// The run of messages that are in the store alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// The first place that may hold a message.
    pub(super) from: Position,
    /// The place behind the last.
    pub(super) end: Position,
    /// Messages in it.
    pub(super) count: u64,
    /// Bytes of their bodies.
    pub(super) bytes: u64,
    /// What must be written before the whole run can be read.
    pub(super) after: CommitSeq,
}

/// What is next.
#[derive(Debug)]
pub(super) enum Next {
    /// A message, and whether it is one that came back.
    Entry(Entry, bool),
    /// A message that is in the store alone, to be read first.
    Paged,
    /// Nothing.
    Empty,
}

#[derive(Debug, Default)]
pub(super) struct Ready {
    returned: BTreeMap<Position, Entry>,
    head: VecDeque<Entry>,
    run: Option<Run>,
    tail: VecDeque<Entry>,
    /// Bytes of memory of head and tail.
    head_bytes: usize,
    tail_bytes: usize,
    count: u64,
    body_bytes: u64,
}

impl Ready {
    /// Messages that the store holds alone after a restart.
    pub(super) fn recovered(run: Option<Run>) -> Self {
        let (count, body_bytes) = run.map_or((0, 0), |run| (run.count, run.bytes));
        Self { run, count, body_bytes, ..Self::default() }
    }

    /// Messages.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Bytes of all bodies.
    pub(super) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Bytes of memory in use by messages in order (those that came back not counted).
    pub(super) fn resident_bytes(&self) -> usize {
        self.head_bytes + self.tail_bytes
    }

    /// Bytes of memory in use by the messages that are next.
    pub(super) fn head_bytes(&self) -> usize {
        self.head_bytes
    }

    /// Bytes of memory in use by the latest messages.
    pub(super) fn tail_bytes(&self) -> usize {
        self.tail_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn run(&self) -> Option<&Run> {
        self.run.as_ref()
    }

    pub(super) fn push_back(&mut self, entry: Entry) {
        self.count += 1;
        self.body_bytes += entry.message.body_len() as u64;
        let footprint = entry.message.footprint();
        if self.run.is_some() {
            self.tail_bytes += footprint;
            self.tail.push_back(entry);
        } else {
            self.head_bytes += footprint;
            self.head.push_back(entry);
        }
    }

    /// Puts a message back in its place.
    pub(super) fn put_back(&mut self, entry: Entry) {
        self.count += 1;
        self.body_bytes += entry.message.body_len() as u64;
        self.returned.insert(entry.position, entry);
    }

    pub(super) fn pop_front(&mut self) -> Next {
        let (entry, came_back) = if let Some((_, entry)) = self.returned.pop_first() {
            (entry, true)
        } else if let Some(entry) = self.pop_head() {
            (entry, false)
        } else if self.run.is_some() {
            return Next::Paged;
        } else {
            return Next::Empty;
        };
        self.count -= 1;
        self.body_bytes -= entry.message.body_len() as u64;
        Next::Entry(entry, came_back)
    }

    fn pop_head(&mut self) -> Option<Entry> {
        let entry = self.head.pop_front()?;
        self.head_bytes -= entry.message.footprint();
        if self.head.is_empty() && self.head.capacity() > 4096 {
            self.head = VecDeque::new();
        }
        Some(entry)
    }

    /// Undoes the last [`Self::pop_front`]: nobody wanted the message after all. One that came back
    /// must not get into the head: between it and the next there may be messages that are not ready,
    /// and a run that begins with it would take them in.
    pub(super) fn undo_pop(&mut self, entry: Entry, came_back: bool) {
        if came_back {
            return self.put_back(entry);
        }
        self.count += 1;
        self.body_bytes += entry.message.body_len() as u64;
        self.head_bytes += entry.message.footprint();
        self.head.push_front(entry);
    }

    /// Moves out of memory what is behind the first `keep` bytes of the head; `forget` is told of
    /// each message that goes.
    pub(super) fn page_out(&mut self, keep: usize, mut forget: impl FnMut(Entry)) {
        let mut run = self.run.take();
        if run.is_none() {
            let mut kept = 0;
            let split = self.head.iter().position(|entry| {
                kept += entry.message.footprint();
                kept > keep
            });
            self.tail = self.head.split_off(split.unwrap_or(self.head.len()));
            self.tail_bytes = self.tail.iter().map(|entry| entry.message.footprint()).sum();
            self.head_bytes -= self.tail_bytes;
        }
        for entry in self.tail.drain(..) {
            let (position, bytes) = (entry.position, entry.message.body_len() as u64);
            forget(entry);
            let run = run.get_or_insert(Run {
                from: position,
                end: position,
                count: 0,
                bytes: 0,
                after: CommitSeq(0),
            });
            run.end = position.next();
            run.count += 1;
            run.bytes += bytes;
        }
        self.tail_bytes = 0;
        if self.tail.capacity() > 4096 {
            self.tail = VecDeque::new();
        }
        self.run = run;
    }

    /// The whole run can be read when the store has written `seq`.
    pub(super) fn written_by(&mut self, seq: CommitSeq) {
        if let Some(run) = &mut self.run {
            run.after = run.after.max(seq);
        }
    }

    /// All messages of the run before `next` have come. The run may have grown meanwhile.
    pub(super) fn page_in(&mut self, entries: impl Iterator<Item = Entry>, next: Position) {
        let Some(mut run) = self.run.take() else { return };
        for entry in entries {
            run.count = run.count.saturating_sub(1);
            run.bytes = run.bytes.saturating_sub(entry.message.body_len() as u64);
            self.head_bytes += entry.message.footprint();
            self.head.push_back(entry);
        }
        run.from = next;
        if run.from >= run.end {
            // What the run still claimed to hold was not there; the counts follow the facts.
            self.count -= run.count.min(self.count);
            self.body_bytes -= run.bytes.min(self.body_bytes);
            self.head.append(&mut self.tail);
            self.head_bytes += self.tail_bytes;
            self.tail_bytes = 0;
        } else {
            self.run = Some(run);
        }
    }

    /// Takes everything out: the messages in memory, and the run.
    pub(super) fn clear(&mut self) -> (impl Iterator<Item = Entry> + use<>, Option<Run>) {
        let all = std::mem::take(self);
        let entries = all.returned.into_values().chain(all.head).chain(all.tail);
        (entries, all.run)
    }
}
