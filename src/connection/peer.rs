//! Who is at the other end of a connection.

use crate::{
    auth::Certificate,
    broker::client::{CertificateFacts, Ends, TlsFacts},
    clock::{self, Now},
};

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address, and the one that it connected to.
    pub ends: Ends,
    /// When it connected: from then on its time for the handshakes counts.
    pub connected: Now,
    /// What was agreed by TLS, if it was spoken.
    pub tls: Option<Box<TlsInfo>>,
}

/// What was agreed by TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// The version, in RabbitMQ's words: `tlsv1.2`, `tlsv1.3`.
    pub version: &'static str,
    /// The cipher suite, in IANA's words: `TLS13_AES_256_GCM_SHA384`.
    pub suite: &'static str,
    /// The peer's certificate. It was verified.
    pub certificate: Option<Certificate>,
}

impl Peer {
    /// One that has just connected, without TLS.
    pub fn new(ends: Ends) -> Self {
        Self { ends, connected: clock::now(), tls: None }
    }

    /// The peer's certificate, if it sent one.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.tls.as_ref()?.certificate.as_ref()
    }

    /// What operators are shown of TLS.
    pub(super) fn facts(&self) -> Option<TlsFacts> {
        let tls = self.tls.as_ref()?;
        let certificate = tls.certificate.as_ref().map(|certificate| CertificateFacts {
            subject: certificate.subject(),
            issuer: certificate.issuer(),
            validity: certificate.validity_text(),
        });
        Some(TlsFacts { version: tls.version, suite: tls.suite, certificate })
    }
}
