//! Metrics as Prometheus reads them, in its text format.

use std::fmt::Write;

use crate::service::Metric;

/// What Prometheus knows the format by.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// The metrics in the order given; those of one name are together already.
pub(crate) fn text(metrics: &[Metric]) -> String {
    let mut text = String::new();
    let mut last = "";
    for metric in metrics {
        let (family, kind) = family(metric);
        if family != last {
            last = family;
            // Writing to a string does not fail.
            let _ = writeln!(text, "# HELP {family} {}\n# TYPE {family} {kind}", metric.help);
        }
        let labels: Vec<String> =
            metric.labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(text, "{}{labels} {}", metric.name, metric.value);
    }
    text
}

fn family(metric: &Metric) -> (&'static str, &'static str) {
    const DURATION: &str = "http_request_duration_seconds";
    match metric.is_counter {
        true if metric.name.starts_with(DURATION) => (DURATION, "histogram"),
        true => (metric.name, "counter"),
        false => (metric.name, "gauge"),
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_told_of_once_and_labels_are_quoted() {
        let requests = |code| Metric::counter("http_requests_total", "Requests.", 2.0).with("code", code);
        let bucket =
            Metric::counter("http_request_duration_seconds_bucket", "Times.", 3.0).with("le", "+Inf");
        let sum = Metric::counter("http_request_duration_seconds_sum", "Times.", 0.25);
        let pods = Metric::gauge("pods", "Pods.", 4.0);
        let expected = "# HELP http_requests_total Requests.\n# TYPE http_requests_total counter\n\
                        http_requests_total{code=\"200\"} 2\nhttp_requests_total{code=\"a\\\"b\"} 2\n\
                        # HELP http_request_duration_seconds Times.\n# TYPE http_request_duration_seconds histogram\n\
                        http_request_duration_seconds_bucket{le=\"+Inf\"} 3\nhttp_request_duration_seconds_sum 0.25\n\
                        # HELP pods Pods.\n# TYPE pods gauge\npods 4\n";
        assert_eq!(text(&[requests("200"), requests("a\"b"), bucket, sum, pods]), expected);
    }
}
