//! From a plan's file to a plan, and the commands that need no more.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, anyhow};
use squall_plan::{Bundle, Diagnostics, Inputs, LoadOverride, Plan, compile};
use squall_report::ExitCode;

use crate::args::{Output, PlanArgs, SchemaOf, ValidateArgs};
use crate::failure::Failure;
use crate::{surroundings, url};

/// A plan that can be run.
pub(crate) struct Loaded {
    pub(crate) plan: Plan,
    /// What generators compile it from.
    pub(crate) bundle: Bundle,
}

/// Reads and checks a plan; its problems are told on standard error.
pub(crate) fn load(args: &PlanArgs) -> Result<Loaded, Failure> {
    let bundle = match read(args)? {
        Ok(bundle) => bundle,
        Err(problems) => return Err(refuse(&problems)),
    };
    from_bundle(bundle)
}

/// The same where no load will be made, and so none need be asked for.
pub(crate) fn load_for_once(args: &PlanArgs) -> Result<Loaded, Failure> {
    match url_of(args).filter(|_| args.duration.is_none()) {
        Some(url) => {
            let text = url::plan(args, url, Some("{ users: 1, duration: 1s }"))?;
            from_bundle(Bundle::new(url::FILE, text, inputs(args, None)))
        }
        None => load(args),
    }
}

/// The URL that stands in the place of a plan.
fn url_of(args: &PlanArgs) -> Option<&str> {
    args.plan.to_str().filter(|text| url::is_url(text))
}

/// The same for a bundle.
pub(crate) fn from_bundle(bundle: Bundle) -> Result<Loaded, Failure> {
    match compile(&bundle) {
        Ok(compiled) => {
            tell(&compiled.warnings);
            Ok(Loaded { bundle: bundle.narrowed_to(&compiled.plan), plan: compiled.plan })
        }
        Err(problems) => Err(refuse(&problems)),
    }
}

/// The bundle of a plan's file, or that its bytes are no text.
fn read(args: &PlanArgs) -> Result<Result<Bundle, Diagnostics>, Failure> {
    if let Some(url) = url_of(args) {
        return Ok(Ok(Bundle::new(url::FILE, url::plan(args, url, None)?, inputs(args, None))));
    }
    if args.request.is_given() {
        return Err(Failure::wrong(anyhow!("--method, --header and --body belong to a URL"))
            .with_hint("say it in the plan, or give a URL in its place"));
    }
    let file = args.plan.display().to_string();
    let bytes = read_file(&args.plan)?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Ok(Err(Diagnostics::not_utf8(file, error.as_bytes(), &error.utf8_error()))),
    };
    let load = match (args.users, args.rate, args.duration) {
        (Some(users), None, Some(duration)) => Some(LoadOverride::Users { users, duration }),
        (None, Some(rate), Some(duration)) => Some(LoadOverride::Rate { rate, duration, within_users: None }),
        (None, None, Some(_)) => {
            return Err(Failure::wrong(anyhow!("--duration says how long, but not how much"))
                .with_hint("add --users N or --rate R"));
        }
        _ => None,
    };
    let folder = args.plan.parent().unwrap_or(Path::new(""));
    let read = |file: &str| fs::read(folder.join(file)).map_err(|error| error.to_string());
    Ok(Ok(Bundle::new(file, text, inputs(args, load)).with_files(read)))
}

fn inputs(args: &PlanArgs, load: Option<LoadOverride>) -> Inputs {
    Inputs {
        env: surroundings::environment(),
        has_whole_env: true,
        setup: BTreeMap::new(),
        variables: args.variables.iter().cloned().collect(),
        target: args.target.clone(),
        load,
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = fs::read(path).with_context(|| format!("cannot read plan `{}`", path.display()));
    read.map_err(Failure::wrong)
}

fn refuse(problems: &Diagnostics) -> Failure {
    tell(problems);
    let errors = problems.iter().filter(|problem| problem.severity == squall_plan::Severity::Error).count();
    Failure::wrong(anyhow!("plan has {errors} problem{}", if errors == 1 { "" } else { "s" }))
}

fn tell(problems: &Diagnostics) {
    if !problems.is_empty() {
        eprintln!("{}\n", problems.render(surroundings::colour_errors()));
    }
}

/// `squall validate`
pub(crate) fn validate(args: &ValidateArgs) -> Result<ExitCode, Failure> {
    if args.output == Output::Text {
        let loaded = load(&args.plan)?;
        let scenarios = loaded.plan.scenarios.len();
        println!(
            "{} is valid: {scenarios} scenario{}, {} request names",
            args.plan.plan.display(),
            if scenarios == 1 { "" } else { "s" },
            loaded.plan.series.len(),
        );
        return Ok(ExitCode::Passed);
    }
    let problems = match read(&args.plan)? {
        Err(problems) => problems,
        Ok(bundle) => match compile(&bundle) {
            Ok(compiled) => compiled.warnings,
            Err(problems) => problems,
        },
    };
    println!("{}", serde_json::to_string_pretty(&problems)?);
    Ok(if problems.has_errors() { ExitCode::Wrong } else { ExitCode::Passed })
}

/// `squall schema`
pub(crate) fn schema(of: SchemaOf) -> Result<ExitCode, Failure> {
    let schema = match of {
        SchemaOf::Plan => squall_plan::schema::schema(),
        SchemaOf::Result => squall_report::schema(),
        SchemaOf::Probe => crate::probe::schema(),
    };
    println!("{}", serde_json::to_string_pretty(&schema)?);
    Ok(ExitCode::Passed)
}
