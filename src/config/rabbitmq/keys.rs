//! Which key of `rabbitmq.conf` is which setting, and how its value is written (EN-040 to EN-051).

use super::listeners;

/// How a value is written in RabbitMQ's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As in the settings of our own.
    Same,
    /// A number, where `0` or `infinity` stands for as many as there can be, which are these.
    Count { most: &'static str },
    /// A number from `least`, or `infinity` for any number.
    Limit { least: u64 },
    /// A number of milliseconds.
    Millis,
    /// A number of seconds.
    Seconds,
    /// Bytes with a unit, of which `kB` is 1000 bytes and `KiB` 1024.
    Units,
    /// Bytes with a unit, of which `KB` is 1024 bytes.
    BinaryUnits,
    /// An address.
    Address,
    /// What paths begin with; the slashes at both ends do not matter.
    Path,
    /// A share of the memory, of which 1.0 is all.
    Share,
    /// One of these words, each with what it is in the settings of our own.
    Word(&'static [(&'static str, &'static str)]),
}

/// Words that are the same here.
const SAME: &str = "";

const LEVELS: Form = Form::Word(&[
    ("debug", SAME),
    ("info", SAME),
    ("notice", "info"),
    ("warning", "warn"),
    ("error", SAME),
    ("critical", "error"),
    ("alert", "error"),
    ("emergency", "error"),
    ("none", "off"),
]);
const FORMATTERS: Form = Form::Word(&[("plaintext", "text"), ("json", SAME)]);
const VERIFY: Form = Form::Word(&[("verify_peer", "true"), ("verify_none", "false")]);
const LOGINS: Form = Form::Word(&[
    ("distinguished_name", SAME),
    ("common_name", SAME),
    ("subject_alternative_name", SAME),
    ("subject_alt_name", "subject_alternative_name"),
]);
const TLS_VERSIONS: Form = Form::Word(&[("tlsv1.3", "1.3"), ("tlsv1.2", "1.2")]);
const BACKENDS: Form = Form::Word(&[
    ("internal", SAME),
    ("rabbit_auth_backend_internal", "internal"),
    ("oauth2", SAME),
    ("oauth", "oauth2"),
    ("rabbit_auth_backend_oauth2", "oauth2"),
]);

const SET_HEADER: Form = Form::Word(&[("true", "overwrite"), ("false", "missing")]);

impl Form {
    /// Makes of a value what the setting takes; `None` if it is not written so.
    pub(super) fn read(self, value: &str) -> Option<String> {
        match self {
            Self::Same => Some(value.into()),
            Self::Count { most } if value == "0" || value == "infinity" => Some(most.into()),
            Self::Count { .. } => whole(value),
            Self::Limit { .. } if value == "infinity" => Some(String::new()),
            Self::Limit { least } => {
                whole(value).filter(|number| number.parse().is_ok_and(|n: u64| n >= least))
            }
            Self::Millis => whole(value).map(|number| number + "ms"),
            Self::Seconds => whole(value).map(|number| number + "s"),
            Self::Units => bytes(value, 1000),
            Self::BinaryUnits => bytes(value, 1024),
            Self::Address => {
                let addresses = listeners::meant(value.parse().ok()?);
                Some(addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
            }
            Self::Path => Some(match value.trim_matches('/') {
                "" => String::new(),
                path => format!("/{path}"),
            }),
            Self::Share => {
                let share: f64 = value.parse().ok()?;
                // Less than a hundredth is not nothing, which would hold publishers up for good.
                let least = f64::from(u8::from(share > 0.0));
                let hundredths = (share * 100.0).round().max(least);
                (0.0..=1e6).contains(&share).then(|| format!("{hundredths}%"))
            }
            Self::Word(words) => {
                let (word, ours) = words.iter().find(|(word, _)| *word == value)?;
                Some(if *ours == SAME { *word } else { *ours }.into())
            }
        }
    }

    /// What may be written.
    pub(super) fn expected(self) -> String {
        match self {
            Self::Same => "text".into(),
            Self::Count { .. } | Self::Limit { least: 0 } => "a whole number, or infinity".into(),
            Self::Limit { least } => format!("a whole number from {least}, or infinity"),
            Self::Millis => "a whole number of milliseconds".into(),
            Self::Seconds => "a whole number of seconds".into(),
            Self::Units | Self::BinaryUnits => {
                "a number of bytes, or one with a unit such as MB or GiB".into()
            }
            Self::Address => "an IP address".into(),
            Self::Path => "a path".into(),
            Self::Share => "a share such as 0.6".into(),
            Self::Word(words) => {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                format!("one of {}", words.join(", "))
            }
        }
    }
}

fn whole(value: &str) -> Option<String> {
    value.parse::<u64>().ok().map(|number| number.to_string())
}

/// The units with and without `i` and `b`, in whatever case (as since RabbitMQ 3.13); `factor` is
/// what one without `i` stands for.
fn bytes(value: &str, factor: u64) -> Option<String> {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = value[digits.len()..].to_ascii_lowercase();
    let (factor, scale) = match unit.as_bytes() {
        [] => (1, b'k'),
        [scale] | [scale, b'b'] => (factor, *scale),
        [scale, b'i'] | [scale, b'i', b'b'] => (1024, *scale),
        _ => return None,
    };
    let power = 1 + b"kmgtp".iter().position(|unit| *unit == scale)?;
    let count: u64 = digits.parse().ok()?;
    Some(count.checked_mul(factor_to(factor, power)?)?.to_string())
}

fn factor_to(factor: u64, power: usize) -> Option<u64> {
    factor.checked_pow(power.try_into().ok()?)
}

/// Keys, settings, forms. Of two keys for one setting the one that was written later wins.
pub(super) const KEYS: &[(&str, &str, Form)] = &[
    ("handshake_timeout", "handshake_timeout", Form::Millis),
    ("heartbeat", "heartbeat", Form::Seconds),
    ("consumer_timeout", "consumer_timeout", Form::Millis),
    ("frame_max", "frame_max", Form::BinaryUnits),
    ("max_channels_per_connection", "channel_max", CHANNELS),
    ("channel_max", "channel_max", CHANNELS),
    ("consumer_max_per_channel", "channel_consumers_max", Form::Count { most: "10000000" }),
    ("max_connections", "connections_max", CONNECTIONS),
    ("connection_max", "connections_max", CONNECTIONS),
    ("channel_max_per_node", "channels_max", Form::Limit { least: 1 }),
    ("vhost_max", "vhosts_max", Form::Limit { least: 0 }),
    ("cluster_queue_limit", "queues_max", Form::Limit { least: 0 }),
    ("cluster_exchange_limit", "exchanges_max", Form::Limit { least: 0 }),
    (
        "message_interceptors.incoming.set_header_timestamp.overwrite",
        "set_header_timestamp",
        SET_HEADER,
    ),
    (
        "message_interceptors.incoming.set_header_routing_node.overwrite",
        "set_header_routing_node",
        SET_HEADER,
    ),
    // As up to RabbitMQ 3.13.
    (
        "incoming_message_interceptors.set_header_timestamp.overwrite",
        "set_header_timestamp",
        SET_HEADER,
    ),
    (
        "incoming_message_interceptors.set_header_routing_node.overwrite",
        "set_header_routing_node",
        SET_HEADER,
    ),
    ("max_message_size", "max_message_size", Form::Units),
    ("tcp_listen_options.backlog", "listen_backlog", Form::Same),
    ("vm_memory_high_watermark.relative", "memory_watermark", Form::Share),
    ("vm_memory_high_watermark.absolute", "memory_watermark", Form::Units),
    ("disk_free_limit.relative", "disk_free_limit", Form::Share),
    ("disk_free_limit.absolute", "disk_free_limit", Form::Units),
    ("cluster_name", "cluster_name", Form::Same),
    ("default_user", "default_user", Form::Same),
    ("default_pass", "default_pass", Form::Same),
    ("default_vhost", "default_vhost", Form::Same),
    ("default_queue_type", "default_queue_type", Form::Same),
    ("default_permissions.configure", "default_permissions_configure", Form::Same),
    ("default_permissions.read", "default_permissions_read", Form::Same),
    ("default_permissions.write", "default_permissions_write", Form::Same),
    ("load_definitions", "load_definitions", Form::Same),
    ("management.load_definitions", "load_definitions", Form::Same),
    ("definitions.https.url", "load_definitions", Form::Same),
    ("definitions.local.path", "load_definitions", Form::Same),
    ("log.console.level", "log", LEVELS),
    ("log.default.level", "log", LEVELS),
    ("log.console.formatter", "log_format", FORMATTERS),
    ("management.path_prefix", "http_path_prefix", Form::Path),
    ("management.cors.max_age", "http_cors_max_age", Form::Seconds),
    ("management.tcp.ip", "http_bind", Form::Address),
    ("management.listener.ip", "http_bind", Form::Address),
    ("management.ssl.ip", "https_bind", Form::Address),
    ("prometheus.tcp.ip", "metrics_bind", Form::Address),
    ("management.tcp.port", "http_port", Form::Same),
    ("management.listener.port", "http_port", Form::Same),
    ("prometheus.tcp.port", "metrics_port", Form::Same),
    ("ssl_options.cacertfile", "tls_ca", Form::Same),
    ("ssl_options.certfile", "tls_certificate", Form::Same),
    ("ssl_options.keyfile", "tls_key", Form::Same),
    ("ssl_options.verify", "tls_verify_peer", VERIFY),
    ("ssl_options.fail_if_no_peer_cert", "tls_fail_if_no_peer_cert", Form::Same),
    ("ssl_cert_login_from", "tls_login_from", LOGINS),
    ("ssl_cert_login_san_type", "tls_login_san_type", Form::Same),
    ("ssl_cert_login_san_index", "tls_login_san_index", Form::Same),
    ("management.ssl.port", "https_port", Form::Same),
    ("management.ssl.cacertfile", "https_ca", Form::Same),
    ("management.ssl.certfile", "https_certificate", Form::Same),
    ("management.ssl.keyfile", "https_key", Form::Same),
    ("management.ssl.verify", "https_verify_peer", VERIFY),
    ("management.ssl.fail_if_no_peer_cert", "https_fail_if_no_peer_cert", Form::Same),
    ("management.listener.ssl_opts.cacertfile", "https_ca", Form::Same),
    ("management.listener.ssl_opts.certfile", "https_certificate", Form::Same),
    ("management.listener.ssl_opts.keyfile", "https_key", Form::Same),
    ("management.listener.ssl_opts.verify", "https_verify_peer", VERIFY),
    ("management.listener.ssl_opts.fail_if_no_peer_cert", "https_fail_if_no_peer_cert", Form::Same),
    ("auth_oauth2.resource_server_id", "oauth2_resource_server_id", Form::Same),
    ("auth_oauth2.scope_prefix", "oauth2_scope_prefix", Form::Same),
    ("auth_oauth2.additional_scopes_key", "oauth2_additional_scopes_key", Form::Same),
    ("auth_oauth2.verify_aud", "oauth2_verify_aud", Form::Same),
    ("auth_oauth2.require_exp", "oauth2_require_exp", Form::Same),
    ("auth_oauth2.default_key", "oauth2_default_key", Form::Same),
    ("auth_oauth2.issuer", "oauth2_issuer", Form::Same),
    ("auth_oauth2.jwks_url", "oauth2_jwks_url", Form::Same),
    ("auth_oauth2.jwks_uri", "oauth2_jwks_url", Form::Same),
    ("auth_oauth2.https.cacertfile", "oauth2_ca", Form::Same),
];

const CHANNELS: Form = Form::Count { most: "65535" };
const CONNECTIONS: Form = Form::Count { most: "10000000" };

/// How the entries `prefix.1`, `prefix.2` make one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Members {
    /// Of their values, written so, in the order of what follows the prefix.
    Values(Form),
    /// The same, where `prefix.1.authn` and `prefix.1.authz` make one member together.
    Backends(Form),
    /// Of what follows the prefix, where the value is true.
    Names,
    /// Of `name=value`.
    Pairs,
    /// The same, each held to what it may be where it stands.
    Properties,
}

/// Prefixes, settings, and what the list is made of.
pub(super) const LISTS: &[(&str, &str, Members)] = &[
    ("loopback_users", "loopback_users", Members::Names),
    ("default_user_tags", "default_user_tags", Members::Names),
    // Of `advanced.config` alone.
    ("trace_vhosts", "trace_vhosts", Members::Names),
    ("default_users", "default_users", Members::Properties),
    ("default_policies.operator", "default_operator_policies", Members::Properties),
    ("default_limits.vhosts", "default_vhost_limits", Members::Properties),
    ("management.cors.allow_origins", "http_cors_origins", Members::Values(Form::Same)),
    ("auth_mechanisms", "auth_mechanisms", Members::Values(Form::Same)),
    ("auth_backends", "auth_backends", Members::Backends(BACKENDS)),
    ("ssl_options.versions", "tls_versions", Members::Values(TLS_VERSIONS)),
    ("auth_oauth2.algorithms", "oauth2_algorithms", Members::Values(Form::Same)),
    ("auth_oauth2.scope_aliases", "oauth2_scope_aliases", Members::Pairs),
    (
        "auth_oauth2.preferred_username_claims",
        "oauth2_preferred_username_claims",
        Members::Values(Form::Same),
    ),
];

/// Keys, and the header of the management API's answers that each gives a value.
pub(super) const HEADERS: &[(&str, &str)] = &[
    ("management.csp.policy", "content-security-policy"),
    ("management.hsts.policy", "strict-transport-security"),
    ("management.headers.content_type_options", "x-content-type-options"),
    ("management.headers.frame_options", "x-frame-options"),
    ("management.headers.referrer_policy", "referrer-policy"),
    ("management.headers.xss_protection", "x-xss-protection"),
];

/// Keys that say what is so in any case, if they have this value.
pub(super) const GIVEN: &[(&str, &str)] = &[
    ("log.console", "true"),
    ("log.file", "false"),
    ("definitions.import_backend", "local_filesystem"),
    ("definitions.import_backend", "local"),
    ("definitions.import_backend", "http"),
    ("definitions.import_backend", "https"),
    ("definitions.import_backend", "rabbit_definitions_import_https"),
    ("definitions.import_backend", "rabbitmq_definitions_import_http"),
    ("definitions.import_backend", "rabbit_definitions_import_local_filesystem"),
    ("anonymous_login_user", "guest"),
    ("anonymous_login_pass", "guest"),
    ("management.listener.ssl", "false"),
    // `apply` sees to it.
    ("management.listener.ssl", "true"),
    ("management.ssl.client_renegotiation", "false"),
    ("management.ssl.secure_renegotiate", "true"),
    ("password_hashing_module", "rabbit_password_hashing_sha256"),
    ("ssl_options.client_renegotiation", "false"),
    ("ssl_options.secure_renegotiate", "true"),
];

/// Beginnings of keys by which somebody keeps others out, or secrets in, and which have no effect.
pub(super) const SAFETY: &[&str] = &[
    "anonymous_login_",
    "auth_cache.",
    "auth_http.",
    "auth_ldap.",
    "auth_oauth2.",
    "credential_validator.",
    "management.disable_basic_auth",
    "management.listener.ssl",
    "management.login_session_timeout",
    "management.oauth_",
    "management.require_auth_",
    "management.restrictions.",
    "management.ssl.",
    "password_hashing_module",
    "prometheus.authentication.",
    "prometheus.ssl.",
    "ranch_connection_max",
    "ssl_options.",
    "trust_store.",
];

/// Beginnings of keys that say something which somebody may count on, and which has no effect.
pub(super) const MISSED: &[&str] = &[
    "definitions.",
    "log.exchange",
    "log.file",
    "log.journald",
    "log.syslog",
    "message_interceptors.",
    "mqtt.",
    "prometheus.path",
    "proxy_protocol",
    "queue_types.",
    "runtime_parameters.",
    "stomp.",
    "web_mqtt.",
    "web_stomp.",
];

/// Beginnings of keys that speak of what is not here: Erlang, clusters, RabbitMQ's own stores.
pub(super) const IDLE: &[&str] = &[
    "amqp10_client.",
    "amqp_client.",
    "background_gc_",
    "channel_interceptor.",
    "channel_tx_message_max",
    "classic_queue.",
    "cluster_formation.",
    "cluster_keepalive_interval",
    "cluster_partition_handling",
    "cluster_tags.",
    "collect_statistics",
    "consumer_disconnected_timeout",
    "credentials_obfuscation.",
    "default_worker_pool_size",
    "delegate_count",
    "deprecated_features.",
    "disk_monitor",
    "distribution.",
    "erlang.",
    "exchange_types.",
    "federation.",
    "hipe_compile",
    "http_dispatch.",
    "initial_frame_max",
    "link_max_per_session",
    "listeners.startup_delay",
    "log.",
    "management.",
    "management_agent.",
    "memory_monitor_interval",
    "message_store_",
    "metadata_store.",
    "mirroring_",
    "mnesia_",
    "motd_file",
    "net_ticktime",
    "node_tags.",
    "num_acceptors.",
    "peer_discovery",
    "prevent_startup_if_node_was_reset",
    "product.",
    "prometheus.",
    "queue_index_",
    "queue_leader_locator",
    "queue_master_locator",
    "quorum_",
    "raft.",
    "reverse_dns_lookups",
    "session_max_per_connection",
    "shovel.",
    "socket_writer.",
    "ssl_allow_poodle_attack",
    "ssl_handshake_timeout",
    "stream.",
    "sysmon_handler.",
    "tcp_listen_options.",
    "tracing.",
    "vhost_restart_strategy",
    "vm_memory_calculation_strategy",
    "vm_memory_high_watermark_paging_ratio",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Setting;

    #[test]
    fn every_key_is_of_a_setting() {
        let settings = KEYS.iter().map(|(_, setting, _)| setting);
        for setting in settings.chain(LISTS.iter().map(|(_, setting, _)| setting)) {
            assert!(Setting::ALL.iter().any(|known| known.key == *setting), "{setting}");
        }
    }

    // EN-046, EN-052; as `rabbit_resource_monitor_misc` of RabbitMQ 4.3 has it, but for its PiB,
    // of which it forgets a factor.
    #[test]
    fn units_are_those_of_rabbitmq() {
        for (value, bytes) in [
            ("50MB", Some(50_000_000)),
            ("50m", Some(50_000_000)),
            ("2GiB", Some(2 << 30)),
            ("2Gi", Some(2 << 30)),
            ("1kB", Some(1000)),
            ("1K", Some(1000)),
            ("1kib", Some(1024)),
            ("17", Some(17)),
            ("1.5GB", None),
            ("GB", None),
            ("1XB", None),
            ("-1", None),
            ("99999999999PB", None),
        ] {
            let expected = bytes.map(|bytes: u64| bytes.to_string());
            assert_eq!(Form::Units.read(value), expected, "{value}");
        }
        assert_eq!(Form::BinaryUnits.read("128KB").as_deref(), Some("131072"));
    }

    #[test]
    fn shares_are_percents() {
        assert_eq!(Form::Share.read("0.6").as_deref(), Some("60%"));
        assert_eq!(Form::Share.read("1.0").as_deref(), Some("100%"));
        assert_eq!(Form::Share.read("0.001").as_deref(), Some("1%"));
        assert_eq!(Form::Share.read("0").as_deref(), Some("0%"));
        for value in ["", "-0.1", "much", "NaN", "inf"] {
            assert_eq!(Form::Share.read(value), None, "{value}");
        }
    }
}
