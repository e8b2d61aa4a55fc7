//! `squall demo`: everything once, on this machine.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use squall_plan::{Bundle, Inputs};
use squall_report::ExitCode;
use squall_target::{Server, ServerOptions};

use crate::args::DemoArgs;
use crate::failure::Failure;
use crate::fleet::Wishes;
use crate::live::Watch;
use crate::run::Order;
use crate::{local, plan, run};

const PLAN: &str = include_str!("../../../docs/examples/demo.yaml");
const GENERATORS: u32 = 4;

pub(crate) fn command(args: &DemoArgs) -> Result<ExitCode, Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server =
        Server::start(address, ServerOptions::default()).context("cannot start the simulated shop")?;
    eprintln!("a simulated shop listens on http://{}", server.address());
    let inputs = Inputs { target: Some(format!("http://{}", server.address())), ..Inputs::default() };
    let loaded = plan::from_bundle(Bundle::new("demo.yaml", PLAN, inputs))?;
    let finished = local::run(Order {
        loaded,
        generators: Some(GENERATORS),
        wishes: Wishes::default(),
        seed: None,
        out: args.out.clone(),
        watch: Watch { ui: args.ui, ..Watch::default() },
    })?;
    run::print(&finished);
    println!(" the shop itself counted {} requests", server.counts().total);
    finished.unkept.map_or_else(|| run::exit_code(&finished.result), Err)
}
