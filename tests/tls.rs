//! AMQP over TLS: what is spoken, who is let in, and files that change or cannot be used.

use std::{
    io::Read,
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::harness::*;

/// A broker with these certificates and settings.
fn broker_with(certificates: &Certificates, more: &str) -> Option<PrivateBroker> {
    private_broker(&certificates.settings(more))
}

const VERIFY: &str = "tls_verify_peer = true";

/// The mechanisms that a client is offered.
#[track_caller]
fn offered(options: &Options) -> String {
    let (_, start) = options.until_start();
    let mut read = start.read();
    read.short();
    read.table();
    read.long_string()
}

#[test]
fn messages_of_any_size_go_both_ways_over_either_version() {
    let certificates = Certificates::new();
    let Some(broker) = broker_with(&certificates, "") else { return };
    for version in [&TLS12, &TLS13] {
        let tunnel = certificates.client().speaking(version).tunnel(broker.tls_address());
        let channel = Options::at(tunnel).open().channel(1);
        let queue = channel.declare(&queue(name("tls")).exclusive()).queue;
        channel.call(&confirm_select());
        let sizes = [0, 1, 16_384, 131_064, 5_000_000];
        let body = |size: usize| Random(size as u64 + 1).bytes(size);
        for size in sizes {
            channel.publish(&publish("", &queue, body(size)));
        }
        channel.expect_acked(sizes.len() as u64);
        channel.consume(&consume(&queue, "c").no_ack());
        for body in sizes.map(body) {
            assert!(channel.delivery().body == body, "{} bytes have changed", body.len());
        }
        channel.connection().close();
    }
}

#[test]
fn a_reader_that_lags_gets_all_of_it_in_order() {
    let certificates = Certificates::new();
    let Some(broker) = broker_with(&certificates, "") else { return };
    let tunnel = certificates.client().tunnel(broker.tls_address());
    let publisher = broker.open().channel(1);
    let queue = publisher.declare(&queue(name("lag"))).queue;
    let reader = Options::at(tunnel).open().channel(1);
    reader.consume(&consume(&queue, "c").no_ack());
    let count = 400_u32;
    publisher.call(&confirm_select());
    for number in 0..count {
        let body = number.to_be_bytes().repeat(16_000);
        publisher.publish(&publish("", &queue, body));
    }
    publisher.expect_acked(count.into());
    // Only now is anything read: sockets, tunnel and broker are full.
    for number in 0..count {
        let body = reader.delivery().body;
        assert_eq!((body.len(), &body[63_996..]), (64_000, &number.to_be_bytes()[..]));
    }
}

#[test]
fn versions_that_are_not_configured_are_not_spoken() {
    let certificates = Certificates::new();
    let Some(broker) = broker_with(&certificates, "tls_versions = [\"1.3\"]") else { return };
    let at = broker.tls_address();
    assert!(certificates.client().speaking(&TLS12).shake_hands(at).is_err());
    assert!(certificates.client().speaking(&TLS13).shake_hands(at).is_ok());
    let Some(broker) = broker_with(&certificates, "tls_versions = [\"1.2\"]") else { return };
    let at = broker.tls_address();
    assert!(certificates.client().speaking(&TLS13).shake_hands(at).is_err());
    assert!(certificates.client().speaking(&TLS12).shake_hands(at).is_ok());
}

#[test]
fn clients_are_asked_for_certificates_that_must_be_good() {
    let certificates = Certificates::new();
    let strangers = Signer::new("strangers");
    let signer = &certificates.authority;
    let good = signer.client(|_| {});
    let strange = strangers.client(|_| {});
    let expired = signer.client(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let of_a_server = signer.server();
    for (settings, without) in [
        (VERIFY, true),
        ("tls_verify_peer = true\ntls_fail_if_no_peer_cert = true", false),
        // Who is not asked shows nothing.
        ("", true),
    ] {
        let Some(broker) = broker_with(&certificates, settings) else { return };
        for version in [&TLS12, &TLS13] {
            let client = certificates.client().speaking(version);
            let is_let_in = |client: Client| client.shake_hands(broker.tls_address()).is_ok();
            assert_eq!(is_let_in(client.clone()), without, "{settings}");
            assert!(is_let_in(client.clone().with(good.clone())), "{settings}");
            for bad in [&strange, &expired, &of_a_server] {
                assert_eq!(is_let_in(client.clone().with(bad.clone())), settings.is_empty());
            }
        }
    }
}

// CN-043, CN-044, CN-046
#[test]
fn external_is_for_clients_whose_certificate_names_a_user() {
    let certificates = Certificates::new();
    let client = certificates.authority.client(|params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("c1.example".try_into().unwrap())];
    });
    let cases = [
        ("", "CN=client,O=Hares"),
        ("tls_login_from = \"common_name\"", "client"),
        ("tls_login_from = \"subject_alternative_name\"", "c1.example"),
    ];
    for (settings, user) in cases {
        let Some(broker) = broker_with(&certificates, &format!("{VERIFY}\n{settings}")) else {
            return;
        };
        let at = broker.tls_address();
        let nameless = Options::at(certificates.client().tunnel(at));
        assert_eq!(offered(&nameless), "AMQPLAIN PLAIN ANONYMOUS");
        let named = Options::at(certificates.client().with(client.clone()).tunnel(at));
        assert_eq!(offered(&named), "AMQPLAIN PLAIN ANONYMOUS EXTERNAL");
        assert_eq!(offered(&broker.options()), "AMQPLAIN PLAIN ANONYMOUS");
        // A password is as good as without a certificate.
        named.open().close();

        let external = named.sasl("EXTERNAL", "whoever I am");
        let (connection, _) = external.until_start();
        connection.control().send(&external.start_ok());
        let text = "ACCESS_REFUSED - Login was refused using authentication mechanism EXTERNAL. \
                    For details see the broker logfile.";
        connection.expect_close(403, text, (0, 0));

        broker.operator().add_user(user, &[]);
        broker.operator().permit(user, "/", [".*"; 3]);
        let channel = external.open().channel(1);
        // It is that user and no other who is there.
        broker.operator().permit(user, "/", ["^mine", "", ""]);
        channel.declare(&queue("mine").exclusive());
        channel.send(&queue("theirs"));
        let text = format!(
            "ACCESS_REFUSED - configure access to queue 'theirs' in vhost '/' refused for user \
             '{user}'"
        );
        channel.expect_close(403, text, (50, 10));
    }
}

