//! From the outbox to the socket: tags, `basic.deliver`, and news of other kinds.

use std::sync::Arc;

use super::{Session, Stage, channel::Mode, error::Code, unacked::Unacked};
use crate::{
    broker::{
        outbox::{Delivery, Event},
        queue::Held,
        stats::Stat,
    },
    clock,
    message::Message,
    names::ChannelId,
    wire::{
        encode,
        frame::FRAME_END,
        method::{AMQPClass, basic, short_string},
    },
};

/// Body pieces from this size on are written from where they are, not copied.
const SHARED_PIECE_MIN: usize = 16 * 1024;

impl Session {
    /// Takes what waits in the outbox over, behind what was taken before.
    pub(super) fn drain_outbox(&mut self) {
        self.outbox.drain(&mut self.events, &mut self.stalled);
        self.look_for_trace();
        for stalled in std::mem::take(&mut self.stalled) {
            self.context.broker.stalls.add_time(clock::now().since(stalled.since));
            if let Some(queue) = stalled.queue.upgrade() {
                queue.resume(stalled.consumer, &mut self.fx);
            }
        }
    }

    /// Encodes events until the output has enough for now.
    pub(super) fn deliver_some(&mut self) {
        if self.events.is_empty() {
            self.drain_outbox();
        }
        while self.out.len() < self.output_max && !self.waits_to_tell() {
            let Some(event) = self.events.pop_front() else { break };
            self.event(event);
        }
    }

    /// Encodes every event there is, however full the output gets: a reply is to come behind them.
    pub(super) fn deliver_everything(&mut self) {
        self.drain_outbox();
        while let Some(event) = self.events.pop_front() {
            self.event(event);
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Deliver(delivery) => self.delivery(delivery),
            Event::Cancelled { slot } => self.cancelled(slot),
            Event::Close { reason, at_once } => {
                if matches!(self.stage, Stage::Running) {
                    let close = Code::ConnectionForced.close((0, 0), reason);
                    self.close_connection(ChannelId(0), &close);
                }
                if at_once {
                    self.stage = Stage::Finished;
                }
            }
        }
    }

    fn delivery(&mut self, delivery: Delivery) {
        if self.is_traced {
            self.trace_delivery(&delivery);
        }
        let Some(source) = self.sources.get_mut(delivery.slot) else { return };
        let id = source.channel;
        let Some(channel) = self.channels.open(id) else { return };
        let tag = channel.next_tag();
        let tally = &channel.info.tally;
        tally.add(if source.no_ack { Stat::DeliverNoAck } else { Stat::Deliver }, 1);
        if delivery.standing.is_redelivered() {
            tally.add(Stat::Redeliver, 1);
        }
        encode::deliver(
            self.out.buffer(),
            id.0,
            source.tag.as_bytes(),
            tag,
            delivery.standing.is_redelivered(),
            delivery.message.address(),
        );
        let shown = source.queue.shown_properties(&delivery.message, delivery.standing);
        let properties = shown.as_deref().unwrap_or(delivery.message.properties());
        content(&mut self.out, id, &delivery.message, properties, self.tuning.frame_max);
        if !source.no_ack {
            source.unacked += 1;
            channel.unacked.push(
                tag,
                Unacked {
                    slot: delivery.slot,
                    position: delivery.position,
                    message: Held::Message(delivery.message),
                    standing: delivery.standing,
                    is_stored: delivery.is_stored,
                },
            );
            self.watch_ack(id, delivery.slot, tag);
        }
    }

    /// A consumer's queue is gone (QU-087, BA-091).
    fn cancelled(&mut self, slot: u32) {
        let Some(source) = self.sources.get_mut(slot) else { return };
        source.handle = None;
        let (id, tag) = (source.channel, Arc::clone(&source.tag));
        let queue = Arc::clone(&source.queue);
        self.lost_consumer(id);
        self.close_reply_queue(id, &queue);
        self.sources.release(slot);
        self.send_cancel(id, &tag);
    }

    /// Tells the client that a consumer is no more, if it wants to know.
    pub(super) fn send_cancel(&mut self, id: ChannelId, tag: &str) {
        if self.capabilities.consumer_cancel_notify && self.channels.open(id).is_some() {
            let cancel = basic::Cancel { consumer_tag: short_string(tag), nowait: true };
            self.reply(id, &AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)));
        }
    }

    /// A message's content header and body, behind the method that brings it.
    pub(super) fn content(&mut self, id: ChannelId, message: &Message) {
        self.content_with(id, message, None);
    }

    /// The same with other properties.
    pub(super) fn content_with(&mut self, id: ChannelId, message: &Message, other: Option<&[u8]>) {
        let shown = message.shown_properties();
        let properties = other.unwrap_or(&shown);
        content(&mut self.out, id, message, properties, self.tuning.frame_max);
    }

    /// Sends the confirms that became true (R6).
    pub(super) fn confirm(&mut self) {
        let durable = self.broker().store.durable();
        let mut pending = std::mem::take(&mut self.confirming);
        let mut needed = None;
        pending.retain(|&id| {
            let Some(channel) = self.channels.open(id) else { return false };
            let Mode::Confirm(confirms) = &mut channel.mode else { return false };
            if let Some(ack) = confirms.take(durable) {
                encode::ack(self.out.buffer(), id.0, ack.tag, ack.multiple);
                channel.info.tally.add(Stat::Confirm, ack.count);
                channel.info.unconfirmed.set(confirms.pending());
            }
            needed = needed.max(confirms.needed_for_all());
            confirms.is_pending()
        });
        self.confirming = pending;
        if let Some(needed) = needed {
            self.broker().store.hasten(needed);
        }
    }
}

fn content(
    out: &mut super::output::Output,
    id: ChannelId,
    message: &Message,
    properties: &[u8],
    frame_max: u32,
) {
    let size = message.body_len();
    encode::content_header(out.buffer(), id.0, size as u64, properties);
    let limit = encode::payload_max(frame_max);
    let chunks = message.body_chunks().unwrap_or_default();
    // Long pieces that fit into a frame each are sent from where they are.
    if size >= SHARED_PIECE_MIN * chunks.len().max(1)
        && !chunks.is_empty()
        && chunks.iter().all(|piece| piece.len() <= limit)
    {
        for piece in chunks {
            encode::body_frame_header(out.buffer(), id.0, piece.len() as u32);
            out.push_shared(piece.clone());
            out.buffer().push(FRAME_END);
        }
    } else {
        encode::body_frames(out.buffer(), id.0, message.body(), frame_max);
    }
}
