//! A connection's life: turn after turn until the socket closes.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Context, EndedBy, Peer, Session, Stage, dispatch::Flow, heartbeat::Due, input::Input};
use crate::{
    clock::{self, Now},
    names::CommitSeq,
    store::Registration,
    wire::encode,
};

/// Turns in a row before other tasks get theirs.
const TURNS_MAX: usize = 16;

/// Serves one connection to its end.
pub async fn serve<S>(stream: S, peer: Peer, context: Arc<Context>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let handshake_ends = peer.connected.after(context.config.handshake_timeout);
    let session = Session::new(context, peer, waker);
    let mut connection = Connection {
        stream,
        is_flushed: true,
        input: Input::default(),
        session,
        flow: Flow::On,
        handshake_ends,
        timer: None,
        durable: Registration::default(),
        room: Registration::default(),
        opening: Registration::default(),
    };
    poll_fn(|cx| connection.poll(cx)).await;
    let session = &connection.session;
    let (user, vhost) = session.whose();
    tracing::info!(
        connection = session.id.0,
        peer = %session.peer.ends.peer,
        user,
        vhost,
        ended = session.ended_by.text(),
        "connection closed"
    );
    if session.peer.tls.is_some() {
        // TLS has a goodbye of its own. Who does not take it at once goes without.
        poll_fn(|cx| Poll::Ready(Pin::new(&mut connection.stream).poll_shutdown(cx).map(drop)))
            .await
            .is_ready();
    }
}

struct Connection<S> {
    stream: S,
    /// Whether the stream has passed on all that was written to it. TLS keeps records that the
    /// socket does not take at once.
    is_flushed: bool,
    input: Input,
    session: Session,
    /// Whether the front of the input waits for something.
    flow: Flow,
    handshake_ends: Now,
    timer: Option<(Now, Timer)>,
    durable: Registration,
    room: Registration,
    opening: Registration,
}

