//! Names in an overlay's directories: lookups in two layers, whiteouts, and the operations that change
//! names.

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_vfs::inode::{FileKind, Inode, NewContent, NewNode, RenameMode};

use super::Layer;
use super::copy_up::Extent;
use super::inode::{Layers, OverlayInode};
use super::kernel::KernelCaller;
use super::listing;

/// The attributes that mark an opaque directory; the second where the first cannot be set.
const OPAQUE: [&[u8]; 2] = [b"trusted.overlay.opaque", b"user.overlay.opaque"];

/// Whether an attribute is the overlay's own.
pub(super) fn is_private_xattr(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

/// Whether an upper node covers a lower name.
pub(super) fn is_whiteout(upper: &dyn Inode) -> bool {
    upper.kind() == FileKind::CharDevice && upper.metadata().is_ok_and(|metadata| metadata.rdev == 0)
}

fn is_opaque(upper: &dyn Inode) -> bool {
    OPAQUE.iter().any(|name| upper.get_xattr(name).is_ok_and(|value| value == b"y"))
}

fn make_opaque(upper: &dyn Inode) -> SysResult<()> {
    let [trusted, user] = OPAQUE;
    match upper.set_xattr(trusted, b"y", 0) {
        Err(Errno::EOPNOTSUPP) => upper.set_xattr(user, b"y", 0),
        other => other,
    }
}

fn optional<T>(result: SysResult<T>) -> SysResult<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Errno::ENOENT) => Ok(None),
        Err(other) => Err(other),
    }
}

impl OverlayInode {
    /// What lies under a name, seen through both layers.
    pub(super) fn find(&self, name: &[u8], who: &dyn Caller) -> SysResult<Arc<Self>> {
        let layers = self.layers();
        let upper = match &layers.upper {
            Some(dir) => optional(dir.lookup(name, who))?,
            None => None,
        };
        if upper.as_ref().is_some_and(|upper| is_whiteout(&**upper)) {
            return Err(Errno::ENOENT);
        }
        let hides =
            upper.as_ref().is_some_and(|upper| upper.kind() != FileKind::Directory || is_opaque(&**upper));
        let lower = match &layers.lower {
            Some(dir) if !hides => optional(dir.lookup(name, who))?,
            _ => None,
        };
        // A lower file below an upper directory does not count.
        let lower = lower.filter(|lower| upper.is_none() || lower.kind() == FileKind::Directory);
        let found = match (upper, lower) {
            (None, None) => return Err(Errno::ENOENT),
            (None, Some(lower)) => self.known_copy(lower)?,
            (upper, lower) => Layers { upper, lower },
        };
        self.shared().intern(found, Some((self.me()?, name)))
    }

    /// A lower file may have been copied up under another of its names.
    fn known_copy(&self, lower: Arc<dyn Inode>) -> SysResult<Layers> {
        let copies = self.shared().copies.lock();
        if copies.is_empty() {
            return Ok(Layers { upper: None, lower: Some(lower) });
        }
        drop(copies);
        let metadata = lower.metadata()?;
        let key = (Layer::Lower, metadata.dev, metadata.ino);
        let upper = self.shared().copies.lock().get(&key).map(Arc::clone);
        Ok(Layers { lower: upper.is_none().then_some(lower), upper })
    }

