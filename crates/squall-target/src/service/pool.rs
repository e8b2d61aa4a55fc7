//! Workers that serve one request at a time, in the order in which requests come.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// More workers are not simulated.
pub(crate) const WORKERS: u32 = 10_000;

/// Workers, each with the instant at which it is free.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    free_us: BinaryHeap<Reverse<u64>>,
    /// When those start that wait.
    starts_us: BinaryHeap<Reverse<u64>>,
}

impl Pool {
    pub(crate) fn new(workers: u32) -> Self {
        let mut pool = Self::default();
        pool.add(workers.max(1), 0);
        pool
    }

    /// Workers that are free from an instant on.
    pub(crate) fn add(&mut self, workers: u32, free_us: u64) {
        let room = (WORKERS as usize).saturating_sub(self.free_us.len());
        self.free_us.extend((0..workers).take(room).map(|_| Reverse(free_us)));
    }

    /// Takes away the workers that would be free first.
    pub(crate) fn retire(&mut self, workers: u32) {
        for _ in 0..workers {
            if self.free_us.len() > 1 {
                self.free_us.pop();
            }
        }
    }

    /// No worker does anything until an instant.
    pub(crate) fn stall(&mut self, until_us: u64) {
        let free_us = std::mem::take(&mut self.free_us);
        self.free_us = free_us.into_iter().map(|Reverse(us)| Reverse(us.max(until_us))).collect();
    }

    pub(crate) fn len(&self) -> usize {
        self.free_us.len()
    }

    /// How many requests wait.
    pub(crate) fn waiting(&mut self, at_us: u64) -> usize {
        while self.starts_us.peek().is_some_and(|Reverse(start_us)| *start_us <= at_us) {
            self.starts_us.pop();
        }
        self.starts_us.len()
    }

    /// When a request that comes now would start.
    pub(crate) fn start_us(&self, at_us: u64) -> u64 {
        self.free_us.peek().map_or(at_us, |Reverse(free_us)| at_us.max(*free_us))
    }

    /// Serves a request; says when it starts.
    pub(crate) fn serve(&mut self, at_us: u64, takes_us: u64) -> u64 {
        let start_us = self.start_us(at_us);
        self.free_us.pop();
        self.free_us.push(Reverse(start_us.saturating_add(takes_us)));
        if start_us > at_us {
            self.starts_us.push(Reverse(start_us));
        }
        start_us
    }
}
