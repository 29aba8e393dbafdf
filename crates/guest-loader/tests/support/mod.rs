//! The harness of the loader tests.

pub(crate) mod elf;
pub(crate) mod supervisor;
