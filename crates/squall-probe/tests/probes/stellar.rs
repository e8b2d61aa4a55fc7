//! The table of `STeLLAR` (Ustiugov, Amariucai and Grot, IISWC 2021): what it published of three clouds, and what the probe
//! says of the profiles, in virtual time.

use serde_json::{Value, json};
use squall_probe::{ColdStart, ColdStartAnswer, Probe, Queueing, Spread, When};

use crate::simulated::Lab;

/// How often single requests are repeated, and bursts.
const SINGLES: u32 = 100;
const BURSTS: u32 = 20;

/// Requests to a cloud's function.
pub(crate) struct Row {
    pub cloud: &'static str,
    pub what: &'static str,
    profile: &'static str,
    /// What differs from the profile, in the form of `--set`.
    pub settings: &'static [(&'static str, f64)],
    size: u32,
    when: When,
    pub published: Published,
    /// The policy that is seen where the function takes a second.
    pub queueing: Option<Queueing>,
}

/// What was published, as far as it was.
#[derive(Default)]
pub(crate) struct Published {
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub tail_to_median: Option<f64>,
}

/// What the probe says of it.
pub(crate) struct Measured {
    pub took: Spread,
    pub queueing: Option<Queueing>,
}

const NOTHING: Published = Published { p50_ms: None, p99_ms: None, tail_to_median: None };
const A_SECOND: &[(&str, f64)] = &[("work_ms", 1_000.0)];

/// Instances of AWS that run answer bursts with a longer tail than single requests.
const WARM_BURST: &[(&str, f64)] = &[("warm_p99_ms", 112.0)];

/// Starts in a burst are quicker there, and differ more: 448 ms over 1.8, and a tail of 2.2.
const COLD_BURST: &[(&str, f64)] = &[("cold_ms", 249.0), ("cold_p99_ms", 548.0), ("crowd_ms", 0.0)];

/// Five rows for each of three clouds.
pub(crate) fn rows() -> Vec<Row> {
    let clouds = [
        ("AWS Lambda", "lambda", Queueing::None),
        ("Google Cloud Functions", "google-function", Queueing::Bounded),
        ("Azure Functions", "azure-function", Queueing::Unlimited),
    ];
    clouds
        .into_iter()
        .flat_map(|(cloud, profile, queueing)| {
            let row = |what, size, when| {
                let (settings, published) = published(profile, what);
                let queueing = (what == SECOND).then_some(queueing);
                Row { cloud, what, profile, settings, size, when, published, queueing }
            };
            [
                row(WARM, 1, When::Short),
                row(COLD, 1, When::Long),
                row(SHORT, 100, When::Short),
                row(LONG, 100, When::Long),
                row(SECOND, 100, When::Long),
            ]
        })
        .collect()
}

const WARM: &str = "single, warm";
const COLD: &str = "single, cold";
const SHORT: &str = "burst of 100, short inter-arrival";
const LONG: &str = "burst of 100, long inter-arrival";
const SECOND: &str = "burst of 100, long, works 1 s";

fn published(profile: &str, what: &str) -> (&'static [(&'static str, f64)], Published) {
    let both = |p50_ms: f64, p99_ms: f64| Published {
        p50_ms: Some(p50_ms),
        p99_ms: Some(p99_ms),
        tail_to_median: Some(p99_ms / p50_ms),
    };
    let tail = |p50_ms, tail| Published { p50_ms, tail_to_median: Some(tail), ..NOTHING };
    match (profile, what) {
        ("lambda", COLD) => (&[], tail(Some(448.0), 1.5)),
        ("lambda", SHORT) => (WARM_BURST, tail(None, 6.2)),
        ("lambda", LONG) => (COLD_BURST, tail(Some(448.0 / 1.8), 2.2)),
        ("lambda", SECOND) => (A_SECOND, both(1_598.0, 1_865.0)),
        ("google-function", SECOND) => (A_SECOND, both(2_978.0, 4_595.0)),
        ("azure-function", SECOND) => (A_SECOND, both(18_637.0, 38_545.0)),
        _ => (&[], NOTHING),
    }
}

/// Asks the profiles as the rows say; those with the same settings are asked once for each size.
pub(crate) fn measure(rows: &[Row], seed: u64) -> Vec<Measured> {
    let mut asked: Vec<(&str, u32, Value, ColdStartAnswer)> = Vec::new();
    rows.iter()
        .map(|row| {
            let settings: Value = row.settings.iter().map(|(name, value)| (*name, json!(value))).collect();
            let is_it =
                |one: &(&str, u32, Value, _)| (one.0, one.1, &one.2) == (row.profile, row.size, &settings);
            if !asked.iter().any(is_it) {
                let repeats = if row.size == 1 { SINGLES } else { BURSTS };
                let probe = ColdStart { sizes: vec![row.size], repeats, ..ColdStart::default() };
                let history = Lab::of(row.profile, seed, &settings).run(&probe).0;
                asked.push((row.profile, row.size, settings.clone(), probe.answer(&history)));
            }
            let answer = &asked.iter().find(|one| is_it(one)).unwrap().3;
            let point = answer.bursts.iter().find(|point| point.size == row.size && point.when == row.when);
            Measured { took: point.and_then(|point| point.took).unwrap(), queueing: answer.queueing }
        })
        .collect()
}
