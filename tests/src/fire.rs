//! A run on AWS while something goes wrong, and what must hold of it all the same.

#![expect(clippy::disallowed_methods, reason = "real processes are waited for, and stopped, by a real clock")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use squall_target::Server;

use crate::aws::{Aws, number};
use crate::{Ran, target};

/// How long the target must have heard nothing to be sure that load has ended: arrivals come far closer.
const QUIET: Duration = Duration::from_secs(3);

/// How long load may go on at most where nobody can end it.
const LEASE: Duration = Duration::from_secs(30);

/// How long a fleet may take until the target hears of it.
const BEGINS_WITHIN: Duration = Duration::from_mins(1);

/// A fleet, and a target that counts.
pub struct Fire {
    /// AWS with the fleet on it.
    pub aws: Aws,
    /// What load is made on.
    pub server: Server,
}

/// The command under way. It is ended when this is dropped, also if it was stopped.
pub struct Running {
    child: Option<Child>,
}

/// A generator that has a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seated {
    /// Which slice.
    pub slice: u64,
    /// Its process.
    pub pid: u32,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The command.
    pub ran: Ran,
    /// Its result.
    pub result: Value,
    /// What generators have written down.
    pub logs: String,
    /// What the target counted.
    pub received: u64,
    /// What the report says.
    pub reported: u64,
    /// How much more may have been sent, as the report says.
    pub bound: u64,
}

impl Fire {
    /// A fleet that was deployed.
    #[must_use]
    pub fn start() -> Self {
        Self::on(Aws::start())
    }

    /// The same with a proxy between AWS and everybody.
    #[must_use]
    pub fn behind_a_proxy() -> Self {
        Self::on(Aws::behind_a_proxy())
    }

    fn on(aws: Aws) -> Self {
        aws.deploy();
        Self { aws, server: target(false) }
    }

    /// Starts a run of so many arrivals a second, for so many seconds, on so many generators.
    #[must_use]
    pub fn run(&self, rate: u32, seconds: u32, generators: u32, more: &[&str]) -> Running {
        self.aws.place.write(
            "plan.yaml",
            &format!(
                "target: http://{}\nload: {{ rate: {rate}/s, duration: {seconds}s, max_users: 60 }}\n\
                 scenarios: {{ a: {{ steps: [ {{ get: /healthz }} ] }} }}\n",
                self.server.address()
            ),
        );
        let generators = generators.to_string();
        let own = ["run", "plan.yaml", "--backend", "aws", "--generators", &generators, "--out", "out"];
        let progress = ["--progress", "lines"];
        Running { child: Some(self.aws.spawn(&[&own[..], &progress, more].concat())) }
    }

