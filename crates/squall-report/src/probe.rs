//! What a probe has found out: `probe.json`, and its views.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cost::dollars;
use crate::numbers::{count, duration_ms, duration_s, percent, significant, to_ascii};
use crate::terminal::{Style, wrapped};

/// The version of this form.
pub const PROBE_SCHEMA_VERSION: u32 = 1;

/// Rounds that a terminal shows at most: the last ones, which have come closest.
const MAX_ROUNDS_SHOWN: usize = 12;

/// What a probe has found out. `*_ms` are milliseconds, rates are a second's, ratios fractions of 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeResult {
    /// The version of this form.
    pub schema_version: u32,
    /// The version of Squall that wrote it.
    pub squall_version: String,
    /// Which probe.
    pub probe: ProbeFacts,
    /// How it ended.
    pub ending: ProbeEnding,
    /// The answer in a sentence.
    pub headline: String,
    /// The answer in parts.
    pub findings: Vec<ProbeFinding>,
    /// What makes it doubtful.
    pub warnings: Vec<String>,
    /// The answer as it was computed: each kind of probe has its own.
    pub answer: Value,
    /// What is drawn of it.
    pub curves: Vec<Curve>,
    /// What was sent.
    pub sent: ProbeSent,
    /// Each round, in order.
    pub rounds: Vec<ProbeRound>,
}

/// Which probe it was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeFacts {
    /// By which it goes on if it was interrupted.
    pub id: String,
    /// `cold-start`, `throttle`, `capacity` or `self`.
    pub kind: String,
    /// The URL or the plan.
    pub target: String,
    /// As RFC 3339.
    pub started_at: String,
    /// From there to the end; pauses after an interruption are in it.
    pub took_s: f64,
    /// `local` or `aws`.
    pub backend: String,
    /// The most generators that sent a round.
    pub generators: u32,
    /// The most addresses that a round was sent from, as far as generators know them.
    pub addresses: u32,
}

/// How a probe ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbeOutcome {
    /// What was asked is known.
    #[default]
    Answered,
    /// It cannot be known.
    Stopped,
    /// The user has ended it.
    Interrupted,
    /// A round could not be sent, or not to its end.
    Failed,
}

/// How it ended, and why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeEnding {
    /// How.
    pub outcome: ProbeOutcome,
    /// Why, unless it was answered.
    pub reason: Option<String>,
    /// The exit code of the command.
    pub exit_code: u8,
}

/// One thing that was found out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeFinding {
    /// What it is.
    pub name: String,
    /// In words, with its unit and how certain it is.
    pub value: String,
}

/// What was sent in all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeSent {
    /// Rounds.
    pub rounds: u32,
    /// Requests.
    pub requests: u64,
    /// How many requests ended in which way.
    pub outcomes: BTreeMap<String, u64>,
    /// What generators on AWS cost, in US dollars; a local probe costs nothing.
    pub cost_usd: f64,
}

/// What was sent in one go, and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeRound {
    /// What it was for.
    pub purpose: String,
    /// How long nothing had been sent before it.
    pub idle_s: f64,
    /// Answers as they should be.
    pub good: u64,
    /// Those that were turned away.
    pub limited: u64,
    /// 502, 503 and 504.
    pub unavailable: u64,
    /// Whatever else went wrong.
    pub failed: u64,
    /// Those that were due and not sent.
    pub dropped: u64,
    /// Half of the good answers took longer; null without any.
    pub p50_ms: Option<f64>,
    /// One in a hundred did.
    pub p99_ms: Option<f64>,
    /// Whether the generators, not the service, set the pace.
    pub tainted: bool,
    /// How many answers seemed cold; null unless that was compared with the function's log.
    #[serde(default)]
    pub cold: Option<f64>,
    /// How many instances were started, by the function's log; null unless it was read.
    #[serde(default)]
    pub inits: Option<u64>,
}

/// Something over something else.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Curve {
    /// What it shows, in a sentence.
    pub title: String,
    /// To the right.
    pub x: CurveAxis,
    /// Upwards.
    pub y: CurveAxis,
    /// What is drawn.
    pub series: Vec<CurveSeries>,
    /// Places on the horizontal axis that mean something.
    pub marks: Vec<CurveMark>,
}

/// What an axis shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CurveAxis {
    /// What it is.
    pub name: String,
    /// Its unit.
    pub unit: CurveUnit,
    /// Whether it is logarithmic.
    pub logarithmic: bool,
}

