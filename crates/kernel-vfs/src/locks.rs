//! Advisory file locks: flock(2), and the record locks of fcntl(2) by process and by open file
//! description.
//!
//! One [`LockTable`] serves all filesystems; a file is named by its device and inode number. Nothing here
//! waits: a lock that is held by somebody else is EAGAIN, and [`LockTable::wait_queue`] is woken whenever
//! one is given back. `LockTable.files` is held for a moment only, with no other lock inside.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Weak};

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use kernel_base::sync::Mutex;
use kernel_base::wait::WaitQueue;
use rustc_hash::FxHashMap;

use crate::file::{File, FileWatcher};

/// Most locks on one file.
const MAX_LOCKS: usize = 8192;

/// Whether others may hold such a lock as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    Shared,
    Exclusive,
}

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockOwner {
    /// An open file description, by its address: flock(2) and F_OFD_SETLK.
    Description(usize),
    /// A process, by its id: F_SETLK.
    Process(i32),
}

/// A lock on bytes `start..=last` of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub owner: LockOwner,
    pub kind: LockKind,
    pub start: u64,
    /// The last byte; `u64::MAX` for "to the end, however far that moves".
    pub last: u64,
    /// Who asked for it, for F_GETLK and /proc/locks; -1 for a description's.
    pub pid: i32,
}

impl Record {
    fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.last && other.start <= self.last
    }

    fn conflicts(&self, other: &Self) -> bool {
        let shared = self.kind == LockKind::Shared && other.kind == LockKind::Shared;
        self.owner != other.owner && !shared && self.overlaps(other)
    }

    /// What is left of it when `hole` is cut out.
    fn without(&self, hole: &Self) -> impl Iterator<Item = Self> {
        let before = (hole.start > self.start).then(|| Self { last: hole.start.wrapping_sub(1), ..*self });
        let after = (hole.last < self.last).then(|| Self { start: hole.last.wrapping_add(1), ..*self });
        before.into_iter().chain(after)
    }
}

/// Locks on one file.
#[derive(Default)]
struct FileLocks {
    /// Holders of flock(2).
    whole: Vec<(usize, LockKind)>,
    records: Vec<Record>,
}

impl FileLocks {
    fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.records.is_empty()
    }
}

/// A file: device and inode number.
type Key = (u64, u64);

/// All locks.
pub struct LockTable {
    /// Files with locks on them, so that closing a file nobody locked takes no lock.
    count: AtomicUsize,
    queue: WaitQueue,
    me: Weak<LockTable>,
    files: Mutex<FxHashMap<Key, FileLocks>>,
}

static TABLE: LazyLock<Arc<LockTable>> = LazyLock::new(|| {
    Arc::new_cyclic(|me| LockTable {
        count: AtomicUsize::new(0),
        queue: WaitQueue::new(),
        me: me.clone(),
        files: Mutex::default(),
    })
});

/// The table of this sandbox.
#[must_use]
pub fn table() -> &'static LockTable {
    &TABLE
}

fn key(file: &File) -> SysResult<Key> {
    let metadata = file.inode.metadata()?;
    Ok((metadata.dev, metadata.ino))
}

/// The owner that an open file description is.
fn description(file: &File) -> usize {
    std::ptr::from_ref(file).addr()
}

