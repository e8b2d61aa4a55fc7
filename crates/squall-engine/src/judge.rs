//! Whether an answer is what the plan expects, and what it gives to later steps.

use std::cell::OnceCell;
use std::time::Duration;

use http::header::SET_COOKIE;
use http::{HeaderMap, StatusCode};
use minijinja::Value;
use squall_metrics::{Outcome, Phase, Sample};
use squall_plan::expression::{EvalError, Response, from_json, to_text};
use squall_plan::html::Document;
use squall_plan::{Capture, Check, Matches, Request, Source};

use crate::decode::decode;
use crate::flight::Ended;
use crate::trace::check_in_words;
use crate::user::User;

/// What came back, as far as the plan wants to know it.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Only where somebody looks at them or the answer leads elsewhere.
    pub(crate) headers: Option<Box<HeaderMap>>,
    /// Empty unless somebody looks at it.
    pub(crate) body: Vec<u8>,
}

/// An answer that is looked at; what its body means is found out once, and only if somebody asks.
struct Reading<'a> {
    status: u16,
    /// How long it took, connecting left out.
    answer_us: u64,
    headers: &'a HeaderMap,
    body: &'a [u8],
    json: OnceCell<Option<serde_json::Value>>,
    html: OnceCell<Option<Document>>,
}

/// Of more elements that a selector finds, no more are captured.
const MAX_ELEMENTS: usize = 10_000;

impl Reading<'_> {
    fn json(&self) -> Option<&serde_json::Value> {
        self.json.get_or_init(|| serde_json::from_slice(self.body).ok()).as_ref()
    }

    fn html(&self) -> Option<&Document> {
        self.html.get_or_init(|| Document::parse(&self.text())).as_ref()
    }

    fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.body)
    }

    /// The values of a header.
    fn header(&self, name: &http::HeaderName) -> impl Iterator<Item = String> {
        self.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }
}

impl User {
    /// Whether the answer is what the plan expects, and what it gives to later steps.
    pub(crate) fn judge(
        &self,
        request: &Request,
        answer: Answer,
        took: Duration,
        sample: &mut Sample,
    ) -> Ended {
        let code = answer.status.as_u16();
        let status = Outcome::Status(code);
        let as_expected = request.expect.accepts(code);
        if !request.expect.status.is_empty() {
            count(sample, as_expected);
            self.draft(|draft| {
                draft.check(statuses_in_words(&request.expect), Some(code.to_string()), as_expected);
            });
        }
        let plain = request.captures.is_empty() && request.expect.checks.is_empty();
        let ended = if as_expected {
            Ended { outcome: status, failed: false }
        } else {
            Ended::failed(if code >= 400 { status } else { Outcome::Expectation })
        };
        if plain && !self.worker.plan.keeps_response {
            return ended;
        }
        let looked_at = self.look(request, answer, took, (as_expected, sample));
        // What nobody needs to see need not be readable.
        if ended.failed || plain { ended } else { looked_at.map_or_else(Ended::failed, |()| ended) }
    }

    fn look(
        &self,
        request: &Request,
        answer: Answer,
        took: Duration,
        (as_expected, sample): (bool, &mut Sample),
    ) -> Result<(), Outcome> {
        let plain = request.captures.is_empty() && request.expect.checks.is_empty();
        let body = match decode(answer.headers.as_deref(), answer.body) {
            Err(_) if plain => Vec::new(),
            body => body?,
        };
        let none = HeaderMap::new();
        let headers = answer.headers.as_deref().unwrap_or(&none);
        let (status, json, html) = (answer.status.as_u16(), OnceCell::new(), OnceCell::new());
        let answer_us = [Phase::Send, Phase::FirstByte, Phase::Body].into_iter();
        let answer_us = answer_us.filter_map(|phase| sample.phases.get(phase)).sum();
        let reading = Reading { status, answer_us, headers, body: &body, json, html };
        let mut good = true;
        if as_expected {
            for check in &request.expect.checks {
                let holds = self.holds_for(check, &reading, took).map_err(|error| {
                    self.note(request, &error.to_string());
                    Outcome::Expression
                })?;
                count(sample, holds);
                self.draft(|draft| {
                    let expected = self.expected_by(check).map_or(String::new(), |text| format!(": {text}"));
                    draft.check(
                        format!("{}{expected}", check_in_words(check)),
                        found_by(check, &reading, took),
                        holds,
                    );
                });
                good &= holds;
            }
            good = good && self.capture(request, &reading)?;
        }
        if self.worker.plan.keeps_response {
            self.scope.set("response", Response::value(reading.status, headers, body));
        }
        if good { Ok(()) } else { Err(Outcome::Expectation) }
    }

    fn holds_for(&self, check: &Check, reading: &Reading<'_>, took: Duration) -> Result<bool, EvalError> {
        let program = &self.worker.plan.program;
        let text = |template: &squall_plan::expression::Template| {
            let mut text = String::new();
            template.render(program, &self.scope, &mut text).map(|()| text)
        };
        Ok(match check {
            Check::Header(name, expected) => {
                let expected = text(expected)?;
                reading.header(name).any(|value| value.contains(&expected))
            }
            Check::Json(path, expected) => {
                let expected = expected.value(program, &self.scope)?;
                let found = reading.json().and_then(|json| path.query(json).first());
                found.is_some_and(|found| is_same(&from_json(found), &expected))
            }
            Check::Text(expected) => reading.text().contains(&text(expected)?),
            Check::Regex(regex) => regex.is_match(&reading.text()),
            Check::Latency(most) => took <= *most,
            Check::Size(sizes) => sizes.contains(&(reading.body.len() as u64)),
        })
    }

