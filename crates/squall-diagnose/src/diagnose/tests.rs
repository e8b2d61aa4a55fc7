mod failing;
mod telemetry;

use squall_metrics::Outcome;

use super::*;
use crate::finding::{Confidence, Kind};
use crate::observed::{Endpoint, Signal, Tick};
use crate::testing::{Answer, Servers, around, endpoints, failed, ok, run};

/// What was found, surest first, with its confidence.
fn named(observed: &Observed) -> Vec<(Kind, f64)> {
    diagnose(observed).iter().map(|finding| (finding.kind, finding.confidence.share())).collect()
}

fn check(observed: &Observed, expected: Kind) -> Finding {
    let found = diagnose(observed);
    let first = found.first().unwrap_or_else(|| panic!("nothing was found; expected {expected:?}"));
    assert_eq!(first.kind, expected, "{:#?}", named(observed));
    assert!(first.confidence.share() >= Confidence::MEDIUM, "{first:#?}");
    first.clone()
}

/// A rise in the first third, then level.
fn ramp(to: f64, length_s: f64) -> impl Fn(f64) -> f64 {
    move |at_s| to * (at_s / (length_s / 3.0)).clamp(0.1, 1.0)
}

#[test]
fn a_service_that_is_well_is_called_healthy_whatever_its_noise() {
    for seed in 0..6 {
        let deviation = 0.05 + 0.05 * seed as f64;
        let observed = run(seed, 120.0, ramp(60.0, 120.0), |_, endpoint, chance| {
            ok(around(0.02 * (1.0 + endpoint as f64), deviation, chance))
        });
        check(&observed, Kind::Healthy);
        assert!(named(&observed)[1..].iter().all(|(_, share)| *share < Confidence::MEDIUM));
    }
}

#[test]
fn a_token_bucket_is_measured_within_a_twentieth() {
    for (seed, refill, burst) in [(1, 50.0, 200.0), (2, 30.0, 400.0), (3, 120.0, 300.0)] {
        let (mut tokens, mut last) = (burst, 0.0);
        let observed = run(
            seed,
            180.0,
            |at_s| if at_s < 30.0 { 0.6 * refill } else { 1.6 * refill },
            |at_s, _, chance| {
                tokens = f64::min(burst, tokens + (at_s - last) * refill);
                last = at_s;
                if tokens < 1.0 {
                    return failed(429, 0.002);
                }
                tokens -= 1.0;
                ok(around(0.03, 0.2, chance))
            },
        );
        let found = check(&observed, Kind::RateLimited);
        let near = |name: &str, truth: f64| {
            let value = found.evidence.number(name).unwrap();
            assert!((value / truth - 1.0).abs() < 0.05, "{name}: {value} instead of {truth}");
        };
        near("refill_per_s", refill);
        near("burst", burst);
    }
}

#[test]
fn a_limit_of_requests_at_a_time_is_no_rate() {
    for seed in 0..3 {
        let mut servers = Servers::new(10);
        let observed = run(seed, 150.0, ramp(200.0, 150.0), |at_s, _, chance| {
            servers.serve(at_s, around(0.1, 0.2, chance), 0.0).map_or(failed(429, 0.002), ok)
        });
        let found = check(&observed, Kind::ConcurrencyThrottled);
        let concurrency = found.evidence.number("concurrency").unwrap();
        assert!((concurrency - 10.0).abs() <= 1.0, "{concurrency}");
    }
}

#[test]
fn few_at_a_time_are_no_rate_though_response_times_hardly_differ() {
    for seed in 0..4 {
        let mut servers = Servers::new(3);
        let observed = run(seed, 130.0, ramp(30.0, 130.0), |at_s, _, chance| {
            servers.serve(at_s, around(0.12, 0.06, chance), 0.0).map_or(failed(429, 0.002), ok)
        });
        let found = check(&observed, Kind::ConcurrencyThrottled);
        assert!(found.evidence.number("log_likelihood_over_a_bucket").unwrap() > 30.0, "{found:#?}");
        let (low, high) = found.evidence.interval("concurrency").unwrap();
        assert!((low..=high).contains(&3.0), "{found:#?}");
    }
}

