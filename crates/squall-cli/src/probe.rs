//! `squall probe`: what a service is like, found out by sending it what tells most.

mod capacity;
mod cold_start;
mod drive;
mod fleet;
mod history;
mod log;
mod observe;
mod own;
mod result;
mod subject;
mod throttle;
mod told;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Parser;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use squall_fleet::{Clock, Time};
use squall_probe::{CapacityAnswer, ColdStartAnswer, OwnAnswer, Probe, ThrottleAnswer};
use squall_report::{ExitCode, answer_schema, probe_html, probe_schema, probe_terminal, probe_to_json};
use squall_seat::SystemClock;
use squall_target::service::Profile;

use self::drive::{Ending, Limits, drive};
use self::fleet::{FleetSender, Place};
use self::history::History;
use self::result::{Parts, Whose};
use self::subject::{Asked, Subject};
use crate::args::{Args, Backend, Command, Output, ProbeArgs, Question, ResumeArgs, SendArgs, TalkArgs};
use crate::failure::Failure;
use crate::run::{run_id, write};
use crate::signals::Wish;
use crate::{aws, local_ips, surroundings, url};

/// Where probes are kept.
const PROBES: &str = ".squall/probes";

/// The file in a probe's folder that says what was asked.
const ORDER: &str = "order.json";

/// How often a round is sent again in which the generators set the pace.
const TRIES: usize = 2;

/// What was asked, and when: a probe that was interrupted is asked again.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    id: String,
    /// What was said on the command line, without the name of the command.
    arguments: Vec<String>,
    /// Microseconds since 1970.
    started_us: i64,
}

/// A probe that is kept.
struct Kept {
    order: Order,
    folder: PathBuf,
}

/// What is asked of whom.
struct Asking<P: Probe> {
    kind: &'static str,
    probe: P,
    subject: Subject,
    place: Place,
    /// The most generators that send a round, and the fewest where a round has enough to send.
    senders: u32,
    least: u32,
    limits: Limits,
    /// Adds to an answer what others than the service know, once all is sent.
    join: Option<Join<P>>,
    /// Makes parts of a report of an answer.
    view: fn(&P::Answer) -> Parts,
}

/// Adds to the answer of a probe, after so much was sent; the user may not want to wait.
type Join<P> = Box<dyn FnOnce(&P, &History, &Wish, &mut <P as Probe>::Answer)>;

impl<P: Probe> Asking<P> {
    /// Asks as options say, each round with all generators that have something to send.
    fn new(
        kind: &'static str,
        (probe, subject): (P, Subject),
        send: &SendArgs,
        view: fn(&P::Answer) -> Parts,
    ) -> Result<Self, Failure> {
        let senders = send.generators.get();
        let limits = Limits {
            per_s: send.max_rate.map(squall_plan::units::Rate::per_second),
            requests: send.max_requests,
            cost_usd: send.max_cost,
            tries: TRIES,
        };
        Ok(Self {
            kind,
            probe,
            subject,
            place: place(send)?,
            senders,
            least: senders,
            limits,
            join: None,
            view,
        })
    }
}

pub(crate) fn command(args: &ProbeArgs, given: &[OsString]) -> Result<ExitCode, Failure> {
    if let Question::Resume(args) = &args.question {
        return resume(args);
    }
    let text = |word: &OsString| {
        word.clone().into_string().map_err(|word| anyhow!("`{}` is no text", word.display()))
    };
    let words = given.iter().skip(1).map(text);
    let arguments = words.collect::<Result<Vec<String>, _>>().map_err(Failure::wrong)?;
    let started = SystemClock.now();
    let id = run_id(started, surroundings::random_seed()?)?;
    let folder = Path::new(PROBES).join(&id);
    let kept = Kept { order: Order { id, arguments, started_us: started.0 }, folder };
    ask(&args.question, &kept, talk_of(&args.question).is_some_and(|talk| talk.yes))
}

