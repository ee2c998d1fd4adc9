//! Protocol header, start, authentication, tune, open.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use crate::harness::*;

/// Reads the eight bytes of a refusal and then the end of the socket.
#[track_caller]
fn expect_refusal(sent: &[u8], answer: &[u8]) {
    let connection = Options::new().dial();
    connection.send_bytes(sent);
    let got = connection.next_bytes(8);
    assert_eq!(got.as_deref(), Ok(answer), "answer to {sent:02x?}");
    assert!(matches!(connection.next_bytes(1), Err(End::Closed(_))), "after {sent:02x?}");
}

// CN-001
#[test]
fn header_is_answered_by_start_of_version_0_9() {
    let (_connection, start) = Options::new().until_start();
    let mut read = start.read();
    assert_eq!((read.octet(), read.octet()), (0, 9));
}

// CN-002
#[test]
fn header_of_0_9_is_served_as_0_9_1() {
    let connection = Options::new().dial();
    connection.send_bytes(b"AMQP\x01\x01\x00\x09");
    let start = connection.control().expect((10, 10));
    let mut read = start.read();
    assert_eq!((read.octet(), read.octet()), (0, 9));
}

// CN-003, CN-004, CN-005, CN-007
#[test]
fn other_headers_are_answered_by_the_version_that_is_spoken() {
    let spoken = b"AMQP\x00\x00\x09\x01";
    let modern = b"AMQP\x03\x01\x00\x00";
    for (sent, answer) in [
        (b"AMQP\x00\x00\x09\x00", spoken),
        (b"AMQP\x00\x00\x0a\x00", spoken),
        (b"AMQP\x01\x01\x09\x01", modern),
        (b"AMQP\x01\x01\x08\x00", modern),
        (b"AMQP\x05\x05\x05\x05", modern),
        (b"HELLO123", modern),
        (b"GET / HT", modern),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", modern),
    ] {
        expect_refusal(sent, answer);
    }
}

// CN-008, CN-009
#[test]
fn silence_during_the_handshake_ends_at_the_timeout() {
    // A broker that is not ours is waited for: ten seconds.
    let private = private_broker("handshake_timeout = '300ms'");
    let options = private.as_ref().map_or_else(Options::new, PrivateBroker::options);
    in_parallel(
        &[("half a header", b"AMQP".to_vec()), ("no start-ok", PROTOCOL_HEADER.to_vec())],
        |sent| {
            let connection = options.dial();
            connection.send_bytes(sent);
            if sent.len() == 8 {
                connection.control().expect((10, 10));
            }
            connection.expect_end_without_a_word();
        },
    );
}

// CN-010
#[test]
fn handshake_timeout_is_over_once_the_connection_is_open() {
    let Some(private) = private_broker("handshake_timeout = '300ms'") else {
        return;
    };
    let connection = private.open();
    connection.set_deadline(Duration::from_millis(900));
    assert_eq!(connection.next_frame(), Err(End::Silent));
    connection.close();
}

// CN-011
#[test]
fn connection_without_a_byte_gets_none() {
    let connection = Options::new().dial();
    connection.socket().shutdown(std::net::Shutdown::Write).unwrap();
    connection.expect_end_without_a_word();
}

fn server_properties() -> Table {
    let (_connection, start) = Options::new().until_start();
    let mut read = start.read();
    read.short();
    read.table()
}

// CN-020, CN-021, CN-022
#[test]
fn start_tells_who_the_server_is() {
    let properties = server_properties();
    assert_eq!(
        properties.keys(),
        [
            "capabilities",
            "cluster_name",
            "copyright",
            "information",
            "platform",
            "product",
            "version"
        ],
    );
    assert_eq!(properties.text("product"), "RabbitMQ");
    // Lepus tells the platform and the licence that it has.
    assert!(properties.text("information").starts_with("Licensed under the "));
    assert!(!properties.text("platform").is_empty());
    assert!(properties.text("cluster_name").contains('@'));
    assert!(!properties.text("copyright").is_empty());
    let version: Vec<&str> = properties.text("version").split('.').collect();
    let is_number = |part: &&str| part.parse::<u32>().is_ok();
    assert!(version.len() == 3 && version.iter().all(is_number), "{version:?} is not x.y.z");
}

// CN-023
#[test]
fn start_lists_the_capabilities() {
    let expected = [
        "authentication_failure_close",
        "basic.nack",
        "connection.blocked",
        "consumer_cancel_notify",
        "consumer_priorities",
        "direct_reply_to",
        "exchange_exchange_bindings",
        "per_consumer_qos",
        "publisher_confirms",
    ]
    .into_iter()
    .fold(Table::new(), |table, key| table.with(key, true));
    let Some(Value::Table(got)) = server_properties().get("capabilities").cloned() else {
        panic!("capabilities are a table");
    };
    assert_eq!(got.sorted(), expected);
}

