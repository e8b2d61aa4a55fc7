//! How AWS is reached: region, credentials, TLS, time-outs and retries, the same for every service.

use std::fmt;
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region, SharedHttpClient};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_types::SdkConfig;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A try that takes longer is given up, and tried again while there is time.
const ATTEMPT: Duration = Duration::from_secs(4);
const OPERATION: Duration = Duration::from_secs(8);
const CONNECT: Duration = Duration::from_secs(3);
const ATTEMPTS: u32 = 4;

/// How AWS is reached.
#[derive(Debug, Clone)]
pub struct Connection {
    pub(crate) config: SdkConfig,
}

/// Who asks.
#[derive(Clone)]
pub struct Credentials {
    /// `AWS_ACCESS_KEY_ID`
    pub access_key: String,
    /// `AWS_SECRET_ACCESS_KEY`
    pub secret_key: String,
    /// `AWS_SESSION_TOKEN`
    pub session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

impl Connection {
    /// With what a Lambda environment is given. Certificate authorities are compiled in, so that no store of
    /// the machine has to be read at a cold start.
    #[must_use]
    pub fn new(region: String, credentials: Credentials, endpoint: Option<String>) -> Self {
        let Credentials { access_key, secret_key, session_token } = credentials;
        let credentials = aws_credential_types::Credentials::new(
            access_key,
            secret_key,
            session_token,
            None,
            "environment",
        );
        let mut config = SdkConfig::builder()
            .behavior_version(behavior())
            .region(Region::new(region))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(http_client())
            .retry_config(retries())
            .timeout_config(timeouts())
            .sleep_impl(TokioSleep::new())
            .time_source(SystemTimeSource::new());
        config.set_endpoint_url(endpoint);
        Self { config: config.build() }
    }
}

pub(crate) fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// Adaptive: a client that is throttled slows down by itself.
pub(crate) fn retries() -> RetryConfig {
    RetryConfig::adaptive().with_max_attempts(ATTEMPTS)
}

pub(crate) fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build()
}

/// One client, and with it one TLS configuration, for all services.
fn http_client() -> SharedHttpClient {
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .fold(TrustStore::empty(), |store, root| store.with_pem_certificate(pem(root)));
    let builder = aws_smithy_http_client::Builder::new().tls_provider(Provider::rustls(CryptoMode::AwsLc));
    match TlsContext::builder().with_trust_store(roots).build() {
        Ok(context) => builder.tls_context(context).build_https(),
        // A context of well-formed certificates can always be built; without one the machine's are used.
        Err(_) => builder.build_https(),
    }
}

/// The form in which the client takes certificates.
fn pem(der: &[u8]) -> Vec<u8> {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der)).into_bytes()
}
