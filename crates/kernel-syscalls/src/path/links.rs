//! link(2), symlink(2), readlink(2), unlink(2), rename(2).

use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserCStr;
use kernel_vfs::ops::RenameFlags;
use kernel_vfs::walk::WalkFlags;

use super::at::{AT_EMPTY_PATH, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, CWD, Target};
use crate::cx::Cx;

/// linkat(2).
pub(crate) fn sys_linkat(
    cx: &Cx,
    old_dirfd: Fd,
    old_path: UserCStr,
    new_dirfd: Fd,
    new_path: UserCStr,
    flags: u32,
) -> SysResult<()> {
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let old = Target::read_with(cx, old_dirfd, old_path, flags)?;
    let flags = WalkFlags::from_at_follow(flags);
    let new = Target::read(cx, new_dirfd, new_path).or_else(|errno| {
        // What is wrong about the old name is told first.
        cx.with_walk(|walk| old.resolve(walk, flags)).and(Err(errno))
    })?;
    cx.with_walk(|walk| walk.link(old.at.as_ref(), &old.path, flags, new.at.as_ref(), &new.path))
}

/// link(2).
pub(crate) fn sys_link(cx: &Cx, old_path: UserCStr, new_path: UserCStr) -> SysResult<()> {
    sys_linkat(cx, CWD, old_path, CWD, new_path, 0)
}

/// symlinkat(2).
pub(crate) fn sys_symlinkat(cx: &Cx, target: UserCStr, dirfd: Fd, path: UserCStr) -> SysResult<()> {
    let text = cx.mem().read_path(target)?;
    let new = Target::read(cx, dirfd, path)?;
    cx.with_walk(|walk| walk.symlink(&text, new.at.as_ref(), &new.path))
}

/// symlink(2).
pub(crate) fn sys_symlink(cx: &Cx, target: UserCStr, path: UserCStr) -> SysResult<()> {
    sys_symlinkat(cx, target, CWD, path)
}

/// readlinkat(2). An empty path reads the link that `dirfd` was opened on with O_PATH | O_NOFOLLOW; no
/// other empty path is found.
pub(crate) fn sys_readlinkat(cx: &Cx, dirfd: Fd, path: UserCStr, buf: u64, size: i32) -> SysResult<usize> {
    let size = usize::try_from(size).ok().filter(|&size| size > 0).ok_or(Errno::EINVAL)?;
    let target = Target::read_even_empty(cx, dirfd, path)?;
    let flags = WalkFlags::NOFOLLOW | WalkFlags::EMPTY_PATH;
    let text = cx.with_walk(|walk| {
        let read = walk.readlink(&target.resolve(walk, flags)?);
        read.map_err(
            |errno| if errno == Errno::EINVAL && target.path.is_empty() { Errno::ENOENT } else { errno },
        )
    })?;
    let text = text.get(..size).unwrap_or(&text);
    cx.mem().write_bytes(buf, text)?;
    Ok(text.len())
}

/// readlink(2).
pub(crate) fn sys_readlink(cx: &Cx, path: UserCStr, buf: u64, size: i32) -> SysResult<usize> {
    sys_readlinkat(cx, CWD, path, buf, size)
}

/// unlinkat(2).
pub(crate) fn sys_unlinkat(cx: &Cx, dirfd: Fd, path: UserCStr, flags: u32) -> SysResult<()> {
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    let target = Target::read(cx, dirfd, path)?;
    let at = target.at.as_ref();
    cx.with_walk(|walk| match flags {
        0 => walk.unlink(at, &target.path),
        _ => walk.rmdir(at, &target.path),
    })
}

/// unlink(2).
pub(crate) fn sys_unlink(cx: &Cx, path: UserCStr) -> SysResult<()> {
    sys_unlinkat(cx, CWD, path, 0)
}

/// rmdir(2).
pub(crate) fn sys_rmdir(cx: &Cx, path: UserCStr) -> SysResult<()> {
    sys_unlinkat(cx, CWD, path, AT_REMOVEDIR)
}

/// renameat2(2).
pub(crate) fn sys_renameat2(
    cx: &Cx,
    old_dirfd: Fd,
    old_path: UserCStr,
    new_dirfd: Fd,
    new_path: UserCStr,
    flags: u32,
) -> SysResult<()> {
    let flags = RenameFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let others = RenameFlags::NOREPLACE | RenameFlags::WHITEOUT;
    if flags.contains(RenameFlags::EXCHANGE) && flags.intersects(others) {
        return Err(Errno::EINVAL);
    }
    let old = Target::read(cx, old_dirfd, old_path)?;
    let new = Target::read(cx, new_dirfd, new_path).or_else(|errno| {
        // What is wrong about the old directory is told first (filename_parentat).
        cx.with_walk(|walk| walk.check_parent(old.at.as_ref(), &old.path)).and(Err(errno))
    })?;
    cx.with_walk(|walk| walk.rename(old.at.as_ref(), &old.path, new.at.as_ref(), &new.path, flags))
}

/// renameat(2).
pub(crate) fn sys_renameat(
    cx: &Cx,
    old_dirfd: Fd,
    old_path: UserCStr,
    new_dirfd: Fd,
    new_path: UserCStr,
) -> SysResult<()> {
    sys_renameat2(cx, old_dirfd, old_path, new_dirfd, new_path, 0)
}

/// rename(2).
pub(crate) fn sys_rename(cx: &Cx, old_path: UserCStr, new_path: UserCStr) -> SysResult<()> {
    sys_renameat2(cx, CWD, old_path, CWD, new_path, 0)
}