// CN-024, VM-02
#[test]
fn start_offers_mechanisms_and_the_locale() {
    let (_connection, start) = Options::new().until_start();
    let mut read = start.read();
    read.short();
    read.table();
    let offered = read.long_string();
    let mechanisms: Vec<&str> = offered.split(' ').collect();
    for mechanism in ["PLAIN", "AMQPLAIN", "ANONYMOUS"] {
        assert!(mechanisms.contains(&mechanism), "{mechanisms:?}");
    }
    assert_eq!(read.long_string(), "en_US");
    assert!(read.is_empty());
}

// CN-025
#[test]
fn locale_of_the_client_is_ignored() {
    let (connection, _) = Options::new().until_start();
    let fields = Writer::new()
        .table(&Table::new())
        .short_string("PLAIN")
        .long_string("\0guest\0guest")
        .short_string("tlh_QO");
    connection.control().send(&Request::new((10, 11), fields));
    connection.control().expect((10, 30));
}

// CN-028
#[test]
fn start_ok_larger_than_the_first_frame_max_is_fatal() {
    let mut options = Options::new();
    options.properties = options.properties.with("ballast", "x".repeat(9000));
    let (connection, _) = options.until_start();
    connection.control().send(&options.start_ok());
    let frames = connection.frames_until_end();
    assert!(
        !frames.iter().any(|frame| frame.kind == METHOD && frame.payload[3] == 30),
        "{frames:?}"
    );
}

// CN-028
#[test]
fn start_ok_of_almost_the_first_frame_max_is_read() {
    let mut options = Options::new();
    options.properties = options.properties.with("ballast", "x".repeat(7500));
    options.open().close();
}

fn amqplain(table: &Table) -> Vec<u8> {
    Writer::new().table_body(table).0
}

// CN-040, CN-041
#[test]
fn plain_and_amqplain_log_in() {
    Options::new().login("guest", "guest").open().close();
    let login = Table::new().with("LOGIN", "guest").with("PASSWORD", "guest");
    Options::new().sasl("AMQPLAIN", amqplain(&login)).open().close();
    let login = Table::new().with("PASSWORD", "guest").with("LOGIN", "guest");
    Options::new().sasl("AMQPLAIN", amqplain(&login)).open().close();
}

// CN-042
#[test]
fn anonymous_logs_in_whatever_it_says_of_itself() {
    for response in ["", "someone@example.com", "\0nobody\0wrong"] {
        Options::new().sasl("ANONYMOUS", response).open().close();
    }
}

// CN-044, CN-051
#[test]
fn wrong_login_is_closed_with_403_where_the_client_understands_it() {
    let refused = |options: Options, mechanism: &str| {
        let (connection, _) = options.until_start();
        connection.control().send(&options.start_ok());
        let text = format!(
            "ACCESS_REFUSED - Login was refused using authentication mechanism {mechanism}. \
             For details see the broker logfile."
        );
        connection.expect_close(403, text, (0, 0));
    };
    refused(Options::new().login("guest", "wrong"), "PLAIN");
    refused(Options::new().login("nobody", "guest"), "PLAIN");
    refused(Options::new().login("guest", ""), "PLAIN");
    let login = Table::new().with("LOGIN", "guest").with("PASSWORD", "wrong");
    refused(Options::new().sasl("AMQPLAIN", amqplain(&login)), "AMQPLAIN");
}

// CN-026, CN-045, CN-046, CN-047
#[test]
fn other_refusals_to_log_in_end_without_a_word() {
    let wrong = || Options::new().login("guest", "wrong");
    let capability = |value: Value| only([("authentication_failure_close", value)]);
    in_parallel(
        &[
            ("no capabilities", wrong().capabilities(Table::new())),
            ("capability false", wrong().capabilities(capability(false.into()))),
            ("capability not a boolean", wrong().capabilities(capability("true".into()))),
            ("capability a number", wrong().capabilities(capability(1.into()))),
            ("unknown mechanism", Options::new().sasl("FOO", "bar")),
            ("mechanism not offered", Options::new().sasl("EXTERNAL", "")),
            ("plain without the first NUL", Options::new().sasl("PLAIN", "guest\0guest")),
            ("plain with an authzid", Options::new().sasl("PLAIN", "x\0guest\0guest")),
            ("plain with a field too many", Options::new().sasl("PLAIN", "\0guest\0guest\0x")),
            ("plain without a password", Options::new().sasl("PLAIN", "\0guest")),
            ("empty plain", Options::new().sasl("PLAIN", "")),
            ("amqplain without keys", Options::new().sasl("AMQPLAIN", "")),
            ("amqplain garbage", Options::new().sasl("AMQPLAIN", "\x05LOG")),
        ],
        |options| {
            let (connection, _) = options.until_start();
            connection.control().send(&options.start_ok());
            connection.expect_end_without_a_word();
        },
    );
}

// CN-048, FR-019
#[test]
fn anything_but_start_ok_before_the_login_ends_without_a_word() {
    in_parallel(
        &[
            ("connection.open", connection_open("/").frame(0)),
            ("tune-ok", tune_ok(10, 8192, 0).frame(0)),
            ("channel.open", channel_open().frame(1)),
            ("content header", Frame::new(HEADER, 0, [0; 14])),
        ],
        |frame| {
            let (connection, _) = Options::new().until_start();
            connection.send_frame(frame);
            connection.expect_end_without_a_word();
        },
    );
}

