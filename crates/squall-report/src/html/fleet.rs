//! The generators: how far they were apart, and a table of them.

use super::markup::{Html, decimal};
use super::sections::{share, whole};
use super::tables::{table, tall_table};
use super::verdict::time;
use crate::fleet;
use crate::numbers::{count, significant};
use crate::result::{Generator, RunResult};

/// Rows of the table at most.
const MAX_ROWS: usize = 500;

/// A value of a generator that the strips show.
type Measure = (&'static str, fn(&Generator) -> Option<f64>);

/// What the strips show.
const MEASURES: [Measure; 8] = [
    ("send lag p50", |generator| generator.send_lag_ms.p50),
    ("send lag p99", |generator| generator.send_lag_ms.p99),
    ("largest send lag", |generator| generator.send_lag_ms.max),
    ("loop delay p99", |generator| generator.loop_delay_ms.p99),
    ("start skew", |generator| generator.start_skew_ms.map(f64::abs)),
    ("in the queue", |generator| generator.queued_ms),
    ("start of its process", |generator| Some(generator.init_ms)),
    ("ready after", |generator| Some(generator.ready_ms)),
];

/// Addresses that are named.
const MAX_ADDRESSES: usize = 20;

/// A value, and whose.
type Value<'a> = (f64, &'a Generator);

/// Who made the load.
pub(super) fn generators(html: &mut Html, result: &RunResult) {
    if result.generators.is_empty() {
        html.leaf("p", &[("class", "muted")], "No generator took part.");
        return;
    }
    strips(html, &result.generators);
    environments(html, result);
    addresses(html, result);
    let head = [
        "Generator",
        "Slice",
        "Window",
        "Region",
        "Address",
        "In the queue",
        "Start of its process",
        "Ready after",
        "Start skew",
        "Send lag p99",
        "Loop delay p99",
        "Processor",
        "Stolen",
        "Memory",
        "Connections",
        "Tainted seconds",
    ];
    let mut generators: Vec<&Generator> = result.generators.iter().collect();
    let number = generators.len();
    if number > MAX_ROWS {
        // Those that were late longest are looked for first.
        let lag = |generator: &&Generator| generator.send_lag_ms.p99.unwrap_or(0.0);
        generators.sort_by(|one, other| lag(other).total_cmp(&lag(one)));
        let note = format!(
            "The {MAX_ROWS} of {} with the longest send lag; the others are in result.json.",
            count(number as u64)
        );
        html.leaf("p", &[("class", "muted")], &note);
    }
    let rows = generators.into_iter().take(MAX_ROWS).map(row);
    if number > 20 {
        tall_table(html, &head, rows);
    } else {
        table(html, &head, rows);
    }
}

/// How many environments had to start, and how many were there before; threads are there at once.
fn environments(html: &mut Html, result: &RunResult) {
    if result.run.backend != "local" {
        html.leaf("p", &[], &format!("Environments: {}.", fleet::environments(&result.generators)));
    }
}

/// Where a target that limits by address sees the load come from.
fn addresses(html: &mut Html, result: &RunResult) {
    let addresses: Vec<&str> = result.source_addresses().into_iter().collect();
    let shown = addresses.iter().take(MAX_ADDRESSES).copied().collect::<Vec<_>>().join(", ");
    let words = match addresses.len() {
        0 => return,
        1 => format!("All requests came from {shown}."),
        number if number > MAX_ADDRESSES => {
            format!("Requests came from {} addresses: {shown}, …", count(number as u64))
        }
        number => format!("Requests came from {number} addresses: {shown}."),
    };
    html.leaf("p", &[], &words);
}

fn row(generator: &Generator) -> Vec<String> {
    let by = &generator.tainted_by;
    let reasons = [(by.send_lag, "send lag"), (by.loop_delay, "loop delay"), (by.stolen, "stolen")];
    let reasons = reasons.iter().filter(|(number, _)| *number > 0);
    let reasons = reasons.map(|(number, what)| format!("{what} {number}")).collect::<Vec<_>>().join(", ");
    let tainted = match generator.tainted_s {
        0 => "–".to_owned(),
        seconds if reasons.is_empty() => count(seconds),
        seconds => format!("{} ({reasons})", count(seconds)),
    };
    vec![
        generator.nonce.clone(),
        generator.slice.map_or("spare".to_owned(), |slice| slice.to_string()),
        generator.window.to_string(),
        generator.region.clone(),
        generator.source_ip.clone().unwrap_or_else(|| "–".to_owned()),
        match generator.deliveries {
            Some(times) if times > 1 => format!("{} ({times} times)", time(generator.queued_ms)),
            _ => time(generator.queued_ms),
        },
        if generator.init_ms > 0.0 { time(Some(generator.init_ms)) } else { "was there".to_owned() },
        time(Some(generator.ready_ms)),
        time(generator.start_skew_ms),
        time(generator.send_lag_ms.p99),
        time(generator.loop_delay_ms.p99),
        share(generator.cpu_ratio),
        share(generator.stolen_ratio),
        format!("{} MB", significant(generator.memory_mb)),
        whole(generator.connections),
        tainted,
    ]
}

