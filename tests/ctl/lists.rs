//! Lists: what stands in them, for people and for programs; and what is done with what they show.

use serde_json::json;

use super::*;
use crate::harness::*;

/// A name that means something to tables, JSON, shells and terminals.
const ODD: &str = "tab\tquote\"'\\n \u{e9}\u{4e2d} $(x) \u{1b}[31m %2F &?#;";
/// The same in a table.
const ODD_SHOWN: &str = "tab\\tquote\"'\\n \u{e9}\u{4e2d} $(x) \\x1b[31m %2F &?#;";

#[test]
fn queues_are_listed_with_the_columns_that_people_use() {
    // EN-068.
    let desk = Desk::new();
    desk.ctl(&["-q", "list_queues"]).is("");
    let channel = desk.open().channel(1);
    channel.call(&queue("q1").durable().arg("x-max-length", 100).arg("x-f", 1.5));
    channel.call(&queue(ODD).exclusive());
    channel.fill("q1", ["a", "bc", "d"]);
    channel.expect_ready("q1", 3);
    desk.ctl(&["list_queues"]).is(&format!(
        "Timeout: 60.0 seconds ...\nListing queues for vhost / ...\nname\tmessages\nq1\t3\n\
         {ODD_SHOWN}\t0\n"
    ));
    desk.ctl(&["-q", "-p", "/", "-t", "5", "list_queues", "name"])
        .is(&format!("name\nq1\n{ODD_SHOWN}\n"));
    desk.ctl(&["list_queues", "-s", "--online", "--local", "messages_ready,consumers", "state"])
        .is("3\t0\trunning\n0\t0\trunning\n");
    desk.ctl(&[
        "list_queues",
        "-s",
        "name",
        "durable",
        "auto_delete",
        "exclusive",
        "type",
        "policy",
    ])
    .is(&format!(
        "q1\ttrue\tfalse\tfalse\tclassic\t\n{ODD_SHOWN}\tfalse\tfalse\ttrue\tclassic\t\n"
    ));
    let said = desk.ctl(&["list_queues", "-s", "arguments", "message_bytes"]);
    assert_contains(&said.out, &["{\"x-f\",1.5}", "{\"x-max-length\",100}", "\t4\n"]);
    desk.ctl(&["-q", "list_queues", "--offline"]).is("");
    desk.ctl(&["list_queues", "--formatter", "json", "name", "messages"]).is(&format!(
        "[\n{{\"name\":\"q1\",\"messages\":3}}\n,{{\"name\":{},\"messages\":0}}\n]\n",
        json!(ODD)
    ));
    let rows = desk.ctl(&["list_queues", "--json", "name", "arguments", "policy"]).json();
    assert_eq!(rows[0]["arguments"]["x-max-length"], 100);
    assert_eq!((&rows[0]["policy"], &rows[1]["name"]), (&json!(null), &json!(ODD)));
    let said = desk.ctl(&["list_queues", "--formatter", "csv", "name", "messages"]);
    assert!(said.out.starts_with("\"name\",\"messages\"\n\"q1\",\"3\"\n"), "{said:?}");
    let said = desk.ctl(&["list_queues", "-q", "--formatter", "pretty_table"]);
    assert_contains(&said.out, &["\u{2502} q1 ", "\u{250c}"]);
    assert_eq!(desk.ctl(&["list_queues", "--formatter", "html"]).code, 64);
}

#[test]
fn queues_tell_what_is_kept_and_how_well_consumers_keep_up() {
    // EN-068.
    let desk = Desk::new();
    let channel = desk.open().channel(1);
    channel.call(&queue("q").durable());
    channel.fill("q", ["a"]);
    channel.fill_persistent("q", ["bc"]);
    channel.expect_ready("q", 2);
    let columns = ["messages_persistent", "message_bytes_persistent", "consumer_capacity"];
    let listed = || desk.ctl(&[&["-s", "list_queues", "messages"], &columns[..]].concat());
    listed().is("2\t1\t2\t0\n");
    channel.subscribe("q", "tag");
    listed().is("2\t1\t2\t1.0\n");
}

#[test]
fn exchanges_and_bindings_are_listed() {
    // EN-069.
    let desk = Desk::new();
    let channel = desk.open().channel(1);
    channel.call(&queue("q"));
    channel.call(&exchange("x", "topic").durable().arg("alternate-exchange", "amq.fanout"));
    channel.call(&bind("q", "x", "a.#").arg("k", "v"));
    let said = desk.ctl(&["list_exchanges"]);
    let words = ["Listing exchanges for vhost / ...\nname\ttype\n\tdirect\n", "x\ttopic\n"];
    assert_contains(&said.out, &words);
    let said = desk.ctl(&["-s", "list_exchanges", "name", "durable", "internal", "arguments"]);
    assert_contains(&said.out, &["x\ttrue\tfalse\t[{\"alternate-exchange\",\"amq.fanout\"}]\n"]);
    let said = desk.ctl(&["list_bindings"]);
    let header = "Listing bindings for vhost /...\nsource_name\tsource_kind\tdestination_name\t\
                  destination_kind\trouting_key\targuments\n";
    assert!(said.out.starts_with(header), "{said:?}");
    let words = ["\texchange\tq\tqueue\tq\t[]\n", "x\texchange\tq\tqueue\ta.#\t[{\"k\",\"v\"}]\n"];
    assert_contains(&said.out, &words);
    let json = desk.ctl(&["list_bindings", "--formatter", "json", "source_name", "arguments"]);
    let typed = json!({"source_name": "x", "arguments": [["k", "longstr", "v"]]});
    assert!(json.json().as_array().unwrap().contains(&typed), "{json:?}");
}

