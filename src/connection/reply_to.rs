//! Direct reply-to: answers that go straight to the channel that asked (BA-160 to BA-168).
//!
//! The consumer of `amq.rabbitmq.reply-to` has a queue like any other, but of its own, under a name
//! that nobody can guess and no topology knows; it goes with the consumer.

use std::sync::Arc;

use super::{
    Session,
    channel::PUBLISH,
    error::{Code, Failure, Ids},
};
use crate::{
    broker::queue::Queue,
    names::{ChannelId, Name},
    wire::method::{AMQPClass, queue, short_string},
};

/// The name that clients use for it.
pub(super) const NAME: &str = "amq.rabbitmq.reply-to";

/// Whether this is a name that was made for somebody's replies.
pub(super) fn is_reply_name(name: &[u8]) -> bool {
    name.strip_prefix(NAME.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'.'))
}

impl Session {
    /// The queue for a new reply consumer of the channel.
    pub(super) fn open_reply_queue(
        &mut self,
        id: ChannelId,
        no_ack: bool,
        ids: Ids,
    ) -> Result<Arc<Queue>, Failure> {
        if !no_ack {
            return Err(Code::PreconditionFailed.failure(ids, "reply consumer cannot acknowledge"));
        }
        let name = Name::from(self.generated(&format!("{NAME}.")));
        let owner = self.id;
        let Some(channel) = self.channels.open(id) else {
            return Err(Code::ChannelError.failure(ids, "expected 'channel.open'"));
        };
        if channel.reply_to.is_some() {
            return Err(Code::PreconditionFailed.failure(ids, "reply consumer already set"));
        }
        channel.reply_to = Some(name.clone());
        Ok(self.vhost.open_reply_queue(name, owner))
    }

    /// The channel's replies, if this is their queue, go nowhere from now on. What is in it goes,
    /// in the store too.
    pub(super) fn close_reply_queue(&mut self, id: ChannelId, queue: &Arc<Queue>) {
        if let Some(channel) = self.channels.open(id)
            && channel.reply_to.as_ref() == Some(&queue.name)
        {
            channel.reply_to = None;
            self.vhost.close_reply_queue(&queue.name);
            // No condition was set, so that it is refused only when it is done already.
            let _ = queue.delete(false, false, &mut self.fx);
        }
    }

    /// The name that stands for the channel's replies in what it publishes (BA-162).
    pub(super) fn reply_name(&mut self, id: ChannelId) -> Result<Name, Failure> {
        self.channels.open(id).and_then(|channel| channel.reply_to.clone()).ok_or_else(|| {
            Code::PreconditionFailed.failure(PUBLISH, "fast reply consumer does not exist")
        })
    }

    /// A declare of a reply name only asks whether it is alive (QU-020, BA-166).
    pub(super) fn declare_reply_queue(
        &mut self,
        id: ChannelId,
        name: &str,
        nowait: bool,
        ids: Ids,
    ) -> Result<(), Failure> {
        if name != NAME && self.vhost.reply_queue(name.as_bytes()).is_none() {
            let text = format_args!("no queue '{name}' in vhost '{}'", self.vhost.name());
            return Err(Code::NotFound.failure(ids, text));
        }
        if !nowait {
            let ok =
                queue::DeclareOk { queue: short_string(name), message_count: 0, consumer_count: 1 };
            self.reply(id, &AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)));
        }
        Ok(())
    }
}

/// Nothing is bound to a reply name (EX-052); `NAME` itself is like any name of no queue.
pub(super) fn check_not_reply(name: &str, ids: Ids) -> Result<(), Failure> {
    if is_reply_name(name.as_bytes()) {
        return Err(Code::AccessRefused
            .failure(ids, "cannot bind or unbind to a volatile (direct reply-to) queue"));
    }
    Ok(())
}
