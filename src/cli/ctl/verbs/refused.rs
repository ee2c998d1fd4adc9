//! Commands of RabbitMQ's tools that cannot mean anything here. They say so, and fail.

use super::super::verb::Verb;

const ERLANG: &str = "it runs a program inside RabbitMQ's runtime; Lepus is no Erlang program. \
                      Ask the management API instead, or see 'help' for the other commands";
const CLUSTER: &str = "there are no clusters: the broker is one node";
const ENCRYPTED: &str = "there are no encrypted settings; give secrets by environment variables";
const RUNTIME: &str = "it is about RabbitMQ's Erlang runtime, which is not there";
const LOG: &str = "the log goes to standard error, and who started the broker keeps it: \
                   journalctl -u lepus, docker logs. What is logged is set by set_log_level";
const RESOLVER: &str = "names are resolved by the system: see /etc/resolv.conf and /etc/hosts, and \
                        try one with resolve_hostname";
const SYSTEM: &str = "ask the operating system of the broker's machine";
const METRICS: &str = "see the histogram rabbitmq_message_size_bytes among the metrics, port 15692";
const PEEK: &str = "the messages of a queue are shown on its page of the management page, and by \
                    POST /api/queues/VHOST/QUEUE/get with the ackmode ack_requeue_true";
const DISK: &str = "the disk is always watched; set_disk_free_limit 0 lets it fill up";
const STREAMS: &str = "there are no streams yet";

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    Verb::refused("eval", ERLANG),
    Verb::refused("eval_file", ERLANG),
    Verb::refused("exec", ERLANG),
    Verb::refused("remote_shell", ERLANG),
    Verb::refused("observer", ERLANG),
    Verb::refused("join_cluster", CLUSTER),
    Verb::refused("forget_cluster_node", CLUSTER),
    Verb::refused("rename_cluster_node", CLUSTER),
    Verb::refused("update_cluster_nodes", CLUSTER),
    Verb::refused("change_cluster_node_type", CLUSTER),
    Verb::refused("add_member", CLUSTER),
    Verb::refused("delete_member", CLUSTER),
    Verb::refused("grow", CLUSTER),
    Verb::refused("grow_to_count", CLUSTER),
    Verb::refused("shrink", CLUSTER),
    Verb::refused("transfer_leadership", CLUSTER),
    Verb::refused("encode", ENCRYPTED),
    Verb::refused("decode", ENCRYPTED),
    Verb::refused("encrypt_conf_value", ENCRYPTED),
    Verb::refused("decrypt_conf_value", ENCRYPTED),
    Verb::refused("maybe_stuck", RUNTIME),
    Verb::refused("runtime_thread_stats", RUNTIME),
    Verb::refused("command_line_arguments", RUNTIME),
    Verb::refused("erlang_cookie_hash", RUNTIME),
    Verb::refused("erlang_cookie_sources", RUNTIME),
    Verb::refused("list_ciphers", ENCRYPTED),
    Verb::refused("list_hashes", ENCRYPTED),
    Verb::refused("log_tail", LOG),
    Verb::refused("log_tail_stream", LOG),
    Verb::refused("consume_event_stream", LOG),
    Verb::refused("resolver_info", RESOLVER),
    Verb::refused("list_network_interfaces", SYSTEM),
    Verb::refused("message_size_stats", METRICS),
    Verb::refused("deactivate_free_disk_space_monitoring", DISK),
    Verb::refused("set_channel_interceptor_priorities", "there are no interceptors"),
    Verb::refused("peek", PEEK),
    Verb::refused("add_replica", STREAMS),
    Verb::refused("delete_replica", STREAMS),
    Verb::refused("restart_stream", STREAMS),
    Verb::refused("stream_status", STREAMS),
    Verb::refused("coordinator_status", STREAMS),
];
