//! What runs on AWS cost, in words.

use anyhow::anyhow;
use squall_fleet::cost::{Billed, Expected, Item, REGION, date, total};
use squall_report::{CostItem, count, dollars, duration_s};

use crate::failure::Failure;
use crate::size::generators;

/// Whose prices they are, and of when.
pub(crate) fn prices() -> String {
    format!("{REGION}, {}", date())
}

/// Items as results show them.
pub(crate) fn items(items: &[Item]) -> Vec<CostItem> {
    let item = |item: &Item| {
        let price = item.billed.price();
        CostItem {
            what: item.billed.name().to_owned(),
            quantity: item.quantity,
            unit: price.unit.to_owned(),
            price_usd: price.usd,
            per: price.per,
            usd: item.usd(),
            estimated: item.is_estimated,
        }
    };
    items.iter().map(item).collect()
}

/// A line for each item: what it costs, what it is, and how that was computed.
pub(crate) fn lines(items: &[Item]) -> Vec<String> {
    let line = |item: &CostItem| format!("{:<9} {:<13} {}", dollars(item.usd), item.what, item.arithmetic());
    self::items(items).iter().map(line).collect()
}

/// `$0.17 for 4 generators and 1 spare of 1,769 MB over 5m`
pub(crate) fn in_words(expected: &Expected, items: &[Item]) -> String {
    let spares = match expected.spares {
        0 => String::new(),
        1 => " and 1 spare".to_owned(),
        number => format!(" and {} spares", count(u64::from(number))),
    };
    format!(
        "{} for {}{spares} of {} MB over {}",
        dollars(total(items)),
        generators(expected.seats),
        count(u64::from(expected.function.memory_mb)),
        duration_s(expected.load.as_secs_f64()),
    )
}

/// Whether a run may cost what it is estimated to.
pub(crate) fn check_max(items: &[Item], most: Option<f64>) -> Result<(), Failure> {
    let (Some(most), cost) = (most, total(items)) else { return Ok(()) };
    if cost <= most {
        return Ok(());
    }
    let lines: Vec<String> = lines(items).into_iter().map(|line| format!("\n  {line}")).collect();
    let what = anyhow!(
        "the run is estimated to cost {}, and --max-cost is {}; by the prices of {}:{}",
        dollars(cost),
        dollars(most),
        prices(),
        lines.concat()
    );
    // What costs most is the first.
    let lower = match items.first().map(|item| item.billed) {
        Some(Billed::RequestData) => {
            "most is for the data that requests send: lower the load, --duration, or the size of bodies"
        }
        Some(Billed::Pollers) => {
            "most is for pollers, which up to 100 generators with their spares do without: take fewer --generators"
        }
        Some(Billed::Writes | Billed::Reads | Billed::CommandData | Billed::QueueRequests) => {
            "most is for what generators write and read: take fewer --generators, or a shorter --duration"
        }
        _ => {
            "most is for the time of generators: take fewer --generators, a shorter --duration, or less memory \
              (`squall deploy --memory MB`)"
        }
    };
    Err(Failure::wrong(what).with_hint(format!("{lower}; or allow more with --max-cost")))
}

#[cfg(test)]
mod tests {
    use squall_fleet::sizing::Architecture;

    use super::*;

    fn item(billed: Billed, quantity: f64) -> Item {
        Item { billed, quantity, is_estimated: true }
    }

    #[test]
    fn a_run_that_is_too_dear_is_refused_with_what_makes_it_so() {
        let time = item(Billed::GeneratorTime(Architecture::X86), 60_000.0);
        let data = item(Billed::RequestData, 30.0);
        let refused = |items: &[Item], most: f64| {
            check_max(items, Some(most)).err().map(|failure| format!("{failure:?}"))
        };
        assert!(check_max(&[time], None).is_ok() && refused(&[time], 1.1).is_none());
        let said = refused(&[time], 0.99).unwrap();
        for word in [
            "cost $1.00, and --max-cost is $0.99",
            "60,000 GB-s × $0.0000166667",
            "fewer --generators",
            "Wrong",
        ] {
            assert!(said.contains(word), "{said}");
        }
        assert!(refused(&[data, time], 0.0).unwrap().contains("size of bodies"));
    }

    #[test]
    fn items_fit_a_terminal() {
        let all = [
            Billed::GeneratorTime(Architecture::X86),
            Billed::GeneratorTime(Architecture::Arm),
            Billed::Invocations,
            Billed::QueueRequests,
            Billed::Pollers,
            Billed::Writes,
            Billed::Reads,
            Billed::RequestData,
            Billed::CommandData,
        ];
        for quantity in [0.000_01, 1.0, 9_999_999.0] {
            for line in lines(&all.map(|billed| item(billed, quantity))) {
                assert!(line.chars().count() <= 66, "{line}");
            }
        }
    }
}
