//! `squall target`: the simulated shop.

use anyhow::Context;
use squall_report::ExitCode;
use squall_target::{Server, ServerOptions};

use crate::args::TargetArgs;
use crate::failure::Failure;

pub(crate) fn command(args: &TargetArgs) -> Result<ExitCode, Failure> {
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
