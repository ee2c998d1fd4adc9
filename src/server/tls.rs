//! TLS: certificates and keys from files, and streams that have shaken hands.
//!
//! A [`Tls`] belongs to a listener, whatever is spoken on it. It looks at its files when somebody
//! connects, at most once a second: what has changed counts from that connection on, and those
//! that are open stay as they are. Files that cannot be used change nothing and are logged, once.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    task,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, InconsistentKeys, RootCertStore, ServerConfig,
        crypto::{CryptoProvider, ring},
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject, SectionKind},
        },
        server::WebPkiClientVerifier,
        sign::{CertifiedKey, SingleCertAndKey},
    },
    server::TlsStream,
};

use crate::{
    auth::Certificate,
    clock::{self, Now, UnixTime},
    config::{Config, TlsVersion},
    connection::TlsInfo,
    machine::FileStamp,
};

/// How long the files are taken to be as they were.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// How long before a certificate expires it is warned of.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// What keeps TLS from being used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {} (`{key}`): {source}", path.display())]
    Unreadable {
        /// The setting that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("cannot use {} (`{key}`): {why}", path.display())]
    Unusable {
        /// The setting that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The key belongs to another certificate.
    #[error(
        "the private key in {} does not belong to the certificate in {}",
        key.display(),
        certificate.display()
    )]
    KeyMismatch {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        certificate: PathBuf,
    },
    /// Settings that contradict each other.
    #[error("`{0}` needs `{1}`")]
    Needs(&'static str, &'static str),
}

/// The settings of one listener.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// The names of the settings, for messages.
    keys: Keys,
    certificate: PathBuf,
    key: PathBuf,
    ca: Option<PathBuf>,
    verify_peer: bool,
    fail_if_no_peer_cert: bool,
    versions: Vec<TlsVersion>,
    /// What is offered to clients that ask for a protocol (ALPN).
    protocols: &'static [&'static [u8]],
}

#[derive(Clone, Copy, Debug)]
struct Keys {
    certificate: &'static str,
    key: &'static str,
    ca: &'static str,
    verify_peer: &'static str,
    fail_if_no_peer_cert: &'static str,
}

const AMQP: Keys = Keys {
    certificate: "tls_certificate",
    key: "tls_key",
    ca: "tls_ca",
    verify_peer: "tls_verify_peer",
    fail_if_no_peer_cert: "tls_fail_if_no_peer_cert",
};

const HTTP: Keys = Keys {
    certificate: "https_certificate",
    key: "https_key",
    ca: "https_ca",
    verify_peer: "https_verify_peer",
    fail_if_no_peer_cert: "https_fail_if_no_peer_cert",
};

impl TlsSettings {
    /// Those of AMQP; none without a certificate.
    pub fn of_amqp(config: &Config) -> Option<Self> {
        let certificate = config.tls_certificate.clone()?;
        Some(Self {
            keys: AMQP,
            key: config.tls_key.clone().unwrap_or_else(|| certificate.clone()),
            certificate,
            ca: config.tls_ca.clone(),
            verify_peer: config.tls_verify_peer,
            fail_if_no_peer_cert: config.tls_fail_if_no_peer_cert,
            versions: config.tls_versions.clone(),
            protocols: &[],
        })
    }

    /// Those of the management API; none without a certificate.
    pub fn of_http(config: &Config) -> Option<Self> {
        let certificate = config.https_certificate.clone()?;
        Some(Self {
            keys: HTTP,
            key: config.https_key.clone().unwrap_or_else(|| certificate.clone()),
            certificate,
            ca: config.https_ca.clone(),
            verify_peer: config.https_verify_peer,
            fail_if_no_peer_cert: config.https_fail_if_no_peer_cert,
            versions: config.tls_versions.clone(),
            protocols: &[b"http/1.1"],
        })
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.certificate), Some(&self.key), self.ca.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }

    /// What tells one content of the files from another; a file that is not there has none.
    fn stamp(&self) -> Stamp {
        self.files().map(FileStamp::of).collect()
    }
}

type Stamp = Vec<Option<FileStamp>>;

/// Shakes hands for one listener.
#[derive(Debug)]
pub struct Tls {
    settings: TlsSettings,
    current: Mutex<Current>,
    /// When the files were last looked at, in milliseconds.
    looked_at: AtomicU64,
}

struct Current {
    config: Arc<ServerConfig>,
    /// Of the files that were read last, also if they could not be used.
    stamp: Stamp,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current").field("stamp", &self.stamp).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files. Blocks on the disk.
    pub fn load_blocking(settings: TlsSettings) -> Result<Self, TlsError> {
        let stamp = settings.stamp();
        let config = server_config(&settings)?;
        Ok(Self {
            settings,
            current: Mutex::new(Current { config, stamp }),
            looked_at: AtomicU64::new(clock::now().as_millis()),
        })
    }

