//! Metrics for Prometheus (HT-140 to HT-148). What does not depend on the moment is asked of a
//! RabbitMQ too, at `LEPUS_TEST_METRICS`.
#![allow(clippy::float_cmp, reason = "the values of counts are whole numbers")]

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use lepus::config::{MemoryLimit, Size};

use crate::harness::*;

const AMQP: (&str, &str) = ("protocol", "amqp091");
const CLASSIC: (&str, &str) = ("queue_type", "rabbit_classic_queue");
/// A name that would break out of its label.
const HOSTILE: &str = "a\"} 1\nrabbitmq_up{x=\"\\ \u{fc}\u{1f407}\t";
const QUORUM: (&str, &str) = ("queue_type", "rabbit_quorum_queue");

/// What RabbitMQ's dashboard asks for (HT-142), and what alerts commonly do (HT-147).
const NAMES: &str = "
    rabbitmq_build_info rabbitmq_identity_info rabbitmq_erlang_uptime_seconds rabbitmq_connections
    rabbitmq_channels rabbitmq_queues rabbitmq_connections_opened_total
    rabbitmq_connections_closed_total rabbitmq_channels_opened_total rabbitmq_channels_closed_total
    rabbitmq_queues_declared_total rabbitmq_queues_created_total rabbitmq_queues_deleted_total
    rabbitmq_queue_messages_ready rabbitmq_queue_messages_unacked rabbitmq_global_publishers
    rabbitmq_global_consumers rabbitmq_resident_memory_limit_bytes
    rabbitmq_process_resident_memory_bytes rabbitmq_disk_space_available_bytes
    rabbitmq_disk_space_available_limit_bytes rabbitmq_process_max_fds rabbitmq_process_open_fds
    rabbitmq_message_size_bytes_bucket rabbitmq_message_size_bytes_sum
    rabbitmq_message_size_bytes_count rabbitmq_global_messages_received_total
    rabbitmq_global_messages_received_confirm_total rabbitmq_global_messages_confirmed_total
    rabbitmq_global_messages_routed_total rabbitmq_global_messages_unroutable_dropped_total
    rabbitmq_global_messages_unroutable_returned_total rabbitmq_global_messages_delivered_total
    rabbitmq_global_messages_delivered_consume_auto_ack_total
    rabbitmq_global_messages_delivered_consume_manual_ack_total
    rabbitmq_global_messages_delivered_get_auto_ack_total
    rabbitmq_global_messages_delivered_get_manual_ack_total
    rabbitmq_global_messages_get_empty_total rabbitmq_global_messages_redelivered_total
    rabbitmq_global_messages_acknowledged_total rabbitmq_alarms_memory_used_watermark
    rabbitmq_alarms_free_disk_space_watermark rabbitmq_queue_messages rabbitmq_queue_consumers
    rabbitmq_queue_messages_published_total rabbitmq_consumers rabbitmq_auth_attempts_total
    rabbitmq_auth_attempts_succeeded_total rabbitmq_auth_attempts_failed_total
    rabbitmq_channel_messages_published_total rabbitmq_channel_messages_confirmed_total
    rabbitmq_channel_messages_delivered_total rabbitmq_channel_messages_acked_total
    rabbitmq_channel_messages_unroutable_returned_total
    rabbitmq_channel_messages_unroutable_dropped_total rabbitmq_connection_incoming_bytes_total
    rabbitmq_connection_outgoing_bytes_total rabbitmq_connection_incoming_packets_total
    rabbitmq_connection_outgoing_packets_total";

#[track_caller]
fn assert_has(scraped: &Scraped, wanted: &str) {
    let names = scraped.names();
    let missing: Vec<_> = wanted.split_whitespace().filter(|name| !names.contains(name)).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
}

// HT-140, HT-141, HT-142, HT-146, HT-147
#[test]
fn what_dashboards_and_alerts_ask_for_is_there() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let q = channel.queue();
    channel.fill(&q, ["m"]);
    channel.drain(&q);
    let scraped = metrics().scrape("/metrics");
    assert_has(&scraped, NAMES);
    let identity = &scraped.0["rabbitmq_identity_info"];
    let ((_, labels), value) = identity.series.first_key_value().unwrap();
    let labels: Vec<_> = labels.keys().map(String::as_str).collect();
    let wanted =
        ["rabbitmq_cluster", "rabbitmq_cluster_permanent_id", "rabbitmq_endpoint", "rabbitmq_node"];
    assert_eq!((&labels[..], *value), (&wanted[..], 1.0));
    let kind = |name: &str| scraped.0[name].kind.as_str();
    assert_eq!(kind("rabbitmq_queues_created_total"), "counter");
    assert_eq!(kind("rabbitmq_queue_messages_ready"), "gauge");
    assert_eq!(kind("rabbitmq_message_size_bytes"), "histogram");
    assert_eq!(kind("rabbitmq_identity_info"), "untyped");
    for path in ["/metrics/", "/metrics/default", "/metrics/per-object", "/metrics/per-object/"] {
        assert_has(&metrics().scrape(path), "rabbitmq_build_info rabbitmq_connections");
    }
}

