//! Mounts: filesystems joined into one tree, and the namespace that lists them.
//!
//! A [`Mount`] knows what is mounted on its dentries and where it is mounted itself, so that a path walk
//! needs no table of the namespace. Lock order: `MountNamespace.table` → `Mount.children` → `Mount.place`.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use abi_linux::{Errno, SysResult};
use kernel_base::sync::{Mutex, RwLock};

use crate::dentry::Dentry;
use crate::inode::{FileKind, SuperBlock};
use crate::path::Path;

bitflags::bitflags! {
    /// Flags of one mount, with the values of mount(2) (include/uapi/linux/mount.h).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MountFlags: u32 {
        const RDONLY = 1;
        const NOSUID = 2;
        const NODEV = 4;
        const NOEXEC = 8;
        const NOSYMFOLLOW = 256;
        const NOATIME = 1024;
        const NODIRATIME = 2048;
        const RELATIME = 1 << 21;
    }
}

/// Most mounts in one namespace (Linux's fs.mount-max, which is 100000; ours is smaller).
const MAX_MOUNTS: usize = 4096;

/// Ids are unique over all namespaces, like Linux's.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// One mount.
pub struct Mount {
    id: u64,
    root: Arc<Dentry>,
    source: Vec<u8>,
    flags: AtomicU32,
    /// Mounts that lie on dentries of this one, by the dentry's address; they keep the dentry alive.
    children: RwLock<HashMap<usize, Arc<Mount>>>,
    /// Where it is mounted; `None` at the top of a namespace and after a lazy umount.
    place: RwLock<Option<(Weak<Mount>, Arc<Dentry>)>>,
}

/// The id of a mount, and its copy in another namespace or place.
pub type Copied = (u64, Arc<Mount>);

fn key(dentry: &Arc<Dentry>) -> usize {
    Arc::as_ptr(dentry).addr()
}

impl Mount {
    /// A mount of the subtree at `root`, not attached anywhere. `source` is the first field of /proc/mounts.
    #[must_use]
    pub fn detached(root: Arc<Dentry>, source: &[u8], flags: MountFlags) -> Arc<Self> {
        root.used_by_mount();
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            root,
            source: source.to_vec(),
            flags: AtomicU32::new(flags.bits()),
            children: RwLock::default(),
            place: RwLock::new(None),
        })
    }

    /// A mount of a fresh filesystem instance, not attached anywhere.
    #[must_use]
    pub fn of(superblock: &Arc<dyn SuperBlock>, source: &[u8], flags: MountFlags) -> Arc<Self> {
        Self::detached(Dentry::root_of(superblock), source, flags)
    }

    /// The mount id of statx(2) and /proc/pid/mountinfo.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The dentry at its top.
    #[must_use]
    pub fn root(&self) -> &Arc<Dentry> {
        &self.root
    }

    /// Its filesystem.
    #[must_use]
    pub fn superblock(&self) -> &Arc<dyn SuperBlock> {
        self.root.superblock()
    }

    /// Its device name in /proc/mounts.
    #[must_use]
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// Its flags.
    #[must_use]
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Changes its flags (mount(2) with MS_REMOUNT|MS_BIND).
    pub fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// EROFS for a mount that may not be written.
    pub fn check_writable(&self) -> SysResult<()> {
        if self.flags().contains(MountFlags::RDONLY) { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// The mount and dentry that it lies on.
    #[must_use]
    pub fn place(&self) -> Option<(Arc<Self>, Arc<Dentry>)> {
        let place = self.place.read();
        let (mount, dentry) = place.as_ref()?;
        Some((mount.upgrade()?, Arc::clone(dentry)))
    }

    /// What is mounted on `dentry` of this mount.
    #[must_use]
    pub(crate) fn mounted_on(&self, dentry: &Arc<Dentry>) -> Option<Arc<Self>> {
        if !dentry.is_mountpoint() {
            return None;
        }
        self.children.read().get(&key(dentry)).map(Arc::clone)
    }

    fn attach(self: &Arc<Self>, child: &Arc<Self>, dentry: &Arc<Dentry>) -> SysResult<()> {
        let mut children = self.children.write();
        if children.contains_key(&key(dentry)) {
            return Err(Errno::EBUSY);
        }
        dentry.add_mount();
        *child.place.write() = Some((Arc::downgrade(self), Arc::clone(dentry)));
        children.insert(key(dentry), Arc::clone(child));
        Ok(())
    }

    fn detach(&self) {
        let Some((parent, dentry)) = self.place.write().take() else { return };
        dentry.remove_mount();
        let removed = parent.upgrade().and_then(|parent| parent.children.write().remove(&key(&dentry)));
        drop(removed);
    }

    fn child_mounts(&self) -> Vec<Arc<Self>> {
        self.children.read().values().map(Arc::clone).collect()
    }

    /// It and all mounts below it, parents first.
    #[must_use]
    pub fn subtree(self: &Arc<Self>) -> Vec<Arc<Self>> {
        let mut all = vec![Arc::clone(self)];
        let mut next = 0;
        while let Some(mount) = all.get(next) {
            let mut children = mount.child_mounts();
            children.sort_by_key(|mount| mount.id);
            all.append(&mut children);
            next += 1;
        }
        all
    }

    /// Copies it and, if asked, what is mounted below `from`; the copy's top is at `from`. Returns each old
    /// mount's id with its copy, the top first.
    fn copy_tree(self: &Arc<Self>, from: &Arc<Dentry>, depth: Depth) -> SysResult<Vec<Copied>> {
        let top = Self::detached(Arc::clone(from), &self.source, self.flags());
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
                if pairs.len() >= MAX_MOUNTS {
                    return Err(Errno::ENOSPC);
                }
                let copy = Self::detached(Arc::clone(&child.root), &child.source, child.flags());
                new.attach(&copy, &on)?;
                pairs.push((child.id, Arc::clone(&copy)));
                pending.push((child, copy));
            }
        }
        Ok(pairs)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some((_, dentry)) = self.place.get_mut().take() {
            dentry.remove_mount();
        }
        self.root.unused_by_mount();
    }
}

