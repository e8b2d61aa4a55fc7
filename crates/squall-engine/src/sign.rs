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
        if self.service == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        settings
    }
}
