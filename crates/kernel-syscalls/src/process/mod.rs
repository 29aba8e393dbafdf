//! Processes: clone, exec, exit, signals to others, groups and sessions, limits, prctl.

pub(crate) mod clone;
pub(crate) mod exec;
pub(crate) mod exit;
pub(crate) mod groups;
pub(crate) mod kill;
pub(crate) mod limits;
pub(crate) mod namespaces;
pub(crate) mod pidfd;
pub(crate) mod prctl;
pub(crate) mod remote;
pub(crate) mod seccomp;

use abi_linux::{Errno, SysResult};
use kernel_base::user::TASK_SIZE;

/// A pointer that the host will read or write itself: it must be the guest's own. Null is let through, as
/// the host answers EFAULT or takes it as "none".
pub(crate) fn check_pointer(addr: u64) -> SysResult<()> {
    if addr < TASK_SIZE { Ok(()) } else { Err(Errno::EFAULT) }
}
