//! What the log says, at the level that it has by default, of clients that fail or leave.

use crate::harness::*;

/// Starts the program, has clients do something, and gives back its log.
fn log_of(settings: &[(&str, &str)], clients: impl FnOnce(&Options)) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = lepus(home.path(), &["--amqp-port=0"]);
    let program = Program::start(command.envs(settings.iter().copied()));
    clients(&Options::at(address(&program.line())));
    let (status, log) = program.stop("-TERM");
    assert_eq!(status.code(), Some(0));
    log
}

/// The one line that contains all of these words.
#[track_caller]
fn line<'a>(log: &'a str, words: &[&str]) -> &'a str {
    let lines = log.lines().filter(|line| words.iter().all(|word| line.contains(word)));
    let [line] = lines.collect::<Vec<_>>()[..] else { panic!("{words:?}, once, in {log}") };
    line
}

#[test]
fn an_error_on_a_channel_is_logged_with_whose_it_is_and_what_it_was_told() {
    let log = log_of(&[], |options| {
        let connection = options.open();
        let channel = connection.channel(7);
        channel.publish(&publish("missing", "key", "body"));
        let text = "NOT_FOUND - no exchange 'missing' in vhost '/'";
        channel.expect_close(404, text, (60, 40));
        connection.close();
    });
    let line = line(&log, &["WARN", "channel error"]);
    let words = ["connection=", "peer=127.0.0.1:", "guest", "vhost=\"/\"", "channel=7", "code=404"];
    for word in words.into_iter().chain(["NOT_FOUND - no exchange 'missing' in vhost '/'"]) {
        assert!(line.contains(word), "{word} is not in {line}");
    }
}

#[test]
fn an_error_of_a_connection_is_logged_with_whose_it_is_and_what_it_was_told() {
    let log = log_of(&[], |options| {
        let connection = options.until_tuned();
        connection.control().send(&connection_open("no-such-vhost"));
        connection.expect_close(530, "NOT_ALLOWED - vhost no-such-vhost not found", (10, 40));
        connection.frames_until_end();
        let connection = options.open();
        connection.channel(1);
        connection.send_frame(&Frame::new(METHOD, 1, [0, 60]));
        connection.expect_close(501, starts_with("FRAME_ERROR - "), (0, 0));
        connection.frames_until_end();
    });
    let missing = ["WARN", "connection error", "code=530", "vhost no-such-vhost not found"];
    line(&log, &[&missing[..], &["peer=127.0.0.1:", "user=\"guest\""]].concat());
    let frame = ["WARN", "connection error", "code=501", "channel=1", "FRAME_ERROR - "];
    line(&log, &[&frame[..], &["user=\"guest\"", "vhost=\"/\""]].concat());
}

#[test]
fn a_client_beyond_the_limit_of_connections_is_logged() {
    let log = log_of(&[("LEPUS_CONNECTIONS_MAX", "1")], |options| {
        let first = options.open();
        let second = options.until_tuned();
        second.control().send(&connection_open("/"));
        second.expect_close(530, contains("node connection limit (1) is reached"), (10, 40));
        first.close();
    });
    line(&log, &["WARN", "connection error", "code=530", "node connection limit (1) is reached"]);
}

#[test]
fn a_refused_login_is_logged_once() {
    let log = log_of(&[], |options| {
        let (connection, _) = options.clone().login("guest", "wrong").until_start();
        connection.control().send(&options.clone().login("guest", "wrong").start_ok());
        connection.expect_close(403, starts_with("ACCESS_REFUSED - "), (0, 0));
    });
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    line(&log, &["WARN", "login refused", "guest"]);
}

#[test]
fn who_ended_a_connection_is_logged_with_whose_it_was() {
    let log = log_of(&[], |options| {
        options.open().close();
        let failing = options.open();
        failing.channel(1);
        failing.send_frame(&Frame::new(METHOD, 1, [0, 60]));
        failing.expect_close(501, starts_with("FRAME_ERROR - "), (0, 0));
        failing.frames_until_end();
        let lost = options.open();
        lost.cut();
    });
    for ended in ["by the client", "by the broker", "lost"] {
        let ended = format!("ended=\"{ended}\"");
        line(&log, &["INFO", "connection closed", &ended, "user=\"guest\"", "vhost=\"/\""]);
    }
}

#[test]
fn a_client_that_fails_in_a_loop_does_not_fill_the_log() {
    const ERRORS: usize = 500;
    let log = log_of(&[], |options| {
        let connection = options.open();
        let channel = connection.channel(1);
        for _ in 0..ERRORS {
            channel.publish(&publish("missing", "key", "body"));
            channel.expect_close(404, starts_with("NOT_FOUND - "), (60, 40));
            channel.reopen();
        }
        connection.close();
    });
    let logged = log.matches("code=404").count();
    assert!((1..ERRORS / 2).contains(&logged), "{logged}");
    let left_out = log
        .lines()
        .filter_map(|line| line.split_once("left_out="))
        .map(|(_, rest)| rest.split_whitespace().next().unwrap().parse::<usize>().unwrap());
    assert_eq!(logged + left_out.sum::<usize>(), ERRORS, "{log}");
}
