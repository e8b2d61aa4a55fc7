//! TLS, set up once for a slice.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use squall_plan::{HttpSettings, HttpVersion, Roots};
use thiserror::Error;

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The machine has no certificate that could be read.
    #[error("no trusted certificate found on this machine")]
    NoPlatformRoots,
    /// The crypto provider and rustls do not agree.
    #[error("TLS configuration is not possible")]
    Configuration(#[from] rustls::Error),
}

/// The configuration of every connection of a slice.
///
/// Sessions are not resumed: a new connection is a new visitor, who pays for the whole handshake.
pub fn client_config(settings: &HttpSettings) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = match settings.roots {
        Roots::BuiltIn => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        Roots::Platform => platform_roots()?,
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (http1, http2) = (b"http/1.1".to_vec(), b"h2".to_vec());
    config.alpn_protocols = match settings.version {
        HttpVersion::Auto => vec![http2, http1],
        HttpVersion::Http1 => vec![http1],
        HttpVersion::Http2 => vec![http2],
    };
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn platform_roots() -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    // Certificates that cannot be parsed are left out, as browsers do; none at all is a mistake.
    let (added, _) = store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 { Err(TlsError::NoPlatformRoots) } else { Ok(store) }
}
