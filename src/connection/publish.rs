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
    reply_to,
    routes::Generations,
    tx::Buffered,
};
use crate::{
    auth::Permission,
    broker::{
        Kind,
        exchange::{Headers, Tap, View},
        publish::{expiration, extra_keys, traits},
        queue::{Arrival, Effects, Published},
        route::Cacheable,
        stats::Stat,
    },
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
        let flags = Flags { mandatory: publish.mandatory, immediate: publish.immediate };
        self.publish_content(id, publish.address, header.properties, Body::Whole(body), flags)?;
        Ok(Some(end))
    }

    /// A content header frame (FR-009 to FR-011, FR-015).
    pub(super) fn content_header(
        &mut self,
        id: ChannelId,
        payload: &[u8],
        mut incoming: Incoming,
    ) -> Result<(), Failure> {
        let header = content::header(payload).map_err(|e| error::of_content(e, payload))?;
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
        let Incoming { address, properties, body, mandatory, immediate, .. } = incoming;
        self.publish_content(
            id,
            &address,
            &properties,
            Body::Pieces(body),
            Flags { mandatory, immediate },
        )
    }

    /// A whole content: checked, routed and handed to its queues, in RabbitMQ's order (BA-001).
    fn publish_content(
        &mut self,
        id: ChannelId,
        address: &[u8],
        properties: &[u8],
        body: Body<'_>,
        flags: Flags,
    ) -> Result<(), Failure> {
        if flags.immediate {
            return Err(Code::NotImplemented.failure(PUBLISH, "immediate=true"));
        }
        let mut scan =
            Properties::scan(properties).map_err(|e| Code::FrameError.failure(PUBLISH, e))?;
        let stamped = if self.is_stamping { Some(self.stamped(properties)) } else { None };
        let properties = match &stamped {
            None => properties,
            Some(stamped) => {
                scan =
                    Properties::scan(stamped).map_err(|e| Code::FrameError.failure(PUBLISH, e))?;
                stamped
            }
        };
        // What is refused must leave no trace in the exchanges that it would have come by, and yet
        // a missing exchange is told first.
        let edited = self.edited(id, properties, &scan);
        let (edited, expiration) =
            match edited.and_then(|edited| Ok((edited, self.check_properties(&scan)?))) {
                Ok(edited) => edited,
                Err(failure) => return Err(self.refused_route(address, &scan).unwrap_or(failure)),
            };
        let is_reply = self.route(address, properties, &scan)?;
        let arrival = Arrival { expiration, returns: 0 };
        let properties = edited.as_deref().unwrap_or(properties);
        let message = body.into_message(address, properties, traits(&scan), &mut self.scratch);
        let kept = self.kept(&message);
        self.routes.count();
        if self.is_traced {
            self.trace_publish(id, &message);
        }
        if let Some(channel) = self.channel_mut(id)
            && let Mode::Transaction(_) = channel.mode
        {
            let publish = Buffered {
                message,
                arrival,
                queues: self.routes.queues().to_vec(),
                kept,
                mandatory: flags.mandatory && !is_reply,
            };
            if let Some(channel) = self.channel_mut(id)
                && let Mode::Transaction(transaction) = &mut channel.mode
            {
                transaction.publishes.push(publish);
                channel.info.uncommitted.add(1);
            }
            return Ok(());
        }
        self.enqueue(id, message, kept, arrival, flags.mandatory && !is_reply);
        Ok(())
    }

    /// What exchanges on the current route keep of a message, if any do.
    fn kept(&self, message: &Message) -> Option<Kept> {
        let taps = self.routes.taps();
        (!taps.is_empty()).then(|| Kept { message: message.clone(), taps: taps.to_vec() })
    }

    /// Hands a message to the queues of the current route, and counts it for its confirm.
    fn enqueue(
        &mut self,
        id: ChannelId,
        message: Message,
        kept: Option<Kept>,
        arrival: Arrival,
        mandatory: bool,
    ) {
        let size = message.footprint();
        let queues = self.routes.queues().len();
        let is_lost = queues == 0 && kept.is_none();
        self.tell_publish(id, &message, queues, is_lost, mandatory);
        if let ([queue], None) = (self.routes.queues(), &kept)
            && !queue.is_deduplicating()
        {
            self.gather_publish(id, message, arrival);
            self.count_published(size);
            return;
        }
        self.flush_publishes();
        if self.routes.queues().iter().any(|queue| queue.is_deduplicating()) {
            self.flush_settlements();
        }
        let mut needed = kept.map_or(CommitSeq(0), |kept| kept.keep(&self.fx));
        let mut is_returned = false;
        let mut is_refused = false;
        let mut note = |published: Published| match published {
            Published::Taken(seq) => needed = needed.max(seq),
            Published::Refused => is_refused = true,
            // A queue that is gone since the route was found takes nothing; that is no loss that
            // the publisher could have avoided (QU-089).
            Published::Gone => {}
        };
        match self.routes.queues() {
            [] if mandatory => {
                self.return_unroutable(id, &message);
                is_returned = true;
            }
            [] => {}
            queues => {
                for queue in queues {
                    note(queue.publish(message.clone(), arrival, &mut self.fx));
                }
            }
        }
        if let Some(channel) = self.channels.open(id)
            && let Mode::Confirm(confirms) = &mut channel.mode
        {
            if is_returned && needed == CommitSeq(0) {
                // Clients tell by what stands behind it which publish a return belongs to.
                let tag = confirms.published_in_vain();
                channel.info.tally.add(Stat::Confirm, 1);
                encode::ack(self.out.buffer(), id.0, tag, false);
            } else if is_refused {
                // BA-045, QU-115: one queue that refuses is enough.
                let tag = confirms.published_in_vain();
                encode::nack(self.out.buffer(), id.0, tag, false, false);
            } else {
                confirms.published(needed, 1);
                channel.info.unconfirmed.set(confirms.pending());
                self.note_confirms(id);
            }
        }
        self.count_published(size);
    }

    /// Counts a publish to so many queues for whoever looks at the channel from outside.
    pub(super) fn tell_publish(
        &mut self,
        id: ChannelId,
        message: &Message,
        queues: usize,
        is_lost: bool,
        mandatory: bool,
    ) {
        self.info.sizes.add(message.body_len());
        self.info.routed.add(queues as u64);
        let Some(channel) = self.channels.open(id) else { return };
        if matches!(channel.mode, Mode::Confirm(_)) {
            self.info.published_for_confirm.add(1);
        }
        let info = &channel.info;
        info.used_at.set(self.fx.time.0);
        info.tally.add(Stat::Publish, 1);
        if is_lost {
            let stat = if mandatory { Stat::ReturnUnroutable } else { Stat::DropUnroutable };
            info.tally.add(stat, 1);
        }
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

    /// Finds the queues of a message; they are the current route then. Returns whether they are
    /// that of a direct reply, which is never returned (BA-165).
    fn route(
        &mut self,
        address: &[u8],
        properties: &[u8],
        scan: &Scan<'_>,
    ) -> Result<bool, Failure> {
        let generations =
            Generations { topology: self.vhost.generation(), access: self.access.generation() };
        let extra = scan.headers.map_or(Ok(Vec::new()), |raw| extra_keys(RawTable(raw)));
        if matches!(&extra, Ok(keys) if keys.is_empty()) && self.routes.find(address, generations) {
            return Ok(false);
        }
        let (exchange, routing_key) = split_address(address);
        // No exchange has a name that is no UTF-8; what is made of it here names none, either.
        let exchange = String::from_utf8_lossy(exchange);
        self.check(Permission::Write, Kind::Exchange, &exchange, PUBLISH)?;
        if exchange.is_empty() && reply_to::is_reply_name(routing_key) {
            self.routes.set().only(self.vhost.reply_queue(routing_key));
            return Ok(true);
        }
        // What is wrong with the exchange is said before what is wrong with the keys.
        if extra.is_err() || self.access.has_topics() {
            let found = self.vhost.topology().check_publish(&exchange).map(drop);
            found.map_err(|e| self.refused(&e, PUBLISH))?;
        }
        let extra = extra.map_err(|e| self.refused(&e, PUBLISH))?;
        let mut keys = vec![routing_key];
        keys.extend(&extra);
        for key in &keys {
            self.check_topic(Permission::Write, &exchange, key, PUBLISH)?;
        }
        let headers = scan.headers.map(RawTable);
        let message = View {
            properties: Some(Properties::of_message(properties)),
            time: self.fx.time,
            ..View::new(&keys, headers.as_ref().map(|headers| headers as &dyn Headers))
        };
        let cacheable = self
            .vhost
            .route(&exchange, &message, self.routes.set())
            .map_err(|e| error::of_broker(&e, self.vhost.name(), PUBLISH))?;
        if cacheable == Cacheable::Yes && extra.is_empty() {
            self.routes.keep(address, generations);
        }
        Ok(false)
    }

    /// Why a message is refused before its other properties are looked at, if so.
    fn refused_route(&self, address: &[u8], scan: &Scan<'_>) -> Option<Failure> {
        let exchange = String::from_utf8_lossy(split_address(address).0);
        if let Err(refused) = self.vhost.topology().check_publish(&exchange) {
            return Some(error::of_broker(&refused, self.vhost.name(), PUBLISH));
        }
        let wrong = extra_keys(RawTable(scan.headers?)).err()?;
        Some(self.refused(&wrong, PUBLISH))
    }

    /// The properties, if they are not to be passed on as they came: with the channel's own name
    /// for direct replies (BA-162).
    fn edited(
        &mut self,
        id: ChannelId,
        properties: &[u8],
        scan: &Scan<'_>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        if scan.reply_to != Some(reply_to::NAME.as_bytes()) {
            return Ok(None);
        }
        let name = self.reply_name(id)?;
        Ok(Some(Properties::of_message(properties).with_reply_to(name.as_bytes())))
    }

    /// Checks what the properties claim. Returns the message's time to live.
    fn check_properties(&self, scan: &Scan<'_>) -> Result<Option<u64>, Failure> {
        let expiration = scan.expiration.map(expiration).transpose();
        let expiration = expiration.map_err(|e| self.refused(&e, PUBLISH))?;
        match scan.user_id {
            Some(user_id) if user_id != self.user.as_bytes() => self.check_user_id(user_id)?,
            _ => {}
        }
        Ok(expiration)
    }

    /// Only an impersonator may publish as somebody else (BA-007).
    fn check_user_id(&self, user_id: &[u8]) -> Result<(), Failure> {
        let user = self.context.auth.users().get(&self.user);
        if user.is_some_and(|user| user.tags.iter().any(|tag| tag == "impersonator")) {
            return Ok(());
        }
        Err(Code::PreconditionFailed.failure(
            PUBLISH,
            format_args!(
                "user_id property set to '{}' but authenticated user was '{}'",
                String::from_utf8_lossy(user_id),
                self.user
            ),
        ))
    }

    /// `basic.return` of a message that reached no queue (BA-005).
    pub(super) fn return_unroutable(&mut self, id: ChannelId, message: &Message) {
        // Confirms of earlier publishes go before it, its own behind it (BA-042).
        self.confirm();
        encode::basic_return(self.out.buffer(), id.0, 312, "NO_ROUTE", message.address());
        self.content(id, message);
    }
}

