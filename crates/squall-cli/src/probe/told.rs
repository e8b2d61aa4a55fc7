//! What a probe says while it goes on, on standard error.

use std::io::{IsTerminal, Write, stderr, stdin};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::anyhow;
use squall_fleet::cost::{Expected, estimate, total};
use squall_probe::{Outlook, Round, quantile};
use squall_report::{count, dollars, duration_ms, duration_s, significant};

use super::drive::{Limits, Sender};
use super::fleet::{FleetSender, Place};
use super::history::{Entry, Standing};
use crate::failure::Failure;
use crate::size::generators;
use crate::{aws, cost};

/// How often it is looked whether somebody wants to end instead of answering.
const LOOK: Duration = Duration::from_millis(50);

/// Says what will be sent at most, and waits until somebody agrees, if somebody is there.
pub(super) fn outlook(
    outlook: &Outlook,
    (kind, sender): (&str, &FleetSender),
    (senders, limits): (u32, Limits),
    (done, yes): (usize, bool),
) -> Result<bool, Failure> {
    let Outlook { rounds, requests, peak_per_s, takes_s } = *outlook;
    let place = match sender.place {
        Place::Local { .. } => "on this machine",
        Place::Aws { .. } => "on AWS",
    };
    eprintln!(
        "probe {kind} will send {} at most\n  {} {} in {} rounds, up to {} a second, for about {}, from {} {place}",
        sender.subject.in_words(),
        count(requests),
        sender.subject.unit(),
        count(u64::from(rounds)),
        significant(peak_per_s),
        duration_s(takes_s.ceil()),
        generators(senders),
    );
    if let Some(most) = limits.requests.filter(|most| *most < requests) {
        eprintln!("  of which no more than {} requests are allowed", count(most));
    }
    if limits.tries > 0 {
        eprintln!(
            "  a round in which the generators set the pace is sent again, up to {} times",
            limits.tries
        );
    }
    if let Some(cost) = costs(outlook, sender, senders)? {
        eprintln!("  {cost}");
    }
    if done > 0 {
        eprintln!("  {done} of these rounds were sent before it was interrupted");
    }
    if yes || !stdin().is_terminal() || !stderr().is_terminal() {
        return Ok(true);
    }
    eprint!("Send this? [y/N] ");
    stderr().flush()?;
    Ok(answered(sender)?.is_some_and(|answer| matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes")))
}

/// The line that somebody writes; `None` if they want to end instead.
fn answered(sender: &FleetSender) -> Result<Option<String>, Failure> {
    let (tell, told) = channel();
    // Who reads cannot be told to end, so it does so by itself: with a line, or with the process.
    thread::Builder::new().name("answer".to_owned()).spawn(move || {
        let mut answer = String::new();
        let read = stdin().read_line(&mut answer).map(|_| answer.trim().to_owned());
        let _ = tell.send(read);
    })?;
    loop {
        match told.recv_timeout(LOOK) {
            Ok(answer) => return Ok(Some(answer?)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) if sender.is_interrupted() => {
                eprintln!();
                return Ok(None);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// What a fleet on AWS costs, if each round takes an equal part of the time.
fn costs(outlook: &Outlook, sender: &FleetSender, senders: u32) -> Result<Option<String>, Failure> {
    let Place::Aws { fleet, max_cost } = &sender.place else { return Ok(None) };
    let rounds = f64::from(outlook.rounds.max(1));
    let mut round = Round::rate(outlook.peak_per_s.max(1.0), (outlook.takes_s / rounds).max(1.0));
    round.senders = senders;
    let plan = sender.subject.loaded(&round, (senders, u64::from(senders) * 1_000))?.plan;
    let expected = Expected::of(&plan, aws::look(fleet)?.function, (senders, 0, 1), None);
    let usd = total(&estimate(&expected)) * rounds;
    if let Some(most) = max_cost.filter(|most| usd > *most) {
        let what = anyhow!(
            "the probe is estimated to cost {} at most, and --max-cost is {}",
            dollars(usd),
            dollars(most)
        );
        return Err(Failure::wrong(what).with_hint("take fewer --generators, or allow more with --max-cost"));
    }
    Ok(Some(format!("estimated cost: {} at most (prices of {})", dollars(usd), cost::prices())))
}

/// A round is about to be sent.
pub(super) fn begins(number: usize, round: &Round) {
    let pause = if round.idle_s >= 1.0 {
        format!(" after {} of nothing", duration_s(round.idle_s))
    } else {
        String::new()
    };
    eprintln!("round {number}: {}{pause} …", round.purpose);
}

/// What became of it.
pub(super) fn ended(number: usize, entry: &Entry) {
    eprintln!("round {number}: {}", in_words(entry));
}

fn in_words(entry: &Entry) -> String {
    let Seen { good, limited, failed, dropped, .. } = Seen::of(entry);
    let parts = [(good, "good"), (limited, "limited"), (failed, "failed"), (dropped, "not sent")];
    let parts = parts.into_iter().filter(|(number, name)| *number > 0 || *name == "good");
    let mut words: Vec<String> = parts.map(|(number, name)| format!("{} {name}", count(number))).collect();
    let time = |share: f64| quantile_ms(&entry.observed.good_us, share);
    if let (Some(p50), Some(p99)) = (time(0.5), time(0.99)) {
        words.push(format!("p50 {}", duration_ms(p50)));
        words.push(format!("p99 {}", duration_ms(p99)));
    }
    if entry.observed.tainted {
        let again = if entry.standing == Standing::Again { ", so once more" } else { "" };
        words.push(format!("the generators set the pace{again}"));
    }
    words.join(", ")
}

/// What became of a round, in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) good: u64,
    pub(super) limited: u64,
    pub(super) unavailable: u64,
    /// With those that were unavailable.
    pub(super) failed: u64,
    pub(super) dropped: u64,
}

impl Seen {
    pub(super) fn of(entry: &Entry) -> Self {
        entry.observed.seconds.iter().fold(Self::default(), |sum, second| Self {
            good: sum.good.saturating_add(second.good),
            limited: sum.limited.saturating_add(second.limited),
            unavailable: sum.unavailable.saturating_add(second.unavailable),
            failed: sum.failed.saturating_add(second.failed).saturating_add(second.unavailable),
            dropped: sum.dropped.saturating_add(second.dropped),
        })
    }
}

/// What this share of ascending pairs of microseconds and counts does not exceed, in milliseconds.
pub(super) fn quantile_ms(pairs: &[(u64, u64)], share: f64) -> Option<f64> {
    quantile(pairs, share).map(|us| us / 1_000.0)
}

#[cfg(test)]
mod tests {
    use squall_probe::Second;

    use super::super::history::tests::entry;
    use super::*;

    #[test]
    fn a_round_is_told_in_a_line() {
        let mut entry = entry("x");
        entry.observed.seconds = vec![
            Second { good: 5, unavailable: 1, ..Second::default() },
            Second { good: 5, failed: 2, dropped: 1, ..Second::default() },
        ];
        entry.observed.good_us = vec![(10_000, 9), (50_000, 1)];
        assert_eq!(in_words(&entry), "10 good, 3 failed, 1 not sent, p50 10.0ms, p99 50.0ms");
        entry.observed = squall_probe::Observed { tainted: true, ..Default::default() };
        assert_eq!(in_words(&entry), "0 good, the generators set the pace");
    }
}
