//! What pages of other sites make a browser ask.

use serde_json::json;

use crate::harness::{Api, api, broker, name, only_on_lepus, part, private_broker};

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

// Run against RabbitMQ 4.3.6, but for the refusal, which it does not know.
#[test]
fn pages_of_configured_origins_may_use_the_api() {
    let settings = "http_cors_origins = [\"https://a.example\"]\nhttp_cors_max_age = \"60s\"";
    let Some(private) = private_broker(settings) else { return };
    let (api, own, other) =
        (private.api(), "origin: https://a.example\r\n", "origin: https://b.example\r\n");
    let told = |answer: &crate::harness::Answer, name: &str| {
        answer.header(&format!("access-control-{name}")).map(str::to_owned)
    };
    let answer = api.ask("GET", "/api/whoami", own, "");
    assert_eq!(told(&answer, "allow-origin").as_deref(), Some("https://a.example"));
    assert_eq!(told(&answer, "allow-credentials").as_deref(), Some("true"));
    assert_eq!(answer.header("vary"), Some("accept, accept-encoding, origin"));
    assert_eq!(api.ask("PUT", "/api/vhosts/v", own, "{}").status, 201);
    // Before it asks with a password, a browser asks without.
    let asked = format!("{own}access-control-request-headers: authorization\r\n");
    let answer = api.anonymous().ask("OPTIONS", "/api/vhosts/v", &asked, "");
    assert_eq!((answer.status, &*answer.text), (200, ""));
    let methods = "HEAD, GET, PUT, DELETE, OPTIONS";
    assert_eq!(answer.header("allow"), Some(methods));
    for (name, value) in [
        ("allow-methods", methods),
        ("allow-headers", "authorization"),
        ("allow-origin", "https://a.example"),
        ("max-age", "60"),
    ] {
        assert_eq!(told(&answer, name).as_deref(), Some(value), "{name}");
    }
    let answer = api.ask("GET", "/api/whoami", other, "");
    assert_eq!((answer.status, told(&answer, "allow-origin")), (200, None));
    assert_eq!(api.ask("PUT", "/api/vhosts/w", other, "{}").status, 403);
    let answer = api.ask("OPTIONS", "/api/vhosts/v", other, "");
    assert_eq!((answer.status, told(&answer, "allow-methods")), (200, None));

    let Some(open) = private_broker("http_cors_origins = [\"*\"]") else { return };
    let answer = open.api().ask("GET", "/api/whoami", other, "");
    assert_eq!(told(&answer, "allow-origin").as_deref(), Some("*"));
    assert_eq!(told(&answer, "allow-credentials"), None);
    let answer = open.api().ask("GET", "/api/whoami", "origin: null\r\n", "");
    assert_eq!(told(&answer, "allow-origin"), None);
}

#[test]
fn paths_begin_with_the_prefix_and_answers_have_the_headers_that_are_configured() {
    let settings = "http_path_prefix = \"/a/mq\"\nhttp_headers = [\"Strict-Transport-Security=\
                    max-age=9; preload\", \"content-security-policy=default-src 'self'\"]";
    let Some(private) = private_broker(settings) else { return };
    let api = private.api();
    let ask = |path: &str| api.ask("GET", path, "", "");
    for path in ["/a/mq/api/whoami", "/a/mq/api/nodes/?columns=name", "/a/mq/", "/a/mq/style.css"] {
        let answer = ask(path);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("strict-transport-security"), Some("max-age=9; preload"));
        assert_eq!(answer.header("content-security-policy"), Some("default-src 'self'"));
    }
    for path in ["/", "/a/mq"] {
        let answer = ask(path);
        assert_eq!((answer.status, answer.header("location")), (301, Some("/a/mq/")), "{path}");
    }
    for path in ["/api/whoami", "/a/mqapi/whoami", "/style.css", "/a/mq/a/mq/"] {
        assert_eq!(ask(path).status, 404, "{path}");
    }
    assert_eq!(api.anonymous().ask("GET", "/a/mq/api/whoami", "", "").status, 401);
}
