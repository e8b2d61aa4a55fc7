//! Runs the command against all abrupt targets at once for minutes, and watches whether it loses sockets, threads or
//! memory. `cargo run --package squall-tests --example soak -- --minutes 10`; the command must have been built.

#![expect(clippy::disallowed_methods, reason = "a real process is timed by a real clock")]

use std::fs;
use std::path::Path;
use std::process::{Child, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use squall_tests::Place;
use squall_tests::abrupt::{Row, Stage, table};

/// How often the command is looked at, and which of the looks are printed. How many connections are open at one
/// moment is chance; the middle of many looks is not.
const EVERY: Duration = Duration::from_millis(500);
const PRINTED: usize = 6;

/// What may be more at the end than at the beginning: this part of it, and so much memory besides.
const PART: f64 = 0.05;
const MEMORY_KIB: f64 = 2048.0;

/// The command keeps every second of every name for its report. One takes 0.55 KiB, and twice that where the generator
/// was the bottleneck, for it is kept apart then, too.
const SECOND_OF_NAME_KIB: f64 = 1.2;

/// What the C library keeps of memory that was freed says nothing about what is in use: this has it keep little.
const ALLOCATOR: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "131072"), ("MALLOC_TRIM_THRESHOLD_", "131072")];

/// Requests that a busy machine may let time out although their row does not allow it.
const STRAYS: f64 = 0.01;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<ExitCode, Failure> {
    let arguments = Arguments::read(std::env::args().skip(1))?;
    let (stage, left) = Stage::shared(arguments.rows(table())?);
    println!("rows: {}", stage.ids().collect::<Vec<_>>().join(" "));
    println!("rows that share no plan with others: {}", left.join(" "));
    let place = Place::new();
    let users = 2 * stage.ids().count();
    let seconds = arguments.minutes * 60.0;
    let load = format!("{{ users: {users}, duration: {seconds:.0}s, graceful_stop: 5s }}");
    stage.write(&place, &load);
    let child = start(&place)?;
    let samples = watch(child, &place, Duration::from_secs_f64(seconds))?;
    let result = place.result("out");
    println!("{}", result["outcomes"]);
    let names = result["endpoints"].as_array().map_or(0, Vec::len);
    let leaks = leaks(&samples, names as f64);
    let strays = strays(&stage, &result);
    println!("verdict: {}", if leaks || strays { "FAILED" } else { "ok" });
    Ok(if leaks || strays { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What is to be done.
struct Arguments {
    minutes: f64,
    /// Only these rows; all of them if there are none.
    only: Vec<String>,
}

impl Arguments {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut read = Self { minutes: 10.0, only: Vec::new() };
        while let Some(argument) = arguments.next() {
            let value = arguments.next().ok_or("usage: soak [--minutes N] [--rows ID,ID,…]")?;
            match argument.as_str() {
                "--minutes" => read.minutes = value.parse()?,
                "--rows" => read.only = value.split(',').map(str::to_owned).collect(),
                _ => return Err(format!("`{argument}` is no argument of the soak").into()),
            }
        }
        Ok(read)
    }

    fn rows(&self, table: Vec<Row>) -> Result<Vec<Row>, Failure> {
        if let Some(unknown) = self.only.iter().find(|id| table.iter().all(|row| row.id != id.as_str())) {
            return Err(format!("no row is called `{unknown}`").into());
        }
        let is_wanted = |row: &Row| self.only.is_empty() || self.only.iter().any(|id| row.id == id);
        Ok(table.into_iter().filter(is_wanted).collect())
    }
}

fn start(place: &Place) -> Result<Child, Failure> {
    let mut command = place.command(&["run", "plan.yaml", "--generators", "1", "--out", "out"]);
    command.env("SSL_CERT_FILE", place.path().join("authority.pem")).envs(ALLOCATOR).stdout(Stdio::null());
    Ok(command.stderr(fs::File::create(place.path().join("stderr"))?).spawn()?)
}

/// What the command holds at one moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    seconds: f64,
    sockets: f64,
    files: f64,
    threads: f64,
    memory_kib: f64,
}

impl Sample {
    fn line(&self) -> String {
        let Self { seconds, sockets, files, threads, memory_kib } = self;
        format!(
            "{seconds:>6.0} s  sockets {sockets:>4}  files {files:>4}  threads {threads:>3}  RSS {memory_kib:>7} KiB"
        )
    }

    /// `None` once the process is gone.
    fn take(process: &Path, seconds: f64) -> Option<Self> {
        let files: Vec<_> = fs::read_dir(process.join("fd")).ok()?.flatten().collect();
        let is_socket =
            |path: &Path| fs::read_link(path).is_ok_and(|link| link.to_string_lossy().starts_with("socket:"));
        let status = fs::read_to_string(process.join("status")).ok()?;
        let number = |name: &str| -> Option<f64> {
            status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
        };
        let sockets = files.iter().filter(|file| is_socket(&file.path())).count();
        Some(Self {
            seconds,
            sockets: sockets as f64,
            files: files.len() as f64,
            threads: number("Threads:")?,
            memory_kib: number("VmRSS:")?,
        })
    }
}

/// Looks at the command until it ends. The samples are those of the time of load.
fn watch(mut child: Child, place: &Place, duration: Duration) -> Result<Vec<Sample>, Failure> {
    let process = Path::new("/proc").join(child.id().to_string());
    let begin = Instant::now();
    let (mut samples, mut looks) = (Vec::new(), 0_usize);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        let elapsed = begin.elapsed();
        if let Some(sample) = Sample::take(&process, elapsed.as_secs_f64()) {
            if looks.is_multiple_of(PRINTED) {
                println!("{}", sample.line());
            }
            looks += 1;
            if elapsed < duration {
                samples.push(sample);
            }
        }
        std::thread::sleep(EVERY);
    };
    let stderr = fs::read_to_string(place.path().join("stderr"))?;
    // On a busy machine the generator says of itself that it was the bottleneck.
    if ![Some(0), Some(98)].contains(&status.code()) || stderr.contains("panicked") {
        return Err(format!("the command ended with {status}: {stderr}").into());
    }
    Ok(samples)
}

