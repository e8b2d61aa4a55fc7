//! What CloudWatch is asked about each kind of thing, and what the answers are called.

use serde_json::{Value, json};
use squall_fleet::AwsResource;

/// The period of what AWS itself measures.
pub(super) const PERIOD_S: u32 = 60;

const PER_MINUTE: &str = "per minute";

/// A metric with a statistic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metric {
    /// What it is called in the report.
    pub(super) name: String,
    pub(super) unit: &'static str,
    namespace: &'static str,
    /// As CloudWatch calls it.
    measured: &'static str,
    statistic: &'static str,
    dimensions: Vec<(&'static str, String)>,
}

impl Metric {
    /// As `GetMetricData` wants it.
    pub(super) fn query(&self, id: &str) -> Value {
        let dimensions: Vec<Value> =
            self.dimensions.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
        let metric =
            json!({ "Namespace": self.namespace, "MetricName": self.measured, "Dimensions": dimensions });
        json!({ "Id": id, "MetricStat": { "Metric": metric, "Period": PERIOD_S, "Stat": self.statistic } })
    }
}

/// Name, unit, metric and statistic.
type Row = (&'static str, &'static str, &'static str, &'static str);

const LAMBDA: [Row; 6] = [
    ("invocations", PER_MINUTE, "Invocations", "Sum"),
    ("errors", PER_MINUTE, "Errors", "Sum"),
    ("throttles", PER_MINUTE, "Throttles", "Sum"),
    ("duration p50", "ms", "Duration", "p50"),
    ("duration p99", "ms", "Duration", "p99"),
    ("concurrent executions", "", "ConcurrentExecutions", "Maximum"),
];

const API: [Row; 5] = [
    ("requests", PER_MINUTE, "Count", "Sum"),
    ("latency p50", "ms", "Latency", "p50"),
    ("latency p99", "ms", "Latency", "p99"),
    ("integration latency p50", "ms", "IntegrationLatency", "p50"),
    ("integration latency p99", "ms", "IntegrationLatency", "p99"),
];

/// REST and HTTP APIs count failures under names of their own.
const REST_FAILURES: [Row; 2] =
    [("4xx", PER_MINUTE, "4XXError", "Sum"), ("5xx", PER_MINUTE, "5XXError", "Sum")];
const HTTP_FAILURES: [Row; 2] = [("4xx", PER_MINUTE, "4xx", "Sum"), ("5xx", PER_MINUTE, "5xx", "Sum")];

const ALB: [Row; 6] = [
    ("requests", PER_MINUTE, "RequestCount", "Sum"),
    ("response time p50", "s", "TargetResponseTime", "p50"),
    ("response time p99", "s", "TargetResponseTime", "p99"),
    ("5xx of the target", PER_MINUTE, "HTTPCode_Target_5XX_Count", "Sum"),
    ("5xx of its own", PER_MINUTE, "HTTPCode_ELB_5XX_Count", "Sum"),
    ("rejected connections", PER_MINUTE, "RejectedConnectionCount", "Sum"),
];

const TARGET_GROUP: [Row; 2] = [
    ("healthy hosts", "hosts", "HealthyHostCount", "Minimum"),
    ("unhealthy hosts", "hosts", "UnHealthyHostCount", "Maximum"),
];

const SQS: [Row; 5] = [
    ("messages waiting", "messages", "ApproximateNumberOfMessagesVisible", "Maximum"),
    ("messages in flight", "messages", "ApproximateNumberOfMessagesNotVisible", "Maximum"),
    ("age of the oldest message", "s", "ApproximateAgeOfOldestMessage", "Maximum"),
    ("messages sent", PER_MINUTE, "NumberOfMessagesSent", "Sum"),
    ("messages deleted", PER_MINUTE, "NumberOfMessagesDeleted", "Sum"),
];

const ECS: [Row; 2] = [
    ("processor", "percent", "CPUUtilization", "Average"),
    ("memory", "percent", "MemoryUtilization", "Average"),
];

/// Only where Container Insights are on.
const ECS_INSIGHTS: [Row; 2] = [
    ("tasks running", "tasks", "RunningTaskCount", "Average"),
    ("tasks wanted", "tasks", "DesiredTaskCount", "Average"),
];

/// What is asked about something.
pub(super) fn metrics(resource: &AwsResource) -> Vec<Metric> {
    let mut all = Vec::new();
    let mut add = |rows: &[Row], own: &str, namespace, dimensions: &[(&'static str, &str)]| {
        let metric = |(name, unit, measured, statistic): &Row| Metric {
            name: format!("{own}: {name}"),
            unit,
            namespace,
            measured,
            statistic,
            dimensions: dimensions.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        };
        all.extend(rows.iter().map(metric));
    };
    match resource {
        AwsResource::Lambda { function, .. } => {
            add(&LAMBDA, function, "AWS/Lambda", &[("FunctionName", function)]);
        }
        // Which of both kinds it is shows in which of them have any data.
        AwsResource::ApiGateway(api) => {
            for (dimension, failures) in [("ApiName", REST_FAILURES), ("ApiId", HTTP_FAILURES)] {
                add(&API, api, "AWS/ApiGateway", &[(dimension, api)]);
                add(&failures, api, "AWS/ApiGateway", &[(dimension, api)]);
            }
        }
        AwsResource::Alb { load_balancer, target_group } => {
            let own = load_balancer.split('/').nth(1).unwrap_or(load_balancer);
            let balancer = ("LoadBalancer", load_balancer.as_str());
            add(&ALB, own, "AWS/ApplicationELB", &[balancer]);
            if let Some(group) = target_group {
                add(&TARGET_GROUP, own, "AWS/ApplicationELB", &[("TargetGroup", group), balancer]);
            }
        }
        AwsResource::Sqs(queue) => add(&SQS, queue, "AWS/SQS", &[("QueueName", queue)]),
        AwsResource::Ecs { cluster, service } => {
            let dimensions = [("ClusterName", cluster.as_str()), ("ServiceName", service.as_str())];
            add(&ECS, service, "AWS/ECS", &dimensions);
            add(&ECS_INSIGHTS, service, "ECS/ContainerInsights", &dimensions);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_asked_for_with_all_its_dimensions() {
        let alb = AwsResource::Alb {
            load_balancer: "app/shop/1".to_owned(),
            target_group: Some("targetgroup/shop/2".to_owned()),
        };
        let all = metrics(&alb);
        assert_eq!(all.len(), 8);
        let expected = json!({
            "Id": "m6",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/ApplicationELB",
                    "MetricName": "HealthyHostCount",
                    "Dimensions": [
                        { "Name": "TargetGroup", "Value": "targetgroup/shop/2" },
                        { "Name": "LoadBalancer", "Value": "app/shop/1" },
                    ],
                },
                "Period": 60,
                "Stat": "Minimum",
            },
        });
        assert_eq!(all[6].query("m6"), expected);
        assert_eq!(all[6].name, "shop: healthy hosts");
    }
}
