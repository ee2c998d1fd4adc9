//! The node: who it is, what it uses of the machine and what it may use, alarms and logins.
//!
//! What RabbitMQ says of Erlang has no meaning here and is left out, but for the time that the node
//! is up, which every dashboard shows.

use super::{
    Scrape,
    family::Family,
    text::{
        Kind::{Counter, Gauge, Untyped},
        Metric, Page, labels,
    },
};
use crate::{
    auth::{AttemptCounts, Via},
    broker::{
        alarm::Alarm,
        datum::Datum,
        parameter::{CLUSTER_ID, Scope},
    },
    clock, machine,
    store::StoreStats,
};

/// What names begin with wherever they are asked for.
const PREFIX: &str = "rabbitmq_";

/// HT-141. Every query of a dashboard joins on these.
pub(super) fn write_identity(page: &mut Page, scrape: &Scrape<'_>) {
    let config = &scrape.api.config;
    let version = config.server_version.as_str();
    let help = "RabbitMQ & Erlang/OTP version info";
    let build = labels(&[
        ("rabbitmq_version", version),
        ("prometheus_plugin_version", version),
        ("prometheus_client_version", concat!("lepus-", env!("CARGO_PKG_VERSION"))),
        ("erlang_version", "none"),
    ]);
    page.family((PREFIX, "build_info"), Untyped, help).put(&build, 1);
    let (node, cluster) = (config.node(), scrape.api.cluster_name());
    let id = scrape.api.broker.parameter(&Scope::Global, CLUSTER_ID);
    let id = id.as_ref().and_then(Datum::as_text).unwrap_or_default();
    let identity = labels(&[
        ("rabbitmq_node", &node),
        ("rabbitmq_cluster", &cluster),
        ("rabbitmq_cluster_permanent_id", id),
        ("rabbitmq_endpoint", scrape.endpoint),
    ]);
    let help = "RabbitMQ node & cluster identity info";
    page.family((PREFIX, "identity_info"), Untyped, help).put(&identity, 1);
}

/// Writes the families that are wanted.
pub(super) fn write(page: &mut Page, scrape: &Scrape<'_>, store: &StoreStats) {
    let prefix = scrape.prefix;
    let mut gauge = |name: &str, help: &str, value: Option<u64>| {
        if let Some(value) = value {
            page.single((prefix, name), Gauge, help, value);
        }
    };
    let limits = scrape.api.admin.alarm_limits();
    if scrape.wants(Family::NodeCoarse) {
        gauge("process_open_fds", "Open file descriptors", machine::open_files());
        let used = machine::memory_used();
        gauge("process_resident_memory_bytes", "Memory used in bytes", used);
        let free = machine::disk_free(limits.data_path()).ok();
        gauge("disk_space_available_bytes", "Disk space available in bytes", free);
    }
    if scrape.wants(Family::Node) {
        let now = limits.get();
        gauge("process_max_fds", "Open file descriptors limit", machine::open_files_max());
        let memory = now.memory_bytes();
        gauge("resident_memory_limit_bytes", "Memory high watermark in bytes", memory);
        let help = "Free disk space low watermark in bytes";
        gauge("disk_space_available_limit_bytes", help, Some(now.disk_free.0));
        let up = clock::unix_time().0.saturating_sub(scrape.api.started_at.0);
        let seconds = up as f64 / 1000.0;
        page.single((prefix, "erlang_uptime_seconds"), Gauge, "Node uptime", seconds);
    }
    if scrape.wants(Family::NodePersister) {
        let help = "Total number of I/O bytes written";
        page.single((prefix, "io_write_bytes_total"), Counter, help, store.written_bytes);
        let help = "Total number of I/O write operations";
        page.single((prefix, "io_write_ops_total"), Counter, help, store.commits);
        let help = "Total number of Message Store read operations";
        page.single((prefix, "msg_store_read_total"), Counter, help, store.read_messages);
        let help = "Total number of Message Store write operations";
        page.single((prefix, "msg_store_write_total"), Counter, help, store.written_messages);
        let help = "Total number of I/O sync operations";
        page.single((prefix, "io_sync_ops_total"), Counter, help, store.sync_times.count());
        let seconds = store.sync_times.sum as f64 / 1e9;
        page.single(
            (prefix, "io_sync_time_seconds_total"),
            Counter,
            "Total I/O sync time",
            seconds,
        );
    }
    if scrape.wants(Family::AuthAttempt) {
        write_logins(page, scrape);
    }
}

const LOGINS: [Metric<AttemptCounts>; 3] = [
    Metric {
        name: "auth_attempts_total",
        kind: Counter,
        help: "Total number of authentication attempts",
        value: |counts| counts.succeeded + counts.failed,
    },
    Metric {
        name: "auth_attempts_succeeded_total",
        kind: Counter,
        help: "Total number of successful authentication attempts",
        value: |counts| counts.succeeded,
    },
    Metric {
        name: "auth_attempts_failed_total",
        kind: Counter,
        help: "Total number of failed authentication attempts",
        value: |counts| counts.failed,
    },
];

fn write_logins(page: &mut Page, scrape: &Scrape<'_>) {
    let attempts = scrape.api.auth.attempts();
    let by_protocol =
        Via::ALL.map(|via| (labels(&[("protocol", via.as_str())]), attempts.get(via)));
    page.table(scrape.prefix, &LOGINS, &by_protocol);
}

/// HT-146
pub(super) fn write_alarms(page: &mut Page, scrape: &Scrape<'_>) {
    let gate = &scrape.api.broker.gate;
    for (name, help, alarm) in [
        (
            "alarms_free_disk_space_watermark",
            "is 1 if free disk space watermark alarm is in effect",
            Alarm::Disk,
        ),
        (
            "alarms_memory_used_watermark",
            "is 1 if VM memory watermark alarm is in effect",
            Alarm::Memory,
        ),
    ] {
        page.single((scrape.prefix, name), Untyped, help, u8::from(gate.is_raised(alarm)));
    }
    let help = "Number of peers in the cluster the current node cannot reach.";
    page.single((scrape.prefix, "unreachable_cluster_peers_count"), Gauge, help, 0);
    let help = "Start time of the process since unix epoch in seconds.";
    let seconds = scrape.api.started_at.0 as f64 / 1000.0;
    page.single(("", "process_start_time_seconds"), Gauge, help, seconds);
}

/// `/metrics/memory-breakdown`: what the memory in use is used for, as far as it is known. What is
/// here adds up to the whole.
pub(super) fn write_memory(page: &mut Page, scrape: &Scrape<'_>, store: &StoreStats) {
    let messages = scrape.snapshot.all_queues().resident_bytes;
    let output = scrape.snapshot.all_connections().pending_bytes;
    let used = machine::memory_used().unwrap_or_default();
    let other = used.saturating_sub(messages + output + store.inbox_bytes);
    for (name, help, bytes) in [
        ("binary_heap_bytes", "Messages that are ready, in bytes", messages),
        (
            "client_connection_writer_bytes",
            "What waits to be written to connections, in bytes",
            output,
        ),
        (
            "message_index_bytes",
            "What waits to be written to the disk, in bytes",
            store.inbox_bytes,
        ),
        ("other_system_bytes", "Everything else, in bytes", other),
    ] {
        page.single((PREFIX, &format!("memory_{name}")), Gauge, help, bytes);
    }
}