#[test]
fn a_fixed_capacity_has_a_knee() {
    for seed in 0..3 {
        let mut servers = Servers::new(8);
        let observed = run(
            seed,
            200.0,
            |at_s| 20.0 + at_s,
            |at_s, _, chance| {
                servers.serve(at_s, around(0.08, 0.1, chance), 1.0).map_or(failed(503, 0.005), ok)
            },
        );
        let found = check(&observed, Kind::HardCapacityLimit);
        let knee = found.evidence.number("knee_per_s").unwrap();
        assert!((knee / 99.5 - 1.0).abs() < 0.1, "{knee}");
        let scales = named(&observed).into_iter().find(|(kind, _)| *kind == Kind::AutoscalingLag);
        assert!(
            scales.is_none_or(|(_, share)| share < Confidence::MEDIUM),
            "more is served as more is asked for"
        );
    }
}

#[test]
fn capacity_that_follows_load_is_scaling_and_the_first_step_is_timed() {
    for seed in 0..3 {
        let mut servers = Servers::new(4);
        let observed = run(
            seed,
            240.0,
            |at_s| if at_s < 60.0 { 30.0 } else { 90.0 },
            |at_s, _, chance| {
                let wanted = if at_s < 95.0 {
                    4
                } else if at_s < 110.0 {
                    8
                } else {
                    14
                };
                while servers.0.len() < wanted {
                    servers.0.push(at_s);
                }
                servers.serve(at_s, around(0.1, 0.1, chance), 2.0).map_or(failed(503, 0.005), ok)
            },
        );
        let found = check(&observed, Kind::AutoscalingLag);
        let first = found.evidence.number("first_scale_event_at_s").unwrap();
        assert!((first - 95.0).abs() <= 1.0, "{first}");
    }
}

#[test]
fn capacity_that_grows_is_timed_even_where_all_is_given_up_before_it_is_served() {
    for seed in 0..3 {
        let mut servers = Servers::new(4);
        let observed = run(
            seed,
            240.0,
            |at_s| if at_s < 60.0 { 15.0 } else { 60.0 },
            |at_s, _, chance| {
                let wanted = if at_s < 110.3 { 4 } else { 20 };
                while servers.0.len() < wanted {
                    servers.0.push(at_s);
                }
                match servers.serve(at_s, around(0.15, 0.1, chance), 6.0) {
                    Some(takes_s) if takes_s > 5.0 => {
                        Answer { outcome: Outcome::Timeout, takes_s: 5.0, connecting_s: None }
                    }
                    Some(takes_s) => ok(takes_s),
                    None => failed(503, 0.005),
                }
            },
        );
        let found = check(&observed, Kind::AutoscalingLag);
        let first = found.evidence.number("first_scale_event_at_s").unwrap();
        assert!((first - 110.3).abs() <= 1.0, "{first}");
        let restart = named(&observed).into_iter().find(|(kind, _)| *kind == Kind::RestartOrDeployment);
        assert!(
            restart.is_none_or(|(_, share)| share < Confidence::MEDIUM),
            "a queue that is full is no restart"
        );
    }
}

#[test]
fn cold_starts_are_counted() {
    for seed in 0..3 {
        let (mut free, mut cold): (Vec<f64>, u32) = (Vec::new(), 0);
        let observed = run(
            seed,
            180.0,
            |at_s| 20.0 + 60.0 * (at_s / 45.0).floor(),
            |at_s, _, chance| {
                let warm = around(0.05, 0.15, chance);
                if let Some(instance) = free.iter_mut().find(|until| **until <= at_s) {
                    *instance = at_s + warm;
                    return ok(warm);
                }
                cold += 1;
                let takes_s = warm + around(0.6, 0.2, chance);
                free.push(at_s + takes_s);
                ok(takes_s)
            },
        );
        let found = check(&observed, Kind::ColdStarts);
        let count = found.evidence.number("count").unwrap();
        assert!((count / f64::from(cold) - 1.0).abs() <= 0.03, "{count} instead of {cold}");
    }
}

