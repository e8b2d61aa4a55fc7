//! From errors of the libraries below to outcomes.

use std::error::Error;
use std::io;

use squall_metrics::Outcome;

use crate::connect::ConnectError;

/// What a failed connection counts as.
pub(crate) fn of_connect(error: &ConnectError) -> Outcome {
    match error {
        ConnectError::Dns(_) => Outcome::Dns,
        ConnectError::Tls(_) => Outcome::Tls,
        ConnectError::Tcp(error) => of_io(error).unwrap_or(Outcome::Refused),
    }
}

/// What a broken exchange counts as.
pub(crate) fn of_exchange(error: &hyper::Error) -> Outcome {
    if let Some(outcome) = find::<io::Error>(error).and_then(of_io) {
        return outcome;
    }
    if error.is_parse() {
        return Outcome::Protocol;
    }
    if find::<rustls::Error>(error).is_some() {
        return Outcome::Tls;
    }
    // What is left is a connection that ended before its time.
    Outcome::Reset
}

fn of_io(error: &io::Error) -> Option<Outcome> {
    /// Too many open files, in this process and on the machine; no free local port.
    const OWN_LIMITS: [i32; 3] = [24, 23, 99];
    if error.raw_os_error().is_some_and(|code| OWN_LIMITS.contains(&code)) {
        return Some(Outcome::Generator);
    }
    if error.get_ref().is_some_and(
        <dyn std::error::Error + std::marker::Send + std::marker::Sync + 'static>::is::<rustls::Error>,
    ) {
        return Some(Outcome::Tls);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Some(Outcome::Refused),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Some(Outcome::Reset),
        io::ErrorKind::TimedOut => Some(Outcome::Timeout),
        _ => None,
    }
}

/// The first cause of a type in the chain of an error's sources.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
