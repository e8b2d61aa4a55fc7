//! What the target's own instruments say. Only the command reads it; generators never do.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use minijinja::Value;
use url::Url;

use crate::expression::{Constants, Program, Scope, Template};
use crate::random::iteration_stream;
use crate::secrets::SecretValues;

use super::Plan;

/// Who is asked.
#[derive(Debug, Default)]
pub struct Telemetry {
    /// In the order of the plan.
    pub sources: Vec<TelemetrySource>,
    /// The secrets that the sources need.
    pub secrets: Vec<String>,
    /// The expressions of headers.
    pub(crate) program: Option<Program>,
}

/// One who is asked.
#[derive(Debug)]
pub enum TelemetrySource {
    /// A Prometheus.
    Prometheus(PrometheusSource),
    /// CloudWatch, in one region.
    CloudWatch(CloudWatchSource),
    /// A file, by its path from the folder of the plan.
    File(String),
}

/// A Prometheus.
#[derive(Debug)]
pub struct PrometheusSource {
    /// Its address, without a path that its API would begin with.
    pub url: Url,
    /// What it is asked.
    pub queries: Vec<PrometheusQuery>,
    /// What it is asked besides: names of [`PRESETS`](crate::keys::PRESETS).
    pub presets: Vec<&'static str>,
    /// The namespace that presets look at.
    pub namespace: Option<String>,
    /// How far apart values are.
    pub step: Option<Duration>,
    /// What it is asked with; [`Plan::telemetry_headers`] says what they come to.
    pub headers: Vec<(HeaderName, Template)>,
}

/// What a Prometheus is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrometheusQuery {
    /// What the answer is called.
    pub name: String,
    /// The PromQL.
    pub query: String,
    /// What its values are; may be empty.
    pub unit: String,
}

/// What of AWS a target is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloudWatchSource {
    /// Where; where the command is, unless given.
    pub region: Option<String>,
    /// What, in the order of the plan.
    pub resources: Vec<AwsResource>,
}

/// Something that CloudWatch knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AwsResource {
    /// A function.
    Lambda {
        /// Its name.
        function: String,
        /// Its log group.
        log_group: String,
    },
    /// An API of API Gateway: a REST API's name, or an HTTP API's id.
    ApiGateway(String),
    /// An Application Load Balancer.
    Alb {
        /// `app/name/id`.
        load_balancer: String,
        /// `targetgroup/name/id`.
        target_group: Option<String>,
    },
    /// A queue.
    Sqs(String),
    /// A service of ECS.
    Ecs {
        /// Its cluster.
        cluster: String,
        /// Its name.
        service: String,
    },
}

impl Plan {
    /// What a Prometheus is asked with, now that secrets are known.
    pub fn telemetry_headers(
        &self,
        source: &PrometheusSource,
        secrets: &SecretValues,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let Some(program) = &self.telemetry.program else { return Ok(Vec::new()) };
        let constants = Constants {
            variables: self.variables.clone(),
            env: Value::from(self.env.clone()),
            secrets: secrets.value(),
            ..Constants::default()
        };
        let scope = Scope::new(Arc::new(constants), 0, iteration_stream(0, 0, 0, 0));
        let headers = source.headers.iter().map(|(name, template)| {
            let mut text = String::new();
            template
                .render(program, &scope, &mut text)
                .map_err(|error| format!("header `{name}`: {error}"))?;
            let mut value = HeaderValue::from_str(&text)
                .map_err(|_| format!("header `{name}` has a character that no header may have"))?;
            value.set_sensitive(true);
            Ok((name.clone(), value))
        });
        headers.collect()
    }
}
