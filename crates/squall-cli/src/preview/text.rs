//! What a plan will do, for people and 80 columns.

use std::time::Duration;

use squall_fleet::sizing::CONNECTIONS_OF_SEAT;
use squall_plan::estimate::Requests;
use squall_plan::schedule::Planned;
use squall_plan::{
    Arrivals, Connections, Iterations, Load, PlacedLoad, SETUP, Share, TEARDOWN, Users, WhenFull,
};
use squall_report::{Style, to_ascii};

use super::chart::chart;
use super::fleet::OnAws;
use super::{Preview, Slices, model};

/// Names of requests that are listed for a scenario; the rest is counted.
const MOST_NAMES: usize = 40;

/// Bounds that are nearer to each other are one.
const NEARLY: f64 = 1.005;

/// Where what is said of something begins.
const COLUMN: usize = 14;

/// Columns of a terminal that everybody has.
const WIDTH: usize = 80;

pub(super) fn page(preview: &Preview, style: Style) -> String {
    let plan = &preview.plan;
    let mut page = Page { lines: Vec::new(), style };
    page.heading(&plan.name, &format!("to {}", plan.target));
    for (number, placed) in (1..).zip(&plan.loads) {
        let which = if plan.loads.len() == 1 { "load".to_owned() } else { format!("load {number}") };
        page.load(preview, placed, &which);
    }
    page.blank();
    page.fact("generators", &generators(preview));
    for (number, placed) in (1..).zip(&plan.loads) {
        let which = if plan.loads.len() == 1 { String::new() } else { format!("load {number}: ") };
        for slices in preview.slices(placed) {
            page.fact("", &format!("{which}{}", slice(&slices, &placed.load)));
        }
    }
    page.fact("connections", &connections(preview));
    page.fact("duration", &duration(preview));
    if let Some(on_aws) = &preview.on_aws {
        page.fleet(on_aws);
    }
    page.blank();
    page.requests(preview);
    page.scenarios(preview);
    for errand in [SETUP, TEARDOWN] {
        let names: Vec<&str> = preview.errand(errand).collect();
        if !names.is_empty() {
            page.fact(errand, &format!("once: {}", names.join(", ")));
        }
    }
    for (number, threshold) in plan.thresholds.iter().enumerate() {
        page.fact(if number == 0 { "thresholds" } else { "" }, &threshold.in_words());
    }
    if let Some(events) = &plan.events {
        page.fact("events", &events.in_words());
    }
    page.blank();
    page.fact("hosts", &preview.hosts().join(", "));
    if let Some(proxy) = &plan.http.proxy {
        page.fact("proxy", proxy.host_str().unwrap_or_default());
    }
    for server in &plan.http.dns.servers {
        page.fact("name server", &server.to_string());
    }
    let names: Vec<String> = preview
        .environment()
        .map(|(name, set)| if set { name.to_owned() } else { format!("{name} (not set)") })
        .collect();
    page.fact(
        "environment",
        if names.is_empty() { "no variables".to_owned() } else { names.join(", ") }.as_str(),
    );
    for secret in &plan.secrets {
        page.fact("secret", &format!("{}: {}", secret.name, secret.source));
    }
    let text = page.lines.join("\n");
    if style.ascii { to_ascii(&text) } else { text }
}

struct Page {
    lines: Vec<String>,
    style: Style,
}

impl Page {
    fn blank(&mut self) {
        self.lines.push(String::new());
    }

    fn heading(&mut self, name: &str, rest: &str) {
        let name = if self.style.colour { format!("\u{1b}[1m{name}\u{1b}[0m") } else { name.to_owned() };
        self.lines.push(format!(" {name}  {rest}"));
    }