// HT-076
#[test]
fn the_api_tells_of_tls_in_rabbitmqs_words() {
    let certificates = Certificates::new();
    let Some(broker) = broker_with(&certificates, VERIFY) else { return };
    let shown = || {
        let connections = broker.api().get("/connections");
        connections.as_array().unwrap().first().cloned().unwrap()
    };
    let signed = certificates.authority.client(|_| {});
    for (version, name, key_exchange) in
        [(&TLS12, "tlsv1.2", "ecdhe_ecdsa"), (&TLS13, "tlsv1.3", "any")]
    {
        let client = certificates.client().speaking(version).with(signed.clone());
        let connection = Options::at(client.tunnel(broker.tls_address())).open();
        let found = shown();
        let facts = [
            ("ssl_protocol", name),
            ("ssl_key_exchange", key_exchange),
            ("ssl_cipher", "aes_256_gcm"),
            ("ssl_hash", "aead"),
            ("peer_cert_subject", "CN=client,O=Hares"),
            ("peer_cert_issuer", "CN=authority"),
        ];
        assert_eq!(found["ssl"], true);
        for (key, value) in facts {
            assert_eq!(found[key], value, "{key}");
        }
        let validity = found["peer_cert_validity"].as_str().unwrap();
        assert!(validity.contains("T00:00:00Z - "), "{validity}");
        connection.close();
    }
    let client = certificates.client();
    let connection = Options::at(client.tunnel(broker.tls_address())).open();
    let found = shown();
    assert_eq!((&found["ssl"], found["ssl_hash"].as_str()), (&true.into(), Some("aead")));
    assert!(found["peer_cert_subject"].is_null());
    connection.close();
    let connection = broker.open();
    let found = shown();
    assert_eq!((&found["ssl"], found["ssl_protocol"].is_null()), (&false.into(), true));
    connection.close();
}

