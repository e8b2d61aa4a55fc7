//! Many buckets, each where it is found at once.

/// Counts of all buckets from the first to the last that is not empty, each in as few bytes as the largest needs.
#[derive(Debug, Clone)]
pub(super) struct Table {
    first: u16,
    width: Width,
    cells: Vec<u8>,
}

/// Bytes of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    One,
    Two,
    Four,
    Eight,
}

impl Width {
    const ALL: [Self; 4] = [Self::One, Self::Two, Self::Four, Self::Eight];

    fn bytes(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    fn highest(self) -> u64 {
        u64::MAX >> (64 - 8 * self.bytes())
    }

    /// What so many bytes, lowest first, are as a number.
    #[inline]
    fn read(self, cell: &[u8]) -> u64 {
        match self {
            Self::One => cell.first().map_or(0, |byte| u64::from(*byte)),
            Self::Two => cell.first_chunk().map_or(0, |bytes| u64::from(u16::from_le_bytes(*bytes))),
            Self::Four => cell.first_chunk().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes))),
            Self::Eight => cell.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)),
        }
    }
}

impl Table {
    /// Of buckets that ascend and are not empty; `None` of none.
    pub(super) fn new(buckets: impl Iterator<Item = (u16, u64)> + Clone) -> Option<Self> {
        let (first, _) = buckets.clone().next()?;
        let (last, _) = buckets.clone().last()?;
        let mut table = Self { first, width: Width::One, cells: vec![0; usize::from(last - first) + 1] };
        buckets.for_each(|(bucket, count)| table.add(bucket, count));
        Some(table)
    }

    /// Counts some more in a bucket; a count that overflows stays at the top.
    #[inline]
    pub(super) fn add(&mut self, bucket: u16, more: u64) {
        let bytes = self.width.bytes();
        let at = usize::from(bucket.wrapping_sub(self.first)) * bytes;
        if let Some(cell) = self.cells.get_mut(at..at + bytes) {
            let sum = self.width.read(cell).saturating_add(more);
            if sum <= self.width.highest() {
                cell.copy_from_slice(&sum.to_le_bytes()[..bytes]);
                return;
            }
        }
        self.add_with_room(bucket, more);
    }

    /// Makes room for a bucket, or for a larger count, and counts it.
    #[cold]
    fn add_with_room(&mut self, bucket: u16, more: u64) {
        let bytes = self.width.bytes();
        if bucket < self.first {
            let cells = usize::from(self.first - bucket) * bytes;
            self.cells.reserve_exact(cells);
            self.cells.splice(..0, std::iter::repeat_n(0, cells));
            self.first = bucket;
        }
        let at = usize::from(bucket - self.first) * bytes;
        if at >= self.cells.len() {
            self.cells.reserve_exact(at + bytes - self.cells.len());
            self.cells.resize(at + bytes, 0);
        }
        let sum = self.width.read(&self.cells[at..]).saturating_add(more);
        let width = Width::ALL.into_iter().find(|width| sum <= width.highest()).unwrap_or(Width::Eight);
        if width.bytes() > bytes {
            let counts = self.cells.chunks_exact(bytes).map(|cell| self.width.read(cell).to_le_bytes());
            let mut cells = Vec::with_capacity(self.cells.len() / bytes * width.bytes());
            counts.for_each(|count| cells.extend_from_slice(&count[..width.bytes()]));
            (self.cells, self.width) = (cells, width);
        }
        self.add(bucket, more);
    }

    /// Buckets that are not empty.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (u16, u64)> + Clone {
        let counts = self.cells.chunks_exact(self.width.bytes()).map(|cell| self.width.read(cell));
        (self.first..=u16::MAX).zip(counts).filter(|(_, count)| *count > 0)
    }
}
