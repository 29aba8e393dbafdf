//! Files in memory that a guest can map (memfd_create(2)).

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use abi_linux::SysResult;
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create, open};

use crate::data::DataFile;
use crate::errno;

/// A memfd of the supervisor's: the pages of one guest file that was mapped.
#[derive(Clone, Debug)]
pub struct MemFile {
    data: DataFile,
    read_only: DataFile,
}

impl MemFile {
    /// An empty one.
    pub fn new() -> SysResult<Self> {
        let flags = MemfdFlags::CLOEXEC;
        // MFD_EXEC (6.3) says that mapping it executable is meant.
        let fd = memfd_create("palisade", flags | MemfdFlags::EXEC)
            .or_else(|_| memfd_create("palisade", flags))
            .map_err(errno)?;
        // mprotect(2) looks at the mode of the mapped description, so readers need one of their own.
        let again = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let read_only = open(again, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(errno)?;
        Ok(Self { data: DataFile::from_fd(fd), read_only: DataFile::from_fd(read_only) })
    }

    /// Its contents.
    #[must_use]
    pub fn data(&self) -> &DataFile {
        &self.data
    }

    /// The descriptor for mappings that must never become writable.
    #[must_use]
    pub fn read_only_fd(&self) -> Arc<OwnedFd> {
        self.read_only.mapping_fd()
    }
}
