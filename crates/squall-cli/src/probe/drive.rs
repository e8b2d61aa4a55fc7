//! Round after round, until a probe knows enough, cannot go on, or may not.

use squall_fleet::Time;
use squall_probe::{Load, Probe, Round, Step};
use squall_report::{ExitCode, dollars};

use super::history::{Entry, History, Standing};
use super::told;
use crate::failure::Failure;

/// What may be wrong where no request gets through TLS.
const TLS: &str = "; see that it speaks TLS there, or ask with http://, and that its certificate is of this name and of an \
                   authority that is trusted: a plan for `squall probe capacity` may say `http: { roots: platform }`";

/// Sends rounds.
pub(super) trait Sender {
    /// Waits until nothing will have been sent for so long when a round begins, where nothing was sent since then.
    fn wait(&self, idle_s: f64, since: Time) -> Result<(), Failure>;

    /// Sends a round. `None` if the user does not want to go on.
    fn send(&mut self, round: &Round, number: usize, since: Time) -> Result<Option<Entry>, Failure>;

    /// Whether the user has said so meanwhile.
    fn is_interrupted(&self) -> bool;
}

/// What may be sent at most, beside what the probe announces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) per_s: Option<f64>,
    pub(super) requests: Option<u64>,
    /// What all rounds may cost, in US dollars.
    pub(super) cost_usd: Option<f64>,
    /// How often a round is sent again in which the generators set the pace: something else may have wanted the processors.
    pub(super) tries: usize,
}

/// Why a probe has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// What was asked is known.
    Enough,
    /// It cannot be known, and why.
    Stopped(String),
    /// The user has ended it.
    Interrupted,
    /// A round failed, not the service: why, what can be done about it, and what the command exits with.
    Failed { reason: String, hint: Option<String>, exit: ExitCode },
}

impl Ending {
    fn failed(number: usize, failure: &Failure) -> Self {
        Self::Failed {
            reason: format!("round {number} failed: {}", failure.words()),
            hint: failure.hint().map(str::to_owned),
            // What is wrong is told by who has sent nothing.
            exit: if number > 1 && failure.exit() == ExitCode::Wrong {
                ExitCode::Error
            } else {
                failure.exit()
            },
        }
    }
}

/// Sends what a probe wants, and keeps what becomes of it. A round that fails is as if it had not been sent: what is known
/// is told, and who goes on sends it again. Before that the last one that has ended is sent once more, after the same pause, for
/// the service has to be as that one left it, whatever has passed meanwhile.
pub(super) fn drive<P: Probe>(
    probe: &P,
    sender: &mut dyn Sender,
    history: &mut History,
    limits: Limits,
) -> Ending {
    let mut to_restore = to_restore(history);
    loop {
        if sender.is_interrupted() {
            return Ending::Interrupted;
        }
        let (round, mut standing) = match probe.next(&history.done) {
            Step::Send(round) => match to_restore.take() {
                Some(last) => (last.to("once more"), Standing::Restores),
                None => (round, Standing::Counts),
            },
            Step::Enough => return Ending::Enough,
            Step::Stop(reason) => return Ending::Stopped(why(reason, history)),
        };
        let wanted = most_requests(&round, history);
        if let Some(beyond) = limits.beyond(&round, wanted, history) {
            return Ending::Stopped(beyond);
        }
        let number = history.entries.len() + 1;
        told::begins(number, &round);
        let since = history.since;
        let waited = sender.wait(round.idle_s.max(limits.pause_s()), since);
        if sender.is_interrupted() {
            return Ending::Interrupted;
        }
        if let Err(failure) = waited.and_then(|()| history.begin(wanted)) {
            return Ending::failed(number, &failure);
        }
        let sent = sender.send(&round, number, since);
        let mut entry = match sent {
            Ok(Some(entry)) => entry,
            otherwise => {
                history.cut_off_last();
                return otherwise
                    .map_or_else(|failure| Ending::failed(number, &failure), |_| Ending::Interrupted);
            }
        };
        if standing == Standing::Counts && entry.observed.tainted && history.tries() < limits.tries {
            standing = Standing::Again;
        }
        entry.standing = standing;
        told::ended(number, &entry);
        if let Err(failure) = history.add(entry) {
            return Ending::failed(number, &failure);
        }
    }
}

/// The round after which the service is as the last one has left it: single requests change little after many.
fn to_restore(history: &History) -> Option<Round> {
    let many = |round: &&Round| round.most_requests().is_none_or(|requests| requests > 1);
    let rounds = || history.done.iter().map(|done| &done.round);
    rounds().rev().find(many).or_else(|| rounds().next_back()).cloned()
}

/// How many requests a round sends at most, by what those before it have sent.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of requests")]
fn most_requests(round: &Round, history: &History) -> u64 {
    (round.most_requests().unwrap_or(0) as f64 * history.requests_each()).ceil() as u64
}

