//! Symbolic links that say where they lead when they are asked.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_vfs::file::FileOps;
use kernel_vfs::inode::{FileKind, Inode, LinkTarget, Metadata};

use super::Id;

type Target = Box<dyn Fn(&dyn Caller) -> SysResult<LinkTarget> + Send + Sync>;

/// The inode of a link.
pub(crate) struct PseudoLink {
    id: Id,
    target: Target,
}

impl PseudoLink {
    pub(crate) fn new(
        id: Id,
        target: impl Fn(&dyn Caller) -> SysResult<LinkTarget> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { id, target: Box::new(target) })
    }
}

impl Inode for PseudoLink {
    fn kind(&self) -> FileKind {
        FileKind::Symlink
    }
    fn metadata(&self) -> SysResult<Metadata> {
        Ok(self.id.metadata(FileKind::Symlink, 1))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn read_link(&self, who: &dyn Caller) -> SysResult<LinkTarget> {
        (self.target)(who)
    }
    fn open(&self, _flags: OpenFlags, _who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        Err(Errno::ELOOP)
    }
}
