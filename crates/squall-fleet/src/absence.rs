//! Why seats were not taken: from what is found where they were offered, to words.

use std::collections::{BTreeMap, BTreeSet};

/// So many seats are named by their numbers.
const NAMED: usize = 10;

/// So much of what somebody else says is passed on.
const MOST_CHARS: usize = 300;

/// What is found where seats are offered that nobody has taken. What could not be asked is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The lanes, in the order in which seats are dealt to them.
    pub lanes: Vec<Lane>,
    /// Seats of the run that lie among the dead letters.
    pub dead: BTreeSet<u32>,
    /// Invocations that the account may have at the same time.
    pub concurrency: Option<u32>,
}

/// What is found of a lane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lane {
    /// The function's name.
    pub function: String,
    /// Messages that wait in its queue.
    pub waiting: Option<u64>,
    /// Messages that were handed out and are not done with.
    pub in_flight: Option<u64>,
    /// Whatever hands messages to the function.
    pub mapping: Option<Mapping>,
    /// How many invocations of the function there may be at the same time, if that is set.
    pub reserved: Option<u32>,
    /// What the function says when it is asked.
    pub answer: Option<Answer>,
}

/// How whatever hands messages to a function is found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping {
    /// `Enabled`, `Disabled`, or on the way to one of them.
    pub state: String,
    /// What became of the last message, as it says itself.
    pub last_result: String,
}

/// What a function says that is given nothing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// That it has done it.
    Fine,
    /// It may not be invoked now, and which limit is in the way.
    Throttled(String),
    /// It broke.
    Failed {
        /// The error's name.
        kind: String,
        /// Its text.
        message: String,
    },
    /// Nothing, for so many seconds.
    Silent(u64),
}

/// Why seats were not taken, in words: a line for each cause, with how many seats it is the cause of. Seats are dealt to
/// the lanes in turn, from number 0 on; `offered` is how many there were in all.
#[must_use]
pub fn causes(absent: &BTreeSet<u32>, offered: u32, found: &Found) -> Vec<String> {
    let lanes = u32::try_from(found.lanes.len()).unwrap_or(u32::MAX);
    if lanes == 0 {
        return line(absent.len(), "cause unknown").into_iter().collect();
    }
    let mut lines = Vec::new();
    for (index, lane) in (0..lanes).zip(&found.lanes) {
        let own = |seat: &&u32| *seat % lanes == index;
        let (dead, rest): (Vec<u32>, Vec<u32>) =
            absent.iter().filter(own).partition(|seat| found.dead.contains(seat));
        lines.extend(line(dead.len(), &lane.among_dead_letters(&dead)));
        let offered = (offered / lanes + u32::from(index < offered % lanes)) as usize;
        let taken = offered.saturating_sub(dead.len() + rest.len());
        match lane.obstacle(offered, found.concurrency) {
            Some(obstacle) => lines.extend(line(rest.len(), &obstacle)),
            None => lines.extend(lane.whereabouts(rest.len(), taken)),
        }
    }
    lines
}

/// Why seats were offered in vain that nobody misses, in words, a line for each cause: spares that were not taken, and seats
/// that were taken only when they had been handed out more often than once (`again`, with how often that was).
#[must_use]
pub fn in_vain(
    spares: &BTreeSet<u32>,
    again: &BTreeMap<u32, u32>,
    offered: u32,
    found: &Found,
) -> Vec<String> {
    let lanes = u32::try_from(found.lanes.len()).unwrap_or(u32::MAX);
    let mut lines = Vec::new();
    for (index, lane) in (0..lanes).zip(&found.lanes) {
        let own = |seat: &u32| *seat % lanes == index;
        let limit =
            lane.limit((offered / lanes + u32::from(index < offered % lanes)) as usize, offered, found);
        if let Some(limit) = &limit {
            let spares = spares.iter().filter(|seat| own(seat)).count();
            lines.extend(line(spares, &format!("not taken, and not needed: {limit}")));
        }
        let times: Vec<u32> = again.iter().filter(|(seat, _)| own(seat)).map(|(_, times)| *times).collect();
        let most = times.iter().max().copied().unwrap_or_default();
        let cause = limit.unwrap_or_else(|| {
            format!(
                "an invocation was throttled, or ended too early; the log of function `{}` may say more",
                lane.function
            )
        });
        lines.extend(line(times.len(), &format!("handed out up to {most} times until taken: {cause}")));
    }
    lines
}

impl Lane {
    /// Which limit is in the way of its seats, and what mends that, as far as numbers tell.
    fn limit(&self, own: usize, offered: u32, found: &Found) -> Option<String> {
        let is_reserved = self.reserved.is_some_and(|reserved| (reserved as usize) < own);
        let reason = match found.concurrency {
            _ if is_reserved => RESERVED,
            Some(most) if most < offered => ACCOUNT,
            _ => return None,
        };
        Some(format!("throttled ({reason}): {}", self.mend(reason, own, found.concurrency)))
    }

