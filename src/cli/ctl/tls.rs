//! TLS to the management API of a broker on another machine, and what of it this program can do.

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

/// The versions that can be spoken, the newest first, in RabbitMQ's words.
pub(super) fn versions() -> Vec<String> {
    ["tlsv1.3", "tlsv1.2"].map(str::to_owned).to_vec()
}

/// The cipher suites, the best first, under OpenSSL's names.
pub(super) fn cipher_suites() -> Vec<String> {
    let suites = ring::default_provider().cipher_suites;
    suites.iter().map(|suite| openssl_name(&format!("{:?}", suite.suite()))).collect()
}

/// OpenSSL's name for a cipher suite.
fn openssl_name(name: &str) -> String {
    if let Some(tls13) = name.strip_prefix("TLS13_") {
        return format!("TLS_{tls13}");
    }
    let name = name.trim_start_matches("TLS_").replace("_WITH_", "_").replace("AES_", "AES");
    name.replace("POLY1305_SHA256", "POLY1305").replace('_', "-")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cipher_suites_have_the_names_that_openssl_knows() {
        for (name, expected) in [
            ("TLS13_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
            ("TLS13_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
            ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
            ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
            ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
        ] {
            assert_eq!(openssl_name(name), expected);
        }
        assert!(cipher_suites().contains(&"TLS_AES_128_GCM_SHA256".to_owned()));
    }
}
