//! Counts over everything there is: what overviews show, and what samples are taken of.

use std::{collections::HashMap, ops::AddAssign};

use super::{
    Api,
    history::{Sample, Subject, sample_of},
};
use crate::{
    broker::{
        queue::Counts,
        registry::OpenConnection,
        stats::{QueueChurn, Tally},
    },
    machine,
    names::Name,
    store::StoreStats,
};

/// Messages in queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Depth {
    /// With those that wait for something before they can be delivered.
    all: u64,
    ready: u64,
    unacked: u64,
}

impl Depth {
    pub(super) fn of(counts: &Counts) -> Self {
        Self { all: counts.all().messages, ready: counts.ready, unacked: counts.unacked }
    }

    /// Its fields as the API calls them.
    pub(super) fn named(self) -> [(&'static str, u64); 3] {
        [
            ("messages", self.all),
            ("messages_ready", self.ready),
            ("messages_unacknowledged", self.unacked),
        ]
    }
}

impl AddAssign for Depth {
    fn add_assign(&mut self, other: Self) {
        self.all += other.all;
        self.ready += other.ready;
        self.unacked += other.unacked;
    }
}

/// Bytes that connections received and sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) received: u64,
    pub(super) sent: u64,
}

impl Traffic {
    pub(super) fn of(connection: &OpenConnection) -> Self {
        let info = &connection.info;
        Self { received: info.received_bytes.get(), sent: info.sent_bytes.get() }
    }

    fn add(&mut self, other: Self) {
        self.received += other.received;
        self.sent += other.sent;
    }

    /// Its fields as the API calls them.
    pub(super) fn named(self) -> [(&'static str, u64); 2] {
        [("recv_oct", self.received), ("send_oct", self.sent)]
    }
}

/// What a vhost comes to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct VhostCensus {
    pub(super) depth: Depth,
    pub(super) messages: Tally,
    pub(super) traffic: Traffic,
    pub(super) connections: u64,
    pub(super) channels: u64,
    pub(super) queues: u64,
    pub(super) exchanges: u64,
    pub(super) consumers: u64,
}

/// Counts each vhost.
pub(super) fn vhosts(api: &Api) -> HashMap<Name, VhostCensus> {
    let mut all: HashMap<Name, VhostCensus> = HashMap::new();
    for vhost in api.admin.vhosts() {
        let census = all.entry(vhost.name().clone()).or_default();
        let queues: Vec<_> = {
            let topology = vhost.topology();
            census.exchanges = topology.exchanges().count() as u64;
            topology.queues().map(|(_, queue)| queue.clone()).collect()
        };
        census.queues = queues.len() as u64;
        for queue in queues {
            let counts = queue.counts();
            census.depth += Depth::of(&counts);
            census.consumers += counts.consumers as u64;
        }
    }
    for connection in api.broker.registry.connections() {
        let Some(census) = all.get_mut(&connection.place.vhost) else { continue };
        census.traffic.add(Traffic::of(&connection));
        census.connections += 1;
        census.channels += connection.info.channel_count() as u64;
    }
    for (vhost, tally) in api.broker.registry.messages_by_vhost() {
        if let Some(census) = all.get_mut(&vhost) {
            census.messages = tally;
        }
    }
    all
}

/// How connections, channels and queues came and went (HT-073).
pub(super) fn churn(api: &Api) -> [(&'static str, u64); 7] {
    let clients = api.broker.registry.totals().churn;
    let (QueueChurn { declared, created, deleted }, _) = api.broker.departed.queues();
    [
        ("connection_created", clients.connections_opened),
        ("connection_closed", clients.connections_closed),
        ("channel_created", clients.channels_opened),
        ("channel_closed", clients.channels_closed),
        ("queue_declared", declared),
        ("queue_created", created),
        ("queue_deleted", deleted),
    ]
}

/// What the process has in use, as the API calls it (HT-075).
pub(super) fn node(api: &Api) -> [(&'static str, u64); 5] {
    let sockets = api.broker.registry.count() as u64;
    [
        ("mem_used", machine::memory_used().unwrap_or(0)),
        ("fd_used", machine::open_files().unwrap_or(0)),
        ("sockets_used", sockets),
        ("proc_used", machine::threads().unwrap_or(0)),
        ("disk_free", machine::disk_free(api.admin.alarm_limits().data_path()).unwrap_or(0)),
    ]
}

/// What the store wrote to the disk, and how often, as the API calls it.
pub(super) fn disk(store: &StoreStats) -> [(&'static str, u64); 5] {
    [
        ("io_write_count", store.commits),
        ("io_write_bytes", store.written_bytes),
        ("io_sync_count", store.commits),
        ("msg_store_write_count", store.written_messages),
        ("msg_store_read_count", store.read_messages),
    ]
}

/// The same as overviews call it.
pub(super) fn disk_messages(store: &StoreStats) -> [(&'static str, u64); 2] {
    [("disk_reads", store.read_messages), ("disk_writes", store.written_messages)]
}

/// A sample of everything that has moved.
pub(super) fn take(api: &Api) -> Vec<(Subject, Sample)> {
    let vhosts = vhosts(api);
    let mut depth = Depth::default();
    let mut samples = Vec::new();
    for (name, census) in &vhosts {
        depth += census.depth;
        let mut sample = sample_of(&census.messages);
        sample.extend(census.depth.named());
        sample.extend(census.traffic.named());
        samples.push((Subject::Vhost(name.clone()), sample));
    }
    let mut sample = sample_of(&api.broker.registry.totals().messages);
    sample.extend(depth.named());
    sample.extend(churn(api));
    let store = api.broker.store.stats();
    sample.extend(disk_messages(&store));
    samples.push((Subject::Broker, sample));
    let node = node(api).into_iter().chain(disk(&store)).chain(churn(api));
    samples.push((Subject::Node, node.collect()));
    for connection in api.broker.registry.connections() {
        let id = connection.info.id;
        let traffic = Traffic::of(&connection);
        samples.push((Subject::Connection(id), traffic.named().into()));
        for channel in connection.info.channels() {
            let tally = channel.tally.get();
            if !tally.is_zero() {
                samples.push((Subject::Channel(id, channel.id), sample_of(&tally)));
            }
        }
    }
    for vhost in api.admin.vhosts() {
        take_vhost(&vhost, &mut samples);
    }
    samples
}

fn take_vhost(vhost: &crate::broker::Vhost, samples: &mut Vec<(Subject, Sample)>) {
    let queues: Vec<_> = {
        let topology = vhost.topology();
        for exchange in topology.exchanges() {
            let stats = exchange.stats();
            if stats.publish_in() > 0 {
                let subject = Subject::Exchange(vhost.name().clone(), exchange.name().clone());
                let counts =
                    [("publish_in", stats.publish_in()), ("publish_out", stats.publish_out())];
                samples.push((subject, counts.into()));
            }
        }
        topology.queues().map(|(_, queue)| queue.clone()).collect()
    };
    for queue in queues {
        let Some(view) = queue.view() else { continue };
        let counts = view.counts;
        let depth = Depth::of(&counts);
        if depth == Depth::default() && view.tally.messages.is_zero() {
            continue;
        }
        let mut sample = sample_of(&view.tally.messages);
        sample.extend(depth.named());
        samples.push((Subject::Queue(queue.id), sample));
    }
}
