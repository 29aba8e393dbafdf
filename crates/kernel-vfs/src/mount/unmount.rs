//! umount2(2), and what it does to those that received the mount (propagate_umount).

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use abi_linux::{Errno, SysResult};
use rustc_hash::FxHashSet;

use super::namespace::MountNamespace;
use super::{Mount, MountFlags, TREE, Unmount};
use crate::path::Path;

/// References to a mounted mount that nobody uses: its parent's, and its namespace's.
const UNUSED: usize = 2;

impl MountNamespace {
    /// umount2(2) of the mount whose root is `at`, the caller's only reference. EINVAL when `at` is no mount's root.
    pub fn unmount(&self, at: Path, how: Unmount) -> SysResult<()> {
        let held = TREE.lock();
        let is_locked = at.mount.flags().contains(MountFlags::LOCKED);
        if !at.is_mount_root() || !at.mount.is_in(self) || at.mount.place().is_none() || is_locked {
            return Err(Errno::EINVAL);
        }
        let mount = at.mount;
        if how != Unmount::Detach && is_busy(&mount) {
            return Err(Errno::EBUSY);
        }
        if how == Unmount::Expire && !mount.expiring.swap(true, Ordering::Relaxed) {
            return Err(Errno::EAGAIN);
        }
        let gone = remove_tree(&mount);
        self.changed();
        drop(held);
        // The last references to filesystems may go with it.
        drop(gone);
        Ok(())
    }
}

/// Whether it or a copy of it that would go as well is in use (propagate_mount_busy).
fn is_busy(mount: &Arc<Mount>) -> bool {
    // One more for the caller's reference.
    if !mount.children.read().is_empty() || Arc::strong_count(mount) > UNUSED + 1 {
        return true;
    }
    let Some((parent, dentry)) = mount.place() else { return false };
    parent.receivers().iter().any(|receiver| {
        let Some(copy) = receiver.mounted_on(&dentry) else { return false };
        let covered = copy.topper().is_some() && copy.children.read().len() == 1;
        (covered || copy.children.read().is_empty()) && Arc::strong_count(&copy) > UNUSED + 1
    })
}

/// Takes a tree of mounts off, and the copies of it elsewhere. Returns what was taken off.
fn remove_tree(top: &Arc<Mount>) -> Vec<Arc<Mount>> {
    let mut doomed = top.subtree();
    let mut known: FxHashSet<u64> = doomed.iter().map(|mount| mount.id).collect();
    let mut candidates = Vec::new();
    for mount in &doomed {
        let Some((parent, dentry)) = mount.place() else { continue };
        for receiver in parent.receivers() {
            candidates.extend(receiver.mounted_on(&dentry));
        }
    }
    candidates.retain(|copy| !known.contains(&copy.id) && !copy.flags().contains(MountFlags::LOCKED));
    // A copy goes when nothing else lies on it, but for a mount that covers it whole, which sinks to its place.
    loop {
        let before = known.len();
        candidates.retain(|copy| {
            let topper = copy.topper().map(|mount| mount.id);
            let is_free = |child: &Arc<Mount>| known.contains(&child.id) || topper == Some(child.id);
            let goes = !known.contains(&copy.id) && copy.child_mounts().iter().all(is_free);
            if goes {
                known.insert(copy.id);
                doomed.push(Arc::clone(copy));
            }
            !goes
        });
        if known.len() == before {
            break;
        }
    }
    for mount in &doomed {
        let survivor = mount.topper().filter(|topper| !known.contains(&topper.id));
        let stays = mount.flags().contains(MountFlags::LOCKED) && mount.id != top.id;
        let place = if stays { None } else { mount.detach() };
        if let (Some(survivor), Some((parent, dentry))) = (survivor, place) {
            survivor.detach();
            // The place has just become free.
            let _ = parent.attach(&survivor, &dentry);
        }
        if let Some(namespace) = mount.namespace() {
            namespace.table.lock().remove(&mount.id);
            namespace.changed();
        }
        *mount.namespace.write() = Weak::new();
        mount.leave();
    }
    doomed
}
