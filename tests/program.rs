//! The program itself: what it prints, how it ends, what it says when it cannot start.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
    process::{Command, Output, Stdio},
    time::Duration,
};

use crate::harness::*;

/// What a failed start must leave: this exit code, nothing on standard output, one line on
/// standard error with these words in it.
#[track_caller]
fn assert_refused(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty());
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
}

#[test]
fn says_when_it_is_ready_and_stops_in_order_at_a_signal() {
    for signal in ["-TERM", "-INT"] {
        let home = tempfile::tempdir().unwrap();
        let program = Program::start(&mut lepus(home.path(), &["--amqp-port", "0"]));
        let ready = program.line();
        let data = home.path().join(".local/share/lepus");
        let version = concat!("lepus ", env!("CARGO_PKG_VERSION"), " ready on amqp://127.0.0.1:");
        assert!(ready.starts_with(version), "{ready}");
        assert!(ready.contains(&format!(" (data {}, ", data.display())), "{ready}");
        assert!(ready.ends_with(" ms)"), "{ready}");
        // EN-009
        let complete = program.line();
        assert!(complete.starts_with("Server startup complete; "), "{complete}");
        assert!(complete.ends_with(" plugins started."), "{complete}");
        assert!(data.is_dir());
        TcpStream::connect(address(&ready)).unwrap();
        let (status, _) = program.stop(signal);
        assert_eq!(status.code(), Some(0));
        assert!(TcpStream::connect(address(&ready)).is_err());
    }
}

#[test]
fn service_manager_is_told_of_start_and_stop_and_the_pid_file_says_who_it_is() {
    let home = tempfile::tempdir().unwrap();
    let manager = UnixDatagram::bind(home.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let told = || {
        let mut buffer = [0; 128];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let pid_file = home.path().join("run/lepus/pid");
    let mut command = lepus(home.path(), &["--amqp-port=0"]);
    command.env("NOTIFY_SOCKET", home.path().join("notify")).env("WATCHDOG_USEC", "60000000");
    let program = Program::start(command.env("RABBITMQ_PID_FILE", &pid_file));
    assert!(told().starts_with("READY=1\n"));
    assert_eq!(told(), "WATCHDOG=1");
    // Ready means that clients are accepted.
    TcpStream::connect(address(&program.line())).unwrap();
    let pid = fs::read_to_string(&pid_file).unwrap();
    assert_eq!(pid.trim().parse(), Ok(program.id()));
    let (status, _) = program.stop("-TERM");
    assert_eq!(status.code(), Some(0));
    assert!(told().starts_with("STOPPING=1\n"));
    assert!(!pid_file.exists());
}

#[test]
fn a_pid_file_that_cannot_be_written_stops_the_start() {
    let home = tempfile::tempdir().unwrap();
    let mut command = lepus(home.path(), &["--amqp-port=0", "--log-level=off"]);
    let output = command.env("RABBITMQ_PID_FILE", "/proc/no/pid").output().unwrap();
    assert_refused(&output, 73, &["/proc/no/pid", "pid file"]);
}

#[test]
fn log_as_json_is_one_object_to_a_line() {
    let home = tempfile::tempdir().unwrap();
    let args = ["--amqp-port=0", "--log-format=json", "--log-level=trace"];
    let program = Program::start(&mut lepus(home.path(), &args));
    program.line();
    let (_, log) = program.stop("-TERM");
    let events: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let messages: Vec<_> = events.iter().filter_map(|event| event["message"].as_str()).collect();
    for message in ["started", "stopping", "stopped"] {
        assert!(messages.contains(&message), "{message:?} is not in {messages:?}");
    }
    assert!(events.iter().all(|event| event["level"].is_string()));
}

#[test]
fn log_says_nothing_when_it_is_off() {
    let home = tempfile::tempdir().unwrap();
    let program = Program::start(&mut lepus(home.path(), &["--amqp-port=0", "--log-level=off"]));
    program.line();
    assert_eq!(program.stop("-TERM").1, "");
}

#[test]
fn listening_to_the_world_is_warned_of_once() {
    let home = tempfile::tempdir().unwrap();
    let args = ["--amqp-port=0", "--bind=0.0.0.0", "--log-level=warn"];
    let program = Program::start(&mut lepus(home.path(), &args));
    program.line();
    let (_, log) = program.stop("-TERM");
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("WARN"), "{log}");
}

#[test]
fn a_taken_port_is_named_with_a_way_out() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = lepus(home.path(), &["--amqp-port", &port]).output().unwrap();
    assert_refused(&output, 69, &[&port, "127.0.0.1", "is taken", "--amqp-port"]);
}

