//! What is known of connections and channels from outside: who they are, and what they count.
//!
//! The connection's task writes; whoever lists connections reads, without disturbing it (R2).

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use super::stats::{Count, SharedTally, Sizes, Tally, Traffic};
use crate::{
    clock::UnixTime,
    names::{ChannelId, ConnectionId},
    wire::table::Table,
};

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client's address.
    pub peer: SocketAddr,
    /// The address here that it connected to.
    pub local: SocketAddr,
}

/// What the handshake told of a connection.
#[derive(Debug)]
pub struct Introduction {
    /// What the client says of itself.
    pub client_properties: Table,
    /// The SASL mechanism that it logged in with.
    pub mechanism: String,
    /// The largest frame agreed upon, in bytes.
    pub frame_max: u32,
    /// Channels it may open.
    pub channel_max: u16,
    /// The heartbeat agreed upon, in seconds; 0 for none.
    pub heartbeat: u16,
    /// What TLS agreed upon, where it is spoken.
    pub tls: Option<TlsFacts>,
}

/// What TLS agreed upon, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// The version, as RabbitMQ calls it: `tlsv1.3`.
    pub version: &'static str,
    /// The cipher suite, as TLS calls it: `TLS13_AES_256_GCM_SHA384`.
    pub suite: &'static str,
    /// The client's certificate, if it showed one.
    pub certificate: Option<CertificateFacts>,
}

/// What operators are shown of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whom it is for, as RFC 4514 writes it.
    pub subject: String,
    /// Who signed it, written likewise.
    pub issuer: String,
    /// From when until when it is good.
    pub validity: String,
}

/// A connection as seen from outside.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// Its number.
    pub id: ConnectionId,
    /// Its two ends.
    pub ends: Ends,
    /// When it came.
    pub connected_at: UnixTime,
    /// What its handshake told, once it is over.
    pub introduction: OnceLock<Introduction>,
    /// Bytes received.
    pub received_bytes: Count,
    /// Reads that brought them.
    pub reads: Count,
    /// Bytes sent.
    pub sent_bytes: Count,
    /// Writes that took them.
    pub writes: Count,
    /// Bytes that wait to be sent.
    pub pending_bytes: Count,
    /// 1 while its publishes wait for an alarm to end.
    pub blocked: Count,
    /// The sizes of the messages it published.
    pub sizes: Sizes,
    /// Messages it published on channels in confirm mode.
    pub published_for_confirm: Count,
    /// Queues that its messages went to, one after the other.
    pub routed: Count,
    channels: Mutex<BTreeMap<ChannelId, Arc<ChannelInfo>>>,
}

impl ConnectionInfo {
    /// A connection that has said nothing yet.
    pub fn new(id: ConnectionId, ends: Ends, connected_at: UnixTime) -> Self {
        Self {
            id,
            ends,
            connected_at,
            introduction: OnceLock::new(),
            received_bytes: Count::default(),
            reads: Count::default(),
            sent_bytes: Count::default(),
            writes: Count::default(),
            pending_bytes: Count::default(),
            blocked: Count::default(),
            sizes: Sizes::default(),
            published_for_confirm: Count::default(),
            routed: Count::default(),
            channels: Mutex::default(),
        }
    }

    /// Its name, as RabbitMQ makes it: `peer -> local`.
    pub fn name(&self) -> String {
        format!("{} -> {}", self.ends.peer, self.ends.local)
    }

    /// What passed it so far.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            received_bytes: self.received_bytes.get(),
            reads: self.reads.get(),
            sent_bytes: self.sent_bytes.get(),
            writes: self.writes.get(),
            published_for_confirm: self.published_for_confirm.get(),
            routed: self.routed.get(),
            sizes: self.sizes.get(),
        }
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<ChannelId, Arc<ChannelInfo>>> {
        // Each section leaves the map whole.
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its open channels, by number.
    pub fn channels(&self) -> Vec<Arc<ChannelInfo>> {
        self.locked().values().map(Arc::clone).collect()
    }

    /// One of its channels.
    pub fn channel(&self, id: ChannelId) -> Option<Arc<ChannelInfo>> {
        self.locked().get(&id).map(Arc::clone)
    }

    /// How many channels are open on it.
    pub fn channel_count(&self) -> usize {
        self.locked().len()
    }

    /// Adds a channel.
    pub(super) fn insert(&self, channel: Arc<ChannelInfo>) {
        self.locked().insert(channel.id, channel);
    }

    /// Removes a channel. Returns what it had counted, if it was there.
    pub(super) fn remove(&self, id: ChannelId) -> Option<Tally> {
        self.locked().remove(&id).map(|channel| channel.tally.get())
    }

    /// Removes all channels. Returns what they had counted, and how many there were.
    pub(super) fn clear(&self) -> (Tally, u64) {
        let channels = std::mem::take(&mut *self.locked());
        let mut sum = Tally::default();
        for channel in channels.values() {
            sum += channel.tally.get();
        }
        (sum, channels.len() as u64)
    }
}

/// A channel as seen from outside.
#[derive(Debug)]
pub struct ChannelInfo {
    /// Its number on its connection.
    pub id: ChannelId,
    /// What happened to messages on it.
    pub tally: SharedTally,
    /// Deliveries that are not settled.
    pub unacked: Count,
    /// Publishes that are not confirmed.
    pub unconfirmed: Count,
    /// Publishes of an open transaction.
    pub uncommitted: Count,
    /// Settlements of an open transaction.
    pub uncommitted_acks: Count,
    /// Its consumers.
    pub consumers: Count,
    /// What `basic.qos` set for each consumer to come.
    pub prefetch: Count,
    /// What `basic.qos` with `global` set for the whole channel.
    pub global_prefetch: Count,
    /// 1 in confirm mode.
    pub confirms: Count,
    /// 1 in transaction mode.
    pub is_transactional: Count,
    /// When it was last used, in milliseconds since 1970.
    pub used_at: Count,
}

impl ChannelInfo {
    /// A channel that was just opened.
    pub fn new(id: ChannelId, now: UnixTime) -> Self {
        let used_at = Count::default();
        used_at.set(now.0);
        Self {
            id,
            tally: SharedTally::default(),
            unacked: Count::default(),
            unconfirmed: Count::default(),
            uncommitted: Count::default(),
            uncommitted_acks: Count::default(),
            consumers: Count::default(),
            prefetch: Count::default(),
            global_prefetch: Count::default(),
            confirms: Count::default(),
            is_transactional: Count::default(),
            used_at,
        }
    }
}
