//! What a run cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::numbers::{count, significant};

/// What it cost, in US dollars: list prices, without free tiers and taxes. A local run costs nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Before the run.
    pub estimated_usd: Option<f64>,
    /// After it: the sum of the items.
    pub actual_usd: Option<f64>,
    /// Per million requests; null without requests.
    pub per_million_requests_usd: Option<f64>,
    /// Whose prices, and of when; empty for a local run.
    #[serde(default)]
    pub prices: String,
    /// What for, what costs most first.
    pub items: Vec<CostItem>,
}

/// What one thing cost: `usd` is `quantity` times `price_usd` over `per`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CostItem {
    /// What.
    pub what: String,
    /// How much of it.
    pub quantity: f64,
    /// In which unit.
    pub unit: String,
    /// What so many units cost.
    pub price_usd: f64,
    /// How many.
    pub per: u32,
    /// What it cost.
    pub usd: f64,
    /// Whether the quantity was computed, and not counted.
    #[serde(default)]
    pub estimated: bool,
}

impl Cost {
    /// Of threads of one's own machine.
    #[must_use]
    pub fn free() -> Self {
        let nothing = Some(0.0);
        Self {
            estimated_usd: nothing,
            actual_usd: nothing,
            per_million_requests_usd: nothing,
            prices: String::new(),
            items: Vec::new(),
        }
    }

    /// Of a run that was to cost so much, used these items, and made so many requests.
    #[must_use]
    pub fn new(estimated_usd: Option<f64>, items: Vec<CostItem>, requests: u64, prices: String) -> Self {
        let actual: f64 = items.iter().map(|item| item.usd).sum();
        Self {
            estimated_usd,
            actual_usd: Some(actual),
            per_million_requests_usd: (requests > 0).then(|| actual * 1e6 / requests as f64),
            prices,
            items,
        }
    }

    /// What it came to, in two sentences; `None` where it cost nothing.
    pub(crate) fn in_words(&self) -> Option<[String; 2]> {
        let actual = self.actual_usd.filter(|_| !self.items.is_empty())?;
        let before = self.estimated_usd.map(|usd| format!(" ({} estimated before)", dollars(usd)));
        let each =
            self.per_million_requests_usd.map(|usd| format!(" · {} per million requests", dollars(usd)));
        let computed: f64 = self.items.iter().filter(|item| item.estimated).map(|item| item.usd).sum();
        Some([
            format!("{}{}{}", dollars(actual), before.unwrap_or_default(), each.unwrap_or_default()),
            format!("{} of it computed, the rest counted · prices of {}", dollars(computed), self.prices),
        ])
    }
}

impl CostItem {
    /// `1,234 requests × $0.005 per thousand`
    #[must_use]
    pub fn arithmetic(&self) -> String {
        let per = match self.per {
            1 => String::new(),
            1_000 => " per thousand".to_owned(),
            1_000_000 => " per million".to_owned(),
            other => format!(" per {}", count(u64::from(other))),
        };
        format!("{} {} × ${}{per}", quantity(self.quantity), self.unit, decimals(self.price_usd))
    }
}

/// An amount of money: dollars to the cent, less than one in two significant digits.
#[must_use]
pub fn dollars(usd: f64) -> String {
    if usd >= 0.995 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "prices of tests fit by far"
        )]
        let cents = (usd * 100.0).round() as u64;
        return format!("${}.{:02}", count(cents / 100), cents % 100);
    }
    if usd < 0.000_005 {
        return if usd > 0.0 { "<$0.00001".to_owned() } else { "$0".to_owned() };
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 6")]
    let places = (1.0 - usd.log10().floor()).clamp(2.0, 6.0) as usize;
    format!("${usd:.places$}")
}

/// How much of something: small amounts in more digits.
fn quantity(number: f64) -> String {
    if number.fract() == 0.0 && number < 1e15 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and in range")]
        return count(number as u64);
    }
    if number >= 0.1 { significant(number) } else { decimals((number * 1e6).round() / 1e6) }
}

/// A number without zeros at its end.
fn decimals(number: f64) -> String {
    let text = format!("{number:.10}");
    let text = text.trim_end_matches('0');
    match text.split_once('.') {
        Some((whole, decimals)) if decimals.len() < 2 => format!("{whole}.{decimals:0<2}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_written_as_people_read_it() {
        let amounts = [0.0, 1e-9, 0.000_012, 0.004_2, 0.05, 0.237, 0.994, 0.999, 1.0, 12.345, 1_234.5];
        let expected = [
            "$0",
            "<$0.00001",
            "$0.000012",
            "$0.0042",
            "$0.050",
            "$0.24",
            "$0.99",
            "$1.00",
            "$1.00",
            "$12.35",
            "$1,234.50",
        ];
        assert_eq!(amounts.map(dollars), expected);
    }

    #[test]
    fn the_arithmetic_of_an_item_can_be_done_again() {
        let check = |quantity: f64, unit: &str, price_usd: f64, per: u32, expected: &str| {
            let item = CostItem { quantity, unit: unit.to_owned(), price_usd, per, ..CostItem::default() };
            assert_eq!(item.arithmetic(), expected);
        };
        check(1_234.56, "GB-s", 0.000_016_666_7, 1, "1,235 GB-s × $0.0000166667");
        check(5.0, "invocations", 0.2, 1_000_000, "5 invocations × $0.20 per million");
        check(0.25, "unit-hours", 0.009_25, 1, "0.25 unit-hours × $0.00925");
        check(0.000_123_4, "GB", 0.09, 1, "0.000123 GB × $0.09");
        check(12.5, "requests", 0.0004, 1_000, "12.5 requests × $0.0004 per thousand");
    }

    #[test]
    fn a_run_without_requests_has_no_price_for_them() {
        let items = || vec![CostItem { usd: 0.5, ..CostItem::default() }; 2];
        assert_eq!(Cost::new(Some(0.9), items(), 0, String::new()).per_million_requests_usd, None);
        let cost = Cost::new(Some(0.9), items(), 500_000, String::new());
        assert_eq!((cost.actual_usd, cost.per_million_requests_usd), (Some(1.0), Some(2.0)));
    }
}