impl Limits {
    /// Single requests are no rate, but those that follow each other are.
    fn pause_s(&self) -> f64 {
        self.per_s.map_or(0.0, |most| 1.0 / most)
    }

    /// Why a round of so many requests may not be sent.
    fn beyond(&self, round: &Round, wanted: u64, history: &History) -> Option<String> {
        if let Some(most) = self.per_s {
            match round.load {
                Load::Rate { per_s, .. } if per_s > most * (1.0 + 1e-9) => {
                    return Some(format!(
                        "{per_s:.1} requests a second would be next, and --max-rate allows {most}"
                    ));
                }
                Load::Burst { requests } if f64::from(requests) > most.max(1.0) => {
                    return Some(format!(
                        "{requests} requests at once would be next, and --max-rate allows {most}"
                    ));
                }
                _ => {}
            }
        }
        let spent = history.cost_usd();
        if let Some(most) = self.cost_usd.filter(|most| spent >= *most) {
            return Some(format!("{} were spent, and --max-cost allows {}", dollars(spent), dollars(most)));
        }
        let sent = history.requests().saturating_add(history.cut_off);
        let most = self.requests.filter(|most| sent.saturating_add(wanted) > *most)?;
        let may = if history.cut_off > 0 { "may have been" } else { "were" };
        Some(format!("{sent} requests {may} sent, {wanted} would be next, and --max-requests allows {most}"))
    }
}

