//! TLS, set up once for a slice.

use std::sync::Arc;

use bytes::Bytes;
use minijinja::Value;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use squall_plan::expression::{Constants, EvalError, Scope};
use squall_plan::random::iteration_stream;
use squall_plan::{HttpVersion, Pem, Plan, Roots, SecretValues};
use thiserror::Error;

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The machine has no certificate that could be read.
    #[error("no trusted certificate found on this machine")]
    NoPlatformRoots,
    /// A certificate or key that only the generator knows is none.
    #[error("{what} in `http.tls` cannot be read")]
    Pem {
        /// What it should be.
        what: &'static str,
        /// Why it is none.
        #[source]
        source: pem::Error,
    },
    /// It has no value.
    #[error("`http.tls` has no value")]
    Expression(#[from] EvalError),
    /// The crypto provider and rustls do not agree.
    #[error("TLS configuration is not possible")]
    Configuration(#[from] rustls::Error),
}

/// The configuration of every connection of a slice.
///
/// Sessions are not resumed: a new connection is a new visitor, who pays for the whole handshake.
pub fn client_config(plan: &Plan, secrets: &SecretValues) -> Result<Arc<ClientConfig>, TlsError> {
    let settings = &plan.http;
    let mut roots = match settings.roots {
        Roots::BuiltIn => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        Roots::Platform => platform_roots()?,
    };
    if let Some(authorities) = &settings.tls.authorities {
        for authority in certificates((plan, secrets), authorities)? {
            roots.add(authority)?;
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match &settings.tls.client {
        None => config.with_no_client_auth(),
        Some(client) => {
            let key = PrivateKeyDer::from_pem_slice(&bytes_of((plan, secrets), &client.key)?);
            let key = key.map_err(|source| TlsError::Pem { what: "private key", source })?;
            config.with_client_auth_cert(certificates((plan, secrets), &client.chain)?, key)?
        }
    };
    let (http1, http2) = (b"http/1.1".to_vec(), b"h2".to_vec());
    config.alpn_protocols = match settings.version {
        HttpVersion::Auto => vec![http2, http1],
        HttpVersion::Http1 => vec![http1],
        HttpVersion::Http2 => vec![http2],
    };
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// A plan and its secrets.
type Known<'a> = (&'a Plan, &'a SecretValues);

fn certificates(known: Known<'_>, pem: &Pem) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = bytes_of(known, pem)?;
    let certificates = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let certificates = certificates
        .and_then(|found| if found.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(found) });
    certificates.map_err(|source| TlsError::Pem { what: "certificate", source })
}

/// What is in a PEM, also where only the generator knows it.
fn bytes_of((plan, secrets): Known<'_>, pem: &Pem) -> Result<Bytes, TlsError> {
    match pem {
        Pem::File(bytes) => Ok(bytes.clone()),
        Pem::Text(template) => {
            let (variables, env) = (plan.variables.clone(), Value::from(plan.env.clone()));
            let constants = Constants { variables, env, secrets: secrets.value(), ..Constants::default() };
            let scope = Scope::new(Arc::new(constants), 0, iteration_stream(0, 0, 0, 0));
            let mut text = String::new();
            template.render(&plan.program, &scope, &mut text)?;
            Ok(Bytes::from(text))
        }
    }
}

fn platform_roots() -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    // Certificates that cannot be parsed are left out, as browsers do; none at all is a mistake.
    let (added, _) = store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 { Err(TlsError::NoPlatformRoots) } else { Ok(store) }
}

#[cfg(test)]
mod tests {
    use squall_plan::{Bundle, Inputs, compile};

    use super::*;

    #[test]
    fn what_only_the_generator_can_see_to_be_wrong_is_an_error_before_the_load() {
        let check = |tls: &str, expected: &str| {
            let text = format!(
                "target: https://127.0.0.1:1\nhttp: {{ tls: {{ {tls} }} }}\n\
                 load: {{ users: 1, duration: 1s }}\nscenarios: {{ a: {{ steps: [ {{ get: / }} ] }} }}"
            );
            let framed = |kind: &str| format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n");
            let read = |file: &str| Ok(framed(file).into_bytes());
            let bundle = Bundle::new("p.yaml", text.as_str(), Inputs::default()).with_files(read);
            let plan = compile(&bundle).unwrap_or_else(|problems| panic!("{}", problems.render(false))).plan;
            let error = client_config(&plan, &SecretValues::default()).unwrap_err();
            assert!(format!("{error:?}").contains(expected), "{tls}: {error:?}");
        };
        check("ca: CERTIFICATE", "InvalidCertificate");
        check("ca: '{{ env.CA | default(1) }}'", "NoItemsFound");
        check("certificate: CERTIFICATE, key: PRIVATE KEY", "Configuration");
        check("certificate: CERTIFICATE, key: '{{ env.KEY | default(1) }}'", "private key");
    }
}
