//! `squall run`, and what a run is on every backend.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use squall_fleet::{
    Clock, End, GeneratorRecord, Judge, Judged, RegionRecord, RunRecord, Seats, Slices, Time, sizing,
};
use squall_plan::threshold::Unit;
use squall_plan::{Plan, Share};
use squall_report::{
    Cost, Ending, ExitCode, Facts, GeneratorFacts, RegionFacts, Run, RunResult, SeatCoverage, Threshold,
    build, events, hlog, html, terminal, to_json,
};
use squall_seat::SystemClock;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::annotate::annotations;
use crate::args::{Backend, Output, RunArgs};
use crate::failure::Failure;
use crate::fleet::Wishes;
use crate::live::{Page, Watch, end_stream, hand_over};
use crate::plan::{self, Loaded};
use crate::telemetry::{self, Telemetry};
use crate::{aws, local, local_ips, once, surroundings};

/// Where runs are kept.
pub(crate) const RUNS: &str = ".squall/runs";

/// What a run needs.
pub(crate) struct Order {
    pub(crate) loaded: Loaded,
    /// How many, if somebody said so.
    pub(crate) generators: Option<u32>,
    /// Where those on this machine connect from, in turn; wherever the system takes if there are none.
    pub(crate) sources: Vec<IpAddr>,
    pub(crate) wishes: Wishes,
    pub(crate) seed: Option<u64>,
    pub(crate) out: Option<PathBuf>,
    pub(crate) watch: Watch,
}

/// A run that is about to begin.
pub(crate) struct Begun {
    pub(crate) id: String,
    pub(crate) seed: u64,
    pub(crate) folder: PathBuf,
    /// The plan's text.
    pub(crate) plan: String,
    /// The instruments of the target that are asked meanwhile.
    pub(crate) telemetry: Option<Telemetry>,
}

/// Where a run was made.
pub(crate) struct Place {
    pub(crate) backend: &'static str,
    pub(crate) regions: Vec<String>,
    /// What that cost.
    pub(crate) cost: Cost,
}

/// A run that was made; nothing is drawn from it yet.
pub(crate) struct Made {
    pub(crate) begun: Begun,
    pub(crate) plan: Plan,
    pub(crate) plan_sha256: String,
    pub(crate) place: Place,
    pub(crate) record: RunRecord,
    /// Where somebody watched it.
    pub(crate) page: Option<Page>,
}

/// What a run left behind.
pub(crate) struct Finished {
    pub(crate) result: RunResult,
    /// The report.
    pub(crate) page: String,
    pub(crate) folder: PathBuf,
    /// Why it is not all in the folder, if it is not.
    pub(crate) unkept: Option<Failure>,
}

/// `squall run`
pub(crate) fn command(args: &RunArgs) -> Result<ExitCode, Failure> {
    let loaded = if args.once { plan::load_for_once(&args.plan)? } else { plan::load(&args.plan)? };
    if args.once {
        return once::command(args, loaded);
    }
    let order = Order {
        loaded,
        generators: args.generators.map(std::num::NonZero::get),
        sources: local_ips::addresses(&args.sources.local_ips, args.backend)?,
        wishes: Wishes {
            start_with: args.start_with,
            ready_within: args.ready_within,
            window: args.window,
            detach: args.detach,
            all_regions: args.all_regions,
        },
        seed: args.seed,
        out: args.out.clone(),
        watch: Watch {
            progress: args.progress,
            output: args.output,
            ui: args.ui,
            annotations: args.annotations.clone(),
            stopper: None,
        },
    };
    if args.backend == Backend::Local && args.aws.is_given() {
        return Err(aws::wants_backend());
    }
    if args.backend == Backend::Local && args.max_cost.is_some() {
        return Err(Failure::wrong(anyhow!("--max-cost is for a fleet on AWS: a local run costs nothing"))
            .with_hint("add --backend aws, or leave it out"));
    }
    let finished = match args.backend {
        Backend::Local if args.detach => {
            let what =
                anyhow!("generators of the local backend are threads of this command, and end with it");
            return Err(Failure::wrong(what).with_hint("leave out --detach, or add --backend aws"));
        }
        Backend::Local => local::run(order)?,
        Backend::Aws => match aws::run(order, &args.aws, args.max_cost)? {
            Some(finished) => finished,
            None => return Ok(ExitCode::Passed),
        },
    };
    tell(finished, args.output)
}