// HT-141
#[test]
fn the_identity_stays_over_a_restart() {
    let identity = |private: &PrivateBroker| {
        let scraped = private.metrics().unwrap().scrape("/metrics");
        let family = &scraped.0["rabbitmq_identity_info"];
        let ((_, labels), _) = family.series.first_key_value().unwrap();
        labels["rabbitmq_cluster_permanent_id"].clone()
    };
    let Some(mut private) = private_broker("") else { return };
    let before = identity(&private);
    assert!(before.starts_with("rabbitmq-cluster-id-") && before.len() > 30, "{before}");
    private.restart();
    assert_eq!(identity(&private), before);
}

#[test]
fn our_dashboard_asks_for_what_there_is() {
    let Some(private) = private_broker("") else { return };
    let scraped = private.metrics().unwrap().scrape("/metrics");
    let dashboard: serde_json::Value =
        serde_json::from_str(include_str!("../config/grafana-lepus.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(queries.len() > 20);
    for query in queries {
        let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let of_ours = |word: &&str| word.starts_with("lepus_") || word.starts_with("rabbitmq_");
        let names: Vec<_> = words.filter(of_ours).collect();
        assert!(!names.is_empty(), "{query}");
        assert_has(&scraped, &names.join(" "));
    }
}

// HT-140
#[test]
fn other_paths_are_not_there() {
    let (status, _, body) = metrics().call("GET", "/metrics/none");
    assert_eq!((status, &*body), (404, "Unknown Registry"));
    assert_eq!(metrics().call("GET", "/").0, 404);
    let (status, head, _) = metrics().call("POST", "/metrics");
    assert_eq!(status, 405);
    assert!(head.contains("allow:"), "{head}");
}

#[test]
fn without_metrics_no_port_is_opened() {
    let Some(private) = private_broker("metrics = false") else { return };
    assert!(private.metrics().is_none());
}

// HT-143, HT-144
#[test]
fn what_passes_is_counted_by_protocol_and_type_of_queue() {
    let Some(private) = private_broker("") else { return };
    let metrics = private.metrics().unwrap();
    let connection = private.open();
    let channel = connection.channel(1);
    let x = channel.exchange("fanout");
    let classic = channel.queue();
    let quorum = channel.durable_queue(Table::new().with("x-queue-type", "quorum"));
    for q in [&classic, &quorum] {
        channel.call(&bind(q, &x, ""));
    }
    channel.publish(&publish(&x, "", "m"));
    channel.fill("nowhere", ["m"]);
    channel.confirm_select();
    channel.publish(&publish("", "nowhere", "m").mandatory());
    channel.returned();
    channel.fill(&classic, ["n"]);
    channel.expect_acked(2);
    channel.get_by(&get(&quorum).no_ack()).unwrap();
    assert!(channel.get(&quorum).is_none());
    let tag = channel.take(&classic, "m");
    channel.send(&nack(tag, true));
    let tag = channel.take(&classic, "m");
    channel.send(&ack(tag));
    channel.subscribe(&classic, "tag");
    channel.delivery();
    let seen = metrics.scrape("/metrics");
    let global = |name: &str, labels: &[(&str, &str)]| {
        seen.value(&format!("rabbitmq_global_{name}"), labels)
    };
    for (name, value) in [
        ("publishers", 1.0),
        ("consumers", 1.0),
        ("messages_received_total", 4.0),
        ("messages_received_confirm_total", 2.0),
        ("messages_confirmed_total", 2.0),
        // Two queues of a fanout are two.
        ("messages_routed_total", 3.0),
        ("messages_unroutable_dropped_total", 1.0),
        ("messages_unroutable_returned_total", 1.0),
    ] {
        assert_eq!(global(name, &[AMQP]), value, "{name}");
    }
    for (name, in_classic, in_quorum) in [
        ("acknowledged_total", 1.0, 0.0),
        ("delivered_total", 3.0, 1.0),
        ("delivered_consume_manual_ack_total", 1.0, 0.0),
        ("delivered_consume_auto_ack_total", 0.0, 0.0),
        ("delivered_get_manual_ack_total", 2.0, 0.0),
        ("delivered_get_auto_ack_total", 0.0, 1.0),
        ("get_empty_total", 0.0, 1.0),
        ("redelivered_total", 1.0, 0.0),
    ] {
        let name = format!("messages_{name}");
        let values = (global(&name, &[AMQP, CLASSIC]), global(&name, &[AMQP, QUORUM]));
        assert_eq!(values, (in_classic, in_quorum), "{name}");
    }
    assert_eq!(seen.value("rabbitmq_message_size_bytes_bucket", &[AMQP, ("le", "100")]), 4.0);
    assert_eq!(seen.value("rabbitmq_message_size_bytes_sum", &[AMQP]), 4.0);
    assert_eq!(seen.value("rabbitmq_queue_messages_unacked", &[]), 1.0);
    assert_eq!(seen.value("rabbitmq_queues", &[]), 2.0);
}

// HT-143
#[test]
fn dead_letters_are_counted_by_reason_and_by_whether_they_went_anywhere() {
    let Some(private) = private_broker("") else { return };
    let connection = private.open();
    let channel = connection.channel(1);
    let letters = channel.queue();
    let one = || Table::new().with("x-max-length", 1);
    let goes = channel.queue_with(letters_to(&letters).with("x-max-length", 1));
    let ends = channel.queue_with(one());
    let quorum = one().with("x-queue-type", "quorum").with("x-delivery-limit", 0);
    let quorum = channel.durable_queue(quorum);
    channel.fill(&goes, ["a", "b", "c"]);
    channel.fill(&ends, ["a", "b"]);
    let tag = channel.take(&ends, "b");
    channel.send(&reject(tag, false));
    channel.fill(&quorum, ["a"]);
    // What a closed channel had counts as failed.
    let other = connection.channel(2);
    other.take(&quorum, "a");
    other.close();
    let kept = letters_to(&letters).with("x-queue-type", "quorum");
    let kept = kept.with("x-dead-letter-strategy", "at-least-once");
    let kept = channel.durable_queue(kept.with("x-overflow", "reject-publish"));
    channel.fill(&kept, ["a"]);
    let tag = channel.take(&kept, "a");
    channel.send(&reject(tag, false));
    outlive(&connection, 1);
    let seen = private.metrics().unwrap().scrape("/metrics");
    let dead = |reason: &str, queue_type, strategy| {
        let name = format!("rabbitmq_global_messages_dead_lettered_{reason}_total");
        seen.value(&name, &[queue_type, ("dead_letter_strategy", strategy)])
    };
    assert_eq!(dead("maxlen", CLASSIC, "at_most_once"), 2.0);
    assert_eq!(dead("maxlen", CLASSIC, "disabled"), 1.0);
    assert_eq!(dead("rejected", CLASSIC, "disabled"), 1.0);
    assert_eq!(dead("rejected", CLASSIC, "at_most_once"), 0.0);
    assert_eq!(dead("expired", CLASSIC, "at_most_once"), 1.0);
    assert_eq!(dead("delivery_limit", QUORUM, "disabled"), 1.0);
    assert_eq!(dead("rejected", QUORUM, "at_least_once"), 1.0);
    assert_eq!(dead("confirmed", QUORUM, "at_least_once"), 1.0);
    assert_eq!(dead("rejected", QUORUM, "at_most_once"), 0.0);
}

// HT-145, HT-148
#[test]
fn each_queue_has_series_of_its_own_whatever_it_is_called() {
    let Some(private) = private_broker("") else { return };
    let connection = private.open();
    let channel = connection.channel(1);
    // A queue's name loses its ends of lines; a vhost's does not.
    let hostile = &*channel.declare(&queue(HOSTILE).durable()).queue;
    channel.fill(hostile, ["m"]);
    let stamped = Properties { timestamp: Some(1_700_000_000), ..Properties::persistent() };
    channel.publish(&publish("", hostile, "no").properties(stamped));
    channel.take(hostile, "m");
    private.operator().add_vhost(HOSTILE);
    let metrics = private.metrics().unwrap();
    let seen = metrics.scrape("/metrics/per-object");
    let labels = [("vhost", "/"), ("queue", hostile)];
    assert_eq!(seen.value("rabbitmq_queue_messages_ready", &labels), 1.0);
    assert_eq!(seen.value("rabbitmq_queue_messages_unacked", &labels), 1.0);
    assert_eq!(seen.value("rabbitmq_queue_get_ack_total", &labels), 1.0);
    assert_eq!(seen.value("rabbitmq_queue_messages_persistent", &labels), 1.0);
    assert_eq!(seen.value("rabbitmq_queue_messages_persistent_bytes", &labels), 2.0);
    assert_eq!(seen.value("rabbitmq_queue_consumer_capacity", &labels), 0.0);
    assert_eq!(seen.value("rabbitmq_queue_head_message_timestamp", &labels), 1_700_000_000.0);
    assert_eq!(seen.value("lepus_queue_resident_messages", &labels), 1.0);
    let published = [("queue_vhost", "/"), ("queue", hostile)];
    assert_eq!(seen.value("rabbitmq_queue_messages_published_total", &published), 2.0);
    let info = [labels[0], labels[1], CLASSIC, ("membership", "leader")];
    assert_eq!(seen.value("rabbitmq_queue_info", &info), 1.0);
    assert!(seen.find("rabbitmq_queue_messages_ready", &[]).is_none());
    let local = connection.socket().local_addr().unwrap();
    let peer = connection.socket().peer_addr().unwrap();
    let name = format!("{local} -> {peer}");
    let of_connection = [("channel", &*name)];
    assert!(seen.value("rabbitmq_connection_incoming_bytes_total", &of_connection) > 0.0);
    let name = format!("{name} (1)");
    assert_eq!(seen.value("rabbitmq_channel_messages_unacked", &[("channel", &*name)]), 1.0);
    let of_vhost = [("channel", &*name), ("vhost", "/")];
    assert_eq!(seen.value("rabbitmq_channel_messages_published_total", &of_vhost), 2.0);
    let seen = metrics.scrape("/metrics/detailed?family=vhost_status&family=exchange_bindings");
    assert_eq!(seen.value("rabbitmq_cluster_vhost_status", &[("vhost", HOSTILE)]), 1.0);
    let exchange = [("vhost", HOSTILE), ("exchange", "amq.topic"), ("type", "topic")];
    assert_eq!(seen.value("rabbitmq_cluster_exchange_bindings", &exchange), 0.0);
}

// HT-140
#[test]
fn detailed_metrics_are_those_that_are_asked_for() {
    let vhost = name("vhost");
    operator().add_vhost(&vhost);
    let connection = Options::new().vhost(&vhost).open();
    let q = connection.channel(1).shared_queue();
    let path = format!(
        "/metrics/detailed?family=queue_coarse_metrics&family=queue_consumer_count\
         &family=queue_metrics&family=no_such&vhost={}",
        part(&vhost)
    );
    let labels = [("vhost", &*vhost), ("queue", &*q)];
    let ready = "rabbitmq_detailed_queue_messages_ready";
    // RabbitMQ tells of a queue some seconds after it was declared.
    let start = std::time::Instant::now();
    let seen = loop {
        let seen = metrics().scrape(&path);
        if seen.find(ready, &labels).is_some() {
            break seen;
        }
        assert!(start.elapsed() < DEADLINE, "no queue in {path}");
    };
    assert_eq!(seen.value(ready, &labels), 0.0);
    assert_eq!(seen.value("rabbitmq_detailed_queue_consumers", &labels), 0.0);
    assert_eq!(seen.0[ready].series.len(), 1, "queues of other vhosts");
    let names = seen.names();
    assert!(!names.contains("rabbitmq_connections"), "{names:?}");
    let endpoint = seen.0["rabbitmq_identity_info"].series.keys().next().unwrap();
    assert_eq!(endpoint.1["rabbitmq_endpoint"], "detailed");
    drop(connection);
    operator().delete_vhost(&vhost);
}

/// Whatever is closed or deleted, no counter falls.
#[test]
fn no_counter_falls_when_what_it_counted_is_gone() {
    let Some(private) = private_broker("") else { return };
    let metrics = private.metrics().unwrap();
    let mut before = metrics.scrape("/metrics");
    let mut check = |what: &str| {
        let now = metrics.scrape("/metrics");
        now.assert_no_counter_fell_since(&before);
        before = now.clone();
        (what.to_owned(), now)
    };
    private.operator().add_vhost("v");
    for vhost in ["/", "v"] {
        let connection = private.options().vhost(vhost).open();
        let (channel, other) = (connection.channel(1), connection.channel(2));
        let x = channel.exchange("fanout");
        let q = channel.shared_queue();
        channel.call(&bind(&q, &x, ""));
        channel.confirm_select();
        for body in ["a", "b", "c"] {
            channel.publish(&publish(&x, "", body).persistent());
        }
        channel.expect_acked(3);
        let tag = other.take(&q, "a");
        other.send(&ack(tag));
        other.take(&q, "b");
        check("used");
        other.close();
        check("a channel closed");
        if vhost == "/" {
            channel.call(&delete(&q));
            check("a queue deleted");
            channel.call(&exchange_delete(&x));
            check("an exchange deleted");
        }
        connection.close();
        check("a connection closed");
    }
    private.operator().delete_vhost("v");
    let (_, seen) = check("a vhost deleted");
    for (name, value) in [
        ("rabbitmq_queues_created_total", 2.0),
        ("rabbitmq_queues_deleted_total", 2.0),
        ("rabbitmq_connections_opened_total", 2.0),
        ("rabbitmq_connections_closed_total", 2.0),
        ("rabbitmq_channels_opened_total", 4.0),
        ("rabbitmq_channels_closed_total", 4.0),
        ("rabbitmq_channel_messages_published_total", 6.0),
        ("rabbitmq_queue_messages_published_total", 6.0),
        ("rabbitmq_queue_messages_acked_total", 2.0),
        ("rabbitmq_queues", 0.0),
        ("rabbitmq_channels", 0.0),
    ] {
        assert_eq!(seen.value(name, &[]), value, "{name}");
    }
}

/// The same while queues, channels, connections and vhosts come and go.
#[test]
fn no_counter_falls_while_things_come_and_go() {
    let Some(private) = private_broker("") else { return };
    let metrics = private.metrics().unwrap();
    let is_over = AtomicBool::new(false);
    let use_a_vhost = |vhost: &str| {
        let connection = private.options().vhost(vhost).open();
        let channel = connection.channel(1);
        for _ in 0..5 {
            let q = channel.shared_queue();
            channel.fill(&q, ["a", "b"]);
            channel.take(&q, "a");
            channel.call(&delete(&q));
        }
        let q = channel.shared_queue();
        channel.fill(&q, ["a"]);
        assert!(channel.get_by(&get(&q).no_ack()).is_some());
        connection.close();
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                use_a_vhost("/");
            }
        });
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                private.operator().add_vhost("v");
                use_a_vhost("v");
                private.operator().delete_vhost("v");
            }
        });
        let mut before = metrics.scrape("/metrics");
        // A failure must not leave the others at work for good.
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..100 {
                let now = metrics.scrape("/metrics");
                now.assert_no_counter_fell_since(&before);
                before = now;
            }
        }));
        is_over.store(true, Ordering::Relaxed);
        if let Err(failure) = checked {
            std::panic::resume_unwind(failure);
        }
    });
}

