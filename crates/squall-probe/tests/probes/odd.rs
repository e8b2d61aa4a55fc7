//! Services that are made for a test.

use std::collections::BTreeMap;
use std::fmt;

use squall_target::service::{Answer, Ask, Metric, Outcome, Phases, Service, Truth};

use crate::simulated::Chance;

type Say = Box<dyn FnMut(u64, &Ask, &mut Chance) -> (u64, u16) + Send>;

/// Whatever a test says: after how many microseconds each request ends, and with which status.
pub(crate) struct Odd {
    say: Say,
    chance: Chance,
}

impl Odd {
    pub(crate) fn service(
        seed: u64,
        say: impl FnMut(u64, &Ask, &mut Chance) -> (u64, u16) + Send + 'static,
    ) -> Box<dyn Service> {
        Box::new(Self { say: Box::new(say), chance: Chance::new(seed) })
    }
}

impl fmt::Debug for Odd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Odd")
    }
}

impl Service for Odd {
    fn ask(&mut self, at_us: u64, ask: &Ask) -> Answer {
        let (takes_us, status) = (self.say)(at_us, ask, &mut self.chance);
        Answer {
            done_at_us: at_us + takes_us,
            outcome: if status == 0 { Outcome::Refused } else { Outcome::Status(status) },
            retry_after_s: None,
            phases: Phases::default(),
            error: None,
        }
    }

    fn truth(&self) -> Truth {
        Truth { findings: Vec::new(), also: Vec::new(), numbers: BTreeMap::new() }
    }

    fn metrics(&mut self, _at_us: u64) -> Vec<Metric> {
        Vec::new()
    }
}
