//! A directory of the host as a filesystem: root filesystems and volumes.
//!
//! [`HostFs`] is the instance, [`inode::HostInode`] a node: one for each host file that somebody looks at,
//! found by the host's device and inode number, so that hard links share one. In an *exclusive* instance
//! attributes are kept until an operation of ours changes them; in a *shared* one the host is asked each
//! time. Descriptors are opened when needed and kept, in bounded number, see [`handles`].
//!
//! Special files are never opened on the host: fifos and devices go to the [`DeviceRegistry`].
//!
//! Lock order: `HostInode.place` (child before parent, one at a time) → `HostInode.handles` →
//! `Shared.inodes`, `HandleCache.queue`; `HostInode.attributes` last.

mod file;
mod handles;
pub mod inode;
mod owners;
pub mod stream;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};

use abi_linux::SysResult;
use abi_linux::fs::StatFs;
use host_files::{HostStat, NewFile, Node};
use kernel_base::sync::Mutex;
use kernel_base::user_ns::UserNamespace;
use kernel_vfs::anon::next_dev;
use kernel_vfs::device::DeviceRegistry;
use kernel_vfs::inode::{Inode, Metadata, NewNode, SuperBlock};
use rustc_hash::FxHashMap;

use self::handles::HandleCache;
use self::inode::{HostInode, metadata_of};
pub use self::owners::Owners;

/// Whether others change the directory while we use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody else does: what was seen stays true.
    Exclusive,
    /// Others may: everything is asked again.
    Shared,
}

/// Whether the guest may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostAccess {
    ReadOnly,
    ReadWrite,
}

/// How a host directory is shown.
#[derive(Clone, Debug)]
pub struct HostFsOptions {
    pub sharing: Sharing,
    pub access: HostAccess,
    /// Whose the files are, where that is not who the host says.
    pub owners: Option<Arc<Owners>>,
    /// Most files whose descriptors are kept open without being used.
    pub max_handles: usize,
}

impl Default for HostFsOptions {
    fn default() -> Self {
        Self { sharing: Sharing::Exclusive, access: HostAccess::ReadOnly, owners: None, max_handles: 256 }
    }
}

/// A host file's identity.
type Key = (u64, u64);

/// What all nodes of an instance share.
pub(crate) struct Shared {
    options: HostFsOptions,
    root: Arc<Node>,
    root_key: Key,
    devices: Arc<DeviceRegistry>,
    /// Our device numbers for the host's: a host directory may span several filesystems.
    devs: Mutex<FxHashMap<u64, u64>>,
    inodes: Mutex<FxHashMap<Key, Weak<HostInode>>>,
    handles: HandleCache,
}

impl Shared {
    fn is_exclusive(&self) -> bool {
        self.options.sharing == Sharing::Exclusive
    }

    /// What the guest sees of a host file, on our device `dev`.
    fn metadata(&self, stat: &HostStat, dev: u64) -> Metadata {
        let metadata = metadata_of(stat, dev);
        match &self.options.owners {
            None => metadata,
            Some(owners) => owners.shown(metadata),
        }
    }

    /// The host's ids for an owner of a file, of which either may be given.
    fn host_ids(&self, uid: Option<u32>, gid: Option<u32>) -> SysResult<(Option<u32>, Option<u32>)> {
        match &self.options.owners {
            None => Ok((uid, gid)),
            Some(owners) => owners.on_host(uid, gid),
        }
    }

    /// What a new file is on the host.
    fn new_file(&self, node: &NewNode<'_>) -> SysResult<NewFile> {
        let (uid, gid) = self.host_ids(Some(node.uid), Some(node.gid))?;
        Ok(NewFile { mode: node.mode, uid: uid.unwrap_or(node.uid), gid: gid.unwrap_or(node.gid) })
    }

    /// The device number that the guest sees for a host's.
    fn guest_dev(&self, host_dev: u64) -> u64 {
        *self.devs.lock().entry(host_dev).or_insert_with(next_dev)
    }

    /// The node for a host file: the one that is in use, or what `make` makes.
    fn intern(&self, stat: &HostStat, make: impl FnOnce() -> Arc<HostInode>) -> Arc<HostInode> {
        let key = (stat.dev, stat.ino);
        let mut inodes = self.inodes.lock();
        let known = inodes.get(&key).and_then(Weak::upgrade);
        if let Some(known) = &known
            && known.is_kind_of(stat)
        {
            return Arc::clone(known);
        }
        let made = make();
        inodes.insert(key, Arc::downgrade(&made));
        drop(inodes);
        // If this was the last reference, its drop takes the lock.
        drop(known);
        made
    }

    /// A node is gone.
    fn forget(&self, key: Key) {
        let mut inodes = self.inodes.lock();
        if inodes.get(&key).is_some_and(|known| known.strong_count() == 0) {
            inodes.remove(&key);
        }
    }
}

/// One instance.
pub struct HostFs {
    shared: Arc<Shared>,
    root: Arc<HostInode>,
    dev: u64,
}

impl HostFs {
    /// Shows the directory (or, for a volume, the file) that `root` is a handle on.
    pub fn new(root: Node, options: HostFsOptions, devices: Arc<DeviceRegistry>) -> SysResult<Arc<Self>> {
        let (stat, max_handles) = (root.stat()?, options.max_handles);
        if options.owners.is_some() {
            UserNamespace::expect_invalid_ids();
        }
        let shared = Arc::new(Shared {
            options,
            root: Arc::new(root),
            root_key: (stat.dev, stat.ino),
            devices,
            devs: Mutex::default(),
            inodes: Mutex::default(),
            handles: HandleCache::new(max_handles),
        });
        let dev = shared.guest_dev(stat.dev);
        let root = shared.intern(&stat, || HostInode::new(&shared, &stat, None));
        Ok(Arc::new(Self { shared, root, dev }))
    }
}

impl SuperBlock for HostFs {
    fn root(&self) -> Arc<dyn Inode> {
        Arc::clone(&self.root) as Arc<dyn Inode>
    }
    /// No driver of Linux's is behind it; "virtiofs" is a name that programs know for a host's directory.
    fn fs_type(&self) -> &'static str {
        "virtiofs"
    }
    fn dev(&self) -> u64 {
        self.dev
    }
    fn statfs(&self) -> SysResult<StatFs> {
        let mut stat = self.shared.root.statfs()?;
        stat.f_fsid = [self.dev as i32, 0];
        Ok(stat)
    }
    fn is_exclusive(&self) -> bool {
        self.shared.is_exclusive()
    }
}
