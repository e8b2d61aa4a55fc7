//! What a Lambda environment tells its function.

use squall_aws::{Connection, Credentials};

/// Everything the generator reads of its environment; nobody else does, a plan least of all.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) region: String,
    /// One for each execution environment.
    pub(crate) log_stream: String,
    pub(crate) memory_mb: u32,
    pub(crate) bucket: String,
    pub(crate) queue_url: String,
    credentials: Credentials,
    endpoint: Option<String>,
}

impl Environment {
    /// Names the variable that is missing, if one is.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let needed = |name: &str| variable(name).ok_or_else(|| format!("`{name}` is not set"));
        Ok(Self {
            region: needed("AWS_REGION")?,
            log_stream: variable("AWS_LAMBDA_LOG_STREAM_NAME").unwrap_or_default(),
            memory_mb: variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
                .and_then(|mb| mb.parse().ok())
                .unwrap_or(0),
            bucket: needed("SQUALL_BUCKET")?,
            queue_url: needed("SQUALL_QUEUE_URL")?,
            credentials: Credentials {
                access_key: needed("AWS_ACCESS_KEY_ID")?,
                secret_key: needed("AWS_SECRET_ACCESS_KEY")?,
                session_token: variable("AWS_SESSION_TOKEN").filter(|token| !token.is_empty()),
            },
            endpoint: variable("AWS_ENDPOINT_URL").filter(|url| !url.is_empty()),
        })
    }

    pub(crate) fn connection(&self) -> Connection {
        Connection::new(self.region.clone(), self.credentials.clone(), self.endpoint.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(left_out: &str) -> Result<Environment, String> {
        let all =
            ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "SQUALL_BUCKET", "SQUALL_QUEUE_URL"];
        Environment::read(|name| (all.contains(&name) && name != left_out).then(|| format!("the {name}")))
    }

    #[test]
    fn a_variable_that_is_missing_is_named() {
        assert_eq!(read("nothing").unwrap().bucket, "the SQUALL_BUCKET");
        for name in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "SQUALL_BUCKET", "SQUALL_QUEUE_URL"] {
            assert_eq!(read(name).unwrap_err(), format!("`{name}` is not set"));
        }
    }

    #[test]
    fn no_secret_is_printed() {
        assert!(!format!("{:?}", read("nothing").unwrap()).contains("SECRET"));
    }
}
