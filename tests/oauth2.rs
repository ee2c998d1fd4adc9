//! OAuth 2: tokens as passwords, what they permit, their keys, their end.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value as Json, json};

use crate::harness::*;

/// Signs tokens.
enum Signing {
    EdDsa(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
}

struct Issuer {
    kid: &'static str,
    signing: Signing,
}

impl Issuer {
    fn ed25519(kid: &'static str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { kid, signing: Signing::EdDsa(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap()) }
    }

    fn es256(kid: &'static str) -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        Self { kid, signing: Signing::Es256(pair) }
    }

    fn jwk(&self) -> Json {
        match &self.signing {
            Signing::EdDsa(pair) => json!({
                "kty": "OKP", "crv": "Ed25519", "kid": self.kid, "use": "sig",
                "x": BASE64.encode(pair.public_key()),
            }),
            Signing::Es256(pair) => {
                let point = pair.public_key().as_ref();
                json!({
                    "kty": "EC", "crv": "P-256", "kid": self.kid, "alg": "ES256",
                    "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..]),
                })
            }
        }
    }

    fn algorithm(&self) -> &'static str {
        match self.signing {
            Signing::EdDsa(_) => "EdDSA",
            Signing::Es256(_) => "ES256",
        }
    }

    fn token(&self, claims: &Json) -> String {
        self.token_with(&json!({"alg": self.algorithm(), "kid": self.kid, "typ": "JWT"}), claims)
    }

    fn token_with(&self, header: &Json, claims: &Json) -> String {
        let part = |json: &Json| BASE64.encode(json.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = match &self.signing {
            Signing::EdDsa(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Signing::Es256(pair) => {
                pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec()
            }
        };
        format!("{message}.{}", BASE64.encode(signature))
    }
}

fn jwks(issuers: &[&Issuer]) -> String {
    json!({"keys": issuers.iter().map(|issuer| issuer.jwk()).collect::<Vec<_>>()}).to_string()
}

fn seconds_from_now(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs().cast_signed() + seconds
}

/// Claims of `alice` with these scopes, good for an hour.
fn claims(scope: &str) -> Json {
    json!({"sub": "alice", "aud": ["rabbit"], "exp": seconds_from_now(3600), "scope": scope})
}

const ALL: &str = "rabbit.configure:*/* rabbit.read:*/* rabbit.write:*/*";

/// A broker that takes tokens with keys from a file.
struct Guarded {
    broker: PrivateBroker,
    file: tempfile::NamedTempFile,
}

impl Guarded {
    fn new(issuers: &[&Issuer], more: &str) -> Option<Self> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), jwks(issuers)).unwrap();
        let settings = format!(
            "auth_backends = [\"oauth2\", \"internal\"]\noauth2_resource_server_id = \"rabbit\"\n\
             oauth2_jwks_file = {:?}\n{more}\n",
            file.path().display().to_string()
        );
        private_broker(&settings).map(|broker| Self { broker, file })
    }

    fn with(&self, token: &str) -> Options {
        self.broker.options().login("", token)
    }
}

#[track_caller]
fn assert_refused(options: &Options) {
    let (connection, _) = options.until_start();
    connection.control().send(&options.start_ok());
    let text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For \
                details see the broker logfile.";
    connection.expect_close(403, text, (0, 0));
}

