//! `basic.publish`: from its frames to a message, from the message to its queues.
//!
//! The method, its content header and a body of one frame usually lie side by side in the read
//! buffer; then the message is copied out of it once, and nothing is kept in between. Otherwise
//! the channel keeps what has come so far.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    Session,
    channel::{Expecting, Incoming, Mode, PUBLISH},
    error::{self, Code, Failure},
    tx::Buffered,
};
use crate::{
    broker::{exchange::Headers, route::Cacheable},
    clock,
    message::{INLINE_BODY_MAX, Message, Traits},
    names::{ChannelId, CommitSeq},
    wire::{
        content::{self, ContentHeader},
        encode,
        frame::{self, FrameKind},
        method,
        properties::{Properties, Scan},
        table::RawTable,
    },
};

/// Bytes that a connection publishes between two looks at how far it runs ahead.
const FLOW_QUANTUM: usize = 128 * 1024;
/// The longest that a publisher waits for consumers, so that a slow one cannot hold it up.
const FLOW_PAUSE: Duration = Duration::from_millis(2);
/// The largest body size that RabbitMQ lets a content header announce (FR-015).
const BODY_SIZE_MAX: u64 = 512 * 1024 * 1024;

impl Session {
    /// A `basic.publish` method. `rest` are the bytes behind its frame; returns how many of them
    /// belong to its content and were taken.
    pub(super) fn publish(
        &mut self,
        id: ChannelId,
        publish: &method::Publish<'_>,
        rest: &[u8],
    ) -> Result<usize, Failure> {
        if let Some(taken) = self.publish_whole(id, publish, rest)? {
            return Ok(taken);
        }
        let incoming = Incoming {
            address: publish.address.to_vec(),
            mandatory: publish.mandatory,
            immediate: publish.immediate,
            ..Incoming::default()
        };
        if let Some(channel) = self.channel_mut(id) {
            channel.expecting = Expecting::Header(incoming);
        }
        Ok(0)
    }

    /// The short way: header and body are there, in one frame each.
    fn publish_whole(
        &mut self,
        id: ChannelId,
        publish: &method::Publish<'_>,
        rest: &[u8],
    ) -> Result<Option<usize>, Failure> {
        let next = |at: usize, kind: FrameKind| {
            let bytes = rest.get(at..)?;
            let frame = frame::parse(bytes, self.tuning.frame_max).ok()??;
            let fits = frame.kind == kind && frame.channel == id.0;
            fits.then(|| (&bytes[frame.payload.clone()], at + frame.len))
        };
        let Some((payload, body_at)) = next(0, FrameKind::Header) else { return Ok(None) };
        let Ok(header) = content::header(payload) else { return Ok(None) };
        if header.class_id != PUBLISH.0 || header.weight != 0 {
            return Ok(None);
        }
        let (body, end) = match header.body_size {
            0 => (&[][..], body_at),
            size if size > self.message_size_max().min(INLINE_BODY_MAX as u64) => return Ok(None),
            size => match next(body_at, FrameKind::Body) {
                Some((body, end)) if body.len() as u64 == size => (body, end),
                _ => return Ok(None),
            },
        };
        let scan = scan(header.properties)?;
        let message = Message::copied(
            publish.address,
            header.properties,
            &[body],
            traits(&scan),
            &mut self.scratch,
        );
        self.publish_message(id, message, &scan, publish.mandatory, publish.immediate)?;
        Ok(Some(end))
    }

    /// A content header frame (FR-009 to FR-011, FR-015).
    pub(super) fn content_header(
        &mut self,
        id: ChannelId,
        payload: &[u8],
        mut incoming: Incoming,
    ) -> Result<(), Failure> {
        let header = content::header(payload).map_err(|e| error::of_content(&e, payload))?;
        check_header(&header)?;
        incoming.properties = header.properties.to_vec();
        incoming.body_size = header.body_size;
        // The body of a message that will be refused for its size is read, but not kept.
        self.content_body_or_done(id, incoming, header.body_size)
    }

