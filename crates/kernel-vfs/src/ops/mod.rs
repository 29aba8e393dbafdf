//! The operations on paths that system calls are made of, as methods of [`WalkContext`].
//!
//! A method that takes `at` and `path` walks; one that takes a [`Path`] works on a place already found
//! (fchmod, AT_EMPTY_PATH). Permission is checked here, once; filesystems only do as they are told.

mod attributes;
mod child;
mod create;
mod open;
mod remove;
mod rename;
mod xattr;

use abi_linux::{Errno, SysResult};

use crate::inode::FileKind;
use crate::path::Path;
use crate::permission::{self, Access};
use crate::walk::{Last, WalkContext, WalkFlags, Walker};

pub use attributes::{SetTime, Times, real_credentials};
pub use rename::RenameFlags;
pub use xattr::{XATTR_NAME_MAX, XATTR_SIZE_MAX};

/// A directory and the last component of a path in it.
struct Entry {
    dir: Path,
    last: Last,
    name: Vec<u8>,
    trailing_slash: bool,
}

impl WalkContext<'_> {
    /// Walks to the directory of the last component, which is not looked up.
    fn entry(&self, at: Option<&Path>, path: &[u8]) -> SysResult<Entry> {
        let mut walker = Walker::new(self, at, path, WalkFlags::empty())?;
        let last = walker.parent()?;
        let name = match &last {
            Last::Name(range) => walker.name(range).to_vec(),
            _ => Vec::new(),
        };
        let trailing_slash = walker.has_trailing_slash();
        Ok(Entry { dir: walker.here, last, name, trailing_slash })
    }

    /// Whether the directory of the last component is found.
    pub fn check_parent(&self, at: Option<&Path>, path: &[u8]) -> SysResult<()> {
        self.entry(at, path).map(drop)
    }

    /// Whether the caller may add or remove names in `dir` (may_create, may_delete).
    fn check_directory_write(&self, dir: &Path) -> SysResult<()> {
        if dir.dentry.is_deleted() {
            return Err(Errno::ENOENT);
        }
        if dir.inode().kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        permission::check(&dir.inode().lasting_metadata()?, self.creds, Access::WRITE | Access::EXEC)
    }
}
