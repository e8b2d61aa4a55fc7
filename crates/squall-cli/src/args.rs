//! What can be said on the command line: inert, checked where it is used.

mod aws;
mod ceilings;
mod doctor;
mod preview;
mod probe;
mod run;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::error::{ContextKind, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use squall_plan::units::{Rate, UnitError, parse_duration};

pub(crate) use self::aws::{AwsArgs, Backend, RegionArg};
pub(crate) use self::ceilings::CeilingArgs;
pub(crate) use self::doctor::DoctorArgs;
pub(crate) use self::preview::PreviewArgs;
pub(crate) use self::probe::{
    CapacityArgs, ColdStartArgs, FunctionArg, OwnArgs, ProbeArgs, Question, ResumeArgs, SendArgs, TalkArgs,
    ThrottleArgs,
};
pub(crate) use self::run::{AttachArgs, RunArgs, StatusArgs, StopArgs};
use crate::local_ips::Network;
use crate::url;

/// A serverless load-generator fleet: truthful numbers at any scale.
#[derive(Debug, Parser)]
#[command(
    name = "squall",
    version,
    max_term_width = 100,
    override_usage = "squall <COMMAND>\n       squall <URL> --rate <R> --duration <D>",
    after_help = "Examples:
  squall demo
  squall init && squall run plan.yaml
  squall http://127.0.0.1:8080/healthz --rate 500 --duration 30s"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a plan, or a plain load of one URL, and print its report.
    #[command(after_help = "Examples:
  squall run plan.yaml
  squall run plan.yaml --once     # one user, no load, every exchange in full
  squall run plan.yaml --target http://127.0.0.1:8080 --users 50 --duration 1m
  squall run plan.yaml --rate 200/s --duration 30s --var currency=EUR
  squall run plan.yaml --seed 8f31c2
  squall run plan.yaml --output json | tail -n 1 | jq .result.totals
  squall run plan.yaml --ui               # a page to watch it in a browser
  squall run plan.yaml --backend aws --generators 64 --region eu-west-1
  squall run plan.yaml --backend aws --max-cost 0.50
  squall run http://127.0.0.1:8080/healthz --rate 500 --duration 30s
  squall http://127.0.0.1:8080/healthz --users 20 --duration 30s  # short for it
  squall http://127.0.0.1:8080/items --once --header 'X-A: b' --body '{}'

Exit codes:
  0 passed · 98 not valid · 99 failed · 104 plan or settings wrong
  105 interrupted · 106 aborted · 1 anything else")]
    Run(RunArgs),
    /// Say where a run stands, from any machine.
    #[command(after_help = "Examples:
  squall status                            # the run that is under way on the fleet on AWS
  squall status 20261124-141200-8f31c2
  squall status --stack load-team --region eu-west-1 --output json")]
    Status(StatusArgs),
    /// Take a run over whose command is gone, was detached, or is to go: watch it to its end, and make its report.
    #[command(after_help = "Examples:
  squall attach 20261124-141200-8f31c2
  squall attach 20261124-141200-8f31c2 --stack squall --region eu-west-1   # from another machine")]
    Attach(AttachArgs),
    /// End the load of a run, from any terminal: within a poll, and its report is still made.
    #[command(after_help = "Examples:
  squall stop 20261124-141200-8f31c2
  squall stop 20261124-141200-8f31c2 --stack squall --region eu-west-1   # from another machine")]
    Stop(StopArgs),
    /// Say what happens beside a test, such as a deployment: it stands on the time axis of the report.
    #[command(after_help = "Examples:
  squall annotate 20261124-141200-8f31c2 deployed v2
  squall annotate out 'restarted the database'   # by the folder of --out")]
    Annotate(AnnotateArgs),
    /// Create or update a fleet on AWS: one stack, which costs nothing while nothing runs.
    #[command(after_help = "Examples:
  squall deploy
  squall deploy --region eu-west-1 --memory 3538
  squall deploy --lanes 4 --max-generators 200 --max-rate 5000
  squall deploy --allow shop.example.com --allow '*.cdn.example.com'
  squall deploy --stack load-team --zip dist/bootstrap.zip")]
    Deploy(DeployArgs),
    /// Remove a fleet from AWS, with everything that was kept there.
    #[command(after_help = "Examples:\n  squall destroy\n  squall destroy --stack load-team --force")]
    Destroy(DestroyArgs),
    /// Check what a run on AWS needs, and say how to mend what is missing; with --calibrate, measure what a plan's requests
    /// take, so that fleets are sized by it.
    #[command(after_help = "Examples:
  squall doctor
  squall doctor --generators 500 --output json
  squall doctor --calibrate plan.yaml --target http://127.0.0.1:8080
  squall doctor --calibrate plan.yaml --backend aws")]
    Doctor(DoctorArgs),
    /// Start a simulated shop in trouble, load it for half a minute with four generators, print the report and the cause.
    #[command(after_help = "Example:\n  squall demo")]
    Demo(DemoArgs),
    /// Write a plan to begin with.
    #[command(after_help = "Examples:
  squall init                             # for the shop of `squall target`
  squall init http://127.0.0.1:3000/items # for another service
  squall init https://staging.example.com load/staging.yaml")]
    Init(InitArgs),
    /// Say what a plan will do before it does it: its profile, slices, requests, hosts; on AWS also when generators will be
    /// ready and what it will cost.
    #[command(after_help = "Examples:
  squall plan plan.yaml
  squall plan plan.yaml --generators 8 --rate 2000 --duration 5m
  squall plan plan.yaml --backend aws
  squall plan plan.yaml --output json")]
    Plan(PreviewArgs),
    /// Check a plan: every problem at once, with its place and what to write instead.
    #[command(
        after_help = "Examples:\n  squall validate plan.yaml\n  squall validate plan.yaml --output json"
    )]
    Validate(ValidateArgs),
    /// Find out about a service, by sending it what tells most: its cold starts, its limits, its capacity.
    #[command(after_help = "Examples:
  squall probe cold-start https://abc.lambda-url.eu-west-1.on.aws/
  squall probe throttle https://api.example.com/v1
  squall probe capacity http://127.0.0.1:8080/ --until 'p99 < 500ms'
  squall probe self
  squall probe resume 20261124-141200-8f31c2

