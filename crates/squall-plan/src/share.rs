//! Which users and arrivals are whose.

use serde::{Deserialize, Serialize};

/// Share *index of count* of a plan: every `count`-th user and arrival, beginning with number `index`.
///
/// Striping keeps every slice's load in the shape of the whole, and lets each slice compute its own
/// part without asking anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(u32, u32)", into = "(u32, u32)")]
pub struct Share {
    index: u32,
    count: u32,
}

impl Share {
    /// The whole plan.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// `None` unless `index < count`.
    #[must_use]
    pub fn try_new(index: u32, count: u32) -> Option<Self> {
        (index < count).then_some(Self { index, count })
    }

    /// Which of the shares this is, from 0.
    #[must_use]
    pub fn index(self) -> u32 {
        self.index
    }

    /// How many shares there are.
    #[must_use]
    pub fn count(self) -> u32 {
        self.count
    }

    /// How many of `total` ordinals are in this share.
    #[must_use]
    pub fn size_of(self, total: u64) -> u64 {
        let (index, count) = (u64::from(self.index), u64::from(self.count));
        total / count + u64::from(index < total % count)
    }

    /// How many of `total` are this share's, if only the first `takers` shares take any.
    #[must_use]
    pub fn size_among(self, total: u64, takers: u64) -> u64 {
        let takers = takers.clamp(1, u64::from(self.count));
        let index = u64::from(self.index);
        if index < takers { total / takers + u64::from(index < total % takers) } else { 0 }
    }

    /// The ordinals of this share below `total`, ascending.
    pub fn ordinals(self, total: u64) -> impl Iterator<Item = u64> {
        (u64::from(self.index)..total).step_by(self.count as usize)
    }

    /// Those of them from one on, without going through the others.
    pub fn ordinals_between(self, from: u64, until: u64) -> impl Iterator<Item = u64> {
        let (index, count) = (u64::from(self.index), u64::from(self.count));
        let first = from.saturating_add((index + count - from % count) % count);
        (first..until).step_by(self.count as usize)
    }

    /// This share divided again: part `part` of `parts` of it, as a share of the whole.
    /// `None` unless `part < parts`, or when there would be more than 2³² shares.
    #[must_use]
    pub fn subdivide(self, part: u32, parts: u32) -> Option<Self> {
        let index = self.count.checked_mul(part)?.checked_add(self.index)?;
        Self::try_new(index, self.count.checked_mul(parts)?)
    }
}

impl TryFrom<(u32, u32)> for Share {
    type Error = &'static str;

    fn try_from((index, count): (u32, u32)) -> Result<Self, Self::Error> {
        Self::try_new(index, count).ok_or("a share's index must be below its count")
    }
}

impl From<Share> for (u32, u32) {
    fn from(share: Share) -> Self {
        (share.index, share.count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_union_of_shares_is_the_whole(total in 0_u64..2_000, count in 1_u32..300) {
            let shares = (0..count).map(|index| Share::try_new(index, count).unwrap());
            let mut union: Vec<u64> = shares.clone().flat_map(|share| share.ordinals(total)).collect();
            union.sort_unstable();
            prop_assert_eq!(union, (0..total).collect::<Vec<_>>());
            prop_assert_eq!(shares.clone().map(|share| share.size_of(total)).sum::<u64>(), total);
            for takers in [1, 3, u64::from(count), 1_000] {
                let among = shares.clone().map(|share| share.size_among(total, takers));
                prop_assert_eq!(among.clone().sum::<u64>(), total);
                prop_assert!(among.skip(usize::try_from(takers).unwrap()).all(|size| size == 0));
            }
        }

        #[test]
        fn a_share_divided_again_is_still_that_share(
            total in 0_u64..2_000, count in 1_u32..50, index in 0_u32..50, parts in 1_u32..9,
        ) {
            prop_assume!(index < count);
            let share = Share::try_new(index, count).unwrap();
            let mut union: Vec<u64> = (0..parts)
                .flat_map(|part| share.subdivide(part, parts).unwrap().ordinals(total))
                .collect();
            union.sort_unstable();
            prop_assert_eq!(union, share.ordinals(total).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_index_outside_is_refused() {
        assert_eq!(Share::try_new(3, 3), None);
        assert!(serde_json::from_str::<Share>("[2,2]").is_err());
    }
}