/// Instances of which each serves one request at a time and that are started for a request that finds none free; such a
/// request finds no free connection, either. What was observed, and how many were started.
fn function(seed: u64, rate: impl Fn(f64) -> f64, warm: (f64, f64), cold: (f64, f64)) -> (Observed, f64) {
    let (mut free, mut started): (Vec<f64>, f64) = (Vec::new(), 0.0);
    let observed = run(seed, 150.0, rate, |at_s, _, chance| {
        let warm = around(warm.0, warm.1, chance);
        if let Some(instance) = free.iter_mut().find(|until| **until <= at_s) {
            *instance = at_s + warm;
            return ok(warm);
        }
        let takes_s = warm + around(cold.0, cold.1, chance);
        started += 1.0;
        free.push(at_s + takes_s);
        Answer { connecting_s: Some(0.0), ..ok(takes_s) }
    });
    (observed, started)
}

/// Four steps.
fn steps(to: f64) -> impl Fn(f64) -> f64 {
    move |at_s| to * ((at_s / 37.5).floor() + 1.0) / 4.0
}

#[test]
fn few_cold_starts_are_told_from_a_long_tail_by_their_connections() {
    for seed in 0..4 {
        let (observed, started) = function(seed, steps(30.0), (0.09, 0.25), (0.45, 0.2));
        assert!(started < 20.0, "{started}");
        let found = check(&observed, Kind::ColdStarts);
        let count = found.evidence.number("count").unwrap();
        assert!((count / started - 1.0).abs() <= 0.03, "{count} instead of {started}");
        assert!(found.evidence.number("slow_share_with_new_connection").unwrap() > 0.9, "{found:#?}");
        assert!(found.summary.contains("no such occasion 0 were"), "{}", found.summary);
    }
}

#[test]
fn where_cold_and_warm_overlap_the_interval_holds_the_count() {
    let held = (0..10).filter(|seed| {
        // Three standard deviations longer.
        let (observed, started) = function(*seed, steps(60.0), (0.8, 0.18), (0.45, 0.2));
        let found = check(&observed, Kind::ColdStarts);
        let (low, high) = found.evidence.interval("count").unwrap();
        assert!(high < 1.5 * started, "{high} {started}");
        (low..=high).contains(&started)
    });
    assert!(held.count() >= 9);
}

#[test]
fn requests_that_wait_behind_others_are_no_starts() {
    for (seed, per_s, takes_s) in [(0, 60.0, 0.15), (1, 60.0, 0.15), (2, 30.0, 0.09), (3, 30.0, 0.09)] {
        // When each instance is free, at which three may wait; what is under way, and so many connections.
        let (mut free, mut ends): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
        let mut connections = 0;
        let observed = run(seed, 150.0, steps(per_s), |at_s, _, chance| {
            let warm = around(takes_s, 0.1, chance);
            ends.retain(|end| *end > at_s);
            let soonest = free.iter_mut().min_by(|one, other| one.total_cmp(other));
            let most = 3.0 * takes_s + if at_s < 2.0 { 0.9 } else { 0.0 };
            let end = match soonest {
                Some(until) if *until - at_s <= most => {
                    *until = until.max(at_s) + warm;
                    *until
                }
                _ => {
                    free.push(at_s + around(0.9, 0.25, chance) + warm);
                    free[free.len() - 1]
                }
            };
            let connecting_s = (ends.len() >= connections).then_some(0.0);
            ends.push(end);
            connections = connections.max(ends.len());
            Answer { connecting_s, ..ok(end - at_s) }
        });
        let found = check(&observed, Kind::ColdStarts);
        let (low, high) = found.evidence.interval("count").unwrap();
        assert!((low..=high).contains(&(free.len() as f64)), "{found:#?} {}", free.len());
        let waited = found.evidence.number("requests_that_waited").unwrap();
        assert!(waited > 1.2 * free.len() as f64, "{waited}");
    }
}

#[test]
fn slow_requests_that_have_nothing_to_do_with_instances_are_no_cold_starts() {
    for seed in 0..4 {
        let at_random = run(seed, 150.0, steps(60.0), |_, _, chance| {
            let slow = if chance.uniform() < 0.02 { 0.5 } else { 0.0 };
            let connecting_s = (chance.uniform() < 0.02).then_some(0.0);
            Answer { connecting_s, ..ok(around(0.05, 0.15, chance) + slow) }
        });
        let connecting = run(seed, 150.0, steps(60.0), |_, _, chance| {
            let connecting_s = (chance.uniform() < 0.02).then(|| around(0.4, 0.2, chance));
            Answer { connecting_s, ..ok(around(0.05, 0.15, chance)) }
        });
        for observed in [at_random, connecting] {
            let named = named(&observed);
            let cold = named.iter().find(|(kind, _)| *kind == Kind::ColdStarts);
            assert!(cold.is_none_or(|(_, share)| *share < Confidence::MEDIUM), "{named:?}");
        }
    }
}