/// Tells a result in the form that was asked for, also where it could not be kept.
pub(crate) fn tell(finished: Finished, output: Output) -> Result<ExitCode, Failure> {
    match output {
        Output::Text => print(&finished),
        Output::Json => end_stream(&finished.result),
    }
    finished.unkept.map_or_else(|| exit_code(&finished.result), Err)
}

/// Who judges a plan's thresholds.
pub(crate) fn judge_of(plan: &Plan) -> Judge {
    Judge::new(plan.thresholds.clone(), plan.duration())
}

/// Whether each generator has a user: an arrival must find one where it is.
pub(crate) fn check_slices(generators: u32, most: u32) -> Result<(), Failure> {
    if generators <= most {
        return Ok(());
    }
    let what = anyhow!("{generators} generators cannot share {most} users");
    Err(Failure::wrong(what).with_hint(format!("take at most --generators {most}, or raise `max_users`")))
}

/// Whether the users of each generator can have their connections, of which it may have `most` open.
pub(crate) fn check_connections(plan: &Plan, generators: u32, most: u32) -> Result<(), Failure> {
    const HINT: &str = "allow more open files (`ulimit -n`), take more --generators, or share connections \
                        (`http: { connections: shared, max_connections: 100 }`)";
    let needed = sizing::connections(plan, generators);
    if needed.certain > u64::from(most) {
        let what = anyhow!(
            "a generator would have {} connections, and may have {most} open files for them",
            needed.certain
        );
        return Err(Failure::wrong(what).with_hint(HINT));
    }
    if needed.possible > u64::from(most) {
        eprintln!(
            "warning: a generator may come to have {} users, and can have {most} connections; \
             requests beyond count as `generator`\nhint: {HINT}",
            needed.possible
        );
    }
    Ok(())
}

/// The exit code that a result asks for.
pub(crate) fn exit_code(result: &RunResult) -> Result<ExitCode, Failure> {
    use ExitCode::{Aborted, Error, Failed, Interrupted, Invalid, Passed, Wrong};
    let all = [Wrong, Interrupted, Aborted, Invalid, Failed, Error, Passed];
    let asked = all.into_iter().find(|exit| exit.code() == result.verdict.exit_code);
    asked.ok_or_else(|| anyhow!("result has an unknown exit code {}", result.verdict.exit_code).into())
}

impl Made {
    /// Makes its result, keeps that, and shows it to whoever watched.
    pub(crate) fn finish(self) -> Result<Finished, Failure> {
        let Self { begun, plan, plan_sha256, place, record, page } = self;
        let finished = begun.finish(&plan, plan_sha256, place, &record)?;
        hand_over(page, &finished);
        Ok(finished)
    }
}

impl Begun {
    /// Names the run, and says where it is kept.
    pub(crate) fn new(order: &Order) -> Result<Self, Failure> {
        let seed = match order.seed {
            Some(seed) => seed,
            None => surroundings::random_seed()?,
        };
        let id = run_id(SystemClock.now(), seed)?;
        let folder = order.out.clone().unwrap_or_else(|| Path::new(RUNS).join(&id));
        let Loaded { plan, bundle } = &order.loaded;
        Ok(Self { id, seed, folder, plan: bundle.text.clone(), telemetry: telemetry::begin(plan, bundle) })
    }

