//! Many buckets, each where it is found at once.

/// Counts of all buckets from the first to the last that is not empty.
#[derive(Debug, Clone)]
pub(super) struct Table {
    first: u16,
    cells: Cells,
}

/// Counts, each in as few bytes as the largest needs.
#[derive(Debug, Clone)]
enum Cells {
    One(Vec<u8>),
    Two(Vec<u16>),
    Four(Vec<u32>),
    Eight(Vec<u64>),
}

impl Table {
    /// Of buckets that ascend and are not empty; `None` of none.
    pub(super) fn new(buckets: impl Iterator<Item = (u16, u64)> + Clone) -> Option<Self> {
        let (first, _) = buckets.clone().next()?;
        let (last, _) = buckets.clone().last()?;
        let mut table = Self { first, cells: Cells::One(vec![0; usize::from(last - first) + 1]) };
        table.add(buckets);
        Some(table)
    }

    /// Counts more; a count that overflows stays at the top.
    pub(super) fn add(&mut self, mut buckets: impl Iterator<Item = (u16, u64)>) {
        let mut left = self.cells.add(self.first, &mut buckets);
        while let Some((bucket, more)) = left {
            self.make_room(bucket, more);
            left = self.cells.add(self.first, &mut std::iter::once((bucket, more)).chain(&mut buckets));
        }
    }

    /// Makes room for so many more in a bucket.
    #[cold]
    fn make_room(&mut self, bucket: u16, more: u64) {
        let before = usize::from(self.first.saturating_sub(bucket));
        self.first = self.first.min(bucket);
        let at = usize::from(bucket - self.first);
        match &mut self.cells {
            Cells::One(cells) => grow(cells, before, at),
            Cells::Two(cells) => grow(cells, before, at),
            Cells::Four(cells) => grow(cells, before, at),
            Cells::Eight(cells) => grow(cells, before, at),
        }
        let sum = self.cells.iter().nth(at).unwrap_or(0).saturating_add(more);
        self.cells.widen(sum);
    }

    /// Buckets that are not empty.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (u16, u64)> + Clone {
        (self.first..=u16::MAX).zip(self.cells.iter()).filter(|(_, count)| *count > 0)
    }
}

impl Cells {
    /// Adds buckets, up to one that finds no room.
    #[inline]
    fn add(&mut self, first: u16, buckets: &mut impl Iterator<Item = (u16, u64)>) -> Option<(u16, u64)> {
        match self {
            Self::One(cells) => add(cells, first, buckets),
            Self::Two(cells) => add(cells, first, buckets),
            Self::Four(cells) => add(cells, first, buckets),
            Self::Eight(cells) => add(cells, first, buckets),
        }
    }

    fn iter(&self) -> impl Iterator<Item = u64> + Clone {
        let (mut one, mut two, mut four, mut eight) = ([].iter(), [].iter(), [].iter(), [].iter());
        match self {
            Self::One(cells) => one = cells.iter(),
            Self::Two(cells) => two = cells.iter(),
            Self::Four(cells) => four = cells.iter(),
            Self::Eight(cells) => eight = cells.iter(),
        }
        let narrow = one.map(|count| u64::from(*count)).chain(two.map(|count| u64::from(*count)));
        narrow.chain(four.map(|count| u64::from(*count))).chain(eight.copied())
    }

    /// Makes each wide enough for a count.
    fn widen(&mut self, count: u64) {
        let is_narrow = match self {
            Self::One(_) => count > u8::MAX.into(),
            Self::Two(_) => count > u16::MAX.into(),
            Self::Four(_) => count > u32::MAX.into(),
            Self::Eight(_) => false,
        };
        if !is_narrow {
            return;
        }
        *self = if count <= u16::MAX.into() {
            Self::Two(self.iter().map(|count| u16::try_from(count).unwrap_or(u16::MAX)).collect())
        } else if count <= u32::MAX.into() {
            Self::Four(self.iter().map(|count| u32::try_from(count).unwrap_or(u32::MAX)).collect())
        } else {
            Self::Eight(self.iter().collect())
        };
    }
}

fn add<T: Copy + Into<u64> + TryFrom<u64>>(
    cells: &mut [T],
    first: u16,
    buckets: &mut impl Iterator<Item = (u16, u64)>,
) -> Option<(u16, u64)> {
    buckets.find(|(bucket, more)| {
        let cell = cells.get_mut(usize::from(bucket.wrapping_sub(first)));
        let sum = |cell: &T| T::try_from((*cell).into().saturating_add(*more)).ok();
        match cell.and_then(|cell| Some((sum(cell)?, cell))) {
            Some((sum, cell)) => {
                *cell = sum;
                false
            }
            None => true,
        }
    })
}

/// Puts empty cells before the first, and behind the last up to one.
fn grow<T: Copy + Default>(cells: &mut Vec<T>, before: usize, at: usize) {
    let length = (cells.len() + before).max(at + 1);
    cells.reserve_exact(length - cells.len());
    cells.splice(..0, std::iter::repeat_n(T::default(), before));
    cells.resize(length, T::default());
}