/// What the probe says, what the last round says of it, and what may mend it.
fn why(reason: String, history: &History) -> String {
    let Some(last) = history.entries.last() else { return reason };
    let problem = last.problems.first().map_or(String::new(), |problem| format!(" ({problem})"));
    let mend = if last.outcomes.contains_key("tls") { TLS } else { "" };
    format!("{reason}{problem}{mend}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use squall_probe::{Done, Observed, Outlook};

    use super::super::history::tests::entry;
    use super::*;

    /// Wants rates of 1, 2, … and knows enough after so many rounds.
    struct Counts(usize);

    impl Probe for Counts {
        type Answer = usize;

        fn outlook(&self) -> Outlook {
            Outlook { rounds: 0, requests: 0, peak_per_s: 0.0, takes_s: 0.0 }
        }

        fn next(&self, history: &[Done]) -> Step {
            if history.len() >= self.0 {
                return Step::Enough;
            }
            if history.last().is_some_and(|done| done.observed.tainted) {
                return Step::Stop("nothing answers".to_owned());
            }
            Step::Send(Round::rate(history.len() as f64 + 1.0, 2.0))
        }

        fn answer(&self, history: &[Done]) -> usize {
            history.len()
        }
    }

    /// Sends what it is told until it is told to end, and finds nothing from one round on.
    struct Fake {
        sent: Vec<f64>,
        ends_in: Option<usize>,
        breaks_in: Option<usize>,
        fails_in: usize,
    }

    impl Sender for Fake {
        fn wait(&self, _: f64, _: Time) -> Result<(), Failure> {
            Ok(())
        }

        fn send(&mut self, round: &Round, number: usize, _: Time) -> Result<Option<Entry>, Failure> {
            if self.ends_in == Some(number) {
                return Ok(None);
            }
            if self.breaks_in == Some(number) {
                return Err(Failure::wrong(anyhow::anyhow!("the fleet is gone")).with_hint("find it"));
            }
            if let Load::Rate { per_s, .. } = round.load {
                self.sent.push(per_s);
            }
            let observed = Observed { tainted: number >= self.fails_in, ..Observed::default() };
            let mut entry = Entry { round: round.clone(), observed, cost_usd: 1.0, ..entry("x") };
            if number >= self.fails_in {
                entry.problems = vec!["connection refused".to_owned()];
            }
            Ok(Some(entry))
        }

        fn is_interrupted(&self) -> bool {
            false
        }
    }

    fn run(fake: &mut Fake, folder: &str, rounds: usize, limits: Limits) -> (Ending, usize) {
        let folder = std::env::temp_dir().join(format!("squall-{folder}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut history = History::open(&folder, OPENED).unwrap();
        let ending = drive(&Counts(rounds), fake, &mut history, limits);
        let length = history.entries.len();
        if !matches!(ending, Ending::Interrupted | Ending::Failed { .. }) {
            std::fs::remove_dir_all(folder).unwrap();
        }
        (ending, length)
    }

    #[test]
    fn a_round_in_which_the_generators_set_the_pace_is_sent_again_and_then_believed() {
        let mut fake = Fake { fails_in: 2, ..fake() };
        let (ending, length) = run(&mut fake, "again", 5, Limits { tries: 2, ..NONE });
        assert!(matches!(ending, Ending::Stopped(_)), "{ending:?}");
        assert_eq!((length, &fake.sent[..]), (4, &[1.0, 2.0, 2.0, 2.0][..]));
    }

    const OPENED: Time = Time(1);
    const NONE: Limits = Limits { per_s: None, requests: None, cost_usd: None, tries: 0 };

    fn fake() -> Fake {
        Fake { sent: Vec::new(), ends_in: None, breaks_in: None, fails_in: usize::MAX }
    }

    #[test]
    fn a_probe_that_was_interrupted_goes_on_where_it_was() {
        let mut fake = Fake { ends_in: Some(3), ..fake() };
        assert_eq!(run(&mut fake, "goes-on", 5, NONE), (Ending::Interrupted, 2));
        fake.ends_in = None;
        assert_eq!(run(&mut fake, "goes-on", 5, NONE), (Ending::Enough, 6));
        // The last one that has ended once more, and what was cut off.
        assert_eq!(fake.sent, [1.0, 2.0, 2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn a_round_that_fails_is_sent_again_by_who_goes_on() {
        let mut fake = Fake { breaks_in: Some(3), ..fake() };
        let (ending, length) = run(&mut fake, "breaks", 5, NONE);
        let failed = Ending::Failed {
            reason: "round 3 failed: the fleet is gone".to_owned(),
            hint: Some("find it".to_owned()),
            exit: ExitCode::Error,
        };
        assert_eq!((ending, length), (failed, 2));
        fake.breaks_in = None;
        assert_eq!(run(&mut fake, "breaks", 5, NONE), (Ending::Enough, 6));
        assert_eq!(fake.sent, [1.0, 2.0, 2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn what_stops_a_probe_is_said_with_what_went_wrong() {
        let mut fake = Fake { fails_in: 2, ..fake() };
        let (ending, _) = run(&mut fake, "stops", 5, NONE);
        assert_eq!(ending, Ending::Stopped("nothing answers (connection refused)".to_owned()));
    }

    #[test]
    fn nothing_is_sent_beyond_the_ceilings() {
        let check = |limits: Limits, sent: usize, word: &str| {
            let mut fake = fake();
            let (ending, _) = run(&mut fake, word, 9, limits);
            let Ending::Stopped(reason) = ending else { panic!("{ending:?}") };
            assert!(fake.sent.len() == sent && reason.contains(word), "{reason} {:?}", fake.sent);
        };
        check(Limits { per_s: Some(3.0), ..NONE }, 3, "--max-rate");
        // Each round has sent 2 requests; the fourth would send 8 more.
        check(Limits { requests: Some(13), ..NONE }, 3, "--max-requests");
        // Each costs a dollar.
        check(Limits { cost_usd: Some(2.0), ..NONE }, 2, "--max-cost");
    }

    #[test]
    fn a_burst_is_no_larger_than_what_may_be_sent_in_a_second() {
        let limits = Limits { per_s: Some(8.5), ..NONE };
        let history = History::open(Path::new("/nowhere"), OPENED).unwrap();
        let beyond = |requests| limits.beyond(&Round::burst(requests), u64::from(requests), &history);
        assert!(beyond(8).is_none());
        assert!(beyond(9).unwrap().contains("9 requests at once"), "{:?}", beyond(9));
        let slow = Limits { per_s: Some(0.1), ..NONE };
        assert!(slow.beyond(&Round::burst(1), 1, &history).is_none(), "one is no rate");
    }

    #[test]
    fn a_round_that_was_cut_off_counts_with_all_that_it_may_have_sent() {
        let mut fake = Fake { ends_in: Some(2), ..fake() };
        let limits = Limits { requests: Some(9), ..NONE };
        assert_eq!(run(&mut fake, "cut-off", 5, limits), (Ending::Interrupted, 1));
        fake.ends_in = None;
        // 2 were sent, and 4 may have been; 2 once more, and again 4 would be beyond.
        let (ending, _) = run(&mut fake, "cut-off", 5, limits);
        assert!(
            matches!(&ending, Ending::Stopped(why) if why.starts_with("8 requests may have been sent")),
            "{ending:?}"
        );
    }

    #[test]
    fn what_a_plan_sends_in_an_iteration_counts() {
        let mut history = History::open(Path::new("/nowhere"), OPENED).unwrap();
        assert_eq!(most_requests(&Round::rate(5.0, 2.0), &history), 10);
        let mut entry = entry("x");
        // Two iterations of five requests, where the entry has two of them.
        entry.outcomes.insert("200".to_owned(), 10);
        entry.observed.seconds = vec![squall_probe::Second { good: 2, ..Default::default() }];
        history.entries.push(entry);
        assert_eq!(most_requests(&Round::rate(5.0, 2.0), &history), 50);
    }
}