Each says first what it will send, and asks; ends when errors come that it did not look
for, or on Ctrl-C; and keeps what it has sent under .squall/probes, from where it can go on.

Exit codes:
  0 answered · 98 it cannot be told · 104 settings wrong · 105 interrupted · 1 anything else")]
    Probe(ProbeArgs),
    /// Print the JSON Schema of plans, results or answers of probes.
    #[command(after_help = "Example:\n  squall schema plan > plan.schema.json")]
    Schema(SchemaArgs),
    /// Print the report of an earlier run again.
    #[command(after_help = "Examples:
  squall report                 # the latest
  squall report 20261124-141200-8f31c2
  squall report some/folder/result.json --output json
  squall report --output junit > junit.xml
  squall report --output markdown >> \"$GITHUB_STEP_SUMMARY\"
  squall report --output csv > timeline.csv
  squall report some/folder --output html > report.html")]
    Report(ReportArgs),
    /// Serve the simulated shop, or a service with a known trouble, until interrupted.
    #[command(after_help = crate::target::help())]
    Target(TargetArgs),
}

/// In which form data goes to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// The plan's file, or a URL to which plain requests go.
    #[arg(value_name = "PLAN|URL")]
    pub(crate) plan: PathBuf,
    /// Send requests there, whatever the plan says.
    #[arg(long, value_name = "URL")]
    pub(crate) target: Option<String>,
    /// So many users from the start, instead of the plan's profile.
    #[arg(long, value_name = "N", requires = "duration", conflicts_with = "rate")]
    pub(crate) users: Option<u32>,
    /// So many arrivals from the start, such as 200/s or 200, instead of the plan's profile.
    #[arg(long, value_name = "R", requires = "duration", value_parser = rate)]
    pub(crate) rate: Option<Rate>,
    /// How long, with --users or --rate.
    #[arg(long, value_name = "D", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// Set a variable of the plan; can be given more than once.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) variables: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) request: RequestArgs,
}

/// What is for a URL alone stands apart in the help.
const FOR_URL: &str = "With a URL in place of a plan";

