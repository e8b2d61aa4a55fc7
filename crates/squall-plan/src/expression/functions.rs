//! The functions and filters that Squall adds to Jinja's own.

use std::sync::Arc;

use minijinja::{Environment, Error, ErrorKind, State, Value};
use rand::{Rng, RngExt};

use super::scope::{SELF, Scope};
use crate::random::Random;

pub(super) const NAMES: [&str; 3] = ["random_choice", "random_int", "uuid"];

pub(super) fn register(environment: &mut Environment<'static>) {
    environment.add_function("random_choice", random_choice);
    environment.add_function("random_int", random_int);
    environment.add_function("uuid", uuid);
    environment.add_filter("raw", raw);
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

fn draw<T>(state: &State<'_, '_>, draw: impl FnOnce(&mut Random) -> T) -> Result<T, Error> {
    let scope = state.lookup(SELF).and_then(|value| value.downcast_object::<Scope>());
    let scope: Arc<Scope> = scope.ok_or_else(|| invalid("randomness is for users, not for constants"))?;
    Ok(scope.with_random(draw))
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}
