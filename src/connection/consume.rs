//! `basic.consume`, `cancel`, `get` and `qos`.

use std::sync::Arc;

use super::{
    Session,
    dispatch::Flow,
    error::{self, Code, Failure, Ids},
    reply_to,
    sources::Source,
    unacked::Unacked,
};
use crate::{
    auth::Permission,
    broker::{
        Error, Kind, arguments,
        outbox::Event,
        queue::{Cause, ConsumeRefused, Consumer, GetOutcome, Got, Held, Queue},
        stats::Stat,
    },
    config::GlobalPrefetch,
    names::ChannelId,
    wire::{
        encode,
        method::{AMQPClass, basic, short_string},
    },
};

impl Session {
    /// `basic.qos` (BA-100 to BA-105).
    pub(super) fn qos(
        &mut self,
        id: ChannelId,
        prefetch_size: u32,
        prefetch_count: u16,
        global: bool,
        ids: Ids,
    ) -> Result<(), Failure> {
        if prefetch_size != 0 {
            return Err(Code::NotImplemented
                .failure(ids, format_args!("prefetch_size!=0 ({prefetch_size})")));
        }
        let is_window = global && self.context.config.global_prefetch == GlobalPrefetch::Channel;
        let Some(channel) = self.channel_mut(id) else { return Ok(()) };
        if is_window {
            channel.window.set_limit(u32::from(prefetch_count));
            channel.info.global_prefetch.set(prefetch_count.into());
            self.resume_consumers(id);
        } else {
            channel.prefetch = prefetch_count;
            channel.info.prefetch.set(prefetch_count.into());
        }
        self.reply(id, &AMQPClass::Basic(basic::AMQPMethod::QosOk(basic::QosOk {})));
        Ok(())
    }

