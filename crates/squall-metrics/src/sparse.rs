//! Distributions that take little room: while they travel, and where there are many of them.

mod packed;
mod table;

use crate::scale::Scale;
use packed::{Both, Packed, pack};
use table::Table;

/// A distribution of durations in microseconds as its buckets that are not empty.
///
/// Few of them are packed, the way they travel. Where many are merged, a count has its place in a table, as soon as that
/// takes less than [`TABLE_COSTS`] times as much room.
#[derive(Debug, Clone, Default)]
pub struct Sparse {
    scale: Scale,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    Packed(Box<[u8]>),
    Table(Box<Table>),
}

/// So many bytes of a table are worth one packed one: a table is much faster to add to.
const TABLE_COSTS: usize = 4;

impl Default for Form {
    fn default() -> Self {
        Self::Packed(Box::default())
    }
}

/// Two are the same if they hold the same durations, however they keep them.
impl PartialEq for Sparse {
    fn eq(&self, other: &Self) -> bool {
        self.buckets().eq(other.buckets())
    }
}

impl Eq for Sparse {}

impl Sparse {
    /// Of pairs of duration and count, in any order.
    pub fn new(scale: Scale, pairs: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let pairs = pairs.into_iter().filter(|(_, count)| *count > 0);
        let mut buckets: Vec<(u16, u64)> = pairs.map(|(us, count)| (scale.bucket(us), count)).collect();
        buckets.sort_unstable_by_key(|(bucket, _)| *bucket);
        buckets.dedup_by(|(next, more), (bucket, count)| {
            let same = next == bucket;
            *count = if same { count.saturating_add(*more) } else { *count };
            same
        });
        Self::of_buckets(scale, buckets.into_iter())
    }

    /// Of single durations, in any order.
    pub fn of(scale: Scale, durations: impl IntoIterator<Item = u64>) -> Self {
        Self::new(scale, durations.into_iter().map(|us| (us, 1)))
    }

    /// Of pairs of duration and count of which each is of a later bucket than the one before.
    pub(crate) fn of_ascending(scale: Scale, pairs: impl Iterator<Item = (u64, u64)>) -> Self {
        Self::of_buckets(scale, pairs.map(|(us, count)| (scale.bucket(us), count)))
    }

    /// Of buckets that ascend and are not empty.
    fn of_buckets(scale: Scale, buckets: impl Iterator<Item = (u16, u64)>) -> Self {
        Self { scale, form: Form::Packed(pack(buckets).into()) }
    }

    /// Of bytes that [`to_packed`](Self::to_packed) made; `None` if they are others.
    pub(crate) fn try_from_packed(scale: Scale, bytes: &[u8]) -> Option<Self> {
        Packed::is_sound(bytes, scale).then(|| Self { scale, form: Form::Packed(bytes.into()) })
    }

    /// The bytes that travel.
    pub(crate) fn to_packed(&self, scale: Scale) -> Box<[u8]> {
        match &self.form {
            _ if scale != self.scale => Self::new(scale, self.buckets()).to_packed(scale),
            Form::Packed(bytes) => bytes.clone(),
            Form::Table(table) => pack(table.buckets()).into(),
        }
    }

    /// Pairs of duration and count, ascending; the longest duration of a bucket stands for it.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.numbered().map(|(bucket, count)| (self.scale.highest_us(bucket), count))
    }

    fn numbered(&self) -> impl Iterator<Item = (u16, u64)> {
        let (packed, table) = match &self.form {
            Form::Packed(bytes) => (Some(Packed::new(bytes)), None),
            Form::Table(table) => (None, Some(table.buckets())),
        };
        packed.into_iter().flatten().chain(table.into_iter().flatten())
    }

    /// How finely they are told apart.
    #[must_use]
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.form, Form::Packed(bytes) if bytes.is_empty())
    }

    /// How many durations there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.numbered().map(|(_, count)| count).fold(0, u64::saturating_add)
    }

    /// The duration that a share `quantile` (0 to 1) of all does not exceed, by nearest rank;
    /// `None` if there are none.
    #[must_use]
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        let rank = (quantile.clamp(0.0, 1.0) * self.count() as f64).ceil().max(1.0);
        let mut seen = 0_u64;
        let found = self.numbered().find(|&(_, count)| {
            seen = seen.saturating_add(count);
            seen as f64 >= rank
        });
        found.map(|(bucket, _)| self.scale.highest_us(bucket)).or_else(|| self.max_us())
    }

    /// What is left without a part of it.
    #[must_use]
    pub fn without(&self, part: &Self) -> Self {
        let mut part = part.numbered().peekable();
        let left = self.numbered().filter_map(|(bucket, count)| {
            while part.next_if(|(other, _)| *other < bucket).is_some() {}
            let less = part.next_if(|(other, _)| *other == bucket).map_or(0, |(_, count)| count);
            Some((bucket, count.saturating_sub(less))).filter(|(_, count)| *count > 0)
        });
        Self::of_buckets(self.scale, left)
    }

    /// The shortest.
    #[must_use]
    pub fn min_us(&self) -> Option<u64> {
        self.numbered().next().map(|(bucket, _)| self.scale.highest_us(bucket))
    }

    /// The longest.
    #[must_use]
    pub fn max_us(&self) -> Option<u64> {
        self.numbered().last().map(|(bucket, _)| self.scale.highest_us(bucket))
    }

    /// The arithmetic mean.
    #[must_use]
    pub fn mean_us(&self) -> Option<f64> {
        let sum: f64 = self.buckets().map(|(us, count)| us as f64 * count as f64).sum();
        (!self.is_empty()).then(|| sum / self.count() as f64)
    }

    /// Takes in all of another one, which has the same scale, or is told apart by this one's.
    pub fn merge(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            *self = other.clone();
            return;
        }
        if self.scale != other.scale {
            self.merge(&Self::new(self.scale, other.buckets()));
            return;
        }
        match (&mut self.form, &other.form) {
            (Form::Table(table), Form::Packed(more)) => table.add(Packed::new(more)),
            (Form::Table(table), Form::Table(more)) => table.add(more.buckets()),
            (Form::Packed(bytes), Form::Packed(more)) => {
                self.form = Form::of(pack(Both::new(Packed::new(bytes), Packed::new(more))));
            }
            (Form::Packed(_), Form::Table(_)) => {
                let own = std::mem::replace(self, other.clone());
                self.merge(&own);
            }
        }
    }
}

impl Form {
    /// Whichever suits these buckets.
    fn of(packed: Vec<u8>) -> Self {
        let buckets = Packed::new(&packed);
        let span =
            buckets.clone().next().zip(buckets.clone().last()).map(|((first, _), (last, _))| last - first);
        let wide = span.is_none_or(|span| usize::from(span) > TABLE_COSTS * packed.len());
        let table = if wide { None } else { Table::new(buckets) };
        table.map_or_else(|| Self::Packed(packed.into()), |table| Self::Table(Box::new(table)))
    }
}

#[cfg(test)]
mod tests;
