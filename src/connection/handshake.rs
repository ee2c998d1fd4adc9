//! From the protocol header to `connection.open-ok`, and the goodbyes (COMPATIBILITY chapter 1).

use std::{task::Poll, time::Duration};

use super::{
    Capabilities, EndedBy, Session, Stage,
    dispatch::Flow,
    error::{self, Close, Code, Failure, Ids},
};
use crate::{
    auth::{Attempt, Refusal, Via},
    broker::{
        client::Introduction,
        registry::{Full, Place, SHUTDOWN},
    },
    clock,
    wire::{
        frame::{self, Frame, FrameKind, Octets, PROTOCOL_HEADER, ProtocolHeader},
        method::{self, AMQPClass, Incoming, LongString, ShortString, connection, short_string},
        table::{Table, Value},
    },
};

/// The largest frame before tune (CN-028).
pub(super) const INITIAL_FRAME_MAX: u32 = 8192;
/// The smallest `frame_max` that a client may ask for. RabbitMQ 4.1 and later wants 8192; clients
/// that ask for 4096 are served here.
const FRAME_MAX_MIN: u32 = 4096;
/// How long a peer that is not let in is kept waiting (CN-045).
const MUTE: Duration = Duration::from_secs(3);

impl Session {
    /// The first eight octets. Returns how many bytes were taken.
    pub(super) fn protocol_header(&mut self, bytes: &[u8]) -> usize {
        match frame::protocol_header(bytes) {
            None => return 0,
            Some(Ok(())) => {
                self.send_start();
                self.stage = Stage::AwaitStartOk;
            }
            Some(Err(refusal)) => {
                let (peer, header) = (self.peer.ends.peer, refusal.header);
                if header == ProtocolHeader::Tls {
                    tracing::warn!(%peer, "a client speaks TLS where AMQP is spoken without");
                } else {
                    tracing::info!(%peer, ?header, "not AMQP 0-9-1");
                }
                self.out.buffer().extend_from_slice(&refusal.answer);
                self.stage = Stage::Finished;
                self.ended_by = EndedBy::Broker;
            }
        }
        PROTOCOL_HEADER
    }

    pub(super) fn send_connection(&mut self, method: connection::AMQPMethod) {
        self.reply(crate::names::ChannelId(0), &AMQPClass::Connection(method));
    }

