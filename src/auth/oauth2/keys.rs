//! The keys that tokens are signed with: a JWKS (RFC 7517) from a file or a URL.
//!
//! They are read when the broker starts, and again when a token names a key that is not among
//! them, by a thread of its own: whoever logs in meanwhile is woken when it is done.

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::Value;

use super::fetch;
use crate::{
    clock::{self, Now},
    config::JwtAlgorithm,
    machine::FileStamp,
};

/// How soon a URL is asked again for a key that it did not have.
const URL_PAUSE: Duration = Duration::from_secs(5);
/// The longest document that is read from a URL.
const DOCUMENT_BYTES_MAX: u64 = 1 << 20;
/// How long a file is taken to be as it was.
const FILE_PAUSE: Duration = Duration::from_secs(1);

/// Where keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    File(PathBuf),
    /// A JWKS itself.
    Url(String),
    /// A server whose discovery document has its URL.
    Issuer(String),
}

/// A key, and what it may be used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    kind: KeyKind,
    /// The one algorithm that it is for, if it says so.
    algorithm: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum KeyKind {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// By `kid`; a key may have none.
type KeySet = HashMap<Option<String>, Key>;

/// All keys of one source.
#[derive(Debug)]
pub(super) struct Keys {
    source: Source,
    authorities: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: KeySet,
    /// Of the file that was read last.
    stamp: Option<FileStamp>,
    /// When the source was last looked at.
    looked_at: Option<Now>,
    is_reading: bool,
    /// Whoever waits for the reading to end.
    waiting: Vec<Waker>,
}

impl Keys {
    /// Reads a file's keys.
    ///
    /// # Errors
    /// What is wrong with a file. A URL is asked later: its server may start after the broker.
    pub(super) fn load_blocking(
        source: Source,
        authorities: Option<PathBuf>,
    ) -> Result<Self, String> {
        let keys = Self { source, authorities, state: Mutex::default() };
        if matches!(keys.source, Source::File(_)) {
            let stamp = keys.stamp();
            let set = keys.read_blocking()?;
            let mut state = keys.state();
            (state.keys, state.stamp) = (set, stamp);
        }
        Ok(keys)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each section leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stamp(&self) -> Option<FileStamp> {
        match &self.source {
            Source::File(path) => FileStamp::of(path),
            Source::Url(_) | Source::Issuer(_) => None,
        }
    }

    /// The key of that `kid`; none if there is none. Pending while the keys are read anew; the
    /// waker is called then.
    pub(super) fn find(
        self: &Arc<Self>,
        kid: Option<&str>,
        now: Now,
        waker: &Waker,
    ) -> Poll<Option<Key>> {
        let has_changed = self.has_changed(now);
        let mut state = self.state();
        let found = state.keys.get(&kid.map(str::to_owned)).cloned();
        if !state.is_reading {
            let is_due = match self.source {
                Source::File(_) => has_changed,
                _ => found.is_none() && state.is_due(now, URL_PAUSE),
            };
            if !is_due || !self.start_reading(&mut state, now) {
                return Poll::Ready(found);
            }
        } else if found.is_some() {
            return Poll::Ready(found);
        }
        if !state.waiting.iter().any(|other| other.will_wake(waker)) {
            state.waiting.push(waker.clone());
        }
        Poll::Pending
    }

    /// Whether the file is another, as far as it is time to look.
    fn has_changed(&self, now: Now) -> bool {
        if !matches!(self.source, Source::File(_)) {
            return false;
        }
        {
            let mut state = self.state();
            if !state.is_due(now, FILE_PAUSE) {
                return false;
            }
            state.looked_at = Some(now);
        }
        let stamp = self.stamp();
        stamp != self.state().stamp
    }

    /// Starts a thread that reads. Returns whether it did.
    fn start_reading(self: &Arc<Self>, state: &mut State, now: Now) -> bool {
        let this = Arc::clone(self);
        let thread = thread::Builder::new().name("jwks".into());
        let started = thread.spawn(move || this.reread_blocking());
        state.looked_at = Some(now);
        state.is_reading = started.is_ok();
        if let Err(error) = started {
            tracing::error!(%error, "cannot read the keys of tokens");
        }
        state.is_reading
    }

    fn reread_blocking(&self) {
        let stamp = self.stamp();
        let read = self.read_blocking();
        let waiting = {
            let mut state = self.state();
            state.is_reading = false;
            state.stamp = stamp;
            state.looked_at = Some(clock::now());
            match read {
                Ok(keys) => {
                    tracing::info!(keys = keys.len(), "the keys of tokens were read");
                    state.keys = keys;
                }
                Err(error) => tracing::error!(%error, "the keys of tokens stay as they were"),
            }
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    fn read_blocking(&self) -> Result<KeySet, String> {
        let get =
            |url: &str| fetch::get_blocking(url, self.authorities.as_deref(), DOCUMENT_BYTES_MAX);
        let (text, name) = match &self.source {
            Source::File(path) => {
                let name = path.display().to_string();
                let text =
                    fs::read(path).map_err(|error| format!("cannot read {name}: {error}"))?;
                (text, name)
            }
            Source::Url(url) => (get(url)?, url.clone()),
            Source::Issuer(issuer) => {
                let url =
                    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                let document: Value = serde_json::from_slice(&get(&url)?)
                    .map_err(|error| format!("{url} is not JSON: {error}"))?;
                let keys = document["jwks_uri"].as_str();
                let keys = keys.ok_or_else(|| format!("{url} has no jwks_uri"))?.to_owned();
                (get(&keys)?, keys)
            }
        };
        parse(&text).map_err(|why| format!("cannot use {name}: {why}"))
    }
}

impl State {
    fn is_due(&self, now: Now, pause: Duration) -> bool {
        self.looked_at.is_none_or(|at| now.since(at) >= pause)
    }
}

/// Reads a JWKS. Keys of kinds that are not known here, or for encryption, are passed over.
fn parse(text: &[u8]) -> Result<KeySet, String> {
    let document: Value =
        serde_json::from_slice(text).map_err(|error| format!("it is not JSON: {error}"))?;
    let listed = document["keys"].as_array().ok_or("it is no JWKS: it has no list `keys`")?;
    let signs = listed.iter().filter(|key| key["use"].as_str().is_none_or(|usage| usage == "sig"));
    let keys: KeySet = signs
        .filter_map(|key| Some((key["kid"].as_str().map(str::to_owned), Key::from_json(key)?)))
        .collect();
    if keys.is_empty() { Err("none of its keys can be used".into()) } else { Ok(keys) }
}

impl Key {
    fn from_json(json: &Value) -> Option<Self> {
        let octets = |name: &str| BASE64.decode(json[name].as_str()?.trim_end_matches('=')).ok();
        let point = |len: usize| {
            let (x, y) = (octets("x")?, octets("y")?);
            (x.len() == len && y.len() == len).then(|| [&[4][..], &x, &y].concat())
        };
        let kind = match (json["kty"].as_str()?, json["crv"].as_str()) {
            ("RSA", _) => KeyKind::Rsa { modulus: octets("n")?, exponent: octets("e")? },
            ("EC", Some("P-256")) => KeyKind::P256(point(32)?),
            ("EC", Some("P-384")) => KeyKind::P384(point(48)?),
            ("OKP", Some("Ed25519")) => KeyKind::Ed25519(octets("x")?),
            _ => return None,
        };
        Some(Self { kind, algorithm: json["alg"].as_str().map(str::to_owned) })
    }

    /// Whether the signature of the message is this key's, by this algorithm.
    pub(super) fn verifies(
        &self,
        algorithm: JwtAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        if self.algorithm.as_ref().is_some_and(|only| only != algorithm.as_str()) {
            return false;
        }
        if let (KeyKind::Rsa { modulus, exponent }, Some(rsa)) = (&self.kind, rsa(algorithm)) {
            // A modulus may be written with zeros before it; ring wants none.
            let zeros = modulus.iter().take_while(|octet| **octet == 0).count();
            let key = RsaPublicKeyComponents { n: &modulus[zeros..], e: exponent };
            return key.verify(rsa, message, signature).is_ok();
        }
        let verified = match (&self.kind, algorithm) {
            (KeyKind::P256(point), JwtAlgorithm::Es256) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, signature)
            }
            (KeyKind::P384(point), JwtAlgorithm::Es384) => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point)
                    .verify(message, signature)
            }
            (KeyKind::Ed25519(key), JwtAlgorithm::EdDsa) => {
                UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature)
            }
            // A key is never used for what it is not.
            _ => return false,
        };
        verified.is_ok()
    }
}

