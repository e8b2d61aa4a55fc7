//! Randomness that depends on the journey and not on who runs it.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A stream of random numbers.
pub type Random = Xoshiro256PlusPlus;

/// The stream of one iteration of one user (closed model) or arrival (open model).
///
/// It is keyed by what the iteration *is*, never by slice or thread: the same seed gives the same
/// journeys on any number of slices. Iteration 0 belongs to `before`.
#[must_use]
pub fn iteration_stream(seed: u64, scenario: usize, ordinal: u64, iteration: u64) -> Random {
    Random::seed_from_u64(key(&[seed, scenario as u64, ordinal, iteration]))
}

/// The stream that shuffles deck number `deck` (see [`Deck`]).
fn deck_stream(seed: u64, deck: u64) -> Random {
    Random::seed_from_u64(key(&[seed, u64::MAX, deck]))
}

/// 64 random bits that belong to an arrival and say when it comes.
pub(crate) fn draw(seed: u64, ordinal: u64) -> u64 {
    key(&[seed, u64::MAX - 1, ordinal])
}

/// 64 random bits that say which row of some data belongs to whoever has this number.
pub(crate) fn draw_row(seed: u64, data: &str, number: u64) -> u64 {
    let name = data.bytes().fold(0, |hash, byte| key(&[hash, u64::from(byte)]));
    key(&[seed, u64::MAX - 2, name, number])
}

/// The stream of ids that a thread gives to its requests, unlike that of any other thread, generator or run. Nothing that
/// users draw comes from it.
#[must_use]
pub fn id_stream(names: &[&str], numbers: &[u64]) -> Random {
    // The length of each name is a part of the key, so that no two lists look alike.
    let of_name = |hash, name: &&str| {
        name.bytes().fold(key(&[hash, name.len() as u64]), |hash, byte| key(&[hash, u64::from(byte)]))
    };
    let hash = names.iter().fold(u64::MAX - 3, of_name);
    Random::seed_from_u64(numbers.iter().fold(hash, |hash, number| key(&[hash, *number])))
}

