//! Queues: all of them together, or each for itself.

use super::{
    Scrape,
    family::Family,
    snapshot::{QueueItem, QueueNumbers},
    text::{
        Kind::{Counter, Gauge},
        Metric, Page, labels,
    },
};
use crate::broker::{arguments::QueueType, stats::Stat};

/// RabbitMQ's name for a type of queues, as its metrics have it (HT-143).
pub(super) const fn module(queue_type: QueueType) -> &'static str {
    match queue_type {
        QueueType::Classic => "rabbit_classic_queue",
        QueueType::Quorum => "rabbit_quorum_queue",
        QueueType::Stream => "rabbit_stream_queue",
    }
}

const COARSE: [Metric<QueueNumbers>; 3] = [
    Metric {
        name: "queue_messages_ready",
        kind: Gauge,
        help: "Messages ready to be delivered to consumers",
        value: |queue| queue.ready,
    },
    Metric {
        name: "queue_messages_unacked",
        kind: Gauge,
        help: "Messages delivered to consumers but not yet acknowledged",
        value: |queue| queue.unacked,
    },
    Metric {
        name: "queue_messages",
        kind: Gauge,
        help: "Sum of ready and unacknowledged messages - total queue depth",
        value: |queue| queue.ready + queue.unacked + queue.waiting,
    },
];

const CONSUMERS: [Metric<QueueNumbers>; 1] = [Metric {
    name: "queue_consumers",
    kind: Gauge,
    help: "Consumers on a queue",
    value: |queue| queue.consumers,
}];

/// RabbitMQ has the same under two names.
const CAPACITY: [Metric<QueueNumbers, f64>; 2] = [
    Metric {
        name: "queue_consumer_capacity",
        kind: Gauge,
        help: "Fraction of the time in which the queue could deliver to its consumers at once",
        value: |queue| queue.capacity,
    },
    Metric {
        name: "queue_consumer_utilisation",
        kind: Gauge,
        help: "Same as consumer capacity",
        value: |queue| queue.capacity,
    },
];

const MEMORY: [Metric<QueueNumbers>; 10] = [
    Metric {
        name: "queue_process_memory_bytes",
        kind: Gauge,
        help: "Memory in bytes used by the queue's messages",
        value: |queue| queue.resident_bytes,
    },
    Metric {
        name: "queue_messages_ready_ram",
        kind: Gauge,
        help: "Ready messages stored in memory",
        value: |queue| queue.resident,
    },
    Metric {
        name: "queue_messages_unacked_ram",
        kind: Gauge,
        help: "Unacknowledged messages stored in memory",
        value: |queue| queue.unacked,
    },
    Metric {
        name: "queue_messages_ram",
        kind: Gauge,
        help: "Ready and unacknowledged messages stored in memory",
        value: |queue| queue.resident + queue.unacked,
    },
    Metric {
        name: "queue_messages_ram_bytes",
        kind: Gauge,
        help: "Size in bytes of ready and unacknowledged messages stored in memory",
        value: |queue| queue.resident_body_bytes + queue.unacked_bytes,
    },
    Metric {
        name: "queue_messages_persistent",
        kind: Gauge,
        help: "Persistent messages",
        value: |queue| queue.persistent.messages,
    },
    Metric {
        name: "queue_messages_persistent_bytes",
        kind: Gauge,
        help: "Size in bytes of persistent messages",
        value: |queue| queue.persistent.bytes,
    },
    Metric {
        name: "queue_messages_ready_bytes",
        kind: Gauge,
        help: "Size in bytes of ready messages",
        value: |queue| queue.ready_bytes,
    },
    Metric {
        name: "queue_messages_unacked_bytes",
        kind: Gauge,
        help: "Size in bytes of all unacknowledged messages",
        value: |queue| queue.unacked_bytes,
    },
    Metric {
        name: "queue_messages_bytes",
        kind: Gauge,
        help: "Size in bytes of ready and unacknowledged messages",
        value: |queue| queue.ready_bytes + queue.unacked_bytes,
    },
];

const DELIVERY: [Metric<QueueNumbers>; 7] = [
    Metric {
        name: "queue_get_ack_total",
        kind: Counter,
        help: "Total number of messages fetched from a queue with basic.get in manual \
               acknowledgement mode",
        value: |queue| queue.messages[Stat::Get],
    },
    Metric {
        name: "queue_get_total",
        kind: Counter,
        help: "Total number of messages fetched from a queue with basic.get in automatic \
               acknowledgement mode",
        value: |queue| queue.messages[Stat::GetNoAck],
    },
    Metric {
        name: "queue_messages_delivered_ack_total",
        kind: Counter,
        help: "Total number of messages delivered from a queue to consumers in manual \
               acknowledgement mode",
        value: |queue| queue.messages[Stat::Deliver],
    },
    Metric {
        name: "queue_messages_delivered_total",
        kind: Counter,
        help: "Total number of messages delivered from a queue to consumers in automatic \
               acknowledgement mode",
        value: |queue| queue.messages[Stat::DeliverNoAck],
    },
    Metric {
        name: "queue_messages_redelivered_total",
        kind: Counter,
        help: "Total number of messages redelivered from a queue to consumers",
        value: |queue| queue.messages[Stat::Redeliver],
    },
    Metric {
        name: "queue_messages_acked_total",
        kind: Counter,
        help: "Total number of messages acknowledged by consumers on a queue",
        value: |queue| queue.messages[Stat::Ack],
    },
    Metric {
        name: "queue_get_empty_total",
        kind: Counter,
        help: "Total number of times basic.get operations fetched no message on a queue",
        value: |queue| queue.messages[Stat::GetEmpty],
    },
];

