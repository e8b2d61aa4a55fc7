//! The functions and filters that Squall adds to Jinja's own.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use rand::{Rng, RngExt};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::parse_strftime_owned;
use time::format_description::well_known::Rfc3339;

use super::scope::{SELF, Scope};
use crate::random::Random;
use crate::units::parse_duration;

pub(super) const NAMES: [&str; 8] =
    ["date", "hmac_sha256", "now", "random_choice", "random_float", "random_int", "random_string", "uuid"];

/// What needs no user: the same arguments give the same value.
pub(super) const CONSTANT: [&str; 1] = ["hmac_sha256"];

/// A longer text is surely a mistake.
const MAX_STRING: usize = 1024 * 1024;

const LETTERS_AND_DIGITS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

pub(super) fn register(environment: &mut Environment<'static>) {
    environment.add_function("random_choice", random_choice);
    environment.add_function("random_int", random_int);
    environment.add_function("random_float", random_float);
    environment.add_function("random_string", random_string);
    environment.add_function("uuid", uuid);
    environment.add_function("now", now);
    environment.add_function("date", date);
    environment.add_function("hmac_sha256", hmac_sha256);
    environment.add_filter("raw", raw);
    environment.add_filter("base64", base64);
    environment.add_filter("sha256", sha256);
}

/// One of the items, each equally likely.
fn random_choice(state: &State<'_, '_>, items: &Value) -> Result<Value, Error> {
    let length = items.len().unwrap_or(0);
    if length == 0 {
        return Err(invalid("random_choice needs a list with at least one item"));
    }
    let index = draw(state, |random| random.random_range(0..length))?;
    items.get_item_by_index(index)
}

/// A whole number between the two, both included.
fn random_int(state: &State<'_, '_>, low: i64, high: i64) -> Result<i64, Error> {
    if low > high {
        return Err(invalid("random_int needs its lower bound first"));
    }
    draw(state, |random| random.random_range(low..=high))
}

/// A number from the first up to the second.
fn random_float(state: &State<'_, '_>, low: f64, high: f64) -> Result<f64, Error> {
    if !(low.is_finite() && high.is_finite() && low <= high) {
        return Err(invalid("random_float needs its lower bound first"));
    }
    draw(state, |random| random.random_range(low..=high))
}

/// So many characters of an alphabet: letters and digits unless it is given.
fn random_string(state: &State<'_, '_>, length: usize, alphabet: Option<&str>) -> Result<String, Error> {
    let alphabet: Vec<char> = alphabet.unwrap_or(LETTERS_AND_DIGITS).chars().collect();
    if alphabet.is_empty() || length > MAX_STRING {
        return Err(invalid("random_string needs an alphabet, and a length up to 1048576"));
    }
    draw(state, |random| (0..length).map(|_| alphabet[random.random_range(0..alphabet.len())]).collect())
}

/// Milliseconds since 1970.
fn now(state: &State<'_, '_>) -> Result<i64, Error> {
    Ok(scope_of(state)?.now_ms())
}

/// A point in time as text, in UTC: now, or as much later as `offset` says (`-1d`, `2h30m`).
fn date(state: &State<'_, '_>, offset: Option<&str>, format: Option<&str>) -> Result<String, Error> {
    let offset_ms = offset.map_or(Some(0), parse_offset_ms);
    let offset_ms = offset_ms.ok_or_else(|| invalid("date needs an offset such as `-1d` or `2h30m`"))?;
    let at_ms = scope_of(state)?.now_ms().saturating_add(offset_ms);
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000)
        .map_err(|_| invalid("date is beyond what can be written"))?;
    let text = match format {
        None => at.format(&Rfc3339),
        Some(format) => {
            let format = parse_strftime_owned(format)
                .map_err(|_| invalid("date needs a format such as `%Y-%m-%d`"))?;
            at.format(&format)
        }
    };
    text.map_err(|_| invalid("date cannot be written in this format"))
}

fn parse_offset_ms(text: &str) -> Option<i64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let ms = parse_duration(text).ok()?.as_millis();
    i64::try_from(ms).ok().map(|ms| sign * ms)
}

/// HMAC with SHA-256 (RFC 2104), in hexadecimal.
fn hmac_sha256(key: &str, text: &str) -> Result<String, Error> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(|_| invalid("hmac needs a key"))?;
    hmac.update(text.as_bytes());
    Ok(hex::encode(hmac.finalize().into_bytes()))
}

/// SHA-256 of a text, in hexadecimal.
fn sha256(value: &Value) -> String {
    hex::encode(Sha256::digest(super::to_text(value)))
}

/// A version 4 UUID.
fn uuid(state: &State<'_, '_>) -> Result<String, Error> {
    let bits = draw(state, |random| (u128::from(random.next_u64()) << 64) | u128::from(random.next_u64()))?;
    // RFC 9562: version 4 in bits 48 to 51, variant `10` in bits 64 and 65, from the left.
    let bits = bits & !(0xf << 76) | (0x4 << 76);
    let bits = bits & !(0x3 << 62) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

/// Keeps a value in a URL as it is, without percent-encoding.
fn raw(value: &Value) -> Value {
    Value::from_safe_string(super::to_text(value))
}

/// A text in base 64.
fn base64(value: &Value) -> String {
    STANDARD.encode(super::to_text(value))
}

pub(super) fn draw<T>(state: &State<'_, '_>, draw: impl FnOnce(&mut Random) -> T) -> Result<T, Error> {
    Ok(scope_of(state)?.with_random(draw))
}

fn scope_of(state: &State<'_, '_>) -> Result<Arc<Scope>, Error> {
    let scope = state.lookup(SELF).and_then(|value| value.downcast_object::<Scope>());
    scope.ok_or_else(|| invalid("this is for users, not for constants"))
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}
