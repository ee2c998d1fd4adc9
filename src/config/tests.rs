//! Tests of reading the configuration, and of `config/lepus.toml`.

use std::{collections::HashSet, fs};

use super::{source::apply_toml, *};

mod rabbitmq;

fn from_toml(text: &str) -> Result<Config, Error> {
    Config::from_toml(Path::new("lepus.toml"), text)
}

fn from_environment(variables: &[(&str, &str)]) -> Result<Config, Error> {
    Config::load(None, variables.iter().map(|(name, value)| (name.into(), value.into())))
}

fn complaint(result: Result<Config, Error>) -> String {
    result.expect_err("must be refused").to_string()
}

#[test]
fn shipped_file_is_what_the_table_says() {
    let expected = template::render();
    if SHIPPED != expected {
        let path = env::temp_dir().join("lepus.toml");
        fs::write(&path, expected).unwrap();
        panic!("config/lepus.toml is out of date: look at {} and copy it", path.display());
    }
}

#[test]
fn shipped_file_as_it_is_changes_nothing() {
    assert_eq!(from_toml(SHIPPED).unwrap(), Config::default());
}

#[test]
fn shipped_file_uncommented_names_every_setting_and_is_the_defaults() {
    let text = template::uncomment(SHIPPED);
    let table = toml::de::DeTable::parse(&text).unwrap();
    let keys: HashSet<_> = table.get_ref().keys().map(|key| key.get_ref().to_string()).collect();
    let all: HashSet<_> = Setting::ALL.iter().map(|setting| setting.key.to_owned()).collect();
    assert_eq!(keys, all);
    // Read over a configuration in which nothing is as it is by default.
    let mut loaded = Loaded::default();
    loaded.config = unlike_the_defaults();
    apply_toml(&mut loaded, Path::new("lepus.toml"), &text).unwrap();
    assert_eq!(loaded.config, Config::default());
}

/// A configuration that differs from the defaults in every setting, by the environment.
fn unlike_the_defaults() -> Config {
    let other = |setting: &Setting| match setting.key {
        "bind" | "tls_bind" | "http_bind" | "https_bind" | "metrics_bind" => "::",
        "data_dir" | "load_definitions" | "pid_file" => "/elsewhere",
        "memory_watermark" => "1%",
        "sync" => "off",
        "sync_interval" | "drain_timeout" | "handshake_timeout" | "heartbeat" => "77s",
        "global_prefetch" => "consumer",
        "tls_verify_peer"
        | "tls_fail_if_no_peer_cert"
        | "https_verify_peer"
        | "https_fail_if_no_peer_cert" => "true",
        "amqp_plain" | "http" | "metrics" | "oauth2_verify_aud" | "oauth2_require_exp" => "false",
        "tls_versions" => "1.3",
        "tls_login_from" => "common_name",
        "tls_login_san_type" => "uri",
        "default_queue_type" => "quorum",
        "set_header_timestamp" | "set_header_routing_node" => "missing",
        "password_length_min" => "8",
        "http_path_prefix" => "/mq",
        "http_headers" => "a=b",
        "default_users" => "me.read=.*",
        "default_operator_policies" => "mine.max_length=1",
        "default_vhost_limits" => "1.max_queues=1",
        "auth_mechanisms" => "PLAIN",
        "auth_backends" => "oauth2,internal",
        "oauth2_algorithms" => "ES256",
        "server_version" => "3.13.7",
        "log" => "trace",
        "log_format" => "json",
        "store_inbox_max" | "store_cache_max" | "resident_max" => "77MiB",
        key if key.contains("user") || key.contains("pass") || key.contains("name") => "other",
        "default_vhost"
        | "default_permissions_configure"
        | "default_permissions_write"
        | "default_permissions_read" => "other",
        _ => "7777",
    };
    let variables = Setting::ALL
        .iter()
        .map(|setting| (format!("LEPUS_{}", setting.key.to_uppercase()), other(setting)));
    let config = Config::load(None, variables.map(|(k, v)| (k.into(), v.into()))).unwrap();
    for setting in Setting::ALL {
        let default = (setting.show)(&Config::default());
        assert_ne!((setting.show)(&config), default, "{} is still its default", setting.key);
    }
    config
}

#[test]
fn defaults_are_within_their_limits() {
    for setting in Setting::ALL {
        let line = format!("{} = {}", setting.key, (setting.show)(&Config::default()));
        from_toml(&line).unwrap();
    }
}

#[test]
fn later_sources_win_over_earlier_ones() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lepus.toml");
    fs::write(&path, "amqp_port = 1\ndefault_user = \"file\"\nchannel_max = 7\n").unwrap();
    let variables = [
        ("LEPUS_DEFAULT_USER", "lepus"),
        ("RABBITMQ_DEFAULT_USER", "rabbit"),
        ("RABBITMQ_NODE_PORT", "2"),
        ("RABBITMQ_DEFAULT_PASS", "swordfish"),
        ("RABBITMQ_DEFAULT_VHOST", "tenants"),
        ("RABBITMQ_LOGS", "-"),
        ("LEPUS_CONFIG", path.to_str().unwrap()),
    ];
    let config = from_environment(&variables).unwrap();
    assert_eq!(config.channel_max, 7, "the file wins over the default");
    assert_eq!(config.amqp_port, 2, "RABBITMQ_* win over the file");
    assert_eq!(config.default_user, "lepus", "LEPUS_* win over RABBITMQ_*");
    assert_eq!(config.default_pass.reveal(), "swordfish");
    assert_eq!(config.default_vhost, "tenants");
}