/// Asks again what was asked, with what is known by now.
fn resume(args: &ResumeArgs) -> Result<ExitCode, Failure> {
    let folder = if args.probe.is_dir() { args.probe.clone() } else { Path::new(PROBES).join(&args.probe) };
    let path = folder.join(ORDER);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display())).map_err(
            |error| Failure::wrong(error).with_hint("ids of probes are the folders under .squall/probes"),
        )?;
    let order: Order = serde_json::from_str(&text)
        .with_context(|| format!("`{}` says nothing that was asked", path.display()))
        .map_err(Failure::wrong)?;
    let line = std::iter::once("squall").chain(order.arguments.iter().map(String::as_str));
    let parsed = Args::try_parse_from(line)
        .with_context(|| format!("`{}` says what this version does not understand", path.display()))
        .map_err(Failure::wrong)?;
    match parsed.command {
        Command::Probe(ProbeArgs { question }) if !matches!(question, Question::Resume(_)) => {
            ask(&question, &Kept { order, folder }, args.yes)
        }
        _ => Err(Failure::wrong(anyhow!("`{}` is of no probe", path.display()))),
    }
}

/// JSON Schema of what is found out.
pub(crate) fn schema() -> Value {
    probe_schema(&[
        ("cold-start", answer_schema::<ColdStartAnswer>()),
        ("throttle", answer_schema::<ThrottleAnswer>()),
        ("capacity", answer_schema::<CapacityAnswer>()),
        (own::NAME, answer_schema::<OwnAnswer>()),
    ])
}

fn talk_of(question: &Question) -> Option<&TalkArgs> {
    match question {
        Question::ColdStart(args) => Some(&args.send.talk),
        Question::Throttle(args) => Some(&args.send.talk),
        Question::Capacity(args) => Some(&args.send.talk),
        Question::Own(args) => Some(&args.talk),
        Question::Resume(_) => None,
    }
}

fn ask(question: &Question, kept: &Kept, yes: bool) -> Result<ExitCode, Failure> {
    let output = talk_of(question).map_or(Output::Text, |talk| talk.output);
    match question {
        Question::ColdStart(args) => investigate(cold_start::asking(args)?, kept, (yes, output)),
        Question::Throttle(args) => investigate(throttle::asking(args)?, kept, (yes, output)),
        Question::Capacity(args) => investigate(capacity::asking(args)?, kept, (yes, output)),
        Question::Own(args) => {
            // The target is there until it is told.
            let (_target, asking) = own::asking(args)?;
            investigate(asking, kept, (yes, output))
        }
        Question::Resume(_) => Err(Failure::wrong(anyhow!("nothing was asked"))),
    }
}

