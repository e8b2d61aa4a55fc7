//! Arrivals at random, drawn by each slice for itself.
//!
//! Given how many arrivals a Poisson process has in a stretch, they lie in it independently of each other, each
//! with the density of the rate (Kingman, *Poisson Processes*, 1993, section 2.4). So arrival number *k* is placed
//! by a draw that depends on *k* and the seed only: every slice draws its own, and together they are the whole,
//! on any number of slices.
//!
//! Stretches are blocks of consecutive numbers within a stage: what a slice holds stays small however long the
//! stage is. That fixes the number of arrivals of each block, and of the stage, to what the plan says; below the
//! length of a block counts vary as they should.

use super::{Arrival, ArrivalSchedule, ONE_ARRIVAL, first_where};
use crate::random::draw;
use crate::share::Share;

/// Arrivals of a block: of all slices together.
const BLOCK: u64 = 1 << 16;

/// A stretch of consecutive ordinals, and the area that they share.
#[derive(Debug, Clone, Copy)]
struct Block {
    ordinals: (u64, u64),
    area: (u128, u128),
}

impl ArrivalSchedule {
    pub(super) fn poisson(
        &self,
        share: Share,
        seed: u64,
        from_us: u64,
    ) -> impl Iterator<Item = Arrival> + '_ {
        let arrivals = self.blocks_from(from_us).flat_map(move |block| {
            let (first, end) = block.ordinals;
            let own = share.ordinals_between(first, end);
            let mut arrivals: Vec<Arrival> =
                own.filter_map(|ordinal| self.place(block, ordinal, draw(seed, ordinal))).collect();
            arrivals.sort_unstable_by_key(|arrival| (arrival.at_us, arrival.ordinal));
            arrivals
        });
        arrivals.skip_while(move |arrival| arrival.at_us < from_us)
    }

    pub(super) fn poisson_before(&self, share: Share, seed: u64, us: u64) -> u64 {
        // The first block that has later ones may have earlier ones, too; no other does but where instants are equal.
        let Some(block) = self.blocks_from(us).next() else { return share.size_of(self.total) };
        let (first, end) = block.ordinals;
        let placed = share
            .ordinals_between(first, end)
            .filter_map(|ordinal| self.place(block, ordinal, draw(seed, ordinal)));
        share.size_of(first) + placed.filter(|arrival| arrival.at_us < us).count() as u64
    }

    /// The blocks of all stages, in order, but for those of which every arrival comes before an instant.
    fn blocks_from(&self, from_us: u64) -> impl Iterator<Item = Block> + '_ {
        let ends = self.stages.iter().skip(1).map(|next| next.area).chain([u128::MAX]);
        self.stages.iter().zip(ends).flat_map(move |(stage, end)| {
            let end_area = end.min(stage.area + stage.area_until(stage.duration_us));
            // The ordinals that even arrivals would have in the stage.
            let ordinal = |area: u128| u64::try_from(area.div_ceil(ONE_ARRIVAL)).unwrap_or(u64::MAX);
            let (first, last) = (ordinal(stage.area), ordinal(end_area).min(self.total));
            let count = last.saturating_sub(first);
            let boundary = move |done: u64| {
                // At most 2·10²⁵ of area and 2⁴³ arrivals a stage: below 2¹²⁸.
                stage.area + (end_area - stage.area) * u128::from(done) / u128::from(count.max(1))
            };
            let block = move |index: u64| {
                let (from, to) = (index * BLOCK, ((index + 1) * BLOCK).min(count));
                Block { ordinals: (first + from, first + to), area: (boundary(from), boundary(to)) }
            };
            let blocks = count.div_ceil(BLOCK);
            (first_where(blocks, |index| self.latest_us(block(index)) >= from_us)..blocks).map(block)
        })
    }

    /// No arrival of a block comes later.
    fn latest_us(&self, block: Block) -> u64 {
        let last = block.area.1.saturating_sub(1).max(block.area.0);
        self.reaching_us(last).unwrap_or(u64::MAX)
    }

    /// Where a draw, uniform over all 64-bit numbers, places an arrival.
    fn place(&self, block: Block, ordinal: u64, draw: u64) -> Option<Arrival> {
        // 65,536 arrivals are 2.4·10¹⁷ of area; times 2⁶⁴ that is below 2¹²⁸ — but a stage with a tiny rest may
        // give its one block up to twice as much, so the draw is taken to 63 bits.
        let offset = ((block.area.1 - block.area.0) * u128::from(draw >> 1)) >> 63;
        self.reaching_us(block.area.0 + offset).map(|at_us| Arrival { ordinal, at_us })
    }
}
