//! What mount(2), move_mount(2), open_tree(2) and pivot_root(2) do to a namespace.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi_linux::{Errno, SysResult};

use super::copy::{Copying, Unbindable};
use super::group::Propagation;
use super::namespace::MountNamespace;
use super::{Depth, Mount, MountFlags, TREE, check_total};
use crate::dentry::Dentry;
use crate::inode::{FileKind, SuperBlock};
use crate::path::Path;

/// Where a copy of a mount goes that others receive.
type Received = (Arc<Mount>, Arc<Mount>);

impl MountNamespace {
    /// Puts a detached mount, with what is mounted below it, at `at`; on top of what is mounted there.
    pub fn attach(&self, mount: &Arc<Mount>, at: &Path) -> SysResult<()> {
        let at = at.top();
        let mount_is_dir = mount.root().inode().kind() == FileKind::Directory;
        if mount_is_dir != at.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        let _held = TREE.lock();
        if !at.mount.is_in(self) {
            return Err(Errno::EINVAL);
        }
        if at.dentry.is_deleted() {
            return Err(Errno::ENOENT);
        }
        let new = mount.subtree();
        self.check_room(new.len())?;
        self.attach_shared(mount, &at, || Ok(()))
    }

    /// attach_recursive_mnt: at a shared place all peers and slaves receive a copy. `lift` takes the mount from where
    /// it was, once nothing can fail any more.
    fn attach_shared(
        &self,
        mount: &Arc<Mount>,
        at: &Path,
        lift: impl FnOnce() -> SysResult<()>,
    ) -> SysResult<()> {
        let shared = at.mount.is_shared();
        let newly: Vec<_> = if shared {
            mount.subtree().into_iter().filter(|mount| mount.share()).collect()
        } else {
            Vec::new()
        };
        let received = self.receive(mount, at).and_then(|received| lift().map(|()| received));
        let received = match received {
            Ok(received) => received,
            Err(error) => {
                for mount in newly {
                    mount.set_propagation(Propagation::Private);
                }
                return Err(error);
            }
        };
        at.mount.attach(mount, &at.dentry)?;
        self.enter(&mount.subtree());
        for (on, copy) in received {
            self.deliver(&on, &at.dentry, &copy)?;
        }
        Ok(())
    }

    /// The copies that others get, counted in their namespaces.
    fn receive(&self, mount: &Arc<Mount>, at: &Path) -> SysResult<Vec<Received>> {
        let received = at.mount.propagate(&at.dentry, mount)?;
        let size = mount.subtree().len();
        for (on, _) in &received {
            let Some(namespace) = on.namespace() else { continue };
            let copies = received.iter().filter(|(on, _)| on.is_in(&namespace)).count();
            namespace.check_room(copies.saturating_mul(size))?;
        }
        Ok(received)
    }

    /// Puts a copy where another mount receives it: below what is mounted there already.
    fn deliver(&self, on: &Arc<Mount>, dentry: &Arc<Dentry>, copy: &Arc<Mount>) -> SysResult<()> {
        let namespace = on.namespace();
        if namespace.as_ref().is_some_and(|other| other.user_ns() != self.user_ns()) {
            copy.lock_tree();
        }
        copy.set_flags(copy.flags().difference(MountFlags::LOCKED));
        let above = on.mounted_on(dentry);
        if let Some(above) = &above {
            above.detach();
        }
        on.attach(copy, dentry)?;
        if let Some(above) = &above {
            let mut top = Arc::clone(copy);
            while let Some(next) = top.topper() {
                top = next;
            }
            let root = Arc::clone(top.root());
            top.attach(above, &root)?;
        }
        if let Some(namespace) = namespace {
            let mine: Vec<_> =
                copy.subtree().into_iter().filter(|mount| mount.namespace().is_none()).collect();
            namespace.enter(&mine);
        }
        Ok(())
    }

    /// Mounts a fresh filesystem instance.
    pub fn mount(
        &self,
        superblock: &Arc<dyn SuperBlock>,
        source: &[u8],
        flags: MountFlags,
        at: &Path,
    ) -> SysResult<Arc<Mount>> {
        let mount = Mount::of(superblock, source, flags);
        self.mount_instance(&mount, at)?;
        Ok(mount)
    }

