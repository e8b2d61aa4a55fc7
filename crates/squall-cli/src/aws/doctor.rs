//! `squall doctor`: what a run on AWS needs, looked at piece by piece.

use serde::Serialize;
use squall_aws::operator::{Fleet, Identity, account, backlog, identity};
use squall_fleet::{Ceilings, StoreError, run_under_way};
use squall_report::ExitCode;
use squall_seat::SystemClock;

use super::{
    BRING_TO_VERSION, COMPLETE, DEPLOY_ONE, Deployed, MOST_CLOCK_OFFSET_S, RAISE_QUOTA, SET_CLOCK, Site,
    VERSION, block_on, guard,
};
use crate::args::{DoctorArgs, Output};
use crate::failure::Failure;
use crate::surroundings;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    finding: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Check {
    fn good(name: &'static str, finding: impl Into<String>) -> Self {
        Self { name, ok: true, finding: finding.into(), mend: None }
    }

    fn bad(name: &'static str, finding: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, ok: false, finding: finding.into(), mend: Some(mend.into()) }
    }

    fn failed(name: &'static str, error: StoreError) -> Self {
        let finding = error.explain();
        Self { name, ok: false, finding, mend: super::told(error).hint().map(str::to_owned) }
    }
}

pub(crate) fn command(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let checks = block_on(async {
        let site = Site::open(&args.aws).await?;
        Ok(examine(&site, args.generators.get()).await)
    })?;
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&checks)?),
        Output::Text => print(&checks),
    }
    let all_good = checks.iter().all(|check| check.ok);
    Ok(if all_good { ExitCode::Passed } else { ExitCode::Error })
}

fn print(checks: &[Check]) {
    let (good, bad) = if surroundings::style().ascii { ("ok", "NO") } else { ("✓", "✗") };
    for check in checks {
        println!("{} {:<12} {}", if check.ok { good } else { bad }, check.name, check.finding);
        if let Some(mend) = &check.mend {
            println!("  {:<12} → {mend}", "");
        }
    }
}

/// Each check stands on the ones before: the first that makes the rest pointless is the last.
async fn examine(site: &Site, generators: u32) -> Vec<Check> {
    let mut checks = vec![Check::good("region", site.session.region())];
    let identity = match identity(site.session.connection(), &SystemClock).await {
        Ok(identity) => identity,
        Err(error) => {
            checks.push(Check::failed("credentials", error));
            return checks;
        }
    };
    checks.push(Check::good("credentials", format!("{} in account {}", identity.arn, identity.account)));
    checks.push(clock(&identity));
    checks.push(concurrency(site, generators).await);
    let deployed = match stack(site).await {
        Ok((check, deployed)) => {
            checks.push(check);
            deployed
        }
        Err(check) => {
            checks.push(check);
            return checks;
        }
    };
    checks.push(version(&deployed.fleet));
    checks.push(ceilings(&deployed.fleet));
    checks.push(mapping(&deployed).await);
    checks.push(queue(site, &deployed.fleet).await);
    checks.push(dead_letters(site, &deployed.fleet).await);
    checks
}

fn clock(identity: &Identity) -> Check {
    match identity.clock_offset_s {
        None => Check::good("clock", "AWS did not say what time it is"),
        Some(offset) if offset.abs() <= MOST_CLOCK_OFFSET_S => {
            Check::good("clock", format!("within {:.0} s of AWS's", offset.abs().max(1.0).ceil()))
        }
        Some(offset) => {
            let direction = if offset > 0.0 { "ahead of" } else { "behind" };
            let finding = format!("{:.0} s {direction} AWS's", offset.abs());
            Check::bad("clock", finding, SET_CLOCK)
        }
    }
}

async fn concurrency(site: &Site, generators: u32) -> Check {
    let name = "concurrency";
    match account(site.session.connection()).await {
        Ok(account) if account.unreserved >= generators => Check::good(
            name,
            format!(
                "{} of {} functions at a time are free for it, {generators} asked for",
                account.unreserved, account.concurrency
            ),
        ),
        Ok(account) => Check::bad(
            name,
            format!("{} functions at a time, {generators} asked for", account.unreserved),
            RAISE_QUOTA,
        ),
        Err(error) => Check::failed(name, error),
    }
}

