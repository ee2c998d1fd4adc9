//! From frames to what they ask for.

use std::sync::Arc;

use super::{
    Session, Stage,
    channel::{Channel, ChannelState, Expecting, Mode, PUBLISH},
    confirm::Confirms,
    error::{self, Close, Code, Failure, Ids},
    settle::Verdict,
};
use crate::{
    broker::{client::ChannelInfo, queue::Cause, registry::FullOfChannels},
    clock,
    names::ChannelId,
    wire::{
        frame::{self, Frame, FrameError, FrameKind, Octets},
        method::{self, AMQPClass, Incoming, access, basic, channel, confirm},
    },
};

/// How dispatching goes on after a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// With the next frame; so many bytes behind this one were taken with it.
    On,
    /// With the same frame, later: what it needs is not there yet.
    Again,
}

/// What a frame took.
enum Taken {
    /// Itself, and so many bytes behind it.
    Frame { more: usize },
    /// Nothing: it is to be dispatched again later.
    Nothing,
}

impl From<Flow> for Taken {
    fn from(flow: Flow) -> Self {
        match flow {
            Flow::On => Self::Frame { more: 0 },
            Flow::Again => Self::Nothing,
        }
    }
}

impl Session {
    /// Dispatches the frames at the front of `bytes`. Returns how many bytes are done with, and
    /// whether the rest begins with a frame that has to wait for something.
    pub(super) fn dispatch(&mut self, bytes: &[u8]) -> (usize, Flow) {
        let mut at = 0;
        let mut flow = Flow::On;
        (self.fx.now, self.fx.time) = (clock::now(), clock::unix_time());
        self.look_for_trace();
        if self.stays_blocked() {
            return (0, Flow::Again);
        }
        if matches!(self.stage, Stage::ProtocolHeader) {
            at = self.protocol_header(bytes);
        }
        while !matches!(self.stage, Stage::ProtocolHeader) && at < bytes.len() {
            if self.discards_everything() {
                at = bytes.len();
                break;
            }
            if self.out.len() >= self.output_max * 2 {
                flow = Flow::Again;
                break;
            }
            let rest = &bytes[at..];
            let mut is_out_of_step = false;
            let taken = match frame::parse(rest, self.tuning.frame_max) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    let payload = &rest[frame.payload.clone()];
                    let behind = &rest[frame.len..];
                    let taken = self.frame(&frame, payload, behind);
                    at += if matches!(taken, Ok(Taken::Nothing)) { 0 } else { frame.len };
                    taken.map_err(|failure| (frame.channel, failure))
                }
                Err(error) => {
                    at += skip(&error, rest.len());
                    is_out_of_step = true;
                    Err((0, error::of_frame(&error))).or_else(|failed| self.while_closing(failed))
                }
            };
            match taken {
                Ok(Taken::Frame { more }) => at += more,
                Ok(Taken::Nothing) => {
                    flow = Flow::Again;
                    break;
                }
                Err((channel, failure)) => self.fail(ChannelId(channel), failure),
            }
            if is_out_of_step {
                self.hang_up_soon();
            }
        }
        self.flush();
        (at, flow)
    }

    /// Whether nothing that the peer says matters any more.
    fn discards_everything(&self) -> bool {
        matches!(self.stage, Stage::Closed { .. } | Stage::Mute { .. } | Stage::Finished)
    }

    /// A frame error is not answered while the connection closes, nor before it is open.
    fn while_closing(&self, failed: (u16, Failure)) -> Result<Taken, (u16, Failure)> {
        match self.stage {
            Stage::Closing { .. } => Ok(Taken::Frame { more: 0 }),
            Stage::Running => Err(failed),
            _ => Err((0, Failure::Silent("a malformed frame during the handshake"))),
        }
    }

    fn frame(&mut self, frame: &Frame, payload: &[u8], behind: &[u8]) -> Result<Taken, Failure> {
        let id = ChannelId(frame.channel);
        match self.stage {
            Stage::Running if id.0 == 0 => {
                self.flush();
                self.connection_frame(frame.kind, payload).map(Taken::from)
            }
            Stage::Running => self.channel_frame(id, frame.kind, payload, behind),
            Stage::Closing { .. } => {
                self.closing_frame(frame, payload);
                Ok(Taken::Frame { more: 0 })
            }
            _ => self.handshake_frame(frame, payload).map(Taken::from),
        }
    }

    /// After `connection.close` only its answer counts, or the peer's own close (CN-122, CN-123).
    fn closing_frame(&mut self, frame: &Frame, payload: &[u8]) {
        if frame.kind != FrameKind::Method || frame.channel != 0 {
            return;
        }
        match method::payload_ids(payload) {
            Some((10, 50)) => self.send_connection_close_ok(),
            Some((10, 51)) => self.stage = Stage::Finished,
            _ => {}
        }
    }

    fn channel_frame(
        &mut self,
        id: ChannelId,
        kind: FrameKind,
        payload: &[u8],
        behind: &[u8],
    ) -> Result<Taken, Failure> {
        if kind == FrameKind::Heartbeat {
            let octets = Octets::of(payload);
            let text = format_args!("type 8, {octets}");
            return Err(Code::UnexpectedFrame.failure((0, 0), text));
        }
        if self.broker().gate.is_shut()
            && self.channels.open(id).is_some_and(|channel| channel.expecting.is_content(kind))
            && self.blocked_by_gate()
        {
            return Ok(Taken::Nothing);
        }
        match self.channels.state(id) {
            None => self.unopened_frame(id, kind, payload).map(|()| Taken::Frame { more: 0 }),
            Some(ChannelState::Closing) => {
                self.closing_channel_frame(id, kind, payload)?;
                Ok(Taken::Frame { more: 0 })
            }
            Some(ChannelState::Open(channel)) => match std::mem::take(&mut channel.expecting) {
                Expecting::Method => self.method_frame(id, kind, payload, behind),
                Expecting::Header(incoming) if kind == FrameKind::Header => {
                    self.content_header(id, payload, incoming)?;
                    Ok(Taken::Frame { more: 0 })
                }
                Expecting::Body { incoming, left } if kind == FrameKind::Body => {
                    self.content_body(id, payload, incoming, left)?;
                    Ok(Taken::Frame { more: 0 })
                }
                Expecting::Header(_) => Err(Code::UnexpectedFrame.failure(
                    PUBLISH,
                    "expected content header for class 60, got non content header frame instead",
                )),
                Expecting::Body { .. } => Err(Code::UnexpectedFrame
                    .failure(PUBLISH, "expected content body, got non content body frame instead")),
            },
        }
    }

    /// A frame for a channel that is not open: it must open it (CH-006).
    fn unopened_frame(
        &mut self,
        id: ChannelId,
        kind: FrameKind,
        payload: &[u8],
    ) -> Result<(), Failure> {
        let ids = match kind {
            FrameKind::Method => {
                let decoded = method::decode(payload).map_err(|e| error::of_method(&e, payload))?;
                if let Incoming::Other(AMQPClass::Channel(channel::AMQPMethod::Open(_))) = decoded {
                    return self.open_channel(id);
                }
                method::payload_ids(payload).unwrap_or_default()
            }
            _ => (0, 0),
        };
        Err(Code::ChannelError.failure(ids, "expected 'channel.open'"))
    }

    fn open_channel(&mut self, id: ChannelId) -> Result<(), Failure> {
        let (open, max) = (self.channels.len(), self.tuning.channel_max);
        if max != 0 && open >= usize::from(max) {
            return Err(Code::NotAllowed.failure(
                (0, 0),
                format_args!(
                    "number of channels opened ({open}) has reached the negotiated channel_max \
                     ({max})"
                ),
            ));
        }
        let user = self.context.auth.users().get(&self.user);
        let limit = user.and_then(|user| user.limits.max_channels);
        let info = Arc::new(ChannelInfo::new(id, self.fx.time));
        let registry = &self.broker().registry;
        let of_all = self.context.config.channels_max;
        let opened = registry.open_channel(self.id, Arc::clone(&info), limit, of_all);
        opened.map_err(|full| {
            let text = match full {
                FullOfChannels::User(limit) => format!(
                    "number of channels opened for user '{}' has reached the maximum allowed user \
                     limit of {limit}",
                    self.user
                ),
                FullOfChannels::Node(limit) => format!(
                    "number of channels opened on node '{}' has reached the maximum allowed limit \
                     of {limit}",
                    self.context.config.node()
                ),
            };
            Code::NotAllowed.failure((0, 0), text)
        })?;
        let channel = Channel::new(info, self.context.config.unacked_bytes_max.bytes());
        self.channels.set(id, ChannelState::Open(Box::new(channel)));
        self.reply(id, &AMQPClass::Channel(channel::AMQPMethod::OpenOk(channel::OpenOk {})));
        Ok(())
    }

    /// A frame for a channel that we closed and whose `close-ok` is still to come (CH-008 to
    /// CH-011).
    fn closing_channel_frame(
        &mut self,
        id: ChannelId,
        kind: FrameKind,
        payload: &[u8],
    ) -> Result<(), Failure> {
        if kind != FrameKind::Method {
            return Ok(());
        }
        match method::payload_ids(payload) {
            Some((20, 10)) => {
                return Err(Code::ChannelError.failure((20, 10), "second 'channel.open' seen"));
            }
            Some((20, 40)) => self.reply_channel_close_ok(id),
            Some((20, 41)) => self.forget_channel(id),
            _ => {}
        }
        Ok(())
    }

    fn forget_channel(&mut self, id: ChannelId) {
        self.channels.remove(id);
        self.broker().registry.close_channel(self.id, id);
    }

    fn reply_channel_close_ok(&mut self, id: ChannelId) {
        self.reply(id, &AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})));
    }

    fn method_frame(
        &mut self,
        id: ChannelId,
        kind: FrameKind,
        payload: &[u8],
        behind: &[u8],
    ) -> Result<Taken, Failure> {
        if kind != FrameKind::Method {
            return Err(Code::UnexpectedFrame
                .failure((0, 0), "expected method frame, got non method frame instead"));
        }
        match method::decode(payload).map_err(|e| error::of_method(&e, payload))? {
            Incoming::Publish(publish) => {
                if !self.may_publish()? {
                    return Ok(Taken::Nothing);
                }
                return self.publish(id, &publish, behind).map(|more| Taken::Frame { more });
            }
            Incoming::Ack { delivery_tag, multiple } => {
                self.settle(id, delivery_tag, multiple, Verdict::Ack, (60, 80))?;
            }
            Incoming::Reject { delivery_tag, requeue } => {
                self.settle(id, delivery_tag, false, back(requeue, Cause::Failed), (60, 90))?;
            }
            Incoming::Nack { delivery_tag, multiple, requeue } => {
                self.settle(id, delivery_tag, multiple, back(requeue, Cause::Requeued), (60, 120))?;
            }
            Incoming::Qos { prefetch_size, prefetch_count, global } => {
                self.flush();
                self.qos(id, prefetch_size, prefetch_count, global, (60, 10))?;
            }
            Incoming::Other(class) => {
                self.flush();
                return self.method(id, &class).map(Taken::from);
            }
        }
        Ok(Taken::Frame { more: 0 })
    }

    fn method(&mut self, id: ChannelId, class: &AMQPClass) -> Result<Flow, Failure> {
        let ids = method::ids(class);
        match class {
            AMQPClass::Basic(method) => return self.basic(id, method, ids),
            AMQPClass::Channel(method) => self.channel_method(id, method, ids)?,
            AMQPClass::Exchange(method) => self.exchange(id, method, ids)?,
            AMQPClass::Queue(method) => self.queue(id, method, ids)?,
            AMQPClass::Tx(method) => self.tx(id, method, ids)?,
            AMQPClass::Confirm(confirm::AMQPMethod::Select(method)) => {
                self.confirm_select(id, method.nowait, ids)?;
            }
            // CH-018: a relic that old clients still ask for.
            AMQPClass::Access(access::AMQPMethod::Request(_)) => {
                let ok = access::AMQPMethod::RequestOk(access::RequestOk {});
                self.reply(id, &AMQPClass::Access(ok));
            }
            _ => return Err(unimplemented(ids)),
        }
        Ok(Flow::On)
    }

    fn basic(
        &mut self,
        id: ChannelId,
        method: &basic::AMQPMethod,
        ids: Ids,
    ) -> Result<Flow, Failure> {
        match method {
            basic::AMQPMethod::Consume(method) => self.consume(id, method, ids)?,
            basic::AMQPMethod::Cancel(method) => self.cancel(id, method),
            basic::AMQPMethod::Get(method) => return self.get(id, method, ids),
            // BA-092: an answer to our own cancel harms nobody.
            basic::AMQPMethod::CancelOk(_) => {}
            basic::AMQPMethod::Recover(method) => {
                self.recover(id, method.requeue, ids)?;
                let ok = basic::AMQPMethod::RecoverOk(basic::RecoverOk {});
                self.reply(id, &AMQPClass::Basic(ok));
            }
            basic::AMQPMethod::RecoverAsync(method) => self.recover(id, method.requeue, ids)?,
            _ => return Err(unimplemented(ids)),
        }
        Ok(Flow::On)
    }

    fn channel_method(
        &mut self,
        id: ChannelId,
        method: &channel::AMQPMethod,
        ids: Ids,
    ) -> Result<(), Failure> {
        match method {
            channel::AMQPMethod::Open(_) => {
                Err(Code::ChannelError.failure(ids, "second 'channel.open' seen"))
            }
            channel::AMQPMethod::Close(_) => {
                self.abandon_deliveries(id);
                self.forget_channel(id);
                self.reply_channel_close_ok(id);
                Ok(())
            }
            channel::AMQPMethod::Flow(flow) if flow.active => {
                let ok = channel::AMQPMethod::FlowOk(channel::FlowOk { active: true });
                self.reply(id, &AMQPClass::Channel(ok));
                Ok(())
            }
            channel::AMQPMethod::Flow(_) => Err(Code::NotImplemented.failure(ids, "active=false")),
            _ => Err(unimplemented(ids)),
        }
    }

    /// `confirm.select` (BA-040, BA-041).
    fn confirm_select(&mut self, id: ChannelId, nowait: bool, ids: Ids) -> Result<(), Failure> {
        let Some(channel) = self.channel_mut(id) else { return Ok(()) };
        match channel.mode {
            Mode::Transaction(_) => {
                return Err(
                    Code::PreconditionFailed.failure(ids, "cannot switch from tx to confirm mode")
                );
            }
            Mode::Plain => {
                channel.mode = Mode::Confirm(Confirms::default());
                channel.info.confirms.set(1);
            }
            Mode::Confirm(_) => {}
        }
        if !nowait {
            let ok = confirm::AMQPMethod::SelectOk(confirm::SelectOk {});
            self.reply(id, &AMQPClass::Confirm(ok));
        }
        Ok(())
    }

    /// Ends what failed.
    pub(super) fn fail(&mut self, id: ChannelId, failure: Failure) {
        self.flush();
        match failure {
            Failure::Channel(close) if id.0 != 0 => self.close_channel(id, &close),
            Failure::Channel(close) | Failure::Connection(close) => {
                self.close_connection(id, &close);
            }
            Failure::Silent(reason) => self.mute(reason),
        }
    }

    pub(super) fn close_channel(&mut self, id: ChannelId, close: &Close) {
        self.complain(id, close, "channel error, closing the channel");
        self.abandon_deliveries(id);
        self.confirm();
        self.channels.set(id, ChannelState::Closing);
        let close = channel::Close {
            reply_code: close.code,
            reply_text: method::short_string(&close.text),
            class_id: close.ids.0,
            method_id: close.ids.1,
        };
        self.reply(id, &AMQPClass::Channel(channel::AMQPMethod::Close(close)));
    }

    /// Whether a publish may go on now; if not, it is dispatched again when the gate opens.
    fn may_publish(&mut self) -> Result<bool, Failure> {
        let broker = self.broker();
        if let Some(reason) = broker.store.failed() {
            return Err(
                Code::InternalError.failure(PUBLISH, format_args!("the store failed: {reason}"))
            );
        }
        let is_full = broker.store.is_full();
        Ok(!self.blocked_by_gate() && !is_full && !self.is_ahead())
    }

    /// Whether publishers must wait, with a method, a header or a body alike (AL-004); if so, the
    /// connection is blocked from now on.
    fn blocked_by_gate(&mut self) -> bool {
        let reason = self.broker().gate.reason();
        if let Some(reason) = reason {
            self.blocked(reason);
        }
        reason.is_some()
    }

    /// Whether the connection is blocked and an alarm is still raised: nothing of it is read until
    /// the last one is over, whatever became of the channel that published (CN-146).
    fn stays_blocked(&mut self) -> bool {
        if !self.is_blocked || !matches!(self.stage, Stage::Running) {
            return false;
        }
        let is_shut = self.broker().gate.is_shut();
        if !is_shut {
            self.unblocked();
        }
        is_shut
    }
}

/// What becomes of a delivery that was not acknowledged.
fn back(requeue: bool, cause: Cause) -> Verdict {
    Verdict::Back(if requeue { cause } else { Cause::Refused })
}

/// A method that only a server may send, or that nobody implements (CH-014, CH-015).
fn unimplemented(ids: Ids) -> Failure {
    Code::CommandInvalid.failure(ids, "unimplemented method")
}

/// How far to go on behind bytes that are no frame: to the next one, where there can be one.
fn skip(error: &FrameError, len: usize) -> usize {
    match error {
        FrameError::UnknownKind { len, .. } => *len,
        _ => len,
    }
}
