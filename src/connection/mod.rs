//! A connection: one task that reads, dispatches, delivers and writes.
//!
//! - It owns the socket, its buffers, its channels and all they hold; nobody else touches them
//!   (R2). Others leave events in its [`Outbox`].
//! - One turn is bounded work without a pause: dispatch what was read, encode what is to be
//!   delivered, confirm what became durable, pay the wakes owed (R7), write once. Then it waits for
//!   whichever comes first: the socket, the outbox, the store's watermark, the gate, a deadline.
//! - When it ends, for whatever reason, everything it holds goes back to its queues in order.
//!
//! A transient message costs one allocation from socket to socket, the message itself; a
//! persistent one that is confirmed and acknowledged costs two, with what the store does for it
//! (`cargo bench --bench allocations`, 100 B in batches of 256: 1.00 and 1.92). One at a time costs
//! 2.1, as the buffer for output comes and goes; a commit of its own costs 230.

mod access;
mod ack_timeout;
mod channel;
mod complaints;
mod confirm;
mod consume;
mod deliver;
mod dispatch;
mod error;
mod handshake;
mod heartbeat;
mod input;
mod output;
mod peer;
mod publish;
mod reply_to;
mod routes;
mod run;
mod secret;
mod settle;
mod sources;
mod stamp;
mod topology;
mod trace;
mod turn;
mod tx;
mod unacked;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use self::{
    access::Access,
    channel::{Channel, Channels, Mode},
    error::Close,
    heartbeat::Heartbeat,
    output::Output,
    routes::Routes,
    run::Run,
    settle::Gathered,
    sources::Sources,
};
use crate::{
    auth::{Authenticator, Identity},
    broker::{
        Broker, Vhost,
        client::{ConnectionInfo, Introduction},
        outbox::{Event, Outbox, OutboxLimits, Stalled},
        queue::{Effects, Queue},
    },
    clock::{self, Now},
    config::Config,
    names::{ChannelId, ConnectionId, Name},
    wire::{encode, method::AMQPClass},
};

pub use complaints::Complaints;
pub use peer::{Peer, TlsInfo};
pub use turn::serve;

/// Things of one kind for which a connection keeps memory.
const KEPT_MAX: usize = 64;
/// How long after it needed memory for more it gives that back.
const REST_AFTER: Duration = Duration::from_secs(5);

/// What all connections share.
#[derive(Debug)]
pub struct Context {
    /// The broker.
    pub broker: Arc<Broker>,
    /// Who may log in.
    pub auth: Arc<Authenticator>,
    /// The settings.
    pub config: Arc<Config>,
    /// Makes generated names unlike those of any other process: random, set at start.
    pub name_seed: u64,
    /// Names generated so far.
    pub names_generated: AtomicU64,
    /// Limits how many errors of clients are logged.
    pub complaints: Arc<Complaints>,
}

/// How far a connection has come.
#[derive(Clone, Debug)]
enum Stage {
    /// Waiting for the eight octets of the protocol header.
    ProtocolHeader,
    /// `connection.start` was sent.
    AwaitStartOk,
    /// `connection.tune` was sent.
    AwaitTuneOk,
    /// Waiting for `connection.open`.
    AwaitOpen,
    /// Open.
    Running,
    /// `connection.close` was sent; everything but its answer is discarded (FR-023).
    Closing { until: Now },
    /// The goodbyes are said; the socket closes when the output is written, the peer closes it, or
    /// time is up (CN-121).
    Closed { until: Now },
    /// Nothing is said any more: the socket closes when time is up (CN-045).
    Mute { until: Now },
    /// The socket is to be closed when the output is written.
    Finished,
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndedBy {
    /// The client, in order: by `connection.close`.
    Client,
    /// The broker, for a reason that it has logged.
    Broker,
    /// Nobody: it was lost, or the client just left.
    Nobody,
}

impl EndedBy {
    /// As the log has it.
    fn text(self) -> &'static str {
        match self {
            Self::Client => "by the client",
            Self::Broker => "by the broker",
            Self::Nobody => "lost",
        }
    }
}

