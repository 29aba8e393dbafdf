//! Process ids, user and group ids, capabilities: all from the books, none from the host.

pub(crate) mod capabilities;
pub(crate) mod groups;
pub(crate) mod users;

use abi_linux::SysResult;

use crate::cx::Cx;

/// getpid(2).
pub(crate) fn sys_getpid(cx: &Cx) -> SysResult<i32> {
    Ok(cx.process.pid)
}

/// getppid(2).
pub(crate) fn sys_getppid(cx: &Cx) -> SysResult<i32> {
    Ok(cx.process.ppid())
}
