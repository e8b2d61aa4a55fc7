//! Where an answer changes from no to yes, by asking where it is least certain.
//!
//! Probabilistic bisection: the change is at `θ` on a logarithmic axis and as sharp as `s`, so that the answer at `x` is
//! yes with probability `ε + (1 − 2ε) / (1 + exp(−(x − θ) / s))`; what each pair of them makes of all answers so far is
//! their likelihood (Horstein 1963; Waeber, Frazier and Henderson, "Bisection Search with Noisy Responses", 2013).

use crate::estimate::Estimate;

/// Which share of answers is wrong, whatever the distance.
const WRONG: f64 = 0.02;

/// How sharp the change may be, as a factor of `x`, and how likely that is at first.
const SHARPNESS: [(f64, f64); 5] = [(0.003, 0.45), (0.012, 0.3), (0.04, 0.15), (0.12, 0.07), (0.35, 0.03)];

/// How much likelier the change is near a hint than elsewhere, and what is near.
const HINT: (f64, f64) = (10.0, 0.035);

/// So many places are weighed.
const PLACES: usize = 320;

/// Answers so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Search {
    asked: Vec<Asked>,
    /// Where something else says that it is, as a logarithm.
    hint: Option<f64>,
}

/// An answer.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// Where, as a logarithm.
    at: f64,
    /// How likely it was a yes; or which share of `of` was one.
    yes: f64,
    /// Of how many it is the share; `None` of one that is not certain.
    of: Option<f64>,
}

impl Asked {
    /// How likely it is where a yes has this chance, as a logarithm.
    fn likelihood(&self, chance: f64) -> f64 {
        match self.of {
            Some(of) => of * (self.yes * chance.ln() + (1.0 - self.yes) * (1.0 - chance).ln()),
            None => (self.yes * chance + (1.0 - self.yes) * (1.0 - chance)).ln(),
        }
    }
}

/// The highest rate that was not too much, of pairs of rates and whether they were, if it is below all that were.
pub(crate) fn kept(steps: impl Iterator<Item = (f64, bool)>) -> Option<f64> {
    let (broken, kept): (Vec<_>, Vec<_>) = steps.partition(|(_, is_broken)| *is_broken);
    let lowest = broken.iter().map(|(rate, _)| *rate).fold(f64::INFINITY, f64::min);
    kept.iter().map(|(rate, _)| *rate).filter(|rate| *rate < lowest).reduce(f64::max)
}

/// What is known of the change.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// Places as logarithms, and how likely the change is before or at each.
    places: Vec<(f64, f64)>,
    /// By how much answers are likelier with a change than if a yes is as likely everywhere, as a logarithm and beyond
    /// what chance would gain; positive if there is a change.
    pub gain: f64,
}

impl Search {
    /// Notes an answer that was a yes with this probability.
    pub(crate) fn note(&mut self, x: f64, yes: f64) {
        self.add(x, yes, None);
    }

    /// Notes answers of which a share was a yes, and for how many independent ones they count.
    pub(crate) fn note_share(&mut self, x: f64, yes: f64, of: f64) {
        self.add(x, yes, Some(of.clamp(0.0, 10.0)));
    }

    /// Notes where something else says that the change is: it may be wrong, and a few answers overrule it.
    pub(crate) fn hint(&mut self, x: f64) {
        self.hint = (x > 0.0 && x.is_finite()).then(|| x.ln());
    }

    fn add(&mut self, x: f64, yes: f64, of: Option<f64>) {
        if x > 0.0 && x.is_finite() && yes.is_finite() {
            self.asked.push(Asked { at: x.ln(), yes: yes.clamp(0.0, 1.0), of });
        }
    }

    /// The largest place of a no below the smallest place of a yes that has no larger no, if there are both.
    fn ends(&self) -> Option<(f64, f64)> {
        let of = |is_yes: bool| self.asked.iter().filter(move |asked| (asked.yes > 0.5) == is_yes);
        let low = of(false).map(|asked| asked.at).fold(f64::INFINITY, f64::min);
        let high = of(true).map(|asked| asked.at).fold(f64::NEG_INFINITY, f64::max);
        if !low.is_finite() || !high.is_finite() {
            return None;
        }
        // Between the last no before, and the first yes after, everything else within a factor.
        let last = of(false).map(|asked| asked.at).fold(f64::NEG_INFINITY, f64::max);
        let first = of(true).map(|asked| asked.at).fold(f64::INFINITY, f64::min);
        Some((last.min(first) - 0.25, last.max(first) + 0.25))
    }

