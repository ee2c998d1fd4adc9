//! A channel: what one conversation on a connection has going.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;

use super::{
    ack_timeout::AckDeadlines,
    confirm::Confirms,
    error::Ids,
    tx::Transaction,
    unacked::{Unacked, UnackedList},
};
use crate::{
    broker::{client::ChannelInfo, outbox::Window},
    names::{ChannelId, DeliveryTag, Name},
    wire::frame::FrameKind,
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
    Body { incoming: Incoming, left: u64 },
}

impl Expecting {
    /// Whether a frame of this kind goes on with a content that has begun.
    pub(super) fn is_content(&self, kind: FrameKind) -> bool {
        match self {
            Self::Method => false,
            Self::Header(_) => kind == FrameKind::Header,
            Self::Body { .. } => kind == FrameKind::Body,
        }
    }
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
    /// What others see of it.
    pub(super) info: Arc<ChannelInfo>,
    pub(super) expecting: Expecting,
    pub(super) mode: Mode,
    pub(super) unacked: UnackedList,
    pub(super) ack_deadlines: AckDeadlines,
    last_tag: u64,
    /// What `basic.qos` set for consumers to come.
    pub(super) prefetch: u16,
    /// What `basic.qos` with `global` set for all consumers together.
    pub(super) window: Arc<Window>,
    /// The queue that an empty name means (CH-020).
    pub(super) last_queue: Option<Name>,
    /// The name of its own for direct replies, while it consumes them.
    pub(super) reply_to: Option<Name>,
}

impl Channel {
    pub(super) fn new(info: Arc<ChannelInfo>, unacked_bytes_max: usize) -> Self {
        Self {
            expecting: Expecting::Method,
            mode: Mode::Plain,
            unacked: UnackedList::new(Arc::clone(&info), unacked_bytes_max),
            ack_deadlines: AckDeadlines::default(),
            last_tag: 0,
            prefetch: 0,
            window: Arc::new(Window::new(0, 0)),
            last_queue: None,
            reply_to: None,
            info,
        }
    }

    /// Takes out every delivery that is not settled, those of an open transaction with them.
    pub(super) fn take_unsettled(&mut self) -> Vec<Unacked> {
        if let Mode::Transaction(transaction) = &mut self.mode {
            let undone = std::mem::take(&mut transaction.settlements);
            self.unacked.restore(undone.into_iter().map(|(tag, unacked, _)| (tag, unacked)));
        }
        self.unacked.take_all().map(|(_, unacked)| unacked).collect()
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

/// The channels of a connection, by number.
#[derive(Debug, Default)]
pub(super) struct Channels(HashMap<u16, ChannelState>);

impl Channels {
    /// The channel, if it is open.
    pub(super) fn open(&mut self, id: ChannelId) -> Option<&mut Channel> {
        match self.0.get_mut(&id.0)? {
            ChannelState::Open(channel) => Some(channel),
            ChannelState::Closing => None,
        }
    }

    pub(super) fn state(&mut self, id: ChannelId) -> Option<&mut ChannelState> {
        self.0.get_mut(&id.0)
    }

    pub(super) fn set(&mut self, id: ChannelId, state: ChannelState) {
        self.0.insert(id.0, state);
    }

    pub(super) fn remove(&mut self, id: ChannelId) {
        self.0.remove(&id.0);
    }

    /// Channels in use, those that are closing with them.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn ids(&self) -> Vec<ChannelId> {
        self.0.keys().map(|&id| ChannelId(id)).collect()
    }
}
