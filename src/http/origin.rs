//! Where a request comes from, as far as a browser tells it, and what the answer tells browsers.
//!
//! A browser sends the password that its user once typed along with whatever a page of another
//! site makes it ask. So a request that changes something is refused if another site made it.
//! And a page may have the name of its own site lead to this machine, to be let in where only
//! local users are: so for these the host that was asked for must be none of the open net.
//!
//! Pages of origins that the configuration names may do what pages of our own may (CORS).

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
            ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
            ACCESS_CONTROL_REQUEST_HEADERS, ALLOW, HOST, ORIGIN, VARY, X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{Api, Failure};
use crate::config::HttpHeader;

/// By which browsers tell who made a request. They leave it out where neither TLS nor this machine
/// is at the other end.
const FETCH_SITE: &str = "sec-fetch-site";

/// By which proxies tell for which host they were asked. No page can set it for another site.
const FORWARDED_HOST: &str = "x-forwarded-host";

/// What a page of another site is told, and whoever is mistaken for one.
const FOREIGN: &str = "a page of another site may not change anything here (a proxy in between is \
                       to pass the header Host on)";

/// The last parts of names that nobody on the open net can have.
const PRIVATE_DOMAINS: [&str; 7] =
    ["home.arpa", "internal", "invalid", "lan", "local", "localhost", "test"];

/// Refuses what another site made a browser ask; and no answer is taken for another type of thing
/// than it says.
pub(super) async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let config = &api.config;
    let allowed = Allowed::of(request.headers(), &config.http_cors_origins);
    let preflight = (*request.method() == Method::OPTIONS)
        .then(|| request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS).cloned());
    let mut response = if allowed.is_none() && is_foreign(request.method(), request.headers()) {
        Failure::Forbidden(FOREIGN).into_response()
    } else {
        next.run(request).await
    };
    if preflight.is_some() {
        tell_methods(&mut response);
    }
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(allowed) = allowed {
        allowed.tell(headers);
        if let Some(asked) = preflight {
            let methods = headers.get(ALLOW).cloned();
            headers.insert(ACCESS_CONTROL_MAX_AGE, config.http_cors_max_age.as_secs().into());
            let told =
                [(ACCESS_CONTROL_ALLOW_METHODS, methods), (ACCESS_CONTROL_ALLOW_HEADERS, asked)];
            headers.extend(told.into_iter().filter_map(|(name, value)| Some((name, value?))));
        }
    }
    if !config.http_cors_origins.is_empty() {
        headers.entry(VARY).or_insert(HeaderValue::from_static("origin"));
    }
    for HttpHeader { name, value } in &config.http_headers {
        // They were held to be such when they were read.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
            headers.insert(name, value);
        }
    }
    response
}

/// An origin whose pages may use the API.
enum Allowed {
    /// Named as such; with what the browser knows of its user.
    Named(HeaderValue),
    /// One of all.
    Any,
}

impl Allowed {
    fn of(headers: &HeaderMap, origins: &[String]) -> Option<Self> {
        let origin = headers.get(ORIGIN)?;
        let is = |known: &str| origins.iter().any(|origin| origin == known);
        match origin.to_str().ok()? {
            "null" | "*" => None,
            named if is(named) => Some(Self::Named(origin.clone())),
            _ => is("*").then_some(Self::Any),
        }
    }

    fn tell(self, headers: &mut HeaderMap) {
        let origin = match self {
            Self::Any => HeaderValue::from_static("*"),
            Self::Named(origin) => {
                let yes = HeaderValue::from_static("true");
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
                origin
            }
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
}

/// Makes of the answer to a method that nothing has one that tells which there are.
fn tell_methods(response: &mut Response) {
    const METHODS: [&str; 6] = ["HEAD", "GET", "POST", "PUT", "PATCH", "DELETE"];
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return;
    }
    let told = response.headers().get(ALLOW).and_then(|methods| methods.to_str().ok());
    let told: Vec<_> = told.unwrap_or_default().split(',').map(str::trim).collect();
    let methods: String = METHODS
        .iter()
        .filter(|method| told.contains(*method))
        .fold(String::new(), |methods, method| methods + method + ", ");
    *response = StatusCode::OK.into_response();
    if let Ok(methods) = (methods + "OPTIONS").parse() {
        response.headers_mut().insert(ALLOW, methods);
    }
}

/// Whether a page of another origin made a browser ask for something that changes anything.
fn is_foreign(method: &Method, headers: &HeaderMap) -> bool {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return false;
    }
    if let Some(site) = headers.get(FETCH_SITE) {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    // A page without an origin to tell says `null`.
    let own = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let hosts = [headers.get(HOST), headers.get(FORWARDED_HOST)];
    let is_own = |host: &HeaderValue| {
        let host = host.as_bytes();
        own.is_some_and(|(_, own)| own.as_bytes().eq_ignore_ascii_case(host))
    };
    !hosts.into_iter().flatten().any(is_own)
}

/// Whether the host that was asked for is an address or a name that nobody else can have lead
/// here.
pub(super) fn is_private(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    // An address of IPv6 is in brackets.
    let name = match host.strip_prefix('[') {
        Some(_) => return true,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let is_address = name.parse::<std::net::Ipv4Addr>().is_ok();
    let is_below = |domain: &str| {
        let before = name.strip_suffix(domain);
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    is_address || !name.contains('.') || PRIVATE_DOMAINS.iter().any(|domain| is_below(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs.map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn what_a_page_of_another_origin_changes_is_refused() {
        let site = |site| headers(&[("host", "h:1"), (FETCH_SITE, site)]);
        let origin = |origin| headers(&[("host", "h:1"), ("origin", origin)]);
        for (headers, foreign) in [
            (headers(&[]), false),
            (site("same-origin"), false),
            (site("none"), false),
            (site("same-site"), true),
            (site("cross-site"), true),
            (site(""), true),
            (origin("http://h:1"), false),
            (origin("https://H:1"), false),
            (origin("http://h:2"), true),
            (origin("http://h"), true),
            (origin("http://evil:1"), true),
            (origin("null"), true),
            (headers(&[("host", "inner"), ("origin", "http://h"), (FORWARDED_HOST, "h")]), false),
            (headers(&[("host", "inner"), ("origin", "http://h")]), true),
            // What the browser says of itself counts more than a proxy's name for this host.
            (
                headers(&[("host", "inner"), ("origin", "https://h"), (FETCH_SITE, "same-origin")]),
                false,
            ),
        ] {
            for method in [Method::PUT, Method::POST, Method::DELETE, Method::PATCH] {
                assert_eq!(is_foreign(&method, &headers), foreign, "{method} {headers:?}");
            }
            assert!(!is_foreign(&Method::GET, &headers));
        }
    }

    #[test]
    fn names_of_the_open_net_are_told_from_ones_own() {
        assert!(is_private(&headers(&[])));
        for host in [
            "localhost",
            "localhost:15672",
            "LOCALHOST.",
            "127.0.0.1:15672",
            "192.168.1.2",
            "[::1]:15672",
            "rabbitmq:15672",
            "host.docker.internal:15672",
            "desk.local",
            "mq.test",
        ] {
            assert!(is_private(&headers(&[("host", host)])), "{host}");
        }
        for host in [
            "evil.com",
            "evil.com:15672",
            "localhost.evil.com",
            "127.0.0.1.evil.com",
            "notlocal.lo",
        ] {
            assert!(!is_private(&headers(&[("host", host)])), "{host}");
        }
    }
}