// HT-146
#[test]
fn alarms_are_told() {
    let Some(private) = private_broker("") else { return };
    let metrics = private.metrics().unwrap();
    let name = "rabbitmq_alarms_memory_used_watermark";
    assert_eq!(metrics.scrape("/metrics").value(name, &[]), 0.0);
    private.alarm_limits().set_memory_watermark(MemoryLimit::Absolute(Size(0)));
    let seen = metrics.until(|seen| seen.value(name, &[]) == 1.0);
    assert_eq!(seen.value("rabbitmq_alarms_free_disk_space_watermark", &[]), 0.0);
    assert_eq!(seen.value("rabbitmq_resident_memory_limit_bytes", &[]), 0.0);
    let connection = private.open();
    connection.channel(1).fill("nowhere", ["m"]);
    metrics.until(|seen| seen.value("lepus_connections_blocked", &[]) == 1.0);
}

// HT-147
#[test]
fn logins_are_counted() {
    let Some(private) = private_broker("") else { return };
    drop(private.open());
    private.options().login("guest", "wrong").until_start().0.cut();
    let (refused, _) = private.options().login("guest", "wrong").until_start();
    refused.control().send(&private.options().login("guest", "wrong").start_ok());
    refused.expect_close(403, starts_with("ACCESS_REFUSED"), (0, 0));
    private.api().login("guest", "wrong").call("GET", "/whoami", "");
    private.api().get("/whoami");
    let seen = private.metrics().unwrap().scrape("/metrics");
    for (protocol, succeeded, failed) in [("amqp091", 1.0, 1.0), ("http", 1.0, 1.0)] {
        let count = |what: &str| {
            let name = format!("rabbitmq_auth_attempts_{what}total");
            seen.value(&name, &[("protocol", protocol)])
        };
        assert_eq!(
            (count(""), count("succeeded_"), count("failed_")),
            (succeeded + failed, succeeded, failed),
            "{protocol}"
        );
    }
}

