//! `thresholds`: what must hold of what is measured.

use std::time::Duration;

use crate::keys;
use crate::model::{Load, MeasureKind, PlacedLoad, Purpose, SeriesName};
use crate::threshold::{self, Comparison, Metric, Of, Statistic, Threshold, Unit, Word, Written};
use crate::yaml::{Node, Value};

use super::Lowering;
use super::fields::{Fields, closest};

/// The metrics besides percentiles and the plan's own.
const METRICS: [&str; 10] =
    ["p95", "mean", "min", "max", "errors", "status", "dropped", "checks", "rps", "requests"];

const SELECTORS: [&str; 6] = ["name", "scenario", "purpose", "stage", "region", "tag"];

const MOST_OVER: Duration = Duration::from_hours(1);

/// What is wrong with a part of a threshold: what is said of it, and what to write instead.
type Problem = (std::ops::Range<usize>, String, Option<String>);

impl Lowering<'_> {
    /// Lowered last, for thresholds speak of requests, metrics and stages.
    pub(super) fn thresholds(&mut self, fields: &Fields<'_>, loads: &[PlacedLoad]) -> Vec<Threshold> {
        let Some(node) = fields.get("thresholds") else { return Vec::new() };
        self.within("thresholds", |this| this.list(node, |this, node| this.threshold(node, loads)))
    }

    fn threshold(&mut self, node: &Node, loads: &[PlacedLoad]) -> Option<Threshold> {
        let Value::Mapping(_) = &node.value else { return self.check_text(node, loads) };
        let fields = self.fields(node, &keys::THRESHOLD)?;
        let over = self.optional(&fields, "over", Self::over);
        let after = self.optional(&fields, "after", Self::duration).unwrap_or_default();
        let abort = self.optional(&fields, "abort", Self::switch).unwrap_or_default();
        let check = fields.get("check")?;
        let threshold = self.within("check", |this| this.check_text(check, loads))?;
        let duration =
            loads.iter().map(|placed| placed.start + placed.load.duration()).max().unwrap_or_default();
        let begin = after + Duration::from_secs(over.unwrap_or(0).into());
        if begin > duration && !loads.is_empty() && self.bundle.inputs.load.is_none() {
            let message = "the load is over before this is judged".to_owned();
            self.warning(
                node.span.clone(),
                "no-effect",
                message,
                Some("without data a threshold fails".to_owned()),
            );
        }
        if let (Metric::Own(..), Some(key)) = (threshold.metric, fields.key("over").or(fields.key("after"))) {
            let message = "metrics of the plan's own are kept for the whole run only".to_owned();
            self.error(
                key.span.clone(),
                "conflict",
                message,
                Some("leave out `over` and `after`".to_owned()),
            );
        }
        let grows = threshold.metric == Metric::Requests && threshold.unit == Unit::Count;
        let is_at_least = matches!(threshold.comparison, Comparison::Greater | Comparison::AtLeast);
        if let Some(key) = fields.key("abort").filter(|_| abort && over.is_none() && grows && is_at_least) {
            let message = "the first requests are too few for this, and would end the run".to_owned();
            let hint = "leave out `abort`, or say in which time with `over`".to_owned();
            self.error(key.span.clone(), "conflict", message, Some(hint));
        }
        Some(Threshold { over_s: over, after, abort, ..threshold })
    }

    /// Whole seconds, as what is measured is kept by the second.
    fn over(&mut self, node: &Node) -> Option<u32> {
        let duration = self.duration(node)?;
        let whole = duration.subsec_nanos() == 0 && !duration.is_zero() && duration <= MOST_OVER;
        if !whole {
            let message = "must be whole seconds, from `1s` to `1h`".to_owned();
            self.error(node.span.clone(), "out-of-range", message, None);
        }
        u32::try_from(duration.as_secs()).ok().filter(|_| whole)
    }

    fn check_text(&mut self, node: &Node, loads: &[PlacedLoad]) -> Option<Threshold> {
        let text = self.text(node)?;
        let written = match threshold::parse(&text) {
            Ok(written) => written,
            Err(wrong) => {
                let span = self.place_in(node, &text, Some(&wrong.at));
                self.error(span, "threshold", wrong.message, Some(wrong.hint));
                return None;
            }
        };
        match self.looked_up(&text, &written, loads) {
            Ok(threshold) => Some(threshold),
            Err((at, message, hint)) => {
                let span = self.place_in(node, &text, Some(&at));
                self.error(span, "threshold", message, hint);
                None
            }
        }
    }

    /// Finds what the words of a threshold mean.
    fn looked_up(
        &self,
        text: &str,
        written: &Written<'_>,
        loads: &[PlacedLoad],
    ) -> Result<Threshold, Problem> {
        let metric = self.metric(&written.metric, written.argument.as_ref())?;
        let (limit, unit) = limit_of(metric, &written.metric, &written.value)?;
        let mut chosen = Chosen::default();
        for (key, value) in &written.selectors {
            self.select(&mut chosen, key, value, loads)?;
        }
        if let Some((key, _)) = written.selectors.iter().find(|(key, _)| !is_told_apart(metric, key.text)) {
            let message = format!("`{}` cannot be selected by `{}`", written.metric.text, key.text);
            return Err((key.at.clone(), message, Some("leave it out".to_owned())));
        }
        let ids = (0..=u16::MAX).zip(&self.series);
        let series: Vec<u16> = ids.filter(|(_, name)| chosen.takes(name)).map(|(id, _)| id).collect();
        if series.is_empty()
            && let Some((key, value)) = written.selectors.first()
        {
            let message = "no request is all of this".to_owned();
            return Err((key.at.start..value.at.end, message, None));
        }
        let counts_drops = series.iter().any(|id| self.series[usize::from(*id)].purpose == Purpose::Journey);
        let (comparison, expression) = (written.comparison, text.trim().to_owned());
        let (stage, region) = (chosen.stage, chosen.region);
        let (over_s, after, abort) = (None, Duration::ZERO, false);
        Ok(Threshold {
            expression,
            metric,
            series,
            counts_drops,
            stage,
            region,
            comparison,
            limit,
            unit,
            over_s,
            after,
            abort,
        })
    }

    fn metric(&self, word: &Word<'_>, argument: Option<&Word<'_>>) -> Result<Metric, Problem> {
        let none = |metric| match argument {
            None => Ok(metric),
            Some(argument) => Err((argument.at.clone(), format!("`{}` is of nothing else", word.text), None)),
        };
        match word.text {
            "errors" => none(Metric::Errors),
            "dropped" => none(Metric::Dropped),
            "checks" => none(Metric::Checks),
            "rps" | "requests" => none(Metric::Requests),
            "status" => {
                let hint = Some("write `status(429)` or `status(5xx)`".to_owned());
                let Some(argument) = argument else {
                    return Err((word.at.clone(), "`status` needs to know which".to_owned(), hint));
                };
                let found = threshold::statuses(argument.text);
                let (first, last) = found.ok_or_else(|| {
                    (argument.at.clone(), format!("`{}` is no status", argument.text), hint)
                })?;
                Ok(Metric::Status(first, last))
            }
            name => match threshold::statistic(name) {
                Some(statistic) => self.of(statistic, argument),
                None => {
                    let hint = match closest(name, METRICS.into_iter()) {
                        Some(close) => format!("did you mean `{close}`?"),
                        None => format!("the metrics are {}, and any other percentile", METRICS.join(", ")),
                    };
                    Err((word.at.clone(), format!("there is no metric `{name}`"), Some(hint)))
                }
            },
        }
    }

    fn of(&self, statistic: Statistic, argument: Option<&Word<'_>>) -> Result<Metric, Problem> {
        let Some(argument) = argument else { return Ok(Metric::Time(statistic, Of::Good)) };
        match argument.text {
            "all" => return Ok(Metric::Time(statistic, Of::All)),
            "failed" => return Ok(Metric::Time(statistic, Of::Failed)),
            _ => {}
        }
        let own =
            || (0..=u16::MAX).zip(&self.measures).filter(|(_, measure)| measure.kind == MeasureKind::Metric);
        let names = || own().map(|(_, measure)| measure.name.as_str()).chain(["all", "failed"]);
        if let Some((place, _)) = own().find(|(_, measure)| measure.name == argument.text) {
            return Ok(Metric::Own(statistic, place));
        }
        let hint = match closest(argument.text, names()) {
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
        };
        Err((argument.at.clone(), format!("there is no metric `{}`", argument.text), Some(hint)))
    }

    fn select(
        &self,
        chosen: &mut Chosen,
        key: &Word<'_>,
        value: &Word<'_>,
        loads: &[PlacedLoad],
    ) -> Result<(), Problem> {
        let text = value.text.to_owned();
        let one_of = |what: &str, names: Vec<String>| {
            if names.contains(&text) {
                return Ok(());
            }
            let close = closest(&text, names.iter().map(String::as_str)).map(str::to_owned);
            let hint = match close {
                Some(close) => Some(format!("did you mean `{close}`?")),
                // Where all requests are wrong, that is said there.
                None => (!names.is_empty()).then(|| format!("there are {}", names.join(", "))),
            };
            Err((value.at.clone(), format!("there is no {what} `{text}`"), hint))
        };
        let distinct = |of: &dyn Fn(&SeriesName) -> Option<String>| {
            let names: std::collections::BTreeSet<String> = self.series.iter().filter_map(of).collect();
            names.into_iter().collect::<Vec<_>>()
        };
        match (key.text, key.text.strip_prefix("tag.")) {
            ("name", _) => {
                one_of("request named", distinct(&|series| Some(series.endpoint.clone())))?;
                chosen.name = Some(text);
            }
            ("scenario", _) => {
                one_of("scenario", distinct(&|series| Some(series.scenario.clone())))?;
                chosen.scenario = Some(text);
            }
            ("purpose", _) => {
                one_of("purpose", Purpose::ALL.map(|purpose| purpose.name().to_owned()).to_vec())?;
                chosen.purpose = Purpose::ALL.into_iter().find(|purpose| purpose.name() == text);
            }
            ("region", _) => chosen.region = Some(text),
            ("stage", _) => chosen.stage = Some(stage(value, loads)?),
            (_, Some(tag)) => {
                one_of("request with the tag", distinct(&|series| series.tags.get(tag).cloned()))?;
                chosen.tags.push((tag.to_owned(), text));
            }
            (other, None) => {
                let hint = match closest(other, SELECTORS.into_iter()) {
                    Some("tag") => "write `tag.NAME=…`".to_owned(),
                    Some(close) => format!("did you mean `{close}`?"),
                    None => {
                        "the selectors are name, scenario, purpose, stage, region and tag.NAME".to_owned()
                    }
                };
                return Err((
                    key.at.clone(),
                    format!("requests cannot be selected by `{other}`"),
                    Some(hint),
                ));
            }
        }
        Ok(())
    }
}

