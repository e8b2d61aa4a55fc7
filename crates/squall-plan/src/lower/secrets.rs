//! `secrets`: where they are kept.

use crate::keys;
use crate::secrets::{Secret, SecretSource};
use crate::yaml::Node;

use super::Lowering;
use super::fields::Fields;

impl Lowering<'_> {
    pub(super) fn secrets(&mut self, fields: &Fields<'_>) {
        let Some(node) = fields.get("secrets") else { return };
        self.within("secrets", |this| {
            for (name, key, node) in this.entries(node) {
                this.check_variable(key, name);
                // One whose place is wrong has been told; that it is there is known all the same.
                let source = this.within(name, |this| this.source_of_secret(node));
                let source = source.unwrap_or_else(|| SecretSource::Env(String::new()));
                this.secrets.push(Secret { name: name.to_owned(), source, is_of_telemetry: false });
            }
        });
    }

    fn source_of_secret(&mut self, node: &Node) -> Option<SecretSource> {
        let fields = self.fields(node, &keys::SECRET)?;
        let found = fields.present(&["env", "ssm", "secrets_manager"]);
        let [(kind, _)] = found.as_slice() else {
            let message = "a secret is in one of `env`, `ssm` and `secrets_manager`".to_owned();
            let span = found.get(1).map_or(node.span.clone(), |(_, key)| key.span.clone());
            self.error(span, "conflict", message, None);
            return None;
        };
        let value = fields.get(kind)?;
        self.within(kind, |this| {
            let text = this.text(value)?;
            if text.is_empty() || text.contains("{{") {
                let message = "where a secret is kept is written out".to_owned();
                this.error(value.span.clone(), "secret", message, None);
                return None;
            }
            Some(match *kind {
                "env" => {
                    this.check_secret_env(value, &text);
                    SecretSource::Env(text)
                }
                "ssm" => SecretSource::Ssm(text),
                _ => match text.split_once('#') {
                    Some((id, key)) => {
                        SecretSource::SecretsManager { id: id.to_owned(), key: Some(key.to_owned()) }
                    }
                    None => SecretSource::SecretsManager { id: text, key: None },
                },
            })
        })
    }

    /// Where the whole environment is known, a secret in it must be there.
    fn check_secret_env(&mut self, node: &Node, name: &str) {
        let inputs = &self.bundle.inputs;
        if inputs.has_whole_env && !inputs.env.contains_key(name) {
            let message = format!("environment variable `{name}` is not set");
            let hint = Some(format!("set it, as in `{name}=… squall run`; only local runs see it"));
            self.error(node.span.clone(), "secret", message, hint);
        }
    }
}
