//! inotify(7), after Linux v6.18 fs/notify/inotify: watches on inodes, and a queue of what happened there.
//!
//! An [`Inotify`] is the open file; a [`Watch`] is the [`Mark`] on one inode. The hooks are in
//! `kernel_vfs::notify`.
//!
//! Lock order: `Inotify.watches` → the table of `kernel_vfs::notify`; `Inotify.events` is a leaf. Events
//! are told with neither held.

mod account;
mod queue;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use abi_linux::fs::Events;
use abi_linux::raw::ioctl::FIONREAD;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::Mutex;
use kernel_base::user::UserRef;
use kernel_base::wait::WaitQueue;
use kernel_vfs::file::{File, FileOps, Io};
use kernel_vfs::inode::Inode;
use kernel_vfs::notify::{self, Accounts, Event, Happened, Mark};
use kernel_vfs::path::Path;
use rustc_hash::FxHashMap;

use account::Charge;
use queue::{Pushed, Queue, Queued};

bitflags::bitflags! {
    /// The mask of inotify_add_watch(2): events, and flags that say how.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct WatchMask: u32 {
        const EVENTS = Happened::ALL_EVENTS.bits();
        const UNMOUNT = 0x2000;
        const ONLYDIR = 0x0100_0000;
        const DONT_FOLLOW = 0x0200_0000;
        const EXCL_UNLINK = 0x0400_0000;
        const MASK_CREATE = 0x1000_0000;
        const MASK_ADD = 0x2000_0000;
        const ISDIR = 0x4000_0000;
        const ONESHOT = 0x8000_0000;
        const KEPT = Self::EVENTS.bits() | Self::EXCL_UNLINK.bits() | Self::ONESHOT.bits();
        const _ = !0;
    }
}

/// Every bit that means something to inotify_add_watch(2) (ALL_INOTIFY_BITS): one must be set.
const MEANINGFUL: u32 = 0xf700_0000 | 0xe000 | 0xfff;

impl WatchMask {
    /// From the guest's word; EINVAL where Linux says so.
    pub fn checked(raw: u32) -> SysResult<Self> {
        let mask = Self::from_bits_retain(raw);
        if raw & MEANINGFUL == 0 || raw & !ALL_BITS != 0 || mask.contains(Self::MASK_ADD | Self::MASK_CREATE)
        {
            return Err(Errno::EINVAL);
        }
        Ok(mask)
    }
}

/// ALL_INOTIFY_BITS: no other may be given.
const ALL_BITS: u32 = 0xf700_efff;

/// A watch on one inode.
struct Watch {
    group: Weak<Inotify>,
    wd: i32,
    inode: Arc<dyn Inode>,
    /// [`WatchMask::KEPT`] of what was asked.
    mask: AtomicU32,
    /// Off once it is removed: nothing is queued for it after IN_IGNORED.
    alive: AtomicBool,
    _charge: Charge,
}

impl Watch {
    fn mask(&self) -> WatchMask {
        WatchMask::from_bits_retain(self.mask.load(Ordering::Relaxed))
    }

    fn as_mark(self: &Arc<Self>) -> *const () {
        Arc::as_ptr(self).cast()
    }
}

impl Mark for Watch {
    /// fsnotify_handle_inode_event and inotify_handle_inode_event.
    fn tell(&self, event: &Event<'_>) {
        let mask = self.mask();
        let wanted = mask.bits() & Happened::ALL_EVENTS.bits() | Happened::UNMOUNT.bits();
        if event.what.bits() & wanted == 0 || event.unlinked && mask.contains(WatchMask::EXCL_UNLINK) {
            return;
        }
        let Some(group) = self.group.upgrade() else { return };
        let mut what = event.what;
        if what.intersects(Happened::MOVE_SELF | Happened::DELETE_SELF) {
            what.remove(Happened::ISDIR);
        }
        let oneshot = mask.contains(WatchMask::ONESHOT);
        let alive = if oneshot {
            self.alive.swap(false, Ordering::AcqRel)
        } else {
            self.alive.load(Ordering::Acquire)
        };
        if !alive {
            return;
        }
        let name = event.name.map(Box::from).unwrap_or_default();
        group.queue(Queued { wd: self.wd, what, cookie: event.cookie, name });
        if oneshot {
            group.forget(self.wd);
        }
    }

    fn inode_gone(&self) {
        if let Some(group) = self.group.upgrade() {
            group.forget(self.wd);
        }
    }
}

#[derive(Default)]
struct Watches {
    by_wd: BTreeMap<i32, Arc<Watch>>,
    /// Watch descriptors by the address of their inode.
    by_inode: FxHashMap<usize, i32>,
    last: i32,
}

impl Watches {
    /// The next number: they go round, and are not used again at once (idr_alloc_cyclic).
    fn next_wd(&mut self) -> SysResult<i32> {
        let free = (self.last.saturating_add(1)..i32::MAX).chain(1..=self.last);
        let wd = free.into_iter().find(|wd| !self.by_wd.contains_key(wd)).ok_or(Errno::ENOSPC)?;
        self.last = wd;
        Ok(wd)
    }

