//! `http.tls`: certificates and keys.

use rustls_pki_types::pem::{Error, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::keys;
use crate::model::{ClientCertificate, Pem, TlsSettings};
use crate::yaml::Node;

use super::Lowering;

/// Whether there is something of a kind in a PEM.
type Check = fn(&[u8]) -> Result<(), Error>;

impl Lowering<'_> {
    pub(super) fn tls(&mut self, node: &Node) -> Option<TlsSettings> {
        let fields = self.fields(node, &keys::TLS)?;
        let authorities =
            self.optional(&fields, "ca", |this, node| this.pem(node, "certificate", certificates));
        let chain =
            self.optional(&fields, "certificate", |this, node| this.pem(node, "certificate", certificates));
        let key = self.optional(&fields, "key", |this, node| this.pem(node, "private key", private_key));
        if let [(one, place)] = fields.present(&["certificate", "key"]).as_slice() {
            let other = if *one == "key" { "certificate" } else { "key" };
            let message = format!("`{one}` has no use without `{other}`");
            self.error(place.span.clone(), "missing-key", message, Some(format!("add `{other}`")));
        }
        let client = chain.zip(key).map(|(chain, key)| ClientCertificate { chain, key });
        Some(TlsSettings { authorities, client })
    }

    /// A file, or an expression for what is in it.
    fn pem(&mut self, node: &Node, what: &'static str, check: Check) -> Option<Pem> {
        if self.text(node)?.contains("{{") {
            return self.constant_template(node).map(Pem::Text);
        }
        let (file, bytes) = self.file(node)?;
        match check(&bytes) {
            Ok(()) => Some(Pem::File(bytes)),
            Err(error) => {
                let reason = match error {
                    Error::NoItemsFound => format!("has no {what} in PEM"),
                    _ => format!("is no {what} in PEM"),
                };
                let hint = if what == "private key" {
                    "it begins with `-----BEGIN PRIVATE KEY-----`, and has no pass phrase"
                } else {
                    "it begins with `-----BEGIN CERTIFICATE-----`"
                };
                self.error(node.span.clone(), "pem", format!("`{file}` {reason}"), Some(hint.to_owned()));
                None
            }
        }
    }
}

fn certificates(pem: &[u8]) -> Result<(), Error> {
    let mut certificates = CertificateDer::pem_slice_iter(pem);
    certificates.next().ok_or(Error::NoItemsFound)??;
    certificates.try_for_each(|certificate| certificate.map(drop))
}

fn private_key(pem: &[u8]) -> Result<(), Error> {
    PrivateKeyDer::from_pem_slice(pem).map(drop)
}