/// A wait for a moment.
type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The socket is of no more use.
struct Broken;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        if !self.session.waker.will_wake(cx.waker()) {
            self.session.waker.clone_from(cx.waker());
        }
        for _ in 0..TURNS_MAX {
            match self.turn(cx) {
                Ok(true) => {}
                Ok(false) => {
                    if self.park(cx) {
                        return Poll::Pending;
                    }
                }
                Err(Broken) => {
                    self.session.end();
                    return Poll::Ready(());
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One turn. Returns whether anything was done.
    fn turn(&mut self, cx: &mut TaskContext<'_>) -> Result<bool, Broken> {
        let mut progress = self.poll_time(cx)?;
        progress |= self.dispatch();
        if self.flow == Flow::On && !matches!(self.session.stage, Stage::Finished) {
            match self.input.poll_read(&mut self.stream, cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(Broken),
                Poll::Ready(Ok(count)) => {
                    self.session.info.received_bytes.add(count as u64);
                    self.session.info.reads.add(1);
                    self.session.heartbeat.received();
                    self.dispatch();
                    progress = true;
                }
                Poll::Pending => {}
            }
        }
        self.session.deliver_some();
        self.session.confirm();
        self.session.routes.settle();
        self.session.fx.wakes.pay();
        progress |= self.write(cx)?;
        let is_written = self.session.out.is_empty() && self.is_flushed;
        if matches!(self.session.stage, Stage::Finished) && is_written {
            return Err(Broken);
        }
        Ok(progress)
    }

    fn dispatch(&mut self) -> bool {
        let (buffer, start, end) = self.input.take();
        let (done, flow) =
            if start == end { (0, Flow::On) } else { self.session.dispatch(&buffer[start..end]) };
        self.input.put_back(buffer, start + done);
        self.flow = flow;
        done > 0
    }

    fn write(&mut self, cx: &mut TaskContext<'_>) -> Result<bool, Broken> {
        let durable = self.session.broker().store.durable();
        self.session.out.held_by(durable);
        let mut progress = false;
        while self.session.out.is_writable() {
            match self.session.out.poll_write(&mut self.stream, cx) {
                Poll::Ready(Ok(count)) => {
                    self.session.info.sent_bytes.add(count as u64);
                    self.session.info.writes.add(1);
                    self.session.heartbeat.sent();
                    self.is_flushed = false;
                    progress = true;
                }
                Poll::Ready(Err(_)) => return Err(Broken),
                Poll::Pending => break,
            }
        }
        if !self.is_flushed {
            self.is_flushed = match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(_)) => return Err(Broken),
                Poll::Pending => false,
            };
        }
        Ok(progress)
    }

    /// Before a wait: sees to it that whatever can go on wakes this task. Returns false when
    /// something can go on already.
    fn park(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let session = &mut self.session;
        let has_room = session.out.len() < session.output_max;
        if has_room && session.waits_to_tell() {
            let store = &session.context.broker.store;
            if store.poll_room(&mut self.room, cx).is_ready() {
                return false;
            }
        } else if has_room && (!session.events.is_empty() || !session.outbox.park(cx.waker())) {
            return false;
        }
        let store = &session.context.broker.store;
        let held = session.out.held_by(store.durable());
        if let Some(needed) = held.into_iter().chain(session.needed_for_confirm()).min()
            && self.poll_durable(needed, cx).is_ready()
        {
            return false;
        }
        if self.flow == Flow::Again && self.session.out.is_empty() && !self.poll_gate(cx) {
            return false;
        }
        self.input.rest();
        self.session.out.rest();
        self.session.plan_rest();
        true
    }

    fn poll_durable(&mut self, needed: CommitSeq, cx: &mut TaskContext<'_>) -> Poll<()> {
        let store = &self.session.context.broker.store;
        match store.poll_durable(needed, &mut self.durable, cx) {
            Poll::Ready(()) if store.failed().is_some() => {
                // What was promised will never be true: better no answer than a wrong one.
                tracing::error!(connection = self.session.id.0, "cut off: the store has failed");
                self.session.end();
                self.session.out = super::output::Output::default();
                self.session.stage = Stage::Finished;
                self.session.ended_by = EndedBy::Broker;
                Poll::Ready(())
            }
            poll => poll,
        }
    }

    /// Registers for whatever the front of the input may wait for. Returns false when the way is
    /// free already.
    fn poll_gate(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let broker = &self.session.context.broker;
        if broker.gate.is_shut() {
            return broker.gate.poll_open(&mut self.opening, cx).is_pending();
        }
        // It was the gate, which opened.
        if self.session.is_blocked {
            return false;
        }
        if broker.store.is_full() {
            return broker.store.poll_room(&mut self.room, cx).is_pending();
        }
        // It was a message that is being read, which has our waker.
        true
    }

    fn deadline(&self) -> Option<Now> {
        let stage = match self.session.stage {
            Stage::ProtocolHeader | Stage::AwaitStartOk | Stage::AwaitTuneOk | Stage::AwaitOpen => {
                Some(self.handshake_ends)
            }
            Stage::Closing { until } | Stage::Closed { until } | Stage::Mute { until } => {
                Some(until)
            }
            Stage::Running | Stage::Finished => None,
        };
        let is_running = matches!(self.session.stage, Stage::Running);
        let ahead = self.session.ahead.as_ref().map(|(_, until)| *until);
        let expires = self.session.expires.filter(|_| is_running);
        let session = &self.session;
        let others = [session.heartbeat.next(), ahead, session.acks_due, expires, session.rests_at];
        stage.into_iter().chain(others.into_iter().flatten()).min()
    }

    /// Does what is due, and waits for what will be.
    fn poll_time(&mut self, cx: &mut TaskContext<'_>) -> Result<bool, Broken> {
        let mut progress = false;
        while let Some(deadline) = self.deadline() {
            if self.timer.as_ref().is_none_or(|(at, _)| *at > deadline) {
                self.timer = Some((deadline, Box::pin(clock::sleep_until(deadline))));
            }
            let Some((_, sleep)) = &mut self.timer else { break };
            if sleep.as_mut().poll(cx).is_pending() {
                break;
            }
            self.timer = None;
            self.due(clock::now())?;
            progress = true;
        }
        Ok(progress)
    }

    fn due(&mut self, now: Now) -> Result<(), Broken> {
        match self.session.stage {
            Stage::ProtocolHeader | Stage::AwaitStartOk | Stage::AwaitTuneOk | Stage::AwaitOpen
                if now >= self.handshake_ends =>
            {
                tracing::info!(peer = %self.session.peer.ends.peer, "no handshake in time");
                return Err(Broken);
            }
            Stage::Closing { until } | Stage::Closed { until } | Stage::Mute { until }
                if now >= until =>
            {
                return Err(Broken);
            }
            _ => {}
        }
        // Whatever it waited for, it goes on.
        self.session.ahead.take_if(|(_, until)| now >= *until);
        if self.session.rests_at.is_some_and(|at| now >= at) {
            self.session.rest();
        }
        self.session.end_overdue(now);
        self.session.end_expired(now);
        match self.session.heartbeat.due(now, self.flow == Flow::Again) {
            Due::Nothing => Ok(()),
            Due::Send => {
                encode::heartbeat(self.session.out.buffer());
                Ok(())
            }
            Due::GiveUp => {
                let session = &self.session;
                let (connection, peer) = (session.id.0, session.peer.ends.peer);
                tracing::warn!(connection, %peer, "missed heartbeats");
                Err(Broken)
            }
        }
    }
}