/// Whether a metric is kept apart by what a selector says: drops belong to no request, and the plan's own metrics to no time.
fn is_told_apart(metric: Metric, selector: &str) -> bool {
    match metric {
        Metric::Own(..) => selector == "region",
        Metric::Dropped => ["stage", "region"].contains(&selector),
        _ => true,
    }
}

/// What the selectors of a threshold choose.
#[derive(Debug, Default)]
struct Chosen {
    name: Option<String>,
    scenario: Option<String>,
    purpose: Option<Purpose>,
    tags: Vec<(String, String)>,
    stage: Option<(Duration, Duration)>,
    region: Option<String>,
}

impl Chosen {
    /// What is done only once counts where it is named.
    fn takes(&self, series: &SeriesName) -> bool {
        let named =
            self.name.is_some() || self.scenario.as_deref().is_some_and(|name| name == series.purpose.name());
        let purpose = match self.purpose {
            Some(purpose) => series.purpose == purpose,
            None => series.purpose == Purpose::Journey || named,
        };
        purpose
            && self.name.as_ref().is_none_or(|name| *name == series.endpoint)
            && self.scenario.as_ref().is_none_or(|name| *name == series.scenario)
            && self.tags.iter().all(|(tag, value)| series.tags.get(tag) == Some(value))
    }
}

