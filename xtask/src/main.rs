//! The habits of this repository, one verb each.
fn main() {}
