//! A writable layer on top of a read-only one (Documentation/filesystems/overlayfs.rst).
//!
//! The *lower* filesystem is never written. The *upper* one, in memory or a host directory, holds what is
//! new or changed: a lower file is *copied up* before its first change; a removed lower name is covered by
//! a *whiteout* (character device 0:0); a new directory where a lower one was removed is *opaque*
//! (attribute `trusted.overlay.opaque`, or `user.overlay.opaque` where that cannot be set). A directory
//! that both layers have is merged.
//!
//! Inode numbers do not change when a file is copied up. As in overlayfs without `redirect_dir`, renaming a
//! directory that has a lower part answers EXDEV, and mv(1) copies.
//!
//! Key types: [`OverlayFs`], [`inode::OverlayInode`]. Lock order: `OverlayInode.naming` and
//! `OverlayInode.copying` (never of two nodes at once, except copying after naming) → `OverlayInode.layers`
//! → `Shared.inodes`, `Shared.origins`; the layers' own locks come last.

mod copy_up;
mod directory;
mod file;
pub mod inode;
mod kernel;
mod listing;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};

use abi_linux::SysResult;
use abi_linux::fs::StatFs;
use kernel_base::sync::Mutex;
use kernel_vfs::anon::next_dev;
use kernel_vfs::inode::{Inode, Metadata, SuperBlock};
use platform_api::Platform;
use rustc_hash::FxHashMap;

use self::inode::{Layers, OverlayInode};

/// OVERLAYFS_SUPER_MAGIC of include/uapi/linux/magic.h.
const OVERLAYFS_MAGIC: i64 = 0x794c_7630;
/// Inode numbers of files that exist in the upper layer alone have this bit.
const UPPER_BIT: u64 = 1 << 56;
/// Where the number of a lower filesystem goes in an inode number, when the lower layer spans several.
const LOWER_DEV_SHIFT: u32 = 57;

/// Which layer a node is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Layer {
    Upper,
    Lower,
}

type Key = (Layer, u64, u64);

/// What all nodes share.
pub(crate) struct Shared {
    lower: Arc<dyn SuperBlock>,
    upper: Arc<dyn SuperBlock>,
    platform: Arc<dyn Platform>,
    dev: u64,
    inodes: Mutex<FxHashMap<Key, Weak<OverlayInode>>>,
    /// Inode numbers that copied-up files had before, by their number in the upper layer.
    origins: Mutex<FxHashMap<u64, u64>>,
    /// Upper files of copied-up lower files that have several names, so that all names see the copy.
    copies: Mutex<FxHashMap<Key, Arc<dyn Inode>>>,
    /// Lower device numbers, in the order they were met.
    lower_devs: Mutex<Vec<u64>>,
}

impl Shared {
    /// The number shown for a lower file.
    fn lower_ino(&self, metadata: &Metadata) -> u64 {
        self.lower_entry_ino(metadata.dev, metadata.ino)
    }

    fn lower_entry_ino(&self, dev: u64, ino: u64) -> u64 {
        let mut devs = self.lower_devs.lock();
        let index = devs.iter().position(|&known| known == dev).unwrap_or_else(|| {
            devs.push(dev);
            devs.len() - 1
        });
        ino ^ (index as u64) << LOWER_DEV_SHIFT
    }

    /// The number shown for an upper file.
    fn upper_ino(&self, ino: u64) -> u64 {
        self.origins.lock().get(&ino).copied().unwrap_or(ino | UPPER_BIT)
    }

    /// The node for a pair of layers: the one in use, or a new one.
    fn intern(
        self: &Arc<Self>,
        layers: Layers,
        place: Option<(Arc<OverlayInode>, &[u8])>,
    ) -> SysResult<Arc<OverlayInode>> {
        let (key, ino) = self.identify(&layers)?;
        let mut inodes = self.inodes.lock();
        let known = inodes.get(&key).and_then(Weak::upgrade);
        if let Some(known) = known {
            drop(inodes);
            if let Some((parent, name)) = place {
                known.place_if_lost(&parent, name);
            }
            return Ok(known);
        }
        let made = OverlayInode::new(self, layers, ino, place);
        inodes.insert(key, Arc::downgrade(&made));
        Ok(made)
    }

