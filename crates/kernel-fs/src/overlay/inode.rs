//! Nodes of an overlay.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::{Mutex, MutexGuard, RwLock};
use kernel_vfs::file::FileOps;
use kernel_vfs::inode::{FileKind, Inode, LinkTarget, Metadata, NewNode, RenameMode, SetAttributes};

use super::Shared;
use super::copy_up::{Extent, copy_attributes};
use super::directory::is_private_xattr;
use super::file::LowerFile;
use super::listing::OverlayDir;

/// What a node is made of. A directory may have both; of anything else only the upper counts, if it is
/// there.
#[derive(Clone)]
pub(super) struct Layers {
    pub(super) upper: Option<Arc<dyn Inode>>,
    pub(super) lower: Option<Arc<dyn Inode>>,
}

/// Where a node lies.
type Place = (Arc<OverlayInode>, Arc<[u8]>);

/// A node.
pub struct OverlayInode {
    shared: Arc<Shared>,
    me: Weak<OverlayInode>,
    ino: u64,
    kind: FileKind,
    /// `None` for the root and for what has lost its name.
    place: RwLock<Option<Place>>,
    layers: RwLock<Layers>,
    /// Whether `layers.upper` is there, for open files of the lower one.
    has_upper: AtomicBool,
    /// Held while it is copied up.
    copying: Mutex<()>,
    /// Held while names in this directory change; true once it is removed.
    naming: Mutex<bool>,
}

impl OverlayInode {
    pub(super) fn new(
        shared: &Arc<Shared>,
        layers: Layers,
        ino: u64,
        place: Option<(Arc<Self>, &[u8])>,
    ) -> Arc<Self> {
        let kind =
            layers.upper.as_ref().or(layers.lower.as_ref()).map_or(FileKind::Regular, |inode| inode.kind());
        Arc::new_cyclic(|me| Self {
            shared: Arc::clone(shared),
            me: me.clone(),
            ino,
            kind,
            place: RwLock::new(place.map(|(parent, name)| (parent, Arc::from(name)))),
            has_upper: AtomicBool::new(layers.upper.is_some()),
            layers: RwLock::new(layers),
            copying: Mutex::new(()),
            naming: Mutex::new(false),
        })
    }

    pub(super) fn of(inode: &dyn Inode) -> SysResult<&Self> {
        inode.as_any().downcast_ref().ok_or(Errno::EXDEV)
    }

    pub(super) fn me(&self) -> SysResult<Arc<Self>> {
        self.me.upgrade().ok_or(Errno::ESTALE)
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }

    pub(super) fn upper(&self) -> Option<Arc<dyn Inode>> {
        self.layers.read().upper.clone()
    }

    pub(super) fn lower(&self) -> Option<Arc<dyn Inode>> {
        self.layers.read().lower.clone()
    }

    pub(super) fn layers(&self) -> Layers {
        self.layers.read().clone()
    }

    /// Whether it has been copied up, without a lock.
    pub(super) fn has_upper(&self) -> bool {
        self.has_upper.load(Ordering::Acquire)
    }

    /// The layer that counts for attributes and contents.
    pub(super) fn effective(&self) -> SysResult<Arc<dyn Inode>> {
        let layers = self.layers.read();
        layers.upper.as_ref().or(layers.lower.as_ref()).map(Arc::clone).ok_or(Errno::ESTALE)
    }

    /// It has been copied up.
    pub(super) fn set_upper(&self, upper: &Arc<dyn Inode>) -> SysResult<()> {
        let metadata = upper.metadata()?;
        self.layers.write().upper = Some(Arc::clone(upper));
        self.has_upper.store(true, Ordering::Release);
        self.shared.copied(&self.me()?, &metadata);
        Ok(())
    }

