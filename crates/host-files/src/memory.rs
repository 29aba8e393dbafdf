//! Files in memory that a guest can map (memfd_create(2)).

use abi_linux::SysResult;
use rustix::fs::{MemfdFlags, memfd_create};

use crate::data::DataFile;
use crate::errno;

/// A memfd of the supervisor's: the pages of one guest file that was mapped.
#[derive(Clone, Debug)]
pub struct MemFile(DataFile);

impl MemFile {
    /// An empty one.
    pub fn new() -> SysResult<Self> {
        let flags = MemfdFlags::CLOEXEC;
        // MFD_EXEC (6.3) says that mapping it executable is meant.
        let fd = memfd_create("palisade", flags | MemfdFlags::EXEC)
            .or_else(|_| memfd_create("palisade", flags))
            .map_err(errno)?;
        Ok(Self(DataFile::from_fd(fd)))
    }

    /// Its contents.
    #[must_use]
    pub fn data(&self) -> &DataFile {
        &self.0
    }
}
