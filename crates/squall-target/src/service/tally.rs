//! What a service counts of its requests, and how busy it is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::service::{Answer, Ask, ENDPOINTS, Metric, Outcome, seconds};

/// Upper ends of the buckets of durations, in microseconds.
const BUCKETS_US: [u64; 14] = [
    5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000, 2_500_000,
    5_000_000, 7_500_000, 10_000_000,
];

/// Seconds of work that are remembered.
const REMEMBERED_S: u64 = 900;

/// Counts of requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    requests: BTreeMap<(usize, &'static str), u64>,
    durations: BTreeMap<usize, Durations>,
    /// When those end that run.
    ends: BinaryHeap<Reverse<u64>>,
}

#[derive(Debug, Default)]
struct Durations {
    buckets: [u64; BUCKETS_US.len()],
    count: u64,
    sum_us: u64,
}

impl Tally {
    /// Counts a request, and gives its answer back.
    pub(crate) fn note(&mut self, at_us: u64, ask: &Ask, answer: Answer) -> Answer {
        self.forget(at_us);
        self.ends.push(Reverse(answer.done_at_us));
        // A client that was refused never reached the service.
        if let Some(code) = code(answer.outcome) {
            *self.requests.entry((ask.endpoint, code)).or_default() += 1;
            let durations = self.durations.entry(ask.endpoint).or_default();
            let took_us = answer.done_at_us.saturating_sub(at_us);
            durations.count += 1;
            durations.sum_us = durations.sum_us.saturating_add(took_us);
            for (count, end_us) in durations.buckets.iter_mut().zip(BUCKETS_US) {
                *count += u64::from(took_us <= end_us);
            }
        }
        answer
    }

    /// How many requests are being served.
    pub(crate) fn in_flight(&mut self, at_us: u64) -> usize {
        self.forget(at_us);
        self.ends.len()
    }

    fn forget(&mut self, at_us: u64) {
        while self.ends.peek().is_some_and(|Reverse(end_us)| *end_us <= at_us) {
            self.ends.pop();
        }
    }

    pub(crate) fn metrics(&mut self, at_us: u64) -> Vec<Metric> {
        let name = |endpoint: usize| ENDPOINTS.get(endpoint).map_or("other", |endpoint| endpoint.name);
        let mut metrics: Vec<Metric> = self
            .requests
            .iter()
            .map(|((endpoint, code), count)| {
                Metric::counter("http_requests_total", "Requests that were answered.", *count as f64)
                    .with("endpoint", name(*endpoint))
                    .with("code", *code)
            })
            .collect();
        let help = "How long answers took.";
        let duration = |name, value| Metric::counter(name, help, value);
        for (endpoint, durations) in &self.durations {
            for (count, end_us) in durations.buckets.iter().zip(BUCKETS_US) {
                let bucket = duration("http_request_duration_seconds_bucket", *count as f64);
                metrics
                    .push(bucket.with("endpoint", name(*endpoint)).with("le", seconds(end_us).to_string()));
            }
            let count = durations.count as f64;
            let ends = [
                duration("http_request_duration_seconds_bucket", count)
                    .with("endpoint", name(*endpoint))
                    .with("le", "+Inf"),
                duration("http_request_duration_seconds_sum", seconds(durations.sum_us))
                    .with("endpoint", name(*endpoint)),
                duration("http_request_duration_seconds_count", count).with("endpoint", name(*endpoint)),
            ];
            metrics.extend(ends);
        }
        let in_flight = self.in_flight(at_us) as f64;
        metrics.push(Metric::gauge("http_requests_in_flight", "Requests that are being served.", in_flight));
        metrics
    }
}

fn code(outcome: Outcome) -> Option<&'static str> {
    Some(match outcome {
        Outcome::Status(200) => "200",
        Outcome::Status(429) => "429",
        Outcome::Status(500) => "500",
        Outcome::Status(502) => "502",
        Outcome::Status(503) => "503",
        Outcome::Status(504) => "504",
        Outcome::Status(_) => "other",
        Outcome::Reset => "reset",
        Outcome::Refused | Outcome::Dns | Outcome::Tls => return None,
    })
}

/// How long a processor worked, by second.
#[derive(Debug, Default)]
pub(crate) struct Work {
    seconds: BTreeMap<u64, u64>,
    done_us: u64,
}

impl Work {
    /// It works from an instant to another, on a share of a processor.
    pub(crate) fn note(&mut self, from_us: u64, until_us: u64) {
        let mut from_us = from_us;
        let until_us = until_us.min(from_us + REMEMBERED_S * 1_000_000);
        while from_us < until_us {
            let second = from_us / 1_000_000;
            let end_us = until_us.min((second + 1) * 1_000_000);
            *self.seconds.entry(second).or_default() += end_us - from_us;
            from_us = end_us;
        }
        while self.seconds.len() as u64 > REMEMBERED_S {
            self.done_us += self.seconds.pop_first().map_or(0, |(_, us)| us);
        }
    }

    /// How many processors were busy on average between two instants, by whole seconds.
    pub(crate) fn busy(&self, from_us: u64, until_us: u64) -> f64 {
        let (from, until) = (from_us / 1_000_000, until_us / 1_000_000);
        if until <= from {
            return 0.0;
        }
        self.seconds.range(from..until).map(|(_, us)| *us).sum::<u64>() as f64
            / ((until - from) * 1_000_000) as f64
    }

    /// All work up to the second of an instant, in seconds.
    pub(crate) fn total_s(&self, at_us: u64) -> f64 {
        let recent: u64 = self.seconds.range(..at_us / 1_000_000).map(|(_, us)| *us).sum();
        seconds(self.done_us + recent)
    }
}