#[test]
fn the_store_tells_how_it_does() {
    let Some(private) = private_broker("") else { return };
    let metrics = private.metrics().unwrap();
    let before = metrics.scrape("/metrics");
    let connection = private.open();
    let channel = connection.channel(1);
    let q = channel.durable_queue(Table::new());
    channel.confirm_select();
    channel.fill_persistent(&q, ["m"]);
    channel.expect_acked(1);
    let seen = metrics.until(|seen| seen.value("lepus_store_lag_operations", &[]) == 0.0);
    let grown = |name: &str| seen.value(name, &[]) - before.value(name, &[]);
    for name in [
        "lepus_store_commit_seconds_count",
        "lepus_store_sync_seconds_count",
        "lepus_store_lag_seconds_count",
        "lepus_store_batch_operations_count",
        "lepus_store_batch_bytes_count",
        "lepus_store_operations_total",
        "lepus_store_written_bytes_total",
    ] {
        assert!(grown(name) > 0.0, "{name}");
    }
    // Each takes as long as it takes, and waits for longer than that.
    assert!(grown("lepus_store_commit_seconds_sum") > 0.0);
    assert!(grown("lepus_store_lag_seconds_sum") >= grown("lepus_store_commit_seconds_sum"));
    assert_eq!(seen.value("lepus_store_failed", &[]), 0.0);
}

