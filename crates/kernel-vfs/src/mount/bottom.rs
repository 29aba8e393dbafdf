//! The empty directory below a namespace's root (Linux's rootfs): what pivot_root(2) needs under the root that it
//! replaces. No path leads there.

use std::any::Any;
use std::sync::{Arc, LazyLock};

use abi_linux::fs::{OpenFlags, S_IFDIR, StatFs};
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;

use crate::anon::next_dev;
use crate::file::FileOps;
use crate::inode::{FileKind, Inode, Metadata, SuperBlock};

struct Bottom {
    dev: u64,
}

struct BottomDir {
    dev: u64,
}

/// Its one instance.
pub(super) static BOTTOM: LazyLock<Arc<dyn SuperBlock>> =
    LazyLock::new(|| Arc::new(Bottom { dev: next_dev() }));

impl SuperBlock for Bottom {
    fn root(&self) -> Arc<dyn Inode> {
        Arc::new(BottomDir { dev: self.dev })
    }
    fn fs_type(&self) -> &'static str {
        "rootfs"
    }
    fn dev(&self) -> u64 {
        self.dev
    }
    fn statfs(&self) -> SysResult<StatFs> {
        Ok(StatFs::default())
    }
    fn is_exclusive(&self) -> bool {
        true
    }
}

impl Inode for BottomDir {
    fn kind(&self) -> FileKind {
        FileKind::Directory
    }
    fn metadata(&self) -> SysResult<Metadata> {
        Ok(Metadata { dev: self.dev, ino: 1, mode: S_IFDIR | 0o755, nlink: 2, ..Metadata::default() })
    }
    fn lookup(&self, _name: &[u8], _who: &dyn Caller) -> SysResult<Arc<dyn Inode>> {
        Err(Errno::ENOENT)
    }
    fn open(&self, _flags: OpenFlags, _who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        Err(Errno::EACCES)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