/// The same over a few connections that all share.
fn shared(seed: u64, rate: impl Fn(f64) -> f64, warm: (f64, f64), cold: (f64, f64)) -> (Observed, f64) {
    let (mut observed, started) = function(seed, rate, warm, cold);
    let calls = observed.ticks.iter_mut().flat_map(|tick| &mut tick.calls);
    calls.for_each(|calls| calls.new_connections = 0.0);
    (observed, started)
}

#[test]
fn cold_starts_are_told_where_connections_are_shared() {
    let found = (0..8).filter(|seed| {
        let (observed, started) = shared(*seed, steps(60.0), (0.12, 0.2), (0.45, 0.2));
        let first = diagnose(&observed).remove(0);
        let is_sure = first.kind == Kind::ColdStarts && first.confidence.share() >= Confidence::MEDIUM;
        if is_sure {
            let count = first.evidence.number("count").unwrap();
            assert!((count / started - 1.0).abs() <= 0.1, "{seed}: {count} instead of {started}");
            assert_eq!(first.evidence.number("slow_share_with_new_connection"), None);
        }
        is_sure
    });
    assert!(found.count() >= 7);
}

#[test]
fn a_long_tail_is_no_cold_start_where_connections_are_shared() {
    for seed in 0..6 {
        for share in [0.002, 0.005, 0.02] {
            let observed = run(seed, 150.0, steps(60.0), |_, _, chance| {
                let slow = if chance.uniform() < share { around(0.5, 0.2, chance) } else { 0.0 };
                ok(around(0.12, 0.2, chance) + slow)
            });
            let named = named(&observed);
            let cold = named.iter().find(|(kind, _)| *kind == Kind::ColdStarts);
            assert!(cold.is_none_or(|(_, share)| *share < Confidence::MEDIUM), "{seed} {share}: {named:?}");
        }
    }
}

#[test]
fn a_tail_that_grows_is_a_dependency() {
    for seed in 0..3 {
        let observed = run(
            seed,
            180.0,
            |_| 80.0,
            |at_s, _, chance| {
                let own = around(0.03, 0.15, chance);
                let called = chance.uniform() < 0.06;
                ok(if called { own + around(0.03 + 0.003 * at_s, 0.3, chance) } else { own })
            },
        );
        check(&observed, Kind::SlowDependency);
    }
}

#[test]
fn writes_that_wait_for_each_other_are_told_from_reads() {
    for seed in 0..3 {
        let observed = run(
            seed,
            180.0,
            |at_s| 20.0 + 0.8 * at_s,
            |at_s, endpoint, chance| {
                let load = 20.0 + 0.8 * at_s;
                let factor = if endpoint == 2 { 1.0 + (load / 80.0).powi(2) } else { 1.0 };
                ok(around(0.03 * factor, 0.15, chance))
            },
        );
        let found = check(&observed, Kind::WriteContention);
        assert_eq!(found.endpoints, ["POST /orders"]);
    }
}

#[test]
fn a_cache_that_fills_is_a_warm_up() {
    for seed in 0..3 {
        let observed = run(
            seed,
            150.0,
            |_| 60.0,
            |at_s, _, chance| {
                let missed = chance.uniform() < 0.95 * (-at_s / 15.0).exp();
                ok(around(if missed { 0.12 } else { 0.02 }, 0.15, chance))
            },
        );
        check(&observed, Kind::WarmUp);
    }
}

#[test]
fn what_becomes_slower_under_the_same_load_is_told() {
    for seed in 0..3 {
        let observed = run(
            seed,
            240.0,
            |_| 50.0,
            |at_s, _, chance| ok(around(0.03 * (1.0 + at_s / 240.0), 0.15, chance)),
        );
        let found = check(&observed, Kind::SteadyDegradation);
        let growth = found.evidence.number("growth_per_minute").unwrap();
        assert!((growth - 0.19).abs() < 0.04, "{growth}");
    }
}