#[test]
fn what_left_memory_is_told_from_what_is_in_it() {
    let Some(private) = private_broker("resident_max = '1MiB'") else { return };
    let connection = private.open();
    let channel = connection.channel(1);
    let q = channel.durable_queue(Table::new());
    channel.confirm_select();
    let count = 400;
    for _ in 0..count {
        channel.publish(&publish("", &q, vec![b'x'; 10_000]).persistent());
    }
    channel.expect_acked(count);
    let seen = private.metrics().unwrap().scrape("/metrics");
    let value = |name: &str| seen.value(&format!("lepus_queue_{name}"), &[]);
    assert_eq!(value("resident_messages") + value("paged_out_messages"), count as f64);
    assert!(value("paged_out_messages") > 0.0);
    assert_eq!(value("paged_out_bytes"), value("paged_out_messages") * 10_000.0);
    assert!(value("resident_bytes") >= value("resident_messages") * 10_000.0);
    assert_eq!(seen.value("lepus_resident_limit_bytes", &[]), f64::from(1 << 20));
    assert_eq!(seen.value("rabbitmq_queue_messages_persistent", &[]), count as f64);
    assert_eq!(seen.value("rabbitmq_msg_store_write_total", &[]), count as f64);
    let paged_out = value("paged_out_messages");
    assert_eq!(channel.drain(&q).len() as u64, count);
    let seen = private.metrics().unwrap().scrape("/metrics");
    assert!(seen.value("rabbitmq_msg_store_read_total", &[]) >= paged_out);
    assert_eq!(seen.value("rabbitmq_queue_messages_persistent", &[]), 0.0);
}

#[test]
fn stalls_of_slow_consumers_are_counted() {
    let Some(private) = private_broker("outbox_events_max = 16") else { return };
    let metrics = private.metrics().unwrap();
    let connection = private.open();
    let (channel, slow) = (connection.channel(1), private.open().channel(1));
    let q = channel.shared_queue();
    slow.consume(&consume(&q, "slow").no_ack());
    let stalls = |seen: &Scraped| seen.value("lepus_outbox_stall_seconds_count", &[]);
    // One publish after the other, until what the sockets take is not enough for them.
    let body = vec![b'x'; 100_000];
    let mut published = 0;
    while metrics.scrape("/metrics").value("rabbitmq_queue_messages_ready", &[]) == 0.0 {
        for _ in 0..50 {
            channel.publish(&publish("", &q, &*body));
        }
        channel.expect_nothing();
        published += 50;
        assert!(published < 2000, "the broker takes 200 MB for a consumer that does not read");
    }
    assert_eq!(slow.deliveries(published).len(), published);
    assert!(stalls(&metrics.until(|seen| stalls(seen) > 0.0)) > 0.0);
}
