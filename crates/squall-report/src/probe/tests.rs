use super::*;

fn sample() -> ProbeResult {
    let round = ProbeRound {
        purpose: "40 requests a second".to_owned(),
        idle_s: 1.23,
        good: 200,
        limited: 3,
        p50_ms: Some(20.1),
        p99_ms: Some(31.0),
        tainted: true,
        ..ProbeRound::default()
    };
    let axis = |name: &str, unit, logarithmic| CurveAxis { name: name.to_owned(), unit, logarithmic };
    ProbeResult {
        schema_version: PROBE_SCHEMA_VERSION,
        squall_version: "0".to_owned(),
        probe: ProbeFacts {
            id: "p1".to_owned(),
            kind: "capacity".to_owned(),
            target: "http://127.0.0.1:1/<b>".to_owned(),
            started_at: "2026-11-26T12:00:00Z".to_owned(),
            took_s: 61.2,
            backend: "aws".to_owned(),
            generators: 4,
            addresses: 2,
        },
        ending: ProbeEnding { outcome: ProbeOutcome::Answered, reason: None, exit_code: 0 },
        headline: "It takes 40 requests a second.".to_owned(),
        findings: vec![ProbeFinding { name: "capacity".to_owned(), value: "40/s ± 1".to_owned() }],
        warnings: vec!["noise".to_owned()],
        answer: serde_json::json!({ "per_s": 40.0 }),
        curves: vec![Curve {
            title: "Latency rises at 40 a second".to_owned(),
            x: axis("rate", CurveUnit::PerSecond, true),
            y: axis("p99", CurveUnit::Ms, false),
            series: vec![CurveSeries {
                name: "p99".to_owned(),
                points: vec![[1.0, 10.0], [100.0, 50.0], [f64::NAN, 1.0]],
                joined: true,
            }],
            marks: vec![CurveMark { x: 10.0, text: "limit".to_owned() }],
        }],
        sent: ProbeSent {
            rounds: 1,
            requests: 203,
            outcomes: BTreeMap::from([("200".to_owned(), 200), ("429".to_owned(), 3)]),
            cost_usd: 0.25,
        },
        rounds: vec![round],
    }
}

#[test]
fn a_terminal_tells_the_answer_before_the_rounds() {
    let text = probe_terminal(&sample(), Style::default());
    let places = ["ANSWERED", "takes 40", "40/s", "doubtful: noise", "a second *", "203 requests"]
        .map(|word| text.find(word).unwrap_or_else(|| panic!("{word}: {text}")));
    assert!(places.is_sorted(), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 96), "{text}");
}

#[test]
fn columns_say_something_and_starts_are_beside_each_other() {
    let rounds = [
        ProbeRound { cold: Some(3.2), inits: Some(4), good: 5, ..ProbeRound::default() },
        ProbeRound { cold: Some(-0.0), inits: Some(0), ..ProbeRound::default() },
    ];
    let (head, rows) = round_table(&rounds);
    assert_eq!(head, ["Round", "Pause", "Good", "Cold", "Inits"]);
    assert_eq!(rows.iter().map(|row| row[2..].join(" ")).collect::<Vec<_>>(), ["5 3 4", "– 0 0"]);
    let (head, _) = round_table(&sample().rounds);
    assert_eq!(head, ["Round", "Pause", "Good", "Limited", "p50", "p99"]);
}

#[test]
fn the_form_of_an_answer_is_that_of_its_kind() {
    let schema = probe_schema(&[("a", answer_schema::<CurveMark>()), ("b", answer_schema::<CurveAxis>())]);
    assert_eq!(schema["$defs"]["ProbeFacts"]["properties"]["kind"]["enum"], json!(["a", "b"]));
    let forms = schema["allOf"].as_array().unwrap();
    assert_eq!(forms[0]["if"]["properties"]["probe"]["properties"]["kind"]["const"], "a");
    assert_eq!(forms[1]["then"]["properties"]["answer"]["$ref"], "#/$defs/CurveAxis");
    assert!(schema["$defs"]["CurveAxis"].is_object() && schema["$defs"]["CurveMark"].is_object());
}

#[test]
fn a_page_draws_what_is_in_the_file_and_nothing_of_it_is_markup() {
    let page = crate::probe_html(&sample());
    assert!(!page.contains("<b>") && page.contains("&lt;b&gt;"));
    // Of a logarithmic axis from 1 to 100, the mark is in the middle; of 0 to 50, 10 is a fifth from below.
    assert!(page.contains("M500 0V100") && page.contains("M0 80L1000 0\""), "{page}");
    assert!(!page.contains("NaN") && !page.contains("<script"));
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let mut sample = sample();
    sample.curves.clear();
    assert_eq!(serde_json::from_str::<ProbeResult>(&probe_to_json(&sample)).unwrap(), sample);
}