    fn kernel(&self) -> KernelCaller<'_> {
        KernelCaller(&self.shared().platform)
    }

    /// Whether the lower layer has a name that must be covered.
    fn lower_has(&self, name: &[u8]) -> SysResult<bool> {
        match self.lower() {
            Some(dir) => Ok(optional(dir.lookup(name, &self.kernel()))?.is_some()),
            None => Ok(false),
        }
    }

    /// The upper directory, in which names may be made.
    fn writable_directory(&self) -> SysResult<Arc<dyn Inode>> {
        if self.kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        self.copy_up(Extent::All)
    }

    /// Removes the whiteout of a name; whether there was one.
    fn uncover(&self, dir: &Arc<dyn Inode>, name: &[u8]) -> SysResult<bool> {
        match optional(dir.lookup(name, &self.kernel()))? {
            Some(upper) if is_whiteout(&*upper) => dir.unlink(name).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Covers a lower name.
    fn cover(dir: &Arc<dyn Inode>, name: &[u8]) -> SysResult<()> {
        let node = NewNode { content: NewContent::CharDevice(0), mode: 0, uid: 0, gid: 0 };
        dir.create(name, &node).map(drop)
    }

    /// Makes a name with `make`, in place of its whiteout, which comes back should that fail.
    fn make_entry<T>(
        &self,
        name: &[u8],
        make: impl FnOnce(&Arc<dyn Inode>, bool) -> SysResult<T>,
    ) -> SysResult<T> {
        let dir = self.writable_directory()?;
        let dead = self.naming();
        if *dead {
            return Err(Errno::ENOENT);
        }
        let covered = self.uncover(&dir, name)?;
        let made = make(&dir, covered);
        if made.is_err() && covered {
            Self::cover(&dir, name)?;
        }
        drop(dead);
        made
    }

    pub(super) fn create_entry(&self, name: &[u8], node: &NewNode<'_>) -> SysResult<Arc<Self>> {
        if matches!(node.content, NewContent::CharDevice(0)) {
            // It would be a whiteout.
            return Err(Errno::EPERM);
        }
        let upper = self.make_entry(name, |dir, covered| {
            let upper = dir.create(name, node)?;
            if covered
                && upper.kind() == FileKind::Directory
                && let Err(error) = make_opaque(&*upper)
            {
                dir.rmdir(name)?;
                return Err(error);
            }
            Ok(upper)
        })?;
        self.shared().intern(Layers { upper: Some(upper), lower: None }, Some((self.me()?, name)))
    }

    pub(super) fn link_entry(&self, name: &[u8], target: &Self) -> SysResult<()> {
        let upper = target.copy_up(Extent::All)?;
        self.make_entry(name, |dir, _| dir.link(name, &*upper))?;
        target.place_if_lost(&self.me()?, name);
        Ok(())
    }

    pub(super) fn unlink_entry(&self, name: &[u8]) -> SysResult<()> {
        let child = self.find(name, &self.kernel())?;
        let covers = self.lower_has(name)?;
        let dir = self.writable_directory()?;
        if optional(dir.lookup(name, &self.kernel()))?.is_some() {
            dir.unlink(name)?;
        }
        if covers {
            Self::cover(&dir, name)?;
        }
        child.lose_place(self, name);
        Ok(())
    }

    pub(super) fn rmdir_entry(&self, name: &[u8]) -> SysResult<()> {
        let child = self.find(name, &self.kernel())?;
        let covers = self.lower_has(name)?;
        let dir = self.writable_directory()?;
        let mut dead = child.bury()?;
        if child.upper().is_some() {
            dir.rmdir(name)?;
        }
        if covers {
            Self::cover(&dir, name)?;
        }
        *dead = true;
        drop(dead);
        child.lose_place(self, name);
        Ok(())
    }

    /// Holds an empty directory still for removal, with no whiteouts left in its upper part; ENOTEMPTY.
    fn bury(&self) -> SysResult<kernel_base::sync::MutexGuard<'_, bool>> {
        let held = self.naming();
        if self.kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        if !listing::merged(self, &self.kernel())?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        if let Some(upper) = self.upper() {
            for name in listing::names(&upper, &self.kernel())? {
                upper.unlink(&name)?;
            }
        }
        Ok(held)
    }

    pub(super) fn rename_entry(
        &self,
        name: &[u8],
        to: &Self,
        new_name: &[u8],
        mode: RenameMode,
    ) -> SysResult<()> {
        let source = self.find(name, &self.kernel())?;
        let target = optional(to.find(new_name, &to.kernel()))?;
        for moved in
            [Some(&source), target.as_ref().filter(|_| mode == RenameMode::Exchange)].into_iter().flatten()
        {
            if moved.kind() == FileKind::Directory && moved.lower().is_some() {
                return Err(Errno::EXDEV);
            }
            moved.copy_up(Extent::All)?;
        }
        let (covers_old, covers_new) = (self.lower_has(name)?, to.lower_has(new_name)?);
        let (from_dir, to_dir) = (self.writable_directory()?, to.writable_directory()?);
        if covers_new && source.kind() == FileKind::Directory {
            make_opaque(&*source.upper().ok_or(Errno::ESTALE)?)?;
        }
        if mode == RenameMode::Exchange {
            let target = target.ok_or(Errno::ENOENT)?;
            if covers_old && target.kind() == FileKind::Directory {
                make_opaque(&*target.upper().ok_or(Errno::ESTALE)?)?;
            }
            from_dir.rename(name, &*to_dir, new_name, mode)?;
            target.set_place(self, name)?;
            return source.set_place(to, new_name);
        }
        if let Some(target) = &target {
            if mode == RenameMode::NoReplace {
                return Err(Errno::EEXIST);
            }
            if target.kind() == FileKind::Directory {
                *target.bury()? = true;
            }
        }
        // Not `make_entry`: the name may be there, and stays if the rename fails.
        let dead = to.naming();
        if *dead {
            return Err(Errno::ENOENT);
        }
        let covered = to.uncover(&to_dir, new_name)?;
        let moved = from_dir.rename(name, &*to_dir, new_name, RenameMode::Replace);
        if moved.is_err() && covered {
            Self::cover(&to_dir, new_name)?;
        }
        drop(dead);
        moved?;
        if covers_old {
            Self::cover(&from_dir, name)?;
        }
        if let Some(target) = target {
            target.lose_place(to, new_name);
        }
        source.set_place(to, new_name)
    }
}
