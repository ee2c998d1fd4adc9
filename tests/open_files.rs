//! The limit of open files, which is one of connections.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    time::Duration,
};

use crate::harness::*;

const DEADLINE: Duration = Duration::from_secs(30);

#[cfg(target_os = "linux")]
#[test]
fn as_many_files_as_the_program_may_allow_itself_may_be_open() {
    let home = tempfile::tempdir().unwrap();
    let command = lepus(home.path(), &["--amqp-port=0"]);
    let program = Program::start(&mut limited("ulimit -S -n 256 && ulimit -H -n 1000", &command));
    program.line();
    let limits = fs::read_to_string(format!("/proc/{}/limits", program.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().skip(3).collect::<Vec<_>>(), ["1000", "1000", "files"]);
    let (_, log) = program.stop("-TERM");
    assert!(!log.contains("WARN"), "{log}");
}

#[test]
fn clients_leave_files_for_operators_who_are_warned_of_too_low_a_limit() {
    let home = tempfile::tempdir().unwrap();
    let command = lepus(home.path(), &["--amqp-port=0", "--log-level=warn"]);
    let program = Program::start(&mut limited("ulimit -n 200", &command));
    let address = address(&program.line());
    let mut clients = Vec::new();
    let mut served = 0;
    for _ in 0..150 {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        // Whoever is closed at once may not even get this far.
        let _ = client.write_all(b"AMQP\0\0\x09\x01");
        served += u32::from(client.read(&mut [0]).is_ok_and(|count| count > 0));
        clients.push(client);
    }
    assert_eq!(served, 100);
    let socket = home.path().join(".local/share/lepus/lepus.sock");
    let mut operator = UnixStream::connect(socket).unwrap();
    operator.set_read_timeout(Some(DEADLINE)).unwrap();
    operator.write_all(b"GET /api/overview HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
    let mut answer = [0; 15];
    operator.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    let (_, log) = program.stop("-TERM");
    let warned: Vec<_> = log.lines().filter(|line| line.contains("LimitNOFILE")).collect();
    let [line] = warned[..] else { panic!("{log}") };
    for word in ["WARN", "ulimit -n", "connections_max=500", "open_files_max=200", " 100 AMQP"] {
        assert!(line.contains(word), "{word} is not in {line}");
    }
}

#[test]
fn clients_of_the_metrics_that_say_nothing_are_warned_of_once() {
    let home = tempfile::tempdir().unwrap();
    let program = Program::start(&mut lepus(home.path(), &["--amqp-port=0", "--log-level=warn"]));
    program.line();
    let socket = home.path().join(".local/share/lepus/lepus.sock");
    let mut operator = UnixStream::connect(socket).unwrap();
    let request = b"GET /api/overview HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    operator.write_all(request).unwrap();
    let mut answer = String::new();
    operator.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let overview: serde_json::Value = serde_json::from_str(body).expect(body);
    let listeners = overview["listeners"].as_array().unwrap();
    let metrics = listeners.iter().find(|listener| listener["protocol"] == "http/prometheus");
    let port = u16::try_from(metrics.unwrap()["port"].as_u64().unwrap()).unwrap();
    // Those beyond the limit are cut off; the others may yet say something.
    let mut clients = Vec::new();
    for n in 0..66 {
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        if n >= 64 {
            assert!(!client.read(&mut [0]).is_ok_and(|count| count > 0));
        }
        clients.push(client);
    }
    let (_, log) = program.stop("-TERM");
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    assert!(log.contains("too many HTTP connections") && log.contains("the metrics"), "{log}");
}