    /// Waits until load has been made for so long.
    ///
    /// # Panics
    /// If it does not begin.
    pub fn wait_for_load(&self, duration: Duration) {
        let begin = Instant::now();
        while self.loaded_for() < Some(duration) {
            assert!(begin.elapsed() < BEGINS_WITHIN + duration, "load did not begin");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn loaded_for(&self) -> Option<Duration> {
        let first = self.server.counts().first_requests_us.iter().min().copied()?;
        Some(Duration::from_micros(now_us().saturating_sub(first)))
    }

    /// The run's id.
    ///
    /// # Panics
    /// If there is none yet.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its run cannot go on")]
    pub fn id(&self) -> String {
        let text = fs::read_to_string(self.aws.place.path().join("out/fleet.json")).expect("a run");
        let made_on: Value = serde_json::from_str(&text).expect("JSON");
        made_on["run"].as_str().expect("an id").to_owned()
    }

    /// Those who have a slice by the first assignment, by slice.
    #[must_use]
    pub fn seated(&self) -> Vec<Seated> {
        let run = self.id();
        let processes = self.aws.functions();
        let objects = |part: &str| {
            let prefix = format!("runs/{run}/{part}/");
            let keys = self.aws.keys().into_iter().filter(move |key| key.starts_with(&prefix));
            keys.map(|key| self.aws.object(&key)).collect::<Vec<Value>>()
        };
        let environment = |ready: &Value| Some((text(ready, "nonce")?, text(ready, "environment")?));
        let environments: BTreeMap<String, String> =
            objects("ready").iter().filter_map(environment).collect();
        let mut seated = Vec::new();
        for assignment in objects("assign") {
            let posts = assignment["posts"].as_object().into_iter().flatten();
            seated.extend(posts.filter_map(|(nonce, post)| {
                let pid = *processes.get(environments.get(nonce)?)?;
                Some(Seated { slice: post["share"][0].as_u64()?, pid })
            }));
        }
        seated.sort_unstable_by_key(|own| own.slice);
        seated
    }

    /// Waits for the command, and looks at what must hold of every run: no more is reported than was received and
    /// interrupted, no more is missing than the report says, load has ended, and nobody panicked.
    ///
    /// # Panics
    /// If something of it does not hold.
    #[must_use]
    pub fn end(&self, row: &str, running: Running) -> Outcome {
        let ran = running.wait();
        let before = self.server.counts().total;
        std::thread::sleep(QUIET);
        assert_eq!(before, self.server.counts().total, "{row}: load goes on");
        self.look(row, ran)
    }

    /// The same where the command can no longer end the load: it ends by itself.
    ///
    /// # Panics
    /// If it does not, or something else does not hold.
    #[must_use]
    pub fn end_by_itself(&self, row: &str, running: Running) -> Outcome {
        let (ran, begin) = (running.wait(), Instant::now());
        let mut before = None;
        while before != Some(self.server.counts().total) {
            assert!(begin.elapsed() < LEASE + QUIET, "{row}: load goes on");
            before = Some(self.server.counts().total);
            std::thread::sleep(QUIET);
        }
        self.look(row, ran)
    }

    fn look(&self, row: &str, ran: Ran) -> Outcome {
        let received = self.server.counts().total;
        assert!(!ran.stderr.contains("panicked"), "{row}: {}", ran.stderr);
        let logs = self.aws.logs();
        assert!(!logs.contains("panicked"), "{row}: {logs}");
        let result = self.aws.place.result("out");
        let outcome = Outcome {
            received,
            reported: number(&result, "/totals/requests"),
            bound: number(&result, "/coverage/unknown_requests"),
            ran,
            result,
            logs,
        };
        let Outcome { reported, bound, .. } = outcome;
        let code = outcome.ran.code;
        println!("row: {row}: received {received}, reported {reported}, bound {bound}, exit {code}");
        println!("{}", outcome.reasons());
        let progress = |line: &&str| !line.starts_with("plan: ");
        outcome.ran.stderr.lines().filter(progress).for_each(|line| println!("  {line}"));
        let unfinished = outcome.result["outcomes"]["unfinished"].as_u64().unwrap_or(0);
        assert!(reported <= received + unfinished, "{row}: counted twice: {outcome:#?}");
        assert!(received <= reported + bound, "{row}: more is missing than is said: {outcome:#?}");
        outcome
    }
}

impl Running {
    /// Sends the command a signal.
    pub fn signal(&self, name: &str) {
        if let Some(child) = &self.child {
            signal(child.id(), name);
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it cannot be waited for.
    #[expect(clippy::expect_used, reason = "a test without the command cannot go on")]
    #[must_use]
    pub fn wait(mut self) -> Ran {
        let child = self.child.take().expect("a command");
        Ran::from(child.wait_with_output().expect("its output"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Whoever has ended meanwhile need not be ended.
            let _ = child.kill().and_then(|()| child.wait());
        }
    }
}

impl Outcome {
    /// Why the verdict is what it is.
    #[must_use]
    pub fn reasons(&self) -> String {
        self.result["verdict"]["reasons"].to_string()
    }

    /// Nothing is missing, and nobody says so.
    ///
    /// # Panics
    /// If something is, or the exit code is another one.
    pub fn check_whole(&self, expected: u64, code: i32) {
        assert_eq!((self.received, self.reported, self.bound), (expected, expected, 0), "{self:#?}");
        assert_eq!(self.ran.code_but_for_saturation(&self.result), code, "{self:#?}");
        assert!(self.logs.contains("ran its slice"), "{self:#?}");
    }

    /// The command exited with that code, and says why.
    ///
    /// # Panics
    /// If it did not.
    pub fn check_told(&self, code: i32, reason: &str) {
        assert_eq!(self.ran.code, code, "{self:#?}");
        assert!(self.reasons().contains(reason), "`{reason}` in: {self:#?}");
    }
}

/// Sends a process a signal.
///
/// # Panics
/// If it cannot be sent.
#[expect(clippy::expect_used, reason = "a test without its fault cannot go on")]
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status().expect("`kill`");
    assert!(sent.success(), "kill {name} {pid}");
}

/// By this machine's clock.
#[must_use]
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn text(json: &Value, key: &str) -> Option<String> {
    json[key].as_str().map(str::to_owned)
}

impl Aws {
    /// An object in the fleet's bucket.
    ///
    /// # Panics
    /// If it is no JSON.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test whose object has another form cannot go on")]
    pub fn object(&self, key: &str) -> Value {
        let (_, body) = self.http("s3", "GET", &format!("/{}/{key}", self.output("Bucket")), &[], b"");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Processes of this emulator's functions, by the environment that they say they are.
    #[must_use]
    pub fn functions(&self) -> BTreeMap<String, u32> {
        let mark = format!("ministack-provided-code-{}", self.port());
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let functions = processes.filter_map(|process| {
            let pid: u32 = process.file_name().to_str()?.parse().ok()?;
            let folder = fs::read_link(process.path().join("cwd")).ok()?;
            folder.to_string_lossy().contains(&mark).then_some(())?;
            Some((environment_of(&process.path())?, pid))
        });
        functions.collect()
    }

    /// What functions have written. Empty where that is gone with the stack.
    #[must_use]
    pub fn logs(&self) -> String {
        let ask = |operation: &str, body: &Value| {
            let target = format!("Logs_20140328.{operation}");
            let body = body.to_string();
            self.http("logs", "POST", "/", &[("X-Amz-Target", &target)], body.as_bytes()).1
        };
        let groups: Value = serde_json::from_str(&ask("DescribeLogGroups", &json!({}))).unwrap_or_default();
        let groups = groups["logGroups"].as_array().cloned().unwrap_or_default();
        let events = groups.iter().map(|group| {
            ask("FilterLogEvents", &json!({ "logGroupName": group["logGroupName"], "limit": 10_000 }))
        });
        events.collect()
    }
}

/// What a function was told that its environment is.
fn environment_of(process: &Path) -> Option<String> {
    let variables = fs::read(process.join("environ")).ok()?;
    let own =
        variables.split(|byte| *byte == 0).find_map(|own| own.strip_prefix(b"AWS_LAMBDA_LOG_STREAM_NAME="));
    own.map(|name| String::from_utf8_lossy(name).into_owned())
}
