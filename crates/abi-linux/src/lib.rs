//! The Linux x86_64 ABI as data: error numbers, structures as guests lay them out, and constants.
//!
//! Constants come from `linux-raw-sys` (re-exported as [`raw`]); what is here beside them are types
//! that the raw headers cannot give: [`Errno`], and structures that turn into bytes and back without
//! unsafe code.
#![forbid(unsafe_code)]

pub mod errno;
pub mod fs;
pub mod layouts;
pub mod names;
pub mod process;
pub mod seccomp;
pub mod signal;
pub mod time;

pub use errno::{Errno, SysResult};
/// Constants and plain structures generated from the kernel's headers.
pub use linux_raw_sys as raw;
