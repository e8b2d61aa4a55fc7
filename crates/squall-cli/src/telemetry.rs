//! What the target's own instruments say: asked on a thread of its own while there is load, and once more after it.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use squall_aws::operator::{CloudWatch, Session, Told};
use squall_fleet::{Clock, End, RunRecord, Secrets};
use squall_metrics::TelemetrySeries;
use squall_plan::{Bundle, CloudWatchSource, Plan, PrometheusSource, SecretValues, TelemetrySource, compile};
use squall_seat::SystemClock;
use squall_telemetry::{
    ClockOffset, Flaws, Gathered, Latest, MOST_BYTES, Prometheus, Query, Reading, Said, lines, preset,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::secrets::OwnSecrets;

/// How often instruments are asked while there is load, and how long that may take.
const EVERY: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_secs(8);

/// How long the last look may take, and how long CloudWatch is waited for besides.
const LAST_LOOK: Duration = Duration::from_secs(20);
const LATE: Duration = Duration::from_secs(30);
const LATE_PAUSE: Duration = Duration::from_secs(5);

/// How long a secret is waited for.
const SECRET: Duration = Duration::from_secs(10);

/// What is asked again with each look, for some are late; and how much of the time before the load is looked at, in which
/// a minute of CloudWatch may have begun.
const AGAIN_S: f64 = 180.0;
const BEFORE_S: f64 = 30.0;
const MINUTE_S: f64 = 60.0;

/// Half a second: a date has no fractions.
const DATE_ERROR_S: f64 = 0.5;

/// Values of a series that Prometheus is asked for, if the plan does not say how far apart they are.
const VALUES: f64 = 3_600.0;

/// More problems than this are counted only.
const MOST_TOLD: usize = 10;

/// Instruments that are being asked.
pub(crate) struct Telemetry {
    end: oneshot::Sender<Ended>,
    done: Receiver<()>,
    gathered: Arc<Mutex<Gathered>>,
}

/// What instruments have said so far, for whoever watches.
#[derive(Debug, Clone)]
pub(crate) struct Heard(Arc<Mutex<Gathered>>);

impl Heard {
    /// The latest value of each, of so many at most.
    pub(crate) fn latest(&self, most: usize) -> Vec<Latest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).latest(most)
    }
}

/// The time that the last look is about, in seconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Ended {
    from_s: f64,
    until_s: f64,
    /// Whether it is worth while to wait for what is late.
    waits: bool,
}

/// One who is asked, and what it is called.
struct Source {
    name: String,
    kind: Kind,
}

enum Kind {
    Prometheus(Prometheus),
    CloudWatch(Box<CloudWatch>),
    File(PathBuf),
    /// Why there is nobody who could be asked.
    Nobody(String),
}

/// Begins to ask whom a plan names; `None` if it names nobody.
pub(crate) fn begin(plan: &Plan, bundle: &Bundle) -> Option<Telemetry> {
    if plan.telemetry.sources.is_empty() {
        return None;
    }
    let (end, ended) = oneshot::channel();
    let (tell, done) = sync_channel(1);
    let gathered = Arc::new(Mutex::new(Gathered::default()));
    let (shared, bundle) = (Arc::clone(&gathered), bundle.clone());
    // Without a thread it is as if it hung: that is told at the end.
    let _ = std::thread::Builder::new()
        .name("telemetry".to_owned())
        .spawn(move || on_its_thread(&bundle, ended, &tell, &shared));
    Some(Telemetry { end, done, gathered })
}

impl Telemetry {
    /// What they say, to be looked at meanwhile.
    pub(crate) fn heard(&self) -> Heard {
        Heard(Arc::clone(&self.gathered))
    }

    /// What they said in the time of a run that is over, on its time axis, and what they did not say.
    pub(crate) fn end(self, record: &RunRecord) -> (Vec<TelemetrySeries>, Vec<String>) {
        let Some(epoch) = record.epoch_here else { return (Vec::new(), Vec::new()) };
        let (epoch_s, until_s) = (epoch.0 as f64 / 1e6, now_s());
        let waits = matches!(record.end, End::Finished | End::Aborted(_));
        let asked = self.end.send(Ended { from_s: epoch_s - BEFORE_S, until_s, waits });
        let is_done = asked.is_ok() && self.done.recv_timeout(SECRET + LAST_LOOK + LATE + LAST_LOOK).is_ok();
        let gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let series = gathered.series(epoch_s, -BEFORE_S - MINUTE_S, until_s - epoch_s);
        let mut problems = gathered.problems();
        if !is_done {
            problems.push("telemetry: it took too long to ask once more after the load".to_owned());
        }
        problems.iter().take(MOST_TOLD).for_each(|problem| eprintln!("warning: {problem}"));
        if problems.len() > MOST_TOLD {
            eprintln!("warning: … and {} more, in result.json", problems.len() - MOST_TOLD);
        }
        (series, problems)
    }
}