#[test]
fn a_queue_that_grows_for_too_much_is_asked_is_no_degradation() {
    for seed in 0..3 {
        let mut servers = Servers::new(4);
        let observed = run(
            seed,
            180.0,
            |at_s| if at_s < 60.0 { 20.0 } else { 43.0 },
            |at_s, _, chance| ok(servers.serve(at_s, around(0.1, 0.1, chance), 1e6).unwrap_or(0.0)),
        );
        let found = named(&observed);
        let degrades = found.iter().find(|(kind, _)| *kind == Kind::SteadyDegradation);
        assert!(degrades.is_none_or(|(_, share)| *share < Confidence::MEDIUM), "{seed}: {found:?}");
    }
}

#[test]
fn what_becomes_slower_for_a_little_more_load_is_no_degradation() {
    for seed in 0..4 {
        let mut servers = Servers::new(3);
        let observed = run(
            seed,
            480.0,
            |at_s| if at_s < 240.0 { 22.0 } else { 28.0 },
            |at_s, _, chance| ok(servers.serve(at_s, around(0.1, 0.1, chance), 1e6).unwrap_or(0.0)),
        );
        let found = named(&observed);
        let degrades = found.iter().find(|(kind, _)| *kind == Kind::SteadyDegradation);
        assert!(degrades.is_none_or(|(_, share)| *share < Confidence::MEDIUM), "{seed}: {found:?}");
    }
}

#[test]
fn gaps_at_the_same_load_are_restarts() {
    for seed in 0..3 {
        let observed = run(
            seed,
            180.0,
            |_| 60.0,
            |at_s, _, chance| {
                let away = [50.0, 70.0, 90.0].iter().any(|begin| (*begin..begin + 4.0).contains(&at_s));
                if away && chance.uniform() < 0.33 {
                    return Answer { outcome: Outcome::Reset, takes_s: 0.003, connecting_s: None };
                }
                ok(around(0.03, 0.15, chance))
            },
        );
        check(&observed, Kind::RestartOrDeployment);
    }
}

#[test]
fn a_few_seconds_in_which_some_find_nobody_are_restarts_though_no_connection_breaks() {
    for seed in 0..3 {
        let observed = run(
            seed,
            180.0,
            |_| 60.0,
            |at_s, _, chance| {
                let since_s = [50.0, 62.0, 74.0].map(|begin| at_s - begin);
                let away = since_s.iter().any(|since_s| (0.0..4.0).contains(since_s));
                let back = since_s.iter().any(|since_s| (4.0..10.0).contains(since_s));
                let own = chance.uniform() < 0.25;
                if away && own && chance.uniform() < 0.5 {
                    return failed(503, 0.003);
                }
                ok(around(if back && own { 0.09 } else { 0.03 }, 0.1, chance))
            },
        );
        check(&observed, Kind::RestartOrDeployment);
    }
}

/// Both kinds were named with more than low confidence.
fn both(observed: &Observed, expected: [Kind; 2]) {
    let found = named(observed);
    for kind in expected {
        let sure = found.iter().any(|(found, share)| *found == kind && *share >= Confidence::MEDIUM);
        assert!(sure, "{kind:?} is missing: {found:?}");
    }
}

#[test]
fn a_tail_that_grows_is_found_behind_a_rate_limit() {
    let (mut tokens, mut last) = (100.0, 0.0);
    let observed = run(4, 180.0, ramp(90.0, 180.0), |at_s, _, chance| {
        tokens = f64::min(100.0, tokens + (at_s - last) * 50.0);
        last = at_s;
        if tokens < 1.0 {
            return failed(429, 0.002);
        }
        tokens -= 1.0;
        let own = around(0.03, 0.15, chance);
        let called = at_s > 80.0 && chance.uniform() < 0.06;
        ok(if called { own + around(0.4, 0.3, chance) } else { own })
    });
    both(&observed, [Kind::RateLimited, Kind::SlowDependency]);
}

