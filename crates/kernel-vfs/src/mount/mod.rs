//! Mounts: filesystems joined into one tree, and the namespaces that list them (fs/namespace.c, fs/pnode.c, Linux
//! v6.18; mount_namespaces(7)).
//!
//! A [`Mount`] knows what is mounted on its dentries and where it is mounted itself, so that a path walk
//! needs no table of the namespace. [`MountNamespace`] holds the operations, [`group`] who hears of whose mounts.
//!
//! Lock order: [`TREE`], held by everything that changes a tree → `MountNamespace.table` → `Mount.children` →
//! `Mount.place` → `Mount.links` → `PeerGroup.members` → `PeerGroup.slaves`.

mod bottom;
mod copy;
mod group;
mod namespace;
mod operations;
mod unmount;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use abi_linux::{Errno, SysResult};
use kernel_base::sync::{Mutex, RwLock};
use kernel_base::user_ns::UserNamespace;

use crate::dentry::Dentry;
use crate::inode::{FileKind, SuperBlock};
use crate::path::Path;

pub use self::copy::Copied;
use self::group::Links;
pub use self::group::Propagation;
pub use self::namespace::MountNamespace;

bitflags::bitflags! {
    /// Flags of one mount: those of mount(2) with its values (include/uapi/linux/mount.h), and below them what
    /// a less privileged namespace may not change (Linux's MNT_LOCK_*, MNT_LOCKED).
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
        const LOCK_ATIME = 1 << 12;
        const LOCK_NOEXEC = 1 << 13;
        const LOCK_NOSUID = 1 << 14;
        const LOCK_NODEV = 1 << 15;
        const LOCK_READONLY = 1 << 16;
        /// Not to be unmounted or moved by itself.
        const LOCKED = 1 << 17;
        /// In no namespace yet: made by fsmount(2) or open_tree(2).
        const FLOATING = 1 << 18;
    }

    /// Flags of a filesystem instance, with the values of mount(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SuperFlags: u32 {
        const RDONLY = 1;
        const SYNCHRONOUS = 16;
        const MANDLOCK = 64;
        const DIRSYNC = 128;
        const LAZYTIME = 1 << 25;
    }
}

impl MountFlags {
    /// When reads change access times (MNT_ATIME_MASK).
    pub const ATIME: Self = Self::NOATIME.union(Self::NODIRATIME).union(Self::RELATIME);
    /// What mount(2) and mount_setattr(2) set (MNT_USER_SETTABLE_MASK).
    pub const SETTABLE: Self = Self::ATIME
        .union(Self::RDONLY)
        .union(Self::NOSUID)
        .union(Self::NODEV)
        .union(Self::NOEXEC)
        .union(Self::NOSYMFOLLOW);

    /// Whether a mount with these flags may get `wanted` (can_change_locked_flags).
    #[must_use]
    pub fn may_become(self, wanted: Self) -> bool {
        let pairs = [
            (Self::LOCK_READONLY, Self::RDONLY),
            (Self::LOCK_NODEV, Self::NODEV),
            (Self::LOCK_NOSUID, Self::NOSUID),
            (Self::LOCK_NOEXEC, Self::NOEXEC),
        ];
        let keeps = pairs.iter().all(|&(lock, flag)| !self.contains(lock) || wanted.contains(flag));
        keeps && (!self.contains(Self::LOCK_ATIME) || self & Self::ATIME == wanted & Self::ATIME)
    }

    /// With what is set locked (lock_mnt_tree).
    fn locked(self) -> Self {
        let mut flags = self | Self::LOCK_ATIME;
        flags.set(Self::LOCK_READONLY, self.intersects(Self::LOCK_READONLY | Self::RDONLY));
        flags.set(Self::LOCK_NODEV, self.intersects(Self::LOCK_NODEV | Self::NODEV));
        flags.set(Self::LOCK_NOSUID, self.intersects(Self::LOCK_NOSUID | Self::NOSUID));
        flags.set(Self::LOCK_NOEXEC, self.intersects(Self::LOCK_NOEXEC | Self::NOEXEC));
        flags
    }
}

/// Most mounts in one namespace (Linux's fs.mount-max, which is 100000; ours is smaller).
pub const MAX_MOUNTS: usize = 8192;
/// Most mounts altogether.
const MAX_ALL: usize = 1 << 16;

/// Held while any tree of mounts changes (Linux's namespace_sem): propagation crosses namespaces.
static TREE: Mutex<()> = Mutex::new(());
/// Ids are unique over all namespaces, like Linux's.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);
/// How many mounts there are.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// ENOSPC when `more` mounts are too many.
fn check_total(more: usize) -> SysResult<()> {
    let all = ALIVE.load(Ordering::Relaxed).saturating_add(more);
    if all > MAX_ALL { Err(Errno::ENOSPC) } else { Ok(()) }
}

/// The mount that this one lies on, and the dentry there.
type Place = (Weak<Mount>, Arc<Dentry>);

/// One mount.
pub struct Mount {
    id: u64,
    root: Arc<Dentry>,
    source: Arc<[u8]>,
    flags: AtomicU32,
    /// Files open for writing through it.
    writers: AtomicU32,
    /// Asked to go by MNT_EXPIRE, and unused since.
    expiring: AtomicBool,
    /// Mounts that lie on dentries of this one, by the dentry's address; they keep the dentry alive.
    children: RwLock<HashMap<usize, Arc<Mount>>>,
    /// Where it is mounted; `None` at the top of a namespace and after umount.
    place: RwLock<Option<Place>>,
    /// The namespace that lists it.
    namespace: RwLock<Weak<MountNamespace>>,
    links: Mutex<Links>,
}

