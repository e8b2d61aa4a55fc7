//! `squall target`: the simulated shop, or a service with a known trouble.

use std::fmt::Write;

use anyhow::Context;
use squall_report::ExitCode;
use squall_target::service::Profile;
use squall_target::{Host, HostError, Server, ServerOptions};

use crate::args::TargetArgs;
use crate::failure::Failure;

pub(crate) fn command(args: &TargetArgs) -> Result<ExitCode, Failure> {
    if let Some(name) = &args.profile {
        return host(name, args);
    }
    let options = ServerOptions {
        seed: args.seed,
        delays: !args.no_delays,
        record: args.record.clone(),
        ..ServerOptions::default()
    };
    let server =
        Server::start(args.listen, options).with_context(|| format!("cannot serve on {}", args.listen))?;
    println!("http://{}", server.address());
    server.join();
    Ok(ExitCode::Passed)
}

fn host(name: &str, args: &TargetArgs) -> Result<ExitCode, Failure> {
    let profile = Profile::named(name).map_err(Failure::wrong)?;
    let settings = Profile::settings(&args.settings).map_err(Failure::wrong)?;
    let host = match Host::start(args.listen, profile, args.seed, &settings) {
        Ok(host) => host,
        Err(HostError::Setting(error)) => {
            let hint = error.hint();
            let failure = Failure::wrong(error);
            return Err(match hint {
                Some(hint) => failure.with_hint(hint),
                None => failure,
            });
        }
        Err(error) => Err(error).with_context(|| format!("cannot serve on {}", args.listen))?,
    };
    println!("http://{}", host.address());
    host.join();
    Ok(ExitCode::Passed)
}

/// What `--help` says at its end: examples, and the profiles there are.
pub(crate) fn help() -> String {
    let mut text = "Examples:
  squall target --listen 127.0.0.1:8080
  curl http://127.0.0.1:8080/_squall/counts    # what it has received
  squall target --profile gateway --set burst=50 --set per=key
  curl http://127.0.0.1:8080/truth             # what is wrong with it

Profiles:
"
    .to_owned();
    for profile in Profile::ALL {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {:<17}{}", profile.name, profile.about);
    }
    text
}
