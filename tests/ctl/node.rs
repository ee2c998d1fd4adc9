//! The broker as a whole: waiting for it, stopping it, wiping it, what it logs.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
};

use serde_json::json;

use super::*;
use crate::harness::*;

#[test]
fn a_start_is_waited_for() {
    // EN-065, EN-066.
    let home = tempfile::tempdir().unwrap();
    let pid_file = home.path().join("pid");
    let pid_path = pid_file.to_str().unwrap();
    let start = |args: &[&str]| {
        let mut command = lepus(home.path(), &[&["ctl"], args].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let waiting = [
        start(&["await_startup", "-t", "60"]),
        start(&["wait", "-t", "60", pid_path]),
        start(&["await_online_nodes", "1", "-t", "60"]),
    ];
    let args = ["--amqp-port=0", "--log-level=warn"];
    let broker = Program::start(lepus(home.path(), &args).env("LEPUS_PID_FILE", &pid_file));
    for waiting in waiting {
        let said = Said::from(waiting.wait_with_output().unwrap());
        assert_eq!(said.code, 0, "{said:?}");
    }
    let pid = fs::read_to_string(&pid_file).unwrap();
    assert_eq!(ctl(home.path(), &["wait", "--pid", pid.trim(), "-q"]).code, 0);
    assert_eq!(ctl(home.path(), &["wait", "--pid", "1", pid_path]).code, 64);
    assert_eq!(ctl(home.path(), &["wait"]).code, 64);
    broker.stop("-TERM");
    ctl(home.path(), &["wait", "--pid", pid.trim(), "-q"]).fails(69, "Error:\nprocess_not_running");
    let said = ctl(home.path(), &["wait", "-t", "1", "-q", "/no/such/file"]);
    assert_contains(&said.err, &["operation wait on node", "timed out. Timeout value used: 1000"]);
    assert_eq!(said.code, 75);
    fs::write(&pid_file, "garbage").unwrap();
    ctl(home.path(), &["wait", "-q", pid_path]).fails(70, "Error: garbage in pid file.");
    assert_eq!(ctl(home.path(), &["await_startup", "-t", "1"]).code, 75);
}

#[test]
fn the_broker_stops_when_it_is_told_to() {
    // EN-075.
    for command in ["stop", "shutdown"] {
        let mut desk = Desk::new();
        let said = desk.ctl(&[command]);
        assert_eq!((said.err.as_str(), said.code), ("", 0));
        assert_contains(&said.out, &[NODE]);
        let (status, _, log) = desk.broker.take().unwrap().finish();
        assert_eq!((status.code(), log.as_str()), (Some(0), ""));
        assert!(TcpStream::connect(desk.options.address).is_err());
        assert_eq!(desk.ctl(&[command]).code, 69);
    }
    let desk = Desk::new();
    assert_eq!(desk.ctl(&["shutdown", "--no-wait"]).code, 0);
    let home = tempfile::tempdir().unwrap();
    let said = tool("rabbitmqctl", home.path(), &["stop", "--idempotent"]);
    assert_eq!((said.err.as_str(), said.code), ("", 0));
}

#[test]
fn stop_app_reset_and_start_app_wipe_everything() {
    // EN-075.
    let mut desk = Desk::new();
    desk.ctl(&["-q", "add_user", "joe", "pw"]).is("");
    desk.ctl(&["-q", "add_vhost", "v"]).is("");
    desk.ctl(&["-q", "enable_vhost_deletion_protection", "v"]).is("");
    desk.ctl(&["-q", "change_password", "guest", "changed"]).is("");
    let options = desk.options.clone().login("guest", "changed");
    let connection = options.open();
    let channel = connection.channel(1);
    channel.call(&queue("q").durable());
    channel.confirm_select();
    channel.publish(&publish("", "q", "m").persistent());
    channel.expect_acked(1);

    let said = desk.ctl(&["-q", "reset"]);
    assert_contains(&said.err, &["requires the 'rabbit' app to be stopped"]);
    assert_eq!(said.code, 69);
    desk.ctl(&["stop_app"]).is("Stopping rabbit application on node rabbit@desk ...\n");
    connection.expect_close(320, contains("shutdown"), (0, 0));
    // Nobody gets in meanwhile.
    desk.options.dial().expect_end_without_a_word();
    let down = "Error:\nRabbitMQ on node rabbit@desk is not running or has not fully booted yet \
                (check with is_booting)";
    desk.diagnostics(&["-q", "check_running"]).fails(69, down);
    assert_eq!(desk.check(&["alive"]).code, 2);
    assert_eq!(desk.ctl(&["await_startup", "-t", "1"]).code, 75);
    desk.ctl(&["reset"]).is("Resetting node rabbit@desk ...\n");
    desk.ctl(&["start_app"]).is("Starting node rabbit@desk ...\n");
    desk.ctl(&["await_startup"]).is("");

    let as_new = |desk: &Desk| {
        desk.ctl(&["-s", "list_users"]).is("guest\t[administrator]\n");
        desk.ctl(&["-s", "list_vhosts"]).is("/\n");
        desk.ctl(&["-s", "list_queues"]).is("");
        desk.ctl(&["-s", "list_permissions"]).is("guest\t.*\t.*\t.*\n");
        // The default user has the default password again.
        let channel = desk.open().channel(1);
        assert_eq!(channel.declare(&queue("q").durable()).messages, 0);
        channel.call(&delete("q"));
    };
    as_new(&desk);
    // It is durable, too.
    desk.broker.take().unwrap().stop("-KILL");
    let mut command = lepus(desk.home.path(), &["--amqp-port=0", "--log-level=warn"]);
    let broker = Program::start(command.env("LEPUS_NODE_NAME", NODE));
    desk.options = Options::at(address(&broker.line()));
    desk.broker = Some(broker);
    as_new(&desk);
}

#[test]
fn nobody_stops_or_wipes_the_broker_over_the_network() {
    let Some(private) = private_broker("") else { return };
    let api = private.api();
    let here = (403, "forbidden".to_owned());
    for (path, body) in [
        ("/lepus/app", json!({"running": false})),
        ("/lepus/listeners", json!({"accepting": false})),
        ("/lepus/reset", json!({})),
        ("/lepus/stop", json!({})),
    ] {
        let (status, error, reason) = api.put(path, &body).refusal();
        assert_eq!((status, error), here, "{path}");
        assert_contains(&reason, &["through the socket in its data directory"]);
    }
    private.options().open();
    // Other things of an administrator's are done from afar, too.
    assert_eq!(api.put("/lepus/disk-free-limit", &json!({"bytes": 1})).status, 204);
}

#[test]
fn who_means_another_node_changes_nothing_here() {
    let desk = Desk::new();
    for args in [
        &["-n", "rabbit@elsewhere", "stop_app"][..],
        &["add_user", "joe", "pw", "--node", "hare@desk"],
        &["list_queues", "-n", "rabbit@elsewhere"],
    ] {
        let said = desk.ctl(args);
        assert_contains(&said.err, &["unable to perform an operation on node", "'rabbit@desk'"]);
        assert_eq!((said.out.as_str(), said.code), ("", 69), "{said:?}");
    }
    desk.ctl(&["-s", "-n", "rabbit@desk", "list_users"]).is("guest\t[administrator]\n");
    desk.open();
}

#[test]
fn listeners_are_suspended_and_resumed() {
    let desk = Desk::new();
    let connection = desk.open();
    assert_eq!(desk.ctl(&["suspend_listeners"]).code, 0);
    desk.options.dial().expect_end_without_a_word();
    // Who is in stays in.
    connection.channel(1).call(&queue("q"));
    assert_eq!(desk.ctl(&["resume_listeners"]).code, 0);
    desk.open().channel(1).call(&queue("q").passive());
}

#[test]
fn what_is_logged_is_changed_while_it_runs() {
    // EN-075.
    let mut desk = Desk::new();
    desk.ctl(&["set_log_level", "debug"]).is("Setting log level to \"debug\" ...\n");
    desk.open().close();
    desk.ctl(&["-q", "set_log_level", "none"]).is("");
    desk.open().close();
    desk.ctl(&["-q", "set_log_level", "loud"]).fails(
        69,
        "Error:\nlevel loud is not supported. Try one of debug, info, warning, error, critical, \
         none",
    );
    desk.ctl(&["rotate_logs"]).is("");
    let (_, log) = desk.broker.take().unwrap().stop("-TERM");
    assert_eq!(log.matches("connection opened").count(), 1, "{log}");
}

#[test]
fn a_report_has_everything_in_it() {
    let desk = Desk::new();
    desk.open().channel(1).call(&queue("q1"));
    let said = desk.ctl(&["report"]);
    assert_eq!((said.err.as_str(), said.code), ("", 0));
    let words = ["Runtime\n", "Running Nodes\n", "amqp_port = 0\n", "q1\t", "guest\t.*\t.*\t.*"];
    assert_contains(&said.out, &words);
    assert!(!said.out.contains("default_pass = \"guest\""), "{said:?}");
}

#[test]
fn what_only_lepus_can_is_not_asked_of_another_broker() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://guest:guest@{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            lines.find(|line| line.as_ref().unwrap().is_empty());
            // As RabbitMQ says of a path that it does not have.
            let status = if first.starts_with("PUT") { "405 Method Not Allowed" } else { "200 OK" };
            let answer =
                format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let home = tempfile::tempdir().unwrap();
    for verb in ["reset", "stop_app", "stop"] {
        let said = ctl(home.path(), &["--uri", &uri, verb]);
        assert_contains(&said.err, &["this broker is no Lepus"]);
        assert_eq!(said.code, 69, "{verb}");
    }
}