/// Mixes the words into one with the finaliser of `SplitMix64` (Steele, Lea and Flood, 2014) after each,
/// so that keys that differ in one bit give unrelated streams.
fn key(words: &[u64]) -> u64 {
    words.iter().fold(0x9e37_79b9_7f4a_7c15, |state, word| {
        let mut z = (state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// The index of one of the weights, each as likely as its share of their sum.
/// 0 if the weights are empty or all zero.
pub fn pick_weighted(random: &mut Random, weights: impl Iterator<Item = u32> + Clone) -> usize {
    let total: u64 = weights.clone().map(u64::from).sum();
    let mut draw = if total == 0 { 0 } else { random.random_range(0..total) };
    for (index, weight) in weights.enumerate() {
        let weight = u64::from(weight);
        if draw < weight {
            return index;
        }
        draw -= weight;
    }
    0
}

/// Deals scenarios to users and arrivals by weight, exactly: every run of Σ weights ordinals (divided by
/// their greatest common divisor) is one shuffled deck that holds each scenario as often as its weight.
///
/// A fixed order would be as exact, but a slice that takes every fourth user could then see one scenario
/// only; a draw per user would mix well, but be exact only on average.
#[derive(Debug, Clone)]
pub struct Deck {
    /// In their order of before.
    cards: Vec<u16>,
    seed: u64,
    /// The deck that was dealt from last, of which a few more may be asked for.
    last: Option<Shuffle>,
}

/// A deck that is shuffled as far as was needed.
#[derive(Debug, Clone)]
struct Shuffle {
    deck: u64,
    cards: Vec<u16>,
    shuffled: usize,
    random: Random,
}

impl Deck {
    /// More cards than this are scaled down, at the price of exactness for weights like 1 to 1,000,000.
    const MAX_CARDS: u64 = 1_000;

    /// A deck for scenarios of these weights, of which none is zero and at most 65,536 exist.
    #[must_use]
    pub fn new(weights: &[u32], seed: u64) -> Self {
        let divisor = weights.iter().copied().fold(0, greatest_common_divisor).max(1);
        let total: u64 = weights.iter().map(|weight| u64::from(weight / divisor)).sum();
        let scale = total.div_ceil(Self::MAX_CARDS).max(1);
        let mut cards = Vec::new();
        for (scenario, weight) in (0_u16..).zip(weights) {
            let copies = (u64::from(weight / divisor) / scale).max(1);
            cards.extend((0..copies).map(|_| scenario));
        }
        Self { cards, seed, last: None }
    }

    /// The scenario of user or arrival number `ordinal`.
    pub fn deal(&mut self, ordinal: u64) -> usize {
        let size = self.cards.len() as u64;
        if size <= 1 {
            return 0;
        }
        let (deck, position) = (ordinal / size, usize::try_from(ordinal % size).unwrap_or(0));
        let last = self.last.take().filter(|last| last.deck == deck);
        let last = self.last.insert(last.unwrap_or_else(|| Shuffle {
            deck,
            cards: self.cards.clone(),
            shuffled: 0,
            random: deck_stream(self.seed, deck),
        }));
        usize::from(last.card(position))
    }
}

impl Shuffle {
    fn card(&mut self, position: usize) -> u16 {
        // Fisher and Yates, from the front, only as far as the card that is asked for.
        for place in self.shuffled..=position {
            let with = self.random.random_range(place..self.cards.len());
            self.cards.swap(place, with);
        }
        self.shuffled = self.shuffled.max(position + 1);
        self.cards[position]
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use rand::Rng;

    use super::*;

    proptest! {
        #[test]
        fn every_deck_holds_each_scenario_as_often_as_its_weight(
            weights in proptest::collection::vec(1_u32..12, 1..6), seed: u64, deck in 0_u64..1_000_000,
        ) {
            let divisor = weights.iter().copied().fold(0, greatest_common_divisor);
            let size: u64 = weights.iter().map(|weight| u64::from(weight / divisor)).sum();
            let mut counts = vec![0_u32; weights.len()];
            let mut dealer = Deck::new(&weights, seed);
            for ordinal in deck * size..(deck + 1) * size {
                counts[dealer.deal(ordinal)] += 1;
            }
            let expected: Vec<u32> = weights.iter().map(|weight| weight / divisor).collect();
            prop_assert_eq!(counts, expected);
        }
    }

    #[test]
    fn a_slice_that_takes_every_fourth_user_sees_every_scenario() {
        let mut deck = Deck::new(&[3, 1], 7);
        let rare = (0..400).step_by(4).filter(|&ordinal| deck.deal(ordinal) == 1).count();
        assert!(
            (15..=35).contains(&rare),
            "{rare} of 100 users got the scenario with a quarter of the weight"
        );
    }

    #[test]
    fn the_order_of_asking_changes_nothing() {
        let dealt = |ordinals: &mut dyn Iterator<Item = u64>| {
            let mut deck = Deck::new(&[5, 3, 2], 7);
            ordinals
                .map(|ordinal| (ordinal, deck.deal(ordinal)))
                .collect::<std::collections::BTreeMap<_, _>>()
        };
        let expected = dealt(&mut (0..40));
        assert_eq!(dealt(&mut (0..40).rev()), expected);
        assert_eq!(dealt(&mut (0..40).map(|ordinal| ordinal * 7 % 40)), expected);
    }

    #[test]
    fn extreme_weights_keep_every_scenario() {
        let deck = Deck::new(&[1, u32::MAX], 7);
        assert!(deck.cards.contains(&0) && deck.cards.len() < 2_000);
    }

    #[test]
    fn a_weighted_pick_follows_the_weights() {
        let mut random = iteration_stream(1, 0, 0, 0);
        let mut counts = [0_u32; 3];
        for _ in 0..60_000 {
            counts[pick_weighted(&mut random, [1, 2, 3].into_iter())] += 1;
        }
        assert!(counts[0].abs_diff(10_000) < 500 && counts[1].abs_diff(20_000) < 500, "{counts:?}");
    }

    #[test]
    fn streams_that_differ_in_one_word_are_unrelated() {
        let first = |seed, scenario, ordinal, iteration| {
            iteration_stream(seed, scenario, ordinal, iteration).next_u64()
        };
        let streams =
            [first(1, 0, 0, 0), first(0, 1, 0, 0), first(0, 0, 1, 0), first(0, 0, 0, 1), first(0, 0, 0, 0)];
        for (i, a) in streams.iter().enumerate() {
            assert!(streams[i + 1..].iter().all(|b| a != b));
        }
    }
}
