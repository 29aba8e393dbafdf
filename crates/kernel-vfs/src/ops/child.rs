//! A single name in a known directory, without a walk (lookup_one): how mq_open(2) and mq_unlink(2) find queues.

use std::sync::Arc;

use abi_linux::fs::{NAME_MAX, OpenFlags};
use abi_linux::{Errno, SysResult};

use crate::file::{File, Opening};
use crate::inode::{Inode, NewContent, NewNode};
use crate::notify::{self, Happened};
use crate::path::Path;
use crate::permission::Access;
use crate::walk::WalkContext;

/// EACCES for what is no name; ENAMETOOLONG.
fn check_name(name: &[u8]) -> SysResult<()> {
    if name.is_empty() || matches!(name, b"." | b"..") || name.contains(&b'/') {
        return Err(Errno::EACCES);
    }
    if name.len() > NAME_MAX { Err(Errno::ENAMETOOLONG) } else { Ok(()) }
}

impl WalkContext<'_> {
    /// Opens the file `name` of `dir`. With O_CREAT a missing one is made by `make`; `mode` is without umask.
    pub fn open_child(
        &self,
        dir: &Path,
        name: &[u8],
        flags: OpenFlags,
        mode: u32,
        make: impl FnOnce(&NewNode<'_>) -> SysResult<Arc<dyn Inode>>,
    ) -> SysResult<Arc<File>> {
        check_name(name)?;
        self.check_access(dir, Access::EXEC)?;
        let held = dir.dentry.lock();
        let (dentry, created) = match dir.dentry.lookup_locked(&held, name, self.who) {
            Ok(_) if flags.contains(OpenFlags::CREAT | OpenFlags::EXCL) => return Err(Errno::EEXIST),
            Ok(dentry) => (dentry, false),
            Err(Errno::ENOENT) if flags.contains(OpenFlags::CREAT) => {
                (self.make_locked(dir, name, NewContent::Regular, mode & 0o7777 & !self.umask, make)?, true)
            }
            Err(other) => return Err(other),
        };
        drop(held);
        let place = Path { mount: Arc::clone(&dir.mount), dentry };
        if !created {
            let want = match flags.bits() & 3 {
                0 => Access::READ,
                1 => Access::WRITE,
                2 => Access::READ | Access::WRITE,
                _ => return Err(Errno::EINVAL),
            };
            self.check_access(&place, want)?;
        }
        let inode = Arc::clone(place.inode());
        let ops = inode.open(flags, self.who)?;
        let file = File::opened(place, inode, ops, flags, Opening { created, writing: None });
        notify::at(&file.path, Happened::OPEN);
        Ok(file)
    }

    /// Removes the name `name` of `dir`, which is no directory's.
    pub fn unlink_child(&self, dir: &Path, name: &[u8]) -> SysResult<()> {
        check_name(name)?;
        self.unlink(Some(dir), name)
    }
}
