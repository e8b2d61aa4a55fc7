//! What can be said to `squall probe`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use squall_plan::units::Rate;

use super::{AwsArgs, Backend, LocalIpArgs, Output, RequestArgs, dollars, duration, rate, variable};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ProbeArgs {
    #[command(subcommand)]
    pub(crate) question: Question,
}

/// What is to be found out.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Question {
    /// How bad cold starts are: their share and what they add, how long an idle instance is kept, what becomes of requests
    /// that find none free.
    #[command(after_help = "Examples:
  squall probe cold-start https://abc.lambda-url.eu-west-1.on.aws/
  squall probe cold-start http://127.0.0.1:8080/ --set 'sizes=[1,20]' --set longest_gap_s=120
  squall probe cold-start https://abc.lambda-url.eu-west-1.on.aws/ --lambda checkout --region eu-west-1
  squall probe cold-start https://api.example.com/f --backend aws --generators 4")]
    ColdStart(ColdStartArgs),
    /// When requests are turned away: the rate and the burst that are let through, whether by address, by key or in all, whether
    /// `Retry-After` is true, how long it lasts.
    #[command(after_help = "Examples:
  squall probe throttle http://127.0.0.1:8080/ --max-rate 500/s
  squall probe throttle https://api.example.com/v1 --key-header X-Api-Key --key '{{ env.KEY_A }}' --key '{{ env.KEY_B }}'
  squall probe throttle http://127.0.0.1:8080/ --generators 4 --local-ips 127.0.0.4/30
  squall probe throttle https://api.example.com/v1 --backend aws --generators 4")]
    Throttle(ThrottleArgs),
    /// How much it can take: the highest rate at which a threshold holds, and the curve up to there.
    #[command(after_help = "Examples:
  squall probe capacity http://127.0.0.1:8080/ --until 'p99 < 500ms'
  squall probe capacity plan.yaml --until 'p95 < 200ms' --max-rate 2000/s
  squall probe capacity https://api.example.com/v1 --backend aws --generators 16 --max-cost 0.50")]
    Capacity(CapacityArgs),
    /// What this machine itself can do, by a target in this process: how exactly it measures, how late it sends, how much one
    /// processor carries. What a request takes is kept as that of a plan named `self`; others need `squall doctor --calibrate`.
    #[command(name = "self", after_help = "Example:\n  squall probe self")]
    Own(OwnArgs),
    /// Go on with a probe that was interrupted.
    #[command(after_help = "Example:\n  squall probe resume 20261124-141200-8f31c2")]
    Resume(ResumeArgs),
}

/// How a probe sends, whatever it asks.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    /// How long an answer is waited for; 30s unless given.
    #[arg(long, value_name = "D", value_parser = duration, default_value = "30s")]
    pub(crate) timeout: Duration,
    /// A status that says "too many"; can be given more than once, and is 429 unless given.
    #[arg(long = "limited-status", value_name = "STATUS", value_parser = clap::value_parser!(u16).range(400..=599))]
    pub(crate) limited: Vec<u16>,
    /// Where generators run.
    #[arg(long, value_enum, default_value = "local")]
    pub(crate) backend: Backend,
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
    /// Send from so many generators.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) generators: NonZeroU32,
    #[command(flatten)]
    pub(crate) sources: LocalIpArgs,
    /// Send no more requests a second than these, and no more at once; of a plan, iterations.
    #[arg(long, value_name = "R", value_parser = rate)]
    pub(crate) max_rate: Option<Rate>,
    /// Send no more requests than these, in all.
    #[arg(long, value_name = "N")]
    pub(crate) max_requests: Option<u64>,
    /// Refuse a probe on AWS that is estimated to cost more dollars than these, and send no round once they are spent.
    #[arg(long, value_name = "USD", value_parser = dollars)]
    pub(crate) max_cost: Option<f64>,
    #[command(flatten)]
    pub(crate) talk: TalkArgs,
}

