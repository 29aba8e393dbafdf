//! Nodes of a tmpfs.

use std::any::Any;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Weak};

use abi_linux::fs::OpenFlags;
use abi_linux::time::Timespec;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::{Mutex, RwLock};
use kernel_vfs::device::SpecialNode;
use kernel_vfs::file::FileOps;
use kernel_vfs::inode::{
    FileKind, Inode, LinkTarget, Metadata, NewContent, NewNode, RenameMode, SetAttributes,
};

use super::contents::F_SEAL_SEAL;
use super::data::Data;
use super::directory::{Directory, Listed};
use super::file::{TmpDir, TmpFile};
use super::xattr::Xattrs;
use super::{PAGE_SIZE, Shared};

/// Bytes that Linux's tmpfs says an entry takes (mm/shmem.c BOGO_DIRENT_SIZE).
const DIRENT_SIZE: u64 = 20;

/// What changes about a node beside its content.
pub(super) struct Attributes {
    pub(super) mode: u32,
    nlink: u32,
    uid: u32,
    gid: u32,
    pub(super) atime: Timespec,
    pub(super) mtime: Timespec,
    pub(super) ctime: Timespec,
}

pub(super) enum Content {
    Regular { data: RwLock<Data>, seals: AtomicU32 },
    Directory(Mutex<Directory>),
    Symlink(Box<[u8]>),
    Special { node: SpecialNode, rdev: u64 },
}

/// A node.
pub struct TmpInode {
    pub(super) shared: Arc<Shared>,
    me: Weak<TmpInode>,
    ino: u64,
    kind: FileKind,
    btime: Timespec,
    pub(super) content: Content,
    pub(super) attributes: Mutex<Attributes>,
    pub(super) xattrs: Mutex<Xattrs>,
}

impl TmpInode {
    /// A node that is going to be entered in `parent`.
    pub(super) fn new(
        shared: &Arc<Shared>,
        node: &NewNode<'_>,
        parent: Option<&Arc<Self>>,
    ) -> SysResult<Arc<Self>> {
        let special = |rdev| Content::Special { node: SpecialNode::default(), rdev };
        let (kind, content) = match node.content {
            NewContent::Regular => {
                let seals = AtomicU32::new(F_SEAL_SEAL);
                (FileKind::Regular, Content::Regular { data: RwLock::new(Data::new()), seals })
            }
            NewContent::Directory => {
                let parent = parent.map(Arc::downgrade).unwrap_or_default();
                (FileKind::Directory, Content::Directory(Mutex::new(Directory::new(parent))))
            }
            NewContent::Symlink(target) => (FileKind::Symlink, Content::Symlink(Box::from(target))),
            NewContent::Fifo => (FileKind::Fifo, special(0)),
            NewContent::Socket => (FileKind::Socket, special(0)),
            NewContent::CharDevice(rdev) => (FileKind::CharDevice, special(rdev)),
            NewContent::BlockDevice(rdev) => (FileKind::BlockDevice, special(rdev)),
        };
        let now = shared.now();
        let attributes = Attributes {
            mode: kind.mode_bits() | node.mode & 0o7777,
            nlink: if kind == FileKind::Directory { 2 } else { 1 },
            uid: node.uid,
            gid: node.gid,
            atime: now,
            mtime: now,
            ctime: now,
        };
        let ino = shared.new_ino()?;
        Ok(Arc::new_cyclic(|me| Self {
            shared: Arc::clone(shared),
            me: me.clone(),
            ino,
            kind,
            btime: now,
            content,
            attributes: Mutex::new(attributes),
            xattrs: Mutex::default(),
        }))
    }

    /// A regular file without a name, which may be sealed.
    pub(super) fn new_unnamed(shared: &Arc<Shared>, node: &NewNode<'_>) -> SysResult<Arc<Self>> {
        let inode = Self::new(shared, node, None)?;
        inode.attributes.lock().nlink = 0;
        Ok(inode)
    }