// CN-046
#[test]
fn external_is_not_for_clients_without_a_certificate() {
    let certificates = Certificates::new();
    let Some(broker) = broker_with(&certificates, VERIFY) else { return };
    let nameless = Options::at(certificates.client().tunnel(broker.tls_address()));
    let (connection, _) = nameless.until_start();
    connection.control().send(&nameless.sasl("EXTERNAL", "").start_ok());
    connection.expect_end_without_a_word();
}

#[test]
fn mechanisms_that_are_not_configured_are_neither_offered_nor_taken() {
    let Some(broker) = private_broker("auth_mechanisms = [\"PLAIN\"]") else { return };
    assert_eq!(offered(&broker.options()), "PLAIN");
    broker.open().close();
    let options = broker.options().sasl("ANONYMOUS", "");
    let (connection, _) = options.until_start();
    connection.control().send(&options.start_ok());
    connection.expect_end_without_a_word();
}

/// Connects until the broker shows this certificate.
#[track_caller]
fn wait_until_shown(client: &Client, broker: &PrivateBroker, expected: &[u8]) {
    let begun = Instant::now();
    while client.shake_hands(broker.tls_address()).unwrap() != expected {
        assert!(begun.elapsed() < DEADLINE, "the certificate is not taken");
    }
}

#[test]
fn a_new_certificate_is_taken_and_open_connections_stay() {
    let certificates = Certificates::new();
    let Some(broker) = broker_with(&certificates, "") else { return };
    let client = certificates.client();
    let old = der_of(&certificates.path("cert.pem"));
    let channel = Options::at(client.tunnel(broker.tls_address())).open().channel(1);
    wait_until_shown(&client, &broker, &old);

    let signed = certificates.authority.server();
    certificates.install(&signed);
    wait_until_shown(&client, &broker, &der(&signed.certificate));
    channel.expect_settled();

    // Half a replacement, or rubbish, changes nothing. The broker looks once a second.
    certificates.write("cert.pem", &certificates.authority.server().certificate);
    certificates.write("key.pem", "rubbish");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2500) {
        assert_eq!(client.shake_hands(broker.tls_address()).unwrap(), der(&signed.certificate));
    }
    let signed = certificates.authority.server();
    certificates.install(&signed);
    wait_until_shown(&client, &broker, &der(&signed.certificate));
    channel.expect_settled();
}

#[test]
fn new_authorities_are_taken_too() {
    let certificates = Certificates::new();
    let settings = "tls_verify_peer = true\ntls_fail_if_no_peer_cert = true";
    let Some(broker) = broker_with(&certificates, settings) else { return };
    let others = Signer::new("others");
    let client = certificates.client().with(others.client(|_| {}));
    assert!(client.shake_hands(broker.tls_address()).is_err());
    certificates.write("ca.pem", &others.pem);
    let begun = Instant::now();
    while client.shake_hands(broker.tls_address()).is_err() {
        assert!(begun.elapsed() < DEADLINE, "the authorities are not taken");
    }
    let before = certificates.client().with(certificates.authority.client(|_| {}));
    assert!(before.shake_hands(broker.tls_address()).is_err());
}

// CN-007
#[test]
fn whoever_speaks_the_wrong_protocol_is_answered_and_hung_up_on() {
    let certificates = Certificates::new();
    let Some(broker) = broker_with(&certificates, "") else { return };
    let plain = Options::at(broker.tls_address()).dial();
    plain.send_bytes(PROTOCOL_HEADER);
    // An alert of TLS, fatal.
    assert_eq!(plain.next_bytes(7).unwrap()[..6], [21, 3, 3, 0, 2, 2]);
    assert!(plain.next_bytes(1).is_err());
    let error = certificates.client().shake_hands(broker.options().address).unwrap_err();
    assert!(error.to_string().contains("InvalidContentType"), "{error}");
    let mut raw = TcpStream::connect(broker.options().address).unwrap();
    std::io::Write::write_all(&mut raw, &[22, 3, 1, 0, 100, 1, 0, 0, 96]).unwrap();
    let mut said = Vec::new();
    let _ = raw.read_to_end(&mut said);
    assert_eq!(said, b"AMQP\x03\x01\0\0");
}