/// The bits of a publish.
#[derive(Clone, Copy, Debug)]
struct Flags {
    mandatory: bool,
    immediate: bool,
}

/// A message that exchanges keep.
#[derive(Debug)]
pub(super) struct Kept {
    message: Message,
    taps: Vec<Tap>,
}

impl Kept {
    /// Has it kept. Returns what must be durable before it may be confirmed.
    pub(super) fn keep(self, fx: &Effects) -> CommitSeq {
        let needed = self.taps.iter().map(|tap| tap.keep(&self.message, fx));
        needed.max().unwrap_or_default()
    }
}

/// A body as it came in.
enum Body<'a> {
    Whole(&'a [u8]),
    Pieces(Vec<Bytes>),
}

impl Body<'_> {
    fn into_message(
        self,
        address: &[u8],
        properties: &[u8],
        traits: Traits,
        scratch: &mut Vec<u8>,
    ) -> Message {
        match self {
            Self::Whole(body) => Message::copied(address, properties, &[body], traits, scratch),
            Self::Pieces(pieces)
                if pieces.iter().map(Bytes::len).sum::<usize>() <= INLINE_BODY_MAX =>
            {
                let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &piece[..]).collect();
                Message::copied(address, properties, &pieces, traits, scratch)
            }
            Self::Pieces(pieces) => Message::chunked(address, properties, pieces, traits),
        }
    }
}

/// Exchange and routing key of an address in wire form.
fn split_address(address: &[u8]) -> (&[u8], &[u8]) {
    let (exchange, key) = address[1..].split_at(usize::from(address[0]));
    (exchange, &key[1..])
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
