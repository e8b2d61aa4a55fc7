//! Hands a load over again and again, and counts at the target whether anybody notices: 24 generators on the emulator, two
//! minutes of 480 even arrivals a second, three windows with staggered boundaries.
//! `cargo run --release --package squall-tests --example windows`; the command must have been built, and the generator
//! packed with `cargo xtask generator`.

use std::process::ExitCode;

use squall_tests::aws::{Aws, number};
use squall_tests::target;

const GENERATORS: u64 = 24;
const RATE: u64 = 480;
const SECONDS: u64 = 120;

/// By how much a second may differ from the plan, as a part of it.
const MOST_OFF: f64 = 0.05;

fn main() -> ExitCode {
    let aws = Aws::start();
    aws.deploy();
    let server = target(false);
    aws.place.write(
        "plan.yaml",
        &format!(
            "target: http://{}\nload: {{ rate: {RATE}/s, duration: {SECONDS}s, max_users: 960 }}\n\
             scenarios: {{ a: {{ steps: [ {{ get: /healthz }} ] }} }}\n",
            server.address()
        ),
    );
    let generators = GENERATORS.to_string();
    let ran = aws.run(&[
        "run",
        "plan.yaml",
        "--backend",
        "aws",
        "--generators",
        &generators,
        "--window",
        "48s",
        "--progress",
        "none",
        "--out",
        "out",
    ]);
    eprintln!("{}", ran.stderr);
    println!("{}", ran.stdout);
    let result = aws.place.result("out");
    let counts = server.counts();
    let (first, last) = match (counts.seconds.keys().next(), counts.seconds.keys().next_back()) {
        (Some(first), Some(last)) => (*first, *last),
        _ => (0, 0),
    };
    // The first and the last are not whole: load does not begin when a second does.
    let whole: Vec<u64> =
        (first + 1..last).map(|second| counts.seconds.get(&second).copied().unwrap_or(0)).collect();
    let (least, most) = (whole.iter().min().copied().unwrap_or(0), whole.iter().max().copied().unwrap_or(0));
    let off = |count: u64| (count as f64 / RATE as f64 - 1.0).abs();
    let worst = whole.iter().copied().map(off).fold(0.0, f64::max);
    let (received, reported) = (counts.total, number(&result, "/totals/requests"));
    let handed_over = number(&result, "/coverage/seats/handed_over");
    let windows = result["generators"].as_array().into_iter().flatten().map(|own| number(own, "/window"));
    println!(
        "planned {}, received {received}, reported {reported}; windows 0 to {}, {handed_over} hand-overs; exit code {}",
        RATE * SECONDS,
        windows.max().unwrap_or(0),
        ran.code
    );
    println!(
        "{} whole seconds at the target: {least} to {most} arrivals of {RATE}, {:.1} % off at most (goal {} %)",
        whole.len(),
        worst * 100.0,
        MOST_OFF * 100.0
    );
    let holds = ran.code == 0
        && received == RATE * SECONDS
        && reported == received
        && handed_over >= 2 * GENERATORS
        && worst <= MOST_OFF;
    println!("verdict: {}", if holds { "ok" } else { "FAILED" });
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
