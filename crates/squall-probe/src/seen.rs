//! What a round says by itself.

use crate::probe::Done;
use crate::round::{Load, Observed, Second};

impl Observed {
    fn total(&self, of: impl Fn(&Second) -> u64) -> u64 {
        self.seconds.iter().fold(0, |sum, second| sum.saturating_add(of(second)))
    }

    /// How long nothing was sent before it; nonsense is nothing.
    pub(crate) fn rested_s(&self) -> f64 {
        crate::estimate::bounded(self.idle_s, 0.0, 1e9, 0.0)
    }

    pub(crate) fn good(&self) -> u64 {
        self.total(|second| second.good)
    }

    pub(crate) fn limited(&self) -> u64 {
        self.total(|second| second.limited)
    }

    pub(crate) fn unavailable(&self) -> u64 {
        self.total(|second| second.unavailable)
    }

    pub(crate) fn failed(&self) -> u64 {
        self.total(|second| second.failed)
    }

    /// Whether so many went wrong, beside those that were let through, that there is more to it than chance.
    pub(crate) fn many_fail(&self) -> bool {
        self.unavailable().saturating_add(self.failed()) as f64 > 0.1 * self.good() as f64
    }

    pub(crate) fn scheduled(&self) -> u64 {
        self.total(|second| second.scheduled)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.total(|second| second.dropped)
    }

    pub(crate) fn answered(&self) -> u64 {
        self.total(Second::answered)
    }

    /// How requests failed, the most frequent first, as words; empty if unknown.
    pub(crate) fn failures_in_words(&self) -> String {
        let mut failures: Vec<&(String, u64)> =
            self.failures.iter().filter(|failure| failure.1 > 0).collect();
        failures.sort_by_key(|failure| std::cmp::Reverse(failure.1));
        let names: Vec<String> =
            failures.iter().take(3).map(|(name, count)| format!("{count} × {name}")).collect();
        if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
    }

    /// Why a probe that came for no errors cannot go on after this, if so.
    pub(crate) fn trouble(&self) -> Option<String> {
        let (good, limited) = (self.good(), self.limited());
        let bad = self.unavailable().saturating_add(self.failed());
        if self.answered() == 0 {
            return Some(if self.dropped() > 0 {
                "no request could be sent: the generators have nobody free to send them".to_owned()
            } else {
                "no request was answered: is the address right, and the service up?".to_owned()
            });
        }
        if bad > good.saturating_add(limited) {
            let all = if good.saturating_add(limited) == 0 { "all" } else { "most" };
            return Some(format!(
                "{all} requests fail: {bad} of {}{}; it has to work before it can be measured",
                self.answered(),
                self.failures_in_words()
            ));
        }
        None
    }
}

impl Second {
    pub(crate) fn answered(&self) -> u64 {
        [self.good, self.limited, self.unavailable, self.failed].into_iter().fold(0, u64::saturating_add)
    }

    /// Those that were really sent.
    pub(crate) fn sent(&self) -> u64 {
        self.scheduled.saturating_sub(self.dropped)
    }
}

impl Done {
    /// How many requests were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.observed.answered().max(self.observed.scheduled().saturating_sub(self.observed.dropped()))
    }

    /// The rate that was asked for; 0 of what has none.
    pub(crate) fn rate(&self) -> f64 {
        match self.round.load {
            Load::Rate { per_s, .. } if per_s.is_finite() => per_s,
            _ => 0.0,
        }
    }

    /// How many whole seconds it was sent for.
    pub(crate) fn whole_seconds(&self) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
        let whole = (self.round.lasts_s() + 1e-6).clamp(0.0, 1e6) as usize;
        whole.min(self.observed.seconds.len())
    }

    /// The seconds in which it was sent, those to warm up left out.
    pub(crate) fn steady(&self) -> &[Second] {
        let end = self.whole_seconds();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
        let begin = (self.round.warm_s.ceil().clamp(0.0, 1e6) as usize).min(end);
        self.observed.seconds.get(begin..end).unwrap_or(&[])
    }

    /// How many requests were under way at the end of each second.
    pub(crate) fn under_way(&self) -> Vec<f64> {
        let mut under_way = 0.0;
        let seconds = self.observed.seconds.iter().take(self.whole_seconds());
        seconds
            .map(|second| {
                under_way += second.sent() as f64 - second.answered() as f64;
                f64::max(under_way, 0.0)
            })
            .collect()
    }
}
