//! What each profile promises, in virtual time.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the numbers are small and written here"
)]

use serde_json::{Value, json};

use crate::service::{Answer, Ask, Kind, Outcome, Profile, Service, Truth};

fn service(name: &str, settings: &Value) -> Box<dyn Service> {
    Profile::named(name).unwrap().service(7, settings).unwrap()
}

/// Asks at a constant rate for so long; every third is a write.
fn load(service: &mut dyn Service, from_s: f64, until_s: f64, per_s: f64) -> Vec<(u64, Answer)> {
    let count = ((until_s - from_s) * per_s).round() as u64;
    (0..count)
        .map(|n| {
            let at_us = ((from_s + n as f64 / per_s) * 1e6).round() as u64;
            (at_us, service.ask(at_us, &Ask::of((n % 3) as usize, n % 50)))
        })
        .collect()
}

fn kinds(truth: &Truth) -> Vec<Kind> {
    truth.findings.iter().map(|finding| finding.kind).collect()
}

fn number(truth: &Truth, name: &str) -> f64 {
    truth.numbers[name].as_f64().unwrap()
}

fn ok(answers: &[(u64, Answer)]) -> usize {
    answers.iter().filter(|(_, answer)| answer.outcome == Outcome::Status(200)).count()
}

fn took_ms(answers: &[(u64, Answer)]) -> Vec<f64> {
    let mut took: Vec<f64> =
        answers.iter().map(|(at_us, answer)| (answer.done_at_us - at_us) as f64 / 1e3).collect();
    took.sort_by(f64::total_cmp);
    took
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * q).round() as usize]
}

#[test]
fn a_bucket_lets_exactly_its_burst_and_its_refill_through() {
    let settings = json!({ "burst": 50, "refill_per_s": 20.0 });
    let mut gateway = service("gateway", &settings);
    let answers = load(gateway.as_mut(), 0.0, 30.0, 100.0);
    // The last request comes at 29.99 s.
    assert_eq!(ok(&answers), 50 + (29.99 * 20.0) as usize);
    let limited = answers.iter().find(|(_, answer)| answer.outcome == Outcome::Status(429)).unwrap();
    assert!(limited.1.retry_after_s.unwrap() <= 0.05, "{limited:?}");
    assert_eq!(kinds(&gateway.truth()), [Kind::RateLimited]);
}

#[test]
fn a_bucket_of_each_key_limits_that_key_alone() {
    let mut gateway = service("gateway", &json!({ "burst": 5, "refill_per_s": 0.0, "per": "key" }));
    let mut ask = |key| gateway.ask(0, &Ask { key, ..Ask::of(0, 0) }).outcome;
    assert!((0..5).all(|_| ask(1) == Outcome::Status(200)));
    assert_eq!((ask(1), ask(2)), (Outcome::Status(429), Outcome::Status(200)));
    assert_eq!(
        (number(&gateway.truth(), "buckets"), number(&gateway.truth(), "buckets_limited")),
        (2.0, 1.0)
    );
}

#[test]
fn a_function_starts_an_instance_for_each_request_that_finds_none() {
    let settings = json!({ "work_ms": 100.0, "keep_alive_s": 30.0, "concurrency": 25 });
    let mut function = service("lambda", &settings);
    for n in 0..30 {
        function.ask(0, &Ask::of(0, n));
    }
    // Warm now; after the keep-alive it is cold again.
    function.ask(20_000_000, &Ask::of(0, 0));
    function.ask(90_000_000, &Ask::of(0, 0));
    let truth = function.truth();
    assert_eq!((number(&truth, "cold_starts"), number(&truth, "throttled")), (26.0, 5.0));
    assert_eq!(truth.numbers["cold_start_s"].as_array().unwrap().last().unwrap(), 90.0);
    assert_eq!(kinds(&truth), [Kind::ConcurrencyThrottled, Kind::ColdStarts]);
}
