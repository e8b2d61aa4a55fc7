//! The `squall` command.

mod annotate;
mod args;
mod attach;
mod aws;
mod calibrate;
mod calibration;
mod cost;
mod demo;
mod failure;
mod fleet;
mod init;
mod live;
mod local;
mod local_ips;
mod once;
mod place;
mod plan;
mod preview;
mod probe;
mod report;
mod run;
mod secrets;
mod setup;
mod signals;
mod size;
mod status;
mod stop;
mod surroundings;
mod target;
mod telemetry;
mod url;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    // Clap's own exit code for wrong arguments means something else here.
    let given: Vec<OsString> = args::with_verb(std::env::args_os().collect());
    let args = match Args::try_parse_from(&given) {
        Ok(args) => args,
        Err(error) => {
            let wrong = error.use_stderr();
            // Where nothing can be printed, nothing can be done about it either.
            let _ = error.print();
            args::hint(&error, &given).inspect(|hint| eprintln!("hint: {hint}"));
            return ExitCode::from(if wrong { squall_report::ExitCode::Wrong.code() } else { 0 });
        }
    };
    let result = match args.command {
        Command::Run(args) => run::command(&args),
        Command::Stop(args) => stop::command(&args),
        Command::Status(args) => status::command(&args),
        Command::Attach(args) => attach::command(&args),
        Command::Annotate(args) => annotate::command(&args),
        Command::Deploy(args) => aws::deploy(&args),
        Command::Destroy(args) => aws::destroy(&args),
        Command::Doctor(args) => match &args.calibrate {
            Some(plan) => calibrate::command(&args, plan),
            None => aws::doctor(&args),
        },
        Command::Demo(args) => demo::command(&args),
        Command::Init(args) => init::command(&args),
        Command::Plan(args) => preview::command(&args),
        Command::Probe(args) => probe::command(&args, &given),
        Command::Validate(args) => plan::validate(&args),
        Command::Schema(args) => plan::schema(args.of),
        Command::Report(args) => report::command(&args),
        Command::Target(args) => target::command(&args),
    };
    ExitCode::from(result.unwrap_or_else(Failure::tell).code())
}