fn rsa(algorithm: JwtAlgorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        JwtAlgorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        JwtAlgorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        JwtAlgorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        JwtAlgorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        JwtAlgorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        JwtAlgorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        JwtAlgorithm::Es256 | JwtAlgorithm::Es384 | JwtAlgorithm::EdDsa => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with openssl, of the message `message`.
    const MODULUS: &str = "\
        oLXLDSf9NmBt50nCmg2bVvM2z-DOfb_750LcJf9DNTFMHDIDaUHO6OFFLe7ZagG7MAKk66XZgecCaiZS\
        Oejl3u4OoKt4UXAQnrF73s1xgyUlEr6pYpNfqOAzS794AUTGzyeZONBqY-ECBJSDJtHyPKsQgm05TmRp\
        N4sNloQAt6P3Wd-3wfhD9GbEZZ_SdeinUtdog3FMbShPcwVamrAGAInaAqTAWrH8Iq18z9trQXr3BsE4\
        -dxvIdyU0JR2WW3gsEfOgItpQt_r5S94iBA10KtVDyIWQUGsUOQAuwqbULSkPU1vJj7URzQgfn2APdec\
        SflhKdbzkbBNWjBYE22Rjw";
    const RS256: &str = "\
        CPf1kUZmbn6pJXSHTZx-Qh81-vLf-Qxk-8gcqGHYbA-NLLXhUIPdsDL-VdfldXZShT2pIib7Cg_4Z7bY\
        X6xWZ9EngLHX02JVCoTTIyvdEif6yXHaa5nqKSV1qFChkeJLV1MH_Gr3nrIi07zL2Hq4DLHFJsNR_ZWl\
        mA_FRzwIK-PWcipQq7iqms4sKsjwOmyK_xjGbKvzSAxcQ6ZLHWOKwqyKN3nCv42sUXq4ad9kTlD9Gmrm\
        Af2Lk96bEzGkQGAAIBS-ok3we2QeLFyo4g-ebTa0qnGgTdVDed48nnoUZOPC0tIezO4Jcht5GsUeg8Oi\
        IQxavxATo_dK2_zGq7Jj8g";
    const PS384: &str = "\
        hmKtCSltcbLQHppEVtNRKqnC52PyDfV4QMrrCw_yNCRGE-uub2whBITpcGEqYeKbNjsL7Gc8USgbxpOd\
        7iTXTRzgP2tUeKmfFQML68GkIbntnveSRMYFqgIJYx_BWJOTNBm2_a23-EPD7FeX4ZosxsDJPgqFAyNb\
        jXA_wbxlkynN2BTcjZ3U3YgMl5WKKar7cmjlzUeyME5hTvVwOQ6FvacK43DINYj6RO2SA2G0VNXk4mFm\
        EZWY2D8CgGdTjBTi0ZbJc5WpL_tvO-0wbdWDZj3WN9Q5eR4sz9npA_kiJlwrsl_4Po5Z2G1tqwUaxdX5\
        ec6Sg2mB1w7l355v3B0AvA";

    fn key(json: &str) -> Option<Key> {
        Key::from_json(&serde_json::from_str(json).unwrap())
    }

    fn verifies(key: &Key, algorithm: JwtAlgorithm, message: &str, signature: &str) -> bool {
        key.verifies(algorithm, message.as_bytes(), &BASE64.decode(signature).unwrap())
    }

    #[test]
    fn a_key_of_rsa_verifies_by_algorithms_of_rsa_alone() {
        let json = format!(r#"{{"kty": "RSA", "n": "{MODULUS}", "e": "AQAB"}}"#);
        let key = key(&json).unwrap();
        assert!(verifies(&key, JwtAlgorithm::Rs256, "message", RS256));
        assert!(verifies(&key, JwtAlgorithm::Ps384, "message", PS384));
        for algorithm in JwtAlgorithm::ALL {
            let is_its = *algorithm == JwtAlgorithm::Rs256;
            assert_eq!(verifies(&key, *algorithm, "message", RS256), is_its, "{algorithm:?}");
            assert!(!verifies(&key, *algorithm, "messages", RS256));
            assert!(!verifies(&key, *algorithm, "message", ""));
        }
    }

    #[test]
    fn a_key_that_names_its_algorithm_verifies_by_no_other() {
        let json = format!(r#"{{"kty": "RSA", "n": "{MODULUS}", "e": "AQAB", "alg": "RS256"}}"#);
        let key = key(&json).unwrap();
        assert!(verifies(&key, JwtAlgorithm::Rs256, "message", RS256));
        assert!(!verifies(&key, JwtAlgorithm::Ps384, "message", PS384));
    }

    #[test]
    fn keys_that_cannot_verify_are_passed_over() {
        for unusable in [
            r"{}",
            r#"{"kty": "oct", "k": "AAAA"}"#,
            r#"{"kty": "RSA", "n": "!", "e": "AQAB"}"#,
            r#"{"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}"#,
            r#"{"kty": "EC", "crv": "P-521", "x": "AAAA", "y": "AAAA"}"#,
            r#"{"kty": "OKP", "crv": "X25519", "x": "AAAA"}"#,
        ] {
            assert_eq!(key(unusable), None, "{unusable}");
        }
        let rsa = format!(r#"{{"kty": "RSA", "n": "{MODULUS}", "e": "AQAB"}}"#);
        let set = |rest: &str| parse(format!("{{\"keys\": [{rest}]}}").as_bytes());
        assert_eq!(set(&rsa).unwrap().len(), 1);
        assert_eq!(set(&format!("{rsa}, {{\"kty\": \"oct\"}}, 7")).unwrap().len(), 1);
        assert!(set(&rsa.replace("\"kty\"", "\"use\": \"enc\", \"kty\"")).is_err());
        for text in ["", "[]", "{}", "{\"keys\": []}"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
