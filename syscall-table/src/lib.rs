//! The one list of system calls, and what is derived from it.
#![forbid(unsafe_code)]

pub mod plan;
pub mod seccomp;
