//! What must hold of what is measured: `p99{name="POST /orders"} < 1500ms`.
//!
//! ```text
//! threshold  = metric [ "{" selector { "," selector } "}" ] comparison value
//! metric     = word [ "(" argument ")" ]
//! selector   = ( "name" | "scenario" | "purpose" | "stage" | "region" | "tag." word ) "=" ( word | "\"" text "\"" )
//! comparison = "<" | "<=" | ">" | ">=" | "==" | "!="
//! value      = duration | number "%" | number "/s" | number
//! ```

use std::ops::Range;
use std::time::Duration;

use crate::units::parse_duration;

/// A condition that a run must meet.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// As it is written.
    pub expression: String,
    /// What of.
    pub metric: Metric,
    /// Which requests, as indices of [`Plan::series`](crate::Plan::series).
    pub series: Vec<u16>,
    /// Whether dropped arrivals would have made some of them.
    pub counts_drops: bool,
    /// The only stretch of the load that counts, from and until so long after the epoch.
    pub stage: Option<(Duration, Duration)>,
    /// The only region that counts.
    pub region: Option<String>,
    /// How the metric is compared with the limit.
    pub comparison: Comparison,
    /// What it is compared with, in the unit.
    pub limit: f64,
    /// What metric and limit are measured in.
    pub unit: Unit,
    /// It must hold in every stretch of so many seconds; unless given, in the whole.
    pub over_s: Option<u32>,
    /// What comes before does not count.
    pub after: Duration,
    /// Whether the run ends as soon as it does not hold.
    pub abort: bool,
}

/// What a threshold is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metric {
    /// Response times.
    Time(Statistic, Of),
    /// A metric of the plan's own, as index of [`Plan::measures`](crate::Plan::measures).
    Own(Statistic, u16),
    /// Requests that failed.
    Errors,
    /// Requests that ended with a status from the first to the last.
    Status(u16, u16),
    /// Arrivals for which no user was free.
    Dropped,
    /// Expectations that held.
    Checks,
    /// Requests, and how many a second.
    Requests,
}

/// What of a distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    /// What this share, from 0 to 1, does not exceed.
    Percentile(f64),
    /// The arithmetic mean.
    Mean,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

/// Which response times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Those of successes and timeouts.
    Good,
    /// Those of all requests.
    All,
    /// Those of failures that are no timeouts.
    Failed,
}

/// How a metric is compared with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
    /// `!=`
    Different,
}

/// What a metric is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Ms,
    /// A fraction of 1.
    Ratio,
    /// A number of them.
    Count,
    /// A number of them a second.
    PerSecond,
    /// Whatever the plan's own metric is measured in.
    Own,
}

impl Comparison {
    /// Whether it holds.
    #[must_use]
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::AtMost => value <= limit,
            Self::Greater => value > limit,
            Self::AtLeast => value >= limit,
            Self::Equal => (value - limit).abs() < f64::EPSILON,
            Self::Different => (value - limit).abs() >= f64::EPSILON,
        }
    }
}

impl Unit {
    /// A value in this unit, as people read it.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Ms if value < 10.0 => format!("{value:.2}ms"),
            Self::Ms if value < 9_999.5 => format!("{value:.0}ms"),
            Self::Ms => format!("{:.1}s", value / 1_000.0),
            Self::Ratio => format!("{:.2} %", value * 100.0),
            Self::PerSecond => format!("{value:.1}/s"),
            Self::Count | Self::Own if value.fract() == 0.0 => format!("{value:.0}"),
            Self::Count | Self::Own => format!("{value:.3}"),
        }
    }
}

impl Threshold {
    /// What is asked for, and of which stretches.
    #[must_use]
    pub fn in_words(&self) -> String {
        let over = self.over_s.map_or(String::new(), |over_s| format!(" over {over_s} s"));
        let after = match self.after.as_secs_f64() {
            0.0 => String::new(),
            after_s => format!(" after {after_s} s"),
        };
        let abort = if self.abort { ", else the run ends" } else { "" };
        format!("{}{over}{after}{abort}", self.expression)
    }