/// A strip for each measure, and for each region if there are several: a dot is a generator.
fn strips(html: &mut Html, generators: &[Generator]) {
    let mut regions: Vec<&str> = generators.iter().map(|generator| &*generator.region).collect();
    regions.sort_unstable();
    regions.dedup();
    let several = regions.len() > 1;
    let axis = Axis::of(generators);
    html.leaf("h3", &[], &title(generators));
    html.element("div", &[("class", "scroll"), ("tabindex", "0")], |html| {
        html.element("table", &[("class", "strips")], |html| {
            html.element("thead", &[], |html| {
                html.element("tr", &[], |html| {
                    ["Of a generator", "Region"].iter().take(1 + usize::from(several)).for_each(|name| {
                        html.leaf("th", &[("scope", "col")], name);
                    });
                    html.element("th", &[("scope", "col")], |html| axis.labels(html));
                    ["Median", "Longest", "Whose"].iter().for_each(|name| {
                        html.leaf("th", &[("scope", "col")], name);
                    });
                });
            });
            html.element("tbody", &[], |html| {
                for (name, measure) in MEASURES {
                    for region in &regions {
                        let of_region = generators.iter().filter(|generator| generator.region == **region);
                        let mut values: Vec<Value<'_>> = of_region
                            .filter_map(|generator| Some((measure(generator)?, generator)))
                            .collect();
                        values.sort_by(|(one, _), (other, _)| one.total_cmp(other));
                        strip(html, (name, several.then_some(*region)), &values, axis);
                    }
                }
            });
        });
    });
}

/// What is to be said of them: whether one of them was far behind the others.
fn title(generators: &[Generator]) -> String {
    let mut lags: Vec<Value<'_>> =
        generators.iter().filter_map(|generator| Some((generator.send_lag_ms.p99?, generator))).collect();
    lags.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let median = lags.get(lags.len() / 2).map_or(0.0, |(lag, _)| *lag);
    let behind = lags.iter().filter(|(lag, _)| *lag > (3.0 * median).max(1.0)).count();
    match (lags.last(), behind) {
        (None, _) => "How far the generators were apart".to_owned(),
        (Some((lag, _)), 0) => {
            format!("No generator was far behind the others: send lag p99 is at most {}", time(Some(*lag)))
        }
        (Some((lag, worst)), 1) => {
            format!("{} was behind: its send lag p99 is {}", worst.nonce, time(Some(*lag)))
        }
        (Some((lag, _)), behind) => {
            format!("{behind} generators were behind: their send lag p99 is up to {}", time(Some(*lag)))
        }
    }
}

fn strip(html: &mut Html, (name, region): (&str, Option<&str>), values: &[Value<'_>], axis: Axis) {
    let Some(((longest, worst), (median, _))) = values.last().zip(values.get(values.len() / 2)) else {
        return;
    };
    html.element("tr", &[], |html| {
        html.leaf("th", &[("scope", "row")], name);
        if let Some(region) = region {
            html.leaf("td", &[], region);
        }
        html.element("td", &[], |html| {
            let attributes = [
                ("class", "strip"),
                ("viewBox", "0 0 1000 10"),
                ("preserveAspectRatio", "none"),
                ("aria-hidden", "true"),
            ];
            // Dots that would be in the same place are one.
            let mut places: Vec<String> = values.iter().map(|(ms, _)| decimal(axis.x(*ms).round())).collect();
            places.dedup();
            let dots = places.iter().map(|x| format!("M{x} 5h0")).collect::<String>();
            html.element("svg", &attributes, |html| {
                html.leaf("path", &[("class", "grid"), ("d", &axis.grid())], "");
                html.leaf("path", &[("class", "dots"), ("d", &dots)], "");
            });
        });
        html.leaf("td", &[], &time(Some(*median)));
        html.leaf("td", &[], &time(Some(*longest)));
        html.leaf("td", &[], &worst.nonce);
    });
}

/// Powers of ten in milliseconds, from the first to the last.
#[derive(Clone, Copy)]
struct Axis {
    from: i32,
    to: i32,
}

impl Axis {
    fn of(generators: &[Generator]) -> Self {
        let values = || MEASURES.iter().flat_map(|(_, of)| generators.iter().filter_map(*of));
        let values = || values().filter(|value| value.is_finite() && *value > 0.0);
        let least = values().fold(f64::INFINITY, f64::min).clamp(0.01, 1e6);
        let most = values().fold(0.1, f64::max).clamp(0.1, 1e7);
        #[expect(clippy::cast_possible_truncation, reason = "logarithms of times are small")]
        let (from, to) = (least.log10().floor() as i32, most.log10().ceil() as i32);
        Self { from, to: to.max(from + 1) }
    }

    /// What is shorter than the axis stands at its begin.
    fn x(self, ms: f64) -> f64 {
        let share = (ms.max(1e-9).log10() - f64::from(self.from)) / f64::from(self.to - self.from);
        10.0 + 980.0 * share.clamp(0.0, 1.0)
    }

    fn grid(self) -> String {
        let ticks = (self.from..=self.to).map(|power| decimal(self.x(10_f64.powi(power))));
        ticks.map(|x| format!("M{x} 0V10")).collect()
    }

    fn labels(self, html: &mut Html) {
        html.element("div", &[("class", "decades")], |html| {
            for power in self.from..=self.to {
                let style = format!("left:{}%", decimal(self.x(10_f64.powi(power)) / 10.0));
                html.leaf("span", &[("style", &style)], &super::plot::Unit::Time.label(10_f64.powi(power)));
            }
        });
    }
}
