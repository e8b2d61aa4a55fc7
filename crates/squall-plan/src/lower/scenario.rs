//! Scenarios and tasks.

use crate::keys;
use crate::model::{
    Flow, Load, MeasureKind, PlacedLoad, Purpose, SETUP, Scenario, Step, TEARDOWN, Task, Users,
};
use crate::yaml::{Node, Scalar, Value};

use super::Lowering;
use super::fields::Fields;
use super::steps::Home;
use super::values::Manner;

impl Lowering<'_> {
    pub(super) fn scenarios(
        &mut self,
        fields: &Fields<'_>,
        manner: &Manner,
        loads: &[PlacedLoad],
    ) -> Vec<Scenario> {
        let Some(node) = fields.get("scenarios") else { return Vec::new() };
        let mut scenarios = Vec::new();
        self.within("scenarios", |this| {
            let entries = this.entries(node);
            if matches!(&node.value, Value::Mapping(entries) if entries.is_empty()) {
                this.error(node.span.clone(), "no-scenario", "plan has no scenario".to_owned(), None);
            }
            for (index, (name, key, node)) in entries.into_iter().enumerate() {
                if [SETUP, TEARDOWN].contains(&name) {
                    let message = format!("`{name}` is no name for a scenario");
                    this.error(
                        key.span.clone(),
                        "name",
                        message,
                        Some("requests of the plan's own are measured under it".to_owned()),
                    );
                }
                let mut own = loads.iter().filter(|placed| placed.scenarios.contains(&index)).peekable();
                if own.peek().is_none() && !loads.is_empty() {
                    let message = format!("no load has users of `{name}`");
                    this.warning(key.span.clone(), "no-effect", message, None);
                }
                let of = own.map(|placed| &placed.load).collect::<Vec<_>>();
                scenarios.extend(this.within(name, |this| this.scenario(name, node, manner, &of)));
            }
        });
        scenarios
    }

    fn scenario(&mut self, name: &str, node: &Node, of_plan: &Manner, loads: &[&Load]) -> Option<Scenario> {
        let fields = self.fields(node, &keys::SCENARIO)?;
        let weight = self.weight(&fields);
        let think = fields.get("think").and_then(|node| self.within("think", |this| this.think(node)));
        let is_open = |load: &&Load| matches!(load, Load::Open(_));
        if let Some(key) = fields.key("think").filter(|_| !loads.is_empty() && loads.iter().all(is_open)) {
            let message = "`think` between iterations does not apply in the open model".to_owned();
            self.warning(
                key.span.clone(),
                "no-effect",
                message,
                Some("arrivals decide when iterations start".to_owned()),
            );
        }
        let measure = self.measure(name, "", MeasureKind::Iteration);
        self.measure(name, "", MeasureKind::ActiveIteration);
        self.defined.clear();
        let auth = self.optional(&fields, "auth", Self::auth);
        let own =
            self.optional(&fields, "headers", |this, node| Some(this.sent_headers(node))).unwrap_or_default();
        let tags = self.tags(&fields, &of_plan.tags);
        let base = Manner { tags, ..of_plan.clone() };
        let with_own = base.within(auth, own);
        let steps = |this: &mut Self, key: &'static str, purpose: Purpose, manner: &Manner| {
            let home = Home { scenario: name, purpose, manner };
            this.optional(&fields, key, |this, node| Some(this.steps(node, home))).unwrap_or_default()
        };
        let before = steps(self, "before", Purpose::Before, &base);
        let reuses = |load: &&Load| matches!(load, Load::Open(load) if load.users == Users::Reuse);
        if let Some(key) = fields.key("before").filter(|_| loads.iter().any(reuses)) {
            self.check_before(key);
        }
        let home = Home { scenario: name, purpose: Purpose::Journey, manner: &with_own };
        let flow = self.flow(&fields, node, home);
        let after = steps(self, "after", Purpose::After, &with_own);
        let on_status = self.optional(&fields, "on_status", |this, node| Some(this.on_status(node, home)));
        let data = self.check_names();
        let (flow, on_status) = (flow?, on_status.unwrap_or_default());
        Some(Scenario { name: name.to_owned(), weight, think, before, flow, after, on_status, measure, data })
    }

    /// Steps by status.
    fn on_status(&mut self, node: &Node, home: Home<'_>) -> Vec<(u16, Vec<Step>)> {
        let mut reactions = Vec::new();
        for (text, key, steps) in self.entries(node) {
            let status = text.parse::<u16>().ok().filter(|status| (100..=599).contains(status));
            if status.is_none() {
                let hint = Some("write a number such as `401`".to_owned());
                self.error(key.span.clone(), "status", format!("`{text}` is no status"), hint);
            }
            let steps = self.within(text, |this| this.steps(steps, home));
            reactions.extend(status.map(|status| (status, steps)));
        }
        reactions
    }

    fn flow(&mut self, fields: &Fields<'_>, node: &Node, home: Home<'_>) -> Option<Flow> {
        if let (Some(_), Some(key)) = (fields.get("tasks"), fields.key("steps")) {
            let message = "`steps` has no place beside `tasks`".to_owned();
            self.error(key.span.clone(), "conflict", message, Some("make the steps a task".to_owned()));
        }
        if let Some(node) = fields.get("tasks") {
            let tasks = self.within("tasks", |this| this.list(node, |this, node| this.task(node, home)));
            return Some(Flow::Tasks(tasks));
        }
        if let Some(node) = fields.get("steps") {
            return Some(Flow::Steps(self.within("steps", |this| this.steps(node, home))));
        }
        let hint = Some("write `steps` or `tasks`".to_owned());
        self.error(node.span.clone(), "missing-key", "scenario does nothing".to_owned(), hint);
        None
    }

    fn task(&mut self, node: &Node, home: Home<'_>) -> Option<Task> {
        let fields = self.fields(node, &keys::TASK)?;
        let name = self.optional(&fields, "name", Self::text);
        let weight = self.weight(&fields);
        let condition = self.optional(&fields, "if", |this, node| {
            if matches!(node.scalar(), Some(Scalar::Bool(false))) {
                let message = "task is never done".to_owned();
                this.warning(node.span.clone(), "unreachable", message, Some("leave it out".to_owned()));
            }
            this.condition(node)
        });
        let steps = self.optional(&fields, "steps", |this, node| Some(this.steps(node, home)));
        Some(Task { name, weight, condition, steps: steps? })
    }

    pub(super) fn weight(&mut self, fields: &Fields<'_>) -> u32 {
        self.optional(fields, "weight", |this, node| this.count(node, 1, 1_000_000)).unwrap_or(1)
    }
}