/// Whether an operation takes only the mount named or all below it, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    One,
    Recursive,
}

/// Whether umount waits for users to leave (EBUSY) or detaches at once (MNT_DETACH).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmount {
    IfUnused,
    Detach,
}

/// The mounts that a process sees.
pub struct MountNamespace {
    root: Path,
    table: Mutex<BTreeMap<u64, Arc<Mount>>>,
}

impl MountNamespace {
    /// A namespace whose root is `mount`.
    #[must_use]
    pub fn new(mount: Arc<Mount>) -> Arc<Self> {
        let all = mount.subtree().into_iter().map(|mount| (mount.id, mount)).collect();
        let root = Path::new(Arc::clone(&mount), Arc::clone(mount.root()));
        Arc::new(Self { root, table: Mutex::new(all) })
    }

    /// Its root directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All mounts by id, for /proc/pid/mounts and mountinfo.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Mount>> {
        self.table.lock().values().map(Arc::clone).collect()
    }

    /// Puts a detached mount, with what is mounted below it, at `at`; on top of what is mounted there.
    pub fn attach(&self, mount: &Arc<Mount>, at: &Path) -> SysResult<()> {
        let at = at.top();
        let mount_is_dir = mount.root().inode().kind() == FileKind::Directory;
        if mount_is_dir != (at.inode().kind() == FileKind::Directory) {
            return Err(Errno::ENOTDIR);
        }
        if at.dentry.is_deleted() {
            return Err(Errno::ENOENT);
        }
        let mut table = self.table.lock();
        if !table.contains_key(&at.mount.id) {
            return Err(Errno::EINVAL);
        }
        let new = mount.subtree();
        if table.len() + new.len() > MAX_MOUNTS {
            return Err(Errno::ENOSPC);
        }
        at.mount.attach(mount, &at.dentry)?;
        table.extend(new.into_iter().map(|mount| (mount.id, mount)));
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
        self.attach(&mount, at)?;
        Ok(mount)
    }

    /// mount(2) with MS_BIND: shows `from` at `at`.
    pub fn bind(&self, from: &Path, at: &Path, depth: Depth) -> SysResult<Arc<Mount>> {
        let pairs = from.mount.copy_tree(&from.dentry, depth)?;
        let (_, copy) = pairs.into_iter().next().ok_or(Errno::EINVAL)?;
        self.attach(&copy, at)?;
        Ok(copy)
    }

    /// mount(2) with MS_MOVE.
    pub fn move_mount(&self, from: &Path, at: &Path) -> SysResult<()> {
        let at = at.top();
        if !Arc::ptr_eq(&from.dentry, from.mount.root()) || from.mount.place().is_none() {
            return Err(Errno::EINVAL);
        }
        if at.is_below(from) {
            return Err(Errno::ELOOP);
        }
        let table = self.table.lock();
        if !table.contains_key(&from.mount.id) || !table.contains_key(&at.mount.id) {
            return Err(Errno::EINVAL);
        }
        from.mount.detach();
        at.mount.attach(&from.mount, &at.dentry)
    }

    /// umount2(2) of the mount whose root is `at`. EINVAL when `at` is no mount's root.
    pub fn unmount(&self, at: &Path, how: Unmount) -> SysResult<()> {
        if !Arc::ptr_eq(&at.dentry, at.mount.root()) || Arc::ptr_eq(&at.mount, &self.root.mount) {
            return Err(Errno::EINVAL);
        }
        let mut table = self.table.lock();
        if !table.contains_key(&at.mount.id) {
            return Err(Errno::EINVAL);
        }
        let all = at.mount.subtree();
        if how == Unmount::IfUnused {
            // Ours: table, parent's children, `at` itself, `all`, and the clone in `at`'s walk.
            if all.len() > 1 || Arc::strong_count(&at.mount) > 4 {
                return Err(Errno::EBUSY);
            }
        }
        for mount in &all {
            table.remove(&mount.id);
        }
        at.mount.detach();
        Ok(())
    }

    /// A copy for unshare(CLONE_NEWNS), and for each old mount its new one so that root and cwd can follow.
    pub fn duplicate(&self) -> SysResult<(Arc<Self>, Vec<Copied>)> {
        let _held = self.table.lock();
        let pairs = self.root.mount.copy_tree(&self.root.dentry, Depth::Recursive)?;
        let (_, top) = pairs.first().ok_or(Errno::EINVAL)?;
        Ok((Self::new(Arc::clone(top)), pairs))
    }
}

impl Path {
    /// The topmost mount's root when something is mounted here.
    #[must_use]
    pub fn top(&self) -> Self {
        let mut here = self.clone();
        while let Some(mount) = here.mount.mounted_on(&here.dentry) {
            let dentry = Arc::clone(mount.root());
            here = Self { mount, dentry };
        }
        here
    }
}