    /// A body frame (FR-012, FR-014, FR-017).
    pub(super) fn content_body(
        &mut self,
        id: ChannelId,
        payload: &[u8],
        mut incoming: Incoming,
        left: u64,
    ) -> Result<(), Failure> {
        let Some(left) = left.checked_sub(payload.len() as u64) else {
            return Err(Code::FrameError
                .failure(PUBLISH, "content body frame exceeds remaining content size"));
        };
        if incoming.body_size <= self.message_size_max() {
            incoming.body.push(Bytes::copy_from_slice(payload));
        }
        self.content_body_or_done(id, incoming, left)
    }

    fn content_body_or_done(
        &mut self,
        id: ChannelId,
        incoming: Incoming,
        left: u64,
    ) -> Result<(), Failure> {
        if left > 0 {
            if let Some(channel) = self.channel_mut(id) {
                channel.expecting = Expecting::Body { incoming, left };
            }
            return Ok(());
        }
        let max = self.message_size_max();
        if incoming.body_size > max {
            // BA-002: the largest size of all is not called `configured`.
            let word = if max == BODY_SIZE_MAX { "max size" } else { "configured max size" };
            let size = incoming.body_size;
            return Err(Code::PreconditionFailed.failure(
                PUBLISH,
                format_args!("message size {size} is larger than {word} {max}"),
            ));
        }
        let scan = scan(&incoming.properties)?;
        let traits = traits(&scan);
        let (address, properties) = (&incoming.address, &incoming.properties);
        let message = if incoming.body_size <= INLINE_BODY_MAX as u64 {
            let body: Vec<&[u8]> = incoming.body.iter().map(|piece| &piece[..]).collect();
            Message::copied(address, properties, &body, traits, &mut self.scratch)
        } else {
            Message::chunked(address, properties, incoming.body, traits)
        };
        self.publish_message(id, message, &scan, incoming.mandatory, incoming.immediate)
    }

    /// A whole message: checks, routes and hands it to its queues, in RabbitMQ's order (BA-001).
    fn publish_message(
        &mut self,
        id: ChannelId,
        message: Message,
        scan: &Scan<'_>,
        mandatory: bool,
        immediate: bool,
    ) -> Result<(), Failure> {
        if immediate {
            return Err(Code::NotImplemented.failure(PUBLISH, "immediate=true"));
        }
        self.route(&message, scan)?;
        let size = message.footprint();
        let is_transactional =
            self.channel_mut(id).is_some_and(|c| matches!(c.mode, Mode::Transaction(_)));
        if is_transactional {
            let queues = self.routes.queues().to_vec();
            if let Some(channel) = self.channel_mut(id)
                && let Mode::Transaction(transaction) = &mut channel.mode
            {
                transaction.publishes.push(Buffered { message, queues, mandatory });
            }
            return Ok(());
        }
        let mut needed = CommitSeq(0);
        match self.routes.queues() {
            [] if mandatory => self.return_unroutable(id, &message),
            [] => {}
            [queue] => {
                // A queue that is gone since the route was found takes nothing; that is no loss
                // that the publisher could have avoided (QU-089).
                needed = queue.publish(message, &mut self.fx).unwrap_or_default();
            }
            queues => {
                for queue in queues {
                    let seq = queue.publish(message.clone(), &mut self.fx);
                    needed = needed.max(seq.unwrap_or_default());
                }
            }
        }
        if let Some(channel) = self.channel_mut(id)
            && let Mode::Confirm(confirms) = &mut channel.mode
        {
            confirms.published(needed);
            self.note_confirms(id);
        }
        self.count_published(size);
        Ok(())
    }

    /// Looks now and then whether this connection publishes faster than busy consumers can take:
    /// if so, its next publish waits for them for a moment. A short queue is a fast queue.
    fn count_published(&mut self, size: usize) {
        self.unchecked_bytes += size;
        if self.unchecked_bytes < FLOW_QUANTUM {
            return;
        }
        self.unchecked_bytes = 0;
        let ahead_of = self.routes.queues().iter().find(|queue| queue.is_ahead(&self.waker));
        self.ahead = ahead_of.map(|queue| (Arc::clone(queue), clock::now().after(FLOW_PAUSE)));
    }

