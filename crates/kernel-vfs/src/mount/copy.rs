//! Copies of mounts: for binds, for new namespaces, and for those that receive a mount from others.

use std::sync::Arc;

use abi_linux::{Errno, SysResult};

use super::{Depth, MAX_MOUNTS, Mount, MountFlags, check_total};
use crate::dentry::Dentry;

/// The id of a mount, and its copy in another namespace or place.
pub type Copied = (u64, Arc<Mount>);

/// What a copy has to do with its original (CL_* of fs/pnode.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copying {
    /// Its peer, and the slave of the same master.
    Same,
    /// A slave of a shared original.
    Slave,
    /// The same, and the first of a new peer group.
    SharedSlave,
    /// A slave if the original is shared, else of the same master: for a less privileged namespace.
    SlaveIfShared,
}

/// Whether mounts that may not be bound are copied or left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unbindable {
    Copy,
    LeaveOut,
}

impl Mount {
    fn copy_one(&self, root: &Arc<Dentry>, how: Copying) -> Arc<Self> {
        let flags = self.flags().difference(MountFlags::FLOATING);
        let copy = Self::detached(Arc::clone(root), &self.source, flags);
        copy.take_links(self, how);
        copy
    }

    /// Copies it and, if asked, what is mounted below `from`; the copy's top is at `from`. Returns each old
    /// mount's id with its copy, the top first (copy_tree).
    pub(super) fn copy_tree(
        self: &Arc<Self>,
        from: &Arc<Dentry>,
        depth: Depth,
        how: Copying,
        unbindable: Unbindable,
    ) -> SysResult<Vec<Copied>> {
        let leaves_out = |mount: &Self| unbindable == Unbindable::LeaveOut && mount.is_unbindable();
        if leaves_out(self) {
            return Err(Errno::EINVAL);
        }
        check_total(1)?;
        let top = self.copy_one(from, how);
        let mut pairs = vec![(self.id, Arc::clone(&top))];
        if depth == Depth::One {
            return Ok(pairs);
        }
        let mut pending = vec![(Arc::clone(self), top)];
        while let Some((old, new)) = pending.pop() {
            for child in old.child_mounts() {
                let Some((_, on)) = child.place() else { continue };
                if !on.is_within(new.root()) {
                    continue;
                }
                if leaves_out(&child) {
                    // What it hides must not show.
                    if child.flags().contains(MountFlags::LOCKED) {
                        return Err(Errno::EPERM);
                    }
                    continue;
                }
                if pairs.len() >= MAX_MOUNTS {
                    return Err(Errno::ENOSPC);
                }
                check_total(1)?;
                let copy = child.copy_one(&child.root, how);
                new.attach(&copy, &on)?;
                pairs.push((child.id, Arc::clone(&copy)));
                pending.push((child, copy));
            }
        }
        Ok(pairs)
    }

    /// A copy with all that lies on it.
    pub(super) fn copy_whole(self: &Arc<Self>, how: Copying) -> SysResult<Arc<Self>> {
        let pairs = self.copy_tree(&self.root, Depth::Recursive, how, Unbindable::Copy)?;
        pairs.into_iter().next().map(|(_, top)| top).ok_or(Errno::EINVAL)
    }

    /// Locks all in a copy for a less privileged namespace (lock_mnt_tree).
    pub(super) fn lock_tree(self: &Arc<Self>) {
        for mount in self.subtree() {
            let mut flags = mount.flags().locked();
            if mount.id != self.id {
                flags |= MountFlags::LOCKED;
            }
            mount.set_flags(flags);
        }
    }

    /// Whether something below `from` hides what a bind of it alone would show (has_locked_children).
    pub(super) fn has_locked_children(&self, from: &Arc<Dentry>) -> bool {
        self.child_mounts().iter().any(|child| {
            child.flags().contains(MountFlags::LOCKED)
                && child.place().is_some_and(|(_, on)| on.is_within(from))
        })
    }
}