/// What is sent to a URL that stands in the place of a plan.
#[derive(Debug, Default, Clone, clap::Args)]
pub(crate) struct RequestArgs {
    /// The method; GET unless given, and POST with a body.
    #[arg(long, value_name = "METHOD", help_heading = FOR_URL)]
    pub(crate) method: Option<String>,
    /// A header; can be given more than once.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header, help_heading = FOR_URL)]
    pub(crate) headers: Vec<(String, String)>,
    /// The body; like the URL and the headers it may have `{{ expressions }}`.
    #[arg(long, value_name = "TEXT", help_heading = FOR_URL)]
    pub(crate) body: Option<String>,
}

impl RequestArgs {
    /// Whether anything is said of the request.
    pub(crate) fn is_given(&self) -> bool {
        self.method.is_some() || !self.headers.is_empty() || self.body.is_some()
    }
}

/// Where generators on this machine connect from.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LocalIpArgs {
    /// Connect from these addresses of this machine, which generators take in turn; a network has all of its own, up to 1,000.
    #[arg(long, value_name = "ADDRESS|CIDR", value_delimiter = ',', value_parser = Network::parse)]
    pub(crate) local_ips: Vec<Network>,
}

/// How a run is shown while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// A live view on a terminal, lines elsewhere.
    Auto,
    /// A line a second.
    Lines,
    /// Not at all.
    None,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AnnotateArgs {
    /// The run's id, or its folder.
    pub(crate) run: String,
    /// What happens.
    #[arg(required = true)]
    pub(crate) text: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DeployArgs {
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
    /// The generator; bootstrap.zip beside the command or under dist unless given.
    #[arg(long, value_name = "FILE")]
    pub(crate) zip: Option<PathBuf>,
    /// Memory of a generator in MB; 1,769 are one processor. As before, or 1,769, unless given.
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(128..=10_240))]
    pub(crate) memory: Option<u32>,
    /// How long a generator may live, 1m to 15m. As before, or 15m, unless given.
    #[arg(long, value_name = "D", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) ceilings: CeilingArgs,
    /// Another template than the one that is built in, such as one with a permissions boundary.
    #[arg(long, value_name = "FILE")]
    pub(crate) template: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DestroyArgs {
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
    /// Stop a run that is under way, instead of refusing.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Show it in a browser, too: serve a page on this loopback port, or on any.
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    pub(crate) ui: Option<u16>,
    /// Keep the results there instead of under .squall/runs.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// In which form problems are printed.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// Where the service is; the simulated shop unless given.
    pub(crate) url: Option<String>,
    /// The plan's file; plan.yaml unless given.
    pub(crate) file: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SchemaArgs {
    /// Of what.
    #[arg(value_enum)]
    pub(crate) of: SchemaOf,
}

/// What has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// Plans.
    Plan,
    /// result.json
    Result,
    /// probe.json
    Probe,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// A run's id, its folder, or a result.json; the latest run unless given.
    pub(crate) run: Option<String>,
    /// In which form the report is printed.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) output: ReportOutput,
}

/// In which form a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportOutput {
    /// For people.
    Text,
    /// For programs: all that is known.
    Json,
    /// For pipelines: each threshold is a test case.
    Junit,
    /// For pull requests and summaries.
    Markdown,
    /// For spreadsheets: what happened when.
    Csv,
    /// For browsers: one page that loads nothing.
    Html,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TargetArgs {
    /// Where to listen; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// What its ids, its tokens and its delays are derived from.
    #[arg(long, default_value = "1")]
    pub(crate) seed: u64,
    /// Answer at once.
    #[arg(long)]
    pub(crate) no_delays: bool,
    /// A file that gets a line of JSON for every request to a known route.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Instead of the shop, a service with a known trouble; what it is, `GET /truth` tells.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["no_delays", "record"])]
    pub(crate) profile: Option<String>,
    /// A parameter of the profile; `GET /truth` tells all.
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "profile")]
    pub(crate) settings: Vec<String>,
}

/// What was given, with the `run` that may be left out before a URL.
pub(crate) fn with_verb(mut given: Vec<OsString>) -> Vec<OsString> {
    let is_url = |given: &OsString| given.to_str().is_some_and(url::is_url);
    let is_option = |given: &OsString| given.to_str().is_some_and(|given| given.starts_with('-'));
    let first = given.get(1);
    // Options may come first.
    if first.is_some_and(|first| is_url(first) || is_option(first) && given.iter().skip(2).any(is_url)) {
        given.insert(1, "run".into());
    }
    given
}