#[test]
fn scopes_are_what_a_user_may_do() {
    let issuer = Issuer::ed25519("k1");
    let Some(guarded) = Guarded::new(&[&issuer], "") else { return };
    let scope = "rabbit.configure:%2F/mine-* rabbit.write:*/mine-* rabbit.read:*/mine-* \
                 rabbit.write:*/amq.topic/news.* other.configure:*/*";
    let token = issuer.token(&claims(scope));
    let connection = guarded.with(&token).open();
    let channel = connection.channel(1);
    channel.declare(&queue("mine-1").exclusive());
    channel.refused(
        &queue("theirs"),
        403,
        "ACCESS_REFUSED - configure access to queue 'theirs' in vhost '/' refused for user 'alice'",
    );
    let channel = connection.channel(2);
    channel.confirm_select();
    // The default exchange is asked for as amq.default, which no scope allows.
    channel.publish(&publish("", "mine-1", "x"));
    channel.expect_close(
        403,
        "ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user \
         'alice'",
        (60, 40),
    );
    let channel = connection.channel(3);
    channel.confirm_select();
    channel.publish(&publish("amq.topic", "news.today", "x"));
    channel.expect_acked(1);
    channel.publish(&publish("amq.topic", "gossip", "x"));
    channel.expect_close(
        403,
        "ACCESS_REFUSED - write access to topic 'gossip' in exchange 'amq.topic' in vhost '/' \
         refused for user 'alice'",
        (60, 40),
    );
    guarded.broker.operator().add_vhost("elsewhere");
    let token = issuer.token(&claims("rabbit.read:%2F/*"));
    let elsewhere = guarded.with(&token).vhost("elsewhere").until_tuned();
    elsewhere.control().send(&connection_open("elsewhere"));
    let text = "NOT_ALLOWED - access to vhost 'elsewhere' refused for user 'alice'";
    elsewhere.expect_close(530, text, (10, 40));
}

#[test]
fn scopes_stand_in_many_places() {
    let issuer = Issuer::es256("k1");
    let settings = "oauth2_additional_scopes_key = \"roles realm.access.roles\"\n\
                    oauth2_scope_aliases = [\"role-x=rabbit.configure:*/* rabbit.tag:x\"]\n\
                    oauth2_preferred_username_claims = [\"user_name\", \"sub\"]";
    let Some(guarded) = Guarded::new(&[&issuer], settings) else { return };
    let is_let_in = |more: Json| {
        let mut claims = claims("");
        for (key, value) in more.as_object().unwrap() {
            claims[key] = value.clone();
        }
        let options = guarded.with(&issuer.token(&claims));
        let connection = options.until_tuned();
        connection.control().send(&connection_open("/"));
        let reply = connection.control().next().method;
        if reply.id == (10, 41) {
            connection.channel(1).declare(&queue("").exclusive());
        }
        reply.id == (10, 41)
    };
    let scope = "rabbit.configure:*/*";
    assert!(!is_let_in(json!({})));
    assert!(is_let_in(json!({"scope": format!("openid  {scope}")})));
    assert!(is_let_in(json!({"scope": ["openid", scope]})));
    assert!(is_let_in(json!({"scope": "role-x"})));
    assert!(is_let_in(json!({"roles": scope})));
    assert!(is_let_in(json!({"roles": {"rabbit": ["configure:*/*"], "x": ["configure:*/*"]}})));
    assert!(!is_let_in(json!({"roles": {"x": ["rabbit.configure:*/*"]}})));
    assert!(is_let_in(json!({"realm": {"access": [{"roles": [scope]}]}})));
    let permissions = json!([{"rsname": "x", "scopes": [scope]}]);
    assert!(is_let_in(json!({"authorization": {"permissions": permissions}})));
    assert!(is_let_in(json!({"scope": "rabbit.configure:{vhost}/*", "aud": "x rabbit"})));
    assert!(!is_let_in(json!({"scope": 7, "roles": [7, null], "realm": 7})));
}

