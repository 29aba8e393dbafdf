//! unlink(2) and rmdir(2).

use std::sync::Arc;

use abi_linux::{Errno, SysResult};

use crate::dentry::Dentry;
use crate::inode::FileKind;
use crate::notify::{self, Happened, LastName};
use crate::path::Path;
use crate::permission;
use crate::walk::{Last, WalkContext};

impl WalkContext<'_> {
    /// unlink(2).
    pub fn unlink(&self, at: Option<&Path>, path: &[u8]) -> SysResult<()> {
        let entry = self.entry(at, path)?;
        if !matches!(entry.last, Last::Name(_)) {
            return Err(Errno::EISDIR);
        }
        let dir = &entry.dir;
        dir.mount.check_writable()?;
        let held = dir.dentry.lock();
        let child = dir.dentry.lookup_locked(&held, &entry.name, self.who)?;
        let is_dir = child.inode().kind() == FileKind::Directory;
        if entry.trailing_slash {
            return Err(if is_dir { Errno::EISDIR } else { Errno::ENOTDIR });
        }
        self.check_delete(dir, &child)?;
        if is_dir {
            return Err(Errno::EISDIR);
        }
        if child.is_mountpoint() {
            return Err(Errno::EBUSY);
        }
        let is_last = LastName::is_last(&**child.inode());
        dir.inode().unlink_known(&entry.name, &**child.inode())?;
        dir.dentry.removed(&child, &entry.name);
        notify::inode(&**child.inode(), Happened::ATTRIB);
        drop(held);
        self.let_go(dir, child, &entry.name, is_last);
        Ok(())
    }

    /// rmdir(2).
    pub fn rmdir(&self, at: Option<&Path>, path: &[u8]) -> SysResult<()> {
        let entry = self.entry(at, path)?;
        match entry.last {
            Last::Name(_) => {}
            Last::Dot => return Err(Errno::EINVAL),
            Last::DotDot => return Err(Errno::ENOTEMPTY),
            Last::Here => return Err(Errno::EBUSY),
        }
        let dir = &entry.dir;
        dir.mount.check_writable()?;
        let held = dir.dentry.lock();
        let child = dir.dentry.lookup_locked(&held, &entry.name, self.who)?;
        self.check_delete(dir, &child)?;
        if child.inode().kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        if child.is_mountpoint() {
            return Err(Errno::EBUSY);
        }
        dir.inode().rmdir(&entry.name)?;
        dir.dentry.removed(&child, &entry.name);
        drop(held);
        self.let_go(dir, child, &entry.name, true);
        Ok(())
    }

    /// Tells watchers of a removal: those of the inode, unless it is still in use, before those of the
    /// directory (d_delete_notify).
    fn let_go(&self, dir: &Path, child: Arc<Dentry>, name: &[u8], is_last: bool) {
        if is_last {
            child.set_last_name();
        }
        let inode = Arc::clone(child.inode());
        drop(child);
        notify::name(&dir.dentry, name, &*inode, Happened::DELETE);
    }

    /// Whether the caller may remove or move `child` of `dir` (may_delete).
    pub(super) fn check_delete(&self, dir: &Path, child: &Dentry) -> SysResult<()> {
        self.check_directory_write(dir)?;
        permission::check_sticky(
            &dir.inode().lasting_metadata()?,
            &child.inode().lasting_metadata()?,
            self.creds,
        )
    }
}
