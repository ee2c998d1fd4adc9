//! A channel: what one conversation on a connection has going.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    confirm::Confirms,
    error::Ids,
    tx::Transaction,
    unacked::UnackedList,
};
use crate::{
    broker::outbox::Window,
    names::{DeliveryTag, Name},
};

/// Class and method id of `basic.publish`, the method that every content belongs to.
pub(super) const PUBLISH: Ids = (60, 40);

/// What the next frame of a channel must be.
#[derive(Debug, Default)]
pub(super) enum Expecting {
    #[default]
    Method,
    /// The content header of a publish.
    Header(Incoming),
    /// `left` bytes of its body.
    Body {
        incoming: Incoming,
        left: u64,
    },
}

/// A publish whose content is still coming in.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    pub(super) address: Vec<u8>,
    pub(super) mandatory: bool,
    pub(super) immediate: bool,
    pub(super) properties: Vec<u8>,
    pub(super) body: Vec<Bytes>,
    pub(super) body_size: u64,
}

/// What publishes on a channel are.
#[derive(Debug, Default)]
pub(super) enum Mode {
    #[default]
    Plain,
    Confirm(Confirms),
    Transaction(Transaction),
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) expecting: Expecting,
    pub(super) mode: Mode,
    pub(super) unacked: UnackedList,
    last_tag: u64,
    /// What `basic.qos` set for consumers to come.
    pub(super) prefetch: u16,
    /// What `basic.qos` with `global` set for all consumers together.
    pub(super) window: Arc<Window>,
    /// The queue that an empty name means (CH-020).
    pub(super) last_queue: Option<Name>,
}

impl Channel {
    pub(super) fn new() -> Self {
        Self {
            expecting: Expecting::Method,
            mode: Mode::Plain,
            unacked: UnackedList::default(),
            last_tag: 0,
            prefetch: 0,
            window: Arc::new(Window::new(0, 0)),
            last_queue: None,
        }
    }

    /// The tag of the next delivery.
    pub(super) fn next_tag(&mut self) -> DeliveryTag {
        self.last_tag += 1;
        DeliveryTag(self.last_tag)
    }
}

/// A channel number that is in use.
#[derive(Debug)]
pub(super) enum ChannelState {
    Open(Box<Channel>),
    /// `channel.close` was sent: everything is discarded until its `close-ok` (CH-008).
    Closing,
}
