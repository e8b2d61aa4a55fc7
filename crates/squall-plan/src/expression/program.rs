//! The compiled expressions of a plan.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use minijinja::{Environment, Error, ErrorKind, Expression, UndefinedBehavior, Value};
use self_cell::self_cell;
use thiserror::Error;

use super::words::{Word, words};
use super::{functions, scope::Scope};

/// Steps that one evaluation may take; an expression that needs more does not end.
const FUEL: u64 = 100_000;

/// Which of a [`Program`]'s expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expr(usize);

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// What is wrong.
    pub message: String,
    /// The bytes of the given text at fault, where known.
    pub at: Option<Range<usize>>,
}

/// Why an expression has no value for this user.
#[derive(Debug, Error)]
pub enum EvalError {
    /// It needs a variable that has no value (yet).
    #[error("variable `{name}` is undefined")]
    Undefined {
        /// The variable, or the path into it that leads nowhere.
        name: String,
    },
    /// It needs a row of data, and there is none left.
    #[error("no row of `{name}` is left")]
    NoRow {
        /// The data.
        name: String,
    },
    /// It did not end within its steps.
    #[error("expression `{expression}` does not end")]
    Endless {
        /// Its text.
        expression: String,
    },
    /// It cannot be evaluated.
    #[error("expression `{expression}` fails")]
    Failed {
        /// Its text.
        expression: String,
        /// Why.
        #[source]
        source: Box<Error>,
    },
}

/// How an undefined variable is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It fails the evaluation.
    Value,
    /// It and all that is looked up in it are undefined, so that `is defined` works on a chain.
    Condition,
}

#[derive(Debug)]
struct Source {
    text: String,
    mode: Mode,
    names: BTreeSet<String>,
}

/// Collects a plan's expressions, telling at once which texts are none.
#[derive(Debug, Default)]
pub struct ProgramBuilder {
    environments: Environments,
    sources: Vec<Source>,
}

impl ProgramBuilder {
    /// Without expressions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an expression whose value is needed: an undefined variable fails it.
    pub fn value(&mut self, text: &str) -> Result<Expr, ExpressionError> {
        self.add(text, Mode::Value)
    }

    /// Adds an expression that decides: an undefined variable, or anything in it, is undefined.
    pub fn condition(&mut self, text: &str) -> Result<Expr, ExpressionError> {
        self.add(text, Mode::Condition)
    }

    /// The names that the expression looks up, with their paths (`job.status`), functions included.
    #[must_use]
    pub fn names(&self, expr: Expr) -> &BTreeSet<String> {
        &self.sources[expr.0].names
    }

    /// The expression's text.
    #[must_use]
    pub fn text(&self, expr: Expr) -> &str {
        &self.sources[expr.0].text
    }

    /// The filters and tests that the expression names and that are not there.
    #[must_use]
    pub fn unknown_words(&self, expr: Expr) -> Vec<Word<'_>> {
        words(self.text(expr)).into_iter().filter(|word| !self.knows(*word)).collect()
    }

    /// Whether there is such a filter or test.
    #[must_use]
    pub fn knows(&self, word: Word<'_>) -> bool {
        let text = format!("'{}' is {}", word.name(), word.kind());
        let known = self.environments.value.compile_expression_owned(text).and_then(|asks| asks.eval(()));
        known.is_ok_and(|known| known.is_true())
    }

    /// Whether any expression looks that name up.
    #[must_use]
    pub fn mentions(&self, name: &str) -> bool {
        let root = |path: &String| path.split('.').next() == Some(name);
        self.sources.iter().any(|source| source.names.iter().any(root))
    }

    /// Whether any expression looks up what is at a path, such as `secret.password`.
    #[must_use]
    pub fn looks_up(&self, path: &str) -> bool {
        let is_it = |name: &String| {
            name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.sources.iter().any(|source| source.names.iter().any(is_it))
    }

    /// Compiles all that was added.
    pub fn finish(self) -> Result<Program, ExpressionError> {
        let sources = self.sources;
        let cell = Compiled::try_new(self.environments, |environments| {
            sources
                .iter()
                .map(|source| environments.compile(source))
                .collect::<Result<Vec<_>, _>>()
                .map(Expressions)
        })?;
        Ok(Program { compiled: cell, sources })
    }

    fn add(&mut self, text: &str, mode: Mode) -> Result<Expr, ExpressionError> {
        let text = text.trim();
        let mut source = Source { text: text.to_owned(), mode, names: BTreeSet::new() };
        source.names = self.environments.compile(&source)?.undeclared_variables(true).into_iter().collect();
        self.sources.push(source);
        Ok(Expr(self.sources.len() - 1))
    }
}