impl LockTable {
    /// Woken when a lock is given back.
    #[must_use]
    pub fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }

    /// Changes the locks of one file, and wakes those who wait when `change` says that some were freed.
    fn change(
        &self,
        key: Key,
        change: impl FnOnce(&mut FileLocks) -> (Freed, SysResult<()>),
    ) -> SysResult<()> {
        let mut files = self.files.lock();
        let locks = files.entry(key).or_default();
        let (freed, result) = change(locks);
        if locks.is_empty() {
            files.remove(&key);
        }
        self.count.store(files.len(), Ordering::Release);
        drop(files);
        if freed == Freed::Some {
            self.queue.wake(Events::IN);
        }
        result
    }

    /// flock(2): takes, converts or (`None`) gives back the lock of an open file. EAGAIN when another open
    /// file holds one; a conversion that fails loses the old lock, as on Linux.
    pub fn flock(&self, file: &File, wanted: Option<LockKind>) -> SysResult<()> {
        let me = description(file);
        if wanted.is_some() {
            let watcher: Weak<dyn FileWatcher> = self.me.clone();
            file.watch(watcher);
        }
        self.change(key(file)?, |locks| {
            let held = locks.whole.iter().position(|&(owner, _)| owner == me);
            if held.is_some_and(|at| locks.whole.get(at).map(|&(_, kind)| kind) == wanted) {
                return (Freed::None, Ok(()));
            }
            let freed = match held {
                Some(at) => {
                    locks.whole.swap_remove(at);
                    Freed::Some
                }
                None => Freed::None,
            };
            let Some(wanted) = wanted else { return (freed, Ok(())) };
            let conflict = match wanted {
                LockKind::Shared => locks.whole.iter().any(|&(_, kind)| kind == LockKind::Exclusive),
                LockKind::Exclusive => !locks.whole.is_empty(),
            };
            if conflict {
                return (freed, Err(Errno::EAGAIN));
            }
            if locks.whole.len() >= MAX_LOCKS {
                return (freed, Err(Errno::ENOLCK));
            }
            locks.whole.push((me, wanted));
            (freed, Ok(()))
        })
    }

    /// F_SETLK and F_OFD_SETLK: takes `wanted`, replacing what its owner holds there. EAGAIN when another
    /// owner is in the way.
    pub fn set_record(&self, file: &File, wanted: Record) -> SysResult<()> {
        if matches!(wanted.owner, LockOwner::Description(_)) {
            let watcher: Weak<dyn FileWatcher> = self.me.clone();
            file.watch(watcher);
        }
        self.change(key(file)?, |locks| {
            if locks.records.iter().any(|held| held.conflicts(&wanted)) {
                return (Freed::None, Err(Errno::EAGAIN));
            }
            if locks.records.len() >= MAX_LOCKS {
                return (Freed::None, Err(Errno::ENOLCK));
            }
            let freed = cut(&mut locks.records, &wanted);
            locks.records.push(wanted);
            (freed, Ok(()))
        })
    }

    /// F_SETLK with F_UNLCK: gives back what the owner of `range` holds there; its kind does not matter.
    pub fn clear_record(&self, file: &File, range: Record) -> SysResult<()> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        self.change(key(file)?, |locks| (cut(&mut locks.records, &range), Ok(())))
    }

    /// F_GETLK: a lock that is in the way of `wanted`.
    pub fn test_record(&self, file: &File, wanted: &Record) -> SysResult<Option<Record>> {
        let key = key(file)?;
        let files = self.files.lock();
        Ok(files
            .get(&key)
            .and_then(|locks| locks.records.iter().find(|held| held.conflicts(wanted)).copied()))
    }

    /// A process closed one of its descriptors of a file, which gives back all its record locks there
    /// (fcntl(2)).
    pub fn process_closed(&self, file: &File, pid: i32) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let Ok(key) = key(file) else { return };
        let owner = LockOwner::Process(pid);
        // Nothing in it fails.
        let _done = self.change(key, |locks| (retain(locks, |held| held.owner != owner), Ok(())));
    }
}

impl FileWatcher for LockTable {
    fn file_gone(&self, file: &File) {
        let gone = description(file);
        let mut freed = Freed::None;
        let mut files = self.files.lock();
        // Not by its number: the inode may be unable to tell that now.
        files.retain(|_, locks| {
            let before = locks.whole.len();
            locks.whole.retain(|&(owner, _)| owner != gone);
            let records = retain(locks, |held| held.owner != LockOwner::Description(gone));
            if locks.whole.len() < before || records == Freed::Some {
                freed = Freed::Some;
            }
            !locks.is_empty()
        });
        self.count.store(files.len(), Ordering::Release);
        drop(files);
        if freed == Freed::Some {
            self.queue.wake(Events::IN);
        }
    }
}

