//! What the target's own instruments say: a real Prometheus that watches a service, CloudWatch as the emulator has it, a
//! file; and what comes of those that fail.

#![expect(clippy::disallowed_methods, reason = "a real process is timed by a real clock")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![expect(clippy::float_cmp, reason = "what is read is what was written")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use squall_tests::aws::{Aws, REGION, root};
use squall_tests::{Place, target};
use tempfile::TempDir;

/// How long something may take that others have to do first.
const PATIENCE: Duration = Duration::from_secs(30);

/// A Prometheus that scrapes one place every second, on a port of its own.
struct Prometheus {
    child: Child,
    port: u16,
    _state: TempDir,
}

impl Prometheus {
    fn watching(scraped: SocketAddr) -> Self {
        let state = tempfile::tempdir().unwrap();
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
             scrape_configs: [ {{ job_name: shop, static_configs: [ {{ targets: ['{scraped}'] }} ] }} ]\n"
        );
        std::fs::write(state.path().join("prometheus.yml"), config).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let found = Command::new(root().join("scripts/prometheus")).output().unwrap();
        let binary = String::from_utf8(found.stdout).unwrap();
        let child = Command::new(binary.trim())
            .arg(format!("--config.file={}", state.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", state.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Prometheus is there: `scripts/prometheus`");
        let prometheus = Self { child, port, _state: state };
        // Until it has looked twice, so that there is a rate.
        until(|| prometheus.ask("count_over_time(up[1m])").is_some_and(|looks| looks >= 2.0));
        prometheus
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The first value of an answer.
    fn ask(&self, query: &str) -> Option<f64> {
        let path = format!("/api/v1/query?query={}", squall_tests::aws::encode(query));
        let answer = get(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)), &path)?;
        let answer: Value = serde_json::from_str(&answer).ok()?;
        answer.pointer("/data/result/0/value/1")?.as_str()?.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

fn until(is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "it does not come to be");
        std::thread::yield_now();
    }
}

fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// A place that answers every request with what is said, or never where nothing is. How often it was asked.
fn serve(answer: impl Fn() -> Option<(u16, String)> + Send + 'static) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    // It ends with the process of the test.
    std::thread::spawn(move || {
        let mut hanging = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            count.fetch_add(1, Ordering::Relaxed);
            let _ = stream.read(&mut [0; 8_192]);
            match answer() {
                Some((status, body)) => {
                    let head = "Content-Type: text/plain; version=0.0.4\r\nConnection: close";
                    let length = body.len();
                    let _ = write!(
                        stream,
                        "HTTP/1.1 {status} x\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}"
                    );
                }
                None => hanging.push(stream),
            }
        }
    });
    (address, asked)
}

/// The series of a result with this name.
fn series<'a>(result: &'a Value, name: &str) -> &'a Value {
    let all = result["telemetry"].as_array().unwrap();
    let found = all.iter().find(|series| series["name"] == name);
    found.unwrap_or_else(|| panic!("no series `{name}` in {all:?}\n{}", result["problems"]))
}

fn points(series: &Value) -> Vec<(f64, f64)> {
    let points = series["points"].as_array().unwrap();
    points.iter().map(|point| (point[0].as_f64().unwrap(), point[1].as_f64().unwrap())).collect()
}

fn plan(target: SocketAddr, load: &str, telemetry: &str) -> String {
    format!(
        "target: http://{target}\nload: {load}\nscenarios: {{ a: {{ steps: [ {{ get: /healthz }} ] }} }}\n\
         telemetry:\n{telemetry}\n"
    )
}

