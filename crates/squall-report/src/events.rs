//! The sample of requests that is kept whole.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_metrics::{Event, Merged};
use squall_plan::Plan;

use crate::slow::{SlowRequest, seconds};

/// What is kept of single requests, in `events.jsonl`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventSample {
    /// One in so many, as the plan says; null if it wants none.
    pub one_in: Option<u32>,
    /// How many are kept.
    pub kept: u64,
    /// The share of all requests that this is: that of the plan, or a smaller one where there were too many of them.
    pub sampled: f64,
}

impl EventSample {
    pub(crate) fn of(plan: &Plan, merged: &Merged) -> Self {
        let one_in = plan.events.and_then(|events| events.one_in).map(std::num::NonZero::get);
        // Ids are random, so those below a rank are as large a share as the rank is of all ranks.
        let complete = merged.events().lost_from().map_or(1.0, |rank| rank as f64 / 2_f64.powi(64));
        let wanted = one_in.map_or(0.0, |one_in| 1.0 / f64::from(one_in));
        Self { one_in, kept: merged.events().complete().count() as u64, sampled: wanted.min(complete) }
    }
}

/// A line of `events.jsonl`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    name: &'a str,
    scenario: &'a str,
    scheduled_s: f64,
    started_s: f64,
    #[serde(flatten)]
    request: SlowRequest,
}

/// What `events.jsonl` holds: a line of JSON for each sampled request, in the order in which they ended. It has names and
/// no URLs, headers or bodies.
#[must_use]
pub fn events(plan: &Plan, merged: &Merged) -> String {
    let mut events: Vec<&Event> = merged.events().complete().collect();
    events.sort_by_key(|event| event.facts.ended_us);
    let mut lines = String::new();
    for event in events {
        let Some(series) = plan.series.get(usize::from(event.series.0)) else { continue };
        let line = Line {
            name: &series.endpoint,
            scenario: &series.scenario,
            scheduled_s: seconds(event.facts.scheduled_us),
            started_s: seconds(event.facts.started_us),
            request: SlowRequest::of(&event.facts),
        };
        // Texts and numbers can always be written.
        if let Ok(line) = serde_json::to_string(&line) {
            lines.push_str(&line);
            lines.push('\n');
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use squall_metrics::{OneIn, Recorder, Sample, SeriesId, Snapshot, TraceId};
    use squall_plan::{Bundle, Inputs, compile};

    use super::*;

    const PLAN: &str = "target: http://127.0.0.1:1\nload: { users: 1, duration: 1s }\n\
                        scenarios: { buyer: { steps: [ { get: /x, name: 'a \"b\"' } ] } }\n\
                        events: { one_in: 4, traceparent: true }\n";

    /// Of so many requests, each a little later than the one after it, whose ids are evenly spread over the quarter that
    /// is kept.
    fn sampled(number: u32) -> (EventSample, Vec<serde_json::Value>) {
        let plan = compile(&Bundle::new("p.yaml", PLAN, Inputs::default())).unwrap().plan;
        let mut recorder = Recorder::new(1);
        recorder.sample_events(OneIn::new(NonZeroU32::new(4).unwrap()));
        for at in 0..number {
            let rank = u64::MAX / 4 / u64::from(number) * u64::from(at);
            let mut id = [0; 16];
            id[..8].copy_from_slice(&rank.to_be_bytes());
            let ended_us = i64::from(number - at) * 1_000;
            let trace = Some(TraceId(id));
            recorder.record(&Sample {
                ended_us,
                trace,
                trace_sent: true,
                ..Sample::begun(SeriesId(0), 0, 0)
            });
        }
        let mut merged = Merged::default();
        let interval = recorder.take().into_interval();
        merged.merge(Snapshot { run: "r".to_owned(), nonce: "n".to_owned(), sequence: 0, interval });
        let lines = events(&plan, &merged);
        let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (EventSample::of(&plan, &merged), lines)
    }

    #[test]
    fn events_are_lines_in_the_order_in_which_they_ended() {
        let (sample, lines) = sampled(20);
        assert_eq!(sample, EventSample { one_in: Some(4), kept: 20, sampled: 0.25 });
        let ends: Vec<f64> = lines.iter().map(|line| line["t_s"].as_f64().unwrap()).collect();
        assert!(ends.len() == 20 && ends.is_sorted(), "{ends:?}");
        assert_eq!(lines[0]["name"], "a \"b\"");
        assert_eq!((&lines[0]["scenario"], &lines[0]["outcome"]), (&"buyer".into(), &"unfinished".into()));
    }

    #[test]
    fn of_too_many_events_a_smaller_share_is_told_and_all_of_it() {
        let (sample, lines) = sampled(1_000);
        assert_eq!((sample.kept, lines.len()), (500, 500));
        assert!((sample.sampled - 0.125).abs() < 1e-6, "{}", sample.sampled);
    }
}