/// What was negotiated.
#[derive(Clone, Copy, Debug)]
struct Tuning {
    frame_max: u32,
    channel_max: u16,
}

/// What the client said it can take (CN-026).
#[derive(Clone, Copy, Debug, Default)]
struct Capabilities {
    authentication_failure_close: bool,
    connection_blocked: bool,
    consumer_cancel_notify: bool,
}

/// A connection but for its socket and what was read from it.
#[derive(Debug)]
struct Session {
    context: Arc<Context>,
    id: ConnectionId,
    /// What others see of it.
    info: Arc<ConnectionInfo>,
    peer: Peer,
    stage: Stage,
    tuning: Tuning,
    capabilities: Capabilities,
    /// What the handshake has told so far, until it is over.
    introduction: Option<Introduction>,
    user: Name,
    /// What the user was found to be.
    identity: Identity,
    /// When the user's token expires.
    expires: Option<Now>,
    vhost: Arc<Vhost>,
    /// Whether it was traced when the batch began that is under way.
    is_traced: bool,
    /// Whether messages get headers of the broker's as they are published.
    is_stamping: bool,
    access: Access,
    heartbeat: Heartbeat,
    out: Output,
    /// Bytes of output beyond which nothing more is delivered or dispatched.
    output_max: usize,
    channels: Channels,
    sources: Sources,
    routes: Routes,
    outbox: Arc<Outbox>,
    /// Events taken out of the outbox.
    events: VecDeque<Event>,
    stalled: Vec<Stalled>,
    fx: Effects,
    /// Publishes that their queue has not got yet.
    run: Run,
    /// Settlements that their queue has not got yet.
    gathered: Gathered,
    /// The queues that belong to this connection.
    exclusive: Vec<Arc<Queue>>,
    /// Channels with publishes that are not confirmed yet.
    confirming: Vec<ChannelId>,
    /// Whether the peer was told that it is blocked.
    is_blocked: bool,
    /// Bytes published since it was last looked how far the connection runs ahead.
    unchecked_bytes: usize,
    /// The queue whose consumers it waits for, and until when.
    ahead: Option<(Arc<Queue>, Now)>,
    /// When deliveries may have been kept unacknowledged for too long.
    acks_due: Option<Now>,
    /// When memory that only a burst needed is given back.
    rests_at: Option<Now>,
    /// Memory for assembling messages.
    scratch: Vec<u8>,
    /// The task's waker.
    waker: Waker,
    has_ended: bool,
    ended_by: EndedBy,
}

impl Session {
    fn new(context: Arc<Context>, peer: Peer, waker: Waker) -> Self {
        let config = &context.config;
        let outbox = Arc::new(Outbox::new(OutboxLimits {
            events_max: config.outbox_events_max as usize,
            bytes_max: config.outbox_bytes_max.bytes(),
        }));
        let registry = &context.broker.registry;
        let info = registry.connect(Arc::clone(&outbox), peer.ends, clock::unix_time());
        Self {
            id: info.id,
            info,
            peer,
            stage: Stage::ProtocolHeader,
            // What a client may send before tune (CN-028).
            tuning: Tuning { frame_max: handshake::INITIAL_FRAME_MAX, channel_max: 0 },
            capabilities: Capabilities::default(),
            introduction: None,
            user: Name::from(""),
            identity: Identity { user: Name::from(""), tags: Vec::new(), token: None },
            expires: None,
            // Until `connection.open` names one.
            vhost: context.broker.limbo(),
            is_traced: false,
            is_stamping: stamp::is_on(config),
            access: Access::new(Arc::clone(context.auth.permissions())),
            heartbeat: Heartbeat::default(),
            out: Output::default(),
            output_max: config.write_buffer.bytes(),
            channels: Channels::default(),
            sources: Sources::default(),
            routes: Routes::default(),
            outbox,
            events: VecDeque::new(),
            stalled: Vec::new(),
            fx: Effects::default(),
            run: Run::default(),
            gathered: Gathered::default(),
            exclusive: Vec::new(),
            confirming: Vec::new(),
            is_blocked: false,
            unchecked_bytes: 0,
            ahead: None,
            acks_due: None,
            rests_at: None,
            scratch: Vec::new(),
            waker,
            has_ended: false,
            ended_by: EndedBy::Nobody,
            context,
        }
    }

