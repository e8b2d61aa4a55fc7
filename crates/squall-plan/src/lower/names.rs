//! Constants, and what expressions may refer to.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use minijinja::Value;
use url::Url;

use crate::expression::{
    CONSTANT_FUNCTIONS, Constants, Expr, FUNCTIONS, GLOBALS, JsonNode, JsonTemplate, OF_USERS,
    ProgramBuilder, RUN, SLICE, Scope, Template, fakes,
};
use crate::random::iteration_stream;
use crate::secrets::SecretSource;
use crate::yaml::Node;

use super::Lowering;
use super::fields::{Fields, closest};

/// Functions of Jinja itself.
const JINJA: [&str; 3] = ["range", "dict", "namespace"];

impl Lowering<'_> {
    /// Evaluates `variables`, in the order of the text, and what `--var` puts in their place.
    pub(super) fn variables(&mut self, fields: &Fields<'_>) {
        if let Some(node) = fields.get("variables") {
            self.within("variables", |this| {
                for (name, key, value) in this.entries(node) {
                    this.within(name, |this| {
                        this.check_variable(key, name);
                        let given = this.bundle.inputs.variables.contains_key(name);
                        if let Some(value) = this.constant_json(value).filter(|_| !given) {
                            this.variables.push((name.to_owned(), value));
                        }
                    });
                }
            });
        }
        for (name, text) in &self.bundle.inputs.variables {
            let plain =
                Node { span: 0..0, value: crate::yaml::Value::Scalar { text: text.clone(), plain: true } };
            let value = self.json(&plain).map(|node| literal(&node)).unwrap_or_default();
            self.variables.push((name.clone(), value));
        }
        self.uses.clear();
    }

    /// Whether an expression has the same value for every user.
    pub(super) fn is_constant(&self, expr: Expr) -> bool {
        let is_variable = |root: &str| self.variables.iter().any(|(name, _)| name == root);
        self.program.names(expr).iter().all(|name| {
            let root = name.split('.').next().unwrap_or_default();
            let is_captured = self.defined.iter().any(|name| name == root);
            !is_captured
                && (["env", "secret"].contains(&root)
                    || is_variable(root)
                    || CONSTANT_FUNCTIONS.contains(&root))
        })
    }

    /// A name that a variable or capture may have.
    pub(super) fn check_variable(&mut self, key: &Node, name: &str) {
        let identifier = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !identifier {
            let hint = Some("use letters, digits and `_`, and no digit first".to_owned());
            self.error(key.span.clone(), "bad-variable", format!("`{name}` is no variable name"), hint);
        } else if GLOBALS.contains(&name) || FUNCTIONS.contains(&name) || JINJA.contains(&name) {
            self.error(key.span.clone(), "bad-variable", format!("`{name}` has a meaning of its own"), None);
        }
    }

    /// The target: from the command line if it is given there, else from the plan.
    pub(super) fn target(&mut self, fields: &Fields<'_>) -> Option<Url> {
        let node = fields.get("target")?;
        self.within("target", |this| {
            let text = match this.bundle.inputs.target.clone() {
                Some(target) => target,
                None => this.constant_text(node)?,
            };
            let url = parse_target(&text);
            if let Err(message) = &url {
                let hint = Some("write an address such as `https://staging.example.com`".to_owned());
                this.error(node.span.clone(), "bad-target", format!("target `{text}` {message}"), hint);
            }
            if let Some(host) = url.as_ref().ok().and_then(Url::host_str) {
                this.check_address(node, host);
            }
            url.ok()
        })
    }

    pub(super) fn constant_text(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node)?;
        let template = self.constant(node, |builder| builder.template(&text))?;
        let (program, scope, template) = template;
        let mut out = String::new();
        match template.render(&program, &scope, &mut out) {
            Ok(()) => Some(out),
            Err(error) => {
                self.error(node.span.clone(), "undefined", error.to_string(), None);
                None
            }
        }
    }

    /// The value of JSON whose expressions need no user.
    pub(super) fn constant_json(&mut self, node: &Node) -> Option<Value> {
        let outer = std::mem::take(&mut self.program);
        let json = self.json(node);
        let program = std::mem::replace(&mut self.program, outer);
        let uses = std::mem::take(&mut self.uses);
        let known = uses.iter().all(|used| self.check_known(&program, used.expr, used.span.clone()));
        let (json, program) = (json?, program.finish().ok()?);
        if !known {
            return None;
        }
        let scope = self.constant_scope();
        let evaluated = match &json {
            JsonNode::Text(template) => template.value(&program, &scope),
            other => {
                let mut text = String::new();
                JsonTemplate::new(other).render(&program, &scope, &mut text).map(|()| {
                    // What was just written is JSON.
                    serde_json::from_str(&text)
                        .map(|json| crate::expression::from_json(&json))
                        .unwrap_or_default()
                })
            }
        };
        evaluated.map_err(|error| self.error(node.span.clone(), "undefined", error.to_string(), None)).ok()
    }

    /// A text whose expressions need no user, and which is evaluated where it is used.
    pub(super) fn constant_template(&mut self, node: &Node) -> Option<Template> {
        let text = self.text(node)?;
        let template = self.compile(node, &text, ProgramBuilder::template)?;
        let program = std::mem::take(&mut self.program);
        let known = template.expressions().all(|expr| self.check_constant(&program, expr, node.span.clone()));
        self.program = program;
        known.then_some(template)
    }

    /// Compiles a text whose expressions need no user.
    fn constant(
        &mut self,
        node: &Node,
        build: impl FnOnce(&mut ProgramBuilder) -> Result<Template, crate::expression::ExpressionError>,
    ) -> Option<(crate::expression::Program, Arc<Scope>, Template)> {
        let mut builder = ProgramBuilder::new();
        let template = match build(&mut builder) {
            Ok(template) => template,
            Err(error) => {
                let text = self.text(node)?;
                let span = self.place_in(node, &text, error.at.as_ref());
                self.error(span, "expression-syntax", format!("not an expression: {}", error.message), None);
                return None;
            }
        };
        let known = template.expressions().all(|expr| self.check_known(&builder, expr, node.span.clone()));
        if !known {
            return None;
        }
        Some((builder.finish().ok()?, self.constant_scope(), template))
    }

    fn constant_scope(&self) -> Arc<Scope> {
        let (variables, env) = (self.variables.clone(), Value::from(self.env.clone()));
        let constants = Constants { variables, env, ..Constants::default() };
        Scope::new(Arc::new(constants), 0, iteration_stream(0, 0, 0, 0))
    }

    /// The same for an expression that is evaluated here and now.
    fn check_known(&mut self, builder: &ProgramBuilder, expr: Expr, span: Range<usize>) -> bool {
        if builder.names(expr).iter().any(|name| name.split('.').next() == Some("secret")) {
            let message = "only generators know what a secret is".to_owned();
            let hint = Some("use it in a request itself".to_owned());
            self.error(span, "not-constant", message, hint);
            return false;
        }
        self.check_constant(builder, expr, span)
    }

    /// Whether an expression that needs no user refers only to what there is without one.
    fn check_constant(&mut self, builder: &ProgramBuilder, expr: Expr, span: Range<usize>) -> bool {
        let mut good = true;
        for name in builder.names(expr) {
            let root = name.split('.').next().unwrap_or_default();
            let is_function = FUNCTIONS.contains(&root) && !CONSTANT_FUNCTIONS.contains(&root);
            if is_function || OF_USERS.contains(&root) || self.feeders.iter().any(|known| known.name == root)
            {
                let message = format!("`{root}` belongs to a user, and there is none here");
                self.error(span.clone(), "not-constant", message, None);
                good = false;
            }
        }
        let unknown = unknown_words(builder, expr);
        good && self.check_words(unknown, &span)
            && self.check_expression(builder.text(expr), builder.names(expr), span, &[])
    }

    /// A variable that the current scenario gives values.
    pub(super) fn define(&mut self, key: &Node, name: &str) {
        self.check_variable(key, name);
        self.defined.push(name.to_owned());
    }

    /// Checks what the expressions since the last time refer to; which data that is.
    pub(super) fn check_names(&mut self) -> Vec<usize> {
        let captures = std::mem::take(&mut self.defined);
        let mut data = BTreeSet::new();
        for used in std::mem::take(&mut self.uses) {
            let (text, names) =
                (self.program.text(used.expr).to_owned(), self.program.names(used.expr).clone());
            let unknown = unknown_words(&self.program, used.expr);
            let path = std::mem::replace(&mut self.path, vec![used.path]);
            self.check_words(unknown, &used.span);
            self.check_expression(&text, &names, used.span, &captures);
            self.path = path;
            let root = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
            let index = |name: String| self.feeders.iter().position(|known| known.name == name);
            data.extend(names.iter().filter_map(|name| index(root(name))));
        }
        data.into_iter().collect()
    }

    fn check_words(&mut self, unknown: Vec<(String, Option<String>)>, span: &Range<usize>) -> bool {
        let good = unknown.is_empty();
        for (message, hint) in unknown {
            self.error(span.clone(), "undefined", message, hint);
        }
        good
    }

    /// A CSV has the columns that its first line names, and no others.
    fn check_column(&mut self, root: &str, rest: Option<&str>, span: &Range<usize>) -> bool {
        let Some(column) = rest.and_then(|rest| rest.split('.').next()) else { return true };
        let known = self.feeders.iter().find(|known| known.name == root);
        let Some(columns) = known.and_then(|known| known.columns.as_ref()) else { return true };
        if columns.iter().any(|known| known == column) {
            return true;
        }
        let hint = match closest(column, columns.iter().map(String::as_str)) {
            Some(close) => format!("did you mean `{root}.{close}`?"),
            None => format!("its columns are {}", columns.join(", ")),
        };
        self.error(span.clone(), "undefined", format!("`{root}` has no column `{column}`"), Some(hint));
        false
    }

    fn check_expression(
        &mut self,
        text: &str,
        names: &BTreeSet<String>,
        span: Range<usize>,
        captures: &[String],
    ) -> bool {
        // An expression that asks whether a name is there may name what is not.
        let asks = text.contains("defined") || text.contains("default");
        let mut good = true;
        for name in names {
            let (root, rest) =
                name.split_once('.').map_or((name.as_str(), None), |(root, rest)| (root, Some(rest)));
            if root == "env" {
                good &= self.check_env(rest, asks, span.clone());
                continue;
            }
            good &= match root {
                "fake" => self.check_member(root, rest, fakes(), span.clone()),
                "run" => self.check_member(root, rest, RUN.into_iter(), span.clone()),
                "secret" => self.check_secret(rest, span.clone()),
                "slice" => self.check_member(root, rest, SLICE.into_iter(), span.clone()),
                _ => true,
            };
            let (is_known, close) = {
                let variables = self.variables.iter().map(|(name, _)| name.as_str());
                let known = variables
                    .chain(captures.iter().map(String::as_str))
                    .chain(self.shared.iter().map(String::as_str))
                    .chain(self.feeders.iter().map(|known| known.name.as_str()))
                    .chain(GLOBALS)
                    .chain(FUNCTIONS)
                    .chain(JINJA);
                let is_known = known.clone().any(|known| known == root);
                (is_known, if is_known { None } else { closest(root, known).map(str::to_owned) })
            };
            if is_known {
                good &= asks || self.check_column(root, rest, &span);
                continue;
            }
            let hint = match close {
                Some(close) => format!("did you mean `{close}`?"),
                None => "define it under `variables`, or capture it".to_owned(),
            };
            if asks {
                // A default is a value; the answer to a question that is always no is rather a slip.
                if text.contains("defined") {
                    let message = format!("nothing gives `{root}` a value");
                    self.warning(span.clone(), "undefined", message, Some(hint));
                }
                continue;
            }
            self.error(span.clone(), "undefined", format!("variable `{root}` is undefined"), Some(hint));
            good = false;
        }
        good
    }

    /// Whether a secret that an expression wants is one of the plan's.
    fn check_secret(&mut self, name: Option<&str>, span: Range<usize>) -> bool {
        let names: Vec<String> = self.secrets.iter().map(|secret| secret.name.clone()).collect();
        if names.is_empty() {
            let hint = Some("define it under `secrets`".to_owned());
            self.error(span, "undefined", "plan has no secrets".to_owned(), hint);
            return false;
        }
        self.check_member("secret", name, names.iter().map(String::as_str), span)
    }

    /// Whether what an expression wants of a name is there.
    fn check_member<'m>(
        &mut self,
        root: &str,
        member: Option<&str>,
        known: impl Iterator<Item = &'m str> + Clone,
        span: Range<usize>,
    ) -> bool {
        if root == "slice" {
            let message = "what depends on `slice` depends on how many slices there are".to_owned();
            let hint = Some("a journey is the same on any number of slices only without it".to_owned());
            self.warning(span.clone(), "depends-on-slices", message, hint);
        }
        let member = member.map(|member| member.split('.').next().unwrap_or(member));
        if member.is_some_and(|member| known.clone().any(|known| known == member)) {
            return true;
        }
        let (message, close) = match member {
            Some(member) => (format!("`{root}` has no `{member}`"), closest(member, known.clone())),
            None => (format!("`{root}` is not a value by itself"), None),
        };
        let hint = match close {
            Some(close) => format!("did you mean `{root}.{close}`?"),
            None => format!("`{root}` has {}", known.collect::<Vec<_>>().join(", ")),
        };
        self.error(span, "undefined", message, Some(hint));
        false
    }

    /// Keeps the value of an environment variable that an expression mentions.
    fn check_env(&mut self, name: Option<&str>, asks: bool, span: Range<usize>) -> bool {
        let Some(name) = name.and_then(|rest| rest.split('.').next()) else {
            let hint = Some("write `env.NAME`".to_owned());
            self.error(span, "env", "`env` needs the name of a variable".to_owned(), hint);
            return false;
        };
        let secret = self
            .secrets
            .iter()
            .find(|secret| matches!(&secret.source, SecretSource::Env(env) if env == name));
        if let Some(secret) = secret {
            let hint = Some(format!("write `secret.{}`", secret.name));
            let message = format!("environment variable `{name}` is a secret, and would be written down");
            self.error(span, "secret", message, hint);
            return false;
        }
        match self.bundle.inputs.env.get(name) {
            Some(value) => {
                self.env.insert(name.to_owned(), value.clone());
                true
            }
            None if asks => {
                self.unset_env.insert(name.to_owned());
                true
            }
            None => {
                let hint = Some(format!("set it, or write `env.{name} | default('…')`"));
                self.error(span, "env", format!("environment variable `{name}` is not set"), hint);
                false
            }
        }
    }
}

/// The filters and tests of an expression that are not there, and what may be meant.
fn unknown_words(builder: &ProgramBuilder, expr: Expr) -> Vec<(String, Option<String>)> {
    let unknown = builder.unknown_words(expr).into_iter().map(|word| {
        let close = closest(word.name(), word.known().iter().copied());
        let message = format!("there is no {} `{}`", word.kind(), word.name());
        (message, close.map(|close| format!("did you mean `{close}`?")))
    });
    unknown.collect()
}

fn literal(node: &JsonNode) -> Value {
    match node {
        JsonNode::Bool(value) => Value::from(*value),
        JsonNode::Number(number) => crate::expression::from_json(&serde_json::Value::Number(number.clone())),
        JsonNode::Text(template) => Value::from(template.as_literal().unwrap_or_default()),
        _ => Value::from(()),
    }
}

fn parse_target(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is no URL")?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err("is neither http nor https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user name; send it as a header");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or fragment");
    }
    Ok(url)
}