    /// Whether this connection waits for consumers to catch up.
    pub(super) fn is_ahead(&mut self) -> bool {
        let Some((queue, until)) = &self.ahead else { return false };
        if clock::now() < *until && queue.is_ahead(&self.waker) {
            return true;
        }
        self.ahead = None;
        false
    }

    fn message_size_max(&self) -> u64 {
        self.context.config.max_message_size.bytes() as u64
    }

    /// Finds the queues of a message; they are the current route then.
    fn route(&mut self, message: &Message, scan: &Scan<'_>) -> Result<(), Failure> {
        let generation = self.vhost.generation();
        let is_known = self.routes.find(message.address(), generation);
        if !is_known {
            // No exchange has a name that is no UTF-8; what is made of it here names none, either.
            let exchange = String::from_utf8_lossy(message.exchange());
            let headers = scan.headers.map(RawTable);
            let headers = headers.as_ref().map(|headers| headers as &dyn Headers);
            let cacheable = self
                .vhost
                .route(&exchange, &[message.routing_key()], headers, self.routes.set())
                .map_err(|e| error::of_broker(&e, self.vhost.name(), PUBLISH))?;
            if cacheable == Cacheable::Yes {
                self.routes.keep(message.address(), generation);
            }
        }
        scan.expiration.map_or(Ok(()), check_expiration)
    }

    /// `basic.return` of a message that reached no queue (BA-005).
    pub(super) fn return_unroutable(&mut self, id: ChannelId, message: &Message) {
        // Confirms of earlier publishes go before it, its own behind it (BA-042).
        self.confirm();
        encode::basic_return(self.out.buffer(), id.0, 312, "NO_ROUTE", message.address());
        self.content(id, message);
    }
}

fn scan(properties: &[u8]) -> Result<Scan<'_>, Failure> {
    Properties::scan(properties).map_err(|e| Code::FrameError.failure(PUBLISH, e))
}

fn traits(scan: &Scan<'_>) -> Traits {
    Traits { is_persistent: scan.delivery_mode == 2, priority: scan.priority }
}

fn check_header(header: &ContentHeader<'_>) -> Result<(), Failure> {
    if header.weight != 0 {
        return Err(Code::UnexpectedFrame.failure(
            PUBLISH,
            "expected content header for class 60, got non content header frame instead",
        ));
    }
    if header.class_id != PUBLISH.0 {
        return Err(Code::UnexpectedFrame.failure(
            PUBLISH,
            format_args!(
                "expected content header for class 60, got one for class {} instead",
                header.class_id
            ),
        ));
    }
    if header.body_size > BODY_SIZE_MAX {
        return Err(Code::FrameError.failure(
            PUBLISH,
            format_args!(
                "content body size {} exceeds maximum allowed size {BODY_SIZE_MAX}",
                header.body_size
            ),
        ));
    }
    Ok(())
}

/// The `expiration` property must be milliseconds in decimal digits, up to ten years (BA-008).
fn check_expiration(raw: &[u8]) -> Result<(), Failure> {
    const MAX: i128 = 10 * 365 * 24 * 60 * 60 * 1000;
    let text = String::from_utf8_lossy(raw);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let digits = unsigned.len() - unsigned.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = text.split_at(text.len() - unsigned.len() + digits);
    let reason = match number.parse::<i128>() {
        _ if digits == 0 => "no_integer".to_owned(),
        _ if !rest.is_empty() => format!("{{leftover_string,\"{rest}\"}}"),
        Ok(value) if value < 0 => format!("{{value_negative,{value}}}"),
        Ok(value) if value <= MAX => return Ok(()),
        _ => format!("{{value_too_large,{}}}", number.trim_start_matches('+')),
    };
    let explanation = format_args!("invalid expiration '{text}': {reason}");
    Err(Code::PreconditionFailed.failure(PUBLISH, explanation))
}