#[test]
fn tokens_that_are_not_to_be_trusted_are_refused() {
    let (issuer, other) = (Issuer::ed25519("k1"), Issuer::es256("k2"));
    let stranger = Issuer::ed25519("k1");
    let Some(guarded) = Guarded::new(&[&issuer, &other], "") else { return };
    let good = claims(ALL);
    let with = |key: &str, value: Json| {
        let mut claims = good.clone();
        claims[key] = value;
        issuer.token(&claims)
    };
    let without = |key: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(key);
        issuer.token(&claims)
    };
    let header = |header: Json| issuer.token_with(&header, &good);
    let token = issuer.token(&good);
    let (message, _) = token.rsplit_once('.').unwrap();
    let (head, rest) = token.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let forged = BASE64.encode(claims("rabbit.tag:administrator").to_string());
    guarded.with(&token).open().close();
    guarded.with(&other.token(&good)).open().close();
    let bad = [
        stranger.token(&good),
        format!("{message}."),
        format!("{message}.{}", BASE64.encode([0; 64])),
        format!("{head}.{forged}.{signature}"),
        message.to_owned(),
        format!("{token}.x"),
        "..".to_owned(),
        "eyJ.eyJ.x".to_owned(),
        header(json!({"alg": "none", "kid": "k1"})),
        header(json!({"alg": "HS256", "kid": "k1"})),
        header(json!({"alg": "ES256", "kid": "k1"})),
        header(json!({"alg": "EdDSA", "kid": "k2"})),
        header(json!({"alg": "EdDSA", "kid": "k3"})),
        header(json!({"alg": "EdDSA"})),
        header(json!({"alg": "EdDSA", "kid": "k1", "crit": ["b64"]})),
        header(json!(["EdDSA"])),
        with("aud", json!("others")),
        with("aud", json!(["rabbits"])),
        with("aud", json!(7)),
        without("aud"),
        with("exp", json!(seconds_from_now(-1))),
        with("exp", json!(-1)),
        with("exp", json!("tomorrow")),
        without("exp"),
        with("nbf", json!(seconds_from_now(3600))),
        "guest".to_owned(),
    ];
    for token in bad {
        assert_refused(&guarded.with(&token));
    }
    // The broker's own users are asked next.
    guarded.broker.open().close();
    let settings = "oauth2_verify_aud = false\noauth2_require_exp = false\n\
                    oauth2_default_key = \"k1\"\noauth2_algorithms = [\"EdDSA\"]";
    let Some(lax) = Guarded::new(&[&issuer, &other], settings) else { return };
    lax.with(&without("aud")).open().close();
    lax.with(&without("exp")).open().close();
    lax.with(&header(json!({"alg": "EdDSA"}))).open().close();
    assert_refused(&lax.with(&other.token(&good)));
}

// CN-140 to CN-142
#[test]
fn another_secret_changes_what_its_user_may_do() {
    let issuer = Issuer::ed25519("k1");
    let Some(guarded) = Guarded::new(&[&issuer], "") else { return };
    let token = |scope: &str| issuer.token(&claims(scope));
    let little = "rabbit.configure:*/a* rabbit.read:*/a* rabbit.write:*/amq.default";
    let connection = guarded.with(&token(little)).open();
    let channel = connection.channel(1);
    channel.declare(&queue("a").exclusive());
    channel.subscribe("a", "at-a");
    let renew = |scope: &str| connection.control().call(&update_secret(&token(scope), "time"));
    renew(ALL);
    channel.declare(&queue("b").exclusive());
    channel.subscribe("b", "at-b");
    // Consumers of queues that may not be read any more are cancelled; others go on.
    renew("rabbit.configure:*/b* rabbit.read:*/b* rabbit.write:*/amq.default");
    let cancelled = channel.expect((60, 30));
    let cancelled = cancelled.read().short_string();
    assert_eq!(cancelled, "at-a");
    channel.publish(&publish("", "b", "x"));
    assert_eq!(channel.delivery().text(), "x");
    // What was allowed before is not remembered.
    renew("rabbit.read:*/b*");
    channel.publish(&publish("", "b", "y"));
    channel.expect_close(
        403,
        "ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user \
         'alice'",
        (60, 40),
    );
    renew(ALL);
    connection.channel(2).declare(&queue("c").exclusive());
}