    /// So many samples say something: five of those beyond the limit are expected among them.
    #[must_use]
    pub fn least_samples(&self) -> u64 {
        let beyond = match (self.metric, self.unit) {
            (
                Metric::Time(Statistic::Percentile(share), _) | Metric::Own(Statistic::Percentile(share), _),
                _,
            ) => 1.0 - share,
            (Metric::Time(..) | Metric::Own(..), _) => 0.5,
            (Metric::Checks, Unit::Ratio) => 1.0 - self.limit,
            (_, Unit::Ratio) => self.limit,
            (_, Unit::Ms | Unit::Count | Unit::PerSecond | Unit::Own) => return 1,
        };
        // A limit of nothing, or of everything, is broken by one.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share is at least 1e-6 here"
        )]
        if beyond > 1e-6 { (5.0 / beyond).ceil() as u64 } else { 1 }
    }
}

/// A threshold as it is written: names are not looked up yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Written<'t> {
    pub(crate) metric: Word<'t>,
    pub(crate) argument: Option<Word<'t>>,
    pub(crate) selectors: Vec<(Word<'t>, Word<'t>)>,
    pub(crate) comparison: Comparison,
    pub(crate) value: Word<'t>,
}

/// A word and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word<'t> {
    pub(crate) text: &'t str,
    pub(crate) at: Range<usize>,
}

/// Why a text is no threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) message: String,
    pub(crate) hint: String,
    pub(crate) at: Range<usize>,
}

const EXAMPLE: &str = "write a metric, a comparison and a limit, such as `p95 < 500ms` or `errors < 1%`";

/// Reads a threshold.
pub(crate) fn parse(text: &str) -> Result<Written<'_>, Wrong> {
    let mut parser = Parser { text, at: 0 };
    let metric = parser.word("a metric")?;
    let argument = if parser.take("(") {
        let argument = parser.word("what of")?;
        parser.expect(")")?;
        Some(argument)
    } else {
        None
    };
    let mut selectors = Vec::new();
    if parser.take("{") {
        loop {
            let key = parser.word("what to select by, such as `name`")?;
            parser.expect("=")?;
            selectors.push((key, parser.text_or_word()?));
            if !parser.take(",") {
                break;
            }
        }
        parser.expect("}")?;
    }
    let comparison = parser.comparison()?;
    let rest = parser.rest();
    if rest.text.is_empty() {
        return Err(parser.wrong("a limit"));
    }
    Ok(Written { metric, argument, selectors, comparison, value: rest })
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn skip_spaces(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn take(&mut self, symbol: &str) -> bool {
        self.skip_spaces();
        let found = self.text[self.at..].starts_with(symbol);
        self.at += if found { symbol.len() } else { 0 };
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), Wrong> {
        if self.take(symbol) { Ok(()) } else { Err(self.wrong(&format!("`{symbol}`"))) }
    }

    fn word(&mut self, what: &str) -> Result<Word<'t>, Wrong> {
        self.skip_spaces();
        let rest = &self.text[self.at..];
        let is_part = |c: char| c.is_alphanumeric() || "_.-".contains(c);
        let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.wrong(what));
        }
        let at = self.at..self.at + end;
        self.at = at.end;
        Ok(Word { text: &self.text[at.clone()], at })
    }

    /// A text in quotes, in which nothing is escaped; or a word.
    fn text_or_word(&mut self) -> Result<Word<'t>, Wrong> {
        self.skip_spaces();
        let Some(quote) = self.text[self.at..].chars().next().filter(|c| ['"', '\''].contains(c)) else {
            return self.word("a text in quotes");
        };
        let begin = self.at + 1;
        let Some(length) = self.text[begin..].find(quote) else {
            return Err(self.wrong(&format!("a text that ends with `{quote}`")));
        };
        self.at = begin + length + 1;
        Ok(Word { text: &self.text[begin..begin + length], at: begin..begin + length })
    }

    fn comparison(&mut self) -> Result<Comparison, Wrong> {
        let known = [
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("==", Comparison::Equal),
            ("!=", Comparison::Different),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let found = known.into_iter().find(|(symbol, _)| self.take(symbol));
        found
            .map(|(_, comparison)| comparison)
            .ok_or_else(|| self.wrong("`<`, `<=`, `>`, `>=`, `==` or `!=`"))
    }

    fn rest(&mut self) -> Word<'t> {
        self.skip_spaces();
        let text = self.text[self.at..].trim_end();
        Word { text, at: self.at..self.at + text.len() }
    }

    fn wrong(&self, expected: &str) -> Wrong {
        let found = match self.text[self.at..].chars().next() {
            Some(found) => format!("found `{found}`"),
            None => "it ends".to_owned(),
        };
        let end = self.text[self.at..].chars().next().map_or(0, char::len_utf8);
        Wrong {
            message: format!("threshold has no {} here: {found}", expected.trim_start_matches("a ")),
            hint: EXAMPLE.to_owned(),
            at: self.at..self.at + end,
        }
    }
}

