//! Every setting of the broker: what it is for, its unit, its default and its limit.
//!
//! Floor 1. Responsible for
//!
//! * the one table of settings, below, from which all else follows: the fields of [`Config`], the
//!   keys of the file, the environment variables, and `config/lepus.toml`, which a test compares;
//! * reading them (`loaded`). Later wins: defaults, RabbitMQ's files (`rabbitmq`), our file,
//!   `RABBITMQ_*` variables, `LEPUS_*` variables, flags (which `cli` writes into the fields); and
//!   remembering where each came from;
//! * refusing what it does not know or cannot use, with file, line and key or with the variable.
//!
//! The names are flat, and the same everywhere: `frame_max`, `LEPUS_FRAME_MAX`.

mod choice;
mod error;
mod given;
mod likeness;
mod loaded;
mod rabbitmq;
mod source;
mod table;
#[cfg(test)]
mod template;
mod value;

use std::{
    env,
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use table::settings;
use value::{Limit, NotEmpty, PathPrefix, RegularExpression, Value};

pub use choice::{
    AuthBackend, AuthMechanism, CertificateLogin, DefaultQueueType, GlobalPrefetch, JwtAlgorithm,
    LogFormat, SanType, SetHeader, SyncMode, TlsVersion,
};
pub use error::{Error, Origin};
pub use given::{Gift, Given, GivenLimits, GivenPolicy, GivenUser};
pub use likeness::distance;
pub use loaded::{Loaded, Note, Sources};
pub use rabbitmq::{PLUGINS, is_built_in};
pub use table::Setting;
pub use value::{
    DiskLimit, HttpHeader, LogFilter, MemoryLimit, Seconds, Secret, ServerVersion, Size,
};

/// The configuration file with every setting and its default.
pub const SHIPPED: &str = include_str!("../../config/lepus.toml");

settings! {
    /// Addresses to listen on. The default lets only programs on this machine in;
    /// `0.0.0.0` and `::` let everybody in. `::1` is left out where there is no IPv6.
    bind: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()], NotEmpty;
    /// Addresses to listen on for AMQP over TLS. Without any they are those of `bind`.
    tls_bind: Vec<IpAddr> = Vec::new();
    /// The same for the management API.
    http_bind: Vec<IpAddr> = Vec::new();
    /// The same for the management API over TLS. Without any they are those of `http_bind`.
    https_bind: Vec<IpAddr> = Vec::new();
    /// The same for Prometheus.
    metrics_bind: Vec<IpAddr> = Vec::new();
    /// Port for AMQP. 0 takes a free one, here and for the other ports.
    amqp_port: u16 = 5672, 0..=65535;
    /// Whether that port is listened on. Without it there is AMQP over TLS alone.
    amqp_plain: bool = true;
    /// Port for AMQP over TLS, listened on when there is a `tls_certificate`.
    tls_port: u16 = 5671, 0..=65535;
    /// Whether the management API is served to clients without TLS; with TLS it is where there is
    /// an `https_certificate`. Without both `lepus ctl` still works on this machine, through a
    /// socket in the data directory.
    http: bool = true;
    /// Port for the management API.
    http_port: u16 = 15672, 0..=65535;
    /// Port for the management API over TLS, listened on when there is an `https_certificate`.
    https_port: u16 = 15671, 0..=65535;
    /// What the paths of the management API and its page begin with, such as `/mq`. The operator's
    /// socket does without.
    http_path_prefix: String = String::new(), PathPrefix;
    /// Origins, such as `https://desk.example`, whose pages browsers let use the management API
    /// (CORS). `*` is all: then any page may do what the user of the browser may.
    http_cors_origins: Vec<String> = Vec::new();
    /// Time that browsers need not ask again whether they may.
    http_cors_max_age: Duration = Duration::from_secs(1800);
    /// Headers that answers of the management API and its page have in place of its own, each
    /// `NAME=VALUE`: `content-security-policy=default-src 'self'`, `x-frame-options=SAMEORIGIN`.
    http_headers: Vec<HttpHeader> = Vec::new();
    /// Whether metrics are served, for Prometheus. Nobody has to log in for them.
    metrics: bool = true;
    /// Port for the metrics.
    metrics_port: u16 = 15692, 0..=65535;
    /// Connections that the operating system keeps waiting until they are accepted.
    listen_backlog: u16 = 1024, 1..=65535;
    /// Connections open at a time; a client beyond them is refused.
    connections_max: u32 = 65_536, 1..=10_000_000;

    /// File with the broker's certificate and those between it and its authority, PEM. Empty
    /// stands for no AMQP over TLS. This file, the key and the authorities may be replaced
    /// while the broker runs: new connections get the new ones within seconds.
    tls_certificate: Option<PathBuf> = None;
    /// File with the certificate's private key, PEM, not encrypted. Empty stands for the file
    /// of the certificate.
    tls_key: Option<PathBuf> = None;
    /// File with the certificates of the authorities that clients' certificates are held to,
    /// PEM.
    tls_ca: Option<PathBuf> = None;
    /// Whether clients are asked for a certificate. One that is sent must be good.
    tls_verify_peer: bool = false;
    /// Whether a client that has no certificate to send is turned away.
    tls_fail_if_no_peer_cert: bool = false;
    /// Versions of TLS that are spoken, also by the management API.
    tls_versions: Vec<TlsVersion> = vec![TlsVersion::V1_3, TlsVersion::V1_2], NotEmpty;
    /// What of a client's certificate is the name of its user, for the mechanism EXTERNAL.
    tls_login_from: CertificateLogin = CertificateLogin::DistinguishedName;
    /// Which subject alternative name, if it is one of those.
    tls_login_san_type: SanType = SanType::Dns;
    /// Which one of that type, from 0.
    tls_login_san_index: u16 = 0, 0..=65535;
    /// The same as `tls_certificate`, for the management API. Empty stands for no HTTPS.
    https_certificate: Option<PathBuf> = None;
    /// The same as `tls_key`, for the management API.
    https_key: Option<PathBuf> = None;
    /// The same as `tls_ca`, for the management API.
    https_ca: Option<PathBuf> = None;
    /// The same as `tls_verify_peer`, for the management API.
    https_verify_peer: bool = false;
    /// The same as `tls_fail_if_no_peer_cert`, for the management API.
    https_fail_if_no_peer_cert: bool = false;

    /// Where everything durable is kept. Empty stands for `$XDG_DATA_HOME/lepus`, else
    /// `$HOME/.local/share/lepus`, else `/var/lib/lepus`.
    data_dir: Option<PathBuf> = None;
    /// When a promise of durability (a confirm, a declare-ok, a commit-ok) is given:
    /// "always" after the disk was synced; "interval" at once, with a sync every
    /// `sync_interval`; "off" at once, and syncing is left to the operating system.
    sync: SyncMode = SyncMode::Always;
    /// Time between two syncs when sync is "interval".
    sync_interval: Duration = Duration::from_millis(100),
        Duration::from_millis(1)..=Duration::from_secs(3600);
    /// Bytes waiting for the disk beyond which publishing connections wait too.
    store_inbox_max: Size = Size::mib(32), Size::mib(1)..=Size::mib(16 << 10);
    /// Bytes of its files that the store keeps in memory.
    store_cache_max: Size = Size::mib(32), Size::mib(1)..=Size::mib(16 << 10);

    /// Bytes of message bodies kept in memory while they wait in queues; what is beyond
    /// goes to the disk until it is needed.
    resident_max: Size = Size::mib(256), Size::mib(1)..=Size::mib(16 << 20);
    /// Memory in use beyond which publishing connections are blocked: a share of what the
    /// machine or container has, or a size. 0 blocks them always.
    memory_watermark: MemoryLimit = MemoryLimit::Percent(60);
    /// Free space on the disk of the data directory below which publishing connections are
    /// blocked.
    disk_free_limit: DiskLimit = DiskLimit::Absolute(Size(50_000_000));

    /// Time that a client has from connecting to `connection.open`.
    handshake_timeout: Duration = Duration::from_secs(10),
        Duration::from_millis(100)..=Duration::from_secs(3600);
    /// Heartbeat proposed to clients; 0 proposes none. The client's answer is what counts.
    heartbeat: Seconds = Seconds(60);
    /// Largest frame, proposed to clients.
    frame_max: Size = Size::kib(128), Size::kib(4)..=Size::mib(16);
    /// Channels open at a time on a connection, proposed to clients.
    channel_max: u16 = 2047, 1..=65535;
    /// Consumers on a channel at a time.
    channel_consumers_max: u32 = 65_536, 1..=10_000_000;
    /// Time that a delivery may stay unacknowledged before it is taken back from its consumer,
    /// where neither the consumer nor its queue says. Empty stands for any time.
    consumer_timeout: Option<Duration> = None;
    /// Channels open at a time on all connections together. Empty stands for any number, here and
    /// for the three that follow.
    channels_max: Option<u32> = None;
    /// Vhosts that there may be; no more are added then.
    vhosts_max: Option<u32> = None;
    /// Queues that there may be in all vhosts together.
    queues_max: Option<u32> = None;
    /// Exchanges that there may be in all vhosts together, the seven of each vhost among them.
    exchanges_max: Option<u32> = None;
    /// Bytes of messages kept in memory for one channel while they are unacknowledged; what is
    /// beyond and on the disk is read again if it comes back.
    unacked_bytes_max: Size = Size::mib(2), Size::kib(4)..=Size::mib(1 << 10);
    /// Largest body of a message.
    max_message_size: Size = Size::mib(16), Size(1)..=Size::mib(512);
    /// Whether messages get the header `timestamp_in_ms` and the property `timestamp` as they are
    /// published: "missing", those that come without; "overwrite", all.
    set_header_timestamp: SetHeader = SetHeader::Off;
    /// The same for the header `x-routed-by`, the name of this node.
    set_header_routing_node: SetHeader = SetHeader::Off;
    /// What `basic.qos` with `global` set limits: "channel", the deliveries of all consumers
    /// of the channel together, as it was meant; "consumer", those of each one for itself,
    /// as RabbitMQ 4.3 takes it.
    global_prefetch: GlobalPrefetch = GlobalPrefetch::Channel;
    /// Bytes that wait to be written to one connection; beyond them its consumers get
    /// nothing more until the client has read.
    outbox_bytes_max: Size = Size::mib(1), Size::kib(4)..=Size::mib(1 << 10);
    /// Deliveries and other events that wait to be written to one connection.
    outbox_events_max: u32 = 4096, 16..=1_000_000;
    /// Bytes ready to be written to one connection, beyond which its deliveries wait; beyond
    /// twice as many its methods wait, too.
    write_buffer: Size = Size::kib(256), Size::kib(4)..=Size::mib(16);

    /// Name of this node, as clients and tools see it. Where it has no `@`, that and the name
    /// of the machine are added. Empty stands for `rabbit`.
    node_name: Option<String> = None;
    /// Name of the cluster, as clients and tools see it. Empty stands for `node_name`.
    cluster_name: Option<String> = None;
    /// RabbitMQ version that clients are told; some choose their features by it.
    server_version: ServerVersion = ServerVersion::default();

    /// User that is created when there is none, an administrator.
    default_user: String = "guest".into(), NotEmpty;
    /// The created user's password.
    default_pass: Secret = "guest".into();
    /// Vhost that is created when there is none.
    default_vhost: String = "/".into(), NotEmpty;
    /// Type of queues whose declare says none. A vhost that is created without a type of its own
    /// takes this one, and keeps it.
    default_queue_type: DefaultQueueType = DefaultQueueType::Classic;
    /// The created user's tags.
    default_user_tags: Vec<String> = vec!["administrator".into()];
    /// What the created user may configure in the created vhost, a regular expression.
    default_permissions_configure: String = ".*".into(), RegularExpression;
    /// What the created user may write to.
    default_permissions_write: String = ".*".into(), RegularExpression;
    /// What the created user may read from.
    default_permissions_read: String = ".*".into(), RegularExpression;
    /// Users that vhosts are given when they are made, with what they may do there: a list of
    /// properties such as `qa.vhost_pattern=^qa-`, `qa.password=secret`, `qa.read=.*`. A user that
    /// is there already keeps password and tags.
    default_users: Vec<Given<GivenUser>> = Vec::new();
    /// Operator policies that vhosts are given when they are made, written in the same way:
    /// `ci.vhost_pattern=^ci-`, `ci.queue_pattern=.*`, `ci.expires=1h`.
    default_operator_policies: Vec<Given<GivenPolicy>> = Vec::new();
    /// Limits that vhosts are given when they are made, written in the same way, of which the
    /// first whose pattern matches count: `ci.pattern=^ci-`, `ci.max_queues=100`.
    default_vhost_limits: Vec<Given<GivenLimits>> = Vec::new();
    /// Bytes that a new password of a user must have; 0 asks for none.
    password_length_min: u32 = 0, 0..=1024;
    /// What a new password must match, a regular expression.
    password_pattern: String = String::new(), RegularExpression;
    /// Users who may only connect from this machine.
    loopback_users: Vec<String> = vec!["guest".into()];
    /// Mechanisms of login that clients may choose from. EXTERNAL is for those whose
    /// certificate was verified.
    auth_mechanisms: Vec<AuthMechanism> = AuthMechanism::ALL.to_vec(), NotEmpty;
    /// Who is asked about a user and a password, in this order: "internal", the broker's own
    /// users; "oauth2", which takes a token (JWT) as password.
    auth_backends: Vec<AuthBackend> = vec![AuthBackend::Internal], NotEmpty;

    /// What the broker is called in the `aud` of tokens. What is `oauth2` matters where
    /// `auth_backends` has it.
    oauth2_resource_server_id: Option<String> = None;
    /// File with the keys that tokens are signed with (JWKS); read again when it has changed.
    oauth2_jwks_file: Option<PathBuf> = None;
    /// Where such keys are got from, with http or https, when a token names an unknown one.
    oauth2_jwks_url: Option<String> = None;
    /// The server that issues the tokens; its discovery document says
    /// where its keys are, if neither file nor URL is set.
    oauth2_issuer: Option<String> = None;
    /// File with the certificates of the authorities that https is held to, PEM. Empty stands
    /// for the system's.
    oauth2_ca: Option<PathBuf> = None;
    /// Key (`kid`) of tokens that name none.
    oauth2_default_key: Option<String> = None;
    /// Algorithms of the signatures that are taken.
    oauth2_algorithms: Vec<JwtAlgorithm> = JwtAlgorithm::ALL.to_vec(), NotEmpty;
    /// Whether tokens must be meant for `oauth2_resource_server_id`.
    oauth2_verify_aud: bool = true;
    /// Whether tokens must have a time (`exp`) at which they expire.
    oauth2_require_exp: bool = true;
    /// What the scopes that count begin with; "none" for nothing. Empty stands for
    /// `oauth2_resource_server_id` and a dot.
    oauth2_scope_prefix: Option<String> = None;
    /// Scopes that stand for others: "role=rabbit.read:*/* rabbit.tag:monitoring".
    oauth2_scope_aliases: Vec<String> = Vec::new();
    /// Other claims with scopes, with blanks between them: `roles realm_access.roles`.
    oauth2_additional_scopes_key: Option<String> = None;
    /// Claims with the name of the user; the first that there is counts.
    oauth2_preferred_username_claims: Vec<String> = vec!["sub".into(), "client_id".into()],
        NotEmpty;

    /// Vhosts that are traced from the start on (the firehose).
    trace_vhosts: Vec<String> = Vec::new();
    /// File with definitions, RabbitMQ's JSON, or directory with such files, or an http or https
    /// URL (held to the system's authorities), imported at the start. With it neither the
    /// default user nor the default vhost is made.
    load_definitions: Option<PathBuf> = None;

    /// What is logged. Where `LEPUS_LOG` is not set, the variable `RUST_LOG` is taken.
    log: LogFilter = LogFilter::default();
    /// How it is written: "text" for people, "json" for programs, one object to a line.
    log_format: LogFormat = LogFormat::Text;
    /// File that the process id is written to when clients are accepted. Removed at the end.
    pid_file: Option<PathBuf> = None;
    /// Time that connections have to say goodbye when the broker stops.
    drain_timeout: Duration = Duration::from_secs(5), Duration::ZERO..=Duration::from_secs(600);
}