#[test]
fn a_limit_is_found_behind_a_bad_network() {
    let mut servers = Servers::new(8);
    let observed = run(
        5,
        200.0,
        |at_s| 20.0 + at_s,
        |at_s, _, chance| {
            let trouble = at_s > 60.0;
            if trouble && chance.uniform() < 0.02 {
                let outcome = if chance.uniform() < 0.5 { Outcome::Dns } else { Outcome::Reset };
                return Answer { outcome, takes_s: 0.02, connecting_s: None };
            }
            let connecting_s = (chance.uniform() < 0.2).then_some(if trouble { 0.08 } else { 0.004 });
            let answer = servers.serve(at_s, around(0.08, 0.1, chance), 1.0).map_or(failed(503, 0.005), ok);
            Answer { connecting_s, ..answer }
        },
    );
    both(&observed, [Kind::Network, Kind::HardCapacityLimit]);
}

#[test]
fn a_cache_that_fills_is_found_before_a_limit() {
    let mut servers = Servers::new(8);
    let observed = run(
        6,
        240.0,
        |at_s| if at_s < 150.0 { 40.0 } else { 130.0 },
        |at_s, _, chance| {
            let missed = chance.uniform() < 0.95 * (-at_s / 20.0).exp();
            let more_s = if missed { 0.15 } else { 0.01 };
            let answer = servers.serve(at_s, around(0.08, 0.1, chance), 1.0);
            answer.map_or(failed(503, 0.005), |takes_s| ok(takes_s + more_s))
        },
    );
    both(&observed, [Kind::HardCapacityLimit, Kind::WarmUp]);
}

#[test]
fn restarts_are_found_in_a_service_that_becomes_slower_and_slower() {
    let observed = run(
        7,
        240.0,
        |_| 60.0,
        |at_s, _, chance| {
            let away = [80.0, 95.0, 110.0].iter().any(|begin| (*begin..begin + 4.0).contains(&at_s));
            if away && chance.uniform() < 0.2 {
                return failed(503, 0.003);
            }
            ok(around(0.03 * (1.0 + at_s / 80.0), 0.15, chance))
        },
    );
    both(&observed, [Kind::SteadyDegradation, Kind::RestartOrDeployment]);
}

#[test]
fn what_reads_call_as_well_is_no_contention_of_writes() {
    for seed in 0..3 {
        let observed = run(
            seed,
            180.0,
            |at_s| 20.0 + 0.5 * at_s,
            |at_s, endpoint, chance| {
                let own = around(0.03, 0.15, chance);
                let called = endpoint > 0 && at_s > 60.0 && chance.uniform() < 0.09;
                ok(if called { own + around(0.5, 0.3, chance) } else { own })
            },
        );
        let found = named(&observed);
        let contends = found.iter().find(|(kind, _)| *kind == Kind::WriteContention);
        assert!(contends.is_none_or(|(_, share)| *share < Confidence::MEDIUM), "{seed}: {found:?}");
    }
}

#[test]
fn a_service_that_does_not_come_back_is_in_a_storm() {
    for seed in 0..3 {
        let (mut servers, mut stormy) = (Servers::new(8), false);
        let observed = run(
            seed,
            240.0,
            |at_s| if (80.0..110.0).contains(&at_s) { 130.0 } else { 60.0 },
            |at_s, _, chance| {
                stormy |= (85.0..110.0).contains(&at_s);
                let tries = if stormy { 4.0 } else { 1.0 };
                let takes = servers.serve(at_s, tries * around(0.08, 0.1, chance), 1.0);
                takes.map_or(failed(503, 1.0), ok)
            },
        );
        check(&observed, Kind::RetryStorm);
    }
}

#[test]
fn what_never_carried_the_load_is_in_no_storm() {
    for seed in 0..3 {
        let mut servers = Servers::new(1);
        let observed = run(
            seed,
            150.0,
            |at_s| if at_s < 50.0 { 20.0 } else { 40.0 },
            |at_s, _, chance| {
                if servers.0.len() < 30 && at_s > 5.0 * servers.0.len() as f64 {
                    servers.0.push(at_s + 1.4);
                }
                let takes_s = servers.serve(at_s, around(0.5, 0.1, chance), 1e6).unwrap_or(10.0);
                if takes_s < 5.0 {
                    return ok(takes_s);
                }
                Answer { outcome: Outcome::Timeout, takes_s: 5.0, connecting_s: None }
            },
        );
        let found = named(&observed);
        let storm = found.iter().find(|(kind, _)| *kind == Kind::RetryStorm);
        assert!(storm.is_none_or(|(_, share)| *share < Confidence::MEDIUM), "{seed}: {found:?}");
    }
}