    /// What the answers say; `None` without both a yes and a no.
    pub(crate) fn known(&self) -> Option<Known> {
        let (low, high) = self.ends()?;
        let step = (high - low) / PLACES as f64;
        let mut best = f64::NEG_INFINITY;
        let mut likelihoods = Vec::with_capacity(PLACES * SHARPNESS.len());
        for place in 0..PLACES {
            let at = low + (place as f64 + 0.5) * step;
            let near = self.hint.map_or(0.0, |hint| (-((at - hint) / HINT.1).powi(2) / 2.0).exp());
            for (sharpness, prior) in SHARPNESS {
                let found: f64 =
                    self.asked.iter().map(|asked| asked.likelihood(chance(asked.at, at, sharpness))).sum();
                best = best.max(found);
                likelihoods.push(found + f64::ln(prior * (1.0 + HINT.0 * near)));
            }
        }
        let weights: Vec<f64> = likelihoods.iter().map(|found| (found - best).exp()).collect();
        let total: f64 = weights.iter().sum();
        let mut until = 0.0;
        let places = weights.chunks(SHARPNESS.len()).enumerate().map(|(place, weights)| {
            until += weights.iter().sum::<f64>() / total;
            (low + (place as f64 + 1.0) * step, until)
        });
        let places = places.collect();
        let gain = best - self.without_change() - 1.0 - 0.1 * self.asked.len() as f64;
        Some(Known { places, gain })
    }

    /// How likely the answers are if a yes is as likely everywhere, as a logarithm.
    fn without_change(&self) -> f64 {
        let weight = |asked: &Asked| asked.of.unwrap_or(1.0);
        let all: f64 = self.asked.iter().map(weight).sum();
        let yes: f64 = self.asked.iter().map(|asked| asked.yes * weight(asked)).sum();
        let share = (yes / all.max(f64::MIN_POSITIVE)).clamp(1e-6, 1.0 - 1e-6);
        self.asked.iter().map(|asked| asked.likelihood(share)).sum()
    }
}

/// How likely a yes is at a place if the change is at another.
fn chance(x: f64, at: f64, sharpness: f64) -> f64 {
    let odds = ((x - at) / sharpness).clamp(-40.0, 40.0);
    WRONG + (1.0 - 2.0 * WRONG) / (1.0 + (-odds).exp())
}

impl Known {
    /// Where the change is with a probability.
    pub(crate) fn quantile(&self, probability: f64) -> f64 {
        let mut before = self.places.first().map_or((0.0, 0.0), |first| (first.0, 0.0));
        for place in &self.places {
            if place.1 >= probability {
                let share = (probability - before.1) / (place.1 - before.1).max(1e-12);
                return (before.0 + (place.0 - before.0) * share.clamp(0.0, 1.0)).exp();
            }
            before = *place;
        }
        before.0.exp()
    }

    /// How likely the change is before a place.
    pub(crate) fn before(&self, x: f64) -> f64 {
        let x = x.max(f64::MIN_POSITIVE).ln();
        self.places.iter().take_while(|place| place.0 <= x).last().map_or(0.0, |place| place.1)
    }

    pub(crate) fn estimate(&self) -> Option<Estimate> {
        Estimate::between(self.quantile(0.05), self.quantile(0.5), self.quantile(0.95))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bisection_closes_in_on_the_change_though_some_answers_are_wrong() {
        for (truth, wrong) in [(137.0, usize::MAX), (137.0, 4), (290.0, 5)] {
            let mut search = Search::default();
            search.note(100.0, 0.0);
            search.note(400.0, 1.0);
            for at in 0..14 {
                let x = search.known().unwrap().quantile(0.5);
                let yes = f64::from(u8::from((x > truth) != (at == wrong)));
                search.note(x, yes);
            }
            let known = search.known().unwrap();
            let found = known.estimate().unwrap();
            assert!((found.value / truth - 1.0).abs() < 0.04, "{found:?} {truth}");
            assert!(found.low < truth && truth < found.high, "{found:?} {truth}");
            assert!(known.gain > 0.0, "{}", known.gain);
        }
    }

    #[test]
    fn answers_that_have_nothing_to_do_with_the_place_gain_nothing() {
        let mut search = Search::default();
        assert!(search.known().is_none());
        for at in 0..16 {
            search.note(100.0 + 10.0 * f64::from(at), f64::from(u8::from(at % 3 == 0)));
        }
        assert!(search.known().unwrap().gain < 0.0, "{}", search.known().unwrap().gain);
        search.note(f64::NAN, 1.0);
        search.note(-1.0, f64::NAN);
    }
}
