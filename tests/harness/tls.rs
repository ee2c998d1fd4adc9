//! Certificates, and clients that speak TLS.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair,
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    runtime,
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        version::{TLS12, TLS13},
    },
};

use super::DEADLINE;

/// Signs certificates.
pub(crate) struct Signer {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Signer {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = params(&[(DnType::CommonName, name)]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), pem: certificate.pem() }
    }

    /// A certificate for the broker, as `127.0.0.1` and `localhost`.
    pub(crate) fn server(&self) -> Signed {
        self.server_with(|_| {})
    }

    pub(crate) fn server_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Signed {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        self.sign(&params)
    }

    /// A certificate for a client.
    pub(crate) fn client(&self, change: impl FnOnce(&mut CertificateParams)) -> Signed {
        let name = [(DnType::OrganizationName, "Hares"), (DnType::CommonName, "client")];
        let mut params = params(&name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Signed {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Signed { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

fn params(names: &[(DnType, &str)]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in names {
        params.distinguished_name.push(kind.clone(), *value);
    }
    params
}

/// An authority, a broker's certificate, and the files that the broker reads.
pub(crate) struct Certificates {
    pub(crate) authority: Signer,
    directory: tempfile::TempDir,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let authority = Signer::new("authority");
        let this = Self { directory: tempfile::tempdir().unwrap(), authority };
        this.write("ca.pem", &this.authority.pem);
        this.install(&this.authority.server());
        this
    }

    /// Gives the broker another certificate.
    pub(crate) fn install(&self, signed: &Signed) {
        self.write("key.pem", &signed.key);
        self.write("cert.pem", &signed.certificate);
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        // Whole or not at all, as whoever replaces a certificate should.
        let (path, fresh) = (self.path(name), self.path("fresh"));
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, path).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Settings with these files.
    pub(crate) fn settings(&self, more: &str) -> String {
        let path = |name| self.path(name).display().to_string();
        format!(
            "tls_certificate = {:?}\ntls_key = {:?}\ntls_ca = {:?}\n{more}\n",
            path("cert.pem"),
            path("key.pem"),
            path("ca.pem")
        )
    }

    /// An address where TLS is spoken with the broker's certificate, and passed on without.
    pub(crate) fn serve_tls_before(&self, plain: SocketAddr) -> SocketAddr {
        let chain = CertificateDer::from_pem_slice(&fs::read(self.path("cert.pem")).unwrap());
        let key = PrivateKeyDer::from_pem_slice(&fs::read(self.path("key.pem")).unwrap()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain.unwrap()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        relay(move |remote| {
            let acceptor = acceptor.clone();
            async move {
                let mut local = acceptor.accept(remote).await?;
                let mut plain = TcpStream::connect(plain).await?;
                tokio::io::copy_bidirectional(&mut local, &mut plain).await
            }
        })
    }

    /// A client that trusts the authority.
    pub(crate) fn client(&self) -> Client {
        Client { trusts: self.authority.pem.clone(), shows: None, versions: vec![&TLS12, &TLS13] }
    }
}

/// How a client speaks TLS.
#[derive(Clone)]
pub(crate) struct Client {
    trusts: String,
    shows: Option<Signed>,
    versions: Vec<&'static SupportedProtocolVersion>,
}

impl Client {
    /// Shows a certificate.
    pub(crate) fn with(mut self, signed: Signed) -> Self {
        self.shows = Some(signed);
        self
    }

    pub(crate) fn speaking(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    fn connector(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.trusts.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(roots);
        TlsConnector::from(Arc::new(match &self.shows {
            None => config.with_no_client_auth(),
            Some(Signed { certificate, key }) => {
                let chain = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                config.with_client_auth_cert(vec![chain], key).unwrap()
            }
        }))
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(address).await?;
        let name = ServerName::from(address.ip());
        self.connector().connect(name, socket).await
    }

    /// Whether the broker shakes hands, and the certificate that it shows. With TLS 1.3 a client
    /// is through before the broker has seen its certificate: only what is read tells.
    pub(crate) fn shake_hands(&self, address: SocketAddr) -> io::Result<Vec<u8>> {
        runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let shaken = async {
                let mut stream = self.connect(address).await?;
                let (_, session) = stream.get_ref();
                let shown = session.peer_certificates().unwrap_or_default()[0].to_vec();
                // Whatever the broker sends at once is a refusal; the answer to a header is none.
                tokio::io::AsyncWriteExt::write_all(&mut stream, b"AMQP\0\0\x09\x01").await?;
                stream.read_u8().await?;
                Ok(shown)
            };
            tokio::time::timeout(DEADLINE, shaken).await?
        })
    }

    /// An address where whoever connects without TLS is passed on to the broker with it.
    pub(crate) fn tunnel(&self, broker: SocketAddr) -> SocketAddr {
        let client = self.clone();
        relay(move |mut local| {
            let client = client.clone();
            async move {
                let mut remote = client.connect(broker).await?;
                tokio::io::copy_bidirectional(&mut local, &mut remote).await
            }
        })
    }
}

/// Accepts on a free port, in a thread of its own, and hands each connection over.
fn relay<F>(pass: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = io::Result<(u64, u64)>> + Send + 'static,
{
    let (bound, address) = mpsc::channel();
    thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            bound.send(listener.local_addr().unwrap()).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream));
            }
        });
    });
    address.recv().expect("the relay is open")
}

/// The DER of the first certificate in a PEM text.
pub(crate) fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

/// Reads a file's PEM.
pub(crate) fn der_of(path: &Path) -> Vec<u8> {
    der(&fs::read_to_string(path).unwrap())
}
