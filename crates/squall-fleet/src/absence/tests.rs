use super::*;

fn lane(answer: Answer) -> Lane {
    Lane {
        function: "f".to_owned(),
        waiting: Some(0),
        in_flight: Some(0),
        mapping: Some(Mapping { state: "Enabled".to_owned(), last_result: "OK".to_owned() }),
        reserved: None,
        answer: Some(answer),
    }
}

fn throttled(reason: &str) -> Lane {
    lane(Answer::Throttled(reason.to_owned()))
}

fn failed(kind: &str, message: &str) -> Lane {
    lane(Answer::Failed { kind: kind.to_owned(), message: message.to_owned() })
}

fn in_state(state: &str, answer: Answer) -> Lane {
    Lane { mapping: Some(Mapping { state: state.to_owned(), last_result: String::new() }), ..lane(answer) }
}

/// Of eight seats that were offered the last are absent.
fn check(absent: u32, lanes: Vec<Lane>, dead: &[u32], expected: &[&str]) {
    let found = Found { lanes, dead: dead.iter().copied().collect(), concurrency: Some(10) };
    assert_eq!(causes(&(8 - absent..8).collect(), 8, &found), expected);
}

#[test]
fn each_limit_is_named_with_what_mends_it() {
    check(
        3,
        vec![Lane { reserved: Some(5), ..throttled(RESERVED) }],
        &[],
        &[
            "3 seats: throttled (ReservedFunctionConcurrentInvocationLimitExceeded): raise the reserved concurrency of \
           function `f`, which is 5, to 8 at least, or remove it",
        ],
    );
    check(
        1,
        vec![throttled("ConcurrentInvocationLimitExceeded")],
        &[],
        &[
            "1 seat: throttled (ConcurrentInvocationLimitExceeded): take fewer --generators, or have the account's quota \
           `Concurrent executions` of Lambda raised, which is 10 (Service Quotas, L-B99A9384)",
        ],
    );
    check(
        8,
        vec![throttled("FunctionInvocationRateLimitExceeded")],
        &[],
        &[
            "8 seats: throttled (FunctionInvocationRateLimitExceeded): invocations come too fast for this limit: give \
           them more time with --ready-within",
        ],
    );
    check(2, vec![throttled("Another")], &[], &["2 seats: throttled (Another): try again later"]);
    // Whoever asked may have found a gap.
    check(
        6,
        vec![Lane { reserved: Some(2), in_flight: Some(2), waiting: Some(6), ..lane(Answer::Fine) }],
        &[],
        &[
            "6 seats: throttled (function `f` has 2 invocations reserved): raise the reserved concurrency of function \
           `f`, which is 2, to 8 at least, or remove it",
        ],
    );
}

#[test]
fn a_function_that_breaks_is_quoted() {
    check(
        2,
        vec![failed("Runtime.ExitError", "Error: Runtime exited\nwith error: exit status 1")],
        &[],
        &["2 seats: failed in init: function `f` says: Error: Runtime exited with error: exit status 1 \
           (Runtime.ExitError)"],
    );
    check(
        2,
        vec![failed("Sandbox.Timedout", "Task timed out after 60.00 seconds")],
        &[],
        &["2 seats: timed out: function `f` says: Task timed out after 60.00 seconds (Sandbox.Timedout)"],
    );
    check(
        1,
        vec![failed("Runtime.Unknown", "Init timed out")],
        &[],
        &["1 seat: timed out: function `f` says: Init timed out (Runtime.Unknown)"],
    );
    check(
        1,
        vec![failed("E", &"x".repeat(1_000))],
        &[],
        &[&format!("1 seat: failed: function `f` says: {} (E)", "x".repeat(300))],
    );
    check(
        1,
        vec![lane(Answer::Silent(8))],
        &[],
        &["1 seat: function `f` has not answered for 8 s: its log may say what keeps it"],
    );
}

#[test]
fn where_nothing_is_invoked_nothing_else_matters() {
    check(
        4,
        vec![in_state("Disabled", Answer::Throttled(RESERVED.to_owned()))],
        &[],
        &["4 seats: not invoked, as the mapping of function `f` is Disabled: something else has closed it"],
    );
    check(
        4,
        vec![in_state("Enabling", Answer::Fine)],
        &[],
        &[
            "4 seats: not invoked, as the mapping of function `f` is Enabling: give it more time with --ready-within",
        ],
    );
}

#[test]
fn without_an_obstacle_it_is_said_where_they_are() {
    let waiting = "not invoked yet: waiting in the queue of function `f`; give more time with --ready-within";
    let handed = "handed to function `f` and not ready in time";
    let unknown = "cause unknown: neither waiting nor under way; the log of function `f` may say more";
    // Four sit, whose messages are in flight, too.
    check(
        4,
        vec![Lane { waiting: Some(1), in_flight: Some(6), ..lane(Answer::Fine) }],
        &[],
        &[
            &format!("1 seat: {waiting}"),
            &format!("2 seats: {handed}: give more time with --ready-within, or look into its log"),
            &format!("1 seat: {unknown}"),
        ],
    );
    check(2, vec![Lane { waiting: Some(90), ..lane(Answer::Fine) }], &[], &[&format!("2 seats: {waiting}")]);
    let problem = "PROBLEM: Function call failed";
    let mapping = Mapping { state: "Enabled".to_owned(), last_result: problem.to_owned() };
    check(
        2,
        vec![Lane { mapping: Some(mapping), in_flight: Some(8), ..lane(Answer::Fine) }],
        &[],
        &[&format!(
            "2 seats: {handed} (last: {problem}): give more time with --ready-within, or look into its log"
        )],
    );
    check(
        3,
        vec![Lane { function: "f".to_owned(), ..Lane::default() }],
        &[],
        &[&format!("3 seats: {unknown}")],
    );
    check(3, Vec::new(), &[], &["3 seats: cause unknown"]);
    check(0, vec![lane(Answer::Fine)], &[], &[]);
}