    /// Something and what is said of it; what is too long goes on below.
    fn fact(&mut self, what: &str, text: &str) {
        let mut line = format!(" {what:<0$}", COLUMN - 1);
        let mut is_first = true;
        for word in text.split(' ') {
            if !is_first && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.lines.push(std::mem::replace(&mut line, format!("{}{word}", " ".repeat(COLUMN))));
                continue;
            }
            if !is_first {
                line.push(' ');
            }
            line.push_str(word);
            is_first = false;
        }
        self.lines.push(line.trim_end().to_owned());
    }

    fn load(&mut self, preview: &Preview, placed: &PlacedLoad, which: &str) {
        self.blank();
        let load = &placed.load;
        let mut facts = vec![format!("{} model", model(load)), amount(placed)];
        if !placed.start.is_zero() {
            facts.push(format!("begins after {}", time(placed.start)));
        }
        match load {
            Load::Open(open) => {
                facts.push(
                    if open.arrivals == Arrivals::Poisson { "at random" } else { "evenly spaced" }.to_owned(),
                );
                facts.push(format!("up to {} users", count(f64::from(open.max_users))));
                if open.users == Users::Fresh {
                    facts.push("each a new one".to_owned());
                }
                if open.when_full == WhenFull::Queue {
                    facts.push("arrivals wait for one".to_owned());
                }
            }
            Load::Closed(closed) => facts.extend(closed.iterations.map(|iterations| match iterations {
                Iterations::Shared(number) => format!("ends after {} iterations", count(number as f64)),
                Iterations::PerUser(number) => format!("each does {} iterations", count(number as f64)),
            })),
        }
        self.fact(which, &facts.join(" · "));
        let shares = preview.shares(placed);
        if preview.plan.loads.len() > 1 && shares.len() < preview.plan.scenarios.len() {
            let names: Vec<&str> = shares.iter().map(|(name, _)| *name).collect();
            self.fact("", &format!("scenarios {}", names.join(", ")));
        }
        self.blank();
        let unit = if matches!(load, Load::Open(_)) { "/s" } else { "" };
        let level = |level: f64| format!("{}{unit}", short(level));
        let start = placed.start;
        self.lines.extend(chart(&load.profile(), self.style.ascii, level, |at| time(start + at)));
    }

    fn fleet(&mut self, on_aws: &OnAws) {
        self.blank();
        self.fact("ready", &on_aws.ready());
        self.columns(on_aws.ready_lines());
        self.blank();
        self.fact("cost", &on_aws.cost());
        self.columns(on_aws.cost_lines());
        self.fact("", &on_aws.source());
    }

    /// What is said in columns of its own.
    fn columns(&mut self, lines: Vec<String>) {
        self.lines.extend(lines.into_iter().map(|line| format!("{}{line}", " ".repeat(COLUMN))));
    }

    fn requests(&mut self, preview: &Preview) {
        let all = preview.requests();
        let known = if preview.assumes_response_time() {
            format!(
                ", if responses take {} ms. An estimate: users wait for each response before they go on, so slower \
                 ones mean fewer requests.",
                short(preview.response().as_secs_f64() * 1e3)
            )
        } else {
            ". That follows from the plan, whatever the target takes.".to_owned()
        };
        let unknown = match all.most {
            None => " How many at most cannot be known: a `repeat` or `for_each` has no bound.",
            Some(most) if most <= all.least * NEARLY => "",
            Some(_) if preview.hangs_on_conditions() => " Which it is hangs on conditions.",
            Some(_) => " Which it is hangs on how many users the arrivals need.",
        };
        self.fact("requests", &format!("{}{known}{unknown}", range(all)));
        self.fact("", "Failures, `stop`, `on_status`, redirects and retries are not counted.");
    }

    fn scenarios(&mut self, preview: &Preview) {
        let plan = &preview.plan;
        let weights: f64 = plan.scenarios.iter().map(|scenario| f64::from(scenario.weight)).sum();
        for (number, scenario) in plan.scenarios.iter().enumerate() {
            self.blank();
            let share = f64::from(scenario.weight) / weights.max(1.0);
            let each = scenario.per_iteration();
            let each = Requests { least: each.least.requests, most: each.most.map(|most| most.requests) };
            let share = if plan.scenarios.len() == 1 {
                String::new()
            } else if plan.loads.len() == 1 {
                format!("{:.0} % of users and arrivals · ", share * 100.0)
            } else {
                format!("weight {} · ", scenario.weight)
            };
            let title = if number == 0 { "scenarios" } else { "" };
            let text = format!("{} · {share}{} an iteration", scenario.name, per_iteration(each));
            self.fact(title, &text);
            let names: Vec<&str> = plan
                .series
                .iter()
                .filter(|series| series.scenario == scenario.name)
                .map(|series| series.endpoint.as_str())
                .collect();
            for name in names.iter().take(MOST_NAMES) {
                self.lines.push(format!("{}{}", " ".repeat(COLUMN + 2), shortened(name)));
            }
            if names.len() > MOST_NAMES {
                self.lines.push(format!("{}and {} more", " ".repeat(COLUMN + 2), names.len() - MOST_NAMES));
            }
        }
    }
}

/// How much load there is in all.
fn amount(placed: &PlacedLoad) -> String {
    let peak = placed.load.profile().iter().map(|(_, level)| *level).fold(0.0, f64::max);
    match placed.load.planned(Share::WHOLE) {
        Planned::Arrivals(arrivals) => {
            format!("{} arrivals, at most {}/s", count(arrivals as f64), short(peak))
        }
        Planned::UserMicros(_) | Planned::Iterations(_) => {
            let users = placed.users();
            format!("{} user{}", count(f64::from(users)), if users == 1 { "" } else { "s" })
        }
    }
}

