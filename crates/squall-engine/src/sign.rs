//! Signatures of AWS, version 4, over a request as it is sent.

use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::header::{CONNECTION, PROXY_AUTHORIZATION};
use http::{HeaderName, HeaderValue, Request};

/// Who signs, and for what.
pub(crate) struct AwsKeys {
    pub(crate) service: String,
    pub(crate) region: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) session_token: Option<String>,
}

impl AwsKeys {
    /// Signs a request to `url`: method, path, query, headers and body.
    pub(crate) fn sign<B>(
        &self,
        request: &mut Request<B>,
        url: &str,
        body: &Bytes,
        unix_ms: i64,
    ) -> Result<(), Box<dyn Error>> {
        let session_token = self.session_token.clone().filter(|token| !token.is_empty());
        let keys = Credentials::new(&*self.access_key, &*self.secret_key, session_token, None, "plan").into();
        let since_1970 = Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0));
        let parameters = v4::SigningParams::builder()
            .identity(&keys)
            .region(&self.region)
            .name(&self.service)
            .time(SystemTime::UNIX_EPOCH + since_1970)
            .settings(self.settings())
            .build()?
            .into();
        // These two are for the next one on the way.
        let end_to_end = |name: &HeaderName| ![CONNECTION, PROXY_AUTHORIZATION].contains(name);
        let headers = request.headers().iter().filter(|(name, _)| end_to_end(name));
        let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable =
            SignableRequest::new(request.method().as_str(), url, headers, SignableBody::Bytes(body))?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        for header in instructions.into_parts().0 {
            let mut value = HeaderValue::from_str(header.value())?;
            value.set_sensitive(header.sensitive());
            request.headers_mut().insert(header.name(), value);
        }
        Ok(())
    }

    /// S3 wants paths as they are, and to be told the hash of the body.
    fn settings(&self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        if self.service.starts_with("s3") {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(service: &str, session_token: Option<&str>) -> AwsKeys {
        AwsKeys {
            service: service.to_owned(),
            region: "us-east-1".to_owned(),
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: session_token.map(str::to_owned),
        }
    }

    /// Signed on 2015-08-30 at 12:36:00.
    fn signed(
        keys: &AwsKeys,
        request: Request<()>,
        body: &'static [u8],
    ) -> Result<Request<()>, Box<dyn Error>> {
        let mut request = request;
        let url = "https://example.amazonaws.com/";
        keys.sign(&mut request, url, &Bytes::from_static(body), 1_440_938_160_000).map(|()| request)
    }

    fn says(request: &Request<()>, name: &str) -> String {
        request.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    #[test]
    fn a_host_that_is_in_the_url_only_is_signed_all_the_same() {
        let request = signed(&keys("service", None), Request::new(()), b"").unwrap();
        let signature = "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        assert!(says(&request, "authorization").ends_with(signature), "{request:?}");
    }

    #[test]
    fn a_token_of_the_session_is_sent_and_signed() {
        // `post-sts-header-before` of AWS's own suite.
        let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        let request = Request::post("/").body(()).unwrap();
        let request = signed(&keys("service", Some(token)), request, b"").unwrap();
        let signature = "Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead";
        assert!(says(&request, "authorization").ends_with(signature), "{request:?}");
        assert_eq!(says(&request, "x-amz-security-token"), token);
    }

    #[test]
    fn s3_is_told_the_hash_of_the_body_and_others_are_not() {
        // SHA-256 of `abc` (FIPS 180-4).
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let put = || Request::put("/").body(()).unwrap();
        let request = signed(&keys("s3", None), put(), b"abc").unwrap();
        assert_eq!(says(&request, "x-amz-content-sha256"), hash);
        let request = signed(&keys("execute-api", None), put(), b"abc").unwrap();
        assert_eq!(says(&request, "x-amz-content-sha256"), "");
    }

    #[test]
    fn keys_that_no_header_may_have_are_an_error() {
        let mut keys = keys("service", None);
        keys.access_key = "a\nb".to_owned();
        assert!(signed(&keys, Request::new(()), b"").is_err());
    }
}
