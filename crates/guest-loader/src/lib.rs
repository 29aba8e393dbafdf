//! The program that turns a fresh host process into a running guest image.
//!
//! The host kernel never parses a guest's ELF file. An execve of the guest is substituted by an execveat
//! of the loader, a static position-independent program of a few KiB that this crate's build script
//! compiles from `src/program/` and that [`LOADER`] holds. The supervisor reads and checks the headers in
//! safe Rust, and gives the loader a list of mappings to make: a [`LoadPlan`].
//!
//! The library has no unsafe code; the program (which runs inside the guest, with the guest's rights) has.
//! Neighbours: `kernel-task` makes plans, `platform-notify` keeps [`LOADER`] in a sealed memfd.

#![forbid(unsafe_code)]

pub mod protocol;

mod plan;

pub use plan::{LoadPlan, Object, Placement, PlanError, Segment, encode_init};

/// The loader program: a static PIE with one read-only executable segment and no relocation. It wants to
/// be executed with the guest's argv and envp, from a descriptor that nobody can write.
pub static LOADER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/loader"));