/// What values are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CurveUnit {
    /// A number of something.
    #[default]
    Number,
    /// How many a second.
    PerSecond,
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
    /// A share, from 0 to 1.
    Ratio,
}

/// Points that belong together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CurveSeries {
    /// What they are.
    pub name: String,
    /// Each `[x, y]`, by x.
    pub points: Vec<[f64; 2]>,
    /// Whether they are joined by a line.
    pub joined: bool,
}

/// A place that means something.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CurveMark {
    /// Where.
    pub x: f64,
    /// What it means.
    pub text: String,
}

impl CurveUnit {
    /// A value as people read it.
    #[must_use]
    pub fn write(self, value: f64) -> String {
        match self {
            _ if value == 0.0 => "0".to_owned(),
            Self::Ms => duration_ms(value),
            Self::S => duration_s(value),
            Self::Ratio => percent(value),
            Self::PerSecond => format!("{}/s", significant(value)),
            Self::Number if value.fract() == 0.0 && value < 1e15 => {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number")]
                let whole = value.max(0.0) as u64;
                count(whole)
            }
            Self::Number => significant(value),
        }
    }
}

/// The probe's result as JSON.
#[must_use]
pub fn probe_to_json(result: &ProbeResult) -> String {
    // Texts, numbers and maps with text keys always have a JSON form.
    serde_json::to_string_pretty(result).unwrap_or_default()
}

/// Writes the schema of what a kind of probe answers.
pub type AnswerSchema = fn(&mut SchemaGenerator) -> Schema;

/// The schema of such an answer.
#[must_use]
pub fn answer_schema<A: JsonSchema>() -> AnswerSchema {
    SchemaGenerator::subschema_for::<A>
}

/// JSON Schema of `probe.json`, of whose `answer` the kind of probe says the form.
#[must_use]
pub fn probe_schema(answers: &[(&str, AnswerSchema)]) -> Value {
    let mut generator = SchemaGenerator::default();
    let forms: Vec<Value> = answers
        .iter()
        .map(|(kind, schema)| {
            let is_kind =
                json!({ "properties": { "probe": { "properties": { "kind": { "const": kind } } } } });
            let answer = schema(&mut generator).to_value();
            json!({ "if": is_kind, "then": { "properties": { "answer": answer } } })
        })
        .collect();
    let kinds: Vec<&str> = answers.iter().map(|(kind, _)| *kind).collect();
    let mut schema = generator.into_root_schema_for::<ProbeResult>().to_value();
    if let Some(kind) = schema.pointer_mut("/$defs/ProbeFacts/properties/kind") {
        kind["enum"] = json!(kinds);
    }
    schema["allOf"] = json!(forms);
    schema
}

/// The probe's result as text.
#[must_use]
pub fn probe_terminal(result: &ProbeResult, style: Style) -> String {
    let (word, colour) = word(result);
    let word = if style.colour { format!("\u{1b}[1;{colour}m{word}\u{1b}[0m") } else { word.to_owned() };
    let facts = &result.probe;
    let mut lines = vec![format!(
        " {word}  {} · {} · {} · {}",
        facts.kind,
        facts.target,
        duration_s(facts.took_s.round()),
        from(facts)
    )];
    lines.extend(result.ending.reason.iter().flat_map(|reason| wrapped(reason, " ")));
    if !result.headline.is_empty() {
        lines.push(String::new());
        lines.extend(wrapped(&result.headline, " "));
    }
    if !result.findings.is_empty() {
        lines.push(String::new());
        let width = result.findings.iter().map(|finding| finding.name.chars().count()).max().unwrap_or(0);
        for ProbeFinding { name, value } in &result.findings {
            lines.extend(wrapped(value, &format!(" {name:<width$}  ")));
        }
    }
    for warning in &result.warnings {
        lines.push(String::new());
        lines.extend(wrapped(&format!("doubtful: {warning}"), " "));
    }
    lines.push(String::new());
    lines.extend(rounds(result));
    lines.push(String::new());
    lines.push(format!(" {}", sent(&result.sent)));
    let text = lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n");
    if style.ascii { to_ascii(&text) } else { text }
}

/// The ending in a word, and its colour on a terminal.
pub(crate) fn word(result: &ProbeResult) -> (&'static str, &'static str) {
    match result.ending.outcome {
        ProbeOutcome::Answered => ("ANSWERED", "32"),
        ProbeOutcome::Stopped => ("STOPPED", "31"),
        ProbeOutcome::Interrupted => ("INTERRUPTED", "33"),
        ProbeOutcome::Failed => ("FAILED", "31"),
    }
}

