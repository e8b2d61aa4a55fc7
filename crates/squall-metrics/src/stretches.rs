//! Which snapshots of a generator have come, and of which seconds they tell.

/// Numbers, as stretches without a gap, ascending: where nothing is missing there is one. So they take as much room as there
/// are gaps, however many numbers there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stretches(Vec<(u32, u32)>);

impl Stretches {
    /// Whether it is there.
    pub(crate) fn contains(&self, number: u32) -> bool {
        self.last_from(number).is_some_and(|at| number <= self.0[at].1)
    }

    /// Puts one in; whether it was not there.
    pub(crate) fn insert(&mut self, number: u32) -> bool {
        let Self(stretches) = self;
        let place = stretches.partition_point(|(first, _)| *first <= number);
        let before = place.checked_sub(1).map(|at| stretches[at].1);
        if before.is_some_and(|last| number <= last) {
            return false;
        }
        let follows = before.is_some_and(|last| last + 1 == number);
        let precedes = stretches.get(place).is_some_and(|(first, _)| number + 1 == *first);
        match (follows, precedes) {
            (true, true) => stretches[place - 1].1 = stretches.remove(place).1,
            (true, false) => stretches[place - 1].1 = number,
            (false, true) => stretches[place].0 = number,
            (false, false) => stretches.insert(place, (number, number)),
        }
        true
    }

    /// The lowest that is not there.
    pub(crate) fn first_missing(&self) -> u32 {
        self.0.first().filter(|(first, _)| *first == 0).map_or(0, |(_, last)| last.saturating_add(1))
    }

    /// First and last of each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.0.iter().copied()
    }

    /// How many numbers there are.
    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    /// The last stretch that begins at a number or before it.
    fn last_from(&self, number: u32) -> Option<usize> {
        self.0.partition_point(|(first, _)| *first <= number).checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn stretches_hold_what_a_set_holds(
            numbers in proptest::collection::vec(prop_oneof![9 => 0_u32..40, 1 => u32::MAX - 2..=u32::MAX], 0..120),
        ) {
            let (mut stretches, mut set) = (Stretches::default(), BTreeSet::new());
            for number in numbers {
                prop_assert_eq!(stretches.insert(number), set.insert(number), "{}", number);
                prop_assert!(stretches.0.is_sorted_by(|(first, last), (next, _)| first <= last && *last + 1 < *next));
            }
            prop_assert_eq!(stretches.len(), set.len() as u64);
            prop_assert_eq!(Some(stretches.first_missing()), (0..=u32::MAX).find(|number| !set.contains(number)));
            for number in (0..45).chain(u32::MAX - 4..=u32::MAX) {
                prop_assert_eq!(stretches.contains(number), set.contains(&number), "{}", number);
            }
        }
    }

    #[test]
    fn numbers_without_a_gap_take_the_room_of_one() {
        let mut stretches = Stretches::default();
        for number in (0..10_000).step_by(2).chain((1..10_000).step_by(2).rev()) {
            assert!(stretches.insert(number));
        }
        assert_eq!(stretches.0, [(0, 9_999)]);
    }
}
