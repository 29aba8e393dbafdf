//! Dentries: names in directories, with what they lead to, cached.
//!
//! A [`Dentry`] always leads to an inode; a name known to be missing is an entry of its parent's table.
//! In a directory whose lookups may be cached (an exclusive filesystem, see
//! [`SuperBlock::is_exclusive`]) both kinds of entry stay true until an operation of our own changes
//! them; in others they are checked at each lookup. The table is bounded: each filesystem instance keeps
//! at most [`MAX_CACHED`] entries and forgets unused ones, oldest first, with a second chance.
//!
//! Lock order: `Tree.rename` → `Dentry.mutation` (two of them by address) → `Dentry.children` →
//! `Tree.clock`, and `Dentry.links` last. `mutation` is held while the filesystem changes the directory;
//! `children` and `links` only for a moment.

mod changes;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Weak};

use abi_linux::fs::NAME_MAX;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::{Mutex, MutexGuard, RwLock};
use kernel_base::user_ns::UserNamespace;
use rustc_hash::{FxHashMapSeed, FxSeededState};

use crate::busy::WriteCount;
use crate::inode::{FileKind, Inode, SuperBlock};
use crate::mount::SuperFlags;
use crate::notify::{self, LastName};

/// Most names, present and missing, that one filesystem instance keeps.
pub const MAX_CACHED: usize = 1 << 16;
/// How many candidates one insertion into a full cache looks at.
const EVICTION_TRIES: usize = 16;

/// Names of a directory. Each step of a walk hashes a name, so it has to be quick; the seed keeps a guest from choosing
/// names that collide, which would slow down its own container.
type Children = FxHashMapSeed<Arc<[u8]>, Child>;

fn no_children() -> Children {
    static SEED: LazyLock<usize> = LazyLock::new(|| RandomState::new().hash_one(0_u8) as usize);
    Children::with_hasher(FxSeededState::with_seed(*SEED))
}

/// What a directory's table says about a name.
enum Child {
    Present(Arc<Dentry>),
    Missing,
}

struct Links {
    /// `None` for the root of a filesystem and for anonymous files.
    parent: Option<Arc<Dentry>>,
    name: Arc<[u8]>,
}

/// An entry of a directory's table: the directory, and the name in it.
type Cached = (Weak<Dentry>, Arc<[u8]>);

/// What all dentries of one filesystem instance share.
pub(crate) struct Tree {
    superblock: Arc<dyn SuperBlock>,
    /// Whose it is: devices and set-id bits in it count for the container only if the container made it.
    user_ns: Arc<UserNamespace>,
    flags: AtomicU32,
    exclusive: bool,
    /// How many mounts show it.
    mounts: AtomicUsize,
    /// Held by renames between directories, so that nobody's ancestors change meanwhile.
    rename: Mutex<()>,
    /// Entries of the tables in the order they were made.
    clock: Mutex<VecDeque<Cached>>,
}

/// A name below a parent, and its inode.
pub struct Dentry {
    inode: Arc<dyn Inode>,
    /// The inode's.
    kind: FileKind,
    /// Whether what its table says stays true.
    is_cacheable: bool,
    tree: Arc<Tree>,
    links: RwLock<Links>,
    mutation: Mutex<()>,
    children: Mutex<Children>,
    /// How many mounts lie on it.
    mounts: AtomicU32,
    /// How many mounts lie on it or below it.
    pins: AtomicU32,
    deleted: AtomicBool,
    last_name: LastName,
    writers: WriteCount,
    /// Used since the clock's hand passed.
    referenced: AtomicBool,
    /// Whether the table has all names that there are: the directory was made here, and nothing was forgotten since.
    /// Changes under `children`.
    complete: AtomicBool,
}

impl Dentry {
    fn new(inode: Arc<dyn Inode>, tree: Arc<Tree>, parent: Option<Arc<Self>>, name: Arc<[u8]>) -> Arc<Self> {
        Arc::new(Self {
            kind: inode.kind(),
            is_cacheable: tree.exclusive && inode.caches_lookups(),
            inode,
            tree,
            links: RwLock::new(Links { parent, name }),
            mutation: Mutex::new(()),
            children: Mutex::new(no_children()),
            mounts: AtomicU32::new(0),
            pins: AtomicU32::new(0),
            deleted: AtomicBool::new(false),
            last_name: LastName::default(),
            writers: WriteCount::default(),
            referenced: AtomicBool::new(true),
            complete: AtomicBool::new(false),
        })
    }