/// Sends what is to be sent, and tells what was found out.
fn investigate<P: Probe>(
    asking: Asking<P>,
    kept: &Kept,
    (yes, output): (bool, Output),
) -> Result<ExitCode, Failure> {
    let Asking { kind, probe, subject, place, senders, least, limits, join, view } = asking;
    let mut history = History::open(&kept.folder, SystemClock.now())?;
    let mut sender = FleetSender::new(subject, (place, least), kept.folder.clone())?;
    let (outlook, done) = (probe.outlook(), history.entries.len());
    if !told::outlook(&outlook, (kind, &sender), (senders, limits), (done, yes))? {
        eprintln!("nothing was sent");
        return Ok(ExitCode::Interrupted);
    }
    fs::create_dir_all(&kept.folder)
        .with_context(|| format!("cannot make directory `{}`", kept.folder.display()))?;
    write(&kept.folder, ORDER, &serde_json::to_string_pretty(&kept.order)?)?;
    let ending = drive(&probe, &mut sender, &mut history, limits);
    if kind == own::NAME
        && ending == Ending::Enough
        && let Err(failure) = own::calibrated(&sender.subject)
    {
        eprintln!("warning: nothing was kept: {}", failure.words());
    }
    let mut answer = probe.answer(&history.done);
    if let Some(join) = join.filter(|_| ending != Ending::Interrupted) {
        join(&probe, &history, &sender.wish, &mut answer);
    }
    let parts = view(&answer);
    let ending = match ending {
        Ending::Enough if !parts.is_known => Ending::Stopped("what was asked could not be told".to_owned()),
        ending => ending,
    };
    let whose = Whose {
        kind,
        order: (&kept.order.id, Time(kept.order.started_us)),
        target: sender.subject.in_words(),
        aws: matches!(sender.place, Place::Aws { .. }),
    };
    let result = result::of(&whose, &ending, &history, (serde_json::to_value(&answer)?, parts))?;
    // It is told before it is kept: a disk may be full.
    if output == Output::Json {
        surroundings::print(&format!("{}\n", probe_to_json(&result)));
    } else {
        surroundings::print(&format!("{}\n\n", probe_terminal(&result, surroundings::style())));
    }
    let keep = || {
        write(&kept.folder, "probe.json", &probe_to_json(&result))?;
        write(&kept.folder, "probe.html", &probe_html(&result))
    };
    let written = keep();
    if output == Output::Text && written.is_ok() {
        let folder = kept.folder.display();
        surroundings::print(&format!(" report {folder}/probe.html\n result {folder}/probe.json\n"));
    }
    if let Ending::Failed { reason, hint, .. } = &ending {
        eprintln!("error: {reason}");
        hint.iter().for_each(|hint| eprintln!("hint: {hint}"));
    }
    if matches!(ending, Ending::Interrupted | Ending::Failed { .. }) {
        eprintln!("`squall probe resume {}` goes on", kept.order.id);
    }
    written?;
    Ok(result::exit_code(&ending))
}

/// The request that a URL stands for.
fn asked(url: &str, send: &SendArgs, keys: (String, Vec<String>)) -> Result<Subject, Failure> {
    if !url::is_url(url) {
        return Err(Failure::wrong(anyhow!("`{url}` is no URL"))
            .with_hint("a URL begins with its scheme, such as http://127.0.0.1:8080/"));
    }
    let limited = if send.limited.is_empty() { vec![429] } else { send.limited.clone() };
    let (request, timeout) = (send.request.clone(), send.timeout);
    Ok(Subject::Url(Asked { url: url.to_owned(), request, timeout, keys, limited }))
}

fn place(send: &SendArgs) -> Result<Place, Failure> {
    let sources = local_ips::addresses(&send.sources.local_ips, send.backend)?;
    match send.backend {
        Backend::Local if send.aws.is_given() => Err(aws::wants_backend()),
        Backend::Local if send.max_cost.is_some() => {
            Err(Failure::wrong(anyhow!("--max-cost is for a fleet on AWS: a local probe costs nothing"))
                .with_hint("add --backend aws, or leave it out"))
        }
        Backend::Local => Ok(Place::Local { sources, ends: 1 }),
        Backend::Aws => Ok(Place::Aws { fleet: send.aws.clone(), max_cost: send.max_cost }),
    }
}

/// A probe with settings in place of what it takes otherwise; those that are given by name count less than options.
fn settings<P: DeserializeOwned + Default + Serialize>(
    given: &[String],
    options: impl IntoIterator<Item = (&'static str, Option<Value>)>,
) -> Result<P, Failure> {
    let mut settings = Profile::settings(given).map_err(Failure::wrong)?;
    for (name, value) in options {
        if let Some(value) = value {
            settings[name] = value;
        }
    }
    serde_json::from_value(settings).map_err(|error| {
        let all = serde_json::to_string(&P::default()).unwrap_or_default();
        Failure::wrong(anyhow!("the probe cannot be set so: {error}"))
            .with_hint(format!("its settings, and what they are unless given: {all}"))
    })
}
