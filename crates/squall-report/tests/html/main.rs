//! The report as a page.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod sample;

use std::collections::BTreeMap;

use sample::{empty, full};
use squall_report::{EndpointPoint, html};

const HOSTILE: &str = "<script>alert(1)</script>\"'&";

/// A page whose elements are all closed in the right order; the text between tags is left aside.
fn check(page: &str) {
    let raw = ["style", "script"];
    let mut open: Vec<String> = Vec::new();
    let mut rest = page.strip_prefix("<!doctype html>").unwrap();
    while let Some(at) = rest.find('<') {
        if let Some(element) = open.last().filter(|element| raw.contains(&element.as_str())) {
            rest = &rest[rest.find(&format!("</{element}")).unwrap()..];
        } else {
            rest = &rest[at..];
        }
        let end = rest.find('>').unwrap();
        let tag = &rest[1..end];
        let name: String =
            tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
        if tag.starts_with('/') {
            assert_eq!(open.pop().unwrap(), name);
        } else if !["meta", "input"].contains(&name.as_str()) {
            open.push(name);
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?} are open");
    assert!(!page.contains("NaN") && !page.contains("inf "), "numbers are numbers");
    let scripts = page.matches("<script").count();
    assert_eq!((scripts, page.matches("</script").count()), (2, 2), "there is no script but our own");
}

#[test]
fn sections_are_in_order() {
    let page = html(&full(3, 120));
    check(&page);
    let ids = [
        "verdict",
        "thresholds",
        "findings",
        "totals",
        "coverage",
        "charts",
        "chart-users",
        "chart-requests",
        "chart-percentiles",
        "chart-heat",
        "chart-phases",
        "chart-connections",
        "chart-dropped",
        "endpoints",
        "generators",
        "problems",
        "cost",
        "plan",
        "words",
    ];
    let place = |id: &&str| {
        let found = page.find(&format!("id=\"{id}\"")).or_else(|| page.find(&format!("data-chart=\"{id}\"")));
        found.unwrap_or_else(|| panic!("no {id}"))
    };
    assert!(ids.iter().map(place).is_sorted());
    for said in ["Failed", "✗ failed", "✓ held", "p99 is highest at 1m", "arrivals were dropped", "61,852"]
    {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn whatever_a_name_says_is_text() {
    let mut result = full(2, 30);
    let hostile = || HOSTILE.to_owned();
    result.run.name = hostile();
    result.run.id = hostile();
    result.run.seed = hostile();
    result.run.started_at = hostile();
    result.run.regions = vec![hostile()];
    result.run.plan_sha256 = hostile();
    result.squall_version = hostile();
    let item = &mut result.cost.items[0];
    (item.what, item.unit, result.cost.prices) = (hostile(), hostile(), hostile());
    result.verdict.reasons = vec![hostile()];
    result.thresholds[0].expression = hostile();
    result.thresholds[0].unit = hostile();
    result.coverage.load.unit = hostile();
    result.coverage.missing = vec![hostile()];
    result.cleanup.created = 2;
    result.cleanup.left = vec![hostile()];
    result.outcomes = BTreeMap::from([(hostile(), 1)]);
    result.problems = BTreeMap::from([(hostile(), 1)]);
    result.plan.text = hostile();
    result.plan.stages[0].name = hostile();
    for key in ["kind", "confidence", "summary", "advice"] {
        result.findings[0][key] = hostile().into();
    }
    result.findings[0]["evidence"] = serde_json::json!([{ HOSTILE: [HOSTILE] }]);
    result.endpoints[0].name = hostile();
    result.endpoints[0].scenario = hostile();
    result.endpoints[0].tags = BTreeMap::from([(hostile(), hostile())]);
    result.endpoints[0].outcomes = BTreeMap::from([(hostile(), 1)]);
    let slow = &mut result.endpoints[0].slowest[0];
    (slow.outcome, slow.connection, slow.protocol) = (hostile(), hostile(), hostile());
    (slow.remote, slow.trace_id) = (Some(hostile()), Some(hostile()));
    result.regions.iter_mut().for_each(|region| region.region = hostile());
    result.measures.iterations[0].scenario = hostile();
    result.measures.groups[0].name = Some(hostile());
    result.measures.metrics[0].name = hostile();
    let generator = &mut result.generators[0];
    (generator.nonce, generator.region, generator.source_ip) = (hostile(), hostile(), Some(hostile()));
    for point in &mut result.timeline.points {
        point.outcomes.insert(hostile(), 1);
        point.endpoints.insert(hostile(), EndpointPoint { p95_ms: Some(1.0), ..EndpointPoint::default() });
    }
    let page = html(&result);
    check(&page);
    assert!(!page.contains("<script>alert"));
    assert!(page.matches("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;").count() > 20);
}

#[test]
fn what_a_run_cost_can_be_done_again() {
    let page = html(&full(1, 10));
    for said in ["5,182 GB-s × $0.0000166667", "computed", "$0.086", "prices of us-east-1, November 2026"] {
        assert!(page.contains(said), "{said}");
    }
    // What cost nothing needs no table.
    assert!(!html(&empty()).contains("Quantity × price"));
}

#[test]
fn nothing_is_loaded() {
    let page = html(&full(3, 30));
    for outside in ["http://", "https://", "src=", "url(", "@import", "<link", "<iframe", "fetch("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.split("href=\"").skip(1).all(|after| after.starts_with('#')));
    assert!(page.contains("default-src &#39;none&#39;"));
}

#[test]
fn a_long_run_makes_no_large_page() {
    let page = html(&full(20, 900));
    check(&page);
    assert!(page.len() < 1_500_000, "{}", page.len());
    let page = html(&full(200, 3_600));
    check(&page);
    assert!(page.len() < 3_000_000, "{}", page.len());
}

#[test]
fn a_run_without_anything_has_a_page() {
    let page = html(&empty());
    check(&page);
    for said in ["Nothing was measured.", "There are no endpoints.", "The plan sets no thresholds."] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn one_sample_has_a_page() {
    let page = html(&full(1, 1));
    check(&page);
    assert!(page.contains("H1000\""), "the sample is as wide as its second");
}

#[test]
fn a_run_of_errors_only_has_a_page() {
    let page = html(&sample::only_errors());
    check(&page);
    assert!(page.contains("No response times"));
}

#[test]
fn times_far_apart_make_no_endless_page() {
    let mut result = full(1, 2);
    result.timeline.points[0].t_s = i64::MIN;
    result.timeline.points[1].t_s = i64::MAX;
    check(&html(&result));
}

#[test]
fn what_happened_beside_the_test_is_marked_in_every_chart() {
    let mut result = full(2, 30);
    let before = html(&result).matches("class=\"note\" d=\"M").count();
    result.annotations = vec![squall_report::Annotation { t_s: 12.0, text: "<b>deployed</b> v2".to_owned() }];
    let page = html(&result);
    check(&page);
    assert!(page.contains("&lt;b&gt;deployed&lt;/b&gt; v2"));
    assert!(before == 0 && page.matches("class=\"note\" d=\"M").count() >= 3);
}

#[test]
fn what_the_target_says_of_itself_is_on_the_axis_of_everything_else() {
    let mut result = full(2, 30);
    assert!(!html(&result).contains("chart-telemetry"));
    result.telemetry = sample::telemetry(30);
    let page = html(&result);
    check(&page);
    assert!(page.contains("&lt;i&gt;replicas&lt;/i&gt;, from prometheus: highest at 20s: 5"));
    assert!(page.contains("Duration, from cloudwatch: highest at 20s: 250ms"));
    assert_eq!(page.matches("data-chart=\"chart-telemetry-").count(), 2);
    result.telemetry = vec![result.telemetry[0].clone(); 30];
    let page = html(&result);
    assert_eq!(page.matches("data-chart=\"chart-telemetry-").count(), 24);
    assert!(page.contains("6 more series are in result.json."));
}

#[test]
fn a_day_has_a_page() {
    let page = html(&sample::day());
    check(&page);
    assert!(page.contains("23h") || page.contains("24h"));
    assert!(page.len() < 1_500_000, "{}", page.len());
}

#[test]
fn two_groups_of_response_times_are_named_and_drawn() {
    let page = html(&full(2, 300));
    assert!(page.contains("Response times fall into two groups, mostly around 8.3ms and 180ms"));
    assert!(page.matches("class=\"cell h").count() >= 4);
}

#[test]
fn many_generators_have_a_page() {
    let page = html(&sample::many_generators(500));
    check(&page);
    assert!(page.len() < 600_000, "{}", page.len());
}

#[test]
fn five_thousand_names_make_no_endless_page() {
    let page = html(&full(5_000, 60));
    check(&page);
    assert!(page.len() < 3_000_000, "{}", page.len());
    assert!(page.contains("4,000 more, with fewer errors or requests, are in result.json."));
    assert_eq!(page.matches("class=\"spectrum\"").count(), 50);
}

#[test]
fn the_slowest_requests_are_in_the_row_that_opens() {
    let mut result = full(2, 10);
    result.endpoints[1].slowest.clear();
    let page = html(&result);
    check(&page);
    assert_eq!(page.matches("<h4>The slowest requests</h4>").count(), 1);
    for said in [
        "waited 100ms, connect 40.0ms, TLS 80.0ms, send 1.00ms, first byte",
        "new, http/1.1",
        "192.0.2.7:443",
    ] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn what_was_found_is_said_and_marked_in_every_chart() {
    let mut result = full(2, 300);
    let page = html(&result);
    for said in ["rate limited (high)", "2m45s to 4m · POST /orders", "rate: 410, share: 0.97", "Advice: "] {
        assert!(page.contains(said), "{said}");
    }
    assert!(page.matches("<rect class=\"finding\"").count() >= 6);
    assert!(page.matches("<span class=\"stage\"").count() >= 12, "stages are named");
    // Whatever a later version finds is a text, and what is found nowhere has no section.
    result.findings = vec![serde_json::json!(7), serde_json::json!({ "from_s": "x", "evidence": null })];
    check(&html(&result));
    result.findings.clear();
    assert!(!html(&result).contains("id=\"findings\""));
}

#[test]
fn the_generator_that_was_late_is_named() {
    let mut result = full(2, 30);
    assert!(html(&result).contains("No generator was far behind the others"));
    let mut late = result.generators[0].clone();
    late.send_lag_ms.p99 = Some(90.0);
    "<i>late</i>".clone_into(&mut late.nonce);
    result.generators.push(late);
    let page = html(&result);
    check(&page);
    assert!(page.contains("&lt;i&gt;late&lt;/i&gt; was behind: its send lag p99 is 90.0ms"));
}
