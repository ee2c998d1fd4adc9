//! Users, vhosts and permissions.

use super::*;
use crate::harness::Certificates;

#[test]
fn users_come_change_and_go() {
    // EN-070, EN-071.
    let desk = Desk::new();
    desk.ctl(&["list_users"]).is("Listing users ...\nuser\ttags\nguest\t[administrator]\n");
    desk.ctl(&["add_user", "joe", "pw"])
        .is("Adding user \"joe\" ...\nDone. Don't forget to grant the user permissions to some \
         virtual hosts! See 'rabbitmqctl help set_permissions' to learn more.\n");
    desk.ctl(&["-q", "add_user", "joe", "pw"]).fails(70, "Error:\nUser \"joe\" already exists");
    desk.ctl(&["set_user_tags", "joe", "monitoring", "x"])
        .is("Setting tags for user \"joe\" to [monitoring, x] ...\n");
    desk.ctl(&["-s", "list_users"]).is("guest\t[administrator]\njoe\t[monitoring, x]\n");
    desk.ctl(&["authenticate_user", "joe", "pw"]).is("Authenticating user \"joe\" ...\nSuccess\n");
    let refused = "Error:\nError: failed to authenticate user \"joe\"\nuser 'joe' - invalid \
                   credentials";
    desk.ctl(&["-q", "authenticate_user", "joe", "no"]).fails(65, refused);
    desk.ctl(&["change_password", "joe", "other"]).is("Changing password for user \"joe\" ...\n");
    desk.ctl(&["-q", "authenticate_user", "joe", "pw"]).fails(65, refused);
    desk.ctl(&["-q", "authenticate_user", "joe", "other"]).is("Success\n");
    // Who has no tag may not use the management API, and has the right password all the same.
    desk.ctl(&["set_user_tags", "joe"]).is("Setting tags for user \"joe\" to [] ...\n");
    desk.ctl(&["-q", "authenticate_user", "joe", "other"]).is("Success\n");
    desk.ctl(&["clear_password", "joe"]).is("Clearing password for user \"joe\" ...\n");
    desk.ctl(&["-q", "authenticate_user", "joe", "other"]).fails(65, refused);
    desk.ctl(&["delete_user", "joe"]).is("Deleting user \"joe\" ...\n");
    desk.ctl(&["delete_user", "joe"]).is("Deleting user \"joe\" ...\n");
    for args in [&["change_password", "joe", "x"][..], &["set_user_tags", "joe", "x"]] {
        desk.ctl(&[&["-q"], args].concat()).fails(67, "Error:\nUser \"joe\" does not exist");
    }
    assert_eq!(desk.ctl(&["add_user", "joe"]).code, 65, "standard input is empty");
    assert_eq!(desk.ctl(&["change_password", "guest", ""]).code, 65);
}

#[test]
fn a_hash_stands_for_a_password() {
    // HT-127.
    let desk = Desk::new();
    let hash = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
    desk.ctl(&["-q", "add_user", "joe", hash, "--pre-hashed-password"]).is("");
    desk.ctl(&["-q", "authenticate_user", "joe", "test12"]).is("Success\n");
    let said = desk.ctl(&["-q", "add_user", "jim", "hash", "--pre-hashed-password"]);
    assert_eq!(said.code, 65, "{said:?}");
    let hash = desk.ctl(&["-q", "hash_password", "other"]).out;
    desk.ctl(&["-q", "add_user", "jim", hash.trim(), "--pre-hashed-password"]).is("");
    desk.ctl(&["-q", "authenticate_user", "jim", "other"]).is("Success\n");
}