// CN-060
#[test]
fn tune_offers_2047_channels_128_kib_frames_and_60_seconds() {
    let (_connection, tune) = Options::new().until_tune();
    let mut read = tune.read();
    assert_eq!((read.short(), read.long(), read.short()), (2047, 131_072, 60));
}

// CN-062, CN-064, CN-065
#[test]
fn tune_beyond_the_servers_limits_ends_without_a_word() {
    let mut cases = vec![
        ("frame_max too high", Options::new().frame_max(131_073)),
        ("frame_max too low", Options::new().frame_max(4095)),
        ("channel_max too high", Options::new().channel_max(2048)),
    ];
    if broker().is_external {
        // TOP-06: Lepus takes 0 as its own value.
        cases.push(("channel_max 0", Options::new().channel_max(0)));
        cases.push(("frame_max 0", Options::new().frame_max(0)));
        // VM-03: Lepus serves old clients that say 4096.
        cases.push(("frame_max below 8192", Options::new().frame_max(8191)));
    }
    in_parallel(&cases, |options| {
        let connection = options.until_tuned();
        connection.control().send(&connection_open("/"));
        connection.expect_end_without_a_word();
    });
}

// TOP-06, VM-03
#[test]
fn tune_without_a_limit_or_with_small_frames_is_served() {
    if !only_on_lepus("RabbitMQ refuses these") {
        return;
    }
    Options::new().channel_max(0).open().close();
    Options::new().frame_max(4096).open().close();
    Options::new().frame_max(0).open().close();
}

// CN-061, CN-063, CN-064
#[test]
fn tune_within_the_limits_is_taken_as_it_is() {
    Options::new().frame_max(8192).open().close();
    Options::new().channel_max(1).open().close();
    Options::new().channel_max(2047).frame_max(131_072).open().close();
}

// CN-066
#[test]
fn any_heartbeat_is_taken() {
    Options::new().heartbeat_s(0).open().close();
    Options::new().heartbeat_s(65535).open().close();
}

// CN-080
#[test]
fn open_ok_names_no_hosts() {
    let connection = Options::new().until_tuned();
    let ok = connection.control().call(&connection_open("/"));
    assert_eq!(ok.arguments, [0]);
}

// CN-081, CN-087
#[test]
fn missing_vhost_is_not_allowed() {
    for (vhost, text) in [
        ("nope", "NOT_ALLOWED - vhost nope not found"),
        ("", "NOT_ALLOWED - vhost  not found"),
        ("//", "NOT_ALLOWED - vhost // not found"),
    ] {
        let bare = Options::new().capabilities(Table::new()).until_tuned();
        bare.control().kills(&connection_open(vhost), 530, text);
    }
}

// CN-085, CN-086
#[test]
fn limit_of_connections_is_told_before_anything_else() {
    let Some(private) = private_broker("connections_max = 1") else { return };
    let first = private.open();
    let text = "NOT_ALLOWED - connection refused: node connection limit (1) is reached";
    for vhost in ["/", "nope"] {
        let second = private.options().until_tuned();
        second.control().kills(&connection_open(vhost), 530, text);
    }
    first.close();
}

// CN-067
#[test]
fn broker_without_a_heartbeat_takes_any() {
    let Some(private) = private_broker("heartbeat = 0") else { return };
    let (_connection, tune) = private.options().until_tune();
    assert_eq!(tune.arguments[6..], [0, 0]);
    private.options().heartbeat_s(0).open().close();
    private.options().heartbeat_s(30).open().close();
}

/// The address that others see this machine under; None where it has no network.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: this only asks which way it would go.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then_some(address)
}

// CN-049
#[test]
fn guest_comes_from_this_machine_alone() {
    let Some(private) = private_broker("bind = ['0.0.0.0']") else { return };
    let Some(address) = outer_address() else {
        eprintln!("skipped: this machine has no address but loopback");
        return;
    };
    let mut options = private.options();
    options.address.set_ip(address);
    let (connection, _) = options.until_start();
    connection.control().send(&options.start_ok());
    let text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. \
                For details see the broker logfile.";
    connection.expect_close(403, text, (0, 0));
    options.address.set_ip(Ipv4Addr::new(127, 9, 9, 9).into());
    options.open().close();
}

// CN-049
#[test]
fn list_of_loopback_users_may_be_empty() {
    let settings = "bind = ['0.0.0.0']\nloopback_users = []";
    let Some(private) = private_broker(settings) else { return };
    let Some(address) = outer_address() else {
        eprintln!("skipped: this machine has no address but loopback");
        return;
    };
    let mut options = private.options();
    options.address.set_ip(address);
    options.open().close();
}

// CN-050
#[test]
fn loopback_of_ipv6_is_loopback_too() {
    for bind in ["::1", "::"] {
        let Some(private) = private_broker(&format!("bind = ['{bind}']")) else { return };
        let mut options = private.options();
        options.address.set_ip(Ipv6Addr::LOCALHOST.into());
        options.open().close();
    }
}