fn key(dentry: &Arc<Dentry>) -> usize {
    Arc::as_ptr(dentry).addr()
}

impl Mount {
    /// A mount of the subtree at `root`, not attached anywhere. `source` is the first field of /proc/mounts.
    #[must_use]
    pub fn detached(root: Arc<Dentry>, source: &[u8], flags: MountFlags) -> Arc<Self> {
        root.used_by_mount();
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            root,
            source: source.into(),
            flags: AtomicU32::new(flags.bits()),
            writers: AtomicU32::new(0),
            expiring: AtomicBool::new(false),
            children: RwLock::default(),
            place: RwLock::new(None),
            namespace: RwLock::default(),
            links: Mutex::default(),
        })
    }

    /// A mount of a fresh filesystem instance, not attached anywhere.
    #[must_use]
    pub fn of(superblock: &Arc<dyn SuperBlock>, source: &[u8], flags: MountFlags) -> Arc<Self> {
        Self::detached(Dentry::root_of(superblock), source, flags)
    }

    /// A mount of a fresh instance with flags of its own, made in `user_ns`.
    #[must_use]
    pub fn of_new(
        superblock: &Arc<dyn SuperBlock>,
        source: &[u8],
        flags: MountFlags,
        super_flags: SuperFlags,
        user_ns: &Arc<UserNamespace>,
    ) -> Arc<Self> {
        let root = Dentry::root_of_in(superblock, user_ns);
        root.set_super_flags(super_flags);
        Self::detached(root, source, flags)
    }

    /// The mount id of statx(2) and /proc/pid/mountinfo.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The id of statmount(2) and STATX_MNT_ID_UNIQUE (MNT_UNIQUE_ID_OFFSET).
    #[must_use]
    pub fn unique_id(&self) -> u64 {
        self.id | 1 << 31
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

    /// Changes its flags.
    pub fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::Release);
    }

    /// EROFS for a mount that may not be written, or whose filesystem may not.
    pub fn check_writable(&self) -> SysResult<()> {
        let is_readonly =
            self.flags().contains(MountFlags::RDONLY) || self.root.super_flags().contains(SuperFlags::RDONLY);
        if is_readonly { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// A file is opened for writing (mnt_get_write_access), or the last reference to one is gone.
    pub(crate) fn count_writer(&self, opened: bool) {
        if opened {
            self.writers.fetch_add(1, Ordering::AcqRel);
        } else {
            self.writers.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The namespace that lists it; `None` for one that is detached, or of a pipe and its like.
    #[must_use]
    pub fn namespace(&self) -> Option<Arc<MountNamespace>> {
        self.namespace.read().upgrade()
    }

    /// Whether `namespace` lists it (check_mnt).
    #[must_use]
    pub fn is_in(&self, namespace: &MountNamespace) -> bool {
        std::ptr::eq(self.namespace.read().as_ptr(), namespace)
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

    /// What is mounted on its root, covering it whole.
    fn topper(&self) -> Option<Arc<Self>> {
        self.mounted_on(&self.root)
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

    /// Takes it off where it is mounted; says where that was.
    fn detach(&self) -> Option<(Arc<Self>, Arc<Dentry>)> {
        let (parent, dentry) = self.place.write().take()?;
        dentry.remove_mount();
        let parent = parent.upgrade()?;
        let removed = parent.children.write().remove(&key(&dentry));
        drop(removed);
        Some((parent, dentry))
    }

    /// What lies on it, in the order in which it was mounted.
    #[must_use]
    pub fn child_mounts(&self) -> Vec<Arc<Self>> {
        let mut children: Vec<_> = self.children.read().values().map(Arc::clone).collect();
        children.sort_by_key(|mount| mount.id);
        children
    }

    /// It and all mounts below it, parents first.
    #[must_use]
    pub fn subtree(self: &Arc<Self>) -> Vec<Arc<Self>> {
        let mut all = vec![Arc::clone(self)];
        let mut next = 0;
        while let Some(mount) = all.get(next) {
            let mut children = mount.child_mounts();
            all.append(&mut children);
            next += 1;
        }
        all
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.leave();
        if let Some((_, dentry)) = self.place.get_mut().take() {
            dentry.remove_mount();
        }
        self.root.unused_by_mount();
        ALIVE.fetch_sub(1, Ordering::Relaxed);
        // A stack of mounts can be deeper than the supervisor's own.
        let mut pending: Vec<_> = self.children.get_mut().drain().map(|(_, child)| child).collect();
        while let Some(child) = pending.pop() {
            if let Some(mut child) = Arc::into_inner(child) {
                pending.extend(child.children.get_mut().drain().map(|(_, child)| child));
            }
        }
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
    /// MNT_EXPIRE: EAGAIN the first time, and gone if unused until the second.
    Expire,
    Detach,
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

    /// Whether it is the root of its mount (path_mounted).
    #[must_use]
    pub fn is_mount_root(&self) -> bool {
        Arc::ptr_eq(&self.dentry, self.mount.root())
    }

    fn is_dir(&self) -> bool {
        self.inode().kind() == FileKind::Directory
    }
}

#[cfg(test)]
mod tests;
