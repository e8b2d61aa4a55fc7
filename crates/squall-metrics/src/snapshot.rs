//! What one generator measured in one interval.

use crate::codec::{self, DecodeError};
use crate::interval::Interval;

/// What one generator measured in one interval: made once, never changed, merged exactly once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The run it belongs to.
    pub run: String,
    /// Who measured it.
    pub nonce: String,
    /// Its number among that generator's snapshots, from 0 without a gap.
    pub sequence: u32,
    /// What was measured.
    pub interval: Interval,
}

impl Snapshot {
    /// The bytes that travel.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what [`encode`](Self::encode) wrote. Any other bytes are an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes)
    }
}
