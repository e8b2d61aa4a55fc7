//! What the target's own instruments add, and what they do not.

use super::*;

/// A value every so many seconds.
fn signal(name: &str, every_s: f64, value: impl Fn(f64) -> f64) -> Signal {
    let times = (0..240).map(|place| f64::from(place) * every_s).filter(|t| *t < 240.0);
    let points = times.map(|t| (t, value(t))).collect();
    Signal { name: name.to_owned(), points, ..Signal::default() }
}

fn with(observed: &Observed, signals: Vec<Signal>) -> Observed {
    Observed { signals, ..observed.clone() }
}

fn share(observed: &Observed, kind: Kind) -> f64 {
    named(observed).into_iter().find(|(found, _)| *found == kind).map_or(0.0, |(_, share)| share)
}

/// Four instances that serve, more from 95 s on.
fn scaling(seed: u64) -> Observed {
    let mut servers = Servers::new(4);
    run(
        seed,
        240.0,
        |at_s| if at_s < 60.0 { 30.0 } else { 90.0 },
        |at_s, _, chance| {
            let wanted = if at_s < 95.0 { 4 } else { 12 };
            while servers.0.len() < wanted {
                servers.0.push(at_s);
            }
            servers.serve(at_s, around(0.1, 0.1, chance), 2.0).map_or(failed(503, 0.005), ok)
        },
    )
}

#[test]
fn replicas_that_grow_make_scaling_surer_and_replicas_that_do_not_make_it_doubtful() {
    for seed in 0..3 {
        let observed = scaling(seed);
        let grows = |t: f64| if t < 95.0 { 2.0 } else { 6.0 };
        let none = share(&observed, Kind::AutoscalingLag);
        for every_s in [5.0, 15.0] {
            let whole = with(&observed, vec![signal("pods ready", every_s, grows)]);
            let mut part = signal("pods ready", every_s, grows);
            part.points.retain(|(t, _)| !(80.0..130.0).contains(t));
            let partial = share(&with(&observed, vec![part]), Kind::AutoscalingLag);
            let wholly = share(&whole, Kind::AutoscalingLag);
            assert!(wholly > partial && partial >= none, "{wholly} {partial} {none}");
            let found = check(&whole, Kind::AutoscalingLag);
            let first = found.evidence.number("first_scale_event_at_s").unwrap();
            assert!((first - 95.0).abs() <= 1.0, "{first}");
            let flat = with(&observed, vec![signal("replicas", every_s, |_| 2.0)]);
            let doubtful = share(&flat, Kind::AutoscalingLag);
            assert!(doubtful < Confidence::MEDIUM && doubtful < none, "{doubtful} {none}");
        }
    }
}

#[test]
fn instruments_that_missed_the_first_growth_do_not_move_it() {
    let observed = scaling(1);
    let grows = |t: f64| {
        if t < 95.0 {
            2.0
        } else if t < 125.0 {
            6.0
        } else {
            9.0
        }
    };
    let without = |gap: std::ops::Range<f64>, mut signal: Signal| {
        signal.points.retain(|(t, _)| !gap.contains(t));
        signal
    };
    let each_second = signal("pods ready", 1.0, |t| grows((t / 15.0).floor() * 15.0));
    let all = [
        without(85.0..120.0, signal("pods ready", 5.0, grows)),
        without(0.0..120.0, signal("pods ready", 5.0, grows)),
        without(82.0..115.0, each_second.clone()),
        each_second,
        signal("pods ready", 5.0, grows),
    ];
    for signal in all {
        let found = check(&with(&observed, vec![signal.clone()]), Kind::AutoscalingLag);
        let first = found.evidence.number("first_scale_event_at_s").unwrap();
        assert!((first - 95.0).abs() <= 1.0, "{first} {signal:?}");
    }
}

#[test]
fn instruments_that_say_something_else_change_nothing() {
    let observed = scaling(1);
    let none = named(&observed);
    let others = vec![
        signal("replicas at least", 5.0, |_| 2.0),
        signal("replicas at most", 5.0, |_| 20.0),
        signal("replicas wanted", 5.0, |_| 2.0),
        signal("pods pending", 5.0, |_| 0.0),
        signal("cpu throttled", 5.0, |_| 0.3),
        signal("memory", 5.0, |_| 1e9),
        Signal { name: "pods".to_owned(), ..Signal::default() },
    ];
    assert_eq!(named(&with(&observed, others)), none);
}