impl Config {
    /// Reads the configuration: defaults, then `file` or the file that `LEPUS_CONFIG` names, then
    /// the variables.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Error> {
        let sources = Sources { file, ..Sources::default() };
        Loaded::read(&sources, variables).map(|loaded| loaded.config)
    }

    /// Reads the defaults and the text of a file, and nothing of the environment; `path` is for
    /// the messages.
    pub fn from_toml(path: &Path, text: &str) -> Result<Self, Error> {
        let mut loaded = Loaded::default();
        source::apply_toml(&mut loaded, path, text)?;
        Ok(loaded.config)
    }

    /// The addresses to listen on for something that may have some of its own, such as
    /// `http_bind`.
    pub fn addresses<'a>(&'a self, own: &'a [IpAddr]) -> &'a [IpAddr] {
        if own.is_empty() { &self.bind } else { own }
    }

    /// The addresses to listen on for the management API over TLS.
    pub fn https_addresses(&self) -> &[IpAddr] {
        if self.https_bind.is_empty() { self.addresses(&self.http_bind) } else { &self.https_bind }
    }

    /// The data directory: the one that was chosen, else the platform's place for it.
    pub fn data_path(&self) -> PathBuf {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
        if let Some(chosen) = &self.data_dir {
            return chosen.clone();
        }
        // The XDG rules say that a relative path is to be ignored.
        let xdg = variable("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/share"));
        match xdg.or_else(home) {
            Some(place) => place.join("lepus"),
            None => "/var/lib/lepus".into(),
        }
    }

    /// The node's name: the one that was chosen, else `rabbit`, with the machine's.
    pub fn node(&self) -> String {
        let name = self.node_name.as_deref().unwrap_or("rabbit");
        if name.contains('@') {
            return name.into();
        }
        let host = gethostname::gethostname();
        // RabbitMQ's short names end at the first dot.
        let host = host.to_string_lossy();
        format!("{name}@{}", host.split('.').next().unwrap_or("localhost"))
    }

    /// The cluster's name: the one that was chosen, else the node's.
    pub fn cluster(&self) -> String {
        self.cluster_name.clone().unwrap_or_else(|| self.node())
    }
}

#[cfg(test)]
mod tests;