#[test]
fn clients_are_listed_at_once_and_closed() {
    // EN-069, EN-074.
    let desk = Desk::new();
    desk.ctl(&["-q", "list_connections"]).is("");
    let connection = desk.open();
    let channel = connection.channel(1);
    channel.call(&queue("q"));
    channel.call(&qos(7));
    channel.subscribe("q", "tag");
    channel.fill("q", ["m"]);
    channel.delivery();
    let columns = ["user", "vhost", "state", "channels", "protocol", "auth_mechanism", "ssl"];
    desk.ctl(&[&["-s", "list_connections"], &columns[..]].concat())
        .is("guest\t/\trunning\t1\t{0,9,1}\tPLAIN\tfalse\n");
    let said = desk.ctl(&["list_connections"]);
    let words = ["Listing connections ...\nuser\tpeer_host\tpeer_port\tstate\nguest\t127.0.0.1\t"];
    assert_contains(&said.out, &words);
    let columns = ["number", "user", "consumer_count", "messages_unacknowledged", "confirm"];
    desk.ctl(&[&["-s", "list_channels"], &columns[..]].concat()).is("1\tguest\t1\t1\tfalse\n");
    let columns = ["queue_name", "consumer_tag", "ack_required", "prefetch_count", "active"];
    desk.ctl(&[&["-s", "list_consumers"], &columns[..]].concat()).is("q\ttag\ttrue\t7\ttrue\n");
    // The pid of a connection is one word, and what channels say of their connection.
    let pid = desk.ctl(&["-s", "list_connections", "pid"]).out;
    assert!(pid.starts_with("<rabbit@desk.") && !pid.contains(' '), "{pid}");
    assert_eq!(desk.ctl(&["-s", "list_channels", "connection"]).out, pid);
    let said = desk.ctl(&["-s", "list_channels", "pid"]);
    assert_eq!(desk.ctl(&["-s", "list_consumers", "channel_pid"]).out, said.out);

    desk.ctl(&["close_connection", pid.trim(), "go home"])
        .is(&format!("Closing connection {}, reason: go home...\n", pid.trim()));
    let text = contains("CONNECTION_FORCED - go home");
    connection.expect_close(320, text, (0, 0));
    desk.ctl(&["-q", "close_connection", pid.trim(), "go home"]).is("");
    assert_eq!(desk.ctl(&["-q", "close_connection", "nobody", "go home"]).code, 69);
}

#[test]
fn all_connections_are_closed_or_some() {
    // EN-074.
    let desk = Desk::new();
    desk.ctl(&["-q", "add_user", "joe", "pw"]).is("");
    desk.ctl(&["-q", "set_permissions", "joe", ".*", ".*", ".*"]).is("");
    let close = |args: &[&str]| desk.ctl(&[&["-q"], args].concat());
    let count = || desk.ctl(&["-s", "list_connections", "user"]).out.lines().count();
    let guests: Vec<_> = (0..3).map(|_| desk.open()).collect();
    let joe = desk.options.clone().login("joe", "pw").open();
    assert_eq!(count(), 4);
    close(&["close_all_user_connections", "joe", "bye"]).is("");
    joe.expect_close(320, contains("bye"), (0, 0));
    close(&["close_all_connections", "--limit", "1", "bye"]).is("Closed 1 connections\n");
    close(&["close_all_connections", "-p", "nowhere", "bye"]).is("Closed 0 connections\n");
    close(&["close_all_connections", "--global", "bye"]).is("Closed 2 connections\n");
    for guest in guests {
        guest.expect_close(320, contains("bye"), (0, 0));
    }
}

#[test]
fn queues_are_emptied_and_deleted() {
    // EN-074.
    let desk = Desk::new();
    let channel = desk.open().channel(1);
    for name in ["q", ODD] {
        channel.call(&queue(name));
        channel.fill(name, ["a", "b"]);
        channel.expect_ready(name, 2);
        desk.ctl(&["purge_queue", name]).is(&format!("Purging queue '{name}' in vhost '/' ...\n"));
        channel.expect_ready(name, 0);
    }
    channel.fill("q", ["a"]);
    channel.expect_ready("q", 1);
    let said = desk.ctl(&["-q", "delete_queue", "q", "--if-empty"]);
    assert_eq!(said.code, 69, "{said:?}");
    assert_contains(&said.err, &["not empty"]);
    channel.call(&purge("q"));
    channel.subscribe("q", "t");
    let said = desk.ctl(&["-q", "delete_queue", "q", "-u"]);
    assert_eq!(said.code, 69, "{said:?}");
    assert_contains(&said.err, &["in use"]);
    channel.cancel("t");
    desk.ctl(&["delete_queue", ODD, "-e", "-u"]).is(&format!(
        "Deleting queue '{ODD}' on vhost '/' if queue is empty and if queue is unused ...\n\
         Queue was successfully deleted with 0 ready messages\n"
    ));
    assert_eq!(desk.ctl(&["-q", "delete_queue", "q"]).code, 0);
    desk.ctl(&["-q", "delete_queue", "q"]).fails(64, "Error:\nNo such queue was found");
    desk.ctl(&["-q", "purge_queue", "q"])
        .fails(65, "Object (queue, stream, exchange, etc) was not found");
}
