//! `squall deploy`: a stack, brought to this command's version.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use squall_aws::operator::{Package, Stack, StackError, TEMPLATE, read_package, upload, with_lanes};
use squall_fleet::run_under_way;
use squall_report::ExitCode;
use squall_seat::SystemClock;

use super::{Site, Told, VERSION, block_on, told, told_of_stack};
use crate::args::DeployArgs;
use crate::failure::Failure;
use crate::surroundings;

/// The file with the generator.
const ZIP: &str = "bootstrap.zip";

/// How long a generator may live: Lambda's limits, of which a run needs some.
const LIFETIMES: std::ops::RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_mins(15);

pub(crate) fn command(args: &DeployArgs) -> Result<ExitCode, Failure> {
    if args.timeout.is_some_and(|timeout| !LIFETIMES.contains(&timeout)) {
        return Err(Failure::wrong(anyhow!("a generator can live 1 to 15 minutes"))
            .with_hint("give --timeout 1m to 15m"));
    }
    let template = template(args.template.as_deref())?;
    if args.ceilings.print_template {
        let lanes = args.ceilings.lanes.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        surroundings::print(&of_lanes(&template, lanes)?);
        return Ok(ExitCode::Passed);
    }
    let package = package(args.zip.as_deref())?;
    block_on(async {
        for (site, _) in Site::open_all(&args.aws).await? {
            deploy(&site, args, package.clone(), &template).await?;
        }
        eprintln!("run on it with `squall run PLAN --backend aws`; `squall destroy` removes it");
        Ok(ExitCode::Passed)
    })
}

async fn deploy(site: &Site, args: &DeployArgs, package: Package, template: &str) -> Result<(), Failure> {
    let (stacks, name) = (site.stacks(), &site.stack);
    let existing = stacks.find(name).await.map_err(told)?;
    if existing.as_ref().is_some_and(|existing| !existing.is_ours()) {
        return Err(told_of_stack(StackError::Foreign(name.clone())));
    }
    refuse_under_way(site, existing.as_ref()).await?;
    let region = site.session.region();
    eprintln!("deploying stack `{name}` in {region}");
    let mut parameters = parameters(args, existing.as_ref(), &package, template)?;
    let lanes = parameters.get("Lanes").and_then(|lanes| lanes.parse().ok());
    let template = &of_lanes(template, lanes.unwrap_or(NonZeroU32::MIN))?;
    // What is not there yet is made in two steps: the code needs the bucket, and the function the code.
    let bucket = match existing.and_then(|stack| stack.outputs.get("Bucket").cloned()) {
        Some(bucket) => bucket,
        None => {
            let first = stacks.apply(name, template, &parameters, &mut Told).await.map_err(told_of_stack)?;
            let bucket = first.outputs.get("Bucket").cloned();
            bucket
                .ok_or_else(|| anyhow!("stack `{name}` has no output `Bucket`; is its template a fleet's?"))?
        }
    };
    let key = package.key();
    let megabytes = package.bytes.len() as f64 / 1e6;
    if upload(site.session.connection(), &bucket, &key, package.bytes).await.map_err(told)? {
        eprintln!("  {:<16} uploaded, {megabytes:.1} MB", "code");
    } else {
        eprintln!("  {:<16} is there already", "code");
    }
    parameters.insert("CodeKey".to_owned(), key);
    let stack = stacks.apply(name, template, &parameters, &mut Told).await.map_err(told_of_stack)?;
    let fleet = stack.fleet().ok_or_else(|| anyhow!("stack `{name}` is no whole fleet"))?;
    let (version, memory, life) = (fleet.version.clone(), fleet.memory_mb, fleet.timeout.as_secs());
    let lanes = match fleet.lanes.len() {
        1 => String::new(),
        lanes => format!(", {lanes} lanes"),
    };
    // Whatever an earlier run that died has left on.
    site.deployed(fleet).mappings.close().await.map_err(told)?;
    println!(
        "stack `{name}` in {region} is up to date: version {version}, {}, {memory} MB, {life} s{lanes}",
        package.architecture.name(),
    );
    Ok(())
}

