//! Secrets of SSM and Secrets Manager, asked for over their JSON interfaces: two more SDKs would make every cold start
//! longer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_async::time::{SystemTimeSource, TimeSource};
use reqwest::{Client, StatusCode};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use squall_fleet::{SecretSource, Secrets};
use tokio::time::Instant;

use crate::Connection;

/// A secret is asked for again when it has been known for so long.
const KEPT: Duration = Duration::from_mins(5);

/// How often a secret is asked for, how long one try takes at most, and the first pause.
const ATTEMPTS: u32 = 4;
const ATTEMPT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The secrets of an account, each kept as long as this lives, so that an environment asks once.
#[derive(Debug)]
pub struct AwsSecrets {
    connection: Connection,
    known: Mutex<HashMap<SecretSource, Known>>,
}

struct Known {
    value: String,
    since: Instant,
}

/// Says that it is there, and not what it is.
impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Known")
    }
}

/// A question and where the answer has the text.
struct Question<'a> {
    service: &'static str,
    action: &'static str,
    body: Value,
    pointer: &'static str,
    /// The member, where the text is an object of JSON.
    key: Option<&'a str>,
}

impl Secrets for AwsSecrets {
    async fn secret(&self, source: &SecretSource) -> Result<String, String> {
        if let Some(value) = self.known(source) {
            return Ok(value);
        }
        let question = Question::new(source)?;
        let answer = self.ask(&question).await?;
        let value = question.read(&answer)?;
        let known = Known { value: value.clone(), since: Instant::now() };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(source.clone(), known);
        Ok(value)
    }
}

impl AwsSecrets {
    /// Those that this connection reaches.
    #[must_use]
    pub fn new(connection: &Connection) -> Self {
        Self { connection: connection.clone(), known: Mutex::default() }
    }

    fn known(&self, source: &SecretSource) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(source).filter(|known| known.since.elapsed() < KEPT).map(|known| known.value.clone())
    }

    /// Asks until there is an answer, or a reason why there is none.
    async fn ask(&self, question: &Question<'_>) -> Result<Value, String> {
        let client = client()?;
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            match self.try_once(&client, question).await {
                Ok((StatusCode::OK, answer)) => return Ok(answer),
                Ok((status, answer)) if attempt == ATTEMPTS || !is_passing(status, &answer) => {
                    return Err(refusal(question, status, &answer));
                }
                Err(problem) if attempt == ATTEMPTS => return Err(problem),
                Ok(_) | Err(_) => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
        Err("nobody was asked".to_owned())
    }

    async fn try_once(
        &self,
        client: &Client,
        question: &Question<'_>,
    ) -> Result<(StatusCode, Value), String> {
        let config = &self.connection.config;
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        let url = match config.endpoint_url() {
            Some(endpoint) => format!("{}/", endpoint.trim_end_matches('/')),
            None => format!("https://{}.{region}.{}/", question.service, domain(&region)),
        };
        let credentials = config.credentials_provider().ok_or("there are no credentials")?;
        let identity = credentials.provide_credentials().await.map_err(in_words)?.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&region)
            .name(question.service)
            .time(SystemTimeSource::new().now())
            .settings(SigningSettings::default())
            .build()
            .map_err(in_words)?
            .into();
        let body = question.body.to_string();
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", question.action)];
        let signable =
            SignableRequest::new("POST", &url, headers.into_iter(), SignableBody::Bytes(body.as_bytes()));
        let (instructions, _) =
            sign(signable.map_err(in_words)?, &parameters).map_err(in_words)?.into_parts();
        let mut request = client.post(&url).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for header in instructions.into_parts().0 {
            request = request.header(header.name(), header.value());
        }
        let response = request.send().await.map_err(in_words)?;
        let status = response.status();
        let answer = response.bytes().await.map_err(in_words)?;
        Ok((status, serde_json::from_slice(&answer).unwrap_or_default()))
    }
}

