//! Gets documents over http and https.

use std::{path::Path, sync::Arc, time::Duration};

use ureq::{
    Agent,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem},
};

/// Time that a server has for its answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Gets a document of so many bytes at most. Blocks. `authorities` are those of https; without any,
/// the system's are taken.
///
/// # Errors
/// What went wrong, with the URL.
pub(crate) fn get_blocking(
    url: &str,
    authorities: Option<&Path>,
    bytes_max: u64,
) -> Result<Vec<u8>, String> {
    let failed = |error: ureq::Error| format!("cannot get {url}: {error}");
    let mut config = Agent::config_builder().timeout_global(Some(TIMEOUT)).max_redirects(3);
    if url.starts_with("https://") {
        // No redirect leads to where anybody on the way could change what is got.
        config = config.https_only(true);
        let provider = rustls::crypto::ring::default_provider();
        config = config.tls_config(
            TlsConfig::builder()
                .provider(TlsProvider::Rustls)
                .unversioned_rustls_crypto_provider(Arc::new(provider))
                .root_certs(roots(authorities)?)
                .build(),
        );
    }
    let agent: Agent = config.build().into();
    let mut answer = agent.get(url).call().map_err(failed)?;
    answer.body_mut().with_config().limit(bytes_max).read_to_vec().map_err(failed)
}

fn roots(authorities: Option<&Path>) -> Result<RootCerts, String> {
    let Some(path) = authorities else {
        let found = rustls_native_certs::load_native_certs().certs;
        let found = found.iter().map(|der| Certificate::from_der(der).to_owned());
        return Ok(found.collect::<Vec<_>>().into());
    };
    let name = path.display();
    let text = std::fs::read(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    let found: Vec<_> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(format!("cannot use {name} (`oauth2_ca`): it holds no certificate in PEM"));
    }
    Ok(found.into())
}