    /// Mounts the mount of an instance; the same instance twice at one place answers EBUSY (do_add_mount).
    pub fn mount_instance(&self, mount: &Arc<Mount>, at: &Path) -> SysResult<()> {
        check_total(0)?;
        let top = at.top();
        if top.is_mount_root() && top.dentry.same_tree(mount.root()) && Arc::ptr_eq(&top.dentry, mount.root())
        {
            return Err(Errno::EBUSY);
        }
        self.attach(mount, &top)
    }

    /// A copy of what is at `from`, as a bind shows it, not attached anywhere (__do_loopback, open_detached_copy).
    pub fn copy_of(&self, from: &Path, depth: Depth) -> SysResult<Arc<Mount>> {
        let _held = TREE.lock();
        let of_nowhere =
            from.mount.superblock().fs_type() == "nsfs" || from.mount.flags().contains(MountFlags::FLOATING);
        if !from.mount.is_in(self) && !of_nowhere {
            return Err(Errno::EINVAL);
        }
        if depth == Depth::One && from.mount.has_locked_children(&from.dentry) {
            return Err(Errno::EINVAL);
        }
        let pairs = from.mount.copy_tree(&from.dentry, depth, Copying::Same, Unbindable::LeaveOut)?;
        let (_, copy) = pairs.into_iter().next().ok_or(Errno::EINVAL)?;
        copy.set_flags(copy.flags().difference(MountFlags::LOCKED));
        Ok(copy)
    }

    /// mount(2) with MS_BIND: shows `from` at `at`.
    pub fn bind(&self, from: &Path, at: &Path, depth: Depth) -> SysResult<Arc<Mount>> {
        let copy = self.copy_of(from, depth)?;
        self.attach(&copy, at)?;
        Ok(copy)
    }

    /// mount(2) with MS_MOVE, and move_mount(2): of a mount of this namespace, or of one in none yet.
    pub fn move_mount(&self, from: &Path, at: &Path) -> SysResult<()> {
        let at = at.top();
        let _held = TREE.lock();
        let mount = &from.mount;
        let is_floating = mount.flags().contains(MountFlags::FLOATING) && mount.place().is_none();
        if !at.mount.is_in(self) || !from.is_mount_root() || !(is_floating || mount.is_in(self)) {
            return Err(Errno::EINVAL);
        }
        if mount.flags().contains(MountFlags::LOCKED) || from.is_dir() != at.is_dir() {
            return Err(Errno::EINVAL);
        }
        let parent = mount.place().map(|(parent, _)| parent);
        if parent.is_none() && !is_floating || parent.is_some_and(|parent| parent.is_shared()) {
            return Err(Errno::EINVAL);
        }
        if at.mount.is_shared() && mount.subtree().iter().any(|mount| mount.is_unbindable()) {
            return Err(Errno::EINVAL);
        }
        if is_above(mount, &at.mount) {
            return Err(Errno::ELOOP);
        }
        if at.dentry.is_deleted() {
            return Err(Errno::ENOENT);
        }
        if is_floating {
            self.check_room(mount.subtree().len())?;
        }
        self.attach_shared(mount, &at, || {
            mount.detach();
            Ok(())
        })
    }

    /// Changes the propagation of the mount at `at` (do_change_type).
    pub fn set_propagation(&self, at: &Path, to: Propagation, depth: Depth) -> SysResult<()> {
        let _held = TREE.lock();
        self.check_own(at)?;
        for mount in below(at, depth) {
            mount.set_propagation(to);
        }
        self.changed();
        Ok(())
    }

