//! Mount namespaces (mount_namespaces(7)).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use kernel_base::sync::Mutex;
use kernel_base::user_ns::{NamespaceId, NamespaceKind, UserNamespace};
use kernel_base::wait::WaitQueue;

use super::bottom::BOTTOM;
use super::copy::{Copied, Copying, Unbindable};
use super::{Depth, MAX_MOUNTS, Mount, MountFlags, TREE};
use crate::path::Path;

/// The mounts that a process sees.
pub struct MountNamespace {
    me: Weak<MountNamespace>,
    id: NamespaceId,
    user_ns: Arc<UserNamespace>,
    /// Below the root; see [`super::bottom`].
    bottom: Arc<Mount>,
    pub(super) table: Mutex<BTreeMap<u64, Arc<Mount>>>,
    /// How often it has changed.
    changes: AtomicU64,
    /// Woken by changes: poll(2) of /proc/pid/mounts.
    pub change_queue: WaitQueue,
}

impl MountNamespace {
    /// [`MountNamespace::owned`] of the initial user namespace.
    #[must_use]
    pub fn new(mount: Arc<Mount>) -> Arc<Self> {
        Self::owned(mount, UserNamespace::initial())
    }

    /// The container's own namespace, whose root is `mount` and which administrators of `user_ns` may change.
    #[must_use]
    pub fn owned(mount: Arc<Mount>, user_ns: &Arc<UserNamespace>) -> Arc<Self> {
        let bottom = Mount::of(&BOTTOM, b"rootfs", MountFlags::empty());
        let dentry = Arc::clone(bottom.root());
        // Nothing is there yet, so it cannot fail.
        let _ = bottom.attach(&mount, &dentry);
        Self::with(bottom, NamespaceId::initial(NamespaceKind::Mnt), Arc::clone(user_ns))
    }

    fn with(bottom: Arc<Mount>, id: NamespaceId, user_ns: Arc<UserNamespace>) -> Arc<Self> {
        let all = bottom.subtree();
        let namespace = Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            id,
            user_ns,
            bottom,
            table: Mutex::default(),
            changes: AtomicU64::new(0),
            change_queue: WaitQueue::new(),
        });
        namespace.enter(&all);
        namespace
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> &NamespaceId {
        &self.id
    }

    /// The user namespace whose administrators may change it.
    #[must_use]
    pub fn user_ns(&self) -> &Arc<UserNamespace> {
        &self.user_ns
    }

    /// Its root directory: what setns(2) makes a process's root.
    #[must_use]
    pub fn root(&self) -> Path {
        Path::new(Arc::clone(&self.bottom), Arc::clone(self.bottom.root())).top()
    }

    /// All mounts that a path may lead to, by id, for /proc/pid/mounts and mountinfo.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Mount>> {
        let table = self.table.lock();
        table.values().filter(|mount| mount.id != self.bottom.id).map(Arc::clone).collect()
    }

    /// The mount with this id.
    #[must_use]
    pub fn find(&self, id: u64) -> Option<Arc<Mount>> {
        self.table.lock().get(&id).map(Arc::clone)
    }

    /// The mounts with ids above (or, from above, below) `after`, at most `most` (listmount(2)).
    #[must_use]
    pub fn list_from(&self, after: Option<u64>, most: usize, reverse: bool) -> Vec<Arc<Mount>> {
        let table = self.table.lock();
        if reverse {
            let end = after.unwrap_or(u64::MAX);
            return table.range(..end).rev().take(most).map(|(_, mount)| Arc::clone(mount)).collect();
        }
        let start = after.map_or(0, |after| after.saturating_add(1));
        table.range(start..).take(most).map(|(_, mount)| Arc::clone(mount)).collect()
    }

    /// How often it has changed.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.change_queue.wake(Events::PRI | Events::ERR);
    }

    /// ENOSPC when `more` mounts are too many here (count_mounts).
    pub(super) fn check_room(&self, more: usize) -> SysResult<()> {
        let all = self.table.lock().len().saturating_add(more);
        if all > MAX_MOUNTS { Err(Errno::ENOSPC) } else { Ok(()) }
    }

    /// Lists mounts.
    pub(super) fn enter(&self, mounts: &[Arc<Mount>]) {
        for mount in mounts {
            *mount.namespace.write() = Weak::clone(&self.me);
            mount.set_flags(mount.flags().difference(MountFlags::FLOATING));
        }
        self.table.lock().extend(mounts.iter().map(|mount| (mount.id, Arc::clone(mount))));
        self.changed();
    }

    /// A copy for unshare(CLONE_NEWNS) in `user_ns`, and for each old mount its new one so that root and cwd can follow
    /// (copy_mnt_ns).
    pub fn duplicate(&self, user_ns: &Arc<UserNamespace>) -> SysResult<(Arc<Self>, Vec<Copied>)> {
        let id = NamespaceId::allocate(NamespaceKind::Mnt)?;
        let _held = TREE.lock();
        let is_lesser = **user_ns != *self.user_ns;
        let how = if is_lesser { Copying::SlaveIfShared } else { Copying::Same };
        let pairs = self.bottom.copy_tree(self.bottom.root(), Depth::Recursive, how, Unbindable::Copy)?;
        let (_, bottom) = pairs.first().ok_or(Errno::EINVAL)?;
        if is_lesser {
            bottom.lock_tree();
        }
        Ok((Self::with(Arc::clone(bottom), id, Arc::clone(user_ns)), pairs))
    }
}
