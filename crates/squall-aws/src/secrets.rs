//! Secrets of SSM and Secrets Manager.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use squall_fleet::{SecretSource, Secrets};
use tokio::time::Instant;

use crate::Connection;
use crate::json::{Call, ask};

/// A secret is asked for again when it has been known for so long.
const KEPT: Duration = Duration::from_mins(5);

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
    call: Call,
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
        let answer = ask(&self.connection, &question.call).await?;
        let value = question.read(&answer.body)?;
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
}

impl<'a> Question<'a> {
    fn new(source: &'a SecretSource) -> Result<Self, String> {
        let call = |service, action, body| Call { service, action, version: "1.1", body };
        match source {
            SecretSource::Env(_) => Err("generators on AWS do not see the command's environment".to_owned()),
            SecretSource::Ssm(name) => Ok(Self {
                call: call("ssm", "AmazonSSM.GetParameter", json!({ "Name": name, "WithDecryption": true })),
                pointer: "/Parameter/Value",
                key: None,
            }),
            SecretSource::SecretsManager { id, key } => Ok(Self {
                call: call("secretsmanager", "secretsmanager.GetSecretValue", json!({ "SecretId": id })),
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
}
