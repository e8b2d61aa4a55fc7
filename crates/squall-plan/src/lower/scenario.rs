//! Scenarios and tasks.

use http::header::USER_AGENT;

use crate::expression::Template;
use crate::keys;
use crate::model::{Flow, Load, PlacedLoad, Scenario, Step, Task};
use crate::yaml::{Node, Value};

use super::Lowering;
use super::fields::Fields;
use super::values::HeaderList;

impl Lowering<'_> {
    pub(super) fn scenarios(
        &mut self,
        fields: &Fields<'_>,
        headers: &HeaderList,
        loads: &[PlacedLoad],
    ) -> Vec<Scenario> {
        let Some(node) = fields.get("scenarios") else { return Vec::new() };
        let mut scenarios = Vec::new();
        self.within("scenarios", |this| {
            let entries = this.entries(node);
            if entries.is_empty() {
                this.error(node.span.clone(), "no-scenario", "plan has no scenario".to_owned(), None);
            }
            for (index, (name, key, node)) in entries.into_iter().enumerate() {
                let mut own = loads.iter().filter(|placed| placed.scenarios.contains(&index)).peekable();
                if own.peek().is_none() && !loads.is_empty() {
                    let message = format!("no load has users of `{name}`");
                    this.warning(key.span.clone(), "no-effect", message, None);
                }
                let is_open = own.peek().is_some() && own.all(|placed| matches!(placed.load, Load::Open(_)));
                scenarios.extend(this.within(name, |this| this.scenario(name, node, headers, is_open)));
            }
        });
        scenarios
    }

    fn scenario(
        &mut self,
        name: &str,
        node: &Node,
        plan_headers: &HeaderList,
        is_open: bool,
    ) -> Option<Scenario> {
        let fields = self.fields(node, &keys::SCENARIO)?;
        let weight = self.weight(&fields);
        let think = fields.get("think").and_then(|node| self.within("think", |this| this.think(node)));
        if let Some(key) = fields.key("think").filter(|_| is_open) {
            let message = "`think` between iterations does not apply in the open model".to_owned();
            self.warning(
                key.span.clone(),
                "no-effect",
                message,
                Some("arrivals decide when iterations start".to_owned()),
            );
        }
        let own = fields
            .get("headers")
            .map(|node| self.within("headers", |this| this.headers(node)))
            .unwrap_or_default();
        let user_agent = Template::literal(concat!("squall/", env!("CARGO_PKG_VERSION")));
        let base: HeaderList =
            std::iter::once((USER_AGENT, user_agent)).chain(plan_headers.iter().cloned()).collect();
        let before =
            fields.get("before").map(|node| self.within("before", |this| this.steps(node, name, &base)));
        let with_own: HeaderList = base.into_iter().chain(own).collect();
        let flow = self.flow(&fields, node, name, &with_own);
        let captures = captured(node);
        self.check_names(&captures);
        Some(Scenario {
            name: name.to_owned(),
            weight,
            think,
            before: before.unwrap_or_default(),
            flow: flow?,
        })
    }

    fn flow(
        &mut self,
        fields: &Fields<'_>,
        node: &Node,
        scenario: &str,
        headers: &HeaderList,
    ) -> Option<Flow> {
        if let (Some(_), Some(key)) = (fields.get("tasks"), fields.key("steps")) {
            let message = "`steps` has no place beside `tasks`".to_owned();
            self.error(key.span.clone(), "conflict", message, Some("make the steps a task".to_owned()));
        }
        if let Some(node) = fields.get("tasks") {
            let tasks =
                self.within("tasks", |this| this.list(node, |this, node| this.task(node, scenario, headers)));
            return Some(Flow::Tasks(tasks));
        }
        if let Some(node) = fields.get("steps") {
            return Some(Flow::Steps(self.within("steps", |this| this.steps(node, scenario, headers))));
        }
        let hint = Some("write `steps` or `tasks`".to_owned());
        self.error(node.span.clone(), "missing-key", "scenario does nothing".to_owned(), hint);
        None
    }

    fn task(&mut self, node: &Node, scenario: &str, headers: &HeaderList) -> Option<Task> {
        let fields = self.fields(node, &keys::TASK)?;
        let name = fields.get("name").and_then(|node| self.within("name", |this| this.text(node)));
        let weight = self.weight(&fields);
        let condition = fields.get("if").and_then(|node| self.within("if", |this| this.condition(node)));
        let steps =
            fields.get("steps").map(|node| self.within("steps", |this| this.steps(node, scenario, headers)));
        Some(Task { name, weight, condition, steps: steps? })
    }

    fn weight(&mut self, fields: &Fields<'_>) -> u32 {
        let weight = fields
            .get("weight")
            .and_then(|node| self.within("weight", |this| this.count(node, 1, 1_000_000)));
        weight.unwrap_or(1)
    }

    fn steps(&mut self, node: &Node, scenario: &str, headers: &HeaderList) -> Vec<Step> {
        self.list(node, |this, node| this.step(node, scenario, headers))
    }
}

/// The variables that anything below captures.
fn captured(node: &Node) -> Vec<String> {
    match &node.value {
        Value::Scalar { .. } => Vec::new(),
        Value::Sequence(items) => items.iter().flat_map(captured).collect(),
        Value::Mapping(entries) => entries
            .iter()
            .flat_map(|(key, value)| match (&key.value, &value.value) {
                (Value::Scalar { text, .. }, Value::Mapping(captures)) if text == "capture" => captures
                    .iter()
                    .filter_map(|(key, _)| match &key.value {
                        Value::Scalar { text, .. } => Some(text.clone()),
                        _ => None,
                    })
                    .collect(),
                _ => captured(value),
            })
            .collect(),
    }
}
