//! Open files and directories of a tmpfs.

use std::any::Any;
use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use host_files::SeekKind;
use kernel_base::caller::Caller;
use kernel_vfs::file::{DirEntry, FileOps, Io, Mapping, Whence};
use kernel_vfs::inode::{FileKind, Inode};

use super::data::MapAccess;
use super::inode::TmpInode;

/// Modes of fallocate(2) (include/uapi/linux/falloc.h).
const KEEP_SIZE: u32 = 1;
const PUNCH_HOLE: u32 = 2;
/// How many entries are taken from a directory at a time.
const BATCH: usize = 64;

/// An open regular file.
pub(super) struct TmpFile {
    inode: Arc<TmpInode>,
}

impl TmpFile {
    pub(super) fn new(inode: Arc<TmpInode>) -> Self {
        Self { inode }
    }
}

impl FileOps for TmpFile {
    fn read(&self, io: Io<'_>, buf: &mut [u8]) -> SysResult<usize> {
        self.inode.read(buf, io.offset, io.flags)
    }

    fn write(&self, io: Io<'_>, buf: &[u8]) -> SysResult<(usize, u64)> {
        let done = self.inode.write(buf, io.offset, io.flags)?;
        self.inode.drop_privilege(io.who);
        Ok(done)
    }

    fn seek(&self, whence: Whence, offset: i64) -> SysResult<u64> {
        self.inode.with_data(|data| {
            let from =
                |kind| u64::try_from(offset).map_err(|_| Errno::ENXIO).and_then(|at| data.seek(kind, at));
            match whence {
                Whence::End => data.size().checked_add_signed(offset).ok_or(Errno::EINVAL),
                Whence::Data => from(SeekKind::Data),
                Whence::Hole => from(SeekKind::Hole),
                Whence::Set | Whence::Current => Err(Errno::EINVAL),
            }
        })
    }

    fn mapping(&self, writable_shared: bool, _executable: bool) -> SysResult<Mapping> {
        if writable_shared {
            self.inode.check_mapping()?;
        }
        let access = if writable_shared { MapAccess::Write } else { MapAccess::Read };
        self.inode.with_data(|data| data.mapping(access))
    }

    fn sync(&self, _data_only: bool) -> SysResult<()> {
        Ok(())
    }

    fn knows_allocation(&self, mode: u32) -> SysResult<()> {
        if mode & !(KEEP_SIZE | PUNCH_HOLE) == 0 { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> SysResult<()> {
        let end = offset.checked_add(len).filter(|&end| end <= i64::MAX as u64).ok_or(Errno::EFBIG)?;
        let size = self.inode.with_data(|data| Ok(data.size()))?;
        match mode {
            0 | KEEP_SIZE => {
                // mm/shmem.c:shmem_fallocate minds the seals on the size even if that is kept.
                self.inode.check_growth(end)?;
                self.inode.change_data(|data, shared| data.reserve(shared, offset, len))?;
            }
            m if m == PUNCH_HOLE | KEEP_SIZE => {
                self.inode.check_punch()?;
                self.inode.change_data(|data, shared| data.punch(shared, offset, len))?;
            }
            _ => return Err(Errno::EOPNOTSUPP),
        }
        if mode & KEEP_SIZE == 0 && end > size { self.inode.resize(end) } else { Ok(()) }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open directory.
pub(super) struct TmpDir {
    inode: Arc<TmpInode>,
}

impl TmpDir {
    pub(super) fn new(inode: Arc<TmpInode>) -> Self {
        Self { inode }
    }
}

impl FileOps for TmpDir {
    fn read(&self, _io: Io<'_>, _buf: &mut [u8]) -> SysResult<usize> {
        Err(Errno::EISDIR)
    }

    fn read_dir(
        &self,
        _who: &dyn Caller,
        position: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> SysResult<()> {
        let kind = FileKind::Directory;
        if position == 0 && !emit(DirEntry { name: b".", ino: self.inode.ino(), kind, next: 1 }) {
            return Ok(());
        }
        if position <= 1 && !emit(DirEntry { name: b"..", ino: self.inode.parent_ino(), kind, next: 2 }) {
            return Ok(());
        }
        let mut position = position.max(2);
        loop {
            let batch = self.inode.entries(position, BATCH)?;
            for (at, name, inode) in &batch {
                position = at + 1;
                if !emit(DirEntry { name, ino: inode.ino(), kind: inode.kind(), next: position }) {
                    return Ok(());
                }
            }
            if batch.len() < BATCH {
                return Ok(());
            }
        }
    }

    fn seek(&self, _whence: Whence, _offset: i64) -> SysResult<u64> {
        Err(Errno::EINVAL)
    }

    fn sync(&self, _data_only: bool) -> SysResult<()> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