#[test]
fn passwords_are_read_from_standard_input() {
    let desk = Desk::new();
    let mut command = lepus(desk.home.path(), &["ctl", "-q", "add_user", "joe"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = command.spawn().unwrap();
    std::io::Write::write_all(&mut running.stdin.take().unwrap(), b"pass word\n").unwrap();
    assert!(running.wait_with_output().unwrap().status.success());
    desk.ctl(&["-q", "authenticate_user", "joe", "pass word"]).is("Success\n");
}

#[test]
fn vhosts_come_change_and_go() {
    // EN-072.
    let desk = Desk::new();
    let add = &["add_vhost", "v", "--description", "mine", "--tags", "a,b"];
    desk.ctl(add).is("Adding vhost \"v\" ...\n");
    desk.ctl(&["-q", "add_vhost", "v", "--description", "mine", "--tags", "a,b"]).is("");
    desk.ctl(&["list_vhosts"]).is("Listing vhosts ...\nname\n/\nv\n");
    desk.ctl(&["-s", "list_vhosts", "name", "description", "tags", "tracing"])
        .is("/\tDefault virtual host\t[]\tfalse\nv\tmine\t[a, b]\tfalse\n");
    desk.ctl(&["-q", "update_vhost_metadata", "v", "--default-queue-type", "quorum"]).is("");
    desk.ctl(&["-s", "list_vhosts", "name,default_queue_type", "description"])
        .is("/\tclassic\tDefault virtual host\nv\tquorum\tmine\n");
    desk.ctl(&["-q", "enable_vhost_deletion_protection", "v"]).is("");
    assert_eq!(desk.ctl(&["-q", "delete_vhost", "v"]).code, 65);
    desk.ctl(&["-q", "disable_vhost_deletion_protection", "v"]).is("");
    desk.ctl(&["delete_vhost", "v"]).is("Deleting vhost \"v\" ...\n");
    let absent = "Virtual host 'v' does not exist";
    desk.ctl(&["-q", "delete_vhost", "v"]).fails(65, absent);
    for command in ["list_queues", "list_exchanges", "list_permissions", "list_consumers"] {
        desk.ctl(&["-q", command, "-p", "v"]).fails(65, absent);
    }
    assert_eq!(desk.ctl(&["update_vhost_metadata", "/"]).code, 64);
}

#[test]
fn a_vhost_is_traced_and_no_more() {
    // EN-074.
    let desk = Desk::new();
    desk.ctl(&["-q", "add_vhost", "v", "--description", "mine", "--tags", "a,b"]).is("");
    let is_traced = |expected: &str| {
        desk.ctl(&["-s", "list_vhosts", "name", "description", "tags", "tracing"])
            .is(&format!("/\tDefault virtual host\t[]\tfalse\nv\tmine\t[a, b]\t{expected}\n"));
    };
    let on = "Starting tracing for vhost \"v\" ...\nTrace enabled for vhost v\n";
    for _ in 0..2 {
        desk.ctl(&["trace_on", "-p", "v"]).is(on);
        is_traced("true");
    }
    desk.ctl(&["-q", "update_vhost_metadata", "v", "--description", "mine"]).is("");
    is_traced("true");
    let off = "Stopping tracing for vhost \"v\" ...\nTrace disabled for vhost v\n";
    for _ in 0..2 {
        desk.ctl(&["trace_off", "-p", "v"]).is(off);
        is_traced("false");
    }
    desk.ctl(&["-q", "trace_on", "-p", "none"]).fails(65, "Virtual host 'none' does not exist");
}

#[test]
fn permissions_are_given_and_taken() {
    // EN-072.
    let desk = Desk::new();
    desk.ctl(&["-q", "add_user", "joe", "pw"]).is("");
    desk.ctl(&["-q", "add_vhost", "v"]).is("");
    desk.ctl(&["set_permissions", "-p", "v", "joe", "^a", "b$", ".*"])
        .is("Setting permissions for user \"joe\" in vhost \"v\" ...\n");
    let header = "user\tconfigure\twrite\tread\n";
    let said = desk.ctl(&["-q", "list_permissions", "-p", "v"]);
    assert!(said.out.starts_with(header) && said.out.contains("joe\t^a\tb$\t.*\n"), "{said:?}");
    desk.ctl(&["-q", "list_user_permissions", "joe"])
        .is("vhost\tconfigure\twrite\tread\nv\t^a\tb$\t.*\n");
    desk.ctl(&["-q", "set_topic_permissions", "-p", "v", "joe", "amq.topic", "^a", "b"]).is("");
    desk.ctl(&["-q", "list_topic_permissions", "-p", "v"])
        .is("user\texchange\twrite\tread\njoe\tamq.topic\t^a\tb\n");
    desk.ctl(&["-q", "clear_topic_permissions", "-p", "v", "joe", "amq.topic"]).is("");
    desk.ctl(&["-q", "list_user_topic_permissions", "joe"]).is("");
    desk.ctl(&["-q", "clear_topic_permissions", "-p", "v", "joe"]).is("");
    desk.ctl(&["-q", "clear_permissions", "-p", "v", "joe"]).is("");
    desk.ctl(&["-q", "clear_permissions", "-p", "v", "joe"]).is("");
    desk.ctl(&["-q", "list_user_permissions", "joe"]).is("");
    desk.ctl(&["-q", "set_permissions_globally", "joe", "a", "b", "c"]).is("");
    desk.ctl(&["-s", "list_user_permissions", "joe"]).is("/\ta\tb\tc\nv\ta\tb\tc\n");

    let set =
        |vhost, user, conf| desk.ctl(&["-q", "set_permissions", "-p", vhost, user, conf, "", ""]);
    set("v", "jim", "").fails(67, "Error:\nUser jim does not exist");
    set("w", "joe", "").fails(69, "Error:\nVirtual host w does not exist");
    assert_eq!(set("v", "joe", "(").code, 69);
    assert_eq!(desk.ctl(&["-q", "list_user_permissions", "jim"]).code, 67);
}

#[test]
fn whoever_comes_over_the_network_needs_a_user_who_may() {
    let home = tempfile::tempdir().unwrap();
    let broker = Program::start(&mut lepus(home.path(), &["--amqp-port=0", "--log-level=off"]));
    broker.line();
    let port = port(home.path(), "http");
    let uri = |login: &str| format!("http://{login}@127.0.0.1:{port}");
    let ask =
        |login: &str, args: &[&str]| ctl(home.path(), &[&["--uri", &uri(login)], args].concat());
    assert_eq!(ask("guest:guest", &["-s", "list_users"]).out, "guest\t[administrator]\n");
    assert_eq!(ask("guest:guest", &["-q", "authenticate_user", "guest", "guest"]).out, "Success\n");
    assert_eq!(ask("guest:guest", &["authenticate_user", "guest", "no"]).code, 65);
    let said = ask("guest:wrong", &["-q", "list_users"]);
    assert_contains(&said.err, &["refuses this user", "--uri", "http://127.0.0.1"]);
    assert!(!said.err.contains("wrong"), "{said:?}");
    assert_eq!(said.code, 69);
    assert_eq!(ask("guest:guest", &["-q", "add_user", "eve", "pw"]).code, 0);
    assert_eq!(ask("guest:guest", &["-q", "set_user_tags", "eve", "monitoring"]).code, 0);
    assert_eq!(ask("eve:pw", &["-q", "list_queues"]).code, 65, "eve may not enter the vhost");
    assert_eq!(ask("guest:guest", &["-q", "set_permissions", "eve", "", "", ""]).code, 0);
    assert_eq!(ask("eve:pw", &["-q", "list_queues"]).code, 0);
    for args in [
        &["add_user", "mallory", "pw"][..],
        &["stop_app"],
        &["reset"],
        &["stop"],
        &["environment"],
        &["set_log_level", "debug"],
        &["set_disk_free_limit", "1GB"],
        &["suspend_listeners"],
    ] {
        assert_eq!(ask("eve:pw", args).code, 69, "{args:?}");
    }
    // What ends or wipes the broker is for those on its machine.
    for args in [&["stop_app"][..], &["suspend_listeners"], &["stop"]] {
        let said = ask("guest:guest", args);
        assert_contains(&said.err, &["through the socket in its data directory"]);
        assert_eq!(said.code, 69, "{args:?}");
    }
    // Without a password it is still there.
    assert_eq!(ctl(home.path(), &["-q", "ping"]).out, "Ping succeeded\n");
}

#[test]
fn the_management_api_is_spoken_to_over_tls() {
    let pki = Certificates::new();
    let home = tempfile::tempdir().unwrap();
    let mut command = lepus(home.path(), &["--amqp-port=0", "--log-level=off"]);
    command.env("LEPUS_HTTPS_PORT", "0");
    command.env("LEPUS_HTTPS_CERTIFICATE", pki.path("cert.pem"));
    command.env("LEPUS_HTTPS_KEY", pki.path("key.pem"));
    let broker = Program::start(&mut command);
    broker.line();
    let uri = format!("https://guest:guest@localhost:{}", port(home.path(), "https"));
    let ask =
        |more: &[&str]| ctl(home.path(), &[&["-s", "list_users", "--uri", &uri], more].concat());
    let ca = pki.path("ca.pem");
    ask(&["--ca", ca.to_str().unwrap()]).is("guest\t[administrator]\n");
    let said = ask(&[]);
    assert_contains(&said.err, &["is not trusted", "--ca FILE"]);
    assert_eq!(said.code, 69);
    let said = ask(&["--ca", "/no/such/file"]);
    assert_contains(&said.err, &["cannot use /no/such/file"]);
    assert_eq!(said.code, 69);
}