fn on_its_thread(
    bundle: &Bundle,
    ended: oneshot::Receiver<Ended>,
    tell: &SyncSender<()>,
    gathered: &Mutex<Gathered>,
) {
    // It compiled when the run began.
    let Ok(compiled) = compile(bundle) else { return };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(watch(&compiled.plan, &bundle.file, ended, gathered));
    // Whoever does not wait any more has gone on.
    let _ = tell.try_send(());
    // A name that is still being looked up must not hold up the end.
    runtime.shutdown_background();
}

/// Asks until the run is over, and once more then.
async fn watch(plan: &Plan, file: &str, ended: oneshot::Receiver<Ended>, gathered: &Mutex<Gathered>) {
    let folder = Path::new(file).parent().unwrap_or(Path::new("")).to_owned();
    let sources = open(plan, &folder).await;
    let mut ended = pin!(ended);
    let looks = async {
        let mut from_s = now_s() - BEFORE_S;
        loop {
            sleep(EVERY).await;
            let until_s = now_s();
            look(&sources, (from_s, until_s), LOOK, gathered, false).await;
            from_s = until_s - AGAIN_S;
        }
    };
    let ended = tokio::select! {
        ended = &mut ended => ended,
        () = looks => return,
    };
    // A run that never began asks for nothing.
    let Ok(Ended { from_s, until_s, waits }) = ended else { return };
    let range = (from_s, until_s);
    if look(&sources, range, LAST_LOOK, gathered, true).await || !waits {
        return;
    }
    eprintln!("waiting up to {} s for the last minutes of CloudWatch …", LATE.as_secs());
    let late = async {
        loop {
            sleep(LATE_PAUSE).await;
            if look(&sources, range, LAST_LOOK, gathered, true).await {
                break;
            }
        }
    };
    tokio::select! {
        _ = timeout(LATE, late) => {}
        // Nobody has to wait for that.
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Asks all at once; whether CloudWatch has told all there is to come.
async fn look(
    sources: &[Source],
    (from_s, until_s): (f64, f64),
    within: Duration,
    gathered: &Mutex<Gathered>,
    is_last: bool,
) -> bool {
    let deadline = Instant::now() + within;
    let looks = sources.iter().map(|source| async move {
        let (said, is_whole) = match &source.kind {
            Kind::Prometheus(prometheus) => (prometheus.read(from_s, until_s, deadline, now_s).await, true),
            Kind::CloudWatch(cloudwatch) => {
                let told = cloudwatch.read(from_s, until_s, deadline, now_s).await;
                let minute = told.latest_minute_s.map(|minute_s| minute_s + MINUTE_S);
                let is_whole = minute.is_some_and(|end_s| end_s >= until_s) || !told.problems.is_empty();
                (said_by(told), is_whole)
            }
            // It is whole when the load is over.
            Kind::File(_) if !is_last => return true,
            Kind::File(path) => (read(path), true),
            Kind::Nobody(why) => (nothing(why.clone()), true),
        };
        gathered.lock().unwrap_or_else(PoisonError::into_inner).add(&source.name, said);
        is_whole
    });
    join_all(looks).await.into_iter().all(|is_whole| is_whole)
}

fn nothing(problem: String) -> Said {
    Said { problems: vec![problem], ..Said::default() }
}

fn said_by(told: Told) -> Said {
    let Told { series, problems, unreadable, clock_offset_s, .. } = told;
    Said {
        readings: series
            .into_iter()
            .map(|series| Reading { name: series.name, unit: series.unit, points: series.points })
            .collect(),
        flaws: Flaws { unreadable, ..Flaws::default() },
        // A difference that is within the error of a date is none.
        clock: clock_offset_s
            .filter(|offset_s| offset_s.abs() > 2.0 * DATE_ERROR_S)
            .map(|offset_s| ClockOffset { offset_s, error_s: DATE_ERROR_S }),
        problems,
    }
}

fn read(path: &Path) -> Said {
    let mut bytes = Vec::new();
    let reading = fs::metadata(path).and_then(|found| {
        // What is no ordinary file may never end.
        if !found.is_file() {
            return Err(std::io::Error::other("it is no file"));
        }
        File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)
    });
    if let Err(error) = reading {
        return nothing(error.to_string());
    }
    let most = usize::try_from(MOST_BYTES).unwrap_or(usize::MAX);
    let is_cut = bytes.len() > most;
    bytes.truncate(most);
    let mut said = lines(&bytes).unwrap_or_else(|error| nothing(error.to_string()));
    if is_cut {
        said.problems.push(format!("only its first {} MB are read", most / 1_024 / 1_024));
    }
    said
}

/// Everybody whom the plan names.
async fn open(plan: &Plan, folder: &Path) -> Vec<Source> {
    let secrets = secrets(plan).await;
    let sources = &plan.telemetry.sources;
    let prometheuses =
        sources.iter().filter(|source| matches!(source, TelemetrySource::Prometheus(_))).count();
    let clouds = sources.iter().filter(|source| matches!(source, TelemetrySource::CloudWatch(_))).count();
    let mut opened: Vec<Source> = Vec::new();
    for source in sources {
        let (mut name, kind) = match source {
            TelemetrySource::Prometheus(source) => {
                let kind = secrets.clone().and_then(|secrets| prometheus(plan, source, &secrets));
                let (host, port) =
                    (source.url.host_str().unwrap_or_default(), source.url.port_or_known_default());
                let place = format!("prometheus {host}:{}", port.unwrap_or_default());
                (if prometheuses > 1 { place } else { "prometheus".to_owned() }, kind)
            }
            TelemetrySource::CloudWatch(source) => {
                let (region, kind) = match cloudwatch(source).await {
                    Ok((region, kind)) => (region, Ok(kind)),
                    Err(problem) => (source.region.clone().unwrap_or_default(), Err(problem)),
                };
                (if clouds > 1 { format!("cloudwatch {region}") } else { "cloudwatch".to_owned() }, kind)
            }
            TelemetrySource::File(file) => (file.clone(), Ok(Kind::File(folder.join(file)))),
        };
        let alike = opened.iter().filter(|known| known.name == name).count();
        if alike > 0 {
            name = format!("{name} ({})", opened.len() + 1);
        }
        opened.push(Source { name, kind: kind.unwrap_or_else(Kind::Nobody) });
    }
    opened
}

fn prometheus(plan: &Plan, source: &PrometheusSource, secrets: &SecretValues) -> Result<Kind, String> {
    let masked = |problem: String| secrets.masks().mask(&problem).into_owned();
    let headers = plan.telemetry_headers(source, secrets).map_err(masked)?;
    let presets =
        source.presets.iter().filter_map(|name| preset(name, source.namespace.as_deref())).flatten();
    let own = source.queries.iter().map(|query| Query::new(&query.name, &query.query, &query.unit));
    let step = source.step.unwrap_or_else(|| {
        Duration::from_secs_f64((plan.duration().as_secs_f64() / VALUES).ceil().clamp(1.0, 3_600.0))
    });
    Prometheus::new(&source.url, headers, own.chain(presets).collect(), step)
        .map(Kind::Prometheus)
        .map_err(|error| error.to_string())
}

async fn cloudwatch(source: &CloudWatchSource) -> Result<(String, Kind), String> {
    let session = Session::open(source.region.clone())
        .await
        .map_err(|error| format!("{error}; give the source its `region`, or set AWS_REGION"))?;
    let cloudwatch = CloudWatch::new(session.connection(), source.resources.clone());
    Ok((session.region().to_owned(), Kind::CloudWatch(Box::new(cloudwatch))))
}

/// What the secrets are that headers need.
async fn secrets(plan: &Plan) -> Result<SecretValues, String> {
    let own = OwnSecrets::default();
    let needed = plan.secrets.iter().filter(|secret| plan.telemetry.secrets.contains(&secret.name));
    let mut values = Vec::new();
    for secret in needed {
        let fetched = timeout(SECRET, own.secret(&secret.source)).await;
        let value = fetched.unwrap_or_else(|_| Err("it takes too long".to_owned()));
        let value =
            value.map_err(|problem| format!("secret `{}`: {}: {problem}", secret.name, secret.source))?;
        values.push((secret.name.clone(), value));
    }
    Ok(values.into_iter().collect())
}

fn now_s() -> f64 {
    SystemClock.now().0 as f64 / 1e6
}