    /// Shakes hands with `peer`, which has time until then. None if it comes to nothing: the log
    /// says why. Dropping the wait breaks it off.
    pub async fn accept<S>(
        self: &Arc<Self>,
        stream: S,
        peer: SocketAddr,
        until: Now,
    ) -> Option<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let shaken = tokio::select! {
            shaken = self.shake_hands(stream) => shaken,
            () = clock::sleep_until(until) => {
                tracing::info!(%peer, "no TLS handshake in time");
                return None;
            }
        };
        match shaken {
            Ok(stream) => Some(stream),
            // Whoever looks whether the port is open does so.
            Err(error) if has_hung_up(&error) => {
                tracing::debug!(%peer, %error, "the client hung up during the TLS handshake");
                None
            }
            Err(error) => {
                tracing::warn!(%peer, error = explain(&error), "TLS handshake failed");
                None
            }
        }
    }

    async fn shake_hands<S>(self: &Arc<Self>, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if self.is_to_be_looked_at(clock::now()) {
            let this = Arc::clone(self);
            // It fails only when the server stops.
            let _ = task::spawn_blocking(move || this.look_blocking()).await;
        }
        let config = Arc::clone(&self.current().config);
        TlsAcceptor::from(config).accept(stream).await
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is the caller who is to look at the files.
    fn is_to_be_looked_at(&self, now: Now) -> bool {
        let looked_at = self.looked_at.load(Ordering::Relaxed);
        let now = now.as_millis();
        now >= looked_at + TRUSTED_FOR.as_millis() as u64
            && self
                .looked_at
                .compare_exchange(looked_at, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Reads the files again if they have changed.
    fn look_blocking(&self) {
        let stamp = self.settings.stamp();
        if stamp == self.current().stamp {
            return;
        }
        let read = server_config(&self.settings);
        let mut current = self.current();
        current.stamp = stamp;
        match read {
            Ok(config) => {
                current.config = config;
                drop(current);
                let certificate = self.settings.certificate.display();
                tracing::info!(%certificate, "the certificate was read again");
            }
            Err(error) => {
                drop(current);
                tracing::error!(%error, "TLS goes on with the certificate that it had");
            }
        }
    }
}

/// What there is to know of a stream's handshake.
pub(super) fn info<S>(stream: &TlsStream<S>) -> TlsInfo {
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(|chain| chain.first());
    TlsInfo {
        version: match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "tlsv1.2",
            _ => "tlsv1.3",
        },
        suite: session
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or_default(),
        certificate: certificate.and_then(|der| Certificate::from_der(der)),
    }
}

fn has_hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

/// Why a handshake came to nothing, for the log.
fn explain(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => {
            "the client does not speak TLS".into()
        }
        Some(rustls::Error::NoCertificatesPresented) => {
            "the client has no certificate, and one is demanded".into()
        }
        Some(error) => error.to_string(),
        None => error.to_string(),
    }
}

fn server_config(settings: &TlsSettings) -> Result<Arc<ServerConfig>, TlsError> {
    let keys = settings.keys;
    if settings.fail_if_no_peer_cert && !settings.verify_peer {
        return Err(TlsError::Needs(keys.fail_if_no_peer_cert, keys.verify_peer));
    }
    let provider = Arc::new(ring::default_provider());
    let certified = certified_key(settings, &provider)?;
    let versions: Vec<_> = settings
        .versions
        .iter()
        .map(|version| match version {
            TlsVersion::V1_2 => &rustls::version::TLS12,
            TlsVersion::V1_3 => &rustls::version::TLS13,
        })
        .collect();
    let unusable = |error: rustls::Error| TlsError::Unusable {
        key: keys.certificate,
        path: settings.certificate.clone(),
        why: error.to_string(),
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(unusable)?;
    let builder = if settings.verify_peer {
        let Some(path) = &settings.ca else {
            return Err(TlsError::Needs(keys.verify_peer, keys.ca));
        };
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::new(authorities(keys.ca, path)?),
            provider,
        );
        let verifier =
            if settings.fail_if_no_peer_cert { verifier } else { verifier.allow_unauthenticated() };
        let verifier = verifier.build().map_err(|error| TlsError::Unusable {
            key: keys.ca,
            path: path.clone(),
            why: error.to_string(),
        })?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let resolver = SingleCertAndKey::from(certified);
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = settings.protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// The certificate and its key.
fn certified_key(
    settings: &TlsSettings,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let keys = settings.keys;
    let chain = certificates(keys.certificate, &settings.certificate)?;
    let unusable = |key, path: &Path, why: &str| TlsError::Unusable {
        key,
        path: path.into(),
        why: why.into(),
    };
    let Some(certificate) = chain.first().and_then(|der| Certificate::from_der(der)) else {
        let why = "its first certificate is damaged";
        return Err(unusable(keys.certificate, &settings.certificate, why));
    };
    let text = read(keys.key, &settings.key)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let is_encrypted = str::from_utf8(&text).is_ok_and(|text| text.contains("ENCRYPTED"));
        let why = match error {
            _ if is_encrypted => {
                "its private key is encrypted; `openssl pkey -in FILE -out FILE` writes one that \
                 is not"
                    .into()
            }
            pem::Error::NoItemsFound => "it holds no private key in PEM".into(),
            error => format!("its private key is damaged: {}", damage(&error)),
        };
        unusable(keys.key, &settings.key, &why)
    })?;
    // Whether the key is one at all comes before whether it is the certificate's.
    if let Err(error) = provider.key_provider.load_private_key(key.clone_key()) {
        return Err(unusable(keys.key, &settings.key, &error.to_string()));
    }
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::KeyMismatch {
            key: settings.key.clone(),
            certificate: settings.certificate.clone(),
        },
        error => unusable(keys.certificate, &settings.certificate, &error.to_string()),
    })?;
    warn_of_times(&settings.certificate, &certificate, clock::unix_time());
    Ok(certified)
}