    /// `basic.consume` (BA-080 to BA-088).
    pub(super) fn consume(
        &mut self,
        id: ChannelId,
        method: &basic::Consume,
        ids: Ids,
    ) -> Result<(), Failure> {
        let name = self.queue_name(id, method.queue.as_str(), ids)?;
        let tag: Arc<str> = match method.consumer_tag.as_str() {
            "" => self.generated("amq.ctag-").into(),
            given => given.into(),
        };
        if self.sources.consumer(id, &tag).is_some() {
            return Err(Code::NotAllowed
                .failure(ids, format_args!("attempt to reuse consumer tag '{tag}'")));
        }
        let consumers = self.sources.iter().filter(|(_, s)| s.channel == id).count();
        let max = self.context.config.channel_consumers_max;
        if consumers >= max as usize {
            return Err(Code::NotAllowed
                .failure(ids, format_args!("reached maximum ({max}) of consumers per channel")));
        }
        let queue = if name.as_str() == reply_to::NAME {
            self.open_reply_queue(id, method.no_ack, ids)?
        } else {
            self.check(Permission::Read, Kind::Queue, &name, ids)?;
            self.find_queue(&name, ids)?
        };
        arguments::check_consumer(&queue.name, &method.arguments, queue.queue_type)
            .map_err(|e| self.refused(&e, ids))?;
        let slot = self.add_consumer(id, &queue, &tag, method, ids)?;
        if !method.nowait {
            let consumer_tag = short_string(&tag);
            self.reply(
                id,
                &AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(basic::ConsumeOk { consumer_tag })),
            );
        }
        if let Some(handle) = self.sources.get(slot).and_then(|source| source.handle) {
            queue.resume(handle, &mut self.fx);
        }
        Ok(())
    }

    fn add_consumer(
        &mut self,
        id: ChannelId,
        queue: &Arc<Queue>,
        tag: &Arc<str>,
        method: &basic::Consume,
        ids: Ids,
    ) -> Result<u32, Failure> {
        let slot = self.sources.next_slot();
        let Some(channel) = self.channels.open(id) else { return Ok(slot) };
        let consumer = Consumer {
            connection: self.id,
            outbox: Arc::clone(&self.outbox),
            slot,
            channel: id,
            tag: Arc::clone(tag),
            arguments: (!method.arguments.inner().is_empty())
                .then(|| Arc::new(method.arguments.clone())),
            exclusive: method.exclusive,
            no_ack: method.no_ack,
            prefetch: u32::from(channel.prefetch),
            window: Arc::clone(&channel.window),
            priority: arguments::integer(&method.arguments, "x-priority").map_or(0, |priority| {
                priority.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
            }),
        };
        let handle = queue.consume(consumer, method.exclusive).map_err(|refused| {
            let name = queue.name.clone();
            let error = match refused {
                ConsumeRefused::InExclusiveUse => Error::InExclusiveUse { name },
                ConsumeRefused::Gone => Error::NotFound { kind: Kind::Queue, name },
            };
            self.refused(&error, ids)
        })?;
        let slot = self.sources.add(Source {
            channel: id,
            queue: Arc::clone(queue),
            handle: Some(handle),
            tag: Arc::clone(tag),
            no_ack: method.no_ack,
            unacked: 0,
            is_consumer: true,
            ack_timeout: arguments::milliseconds(&method.arguments, "x-consumer-timeout"),
            has_timed_out: false,
        });
        if let Some(channel) = self.channels.open(id) {
            channel.info.consumers.add(1);
        }
        Ok(slot)
    }

    /// `basic.cancel` (BA-089, BA-090).
    pub(super) fn cancel(&mut self, id: ChannelId, method: &basic::Cancel) {
        if let Some(slot) = self.sources.consumer(id, method.consumer_tag.as_str()) {
            self.stop_consumer(slot);
        }
        if !method.nowait {
            let consumer_tag = method.consumer_tag.clone();
            self.reply(
                id,
                &AMQPClass::Basic(basic::AMQPMethod::CancelOk(basic::CancelOk { consumer_tag })),
            );
        }
    }

    /// Ends a consumer: nothing more is pushed for it, what was pushed is delivered, and then it is
    /// gone. Deletes its queue if it was the last consumer of an auto-delete queue.
    pub(super) fn stop_consumer(&mut self, slot: u32) {
        let Some(source) = self.sources.get_mut(slot) else { return };
        let Some(handle) = source.handle.take() else { return };
        let queue = Arc::clone(&source.queue);
        let id = source.channel;
        self.lost_consumer(id);
        let is_abandoned = queue.cancel(handle, &mut self.fx);
        self.close_reply_queue(id, &queue);
        self.deliver_everything();
        self.sources.release(slot);
        if is_abandoned {
            self.delete_abandoned(&queue);
        }
    }

    /// A channel has one consumer less.
    pub(super) fn lost_consumer(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.open(id) {
            channel.info.consumers.sub(1);
        }
    }

    /// Deletes an auto-delete queue that lost its last consumer, unless it has one again.
    pub(super) fn delete_abandoned(&mut self, queue: &Arc<Queue>) {
        // If somebody consumes again, the queue stays.
        let _ = self.vhost.delete_queue(queue, true, false, &mut self.fx);
    }

    /// `basic.get` (BA-060 to BA-064).
    pub(super) fn get(
        &mut self,
        id: ChannelId,
        method: &basic::Get,
        ids: Ids,
    ) -> Result<Flow, Failure> {
        let name = self.queue_name(id, method.queue.as_str(), ids)?;
        self.check(Permission::Read, Kind::Queue, &name, ids)?;
        let queue = self.find_queue(&name, ids)?;
        queue.check_get().map_err(|error| self.refused(&error, ids))?;
        match queue.get(method.no_ack, &self.waker, &mut self.fx) {
            GetOutcome::Got(got) => self.got(id, &queue, got, method.no_ack),
            GetOutcome::Empty => {
                if let Some(channel) = self.channels.open(id) {
                    channel.info.tally.add(Stat::GetEmpty, 1);
                }
                let empty = AMQPClass::Basic(basic::AMQPMethod::GetEmpty(basic::GetEmpty {}));
                self.reply(id, &empty);
            }
            GetOutcome::Wait => return Ok(Flow::Again),
            GetOutcome::Unreadable => {
                let (queue, vhost) = (&queue.name, self.vhost.name());
                return Err(Code::InternalError.failure(
                    ids,
                    format_args!("messages of queue '{queue}' in vhost '{vhost}' cannot be read"),
                ));
            }
            GetOutcome::Gone => {
                let name = queue.name.clone();
                let error = Error::NotFound { kind: Kind::Queue, name };
                return Err(self.refused(&error, ids));
            }
        }
        Ok(Flow::On)
    }

    fn got(&mut self, id: ChannelId, queue: &Arc<Queue>, got: Got, no_ack: bool) {
        if self.is_traced {
            self.trace_message(id, queue, &got.message, got.standing);
        }
        let Some(channel) = self.channels.open(id) else { return };
        let tag = channel.next_tag();
        let tally = &channel.info.tally;
        tally.add(if no_ack { Stat::GetNoAck } else { Stat::Get }, 1);
        if got.standing.is_redelivered() {
            tally.add(Stat::Redeliver, 1);
        }
        encode::get_ok(
            self.out.buffer(),
            id.0,
            tag,
            got.standing.is_redelivered(),
            got.message.address(),
            u32::try_from(got.left).unwrap_or(u32::MAX),
        );
        let shown = queue.shown_properties(&got.message, got.standing);
        self.content_with(id, &got.message, shown.as_deref());
        if no_ack {
            return;
        }
        let slot = self.get_source(id, queue);
        if let Some(source) = self.sources.get_mut(slot) {
            source.unacked += 1;
        }
        if let Some(channel) = self.channels.open(id) {
            channel.unacked.push(
                tag,
                Unacked {
                    slot,
                    position: got.position,
                    message: Held::Message(got.message),
                    standing: got.standing,
                    is_stored: got.is_stored,
                },
            );
        }
        self.watch_ack(id, slot, tag);
    }

    /// The source that stands for `basic.get` from a queue on a channel.
    fn get_source(&mut self, id: ChannelId, queue: &Arc<Queue>) -> u32 {
        let found = self.sources.iter().find(|(_, source)| {
            !source.is_consumer && source.channel == id && Arc::ptr_eq(&source.queue, queue)
        });
        if let Some((slot, _)) = found {
            return slot;
        }
        self.sources.add(Source {
            channel: id,
            queue: Arc::clone(queue),
            handle: None,
            tag: Arc::from(""),
            no_ack: false,
            unacked: 0,
            is_consumer: false,
            ack_timeout: None,
            has_timed_out: false,
        })
    }

    /// Takes back everything that a channel holds: its consumers end, what was on its way to them
    /// and what it has not settled goes back to its queues, in order (CH-013).
    pub(super) fn abandon_deliveries(&mut self, id: ChannelId) {
        self.flush();
        let slots: Vec<u32> =
            self.sources.iter().filter(|(_, s)| s.channel == id).map(|(slot, _)| slot).collect();
        let mut abandoned = Vec::new();
        for &slot in &slots {
            let Some(source) = self.sources.get_mut(slot) else { continue };
            let Some(handle) = source.handle.take() else { continue };
            let queue = Arc::clone(&source.queue);
            self.lost_consumer(id);
            if queue.cancel(handle, &mut self.fx) {
                abandoned.push(Arc::clone(&queue));
            }
            self.close_reply_queue(id, &queue);
        }
        let unseen = self.withdraw_events(&slots);
        let unacked: Vec<_> = match self.channels.open(id) {
            Some(channel) => channel.take_unsettled(),
            None => Vec::new(),
        };
        let unseen = unseen.into_iter().map(|unacked| (unacked, Cause::Unseen));
        let seen = unacked.into_iter().map(|unacked| (unacked, Cause::Failed));
        self.take_back(id, seen.chain(unseen));
        for &slot in &slots {
            self.sources.release(slot);
        }
        for queue in abandoned {
            self.delete_abandoned(&queue);
        }
    }

    /// Takes the deliveries for these slots out of what waits to be sent.
    fn withdraw_events(&mut self, slots: &[u32]) -> Vec<Unacked> {
        self.drain_outbox();
        let mut withdrawn = Vec::new();
        let events = std::mem::take(&mut self.events);
        for event in events {
            match event {
                Event::Deliver(delivery) if slots.contains(&delivery.slot) => {
                    let no_ack = self.sources.get(delivery.slot).is_none_or(|s| s.no_ack);
                    if no_ack {
                        continue;
                    }
                    if let Some(source) = self.sources.get_mut(delivery.slot) {
                        source.unacked += 1;
                    }
                    withdrawn.push(Unacked {
                        slot: delivery.slot,
                        position: delivery.position,
                        message: Held::Message(delivery.message),
                        standing: delivery.standing,
                        is_stored: delivery.is_stored,
                    });
                }
                Event::Cancelled { slot } if slots.contains(&slot) => {}
                other => self.events.push_back(other),
            }
        }
        withdrawn
    }

    pub(super) fn refused(&self, error: &Error, ids: Ids) -> Failure {
        error::of_broker(error, self.vhost.name(), ids)
    }

    fn find_queue(&self, name: &str, ids: Ids) -> Result<Arc<Queue>, Failure> {
        self.vhost.queue(name, self.id).map_err(|e| self.refused(&e, ids))
    }
}