    /// `connection.start` (CN-020 to CN-024).
    fn send_start(&mut self) {
        let capabilities: Table = [
            "publisher_confirms",
            "exchange_exchange_bindings",
            "basic.nack",
            "consumer_cancel_notify",
            "connection.blocked",
            "consumer_priorities",
            "authentication_failure_close",
            "per_consumer_qos",
            "direct_reply_to",
        ]
        .into_iter()
        .map(|name| (ShortString::from(name), Value::Boolean(true)))
        .collect::<std::collections::BTreeMap<_, _>>()
        .into();
        let mechanisms = self.context.auth.offered(self.peer.certificate());
        let config = &self.context.config;
        let cluster = config.cluster();
        let texts = [
            ("cluster_name", cluster.as_str()),
            ("copyright", "Copyright (c) the Lepus authors"),
            ("information", "Licensed under the Apache License 2.0"),
            ("platform", concat!("Lepus ", env!("CARGO_PKG_VERSION"))),
            // CN-021, CN-022: clients choose features by product and version.
            ("product", "RabbitMQ"),
            ("version", config.server_version.as_str()),
        ];
        let mut properties = Table::default();
        properties.insert("capabilities".into(), Value::FieldTable(capabilities));
        for (key, text) in texts {
            properties.insert(key.into(), Value::LongString(text.into()));
        }
        self.send_connection(connection::AMQPMethod::Start(connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: properties,
            mechanisms: LongString::from(mechanisms),
            locales: LongString::from("en_US"),
        }));
    }

    /// A frame before the connection is open: it must be the one that is waited for (CN-048).
    pub(super) fn handshake_frame(
        &mut self,
        frame: &Frame,
        payload: &[u8],
    ) -> Result<Flow, Failure> {
        if frame.kind == FrameKind::Heartbeat && frame.channel == 0 {
            return Ok(Flow::On);
        }
        if frame.kind != FrameKind::Method || frame.channel != 0 {
            return Err(Failure::Silent("a frame that does not belong to the handshake"));
        }
        let Ok(Incoming::Other(AMQPClass::Connection(method))) = method::decode(payload) else {
            return Err(Failure::Silent("a method that does not belong to the handshake"));
        };
        match (&self.stage, method) {
            (Stage::AwaitStartOk, connection::AMQPMethod::StartOk(start_ok)) => {
                return self.start_ok(&start_ok);
            }
            (Stage::AwaitTuneOk, connection::AMQPMethod::TuneOk(tune_ok)) => {
                self.tune_ok(&tune_ok)?;
            }
            (Stage::AwaitOpen, connection::AMQPMethod::Open(open)) => {
                self.open(open.virtual_host.as_str())?;
            }
            (_, connection::AMQPMethod::Close(_)) => self.send_connection_close_ok(),
            _ => return Err(Failure::Silent("a method that does not belong to the handshake")),
        }
        Ok(Flow::On)
    }

    /// The login; it may have to wait for the key of a token.
    fn start_ok(&mut self, start_ok: &connection::StartOk) -> Result<Flow, Failure> {
        self.capabilities = Capabilities::of(&start_ok.client_properties);
        self.introduction = Some(Introduction {
            client_properties: start_ok.client_properties.clone(),
            mechanism: start_ok.mechanism.as_str().to_owned(),
            frame_max: 0,
            channel_max: 0,
            heartbeat: 0,
            tls: self.peer.facts(),
        });
        let attempt = Attempt {
            mechanism: start_ok.mechanism.as_str(),
            response: start_ok.response.as_bytes(),
            peer: self.peer.ends.peer.ip(),
            certificate: self.peer.certificate(),
        };
        let Poll::Ready(verified) = self.context.auth.verify(&attempt, &self.waker) else {
            return Ok(Flow::Again);
        };
        self.context.auth.attempts().count(Via::Amqp, verified.is_ok());
        match verified {
            Ok(identity) => self.known_as(identity),
            Err(refusal) => return Err(self.refuse(&refusal)),
        }
        let config = &self.context.config;
        let tune = connection::Tune {
            channel_max: config.channel_max,
            frame_max: config.frame_max.bytes() as u32,
            heartbeat: config.heartbeat.0,
        };
        self.send_connection(connection::AMQPMethod::Tune(tune));
        self.stage = Stage::AwaitTuneOk;
        Ok(Flow::On)
    }

    /// A login that is refused (CN-044 to CN-047).
    fn refuse(&self, refusal: &Refusal) -> Failure {
        let (connection, peer) = (self.id.0, self.peer.ends.peer);
        tracing::warn!(connection, %peer, %refusal, "login refused");
        match refusal {
            Refusal::BadCredentials { mechanism, .. }
                if self.capabilities.authentication_failure_close =>
            {
                let close = Code::AccessRefused.close(
                    (0, 0),
                    format_args!(
                        "Login was refused using authentication mechanism {mechanism}. For \
                         details see the broker logfile."
                    ),
                );
                Failure::Connection(close)
            }
            _ => Failure::Silent("login refused"),
        }
    }

    /// `connection.tune-ok` (CN-061 to CN-066).
    fn tune_ok(&mut self, tune_ok: &connection::TuneOk) -> Result<(), Failure> {
        let config = &self.context.config;
        let frame_max = config.frame_max.bytes() as u32;
        // deviation: 0, no limit, is refused by RabbitMQ and means our own limit here (TOP-06).
        let wanted = |asked: u32, own: u32| if asked == 0 { own } else { asked };
        let asked_frame_max = wanted(tune_ok.frame_max, frame_max);
        let asked_channel_max =
            wanted(tune_ok.channel_max.into(), config.channel_max.into()) as u16;
        if !(FRAME_MAX_MIN..=frame_max).contains(&asked_frame_max) {
            return Err(Failure::Silent("negotiated frame_max is out of range"));
        }
        if asked_channel_max > config.channel_max {
            return Err(Failure::Silent("negotiated channel_max is out of range"));
        }
        self.tuning.frame_max = asked_frame_max;
        self.tuning.channel_max = asked_channel_max;
        if let Some(introduction) = &mut self.introduction {
            introduction.frame_max = asked_frame_max;
            introduction.channel_max = asked_channel_max;
            introduction.heartbeat = tune_ok.heartbeat;
        }
        let interval = Duration::from_secs(u64::from(tune_ok.heartbeat));
        self.heartbeat.start(interval, clock::now());
        self.stage = Stage::AwaitOpen;
        Ok(())
    }

    /// `connection.open` (CN-080 to CN-086).
    fn open(&mut self, vhost: &str) -> Result<(), Failure> {
        let ids = (10, 40);
        let max = self.context.config.connections_max;
        if self.broker().registry.count() > max as usize {
            return Err(Code::NotAllowed.failure(
                ids,
                format_args!("connection refused: node connection limit ({max}) is reached"),
            ));
        }
        let not_found = || Code::NotAllowed.failure(ids, format_args!("vhost {vhost} not found"));
        self.vhost = self.broker().vhost(vhost).ok_or_else(not_found)?;
        if let Some(introduction) = self.introduction.take() {
            // It is set here alone, and once.
            let _ = self.info.introduction.set(introduction);
        }
        self.enter(ids)?;
        if self.vhost.is_deleted() {
            return Err(not_found());
        }
        self.send_connection(connection::AMQPMethod::OpenOk(connection::OpenOk {}));
        self.stage = Stage::Running;
        self.look_for_trace();
        tracing::info!(
            connection = self.id.0,
            peer = %self.peer.ends.peer,
            tls = self.peer.tls.as_ref().map(|tls| tls.version),
            user = %self.user,
            vhost = %vhost,
            "connection opened"
        );
        Ok(())
    }

    /// Into the vhost, if there is room and the user may be there (CN-082 to CN-084, CN-086).
    fn enter(&mut self, ids: Ids) -> Result<(), Failure> {
        let (user, vhost) = (&self.user, self.vhost.name());
        let is_own = self.identity.token.is_none();
        let (in_vhost, by) = (vhost.clone(), user.clone());
        let place = Place { user: by, is_internal: is_own, vhost: in_vhost, channels: 0 };
        let limits = self.context.auth.users().get(user).filter(|_| is_own).map(|user| user.limits);
        let user_limit = limits.and_then(|limits| limits.max_connections);
        let vhost_limit = Some(self.vhost.max_connections());
        let registry = &self.context.broker.registry;
        registry.enter(self.id, place, vhost_limit, user_limit).map_err(|full| match full {
            Full::Vhost(limit) => Code::NotAllowed.failure(
                ids,
                format_args!(
                    "access to vhost '{vhost}' refused for user '{user}': connection limit \
                     ({limit}) is reached"
                ),
            ),
            Full::User(limit) => Code::NotAllowed.failure(
                ids,
                format_args!(
                    "connection refused for user '{user}': user connection limit ({limit}) is \
                     reached"
                ),
            ),
            Full::Suspended => Code::ConnectionForced.failure(ids, SHUTDOWN),
        })?;
        if self.access.enter(&self.identity, vhost) {
            return Ok(());
        }
        let text = format_args!("access to vhost '{vhost}' refused for user '{user}'");
        Err(Code::NotAllowed.failure(ids, text))
    }

    /// A frame on channel 0 of an open connection (CN-088, CN-089, CN-105, CN-140).
    pub(super) fn connection_frame(
        &mut self,
        kind: FrameKind,
        payload: &[u8],
    ) -> Result<Flow, Failure> {
        match kind {
            FrameKind::Heartbeat => return Ok(Flow::On),
            FrameKind::Method => {}
            FrameKind::Header | FrameKind::Body => {
                let text = format_args!("type {}, {}", kind.octet(), Octets::of(payload));
                return Err(Code::UnexpectedFrame.failure((0, 0), text));
            }
        }
        let ids = method::payload_ids(payload).unwrap_or_default();
        match method::decode(payload).map_err(|e| error::of_method(&e, payload))? {
            Incoming::Other(AMQPClass::Connection(connection::AMQPMethod::Close(_))) => {
                self.end();
                self.send_connection_close_ok();
                Ok(Flow::On)
            }
            Incoming::Other(AMQPClass::Connection(connection::AMQPMethod::UpdateSecret(
                update,
            ))) => self.update_secret(&update, ids),
            _ => {
                Err(Code::ChannelError
                    .failure(ids, "unexpected method in connection state running"))
            }
        }
    }

    pub(super) fn send_connection_close_ok(&mut self) {
        self.send_connection(connection::AMQPMethod::CloseOk(connection::CloseOk {}));
        self.stage = Stage::Closed { until: self.farewell() };
        if self.ended_by == EndedBy::Nobody {
            self.ended_by = EndedBy::Client;
        }
    }

    pub(super) fn send_connection_close(&mut self, close: &Close) {
        self.send_connection(connection::AMQPMethod::Close(connection::Close {
            reply_code: close.code,
            reply_text: short_string(&close.text),
            class_id: close.ids.0,
            method_id: close.ids.1,
        }));
    }

    /// When the peer's time to close the socket is up.
    pub(super) fn farewell(&self) -> clock::Now {
        clock::now().after(self.heartbeat.farewell())
    }

    /// After a frame that was none the peer may not even find our answer's answer: the socket is
    /// closed soon, answered or not (FR-001).
    pub(super) fn hang_up_soon(&mut self) {
        if let Stage::Closing { until } = &mut self.stage {
            *until = (*until).min(clock::now().after(MUTE));
        }
    }

    /// Says nothing more, and closes the socket after a while.
    pub(super) fn mute(&mut self, reason: &'static str) {
        let (connection, peer) = (self.id.0, self.peer.ends.peer);
        tracing::info!(connection, %peer, reason, "connection refused");
        self.end();
        self.ended_by = EndedBy::Broker;
        self.stage = Stage::Mute { until: clock::now().after(MUTE) };
    }

    /// Tells the peer, once, that it is blocked (CN-143).
    pub(super) fn blocked(&mut self, reason: &str) {
        if !self.is_blocked {
            self.is_blocked = true;
            self.info.blocked.set(1);
            if self.capabilities.connection_blocked {
                let reason = ShortString::from(reason);
                let blocked = connection::Blocked { reason };
                self.send_connection(connection::AMQPMethod::Blocked(blocked));
            }
        }
    }

    /// Tells the peer that it is not blocked any more (CN-144).
    pub(super) fn unblocked(&mut self) {
        if self.is_blocked {
            self.is_blocked = false;
            self.info.blocked.set(0);
            if self.capabilities.connection_blocked {
                let unblocked = connection::Unblocked {};
                self.send_connection(connection::AMQPMethod::Unblocked(unblocked));
            }
        }
    }

    /// Deletes the queues that belong to this connection (QU-011).
    pub(super) fn delete_exclusive_queues(&mut self) {
        for queue in std::mem::take(&mut self.exclusive) {
            // Nothing can keep it: no condition is set.
            let _ = self.vhost.delete_queue(&queue, false, false, &mut self.fx);
        }
    }
}

impl Capabilities {
    fn of(properties: &Table) -> Self {
        let capabilities = match properties.inner().get("capabilities") {
            Some(Value::FieldTable(table)) => Some(table),
            _ => None,
        };
        let has = |name: &str| {
            let value = capabilities.and_then(|table| table.inner().get(name));
            matches!(value, Some(Value::Boolean(true)))
        };
        Self {
            authentication_failure_close: has("authentication_failure_close"),
            connection_blocked: has("connection.blocked"),
            consumer_cancel_notify: has("consumer_cancel_notify"),
        }
    }
}
