//! Services asked over their JSON interfaces: an SDK for each would make every cold start longer, and the command larger.

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_async::time::{SystemTimeSource, TimeSource};
use reqwest::{Client, StatusCode};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use crate::Connection;

/// How often a question is asked, how long one try takes at most, and the first pause.
const ATTEMPTS: u32 = 4;
const ATTEMPT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// What a service is asked.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The service, as it signs and as its hosts are called.
    pub(crate) service: &'static str,
    /// The action, with what stands before it.
    pub(crate) action: &'static str,
    /// `1.0` or `1.1`.
    pub(crate) version: &'static str,
    pub(crate) body: Value,
}

/// What it answers.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    /// When, as the service writes it.
    #[cfg_attr(not(feature = "operator"), expect(dead_code, reason = "only the operator compares clocks"))]
    pub(crate) date: Option<String>,
}

/// Asks until there is an answer, or a reason why there is none.
pub(crate) async fn ask(connection: &Connection, call: &Call) -> Result<Answer, String> {
    let client = client()?;
    let mut pause = FIRST_PAUSE;
    for attempt in 1.. {
        match ask_once(connection, &client, call).await {
            Ok(answer) if answer.status == StatusCode::OK => return Ok(answer),
            Ok(answer) if attempt == ATTEMPTS || !is_passing(answer.status, &answer.body) => {
                return Err(refusal(call.action, answer.status, &answer.body));
            }
            Err(problem) if attempt == ATTEMPTS => return Err(problem),
            Ok(_) | Err(_) => tokio::time::sleep(pause).await,
        }
        pause *= 2;
    }
    Err("nobody was asked".to_owned())
}

async fn ask_once(connection: &Connection, client: &Client, call: &Call) -> Result<Answer, String> {
    let config = &connection.config;
    let region = config.region().map(ToString::to_string).unwrap_or_default();
    let url = match config.endpoint_url() {
        Some(endpoint) => format!("{}/", endpoint.trim_end_matches('/')),
        None => format!("https://{}.{region}.{}/", call.service, domain(&region)),
    };
    let credentials = config.credentials_provider().ok_or("there are no credentials")?;
    let identity = credentials.provide_credentials().await.map_err(in_words)?.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(&region)
        .name(call.service)
        .time(SystemTimeSource::new().now())
        .settings(SigningSettings::default())
        .build()
        .map_err(in_words)?
        .into();
    let body = call.body.to_string();
    let content_type = format!("application/x-amz-json-{}", call.version);
    let headers = [("content-type", content_type.as_str()), ("x-amz-target", call.action)];
    let signable =
        SignableRequest::new("POST", &url, headers.into_iter(), SignableBody::Bytes(body.as_bytes()));
    let (instructions, _) = sign(signable.map_err(in_words)?, &parameters).map_err(in_words)?.into_parts();
    let mut request = client.post(&url).body(body);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    for header in instructions.into_parts().0 {
        request = request.header(header.name(), header.value());
    }
    let response = request.send().await.map_err(in_words)?;
    let status = response.status();
    let date = response.headers().get("date").and_then(|date| date.to_str().ok()).map(str::to_owned);
    let answer = response.bytes().await.map_err(in_words)?;
    Ok(Answer { status, body: serde_json::from_slice(&answer).unwrap_or_default(), date })
}

/// Whether the same question may be answered a little later.
fn is_passing(status: StatusCode, answer: &Value) -> bool {
    status.is_server_error() || code(answer).contains("Throttling")
}

fn code(answer: &Value) -> &str {
    let code = answer.get("__type").and_then(Value::as_str).unwrap_or_default();
    code.rsplit('#').next().unwrap_or(code)
}

fn refusal(action: &str, status: StatusCode, answer: &Value) -> String {
    let message = ["message", "Message"].iter().find_map(|key| answer.get(key)?.as_str());
    let action = action.rsplit('.').next().unwrap_or_default();
    match (code(answer), message) {
        ("", _) => format!("{action} was answered with status {status}"),
        (code, Some(message)) => format!("{message} ({code})"),
        (code, None) => format!("{action} was answered with {code}"),
    }
}

fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// It goes nowhere but to AWS, so it follows nothing and asks no proxy.
fn client() -> Result<Client, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(in_words)?.with_root_certificates(roots).with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(config)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(ATTEMPT)
        .build()
        .map_err(in_words)
}

/// An error with what it comes from.
pub(crate) fn in_words(error: impl std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_aws_says_is_passed_on() {
        let check = |answer: Value, expected: &str| {
            assert_eq!(refusal("AmazonSSM.GetParameter", StatusCode::BAD_REQUEST, &answer), expected);
        };
        check(json!({ "__type": "x#ParameterNotFound" }), "GetParameter was answered with ParameterNotFound");
        check(json!({ "__type": "AccessDenied", "Message": "no" }), "no (AccessDenied)");
        check(Value::Null, "GetParameter was answered with status 400 Bad Request");
        assert!(is_passing(StatusCode::BAD_REQUEST, &json!({ "__type": "ThrottlingException" })));
        assert!(!is_passing(StatusCode::BAD_REQUEST, &json!({ "__type": "ParameterNotFound" })));
    }
}
