//! How many generators a plan gets on AWS, and why, in words.

use squall_fleet::sizing::{
    ASSUMED_CPU_US, Calibration, Demand, Function, Machine, Reason, Size, UTILISATION, capacity, size,
};
use squall_plan::Plan;
use squall_report::{count, significant};

use crate::args::Backend;
use crate::calibration::Found;
use crate::failure::Failure;

/// How many generators there are to be.
#[derive(Debug, Clone)]
pub(crate) struct Sized {
    pub(crate) generators: u32,
    /// What the plan needs.
    pub(crate) size: Size,
    pub(crate) found: Option<Found>,
}

impl Sized {
    /// As many as somebody said, else as many as the plan needs.
    pub(crate) fn of(plan: &Plan, function: Function, given: Option<u32>) -> Result<Self, Failure> {
        let found = Found::of(&plan.name, Backend::Aws)?;
        let size = size(plan, function, found.as_ref().map(|found| &found.calibration));
        Ok(Self { generators: given.unwrap_or(size.seats), size, found })
    }

    pub(crate) fn calibration(&self) -> Option<&Calibration> {
        self.found.as_ref().map(|found| &found.calibration)
    }

    /// What decided how many the plan needs.
    pub(crate) fn reason(&self) -> String {
        match self.size.reason {
            Reason::Users { number, each } => {
                format!("{} users at {} connections each", count(number), count(each))
            }
            Reason::Connections { number, each } => {
                format!("{} connections at {} each", count(number), count(each))
            }
            Reason::Memory { number, each } => {
                format!("memory of {} users at {} each", count(number), significant(each))
            }
            Reason::Rate { per_s, each } => {
                format!("{} requests/s at {} each", significant(per_s), significant(each))
            }
            Reason::Network { mbps, each } => {
                format!("{} Mbps at {} each", significant(mbps), significant(each))
            }
            Reason::Slices => {
                "an arrival must find a user where it is, and there are no more users".to_owned()
            }
        }
    }

    /// What that was taken from.
    pub(crate) fn source(&self) -> String {
        match (&self.found, self.size.reason) {
            (Some(found), _) => found.in_words(),
            (None, Reason::Rate { .. }) => format!(
                "a request is taken to cost {ASSUMED_CPU_US:.0} µs of a processor that is busy for {:.0} % of its time; \
                 `squall doctor --calibrate PLAN` measures it",
                UTILISATION * 100.0
            ),
            (None, Reason::Network { .. }) => {
                "bytes of responses are not known; `squall doctor --calibrate PLAN` \
                                               measures them"
                    .to_owned()
            }
            (None, _) => String::new(),
        }
    }

    /// Why the number that somebody gave may not do.
    pub(crate) fn shortage(&self) -> Option<String> {
        let (given, needed) = (self.generators, self.size.seats);
        (given < needed).then(|| format!("{} may be needed: {}", generators(needed), self.reason()))
    }
}

/// `4 generators`
pub(crate) fn generators(number: u32) -> String {
    format!("{} generator{}", count(u64::from(number)), if number == 1 { "" } else { "s" })
}

/// Says of a plan that was calibrated here whether this machine will do.
pub(crate) fn check_own(plan: &Plan, generators: u32) -> Result<(), Failure> {
    let Some(found) = Found::of(&plan.name, Backend::Local)? else { return Ok(()) };
    let calibration = Some(&found.calibration);
    let needed = Demand::of(plan, calibration).requests_per_s;
    let carried = capacity(Machine::Own, calibration) * f64::from(generators);
    if needed > carried {
        eprintln!(
            "warning: the plan comes to {} requests/s, and {} on this machine carr{} about {}\nhint: take --backend aws, or \
             lower the load",
            significant(needed),
            self::generators(generators),
            if generators == 1 { "ies" } else { "y" },
            significant(carried)
        );
    }
    eprintln!("{}", found.in_words());
    Ok(())
}
