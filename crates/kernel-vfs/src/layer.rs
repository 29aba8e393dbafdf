//! A directory of the tree as a filesystem of its own: the layers of an overlay that a guest mounts.
//!
//! Its inodes are names of the tree, so that what the overlay changes is seen where the layer is seen by itself:
//! each change goes through the [`Dentry`], whose caches stay true.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::{OpenFlags, StatFs};
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;

use crate::dentry::Dentry;
use crate::file::FileOps;
use crate::inode::{FileKind, Inode, LinkTarget, Metadata, NewNode, RenameMode, SetAttributes, SuperBlock};

/// A directory as a filesystem.
pub struct Layer {
    root: Arc<Dentry>,
}

impl Layer {
    /// The filesystem of what is below `root`, without what is mounted there.
    #[must_use]
    #[expect(clippy::new_ret_no_self, reason = "a filesystem is only used through its trait")]
    pub fn new(root: &Arc<Dentry>) -> Arc<dyn SuperBlock> {
        Arc::new(Self { root: Arc::clone(root) })
    }
}

impl SuperBlock for Layer {
    fn root(&self) -> Arc<dyn Inode> {
        LayerInode::of(Arc::clone(&self.root))
    }
    fn fs_type(&self) -> &'static str {
        self.root.superblock().fs_type()
    }
    fn dev(&self) -> u64 {
        self.root.superblock().dev()
    }
    fn statfs(&self) -> SysResult<StatFs> {
        self.root.superblock().statfs()
    }
    fn is_exclusive(&self) -> bool {
        // Others see it, and change it.
        false
    }
}

/// A name of a layer.
struct LayerInode {
    dentry: Arc<Dentry>,
}

impl LayerInode {
    fn of(dentry: Arc<Dentry>) -> Arc<dyn Inode> {
        Arc::new(Self { dentry })
    }

    fn inner(&self) -> &Arc<dyn Inode> {
        self.dentry.inode()
    }

    fn downcast(inode: &dyn Inode) -> SysResult<&Self> {
        inode.as_any().downcast_ref().ok_or(Errno::EXDEV)
    }
}

/// Who looks up what the overlay's caller has been allowed to change: lookups ask `who` in /proc alone.
impl Inode for LayerInode {
    fn kind(&self) -> FileKind {
        self.inner().kind()
    }
    fn metadata(&self) -> SysResult<Metadata> {
        self.inner().metadata()
    }
    fn lasting_metadata(&self) -> SysResult<Metadata> {
        self.inner().lasting_metadata()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn set_attributes(&self, change: &SetAttributes) -> SysResult<()> {
        self.inner().set_attributes(change)
    }
    fn lookup(&self, name: &[u8], who: &dyn Caller) -> SysResult<Arc<dyn Inode>> {
        self.dentry.lookup(name, who).map(Self::of)
    }
    fn create(&self, name: &[u8], node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        let _held = self.dentry.lock();
        let inode = self.inner().create(name, node)?;
        Ok(Self::of(self.dentry.insert(name, inode)))
    }
    fn create_unnamed(&self, node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        let inode = self.inner().create_unnamed(node)?;
        Ok(Self::of(self.dentry.unnamed_child(inode, b"#")))
    }
    fn link(&self, name: &[u8], target: &dyn Inode) -> SysResult<()> {
        let target = Self::downcast(target)?;
        let _held = self.dentry.lock();
        self.inner().link(name, &**target.inner())?;
        self.dentry.insert(name, Arc::clone(target.inner()));
        Ok(())
    }
    fn unlink(&self, name: &[u8]) -> SysResult<()> {
        let _held = self.dentry.lock();
        self.inner().unlink(name)?;
        self.dentry.removed_name(name);
        Ok(())
    }
    fn rmdir(&self, name: &[u8]) -> SysResult<()> {
        let _held = self.dentry.lock();
        self.inner().rmdir(name)?;
        self.dentry.removed_name(name);
        Ok(())
    }
    fn rename(
        &self,
        name: &[u8],
        new_parent: &dyn Inode,
        new_name: &[u8],
        mode: RenameMode,
    ) -> SysResult<()> {
        let to = Self::downcast(new_parent)?;
        let is_one = Arc::ptr_eq(&self.dentry, &to.dentry);
        let _tree = (!is_one).then(|| self.dentry.lock_tree());
        let (first, second) = if Arc::as_ptr(&self.dentry) <= Arc::as_ptr(&to.dentry) {
            (&self.dentry, &to.dentry)
        } else {
            (&to.dentry, &self.dentry)
        };
        let _first = first.lock();
        let _second = (!is_one).then(|| second.lock());
        self.inner().rename(name, &**to.inner(), new_name, mode)?;
        self.dentry.renamed_name(name, &to.dentry, new_name, mode);
        Ok(())
    }
    fn read_link(&self, who: &dyn Caller) -> SysResult<LinkTarget> {
        self.inner().read_link(who)
    }
    fn open(&self, flags: OpenFlags, who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        self.inner().open(flags, who)
    }
    fn get_xattr(&self, name: &[u8]) -> SysResult<Vec<u8>> {
        self.inner().get_xattr(name)
    }
    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> SysResult<()> {
        self.inner().set_xattr(name, value, flags)
    }
    fn list_xattr(&self) -> SysResult<Vec<u8>> {
        self.inner().list_xattr()
    }
    fn remove_xattr(&self, name: &[u8]) -> SysResult<()> {
        self.inner().remove_xattr(name)
    }
    fn caches_lookups(&self) -> bool {
        false
    }
}