    /// Keeps what is captured; false if something is missing, which keeps every old value.
    fn capture(&self, request: &Request, reading: &Reading<'_>) -> Result<bool, Outcome> {
        let mut found = Vec::new();
        for capture in &request.captures {
            if matches!(capture.source, Source::Css(_)) && reading.html().is_none() {
                self.note(request, "the HTML is too long or nested too deep to look for elements");
            }
            let value = match (capture_from(capture, reading), &capture.default) {
                (Some(value), _) => value,
                (None, Some(default)) => {
                    default.value(&self.worker.plan.program, &self.scope).map_err(|error| {
                        self.note(request, &error.to_string());
                        Outcome::Expression
                    })?
                }
                (None, None) => {
                    self.draft(|draft| draft.not_captured(capture));
                    return Ok(false);
                }
            };
            found.push((&capture.variable, value));
        }
        for (variable, value) in found {
            self.draft(|draft| draft.captured(variable, &value));
            self.scope.set(variable, value);
        }
        Ok(true)
    }
}

impl User {
    /// What a check wants to see, as text, where its expressions say it.
    fn expected_by(&self, check: &Check) -> Option<String> {
        let program = &self.worker.plan.program;
        match check {
            Check::Header(_, template) | Check::Text(template) => {
                template.value(program, &self.scope).ok().map(|value| to_text(&value))
            }
            Check::Json(_, expected) => {
                expected.value(program, &self.scope).ok().map(|value| to_text(&value))
            }
            _ => None,
        }
    }
}

/// What a check has found, where that is not the whole response.
fn found_by(check: &Check, reading: &Reading<'_>, took: Duration) -> Option<String> {
    match check {
        Check::Header(name, _) => {
            let values: Vec<String> = reading.header(name).collect();
            Some(if values.is_empty() { "no such header".to_owned() } else { values.join(", ") })
        }
        Check::Json(path, _) => {
            let found = reading.json().map(|json| path.query(json).first().map(ToString::to_string));
            Some(
                found.map_or("no JSON".to_owned(), |found| {
                    found.unwrap_or_else(|| "nothing there".to_owned())
                }),
            )
        }
        Check::Latency(_) => Some(format!("{:.1} ms", took.as_secs_f64() * 1_000.0)),
        Check::Size(_) => Some(format!("{} bytes", reading.body.len())),
        Check::Text(_) | Check::Regex(_) => None,
    }
}

/// The statuses that are expected.
fn statuses_in_words(expect: &squall_plan::Expect) -> String {
    let ranges = expect.status.iter().map(|range| match (range.start(), range.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first} to {last}"),
    });
    format!("status {}", ranges.collect::<Vec<_>>().join(" or "))
}

fn count(sample: &mut Sample, holds: bool) {
    sample.checks_passed += u32::from(holds);
    sample.checks_failed += u32::from(!holds);
}

/// Numbers and texts of forms and files are often the one where the other is meant.
fn is_same(found: &Value, expected: &Value) -> bool {
    found == expected || to_text(found) == to_text(expected)
}

fn capture_from(capture: &Capture, reading: &Reading<'_>) -> Option<Value> {
    let matches: Vec<Value> = match &capture.source {
        Source::Json(path) => path.query(reading.json()?).iter().map(|value| from_json(value)).collect(),
        Source::Header(name) => reading.header(name).map(Value::from).collect(),
        Source::Cookie(name) => {
            reading.header(&SET_COOKIE).filter_map(|cookie| value_of_cookie(&cookie, name)).collect()
        }
        Source::Regex(regex, group) => {
            let text = reading.text();
            let groups = regex.captures_iter(&text).filter_map(|found| found.get(*group));
            groups.map(|found| Value::from(found.as_str())).collect()
        }
        Source::Css(selection) => {
            let most = if capture.matches == Matches::All { MAX_ELEMENTS } else { 2 };
            selection.find(reading.html()?).take(most).map(Value::from).collect()
        }
        Source::Status => vec![Value::from(reading.status)],
        Source::Time => vec![Value::from(reading.answer_us as f64 / 1_000.0)],
        Source::Body => vec![Value::from(reading.text().into_owned())],
    };
    match capture.matches {
        Matches::All => Some(Value::from(matches)).filter(|all| all.len() > Some(0)),
        Matches::Only if matches.len() > 1 => None,
        Matches::First | Matches::Only => matches.into_iter().next(),
    }
}

/// The value in `name=value; Path=/`, if it is of that name.
fn value_of_cookie(cookie: &str, name: &str) -> Option<Value> {
    let pair = cookie.split(';').next()?;
    let (known, value) = pair.split_once('=')?;
    (known.trim() == name).then(|| Value::from(value.trim()))
}
