//! User ids (credentials(7)).

use abi_linux::SysResult;
use kernel_base::user::UserRef;
use kernel_task::credentials;

use crate::cx::Cx;

/// getuid(2).
pub(crate) fn sys_getuid(cx: &Cx) -> SysResult<u32> {
    Ok(cx.process.credentials().ruid)
}

/// geteuid(2).
pub(crate) fn sys_geteuid(cx: &Cx) -> SysResult<u32> {
    Ok(cx.process.credentials().euid)
}

/// setuid(2).
pub(crate) fn sys_setuid(cx: &Cx, uid: u32) -> SysResult<()> {
    cx.process.change_credentials(|old| credentials::set_uid(old, uid))
}

/// setreuid(2).
pub(crate) fn sys_setreuid(cx: &Cx, ruid: u32, euid: u32) -> SysResult<()> {
    cx.process.change_credentials(|old| credentials::set_reuid(old, ruid, euid))
}

/// setresuid(2).
pub(crate) fn sys_setresuid(cx: &Cx, ruid: u32, euid: u32, suid: u32) -> SysResult<()> {
    cx.process.change_credentials(|old| credentials::set_resuid(old, [ruid, euid, suid]))
}

/// getresuid(2).
pub(crate) fn sys_getresuid(
    cx: &Cx,
    ruid: UserRef<u32>,
    euid: UserRef<u32>,
    suid: UserRef<u32>,
) -> SysResult<()> {
    let creds = cx.process.credentials();
    cx.mem().write(ruid, &creds.ruid)?;
    cx.mem().write(euid, &creds.euid)?;
    cx.mem().write(suid, &creds.suid)
}

/// setfsuid(2): answers the old one, changed or not.
pub(crate) fn sys_setfsuid(cx: &Cx, fsuid: u32) -> SysResult<u32> {
    let old = cx.process.credentials().fsuid;
    cx.process.change_credentials(|creds| Ok(credentials::set_fsuid(creds, fsuid)))?;
    Ok(old)
}
