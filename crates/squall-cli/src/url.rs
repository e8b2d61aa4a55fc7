//! A plain load of one request, without a file: the plan that would be in it.

use std::fmt::Write;

use anyhow::anyhow;
use serde_json::Value;

use crate::args::{PlanArgs, RequestArgs};
use crate::failure::Failure;

/// What such a plan is called in messages.
pub(crate) const FILE: &str = "command line";

/// Whether a URL is given where a plan's file could be.
pub(crate) fn is_url(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    scheme.is_some_and(|scheme| scheme == "http" || scheme == "https")
}

/// The plan of a load of requests to one URL: the load that is asked for, or else `load`.
pub(crate) fn plan(args: &PlanArgs, url: &str, load: Option<&str>) -> Result<String, Failure> {
    let duration = args.duration.map(|duration| match (duration.as_secs(), duration.subsec_millis()) {
        (s, 0) => format!("{s}s"),
        (s, ms) => format!("{}ms", s * 1_000 + u64::from(ms)),
    });
    let load = match (args.users, args.rate, duration) {
        (Some(users), None, Some(duration)) => format!("{{ users: {users}, duration: {duration} }}"),
        (None, Some(rate), Some(duration)) => {
            format!("{{ rate: {}, duration: {duration} }}", written(rate.millis_per_hour()))
        }
        _ if let Some(load) = load => load.to_owned(),
        _ => {
            return Err(Failure::wrong(anyhow!("nothing says how much load is to go to `{url}`"))
                .with_hint("add --rate 100 --duration 30s, or --users 10 --duration 30s, or --once"));
        }
    };
    let (origin, path) = parts(url);
    let mut text = format!(
        "# The plan of `squall {origin}…`. In a file it can have more: more requests, data, captures, thresholds.\n\
         name: {}\n\
         target: {}\n\
         \n\
         load: {load}\n\
         \n\
         scenarios:\n  \
           visitor:\n    \
             steps:\n      \
               - {}: {}\n",
        quoted(origin.split_once("://").map_or(origin, |(_, host)| host)),
        quoted(origin),
        verb(&args.request)?,
        quoted(&path),
    );
    if !args.request.headers.is_empty() {
        text.push_str("        headers:\n");
    }
    for (name, value) in &args.request.headers {
        let _ = writeln!(text, "          {}: {}", quoted(name), quoted(value));
    }
    if let Some(body) = &args.request.body {
        let _ = writeln!(text, "        body: {}", quoted(body));
    }
    Ok(text)
}

/// The verb of the step.
pub(crate) fn verb(request: &RequestArgs) -> Result<String, Failure> {
    let default = if request.body.is_some() { "post" } else { "get" };
    let verb = request.method.as_ref().map_or(default.to_owned(), |method| method.to_ascii_lowercase());
    if squall_plan::keys::VERBS.contains(&verb.as_str()) {
        return Ok(verb);
    }
    let known = squall_plan::keys::VERBS.map(str::to_ascii_uppercase).join(", ");
    Err(Failure::wrong(anyhow!("method `{}` is none that a plan sends", verb.to_ascii_uppercase()))
        .with_hint(format!("write one of {known}")))
}

/// Scheme with host and port, and path with query.
pub(crate) fn parts(url: &str) -> (&str, String) {
    let url = url.split_once('#').map_or(url, |(url, _)| url);
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?']).map_or(url.len(), |at| host + at);
    let (origin, path) = url.split_at(end);
    let slash = if path.starts_with('/') { "" } else { "/" };
    (origin, format!("{slash}{path}"))
}

/// A text as YAML reads it, whatever is in it: strings of JSON are strings of YAML.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A rate as a plan says it, exactly.
fn written(millis_per_hour: u64) -> String {
    const SECOND: u64 = 3_600_000;
    if millis_per_hour.is_multiple_of(SECOND) {
        return format!("{}/s", millis_per_hour / SECOND);
    }
    format!("{}.{:03}/h", millis_per_hour / 1_000, millis_per_hour % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_files() {
        let check = |text: &str, expected: bool| assert_eq!(is_url(text), expected, "{text}");
        check("http://127.0.0.1:8080", true);
        check("HTTPS://example.com/x", true);
        check("plan.yaml", false);
        check("example.com", false);
        check("ftp://example.com", false);
    }

    #[test]
    fn a_url_is_a_target_and_a_path() {
        let check = |url: &str, origin: &str, path: &str| assert_eq!(parts(url), (origin, path.to_owned()));
        check("http://h:1", "http://h:1", "/");
        check("http://h:1/", "http://h:1", "/");
        check("http://h/a/b?x=1&y=/#z", "http://h", "/a/b?x=1&y=/");
        check("http://h?x=1", "http://h", "/?x=1");
        check("http://[::1]:80/a", "http://[::1]:80", "/a");
    }

    #[test]
    fn rates_are_written_exactly() {
        assert_eq!(written(500 * 3_600_000), "500/s");
        assert_eq!(written(100 * 60_000), "6000.000/h");
        assert_eq!(written(1), "0.001/h");
    }
}
