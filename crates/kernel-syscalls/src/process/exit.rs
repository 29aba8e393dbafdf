//! exit(2) and exit_group(2): what the process holds is let go, then the host ends it.

use abi_linux::SysResult;

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