/// `pNN`, `mean`, `min`, `max`.
pub(crate) fn statistic(word: &str) -> Option<Statistic> {
    match word {
        "mean" => Some(Statistic::Mean),
        "min" => Some(Statistic::Min),
        "max" => Some(Statistic::Max),
        percentile => {
            let digits = percentile.strip_prefix('p')?;
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            let all_digits = (whole.to_owned() + fraction).bytes().all(|byte| byte.is_ascii_digit());
            if !all_digits || whole.is_empty() || whole.len() > 2 || fraction.len() > 4 {
                return None;
            }
            // Divided by 100 it would not be the same number as when it is written as a share.
            let share: f64 = format!("0.{whole:0>2}{fraction}").parse().ok()?;
            (share > 0.0).then_some(Statistic::Percentile(share))
        }
    }
}

/// `429`, `5xx`.
pub(crate) fn statuses(word: &str) -> Option<(u16, u16)> {
    if let Some(class) = word.strip_suffix("xx") {
        let class: u16 = class.parse().ok().filter(|class| (1..=5).contains(class))?;
        return Some((class * 100, class * 100 + 99));
    }
    let status = word.parse().ok().filter(|status| (100..=599).contains(status))?;
    Some((status, status))
}

/// A limit and what it is measured in: `500ms`, `1%`, `100/s`, `5`.
pub(crate) fn limit(word: &str) -> Option<(f64, Unit)> {
    let number =
        |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    if let Some(percent) = word.strip_suffix('%') {
        return Some((number(percent)? / 100.0, Unit::Ratio));
    }
    if let Some(rate) = word.strip_suffix("/s") {
        return Some((number(rate)?, Unit::PerSecond));
    }
    match word.parse::<f64>() {
        Ok(_) => Some((number(word)?, Unit::Count)),
        Err(_) => Some((parse_duration(word).ok()?.as_secs_f64() * 1_000.0, Unit::Ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_read_in_their_parts() {
        let check = |text: &str, metric: &str, selectors: &[(&str, &str)], value: &str| {
            let written = parse(text).unwrap();
            let found: Vec<_> = written.selectors.iter().map(|(key, value)| (key.text, value.text)).collect();
            assert_eq!(
                (written.metric.text, found.as_slice(), written.value.text),
                (metric, selectors, value),
                "{text}"
            );
        };
        check("p95 < 500ms", "p95", &[], "500ms");
        check("p99.9<1s", "p99.9", &[], "1s");
        check("errors <= 1 %", "errors", &[], "1 %");
        check("p99{name=\"POST /orders\"} < 1500ms", "p99", &[("name", "POST /orders")], "1500ms");
        check(
            "status(5xx){scenario=buyer, tag.tier = 'gold'} < 5%",
            "status",
            &[("scenario", "buyer"), ("tag.tier", "gold")],
            "5%",
        );
    }

    #[test]
    fn what_is_no_threshold_is_told_where() {
        let check = |text: &str, at: Range<usize>| {
            assert_eq!(parse(text).map_err(|wrong| wrong.at), Err(at), "{text}");
        };
        check("", 0..0);
        check("p95", 3..3);
        check("p95 <", 5..5);
        check("p95 = 5", 4..5);
        check("p95{name=\"x} < 5ms", 9..10);
        check("p95{name} < 5ms", 8..9);
        check("p95(all < 5ms", 8..9);
        check("< 5ms", 0..1);
    }

    #[test]
    fn metrics_and_limits_are_told_apart() {
        assert_eq!(statistic("p99.9"), Some(Statistic::Percentile(0.999)));
        assert_eq!(
            (statistic("p0"), statistic("p100"), statistic("p"), statistic("pinf")),
            (None, None, None, None)
        );
        assert_eq!((statuses("429"), statuses("5xx")), (Some((429, 429)), Some((500, 599))));
        assert_eq!((statuses("6xx"), statuses("99"), statuses("xx")), (None, None, None));
        assert_eq!(limit("1.5%"), Some((0.015, Unit::Ratio)));
        assert_eq!(limit("1.5s"), Some((1_500.0, Unit::Ms)));
        assert_eq!(limit("100/s"), Some((100.0, Unit::PerSecond)));
        assert_eq!(limit("5"), Some((5.0, Unit::Count)));
        assert_eq!((limit("-1%"), limit("inf"), limit("five"), limit("5/m")), (None, None, None, None));
    }
}
