//! stat(2) and its relatives.

use abi_linux::fs::Stat;
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::{UserCStr, UserRef};
use kernel_base::user_ns::UserNamespace;
use kernel_vfs::inode::Metadata;
use kernel_vfs::walk::WalkFlags;

use crate::cx::Cx;
use crate::path::at::{AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_STATX_SYNC_TYPE, AT_SYMLINK_NOFOLLOW, CWD, Target};

/// cp_new_stat of fs/stat.c.
fn to_stat(meta: &Metadata) -> Stat {
    Stat {
        st_dev: meta.dev,
        st_ino: meta.ino,
        st_nlink: u64::from(meta.nlink),
        st_mode: meta.mode,
        st_uid: meta.uid,
        st_gid: meta.gid,
        st_rdev: meta.rdev,
        st_size: i64::try_from(meta.size).unwrap_or(i64::MAX),
        st_blksize: i64::from(meta.block_size),
        st_blocks: i64::try_from(meta.blocks).unwrap_or(i64::MAX),
        st_atime: meta.atime.tv_sec,
        st_atime_nsec: meta.atime.tv_nsec,
        st_mtime: meta.mtime.tv_sec,
        st_mtime_nsec: meta.mtime.tv_nsec,
        st_ctime: meta.ctime.tv_sec,
        st_ctime_nsec: meta.ctime.tv_nsec,
        ..Stat::default()
    }
}

/// Attributes as the caller's user namespace sees them.
pub(super) fn shown(cx: &Cx, mut meta: Metadata) -> Metadata {
    if UserNamespace::is_any_nested() {
        let creds = cx.credentials();
        (meta.uid, meta.gid) = (creds.user_ns.show_uid(meta.uid), creds.user_ns.show_gid(meta.gid));
    }
    meta
}

/// newfstatat(2).
pub(crate) fn sys_newfstatat(
    cx: &Cx,
    dirfd: Fd,
    path: UserCStr,
    buf: UserRef<Stat>,
    flags: u32,
) -> SysResult<()> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE) != 0 {
        return Err(Errno::EINVAL);
    }
    let target = Target::read_maybe_empty(cx, dirfd, path, flags)?;
    if target.path.is_empty() && flags & AT_EMPTY_PATH != 0 && dirfd != CWD {
        return sys_fstat(cx, dirfd, buf);
    }
    let flags = WalkFlags::from_at(flags);
    let (meta, _) = cx.with_walk(|walk| walk.stat(target.at.as_ref(), &target.path, flags))?;
    cx.mem().write(buf, &to_stat(&shown(cx, meta)))
}

/// stat(2).
pub(crate) fn sys_stat(cx: &Cx, path: UserCStr, buf: UserRef<Stat>) -> SysResult<()> {
    sys_newfstatat(cx, CWD, path, buf, 0)
}

/// lstat(2).
pub(crate) fn sys_lstat(cx: &Cx, path: UserCStr, buf: UserRef<Stat>) -> SysResult<()> {
    sys_newfstatat(cx, CWD, path, buf, AT_SYMLINK_NOFOLLOW)
}

/// fstat(2); O_PATH descriptors, too.
pub(crate) fn sys_fstat(cx: &Cx, fd: Fd, buf: UserRef<Stat>) -> SysResult<()> {
    let meta = cx.process.files.get(fd)?.inode.metadata()?;
    cx.mem().write(buf, &to_stat(&shown(cx, meta)))
}
