//! truncate(2), ftruncate(2), fallocate(2).

use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::reg::Fd;
use kernel_base::user::UserCStr;
use kernel_task::limits::Resource;
use kernel_vfs::anon::is_anon_inode;
use kernel_vfs::inode::FileKind;

use crate::cx::Cx;
use crate::path::at::{CWD, Target};

const FALLOC_KEEP_SIZE: u32 = 0x01;
const FALLOC_PUNCH_HOLE: u32 = 0x02;
const FALLOC_COLLAPSE_RANGE: u32 = 0x08;
const FALLOC_ZERO_RANGE: u32 = 0x10;
const FALLOC_INSERT_RANGE: u32 = 0x20;
const FALLOC_UNSHARE_RANGE: u32 = 0x40;

/// RLIMIT_FSIZE on a new size (inode_newsize_ok).
fn check_limit(cx: &Cx, size: u64) -> SysResult<()> {
    if size <= cx.process.limits.get(Resource::Fsize).soft {
        return Ok(());
    }
    cx.raise(Signal::SIGXFSZ);
    Err(Errno::EFBIG)
}

/// truncate(2).
pub(crate) fn sys_truncate(cx: &Cx, path: UserCStr, length: i64) -> SysResult<()> {
    let size = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
    let target = Target::read(cx, CWD, path)?;
    // The limit is judged last, when the file is known to be one that may be written (inode_newsize_ok).
    cx.with_walk(|walk| walk.truncate_within(None, &target.path, size, || check_limit(cx, size)))
}

/// ftruncate(2).
pub(crate) fn sys_ftruncate(cx: &Cx, fd: Fd, length: i64) -> SysResult<()> {
    let size = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
    let file = cx.file(fd)?;
    let is_regular = file.inode.kind() == FileKind::Regular && !is_anon_inode(&*file.inode);
    if !is_regular || file.check_writable().is_err() {
        return Err(Errno::EINVAL);
    }
    check_limit(cx, size)?;
    cx.with_walk(|walk| walk.set_size(&file.path, size))
}

/// Combinations that vfs_fallocate refuses.
fn check_mode(mode: u32) -> SysResult<()> {
    let kind = mode & !(FALLOC_KEEP_SIZE | FALLOC_UNSHARE_RANGE);
    let keeps = mode & FALLOC_KEEP_SIZE != 0;
    match kind {
        0 | FALLOC_ZERO_RANGE => Ok(()),
        FALLOC_PUNCH_HOLE if keeps => Ok(()),
        FALLOC_COLLAPSE_RANGE | FALLOC_INSERT_RANGE if mode == kind => Ok(()),
        FALLOC_COLLAPSE_RANGE | FALLOC_INSERT_RANGE => Err(Errno::EINVAL),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// fallocate(2).
pub(crate) fn sys_fallocate(cx: &Cx, fd: Fd, mode: u32, offset: i64, len: i64) -> SysResult<()> {
    let file = cx.file(fd)?;
    let start = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    let len = u64::try_from(len).ok().filter(|&len| len > 0).ok_or(Errno::EINVAL)?;
    check_mode(mode)?;
    file.check_writable()?;
    match file.inode.kind() {
        FileKind::Regular => {}
        FileKind::Fifo => return Err(Errno::ESPIPE),
        FileKind::Directory => return Err(Errno::EISDIR),
        _ => return Err(Errno::ENODEV),
    }
    let end = start.checked_add(len).filter(|&end| i64::try_from(end).is_ok()).ok_or(Errno::EFBIG)?;
    if mode & (FALLOC_KEEP_SIZE | FALLOC_COLLAPSE_RANGE) == 0 {
        // The limit is the filesystem's to judge, which may not know the mode at all.
        file.ops.knows_allocation(mode)?;
        check_limit(cx, end)?;
    }
    file.ops.allocate(mode, start, len)?;
    file.modified();
    Ok(())
}