const PUBLISHED: [Metric<QueueNumbers>; 1] = [Metric {
    name: "queue_messages_published_total",
    kind: Counter,
    help: "Total number of messages published into a queue",
    value: |queue| queue.messages[Stat::Publish],
}];

/// What RabbitMQ does not have: which messages are in memory and which on the disk alone.
const RESIDENCY: [Metric<QueueNumbers>; 4] = [
    Metric {
        name: "queue_resident_messages",
        kind: Gauge,
        help: "Ready messages in memory",
        value: |queue| queue.resident,
    },
    Metric {
        name: "queue_resident_bytes",
        kind: Gauge,
        help: "Memory in bytes that ready messages take",
        value: |queue| queue.resident_bytes,
    },
    Metric {
        name: "queue_paged_out_messages",
        kind: Gauge,
        help: "Ready messages on the disk alone",
        value: |queue| queue.ready.saturating_sub(queue.resident),
    },
    Metric {
        name: "queue_paged_out_bytes",
        kind: Gauge,
        help: "Bytes of the bodies of ready messages on the disk alone",
        value: |queue| queue.ready_bytes.saturating_sub(queue.resident_body_bytes),
    },
];

/// Writes the families that are wanted.
pub(super) fn write(page: &mut Page, scrape: &Scrape<'_>) {
    let all = [(String::new(), scrape.snapshot.all_queues())];
    let (each, published);
    let (things, published) = if scrape.each() {
        each = labelled(scrape, |item| labels(&[("vhost", &item.vhost), ("queue", &item.name)]));
        published = if scrape.wants(Family::QueuePublished) {
            labelled(scrape, |item| labels(&[("queue_vhost", &item.vhost), ("queue", &item.name)]))
        } else {
            Vec::new()
        };
        (&each[..], &published[..])
    } else {
        (&all[..], &all[..])
    };
    let prefix = scrape.prefix;
    if scrape.wants(Family::QueueCoarse) {
        page.table(prefix, &COARSE, things);
    }
    if scrape.wants(Family::Queue) || scrape.wants(Family::QueueConsumers) {
        page.table(prefix, &CONSUMERS, things);
    }
    if scrape.wants(Family::Queue) {
        page.table(prefix, &CAPACITY, things);
        page.table(prefix, &MEMORY, things);
        if scrape.each() {
            write_head_timestamps(page, scrape);
        }
    }
    if scrape.wants(Family::QueueDelivery) {
        page.table(prefix, &DELIVERY, things);
    }
    if scrape.wants(Family::QueuePublished) {
        page.table(prefix, &PUBLISHED, published);
    }
    if scrape.wants(Family::QueueResidency) {
        page.table(scrape.own_prefix, &RESIDENCY, things);
    }
    let of_each = [Family::QueueCoarse, Family::Queue, Family::QueueConsumers];
    if scrape.each() && of_each.into_iter().any(|family| scrape.wants(family)) {
        write_info(page, scrape);
    }
}

fn labelled(
    scrape: &Scrape<'_>,
    label: impl Fn(&QueueItem) -> String,
) -> Vec<(String, QueueNumbers)> {
    scrape.queues().map(|item| (label(item), item.numbers)).collect()
}

/// Those of queues whose first message has none are left out; RabbitMQ calls them `NaN`.
fn write_head_timestamps(page: &mut Page, scrape: &Scrape<'_>) {
    let help = "Timestamp of the first message in the queue, if any";
    let mut heads = page.family((scrape.prefix, "queue_head_message_timestamp"), Gauge, help);
    for item in scrape.queues() {
        if let Some(timestamp) = item.head_timestamp {
            heads.put(&labels(&[("vhost", &item.vhost), ("queue", &item.name)]), timestamp);
        }
    }
}

/// HT-148
fn write_info(page: &mut Page, scrape: &Scrape<'_>) {
    let help = "A metric with a constant '1' value and labels that provide some queue details";
    let mut info = page.family((scrape.prefix, "queue_info"), Gauge, help);
    for item in scrape.queues() {
        let labels = labels(&[
            ("vhost", &item.vhost),
            ("queue", &item.name),
            ("queue_type", module(item.queue_type)),
            ("membership", "leader"),
        ]);
        info.put(&labels, 1);
    }
}
