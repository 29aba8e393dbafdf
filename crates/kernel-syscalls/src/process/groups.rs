//! Process groups and sessions (credentials(7)). Changes are the host's too, as its signals go by them.

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_task::Process;

use crate::cx::{Cx, Outcome};

fn process(cx: &Cx, pid: i32) -> SysResult<Arc<Process>> {
    match pid {
        0 => Ok(Arc::clone(&cx.process)),
        _ => cx.kernel().process_or_zombie(pid).ok_or(Errno::ESRCH),
    }
}

/// setpgid(2).
pub(crate) fn sys_setpgid(cx: &Cx, pid: i32, pgid: i32) -> SysResult<Outcome> {
    cx.set_pgid(pid, pgid)?;
    Ok(Outcome::Continue)
}

/// getpgid(2).
pub(crate) fn sys_getpgid(cx: &Cx, pid: i32) -> SysResult<i32> {
    process(cx, pid).map(|process| process.pgid())
}

/// getpgrp(2).
pub(crate) fn sys_getpgrp(cx: &Cx) -> SysResult<i32> {
    Ok(cx.process.pgid())
}

/// setsid(2).
pub(crate) fn sys_setsid(cx: &Cx) -> SysResult<Outcome> {
    cx.set_sid()?;
    Ok(Outcome::Continue)
}

/// getsid(2).
pub(crate) fn sys_getsid(cx: &Cx, pid: i32) -> SysResult<i32> {
    process(cx, pid).map(|process| process.sid())
}
