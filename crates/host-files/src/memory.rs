//! Files in memory that a guest can map (memfd_create(2)).

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi_linux::SysResult;
use host_sys::meter;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, open};

use crate::data::DataFile;
use crate::errno;

/// A memfd of the supervisor's: the pages of one guest file that was mapped.
#[derive(Clone, Debug)]
pub struct MemFile {
    data: DataFile,
    read_only: DataFile,
    label: u64,
}

/// Counts labels.
static NEXT_LABEL: AtomicU64 = AtomicU64::new(1);
/// What the host's lists of mappings call a memfd of ours, before its label.
const LISTED: &[u8] = b"/memfd:palisade:";

impl MemFile {
    /// An empty one.
    pub fn new() -> SysResult<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let label = NEXT_LABEL.fetch_add(1, Ordering::Relaxed);
        let name = format!("palisade:{label}");
        // MFD_EXEC (6.3) says that mapping it executable is meant.
        let fd = memfd_create(&name, flags | MemfdFlags::EXEC)
            .or_else(|_| memfd_create(&name, flags))
            .map_err(errno)?;
        // mprotect(2) looks at the mode of the mapped description, so readers need one of their own.
        let again = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let read_only =
            meter::host(|| open(again, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())).map_err(errno)?;
        Ok(Self { data: DataFile::from_fd(fd), read_only: DataFile::from_fd(read_only), label })
    }

    /// A number that tells it from all others, and by which a list of mappings names it: see
    /// [`MemFile::label_of`].
    #[must_use]
    pub fn label(&self) -> u64 {
        self.label
    }

    /// The label of the memfd that the host's /proc/pid/maps calls `name` (without " (deleted)").
    #[must_use]
    pub fn label_of(name: &[u8]) -> Option<u64> {
        std::str::from_utf8(name.strip_prefix(LISTED)?).ok()?.parse().ok()
    }

    /// Refuses writes from now on; EBUSY while a shared writable mapping exists.
    pub fn seal_writing(&self) -> SysResult<()> {
        fcntl_add_seals(&*self.data.mapping_fd(), SealFlags::WRITE).map_err(errno)
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