/// `4 generators on AWS, 2 addresses`
pub(crate) fn from(facts: &ProbeFacts) -> String {
    let generators =
        format!("{} generator{}", facts.generators, if facts.generators == 1 { "" } else { "s" });
    let place = if facts.backend == "aws" { " on AWS" } else { "" };
    let addresses = match facts.addresses {
        0 | 1 => String::new(),
        number => format!(", {number} addresses"),
    };
    format!("{generators}{place}{addresses}")
}

/// `12 rounds, 3,400 requests: 3,000 × 200, 400 × 429`
pub(crate) fn sent(sent: &ProbeSent) -> String {
    let outcomes: Vec<String> =
        sent.outcomes.iter().map(|(outcome, number)| format!("{} × {outcome}", count(*number))).collect();
    let outcomes = if outcomes.is_empty() { String::new() } else { format!(": {}", outcomes.join(", ")) };
    let rounds = u64::from(sent.rounds);
    let (round_s, request_s) =
        (if rounds == 1 { "" } else { "s" }, if sent.requests == 1 { "" } else { "s" });
    let cost =
        if sent.cost_usd > 0.0 { format!("; it cost {}", dollars(sent.cost_usd)) } else { String::new() };
    format!("{} round{round_s}, {} request{request_s}{outcomes}{cost}", count(rounds), count(sent.requests))
}

/// What a table of rounds can say of one.
const ROUND_HEAD: [&str; 10] =
    ["Round", "Pause", "Good", "Limited", "Failed", "Dropped", "p50", "p99", "Cold", "Inits"];

/// What a cell says of nothing.
const NOTHING: &str = "–";

/// The cells of a round.
fn round_row(round: &ProbeRound) -> [String; 10] {
    let time = |ms: Option<f64>| ms.map_or(NOTHING.to_owned(), duration_ms);
    let number = |number: u64| if number == 0 { NOTHING.to_owned() } else { count(number) };
    let tainted = if round.tainted { " *" } else { "" };
    [
        format!("{}{tainted}", round.purpose),
        duration_s((round.idle_s * 10.0).round() / 10.0),
        number(round.good),
        number(round.limited),
        number(round.unavailable + round.failed),
        number(round.dropped),
        time(round.p50_ms),
        time(round.p99_ms),
        round.cold.map_or(NOTHING.to_owned(), |cold| CurveUnit::Number.write(cold.round())),
        round.inits.map_or(NOTHING.to_owned(), count),
    ]
}

/// The table of rounds: its head and its rows, without columns in which nothing stands.
pub(crate) fn round_table(rounds: &[ProbeRound]) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let rows: Vec<[String; 10]> = rounds.iter().map(round_row).collect();
    let says = |column: usize| column < 3 || rows.iter().any(|row| row[column] != NOTHING);
    let columns: Vec<usize> = (0..ROUND_HEAD.len()).filter(|column| says(*column)).collect();
    let of = |row: &[String; 10]| columns.iter().map(|column| row[*column].clone()).collect();
    (columns.iter().map(|column| ROUND_HEAD[*column]).collect(), rows.iter().map(of).collect())
}

/// What the mark of a round means.
pub(crate) const TAINTED_NOTE: &str = "* The generators, not the service, set the pace.";

fn rounds(result: &ProbeResult) -> Vec<String> {
    let left_out = result.rounds.len().saturating_sub(MAX_ROUNDS_SHOWN);
    let shown = &result.rounds[left_out..];
    let (head, rows) = round_table(shown);
    // What columns that are left out leave is for what rounds were for.
    let longest = rows.iter().filter_map(|cells| cells.first()).map(|purpose| purpose.chars().count()).max();
    let width = longest.unwrap_or(0).min(94_usize.saturating_sub(8 * head.len())).max(30);
    let row = |cells: &[&str]| {
        let [purpose, pause, numbers @ ..] = cells else { return String::new() };
        let purpose: String = purpose.chars().take(width).collect();
        let numbers: String = numbers.iter().map(|cell| format!(" {cell:>7}")).collect();
        format!(" {purpose:<width$} {pause:>7}{numbers}")
    };
    let mut lines = vec![row(&head)];
    if left_out > 0 {
        lines.push(format!(" … {left_out} rounds before these are in probe.json"));
    }
    lines.extend(rows.iter().map(|cells| row(&cells.iter().map(String::as_str).collect::<Vec<_>>())));
    if shown.iter().any(|round| round.tainted) {
        lines.push(format!(" {TAINTED_NOTE}"));
    }
    lines
}

#[cfg(test)]
mod tests;
