//! What users do, but for requests: pauses, and steps that decide about others.

use crate::expression::{JsonNode, ProgramBuilder, Template, ValueTemplate};
use crate::keys::{self, ACTIONS, Kind, VERBS};
use crate::model::{Branch, Choice, ForEach, Group, MeasureKind, Purpose, Repeat, Step, Stop, Think};
use crate::yaml::{Node, Scalar, Value};

use super::fields::{Fields, closest};
use super::values::Manner;
use super::{Lowering, MAX_STEPS};

/// Where steps belong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Home<'h> {
    pub(super) scenario: &'h str,
    /// What its requests are for.
    pub(super) purpose: Purpose,
    /// How each of their requests is sent unless it says otherwise.
    pub(super) manner: &'h Manner,
}

impl Lowering<'_> {
    pub(super) fn steps(&mut self, node: &Node, home: Home<'_>) -> Vec<Step> {
        if let Value::Sequence(items) = &node.value
            && let Some(next) = items.iter().skip_while(|item| !ends(item)).nth(1)
        {
            let hint = Some("leave it out, or put what ends the iteration under an `if`".to_owned());
            self.warning(next.span.clone(), "unreachable", "step is never reached".to_owned(), hint);
        }
        self.list(node, |this, node| this.step(node, home)).into_iter().flatten().collect()
    }

    /// A step; those of a fragment where it calls one.
    fn step(&mut self, node: &Node, home: Home<'_>) -> Option<Vec<Step>> {
        self.lowered_steps += 1;
        if self.lowered_steps > MAX_STEPS {
            if self.lowered_steps == MAX_STEPS + 1 {
                let message = format!("plan has more than {MAX_STEPS} steps, those of fragments written out");
                self.error(node.span.clone(), "too-many-steps", message, None);
            }
            return None;
        }
        let fields = self.fields(node, &keys::STEP)?;
        let action = self.action(node, &fields)?;
        let value = fields.get(action)?;
        if VERBS.contains(&action) {
            return self
                .request(action, value, &fields, home)
                .map(|request| vec![Step::Request(Box::new(request))]);
        }
        self.check_company(action, &fields);
        if action == "call" {
            return self.within("call", |this| this.call(value, home));
        }
        self.action_step(action, value, &fields, home).map(|step| vec![step])
    }

    /// The one key that says what a step does.
    fn action(&mut self, node: &Node, fields: &Fields<'_>) -> Option<&'static str> {
        let found = fields.present(&[&VERBS[..], &ACTIONS].concat());
        match found.as_slice() {
            [(action, _)] => Some(action),
            [] => {
                let hint = Some("write a verb such as `get: /path`, or `think: 1s`".to_owned());
                self.error(node.span.clone(), "no-verb", "step does nothing".to_owned(), hint);
                None
            }
            [(first, _), (second, key), ..] => {
                let message = format!("step has both `{first}` and `{second}`");
                self.error(key.span.clone(), "conflict", message, Some("make them two steps".to_owned()));
                None
            }
        }
    }

    /// Keys that have no place beside what a step does.
    fn check_company(&mut self, action: &str, fields: &Fields<'_>) {
        let company: &[&str] = match action {
            "if" => &["then", "else"],
            "repeat" | "for_each" | "group" => &["steps"],
            _ => &[],
        };
        let names = keys::STEP.keys.iter().map(|key| key.name);
        let others = names.filter(|name| *name != action && !company.contains(name)).collect::<Vec<_>>();
        for (name, key) in fields.present(&others) {
            self.error(
                key.span.clone(),
                "conflict",
                format!("`{name}` has no place beside `{action}`"),
                None,
            );
        }
    }

    fn action_step(
        &mut self,
        action: &'static str,
        value: &Node,
        fields: &Fields<'_>,
        home: Home<'_>,
    ) -> Option<Step> {
        Some(match action {
            "think" => Step::Think(self.within("think", |this| this.pause(value))?),
            "if" => {
                let condition = self.within("if", |this| this.condition(value));
                let then = self.needed_steps("then", value, fields, home);
                let otherwise = self.inner_steps("else", fields, home).unwrap_or_default();
                Step::If(Box::new(Branch { condition: condition?, then, otherwise }))
            }
            "repeat" => {
                let repeat = self.within("repeat", |this| this.repeat(value));
                let steps = self.needed_steps("steps", value, fields, home);
                Step::Repeat(Box::new(Repeat { steps, ..repeat? }))
            }
            "for_each" => {
                let uses = self.uses.len();
                let each = self.within("for_each", |this| this.for_each(value));
                self.check_set(value, uses);
                let steps = self.needed_steps("steps", value, fields, home);
                let (items, variable) = each?;
                Step::ForEach(Box::new(ForEach { items, variable, steps }))
            }
            "choose" => {
                let choices =
                    self.within("choose", |this| this.list(value, |this, node| this.choice(node, home)));
                Step::Choose(choices)
            }
            "parallel" => Step::Parallel(
                self.within("parallel", |this| this.list(value, |this, node| Some(this.steps(node, home)))),
            ),
            "group" => {
                let name = self.within("group", |this| this.name(value));
                let steps = self.needed_steps("steps", value, fields, home);
                let name = name?;
                let measure = self.measure(home.scenario, &name, MeasureKind::Group);
                self.measure(home.scenario, &name, MeasureKind::ActiveGroup);
                Step::Group(Box::new(Group { measure, steps }))
            }
            "set" => {
                let uses = self.uses.len();
                let values = self.within("set", |this| this.values(value));
                self.check_set(value, uses);
                Step::Set(values)
            }
            "record" => Step::Record(self.within("record", |this| {
                let values = this.values_of(value, Self::name_of_metric);
                let index = |name: &str, this: &mut Self| this.measure("", name, MeasureKind::Metric);
                values.into_iter().map(|(name, value)| (index(&name, this), value)).collect()
            })),
            "log" => Step::Log(self.within("log", |this| this.template(value))?),
            "stop" => Step::Stop(self.within("stop", |this| this.stop(value))?),
            _ => Step::Fail(self.within("fail", |this| this.template(value))?),
        })
    }

    fn inner_steps(&mut self, key: &'static str, fields: &Fields<'_>, home: Home<'_>) -> Option<Vec<Step>> {
        let node = fields.get(key)?;
        Some(self.within(key, |this| this.steps(node, home)))
    }

    fn needed_steps(
        &mut self,
        key: &'static str,
        action: &Node,
        fields: &Fields<'_>,
        home: Home<'_>,
    ) -> Vec<Step> {
        self.inner_steps(key, fields, home).unwrap_or_else(|| {
            let hint = Some(format!("write `{key}: [ {{ get: / }} ]` beside it"));
            self.error(action.span.clone(), "missing-key", format!("step has no `{key}`"), hint);
            Vec::new()
        })
    }

    /// A pause between two steps.
    fn pause(&mut self, node: &Node) -> Option<Think> {
        let think = self.think(node)?;
        if matches!(think, Think::Pace(_)) {
            let hint = Some("write it as the `think` of the scenario".to_owned());
            self.error(node.span.clone(), "conflict", "a step has no pace".to_owned(), hint);
            return None;
        }
        Some(think)
    }

    fn repeat(&mut self, node: &Node) -> Option<Repeat> {
        let fields = self.fields(node, &keys::REPEAT)?;
        let times = self.optional(&fields, "times", Self::times);
        let condition = self.optional(&fields, "while", Self::condition);
        let until = self.optional(&fields, "until", Self::condition);
        let think = self.optional(&fields, "think", Self::pause);
        if fields.present(&["times", "while", "until"]).is_empty() {
            let hint = Some("write `times`, `while` or `until`".to_owned());
            self.error(node.span.clone(), "endless", "`repeat` has no end".to_owned(), hint);
        }
        Some(Repeat { times, condition, until, think, steps: Vec::new() })
    }

    fn times(&mut self, node: &Node) -> Option<ValueTemplate> {
        match node.scalar() {
            Some(Scalar::Text(_)) => self.template(node).map(ValueTemplate::Text),
            _ => self.count(node, 0, 1_000_000).map(|times| ValueTemplate::Constant(times.into())),
        }
    }

    fn for_each(&mut self, node: &Node) -> Option<(ValueTemplate, String)> {
        let fields = self.fields(node, &keys::FOR_EACH)?;
        let items = self.optional(&fields, "in", |this, node| {
            let items = this.json(node)?;
            let is_list = match &items {
                JsonNode::Array(_) => true,
                JsonNode::Text(template) => template.as_expression().is_some(),
                _ => false,
            };
            if !is_list {
                this.wrong_kind(node, "a list, or an expression that gives one");
            }
            is_list.then(|| ValueTemplate::new(&items))
        });
        let variable = self.optional(&fields, "as", |this, node| {
            let name = this.text(node)?;
            this.define(node, &name);
            Some(name)
        });
        Some((items?, variable?))
    }

    fn choice(&mut self, node: &Node, home: Home<'_>) -> Option<Choice> {
        let fields = self.fields(node, &keys::CHOICE)?;
        let weight = self.weight(&fields);
        Some(Choice { weight, steps: self.inner_steps("steps", &fields, home).unwrap_or_default() })
    }

    fn stop(&mut self, node: &Node) -> Option<Stop> {
        Some(match self.word(node, &keys::STOP)? {
            "iteration" => Stop::Iteration,
            "user" => Stop::User,
            _ => Stop::Run,
        })
    }

    /// Variables and what they become.
    fn values(&mut self, node: &Node) -> Vec<(String, ValueTemplate)> {
        self.values_of(node, |this, key, name| {
            this.define(key, name);
            true
        })
    }

    fn values_of(
        &mut self,
        node: &Node,
        mut accept: impl FnMut(&mut Self, &Node, &str) -> bool,
    ) -> Vec<(String, ValueTemplate)> {
        let mut values = Vec::new();
        for (name, key, value) in self.entries(node) {
            self.within(name, |this| {
                let accepted = accept(this, key, name);
                if let (true, Some(value)) = (accepted, this.json(value)) {
                    values.push((name.to_owned(), ValueTemplate::new(&value)));
                }
            });
        }
        values
    }

    fn name_of_metric(&mut self, key: &Node, name: &str) -> bool {
        let good = !name.trim().is_empty() && name.len() <= 200;
        if !good {
            self.error(key.span.clone(), "name", "a name has 1 to 200 characters".to_owned(), None);
        }
        good
    }

    /// The steps of a fragment, as if they were written here.
    fn call(&mut self, node: &Node, home: Home<'_>) -> Option<Vec<Step>> {
        let name = self.text(node)?;
        let Some(fragment) = self.fragments.iter().position(|fragment| fragment.name == name) else {
            let hint = match closest(&name, self.fragments.iter().map(|fragment| fragment.name)) {
                Some(close) => format!("did you mean `{close}`?"),
                None => "define it under `fragments`".to_owned(),
            };
            self.error(node.span.clone(), "unknown-fragment", format!("no fragment `{name}`"), Some(hint));
            return None;
        };
        if self.calls.contains(&fragment) {
            let message = format!("fragment `{name}` calls itself");
            let hint = Some("use `repeat` to do something again".to_owned());
            self.error(node.span.clone(), "cycle", message, hint);
            return None;
        }
        self.fragments[fragment].called = true;
        let steps = self.fragments[fragment].steps;
        let path = std::mem::replace(&mut self.path, vec!["fragments".to_owned(), name]);
        self.calls.push(fragment);
        let steps = self.steps(steps, home);
        self.calls.pop();
        self.path = path;
        Some(steps)
    }

    /// A text with expressions for each name.
    pub(super) fn templates(&mut self, node: &Node) -> Vec<(String, Template)> {
        let mut templates = Vec::new();
        for (name, _, value) in self.entries(node) {
            let template = self.within(name, |this| this.template(value));
            templates.extend(template.map(|template| (name.to_owned(), template)));
        }
        templates
    }

    /// A mapping of a kind, or a text in short.
    pub(super) fn fields_or_text<'n>(
        &mut self,
        node: &'n Node,
        kind: &'static Kind,
    ) -> Option<Result<Fields<'n>, Template>> {
        match &node.value {
            Value::Scalar { .. } => self.template(node).map(Err),
            _ => self.fields(node, kind).map(Ok),
        }
    }

    /// A text that is an expression made of others, whose names are checked where they stand.
    pub(super) fn made_expression(&mut self, node: &Node, text: &str) -> Option<Template> {
        self.compile(node, &format!("{{{{ {text} }}}}"), ProgramBuilder::template)
    }
}

/// Whether nothing comes after a step.
fn ends(step: &Node) -> bool {
    let Value::Mapping(entries) = &step.value else { return false };
    let is_end = |key: &Node| matches!(key.scalar(), Some(Scalar::Text("stop" | "fail")));
    entries.iter().any(|(key, _)| is_end(key))
}
