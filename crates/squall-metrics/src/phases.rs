//! What the service time of a request is made of.

/// A part of a request's service time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Looking the name up.
    Dns,
    /// Making the connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Writing the request.
    Send,
    /// From the last byte of the request to the first of the response.
    FirstByte,
    /// From there to the last byte.
    Body,
}

impl Phase {
    /// All, in the order in which they follow each other.
    pub const ALL: [Self; 6] = [Self::Dns, Self::Connect, Self::Tls, Self::Send, Self::FirstByte, Self::Body];
}

/// How long each phase of a request took, in microseconds; a phase that did not happen has no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Phases {
    us: [u32; Phase::ALL.len()],
}

/// No time. An hour, beyond which nothing is told apart, is less.
const NONE: u32 = u32::MAX;

impl Default for Phases {
    fn default() -> Self {
        Self { us: [NONE; Phase::ALL.len()] }
    }
}

impl Phases {
    /// How long a phase took.
    #[must_use]
    pub fn get(&self, phase: Phase) -> Option<u64> {
        Some(self.us[phase as usize]).filter(|us| *us != NONE).map(u64::from)
    }

    /// A phase took so long; what another attempt took is added.
    pub fn add(&mut self, phase: Phase, us: u64) {
        let sum = us.saturating_add(self.get(phase).unwrap_or(0));
        self.us[phase as usize] = u32::try_from(sum).unwrap_or(NONE).min(NONE - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_add_up_and_what_did_not_happen_has_no_time() {
        let mut phases = Phases::default();
        phases.add(Phase::Connect, 5);
        phases.add(Phase::Connect, 7);
        phases.add(Phase::Body, 0);
        phases.add(Phase::Send, u64::MAX);
        let all = Phase::ALL.map(|phase| phases.get(phase));
        assert_eq!(all, [None, Some(12), None, Some(u64::from(NONE) - 1), None, Some(0)]);
    }
}
