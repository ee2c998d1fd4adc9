//! Consumers: they take messages, acknowledge them, and look whether they are the right ones.

use std::{
    io::Write,
    net::TcpStream,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::{STAMP_BYTES, Shared};
use crate::{
    cli::perf::{
        histogram::Histogram,
        link::{CHANNEL, Error, Link},
    },
    clock::{self, Now},
    names::PublishSeq,
    wire::{content, encode, frame::FrameKind},
};

/// Consumes on a connection of its own.
pub(super) struct Consumer {
    link: Link,
    writer: TcpStream,
    shared: Arc<Shared>,
    ack_every: u64,
    /// Whether messages must come in the order of their numbers.
    is_ordered: bool,
    latency: Histogram,
}

impl Consumer {
    pub(super) fn new(
        link: Link,
        shared: Arc<Shared>,
        ack_every: u64,
        is_ordered: bool,
    ) -> Result<Self, Error> {
        let (writer, latency) = (link.writer()?, Histogram::default());
        Ok(Self { link, writer, shared, ack_every, is_ordered, latency })
    }

    /// Consumes until everything is over; returns how long messages took.
    pub(super) fn run(mut self) -> Result<Histogram, Error> {
        let mut state = Arrivals::default();
        let mut acks = Vec::new();
        while !self.shared.is_over.load(Relaxed) {
            let is_measured = self.shared.is_measured.load(Relaxed);
            let (shared, ack_every, is_ordered) = (&self.shared, self.ack_every, self.is_ordered);
            let latency = &mut self.latency;
            let mut now = None;
            self.link.receive(|incoming| {
                match incoming.kind {
                    FrameKind::Method if incoming.ids() == Some((60, 60)) => {
                        state.tag = delivery_tag(incoming.payload);
                    }
                    FrameKind::Header => {
                        let size = content::header(incoming.payload).map_or(0, |h| h.body_size);
                        state.left = size;
                        state.is_first = true;
                    }
                    FrameKind::Body => {
                        if state.is_first {
                            state.stamp(incoming.payload);
                        }
                        state.left = state.left.saturating_sub(incoming.payload.len() as u64);
                        if state.left > 0 {
                            return Ok(true);
                        }
                        let now = *now.get_or_insert_with(clock::now);
                        if is_measured {
                            latency.add(now.since(state.sent));
                        }
                        let is_misplaced = is_ordered && state.number != state.expected;
                        if is_misplaced || now < state.sent {
                            shared.faults.fetch_add(1, Relaxed);
                        }
                        state.expected = state.number + 1;
                        shared.consumed.fetch_add(1, Relaxed);
                        state.unacked += 1;
                        if ack_every > 0 && state.unacked >= ack_every {
                            let tag = PublishSeq(state.tag);
                            encode::ack(&mut acks, CHANNEL, tag, state.unacked > 1);
                            state.unacked = 0;
                        }
                    }
                    _ => {}
                }
                Ok(true)
            })?;
            if !acks.is_empty() {
                self.writer.write_all(&acks)?;
                acks.clear();
            }
        }
        let mut rest = Vec::new();
        if self.ack_every > 0 && state.unacked > 0 {
            encode::ack(&mut rest, CHANNEL, PublishSeq(state.tag), true);
            self.writer.write_all(&rest)?;
        }
        self.link.close();
        Ok(self.latency)
    }
}

/// What of a message has come so far.
#[derive(Debug, Default)]
struct Arrivals {
    tag: u64,
    left: u64,
    is_first: bool,
    number: u64,
    sent: Now,
    expected: u64,
    unacked: u64,
}

impl Arrivals {
    /// Reads the stamp at the front of a body.
    fn stamp(&mut self, body: &[u8]) {
        self.is_first = false;
        let number = |range: std::ops::Range<usize>| {
            let bytes = body.get(range).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_be_bytes)
        };
        self.number = number(0..8);
        self.sent = Now::from_nanos(number(8..STAMP_BYTES));
    }
}

/// The delivery tag in the payload of a `basic.deliver`.
fn delivery_tag(payload: &[u8]) -> u64 {
    let at = 5 + payload.get(4).map_or(0, |len| usize::from(*len));
    let tag = payload.get(at..at + 8).and_then(|tag| tag.try_into().ok());
    tag.map_or(0, u64::from_be_bytes)
}
