//! Why the command could not do what it was asked.

use anyhow::Error;
use squall_report::ExitCode;

/// A failure that ends the command.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: ExitCode,
    error: Error,
    hint: Option<String>,
}

impl Failure {
    /// A plan or setting is wrong.
    pub(crate) fn wrong(error: impl Into<Error>) -> Self {
        Self { exit: ExitCode::Wrong, error: error.into(), hint: None }
    }

    /// What the command exits with because of it.
    pub(crate) fn exit(&self) -> ExitCode {
        self.exit
    }

    /// What went wrong, with its causes.
    pub(crate) fn words(&self) -> String {
        format!("{:#}", self.error)
    }

    /// What the user can do about it, if that is known.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What the user can do about it.
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Tells it on standard error, with its causes.
    pub(crate) fn tell(self) -> ExitCode {
        eprintln!("error: {:#}", self.error);
        if let Some(hint) = &self.hint {
            eprintln!("hint: {hint}");
        }
        self.exit
    }
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { exit: ExitCode::Error, error: error.into(), hint: None }
    }
}
