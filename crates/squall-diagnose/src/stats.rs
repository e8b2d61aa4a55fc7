//! Methods that causes have in common. `docs/diagnosis.md` says where each comes from.

pub(crate) mod bootstrap;
pub(crate) mod changes;
pub(crate) mod erlang;
pub(crate) mod hinge;
pub(crate) mod robust;
pub(crate) mod trend;
pub(crate) mod usl;
pub(crate) mod usual;
