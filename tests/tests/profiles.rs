//! Every profile of `squall target` under `squall run`, over real sockets: whether its trouble is named.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use squall_target::service::Kind;
use squall_tests::diagnosis::{Case, short_cases};
use squall_tests::served::Served;
use squall_tests::{Place, Ran};

/// So many go on at the same time: they wait for most of it.
const AT_ONCE: usize = 8;

/// A run whose generator did not get its processor says that first, and is made again, once. If it does not get it then
/// either, what is said next is of the target.
const SATURATED: &str = "generator_saturated";

/// A plan that asks for what the case asks for.
fn plan(case: &Case, address: &str) -> String {
    let (points, length_s) = (&case.course.points, case.course.length_s);
    let (begin, end) = (points.first().unwrap().1, points.last().unwrap().1);
    let (mut at_s, mut stages) = (0.0, String::new());
    for (until_s, rate) in points.iter().chain([&(length_s, end)]).filter(|point| point.0 > 0.0) {
        let duration_ms = ((until_s - at_s) * 1e3).round();
        writeln!(stages, "    - {{ duration: {duration_ms}ms, rate: {rate}/s }}").unwrap();
        at_s = *until_s;
    }
    format!(
        "target: http://{address}
load:
  model: open
  max_users: 1500
  start_rate: {begin}/s
  stages:
{stages}
scenarios:
  visitor:
    tasks:
      - {{ weight: 9, steps: [ {{ get: /products }} ] }}
      - {{ weight: 6, steps: [ {{ get: /products/1, name: 'GET /products/:id' }} ] }}
      - {{ weight: 5, steps: [ {{ post: /orders }} ] }}
"
    )
}

/// The kinds of a truth's findings, or the kinds that follow from them.
fn kinds(of: &Value) -> impl Iterator<Item = &str> {
    of.as_array().into_iter().flatten().filter_map(|one| one.get("kind").unwrap_or(one).as_str())
}

/// The command's run, its result, and the truth.
fn run(case: &Case) -> (Ran, Value, Value) {
    let place = Place::new();
    let target = Served::start(&place, case.profile, case.seed, &case.settings);
    place.write("plan.yaml", &plan(case, target.address()));
    let seed = case.seed.to_string();
    let own = ["run", "plan.yaml", "--generators", "1", "--seed", &seed, "--out", "out"];
    let ran = place.run(&[&own[..], &["--progress", "none"]].concat());
    (ran, place.result("out"), target.truth())
}

/// Runs a case, and looks at it: a line of what came of it, with all that is known where it is wrong.
fn look(case: &Case, expected: Kind) -> Result<String, String> {
    let is_saturated = |result: &Value| result["findings"][0]["kind"] == SATURATED;
    let first = run(case);
    let last = if is_saturated(&first.1) { run(case) } else { first };
    let (ran, result, truth) = last;
    let found = |place: usize| {
        let finding = &result["findings"][place];
        (finding["kind"].as_str().unwrap_or("nothing"), finding["confidence"].as_str().unwrap_or("no"))
    };
    let (first, confidence) = found(0);
    let kind = if is_saturated(&result) { found(1).0 } else { first };
    let is_true = kinds(&truth["findings"]).next() == serde_json::to_value(expected).unwrap().as_str();
    // What follows from the trouble is no mistake.
    let is_right = kinds(&truth["findings"]).chain(kinds(&truth["also"])).any(|right| right == kind);
    let printed = format!("\n {} ({confidence} confidence)\n", first.replace('_', " "));
    let line = format!("{}: {first}, {confidence}; then {}, {}", case.profile, found(1).0, found(1).1);
    if is_true && is_right && ran.stdout.contains(&printed) {
        return Ok(line);
    }
    let in_virtual_time = case.judge().found;
    Err(format!("{line}\n{}\n{}\n{truth:#}\nin virtual time: {in_virtual_time:#?}", ran.stdout, ran.stderr))
}

#[test]
fn a_run_over_real_sockets_names_what_is_wrong_with_each_profile() {
    let cases = Mutex::new(short_cases().into_iter());
    let wrong = Mutex::new(Vec::new());
    let next = || cases.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some((case, kind)) = next() {
            match look(&case, kind) {
                Ok(line) => println!("{line}"),
                Err(text) => wrong.lock().unwrap_or_else(PoisonError::into_inner).push(text),
            }
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
