//! What generators may use of the machine they are on.

use std::num::NonZeroU32;
use std::thread::available_parallelism;

use rustix::process::{Resource, getrlimit};
use squall_engine::Machine;

/// Memory in MB that comes with one processor on Lambda.
const MB_PER_PROCESSOR: u32 = 1_769;

/// Open files that are no connections of users: of a process, and of each generator and processor in it.
const FILES_OF_PROCESS: u64 = 64;
const FILES_OF_GENERATOR: u64 = 8;

/// A process's part for each of `generators` that run in it, each on one processor.
#[must_use]
pub fn machine_of(generators: u32) -> Machine {
    Machine { cores: NonZeroU32::MIN, connections: connections(open_files(), generators) }
}

/// A Lambda environment with so much memory, which has one generator.
#[must_use]
pub fn machine_of_memory(memory_mb: u32) -> Machine {
    let there = available_parallelism().ok().and_then(|cores| NonZeroU32::try_from(cores).ok());
    // Less memory sees two processors as well, but gets only a part of their time.
    let paid = NonZeroU32::new(memory_mb.div_ceil(MB_PER_PROCESSOR)).unwrap_or(NonZeroU32::MIN);
    let cores = paid.min(there.unwrap_or(NonZeroU32::MIN));
    Machine { cores, connections: connections(open_files(), cores.get()) * cores.get() }
}

/// Connections that each of `generators` can have open in a process that may have so many open files.
fn connections(open_files: u64, generators: u32) -> u32 {
    let each = open_files.saturating_sub(FILES_OF_PROCESS) / u64::from(generators.max(1));
    u32::try_from(each.saturating_sub(FILES_OF_GENERATOR)).unwrap_or(u32::MAX).max(1)
}

fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generators_share_the_files_of_their_process() {
        let check = |files, generators, expected| assert_eq!(connections(files, generators), expected);
        check(1_024, 1, 952);
        check(1_024, 4, 232);
        check(64, 1, 1);
        check(u64::MAX, 2, u32::MAX);
    }

    #[test]
    fn memory_buys_processors() {
        assert_eq!(machine_of_memory(128).cores, NonZeroU32::MIN);
        assert_eq!(machine_of_memory(1_769).cores, NonZeroU32::MIN);
        assert!(machine_of_memory(10_240).cores.get() <= 6);
    }
}
