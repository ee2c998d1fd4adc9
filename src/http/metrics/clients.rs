//! Connections and channels: all of them together, or each for itself; how they came and went.
//!
//! A connection's series have the label `channel`, as RabbitMQ's have, with its name for a value.

use super::{
    Scrape,
    family::Family,
    snapshot::{ChannelNumbers, ConnectionNumbers},
    text::{
        Kind::{Counter, Gauge},
        Metric, Page, labels,
    },
};
use crate::broker::stats::Stat;

const CHANNEL: [Metric<ChannelNumbers>; 7] = [
    Metric {
        name: "channel_consumers",
        kind: Gauge,
        help: "Consumers on a channel",
        value: |channel| channel.consumers,
    },
    Metric {
        name: "channel_messages_unacked",
        kind: Gauge,
        help: "Delivered but not yet acknowledged messages",
        value: |channel| channel.unacked,
    },
    Metric {
        name: "channel_messages_unconfirmed",
        kind: Gauge,
        help: "Published but not yet confirmed messages",
        value: |channel| channel.unconfirmed,
    },
    Metric {
        name: "channel_messages_uncommitted",
        kind: Gauge,
        help: "Messages received in a transaction but not yet committed",
        value: |channel| channel.uncommitted,
    },
    Metric {
        name: "channel_acks_uncommitted",
        kind: Gauge,
        help: "Message acknowledgements in a transaction not yet committed",
        value: |channel| channel.uncommitted_acks,
    },
    Metric {
        name: "consumer_prefetch",
        kind: Gauge,
        help: "Limit of unacknowledged messages for each consumer",
        value: |channel| channel.prefetch,
    },
    Metric {
        name: "channel_prefetch",
        kind: Gauge,
        help: "Limit of unacknowledged messages for all consumers of a channel together",
        value: |channel| channel.global_prefetch,
    },
];

const PUBLISHED: [Metric<ChannelNumbers>; 4] = [
    Metric {
        name: "channel_messages_published_total",
        kind: Counter,
        help: "Total number of messages published into an exchange on a channel",
        value: |channel| channel.messages[Stat::Publish],
    },
    Metric {
        name: "channel_messages_confirmed_total",
        kind: Counter,
        help: "Total number of messages published into an exchange and confirmed on the channel",
        value: |channel| channel.messages[Stat::Confirm],
    },
    Metric {
        name: "channel_messages_unroutable_returned_total",
        kind: Counter,
        help: "Total number of messages published as mandatory into an exchange and returned to \
               the publisher as unroutable",
        value: |channel| channel.messages[Stat::ReturnUnroutable],
    },
    Metric {
        name: "channel_messages_unroutable_dropped_total",
        kind: Counter,
        help: "Total number of messages published as non-mandatory into an exchange and dropped \
               as unroutable",
        value: |channel| channel.messages[Stat::DropUnroutable],
    },
];

const DELIVERED: [Metric<ChannelNumbers>; 7] = [
    Metric {
        name: "channel_get_ack_total",
        kind: Counter,
        help: "Total number of messages fetched with basic.get in manual acknowledgement mode",
        value: |channel| channel.messages[Stat::Get],
    },
    Metric {
        name: "channel_get_total",
        kind: Counter,
        help: "Total number of messages fetched with basic.get in automatic acknowledgement mode",
        value: |channel| channel.messages[Stat::GetNoAck],
    },
    Metric {
        name: "channel_messages_delivered_ack_total",
        kind: Counter,
        help: "Total number of messages delivered to consumers in manual acknowledgement mode",
        value: |channel| channel.messages[Stat::Deliver],
    },
    Metric {
        name: "channel_messages_delivered_total",
        kind: Counter,
        help: "Total number of messages delivered to consumers in automatic acknowledgement mode",
        value: |channel| channel.messages[Stat::DeliverNoAck],
    },
    Metric {
        name: "channel_messages_redelivered_total",
        kind: Counter,
        help: "Total number of messages redelivered to consumers",
        value: |channel| channel.messages[Stat::Redeliver],
    },
    Metric {
        name: "channel_messages_acked_total",
        kind: Counter,
        help: "Total number of messages acknowledged by consumers",
        value: |channel| channel.messages[Stat::Ack],
    },
    Metric {
        name: "channel_get_empty_total",
        kind: Counter,
        help: "Total number of times basic.get operations fetched no message",
        value: |channel| channel.messages[Stat::GetEmpty],
    },
];

