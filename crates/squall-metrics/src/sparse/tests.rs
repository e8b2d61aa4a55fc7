use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::varint;

type Pairs = Vec<(u64, u64)>;

/// Durations that are near each other, so that a table pays, and some that are far off.
fn any_pairs() -> impl Strategy<Value = Pairs> {
    let near = (900_u64..1_400, 1_u64..4);
    let far =
        (0_u64..4_000_000_000, prop_oneof![Just(1_u64), 200_u64..300, 60_000_u64..70_000, 1_u64..1 << 40]);
    prop_oneof![
        proptest::collection::vec(near.clone(), 0..150),
        proptest::collection::vec(far.clone(), 0..10),
        (proptest::collection::vec(near, 60..150), proptest::collection::vec(far, 0..3))
            .prop_map(|(near, far)| near.into_iter().chain(far).collect()),
    ]
}

fn any_scale() -> impl Strategy<Value = Scale> {
    prop_oneof![Just(Scale::Fine), Just(Scale::Coarse)]
}

/// What the buckets of pairs are, counted one by one.
fn counted(scale: Scale, pairs: &Pairs) -> Vec<(u64, u64)> {
    let mut buckets: BTreeMap<u64, u64> = BTreeMap::new();
    for (us, count) in pairs {
        *buckets.entry(scale.highest_us(scale.bucket(*us))).or_default() += count;
    }
    buckets.into_iter().collect()
}

proptest! {
    #[test]
    fn merging_in_any_form_counts_every_duration_once(
        parts in proptest::collection::vec(any_pairs(), 1..8), scale in any_scale(), order in any::<prop::sample::Index>(),
    ) {
        let all: Pairs = parts.iter().flatten().copied().collect();
        let mut sparse: Vec<Sparse> = parts.into_iter().map(|pairs| Sparse::new(scale, pairs)).collect();
        let merged = |sparse: &[Sparse]| {
            let mut merged = Sparse::default();
            sparse.iter().for_each(|part| merged.merge(part));
            merged
        };
        // One half of them into the other: what was merged merges, too.
        let (one, other) = sparse.split_at(order.index(sparse.len()));
        let mut halves = merged(other);
        halves.merge(&merged(one));
        let whole = merged(&sparse);
        prop_assert_eq!(whole.buckets().collect::<Vec<_>>(), counted(scale, &all));
        prop_assert_eq!(&whole, &halves);
        let at = order.index(sparse.len());
        sparse.rotate_left(at);
        prop_assert_eq!(&whole, &merged(&sparse));
        let packed = whole.to_packed(scale);
        prop_assert_eq!(Sparse::try_from_packed(scale, &packed), Some(whole));
    }

    #[test]
    fn a_part_that_is_taken_away_leaves_the_rest(one in any_pairs(), other in any_pairs(), scale in any_scale()) {
        let (one, other) = (Sparse::new(scale, one), Sparse::new(scale, other));
        let mut both = one.clone();
        both.merge(&other);
        prop_assert_eq!(&both.without(&other), &one);
        prop_assert_eq!(both.without(&both), Sparse::default());
        prop_assert_eq!(both.without(&Sparse::default()), both);
    }

    #[test]
    fn any_bytes_are_a_distribution_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60), scale in any_scale()) {
        if let Some(sparse) = Sparse::try_from_packed(scale, &bytes) {
            prop_assert!(sparse.buckets().is_sorted_by(|a, b| a.0 < b.0));
            prop_assert!(sparse.buckets().all(|(us, count)| scale.bucket(us) <= scale.last() && count > 0));
            prop_assert_eq!(Sparse::new(scale, sparse.buckets()), sparse);
        }
    }
}

#[test]
fn many_counts_near_each_other_are_a_table() {
    let is_table = |pairs: Pairs| {
        let mut sparse = Sparse::new(Scale::Coarse, [pairs[0]]);
        sparse.merge(&Sparse::new(Scale::Coarse, pairs));
        matches!(sparse.form, Form::Table(_))
    };
    assert!(is_table((0..100).map(|us| (us, 1)).collect()));
    assert!(!is_table(vec![(0, 1), (1_000_000_000, 1)]));
}

#[test]
fn a_count_that_overflows_stays_at_the_top() {
    let mut sparse = Sparse::new(Scale::Coarse, [(1, u64::MAX), (2, 1)]);
    sparse.merge(&sparse.clone());
    assert!(matches!(sparse.form, Form::Table(_)));
    sparse.merge(&sparse.clone());
    assert_eq!(sparse.buckets().collect::<Vec<_>>(), [(1, u64::MAX), (2, 4)]);
    assert_eq!(sparse.count(), u64::MAX);
}

#[test]
fn bytes_that_are_no_distribution_are_refused() {
    let check = |numbers: &[u64], good: bool| {
        let mut bytes = Vec::new();
        numbers.iter().for_each(|number| varint::push(&mut bytes, *number));
        assert_eq!(Sparse::try_from_packed(Scale::Coarse, &bytes).is_some(), good, "{numbers:?}");
    };
    let last = u64::from(Scale::Coarse.last());
    check(&[], true);
    check(&[2, 5, 0], true);
    // A count is missing, a bucket is beyond the last, a sum beyond the most.
    check(&[3], false);
    check(&[2 * last], true);
    check(&[2 * last + 2], false);
    check(&[2 * last, 0], false);
    check(&[u64::MAX - 1], false);
    check(&[1, (1 << 63) - 2], true);
    check(&[1, (1 << 63) - 2, 0], false);
    check(&[1, u64::MAX], false);
}