/// An update ends the generators that are running.
async fn refuse_under_way(site: &Site, existing: Option<&Stack>) -> Result<(), Failure> {
    let Some(fleet) = existing.and_then(Stack::fleet) else { return Ok(()) };
    match run_under_way(&site.deployed(fleet).store, &SystemClock).await.map_err(told)? {
        None => Ok(()),
        Some(run) => Err(site.under_way(&run, format!("wait for its end, or `squall stop {run}`"))),
    }
}

/// The parameters that a template of one's own may leave out, with what they are where nobody says anything.
const ADDED: [(&str, &str); 4] =
    [("Lanes", "1"), ("AllowedHosts", ""), ("MaxRate", "0"), ("MaxGenerators", "0")];

/// What was asked for, else what the stack has, else what the template says.
fn parameters(
    args: &DeployArgs,
    existing: Option<&Stack>,
    package: &Package,
    template: &str,
) -> Result<BTreeMap<String, String>, Failure> {
    let defaults = [
        ("CodeKey", ""),
        ("SquallVersion", VERSION),
        ("Architecture", package.architecture.name()),
        ("MemoryMb", "1769"),
        ("TimeoutS", "900"),
    ];
    let mut parameters: BTreeMap<String, String> =
        defaults.into_iter().chain(ADDED).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let before = existing.map(|stack| &stack.parameters);
    let added = ADDED.map(|(key, _)| key);
    let kept = ["CodeKey", "MemoryMb", "TimeoutS"].into_iter().chain(added);
    let kept = kept.map(|key| (key, before.and_then(|before| before.get(key)).cloned()));
    let asked = [
        ("MemoryMb", args.memory.map(|memory| memory.to_string())),
        ("TimeoutS", args.timeout.map(|timeout| timeout.as_secs().to_string())),
    ];
    for (key, value) in kept.chain(asked).chain(args.ceilings.parameters()) {
        if let Some(value) = value {
            parameters.insert(key.to_owned(), value);
        }
    }
    for (key, default) in ADDED {
        let declared = [format!("  {key}:"), format!("\"{key}\"")].iter().any(|form| template.contains(form));
        if declared {
            continue;
        }
        if let Some(value) = parameters.remove(key).filter(|value| value != default) {
            let what = anyhow!("template has no parameter `{key}`, which is to be `{value}`");
            let hint = "take it over from infra/squall.yaml, with what hands it to the function";
            return Err(Failure::wrong(what).with_hint(hint));
        }
    }
    Ok(parameters)
}

/// The template with so many lanes.
fn of_lanes(template: &str, lanes: NonZeroU32) -> Result<String, Failure> {
    with_lanes(template, lanes).map_err(|error| {
        Failure::wrong(error).with_hint("take the marks over from infra/squall.yaml, or deploy one lane")
    })
}

fn package(asked: Option<&Path>) -> Result<Package, Failure> {
    let path = match asked {
        Some(path) => path.to_owned(),
        None => found().ok_or_else(|| {
            Failure::wrong(anyhow!("`{ZIP}` is neither beside this command nor under `dist`"))
                .with_hint("give --zip FILE; `cargo xtask dist` builds it")
        })?,
    };
    let name = path.display();
    let bytes = fs::read(&path).with_context(|| format!("cannot read `{name}`")).map_err(Failure::wrong)?;
    let package = read_package(bytes).with_context(|| format!("`{name}` cannot be deployed"));
    let package =
        package.map_err(|error| Failure::wrong(error).with_hint("`cargo xtask dist` builds one that can"))?;
    if package.version != VERSION {
        let what = anyhow!("`{name}` is of version {}, and this command of {VERSION}", package.version);
        return Err(Failure::wrong(what).with_hint("take the zip that came with this command"));
    }
    Ok(package)
}

fn found() -> Option<PathBuf> {
    let beside = surroundings::own_folder().map(|folder| folder.join(ZIP));
    beside.into_iter().chain([Path::new("dist").join(ZIP)]).find(|path| path.is_file())
}

fn template(asked: Option<&Path>) -> Result<String, Failure> {
    match asked {
        None => Ok(TEMPLATE.to_owned()),
        Some(path) => fs::read_to_string(path)
            .with_context(|| format!("cannot read template `{}`", path.display()))
            .map_err(Failure::wrong),
    }
}
