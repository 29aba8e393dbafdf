//! Typed host calls that rustix and nix lack: seccomp notification, other processes' memory, ptrace,
//! pidfds, namespaces, and what a child does between clone and exec.
//!
//! Every function is one host call (or the two or three that only make sense together) with owned and
//! borrowed descriptors, and gives an [`Errno`]. It decides nothing: policy is `platform-notify`'s.
//! There is no lock here.

pub mod child;
pub mod confine;
pub mod file_mode;
pub mod image;
pub mod memfd;
pub mod memory;
pub mod meter;
pub mod mounts;
pub mod namespace;
pub mod pidfd;
pub mod ptrace;
pub mod schedule;
pub mod seccomp;
pub mod signal;
pub mod socket;

use abi_linux::{Errno, SysResult};

/// The calling thread's errno as an [`Errno`].
pub(crate) fn last() -> Errno {
    Errno::from_raw(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// A host call's result, where -1 stands for errno.
pub(crate) fn check(ret: libc::c_int) -> SysResult<libc::c_int> {
    if ret == -1 { Err(last()) } else { Ok(ret) }
}

/// As [`check`], for syscall(2).
pub(crate) fn check_long(ret: libc::c_long) -> SysResult<libc::c_long> {
    if ret == -1 { Err(last()) } else { Ok(ret) }
}
