//! What a probe will do at most is no less than what it does.

use squall_probe::{Done, Load, Own, Probe, Spent};

use crate::cases;
use crate::odd::Odd;
use crate::simulated::Lab;

fn check<P: Probe>(probe: &P, spent: Spent, history: &[Done]) {
    let outlook = probe.outlook();
    assert!(spent.rounds <= outlook.rounds, "{spent:?} {outlook:?}");
    assert!(spent.requests <= outlook.requests, "{spent:?} {outlook:?}");
    assert!(spent.seconds <= outlook.takes_s, "{spent:?} {outlook:?}");
    for done in history {
        if let Load::Rate { per_s, .. } = done.round.load {
            assert!(per_s <= outlook.peak_per_s * 1.000_001, "{per_s} {outlook:?}");
        }
    }
}

#[test]
fn no_probe_sends_more_than_it_announces() {
    for seed in 0..9 {
        let case = cases::capacity(seed);
        check(&case.probe, case.answer.spent, &case.history);
        let case = cases::throttle(seed);
        check(&case.probe, case.answer.spent, &case.history);
        let case = cases::cold_start(seed);
        check(&case.probe, case.answer.spent, &case.history);
        let mut lab = Lab::new(Odd::service(seed, |_, _, _| (1_000, 200)));
        lab.most_per_s = 3_000.0;
        let probe = Own { step_s: 2.0, ..Own::default() };
        let history = lab.run(&probe).0;
        check(&probe, probe.answer(&history).spent, &history);
    }
}
