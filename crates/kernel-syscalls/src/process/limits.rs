//! Resource limits (getrlimit(2)).

use abi_linux::SysResult;
use abi_linux::process::Rlimit;
use kernel_base::user::UserRef;
use kernel_task::limits::Limit;

use crate::cx::Cx;

fn to_guest(limit: Limit) -> Rlimit {
    Rlimit { rlim_cur: limit.soft, rlim_max: limit.hard }
}

fn read(cx: &Cx, at: UserRef<Rlimit>) -> SysResult<Limit> {
    let new = cx.mem().read(at)?;
    Ok(Limit { soft: new.rlim_cur, hard: new.rlim_max })
}

/// getrlimit(2).
pub(crate) fn sys_getrlimit(cx: &Cx, resource: u32, rlim: UserRef<Rlimit>) -> SysResult<()> {
    let limit = cx.limit(0, resource, None)?;
    cx.mem().write(rlim, &to_guest(limit))
}

/// setrlimit(2).
pub(crate) fn sys_setrlimit(cx: &Cx, resource: u32, rlim: UserRef<Rlimit>) -> SysResult<()> {
    let new = read(cx, rlim)?;
    cx.limit(0, resource, Some(new)).map(drop)
}

/// prlimit(2).
pub(crate) fn sys_prlimit64(
    cx: &Cx,
    pid: i32,
    resource: u32,
    new_limit: UserRef<Rlimit>,
    old_limit: UserRef<Rlimit>,
) -> SysResult<()> {
    let new = new_limit.non_null().map(|at| read(cx, at)).transpose()?;
    let old = cx.limit(pid, resource, new)?;
    old_limit.non_null().map_or(Ok(()), |at| cx.mem().write(at, &to_guest(old)))
}
