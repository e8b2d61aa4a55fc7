//! What a thread sees of itself: its processor time, what the machine took away, its memory.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use squall_metrics::Observation;
use tokio::time::Instant;

use crate::clock::in_micros;

/// A tick of the counters in `/proc/stat`.
const TICK_US: u64 = 10_000;

/// The column of `/proc/stat` with the time that a virtual machine wanted to run and could not.
const STEAL: usize = 8;

/// Reads what changed since the last reading.
#[derive(Debug)]
pub(crate) struct Meter {
    read_at: Instant,
    cpu: Duration,
    stolen_us: u64,
    page_bytes: u64,
}

impl Meter {
    /// Begins to measure the thread that calls this.
    pub(crate) fn start(now: Instant) -> Self {
        let page_bytes = rustix::param::page_size() as u64;
        Self { read_at: now, cpu: thread_time(), stolen_us: stolen_us(), page_bytes }
    }

    /// What changed since the last call. Delays and connections are for others to say.
    pub(crate) fn read(&mut self, now: Instant) -> Observation {
        let (cpu, stolen_us) = (thread_time(), self::stolen_us());
        let observation = Observation {
            cpu_us: in_micros(cpu.saturating_sub(self.cpu)),
            stolen_us: stolen_us.saturating_sub(self.stolen_us),
            observed_us: in_micros(now.saturating_duration_since(self.read_at)),
            memory_bytes: resident_pages().unwrap_or(0) * self.page_bytes,
            ..Observation::default()
        };
        (self.read_at, self.cpu, self.stolen_us) = (now, cpu, stolen_us);
        observation
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Time stolen from each processor, on average; zero where it is not told.
fn stolen_us() -> u64 {
    fs::read_to_string("/proc/stat").ok().and_then(|text| parse_stolen_us(&text)).unwrap_or(0)
}

fn parse_stolen_us(text: &str) -> Option<u64> {
    let ticks: u64 = text.lines().next()?.split_ascii_whitespace().nth(STEAL)?.parse().ok()?;
    let is_processor = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let processors = text.lines().filter(is_processor).count() as u64;
    Some(ticks * TICK_US / processors.max(1))
}

fn resident_pages() -> Option<u64> {
    fs::read_to_string("/proc/self/statm").ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_that_of_one_processor() {
        let text = "cpu  10 20 30 40 50 60 70 800 0 0\ncpu0 1 1 1 1 1 1 1 400 0 0\ncpu1 1 1 1 1 1 1 1 400 0 0\nintr 5\n";
        assert_eq!(parse_stolen_us(text), Some(4_000_000));
        assert_eq!(parse_stolen_us("cpu  10 20\n"), None);
        assert_eq!(parse_stolen_us(""), None);
    }

    #[test]
    fn what_the_machine_says_of_this_thread_is_read() {
        let begin = Instant::now();
        let mut meter = Meter::start(begin);
        let mut work = 1_u64;
        while meter.cpu + Duration::from_millis(5) > thread_time() {
            work = std::hint::black_box(work.wrapping_mul(31));
        }
        let observation = meter.read(begin + Duration::from_secs(1));
        assert!(observation.cpu_us >= 5_000 && observation.observed_us == 1_000_000, "{observation:?}");
        assert!(observation.memory_bytes > 1_000_000, "{observation:?}");
        assert!(meter.read(begin + Duration::from_secs(2)).cpu_us < observation.cpu_us);
    }
}
