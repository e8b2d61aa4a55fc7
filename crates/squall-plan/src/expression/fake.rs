//! Made-up values that look like those of people: `fake.name()` and its like, from the user's own random stream.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use fake::Fake;
use fake::faker::address::en::{
    BuildingNumber, CityName, CountryCode, CountryName, Latitude, Longitude, StateAbbr, StateName,
    StreetName, ZipCode,
};
use fake::faker::company::en::{CatchPhrase, CompanyName};
use fake::faker::creditcard::en::CreditCardNumber;
use fake::faker::currency::en::CurrencyCode;
use fake::faker::internet::en::{MACAddress, UserAgent};
use fake::faker::job::en::Title;
use fake::faker::lorem::en::{Paragraph, Sentence, Word};
use fake::faker::name::en::{FirstName, LastName, Name};
use fake::faker::phone_number::en::PhoneNumber;
use minijinja::value::{Object, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use rand::{Rng, RngExt};

use super::functions::draw;
use crate::random::Random;

/// Makes up a value.
type Make = fn(&mut Random) -> Value;

/// What can be made up.
pub(super) const MAKERS: [(&str, Make); 27] = [
    ("city", |random| text(&CityName(), random)),
    ("company", |random| text(&CompanyName(), random)),
    ("country", |random| text(&CountryName(), random)),
    ("country_code", |random| text(&CountryCode(), random)),
    ("credit_card", |random| text(&CreditCardNumber(), random)),
    ("currency", |random| text(&CurrencyCode(), random)),
    ("domain", |random| Value::from(domain(random))),
    ("email", |random| Value::from(email(random))),
    ("first_name", |random| text(&FirstName(), random)),
    ("ipv4", |random| Value::from(Ipv4Addr::from(random.next_u32()).to_string())),
    ("ipv6", |random| Value::from(ipv6(random))),
    ("job", |random| text(&Title(), random)),
    ("last_name", |random| text(&LastName(), random)),
    ("latitude", |random| Value::from(Latitude().fake_with_rng::<f64, _>(random))),
    ("longitude", |random| Value::from(Longitude().fake_with_rng::<f64, _>(random))),
    ("mac", |random| text(&MACAddress(), random)),
    ("name", |random| text(&Name(), random)),
    ("paragraph", |random| text(&Paragraph(3..7), random)),
    ("phone", |random| text(&PhoneNumber(), random)),
    ("sentence", |random| text(&Sentence(4..11), random)),
    ("slogan", |random| text(&CatchPhrase(), random)),
    ("state", |random| text(&StateName(), random)),
    ("state_code", |random| text(&StateAbbr(), random)),
    ("street", |random| Value::from(street(random))),
    ("user_agent", |random| text(&UserAgent(), random)),
    ("word", |random| text(&Word(), random)),
    ("zip", |random| text(&ZipCode(), random)),
];

/// What `fake` is: each maker is a method.
#[derive(Debug)]
pub(super) struct Makers;

impl Object for Makers {
    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        let make = MAKERS.iter().find(|(name, _)| *name == method);
        let (_, make) = make.ok_or_else(|| Error::from(ErrorKind::UnknownMethod))?;
        from_args::<()>(args)?;
        draw(state, make)
    }
}

fn text<T>(faker: &T, random: &mut Random) -> Value
where
    String: fake::Dummy<T>,
{
    Value::from(faker.fake_with_rng::<String, _>(random))
}

/// A name under which nobody gets mail (RFC 2606).
fn domain(random: &mut Random) -> String {
    let end = ["com", "net", "org"][random.random_range(0..3)];
    format!("{}.example.{end}", Word().fake_with_rng::<String, _>(random))
}

/// One of so many that few users get the same.
fn email(random: &mut Random) -> String {
    let part = |name: String| {
        let name = name.to_lowercase();
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>()
    };
    let (first, last) = (FirstName().fake_with_rng(random), LastName().fake_with_rng(random));
    let (first, last) = (part(first), part(last));
    let (number, end) = (random.random_range(0..100_000), ["com", "net", "org"][random.random_range(0..3)]);
    format!("{first}.{last}{number}@example.{end}")
}

fn street(random: &mut Random) -> String {
    let number: String = BuildingNumber().fake_with_rng(random);
    format!("{number} {}", StreetName().fake_with_rng::<String, _>(random))
}

/// One of those that are kept for documentation (RFC 3849).
fn ipv6(random: &mut Random) -> String {
    let host = random.next_u64();
    Ipv6Addr::from((0x2001_0db8_u128 << 96) | u128::from(host)).to_string()
}
