//! `setup` and `teardown`: what the command does once, before the load and after it.

use crate::model::{Purpose, SETUP, SOURCE_ADDRESS, Step, TEARDOWN};
use crate::yaml::{Node, Value};

use super::Lowering;
use super::fields::Fields;
use super::steps::Home;
use super::values::Manner;

impl Lowering<'_> {
    /// Lowers `setup`; what it captures and sets is known to everybody from then on.
    pub(super) fn setup(&mut self, fields: &Fields<'_>, manner: &Manner) -> Vec<Step> {
        let steps = self.errand(fields, SETUP, manner);
        let captured = std::mem::take(&mut self.captured);
        for (name, value) in &self.bundle.inputs.setup {
            if captured.contains(name) {
                self.variables.push((name.clone(), crate::expression::from_json(value)));
            }
        }
        self.shared = captured;
        steps
    }

    pub(super) fn teardown(&mut self, fields: &Fields<'_>, manner: &Manner) -> Vec<Step> {
        self.errand(fields, TEARDOWN, manner)
    }

    /// Lowers `source_address`, which is of no use unless it captures one.
    pub(super) fn source_address(&mut self, fields: &Fields<'_>, manner: &Manner) -> Vec<Step> {
        let steps = self.errand(fields, SOURCE_ADDRESS, manner);
        let captured = std::mem::take(&mut self.captured);
        if let Some(node) = fields.get(SOURCE_ADDRESS)
            && !captured.iter().any(|name| name == SOURCE_ADDRESS)
        {
            let message = "nothing captures `source_address`".to_owned();
            let hint = "such as `capture: { source_address: $.ip }`";
            self.error(node.span.clone(), "missing", message, Some(hint.to_owned()));
        }
        steps
    }

    fn errand(&mut self, fields: &Fields<'_>, key: &'static str, manner: &Manner) -> Vec<Step> {
        let Some(node) = fields.get(key) else { return Vec::new() };
        self.within(key, |this| {
            this.check_errand(node, key);
            this.is_setup = key == SETUP;
            let steps = this.steps(
                node,
                Home {
                    scenario: key,
                    purpose: if key == TEARDOWN { Purpose::Teardown } else { Purpose::Setup },
                    manner,
                },
            );
            this.is_setup = false;
            this.captured = this.defined.clone();
            this.check_names();
            steps
        })
    }

    /// Nobody is there any more to undo what the command made.
    fn check_errand(&mut self, node: &Node, key: &str) {
        match &node.value {
            Value::Scalar { .. } => {}
            Value::Sequence(items) => items.iter().for_each(|item| self.check_errand(item, key)),
            Value::Mapping(entries) => {
                for (name, value) in entries {
                    let is_cleanup = matches!(&name.value, Value::Scalar { text, .. } if text == "cleanup");
                    let makes = entries.iter().any(|(other, _)| {
                        matches!(&other.value, Value::Scalar { text, .. } if crate::keys::VERBS.contains(&text.as_str()))
                    });
                    if is_cleanup && makes {
                        let hint = Some("undo it in `teardown`".to_owned());
                        let message = format!("`cleanup` has no place in `{key}`");
                        self.error(name.span.clone(), "conflict", message, hint);
                    }
                    self.check_errand(value, key);
                }
            }
        }
    }

    /// What `setup` keeps is written into the bundle, so nothing of it may come of a secret: neither what is said to
    /// somebody who was sent one, nor values that are set. `from` is how many expressions there were before.
    pub(super) fn check_capture(&mut self, key: Option<&Node>, from: usize, manner: &Manner) {
        let headers = manner.headers.iter().flat_map(|(_, value)| value.expressions());
        let inherited = headers.into_iter().any(|expr| self.looks_at(expr, "secret"));
        let signed = manner.auth.is_some() && !self.secrets.is_empty();
        if self.is_setup && (inherited || signed || self.any_looks_at(from, "secret")) {
            self.told_secret = true;
            key.into_iter().for_each(|key| self.would_be_kept(key));
        }
    }

    /// The same for values that are set.
    pub(super) fn check_set(&mut self, key: &Node, from: usize) {
        let told = self.told_secret && self.any_looks_at(from, "response");
        if self.is_setup && (told || self.any_looks_at(from, "secret")) {
            self.would_be_kept(key);
        }
    }

    fn would_be_kept(&mut self, key: &Node) {
        let message = "what comes of a secret would be written down for the generators".to_owned();
        let hint = Some("do it in `before` of the scenarios, which keeps it to the user".to_owned());
        self.error(key.span.clone(), "secret", message, hint);
    }

    fn any_looks_at(&self, from: usize, name: &str) -> bool {
        self.uses.iter().skip(from).any(|used| self.looks_at(used.expr, name))
    }

    fn looks_at(&self, expr: crate::expression::Expr, name: &str) -> bool {
        self.program.names(expr).iter().any(|path| path.split('.').next() == Some(name))
    }
}