    /// EINVAL unless `at` is the root of a mount here, or of one in no namespace yet.
    fn check_own(&self, at: &Path) -> SysResult<()> {
        let is_mine = at.mount.is_in(self) || at.mount.flags().contains(MountFlags::FLOATING);
        if is_mine && at.is_mount_root() { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Checks that the flags of the mount at `at` may become `wanted`, for a remount of its filesystem.
    pub fn check_remount(&self, at: &Path, wanted: MountFlags) -> SysResult<()> {
        if !at.mount.is_in(self) || !at.is_mount_root() {
            return Err(Errno::EINVAL);
        }
        if at.mount.flags().may_become(wanted) { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Gives the mounts at `at` the flags that `change` makes of theirs (do_reconfigure_mnt, do_mount_setattr): all or
    /// none. EBUSY when one is to become read-only that has files open for writing.
    pub fn change_flags(
        &self,
        at: &Path,
        depth: Depth,
        change: impl Fn(MountFlags) -> MountFlags,
    ) -> SysResult<()> {
        let _held = TREE.lock();
        self.check_own(at)?;
        let mut done: Vec<(Arc<Mount>, MountFlags)> = Vec::new();
        let mut result = Ok(());
        for mount in below(at, depth) {
            let old = mount.flags();
            let new = change(old) & MountFlags::SETTABLE | old.difference(MountFlags::SETTABLE);
            if !old.may_become(new) {
                result = Err(Errno::EPERM);
                break;
            }
            mount.set_flags(new);
            let seals = new.contains(MountFlags::RDONLY) && !old.contains(MountFlags::RDONLY);
            let is_busy = seals && mount.writers.load(Ordering::Acquire) > 0;
            done.push((mount, old));
            if is_busy {
                result = Err(Errno::EBUSY);
                break;
            }
        }
        if result.is_err() {
            for (mount, old) in done {
                mount.set_flags(old);
            }
            return result;
        }
        self.changed();
        Ok(())
    }

    /// Whether a file of the instance at `at` is open for writing through any of its mounts here.
    #[must_use]
    pub fn has_writers(&self, at: &Path) -> bool {
        let of_instance = |mount: &Arc<Mount>| mount.root().same_tree(&at.dentry);
        self.list()
            .iter()
            .filter(|mount| of_instance(mount))
            .any(|mount| mount.writers.load(Ordering::Acquire) > 0)
    }

    /// pivot_root(2): `new` takes the place of `root`, which goes to `old`.
    pub fn pivot_root(&self, root: &Path, new: &Path, old: &Path) -> SysResult<()> {
        let old = old.top();
        let _held = TREE.lock();
        let (root_mount, new_mount) = (&root.mount, &new.mount);
        let parent_of = |mount: &Arc<Mount>| mount.place().map(|(parent, _)| parent);
        let (root_parent, new_parent) = (parent_of(root_mount), parent_of(new_mount));
        let shared = |mount: &Option<Arc<Mount>>| mount.as_ref().is_some_and(|mount| mount.is_shared());
        if old.mount.is_shared() || shared(&new_parent) || shared(&root_parent) {
            return Err(Errno::EINVAL);
        }
        let foreign = !root_mount.is_in(self) || !new_mount.is_in(self);
        if foreign || new_mount.flags().contains(MountFlags::LOCKED) {
            return Err(Errno::EINVAL);
        }
        if new.dentry.is_deleted() {
            return Err(Errno::ENOENT);
        }
        if Arc::ptr_eq(new_mount, root_mount) || Arc::ptr_eq(&old.mount, root_mount) {
            return Err(Errno::EBUSY);
        }
        let rooted = root.is_mount_root() && new.is_mount_root();
        if !rooted
            || root_parent.is_none()
            || new_parent.is_none()
            || !old.is_below(new)
            || !new.is_below(root)
        {
            return Err(Errno::EINVAL);
        }
        new_mount.detach();
        let (base, spot) = root_mount.detach().ok_or(Errno::EINVAL)?;
        if root_mount.flags().contains(MountFlags::LOCKED) {
            new_mount.set_flags(new_mount.flags() | MountFlags::LOCKED);
            root_mount.set_flags(root_mount.flags().difference(MountFlags::LOCKED));
        }
        old.mount.attach(root_mount, &old.dentry)?;
        base.attach(new_mount, &spot)?;
        self.changed();
        Ok(())
    }
}

/// Whether `mount` is `below` or holds it.
fn is_above(mount: &Arc<Mount>, below: &Arc<Mount>) -> bool {
    let mut here = Some(Arc::clone(below));
    while let Some(candidate) = here {
        if Arc::ptr_eq(&candidate, mount) {
            return true;
        }
        here = candidate.place().map(|(parent, _)| parent);
    }
    false
}

fn below(at: &Path, depth: Depth) -> Vec<Arc<Mount>> {
    match depth {
        Depth::One => vec![Arc::clone(&at.mount)],
        Depth::Recursive => at.mount.subtree(),
    }
}
