//! From errors of the libraries below to outcomes.

use std::error::Error;
use std::io;

use squall_metrics::Outcome;

use crate::connect::ConnectError;

/// What a failed connection counts as.
pub(crate) fn of_connect(error: &ConnectError) -> Outcome {
    match error {
        ConnectError::Dns(error) if error.kind() == io::ErrorKind::TimedOut => Outcome::Timeout,
        ConnectError::Dns(_) => Outcome::Dns,
        ConnectError::Tls(_) => Outcome::Tls,
        ConnectError::Tcp(error) => of_io(error).unwrap_or(Outcome::Refused),
        ConnectError::Proxy(_) => Outcome::Refused,
        ConnectError::Forbidden(_) => Outcome::Forbidden,
        ConnectError::NoHttp2 => Outcome::Protocol,
    }
}

/// What a broken exchange counts as.
pub(crate) fn of_exchange(error: &hyper::Error) -> Outcome {
    if error.is_parse_too_large() {
        return Outcome::TooLarge;
    }
    if let Some(outcome) = find::<io::Error>(error).and_then(of_io) {
        return outcome;
    }
    if let Some(error) = find::<h2::Error>(error) {
        return of_http2(error);
    }
    // Of a body that is not put together as it should be, hyper tells in the words of I/O.
    let malformed = find::<io::Error>(error).is_some_and(|error| {
        matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
    });
    if error.is_parse() || malformed {
        return Outcome::Protocol;
    }
    if find::<rustls::Error>(error).is_some() {
        return Outcome::Tls;
    }
    // What is left is a connection that ended before its time.
    Outcome::Reset
}

/// Who ends a stream or a connection in HTTP/2 does so with a reason; ending it ourselves is what a peer that breaks
/// the protocol makes us do.
fn of_http2(error: &h2::Error) -> Outcome {
    if error.is_io() || error.is_remote() || !(error.is_reset() || error.is_go_away()) {
        return if error.is_library() { Outcome::Protocol } else { Outcome::Reset };
    }
    Outcome::Protocol
}

/// Whether the server says that it has done nothing with the request: sending it again is safe.
pub(crate) fn is_refused_stream(error: &hyper::Error) -> bool {
    find::<h2::Error>(error).and_then(h2::Error::reason) == Some(h2::Reason::REFUSED_STREAM)
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

/// An error with what caused it, in one line.
pub(crate) fn in_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_words = cause.to_string();
        // Some wrappers say what they wrap.
        if !words.ends_with(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        next = cause.source();
    }
    words
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
