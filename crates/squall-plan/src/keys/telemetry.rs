//! Keys of what the target's own instruments say.

use super::{HEADERS_EXAMPLE, Kind, Shape, key, required};

/// An item of `telemetry`
pub static TELEMETRY: Kind = Kind {
    name: "telemetry",
    doc: "Whom the command asks what the target's own instruments say: one of `prometheus`, `cloudwatch` and `file`.",
    keys: &[
        key(
            "prometheus",
            Shape::Template,
            "The address of a Prometheus, or of what answers as one does.",
            "http://127.0.0.1:9090",
        ),
        key(
            "queries",
            Shape::NamedOrText(&QUERY),
            "What Prometheus is asked, by the name that its answer has in the report: PromQL, or a mapping.",
            "{ pods: \"sum(kube_pod_status_ready)\" }",
        ),
        key(
            "presets",
            Shape::Words(&PRESETS),
            "Queries for what is usual: `hpa`, `pods`, `ingress_nginx`, `istio`, `keda`.",
            "[hpa, pods]",
        ),
        key(
            "namespace",
            Shape::Template,
            "The Kubernetes namespace that presets look at; all unless given.",
            "shop",
        ),
        key("headers", Shape::Headers, "Headers that Prometheus is asked with.", HEADERS_EXAMPLE),
        key(
            "step",
            Shape::Duration,
            "How far apart the values are that Prometheus is asked for; 1s unless given, and more for a test of hours.",
            "5s",
        ),
        key(
            "cloudwatch",
            Shape::Object(&CLOUDWATCH),
            "What of AWS the target is made of.",
            "{ lambda: checkout }",
        ),
        key(
            "file",
            Shape::Text,
            "A file that is there when the test ends: CSV whose first line is `time,name,value,unit`, or JSON lines with such \
             members.",
            "telemetry.csv",
        ),
    ],
};

/// A member of `queries`
pub static QUERY: Kind = Kind {
    name: "query",
    doc: "What Prometheus is asked.",
    keys: &[
        required("query", Shape::Template, "The PromQL.", "\"sum(rate(requests_total[15s]))\""),
        key("unit", Shape::Text, "What the values are; `s` and `ms` are drawn as times.", "ms"),
    ],
};

/// `cloudwatch`
pub static CLOUDWATCH: Kind = Kind {
    name: "cloudwatch",
    doc: "What of AWS the target is made of, one or more of these, in one region.",
    keys: &[
        key("lambda", Shape::Template, "A function, by its name.", "checkout"),
        key("api_gateway", Shape::Template, "A REST API by its name, or an HTTP API by its id.", "shop-api"),
        key(
            "alb",
            Shape::Template,
            "An Application Load Balancer: what its ARN ends with.",
            "app/shop/50dc6c495c0c9188",
        ),
        key(
            "target_group",
            Shape::Template,
            "A target group of it, whose hosts are looked at: what its ARN ends with.",
            "targetgroup/shop/73e2d6bc24d8a067",
        ),
        key("sqs", Shape::Template, "A queue, by its name.", "orders"),
        key("ecs", Shape::Template, "A service of ECS: its cluster and its name.", "shop/checkout"),
        key("region", Shape::Template, "Where that is; where the command is, unless given.", "eu-central-1"),
        key(
            "logs",
            Shape::Template,
            "The log group of the function, in which cold starts are found; `/aws/lambda/` and its name unless given.",
            "/aws/lambda/checkout",
        ),
    ],
};

/// `presets`
pub const PRESETS: [&str; 5] = ["hpa", "pods", "ingress_nginx", "istio", "keda"];
