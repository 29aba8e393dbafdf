//! Open regular files of the host, and extended attributes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use host_sys::meter;
use rustix::fs::{
    AtFlags, FallocateFlags, SeekFrom, XattrFlags, fallocate, fdatasync, fgetxattr, flistxattr, fremovexattr,
    fsetxattr, fsync, ftruncate, seek, statx,
};
use rustix::io::{pread, pwrite};

use crate::errno;
use crate::stat::{HostStat, WANTED};

/// What fallocate(2) does, of what a guest may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocate {
    Extend,
    KeepSize,
    PunchHole,
    ZeroRange,
    ZeroRangeKeepSize,
}

/// SEEK_DATA or SEEK_HOLE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekKind {
    Data,
    Hole,
}

/// Longest list of attribute names, and longest value (xattr(7)).
const XATTR_MAX: usize = 65536;

/// An open regular file of the host. Cheap to clone; all clones are one open file.
#[derive(Clone, Debug)]
pub struct DataFile(Arc<OwnedFd>);

impl DataFile {
    pub(crate) fn from_fd(fd: OwnedFd) -> Self {
        Self(Arc::new(fd))
    }

    /// The descriptor, for mmap by a guest: it has the mode that the file was opened with.
    #[must_use]
    pub fn mapping_fd(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.0)
    }

    /// Reads at an offset.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> SysResult<usize> {
        meter::host(|| pread(&*self.0, buf, offset)).map_err(errno)
    }

    /// Writes at an offset.
    pub fn write_at(&self, buf: &[u8], offset: u64) -> SysResult<usize> {
        meter::host(|| pwrite(&*self.0, buf, offset)).map_err(errno)
    }

    /// Its attributes.
    pub fn stat(&self) -> SysResult<HostStat> {
        let stat = meter::host(|| statx(&*self.0, "", AtFlags::EMPTY_PATH, WANTED)).map_err(errno)?;
        Ok(HostStat::from_statx(&stat))
    }

    /// Sets its length.
    pub fn set_len(&self, len: u64) -> SysResult<()> {
        meter::host(|| ftruncate(&*self.0, len)).map_err(errno)
    }

    /// fallocate(2).
    pub fn allocate(&self, how: Allocate, offset: u64, len: u64) -> SysResult<()> {
        let flags = match how {
            Allocate::Extend => FallocateFlags::empty(),
            Allocate::KeepSize => FallocateFlags::KEEP_SIZE,
            Allocate::PunchHole => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            Allocate::ZeroRange => FallocateFlags::ZERO_RANGE,
            Allocate::ZeroRangeKeepSize => FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
        };
        meter::host(|| fallocate(&*self.0, flags, offset, len)).map_err(errno)
    }

    /// Where data or a hole begins, at or after `offset`; ENXIO beyond the end.
    pub fn seek(&self, kind: SeekKind, offset: u64) -> SysResult<u64> {
        let from = match kind {
            SeekKind::Data => SeekFrom::Data(offset),
            SeekKind::Hole => SeekFrom::Hole(offset),
        };
        meter::host(|| seek(&*self.0, from)).map_err(errno)
    }

    /// fsync(2).
    pub fn sync(&self) -> SysResult<()> {
        meter::host(|| fsync(&*self.0)).map_err(errno)
    }

    /// fdatasync(2).
    pub fn sync_data(&self) -> SysResult<()> {
        meter::host(|| fdatasync(&*self.0)).map_err(errno)
    }

    /// An extended attribute. The kernel's VFS layer has checked the name's namespace.
    pub fn get_xattr(&self, name: &[u8]) -> SysResult<Vec<u8>> {
        let mut value = vec![0; XATTR_MAX];
        let name = checked(name)?;
        let len = meter::host(|| fgetxattr(&*self.0, name, value.as_mut_slice())).map_err(errno)?;
        value.truncate(len);
        Ok(value)
    }

    /// Sets one; `flags` are XATTR_CREATE (1) or XATTR_REPLACE (2).
    pub fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> SysResult<()> {
        let flags = match flags {
            0 => XattrFlags::empty(),
            1 => XattrFlags::CREATE,
            2 => XattrFlags::REPLACE,
            _ => return Err(Errno::EINVAL),
        };
        let name = checked(name)?;
        meter::host(|| fsetxattr(&*self.0, name, value, flags)).map_err(errno)
    }

    /// Removes one.
    pub fn remove_xattr(&self, name: &[u8]) -> SysResult<()> {
        let name = checked(name)?;
        meter::host(|| fremovexattr(&*self.0, name)).map_err(errno)
    }

    /// The names of all in user.*, each with a NUL at its end. Others are the host's own affair.
    pub fn list_xattr(&self) -> SysResult<Vec<u8>> {
        let mut names = vec![0; XATTR_MAX];
        let len = meter::host(|| flistxattr(&*self.0, names.as_mut_slice())).map_err(errno)?;
        names.truncate(len);
        let shown = names.split_inclusive(|&b| b == 0).filter(|name| name.starts_with(b"user."));
        Ok(shown.flatten().copied().collect())
    }
}

/// Only user.* attributes are passed on: the others mean something to the host's kernel.
fn checked(name: &[u8]) -> SysResult<&[u8]> {
    if name.starts_with(b"user.") && !name.contains(&0) { Ok(name) } else { Err(Errno::EOPNOTSUPP) }
}

impl AsFd for DataFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