fn problems(result: &Value) -> Vec<String> {
    result["problems"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn a_real_prometheus_says_what_the_target_was_doing() {
    let server = Arc::new(target(false));
    let counted = Arc::clone(&server);
    let (metrics, _) = serve(move || {
        let total = counted.counts().total;
        Some((
            200,
            format!(
                "# TYPE shop_requests_total counter\nshop_requests_total {total}\nshop_pods{{pod=\"a\"}} 2\nshop_pods{{pod=\"b\"}} 3\nshop_odd NaN\n"
            ),
        ))
    });
    let prometheus = Prometheus::watching(metrics);
    let place = Place::new();
    let telemetry = format!(
        "  - prometheus: {}\n    presets: [hpa]\n    queries:\n      requests: shop_requests_total\n      \
         rate: {{ query: 'rate(shop_requests_total[4s])', unit: per second }}\n      pods: shop_pods\n      \
         odd: shop_odd\n      wrong: 'sum('\n",
        prometheus.url()
    );
    place.write(
        "plan.yaml",
        &plan(server.address(), "{ rate: 50/s, duration: 14s, max_users: 20 }", &telemetry),
    );
    let ran = place.run(&["run", "plan.yaml", "--generators", "1", "--out", "out", "--progress", "none"]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let result = place.result("out");
    let requests = points(series(&result, "requests"));
    assert!(requests.is_sorted() && requests.windows(2).all(|pair| pair[0].0 < pair[1].0), "{requests:?}");
    assert!(requests.len() >= 15, "a value a second, before the load too: {requests:?}");
    // What the target counted at a time is what was sent until then: the axes are the same, to about a second of scraping.
    let timeline = result["timeline"]["points"].as_array().unwrap();
    let sent = |until_s: f64| -> f64 {
        let points = timeline.iter().filter(|point| point["t_s"].as_f64().unwrap() < until_s);
        points.map(|point| point["requests"].as_f64().unwrap()).sum()
    };
    for (t_s, value) in requests.iter().filter(|(t_s, _)| (2.0..13.0).contains(t_s)) {
        let (least, most) = (sent(t_s - 2.5), sent(t_s + 1.5));
        assert!((least..=most).contains(value), "{value} at {t_s}, not between {least} and {most}");
    }
    assert!(requests.iter().filter(|(t_s, _)| *t_s < 0.0).all(|(_, value)| *value == 0.0), "{requests:?}");
    let rate = points(series(&result, "rate"));
    let steady: Vec<f64> =
        rate.iter().filter(|(t_s, _)| (6.0..13.0).contains(t_s)).map(|(_, rate)| *rate).collect();
    assert!(steady.iter().all(|rate| (30.0..70.0).contains(rate)), "{rate:?}");
    assert_eq!(series(&result, "rate")["unit"], "per second");
    assert_eq!(series(&result, "rate")["source"], "prometheus");
    assert!(points(series(&result, "pods{pod=\"a\"}")).iter().all(|(_, pods)| *pods == 2.0));
    assert!(points(series(&result, "pods{pod=\"b\"}")).iter().all(|(_, pods)| *pods == 3.0));
    let problems = problems(&result);
    let told = |text: &str| problems.iter().any(|problem| problem.contains(text));
    assert!(
        told("`wrong`: answered with status 400") && told("values that are no finite numbers"),
        "{problems:?}"
    );
    assert!(ran.stderr.contains("warning: telemetry of prometheus: `wrong`"), "{}", ran.stderr);
    let page = std::fs::read_to_string(place.path().join("out/report.html")).unwrap();
    assert!(page.contains("chart-telemetry-0"), "the report draws it");
}

#[test]
fn a_token_reaches_prometheus_and_nothing_else() {
    let server = target(false);
    let (prometheus, asked) = serve(|| Some((401, "wrong password t0p-secret".to_owned())));
    let place = Place::new();
    let telemetry = format!(
        "  - prometheus: http://{prometheus}\n    queries: {{ up: up }}\n    \
         headers: {{ Authorization: 'Bearer {{{{ secret.token }}}}' }}\nsecrets: {{ token: {{ env: PROM_TOKEN }} }}"
    );
    place.write("plan.yaml", &plan(server.address(), "{ users: 1, duration: 1s }", &telemetry));
    let mut command = place.command(&["run", "plan.yaml", "--out", "out", "--progress", "none"]);
    let ran = squall_tests::Ran::from(command.env("PROM_TOKEN", "t0p-secret").output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(asked.load(Ordering::Relaxed), 1, "who refuses the first question is asked no more");
    assert!(ran.stderr.contains("status 401"), "{}", ran.stderr);
    let everything =
        std::fs::read_to_string(place.path().join("out/result.json")).unwrap() + &ran.stderr + &ran.stdout;
    assert!(!everything.contains("t0p-secret"));
}

#[test]
fn sources_that_fail_hang_or_talk_nonsense_never_fail_a_run() {
    let server = target(false);
    let (failing, _) = serve(|| Some((500, "oops".to_owned())));
    let (hanging, _) = serve(|| None);
    let (foreign, _) = serve(|| Some((200, "<html>".to_owned())));
    let place = Place::new();
    let now = now_s();
    place.write(
        "own.csv",
        &format!(
            "time,name,value,unit\n{now},depth,4,messages\n{},depth,6,messages\n{now},depth,5,messages\nnoon,depth,1,\n\
             {now},depth,NaN,\n{},depth,7,messages\n",
            now + 1.0,
            now - 9_000.0
        ),
    );
    let source = |address| format!("  - {{ prometheus: 'http://{address}', queries: {{ up: up }} }}\n");
    let telemetry = [
        source(failing),
        source(hanging),
        source(foreign),
        source(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))),
        "  - file: own.csv\n  - file: none.csv\n  - file: .\n".to_owned(),
    ];
    place.write("plan.yaml", &plan(server.address(), "{ users: 1, duration: 3s }", &telemetry.concat()));
    let begin = Instant::now();
    let ran = place.run(&["run", "plan.yaml", "--out", "out", "--progress", "none"]);
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let result = place.result("out");
    let problems = problems(&result);
    for expected in [
        &format!("prometheus {failing}: answered with status 500"),
        &format!("prometheus {hanging}: no answer within 5 s"),
        &format!("prometheus {foreign}: the answer is not that of a Prometheus"),
        "prometheus 127.0.0.1:1: no answer",
        "own.csv: left out: 1 values that are no finite numbers, 1 values for a time that had one already, 1 points or lines",
        "none.csv: No such file",
        ".: it is no file",
    ] {
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected} in {problems:?}");
        assert!(ran.stderr.contains(expected), "{expected} in {}", ran.stderr);
    }
    let depth = points(series(&result, "depth"));
    assert_eq!(depth.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [5.0, 6.0], "{depth:?}");
    assert!(depth.iter().all(|(t_s, _)| (-10.0..5.0).contains(t_s)), "{depth:?}");
}

#[test]
fn what_was_said_before_a_source_was_gone_is_kept() {
    let server = target(false);
    let asked = AtomicU64::new(0);
    let (prometheus, _) = serve(move || {
        let now = now_s();
        let result = match asked.fetch_add(1, Ordering::Relaxed) {
            0 => json!({ "resultType": "scalar", "result": [now, now.to_string()] }),
            1 => {
                json!({ "resultType": "matrix", "result": [ { "metric": {}, "values": [[now - 5.0, "3"], [now - 1.0, "4"]] } ] })
            }
            _ => return Some((503, String::new())),
        };
        Some((200, json!({ "status": "success", "data": result }).to_string()))
    });
    let place = Place::new();
    let telemetry = format!("  - {{ prometheus: 'http://{prometheus}', queries: {{ pods: pods }} }}");
    place.write("plan.yaml", &plan(server.address(), "{ users: 1, duration: 12s }", &telemetry));
    let ran = place.run(&["run", "plan.yaml", "--out", "out", "--progress", "none", "--output", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // Whoever watches the run sees the latest value after the first look.
    let frames = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let told: Vec<Value> = frames.filter_map(|frame| frame["telemetry"].get(0).cloned()).collect();
    let last = told.last().expect("a frame with it");
    assert_eq!(
        (&last["name"], &last["value"], &last["source"]),
        (&json!("pods"), &json!(4.0), &json!("prometheus"))
    );
    assert!((0.5..9.0).contains(&last["age_s"].as_f64().unwrap()), "{last}");
    let result = place.result("out");
    let values: Vec<f64> = points(series(&result, "pods")).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, [3.0, 4.0]);
    assert!(problems(&result).iter().any(|problem| problem.contains("503")), "{:?}", problems(&result));
}

#[test]
fn whoever_attaches_asks_too() {
    let server = target(false);
    let place = Place::new();
    let now = now_s();
    place.write("own.csv", &format!("time,name,value\n{},depth,4\n{},depth,5\n", now + 2.0, now + 3.0));
    place.write("plan.yaml", &plan(server.address(), "{ users: 1, duration: 60s }", "  - file: own.csv"));
    let mut command = place.start(&["run", "plan.yaml", "--out", "out", "--progress", "none"]);
    until(|| server.counts().total > 100 && now_s() > now + 4.0);
    command.kill().unwrap();
    command.wait().unwrap();
    let attached = place.run(&["attach", "out", "--progress", "none"]);
    let result = place.result("out");
    let values: Vec<f64> = points(series(&result, "depth")).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, [4.0, 5.0], "{}", attached.stderr);
}

/// Tells the emulator something in its JSON form.
fn tell(aws: &Aws, service: &str, action: &str, body: &Value) {
    let headers = [("X-Amz-Target", action)];
    let (status, answer) = aws.http(service, "POST", "/", &headers, body.to_string().as_bytes());
    assert_eq!(status, 200, "{action}: {answer}");
}

#[test]
fn cloudwatch_says_what_the_functions_were_doing() {
    let aws = Aws::start();
    let server = target(false);
    let now = now_s();
    let minute = (now / 60.0).floor() * 60.0;
    // The minute in which the load is, and the next, so that nothing is late.
    for (metric, values) in
        [("Invocations", [120.0, 90.0]), ("Throttles", [0.0, 3.0]), ("Duration", [40.0, 55.0])]
    {
        let form: String = values
            .iter()
            .enumerate()
            .map(|(index, value)| {
                let prefix = format!("&MetricData.member.{}", index + 1);
                let seconds = i64::try_from(index).unwrap() * 60;
                #[expect(clippy::cast_possible_truncation, reason = "it is a whole number")]
                let time = minute as i64 + seconds;
                format!(
                    "{prefix}.MetricName={metric}{prefix}.Value={value}{prefix}.Timestamp={time}\
                     {prefix}.Dimensions.member.1.Name=FunctionName{prefix}.Dimensions.member.1.Value=checkout"
                )
            })
            .collect();
        let answer = aws.ask(
            "monitoring",
            &format!("Action=PutMetricData&Version=2010-08-01&Namespace=AWS/Lambda{form}"),
        );
        assert!(answer.contains("PutMetricDataResponse"), "{answer}");
    }
    let group = json!({ "logGroupName": "/aws/lambda/checkout" });
    tell(&aws, "logs", "Logs_20140328.CreateLogGroup", &group);
    let stream = json!({ "logGroupName": "/aws/lambda/checkout", "logStreamName": "s" });
    tell(&aws, "logs", "Logs_20140328.CreateLogStream", &stream);
    #[expect(clippy::cast_possible_truncation, reason = "the time in milliseconds")]
    let at = |after_ms: f64| (now * 1e3 + after_ms) as i64;
    let cold = |request: &str, init_ms: f64| {
        format!(
            "REPORT RequestId: {request}\tDuration: 20.00 ms\tBilled Duration: 20 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tInit Duration: {init_ms:.2} ms\t"
        )
    };
    let json_report = json!({
        "time": "2026-11-26T09:00:00Z",
        "type": "platform.report",
        "record": { "requestId": "r3", "metrics": { "durationMs": 10.0, "initDurationMs": 90.0 } },
    });
    let events = json!([
        { "timestamp": at(0.0), "message": "START RequestId: r1 Version: $LATEST" },
        { "timestamp": at(10.0), "message": cold("r1", 120.0) },
        { "timestamp": at(11.0), "message": cold("r1", 120.0) },
        { "timestamp": at(20.0), "message": "REPORT RequestId: r2\tDuration: 20.00 ms\tBilled Duration: 20 ms\t" },
        { "timestamp": at(30.0), "message": json_report.to_string() },
    ]);
    let put = json!({ "logGroupName": "/aws/lambda/checkout", "logStreamName": "s", "logEvents": events });
    tell(&aws, "logs", "Logs_20140328.PutLogEvents", &put);
    let telemetry =
        "  - cloudwatch: { lambda: checkout }\n  - cloudwatch: { lambda: nobody, region: us-east-1 }";
    aws.place.write("plan.yaml", &plan(server.address(), "{ users: 1, duration: 3s }", telemetry));
    let ran = aws.run(&["run", "plan.yaml", "--out", "out", "--progress", "none"]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let result = aws.place.result("out");
    let problems = problems(&result);
    let values = |name: &str| -> Vec<f64> {
        points(series(&result, name)).into_iter().map(|(_, value)| value).collect()
    };
    assert_eq!(values("checkout: invocations")[0], 120.0);
    assert_eq!(values("checkout: duration p99")[0], 40.0);
    let t_s = points(series(&result, "checkout: invocations"))[0].0;
    assert!((-75.0..=3.0).contains(&t_s), "{t_s}");
    assert_eq!(series(&result, "checkout: invocations")["source"], format!("cloudwatch {REGION}"));
    assert_eq!(values("checkout: init").len(), 2, "r1 once, r2 warm, r3 as JSON");
    assert!((values("checkout: init").iter().sum::<f64>() - 210.0).abs() < 1e-6);
    assert!((values("checkout: cold starts").iter().sum::<f64>() - 2.0).abs() < 1e-6);
    assert!((values("checkout: reported").iter().sum::<f64>() - 3.0).abs() < 1e-6);
    // The other region has neither the log nor any metric, and nobody waits for what cannot come.
    assert!(problems.iter().any(|problem| problem.contains("cloudwatch us-east-1") && problem.contains("/aws/lambda/nobody")), "{problems:?}");
}