#[test]
fn replicas_that_were_looked_at_only_before_say_nothing() {
    let observed = scaling(2);
    let mut early = signal("replicas", 5.0, |_| 2.0);
    early.points.retain(|(t, _)| *t < 50.0);
    let (told, none) = (with(&observed, vec![early]), share(&observed, Kind::AutoscalingLag));
    assert!((share(&told, Kind::AutoscalingLag) - none).abs() < 1e-9);
}

#[test]
fn replicas_that_stay_make_a_limit_surer() {
    let mut servers = Servers::new(8);
    let observed = run(
        1,
        200.0,
        |at_s| 20.0 + at_s,
        |at_s, _, chance| servers.serve(at_s, around(0.08, 0.1, chance), 1.0).map_or(failed(503, 0.005), ok),
    );
    let none = share(&observed, Kind::HardCapacityLimit);
    let flat = share(&with(&observed, vec![signal("pods ready", 15.0, |_| 2.0)]), Kind::HardCapacityLimit);
    let busy = |t: f64| 8.0 * ((20.0 + t) / 100.0).min(1.0);
    let full = share(&with(&observed, vec![signal("cpu", 15.0, busy)]), Kind::HardCapacityLimit);
    let more = |t: f64| if t < 120.0 { 2.0 } else { 4.0 };
    let more = share(&with(&observed, vec![signal("pods ready", 15.0, more)]), Kind::HardCapacityLimit);
    assert!(flat > none && full > none, "{flat} {full} {none}");
    assert!((more - none).abs() < 1e-9, "what instances share may be the limit: {more} {none}");
}

#[test]
fn throttles_that_are_counted_make_a_limit_of_concurrency_surer() {
    let mut servers = Servers::new(10);
    let observed = run(1, 150.0, ramp(200.0, 150.0), |at_s, _, chance| {
        servers.serve(at_s, around(0.1, 0.2, chance), 0.0).map_or(failed(429, 0.002), ok)
    });
    let of = |signals| share(&with(&observed, signals), Kind::ConcurrencyThrottled);
    let none = of(Vec::new());
    let counted = of(vec![signal("checkout: throttles", 15.0, |t| if t > 25.0 { 60.0 } else { 0.0 })]);
    let denied = of(vec![signal("checkout: throttles", 15.0, |_| 0.0)]);
    let at_most =
        of(vec![signal("checkout: concurrent executions", 5.0, |t| if t > 30.0 { 10.0 } else { 6.0 })]);
    assert!(counted > none && at_most > none && denied < none, "{counted} {at_most} {denied} {none}");
}

#[test]
fn processors_are_compared_by_request_where_a_tail_grows_with_load() {
    let observed = run(
        1,
        200.0,
        |at_s| 20.0 + at_s / 2.0,
        |at_s, _, chance| {
            let own = around(0.03, 0.15, chance);
            let called = at_s > 90.0 && chance.uniform() < 0.06;
            ok(if called { own + around(0.5, 0.3, chance) } else { own })
        },
    );
    let of = |signals| share(&with(&observed, signals), Kind::SlowDependency);
    let none = of(Vec::new());
    // Averages over a minute come late.
    let idle = |t: f64| 0.01 * (20.0 + (t - 30.0).max(0.0) / 2.0);
    let idles = of(vec![signal("cpu", 15.0, idle)]);
    let works = of(vec![signal("cpu", 15.0, |t| idle(t) * if t > 100.0 { 3.0 } else { 1.0 })]);
    let called = of(vec![signal("dependency duration", 15.0, |t| if t > 90.0 { 0.03 } else { 0.01 })]);
    let as_ever = of(vec![signal("dependency duration", 15.0, |_| 0.01)]);
    assert!(idles > none && called > none && as_ever < none, "{idles} {called} {as_ever} {none}");
    assert!(works < none, "{works} {none}");
}