#[test]
fn unknown_key_is_named_with_file_and_line() {
    let said = complaint(from_toml("# ports\n\namqp_prot = 5672\n"));
    assert_eq!(said, "lepus.toml:3: unknown setting `amqp_prot`; did you mean `amqp_port`?");
    let said = complaint(from_toml("amqp_port = 1\n[server]\nport = 1\n"));
    assert_eq!(said, "lepus.toml:2: unknown setting `server`; config/lepus.toml lists all");
}

#[test]
fn bad_value_is_named_with_file_line_and_key() {
    let said = complaint(from_toml("amqp_port = 5672\nframe_max = 17\n"));
    assert!(said.starts_with("lepus.toml:2: `frame_max` cannot be \"17\": it is a size"), "{said}");
    assert!(said.ends_with(", from 4KiB to 16MiB"), "{said}");
    for text in [
        "amqp_port = 70000",
        "amqp_port = true",
        "amqp_port = [1]",
        "amqp_port = {}",
        "bind = []",
        "bind = [\"localhost\"]",
        "bind = [1979-05-27]",
        "sync = \"sometimes\"",
        "heartbeat = 60",
        "server_version = \"four\"",
        "log = \"loud\"",
        "default_user = \"\"",
        "memory_watermark = \"101%\"",
    ] {
        let said = complaint(from_toml(text));
        assert!(said.starts_with("lepus.toml:1: `"), "{said}");
        assert!(!said.contains('\n'), "{said}");
    }
}

#[test]
fn what_is_no_toml_is_named_with_file_and_line() {
    let said = complaint(from_toml("amqp_port = 5672\nframe_max = = 2\n"));
    assert!(said.starts_with("lepus.toml:2: "), "{said}");
    let said = complaint(from_toml("log = \"info\"\nlog = \"info\"\n"));
    assert!(said.starts_with("lepus.toml:2: "), "{said}");
}

#[test]
fn unreadable_file_is_named() {
    let said = complaint(Config::load(Some(Path::new("/nowhere/lepus.toml")), []));
    assert!(said.starts_with("cannot read the configuration file /nowhere/lepus.toml: "), "{said}");
}

#[test]
fn unknown_and_bad_variables_are_named() {
    let said = complaint(from_environment(&[("LEPUS_AMQP_PROT", "1")]));
    assert!(said.starts_with("environment variable LEPUS_AMQP_PROT: unknown setting"), "{said}");
    let said = complaint(from_environment(&[("RABBITMQ_NODE_PORT", "high")]));
    assert!(said.starts_with("environment variable RABBITMQ_NODE_PORT: `amqp_port`"), "{said}");
}

#[test]
fn a_bad_password_is_not_repeated() {
    let mut loaded = Loaded::default();
    let error = apply_toml(&mut loaded, Path::new("l"), "default_pass = [\"hunter2\"]");
    assert!(!error.unwrap_err().to_string().contains("hunter2"));
}

#[test]
fn variables_that_are_no_settings_are_ignored() {
    let variables = [
        ("LEPUS_PORT", "tcp://10.0.0.1:5672"),
        ("LEPUS_PORT_5672_TCP_ADDR", "10.0.0.1"),
        ("LEPUS_SERVICE_HOST", "10.0.0.1"),
        ("LEPUS_TEST_URI", "amqp://localhost"),
    ];
    assert_eq!(from_environment(&variables).unwrap(), Config::default());
    for setting in Setting::ALL {
        let name = setting.key.to_uppercase();
        assert!(source::FOREIGN.iter().all(|foreign| !name.starts_with(foreign)), "{name}");
    }
}

#[test]
fn rust_log_is_taken_if_it_makes_sense_and_nothing_else_is_said() {
    let log = |variables: &[_]| from_environment(variables).unwrap().log.as_str().to_owned();
    assert_eq!(log(&[("RUST_LOG", "debug")]), "debug");
    assert_eq!(log(&[("RUST_LOG", "debug"), ("LEPUS_LOG", "warn")]), "warn");
    assert_eq!(log(&[("RUST_LOG", "some_other_program")]), "info");
}

#[test]
fn an_empty_variable_is_as_good_as_none() {
    assert_eq!(from_environment(&[("LEPUS_AMQP_PORT", "")]).unwrap(), Config::default());
}

#[test]
fn lists_are_separated_by_commas_in_the_environment() {
    let config =
        from_environment(&[("LEPUS_BIND", "0.0.0.0, ::1"), ("LEPUS_LOOPBACK_USERS", "none")]);
    let config = config.unwrap();
    assert_eq!(config.bind, ["0.0.0.0", "::1"].map(|a| a.parse::<IpAddr>().unwrap()));
    assert!(config.loopback_users.is_empty());
}

#[test]
fn node_is_named_like_a_node_of_rabbitmq() {
    let config = Config::default();
    let named = |name: &str| Config { node_name: Some(name.into()), ..Config::default() }.node();
    assert_eq!(named("hare@field"), "hare@field");
    assert_eq!(named("hare"), config.node().replace("rabbit", "hare"));
    assert!(config.node().len() > "rabbit@".len() && config.node().starts_with("rabbit@"));
    assert_eq!(config.cluster(), config.node());
    assert_eq!(Config { cluster_name: Some("c".into()), ..config }.cluster(), "c");
}
