//! What a Lambda environment tells its function.

use std::net::{Ipv4Addr, SocketAddr};

use squall_aws::{Connection, Credentials};
use squall_fleet::Ceilings;
use squall_seat::Guard;

/// Everything the generator reads of its environment; nobody else does, a plan least of all.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) region: String,
    /// One for each execution environment.
    pub(crate) log_stream: String,
    pub(crate) memory_mb: u32,
    pub(crate) bucket: String,
    pub(crate) queue_url: String,
    /// What this generator may do at most, whatever it is told.
    pub(crate) ceilings: Ceilings,
    /// Where Lambda talks to the function.
    runtime_api: Option<SocketAddr>,
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
            ceilings: ceilings(&variable)?,
            runtime_api: variable("AWS_LAMBDA_RUNTIME_API").as_deref().and_then(address),
            credentials: Credentials {
                access_key: needed("AWS_ACCESS_KEY_ID")?,
                secret_key: needed("AWS_SECRET_ACCESS_KEY")?,
                session_token: variable("AWS_SESSION_TOKEN").filter(|token| !token.is_empty()),
            },
            endpoint: variable("AWS_ENDPOINT_URL").filter(|url| !url.is_empty()),
        })
    }

    /// Where load may go at most.
    pub(crate) fn guard(&self) -> Guard {
        let closed = self.runtime_api.into_iter().collect();
        Guard { hosts: self.ceilings.hosts.clone(), closed, source: None }
    }

    pub(crate) fn connection(&self) -> Connection {
        Connection::new(self.region.clone(), self.credentials.clone(), self.endpoint.clone())
    }
}

/// A variable that is there and says nothing that can be understood is no licence.
fn ceilings(variable: impl Fn(&str) -> Option<String>) -> Result<Ceilings, String> {
    let names = ["SQUALL_ALLOWED_HOSTS", "SQUALL_MAX_RATE", "SQUALL_MAX_GENERATORS"];
    let [hosts, rate, generators] = names.map(|name| variable(name).unwrap_or_default());
    let ceilings = Ceilings::from_texts(&hosts, &rate, &generators);
    ceilings.map_err(|error| format!("one of `{}` is no ceiling: {error}", names.join("`, `")))
}

/// Host and port; whatever name the host has, it is this machine.
fn address(text: &str) -> Option<SocketAddr> {
    let text = text.split('/').next()?;
    text.parse().ok().or_else(|| {
        let (_, port) = text.rsplit_once(':')?;
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?)))
    })
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

    #[test]
    fn what_a_generator_may_do_is_what_it_was_deployed_with() {
        let with = |more: &[(&str, &str)]| {
            Environment::read(|name| {
                let own = more.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
                own.or_else(|| {
                    (!name.starts_with("SQUALL_MAX") && !name.contains("ALLOWED") && !name.ends_with("API"))
                        .then(|| "x".to_owned())
                })
            })
        };
        let free = with(&[]).unwrap();
        assert_eq!(free.ceilings, Ceilings::default());
        assert!(free.guard().closed.is_empty() && free.guard().hosts.is_none());
        let bound = with(&[
            ("SQUALL_ALLOWED_HOSTS", "shop.test"),
            ("SQUALL_MAX_RATE", "5"),
            ("SQUALL_MAX_GENERATORS", "0"),
            ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"),
        ])
        .unwrap();
        assert_eq!(bound.ceilings, Ceilings::from_texts("shop.test", "5", "").unwrap());
        assert!(!bound.guard().allows("evil.test"));
        assert_eq!(bound.guard().closed, ["127.0.0.1:9001".parse().unwrap()]);
        let named = with(&[("AWS_LAMBDA_RUNTIME_API", "localhost:9001")]).unwrap();
        assert_eq!(named.guard().closed, ["127.0.0.1:9001".parse().unwrap()]);
        let broken = with(&[("SQUALL_MAX_RATE", "many")]).unwrap_err();
        assert!(broken.contains("`SQUALL_MAX_RATE`") && broken.contains("`many`"), "{broken}");
    }
}