// CN-141
#[test]
fn a_secret_that_is_refused_ends_the_connection() {
    let issuer = Issuer::ed25519("k1");
    let Some(guarded) = Guarded::new(&[&issuer], "") else { return };
    let mut bob = claims(ALL);
    bob["sub"] = json!("bob");
    let mut late = claims(ALL);
    late["exp"] = json!(seconds_from_now(-1));
    for secret in ["", "rubbish", &issuer.token(&bob), &issuer.token(&late)] {
        let connection = guarded.with(&issuer.token(&claims(ALL))).open();
        connection.control().send(&update_secret(secret, "time"));
        let text = "NOT_ALLOWED - New secret was refused by one of the backends";
        connection.expect_close(530, text, (10, 70));
    }
    let connection = guarded.with(&issuer.token(&claims(ALL))).open();
    connection.control().send(&update_secret(&issuer.token(&claims("")), "time"));
    let text = "NOT_ALLOWED - access to vhost '/' refused for user 'alice'";
    connection.expect_close(530, text, (10, 70));
    // With a password there is nothing to update (CN-140).
    let connection = guarded.broker.open();
    connection.control().call(&update_secret("rubbish", "time"));
    connection.channel(1).declare(&queue("q").exclusive());
}

// CN-129
#[test]
fn a_connection_ends_with_its_token_unless_it_gets_another() {
    let issuer = Issuer::ed25519("k1");
    let Some(guarded) = Guarded::new(&[&issuer], "") else { return };
    let short = || {
        let mut claims = claims(ALL);
        claims["exp"] = json!(seconds_from_now(2));
        issuer.token(&claims)
    };
    let renewed = guarded.with(&short()).open();
    renewed.control().call(&update_secret(&issuer.token(&claims(ALL)), "time"));
    let connection = guarded.with(&short()).open();
    let text = "CONNECTION_FORCED - credential expired";
    connection.expect_close(320, text, (0, 0));
    renewed.channel(1).expect_settled();
    // The other way round: what would have lasted has an end now.
    renewed.control().call(&update_secret(&short(), "time"));
    renewed.expect_close(320, text, (0, 0));
}

#[test]
fn a_file_of_keys_that_changes_is_read_again() {
    let (old, new) = (Issuer::ed25519("old"), Issuer::es256("new"));
    let Some(guarded) = Guarded::new(&[&old], "") else { return };
    guarded.with(&old.token(&claims(ALL))).open().close();
    assert_refused(&guarded.with(&new.token(&claims(ALL))));
    std::fs::write(guarded.file.path(), jwks(&[&new])).unwrap();
    let is_let_in = |issuer: &Issuer| {
        let options = guarded.with(&issuer.token(&claims(ALL)));
        let (connection, _) = options.until_start();
        connection.control().send(&options.start_ok());
        connection.control().next().method.id == (10, 30)
    };
    let begun = std::time::Instant::now();
    while !is_let_in(&new) {
        assert!(begun.elapsed() < DEADLINE, "the new key is not taken");
    }
    assert!(!is_let_in(&old));
}

/// Serves documents by their paths, and counts how often it is asked.
struct Documents {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    texts: Arc<Mutex<Vec<(String, String)>>>,
}

impl Documents {
    fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, texts) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::default()));
        let this = Self { address, asked: Arc::clone(&asked), texts: Arc::clone(&texts) };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut lines = stream.by_ref().lines().map_while(Result::ok);
                let request = lines.next().unwrap_or_default();
                let _ = lines.take_while(|line| !line.is_empty()).count();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                asked.fetch_add(1, Ordering::SeqCst);
                let texts: std::sync::MutexGuard<'_, Vec<(String, String)>> = texts.lock().unwrap();
                let found = texts.iter().find(|(known, _)| *known == path);
                let answer = match found {
                    Some((_, to)) if to.starts_with("http://") => {
                        format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
                    }
                    Some((_, text)) => {
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len())
                    }
                    None => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
                };
                let _ = stream.get_mut().write_all(answer.as_bytes());
            }
        });
        this
    }

    /// A text that is a URL leads there.
    fn put(&self, path: &str, text: &str) {
        let mut texts = self.texts.lock().unwrap();
        texts.retain(|(known, _)| known != path);
        texts.push((path.to_owned(), text.to_owned()));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[test]
fn keys_are_got_from_a_url_when_they_are_needed() {
    let (old, new) = (Issuer::ed25519("old"), Issuer::es256("new"));
    let documents = Documents::serve();
    documents.put("/keys", &jwks(&[&old]));
    let settings = format!(
        "auth_backends = [\"oauth2\"]\noauth2_resource_server_id = \"rabbit\"\n\
         oauth2_jwks_url = \"http://{}/keys\"",
        documents.address
    );
    let Some(broker) = private_broker(&settings) else { return };
    assert_eq!(documents.asked(), 0);
    let with = |issuer: &Issuer| broker.options().login("", &issuer.token(&claims(ALL)));
    // Many at once make it ask once.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| with(&old).open().close());
        }
    });
    assert_eq!(documents.asked(), 1);
    // Whoever has no good key cannot make it ask again and again.
    for _ in 0..5 {
        assert_refused(&with(&new));
    }
    assert!(documents.asked() <= 2, "asked {} times", documents.asked());
    // guest is nobody's: the broker's own users are not asked.
    assert_refused(&broker.options());
}

