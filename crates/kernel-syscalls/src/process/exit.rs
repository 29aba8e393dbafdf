//! exit(2) and exit_group(2): what the process holds is let go, then the host ends it. wait4(2): the host waits.

use abi_linux::SysResult;
use kernel_base::user::UserRef;

use super::check_pointer;
use crate::cx::{Cx, Outcome};

/// exit(2): the calling thread alone.
pub(crate) fn sys_exit(cx: &Cx, status: i32) -> SysResult<Outcome> {
    cx.exit_thread(status);
    Ok(Outcome::Continue)
}

/// exit_group(2).
pub(crate) fn sys_exit_group(cx: &Cx, status: i32) -> SysResult<Outcome> {
    cx.exit_group(status);
    Ok(Outcome::Continue)
}

/// wait4(2).
pub(crate) fn sys_wait4(
    cx: &Cx,
    pid: i32,
    wstatus: UserRef<i32>,
    _options: u32,
    rusage: UserRef<[u8; 144]>,
) -> SysResult<Outcome> {
    check_pointer(wstatus.addr())?;
    check_pointer(rusage.addr())?;
    cx.task.waits_for(pid);
    Ok(Outcome::Continue)
}
