//! Which fleets on AWS.

use std::num::NonZeroU32;

use clap::ValueEnum;

use super::stack_name;

/// Where generators run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// Threads of this command.
    Local,
    /// Lambda invocations of a fleet that was deployed.
    Aws,
}

impl Backend {
    /// Its name in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Aws => "aws",
        }
    }
}

/// Which fleets on AWS.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AwsArgs {
    /// The name of the fleet's stack, which is the same in all regions.
    #[arg(long, value_name = "NAME", value_parser = stack_name)]
    pub(crate) stack: Option<String>,
    /// Its region; that of the environment or of the profile unless given. A run may be made in several, by generators in
    /// proportion to their weights; `plan`, `doctor` and probes take one.
    #[arg(long, value_name = "REGION[=WEIGHT]", value_parser = region)]
    pub(crate) region: Vec<RegionArg>,
}

/// A region, and how much of a load is made there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RegionArg {
    pub(crate) name: String,
    /// As a part of the sum of all.
    pub(crate) weight: NonZeroU32,
}

impl AwsArgs {
    /// Whether a fleet is named.
    pub(crate) fn is_given(&self) -> bool {
        self.stack.is_some() || !self.region.is_empty()
    }
}

impl RegionArg {
    /// One that makes as much load as any other.
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), weight: NonZeroU32::MIN }
    }
}

fn region(text: &str) -> Result<RegionArg, String> {
    let (name, weight) = text.split_once('=').unwrap_or((text, "1"));
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err("a region has a name such as eu-west-1".to_owned());
    }
    let weight: Result<NonZeroU32, _> = weight.parse();
    let weight = weight.ok().filter(|weight| weight.get() <= 1_000);
    let weight = weight.ok_or("a weight is a number from 1 to 1000, as in eu-west-1=2")?;
    Ok(RegionArg { name: name.to_owned(), weight })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_a_name_and_may_have_a_weight() {
        let good = |text: &str| region(text).map(|region| (region.name, region.weight.get()));
        assert_eq!(good("eu-west-1"), Ok(("eu-west-1".to_owned(), 1)));
        assert_eq!(good("us-east-1=20"), Ok(("us-east-1".to_owned(), 20)));
        for text in
            ["", "=2", "EU", "eu-west-1=", "eu-west-1=0", "eu-west-1=-1", "eu-west-1=1.5", "a=1001", "a b"]
        {
            assert!(good(text).is_err(), "{text}");
        }
    }
}
