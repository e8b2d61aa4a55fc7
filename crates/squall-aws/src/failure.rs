//! From the SDK's errors to the fleet's: what kind it is, and what AWS said.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use squall_fleet::{StoreError, StoreErrorKind};
use thiserror::Error;

/// What AWS said, or why it could not be asked.
#[derive(Debug, Error)]
pub(crate) enum Said {
    /// An answer with an error code.
    #[error("{message} ({code})")]
    Code { code: String, message: String },
    /// No answer.
    #[error("{0}")]
    Silence(String),
}

/// `action` completes "cannot …", and names the permission it needs.
pub(crate) fn failure<E>(action: impl Into<String>, error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    StoreError { kind: kind(error), action: action.into(), source: Some(Box::new(said(error))) }
}

/// The status of the answer, if there was one.
pub(crate) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

pub(crate) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

fn kind<E>(error: &SdkError<E, HttpResponse>) -> StoreErrorKind
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if has_cause::<CredentialsError>(error) {
        return StoreErrorKind::Unauthenticated;
    }
    let by_code = code(error).and_then(kind_of_code);
    by_code.unwrap_or_else(|| match status(error) {
        Some(412) => StoreErrorKind::ConditionFailed,
        Some(401 | 403) => StoreErrorKind::Denied,
        Some(429 | 500..) => StoreErrorKind::Unavailable,
        Some(_) => StoreErrorKind::Other,
        // It never left this machine, or nobody answered.
        None if matches!(error, SdkError::ConstructionFailure(_)) => StoreErrorKind::Other,
        None => StoreErrorKind::Unavailable,
    })
}

/// What the services' codes mean, where their status does not say it.
fn kind_of_code(code: &str) -> Option<StoreErrorKind> {
    Some(match code {
        "PreconditionFailed" => StoreErrorKind::ConditionFailed,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "InvalidToken"
        | "MissingAuthenticationToken"
        | "SignatureDoesNotMatch"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "TokenRefreshRequired"
        | "UnrecognizedClientException" => StoreErrorKind::Unauthenticated,
        "AccessDenied" | "AccessDeniedException" => StoreErrorKind::Denied,
        "NoSuchBucket"
        | "AWS.SimpleQueueService.NonExistentQueue"
        | "QueueDoesNotExist"
        | "ResourceNotFoundException" => StoreErrorKind::Gone,
        "ConditionalRequestConflict"
        | "ResourceConflictException"
        | "ResourceInUseException"
        | "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequestsException" => StoreErrorKind::Unavailable,
        _ => return None,
    })
}

fn said<E>(error: &SdkError<E, HttpResponse>) -> Said
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match (code(error), status(error)) {
        (Some(code), _) => {
            let message = error.as_service_error().and_then(ProvideErrorMetadata::message);
            Said::Code { code: code.to_owned(), message: message.unwrap_or("no message").to_owned() }
        }
        (None, Some(status)) => Said::Silence(format!("answered with status {status}")),
        (None, None) => {
            let causes = std::iter::successors(error.source(), |error| (*error).source());
            let texts: Vec<String> = causes.map(ToString::to_string).collect();
            Said::Silence(if texts.is_empty() { error.to_string() } else { texts.join(": ") })
        }
    }
}

fn has_cause<C: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| (*error).source()).any(<dyn Error>::is::<C>)
}
