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
fn a_window_lets_as_many_through_whenever_it_begins() {
    let mut gateway = service("gateway", &json!({ "burst": 30, "window_s": 10 }));
    let answers = load(gateway.as_mut(), 0.0, 25.0, 10.0);
    assert_eq!(ok(&answers), 90);
    let limited = answers.iter().find(|(_, answer)| answer.outcome == Outcome::Status(429)).unwrap();
    assert!((limited.1.retry_after_s.unwrap() - 7.0).abs() < 0.01, "{limited:?}");
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
    let until_s: Vec<f64> = truth.numbers["cold_until_s"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(serde_json::Value::as_f64)
        .collect();
    assert!(until_s.len() == 26 && (90.3..91.5).contains(until_s.last().unwrap()), "{until_s:?}");
    // One request found an instance that ran: of one nothing differs.
    assert!(number(&truth, "warm_deviation_ms").abs() < 1e-9);
    assert_eq!(kinds(&truth), [Kind::ConcurrencyThrottled, Kind::ColdStarts]);
}

/// Single cold answers, each so long after the last that its instance is gone, and as many warm ones: 3,000 of each.
#[test]
fn cold_and_warm_answers_are_distributed_as_their_parameters_say() {
    const SEEDS: u64 = 20;
    // Medians and 99th percentiles of warm and cold answers, in milliseconds.
    let check = |name, warm: [f64; 2], cold: [f64; 2]| {
        let mut near = 0;
        for seed in 0..SEEDS {
            let mut function = Profile::named(name).unwrap().service(seed, &json!({ "at_once": 1 })).unwrap();
            let (mut at_us, mut is_near) = (0, true);
            for (pause_us, [median_ms, p99_ms]) in [(700_000_000, cold), (10_000_000, warm)] {
                let mut ask = |n| {
                    at_us += pause_us;
                    (at_us, function.ask(at_us, &Ask::of(0, n)))
                };
                let took = took_ms(&(0..3_000).map(&mut ask).collect::<Vec<_>>());
                let (median, p99) = (quantile(&took, 0.5), quantile(&took, 0.99));
                assert!((median / median_ms - 1.0).abs() <= 0.05, "{name}, seed {seed}: {median} ms");
                is_near &= (p99 / p99_ms - 1.0).abs() <= 0.1;
            }
            assert!((number(&function.truth(), "cold_starts") - 3_000.0).abs() < 1e-9);
            near += u64::from(is_near);
        }
        // So few samples of a wide distribution say its 99th percentile to 4 %: one in fifty is further off than 10 %.
        assert!(near >= SEEDS - 2, "{name}: {near} of {SEEDS}");
    };
    check("lambda", [18.0, 74.0], [448.0, 676.0]);
    check("google-function", [17.0, 42.0], [870.0, 1_567.0]);
    check("azure-function", [25.0, 80.0], [1_401.0, 3_643.0]);
}

/// Medians and 99th percentiles of 30 bursts of 100 to a function of one second, as they are published.
#[test]
fn bursts_to_a_slow_function_take_as_long_as_is_published_and_tell_the_three_policies_apart() {
    let check = |name, published: [f64; 2], [started, queued]: [u64; 2], is_its: fn(&[f64]) -> bool| {
        for seed in 0..5 {
            let settings = json!({ "work_ms": 1_000.0 });
            let mut function = Profile::named(name).unwrap().service(seed, &settings).unwrap();
            let mut all = Vec::new();
            for burst in 0..30 {
                let at_us = burst * 700_000_000;
                let answers: Vec<_> =
                    (0..100).map(|n| (at_us, function.ask(at_us, &Ask::of(0, n)))).collect();
                assert!(is_its(&took_ms(&answers)), "{name}, seed {seed}, burst {burst}");
                all.extend(answers);
            }
            let took = took_ms(&all);
            let [median, p99] = [0.5, 0.99].map(|q| quantile(&took, q));
            println!("{name}, seed {seed}: median {median:.0} ms, p99 {p99:.0} ms, published {published:?}");
            assert!((median / published[0] - 1.0).abs() <= 0.05, "{name}, seed {seed}: median {median}");
            assert!((p99 / published[1] - 1.0).abs() <= 0.1, "{name}, seed {seed}: p99 {p99}");
            let truth = function.truth();
            let told = ["cold_starts", "queued"].map(|of| (number(&truth, of) / 30.0).round() as u64);
            assert_eq!(told, [started, queued], "{name}, seed {seed}");
        }
    };
    // None waits: nobody takes as long as two would.
    check("lambda", [1_598.0, 1_865.0], [100, 0], |took| quantile(took, 0.9) < 2_000.0);
    // Few wait at an instance: most wait for one or two, and none for ten.
    let few = |took: &[f64]| quantile(took, 0.5) > 2_000.0 && quantile(took, 1.0) < 10_000.0;
    check("google-function", [2_978.0, 4_595.0], [34, 66], few);
    // Many wait at few instances: half of them longer than ten would take.
    check("azure-function", [18_637.0, 38_545.0], [3, 97], |took| quantile(took, 0.5) > 10_000.0);
}

#[test]
fn the_autoscaler_acts_at_the_first_look_that_sees_the_load_and_pods_come_after_their_start() {
    let settings =
        json!({ "interval_s": 15.0, "lag_s": 20.0, "window_s": 10.0, "startup_s": 7.0, "readiness_s": 3.0 });
    let mut pods = service("pods", &settings);
    // Two pods serve 320 a second.
    load(pods.as_mut(), 0.0, 40.0, 100.0);
    assert!(pods.truth().is_healthy());
    load(pods.as_mut(), 40.0, 160.0, 450.0);
    let truth = pods.truth();
    // At 60 s it sees what was from 30 s to 40 s; at 75 s, from 45 s to 55 s.
    assert_eq!(truth.numbers["scale_decision_s"][0], 75.0);
    assert_eq!(truth.numbers["first_scale_event_s"], 85.0);
    assert_eq!(kinds(&truth), [Kind::AutoscalingLag]);
    assert!((40.0..42.0).contains(&truth.findings[0].from_s), "{truth:?}");
    assert!(truth.findings[0].until_s.unwrap() < 100.0, "{truth:?}");
    let ready = pods.metrics(160_000_000);
    let ready = ready.iter().find(|metric| metric.name == "kube_deployment_status_replicas_ready").unwrap();
    assert!(ready.value >= 5.0, "{ready:?}");
}

#[test]
fn fixed_capacity_serves_what_it_can_and_refuses_the_rest() {
    let mut fixed = service("fixed", &Value::Null);
    let served = load(fixed.as_mut(), 0.0, 20.0, 200.0);
    assert!(fixed.truth().is_healthy());
    assert!(quantile(&took_ms(&served), 0.99) < 60.0);
    let served = load(fixed.as_mut(), 20.0, 80.0, 800.0);
    let truth = fixed.truth();
    let rate = ok(&served) as f64 / 60.0;
    assert!((rate / number(&truth, "capacity_rps") - 1.0).abs() < 0.02, "{rate}");
    assert_eq!(kinds(&truth), [Kind::HardCapacityLimit]);
}

/// The times of the answers to one endpoint, over a part of the requests.
fn of(answers: &[(u64, Answer)], endpoint: usize) -> Vec<f64> {
    let some: Vec<_> = answers.iter().skip(endpoint).step_by(3).copied().collect();
    took_ms(&some)
}

#[test]
fn a_dependency_slows_the_tail_of_those_who_call_it_and_no_processor() {
    let mut slow = service("slow-dependency", &Value::Null);
    let before = load(slow.as_mut(), 0.0, 59.0, 150.0);
    assert!(slow.truth().is_healthy());
    let cpu = |slow: &mut dyn Service, at_us| {
        let metrics = slow.metrics(at_us);
        metrics.iter().find(|metric| metric.name == "process_cpu_seconds_total").unwrap().value
    };
    let cpu_before = cpu(slow.as_mut(), 59_000_000);
    let after = load(slow.as_mut(), 120.0, 179.0, 150.0);
    let cpu_after = cpu(slow.as_mut(), 179_000_000) - cpu_before;
    assert!((cpu_after / cpu_before - 1.0).abs() < 0.05, "{cpu_before} {cpu_after}");
    let grown = |endpoint, q| quantile(&of(&after, endpoint), q) / quantile(&of(&before, endpoint), q);
    assert!(grown(2, 0.99) > 10.0 && grown(2, 0.5) < 1.1 && grown(0, 0.99) < 1.1);
    let truth = slow.truth();
    assert_eq!(kinds(&truth), [Kind::SlowDependency]);
    assert_eq!(truth.findings[0].endpoints, ["GET /products/:id", "POST /orders"]);
}

#[test]
fn writes_contend_and_reads_do_not() {
    let mut database = service("database", &Value::Null);
    load(database.as_mut(), 0.0, 20.0, 60.0);
    assert!(database.truth().is_healthy());
    let answers = load(database.as_mut(), 20.0, 60.0, 210.0);
    assert!(quantile(&of(&answers, 0), 0.99) < 20.0);
    assert!(quantile(&of(&answers, 2), 0.5) > 1_000.0);
    let truth = database.truth();
    assert_eq!(kinds(&truth), [Kind::WriteContention]);
    assert_eq!(truth.findings[0].endpoints, ["POST /orders"]);
}

#[test]
fn a_storm_outlives_its_blip_only_where_requests_are_repeated() {
    let after_blip = |retries: u32| {
        let mut storm = service("retry-storm", &json!({ "retries": retries }));
        assert_eq!(ok(&load(storm.as_mut(), 0.0, 60.0, 280.0)), 60 * 280);
        assert!(storm.truth().is_healthy());
        load(storm.as_mut(), 60.0, 80.0, 280.0);
        let late = load(storm.as_mut(), 80.0, 120.0, 280.0);
        (ok(&late) as f64 / late.len() as f64, storm.truth())
    };
    let (share, truth) = after_blip(3);
    assert!(share < 0.5, "{share}");
    assert!(number(&truth, "amplification") > 2.0, "{truth:?}");
    assert_eq!(kinds(&truth), [Kind::RetryStorm]);
    let (share, truth) = after_blip(0);
    assert!(share > 0.99 && truth.is_healthy(), "{share} {truth:?}");
}

#[test]
fn a_cache_is_slow_until_it_is_warm() {
    let mut cache = service("cache", &Value::Null);
    let answers = load(cache.as_mut(), 0.0, 120.0, 200.0);
    let truth = cache.truth();
    // Nine in ten are found after items times ln 10 reads, of which there are 400 in three seconds.
    let expected_s = 4_000.0 * 10_f64.ln() / (200.0 * 2.0 / 3.0);
    assert!((number(&truth, "warm_s") / expected_s - 1.0).abs() < 0.1, "{truth:?} {expected_s}");
    assert_eq!(kinds(&truth), [Kind::WarmUp]);
    assert!(quantile(&of(&answers[..2_000], 0), 0.5) > 80.0);
    assert!(quantile(&of(&answers[21_000..], 0), 0.5) < 10.0);
}

#[test]
fn a_deployment_resets_what_is_in_hand_and_passes() {
    let mut deployment = service("deployment", &Value::Null);
    let answers = load(deployment.as_mut(), 0.0, 180.0, 200.0);
    let truth = deployment.truth();
    assert_eq!(truth.numbers["restart_s"], json!([60.0, 72.0, 84.0, 96.0]));
    let count = |outcome| answers.iter().filter(|(_, answer)| answer.outcome == outcome).count();
    assert!(count(Outcome::Reset) >= 2 && count(Outcome::Status(503)) > 100);
    assert_eq!(number(&truth, "reset") as usize, count(Outcome::Reset));
    assert_eq!(kinds(&truth), [Kind::RestartOrDeployment]);
    let is_good = |(_, answer): &(u64, Answer)| answer.outcome == Outcome::Status(200);
    assert!(answers[..11_900].iter().all(is_good) && answers[25_000..].iter().all(is_good));
}

#[test]
fn a_bad_network_fails_new_connections_before_the_service_is_reached() {
    let mut network = service("network", &Value::Null);
    let mut ask = |n: u64| network.ask(n * 10_000, &Ask::of(0, n));
    let answers: Vec<Answer> = (0..6_000).map(&mut ask).collect();
    let count = |outcome| answers.iter().filter(|answer| answer.outcome == outcome).count();
    assert!((50..130).contains(&count(Outcome::Dns)) && (50..130).contains(&count(Outcome::Tls)));
    assert!(answers[..3_000].iter().all(|answer| answer.outcome == Outcome::Status(200)));
    assert!(answers[4_000].phases.dns_us > 2_000);
    assert_eq!(kinds(&network.truth()), [Kind::Network]);
}

#[test]
fn connections_beyond_the_limit_are_refused_until_one_is_closed() {
    let mut service = service("connection-limit", &json!({ "limit": 10 }));
    let mut ask = |n| service.ask(0, &Ask::of(0, n)).outcome;
    assert!((0..10).all(|n| ask(n) == Outcome::Status(200)));
    assert_eq!((ask(10), ask(3)), (Outcome::Refused, Outcome::Status(200)));
    assert!(service.is_full(0));
    service.closed(0, 3);
    assert!(!service.is_full(0));
    assert_eq!(service.ask(0, &Ask::of(0, 10)).outcome, Outcome::Status(200));
    assert_eq!(kinds(&service.truth()), [Kind::ConnectionLimit]);
}

#[test]
fn a_leak_grows_with_each_request() {
    let mut leak = service("leak", &Value::Null);
    let answers = load(leak.as_mut(), 0.0, 180.0, 200.0);
    let median = |from: usize| quantile(&took_ms(&answers[from..from + 1_000]), 0.5);
    let grown = median(35_000) / median(0);
    assert!((grown / number(&leak.truth(), "factor") - 1.0).abs() < 0.05, "{grown}");
    assert_eq!(kinds(&leak.truth()), [Kind::SteadyDegradation]);
}

#[test]
fn who_is_healthy_says_so() {
    for name in ["healthy", "noisy-neighbour"] {
        let mut healthy = service(name, &Value::Null);
        let answers = load(healthy.as_mut(), 0.0, 180.0, 100.0);
        assert!(ok(&answers) as f64 > answers.len() as f64 * 0.998, "{name}");
        assert_eq!(kinds(&healthy.truth()), [Kind::Healthy], "{name}");
    }
}

#[test]
fn every_profile_repeats_by_its_seed_and_never_answers_in_the_past() {
    for profile in Profile::ALL {
        let run = |seed| {
            let mut service = profile.service(seed, &Value::Null).unwrap();
            let answers = load(service.as_mut(), 0.0, 90.0, 120.0);
            let metrics = format!("{:?}", service.metrics(90_000_000));
            (answers, service.truth(), metrics)
        };
        let first = run(1);
        assert_eq!(first, run(1), "{}", profile.name);
        assert_ne!(first.0, run(2).0, "{}", profile.name);
        assert!(first.0.iter().all(|(at_us, answer)| answer.done_at_us > *at_us), "{}", profile.name);
    }
}

#[test]
fn settings_are_checked_and_nonsense_does_no_harm() {
    let given = |text: &[&str]| Profile::settings(&text.iter().map(ToString::to_string).collect::<Vec<_>>());
    let gateway = Profile::named("gateway").unwrap();
    let settings = given(&["burst=7", "per=key"]).unwrap();
    assert_eq!(gateway.parameters(&settings).unwrap()["burst"], 7);
    assert_eq!(gateway.parameters(&settings).unwrap()["per"], "key");
    assert!(given(&["burst"]).unwrap_err().to_string().contains("key=value"));
    for wrong in [json!({ "burst": 7, "bursts": 7 }), json!({ "burst": 7, "bursts": "x" })] {
        let error = gateway.service(1, &wrong).unwrap_err();
        assert_eq!(error.to_string(), "`bursts` of profile `gateway` cannot be set so");
        assert!(error.hint().unwrap().contains("\"burst\":200"), "{error:?}");
    }
    assert!(Profile::named("gate").unwrap_err().to_string().contains("`gateway`"));
    // Each number of each profile, much too small and much too large.
    for profile in Profile::ALL {
        let parameters = profile.parameters(&Value::Null).unwrap();
        for (key, usual) in parameters.as_object().unwrap() {
            for extreme in [json!(0), json!(-1e300), json!(4_000_000_000_u32), json!(1e300)] {
                if usual.is_number()
                    && let Ok(mut service) = profile.service(1, &json!({ key.as_str(): extreme }))
                {
                    load(service.as_mut(), 0.0, 70.0, 5.0);
                    service.metrics(70_000_000);
                    service.truth();
                }
            }
        }
    }
}

#[test]
fn a_few_requests_that_wait_by_chance_are_no_overload_of_pods() {
    let mut pods = service("pods", &json!({}));
    // Sixteen at a time: of thirty at once some wait for longer than another one takes.
    for n in 0..30 {
        pods.ask(1_000_000, &Ask::of(0, n));
    }
    load(pods.as_mut(), 2.0, 60.0, 20.0);
    load(pods.as_mut(), 60.0, 240.0, 600.0);
    let truth = pods.truth();
    assert!(truth.findings[0].from_s < 2.0, "{truth:?}");
    assert!((60.0..65.0).contains(&number(&truth, "overloaded_from_s")), "{truth:?}");
    assert!(number(&truth, "time_to_first_scale_event_s") > 15.0, "{truth:?}");
}