    /// Key and inode number of a pair of layers.
    fn identify(&self, layers: &Layers) -> SysResult<(Key, u64)> {
        if let Some(upper) = &layers.upper {
            let metadata = upper.metadata()?;
            let ino = match &layers.lower {
                Some(lower) => self.lower_ino(&lower.metadata()?),
                None => self.upper_ino(metadata.ino),
            };
            return Ok(((Layer::Upper, metadata.dev, metadata.ino), ino));
        }
        let lower = layers.lower.as_ref().ok_or(abi_linux::Errno::ESTALE)?;
        let metadata = lower.metadata()?;
        Ok(((Layer::Lower, metadata.dev, metadata.ino), self.lower_ino(&metadata)))
    }

    /// A node has got an upper file: it is known by that as well.
    fn copied(&self, inode: &Arc<OverlayInode>, upper: &Metadata) {
        self.inodes.lock().insert((Layer::Upper, upper.dev, upper.ino), Arc::downgrade(inode));
        self.origins.lock().insert(upper.ino, inode.ino());
    }

    /// Forgets names of a node that is gone.
    fn forget(&self, layers: &Layers) {
        let upper = layers.upper.as_ref().map(|inode| (Layer::Upper, inode));
        let lower = layers.lower.as_ref().map(|inode| (Layer::Lower, inode));
        for (layer, inode) in [upper, lower].into_iter().flatten() {
            let Ok(metadata) = inode.metadata() else { continue };
            let mut inodes = self.inodes.lock();
            let key = (layer, metadata.dev, metadata.ino);
            if inodes.get(&key).is_some_and(|known| known.strong_count() == 0) {
                inodes.remove(&key);
            }
            drop(inodes);
            if layer == Layer::Upper && metadata.nlink == 0 {
                self.origins.lock().remove(&metadata.ino);
            }
        }
    }
}

/// Whether the upper layer may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    ReadOnly,
    ReadWrite,
}

/// One instance.
pub struct OverlayFs {
    shared: Arc<Shared>,
    root: Arc<OverlayInode>,
    access: Access,
}

impl OverlayFs {
    /// Joins two layers at their roots. Nothing else may write to `upper`.
    pub fn new(
        lower: Arc<dyn SuperBlock>,
        upper: Arc<dyn SuperBlock>,
        platform: Arc<dyn Platform>,
    ) -> SysResult<Arc<Self>> {
        let overlay = Self::joined(lower, upper, platform, Access::ReadWrite)?;
        overlay.root.take_lower_attributes()?;
        Ok(overlay)
    }

    /// As [`OverlayFs::new`], of layers that others may see and whose attributes stay as they are.
    pub fn of_directories(
        lower: Arc<dyn SuperBlock>,
        upper: Arc<dyn SuperBlock>,
        platform: Arc<dyn Platform>,
    ) -> SysResult<Arc<dyn SuperBlock>> {
        Ok(Self::joined(lower, upper, platform, Access::ReadWrite)?)
    }

    /// Two layers of which neither is written: mounts of it are read-only.
    pub fn read_only(
        lower: Arc<dyn SuperBlock>,
        upper: Arc<dyn SuperBlock>,
        platform: Arc<dyn Platform>,
    ) -> SysResult<Arc<dyn SuperBlock>> {
        Ok(Self::joined(lower, upper, platform, Access::ReadOnly)?)
    }

    fn joined(
        lower: Arc<dyn SuperBlock>,
        upper: Arc<dyn SuperBlock>,
        platform: Arc<dyn Platform>,
        access: Access,
    ) -> SysResult<Arc<Self>> {
        let layers = Layers { upper: Some(upper.root()), lower: Some(lower.root()) };
        let shared = Arc::new(Shared {
            lower,
            upper,
            platform,
            dev: next_dev(),
            inodes: Mutex::default(),
            origins: Mutex::default(),
            copies: Mutex::default(),
            lower_devs: Mutex::default(),
        });
        let root = shared.intern(layers, None)?;
        Ok(Arc::new(Self { shared, root, access }))
    }
}

impl SuperBlock for OverlayFs {
    fn root(&self) -> Arc<dyn Inode> {
        Arc::clone(&self.root) as Arc<dyn Inode>
    }
    fn fs_type(&self) -> &'static str {
        "overlay"
    }
    fn dev(&self) -> u64 {
        self.shared.dev
    }
    fn statfs(&self) -> SysResult<StatFs> {
        let mut stat = self.shared.upper.statfs()?;
        stat.f_type = OVERLAYFS_MAGIC;
        stat.f_fsid = [self.shared.dev as i32, 0];
        Ok(stat)
    }
    fn is_read_only(&self) -> bool {
        self.access == Access::ReadOnly
    }
    fn is_exclusive(&self) -> bool {
        self.shared.lower.is_exclusive() && self.shared.upper.is_exclusive()
    }
}