    fn directory(&self) -> SysResult<&Mutex<Directory>> {
        match &self.content {
            Content::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn data(&self) -> SysResult<&RwLock<Data>> {
        match &self.content {
            Content::Regular { data, .. } => Ok(data),
            Content::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    fn of(inode: &dyn Inode) -> SysResult<&Self> {
        inode.as_any().downcast_ref().ok_or(Errno::EXDEV)
    }

    /// Notes a change of names in this directory.
    fn touch_directory(&self, links: i32) {
        let now = self.shared.now();
        let mut attributes = self.attributes.lock();
        attributes.mtime = now;
        attributes.ctime = now;
        attributes.nlink = attributes.nlink.saturating_add_signed(links);
    }

    /// Notes that this node has one name more or fewer.
    fn relink(&self, links: i32) {
        let now = self.shared.now();
        let mut attributes = self.attributes.lock();
        attributes.ctime = now;
        attributes.nlink = attributes.nlink.saturating_add_signed(links);
    }

    /// Notes that this node lost its name: for a directory, that it is gone.
    fn unlinked(&self) {
        if self.kind == FileKind::Directory {
            self.attributes.lock().nlink = 0;
        } else {
            self.relink(-1);
        }
    }

    /// Closes an empty directory for good, so that nothing can be made in it; ENOTEMPTY.
    fn bury(&self) -> SysResult<()> {
        let mut inside = self.directory()?.lock();
        if inside.len() > 0 {
            return Err(Errno::ENOTEMPTY);
        }
        inside.dead = true;
        Ok(())
    }

    /// How a move of a directory changes its parents' link counts.
    fn dir_links(&self) -> i32 {
        i32::from(self.kind == FileKind::Directory)
    }

    fn set_parent(&self, parent: &Self) {
        if let Content::Directory(directory) = &self.content {
            directory.lock().parent = parent.me.clone();
        }
    }

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }

    /// The number of "..": the parent's, or its own at the root.
    pub(super) fn parent_ino(&self) -> u64 {
        let parent = self.directory().map(|directory| directory.lock().parent.upgrade());
        parent.ok().flatten().map_or(self.ino, |parent| parent.ino)
    }

    /// Up to `count` entries from `position` on: position, name, number, kind.
    pub(super) fn entries(&self, position: u64, count: usize) -> SysResult<Vec<Listed>> {
        Ok(self.directory()?.lock().window(position, count))
    }

    fn size_and_pages(&self) -> (u64, u64) {
        match &self.content {
            Content::Regular { data, .. } => {
                let data = data.read();
                (data.size(), data.pages())
            }
            Content::Directory(directory) => ((directory.lock().len() as u64 + 2) * DIRENT_SIZE, 0),
            Content::Symlink(target) => (target.len() as u64, 0),
            Content::Special { .. } => (0, 0),
        }
    }

    fn rename_into(&self, name: &[u8], to: &Self, new_name: &[u8], mode: RenameMode) -> SysResult<()> {
        let source = Arc::clone(self.directory()?.lock().get(name)?);
        let target = to.directory()?.lock().get(new_name).map(Arc::clone).ok();
        match (&target, mode) {
            (None, RenameMode::Exchange) => return Err(Errno::ENOENT),
            (Some(_), RenameMode::NoReplace) => return Err(Errno::EEXIST),
            (Some(target), RenameMode::Exchange) => {
                self.directory()?.lock().replace(name, Arc::clone(target))?;
                to.directory()?.lock().replace(new_name, Arc::clone(&source))?;
                target.set_parent(self);
                source.set_parent(to);
                let change = target.dir_links() - source.dir_links();
                self.touch_directory(change);
                to.touch_directory(-change);
                target.relink(0);
                source.relink(0);
                return Ok(());
            }
            (Some(target), RenameMode::Replace) => {
                if target.kind == FileKind::Directory {
                    target.bury()?;
                }
                to.directory()?.lock().replace(new_name, Arc::clone(&source))?;
                target.unlinked();
                to.touch_directory(-target.dir_links());
            }
            (None, _) => to.directory()?.lock().insert(new_name, Arc::clone(&source))?,
        }
        drop(self.directory()?.lock().remove(name)?);
        source.set_parent(to);
        self.touch_directory(-source.dir_links());
        to.touch_directory(source.dir_links());
        source.relink(0);
        Ok(())
    }
}

/// The names that lead from `root` to the inode with a number; `None` without it, or when `root` is no tmpfs's.
#[must_use]
pub fn path_to(root: &dyn Inode, ino: u64) -> Option<Vec<Vec<u8>>> {
    let root = TmpInode::of(root).ok()?;
    if root.ino == ino {
        return Some(Vec::new());
    }
    // Where each directory that was found has its name: its parent's place in this list, and the name.
    let mut directories: Vec<(usize, Arc<[u8]>, Arc<TmpInode>)> =
        vec![(0, Arc::default(), root.me.upgrade()?)];
    let mut next = 0;
    while let Some(directory) = directories.get(next).map(|(_, _, directory)| Arc::clone(directory)) {
        let entries = directory.directory().ok()?.lock().window(0, usize::MAX);
        for (_, name, child) in entries {
            if child.ino == ino {
                let mut names = vec![name.to_vec()];
                let mut at = next;
                while at != 0 {
                    let (parent, name, _) = directories.get(at)?;
                    names.push(name.to_vec());
                    at = *parent;
                }
                names.reverse();
                return Some(names);
            }
            if child.kind == FileKind::Directory {
                directories.push((next, name, child));
            }
        }
        next += 1;
    }
    None
}

impl Inode for TmpInode {
    fn kind(&self) -> FileKind {
        self.kind
    }

    fn metadata(&self) -> SysResult<Metadata> {
        let (size, pages) = self.size_and_pages();
        let rdev = if let Content::Special { rdev, .. } = self.content { rdev } else { 0 };
        let attributes = self.attributes.lock();
        Ok(Metadata {
            dev: self.shared.dev,
            ino: self.ino,
            mode: attributes.mode,
            nlink: attributes.nlink,
            uid: attributes.uid,
            gid: attributes.gid,
            rdev,
            size,
            blocks: pages * (PAGE_SIZE / 512),
            block_size: PAGE_SIZE as u32,
            atime: attributes.atime,
            mtime: attributes.mtime,
            ctime: attributes.ctime,
            btime: Some(self.btime),
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn set_attributes(&self, change: &SetAttributes) -> SysResult<()> {
        if let Some(size) = change.size {
            self.resize(size)?;
        }
        let now = self.shared.now();
        let mut attributes = self.attributes.lock();
        if let Some(mode) = change.mode {
            attributes.mode = self.kind.mode_bits() | mode & 0o7777;
        }
        attributes.uid = change.uid.unwrap_or(attributes.uid);
        attributes.gid = change.gid.unwrap_or(attributes.gid);
        attributes.atime = change.atime.unwrap_or(attributes.atime);
        attributes.mtime = change.mtime.unwrap_or(attributes.mtime);
        attributes.ctime = now;
        Ok(())
    }

    fn lookup(&self, name: &[u8], _who: &dyn Caller) -> SysResult<Arc<dyn Inode>> {
        let found = Arc::clone(self.directory()?.lock().get(name)?);
        Ok(found)
    }

    fn create(&self, name: &[u8], node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        let parent = self.me.upgrade().ok_or(Errno::ENOENT)?;
        let inode = Self::new(&self.shared, node, Some(&parent))?;
        self.directory()?.lock().insert(name, Arc::clone(&inode))?;
        self.touch_directory(inode.dir_links());
        Ok(inode)
    }

    fn create_unnamed(&self, node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        self.directory()?;
        Ok(Self::new_unnamed(&self.shared, node)?)
    }

    fn link(&self, name: &[u8], target: &dyn Inode) -> SysResult<()> {
        let target = Self::of(target)?;
        if !Arc::ptr_eq(&target.shared, &self.shared) {
            return Err(Errno::EXDEV);
        }
        if target.kind == FileKind::Directory {
            return Err(Errno::EPERM);
        }
        let target = target.me.upgrade().ok_or(Errno::ENOENT)?;
        self.directory()?.lock().insert(name, Arc::clone(&target))?;
        target.relink(1);
        self.touch_directory(0);
        Ok(())
    }

    fn unlink(&self, name: &[u8]) -> SysResult<()> {
        let mut directory = self.directory()?.lock();
        if directory.get(name)?.kind == FileKind::Directory {
            return Err(Errno::EISDIR);
        }
        let gone = directory.remove(name)?;
        drop(directory);
        gone.unlinked();
        self.touch_directory(0);
        Ok(())
    }

    fn rmdir(&self, name: &[u8]) -> SysResult<()> {
        let child = Arc::clone(self.directory()?.lock().get(name)?);
        child.bury()?;
        drop(self.directory()?.lock().remove(name)?);
        child.unlinked();
        self.touch_directory(-1);
        Ok(())
    }

    fn rename(
        &self,
        name: &[u8],
        new_parent: &dyn Inode,
        new_name: &[u8],
        mode: RenameMode,
    ) -> SysResult<()> {
        self.rename_into(name, Self::of(new_parent)?, new_name, mode)
    }

    fn read_link(&self, _who: &dyn Caller) -> SysResult<LinkTarget> {
        match &self.content {
            Content::Symlink(target) => Ok(LinkTarget::Path(target.to_vec())),
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(&self, flags: OpenFlags, who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        let me = self.me.upgrade().ok_or(Errno::ESTALE)?;
        match &self.content {
            Content::Regular { .. } => Ok(Arc::new(TmpFile::new(me))),
            Content::Directory(_) => Ok(Arc::new(TmpDir::new(me))),
            Content::Symlink(_) => Err(Errno::ELOOP),
            Content::Special { node, .. } => node.open(&self.shared.devices, self, flags, who),
        }
    }

    fn get_xattr(&self, name: &[u8]) -> SysResult<Vec<u8>> {
        if name.starts_with(b"system.") {
            return Err(Errno::EOPNOTSUPP);
        }
        self.xattrs.lock().get(name)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> SysResult<()> {
        self.xattrs.lock().set(name, value, flags)?;
        self.relink(0);
        Ok(())
    }

    fn list_xattr(&self) -> SysResult<Vec<u8>> {
        Ok(self.xattrs.lock().list())
    }

    fn remove_xattr(&self, name: &[u8]) -> SysResult<()> {
        self.xattrs.lock().remove(name)?;
        self.relink(0);
        Ok(())
    }
}

impl Drop for TmpInode {
    fn drop(&mut self) {
        self.shared.drop_ino();
        match &mut self.content {
            Content::Regular { data, .. } => self.shared.uncharge(data.get_mut().pages()),
            Content::Directory(directory) => {
                // A tree can be deeper than the stack: take it apart level by level.
                let mut pending = directory.get_mut().take_all();
                while let Some(inode) = pending.pop() {
                    if let Some(mut inode) = Arc::into_inner(inode)
                        && let Content::Directory(directory) = &mut inode.content
                    {
                        pending.append(&mut directory.get_mut().take_all());
                    }
                }
            }
            Content::Symlink(_) | Content::Special { .. } => {}
        }
    }
}
