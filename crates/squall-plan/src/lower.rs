//! From the tree of a text to a plan, by hand: every problem is found in one pass, each at its place.
//!
//! A value that is wrong is reported and replaced by one that is harmless, so that what comes after it is
//! looked at too.

mod auth;
mod body;
mod data;
mod events;
mod fields;
mod http;
mod load;
mod names;
mod request;
mod response;
mod scenario;
mod secrets;
mod setup;
mod steps;
mod telemetry;
mod thresholds;
mod tls;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ::http::HeaderValue;
use minijinja::Value;

use crate::compile::Bundle;
use crate::data::Feeder;
use crate::diagnostics::{Diagnostics, Problem, Severity};
use crate::expression::{Expr, ExpressionError, ProgramBuilder, Template};
use crate::keys;
use crate::model::{
    AllowList, Auth, EventSettings, HttpSettings, Measure, MeasureKind, Plan, Purpose, Request, SeriesName,
    Tags, Telemetry, host_header,
};
use crate::secrets::Secret;
use crate::yaml::{Node, Scalar};

pub(crate) use data::files_of;

/// More names than this are measured together under [`OTHER`].
const MAX_NAMES: usize = 200;

/// More steps than this are refused, those of fragments written out each time.
const MAX_STEPS: usize = 10_000;

/// The name of requests whose own found no room.
const OTHER: &str = "other";

/// The state of one pass.
pub(crate) struct Lowering<'a> {
    bundle: &'a Bundle,
    diagnostics: Diagnostics,
    path: Vec<String>,
    program: ProgramBuilder,
    /// Expressions of the current scenario whose names are still to be checked.
    uses: Vec<Use>,
    /// What the current scenario captures and sets.
    defined: Vec<String>,
    fragments: Vec<Fragment<'a>>,
    /// The fragments whose steps are being lowered, as indices.
    calls: Vec<usize>,
    feeders: Vec<data::Known>,
    lowered_steps: usize,
    variables: Vec<(String, Value)>,
    secrets: Vec<Secret>,
    /// What `setup` captures and sets.
    shared: Vec<String>,
    /// What the errand lowered last captures and sets.
    captured: Vec<String>,
    is_setup: bool,
    /// Whether a request of `setup` sends a secret.
    told_secret: bool,
    cleanups: Vec<Request>,
    env: BTreeMap<String, String>,
    auths: Vec<Auth>,
    unset_env: BTreeSet<String>,
    /// Those of the whole plan.
    tags: Tags,
    series: Vec<SeriesName>,
    measures: Vec<Measure>,
    /// The hosts that requests may go to, once they are known.
    allowed: Option<AllowList>,
    /// The target's own path without a slash at its end, and its `Host`, once they are known.
    base: Option<(String, HeaderValue)>,
}

/// Steps that others call.
struct Fragment<'a> {
    name: &'a str,
    key: &'a Node,
    steps: &'a Node,
    called: bool,
}

/// Where an expression stands.
struct Use {
    expr: Expr,
    span: Range<usize>,
    path: String,
}

/// Lowers the tree; `None` for the plan if there is any error.
pub(crate) fn lower<'a>(
    bundle: &'a Bundle,
    root: &'a Node,
    diagnostics: Diagnostics,
) -> (Option<Plan>, Diagnostics) {
    let mut lowering = Lowering {
        bundle,
        diagnostics,
        path: Vec::new(),
        program: ProgramBuilder::new(),
        uses: Vec::new(),
        defined: Vec::new(),
        fragments: Vec::new(),
        calls: Vec::new(),
        feeders: Vec::new(),
        lowered_steps: 0,
        variables: Vec::new(),
        secrets: Vec::new(),
        shared: Vec::new(),
        captured: Vec::new(),
        is_setup: false,
        told_secret: false,
        cleanups: Vec::new(),
        env: BTreeMap::new(),
        auths: Vec::new(),
        unset_env: BTreeSet::new(),
        tags: Tags::new(),
        series: Vec::new(),
        measures: Vec::new(),
        allowed: None,
        base: None,
    };
    let parts = lowering.plan(root);
    let Lowering {
        mut diagnostics,
        program,
        variables,
        secrets,
        cleanups,
        env,
        unset_env,
        auths,
        series,
        measures,
        ..
    } = lowering;
    diagnostics.sort();
    let (Some(parts), false) = (parts, diagnostics.has_errors()) else { return (None, diagnostics) };
    // Each expression was compiled when it was added, so this cannot fail either.
    let keeps_response = program.mentions("response");
    let Ok(program) = program.finish() else { return (None, diagnostics) };
    let Parts { name, target, http, allow, data, loads, scenarios, errands, thresholds, events, telemetry } =
        parts;
    let [setup, teardown, source_address] = errands;
    let plan = Plan {
        name,
        target,
        http,
        allow,
        data: data.into(),
        loads,
        scenarios,
        setup,
        teardown,
        source_address,
        thresholds,
        events,
        telemetry,
        auths,
        series,
        measures,
        keeps_response,
        variables,
        secrets,
        cleanups,
        program,
        env,
        unset_env,
    };
    (Some(plan), diagnostics)
}