#[test]
fn keys_are_found_by_their_issuer() {
    let issuer = Issuer::es256("k");
    let documents = Documents::serve();
    let root = format!("http://{}", documents.address);
    let discovery = json!({"issuer": root, "jwks_uri": format!("{root}/certs")});
    documents.put("/realm/.well-known/openid-configuration", &discovery.to_string());
    documents.put("/certs", &jwks(&[&issuer]));
    let settings = format!(
        "auth_backends = [\"oauth2\"]\noauth2_resource_server_id = \"rabbit\"\n\
         oauth2_issuer = \"{root}/realm/\""
    );
    let Some(broker) = private_broker(&settings) else { return };
    broker.options().login("", &issuer.token(&claims(ALL))).open().close();
    assert_eq!(documents.asked(), 2);
}

#[test]
fn keys_are_got_over_https_from_those_who_are_trusted() {
    let issuer = Issuer::es256("k");
    let documents = Documents::serve();
    documents.put("/keys", &jwks(&[&issuer]));
    documents.put("/moved", &format!("http://{}/keys", documents.address));
    let certificates = Certificates::new();
    let root = format!("https://{}", certificates.serve_tls_before(documents.address));
    let ca = certificates.path("ca.pem").display().to_string();
    for (path, ca, is_trusted) in
        [("keys", &*ca, true), ("keys", "", false), ("moved", &*ca, false)]
    {
        let url = format!("{root}/{path}");
        let settings = format!(
            "auth_backends = [\"oauth2\"]\noauth2_resource_server_id = \"rabbit\"\n\
             oauth2_jwks_url = {url:?}\noauth2_ca = {ca:?}"
        );
        let Some(broker) = private_broker(&settings) else { return };
        let options = broker.options().login("", &issuer.token(&claims(ALL)));
        if is_trusted {
            options.open().close();
        } else {
            assert_refused(&options);
        }
    }
}

#[test]
fn a_server_that_does_not_answer_makes_nobody_wait_but_who_asks() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = Issuer::es256("k");
    let settings = format!(
        "auth_backends = [\"oauth2\", \"internal\"]\noauth2_resource_server_id = \"rabbit\"\n\
         oauth2_jwks_url = \"http://{}/keys\"",
        silent.local_addr().unwrap()
    );
    let Some(broker) = private_broker(&settings) else { return };
    let options = broker.options().login("", &issuer.token(&claims(ALL)));
    let (waiting, _) = options.until_start();
    waiting.control().send(&options.start_ok());
    broker.open().close();
    let text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For \
                details see the broker logfile.";
    waiting.expect_close(403, text, (0, 0));
}

#[test]
fn the_management_api_takes_tokens_too() {
    let issuer = Issuer::ed25519("k1");
    let Some(guarded) = Guarded::new(&[&issuer], "") else { return };
    let api = |scope: &str| guarded.broker.api().login("", &issuer.token(&claims(scope)));
    let monitor = api("rabbit.tag:monitoring rabbit.read:*/*").get("/whoami");
    assert_eq!((&monitor["name"], &monitor["tags"]), (&json!("alice"), &json!(["monitoring"])));
    assert_eq!(monitor["is_internal_user"], false);
    assert_eq!(api("rabbit.read:*/*").call("GET", "/whoami", "").status, 401);
    assert_eq!(guarded.broker.api().login("", "rubbish").call("GET", "/whoami", "").status, 401);
}

