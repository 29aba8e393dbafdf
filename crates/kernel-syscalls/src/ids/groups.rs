//! Group ids (credentials(7)).

use abi_linux::{Errno, SysResult};
use kernel_base::cred::Credentials;
use kernel_base::user::UserRef;
use kernel_task::credentials::{self, KEEP, NGROUPS_MAX};

use crate::cx::Cx;

/// The container's ids for those of the caller's user namespace; -1 stays. EINVAL for one without a mapping.
fn known_or_kept<const N: usize>(creds: &Credentials, ids: [u32; N]) -> SysResult<[u32; N]> {
    let mut known = ids;
    for id in known.iter_mut().filter(|id| **id != KEEP) {
        *id = creds.user_ns.gid(*id).ok_or(Errno::EINVAL)?;
    }
    Ok(known)
}

/// getgid(2).
pub(crate) fn sys_getgid(cx: &Cx) -> SysResult<u32> {
    let creds = cx.credentials();
    Ok(creds.user_ns.show_gid(creds.rgid))
}

/// getegid(2).
pub(crate) fn sys_getegid(cx: &Cx) -> SysResult<u32> {
    let creds = cx.credentials();
    Ok(creds.user_ns.show_gid(creds.egid))
}

/// setgid(2).
pub(crate) fn sys_setgid(cx: &Cx, gid: u32) -> SysResult<()> {
    cx.change_credentials(|old| {
        let gid = old.user_ns.gid(gid).ok_or(Errno::EINVAL)?;
        credentials::set_gid(old, gid)
    })
}

/// setregid(2).
pub(crate) fn sys_setregid(cx: &Cx, rgid: u32, egid: u32) -> SysResult<()> {
    cx.change_credentials(|old| {
        let [rgid, egid] = known_or_kept(old, [rgid, egid])?;
        credentials::set_regid(old, rgid, egid)
    })
}

/// setresgid(2).
pub(crate) fn sys_setresgid(cx: &Cx, rgid: u32, egid: u32, sgid: u32) -> SysResult<()> {
    cx.change_credentials(|old| credentials::set_resgid(old, known_or_kept(old, [rgid, egid, sgid])?))
}

/// getresgid(2).
pub(crate) fn sys_getresgid(
    cx: &Cx,
    rgid: UserRef<u32>,
    egid: UserRef<u32>,
    sgid: UserRef<u32>,
) -> SysResult<()> {
    let creds = cx.credentials();
    cx.mem().write(rgid, &creds.user_ns.show_gid(creds.rgid))?;
    cx.mem().write(egid, &creds.user_ns.show_gid(creds.egid))?;
    cx.mem().write(sgid, &creds.user_ns.show_gid(creds.sgid))
}

/// setfsgid(2): answers the old one, changed or not.
pub(crate) fn sys_setfsgid(cx: &Cx, fsgid: u32) -> SysResult<u32> {
    let old = cx.credentials();
    if let Some(fsgid) = old.user_ns.gid(fsgid) {
        cx.change_credentials(|creds| Ok(credentials::set_fsgid(creds, fsgid)))?;
    }
    Ok(old.user_ns.show_gid(old.fsgid))
}

/// getgroups(2). Size 0 asks for the count alone.
pub(crate) fn sys_getgroups(cx: &Cx, size: i32, list: u64) -> SysResult<usize> {
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    let creds = cx.credentials();
    let groups: Vec<u32> = creds.groups.iter().map(|&gid| creds.user_ns.show_gid(gid)).collect();
    if size > 0 {
        if groups.len() > size {
            return Err(Errno::EINVAL);
        }
        cx.mem().write_array(UserRef::new(list), &groups)?;
    }
    Ok(groups.len())
}

/// setgroups(2). Permission comes before the list (kernel/groups.c).
pub(crate) fn sys_setgroups(cx: &Cx, size: i32, list: UserRef<u32>) -> SysResult<()> {
    credentials::check_set_groups(&cx.credentials())?;
    let size = usize::try_from(size).ok().filter(|&size| size <= NGROUPS_MAX).ok_or(Errno::EINVAL)?;
    let groups = cx.mem().read_array(list, size)?;
    cx.change_credentials(|old| {
        let known =
            groups.iter().map(|&gid| old.user_ns.gid(gid).ok_or(Errno::EINVAL)).collect::<SysResult<_>>()?;
        credentials::set_groups(old, known)
    })
}
