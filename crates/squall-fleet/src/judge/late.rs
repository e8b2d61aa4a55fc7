//! What comes late in a run that is too long to be judged as a whole at its end.

use squall_metrics::KEPT_SECONDS;

use super::{Judge, Source};
use crate::measured::Measured;

/// Stretches are judged so much later once more.
const LATE_S: i32 = 600;

/// And so many seconds of them together, for that is cheaper.
const TOGETHER_S: i32 = 60;

impl Judge {
    /// Judges once more what will soon be kept by the second no longer.
    pub(super) fn settle(&mut self, measured: &Measured) {
        for index in 0..self.thresholds.len() {
            let Some(over_s) = self.thresholds[index].over_s else { continue };
            // Whatever is looked at must be there, the whole stretch, for everybody.
            let over_s = i32::try_from(over_s).unwrap_or(i32::MAX);
            let room_s = (KEPT_SECONDS - 2 * TOGETHER_S).saturating_sub(over_s);
            let until = self.seen_until - LATE_S.min(room_s).max(0);
            let (settled, from) = &self.settled[index];
            if until - from >= TOGETHER_S {
                let mut settled = settled.clone();
                Self::stretches(&mut settled, measured, *from..until, Source::All);
                self.settled[index] = (settled, until);
            }
        }
    }
}
