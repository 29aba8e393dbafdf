//! fsync(2) and its relatives, and advice about caches, which is taken without effect.

use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserRef;
use kernel_vfs::anon::is_anon_inode;
use kernel_vfs::inode::FileKind;
use kernel_vfs::permission::{self, Access};

use crate::cx::Cx;

const PAGE_SIZE: u64 = 4096;
/// POSIX_FADV_NORMAL to POSIX_FADV_NOREUSE.
const ADVICES: u32 = 6;
/// SYNC_FILE_RANGE_WAIT_BEFORE, WRITE and WAIT_AFTER.
const SYNC_RANGE_FLAGS: u32 = 7;

/// fsync(2).
pub(crate) fn sys_fsync(cx: &Cx, fd: Fd) -> SysResult<()> {
    cx.file(fd)?.ops.sync(false)
}

/// fdatasync(2).
pub(crate) fn sys_fdatasync(cx: &Cx, fd: Fd) -> SysResult<()> {
    cx.file(fd)?.ops.sync(true)
}

/// sync(2): the host writes its caches back by itself, and no guest may slow the others down.
pub(crate) fn sys_sync(_cx: &Cx) -> SysResult<()> {
    Ok(())
}

/// syncfs(2).
pub(crate) fn sys_syncfs(cx: &Cx, fd: Fd) -> SysResult<()> {
    cx.file(fd).map(drop)
}

/// cachestat(2): what is there is cached, and nothing of it is waiting to be written (mm/filemap.c can_do_cachestat).
pub(crate) fn sys_cachestat(cx: &Cx, fd: Fd, range: u64, stat: u64, flags: u32) -> SysResult<()> {
    let file = cx.file(fd)?;
    let [offset, len]: [u64; 2] = cx.mem().read(UserRef::new(range))?;
    let meta = file.inode.metadata()?;
    let creds = cx.credentials();
    let may_write = file.flags().writable() || permission::check(&meta, &creds, Access::WRITE).is_ok();
    if !may_write && !permission::is_owner(&meta, &creds) {
        return Err(Errno::EPERM);
    }
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let size = if file.inode.kind() == FileKind::Regular { meta.size } else { 0 };
    let end = if len == 0 { size } else { offset.saturating_add(len).min(size) };
    let pages = end.div_ceil(PAGE_SIZE).saturating_sub(offset / PAGE_SIZE);
    // Cached, dirty, under writeback, evicted, recently evicted.
    cx.mem().write(UserRef::new(stat), &[if end > offset { pages } else { 0 }, 0, 0, 0, 0])
}

/// sync_file_range(2).
pub(crate) fn sys_sync_file_range(cx: &Cx, fd: Fd, offset: i64, len: i64, flags: u32) -> SysResult<()> {
    let file = cx.file(fd)?;
    let end = offset.checked_add(len);
    if flags & !SYNC_RANGE_FLAGS != 0 || offset < 0 || len < 0 || end.is_none() {
        return Err(Errno::EINVAL);
    }
    match file.inode.kind() {
        _ if is_anon_inode(&*file.inode) => Err(Errno::ESPIPE),
        FileKind::Regular if flags != 0 => file.ops.sync(true),
        FileKind::Regular | FileKind::BlockDevice | FileKind::Directory => Ok(()),
        _ => Err(Errno::ESPIPE),
    }
}

/// readahead(2).
pub(crate) fn sys_readahead(cx: &Cx, fd: Fd, _offset: i64, _count: usize) -> SysResult<()> {
    let file = cx.file(fd)?;
    file.check_readable()?;
    match file.inode.kind() {
        _ if is_anon_inode(&*file.inode) => Err(Errno::EINVAL),
        FileKind::Regular | FileKind::BlockDevice => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

/// posix_fadvise(2).
pub(crate) fn sys_fadvise64(cx: &Cx, fd: Fd, _offset: i64, len: i64, advice: u32) -> SysResult<()> {
    let file = cx.file(fd)?;
    if file.inode.kind() == FileKind::Fifo {
        return Err(Errno::ESPIPE);
    }
    if len < 0 || advice >= ADVICES { Err(Errno::EINVAL) } else { Ok(()) }
}