#[test]
fn whichever_port_is_taken_the_way_out_is_its_own() {
    let (home, certificates) = (tempfile::tempdir().unwrap(), Certificates::new());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (variable, way_out) in [
        ("LEPUS_TLS_PORT", "port with --tls-port"),
        ("LEPUS_HTTP_PORT", "port with --http-port, or turn the management API off"),
        ("LEPUS_HTTPS_PORT", "port with LEPUS_HTTPS_PORT"),
        ("LEPUS_METRICS_PORT", "port with --metrics-port, or turn the metrics off"),
    ] {
        let mut command = lepus(home.path(), &["--amqp-port=0"]);
        for kind in ["TLS", "HTTPS"] {
            command.env(format!("LEPUS_{kind}_PORT"), "0");
            command.env(format!("LEPUS_{kind}_CERTIFICATE"), certificates.path("cert.pem"));
            command.env(format!("LEPUS_{kind}_KEY"), certificates.path("key.pem"));
        }
        let output = command.env(variable, &port).output().unwrap();
        assert_refused(&output, 69, &[&port, "is taken", way_out]);
    }
}

#[test]
fn a_strange_address_is_named_with_a_way_out() {
    let home = tempfile::tempdir().unwrap();
    let output = lepus(home.path(), &["--amqp-port=0", "--bind=192.0.2.1"]).output().unwrap();
    assert_refused(&output, 78, &["192.0.2.1", "--bind"]);
    let mut command = lepus(home.path(), &["--amqp-port=0"]);
    let output = command.env("LEPUS_HTTP_BIND", "192.0.2.1").output().unwrap();
    assert_refused(&output, 78, &["192.0.2.1; choose one of its addresses with LEPUS_HTTP_BIND"]);
}

#[test]
fn an_unusable_data_directory_is_named_with_a_way_out() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let data = file.join("data");
    let mut command = lepus(home.path(), &["--amqp-port=0", "--data-dir"]);
    let output = command.arg(&data).output().unwrap();
    assert_refused(&output, 73, &[&data.to_string_lossy(), "--data-dir"]);
}

/// `command`, in which no file can become longer than a few MiB, and whoever tries is told.
fn with_short_files(command: &Command) -> Command {
    let script = "trap '' XFSZ; ulimit -f 8192; exec \"$0\" \"$@\"";
    let mut short = Command::new("/bin/sh");
    short.args(["-c", script]).arg(command.get_program()).args(command.get_args());
    short.env_clear().stdin(Stdio::null());
    short.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    short
}

#[test]
fn a_disk_that_takes_no_more_ends_the_broker_and_the_next_one_has_what_was_confirmed() {
    let home = tempfile::tempdir().unwrap();
    let command = lepus(home.path(), &["--amqp-port=0", "--log-level=error"]);
    let program = Program::start(&mut with_short_files(&command));
    let options = Options::at(address(&program.line()));
    let _idle = options.open();
    let channel = options.open().channel(1);
    channel.declare(&queue("q").durable());
    channel.confirm_select();
    let mut confirmed = 0;
    while confirmed < 10_000 {
        channel.publish(&publish("", "q", vec![7; 100_000]).persistent());
        match channel.try_next() {
            Ok(Incoming { method, .. }) if method.id == (60, 80) => confirmed += 1,
            Ok(other) => panic!("{other:?}"),
            // It was closed or cut off.
            Err(_) => break,
        }
    }
    let (status, _, log) = program.finish();
    assert_eq!(status.code(), Some(74), "{log}");
    let lines: Vec<_> = log.lines().filter(|line| line.contains("the store has failed:")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[0].contains("ERROR") && lines[1].starts_with("lepus: "), "{log}");
    assert!(lines.iter().all(|line| line.contains(".redb") && line.contains("too large")), "{log}");
    assert!(!log.contains("damaged"), "{log}");
    let lepus = Lepus::start(home.path());
    let count = lepus.options.open().channel(1).declare(&queue("q").durable()).messages;
    assert!(count >= confirmed, "{count} of {confirmed}");
    lepus.stop();
}

#[test]
fn a_damaged_file_is_called_damaged_however_its_reader_fails() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let start = || {
        let mut command = lepus(home.path(), &["--amqp-port=0", "--data-dir"]);
        command.arg(&data);
        command
    };
    let program = Program::start(&mut start());
    program.line();
    program.stop("-TERM");
    let file = data.join("hot.redb");
    let mut bytes = fs::read(&file).unwrap();
    let mut noise = 1u64;
    for byte in &mut bytes[4096..4 * 4096] {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = (noise >> 56) as u8;
    }
    fs::write(&file, &bytes).unwrap();
    let output = start().output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(65), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains("hot.redb is damaged") && last.contains("nothing was changed"), "{said}");
    assert_eq!(fs::read(&file).unwrap().len(), bytes.len());
}

#[test]
fn a_mistake_in_the_file_is_named_with_file_line_and_key() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("lepus.toml");
    fs::write(&file, "amqp_port = 0\nframe_max = \"plenty\"\n").unwrap();
    let place = format!("{}:2", file.display());
    let mut command = lepus(home.path(), &["--config"]);
    assert_refused(&command.arg(&file).output().unwrap(), 78, &[&place, "frame_max", "plenty"]);
    let mut command = lepus(home.path(), &[]);
    command.env("LEPUS_CONFIG", &file);
    assert_refused(&command.output().unwrap(), 78, &[&place]);
}

