//! Tests of reading what was written for RabbitMQ.

use std::fs;

use tempfile::TempDir;

use super::*;

/// A directory like `/etc/rabbitmq`.
struct Etc(TempDir);

impl Etc {
    fn with(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(directory)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn read(&self, variables: &[(&str, &str)]) -> Result<Loaded, Error> {
        let sources = Sources { rabbitmq_directory: Some(self.0.path()), ..Sources::default() };
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        Loaded::read(&sources, variables)
    }

    /// The only mistake, without the directory.
    #[track_caller]
    fn complaint(&self, variables: &[(&str, &str)]) -> String {
        let said = self.read(variables).expect_err("must be refused").to_string();
        said.replace(&self.path(""), "")
    }
}

fn conf(text: &str) -> Etc {
    Etc::with(&[("rabbitmq.conf", text)])
}

fn read(text: &str) -> Loaded {
    conf(text).read(&[]).unwrap()
}

fn warnings(loaded: &Loaded) -> Vec<&str> {
    loaded
        .notes
        .iter()
        .filter_map(|note| match note {
            Note::Warning(text) => Some(text.as_str()),
            Note::Idle(_) => None,
        })
        .collect()
}

/// What a setting is after this was read, which nobody had to be warned of.
#[track_caller]
fn show(text: &str, setting: &str) -> String {
    let loaded = read(text);
    assert_eq!(warnings(&loaded), [""; 0], "{text}");
    let setting = Setting::ALL.iter().find(|s| s.key == setting).unwrap();
    assert!(matches!(loaded.origin(setting.key), Origin::File { line, .. } if *line > 0));
    (setting.show)(&loaded.config)
}

// EN-040 to EN-051
#[test]
fn every_key_sets_what_it_means() {
    for (text, setting, expected) in [
        ("listeners.tcp.default = 5673", "amqp_port", "5673"),
        ("listeners.tcp.1 = 127.0.0.1:5673", "bind", "[\"127.0.0.1\"]"),
        ("listeners.tcp.1 = :::5672", "bind", "[\"0.0.0.0\", \"::\"]"),
        ("listeners.tcp = none", "amqp_plain", "false"),
        ("listeners.ssl.default = 5670", "tls_port", "5670"),
        ("listeners.ssl.1 = 0.0.0.0:5671", "tls_bind", "[\"0.0.0.0\"]"),
        ("ssl_options.cacertfile = /ca", "tls_ca", "\"/ca\""),
        ("ssl_options.certfile = /cert", "tls_certificate", "\"/cert\""),
        ("ssl_options.keyfile = /key", "tls_key", "\"/key\""),
        ("ssl_options.verify = verify_peer", "tls_verify_peer", "true"),
        ("ssl_options.fail_if_no_peer_cert = true", "tls_fail_if_no_peer_cert", "true"),
        ("ssl_options.versions.1 = tlsv1.3", "tls_versions", "[\"1.3\"]"),
        (
            "ssl_cert_login_from = subject_alt_name",
            "tls_login_from",
            "\"subject_alternative_name\"",
        ),
        ("default_user = me", "default_user", "\"me\""),
        ("default_pass = secret", "default_pass", "\"secret\""),
        ("default_vhost = mine", "default_vhost", "\"mine\""),
        ("default_queue_type = quorum", "default_queue_type", "\"quorum\""),
        ("default_user_tags.monitoring = true", "default_user_tags", "[\"monitoring\"]"),
        ("default_permissions.read = ^a", "default_permissions_read", "\"^a\""),
        ("loopback_users.guest = false", "loopback_users", "[]"),
        ("loopback_users = none", "loopback_users", "[]"),
        ("loopback_users.me = true", "loopback_users", "[\"me\"]"),
        ("load_definitions = /d.json", "load_definitions", "\"/d.json\""),
        ("management.load_definitions = /d.json", "load_definitions", "\"/d.json\""),
        ("definitions.local.path = /d", "load_definitions", "\"/d\""),
        ("heartbeat = 30", "heartbeat", "\"30s\""),
        ("consumer_timeout = 1800000", "consumer_timeout", "\"30m\""),
        ("frame_max = 64KB", "frame_max", "\"64KiB\""),
        ("channel_max = 100", "channel_max", "100"),
        ("max_channels_per_connection = 0", "channel_max", "65535"),
        ("max_message_size = 1000", "max_message_size", "\"1kB\""),
        ("handshake_timeout = 5000", "handshake_timeout", "\"5s\""),
        ("vm_memory_high_watermark.relative = 0.4", "memory_watermark", "\"40%\""),
        ("vm_memory_high_watermark.absolute = 2GB", "memory_watermark", "\"2GB\""),
        ("disk_free_limit.absolute = 1GiB", "disk_free_limit", "\"1GiB\""),
        ("disk_free_limit.relative = 1.5", "disk_free_limit", "\"150%\""),
        ("consumer_max_per_channel = 5", "channel_consumers_max", "5"),
        ("max_connections = infinity", "connections_max", "10000000"),
        ("log.console.level = warning", "log", "\"warn\""),
        ("log.console.formatter = json", "log_format", "\"json\""),
        ("management.tcp.port = 8080", "http_port", "8080"),
        ("management.tcp.ip = 127.0.0.1", "http_bind", "[\"127.0.0.1\"]"),
        ("management.ssl.ip = 127.0.0.1", "https_bind", "[\"127.0.0.1\"]"),
        ("management.ssl.port = 8443", "http", "false"),
        ("management.ssl.port = 8443\nmanagement.tcp.port = 8080", "http_port", "8080"),
        ("management.listener.port = 1\nmanagement.listener.ssl = true", "https_port", "1"),
        ("management.listener.port = 1\nmanagement.listener.ssl = true", "http", "false"),
        ("management.listener.ssl_opts.certfile = /c", "https_certificate", "\"/c\""),
        ("prometheus.tcp.ip = ::", "metrics_bind", "[\"0.0.0.0\", \"::\"]"),
        ("management.ssl.port = 8443", "https_port", "8443"),
        ("prometheus.tcp.port = 9090", "metrics_port", "9090"),
        ("auth_mechanisms.1 = PLAIN", "auth_mechanisms", "[\"PLAIN\"]"),
        (
            "auth_mechanisms.2 = AMQPLAIN\nauth_mechanisms.1 = PLAIN",
            "auth_mechanisms",
            "[\"PLAIN\", \"AMQPLAIN\"]",
        ),
        ("auth_backends.1 = rabbit_auth_backend_internal", "auth_backends", "[\"internal\"]"),
        (
            "auth_backends.1.authn = internal\n\
             auth_backends.1.authz = rabbit_auth_backend_internal\nauth_backends.2.authz = oauth2",
            "auth_backends",
            "[\"internal\", \"oauth2\"]",
        ),
        (
            "auth_backends.10 = internal\nauth_backends.9.authn = oauth2",
            "auth_backends",
            "[\"oauth2\", \"internal\"]",
        ),
        (
            "anonymous_login_user = none",
            "auth_mechanisms",
            "[\"AMQPLAIN\", \"PLAIN\", \"EXTERNAL\"]",
        ),
        ("auth_oauth2.jwks_uri = https://a/k", "oauth2_jwks_url", "\"https://a/k\""),
        ("auth_oauth2.scope_aliases.a = b c", "oauth2_scope_aliases", "[\"a=b c\"]"),
        ("cluster_name = hares", "cluster_name", "\"hares\""),
        ("tcp_listen_options.backlog = 128", "listen_backlog", "128"),
    ] {
        assert_eq!(show(text, setting), expected, "{text}");
    }
}

// EN-049
#[test]
fn keys_of_the_management_api_set_what_they_mean() {
    for (text, setting, expected) in [
        ("management.path_prefix = /a/mq/", "http_path_prefix", "\"/a/mq\""),
        ("management.path_prefix = mq", "http_path_prefix", "\"/mq\""),
        ("management.path_prefix = /", "http_path_prefix", "\"\""),
        ("management.cors.allow_origins.1 = https://a", "http_cors_origins", "[\"https://a\"]"),
        ("management.cors.allow_origins = none", "http_cors_origins", "[]"),
        (
            "definitions.import_backend = https\ndefinitions.https.url = https://h/d.json",
            "load_definitions",
            "\"https://h/d.json\"",
        ),
        ("management.cors.max_age = 60", "http_cors_max_age", "\"60s\""),
        (
            "management.hsts.policy = max-age=9; preload\n\
             management.csp.policy = default-src 'self'\n\
             management.headers.frame_options = DENY",
            "http_headers",
            "[\"content-security-policy=default-src 'self'\", \
             \"strict-transport-security=max-age=9; preload\", \"x-frame-options=DENY\"]",
        ),
    ] {
        assert_eq!(show(text, setting), expected, "{text}");
    }
}

// EN-047, EN-051, PO-075
#[test]
fn keys_of_limits_and_of_what_vhosts_are_given_set_what_they_mean() {
    for (text, setting, expected) in [
        (
            "credential_validator.validation_backend = \
             rabbit_credential_validator_min_password_length\ncredential_validator.min_length = 9",
            "password_length_min",
            "9",
        ),
        (
            "credential_validator.validation_backend = \
             rabbit_credential_validator_min_password_length",
            "password_length_min",
            "5",
        ),
        (
            "credential_validator.validation_backend = \
             rabbit_credential_validator_password_regexp\ncredential_validator.regexp = ^[a-z]",
            "password_pattern",
            "\"^[a-z]\"",
        ),
        (
            "message_interceptors.incoming.set_header_timestamp.overwrite = true",
            "set_header_timestamp",
            "\"overwrite\"",
        ),
        (
            "incoming_message_interceptors.set_header_routing_node.overwrite = false",
            "set_header_routing_node",
            "\"missing\"",
        ),
        ("vhost_max = 5", "vhosts_max", "\"5\""),
        ("cluster_queue_limit = 0", "queues_max", "\"0\""),
        ("cluster_exchange_limit = infinity", "exchanges_max", "\"\""),
        ("channel_max_per_node = 9", "channels_max", "\"9\""),
        (
            "default_policies.operator.a.expires = 1h\n\
             default_policies.operator.a.max_length_bytes = 1MB\n\
             default_policies.operator.a.classic_queues.queue_version = 2",
            "default_operator_policies",
            "[\"a.classic_queues.queue_version=2\", \"a.expires=1h\", \
             \"a.max_length_bytes=1048576\"]",
        ),
        (
            "default_limits.vhosts.1.pattern = ^device\ndefault_limits.vhosts.1.max_queues = 10",
            "default_vhost_limits",
            "[\"1.max_queues=10\", \"1.pattern=^device\"]",
        ),
        (
            "default_users.a\\.b.password = x # y\ndefault_users.a\\.b.read = 'a,b'",
            "default_users",
            "[\"a.b.password=x\", \"a.b.read=a,b\"]",
        ),
    ] {
        assert_eq!(show(text, setting), expected, "{text}");
    }
}

#[test]
fn a_share_is_one_of_the_memory_that_there_is_said_to_be() {
    let text =
        "total_memory_available_override_value = 1GB\nvm_memory_high_watermark.relative = 0.5";
    let expected = MemoryLimit::Absolute(Size(500_000_000));
    assert_eq!(read(text).config.memory_watermark, expected);
}

// EN-006
#[test]
fn files_are_read_in_the_order_of_rabbitmq() {
    let etc = Etc::with(&[
        ("rabbitmq.conf", "default_user = a\ndefault_pass = a\nheartbeat = 1\ncluster_name = a"),
        ("conf.d/20.conf", "default_user = c"),
        ("conf.d/10.conf", "default_user = b\ndefault_pass = b"),
        ("conf.d/30.conf.off", "default_user = d"),
        ("conf.d/.hidden.conf", "default_user = e"),
        ("advanced.config", "[{rabbit, [\n {heartbeat, 2}]}]."),
    ]);
    let loaded = etc.read(&[]).unwrap();
    let config = &loaded.config;
    assert_eq!((config.default_user.as_str(), config.default_pass.reveal()), ("c", "b"));
    assert_eq!((config.heartbeat, config.cluster()), (Seconds(2), "a".to_owned()));
    let origin = loaded.origin("heartbeat").to_string();
    assert_eq!(origin, format!("{}:2", etc.path("advanced.config")));
    let read = ["rabbitmq.conf", "conf.d/10.conf", "conf.d/20.conf", "advanced.config"];
    assert_eq!(loaded.files, read.map(|name| etc.path(name)));
}

#[test]
fn variables_name_other_files() {
    let etc = Etc::with(&[
        ("rabbitmq.conf", "default_user = usual"),
        ("other.conf", "default_user = other"),
        ("more/1.conf", "default_vhost = more"),
        ("old.config", "[{rabbit, [{default_pass, <<\"old\">>}]}]."),
    ]);
    let (other, more, old) = (etc.path("other"), etc.path("more"), etc.path("old"));
    let variables = [("RABBITMQ_CONFIG_FILE", &*other), ("RABBITMQ_CONFIG_FILES", &*more)];
    let config = etc.read(&variables).unwrap().config;
    assert_eq!((&*config.default_user, &*config.default_vhost), ("other", "more"));
    let config = etc.read(&[("RABBITMQ_CONFIG_FILE", &*old)]).unwrap().config;
    assert_eq!(config.default_pass.reveal(), "old");
    // What is chosen for us alone stands alone.
    let loaded = etc.read(&[("LEPUS_RABBITMQ_CONF", "none")]).unwrap();
    assert_eq!((loaded.config, loaded.files.len()), (Config::default(), 0));
    let chosen = format!("{other}.conf");
    let loaded = etc.read(&[("LEPUS_RABBITMQ_CONF", &*chosen)]).unwrap();
    assert_eq!(loaded.files, [chosen]);
}

#[test]
fn a_file_that_is_named_and_not_there_is_told() {
    let etc = Etc::with(&[]);
    let missing = etc.path("missing.conf");
    let loaded = etc.read(&[("RABBITMQ_CONFIG_FILE", &missing)]).unwrap();
    assert!(warnings(&loaded)[0].contains(&missing));
    assert!(etc.complaint(&[("LEPUS_RABBITMQ_CONF", &missing)]).contains("missing.conf"));
}

#[test]
fn later_sources_win_over_rabbitmqs_files() {
    let etc = Etc::with(&[
        ("rabbitmq.conf", "default_user = conf\nheartbeat = 1\nchannel_max = 1\nframe_max = 8192"),
        ("lepus.toml", "heartbeat = \"2s\"\nchannel_max = 2\ndefault_user = \"toml\""),
        ("defaults.toml", "loopback_users = []\nframe_max = 4096"),
    ]);
    let (toml, defaults) = (etc.path("lepus.toml"), etc.path("defaults.toml"));
    let variables = [
        ("LEPUS_CONFIG", toml.as_str()),
        ("LEPUS_DEFAULTS", &defaults),
        ("RABBITMQ_DEFAULT_USER", "rabbit"),
        ("LEPUS_CHANNEL_MAX", "3"),
    ];
    let loaded = etc.read(&variables).unwrap();
    let config = &loaded.config;
    assert!(config.loopback_users.is_empty(), "other defaults");
    assert_eq!(config.frame_max, Size(8192), "rabbitmq.conf over other defaults");
    assert_eq!(config.heartbeat, Seconds(2), "lepus.toml over rabbitmq.conf");
    assert_eq!(config.default_user, "rabbit", "RABBITMQ_* over lepus.toml");
    assert_eq!(config.channel_max, 3, "LEPUS_* over all");
    let origin = |key| loaded.origin(key).to_string();
    assert_eq!(origin("frame_max"), format!("{}:4", etc.path("rabbitmq.conf")));
    assert_eq!(origin("heartbeat"), format!("{toml}:1"));
    assert_eq!(origin("default_user"), "environment variable RABBITMQ_DEFAULT_USER");
    assert_eq!(origin("default_pass"), "default");
}

#[test]
fn bad_values_are_named_with_file_line_key_and_what_is_allowed() {
    for (text, said) in [
        ("heartbeat = often", "`heartbeat` cannot be \"often\": it is a whole number of seconds"),
        (
            "handshake_timeout = 5",
            "`handshake_timeout` cannot be \"5\": it is a whole number of milliseconds; here a \
             time in milliseconds or with a unit, such as \"10s\" or \"5m\", from 100ms to 1h",
        ),
        (
            "listeners.tcp.default = http",
            "`listeners.tcp.default` cannot be http: it is a port, or an IP address, a colon and \
             a port",
        ),
        (
            "auth_backends.1.authn = oauth2\nauth_backends.1.authz = internal",
            "`auth_backends.1.authz` cannot be internal: it is oauth2 like `auth_backends.1.authn`",
        ),
        ("auth_backends.1.other = internal", "`auth_backends.1.other` cannot be internal: it is w"),
        (
            "channel_max_per_node = 0",
            "`channel_max_per_node` cannot be \"0\": it is a whole number f",
        ),
        (
            "default_limits.vhosts.a.pattern = x\ndefault_limits.vhosts.a.max_queues = -1",
            "`default_limits.vhosts.a.max_queues` cannot be -1: it is a list, each \
             NAME.PROPERTY=VALUE with one of pattern (a regular expression), max_connections (a \
             number from 1), max_queues (a number from 1)",
        ),
        (
            "default_users.me.read = x\ndefault_users.me.write = [",
            "`default_users.me.write` cannot be that: it is a list, each NAME.PROPERTY",
        ),
        ("default_users.me.password = encrypted:x", "`default_users.me.password` cannot be that"),
        (
            "management.path_prefix = /a b",
            "`management.path_prefix` cannot be \"/a b\": it is a pa",
        ),
        (
            "management.csp.policy = \u{e9}",
            "`management.csp.policy` cannot be \u{e9}: it is text of",
        ),
        (
            "x = y\ncredential_validator.validation_backend = \
             rabbit_credential_validator_password_regexp",
            "`credential_validator.validation_backend` cannot be rabbit_credential_validator_p",
        ),
        (
            "credential_validator.validation_backend = \
             rabbit_credential_validator_password_regexp\ncredential_validator.regexp = (",
            "`credential_validator.regexp` cannot be (: it is text, a regular expression",
        ),
        ("auth_backends.1 = ldap", "`auth_backends.1` cannot be ldap: it is one of internal, "),
        ("loopback_users.guest = no", "`loopback_users.guest` cannot be no: it is true or false"),
        ("vm_memory_high_watermark.relative = 2.0", "`vm_memory_high_watermark.relative` cannot"),
        ("default_permissions.read = [", "`default_permissions.read` cannot be \"[\": it is text"),
        ("ssl_options.verify = maybe", "`ssl_options.verify` cannot be \"maybe\": it is one of"),
        ("listeners.tcp.1 = 1\nlisteners.tcp.2 = 2", "`listeners.tcp.2` cannot be 2: it is 1 like"),
    ] {
        let line = 1 + text.matches('\n').count() + 1;
        let complaint = conf(&format!("\n{text}")).complaint(&[]);
        let expected = format!("rabbitmq.conf:{line}: {said}");
        assert!(complaint.starts_with(&expected), "{complaint}\n{expected}");
    }
    for text in ["default_pass = encrypted:abc", "default_vhost =", "include /x"] {
        assert!(conf(text).complaint(&[]).starts_with("rabbitmq.conf:1: "), "{text}");
    }
    let said = conf("default_pass = encrypted:abc").complaint(&[]);
    assert!(!said.contains("abc"), "{said}");
}

// EN-052
#[test]
fn keys_without_effect_are_named_once() {
    let loaded = read(
        "collect_statistics_interval = 5000\nderecated_features = 1\n\
         cluster_formation.node_type = disc\nmqtt.listeners.tcp.1 = 1883\nlog.console = true\n\
         log.file = rabbit.log\ndefinitions.import_backend = local_filesystem\n\
         queue_types.x = 9",
    );
    let [unknown, missed] = &warnings(&loaded)[..] else { panic!("{:?}", loaded.notes) };
    assert!(unknown.ends_with("rabbitmq.conf:2: RabbitMQ knows no `derecated_features`"));
    for key in ["mqtt.listeners.tcp.1", "log.file", "queue_types.x"] {
        assert!(missed.contains(key), "{missed}");
    }
    let idle = "collect_statistics_interval, cluster_formation.node_type";
    assert!(matches!(&loaded.notes[..], [.., Note::Idle(text)] if text.ends_with(idle)));
    assert_eq!(loaded.notes.len(), 3);
}

// EN-052: nobody believes in a lock that is not there.
#[test]
fn keys_that_keep_others_out_without_effect_have_a_warning_of_their_own() {
    let loaded = read(
        "ssl_options.crl_check = true\nmanagement.tcp.port = 1\nmanagement.ssl.versions.1 = \
         tlsv1.3\nssl_options.depth = 2\nmanagement.disable_basic_auth = true\n\
         credential_validator.min_length = 10\nproxy_protocol = true\n\
         ssl_options.client_renegotiation = false\ncollect_statistics = none",
    );
    let [unlocked, missed] = &warnings(&loaded)[..] else { panic!("{:?}", loaded.notes) };
    assert!(unlocked.starts_with("these keys of RabbitMQ's say who is kept out"), "{unlocked}");
    for key in [
        "ssl_options.crl_check",
        "management.ssl.versions.1",
        "ssl_options.depth",
        "management.disable_basic_auth",
        "credential_validator.min_length",
    ] {
        assert!(unlocked.contains(&format!("{key} (")), "{unlocked}");
    }
    assert!(missed.contains("proxy_protocol") && !missed.contains("ssl_options"), "{missed}");
}

#[test]
fn advanced_config_that_makes_no_sense_is_told_and_left() {
    let loaded = Etc::with(&[("advanced.config", "[{rabbit, [{heartbeat, 2}")]).read(&[]).unwrap();
    assert!(warnings(&loaded)[0].contains("not read"));
    assert_eq!(loaded.config, Config::default());
    let text = "[{rabbit, [{heartbeat, 2}, {log, [{console, []}]}]}, {ra, [{x, 1}]}].";
    let loaded = Etc::with(&[("advanced.config", text)]).read(&[]).unwrap();
    assert!(warnings(&loaded)[0].ends_with("not read: rabbit.log, ra.x"));
    assert_eq!(loaded.config.heartbeat, Seconds(2));
}

#[test]
fn plugins_that_are_not_here_are_told() {
    let plugins = "[rabbitmq_management,rabbitmq_prometheus].\n";
    let loaded = Etc::with(&[("enabled_plugins", plugins)]).read(&[]).unwrap();
    assert!(loaded.notes.is_empty());
    let plugins = "[rabbitmq_management,rabbitmq_stomp].";
    let loaded = Etc::with(&[("enabled_plugins", plugins)]).read(&[]).unwrap();
    assert!(warnings(&loaded)[0].ends_with("there is nothing like rabbitmq_stomp here"));
}

// EN-001, EN-003, EN-008
#[test]
fn variables_of_the_image_set_what_they_mean() {
    let etc = Etc::with(&[("user", "me\n"), ("pass", "se cret\r\n")]);
    let (user, pass) = (etc.path("user"), etc.path("pass"));
    let variables = [
        ("RABBITMQ_DEFAULT_USER_FILE", user.as_str()),
        ("RABBITMQ_DEFAULT_PASS_FILE", &pass),
        ("RABBITMQ_DEFAULT_VHOST", "mine"),
        ("RABBITMQ_NODENAME", "hare@field"),
        ("RABBITMQ_NODE_PORT", "5673"),
        ("RABBITMQ_NODE_IP_ADDRESS", "::"),
        ("RABBITMQ_PID_FILE", "/run/rabbit.pid"),
        ("RABBITMQ_MNESIA_BASE", "/data"),
        ("RABBITMQ_LOGS", "-"),
        ("RABBITMQ_LOG", "connection=debug,warning,+color"),
        ("RABBITMQ_SSL_CERTFILE", "/cert"),
        ("RABBITMQ_VM_MEMORY_HIGH_WATERMARK", "0.4"),
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-rabbit disk_free_limit 2147483648 -rabbit log_levels [{connection,error}] +S 1:1 \
             -rabbit heartbeat 17 -kernel x {1,2}",
        ),
        ("RABBITMQ_ERLANG_COOKIE", "cookie"),
        ("RABBITMQ_USE_LONGNAME", "true"),
    ];
    let loaded = etc.read(&variables).unwrap();
    let expected = Config {
        default_user: "me".into(),
        default_pass: "se cret".into(),
        default_vhost: "mine".into(),
        node_name: Some("hare@field".into()),
        amqp_port: 5673,
        bind: vec!["0.0.0.0".parse().unwrap(), "::".parse().unwrap()],
        pid_file: Some("/run/rabbit.pid".into()),
        data_dir: Some("/data/hare@field".into()),
        log: LogFilter::parse("warn").unwrap(),
        tls_certificate: Some("/cert".into()),
        memory_watermark: MemoryLimit::Percent(40),
        disk_free_limit: DiskLimit::Absolute(Size(1 << 31)),
        heartbeat: Seconds(17),
        ..Config::default()
    };
    assert_eq!(loaded.config, expected);
    assert_eq!(warnings(&loaded), [""; 0]);
}

#[test]
fn bad_variables_of_the_image_are_named() {
    for (name, value) in [
        ("RABBITMQ_NODE_PORT", "high"),
        ("RABBITMQ_NODE_IP_ADDRESS", "home"),
        ("RABBITMQ_DEFAULT_PASS_FILE", "/nowhere"),
        ("RABBITMQ_SSL_VERIFY", "maybe"),
        ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-rabbit heartbeat often"),
    ] {
        let said = conf("").complaint(&[(name, value)]);
        assert!(said.starts_with(&format!("environment variable {name}: `")), "{said}");
    }
}
