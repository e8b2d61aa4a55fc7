//! Methods that causes have in common. `docs/diagnosis.md` says where each comes from.

pub(crate) mod bootstrap;
pub(crate) mod changes;
pub(crate) mod counts;
pub(crate) mod hinge;
pub(crate) mod mixture;
pub(crate) mod robust;
pub(crate) mod trend;
pub(crate) mod usl;
