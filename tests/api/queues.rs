//! Queues through the API.

use serde_json::json;

use crate::harness::{Channel, api, name, part};

fn path(queue: &str) -> String {
    format!("/queues/%2F/{}", part(queue))
}

// HT-008, HT-009, HT-041; RabbitMQ 4.3.6 takes a queue that nothing is said of for transient.
#[test]
fn a_queue_is_declared_listed_and_deleted() {
    let queue = name("api queue/1");
    assert_eq!(api().call("PUT", &path(&queue), "").status, 201);
    assert_eq!(api().put(&path(&queue), &json!({})).status, 204);
    let found = api().get(&path(&queue));
    assert_eq!(found["name"], json!(queue));
    assert_eq!((&found["durable"], &found["auto_delete"]), (&json!(false), &json!(false)));
    assert_eq!((&found["vhost"], &found["type"]), (&json!("/"), &json!("classic")));
    for path in ["/queues/%2F", "/queues", "/queues/detailed"] {
        let list = api().get(&format!("{path}?columns=name"));
        assert!(list.as_array().unwrap().contains(&json!({"name": queue})), "{path}");
    }
    assert_eq!(api().delete(&path(&queue)).status, 204);
    assert_eq!(api().delete(&path(&queue)).status, 404);
}

// HT-006
#[test]
fn an_unequal_declare_is_refused_in_the_words_of_the_protocol() {
    let queue = name("queue");
    assert_eq!(api().put(&path(&queue), &json!({"durable": true})).status, 201);
    let (status, error, reason) = api().put(&path(&queue), &json!({"durable": false})).refusal();
    assert_eq!((status, error.as_str()), (400, "bad_request"));
    assert_eq!(
        reason,
        format!(
            "inequivalent arg 'durable' for queue '{queue}' in vhost '/': received 'false' but \
             current is 'true'"
        )
    );
    api().delete(&path(&queue));
}

// HT-043
#[test]
fn a_queue_is_purged() {
    let channel = Channel::open();
    let queue = channel.shared_queue();
    channel.fill(&queue, ["a", "b"]);
    channel.expect_ready(&queue, 2);
    assert_eq!(api().delete(&format!("{}/contents", path(&queue))).status, 204);
    assert_eq!(channel.drain(&queue), Vec::<String>::new());
}

#[test]
fn a_name_that_no_client_could_say_is_refused() {
    let (status, _, reason) = api().put(&path(&"q".repeat(256)), &json!({})).refusal();
    let expected = "queue should be less than 255 bytes, actually was 256\n";
    assert_eq!((status, reason.as_str()), (400, expected));
}

// QU-010
#[test]
fn a_queue_that_belongs_to_a_connection_is_left_alone() {
    let channel = Channel::open();
    let queue = channel.queue();
    channel.fill(&queue, ["a"]);
    channel.expect_ready(&queue, 1);
    let bindings = format!("/bindings/%2F/e/amq.direct/q/{}", part(&queue));
    for (method, path) in [
        ("PUT", path(&queue)),
        ("POST", bindings),
        ("DELETE", format!("{}/contents", path(&queue))),
        ("DELETE", path(&queue)),
    ] {
        let (status, error, reason) = api().call(method, &path, "{}").refusal();
        assert_eq!((status, error.as_str()), (400, "bad_request"), "{method} {path}");
        assert!(reason.starts_with("cannot obtain exclusive access"), "{reason}");
    }
    assert_eq!(channel.drain(&queue), ["a"]);
}

// HT-005: as RabbitMQ, which looks for the vhost before it reads what was sent.
#[test]
fn in_a_vhost_that_is_not_there_nothing_is_found_whatever_was_sent() {
    for (method, path) in [
        ("PUT", "/queues/none/q"),
        ("PUT", "/exchanges/none/x"),
        ("POST", "/bindings/none/e/amq.direct/q/q"),
        ("DELETE", "/queues/none/q/contents"),
    ] {
        assert_eq!(api().call(method, path, "[").status, 404, "{method} {path}");
    }
}
