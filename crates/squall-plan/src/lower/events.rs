//! `events`: what is kept and said of single requests.

use std::num::NonZeroU32;

use crate::keys;
use crate::model::EventSettings;
use crate::yaml::Node;

use super::Lowering;
use super::fields::Fields;

const LEAST_SHARE: u32 = 1_000_000;

impl Lowering<'_> {
    pub(super) fn events(&mut self, fields: &Fields<'_>) -> Option<EventSettings> {
        self.optional(fields, "events", Self::event_settings)
    }

    fn event_settings(&mut self, node: &Node) -> Option<EventSettings> {
        let fields = self.fields(node, &keys::EVENTS)?;
        let one_in = self.optional(&fields, "one_in", |this, node| this.count(node, 1, LEAST_SHARE));
        let traceparent = self.optional(&fields, "traceparent", Self::switch).unwrap_or_default();
        if fields.get("one_in").is_none() && !traceparent {
            let message = "nothing is kept of single requests, and nothing is said".to_owned();
            let hint = "write `one_in: 100`, `traceparent: true`, or both".to_owned();
            self.warning(node.span.clone(), "no-effect", message, Some(hint));
        }
        Some(EventSettings { one_in: one_in.and_then(NonZeroU32::new), traceparent })
    }
}
