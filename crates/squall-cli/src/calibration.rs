//! What was measured of plans, in a file beside their runs.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use anyhow::{Context, anyhow};
use squall_fleet::sizing::{Calibration, Calibrations};
use squall_report::{count, significant};

use crate::args::Backend;
use crate::failure::Failure;
use crate::run::write;

/// The folder of what the command keeps, and the file in it.
const FOLDER: &str = ".squall";
const FILE: &str = "calibration.json";

/// A larger file is none of ours.
const MOST_BYTES: u64 = 4 * 1_024 * 1_024;

/// What was measured of a plan, and where.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) calibration: Calibration,
    pub(crate) backend: Backend,
}

impl Found {
    /// What was measured of the plan of that name. For a fleet on AWS what was measured on this machine is better than
    /// nothing.
    pub(crate) fn of(plan: &str, backend: Backend) -> Result<Option<Self>, Failure> {
        let all = read()?;
        let backends: &[Backend] = match backend {
            Backend::Local => &[Backend::Local],
            Backend::Aws => &[Backend::Aws, Backend::Local],
        };
        Ok(backends
            .iter()
            .find_map(|&backend| Some(Self { calibration: all.get(plan, backend.name())?.clone(), backend })))
    }

    /// Where and when it was measured, and what it was.
    pub(crate) fn in_words(&self) -> String {
        let Calibration { at, cpu_us_per_request, requests_per_iteration, .. } = &self.calibration;
        let day = at.split('T').next().unwrap_or_default();
        let place = match (self.backend, self.calibration.memory_mb) {
            (Backend::Aws, Some(memory_mb)) => format!("on AWS with {} MB", count(memory_mb.into())),
            _ => "on this machine".to_owned(),
        };
        format!(
            "calibrated {place} on {day}: {} µs of a processor and {} a request, {} requests an iteration",
            significant(*cpu_us_per_request),
            bytes(self.calibration.bytes_per_request()),
            significant(*requests_per_iteration),
        )
    }
}

/// All that is kept. What is damaged is not passed over: a fleet would be sized by something else than was measured.
pub(crate) fn read() -> Result<Calibrations, Failure> {
    let path = Path::new(FOLDER).join(FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Calibrations::default()),
        Err(error) => return Err(damaged(error)),
    };
    let mut text = String::new();
    let length = file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(damaged)?;
    if length as u64 > MOST_BYTES {
        return Err(damaged(anyhow!("it is larger than {MOST_BYTES} bytes")));
    }
    Calibrations::from_text(&text).map_err(damaged)
}

fn damaged(error: impl Into<anyhow::Error>) -> Failure {
    let error = error.into().context(format!("cannot read `{FOLDER}/{FILE}`"));
    Failure::wrong(error)
        .with_hint("remove it, and calibrate plans anew where that matters: `squall doctor --calibrate PLAN`")
}

/// Keeps what was measured, and says where.
pub(crate) fn keep(plan: &str, backend: Backend, calibration: Calibration) -> Result<String, Failure> {
    let mut all = read()?;
    all.insert(plan, backend.name(), calibration);
    fs::create_dir_all(FOLDER).with_context(|| format!("cannot make directory `{FOLDER}`"))?;
    write(Path::new(FOLDER), FILE, &all.to_text()?)?;
    Ok(format!("{FOLDER}/{FILE}"))
}

/// A number of bytes.
pub(crate) fn bytes(number: f64) -> String {
    match number {
        ..1e3 => format!("{number:.0} bytes"),
        ..1e6 => format!("{} kB", significant(number / 1e3)),
        _ => format!("{} MB", significant(number / 1e6)),
    }
}
