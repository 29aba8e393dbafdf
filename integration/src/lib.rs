//! Tests that run real programs twice: once under a *control* (the host itself, a chroot in namespaces of
//! its own, or runc) and once under Palisade, and compare what came out.
//!
//! Two halves share this crate. The harness ([`roots`], [`runner`], [`suite`], [`process`], [`pty`], [`bundle`],
//! [`host_state`], [`runtime`], [`containerd`], [`engines`]) runs on the host inside `cargo test`. [`guest`] is the frame of the guest programs in
//! `src/bin/guest_*.rs`, which assert Linux behaviour from the inside and know nothing of Palisade.
//!
//! Environment: `PALISADE=/path/to/palisade` tests another binary than the one of this build;
//! `INTEGRATION_ONLY=control` runs only the control sides, which is how the tests themselves are tested.

pub mod bundle;
pub mod containerd;
pub mod elf;
pub mod engines;
pub mod guest;
pub mod host_state;
pub mod network;
pub mod paths;
pub mod process;
pub mod pty;
pub mod roots;
pub mod runner;
pub mod runtime;
pub mod suite;