/// How any probe is set, and how it talks.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TalkArgs {
    /// A setting of the probe, such as `step_s=20`; can be given more than once, and one that is unknown is answered with all
    /// there are.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Begin without asking.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// In which form the answer is printed.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ColdStartArgs {
    /// What is asked.
    pub(crate) url: String,
    /// The function on AWS Lambda that answers, by its name or its ARN: true init times are read from its log, with the
    /// credentials and the region that other commands for AWS take.
    #[arg(long, value_name = "NAME", value_parser = function)]
    pub(crate) lambda: Option<FunctionArg>,
    /// How long reports in its log are waited for that are late.
    #[arg(long, value_name = "D", value_parser = duration, default_value = "60s", requires = "lambda")]
    pub(crate) log_wait: Duration,
    #[command(flatten)]
    pub(crate) send: SendArgs,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ThrottleArgs {
    /// What is asked.
    pub(crate) url: String,
    /// The header that has an API key.
    #[arg(long, value_name = "NAME", default_value = "X-Api-Key")]
    pub(crate) key_header: String,
    /// An API key; with two or more it is found out whether a limit is one of each. It may be an expression such as
    /// `{{ env.KEY }}`, which keeps it out of what is written down.
    #[arg(long = "key", value_name = "VALUE")]
    pub(crate) keys: Vec<String>,
    #[command(flatten)]
    pub(crate) send: SendArgs,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CapacityArgs {
    /// What is asked: a URL, or a plan, whose rate or users are changed.
    #[arg(value_name = "URL|PLAN")]
    pub(crate) subject: String,
    /// What must hold, as a plan says it: a percentile, or the share of errors; can be given more than once.
    #[arg(long, value_name = "THRESHOLD", default_value = "p99 < 500ms")]
    pub(crate) until: Vec<String>,
    /// Send a plan's requests there, whatever it says.
    #[arg(long, value_name = "URL")]
    pub(crate) target: Option<String>,
    /// Set a variable of a plan; can be given more than once.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) variables: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) send: SendArgs,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OwnArgs {
    #[command(flatten)]
    pub(crate) talk: TalkArgs,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ResumeArgs {
    /// The probe's id, or its folder.
    pub(crate) probe: PathBuf,
    /// Begin without asking.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// A function on AWS Lambda.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FunctionArg {
    pub(crate) name: String,
    /// Where it is, if its ARN was given.
    pub(crate) region: Option<String>,
}

/// `checkout`, or `arn:aws:lambda:eu-west-1:123456789012:function:checkout`, with or without a version.
fn function(text: &str) -> Result<FunctionArg, String> {
    let is_word = |text: &str| {
        let is_of_it = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        (1..=140).contains(&text.len()) && text.bytes().all(is_of_it)
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (name, region) = match parts[..] {
        [name] => (name, None),
        ["arn", _, "lambda", region, _, "function", name]
        | ["arn", _, "lambda", region, _, "function", name, _] => (name, Some(region)),
        _ => ("", None),
    };
    if !is_word(name) || region.is_some_and(|region| !is_word(region)) {
        return Err("a function has a name such as `checkout`, or an ARN such as \
                    `arn:aws:lambda:eu-west-1:123456789012:function:checkout`"
            .to_owned());
    }
    Ok(FunctionArg { name: name.to_owned(), region: region.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_by_its_name_or_its_arn() {
        let of = |text: &str| function(text).ok().map(|found| (found.name, found.region.unwrap_or_default()));
        let checkout = |region: &str| Some(("checkout".to_owned(), region.to_owned()));
        assert_eq!(of("checkout"), checkout(""));
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:checkout";
        assert_eq!(of(arn), checkout("eu-west-1"));
        assert_eq!(of(&format!("{arn}:live")), checkout("eu-west-1"));
        let wrong = [
            "",
            "a b",
            "a/b",
            "checkout:live",
            "arn:aws:sqs:eu-west-1:1:checkout",
            "arn:aws:lambda::1:function:a",
        ];
        for wrong in wrong {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
