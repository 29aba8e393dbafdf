//! mkdir(2), mknod(2), symlink(2), link(2).

use std::sync::Arc;

use abi_linux::fs::{
    S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK, S_ISGID, S_ISUID, S_ISVTX,
};
use abi_linux::{Errno, SysResult};
use kernel_base::cred::Cap;

use super::Entry;
use crate::dentry::Dentry;
use crate::inode::{FileKind, Inode, Metadata, NewContent, NewNode};
use crate::notify::{self, Happened};
use crate::path::Path;
use crate::walk::{Last, WalkContext, WalkFlags};

impl WalkContext<'_> {
    /// mkdir(2).
    pub fn mkdir(&self, at: Option<&Path>, path: &[u8], mode: u32) -> SysResult<()> {
        let entry = self.entry(at, path)?;
        let mode = mode & (0o777 | S_ISVTX) & !self.umask;
        self.make(&entry, NewContent::Directory, mode).map(drop)
    }

    /// mknod(2). `mode` holds the type as well; `rdev` as stat(2) shows it.
    pub fn mknod(&self, at: Option<&Path>, path: &[u8], mode: u32, rdev: u64) -> SysResult<()> {
        let content = match mode & S_IFMT {
            0 | S_IFREG => NewContent::Regular,
            S_IFIFO => NewContent::Fifo,
            S_IFSOCK => NewContent::Socket,
            S_IFCHR => NewContent::CharDevice(rdev),
            S_IFBLK => NewContent::BlockDevice(rdev),
            S_IFDIR => return Err(Errno::EPERM),
            _ => return Err(Errno::EINVAL),
        };
        self.make_node(at, path, content, mode & 0o7777).map(drop)
    }

    /// Makes a node and returns its place: mknod(2), bind(2) of a Unix socket. `mode` without umask.
    pub fn make_node(
        &self,
        at: Option<&Path>,
        path: &[u8],
        content: NewContent<'_>,
        mode: u32,
    ) -> SysResult<Path> {
        let entry = self.entry(at, path)?;
        if entry.trailing_slash && entry.last != Last::Here {
            return Err(self.exists_or(&entry, Errno::ENOENT));
        }
        let device = matches!(content, NewContent::CharDevice(_) | NewContent::BlockDevice(_));
        // Whiteouts (device 0:0) need no capability (Linux v6.18 vfs_mknod).
        let whiteout = matches!(content, NewContent::CharDevice(0));
        if device && !whiteout && !self.creds.has(Cap::MKNOD) {
            return Err(self.exists_or(&entry, Errno::EPERM));
        }
        self.make(&entry, content, mode & 0o7777 & !self.umask)
    }

    /// symlink(2).
    pub fn symlink(&self, target: &[u8], at: Option<&Path>, path: &[u8]) -> SysResult<()> {
        if target.is_empty() {
            return Err(Errno::ENOENT);
        }
        if target.len() >= abi_linux::fs::PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let entry = self.entry(at, path)?;
        if entry.trailing_slash && entry.last != Last::Here {
            return Err(self.exists_or(&entry, Errno::ENOENT));
        }
        self.make(&entry, NewContent::Symlink(target), 0o777).map(drop)
    }

    /// link(2) and linkat(2); `flags` say whether a symbolic link at the end of `old_path` is followed.
    pub fn link(
        &self,
        old_at: Option<&Path>,
        old_path: &[u8],
        flags: WalkFlags,
        new_at: Option<&Path>,
        new_path: &[u8],
    ) -> SysResult<()> {
        if flags.contains(WalkFlags::EMPTY_PATH)
            && old_path.is_empty()
            && !self.creds.has(Cap::DAC_READ_SEARCH)
        {
            return Err(Errno::ENOENT);
        }
        let old = self.resolve(old_at, old_path, flags)?;
        let entry = self.entry(new_at, new_path)?;
        let name = self.new_name(&entry, NewContent::Regular)?;
        let dir = &entry.dir;
        if old.mount.id() != dir.mount.id() || !old.dentry.same_tree(&dir.dentry) {
            return Err(Errno::EXDEV);
        }
        let held = dir.dentry.lock();
        match dir.dentry.lookup_locked(&held, name, self.who) {
            Ok(_) => return Err(Errno::EEXIST),
            Err(Errno::ENOENT) => {}
            Err(other) => return Err(other),
        }
        dir.mount.check_writable()?;
        self.check_directory_write(dir)?;
        let inode = old.inode();
        if inode.kind() == FileKind::Directory {
            return Err(Errno::EPERM);
        }
        self.check_hard_link_allowed(&inode.lasting_metadata()?)?;
        dir.inode().link(name, &**inode)?;
        dir.dentry.insert(name, Arc::clone(inode));
        notify::inode(&**inode, Happened::ATTRIB);
        notify::name(&dir.dentry, name, &**inode, Happened::CREATE);
        Ok(())
    }

    /// fs.protected_hardlinks = 1, as every distribution sets it (Linux v6.18 may_linkat).
    fn check_hard_link_allowed(&self, meta: &Metadata) -> SysResult<()> {
        if crate::permission::is_owner(meta, self.creds) {
            return Ok(());
        }
        let special = meta.mode & S_IFMT != S_IFREG
            || meta.mode & S_ISUID != 0
            || meta.mode & (S_ISGID | 0o010) == S_ISGID | 0o010;
        let access = crate::permission::Access::READ | crate::permission::Access::WRITE;
        if special || crate::permission::check(meta, self.creds, access).is_err() {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// EEXIST when the entry is there, which Linux finds before other complaints.
    fn exists_or(&self, entry: &Entry, otherwise: Errno) -> Errno {
        match entry.dir.dentry.lookup(&entry.name, self.who) {
            Ok(_) => Errno::EEXIST,
            Err(_) => otherwise,
        }
    }

    /// The name to be made; EEXIST for "/", "." and "..", ENOENT for a non-directory with a slash.
    fn new_name<'e>(&self, entry: &'e Entry, content: NewContent<'_>) -> SysResult<&'e [u8]> {
        if !matches!(entry.last, Last::Name(_)) {
            return Err(Errno::EEXIST);
        }
        if entry.trailing_slash && !matches!(content, NewContent::Directory) {
            return Err(Errno::ENOENT);
        }
        Ok(&entry.name)
    }

    fn make(&self, entry: &Entry, content: NewContent<'_>, mode: u32) -> SysResult<Path> {
        let name = self.new_name(entry, content)?;
        let dir = &entry.dir;
        let held = dir.dentry.lock();
        match dir.dentry.lookup_locked(&held, name, self.who) {
            Ok(_) => return Err(Errno::EEXIST),
            Err(Errno::ENOENT) => {}
            Err(other) => return Err(other),
        }
        let dentry = self.create_locked(dir, name, content, mode)?;
        Ok(Path { mount: Arc::clone(&dir.mount), dentry })
    }

    /// Makes a node in a directory that is held still and has no such name.
    pub(super) fn create_locked(
        &self,
        dir: &Path,
        name: &[u8],
        content: NewContent<'_>,
        mode: u32,
    ) -> SysResult<Arc<Dentry>> {
        self.make_locked(dir, name, content, mode, |node| dir.inode().create(name, node))
    }

    /// [`Self::create_locked`] where `make` makes the inode.
    pub(super) fn make_locked(
        &self,
        dir: &Path,
        name: &[u8],
        content: NewContent<'_>,
        mode: u32,
        make: impl FnOnce(&NewNode<'_>) -> SysResult<Arc<dyn Inode>>,
    ) -> SysResult<Arc<Dentry>> {
        dir.mount.check_writable()?;
        self.check_directory_write(dir)?;
        let node = self.new_node(&dir.inode().lasting_metadata()?, content, mode);
        let inode = make(&node)?;
        let dentry = dir.dentry.insert(name, inode);
        if matches!(content, NewContent::Directory) {
            dentry.set_complete();
        }
        notify::name(&dir.dentry, name, &**dentry.inode(), Happened::CREATE);
        Ok(dentry)
    }

    /// Owner, group and mode of a node made in `dir` (Linux v6.18 inode_init_owner).
    pub(super) fn new_node<'n>(&self, dir: &Metadata, content: NewContent<'n>, mode: u32) -> NewNode<'n> {
        let mut node = NewNode { content, mode, uid: self.creds.fsuid, gid: self.creds.fsgid };
        if dir.mode & S_ISGID == 0 {
            return node;
        }
        node.gid = dir.gid;
        if matches!(content, NewContent::Directory) {
            node.mode |= S_ISGID;
        } else if mode & (S_ISGID | 0o010) == S_ISGID | 0o010
            && !self.creds.in_group(dir.gid)
            && !self.creds.has_over(self.creds.fsuid, dir.gid, Cap::FSETID)
        {
            node.mode &= !S_ISGID;
        }
        node
    }
}
