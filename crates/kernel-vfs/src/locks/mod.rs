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

pub use deadlock::Waiting;
use record::Freed;
pub use record::{LockKind, LockOwner, Record};

mod deadlock;
mod record;
#[cfg(test)]
mod tests;

/// Most locks on one file.
const MAX_LOCKS: usize = 8192;

/// A lock that is held, on bytes `start..=last` of a file.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Device and inode number.
    pub file: (u64, u64),
    pub owner: LockOwner,
    pub kind: LockKind,
    pub start: u64,
    pub last: u64,
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
    waits: deadlock::WaitGraph,
    me: Weak<LockTable>,
    files: Mutex<FxHashMap<Key, FileLocks>>,
}

static TABLE: LazyLock<Arc<LockTable>> = LazyLock::new(|| {
    Arc::new_cyclic(|me| LockTable {
        count: AtomicUsize::new(0),
        queue: WaitQueue::new(),
        waits: deadlock::WaitGraph::default(),
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

    /// All locks that are held, at most [`MAX_LOCKS`]: for people.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        let files = self.files.lock();
        let mut all = Vec::new();
        for (&file, locks) in files.iter() {
            all.extend(locks.whole.iter().map(|&(description, kind)| Held {
                file,
                owner: LockOwner::Description(description),
                kind,
                start: 0,
                last: u64::MAX,
            }));
            all.extend(locks.records.iter().map(|record| Held {
                file,
                owner: record.owner,
                kind: record.kind,
                start: record.start,
                last: record.last,
            }));
            if all.len() >= MAX_LOCKS {
                break;
            }
        }
        all
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
        match self.take_record(file, wanted)? {
            None => Ok(()),
            Some(_) => Err(Errno::EAGAIN),
        }
    }

    /// F_SETLKW and F_OFD_SETLKW: what tries again after each wake-up.
    #[must_use]
    pub fn wait_for_record<'a>(&'a self, file: &'a File, wanted: Record) -> Waiting<'a> {
        Waiting::new(self, file, wanted)
    }

    /// Takes `wanted` or tells who is in the way.
    fn take_record(&self, file: &File, wanted: Record) -> SysResult<Option<LockOwner>> {
        if matches!(wanted.owner, LockOwner::Description(_)) {
            let watcher: Weak<dyn FileWatcher> = self.me.clone();
            file.watch(watcher);
        }
        let mut blocker = None;
        self.change(key(file)?, |locks| {
            blocker = locks.records.iter().find(|held| held.conflicts(&wanted)).map(|held| held.owner);
            if blocker.is_some() {
                return (Freed::None, Ok(()));
            }
            if locks.records.len() >= MAX_LOCKS {
                return (Freed::None, Err(Errno::ENOLCK));
            }
            let freed = record::cut(&mut locks.records, &wanted);
            record::insert(&mut locks.records, wanted);
            (freed, Ok(()))
        })?;
        Ok(blocker)
    }

    /// F_SETLK with F_UNLCK: gives back what the owner of `range` holds there; its kind does not matter.
    pub fn clear_record(&self, file: &File, range: Record) -> SysResult<()> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        self.change(key(file)?, |locks| (record::cut(&mut locks.records, &range), Ok(())))
    }

    /// F_GETLK: a lock that is in the way of `wanted`.
    pub fn test_record(&self, file: &File, wanted: &Record) -> SysResult<Option<Record>> {
        let key = key(file)?;
        let files = self.files.lock();
        Ok(files
            .get(&key)
            .and_then(|locks| locks.records.iter().find(|held| held.conflicts(wanted)).copied()))
    }

    /// One of the descriptors of a file in a table was closed, which gives back all the table's record locks there
    /// (fcntl(2)).
    pub fn descriptor_closed(&self, file: &File, files: u64) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let Ok(key) = key(file) else { return };
        let owner = LockOwner::Files(files);
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

fn retain(locks: &mut FileLocks, keep: impl Fn(&Record) -> bool) -> Freed {
    let before = locks.records.len();
    locks.records.retain(keep);
    if locks.records.len() < before { Freed::Some } else { Freed::None }
}