#[derive(Debug)]
struct Environments {
    value: Environment<'static>,
    condition: Environment<'static>,
}

impl Default for Environments {
    fn default() -> Self {
        let environment = |undefined| {
            let mut environment = Environment::new();
            environment.set_undefined_behavior(undefined);
            environment.set_fuel(Some(FUEL));
            environment.remove_global("debug");
            functions::register(&mut environment);
            environment
        };
        Self {
            value: environment(UndefinedBehavior::Strict),
            condition: environment(UndefinedBehavior::Chainable),
        }
    }
}

impl Environments {
    fn compile(&self, source: &Source) -> Result<Expression<'_, 'static>, ExpressionError> {
        let environment = match source.mode {
            Mode::Value => &self.value,
            Mode::Condition => &self.condition,
        };
        environment.compile_expression_owned(source.text.clone()).map_err(|error| ExpressionError {
            message: error.detail().map_or_else(|| error.kind().to_string(), str::to_owned),
            at: error.range(),
        })
    }
}

struct Expressions<'a>(Vec<Expression<'a, 'static>>);

self_cell! {
    struct Compiled {
        owner: Environments,
        #[not_covariant]
        dependent: Expressions,
    }
}

/// Every expression of a plan, compiled.
pub struct Program {
    compiled: Compiled,
    sources: Vec<Source>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.sources.iter().map(|source| &source.text)).finish()
    }
}

impl Program {
    /// The value of an expression for a user.
    pub fn eval(&self, expr: Expr, scope: &Arc<Scope>) -> Result<Value, EvalError> {
        let context = Value::from_dyn_object(scope.clone());
        let source = &self.sources[expr.0];
        let result = self.compiled.with_dependent(|_, expressions| expressions.0[expr.0].eval(context));
        match result {
            Ok(value) if value.is_undefined() && source.mode == Mode::Value => Err(undefined(source, scope)),
            Ok(value) => Ok(value),
            Err(error) => Err(match error.kind() {
                ErrorKind::UndefinedError => undefined(source, scope),
                ErrorKind::OutOfFuel => EvalError::Endless { expression: source.text.clone() },
                _ => EvalError::Failed { expression: source.text.clone(), source: Box::new(error) },
            }),
        }
    }

    /// The expression's text.
    #[must_use]
    pub fn text(&self, expr: Expr) -> &str {
        self.sources.get(expr.0).map_or("", |source| &source.text)
    }

    /// Whether a condition holds for a user.
    pub fn holds(&self, condition: Expr, scope: &Arc<Scope>) -> Result<bool, EvalError> {
        self.eval(condition, scope).map(|value| value.is_true())
    }
}

/// minijinja does not say which variable was undefined, so the first of the expression's names that leads
/// nowhere is found again.
fn undefined(source: &Source, scope: &Scope) -> EvalError {
    let is_of = |path: &String, data: &str| path.split('.').next() == Some(data);
    if let Some(data) = scope.lacks()
        && source.names.iter().any(|path| is_of(path, data))
    {
        return EvalError::NoRow { name: data.to_owned() };
    }
    let leads_nowhere = |path: &&String| {
        let mut segments = path.split('.');
        let root = segments.next().and_then(|root| scope.seen(root));
        segments
            .try_fold(root?, |value, segment| value.get_attr(segment).ok())
            .filter(|value| !value.is_undefined())
    };
    let is_function = |name: &str| super::FUNCTIONS.contains(&name) || name.starts_with("fake.");
    let names = source.names.iter().filter(|name| !is_function(name));
    let name = names.clone().find(|path| leads_nowhere(path).is_none()).or_else(|| names.clone().next());
    EvalError::Undefined { name: name.unwrap_or(&source.text).clone() }
}
