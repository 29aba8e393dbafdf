//! A lower file that is open for reading. When the file is copied up meanwhile, it goes on with the copy.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_vfs::file::{FileOps, Io, Mapping, Whence};

use super::inode::OverlayInode;
use super::kernel::KernelCaller;

/// The open file.
pub(super) struct LowerFile {
    inode: Arc<OverlayInode>,
    lower: Arc<dyn FileOps>,
    flags: OpenFlags,
    upper: OnceLock<Arc<dyn FileOps>>,
}

impl LowerFile {
    pub(super) fn new(inode: Arc<OverlayInode>, lower: Arc<dyn FileOps>, flags: OpenFlags) -> Self {
        Self { inode, lower, flags, upper: OnceLock::new() }
    }

    /// The file that counts now.
    fn real(&self) -> SysResult<&dyn FileOps> {
        if !self.inode.has_upper() {
            return Ok(&*self.lower);
        }
        if let Some(upper) = self.upper.get() {
            return Ok(&**upper);
        }
        let who = KernelCaller(&self.inode.shared().platform);
        let opened = self.inode.effective()?.open(self.flags, &who)?;
        Ok(&**self.upper.get_or_init(|| opened))
    }
}

impl FileOps for LowerFile {
    fn read(&self, io: Io<'_>, buf: &mut [u8]) -> SysResult<usize> {
        self.real()?.read(io, buf)
    }

    fn write(&self, _io: Io<'_>, _buf: &[u8]) -> SysResult<(usize, u64)> {
        Err(Errno::EBADF)
    }

    fn ioctl(&self, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
        self.real()?.ioctl(who, cmd, arg)
    }

    fn seek(&self, whence: Whence, offset: i64) -> SysResult<u64> {
        self.real()?.seek(whence, offset)
    }

    fn mapping(&self, writable_shared: bool, executable: bool) -> SysResult<Mapping> {
        if writable_shared {
            return Err(Errno::EACCES);
        }
        self.real()?.mapping(false, executable)
    }

    fn sync(&self, data_only: bool) -> SysResult<()> {
        self.real()?.sync(data_only)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
