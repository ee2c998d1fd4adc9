//! Messages, counted over everything that ever was: by protocol, type of queue, and fate (HT-142
//! to HT-144). The only protocol is AMQP 0-9-1.

use std::sync::atomic::Ordering::Relaxed;

use super::{
    Scrape,
    queues::module,
    text::{
        Kind::{Counter, Gauge, Histogram},
        Page, Unit, labels,
    },
};
use crate::{
    broker::{
        arguments::QueueType,
        dead_letter::Reason,
        stats::{QueueTally, SIZE_LIMITS, Stat, Tally},
    },
    histogram::Distribution,
};

const PROTOCOL: (&str, &str) = ("protocol", "amqp091");

/// RabbitMQ's name for the type of the queues for direct replies.
const REPLIES: &str = "rabbit_volatile_queue";

/// Writes everything.
pub(super) fn write(page: &mut Page, scrape: &Scrape<'_>) {
    write_published(page, scrape);
    write_delivered(page, scrape);
    write_dead_letters(page, scrape);
    write_sizes(page, scrape);
}

fn write_published(page: &mut Page, scrape: &Scrape<'_>) {
    let clients = &scrape.snapshot.clients;
    let (messages, traffic) = (&clients.messages, &clients.traffic);
    let labels = labels(&[PROTOCOL]);
    for (name, kind, help, value) in [
        ("consumers", Gauge, "Current number of consumers", clients.consumers),
        ("publishers", Gauge, "Current number of publishers", clients.publishers as u64),
        (
            "messages_received_total",
            Counter,
            "Total number of messages received from publishers",
            messages[Stat::Publish],
        ),
        (
            "messages_received_confirm_total",
            Counter,
            "Total number of messages received from publishers expecting confirmations",
            traffic.published_for_confirm,
        ),
        (
            "messages_confirmed_total",
            Counter,
            "Total number of messages confirmed to publishers",
            messages[Stat::Confirm],
        ),
        (
            "messages_routed_total",
            Counter,
            "Total number of messages routed to queues or streams",
            traffic.routed,
        ),
        (
            "messages_unroutable_dropped_total",
            Counter,
            "Total number of messages published as non-mandatory into an exchange and dropped \
             as unroutable",
            messages[Stat::DropUnroutable],
        ),
        (
            "messages_unroutable_returned_total",
            Counter,
            "Total number of messages published as mandatory into an exchange and returned to \
             the publisher as unroutable",
            messages[Stat::ReturnUnroutable],
        ),
    ] {
        page.family((scrape.prefix, &format!("global_{name}")), kind, help).put(&labels, value);
    }
}

/// A counter of what queues deliver: name, meaning, value.
type Delivered = (&'static str, &'static str, fn(&Tally) -> u64);

const DELIVERED: [Delivered; 8] = [
    ("acknowledged_total", "Total number of messages acknowledged by consumers", |tally| {
        tally[Stat::Ack]
    }),
    (
        "delivered_consume_auto_ack_total",
        "Total number of messages delivered to consumers using basic.consume with automatic \
         acknowledgment",
        |tally| tally[Stat::DeliverNoAck],
    ),
    (
        "delivered_consume_manual_ack_total",
        "Total number of messages delivered to consumers using basic.consume with manual \
         acknowledgment",
        |tally| tally[Stat::Deliver],
    ),
    (
        "delivered_get_auto_ack_total",
        "Total number of messages delivered to consumers using basic.get with automatic \
         acknowledgment",
        |tally| tally[Stat::GetNoAck],
    ),
    (
        "delivered_get_manual_ack_total",
        "Total number of messages delivered to consumers using basic.get with manual \
         acknowledgment",
        |tally| tally[Stat::Get],
    ),
    ("delivered_total", "Total number of messages delivered to consumers", Tally::deliver_get),
    ("get_empty_total", "Total number of times basic.get operations fetched no message", |tally| {
        tally[Stat::GetEmpty]
    }),
    ("redelivered_total", "Total number of messages redelivered to consumers", |tally| {
        tally[Stat::Redeliver]
    }),
];

fn write_delivered(page: &mut Page, scrape: &Scrape<'_>) {
    let counted = &scrape.snapshot.counted;
    let by_type = QueueType::ALL.map(|t| (module(t), &counted.by_type[t.index()].messages));
    let replies = (REPLIES, &counted.replies.messages);
    for (name, help, value) in DELIVERED {
        let name = format!("global_messages_{name}");
        let mut family = page.family((scrape.prefix, &name), Counter, help);
        for (module, tally) in by_type.into_iter().chain([replies]) {
            family.put(&labels(&[PROTOCOL, ("queue_type", module)]), value(tally));
        }
    }
}

/// The strategy of quorum queues that keep a letter until it has somewhere to go.
const AT_LEAST_ONCE: &str = "at_least_once";

fn write_dead_letters(page: &mut Page, scrape: &Scrape<'_>) {
    let counted = &scrape.snapshot.counted;
    let name = (scrape.prefix, "global_messages_dead_lettered_confirmed_total");
    let help = "Total number of messages dead-lettered and confirmed by target queues";
    let arrived = scrape.api.broker.letters_arrived.load(Relaxed);
    page.family(name, Counter, help).put(&fate(QueueType::Quorum, AT_LEAST_ONCE), arrived);
    let types = [QueueType::Classic, QueueType::Quorum];
    for reason in Reason::ALL {
        let why = match reason {
            Reason::Rejected => "basic.reject or basic.nack",
            Reason::Expired => "message TTL exceeded",
            Reason::MaxLen => "overflow drop-head or reject-publish-dlx",
            Reason::DeliveryLimit => "delivery-limit exceeded",
        };
        let name = format!("global_messages_dead_lettered_{}_total", reason.as_str());
        let help = format!("Total number of messages dead-lettered due to {why}");
        let mut family = page.family((scrape.prefix, &name), Counter, &help);
        for queue_type in types {
            let QueueTally { given_up, dead_lettered, kept_letters, .. } =
                counted.by_type[queue_type.index()];
            let fates = [
                ("at_most_once", dead_lettered),
                ("disabled", given_up),
                (AT_LEAST_ONCE, kept_letters),
            ];
            for (strategy, counts) in fates {
                if strategy != AT_LEAST_ONCE || queue_type == QueueType::Quorum {
                    family.put(&fate(queue_type, strategy), counts[reason as usize]);
                }
            }
        }
    }
}

/// The labels of dead letters.
fn fate(queue_type: QueueType, strategy: &str) -> String {
    labels(&[("queue_type", module(queue_type)), ("dead_letter_strategy", strategy)])
}

/// HT-144
fn write_sizes(page: &mut Page, scrape: &Scrape<'_>) {
    let sizes = &scrape.snapshot.clients.traffic.sizes;
    let seen =
        Distribution { limits: &SIZE_LIMITS, buckets: sizes.buckets.to_vec(), sum: sizes.bytes };
    let help = "Size of messages received from publishers";
    let mut family = page.family((scrape.prefix, "message_size_bytes"), Histogram, help);
    family.histogram(&[PROTOCOL], &seen, Unit::Plain);
}
