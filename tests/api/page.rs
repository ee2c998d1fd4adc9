//! The management page's files.

use crate::harness::{Api, broker, only_on_lepus};

const OTHER: &str = "it has a page of its own";

fn page() -> Api {
    Api::at(broker().http_address.clone())
}

#[test]
fn the_page_is_there_for_everybody_and_guarded() {
    if !only_on_lepus(OTHER) {
        return;
    }
    let answer = page().ask("GET", "/", "", "");
    assert_eq!(answer.status, 200);
    assert!(answer.text.starts_with("<!doctype html>"), "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = answer.header("content-security-policy").expect("a content policy");
    assert!(policy.contains("default-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    // What it names is there, too.
    let parts: Vec<&str> = answer.text.split('"').collect();
    let named =
        parts.windows(2).filter(|pair| [" href=", " src="].iter().any(|a| pair[0].ends_with(a)));
    let named: Vec<&str> = named.map(|pair| pair[1]).collect();
    assert!(named.len() > 2, "{named:?}");
    for file in named {
        assert_eq!(page().ask("GET", &format!("/{file}"), "", "").status, 200, "{file}");
    }
}

#[test]
fn a_file_that_is_known_is_not_sent_again() {
    if !only_on_lepus(OTHER) {
        return;
    }
    let answer = page().ask("GET", "/style.css", "", "");
    assert_eq!(answer.header("content-type"), Some("text/css; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    let tag = answer.header("etag").expect("a tag");
    let again = page().ask("GET", "/style.css", &format!("if-none-match: \"x\", {tag}\r\n"), "");
    assert_eq!((again.status, again.text.as_str()), (304, ""));
    assert_eq!(page().ask("GET", "/style.css", "if-none-match: \"x\"\r\n", "").status, 200);
}

#[test]
fn what_is_no_file_is_not_found_and_the_page_is_only_read() {
    if !only_on_lepus(OTHER) {
        return;
    }
    for path in ["/nothing", "/js", "/js/", "/../Cargo.toml", "/%2e%2e/Cargo.toml", "//etc/passwd"]
    {
        assert_eq!(page().ask("GET", path, "", "").status, 404, "{path}");
    }
    let answer = page().ask("POST", "/", "", "x");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(page().ask("HEAD", "/", "", "").status, 200);
    assert_eq!(page().ask("GET", "/api/whoami", "", "").status, 401);
}

// HT-019: up to RabbitMQ 4.2 there was a program to be had here.
#[test]
fn a_page_says_where_rabbitmqadmin_is() {
    for path in ["/cli", "/cli/", "/cli/index.html"] {
        let answer = page().ask("GET", path, "", "");
        if broker().is_external && answer.status == 301 {
            continue;
        }
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.text.contains("<title>rabbitmqadmin</title>"), "{}", answer.text);
    }
    assert_eq!(page().ask("GET", "/cli/rabbitmqadmin", "", "").status, 404);
}