    fn remove(&mut self, wd: i32) -> Option<Arc<Watch>> {
        let watch = self.by_wd.remove(&wd)?;
        self.by_inode.remove(&inode_key(&watch.inode));
        Some(watch)
    }
}

fn inode_key(inode: &Arc<dyn Inode>) -> usize {
    Arc::as_ptr(inode).addr()
}

/// An inotify instance.
pub struct Inotify {
    me: Weak<Inotify>,
    accounts: Arc<Accounts>,
    uid: u32,
    watches: Mutex<Watches>,
    events: Mutex<Queue>,
    queue: WaitQueue,
    _charge: Charge,
}

impl Inotify {
    /// inotify_init(2) by `who`; EMFILE when the user has too many.
    pub fn new(accounts: &Arc<Accounts>, who: &dyn Caller) -> SysResult<Arc<Self>> {
        let uid = who.credentials().euid;
        let charge = Charge::instance(accounts, uid)?;
        let limit = accounts.max_queued_events.count();
        Ok(Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            accounts: Arc::clone(accounts),
            uid,
            watches: Mutex::default(),
            events: Mutex::new(Queue::new(limit)),
            queue: WaitQueue::new(),
            _charge: charge,
        }))
    }

    /// The instance behind a file; EINVAL for other files.
    pub fn of(file: &File) -> SysResult<&Self> {
        file.ops.as_any().downcast_ref().ok_or(Errno::EINVAL)
    }

    /// inotify_add_watch(2) at a place that the caller may read: a new watch, or the changed one that the
    /// inode has already (inotify_update_watch).
    pub fn add(&self, path: &Path, mask: WatchMask) -> SysResult<i32> {
        let inode = path.inode();
        let kept = mask & WatchMask::KEPT;
        let mut watches = self.watches.lock();
        let known = watches.by_inode.get(&inode_key(inode)).and_then(|wd| watches.by_wd.get(wd));
        if let Some(watch) = known {
            if mask.contains(WatchMask::MASK_CREATE) {
                return Err(Errno::EEXIST);
            }
            let old = if mask.contains(WatchMask::MASK_ADD) { watch.mask() } else { WatchMask::empty() };
            watch.mask.store((old | kept).bits(), Ordering::Relaxed);
            return Ok(watch.wd);
        }
        let charge = Charge::watch(&self.accounts, self.uid)?;
        let wd = watches.next_wd()?;
        let watch = Arc::new(Watch {
            group: Weak::clone(&self.me),
            wd,
            inode: Arc::clone(inode),
            mask: AtomicU32::new(kept.bits()),
            alive: AtomicBool::new(true),
            _charge: charge,
        });
        watches.by_inode.insert(inode_key(inode), wd);
        watches.by_wd.insert(wd, Arc::clone(&watch));
        notify::attach(path, watch);
        Ok(wd)
    }

    /// inotify_rm_watch(2): EINVAL for a number that is no watch.
    pub fn remove(&self, wd: i32) -> SysResult<()> {
        if self.forget(wd) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Ends a watch with IN_IGNORED; false when it has ended already.
    fn forget(&self, wd: i32) -> bool {
        let removed = self.watches.lock().remove(wd);
        let Some(watch) = removed else { return false };
        watch.alive.store(false, Ordering::Release);
        notify::detach(&*watch.inode, watch.as_mark());
        self.queue(Queued { wd, what: Happened::IGNORED, cookie: 0, name: Box::default() });
        true
    }

    fn queue(&self, event: Queued) {
        let pushed = self.events.lock().push(event);
        if pushed == Pushed::New {
            self.queue.wake(Events::IN | Events::RDNORM);
        }
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        for watch in std::mem::take(&mut self.watches.get_mut().by_wd).into_values() {
            notify::detach(&*watch.inode, watch.as_mark());
        }
    }
}

impl FileOps for Inotify {
    fn read(&self, _io: Io<'_>, buf: &mut [u8]) -> SysResult<usize> {
        self.events.lock().take(buf)
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn poll(&self) -> Events {
        if self.events.lock().is_empty() { Events::empty() } else { Events::IN | Events::RDNORM }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn ioctl(&self, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
        if cmd != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        let bytes = i32::try_from(self.events.lock().bytes()).unwrap_or(i32::MAX);
        who.mem().write(UserRef::new(arg), &bytes)?;
        Ok(0)
    }

    fn fdinfo(&self) -> String {
        let watches: Vec<Arc<Watch>> = self.watches.lock().by_wd.values().cloned().collect();
        let line = |watch: &Arc<Watch>| {
            let meta = watch.inode.metadata().unwrap_or_default();
            let mask = watch.mask().bits() & !WatchMask::UNMOUNT.bits();
            let (wd, ino, dev) = (watch.wd, meta.ino, meta.dev);
            format!("inotify wd:{wd:x} ino:{ino:x} sdev:{dev:x} mask:{mask:x} ignored_mask:0 \n")
        };
        watches.iter().map(line).collect()
    }

    fn has_signals(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
