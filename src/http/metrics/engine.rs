//! What RabbitMQ has no word for: how the store and the outboxes do (names begin with `lepus_`).

use super::{
    Scrape,
    text::{
        Kind::{Counter, Gauge, Histogram},
        Page, Unit, labels,
    },
};
use crate::{histogram::Distribution, store::StoreStats};

/// Writes everything but what each queue has in memory.
pub(super) fn write(page: &mut Page, scrape: &Scrape<'_>, store: &StoreStats) {
    let version = labels(&[("version", env!("CARGO_PKG_VERSION"))]);
    let help = "The version of Lepus";
    page.family((scrape.own_prefix, "build_info"), Gauge, help).put(&version, 1);
    write_numbers(page, scrape, store);
    write_histograms(page, scrape, store);
}

fn write_numbers(page: &mut Page, scrape: &Scrape<'_>, store: &StoreStats) {
    let config = &scrape.api.config;
    let has_failed = scrape.api.broker.store.failed().is_some();
    for (name, kind, help, value) in [
        (
            "store_operations_total",
            Counter,
            "Operations that the store took: publishes, settlements, declarations",
            store.ops,
        ),
        (
            "store_elided_messages_total",
            Counter,
            "Messages that were settled before they had to be written",
            store.elided,
        ),
        (
            "store_empty_batches_total",
            Counter,
            "Batches of which nothing was left to write",
            store.empty_batches,
        ),
        (
            "store_written_bytes_total",
            Counter,
            "Bytes that the store wrote to its files",
            store.written_bytes,
        ),
        ("store_file_bytes", Gauge, "Bytes of the store's files", store.file_bytes),
        (
            "store_inbox_bytes",
            Gauge,
            "Bytes of operations that are submitted and not yet written",
            store.inbox_bytes,
        ),
        (
            "store_inbox_limit_bytes",
            Gauge,
            "Bytes of such operations above which publishers wait",
            config.store_inbox_max.0,
        ),
        (
            "store_lag_operations",
            Gauge,
            "Operations that are submitted and not yet durable",
            store.lag_ops,
        ),
        (
            "store_failed",
            Gauge,
            "1 once the store has failed: nothing is confirmed any more, the log says why",
            u64::from(has_failed),
        ),
        (
            "resident_limit_bytes",
            Gauge,
            "Bytes of ready messages in memory above which they leave it",
            config.resident_max.0,
        ),
        (
            "connections_blocked",
            Gauge,
            "Connections whose publishes wait for an alarm to end",
            scrape.snapshot.all_connections().blocked,
        ),
    ] {
        page.single((scrape.own_prefix, name), kind, help, value);
    }
}

fn write_histograms(page: &mut Page, scrape: &Scrape<'_>, store: &StoreStats) {
    let mut histogram = |name: &str, help: &str, seen: &Distribution, unit| {
        page.family((scrape.own_prefix, name), Histogram, help).histogram(&[], seen, unit);
    };
    histogram(
        "store_commit_seconds",
        "Time that a batch took to be written and synced",
        &store.commit_times,
        Unit::Nanoseconds,
    );
    histogram(
        "store_sync_seconds",
        "Time that a sync of a file took",
        &store.sync_times,
        Unit::Nanoseconds,
    );
    histogram(
        "store_lag_seconds",
        "Time from the submission of a batch's first operation until the batch was durable; what \
         nobody waits for lingers a few milliseconds",
        &store.lag_times,
        Unit::Nanoseconds,
    );
    histogram("store_batch_operations", "Operations of a batch", &store.batch_ops, Unit::Plain);
    histogram("store_batch_bytes", "Bytes of a batch", &store.batch_bytes, Unit::Plain);
    histogram(
        "outbox_stall_seconds",
        "Time that a queue waited for room in the outbox of a slow consumer",
        &scrape.api.broker.stalls.get(),
        Unit::Nanoseconds,
    );
}
