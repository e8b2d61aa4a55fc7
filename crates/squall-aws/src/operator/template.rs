//! The template that a fleet is deployed from.

/// `infra/squall.yaml`, as it was when the command was built.
pub const TEMPLATE: &str = include_str!("../../../../infra/squall.yaml");

#[cfg(test)]
mod tests;