fn warn_of_times(path: &Path, certificate: &Certificate, now: UnixTime) {
    let [from, until] = certificate.validity();
    let (path, validity) = (path.display(), certificate.validity_text());
    if now < from {
        tracing::warn!(%path, %validity, "the certificate is not valid yet");
    } else if now > until {
        tracing::warn!(%path, %validity, "the certificate has expired");
    } else if until.0 - now.0 < EXPIRES_SOON.as_millis() as u64 {
        tracing::warn!(%path, %validity, "the certificate expires soon");
    }
}

/// The certificates that others are held to.
fn authorities(key: &'static str, path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    let (_, damaged) = store.add_parsable_certificates(certificates(key, path)?);
    if store.is_empty() {
        let why = "none of its certificates can be used".into();
        return Err(TlsError::Unusable { key, path: path.into(), why });
    }
    if damaged > 0 {
        tracing::warn!(path = %path.display(), damaged, "left out authorities that are damaged");
    }
    Ok(store)
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unusable = |why: String| TlsError::Unusable { key, path: path.into(), why };
    let text = read(key, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| unusable(format!("it is damaged: {}", damage(&error))))?;
    if found.is_empty() {
        let sections: Vec<(SectionKind, Vec<u8>)> =
            PemObject::pem_slice_iter(&text).flatten().collect();
        return Err(unusable(match sections.first() {
            None => "it is not PEM".into(),
            Some((kind, _)) => format!("it holds no certificate, but {}", name_of(*kind)),
        }));
    }
    Ok(found)
}

fn damage(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a section has no proper beginning",
        pem::Error::Base64Decode(_) => "a section is not in base64",
        _ => "it cannot be read",
    }
}

fn name_of(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
            "a private key"
        }
        SectionKind::PublicKey => "a public key",
        SectionKind::Csr => "a request to sign one",
        _ => "something else",
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Unreadable { key, path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use rcgen::CertifiedKey;

    use super::*;

    fn signed() -> (String, String) {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    #[test]
    fn files_are_read_again_when_they_change_and_bad_ones_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name);
        let write = |(certificate, key): &(String, String)| {
            fs::write(path("key.pem"), key).unwrap();
            fs::write(path("cert.pem"), certificate).unwrap();
        };
        write(&signed());
        let settings = Config {
            tls_certificate: Some(path("cert.pem")),
            tls_key: Some(path("key.pem")),
            ..Config::default()
        };
        let tls = Tls::load_blocking(TlsSettings::of_amqp(&settings).unwrap()).unwrap();
        let config = || Arc::clone(&tls.current().config);
        let first = config();
        tls.look_blocking();
        assert!(Arc::ptr_eq(&first, &config()), "nothing has changed");
        for bad in ["", "rubbish", &signed().1] {
            fs::write(path("key.pem"), bad).unwrap();
            tls.look_blocking();
            assert!(Arc::ptr_eq(&first, &config()), "{bad:?} was taken");
            assert_eq!(tls.current().stamp, tls.settings.stamp());
        }
        fs::remove_file(path("key.pem")).unwrap();
        tls.look_blocking();
        assert!(Arc::ptr_eq(&first, &config()), "no key was taken");
        write(&signed());
        tls.look_blocking();
        assert!(!Arc::ptr_eq(&first, &config()), "the new certificate was not taken");
    }

    #[test]
    fn one_of_those_who_connect_looks_and_no_sooner_than_after_a_second() {
        let (certificate, key) = signed();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), certificate + &key).unwrap();
        let settings = Config { https_certificate: Some(file.path().into()), ..Config::default() };
        let tls = Tls::load_blocking(TlsSettings::of_http(&settings).unwrap()).unwrap();
        let loaded_at = Now::from_millis(tls.looked_at.load(Ordering::Relaxed));
        assert!(!tls.is_to_be_looked_at(loaded_at.after(Duration::from_millis(999))));
        let later = loaded_at.after(TRUSTED_FOR);
        assert!(tls.is_to_be_looked_at(later));
        assert!(!tls.is_to_be_looked_at(later));
    }
}
