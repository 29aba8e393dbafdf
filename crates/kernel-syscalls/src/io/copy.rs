//! copy_file_range(2) (fs/read_write.c vfs_copy_file_range, Linux v6.18).

use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserRef;
use kernel_vfs::anon::is_anon_inode;
use kernel_vfs::file::File;
use kernel_vfs::inode::{FileKind, Metadata};

use super::transfer::within_limit;
use crate::cx::{Cx, SCRATCH_LEN, with_scratch};

/// No more than this is copied by one call, since it cannot be interrupted; callers go on.
const LIMIT: u64 = 64 << 20;

/// One of the two files and where the copy stands in it.
pub(super) struct Side {
    pub(super) file: Arc<File>,
    /// Where the guest keeps the offset; null for the file's position.
    offset_at: UserRef<i64>,
    pub(super) offset: i64,
}

impl Side {
    /// Reads the guest's offset, or takes the file's position.
    pub(super) fn new(cx: &Cx, file: Arc<File>, offset_at: UserRef<i64>) -> SysResult<Self> {
        let offset = match offset_at.non_null() {
            Some(at) => cx.mem().read(at)?,
            None => i64::try_from(*file.position()).unwrap_or(i64::MAX),
        };
        Ok(Self { file, offset_at, offset })
    }

    /// The offset for a transfer of `len` bytes; EINVAL when it or its end is no file offset.
    pub(super) fn verified(&self, len: u64) -> SysResult<u64> {
        let start = u64::try_from(self.offset).map_err(|_| Errno::EINVAL)?;
        let end = start.checked_add(len).filter(|&end| i64::try_from(end).is_ok());
        end.map(|_| start).ok_or(Errno::EINVAL)
    }

    /// Shows the guest that `count` bytes were moved.
    pub(super) fn advance(&mut self, cx: &Cx, count: usize) -> SysResult<()> {
        self.offset = self.offset.saturating_add(count as i64);
        match self.offset_at.non_null() {
            Some(at) => cx.mem().write(at, &self.offset),
            None => {
                *self.file.position() = u64::try_from(self.offset).unwrap_or(0);
                Ok(())
            }
        }
    }
}

/// generic_file_rw_checks: two regular files, open for it.
fn check_files(from: &File, to: &File) -> SysResult<(Metadata, Metadata)> {
    let kinds = [from.inode.kind(), to.inode.kind()];
    if kinds.contains(&FileKind::Directory) {
        return Err(Errno::EISDIR);
    }
    if kinds != [FileKind::Regular; 2] {
        return Err(Errno::EINVAL);
    }
    if is_anon_inode(&*from.inode) || is_anon_inode(&*to.inode) {
        return Err(Errno::EINVAL);
    }
    from.check_readable()?;
    to.check_writable()?;
    if to.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EBADF);
    }
    let metadata = (from.inode.metadata()?, to.inode.metadata()?);
    if metadata.0.dev == metadata.1.dev { Ok(metadata) } else { Err(Errno::EXDEV) }
}

/// Copies one piece.
fn copy_piece(cx: &Cx, from: (&File, u64), to: (&File, u64), len: usize) -> SysResult<usize> {
    with_scratch(len, |scratch| {
        let got = from.0.ops.read(from.0.io(&*cx.task, from.1), scratch)?;
        let bytes = scratch.get(..got).ok_or(Errno::EIO)?;
        if bytes.is_empty() {
            return Ok(0);
        }
        let bytes = within_limit(cx, to.0, OpenFlags::empty(), to.1, bytes)?;
        to.0.ops.write(to.0.io(&*cx.task, to.1), bytes).map(|(written, _)| written)
    })
}

/// copy_file_range(2). Files of different filesystems answer EXDEV, as most of Linux's do.
pub(crate) async fn sys_copy_file_range(
    cx: &Cx,
    fd_in: Fd,
    off_in: UserRef<i64>,
    fd_out: Fd,
    off_out: UserRef<i64>,
    size: usize,
    flags: u32,
) -> SysResult<usize> {
    let (from, to) = (cx.file(fd_in)?, cx.file(fd_out)?);
    let mut from = Side::new(cx, from, off_in)?;
    let mut to = Side::new(cx, to, off_out)?;
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let (source, target) = check_files(&from.file, &to.file)?;
    let wanted = size as u64;
    // Linux adds without signs: i64::MAX + 1 is none, -1 + 1 is.
    let overflows = |side: &Side| side.offset.cast_unsigned().checked_add(wanted).is_none();
    if overflows(&from) || overflows(&to) {
        return Err(Errno::EOVERFLOW);
    }
    let left = source.size.saturating_sub(u64::try_from(from.offset).map_err(|_| Errno::EINVAL)?);
    let count = wanted.min(left);
    let (read_at, write_at) = (from.verified(count)?, to.verified(count)?);
    let overlaps = write_at + count > read_at && write_at < read_at + count;
    if source.ino == target.ino && overlaps {
        return Err(Errno::EINVAL);
    }
    let count = usize::try_from(count.min(LIMIT)).unwrap_or(0);
    let mut done = 0;
    while done < count {
        let want = (count - done).min(SCRATCH_LEN);
        let at = done as u64;
        match copy_piece(cx, (&from.file, read_at + at), (&to.file, write_at + at), want) {
            Ok(0) => break,
            Ok(copied) => done += copied,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    if done > 0 {
        from.file.accessed();
        to.file.modified();
        from.advance(cx, done)?;
        to.advance(cx, done)?;
    }
    Ok(done)
}