async fn stack(site: &Site) -> Result<(Check, Deployed), Check> {
    let (name, stack) = ("stack", &site.stack);
    match site.stacks().find(stack).await {
        Err(error) => Err(Check::failed(name, error)),
        Ok(None) => {
            Err(Check::bad(name, format!("there is no `{stack}` in {}", site.session.region()), DEPLOY_ONE))
        }
        Ok(Some(found)) => match found.fleet() {
            None => {
                Err(Check::bad(name, format!("`{stack}` is no whole fleet ({})", found.status), COMPLETE))
            }
            Some(fleet) => {
                let life = fleet.timeout.as_secs();
                let lanes = match fleet.lanes.len() {
                    1 => String::new(),
                    lanes => format!(", {lanes} lanes"),
                };
                let finding =
                    format!("`{stack}`: {}, {} MB, lives {life} s{lanes}", found.status, fleet.memory_mb);
                Ok((Check::good(name, finding), site.deployed(fleet)))
            }
        },
    }
}

fn version(fleet: &Fleet) -> Check {
    if fleet.version == VERSION {
        Check::good("version", format!("{VERSION}, as this command"))
    } else {
        let finding = format!("{}, and this command is of {VERSION}", fleet.version);
        Check::bad("version", finding, BRING_TO_VERSION)
    }
}

/// Open only while a run is under way.
async fn mapping(deployed: &Deployed) -> Check {
    let name = "mapping";
    let under_way = match run_under_way(&deployed.store, &SystemClock).await {
        Ok(under_way) => under_way,
        Err(error) => return Check::failed(name, error),
    };
    let left = match deployed.mappings.look().await {
        Ok(left) => left,
        Err(error) => return Check::failed(name, error),
    };
    match (guard::in_words(left), under_way) {
        (_, Some(run)) => {
            Check::good(name, format!("{} of {} open; run {run} is under way", left.open, left.lanes))
        }
        (None, None) => Check::good(name, "closed, as between runs"),
        (Some(words), None) => Check::bad(
            name,
            format!("{words}, although no run is under way"),
            "`squall deploy` switches that off; so does the next run when it begins",
        ),
    }
}

/// What the generators may do at most.
fn ceilings(fleet: &Fleet) -> Check {
    let name = "ceilings";
    let ceilings = match guard::ceilings(fleet) {
        Ok(ceilings) => ceilings,
        Err(failure) => return Check::bad(name, failure.words(), failure.hint().unwrap_or_default()),
    };
    let Ceilings { hosts, rate, generators } = ceilings;
    let parts = [
        rate.map(|rate| format!("{rate} iterations/s")),
        generators.map(|generators| format!("{generators} generators")),
        hosts.as_ref().map(|hosts| format!("hosts {}", hosts.hosts().collect::<Vec<_>>().join(", "))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let none = || "none: any host, any rate, any number of generators".to_owned();
    Check::good(name, if parts.is_empty() { none() } else { parts.join(" · ") })
}

/// The queues of all lanes together.
async fn queue(site: &Site, fleet: &Fleet) -> Check {
    let (mut waiting, mut taken) = (0, 0);
    for lane in &fleet.lanes {
        match backlog(site.session.connection(), &lane.queue_url).await {
            Err(error) => return Check::failed("queue", error),
            Ok(backlog) => {
                waiting += backlog.waiting;
                taken += backlog.in_flight;
            }
        }
    }
    if waiting == 0 {
        return Check::good("queue", format!("empty, {taken} seats taken"));
    }
    Check::bad(
        "queue",
        format!("{waiting} seats wait for nobody, {taken} are taken"),
        "they expire by themselves; a run that begins now is not harmed, only slowed",
    )
}

async fn dead_letters(site: &Site, fleet: &Fleet) -> Check {
    let (name, url) = ("dead letters", &fleet.dead_letter_queue_url);
    match backlog(site.session.connection(), url).await {
        Err(error) => Check::failed(name, error),
        Ok(backlog) if backlog.waiting + backlog.in_flight == 0 => Check::good(name, "none"),
        Ok(backlog) => Check::bad(
            name,
            format!("{} messages were no seats, or could not be taken", backlog.waiting + backlog.in_flight),
            format!("look at `{url}` and at the function's log, then purge the queue"),
        ),
    }
}