/// What the sections of a plan are lowered to.
struct Parts {
    name: String,
    target: url::Url,
    http: HttpSettings,
    allow: AllowList,
    data: Vec<Feeder>,
    loads: Vec<crate::model::PlacedLoad>,
    scenarios: Vec<crate::model::Scenario>,
    errands: [Vec<crate::model::Step>; 3],
    thresholds: Vec<crate::threshold::Threshold>,
    events: Option<EventSettings>,
    telemetry: Telemetry,
}

impl<'a> Lowering<'a> {
    fn plan(&mut self, root: &'a Node) -> Option<Parts> {
        let fields = self.fields(root, &keys::PLAN)?;
        let name = fields.get("name").and_then(|node| self.within("name", |this| this.text(node)));
        let name = name.unwrap_or_else(|| self.default_name());
        // What they say is in the tree already.
        self.optional(&fields, "include", |this, node| Some(this.list(node, Self::text)));
        self.secrets(&fields);
        self.variables(&fields);
        let target = self.target(&fields);
        self.base = target
            .as_ref()
            .and_then(|target| Some((target.path().trim_end_matches('/').to_owned(), host_header(target)?)));
        self.allowed = target.as_ref().map(|target| self.allow(&fields, target));
        self.tags = self.tags(&fields, &Tags::new());
        let (http, mut manner) = self.http(&fields);
        manner.tags.clone_from(&self.tags);
        let data = self.data(&fields);
        self.fragments(&fields);
        let loads = self.loads(&fields);
        let setup = self.setup(&fields, &manner);
        let scenarios = self.scenarios(&fields, &manner, &loads);
        let teardown = self.teardown(&fields, &manner);
        let errands = [setup, teardown, self.source_address(&fields, &manner)];
        self.check_fragments(&manner);
        self.check_rows(&data, &loads, &scenarios);
        let thresholds = self.thresholds(&fields, &loads);
        let events = self.events(&fields);
        // Behind all others: which secrets are its own depends on what they look up.
        let telemetry = self.telemetry(&fields);
        let (target, allow) = (target?, self.allowed.take()?);
        Some(Parts {
            name,
            target,
            http,
            allow,
            data,
            loads,
            scenarios,
            errands,
            thresholds,
            events,
            telemetry,
        })
    }

    /// Finds the steps that others call.
    fn fragments(&mut self, fields: &fields::Fields<'a>) {
        let Some(node) = fields.get("fragments") else { return };
        let entries = self.within("fragments", |this| this.entries(node));
        let fragment = |(name, key, steps)| Fragment { name, key, steps, called: false };
        self.fragments = entries.into_iter().map(fragment).collect();
    }

    /// A fragment that nobody calls is looked at, too.
    fn check_fragments(&mut self, manner: &values::Manner) {
        for index in 0..self.fragments.len() {
            let Fragment { name, key, steps, called } = self.fragments[index];
            if called {
                continue;
            }
            self.path = vec!["fragments".to_owned(), name.to_owned()];
            // A file for several plans may have more than each of them needs.
            if self.diagnostics.is_own(key.span.start) {
                let message = format!("nothing calls fragment `{name}`");
                self.warning(key.span.clone(), "no-effect", message, None);
            }
            let known = (self.series.len(), self.measures.len(), self.auths.len(), self.cleanups.len());
            self.steps(steps, steps::Home { scenario: "", purpose: Purpose::Journey, manner });
            // What is in it is never sent or measured; which variables it needs is up to its callers.
            self.series.truncate(known.0);
            self.measures.truncate(known.1);
            self.auths.truncate(known.2);
            self.cleanups.truncate(known.3);
            self.uses.clear();
            self.path.clear();
        }
    }

    /// Something besides requests that is measured; its index.
    fn measure(&mut self, scenario: &str, name: &str, kind: MeasureKind) -> usize {
        let measure = Measure { scenario: scenario.to_owned(), name: name.to_owned(), kind };
        let known = self.measures.iter().position(|known| *known == measure);
        known.unwrap_or_else(|| {
            self.measures.push(measure);
            self.measures.len() - 1
        })
    }