impl<'a> Question<'a> {
    fn new(source: &'a SecretSource) -> Result<Self, String> {
        match source {
            SecretSource::Env(_) => Err("generators on AWS do not see the command's environment".to_owned()),
            SecretSource::Ssm(name) => Ok(Self {
                service: "ssm",
                action: "AmazonSSM.GetParameter",
                body: json!({ "Name": name, "WithDecryption": true }),
                pointer: "/Parameter/Value",
                key: None,
            }),
            SecretSource::SecretsManager { id, key } => Ok(Self {
                service: "secretsmanager",
                action: "secretsmanager.GetSecretValue",
                body: json!({ "SecretId": id }),
                pointer: "/SecretString",
                key: key.as_deref(),
            }),
        }
    }

    fn read(&self, answer: &Value) -> Result<String, String> {
        let text = answer.pointer(self.pointer).and_then(Value::as_str).ok_or("it is no text")?;
        let Some(key) = self.key else { return Ok(text.to_owned()) };
        let object: Value = serde_json::from_str(text).map_err(|_| "it is no JSON".to_owned())?;
        match object.get(key) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
            Some(_) => Err(format!("`{key}` in it is no text")),
            None => Err(format!("it has no `{key}`")),
        }
    }
}

/// Whether the same question may be answered a little later.
fn is_passing(status: StatusCode, answer: &Value) -> bool {
    status.is_server_error() || code(answer).contains("Throttling")
}

fn code(answer: &Value) -> &str {
    let code = answer.get("__type").and_then(Value::as_str).unwrap_or_default();
    code.rsplit('#').next().unwrap_or(code)
}

fn refusal(question: &Question<'_>, status: StatusCode, answer: &Value) -> String {
    let message = ["message", "Message"].iter().find_map(|key| answer.get(key)?.as_str());
    let action = question.action.rsplit('.').next().unwrap_or_default();
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
fn in_words(error: impl std::error::Error) -> String {
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
    use super::*;

    fn read(source: &SecretSource, answer: &Value) -> Result<String, String> {
        Question::new(source).unwrap().read(answer)
    }

    #[test]
    fn an_answer_has_the_text_or_the_member_that_is_asked_for() {
        let ssm = SecretSource::Ssm("/a".to_owned());
        assert_eq!(read(&ssm, &json!({ "Parameter": { "Value": "x" } })).unwrap(), "x");
        let of = |key: &str| SecretSource::SecretsManager { id: "a".to_owned(), key: Some(key.to_owned()) };
        let answer = json!({ "SecretString": "{\"user\":\"u\",\"port\":1,\"list\":[]}" });
        assert_eq!(read(&of("user"), &answer).unwrap(), "u");
        assert_eq!(read(&of("port"), &answer).unwrap(), "1");
        assert_eq!(read(&of("list"), &answer).unwrap_err(), "`list` in it is no text");
        assert_eq!(read(&of("none"), &answer).unwrap_err(), "it has no `none`");
        assert_eq!(read(&of("none"), &json!({})).unwrap_err(), "it is no text");
    }

    #[test]
    fn what_aws_says_is_passed_on() {
        let ssm = SecretSource::Ssm("/a".to_owned());
        let question = Question::new(&ssm).unwrap();
        let check = |answer: Value, expected: &str| {
            assert_eq!(refusal(&question, StatusCode::BAD_REQUEST, &answer), expected);
        };
        check(json!({ "__type": "x#ParameterNotFound" }), "GetParameter was answered with ParameterNotFound");
        check(json!({ "__type": "AccessDenied", "Message": "no" }), "no (AccessDenied)");
        check(Value::Null, "GetParameter was answered with status 400 Bad Request");
        assert!(is_passing(StatusCode::BAD_REQUEST, &json!({ "__type": "ThrottlingException" })));
        assert!(!is_passing(StatusCode::BAD_REQUEST, &json!({ "__type": "ParameterNotFound" })));
    }
}