fn generators(preview: &Preview) -> String {
    let (number, sized) = (count(f64::from(preview.generators)), &preview.sized);
    let why = if preview.given {
        sized.shortage().map_or(String::new(), |shortage| format!("; {shortage}"))
    } else if preview.on_aws.is_some() {
        format!(": {}", sized.reason())
    } else {
        format!(
            ", as many as a fleet on AWS would have: {} (a local run has one for each processor)",
            sized.reason()
        )
    };
    let source = if preview.given && why.is_empty() { String::new() } else { sized.source() };
    let source = if source.is_empty() { source } else { format!("; {source}") };
    format!("{number}{why}{source}")
}

fn slice(slices: &Slices, load: &Load) -> String {
    let which = if slices.first == slices.last {
        format!("slice {}", slices.first)
    } else {
        format!("slices {} to {}, each", slices.first, slices.last)
    };
    let users = format!("{} user{}", count(slices.users as f64), if slices.users == 1 { "" } else { "s" });
    let most = if matches!(load, Load::Open(_)) { " at most" } else { "" };
    let more = match slices.planned {
        Planned::Arrivals(arrivals) => format!(", {} arrivals", count(arrivals as f64)),
        Planned::Iterations(iterations) => format!(", {} iterations", count(iterations as f64)),
        Planned::UserMicros(_) => String::new(),
    };
    format!("{which}: {users}{most}{more}")
}

fn connections(preview: &Preview) -> String {
    let needed = preview.connections;
    let whose = match preview.plan.http.connections {
        Connections::PerUser => "each user has its own",
        Connections::PerIteration => "each iteration makes its own",
        Connections::Shared => "users share them",
    };
    let number = match (needed.certain, needed.possible) {
        (certain, possible) if certain == possible => format!("{} a generator", count(certain as f64)),
        (0, possible) => format!("up to {} a generator", count(possible as f64)),
        (certain, possible) => format!("{} to {} a generator", count(certain as f64), count(possible as f64)),
    };
    let most = CONNECTIONS_OF_SEAT;
    let too_many = if needed.certain > u64::from(most) {
        format!(". A generator on AWS may have {most}: take more --generators, or share connections")
    } else {
        String::new()
    };
    format!("{number} to the target; {whose}{too_many}")
}

fn duration(preview: &Preview) -> String {
    let (load, end) = (preview.plan.duration(), preview.plan.latest_end());
    let rest = end.saturating_sub(load);
    let early = preview.plan.loads.iter().any(|placed| placed.load.ends_by_iterations().is_some());
    let at_most = if early { "at most " } else { "" };
    if rest.is_zero() {
        format!("{at_most}{}", time(load))
    } else {
        format!(
            "{at_most}{}, then up to {} for iterations that are under way: {} in all",
            time(load),
            time(rest),
            time(end)
        )
    }
}

fn range(requests: Requests) -> String {
    match requests.most {
        Some(most) if most <= requests.least && most.fract() == 0.0 => count(most),
        Some(most) if most <= requests.least * NEARLY => format!("about {}", about(requests.least)),
        Some(most) => format!("about {} to {}", about(requests.least), about(most)),
        None => format!("about {} or more", about(requests.least)),
    }
}

fn per_iteration(requests: Requests) -> String {
    match requests.most {
        Some(most) if (most - requests.least).abs() < 0.005 => {
            let number = short(most);
            let plural = if number == "1" { "" } else { "s" };
            format!("{number} request{plural}")
        }
        Some(most) => format!("{} to {} requests", short(requests.least), short(most)),
        None => format!("{} or more requests", short(requests.least)),
    }
}

/// A number that is not known better than to three digits.
fn about(number: f64) -> String {
    let step = 10_f64.powf((number.max(1.0).log10().floor() - 2.0).max(0.0));
    count((number / step).round() * step)
}

/// A number with up to two places.
fn short(number: f64) -> String {
    if number >= 1_000.0 {
        return count(number);
    }
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn count(number: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "cut off where nobody reads it"
    )]
    squall_report::count(number.round().max(0.0) as u64)
}

/// `45s`, `5m30s`, `1h2m`, `250ms`
fn time(duration: Duration) -> String {
    let (s, ms) = (duration.as_secs(), duration.subsec_millis());
    let parts = [(s / 3_600, "h"), (s / 60 % 60, "m"), (s % 60, "s"), (u64::from(ms), "ms")];
    let text: String = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn shortened(name: &str) -> String {
    let most = WIDTH - COLUMN - 2;
    if name.chars().count() <= most {
        return name.to_owned();
    }
    name.chars().take(most - 1).chain(['…']).collect()
}
