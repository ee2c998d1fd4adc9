//! What is said where no broker runs: help, mistakes, and what to do.

use super::*;

#[test]
fn a_broker_that_does_not_run_is_told_with_a_way_out() {
    // EN-060, EN-077.
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join(".local/share/lepus/lepus.sock");
    for args in [&["list_queues"][..], &["ping"], &["-q", "status"], &["add_user", "a", "b"]] {
        let said = ctl(home.path(), args);
        assert_eq!(said.code, 69, "{said:?}");
        assert_contains(&said.err, &["unable to perform an operation on node 'rabbit@"]);
        assert_contains(&said.err, &[socket.to_str().unwrap(), "--data-dir", "--uri", "start it"]);
    }
    let said = tool("rabbitmq-diagnostics", home.path(), &["-q", "ping"]);
    assert_eq!((said.out.as_str(), said.code), ("", 69));
    assert_contains(&said.err, &["rabbitmq-diagnostics --uri"]);
}

#[test]
fn the_broker_is_where_flags_and_variables_say() {
    let home = tempfile::tempdir().unwrap();
    let said = ctl(home.path(), &["--data-dir", "/nowhere", "ping"]);
    assert_contains(&said.err, &["/nowhere/lepus.sock"]);
    let said = ctl(home.path(), &["ping", "--uri=http://me:secret@127.0.0.1:1"]);
    assert_contains(&said.err, &["http://127.0.0.1:1", "http_port"]);
    assert!(!said.err.contains("secret"), "{said:?}");
    assert_eq!(said.code, 69);
    let variable = |name: &str, value: &str| -> Said {
        lepus(home.path(), &["ctl", "ping"]).env(name, value).output().unwrap().into()
    };
    assert_contains(&variable("LEPUS_URI", "http://127.0.0.1:1").err, &["http://127.0.0.1:1"]);
    assert_contains(&variable("LEPUS_DATA_DIR", "/other").err, &["/other/lepus.sock"]);
    for (said, code) in [
        (variable("LEPUS_URI", "localhost:15672"), 78),
        (variable("LEPUS_CONFIG", "/no/file.toml"), 78),
        (ctl(home.path(), &["ping", "--uri", "ftp://h"]), 64),
    ] {
        assert_eq!(said.code, code, "{said:?}");
    }
}

#[test]
fn misuse_is_answered_as_rabbitmq_does() {
    // EN-077.
    let home = tempfile::tempdir().unwrap();
    let usage = "Usage\n\nrabbitmqctl [--node <node>] [--longnames] [--quiet] ";
    for (args, problem, code) in [
        (&["add_user"][..], "not enough arguments.", 64),
        (&["add_user", "a", "b", "c"], "too many arguments.", 64),
        (&["list_users", "x"], "too many arguments.", 64),
        (&["list_queues", "--bogus"], "Invalid options for this command:\n--bogus : ", 64),
        (&["list_queues", "-t", "abc"], "Invalid options for this command:\n-t : abc", 64),
        (&["list_queues", "name", "nam"], "Info key(s) nam are not supported", 64),
        (&["import_definitions", "/no"], "Bad argument: File /no does not exist", 65),
        (
            &["add_vhost", "v", "--default-queue-type", "x"],
            "Bad argument: Default queue type must be one of: quorum, stream, classic. Provided: x",
            65,
        ),
    ] {
        let said = tool("rabbitmqctl", home.path(), args);
        let problem = format!("Error (argument validation): {problem}\nArguments given:\n\t");
        assert!(said.err.starts_with(&problem), "{said:?}");
        assert_contains(&said.err, &[&args.join(" "), usage, args[0]]);
        assert_eq!((said.out.as_str(), said.code), ("", code), "{said:?}");
    }
}

#[test]
fn unknown_commands_get_the_nearest_known_one() {
    let home = tempfile::tempdir().unwrap();
    let said = tool("rabbitmqctl", home.path(), &["list_quues"]);
    assert!(
        said.err.starts_with("\nCommand 'list_quues' not found. \nDid you mean 'list_queues'? \n"),
        "{said:?}"
    );
    assert_eq!(said.code, 64);
    let said = ctl(home.path(), &["frobnicate"]);
    assert_contains(&said.err, &["'frobnicate' not found", "lepus ctl help"]);
    assert_eq!(said.code, 64);
}

#[test]
fn commands_without_a_meaning_here_are_refused_with_a_word() {
    // EN-075.
    let home = tempfile::tempdir().unwrap();
    for args in [&["eval", "1."][..], &["join_cluster", "rabbit@other"], &["encode", "a", "b"]] {
        let said = tool("rabbitmqctl", home.path(), args);
        assert!(said.err.starts_with(&format!("Error:\n{}: ", args[0])), "{said:?}");
        assert_eq!(said.code, 69, "{said:?}");
    }
}