    /// The root of a filesystem instance. Its caches end with the last reference to it.
    #[must_use]
    pub fn root_of(superblock: &Arc<dyn SuperBlock>) -> Arc<Self> {
        Self::root_of_in(superblock, UserNamespace::initial())
    }

    /// [`Dentry::root_of`] of an instance that was made in `user_ns`.
    #[must_use]
    pub fn root_of_in(superblock: &Arc<dyn SuperBlock>, user_ns: &Arc<UserNamespace>) -> Arc<Self> {
        let tree = Tree {
            superblock: Arc::clone(superblock),
            user_ns: Arc::clone(user_ns),
            flags: AtomicU32::new(0),
            exclusive: superblock.is_exclusive(),
            mounts: AtomicUsize::new(0),
            rename: Mutex::new(()),
            clock: Mutex::default(),
        };
        Self::new(superblock.root(), Arc::new(tree), None, Arc::from(&b""[..]))
    }

    /// A dentry outside any directory: a pipe's, an O_TMPFILE's. `text` is what /proc/pid/fd says.
    #[must_use]
    pub fn unattached(self: &Arc<Self>, inode: Arc<dyn Inode>, text: &[u8]) -> Arc<Self> {
        Self::new(inode, Arc::clone(&self.tree), None, Arc::from(text))
    }

    /// An unnamed file of directory `self` (O_TMPFILE): its path is the directory's, deleted.
    pub(crate) fn unnamed_child(self: &Arc<Self>, inode: Arc<dyn Inode>, text: &[u8]) -> Arc<Self> {
        let child = Self::new(inode, Arc::clone(&self.tree), Some(Arc::clone(self)), Arc::from(text));
        child.deleted.store(true, Ordering::Relaxed);
        child
    }

    /// Its last component; changes with rename(2).
    #[must_use]
    pub fn name(&self) -> Arc<[u8]> {
        Arc::clone(&self.links.read().name)
    }

    /// The directory it is in; `None` for the root of a filesystem.
    #[must_use]
    pub fn parent(&self) -> Option<Arc<Self>> {
        self.links.read().parent.clone()
    }