const CONNECTION_BYTES: [Metric<ConnectionNumbers>; 2] = [
    Metric {
        name: "connection_incoming_bytes_total",
        kind: Counter,
        help: "Total number of bytes received on a connection",
        value: |connection| connection.received_bytes,
    },
    Metric {
        name: "connection_outgoing_bytes_total",
        kind: Counter,
        help: "Total number of bytes sent on a connection",
        value: |connection| connection.sent_bytes,
    },
];

const CONNECTION: [Metric<ConnectionNumbers>; 4] = [
    Metric {
        name: "connection_incoming_packets_total",
        kind: Counter,
        help: "Total number of packets received on a connection",
        value: |connection| connection.reads,
    },
    Metric {
        name: "connection_outgoing_packets_total",
        kind: Counter,
        help: "Total number of packets sent on a connection",
        value: |connection| connection.writes,
    },
    Metric {
        name: "connection_pending_packets",
        kind: Gauge,
        // So it is with RabbitMQ, whatever it says.
        help: "Number of bytes waiting to be sent on a connection",
        value: |connection| connection.pending_bytes,
    },
    Metric {
        name: "connection_channels",
        kind: Gauge,
        help: "Channels on a connection",
        value: |connection| connection.channels,
    },
];

/// Writes the families that are wanted.
pub(super) fn write(page: &mut Page, scrape: &Scrape<'_>) {
    if scrape.wants(Family::ConnectionChurn) {
        write_churn(page, scrape);
    }
    write_channels(page, scrape);
    write_connections(page, scrape);
}

fn write_channels(page: &mut Page, scrape: &Scrape<'_>) {
    let snapshot = scrape.snapshot;
    let (alone, in_vhost): (Vec<_>, Vec<_>) = if scrape.each() {
        // Which queue or exchange it was is not counted for each channel.
        let items = snapshot.channels.iter();
        items
            .map(|item| {
                let channel = ("channel", &*item.name);
                let alone = (labels(&[channel]), item.numbers);
                (alone, (labels(&[channel, ("vhost", &item.vhost)]), item.numbers))
            })
            .unzip()
    } else {
        let all = (String::new(), snapshot.all_channels());
        (vec![all.clone()], vec![all])
    };
    if scrape.wants(Family::Channel) {
        page.table(scrape.prefix, &CHANNEL, &alone);
    }
    if scrape.wants(Family::ChannelExchange) {
        page.table(scrape.prefix, &PUBLISHED, &in_vhost);
    }
    if scrape.wants(Family::ChannelQueue) {
        page.table(scrape.prefix, &DELIVERED, &in_vhost);
    }
}

fn write_connections(page: &mut Page, scrape: &Scrape<'_>) {
    let snapshot = scrape.snapshot;
    let things: Vec<_> = if scrape.each() {
        let connections = snapshot.connections.iter();
        connections.map(|(name, numbers)| (labels(&[("channel", name)]), *numbers)).collect()
    } else {
        vec![(String::new(), snapshot.all_connections())]
    };
    if scrape.wants(Family::ConnectionCoarse) {
        page.table(scrape.prefix, &CONNECTION_BYTES, &things);
    }
    if scrape.wants(Family::Connection) {
        page.table(scrape.prefix, &CONNECTION, &things);
    }
}

fn write_churn(page: &mut Page, scrape: &Scrape<'_>) {
    let clients = &scrape.snapshot.clients.churn;
    let queues = &scrape.snapshot.churn;
    for (name, help, value) in [
        (
            "connections_opened_total",
            "Total number of connections opened",
            clients.connections_opened,
        ),
        (
            "connections_closed_total",
            "Total number of connections closed or terminated",
            clients.connections_closed,
        ),
        ("channels_opened_total", "Total number of channels opened", clients.channels_opened),
        ("channels_closed_total", "Total number of channels closed", clients.channels_closed),
        ("queues_declared_total", "Total number of queues declared", queues.declared),
        ("queues_created_total", "Total number of queues created", queues.created),
        ("queues_deleted_total", "Total number of queues deleted", queues.deleted),
    ] {
        page.single((scrape.prefix, name), Counter, help, value);
    }
}

/// Writes how many connections, channels, consumers and queues there are.
pub(super) fn write_totals(page: &mut Page, scrape: &Scrape<'_>) {
    let clients = &scrape.snapshot.clients;
    for (name, help, value) in [
        ("connections", "Connections currently open", clients.connections as u64),
        ("channels", "Channels currently open", clients.channels as u64),
        ("consumers", "Consumers currently connected", clients.consumers),
        ("queues", "Queues available", scrape.snapshot.queues.len() as u64),
    ] {
        page.single((scrape.prefix, name), Gauge, help, value);
    }
}
