//! Directories: one whose entries never change, and the open file of all of them.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_vfs::file::{DirEntry, FileOps};
use kernel_vfs::inode::{FileKind, Inode, Metadata, SetAttributes};

use super::Id;
use super::file::ignore_all_but_owner;

/// One name of a directory.
pub(crate) struct Listed {
    /// Grows from entry to entry and stays the same while others come and go.
    pub(crate) key: u64,
    pub(crate) name: Vec<u8>,
    pub(crate) ino: u64,
    pub(crate) kind: FileKind,
}

type List = Box<dyn Fn(&dyn Caller) -> SysResult<Vec<Listed>> + Send + Sync>;

/// An open directory: `.` and `..` at positions 0 and 1, then the entries by key.
pub(crate) struct DirOps {
    ino: u64,
    parent: u64,
    list: List,
}

impl DirOps {
    /// Opens a directory; `list` gives all entries, keys ascending.
    pub(crate) fn open(
        ino: u64,
        parent: u64,
        list: impl Fn(&dyn Caller) -> SysResult<Vec<Listed>> + Send + Sync + 'static,
    ) -> Arc<dyn FileOps> {
        Arc::new(Self { ino, parent, list: Box::new(list) })
    }
}

impl FileOps for DirOps {
    fn read(&self, _io: kernel_vfs::file::Io<'_>, _buf: &mut [u8]) -> SysResult<usize> {
        Err(Errno::EISDIR)
    }
    fn read_dir(
        &self,
        who: &dyn Caller,
        position: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> SysResult<()> {
        let kind = FileKind::Directory;
        let dots = [(&b"."[..], self.ino), (b"..", self.parent)];
        for (at, (name, ino)) in (0_u64..).zip(dots) {
            if position <= at && !emit(DirEntry { name, ino, kind, next: at + 1 }) {
                return Ok(());
            }
        }
        for entry in (self.list)(who)? {
            let place = entry.key.saturating_add(2);
            let next = place.saturating_add(1);
            if place >= position
                && !emit(DirEntry { name: &entry.name, ino: entry.ino, kind: entry.kind, next })
            {
                return Ok(());
            }
        }
        Ok(())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The entries of a [`StaticDir`], in the order of their names.
pub(crate) type Children = Arc<[(Vec<u8>, Arc<dyn Inode>)]>;

/// A directory whose entries never change.
pub(crate) struct StaticDir {
    id: Id,
    parent: u64,
    children: Children,
}

impl StaticDir {
    /// `children` sorted by name.
    pub(crate) fn new(id: Id, parent: u64, children: Children) -> Self {
        Self { id, parent, children }
    }

    /// The inode of that name.
    pub(crate) fn child(&self, name: &[u8]) -> SysResult<Arc<dyn Inode>> {
        let found = self.children.binary_search_by(|(known, _)| known.as_slice().cmp(name));
        let (_, inode) = found.ok().and_then(|at| self.children.get(at)).ok_or(Errno::ENOENT)?;
        Ok(Arc::clone(inode))
    }

    /// The entries for getdents64(2), with keys from 0.
    pub(crate) fn listed(children: &Children) -> SysResult<Vec<Listed>> {
        let entry = |(key, (name, inode)): (u64, &(Vec<u8>, Arc<dyn Inode>))| {
            let ino = inode.metadata()?.ino;
            Ok(Listed { key, name: name.clone(), ino, kind: inode.kind() })
        };
        (0_u64..).zip(children.iter()).map(entry).collect()
    }

    pub(crate) fn children(&self) -> &Children {
        &self.children
    }

    /// Links to the directory: its own two and each subdirectory's `..`.
    pub(crate) fn nlink(&self) -> u32 {
        let below = self.children.iter().filter(|(_, inode)| inode.kind() == FileKind::Directory).count();
        u32::try_from(below).unwrap_or(u32::MAX).saturating_add(2)
    }
}

impl Inode for StaticDir {
    fn kind(&self) -> FileKind {
        FileKind::Directory
    }
    fn metadata(&self) -> SysResult<Metadata> {
        Ok(self.id.metadata(FileKind::Directory, self.nlink()))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn set_attributes(&self, change: &SetAttributes) -> SysResult<()> {
        ignore_all_but_owner(change)
    }
    fn lookup(&self, name: &[u8], _who: &dyn Caller) -> SysResult<Arc<dyn Inode>> {
        self.child(name)
    }
    fn open(&self, _flags: OpenFlags, _who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        let children = Arc::clone(&self.children);
        Ok(DirOps::open(self.id.ino, self.parent, move |_| Self::listed(&children)))
    }
}