#[test]
fn dead_letters_are_told_apart_by_their_numbers() {
    check(
        3,
        vec![Lane { waiting: Some(1), ..lane(Answer::Fine) }],
        // Number 1 was taken by somebody all the same.
        &[1, 5, 7],
        &[
            "2 seats: tried in vain as often as the queue allows, now among the dead letters (5, 7); the log of \
             function `f` says why",
            "1 seat: not invoked yet: waiting in the queue of function `f`; give more time with --ready-within",
        ],
    );
    check(
        1,
        vec![failed("Runtime.ExitError", "exit status 1")],
        &[7],
        &[
            "1 seat: tried in vain as often as the queue allows, now among the dead letters (7); failed in init: function \
           `f` says: exit status 1 (Runtime.ExitError)",
        ],
    );
    let all: BTreeSet<u32> = (0..12).collect();
    let found = Found { lanes: vec![lane(Answer::Fine)], dead: all.clone(), concurrency: None };
    let lines = causes(&all, 12, &found);
    assert!(lines[0].contains("(0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and others)"), "{lines:?}");
}

#[test]
fn each_lane_answers_for_the_seats_that_were_dealt_to_it() {
    let own = |name: &str, lane: Lane| Lane { function: name.to_owned(), ..lane };
    // Of eight over three lanes: 0, 3, 6 · 1, 4, 7 · 2, 5. The last five are absent: 3, 6 · 4, 7 · 5.
    check(
        5,
        vec![
            own("f1", Lane { reserved: Some(1), ..throttled(RESERVED) }),
            own("f2", failed("Runtime.ExitError", "exit status 1")),
            own("f3", in_state("Disabled", Answer::Fine)),
        ],
        &[],
        &[
            "2 seats: throttled (ReservedFunctionConcurrentInvocationLimitExceeded): raise the reserved concurrency of \
             function `f1`, which is 1, to 3 at least, or remove it",
            "2 seats: failed in init: function `f2` says: exit status 1 (Runtime.ExitError)",
            "1 seat: not invoked, as the mapping of function `f3` is Disabled: something else has closed it",
        ],
    );
}

#[test]
fn spares_and_seats_that_came_late_are_told_with_the_limit_that_was_in_their_way() {
    let check = |reserved: Option<u32>, concurrency: Option<u32>, expected: &[&str]| {
        let lanes =
            ["f", "g"].map(|function| Lane { function: function.to_owned(), reserved, ..Lane::default() });
        let found = Found { lanes: lanes.into(), concurrency, ..Found::default() };
        // Of seven seats 0, 2, 4 and 6 are of the first lane.
        let lines = in_vain(&BTreeSet::from([6]), &BTreeMap::from([(1, 2), (2, 3), (4, 2)]), 7, &found);
        assert_eq!(lines, expected);
    };
    let raise = |function: &str, seats: u32| {
        format!(
            "throttled (ReservedFunctionConcurrentInvocationLimitExceeded): raise the reserved concurrency of function \
             `{function}`, which is 3, to {seats} at least, or remove it"
        )
    };
    // Three are enough for the second lane.
    check(
        Some(3),
        Some(1_000),
        &[
            &format!("1 seat: not taken, and not needed: {}", raise("f", 4)),
            &format!("2 seats: handed out up to 3 times until taken: {}", raise("f", 4)),
            "1 seat: handed out up to 2 times until taken: an invocation was throttled, or ended too early; the log of \
             function `g` may say more",
        ],
    );
    let quota = "throttled (ConcurrentInvocationLimitExceeded): take fewer --generators, or have the account's quota \
                 `Concurrent executions` of Lambda raised, which is 6 (Service Quotas, L-B99A9384)";
    check(
        None,
        Some(6),
        &[
            &format!("1 seat: not taken, and not needed: {quota}"),
            &format!("2 seats: handed out up to 3 times until taken: {quota}"),
            &format!("1 seat: handed out up to 2 times until taken: {quota}"),
        ],
    );
    // Without a limit a spare that came too late is nothing to be told.
    let late = |function: &str, seats: &str, times: u32| {
        format!(
            "{seats}: handed out up to {times} times until taken: an invocation was throttled, or ended too early; the log \
             of function `{function}` may say more"
        )
    };
    check(None, None, &[&late("f", "2 seats", 3), &late("g", "1 seat", 2)]);
    assert_eq!(in_vain(&BTreeSet::new(), &BTreeMap::new(), 7, &Found::default()), Vec::<String>::new());
}