    /// Makes its folder, with the plan in it.
    pub(crate) fn make_folder(&self) -> Result<(), Failure> {
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot make directory `{}`", self.folder.display()))
            .map_err(|error| Failure::from(error).with_hint("choose another place with --out DIR"))?;
        write(&self.folder, "plan.yaml", &self.plan)
    }

    /// Makes the result of what was recorded, and keeps it.
    fn finish(
        self,
        plan: &Plan,
        plan_sha256: String,
        place: Place,
        record: &RunRecord,
    ) -> Result<Finished, Failure> {
        let again = match place.backend {
            "aws" => {
                place.regions.iter().fold(self.id.clone(), |run, region| format!("{run} --region {region}"))
            }
            _ => self.folder.display().to_string(),
        };
        let (telemetry, unsaid) = self.telemetry.map(|telemetry| telemetry.end(record)).unwrap_or_default();
        let mut facts = facts(self.id, self.seed, plan_sha256, place, record)?;
        let (annotations, problems) = annotations(&self.folder, record.epoch_here);
        facts.annotations = annotations;
        facts.plan_text = self.plan;
        facts.problems.extend(problems);
        facts.telemetry = telemetry;
        facts.problems.extend(unsaid);
        let result = build(plan, &record.merged, facts);
        let page = html(&result);
        let kept = keep(&self.folder, &result, &page)
            .and_then(|()| keep_details(&self.folder, plan, &result, record));
        // What was measured is told all the same, and still is where generators have written it.
        let unkept = kept.err().map(|failure| {
            failure.with_hint(format!(
                "make room, or choose another place; `squall attach {again} --out DIR` makes the report again"
            ))
        });
        Ok(Finished { result, page, folder: self.folder, unkept })
    }
}

/// Keeps a result, and the page that is drawn from it.
pub(crate) fn keep(folder: &Path, result: &RunResult, page: &str) -> Result<(), Failure> {
    write(folder, "result.json", &to_json(result))?;
    write(folder, "report.html", page)
}

/// Keeps what is not in the result itself.
fn keep_details(folder: &Path, plan: &Plan, result: &RunResult, record: &RunRecord) -> Result<(), Failure> {
    if result.events.one_in.is_some() {
        write(folder, "events.jsonl", &events(plan, &record.merged))?;
    }
    match record.epoch {
        Some(epoch) => write(folder, "intervals.hlog", &hlog(plan, &record.merged, epoch.0 as f64 / 1e6)),
        None => Ok(()),
    }
}

/// Prints a report, and says where the page and the rest are.
pub(crate) fn print(finished: &Finished) {
    let (page, result) = (finished.folder.join("report.html"), finished.folder.join("result.json"));
    let text = terminal(&finished.result, surroundings::style());
    let places = match finished.unkept {
        None => format!("\n report {}\n result {}\n", page.display(), result.display()),
        Some(_) => String::new(),
    };
    surroundings::print(&format!("{text}\n{places}"));
}

fn facts(
    id: String,
    seed: u64,
    plan_sha256: String,
    place: Place,
    record: &RunRecord,
) -> Result<Facts, Failure> {
    Ok(Facts {
        run: Run {
            id,
            name: String::new(),
            seed: format!("{seed:x}"),
            started_at: rfc3339(record.started_at)?,
            epoch: record.epoch.map(rfc3339).transpose()?.unwrap_or_default(),
            duration_s: 0.0,
            backend: place.backend.to_owned(),
            regions: place.regions,
            plan_sha256,
        },
        plan_text: String::new(),
        ending: match record.end.clone() {
            End::Finished | End::Detached => Ending::Finished,
            End::Interrupted => Ending::Interrupted,
            End::Aborted(reason) => Ending::Aborted(reason),
            End::Failed(reason) => Ending::Broken(reason),
        },
        seats: seats(record.seats),
        missing: record.missing.clone(),
        absent: record.absent.clone(),
        throttled: record.throttled.clone(),
        unknown_requests: record.unknown_requests,
        telemetry: Vec::new(),
        annotations: Vec::new(),
        thresholds: record.judged.iter().map(threshold).collect(),
        generators: record.generators.iter().map(generator).collect(),
        problems: record.problems.clone(),
        cost: place.cost,
        regions: record.regions.iter().map(region).collect(),
    })
}

