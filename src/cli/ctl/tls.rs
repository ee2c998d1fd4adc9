//! TLS to the management API of a broker on another machine.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

use super::{client::NoAnswer, target::Authorities};

/// Shakes hands with the broker, for which one of the authorities must vouch.
pub(super) async fn connect(
    socket: TcpStream,
    host: &str,
    authorities: &Authorities,
) -> Result<TlsStream<TcpStream>, NoAnswer> {
    let untrusted = |error: String| NoAnswer::Untrusted(error);
    let name = ServerName::try_from(host.to_owned()).map_err(|e| untrusted(e.to_string()))?;
    let roots = roots(authorities).map_err(untrusted)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| untrusted(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, socket).await.map_err(|error| untrusted(error.to_string()))
}

fn roots(authorities: &Authorities) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Authorities::System => {
            // Of what a system trusts some may be strange; it is left out.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Authorities::File(path) => {
            let unusable = |error: String| format!("cannot use {}: {error}", path.display());
            let found = CertificateDer::pem_file_iter(path);
            for certificate in found.map_err(|error| unusable(error.to_string()))? {
                let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
                roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(unusable("it holds no certificate in PEM".to_owned()));
            }
        }
    }
    Ok(roots)
}