/// From when until when a stage lasts; the first is 1.
fn stage(value: &Word<'_>, loads: &[PlacedLoad]) -> Result<(Duration, Duration), Problem> {
    let [placed] = loads else {
        let message = "a plan of several loads has no stages in common".to_owned();
        return Err((value.at.clone(), message, Some("write `after` instead".to_owned())));
    };
    let durations: Vec<Duration> = match &placed.load {
        Load::Closed(load) => load.stages.iter().map(|stage| stage.duration).collect(),
        Load::Open(load) => load.stages.iter().map(|stage| stage.duration).collect(),
    };
    let number = value.text.parse::<usize>().ok().filter(|number| (1..=durations.len()).contains(number));
    let Some(number) = number else {
        let message = format!("there is no stage `{}`", value.text);
        return Err((value.at.clone(), message, Some(format!("the stages are 1 to {}", durations.len()))));
    };
    let from = placed.start + durations.iter().take(number - 1).sum::<Duration>();
    Ok((from, from + durations[number - 1]))
}

/// The limit in the unit of its metric.
fn limit_of(metric: Metric, name: &Word<'_>, value: &Word<'_>) -> Result<(f64, Unit), Problem> {
    let (takes, example): (&[Unit], &str) = match metric {
        Metric::Time(..) => (&[Unit::Ms], "a duration such as `500ms`"),
        Metric::Own(..) => (&[Unit::Count], "a number such as `5`"),
        Metric::Requests if name.text == "rps" => {
            (&[Unit::PerSecond, Unit::Count], "a number of requests a second such as `100` or `100/s`")
        }
        Metric::Requests => (&[Unit::Count, Unit::PerSecond], "a number of requests such as `1000`"),
        Metric::Checks => (&[Unit::Ratio], "a share such as `99%`"),
        Metric::Errors | Metric::Status(..) | Metric::Dropped => {
            (&[Unit::Ratio, Unit::Count], "a share such as `1%`, or a number of them")
        }
    };
    let found = threshold::limit(value.text).filter(|(_, unit)| takes.contains(unit));
    let Some((limit, unit)) = found else {
        let message = format!("`{}` is compared with {example}, not with `{}`", name.text, value.text);
        let hint = threshold::limit(value.text)
            .filter(|(_, unit)| *unit == Unit::Count && takes == [Unit::Ms])
            .map(|_| format!("write `{0}ms` or `{0}s`", value.text));
        return Err((value.at.clone(), message, hint));
    };
    let unit = match (metric, unit) {
        (Metric::Own(..), _) => Unit::Own,
        (Metric::Requests, _) if name.text == "rps" => Unit::PerSecond,
        (_, unit) => unit,
    };
    Ok((limit, unit))
}