#[test]
fn handshakes_that_stall_hold_nobody_up_and_end() {
    let certificates = Certificates::new();
    let Some(broker) = broker_with(&certificates, "handshake_timeout = \"500ms\"") else { return };
    let options = Options::at(broker.tls_address());
    let stalled: Vec<_> = (0..50).map(|_| options.dial()).collect();
    let halfway = options.dial();
    halfway.send_bytes(&[22, 3, 1, 2]);
    assert!(certificates.client().shake_hands(broker.tls_address()).is_ok());
    for connection in stalled.iter().chain([&halfway]) {
        connection.expect_end_without_a_word();
    }
    // Time spent on TLS is not given again.
    let silent = Options::at(certificates.client().tunnel(broker.tls_address())).dial();
    silent.expect_end_without_a_word();
}

#[test]
fn stopping_waits_for_no_handshake() {
    let certificates = Certificates::new();
    let settings = "handshake_timeout = \"1h\"\ndrain_timeout = \"10m\"";
    let Some(mut broker) = broker_with(&certificates, settings) else { return };
    let stalled = Options::at(broker.tls_address()).dial();
    assert!(certificates.client().shake_hands(broker.tls_address()).is_ok());
    broker.stop();
    stalled.expect_end_without_a_word();
}

#[test]
fn amqp_may_be_spoken_over_tls_alone() {
    let certificates = Certificates::new();
    let Some(broker) = broker_with(&certificates, "amqp_plain = false") else { return };
    assert_eq!(broker.options().address, broker.tls_address());
    assert!(certificates.client().shake_hands(broker.tls_address()).is_ok());
}

#[test]
fn the_management_api_is_served_over_tls_too() {
    let certificates = Certificates::new();
    let settings = certificates.settings("").replace("tls_", "https_");
    let Some(broker) = private_broker(&settings) else { return };
    // Whoever stalls holds nobody up.
    let _stalled = Options::at(broker.https_address()).dial();
    let client = certificates.client();
    for version in [&TLS12, &TLS13] {
        let tunnel = client.clone().speaking(version).tunnel(broker.https_address());
        let api = Api::at(tunnel.to_string()).login("guest", "guest");
        assert_eq!(api.get("/whoami")["name"], "guest");
    }
    let settings = settings + "https_verify_peer = true\nhttps_fail_if_no_peer_cert = true\n";
    let Some(broker) = private_broker(&settings) else { return };
    let signed = certificates.authority.client(|_| {});
    assert!(client.shake_hands(broker.https_address()).is_err());
    let tunnel = client.with(signed).tunnel(broker.https_address());
    assert_eq!(Api::at(tunnel.to_string()).login("guest", "guest").get("/whoami")["name"], "guest");
}

/// What the program says when it is started with these settings, of which `ca.pem`, `cert.pem`
/// and `key.pem` are written as they are, and the rest comes behind.
fn refusal(certificates: &Certificates, settings: &str) -> (Option<i32>, String) {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("lepus.toml");
    std::fs::write(&file, format!("tls_port = 0\n{settings}")).unwrap();
    let args = ["--amqp-port=0", "--config", file.to_str().unwrap()];
    let output = lepus(home.path(), &args).output().unwrap();
    assert!(!home.path().join(".local").exists(), "the data directory was touched");
    let said = String::from_utf8_lossy(&output.stderr);
    let directory = certificates.path("").display().to_string();
    (output.status.code(), said.trim_end().replace(&directory, ""))
}

