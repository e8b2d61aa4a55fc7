//! What Prometheus is asked where a plan names what is usual.

/// What a Prometheus is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// What the answer is called.
    pub name: String,
    /// The PromQL.
    pub text: String,
    /// What its values are; may be empty.
    pub unit: String,
}

impl Query {
    /// One query.
    pub fn new(name: impl Into<String>, text: impl Into<String>, unit: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), unit: unit.into() }
    }
}

/// What stands for the namespace, with its comparison.
const NAMESPACE: &str = "$namespace";

/// Name, unit and PromQL. Rates are over a minute, so that they come to something where values are 15 or 30 s apart.
type Row = (&'static str, &'static str, &'static str);

/// Of kube-state-metrics.
const HPA: [Row; 4] = [
    (
        "replicas",
        "replicas",
        "sum by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_status_current_replicas{namespace$namespace})",
    ),
    (
        "replicas wanted",
        "replicas",
        "sum by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_status_desired_replicas{namespace$namespace})",
    ),
    (
        "replicas at least",
        "replicas",
        "sum by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_spec_min_replicas{namespace$namespace})",
    ),
    (
        "replicas at most",
        "replicas",
        "sum by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_spec_max_replicas{namespace$namespace})",
    ),
];

/// Of kube-state-metrics and cAdvisor.
const PODS: [Row; 6] = [
    ("pods ready", "pods", "sum(kube_pod_status_ready{condition=\"true\",namespace$namespace})"),
    ("pods pending", "pods", "sum(kube_pod_status_phase{phase=\"Pending\",namespace$namespace})"),
    ("restarts", "restarts", "sum(kube_pod_container_status_restarts_total{namespace$namespace})"),
    (
        "cpu",
        "processors",
        "sum(rate(container_cpu_usage_seconds_total{container!=\"\",namespace$namespace}[1m]))",
    ),
    (
        "cpu throttled",
        "ratio",
        "sum(rate(container_cpu_cfs_throttled_periods_total{container!=\"\",namespace$namespace}[1m])) / \
         sum(rate(container_cpu_cfs_periods_total{container!=\"\",namespace$namespace}[1m]))",
    ),
    ("memory", "bytes", "sum(container_memory_working_set_bytes{container!=\"\",namespace$namespace})"),
];

/// Of the controller's own metrics, in which `exported_namespace` is the ingress's.
const INGRESS_NGINX: [Row; 5] = [
    (
        "ingress requests",
        "per second",
        "sum by (status) (rate(nginx_ingress_controller_requests{exported_namespace$namespace}[1m]))",
    ),
    (
        "ingress p50",
        "s",
        "histogram_quantile(0.5, sum by (le) \
         (rate(nginx_ingress_controller_request_duration_seconds_bucket{exported_namespace$namespace}[1m])))",
    ),
    (
        "ingress p99",
        "s",
        "histogram_quantile(0.99, sum by (le) \
         (rate(nginx_ingress_controller_request_duration_seconds_bucket{exported_namespace$namespace}[1m])))",
    ),
    (
        "upstream p99",
        "s",
        "histogram_quantile(0.99, sum by (le) \
         (rate(nginx_ingress_controller_response_duration_seconds_bucket{exported_namespace$namespace}[1m])))",
    ),
    (
        "ingress connections",
        "connections",
        "sum(nginx_ingress_controller_nginx_process_connections{state=\"active\"})",
    ),
];

/// Of the sidecars of those who are asked.
const ISTIO: [Row; 4] = [
    (
        "mesh requests",
        "per second",
        "sum by (response_code) \
         (rate(istio_requests_total{reporter=\"destination\",destination_service_namespace$namespace}[1m]))",
    ),
    (
        "mesh p50",
        "ms",
        "histogram_quantile(0.5, sum by (le) \
         (rate(istio_request_duration_milliseconds_bucket{reporter=\"destination\",destination_service_namespace$namespace}[1m])))",
    ),
    (
        "mesh p99",
        "ms",
        "histogram_quantile(0.99, sum by (le) \
         (rate(istio_request_duration_milliseconds_bucket{reporter=\"destination\",destination_service_namespace$namespace}[1m])))",
    ),
    (
        "mesh refused",
        "per second",
        "sum by (response_flags) \
         (rate(istio_requests_total{reporter=\"destination\",response_flags=~\"UO|UF|URX|NR|RL\",destination_service_namespace$namespace}[1m]))",
    ),
];

/// Of KEDA's operator. Replicas are those of the `hpa` that it makes.
const KEDA: [Row; 3] = [
    (
        "keda value",
        "",
        "max by (scaledObject, metric) (keda_scaler_metrics_value{exported_namespace$namespace})",
    ),
    ("keda active", "", "max by (scaledObject) (keda_scaler_active{exported_namespace$namespace})"),
    ("keda errors", "errors", "sum(keda_scaled_object_errors_total{exported_namespace$namespace})"),
];

/// The queries of a preset; `None` if there is no such.
#[must_use]
pub fn preset(name: &str, namespace: Option<&str>) -> Option<Vec<Query>> {
    let rows: &[Row] = match name {
        "hpa" => &HPA,
        "pods" => &PODS,
        "ingress_nginx" => &INGRESS_NGINX,
        "istio" => &ISTIO,
        "keda" => &KEDA,
        _ => return None,
    };
    let compared = match namespace {
        Some(namespace) => format!("={namespace:?}"),
        // That is true also where there is no such label.
        None => "=~\".*\"".to_owned(),
    };
    let query = |(name, unit, text): &Row| Query::new(*name, text.replace(NAMESPACE, &compared), *unit);
    Some(rows.iter().map(query).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_looks_at_one_namespace_or_at_all() {
        let first = |namespace| preset("pods", namespace).unwrap().remove(0).text;
        assert_eq!(first(Some("shop")), "sum(kube_pod_status_ready{condition=\"true\",namespace=\"shop\"})");
        assert_eq!(first(None), "sum(kube_pod_status_ready{condition=\"true\",namespace=~\".*\"})");
        assert!(preset("pod", None).is_none());
    }

    #[test]
    fn no_two_queries_have_the_same_name() {
        let all = ["hpa", "pods", "ingress_nginx", "istio", "keda"];
        let mut names: Vec<String> =
            all.iter().flat_map(|name| preset(name, None).unwrap()).map(|query| query.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