    pub(super) fn copying(&self) -> MutexGuard<'_, ()> {
        self.copying.lock()
    }

    pub(super) fn naming(&self) -> MutexGuard<'_, bool> {
        self.naming.lock()
    }

    pub(super) fn place(&self) -> Option<Place> {
        self.place.read().clone()
    }

    pub(super) fn parent(&self) -> Option<Arc<Self>> {
        self.place.read().as_ref().map(|(parent, _)| Arc::clone(parent))
    }

    pub(super) fn set_place(&self, parent: &Self, name: &[u8]) -> SysResult<()> {
        let old = self.place.write().replace((parent.me()?, Arc::from(name)));
        drop(old);
        Ok(())
    }

    /// One of several names goes: that of the place is replaced at the next lookup.
    pub(super) fn lose_place(&self, parent: &Self, name: &[u8]) {
        let mut place = self.place.write();
        let same =
            place.as_ref().is_some_and(|(dir, known)| std::ptr::eq(&**dir, parent) && **known == *name);
        let old = if same { place.take() } else { None };
        drop(place);
        drop(old);
    }

    pub(super) fn place_if_lost(&self, parent: &Arc<Self>, name: &[u8]) {
        if self.place.read().is_none() && !std::ptr::eq(self, &**parent) {
            *self.place.write() = Some((Arc::clone(parent), Arc::from(name)));
        }
    }

    /// The number of "..": the parent's, or its own at the root.
    pub(super) fn parent_ino(&self) -> u64 {
        self.place.read().as_ref().map_or(self.ino, |(parent, _)| parent.ino)
    }

    /// The root of a fresh upper layer looks like the lower one's.
    pub(super) fn take_lower_attributes(&self) -> SysResult<()> {
        let layers = self.layers();
        let (Some(upper), Some(lower)) = (layers.upper, layers.lower) else { return Ok(()) };
        let metadata = lower.metadata()?;
        let owner =
            SetAttributes { uid: Some(metadata.uid), gid: Some(metadata.gid), ..SetAttributes::default() };
        upper.set_attributes(&owner)?;
        copy_attributes(&lower, &metadata, &*upper)
    }

    fn metadata_by(&self, ask: impl FnOnce(&dyn Inode) -> SysResult<Metadata>) -> SysResult<Metadata> {
        let layers = self.layers.read();
        let inode = layers.upper.as_ref().or(layers.lower.as_ref()).ok_or(Errno::ESTALE)?;
        let mut metadata = ask(&**inode)?;
        let is_merged = layers.upper.is_some() && layers.lower.is_some();
        if self.kind == FileKind::Directory && is_merged {
            // fs/overlayfs/inode.c ovl_getattr: a merged directory's links are not counted.
            metadata.nlink = metadata.nlink.min(1);
        }
        metadata.dev = self.shared.dev;
        metadata.ino = self.ino;
        Ok(metadata)
    }
}

impl Inode for OverlayInode {
    fn kind(&self) -> FileKind {
        self.kind
    }

    fn metadata(&self) -> SysResult<Metadata> {
        self.metadata_by(|inode| inode.metadata())
    }

    fn lasting_metadata(&self) -> SysResult<Metadata> {
        self.metadata_by(|inode| inode.lasting_metadata())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn set_attributes(&self, change: &SetAttributes) -> SysResult<()> {
        let extent = change.size.map_or(Extent::All, Extent::UpTo);
        self.copy_up(extent)?.set_attributes(change)
    }

    fn lookup(&self, name: &[u8], who: &dyn Caller) -> SysResult<Arc<dyn Inode>> {
        Ok(self.find(name, who)?)
    }

    fn create(&self, name: &[u8], node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        Ok(self.create_entry(name, node)?)
    }

    fn create_unnamed(&self, node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        let upper = self.copy_up(Extent::All)?.create_unnamed(node)?;
        Ok(self.shared.intern(Layers { upper: Some(upper), lower: None }, None)?)
    }

    fn link(&self, name: &[u8], target: &dyn Inode) -> SysResult<()> {
        self.link_entry(name, Self::of(target)?)
    }

    fn unlink(&self, name: &[u8]) -> SysResult<()> {
        self.unlink_entry(name)
    }

    fn rmdir(&self, name: &[u8]) -> SysResult<()> {
        self.rmdir_entry(name)
    }

    fn rename(
        &self,
        name: &[u8],
        new_parent: &dyn Inode,
        new_name: &[u8],
        mode: RenameMode,
    ) -> SysResult<()> {
        self.rename_entry(name, Self::of(new_parent)?, new_name, mode)
    }

    fn read_link(&self, who: &dyn Caller) -> SysResult<LinkTarget> {
        self.effective()?.read_link(who)
    }

    fn open(&self, flags: OpenFlags, who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        match self.kind {
            FileKind::Directory => Ok(Arc::new(OverlayDir::new(self.me()?))),
            FileKind::Regular if flags.writable() => self.copy_up(Extent::All)?.open(flags, who),
            FileKind::Regular if !self.has_upper() => {
                let ops = self.effective()?.open(flags, who)?;
                Ok(Arc::new(LowerFile::new(self.me()?, ops, flags)))
            }
            _ => self.effective()?.open(flags, who),
        }
    }

    fn get_xattr(&self, name: &[u8]) -> SysResult<Vec<u8>> {
        if is_private_xattr(name) { Err(Errno::ENODATA) } else { self.effective()?.get_xattr(name) }
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> SysResult<()> {
        if is_private_xattr(name) {
            return Err(Errno::EPERM);
        }
        self.copy_up(Extent::All)?.set_xattr(name, value, flags)
    }

    fn list_xattr(&self) -> SysResult<Vec<u8>> {
        let all = self.effective()?.list_xattr()?;
        let shown = all.split_inclusive(|&byte| byte == 0).filter(|name| !is_private_xattr(name));
        Ok(shown.flatten().copied().collect())
    }

    fn remove_xattr(&self, name: &[u8]) -> SysResult<()> {
        if is_private_xattr(name) {
            return Err(Errno::ENODATA);
        }
        self.copy_up(Extent::All)?.remove_xattr(name)
    }
}

impl Drop for OverlayInode {
    fn drop(&mut self) {
        self.shared.forget(self.layers.get_mut());
        // A chain of parents can be longer than the stack is deep.
        let mut next = self.place.get_mut().take();
        while let Some((parent, _)) = next {
            next = Arc::into_inner(parent).and_then(|mut parent| parent.place.get_mut().take());
        }
    }
}