    /// The file's name without folder and ending.
    fn default_name(&self) -> String {
        let file = self.bundle.file.rsplit(['/', '\\']).next().unwrap_or_default();
        file.rsplit_once('.').map_or(file, |(stem, _)| stem).to_owned()
    }

    /// Runs `lower` for what stands under a key or index.
    fn within<T>(&mut self, segment: &str, lower: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(segment.to_owned());
        let result = lower(self);
        self.path.pop();
        result
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for segment in &self.path {
            if !path.is_empty() && !segment.starts_with('[') {
                path.push('.');
            }
            path.push_str(segment);
        }
        path
    }

    fn error(&mut self, span: Range<usize>, code: &'static str, message: String, hint: Option<String>) {
        self.problem(Severity::Error, span, code, message, hint);
    }

    fn warning(&mut self, span: Range<usize>, code: &'static str, message: String, hint: Option<String>) {
        self.problem(Severity::Warning, span, code, message, hint);
    }

    fn problem(
        &mut self,
        severity: Severity,
        span: Range<usize>,
        code: &'static str,
        message: String,
        hint: Option<String>,
    ) {
        let problem = Problem { severity, code, message, hint, path: self.path(), span };
        self.diagnostics.add(problem);
    }

    /// Something else was expected here.
    fn wrong_kind(&mut self, node: &Node, expected: &str) {
        if node.is_unquoted_expression() {
            let hint = Some("write it in quotes, such as `\"{{ name }}\"`".to_owned());
            self.error(node.span.clone(), "unquoted-expression", "expression is not quoted".to_owned(), hint);
        } else {
            let message = format!("expected {expected}, found {}", node.kind());
            self.error(node.span.clone(), "wrong-type", message, None);
        }
    }

    /// A text with expressions; a number or the like is taken as it is written.
    fn template(&mut self, node: &Node) -> Option<Template> {
        let text = self.text(node)?;
        self.compile(node, &text, ProgramBuilder::template).inspect(|template| self.note_uses(node, template))
    }

    fn note_uses(&mut self, node: &Node, template: &Template) {
        for expr in template.expressions() {
            let span = self.line_of(node, self.program.text(expr));
            self.uses.push(Use { expr, span, path: self.path() });
        }
    }

    /// Compiles the expressions of a text; a mistake is reported at its place in it.
    fn compile<T>(
        &mut self,
        node: &Node,
        text: &str,
        compile: impl FnOnce(&mut ProgramBuilder, &str) -> Result<T, ExpressionError>,
    ) -> Option<T> {
        match compile(&mut self.program, text) {
            Ok(compiled) => Some(compiled),
            Err(error) => {
                let span = self.place_in(node, text, error.at.as_ref());
                self.error(span, "expression-syntax", format!("not an expression: {}", error.message), None);
                None
            }
        }
    }

    /// Where a part of a scalar's text stands in the file: exactly, unless it was folded or escaped.
    fn place_in(&self, node: &Node, text: &str, part: Option<&Range<usize>>) -> Range<usize> {
        let source = self.diagnostics.text(node.span.clone());
        let start =
            [0, 1].into_iter().find(|&quote| source.get(quote..).is_some_and(|rest| rest.starts_with(text)));
        match (start, part) {
            (Some(quote), Some(part)) => {
                node.span.start + quote + part.start..node.span.start + quote + part.end
            }
            (_, Some(part)) => {
                let line_start =
                    text.get(..part.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
                let line = text.get(line_start..).and_then(|rest| rest.lines().next());
                self.line_of(node, line.unwrap_or_default())
            }
            _ => node.span.clone(),
        }
    }

    /// Where a part of a scalar stands in the file, if the scalar has several lines and it is found in one of them;
    /// else the whole scalar.
    fn line_of(&self, node: &Node, part: &str) -> Range<usize> {
        let source = self.diagnostics.text(node.span.clone());
        let is_expression = |at: &usize| source[..*at].trim_end().ends_with("{{");
        let mut places = source.match_indices(part).map(|(at, _)| at);
        let found = if part.is_empty() || !source.contains('\n') {
            None
        } else {
            places.clone().find(is_expression).or_else(|| places.next())
        };
        found.map_or(node.span.clone(), |at| node.span.start + at..node.span.start + at + part.len())
    }

    /// A scalar as it is written.
    fn text(&mut self, node: &Node) -> Option<String> {
        match (&node.value, node.scalar()) {
            (_, None | Some(Scalar::Null)) => {
                self.wrong_kind(node, "a text");
                None
            }
            (crate::yaml::Value::Scalar { text, .. }, _) => Some(text.clone()),
            _ => None,
        }
    }
}