/// What is likely meant by a word that is no verb, where that is none that is misspelt.
pub(crate) fn hint(error: &clap::Error, given: &[OsString]) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let word = given.get(1)?.to_str()?;
    let ending = Path::new(word).extension().unwrap_or_default();
    if ending == "yaml" || ending == "yml" || Path::new(word).is_file() {
        return Some(format!("to run a plan, write `squall run {word}`"));
    }
    if error.get(ContextKind::SuggestedSubcommand).is_some() {
        return None;
    }
    let verbs = Args::command();
    let near = |verb: &str| strsim::damerau_levenshtein(word, verb) <= verb.len() / 3;
    if let Some(verb) = verbs.get_subcommands().map(clap::Command::get_name).find(|verb| near(verb)) {
        return Some(format!("did you mean `squall {verb}`?"));
    }
    let is_address = word.contains(['.', ':', '/']) || word.starts_with("localhost");
    is_address
        .then(|| format!("a URL begins with its scheme: `squall http://{}`", word.trim_start_matches('/')))
}

fn with_hint(error: &UnitError) -> String {
    format!("{error}; {}", error.hint())
}

/// A number without a unit is one a second, as everybody means it.
fn rate(text: &str) -> Result<Rate, String> {
    let per_second = text.parse::<f64>().ok().map(|_| format!("{text}/s"));
    Rate::parse(per_second.as_deref().unwrap_or(text)).map_err(|error| with_hint(&error))
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| with_hint(&error))
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').parse::<f64>().ok();
    let part = number.map(|number| number / 100.0).filter(|part| *part > 0.0 && *part <= 1.0);
    part.ok_or_else(|| "a part is a number of percent above 0, such as 95%".to_owned())
}

fn dollars(text: &str) -> Result<f64, String> {
    let amount =
        text.trim_start_matches('$').parse::<f64>().ok().filter(|usd| usd.is_finite() && *usd >= 0.0);
    amount.ok_or_else(|| "an amount is a number of US dollars, such as 0.50".to_owned())
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it as 'NAME: VALUE'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Names that CloudFormation takes.
fn stack_name(text: &str) -> Result<String, String> {
    let is_good = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.len() <= 100
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    is_good
        .then(|| text.to_owned())
        .ok_or_else(|| "a stack's name is a letter, then up to 99 letters, digits and hyphens".to_owned())
}

fn seed(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).map_err(|_| "a seed is 1 to 16 hexadecimal digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_duration_needs_its_profile_and_a_profile_its_duration() {
        let check = |line: &str, good: bool| {
            assert_eq!(Args::try_parse_from(line.split(' ')).is_ok(), good, "{line}");
        };
        check("squall run p.yaml --users 5 --duration 10s", true);
        check("squall run p.yaml --users 5", false);
        check("squall run p.yaml --users 5 --rate 5/s --duration 10s", false);
        check("squall run p.yaml --rate 5 --duration 10s", true);
        check("squall run p.yaml --rate 5/x --duration 10s", false);
        check("squall run p.yaml --once", true);
        check("squall run p.yaml --once --backend aws", false);
        check("squall run http://h --header nonsense", false);
        check("squall run p.yaml --generators 0", false);
        check("squall run p.yaml --seed xyz", false);
        check("squall run p.yaml --var nonsense", false);
        check("squall run p.yaml --backend aws --stack load-1 --region eu-west-1", true);
        check("squall run p.yaml --backend aws --stack 1load", false);
        check("squall deploy --memory 64", false);
        check("squall run p.yaml --backend aws --max-cost $0.50", true);
        check("squall run p.yaml --backend aws --max-cost -1", false);
        check("squall run p.yaml --backend aws --max-cost cheap", false);
        check("squall run p.yaml --once --max-cost 1", false);
        check("squall plan p.yaml --backend aws --lanes 10", true);
        check("squall plan p.yaml --backend aws --lanes 11", false);
        check("squall doctor --calibrate p.yaml --target http://h --var a=b", true);
        check("squall doctor --target http://h", false);
    }
}
