//! chmod(2) and chown(2).

use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserCStr;
use kernel_vfs::walk::WalkFlags;

use super::at::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, CWD, Target};
use crate::cx::Cx;

/// fchmodat2(2).
pub(crate) fn sys_fchmodat2(cx: &Cx, dirfd: Fd, path: UserCStr, mode: u32, flags: u32) -> SysResult<()> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let target = Target::read_with(cx, dirfd, path, flags)?;
    let flags = WalkFlags::from_at(flags);
    cx.with_walk(|walk| walk.chmod(&target.resolve(walk, flags)?, mode))
}

/// fchmodat(2): the system call has no flags.
pub(crate) fn sys_fchmodat(cx: &Cx, dirfd: Fd, path: UserCStr, mode: u32) -> SysResult<()> {
    sys_fchmodat2(cx, dirfd, path, mode, 0)
}

/// chmod(2).
pub(crate) fn sys_chmod(cx: &Cx, path: UserCStr, mode: u32) -> SysResult<()> {
    sys_fchmodat2(cx, CWD, path, mode, 0)
}

/// fchmod(2).
pub(crate) fn sys_fchmod(cx: &Cx, fd: Fd, mode: u32) -> SysResult<()> {
    let file = cx.file(fd)?;
    cx.with_walk(|walk| walk.chmod(&file.path, mode))
}

/// The container's ids of an owner and a group; -1 leaves one alone. EINVAL for one that the caller's user
/// namespace does not have.
fn owners(cx: &Cx, owner: u32, group: u32) -> SysResult<(Option<u32>, Option<u32>)> {
    let creds = cx.credentials();
    let known = |raw: u32, id: Option<u32>| {
        if raw == u32::MAX { Ok(None) } else { id.map(Some).ok_or(Errno::EINVAL) }
    };
    Ok((known(owner, creds.user_ns.uid(owner))?, known(group, creds.user_ns.gid(group))?))
}

/// fchownat(2).
pub(crate) fn sys_fchownat(
    cx: &Cx,
    dirfd: Fd,
    path: UserCStr,
    owner: u32,
    group: u32,
    flags: u32,
) -> SysResult<()> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let target = Target::read_with(cx, dirfd, path, flags)?;
    let flags = WalkFlags::from_at(flags);
    let (owner, group) = owners(cx, owner, group)?;
    cx.with_walk(|walk| walk.chown(&target.resolve(walk, flags)?, owner, group))
}

/// chown(2).
pub(crate) fn sys_chown(cx: &Cx, path: UserCStr, owner: u32, group: u32) -> SysResult<()> {
    sys_fchownat(cx, CWD, path, owner, group, 0)
}

/// lchown(2).
pub(crate) fn sys_lchown(cx: &Cx, path: UserCStr, owner: u32, group: u32) -> SysResult<()> {
    sys_fchownat(cx, CWD, path, owner, group, AT_SYMLINK_NOFOLLOW)
}

/// fchown(2).
pub(crate) fn sys_fchown(cx: &Cx, fd: Fd, owner: u32, group: u32) -> SysResult<()> {
    let file = cx.file(fd)?;
    let (owner, group) = owners(cx, owner, group)?;
    cx.with_walk(|walk| walk.chown(&file.path, owner, group))
}
