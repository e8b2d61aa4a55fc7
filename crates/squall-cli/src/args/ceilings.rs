//! What a fleet is deployed with besides its size: lanes, and what its generators may do at most.

use squall_aws::operator::MOST_LANES;
use squall_plan::AllowList;

#[derive(Debug, clap::Args)]
pub(crate) struct CeilingArgs {
    /// Queues with a function each, 1 to 10: so many times as fast do generators start. As before, or 1, unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_LANES)))]
    pub(crate) lanes: Option<u32>,
    /// Let load go to this host and to no others; can be given more than once, `*.example.com` is all below, and '*' is
    /// any. As before, or any, unless given.
    #[arg(long = "allow", value_name = "HOST", value_parser = host)]
    pub(crate) hosts: Vec<Host>,
    /// Iterations a second that a run may make, of all its generators together; 0 is no ceiling. As before, or none,
    /// unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(MOST)))]
    pub(crate) max_rate: Option<u32>,
    /// Generators that a run may have; 0 is no ceiling. As before, or none, unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(MOST)))]
    pub(crate) max_generators: Option<u32>,
    /// Print the template with as many lanes as `--lanes` says, and do nothing.
    #[arg(long)]
    pub(crate) print_template: bool,
}

/// More than any ceiling.
const MOST: u32 = 1_000_000_000;

/// A host that load may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// Any.
    Any,
    /// This, or all below it.
    Of(String),
}

impl CeilingArgs {
    /// The parameters of the stack that are given.
    pub(crate) fn parameters(&self) -> [(&'static str, Option<String>); 4] {
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        [
            ("Lanes", number(self.lanes)),
            ("AllowedHosts", self.allowed()),
            ("MaxRate", number(self.max_rate)),
            ("MaxGenerators", number(self.max_generators)),
        ]
    }

    fn allowed(&self) -> Option<String> {
        if self.hosts.is_empty() {
            return None;
        }
        let hosts = self.hosts.iter().map(|host| match host {
            Host::Any => None,
            Host::Of(host) => Some(host.as_str()),
        });
        Some(hosts.collect::<Option<Vec<_>>>().map(|hosts| hosts.join(",")).unwrap_or_default())
    }
}

fn host(text: &str) -> Result<Host, String> {
    if text == "*" {
        return Ok(Host::Any);
    }
    AllowList::entry(text)
        .map(Host::Of)
        .ok_or_else(|| "write a name, an address, or `*.` and a name, without scheme and port".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        ceilings: CeilingArgs,
    }

    #[test]
    fn what_is_given_becomes_parameters_of_the_stack() {
        let of = |line: &str| {
            let line = Line::try_parse_from(["x"].into_iter().chain(line.split_whitespace()));
            line.map(|line| line.ceilings.parameters().map(|(_, value)| value)).ok()
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of(""), Some([None, None, None, None]));
        assert_eq!(
            of("--lanes 3 --allow Shop.Test --allow *.cdn.test --max-rate 500 --max-generators 0"),
            Some([some("3"), some("shop.test,*.cdn.test"), some("500"), some("0")])
        );
        assert_eq!(of("--allow *"), Some([None, some(""), None, None]));
        for wrong in [
            "--lanes 0",
            "--lanes 11",
            "--allow http://x",
            "--allow x:80",
            "--allow a,b",
            "--max-rate -1",
            "--max-rate 5/s",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