#[test]
fn a_mistake_in_the_environment_is_named_with_the_variable() {
    let home = tempfile::tempdir().unwrap();
    let mut command = lepus(home.path(), &[]);
    let output = command.env("LEPUS_HEARTBEAT", "often").output().unwrap();
    assert_refused(&output, 78, &["LEPUS_HEARTBEAT", "often"]);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("lepus.toml");
    fs::write(&file, "amqp_port = 1\nlog = \"error\"\nlog_format = \"json\"\n").unwrap();
    let mut command = lepus(home.path(), &["--amqp-port=0", "--config"]);
    command.arg(&file).env("LEPUS_LOG", "info").env("RABBITMQ_NODE_PORT", "2");
    let program = Program::start(&mut command);
    assert!(address(&program.line()).port() > 2);
    let (_, log) = program.stop("-TERM");
    assert!(log.starts_with('{') && log.contains("started"), "{log}");
}

#[test]
fn what_is_configured_for_rabbitmq_applies() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("rabbitmq.conf");
    let text = "listeners.tcp.1 = 127.0.0.1:0\nlog.console.level = warning\nno.such.key = 1\n";
    fs::write(&file, text).unwrap();
    let mut command = lepus(home.path(), &["--rabbitmq-conf"]);
    let program = Program::start(command.arg(&file));
    TcpStream::connect(address(&program.line())).unwrap();
    let (status, log) = program.stop("-TERM");
    assert_eq!(status.code(), Some(0));
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("no.such.key") && log.contains("rabbitmq.conf:3"), "{log}");
    fs::write(&file, "heartbeat = often\n").unwrap();
    let mut command = lepus(home.path(), &[]);
    let output = command.env("LEPUS_RABBITMQ_CONF", &file).output().unwrap();
    assert_refused(&output, 78, &["rabbitmq.conf:1", "heartbeat", "often", "seconds"]);
}

#[test]
fn config_check_says_what_applies_and_where_it_comes_from() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("lepus.toml");
    fs::write(&file, "\nframe_max = 8192\ndefault_pass = \"swordfish\"\n").unwrap();
    let args = ["config", "check", "--log-level=debug", "--data-dir=/data", "--config"];
    let mut command = lepus(home.path(), &args);
    command.arg(&file).env("RABBITMQ_NODE_PORT", "5673").env("RABBITMQ_LOGS", "/log");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stdout).unwrap();
    let origin = |line: &str| {
        let found = said.lines().find(|found| found.starts_with(line)).expect(line);
        found.split_once("  # ").expect(line).1.to_owned()
    };
    assert_eq!(origin("frame_max = \"8KiB\""), format!("{}:2", file.display()));
    assert_eq!(origin("amqp_port = 5673"), "environment variable RABBITMQ_NODE_PORT");
    assert_eq!(origin("log = \"debug\""), "--log-level");
    assert_eq!(origin("data_dir = \"/data\""), "--data-dir");
    assert_eq!(origin("heartbeat = \"60s\""), "default");
    assert!(!said.contains("swordfish"));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("warning: "));
    let output = lepus(home.path(), &["config", "check"]).env("LEPUS_BIND", "home").output();
    assert_refused(&output.unwrap(), 78, &["LEPUS_BIND", "home"]);
}

#[test]
fn config_default_prints_the_shipped_file() {
    let home = tempfile::tempdir().unwrap();
    let output = lepus(home.path(), &["config", "default"]).output().unwrap();
    assert_eq!(output.stdout, include_bytes!("../config/lepus.toml"));
}

#[test]
fn wrong_arguments_and_questions_are_answered() {
    let home = tempfile::tempdir().unwrap();
    let output = lepus(home.path(), &["--amqp-prot", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--amqp-prot"));
    for (question, answer) in [("--version", "lepus 0."), ("--help", "--amqp-port")] {
        let output = lepus(home.path(), &[question]).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains(answer), "{question}");
    }
}

#[test]
fn a_broker_begins_without_huge_pages_as_the_process_that_was_started() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    if !status.contains("THP_enabled:\t1") {
        eprintln!("skipped: whoever runs the tests rules huge pages out");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let program = Program::start(&mut lepus(home.path(), &["--amqp-port=0", "--log-level=warn"]));
    program.line();
    let variables = fs::read(format!("/proc/{}/environ", program.id())).unwrap();
    let variables = String::from_utf8_lossy(&variables).into_owned();
    let held_back = format!("_LEPUS_HUGE_PAGES_HELD_BACK={}", program.id());
    assert!(variables.split('\0').any(|variable| variable == held_back), "{variables:?}");
    let (status, log) = program.stop("-TERM");
    assert_eq!((status.code(), log.as_str()), (Some(0), ""));
}