/// Whether the last fifth of the samples holds more than the second fifth, the first being warm-up.
fn leaks(samples: &[Sample], names: f64) -> bool {
    let fifth = samples.len() / 5;
    let second = &samples[fifth..2 * fifth];
    let last = &samples[samples.len() - fifth..];
    let seconds = last[last.len() / 2].seconds - second[second.len() / 2].seconds;
    let kept = seconds * names * SECOND_OF_NAME_KIB;
    println!("{names} names for {seconds:.0} s may take {kept:.0} KiB");
    let grows = |name: &str, of: fn(&Sample) -> f64, more: f64| {
        let (before, after) = (median(second, of), median(last, of));
        let leaks = fifth == 0 || after > before * (1.0 + PART) + more;
        println!("{name:<12} {before:>9} → {after:>9}  {}", if leaks { "GROWS" } else { "ok" });
        leaks
    };
    let sockets = grows("sockets", |sample| sample.sockets, 2.0);
    let files = grows("files", |sample| sample.files, 2.0);
    let threads = grows("threads", |sample| sample.threads, 0.0);
    let memory = grows("RSS in KiB", |sample| sample.memory_kib, MEMORY_KIB + kept);
    sockets || files || threads || memory
}

fn median(samples: &[Sample], of: fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Whether more requests than a busy machine explains ended as their rows do not allow.
fn strays(stage: &Stage, result: &Value) -> bool {
    let strays = stage.strays(result);
    for (id, outcomes) in &strays {
        println!("{id}: {outcomes:?}");
    }
    let strays: u64 = strays.iter().flat_map(|(_, outcomes)| outcomes.values()).sum();
    let requests = result["totals"]["requests"].as_u64().unwrap_or(0);
    println!("{strays} of {requests} requests ended as their rows do not allow");
    requests == 0 || strays as f64 > requests as f64 * STRAYS
}
