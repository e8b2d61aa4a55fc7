//! Probes in virtual time, against services whose parameters they do not know.

mod capacity;
mod cases;
mod odd;
mod simulated;
mod throttle;
