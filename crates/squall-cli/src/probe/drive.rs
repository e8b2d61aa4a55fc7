//! Round after round, until a probe knows enough, cannot go on, or may not.

use squall_probe::{Load, Probe, Round, Step};
use squall_report::ExitCode;

use super::history::{Entry, History};
use super::told;
use crate::failure::Failure;

/// What may be wrong where no request gets through TLS.
const TLS: &str = "; see that it speaks TLS there, or ask with http://, and that its certificate is of this name and of an \
                   authority that is trusted: a plan for `squall probe capacity` may say `http: { roots: platform }`";

/// Sends rounds.
pub(super) trait Sender {
    /// Waits as long as nothing is to be sent, and sends a round. `None` if the user does not want to go on.
    fn send(
        &mut self,
        round: &Round,
        number: usize,
        before_us: Option<i64>,
    ) -> Result<Option<Entry>, Failure>;

    /// Whether the user has said so meanwhile.
    fn is_interrupted(&self) -> bool;
}

/// What may be sent at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) per_s: Option<f64>,
    pub(super) requests: Option<u64>,
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
            exit: failure.exit(),
        }
    }
}

/// Sends what a probe wants, and keeps what becomes of it. A round that fails is as if it had not been sent: what is known
/// is told, and who goes on sends it again.
pub(super) fn drive<P: Probe>(
    probe: &P,
    sender: &mut dyn Sender,
    history: &mut History,
    limits: Limits,
) -> Ending {
    loop {
        if sender.is_interrupted() {
            return Ending::Interrupted;
        }
        let round = match probe.next(&history.done) {
            Step::Send(round) => round,
            Step::Enough => return Ending::Enough,
            Step::Stop(reason) => return Ending::Stopped(why(reason, history)),
        };
        if let Some(beyond) = limits.beyond(&round, history.requests()) {
            return Ending::Stopped(beyond);
        }
        let number = history.entries.len() + 1;
        told::begins(number, &round);
        let before_us = history.entries.last().map(|entry| entry.ended_us);
        let mut entry = match sender.send(&round, number, before_us) {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ending::Interrupted,
            Err(failure) => return Ending::failed(number, &failure),
        };
        entry.again = entry.observed.tainted && history.tries() < limits.tries;
        told::ended(number, &entry);
        if let Err(failure) = history.add(entry) {
            return Ending::failed(number, &failure);
        }
    }
}

impl Limits {
    /// Why a round may not be sent, after so many requests.
    fn beyond(&self, round: &Round, sent: u64) -> Option<String> {
        let wanted = match round.load {
            Load::Burst { requests } => u64::from(requests),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a number of requests"
            )]
            Load::Rate { per_s, seconds } => (per_s * seconds).ceil() as u64,
            // Nobody knows before.
            Load::Users { .. } => 0,
        };
        if let (Some(most), Load::Rate { per_s, .. }) = (self.per_s, round.load)
            && per_s > most * (1.0 + 1e-9)
        {
            return Some(format!("{per_s:.1} requests a second would be next, and --max-rate allows {most}"));
        }
        let most = self.requests.filter(|most| sent.saturating_add(wanted) > *most)?;
        Some(format!("{sent} requests were sent, {wanted} would be next, and --max-requests allows {most}"))
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
        last: Vec<Option<i64>>,
        ends_in: Option<usize>,
        breaks_in: Option<usize>,
        fails_in: usize,
    }

    impl Sender for Fake {
        fn send(
            &mut self,
            round: &Round,
            number: usize,
            before_us: Option<i64>,
        ) -> Result<Option<Entry>, Failure> {
            if self.ends_in == Some(number) {
                return Ok(None);
            }
            if self.breaks_in == Some(number) {
                return Err(Failure::from(anyhow::anyhow!("the fleet is gone")).with_hint("find it"));
            }
            if let Load::Rate { per_s, .. } = round.load {
                self.sent.push(per_s);
            }
            self.last.push(before_us);
            let observed = Observed { tainted: number >= self.fails_in, ..Observed::default() };
            let mut entry = Entry { round: round.clone(), observed, ..entry("x") };
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
        let mut history = History::open(&folder).unwrap();
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

    const NONE: Limits = Limits { per_s: None, requests: None, tries: 0 };

    fn fake() -> Fake {
        Fake { sent: Vec::new(), last: Vec::new(), ends_in: None, breaks_in: None, fails_in: usize::MAX }
    }

    #[test]
    fn a_probe_that_was_interrupted_goes_on_where_it_was() {
        let mut fake = Fake { ends_in: Some(3), ..fake() };
        assert_eq!(run(&mut fake, "goes-on", 5, NONE), (Ending::Interrupted, 2));
        fake.ends_in = None;
        assert_eq!(run(&mut fake, "goes-on", 5, NONE), (Ending::Enough, 5));
        assert_eq!(fake.sent, [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(fake.last, [None, Some(5), Some(5), Some(5), Some(5)]);
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
        assert_eq!(run(&mut fake, "breaks", 5, NONE), (Ending::Enough, 5));
        assert_eq!(fake.sent, [1.0, 2.0, 3.0, 4.0, 5.0]);
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
        check(Limits { per_s: Some(3.0), requests: None, tries: 0 }, 3, "--max-rate");
        // Each round has sent 2 requests; the fourth would send 8 more.
        check(Limits { per_s: None, requests: Some(13), tries: 0 }, 3, "--max-requests");
    }
}