#[test]
fn help_is_there_for_every_tool_and_command() {
    let home = tempfile::tempdir().unwrap();
    for (said, words) in [
        (ctl(home.path(), &["help"]), &["lepus ctl", "list_queues", "--data-dir", "LEPUS_URI"][..]),
        (ctl(home.path(), &["--help"]), &["check_alarms", "add_user"]),
        (ctl(home.path(), &["help", "list_queues"]), &["messages_unacknowledged", "--online"]),
        (ctl(home.path(), &["set_policy", "--help"]), &["<pattern>", "--priority <number>"]),
        (tool("rabbitmqctl", home.path(), &["help"]), &["rabbitmqctl", "eval", "add_vhost"]),
        (tool("rabbitmq-plugins", home.path(), &["help"]), &["rabbitmq-plugins", "is_enabled"]),
        (tool("rabbitmq-diagnostics", home.path(), &["help"]), &["check_port_connectivity"]),
    ] {
        assert_eq!((said.err.as_str(), said.code), ("", 0));
        assert_contains(&said.out, words);
    }
    assert_eq!(ctl(home.path(), &[]).code, 64);
    assert_eq!(ctl(home.path(), &["version"]).out, "4.3.6\n");
    assert_eq!(ctl(home.path(), &["--version"]).out, concat!(env!("CARGO_PKG_VERSION"), "\n"));
    let said = tool("rabbitmqctl", home.path(), &["autocomplete", "list_us"]);
    let names =
        "list_user_limits\nlist_user_permissions\nlist_user_topic_permissions\nlist_users\n";
    assert_eq!(said.out, names);
}

#[test]
fn plugins_that_are_built_in_are_enabled() {
    // EN-076.
    let home = tempfile::tempdir().unwrap();
    let plugins = |args: &[&str]| tool("rabbitmq-plugins", home.path(), args);
    for args in [
        &["enable", "rabbitmq_management"][..],
        &["enable", "--offline", "rabbitmq_prometheus", "rabbitmq_management"],
        &["disable", "rabbitmq_shovel"],
        &["is_enabled", "rabbitmq_management"],
        &["set", "rabbitmq_management"],
        &["enable", "rabbitmq_auth_backend_oauth2"],
    ] {
        let said = plugins(args);
        assert_eq!((said.err.as_str(), said.code), ("", 0), "{args:?}");
    }
    let said = plugins(&["-q", "list", "-e", "-m"]);
    assert_contains(&said.out, &["rabbitmq_management\n", "rabbitmq_prometheus\n"]);
    assert_contains(&plugins(&["list", "prometheus"]).out, &["[E*] rabbitmq_prometheus"]);
    let said = plugins(&["enable", "rabbitmq_shovel"]);
    assert_contains(&said.err, &["rabbitmq_shovel"]);
    assert_eq!(said.code, 69);
    assert_eq!(plugins(&["enable"]).code, 64);
    let names = plugins(&["list", "-m", "-q"]).out;
    assert_eq!(ctl(home.path(), &["plugins", "list", "-m", "-q"]).out, names);
}

#[test]
fn hashed_passwords_are_those_of_rabbitmq() {
    // HT-127: base64 of four bytes of salt and a SHA-256 digest.
    let home = tempfile::tempdir().unwrap();
    let said = ctl(home.path(), &["-q", "hash_password", "test12"]);
    assert_eq!((said.out.trim_end().len(), said.err.as_str(), said.code), (48, "", 0));
    assert_ne!(ctl(home.path(), &["-q", "hash_password", "test12"]).out, said.out);
    assert_eq!(ctl(home.path(), &["hash_password"]).code, 65);
}

#[test]
fn completions_know_every_command() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let print = |args: &[&str]| -> Said {
            let args = [&["completions", shell], args].concat();
            lepus(home.path(), &args).output().unwrap().into()
        };
        let said = print(&[]);
        assert_eq!((said.err.as_str(), said.code), ("", 0));
        assert_contains(&said.out, &["list_queues", "amqp-port", "if-empty", "alarms"]);
        // fish is not told which words an argument may be.
        assert!(shell == "fish" || said.out.contains("messages_unacknowledged"));
        let said = print(&["rabbitmqctl"]);
        assert_contains(&said.out, &["rabbitmqctl", "set_policy"]);
        assert!(!said.out.contains("amqp-port"));
    }
    let output = lepus(home.path(), &["completions", "tcsh"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
}

#[test]
fn arguments_that_are_no_text_are_refused() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    let home = tempfile::tempdir().unwrap();
    let mut command = lepus(home.path(), &["ctl", "add_user"]);
    let said = Said::from(command.arg(OsStr::from_bytes(b"\xff")).output().unwrap());
    assert_contains(&said.err, &["is no UTF-8"]);
    assert_eq!(said.code, 64);
}
