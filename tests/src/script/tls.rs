//! Certificates, good and bad ones, and what a server says that wants none of it.

use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// A record that ends a handshake: alert, version 1.2, two bytes: fatal, `handshake_failure`.
pub const HANDSHAKE_FAILURE: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

/// What a server shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// One for 127.0.0.1 and `localhost`.
    Good,
    /// One that was good once.
    Expired,
    /// One that will be good some day.
    NotYet,
    /// One for another name.
    Elsewhere,
    /// One from an authority that nobody knows.
    Unknown,
}

/// The authority that the tests trust, as PEM.
#[must_use]
pub fn authority_pem() -> String {
    authority().pem()
}

fn authority() -> &'static CertifiedIssuer<'static, KeyPair> {
    static AUTHORITY: OnceLock<CertifiedIssuer<'static, KeyPair>> = OnceLock::new();
    AUTHORITY.get_or_init(new_authority)
}

#[expect(clippy::expect_used, reason = "a test without certificates cannot go on")]
fn new_authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// A certificate for a client, and its key, as PEM.
///
/// # Panics
/// If there is no randomness for its key.
#[must_use]
#[expect(clippy::expect_used, reason = "a test without certificates cannot go on")]
pub fn client_pem() -> (String, String) {
    let params = CertificateParams::new(vec!["client.test".to_owned()]).expect("names");
    let key = KeyPair::generate().expect("a key");
    (params.signed_by(&key, authority()).expect("a certificate").pem(), key.serialize_pem())
}

/// The settings of a server with a good certificate that speaks to nobody who has none.
///
/// # Panics
/// If the authority is none.
#[must_use]
#[expect(clippy::expect_used, reason = "a test without certificates cannot go on")]
pub fn config_for_clients() -> Arc<ServerConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority().der().clone()).expect("an authority");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = verifier.build().expect("an authority");
    let (chain, key) = shown(Certificate::Good);
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .expect("a certificate with its key");
    Arc::new(config)
}

/// The settings of a server that shows a certificate and speaks these protocols.
///
/// # Panics
/// If there is no randomness for its key.
#[must_use]
#[expect(clippy::expect_used, reason = "a test without certificates cannot go on")]
pub fn config(certificate: Certificate, protocols: &[&str]) -> Arc<ServerConfig> {
    let (chain, key) = shown(certificate);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate with its key");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// A certificate and its key.
#[expect(clippy::expect_used, reason = "a test without certificates cannot go on")]
fn shown(certificate: Certificate) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let names = match certificate {
        Certificate::Elsewhere => vec!["elsewhere.test".to_owned()],
        _ => vec!["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string()],
    };
    let mut params = CertificateParams::new(names).expect("names");
    match certificate {
        Certificate::Expired => params.not_after = date_time_ymd(2020, 1, 1),
        Certificate::NotYet => params.not_before = date_time_ymd(4000, 1, 1),
        _ => {}
    }
    let key = KeyPair::generate().expect("a key");
    let issued = if certificate == Certificate::Unknown {
        params.signed_by(&key, &new_authority())
    } else {
        params.signed_by(&key, authority())
    };
    let chain = vec![issued.expect("a certificate").der().clone()];
    (chain, PrivateKeyDer::try_from(key.serialize_der()).expect("a key"))
}
