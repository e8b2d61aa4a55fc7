//! `telemetry`: who is asked what the target's own instruments say.

use http::HeaderName;
use url::Url;

use crate::expression::Template;
use crate::keys;
use crate::model::{
    AwsResource, CloudWatchSource, PrometheusQuery, PrometheusSource, Telemetry, TelemetrySource,
};
use crate::yaml::{Node, Value};

use super::Lowering;
use super::fields::Fields;

/// More sources than this are surely a mistake.
const MAX_SOURCES: usize = 20;

/// Queries of one source.
const MAX_QUERIES: usize = 50;

/// The longest name of a query or of something on AWS, and the longest query.
const MAX_NAME: usize = 255;
const MAX_QUERY: usize = 10_000;

/// What belongs to a Prometheus alone.
const OF_PROMETHEUS: [&str; 5] = ["queries", "presets", "namespace", "headers", "step"];

/// What CloudWatch may be asked about.
const RESOURCES: [&str; 5] = ["lambda", "api_gateway", "alb", "sqs", "ecs"];

impl Lowering<'_> {
    /// Its expressions are a program of their own: generators do without, and so they do without its secrets.
    pub(super) fn telemetry(&mut self, fields: &Fields<'_>) -> Telemetry {
        let outer = std::mem::take(&mut self.program);
        let sources = self.optional(fields, "telemetry", |this, node| {
            let sources = this.list(node, Self::telemetry_source);
            if sources.len() > MAX_SOURCES {
                let message = format!("more than {MAX_SOURCES} sources");
                this.error(node.span.clone(), "too-many", message, None);
            }
            Some(sources)
        });
        let program = std::mem::replace(&mut self.program, outer);
        for secret in &mut self.secrets {
            let path = format!("secret.{}", secret.name);
            secret.is_of_telemetry = program.looks_up(&path) && !self.program.looks_up(&path);
        }
        let is_needed = |name: &String| program.looks_up(&format!("secret.{name}"));
        let secrets = self.secrets.iter().map(|secret| secret.name.clone()).filter(is_needed).collect();
        // Each expression was compiled when it was added.
        Telemetry { sources: sources.unwrap_or_default(), secrets, program: program.finish().ok() }
    }

    fn telemetry_source(&mut self, node: &Node) -> Option<TelemetrySource> {
        let fields = self.fields(node, &keys::TELEMETRY)?;
        let found = fields.present(&["prometheus", "cloudwatch", "file"]);
        let [(kind, _)] = found.as_slice() else {
            let message = "a source is one of `prometheus`, `cloudwatch` and `file`".to_owned();
            let span = found.get(1).map_or(node.span.clone(), |(_, key)| key.span.clone());
            let hint = "write each as an item of its own, such as `- prometheus: http://127.0.0.1:9090`";
            self.error(span, "conflict", message, Some(hint.to_owned()));
            return None;
        };
        if *kind != "prometheus" {
            for (name, key) in fields.present(&OF_PROMETHEUS) {
                let message = format!("`{name}` is for `prometheus`");
                self.error(key.span.clone(), "conflict", message, Some("leave it out".to_owned()));
            }
        }
        match *kind {
            "prometheus" => self.prometheus(node, &fields).map(TelemetrySource::Prometheus),
            "cloudwatch" => self.optional(&fields, kind, Self::cloudwatch).map(TelemetrySource::CloudWatch),
            _ => self.optional(&fields, kind, Self::telemetry_file).map(TelemetrySource::File),
        }
    }

    fn telemetry_file(&mut self, node: &Node) -> Option<String> {
        let file = self.text(node)?;
        if file.trim().is_empty() || file.contains("{{") {
            let message = "the name of a file is written out".to_owned();
            self.error(node.span.clone(), "missing-file", message, None);
            return None;
        }
        Some(file)
    }

    fn prometheus(&mut self, node: &Node, fields: &Fields<'_>) -> Option<PrometheusSource> {
        let url = self.optional(fields, "prometheus", Self::prometheus_url);
        let queries = self.optional(fields, "queries", |this, node| Some(this.queries(node)));
        let presets = self
            .optional(fields, "presets", |this, node| Some(this.list(node, Self::preset)))
            .unwrap_or_default();
        let namespace =
            self.optional(fields, "namespace", |this, node| this.aws_name(node, is_namespace, "shop"));
        let headers = self.optional(fields, "headers", |this, node| Some(this.telemetry_headers(node)));
        let step = self.optional(fields, "step", Self::positive_duration);
        if fields.present(&["queries", "presets"]).is_empty() {
            let message = "Prometheus is asked for nothing".to_owned();
            let hint = "add `presets: [hpa, pods]`, or `queries: { pods: \"sum(kube_pod_status_ready)\" }`";
            self.error(node.span.clone(), "missing-key", message, Some(hint.to_owned()));
        }
        if let Some(key) = fields.key("namespace").filter(|_| fields.get("presets").is_none()) {
            let message = "only presets look at a namespace".to_owned();
            self.warning(key.span.clone(), "no-effect", message, Some("say it in the query".to_owned()));
        }
        Some(PrometheusSource {
            url: url?,
            queries: queries.unwrap_or_default(),
            presets,
            namespace,
            step,
            headers: headers.unwrap_or_default(),
        })
    }

    fn prometheus_url(&mut self, node: &Node) -> Option<Url> {
        let text = self.constant_text(node)?;
        let url =
            Url::parse(&text).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        let Some(url) = url else {
            let hint = Some("write it as `http://host:9090`".to_owned());
            self.error(node.span.clone(), "bad-url", "not the URL of a Prometheus".to_owned(), hint);
            return None;
        };
        if !url.username().is_empty() || url.password().is_some() {
            let message = "the URL of a Prometheus has a user name".to_owned();
            let hint =
                "send it as a header: `Authorization: \"Basic {{ ('user:' ~ secret.password) | base64 }}\"`";
            self.error(node.span.clone(), "bad-url", message, Some(hint.to_owned()));
            return None;
        }
        if url.query().is_some() || url.fragment().is_some() {
            let message = "the URL of a Prometheus has a query or fragment".to_owned();
            self.error(node.span.clone(), "bad-url", message, Some("leave that out".to_owned()));
            return None;
        }
        url.host_str().into_iter().for_each(|host| self.check_address(node, host));
        Some(url)
    }

    fn preset(&mut self, node: &Node) -> Option<&'static str> {
        self.word(node, &keys::PRESETS)
    }

    fn queries(&mut self, node: &Node) -> Vec<PrometheusQuery> {
        let entries = self.entries(node);
        let is_mapping = matches!(node.value, Value::Mapping(_));
        if (entries.is_empty() && is_mapping) || entries.len() > MAX_QUERIES {
            let message = format!("between one and {MAX_QUERIES} queries are asked");
            self.error(node.span.clone(), "out-of-range", message, None);
        }
        let queries = entries.into_iter().filter_map(|(name, key, value)| {
            if name.trim().is_empty() || name.len() > MAX_NAME {
                let message = format!("a name has between one and {MAX_NAME} characters");
                self.error(key.span.clone(), "bad-name", message, None);
            }
            self.within(name, |this| this.query(name, value))
        });
        queries.collect()
    }

    fn query(&mut self, name: &str, node: &Node) -> Option<PrometheusQuery> {
        let (text, unit) = match &node.value {
            Value::Mapping(_) => {
                let fields = self.fields(node, &keys::QUERY)?;
                let text = self.optional(&fields, "query", Self::promql);
                (text, self.optional(&fields, "unit", Self::text))
            }
            _ => (self.promql(node), None),
        };
        Some(PrometheusQuery { name: name.to_owned(), query: text?, unit: unit.unwrap_or_default() })
    }

    fn promql(&mut self, node: &Node) -> Option<String> {
        let text = self.constant_text(node)?;
        if text.trim().is_empty() || text.len() > MAX_QUERY {
            let message = format!("a query has between one and {MAX_QUERY} characters");
            self.error(node.span.clone(), "bad-query", message, None);
            return None;
        }
        Some(text)
    }

    /// What a secret brings is checked when it is known.
    fn telemetry_headers(&mut self, node: &Node) -> Vec<(HeaderName, Template)> {
        let mut headers = Vec::new();
        for (name, key, value) in self.entries(node) {
            let template = self.within(name, |this| this.constant_template(value));
            match HeaderName::from_bytes(name.as_bytes()) {
                Ok(header) => headers.extend(template.map(|template| (header, template))),
                Err(_) => {
                    self.error(key.span.clone(), "bad-header", format!("`{name}` is no header name"), None);
                }
            }
        }
        headers
    }

    fn cloudwatch(&mut self, node: &Node) -> Option<CloudWatchSource> {
        let fields = self.fields(node, &keys::CLOUDWATCH)?;
        let present = fields.present(&RESOURCES);
        if present.is_empty() {
            let message = "CloudWatch is asked about nothing".to_owned();
            let hint = "name one or more of `lambda`, `api_gateway`, `alb`, `sqs` and `ecs`".to_owned();
            self.error(node.span.clone(), "missing-key", message, Some(hint));
        }
        for (name, of) in [("target_group", "alb"), ("logs", "lambda")] {
            if let (Some(key), None) = (fields.key(name), fields.get(of)) {
                let message = format!("`{name}` has no use without `{of}`");
                self.error(key.span.clone(), "missing-key", message, Some(format!("add `{of}`")));
            }
        }
        let region =
            self.optional(&fields, "region", |this, node| this.aws_name(node, is_word, "eu-central-1"));
        let log_group = self.optional(&fields, "logs", |this, node| {
            this.aws_name(node, is_log_group, "/aws/lambda/checkout")
        });
        let target_group = self.optional(&fields, "target_group", |this, node| {
            this.aws_name(node, |text| is_path(text, "targetgroup"), "targetgroup/shop/73e2d6bc24d8a067")
        });
        let resources = present.into_iter().filter_map(|(kind, _)| {
            let node = fields.get(kind)?;
            self.within(kind, |this| this.resource(kind, node, (&log_group, &target_group)))
        });
        let resources = resources.collect();
        Some(CloudWatchSource { region, resources })
    }

    fn resource(
        &mut self,
        kind: &str,
        node: &Node,
        (log_group, target_group): (&Option<String>, &Option<String>),
    ) -> Option<AwsResource> {
        Some(match kind {
            "lambda" => {
                let function = self.aws_name(node, is_word, "checkout")?;
                let log_group = log_group.clone().unwrap_or_else(|| format!("/aws/lambda/{function}"));
                AwsResource::Lambda { function, log_group }
            }
            "api_gateway" => AwsResource::ApiGateway(self.aws_name(node, |_| true, "shop-api")?),
            "alb" => AwsResource::Alb {
                load_balancer: self.aws_name(
                    node,
                    |text| is_path(text, "app"),
                    "app/shop/50dc6c495c0c9188",
                )?,
                target_group: target_group.clone(),
            },
            "sqs" => AwsResource::Sqs(self.aws_name(node, is_queue, "orders")?),
            _ => {
                let name = self.aws_name(node, is_service, "shop/checkout")?;
                let (cluster, service) = name.split_once('/')?;
                AwsResource::Ecs { cluster: cluster.to_owned(), service: service.to_owned() }
            }
        })
    }

    /// A name that others have given.
    fn aws_name(&mut self, node: &Node, is_one: impl Fn(&str) -> bool, example: &str) -> Option<String> {
        let text = self.constant_text(node)?;
        let is_short = !text.trim().is_empty() && text.len() <= MAX_NAME && !text.contains(char::is_control);
        if !is_short || !is_one(&text) {
            let hint = match text.strip_prefix("arn:") {
                Some(_) => format!("write the name alone, such as `{example}`"),
                None => format!("write it as `{example}`"),
            };
            self.error(node.span.clone(), "bad-name", format!("`{text}` is no such name"), Some(hint));
            return None;
        }
        Some(text)
    }
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn is_namespace(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_queue(text: &str) -> bool {
    is_word(text.strip_suffix(".fifo").unwrap_or(text))
}

fn is_log_group(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./#".contains(&byte))
}

fn is_service(text: &str) -> bool {
    text.split_once('/').is_some_and(|(cluster, service)| {
        [cluster, service].iter().all(|part| !part.is_empty() && is_word(part))
    })
}

fn is_path(text: &str, first: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    parts.len() == 3
        && parts.first() == Some(&first)
        && parts.iter().all(|part| !part.is_empty() && is_word(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bundle, Inputs, Plan, SecretValues, compile};

    fn plan(telemetry: &str) -> Plan {
        let text = format!(
            "target: http://127.0.0.1:1\nsecrets: {{ one: {{ ssm: /one }}, both: {{ ssm: /both }}, other: {{ ssm: /other }} }}\n\
             load: {{ users: 1, duration: 1s }}\n\
             scenarios: {{ a: {{ steps: [ {{ get: '/{{{{ secret.both }}}}' }} ] }} }}\ntelemetry: {telemetry}"
        );
        let inputs = Inputs { env: [("SPACE".to_owned(), "shop".to_owned())].into(), ..Inputs::default() };
        let compiled = compile(&Bundle::new("p.yaml", text, inputs));
        compiled.unwrap_or_else(|problems| panic!("{}", problems.render(false))).plan
    }

    #[test]
    fn generators_do_without_what_only_telemetry_needs() {
        let plan = plan(
            "[ { prometheus: 'http://127.0.0.1:9090', presets: [hpa], \
             headers: { Authorization: 'Bearer {{ secret.one }}', X-Space: '{{ env.SPACE }} {{ secret.both }}' } } ]",
        );
        let of_telemetry: Vec<(&str, bool)> =
            plan.secrets.iter().map(|secret| (secret.name.as_str(), secret.is_of_telemetry)).collect();
        assert_eq!(of_telemetry, [("one", true), ("both", false), ("other", false)]);
        assert_eq!(plan.telemetry.secrets, ["one", "both"]);
        assert_eq!(plan.env["SPACE"], "shop", "whoever attaches needs it, too");
        let [TelemetrySource::Prometheus(source)] = &plan.telemetry.sources[..] else { panic!("one source") };
        let secrets: SecretValues =
            [("one".to_owned(), "1".to_owned()), ("both".to_owned(), "2".to_owned())].into_iter().collect();
        let headers = plan.telemetry_headers(source, &secrets).unwrap();
        assert_eq!(headers[0].1, "Bearer 1");
        assert_eq!(headers[1].1, "shop 2");
        assert!(headers.iter().all(|(_, value)| value.is_sensitive()));
        let bad: SecretValues =
            [("one".to_owned(), "a\nb".to_owned()), ("both".to_owned(), String::new())].into_iter().collect();
        let problem = plan.telemetry_headers(source, &bad).unwrap_err();
        assert_eq!(problem, "header `authorization` has a character that no header may have");
    }

    #[test]
    fn a_file_of_telemetry_is_no_part_of_the_plan() {
        let text = "telemetry: [ { file: a.csv } ]\ndata: { b: { csv: b.csv } }";
        let bundle = Bundle::new("p.yaml", text, Inputs::default()).with_files(|_| Ok(Vec::new()));
        assert_eq!(bundle.files.keys().collect::<Vec<_>>(), ["b.csv"]);
        assert!(
            matches!(&plan("[ { file: a.csv } ]").telemetry.sources[..], [TelemetrySource::File(file)] if file == "a.csv")
        );
    }
}
