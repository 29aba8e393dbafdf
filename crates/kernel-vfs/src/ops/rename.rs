//! rename(2) and renameat2(2) (Linux v6.18 fs/namei.c do_renameat2, vfs_rename).

use std::sync::Arc;

use abi_linux::{Errno, SysResult};

use super::Entry;
use crate::dentry::Dentry;
use crate::inode::{FileKind, Inode, NewContent, RenameMode};
use crate::notify::{self, LastName};
use crate::path::Path;
use crate::permission::{self, Access};
use crate::walk::{Last, WalkContext};

bitflags::bitflags! {
    /// Flags of renameat2(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct RenameFlags: u32 {
        const NOREPLACE = 1;
        const EXCHANGE = 2;
        const WHITEOUT = 4;
    }
}

/// What stays under the old name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    Whiteout,
}

impl WalkContext<'_> {
    /// renameat2(2).
    pub fn rename(
        &self,
        old_at: Option<&Path>,
        old_path: &[u8],
        new_at: Option<&Path>,
        new_path: &[u8],
        flags: RenameFlags,
    ) -> SysResult<()> {
        let mode = match flags.difference(RenameFlags::WHITEOUT) {
            f if f.is_empty() => RenameMode::Replace,
            RenameFlags::NOREPLACE => RenameMode::NoReplace,
            RenameFlags::EXCHANGE if !flags.contains(RenameFlags::WHITEOUT) => RenameMode::Exchange,
            _ => return Err(Errno::EINVAL),
        };
        let left = if flags.contains(RenameFlags::WHITEOUT) { Left::Whiteout } else { Left::Nothing };
        let old = self.entry(old_at, old_path)?;
        let new = self.entry(new_at, new_path)?;
        if old.dir.mount.id() != new.dir.mount.id() {
            return Err(Errno::EXDEV);
        }
        if !matches!(old.last, Last::Name(_)) {
            return Err(Errno::EBUSY);
        }
        if !matches!(new.last, Last::Name(_)) {
            return Err(if mode == RenameMode::NoReplace { Errno::EEXIST } else { Errno::EBUSY });
        }
        old.dir.mount.check_writable()?;
        self.rename_entries(&old, &new, mode, left)
    }

    fn rename_entries(&self, old: &Entry, new: &Entry, mode: RenameMode, left: Left) -> SysResult<()> {
        let (from, to) = (&old.dir.dentry, &new.dir.dentry);
        let same = Arc::ptr_eq(from, to);
        // Two directories: keep the tree's shape, then lock them in an order that all renames share.
        let _shape = (!same).then(|| from.lock_tree());
        let (first, second) = if Arc::as_ptr(from) < Arc::as_ptr(to) { (from, to) } else { (to, from) };
        let first_held = first.lock();
        let second_held = (!same).then(|| second.lock());
        let held_of = |dentry: &Arc<Dentry>| match &second_held {
            Some(held) if Arc::ptr_eq(dentry, second) => held,
            _ => &first_held,
        };
        let source = from.lookup_locked(held_of(from), &old.name, self.who)?;
        let target = match to.lookup_locked(held_of(to), &new.name, self.who) {
            Ok(target) => Some(target),
            Err(Errno::ENOENT) => None,
            Err(other) => return Err(other),
        };
        self.check_rename(old, new, &source, target.as_ref(), mode)?;
        if let Some(target) = &target
            && Arc::ptr_eq(source.inode(), target.inode())
        {
            // Two names of one file: rename(2) does nothing.
            return Ok(());
        }
        let replaced = target.as_ref().filter(|_| mode == RenameMode::Replace);
        let is_last = replaced.is_some_and(|target| LastName::is_last(&**target.inode()));
        let whiteout = match left {
            Left::Whiteout => Some(self.rename_to_whiteout(old, new, mode)?),
            Left::Nothing => {
                let known = (&*new.name, target.as_ref().map(|target| &**target.inode()));
                from.inode().rename_known((&old.name, &**source.inode()), &**to.inode(), known, mode)?;
                None
            }
        };
        let (old_place, new_place) = ((&**from, &*old.name), (&**to, &*new.name));
        match (&target, mode) {
            (Some(target), RenameMode::Exchange) => {
                from.exchanged(&source, to, target);
                notify::moved(old_place, new_place, &**source.inode(), None);
                notify::moved(new_place, old_place, &**target.inode(), None);
            }
            _ => {
                from.moved(&source, to, &new.name, target.as_deref());
                if let Some(whiteout) = whiteout {
                    from.insert(&old.name, whiteout);
                }
                if let Some(target) = replaced.filter(|_| is_last) {
                    target.set_last_name();
                }
                notify::moved(old_place, new_place, &**source.inode(), target.as_deref());
            }
        }
        Ok(())
    }

    /// Leaves a character device 0, 0 under the old name (mm/shmem.c shmem_whiteout). It waits under another name until
    /// nothing can fail any more.
    fn rename_to_whiteout(&self, old: &Entry, new: &Entry, mode: RenameMode) -> SysResult<Arc<dyn Inode>> {
        let (from, to) = (old.dir.inode(), new.dir.inode());
        if old.dir.mount.superblock().fs_type() != "tmpfs" {
            return Err(Errno::EINVAL);
        }
        let node = self.new_node(&from.metadata()?, NewContent::CharDevice(0), 0);
        let waiting = (0..=u8::MAX).find_map(|number| {
            let name = format!("#whiteout{number}");
            match from.create(name.as_bytes(), &node) {
                Err(Errno::EEXIST) => None,
                made => Some(made.map(|whiteout| (name, whiteout))),
            }
        });
        let (name, whiteout) = waiting.ok_or(Errno::EEXIST)??;
        if let Err(errno) = from.rename(&old.name, &**to, &new.name, mode) {
            from.unlink(name.as_bytes())?;
            return Err(errno);
        }
        from.rename(name.as_bytes(), &**from, &old.name, RenameMode::NoReplace)?;
        Ok(whiteout)
    }

    fn check_rename(
        &self,
        old: &Entry,
        new: &Entry,
        source: &Arc<Dentry>,
        target: Option<&Arc<Dentry>>,
        mode: RenameMode,
    ) -> SysResult<()> {
        let (from, to) = (&old.dir.dentry, &new.dir.dentry);
        let is_dir = |dentry: &Arc<Dentry>| dentry.inode().kind() == FileKind::Directory;
        match (mode, target) {
            (RenameMode::NoReplace, Some(_)) => return Err(Errno::EEXIST),
            (RenameMode::Exchange, None) => return Err(Errno::ENOENT),
            _ => {}
        }
        if !is_dir(source) && (old.trailing_slash || mode != RenameMode::Exchange && new.trailing_slash) {
            return Err(Errno::ENOTDIR);
        }
        if to.is_within(source) {
            return Err(Errno::EINVAL);
        }
        if let Some(target) = target {
            if from.is_within(target) {
                return Err(if mode == RenameMode::Exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
            }
            if mode == RenameMode::Exchange && new.trailing_slash && !is_dir(target) {
                return Err(Errno::ENOTDIR);
            }
        }
        self.check_delete(&old.dir, source)?;
        match target {
            None => self.check_directory_write(&new.dir)?,
            Some(target) => {
                self.check_delete(&new.dir, target)?;
                match (mode, is_dir(source), is_dir(target)) {
                    (RenameMode::Exchange, ..) | (_, true, true) | (_, false, false) => {}
                    (_, true, false) => return Err(Errno::ENOTDIR),
                    (_, false, true) => return Err(Errno::EISDIR),
                }
            }
        }
        // A directory that changes its parent has its ".." written.
        if !Arc::ptr_eq(from, to) {
            for moved in [Some(source), target.filter(|_| mode == RenameMode::Exchange)].into_iter().flatten()
            {
                if is_dir(moved) {
                    permission::check(&moved.inode().lasting_metadata()?, self.creds, Access::WRITE)?;
                }
            }
        }
        if source.is_mountpoint() || target.is_some_and(|target| target.is_mountpoint()) {
            return Err(Errno::EBUSY);
        }
        Ok(())
    }
}