    /// What is in the way of all its seats, if anything is.
    fn obstacle(&self, offered: usize, concurrency: Option<u32>) -> Option<String> {
        let function = &self.function;
        if let Some(mapping) = self.mapping.as_ref().filter(|mapping| mapping.state != "Enabled") {
            let state = clipped(&mapping.state);
            let mend = match &*mapping.state {
                "Disabled" | "Disabling" => "something else has closed it",
                _ => "give it more time with --ready-within",
            };
            return Some(format!("not invoked, as the mapping of function `{function}` is {state}: {mend}"));
        }
        match &self.answer {
            Some(Answer::Throttled(reason)) => {
                let mend = self.mend(reason, offered, concurrency);
                Some(format!("throttled ({}): {mend}", clipped(reason)))
            }
            Some(answer @ Answer::Failed { .. }) => self.failure(answer),
            Some(Answer::Silent(seconds)) => Some(format!(
                "function `{function}` has not answered for {seconds} s: its log may say what keeps it"
            )),
            Some(Answer::Fine) | None => {
                let reserved = self.reserved.filter(|reserved| (*reserved as usize) < offered)?;
                let mend = self.mend(RESERVED, offered, concurrency);
                Some(format!("throttled (function `{function}` has {reserved} invocations reserved): {mend}"))
            }
        }
    }

    fn mend(&self, reason: &str, offered: usize, concurrency: Option<u32>) -> String {
        let function = &self.function;
        match reason {
            RESERVED => {
                let now = self.reserved.map_or(String::new(), |reserved| format!(", which is {reserved},"));
                format!(
                    "raise the reserved concurrency of function `{function}`{now} to {offered} at least, or remove it"
                )
            }
            ACCOUNT => {
                let most = concurrency.map_or(String::new(), |most| format!(", which is {most}"));
                format!(
                    "take fewer --generators, or have the account's quota `Concurrent executions` of Lambda raised{most} \
                     (Service Quotas, L-B99A9384)"
                )
            }
            "FunctionInvocationRateLimitExceeded"
            | "ReservedFunctionInvocationRateLimitExceeded"
            | "CallerRateLimitExceeded" => {
                "invocations come too fast for this limit: give them more time with --ready-within".to_owned()
            }
            _ => "try again later".to_owned(),
        }
    }

    /// What a function says of itself that breaks.
    fn failure(&self, answer: &Answer) -> Option<String> {
        let Answer::Failed { kind, message } = answer else { return None };
        let timed_out = |text: &str| text.contains("timed out") || text.contains("Timedout");
        let how = if timed_out(kind) || timed_out(message) {
            "timed out"
        } else if kind.starts_with("Runtime.") || kind.starts_with("Extension.") || kind.starts_with("Init") {
            "failed in init"
        } else {
            "failed"
        };
        let (kind, message) = (clipped(kind), clipped(message));
        Some(format!("{how}: function `{}` says: {message} ({kind})", self.function))
    }

    fn among_dead_letters(&self, seats: &[u32]) -> String {
        let named: Vec<String> = seats.iter().take(NAMED).map(u32::to_string).collect();
        let more = if seats.len() > NAMED { " and others" } else { "" };
        let says = self.answer.as_ref().and_then(|answer| self.failure(answer));
        let says = says.unwrap_or_else(|| format!("the log of function `{}` says why", self.function));
        format!(
            "tried in vain as often as the queue allows, now among the dead letters ({}{more}); {says}",
            named.join(", ")
        )
    }

    /// Where seats are that nothing is known to be in the way of.
    fn whereabouts(&self, absent: usize, taken: usize) -> Vec<String> {
        let function = &self.function;
        let least = |messages: Option<u64>, most: usize| {
            messages.map_or(0, |messages| usize::try_from(messages).unwrap_or(usize::MAX)).min(most)
        };
        let waiting = least(self.waiting, absent);
        // Who sits keeps a message, too.
        let others = self.in_flight.map(|messages| messages.saturating_sub(taken as u64));
        let under_way = least(others, absent - waiting);
        let result =
            self.mapping.as_ref().map(|mapping| &*mapping.last_result).filter(|result| is_bad(result));
        let result = result.map_or(String::new(), |result| format!(" (last: {})", clipped(result)));
        [
            line(
                waiting,
                &format!(
                    "not invoked yet: waiting in the queue of function `{function}`; give more time with --ready-within"
                ),
            ),
            line(
                under_way,
                &format!(
                    "handed to function `{function}` and not ready in time{result}: give more time with --ready-within, \
                     or look into its log"
                ),
            ),
            line(
                absent - waiting - under_way,
                &format!("cause unknown: neither waiting nor under way; the log of function `{function}` may say more"),
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

const ACCOUNT: &str = "ConcurrentInvocationLimitExceeded";
const RESERVED: &str = "ReservedFunctionConcurrentInvocationLimitExceeded";

fn is_bad(result: &str) -> bool {
    ["PROBLEM", "FAILED"].iter().any(|bad| result.contains(bad))
}

fn line(seats: usize, words: &str) -> Option<String> {
    match seats {
        0 => None,
        1 => Some(format!("1 seat: {words}")),
        _ => Some(format!("{seats} seats: {words}")),
    }
}

/// One line of bounded length.
fn clipped(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(MOST_CHARS).collect()
}

#[cfg(test)]
mod tests;
