//! Few buckets in few bytes.
//!
//! Each is a varint of twice the number of empty buckets before it, and one more if its count is not 1; then a varint
//! of what the count is above 2 follows. Buckets ascend, and no count is zero, by construction.

use std::iter::Peekable;

use crate::scale::Scale;
use crate::varint;

/// Reads packed buckets.
#[derive(Debug, Clone)]
pub(super) struct Packed<'a> {
    rest: &'a [u8],
    /// The first bucket that may follow.
    next: u64,
}

impl<'a> Packed<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, next: 0 }
    }

    /// Whether these bytes are buckets of this scale, whose counts together are at most 2⁶³: whatever then follows cannot
    /// overflow.
    pub(super) fn is_sound(bytes: &'a [u8], scale: Scale) -> bool {
        let mut buckets = Self::new(bytes);
        let mut sum = 0_u64;
        for (bucket, count) in &mut buckets {
            sum = sum.saturating_add(count);
            if bucket > scale.last() || sum > 1 << 63 {
                return false;
            }
        }
        buckets.rest.is_empty()
    }
}

impl Iterator for Packed<'_> {
    type Item = (u16, u64);

    /// Nothing is left to read after a bucket that is none.
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.rest;
        let head = varint::pull(&mut rest)?;
        let count = if head & 1 == 0 { 1 } else { varint::pull(&mut rest)?.saturating_add(2) };
        let bucket = u16::try_from(self.next.checked_add(head >> 1)?).ok()?;
        (self.rest, self.next) = (rest, u64::from(bucket) + 1);
        Some((bucket, count))
    }
}

/// Packs buckets that ascend and are not empty.
pub(super) fn pack(buckets: impl Iterator<Item = (u16, u64)>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 * buckets.size_hint().0);
    let mut next = 0_u64;
    for (bucket, count) in buckets {
        let gap = u64::from(bucket).saturating_sub(next);
        varint::push(&mut bytes, gap << 1 | u64::from(count > 1));
        if count > 1 {
            varint::push(&mut bytes, count - 2);
        }
        next = u64::from(bucket) + 1;
    }
    bytes
}

/// The buckets of two distributions as one, ascending.
pub(super) struct Both<A: Iterator, B: Iterator>(Peekable<A>, Peekable<B>);

impl<A: Iterator, B: Iterator> Both<A, B> {
    pub(super) fn new(one: A, other: B) -> Self {
        Self(one.peekable(), other.peekable())
    }
}

impl<A: Iterator<Item = (u16, u64)>, B: Iterator<Item = (u16, u64)>> Iterator for Both<A, B> {
    type Item = (u16, u64);

    fn next(&mut self) -> Option<Self::Item> {
        let Self(one, other) = self;
        match (one.peek(), other.peek()) {
            (Some((a, _)), Some((b, _))) if a == b => {
                let ((bucket, count), (_, more)) = one.next().zip(other.next())?;
                Some((bucket, count.saturating_add(more)))
            }
            (Some((a, _)), Some((b, _))) if a > b => other.next(),
            (Some(_), _) => one.next(),
            (None, _) => other.next(),
        }
    }
}