#[test]
fn names_and_handshakes_that_fail_are_the_network() {
    let observed = run(
        1,
        120.0,
        |_| 60.0,
        |at_s, _, chance| {
            let trouble = (40.0..70.0).contains(&at_s);
            if trouble && chance.uniform() < 0.1 {
                return Answer { outcome: Outcome::Dns, takes_s: 0.5, connecting_s: None };
            }
            let connecting_s = (chance.uniform() < 0.2).then_some(if trouble { 0.08 } else { 0.004 });
            Answer { connecting_s, ..ok(around(0.03, 0.15, chance)) }
        },
    );
    check(&observed, Kind::Network);
}

#[test]
fn connections_that_are_refused_at_most_load_are_a_limit() {
    for seed in 0..3 {
        let mut servers = Servers::new(12);
        let observed = run(seed, 150.0, ramp(160.0, 150.0), |at_s, _, chance| {
            let refused = Answer { outcome: Outcome::Refused, takes_s: 0.001, connecting_s: None };
            servers.serve(at_s, around(0.1, 0.15, chance), 0.0).map_or(refused, ok)
        });
        check(&observed, Kind::ConnectionLimit);
    }
}

#[test]
fn generators_that_are_the_bottleneck_come_first() {
    let mut observed = run(1, 120.0, |_| 60.0, |_, _, chance| ok(around(0.03, 0.15, chance)));
    observed.ticks.iter_mut().step_by(4).for_each(|tick| tick.tainted = 0.5);
    check(&observed, Kind::GeneratorSaturated);
}

#[test]
fn too_little_is_said_to_be_too_little() {
    let empty = Observed::default();
    let short = run(1, 10.0, |_| 60.0, |_, _, chance| ok(around(0.03, 0.15, chance)));
    let few = run(1, 200.0, |_| 0.1, |_, _, chance| ok(around(0.03, 0.15, chance)));
    for observed in [empty, short, few] {
        assert_eq!(named(&observed), [(Kind::NotEnoughData, 1.0)]);
    }
}

#[test]
fn whatever_is_observed_nothing_panics() {
    let slow = run(2, 200.0, |_| 1.0, |_, _, chance| ok(around(0.03, 0.15, chance)));
    let _ = diagnose(&slow);
    let throttled = run(3, 60.0, |_| 50.0, |_, _, _| failed(429, 0.001));
    assert!(!named(&throttled).iter().any(|(kind, _)| *kind == Kind::Healthy));
    let all_failed = run(4, 60.0, |_| 50.0, |_, _, _| failed(500, 0.001));
    assert!(!named(&all_failed).iter().any(|(kind, _)| *kind == Kind::Healthy));
    let mut strange = run(5, 60.0, |_| 50.0, |_, _, chance| ok(around(0.03, 0.15, chance)));
    let points = vec![(f64::NAN, 1.0), (5.0, f64::NAN), (3.0, f64::INFINITY), (1.0, 2.0), (1.0, 2.0)];
    for name in ["pods", "cpu", "throttles", "cold", "restarts", ""] {
        strange.signals.push(Signal { name: name.to_owned(), points: points.clone(), ..Signal::default() });
    }
    let _ = diagnose(&strange);
    for tick in &mut strange.ticks {
        tick.in_flight = f64::NAN;
        tick.scheduled = f64::INFINITY;
        tick.tainted = f64::NAN;
        tick.calls.truncate(1);
    }
    let _ = diagnose(&strange);
    strange.step_s = f64::NAN;
    let _ = diagnose(&strange);
    strange.endpoints = vec![Endpoint::default()];
    let _ = diagnose(&strange);
    strange.ticks = vec![Tick::default(); 100];
    let _ = diagnose(&strange);
    assert_eq!(endpoints().len(), 3);
}