#[test]
fn settings_that_cannot_be_used_stop_the_start() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("lepus.toml");
    let bad = home.path().join("bad.json");
    std::fs::write(&bad, "{\"keys\": [{\"kty\": \"oct\", \"k\": \"AAAA\"}]}").unwrap();
    let id = "oauth2_resource_server_id = \"rabbit\"\n";
    let cases = [
        (String::new(), "OAuth 2: `oauth2_resource_server_id` must be set".to_owned()),
        (
            id.to_owned(),
            "OAuth 2: one of `oauth2_jwks_file`, `oauth2_jwks_url` and `oauth2_issuer` must be set"
                .to_owned(),
        ),
        (
            format!("{id}oauth2_jwks_url = \"ftp://x\""),
            "OAuth 2: `oauth2_jwks_url` must begin with https:// or http://, not \"ftp://x\""
                .to_owned(),
        ),
        (
            format!("{id}oauth2_jwks_file = \"/none.json\""),
            "OAuth 2: cannot read /none.json: No such file or directory (os error 2)".to_owned(),
        ),
        (
            format!("{id}oauth2_jwks_file = {bad:?}"),
            format!("OAuth 2: cannot use {}: none of its keys can be used", bad.display()),
        ),
        (
            format!("{id}oauth2_scope_aliases = [\"role\"]"),
            "OAuth 2: each of `oauth2_scope_aliases` is ALIAS=SCOPE SCOPE ...".to_owned(),
        ),
    ];
    for (settings, expected) in cases {
        std::fs::write(&file, format!("auth_backends = [\"oauth2\"]\n{settings}")).unwrap();
        let args = ["--amqp-port=0", "--http-port=0", "--config", file.to_str().unwrap()];
        let output = lepus(home.path(), &args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.trim_end(), format!("lepus: {expected}"));
        assert_eq!(output.status.code(), Some(78));
    }
}

// PO-034: a token may name anybody.
#[test]
fn a_token_with_the_name_of_another_user_shows_nothing_of_that_one() {
    let issuer = Issuer::ed25519("k1");
    let Some(guarded) = Guarded::new(&[&issuer], "") else { return };
    let operator = guarded.broker.operator();
    operator.add_user("alice", &["management"]);
    operator.permit("alice", "/", EVERYTHING);
    let _own = guarded.broker.options().login("alice", PASSWORD).open();
    let token = issuer.token(&claims(&format!("{ALL} rabbit.tag:management")));
    let _by_token = guarded.with(&token).open();
    let names_of = |user: &str, password: &str| {
        let list = guarded.broker.api().login(user, password).get("/connections");
        list.as_array().unwrap().iter().map(|item| item["name"].clone()).collect::<Vec<_>>()
    };
    let (own, by_token) = (names_of("alice", PASSWORD), names_of("", &token));
    assert_eq!((own.len(), by_token.len()), (1, 1));
    assert_ne!(own, by_token);
    let other = format!("/connections/{}", part(own[0].as_str().unwrap()));
    assert_eq!(guarded.broker.api().login("", &token).delete(&other).status, 401);
    assert_eq!(guarded.broker.api().get("/connections").as_array().unwrap().len(), 2);
}

#[test]
fn a_token_may_have_so_many_scopes() {
    let issuer = Issuer::ed25519("k1");
    let settings = "oauth2_scope_prefix = \"none\"";
    let Some(guarded) = Guarded::new(&[&issuer], settings) else { return };
    // Too long for the first frame of AMQP, but not for a header of HTTP.
    let status = |count: usize| {
        let scopes = std::iter::once("tag:monitoring".to_owned());
        let scopes: Vec<_> = scopes.chain((1..count).map(|n| format!("{n:x}"))).collect();
        let token = issuer.token(&claims(&scopes.join(" ")));
        guarded.broker.api().login("", &token).call("GET", "/whoami", "").status
    };
    assert_eq!((status(2048), status(2049)), (200, 401));
}