    fn broker(&self) -> &Arc<Broker> {
        &self.context.broker
    }

    fn channel_mut(&mut self, id: ChannelId) -> Option<&mut Channel> {
        self.channels.open(id)
    }

    /// Sends a method of a channel.
    fn reply(&mut self, id: ChannelId, method: &AMQPClass) {
        encode::method(self.out.buffer(), id.0, method);
    }

    /// A channel has publishes to confirm.
    fn note_confirms(&mut self, id: ChannelId) {
        if !self.confirming.contains(&id) {
            self.confirming.push(id);
        }
    }

    /// Has memory that this burst needed given back in a while.
    fn plan_rest(&mut self) {
        let grown = [
            self.events.capacity(),
            self.fx.capacity(),
            self.run.capacity(),
            self.gathered.capacity(),
        ];
        if self.rests_at.is_none() && grown.into_iter().any(|capacity| capacity > KEPT_MAX) {
            self.rests_at = Some(clock::now().after(REST_AFTER));
        }
    }

    /// Gives memory back that only a burst needed. If the next one is under way, it takes some
    /// again.
    fn rest(&mut self) {
        self.rests_at = None;
        self.outbox.rest();
        self.events.shrink_to_fit();
        self.stalled.shrink_to_fit();
        self.fx.rest();
        self.run.rest();
        self.gathered.rest();
        self.scratch.shrink_to_fit();
    }

    /// What the store must reach before the next confirm.
    fn needed_for_confirm(&mut self) -> Option<crate::names::CommitSeq> {
        let channels = &mut self.channels;
        let needed = self.confirming.iter().filter_map(|&id| match &channels.open(id)?.mode {
            Mode::Confirm(confirms) => confirms.needed(),
            _ => None,
        });
        needed.min()
    }

    /// A name that nobody has: `prefix` and 22 characters (QU-001, BA-080).
    fn generated(&self, prefix: &str) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let count = self.context.names_generated.fetch_add(1, Ordering::Relaxed);
        // A bijection of the pair, so that names differ as long as the counts do.
        let (mut high, mut low) = (self.context.name_seed, count);
        for round in 0..4_u64 {
            high ^= (low.wrapping_add(round)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
            low ^= high.wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(31);
        }
        let mut bits = u128::from(high) << 64 | u128::from(low);
        let mut name = String::from(prefix);
        for _ in 0..22 {
            name.push(char::from(ALPHABET[(bits & 63) as usize]));
            bits >>= 6;
        }
        name
    }

    /// Gives back everything that the connection holds; once, however often it is called.
    fn end(&mut self) {
        if self.has_ended {
            return;
        }
        self.has_ended = true;
        for id in self.channels.ids() {
            self.abandon_deliveries(id);
            self.channels.remove(id);
        }
        self.outbox.close();
        self.delete_exclusive_queues();
        self.context.broker.registry.disconnect(self.id);
        self.fx.wakes.pay();
    }

    /// Ends the connection with a `connection.close`, for what happened on that channel if any.
    fn close_connection(&mut self, id: ChannelId, close: &Close) {
        self.end();
        self.ended_by = EndedBy::Broker;
        if close.is_forced() {
            // Nobody's error: somebody wanted it so.
            let (connection, text) = (self.id.0, &*close.text);
            tracing::info!(connection, text, "closing the connection");
        } else if !matches!(self.stage, Stage::AwaitStartOk) {
            // Why a login is refused was logged in more words.
            self.complain(id, close, "connection error, closing the connection");
        }
        self.send_connection_close(close);
        self.stage = Stage::Closing { until: self.farewell() };
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}
