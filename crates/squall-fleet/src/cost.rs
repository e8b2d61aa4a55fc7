//! What a run on AWS costs: before it from what it is to be, after it from what it used.

mod actual;
mod estimate;
mod prices;

pub use actual::{Used, actual};
pub use estimate::{Expected, estimate};
pub use prices::{Billed, Price, REGION, date};

/// An item of a bill.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Item {
    /// What is paid for.
    pub billed: Billed,
    /// How much of it.
    pub quantity: f64,
    /// Whether that was computed, and not counted.
    pub is_estimated: bool,
}

impl Item {
    const fn estimated(billed: Billed, quantity: f64) -> Self {
        Self { billed, quantity, is_estimated: true }
    }

    const fn counted(billed: Billed, quantity: f64) -> Self {
        Self { billed, quantity, is_estimated: false }
    }

    /// What it costs.
    #[must_use]
    pub fn usd(&self) -> f64 {
        let price = self.billed.price();
        self.quantity * price.usd / f64::from(price.per)
    }
}

/// What all items cost together.
#[must_use]
pub fn total(items: &[Item]) -> f64 {
    items.iter().map(Item::usd).sum()
}

/// Items of which there is something, what costs most first.
fn bill(items: impl IntoIterator<Item = Item>) -> Vec<Item> {
    let mut items: Vec<Item> = items.into_iter().filter(|item| item.quantity > 0.0).collect();
    items.sort_by(|one, other| other.usd().total_cmp(&one.usd()));
    items
}

#[cfg(test)]
pub(crate) fn quantity(items: &[Item], billed: Billed) -> f64 {
    items.iter().filter(|item| item.billed == billed).map(|item| item.quantity).sum()
}