fn seats(seats: Seats) -> SeatCoverage {
    SeatCoverage {
        invited: seats.invited,
        ready: seats.ready,
        assigned: seats.assigned,
        spare: seats.spare,
        lost: seats.lost,
        replaced: seats.replaced,
        handed_over: seats.handed_over,
        late: seats.late,
        duplicate: seats.duplicate,
    }
}

fn region(record: &RegionRecord) -> RegionFacts {
    let Slices { first, count, of } = record.slices;
    RegionFacts {
        region: record.region.clone(),
        merged: record.merged.clone(),
        shares: (first..first.saturating_add(count)).filter_map(|index| Share::try_new(index, of)).collect(),
        seats: seats(record.seats),
        missing: record.missing.clone(),
        unknown_requests: record.unknown_requests,
    }
}

/// A threshold as results show it.
pub(crate) fn threshold(judged: &Judged) -> Threshold {
    let asked = &judged.threshold;
    let unit = match asked.unit {
        Unit::Ms => "ms",
        Unit::Ratio => "ratio",
        Unit::Count => "count",
        Unit::PerSecond => "per_second",
        Unit::Own => "own",
    };
    Threshold {
        expression: asked.expression.clone(),
        unit: unit.to_owned(),
        limit: asked.limit,
        value: judged.value,
        at_least: judged.at_least,
        passed: judged.passed,
        first_failed_at_s: judged.first_failed_at_s.map(f64::from),
        over_s: asked.over_s,
        after_s: asked.after.as_secs_f64(),
        abort: asked.abort,
        stretches: judged.stretches,
        failed_stretches: judged.failed_stretches,
        hangs_on_tainted: judged.hangs_on_tainted,
    }
}

fn generator(record: &GeneratorRecord) -> GeneratorFacts {
    GeneratorFacts {
        slice: record.slice().map(Share::index),
        window: record.post.as_ref().map_or(0, |post| post.window),
        nonce: record.ready.nonce.clone(),
        region: record.ready.region.clone(),
        environment: record.ready.environment.clone(),
        source_ip: record.ready.source_ip.clone(),
        queued_ms: record.ready.queued_ms,
        deliveries: record.ready.deliveries,
        init_ms: record.ready.init_ms,
        ready_ms: record.ready_ms,
        start_skew_ms: record.last_word.as_ref().map(|last_word| last_word.start_skew_ms),
        snapshots: record.last_word.as_ref().map(|last_word| last_word.snapshots),
    }
}

/// Writes a file whole or not at all.
pub(crate) fn write(folder: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let (path, temporary) = (folder.join(name), folder.join(format!(".{name}.tmp")));
    let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, &path));
    Ok(written.with_context(|| format!("cannot write `{}`", path.display()))?)
}

/// Sorts by time, and is unlike any other's.
pub(crate) fn run_id(began: Time, seed: u64) -> Result<String, Failure> {
    let at = utc(began)?;
    let (date, clock) = (at.date(), at.time());
    let date = format!("{}{:02}{:02}", date.year(), u8::from(date.month()), date.day());
    let millisecond = u64::from(at.millisecond());
    let tail = (seed ^ millisecond.rotate_left(20)) & 0x00ff_ffff;
    Ok(format!("{date}-{:02}{:02}{:02}-{tail:06x}", clock.hour(), clock.minute(), clock.second()))
}

pub(crate) fn rfc3339(time: Time) -> Result<String, Failure> {
    Ok(utc(time)?.format(&Rfc3339)?)
}

fn utc(time: Time) -> Result<OffsetDateTime, Failure> {
    Ok(OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.0) * 1_000)?)
}