    /// Its inode.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.inode
    }

    /// The kind of its inode.
    #[must_use]
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// The filesystem it belongs to.
    #[must_use]
    pub fn superblock(&self) -> &Arc<dyn SuperBlock> {
        &self.tree.superblock
    }

    /// The user namespace that made the filesystem instance (s_user_ns).
    #[must_use]
    pub fn owner_ns(&self) -> &Arc<UserNamespace> {
        &self.tree.user_ns
    }

    /// Flags of the filesystem instance.
    #[must_use]
    pub fn super_flags(&self) -> SuperFlags {
        SuperFlags::from_bits_retain(self.tree.flags.load(Ordering::Relaxed))
    }

    /// Changes them.
    pub fn set_super_flags(&self, flags: SuperFlags) {
        self.tree.flags.store(flags.bits(), Ordering::Release);
    }

    /// Who writes or executes it.
    pub(crate) fn writers(&self) -> &WriteCount {
        &self.writers
    }

    /// Whether the name was removed.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Relaxed)
    }

    /// Whether a mount lies on it, in some namespace.
    #[must_use]
    pub fn is_mountpoint(&self) -> bool {
        self.mounts.load(Ordering::Acquire) > 0
    }

    /// Whether a mount lies on it or below it: then it stays, even where lookups make fresh inodes (/proc).
    fn is_pinned(&self) -> bool {
        self.pins.load(Ordering::Acquire) > 0
    }

    /// A mount is put on it, so it and its ancestors must be found again.
    pub(crate) fn add_mount(self: &Arc<Self>) {
        self.mounts.fetch_add(1, Ordering::AcqRel);
        let mut child = Arc::clone(self);
        while let Some(parent) = child.parent() {
            child.pins.fetch_add(1, Ordering::AcqRel);
            if !parent.is_cacheable {
                let old = parent.children.lock().insert(child.name(), Child::Present(Arc::clone(&child)));
                drop(old);
            }
            child = parent;
        }
    }

    /// A mount was taken off it.
    pub(crate) fn remove_mount(self: &Arc<Self>) {
        self.mounts.fetch_sub(1, Ordering::AcqRel);
        let mut child = Arc::clone(self);
        while let Some(parent) = child.parent() {
            if child.pins.fetch_sub(1, Ordering::AcqRel) == 1 && !parent.is_cacheable {
                let old = parent.children.lock().remove(&child.name());
                drop(old);
            }
            child = parent;
        }
    }

    /// Whether both belong to one filesystem instance.
    #[must_use]
    pub fn same_tree(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.tree, &other.tree)
    }

    /// Whether `self` is `other` or below it.
    pub(crate) fn is_within(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        let mut here = Arc::clone(self);
        loop {
            if Arc::ptr_eq(&here, other) {
                return true;
            }
            let Some(parent) = here.parent() else { return false };
            here = parent;
        }
    }

    /// The child of that name, from the cache or the filesystem.
    pub(crate) fn lookup(self: &Arc<Self>, name: &[u8], who: &dyn Caller) -> SysResult<Arc<Self>> {
        check_length(name)?;
        if let Some(known) = self.cached(name) {
            return known;
        }
        if !self.inode.caches_lookups() {
            let inode = self.inode.lookup(name, who)?;
            return Ok(Self::new(inode, Arc::clone(&self.tree), Some(Arc::clone(self)), Arc::from(name)));
        }
        let guard = self.mutation.lock();
        self.lookup_locked(&guard, name, who)
    }

    /// [`Dentry::lookup`] for a caller who holds the directory still.
    pub(crate) fn lookup_locked(
        self: &Arc<Self>,
        _held: &MutexGuard<'_, ()>,
        name: &[u8],
        who: &dyn Caller,
    ) -> SysResult<Arc<Self>> {
        check_length(name)?;
        if let Some(known) = self.cached(name) {
            return known;
        }
        match self.inode.lookup(name, who) {
            Ok(inode) => Ok(self.insert(name, inode)),
            Err(Errno::ENOENT) => {
                self.forget(name);
                Err(Errno::ENOENT)
            }
            Err(other) => Err(other),
        }
    }

    /// The table's answer, when it may be believed. Names with a mount on or below
    /// them are always believed.
    fn cached(&self, name: &[u8]) -> Option<SysResult<Arc<Self>>> {
        let children = self.children.lock();
        let Some(child) = children.get(name) else {
            return (self.is_cacheable && self.complete.load(Ordering::Relaxed))
                .then_some(Err(Errno::ENOENT));
        };
        match child {
            Child::Present(child) if self.is_cacheable || child.is_pinned() => {
                child.referenced.store(true, Ordering::Relaxed);
                Some(Ok(Arc::clone(child)))
            }
            Child::Missing if self.is_cacheable => Some(Err(Errno::ENOENT)),
            _ => None,
        }
    }

    /// Notes that the directory is new and empty: what its table does not have is missing.
    pub(crate) fn set_complete(&self) {
        if self.is_cacheable {
            let _children = self.children.lock();
            self.complete.store(true, Ordering::Relaxed);
        }
    }

    /// Takes an entry out of the table, which then no longer says whether there is such a name.
    fn take(&self, name: &[u8]) -> Option<Child> {
        let mut children = self.children.lock();
        self.complete.store(false, Ordering::Relaxed);
        children.remove(name)
    }

    /// Enters what the filesystem says; keeps the present dentry when it leads to the same inode.
    pub(crate) fn insert(self: &Arc<Self>, name: &[u8], inode: Arc<dyn Inode>) -> Arc<Self> {
        let mut children = self.children.lock();
        if let Some(Child::Present(child)) = children.get(name)
            && Arc::ptr_eq(&child.inode, &inode)
        {
            return Arc::clone(child);
        }
        let name: Arc<[u8]> = Arc::from(name);
        let child = Self::new(inode, Arc::clone(&self.tree), Some(Arc::clone(self)), Arc::clone(&name));
        let old = children.insert(Arc::clone(&name), Child::Present(Arc::clone(&child)));
        drop(children);
        drop(old);
        self.remember(name);
        child
    }

    /// Notes that a name is missing.
    fn forget(self: &Arc<Self>, name: &[u8]) {
        let mut children = self.children.lock();
        if !self.is_cacheable || self.complete.load(Ordering::Relaxed) {
            let old = children.remove(name);
            drop(children);
            drop(old);
            return;
        }
        let name: Arc<[u8]> = Arc::from(name);
        let old = children.insert(Arc::clone(&name), Child::Missing);
        drop(children);
        if old.is_none() {
            self.remember(name);
        }
    }

    /// Adds an entry to the clock and evicts others when there are too many.
    fn remember(self: &Arc<Self>, name: Arc<[u8]>) {
        let mut tries = 0;
        let mut clock = self.tree.clock.lock();
        clock.push_back((Arc::downgrade(self), name));
        while clock.len() > MAX_CACHED && tries < EVICTION_TRIES {
            tries += 1;
            let Some((parent, name)) = clock.pop_front() else { return };
            drop(clock);
            let keep = parent.upgrade().is_some_and(|parent| !parent.evict(&name));
            clock = self.tree.clock.lock();
            if keep {
                clock.push_back((parent, name));
            }
        }
    }

    /// Drops an entry that nobody uses. False when it has to stay for now.
    fn evict(&self, name: &[u8]) -> bool {
        let mut children = self.children.lock();
        let unused = match children.get(name) {
            // A dentry below it would hold a reference, too.
            Some(Child::Present(child)) => {
                Arc::strong_count(child) == 1 && !child.referenced.swap(false, Ordering::Relaxed)
            }
            Some(Child::Missing) => true,
            None => return true,
        };
        let old = if unused { children.remove(name) } else { None };
        if matches!(old, Some(Child::Present(_))) {
            self.complete.store(false, Ordering::Relaxed);
        }
        drop(children);
        drop(old);
        unused
    }

    /// Holds the directory still while the filesystem changes it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, ()> {
        self.mutation.lock()
    }

    /// Notes that its inode has lost its last name with this one: watchers hear of it when nobody uses it
    /// any more.
    pub(crate) fn set_last_name(&self) {
        self.last_name.set();
    }

    /// Keeps ancestors still for a rename between directories.
    pub(crate) fn lock_tree(&self) -> MutexGuard<'_, ()> {
        self.tree.rename.lock()
    }

    pub(crate) fn used_by_mount(&self) {
        self.tree.mounts.fetch_add(1, Ordering::AcqRel);
    }

    /// The last mount of a filesystem instance ends its caches, which are a cycle of references.
    pub(crate) fn unused_by_mount(self: &Arc<Self>) {
        if self.tree.mounts.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut top = Arc::clone(self);
            while let Some(parent) = top.parent() {
                top = parent;
            }
            top.prune();
            notify::unmounted(self.superblock());
        }
    }

    fn take_all(&self) -> Children {
        let mut children = self.children.lock();
        self.complete.store(false, Ordering::Relaxed);
        std::mem::replace(&mut *children, no_children())
    }

    /// Forgets all that is cached below.
    fn prune(&self) {
        let mut pending = vec![self.take_all()];
        while let Some(children) = pending.pop() {
            for child in children.values() {
                if let Child::Present(child) = child {
                    pending.push(child.take_all());
                }
            }
        }
        self.tree.clock.lock().clear();
    }
}

impl Drop for Dentry {
    /// Drops a chain of removed directories one by one: a guest can make it longer than a stack is deep.
    fn drop(&mut self) {
        self.last_name.unused(&*self.inode);
        let mut next = self.links.get_mut().parent.take();
        while let Some(parent) = next {
            next = Arc::into_inner(parent).and_then(|mut parent| parent.links.get_mut().parent.take());
        }
    }
}

/// A name that no filesystem holds (simple_lookup, and every other filesystem's own).
fn check_length(name: &[u8]) -> SysResult<()> {
    if name.len() > NAME_MAX { Err(Errno::ENAMETOOLONG) } else { Ok(()) }
}
