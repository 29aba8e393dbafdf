//! Who is told what happens to files: marks on inodes, and the hooks that report events to them (Linux's
//! fs/notify/). inotify(7) is the only maker of marks.
//!
//! A mark is kept by the address of its inode, which every filesystem keeps the same while it is
//! referenced; the mark's owner holds that reference. While nobody watches anything a hook is one relaxed
//! load. Events are delivered with no lock of this module held, but perhaps below locks of the caller
//! (a dentry's `mutation`, whatever is held where the last reference to a file goes), so a mark may take
//! leaf locks alone.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use kernel_base::sync::{Mutex, RwLock};
use kernel_base::tunable::Tunable;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::dentry::Dentry;
use crate::file::File;
use crate::inode::{FileKind, Inode, SuperBlock};
use crate::path::Path;

bitflags::bitflags! {
    /// What happened, with the values of inotify(7).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Happened: u32 {
        const ACCESS = 0x1;
        const MODIFY = 0x2;
        const ATTRIB = 0x4;
        const CLOSE_WRITE = 0x8;
        const CLOSE_NOWRITE = 0x10;
        const OPEN = 0x20;
        const MOVED_FROM = 0x40;
        const MOVED_TO = 0x80;
        const CREATE = 0x100;
        const DELETE = 0x200;
        const DELETE_SELF = 0x400;
        const MOVE_SELF = 0x800;
        const UNMOUNT = 0x2000;
        const Q_OVERFLOW = 0x4000;
        const IGNORED = 0x8000;
        /// The subject is a directory.
        const ISDIR = 0x4000_0000;
        const ALL_EVENTS = 0xfff;
    }
}

/// One event as a mark sees it.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    pub what: Happened,
    /// The entry of the watched directory that it happened to; `None` when it happened to the watched inode.
    pub name: Option<&'a [u8]>,
    /// Joins the two halves of a rename; 0 for other events.
    pub cookie: u32,
    /// It came through a name that has been removed (IN_EXCL_UNLINK).
    pub unlinked: bool,
}

/// Told of events at one inode.
pub trait Mark: Send + Sync {
    /// Something happened, whether the mark is interested or not. Takes leaf locks alone.
    fn tell(&self, event: &Event<'_>);
    /// The inode is gone, after its last event; the mark is no longer in the table.
    fn inode_gone(&self);
}

/// The marks on one inode.
struct Watched {
    /// Its filesystem, by address.
    superblock: usize,
    marks: SmallVec<[Arc<dyn Mark>; 1]>,
}

/// How many inodes have marks: what the hooks look at.
static WATCHED: AtomicUsize = AtomicUsize::new(0);
/// Marks by the address of their inode. A leaf lock.
static TABLE: LazyLock<RwLock<FxHashMap<usize, Watched>>> = LazyLock::new(RwLock::default);

fn key(inode: &dyn Inode) -> usize {
    std::ptr::from_ref(inode).addr()
}

fn superblock_key(superblock: &Arc<dyn SuperBlock>) -> usize {
    Arc::as_ptr(superblock).addr()
}

/// Whether anybody watches anything.
#[inline]
#[must_use]
pub fn is_anything_watched() -> bool {
    WATCHED.load(Ordering::Relaxed) != 0
}

/// Puts a mark on the inode at `path`, which the caller keeps alive until [`detach`].
pub fn attach(path: &Path, mark: Arc<dyn Mark>) {
    let superblock = superblock_key(path.dentry.superblock());
    let mut table = TABLE.write();
    let watched =
        table.entry(key(&**path.inode())).or_insert_with(|| Watched { superblock, marks: SmallVec::new() });
    watched.marks.push(mark);
    WATCHED.store(table.len(), Ordering::Relaxed);
}

/// Takes a mark off an inode. Harmless when it is not there any more.
pub fn detach(inode: &dyn Inode, mark: *const ()) {
    let mut table = TABLE.write();
    let Some(watched) = table.get_mut(&key(inode)) else { return };
    let found = watched.marks.iter().position(|known| Arc::as_ptr(known).cast::<()>() == mark);
    let removed = found.map(|at| watched.marks.swap_remove(at));
    if watched.marks.is_empty() {
        table.remove(&key(inode));
    }
    WATCHED.store(table.len(), Ordering::Relaxed);
    drop(table);
    // It may hold the last reference to an inode, whose drop takes its filesystem's locks.
    drop(removed);
}

type Marks = SmallVec<[Arc<dyn Mark>; 2]>;

fn marks_of(inode: &dyn Inode) -> Marks {
    TABLE.read().get(&key(inode)).map_or_else(Marks::new, |watched| watched.marks.iter().cloned().collect())
}

fn tell(inode: &dyn Inode, event: &Event<'_>) {
    for mark in marks_of(inode) {
        mark.tell(event);
    }
}

fn dir_bit(inode: &dyn Inode) -> Happened {
    if inode.kind() == FileKind::Directory { Happened::ISDIR } else { Happened::empty() }
}

/// Something happened to what lies at `path`: its directory's marks are told, then its own.
#[cold]
fn report_at(dentry: &Dentry, what: Happened) {
    let inode = dentry.inode();
    let what = what | dir_bit(&**inode);
    let event = Event { what, name: None, cookie: 0, unlinked: dentry.is_deleted() };
    if let Some(parent) = dentry.parent() {
        let name = dentry.name();
        tell(&**parent.inode(), &Event { name: Some(&name), ..event });
    }
    tell(&**inode, &event);
}

/// Something happened to what lies at `path` (fsnotify_dentry, fsnotify_path).
#[inline]
pub fn at(path: &Path, what: Happened) {
    if is_anything_watched() {
        report_at(&path.dentry, what);
    }
}

/// A name of `dir` was made, or removed: CREATE, DELETE.
#[inline]
pub(crate) fn name(dir: &Dentry, name: &[u8], inode: &dyn Inode, what: Happened) {
    if is_anything_watched() {
        let what = what | dir_bit(inode);
        tell(&**dir.inode(), &Event { what, name: Some(name), cookie: 0, unlinked: false });
    }
}

/// Something happened to an inode, whatever its names: the number of its links changed (fsnotify_inode).
#[inline]
pub(crate) fn inode(inode: &dyn Inode, what: Happened) {
    if is_anything_watched() {
        let what = what | dir_bit(inode);
        tell(inode, &Event { what, name: None, cookie: 0, unlinked: false });
    }
}

/// `moved` went from `from`/`old_name` to `to`/`new_name`, over `victim` (fsnotify_move).
pub(crate) fn moved(
    (from, old_name): (&Dentry, &[u8]),
    (to, new_name): (&Dentry, &[u8]),
    moved: &dyn Inode,
    victim: Option<&Dentry>,
) {
    /// 0 is no cookie.
    static NEXT_COOKIE: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
    if !is_anything_watched() {
        return;
    }
    let cookie = NEXT_COOKIE.fetch_add(1, Ordering::Relaxed);
    let event = |what, name| Event { what: what | dir_bit(moved), name, cookie, unlinked: false };
    tell(&**from.inode(), &event(Happened::MOVED_FROM, Some(old_name)));
    tell(&**to.inode(), &event(Happened::MOVED_TO, Some(new_name)));
    if let Some(victim) = victim {
        inode(&**victim.inode(), Happened::ATTRIB);
    }
    inode(moved, Happened::MOVE_SELF);
}

/// Takes all marks off an inode and tells them why.
#[cold]
fn end(inode_key: usize, what: Happened) {
    let mut table = TABLE.write();
    let Some(watched) = table.remove(&inode_key) else { return };
    WATCHED.store(table.len(), Ordering::Relaxed);
    drop(table);
    for mark in watched.marks {
        mark.tell(&Event { what, name: None, cookie: 0, unlinked: false });
        mark.inode_gone();
    }
}

/// The last mount of a filesystem instance is gone.
pub(crate) fn unmounted(superblock: &Arc<dyn SuperBlock>) {
    if !is_anything_watched() {
        return;
    }
    let superblock = superblock_key(superblock);
    let all: Vec<usize> = TABLE
        .read()
        .iter()
        .filter(|(_, watched)| watched.superblock == superblock)
        .map(|(&k, _)| k)
        .collect();
    for inode in all {
        end(inode, Happened::UNMOUNT);
    }
}

/// A name that is being removed may be its inode's last: noted before, told when the last user has gone.
#[derive(Default)]
pub(crate) struct LastName(AtomicBool);

impl LastName {
    /// `inode` is about to lose a name. Asked before the removal: afterwards nobody may know.
    pub(crate) fn is_last(inode: &dyn Inode) -> bool {
        let few = |links| links <= 1 || inode.kind() == FileKind::Directory;
        is_anything_watched() && inode.lasting_metadata().is_ok_and(|metadata| few(metadata.nlink))
    }

    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// The removed name has no user left (dentry_unlink_inode).
    pub(crate) fn unused(&mut self, inode: &dyn Inode) {
        if *self.0.get_mut() && is_anything_watched() {
            end(key(inode), Happened::DELETE_SELF);
        }
    }
}

impl File {
    /// The file was read (fsnotify_access).
    #[inline]
    pub fn accessed(&self) {
        at(&self.path, Happened::ACCESS);
    }