#[test]
fn files_that_cannot_be_used_stop_the_start_and_are_named() {
    let certificates = Certificates::new();
    let signed = certificates.authority.server();
    let encrypted = signed.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let damaged = signed.certificate.replacen("MII", "MIA", 1);
    for (name, text) in [
        ("empty.pem", ""),
        ("der.pem", "\u{1}\u{2}\u{3}"),
        ("other.pem", &signed.key),
        ("encrypted.pem", &encrypted),
        ("damaged.pem", &damaged),
        ("cut.pem", &signed.certificate[..200]),
    ] {
        certificates.write(name, text);
    }
    std::fs::create_dir(certificates.path("directory.pem")).unwrap();
    let setting = |key: &str, name: &str| {
        format!("{key} = {:?}\n", certificates.path(name).display().to_string())
    };
    let with = |certificate: &str, key: &str, ca: &str| {
        setting("tls_certificate", certificate) + &setting("tls_key", key) + &setting("tls_ca", ca)
    };
    let cases = [
        (
            with("none.pem", "key.pem", "ca.pem"),
            "cannot read none.pem (`tls_certificate`): No such file or directory (os error 2)",
        ),
        (
            with("directory.pem", "key.pem", "ca.pem"),
            "cannot read directory.pem (`tls_certificate`): Is a directory (os error 21)",
        ),
        (
            with("der.pem", "key.pem", "ca.pem"),
            "cannot use der.pem (`tls_certificate`): it is not PEM",
        ),
        (
            with("key.pem", "key.pem", "ca.pem"),
            "cannot use key.pem (`tls_certificate`): it holds no certificate, but a private key",
        ),
        (
            with("damaged.pem", "key.pem", "ca.pem"),
            "cannot use damaged.pem (`tls_certificate`): its first certificate is damaged",
        ),
        (
            with("cut.pem", "key.pem", "ca.pem"),
            "cannot use cut.pem (`tls_certificate`): it is damaged: a section has no end",
        ),
        (
            with("cert.pem", "none.pem", "ca.pem"),
            "cannot read none.pem (`tls_key`): No such file or directory (os error 2)",
        ),
        (
            with("cert.pem", "cert.pem", "ca.pem"),
            "cannot use cert.pem (`tls_key`): it holds no private key in PEM",
        ),
        (
            setting("tls_certificate", "cert.pem"),
            "cannot use cert.pem (`tls_key`): it holds no private key in PEM",
        ),
        (
            with("cert.pem", "encrypted.pem", "ca.pem"),
            "cannot use encrypted.pem (`tls_key`): its private key is encrypted; `openssl pkey \
             -in FILE -out FILE` writes one that is not",
        ),
        (
            with("cert.pem", "other.pem", "ca.pem"),
            "the private key in other.pem does not belong to the certificate in cert.pem",
        ),
        (
            with("cert.pem", "key.pem", "empty.pem") + VERIFY,
            "cannot use empty.pem (`tls_ca`): it is not PEM",
        ),
        (
            setting("tls_certificate", "cert.pem") + &setting("tls_key", "key.pem") + VERIFY,
            "`tls_verify_peer` needs `tls_ca`",
        ),
        (
            with("cert.pem", "key.pem", "ca.pem") + "tls_fail_if_no_peer_cert = true",
            "`tls_fail_if_no_peer_cert` needs `tls_verify_peer`",
        ),
        (
            "amqp_plain = false".into(),
            "`amqp_plain` is false and there is no `tls_certificate`: nobody could connect",
        ),
    ];
    for (settings, expected) in cases {
        let (code, said) = refusal(&certificates, &settings);
        assert_eq!(said, format!("lepus: {expected}"));
        assert_eq!(code, Some(78), "{said}");
    }
}

#[test]
fn the_program_says_where_it_speaks_tls_and_warns_of_what_has_expired() {
    let certificates = Certificates::new();
    let signed = certificates
        .authority
        .server_with(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    certificates.install(&signed);
    let path = |name| certificates.path(name).display().to_string();
    let home = tempfile::tempdir().unwrap();
    let args = [
        "--amqp-port=0",
        "--tls-port=0",
        "--log-level=warn",
        "--tls-certificate",
        &path("cert.pem"),
        "--tls-key",
        &path("key.pem"),
    ];
    let program = Program::start(&mut lepus(home.path(), &args));
    let ready = program.line();
    assert!(ready.contains(" ready on amqp://127.0.0.1:"), "{ready}");
    assert!(ready.contains(" and amqps://127.0.0.1:"), "{ready}");
    assert!(Path::new(&path("cert.pem")).exists());
    let (status, log) = program.stop("-TERM");
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("the certificate has expired") && log.contains("cert.pem"), "{log}");
}
