//! What pages of other sites make a browser ask.

use serde_json::json;

use crate::harness::{Api, api, broker, name, only_on_lepus, part};

const OTHER: &str = "RabbitMQ lets every page ask";

#[test]
fn a_page_of_another_site_changes_nothing() {
    if !only_on_lepus(OTHER) {
        return;
    }
    let path = format!("/api/vhosts/{}", part(&name("vhost")));
    let own = format!("origin: http://{}\r\n", broker().http_address);
    for (header, status) in [
        ("sec-fetch-site: cross-site\r\n", 403),
        ("sec-fetch-site: same-site\r\n", 403),
        ("origin: http://evil.example\r\n", 403),
        ("origin: null\r\n", 403),
        ("sec-fetch-site: same-origin\r\n", 201),
        (&*own, 204),
        ("sec-fetch-site: none\r\n", 204),
        ("", 204),
    ] {
        let answer = api().ask("PUT", &path, header, "{}");
        assert_eq!(answer.status, status, "{header}: {}", answer.text);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{header}");
        if status == 403 {
            assert_eq!(answer.json()["error"], json!("forbidden"));
        }
    }
    let foreign = "sec-fetch-site: cross-site\r\n";
    assert_eq!(api().ask("DELETE", &path, foreign, "").status, 403);
    assert_eq!(api().ask("POST", "/api/login", foreign, "username=guest").status, 403);
    // It may look, but a browser shows it nothing.
    let looked = api().ask("GET", &path, foreign, "");
    assert_eq!((looked.status, looked.header("access-control-allow-origin")), (200, None));
    assert_eq!(looked.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(api().ask("DELETE", &path, "", "").status, 204);
}

// CN-049: a name that somebody else has lead to this machine is not this machine.
#[test]
fn who_may_only_be_local_is_not_let_in_under_a_foreign_name() {
    if !only_on_lepus(OTHER) {
        return;
    }
    let ask = |host: &str, user: &Api| {
        let more = format!("host: {host}\r\n");
        user.ask_without_host("GET", "/api/whoami", &more, "")
    };
    let refused = ask("evil.example.com:15672", &api()).refusal();
    let reason = "user 'guest' can only connect via localhost".to_owned();
    assert_eq!(refused, (401, "not_authorised".to_owned(), reason));
    for host in ["localhost:15672", "127.0.0.1", "rabbitmq:15672"] {
        assert_eq!(ask(host, &api()).status, 200, "{host}");
    }
    let user = name("user");
    crate::harness::operator().add_user(&user, &["management"]);
    let user = api().login(&user, crate::harness::PASSWORD);
    assert_eq!(ask("mq.example.com", &user).status, 200);
}