    /// The file was written (fsnotify_modify).
    #[inline]
    pub fn modified(&self) {
        at(&self.path, Happened::MODIFY);
    }
}

/// What a user is given a limited number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// inotify_init(2).
    Instance,
    /// inotify_add_watch(2).
    Watch,
}

/// Limits of inotify, and what each user has (`ucounts` of Linux).
pub struct Accounts {
    /// fs.inotify.max_queued_events.
    pub max_queued_events: Tunable,
    /// fs.inotify.max_user_instances.
    pub max_user_instances: Tunable,
    /// fs.inotify.max_user_watches.
    pub max_user_watches: Tunable,
    /// Instances and watches by user. A leaf lock.
    users: Mutex<FxHashMap<u32, [usize; 2]>>,
}

impl Default for Accounts {
    fn default() -> Self {
        const INT_MAX: u64 = i32::MAX as u64;
        Self {
            max_queued_events: Tunable::new(16384, 0, INT_MAX),
            max_user_instances: Tunable::new(128, 0, INT_MAX),
            max_user_watches: Tunable::new(65536, 0, INT_MAX),
            users: Mutex::default(),
        }
    }
}

impl Accounts {
    /// Counts one more for a user; false when that would be too many.
    pub fn charge(&self, uid: u32, resource: Resource) -> bool {
        let (at, limit) = match resource {
            Resource::Instance => (0, &self.max_user_instances),
            Resource::Watch => (1, &self.max_user_watches),
        };
        let mut users = self.users.lock();
        let count = &mut users.entry(uid).or_default()[at];
        let fits = *count < limit.count();
        *count += usize::from(fits);
        fits
    }

    /// Gives one back.
    pub fn uncharge(&self, uid: u32, resource: Resource) {
        let mut users = self.users.lock();
        let Some(counts) = users.get_mut(&uid) else { return };
        let count = &mut counts[usize::from(resource == Resource::Watch)];
        *count = count.saturating_sub(1);
        if *counts == [0; 2] {
            users.remove(&uid);
        }
    }
}
