//! User ids (credentials(7)).

use abi_linux::{Errno, SysResult};
use kernel_base::cred::Credentials;
use kernel_base::user::UserRef;
use kernel_task::credentials::{self, KEEP};

use crate::cx::Cx;

/// The container's ids for those of the caller's user namespace; -1 stays. EINVAL for one without a mapping.
fn known_or_kept<const N: usize>(creds: &Credentials, ids: [u32; N]) -> SysResult<[u32; N]> {
    let mut known = ids;
    for id in known.iter_mut().filter(|id| **id != KEEP) {
        *id = creds.user_ns.uid(*id).ok_or(Errno::EINVAL)?;
    }
    Ok(known)
}

/// getuid(2).
pub(crate) fn sys_getuid(cx: &Cx) -> SysResult<u32> {
    let creds = cx.credentials();
    Ok(creds.user_ns.show_uid(creds.ruid))
}

/// geteuid(2).
pub(crate) fn sys_geteuid(cx: &Cx) -> SysResult<u32> {
    let creds = cx.credentials();
    Ok(creds.user_ns.show_uid(creds.euid))
}

/// setuid(2).
pub(crate) fn sys_setuid(cx: &Cx, uid: u32) -> SysResult<()> {
    cx.change_credentials(|old| {
        let uid = old.user_ns.uid(uid).ok_or(Errno::EINVAL)?;
        credentials::set_uid(old, uid)
    })
}

/// setreuid(2).
pub(crate) fn sys_setreuid(cx: &Cx, ruid: u32, euid: u32) -> SysResult<()> {
    cx.change_credentials(|old| {
        let [ruid, euid] = known_or_kept(old, [ruid, euid])?;
        credentials::set_reuid(old, ruid, euid)
    })
}

/// setresuid(2).
pub(crate) fn sys_setresuid(cx: &Cx, ruid: u32, euid: u32, suid: u32) -> SysResult<()> {
    cx.change_credentials(|old| credentials::set_resuid(old, known_or_kept(old, [ruid, euid, suid])?))
}

/// getresuid(2).
pub(crate) fn sys_getresuid(
    cx: &Cx,
    ruid: UserRef<u32>,
    euid: UserRef<u32>,
    suid: UserRef<u32>,
) -> SysResult<()> {
    let creds = cx.credentials();
    cx.mem().write(ruid, &creds.user_ns.show_uid(creds.ruid))?;
    cx.mem().write(euid, &creds.user_ns.show_uid(creds.euid))?;
    cx.mem().write(suid, &creds.user_ns.show_uid(creds.suid))
}

/// setfsuid(2): answers the old one, changed or not.
pub(crate) fn sys_setfsuid(cx: &Cx, fsuid: u32) -> SysResult<u32> {
    let old = cx.credentials();
    if let Some(fsuid) = old.user_ns.uid(fsuid) {
        cx.change_credentials(|creds| Ok(credentials::set_fsuid(creds, fsuid)))?;
    }
    Ok(old.user_ns.show_uid(old.fsuid))
}