/// Whether a change gave a lock back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freed {
    None,
    Some,
}

fn retain(locks: &mut FileLocks, keep: impl Fn(&Record) -> bool) -> Freed {
    let before = locks.records.len();
    locks.records.retain(keep);
    if locks.records.len() < before { Freed::Some } else { Freed::None }
}

/// Takes the bytes of `hole` out of its owner's records.
fn cut(records: &mut Vec<Record>, hole: &Record) -> Freed {
    let (mine, mut kept): (Vec<_>, Vec<_>) =
        records.drain(..).partition(|held| held.owner == hole.owner && held.overlaps(hole));
    let freed = if mine.is_empty() { Freed::None } else { Freed::Some };
    kept.extend(mine.iter().flat_map(|held| held.without(hole)));
    *records = kept;
    freed
}

#[cfg(test)]
mod tests {
    use std::any::Any;
    use std::sync::Arc;

    use abi_linux::Errno;
    use abi_linux::fs::OpenFlags;

    use super::{LockKind, LockOwner, Record, table};
    use crate::anon::{AnonAttributes, AnonInode, AnonKind, anon_file};
    use crate::file::{File, FileOps};
    use crate::inode::{FileKind, Inode};

    struct Nothing;

    impl FileOps for Nothing {
        fn as_any(&self) -> &dyn Any {
            self
        }
    }

    fn inode() -> Arc<dyn Inode> {
        let attributes = AnonAttributes { mode: 0o600, uid: 0, gid: 0, now_ns: 0 };
        Arc::new(AnonInode::new(AnonKind::AnonInode, FileKind::Regular, attributes))
    }

    fn open(inode: &Arc<dyn Inode>) -> Arc<File> {
        anon_file(AnonKind::AnonInode, b"test", Arc::clone(inode), Arc::new(Nothing), OpenFlags::RDWR)
    }

    fn record(pid: i32, kind: LockKind, start: u64, last: u64) -> Record {
        Record { owner: LockOwner::Process(pid), kind, start, last, pid }
    }

    #[test]
    fn flock_excludes_and_ends_with_the_file() {
        let inode = inode();
        let (a, b) = (open(&inode), open(&inode));
        table().flock(&a, Some(LockKind::Shared)).unwrap();
        table().flock(&b, Some(LockKind::Shared)).unwrap();
        assert_eq!(table().flock(&a, Some(LockKind::Exclusive)), Err(Errno::EAGAIN));
        table().flock(&b, Some(LockKind::Exclusive)).unwrap();
        assert_eq!(table().flock(&a, Some(LockKind::Shared)), Err(Errno::EAGAIN));
        drop(b);
        table().flock(&a, Some(LockKind::Exclusive)).unwrap();
        table().flock(&a, None).unwrap();
    }

    #[test]
    fn records_split_and_conflict() {
        let inode = inode();
        let file = open(&inode);
        let set = |record| table().set_record(&file, record);
        set(record(1, LockKind::Exclusive, 0, 99)).unwrap();
        assert_eq!(set(record(2, LockKind::Shared, 50, u64::MAX)), Err(Errno::EAGAIN));
        table().clear_record(&file, record(1, LockKind::Shared, 40, 59)).unwrap();
        set(record(2, LockKind::Exclusive, 40, 59)).unwrap();
        assert_eq!(set(record(2, LockKind::Shared, 39, 39)), Err(Errno::EAGAIN));
        let found = table().test_record(&file, &record(2, LockKind::Exclusive, 60, 60)).unwrap();
        assert_eq!(found, Some(record(1, LockKind::Exclusive, 60, 99)));
        table().process_closed(&file, 1);
        set(record(2, LockKind::Exclusive, 0, u64::MAX)).unwrap();
        table().process_closed(&file, 2);
        assert_eq!(table().test_record(&file, &record(1, LockKind::Exclusive, 0, u64::MAX)), Ok(None));
    }
}
