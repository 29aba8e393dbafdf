//! epoll(7), after Linux v6.18 fs/eventpoll.c: waiting does not look at files that are not ready.
//!
//! An [`Epoll`] holds an item for each (file, fd) it was told of. The item's [`Link`] listens on the file's
//! wait queue and puts the item at the end of the ready list; [`Epoll::try_wait`] goes through that list,
//! asks each file what it is ready for, and keeps level-triggered ones for the next time. Files are held
//! weakly: the last close of a file takes its items away ([`FileWatcher`]).
//!
//! Lock order: `NESTING` → `Epoll.control` → (a file's own locks, `WaitQueue.waiters`); `Epoll.state` is
//! a leaf: nothing is called with it held, no file is polled and none dropped. So a wake-up takes, one
//! after the other, the state of each epoll that it passes through.

mod nesting;
mod state;

use std::any::Any;
use std::sync::{Arc, Weak};

use abi_linux::fs::{EpollEvent, Events};
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::Mutex;
use kernel_base::wait::{Listener, WaitQueue};
use kernel_vfs::file::{File, FileOps, FileWatcher};
use smallvec::SmallVec;

use state::{Item, Key, State};

/// Most files that one epoll watches (Linux: /proc/sys/fs/epoll/max_user_watches).
const MAX_ITEMS: usize = 1 << 18;
/// Bits of `events` that say how, not what (EP_PRIVATE_BITS).
const PRIVATE: Events = Events::EXCLUSIVE.union(Events::WAKEUP).union(Events::ONESHOT).union(Events::ET);
/// What may stand beside EPOLLEXCLUSIVE (EPOLLEXCLUSIVE_OK_BITS).
const EXCLUSIVE_OK: Events = Events::IN
    .union(Events::OUT)
    .union(Events::ERR)
    .union(Events::HUP)
    .union(Events::WAKEUP)
    .union(Events::ET)
    .union(Events::EXCLUSIVE);
const READABLE: Events = Events::IN.union(Events::RDNORM);

/// What epoll_ctl(2) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    Add(EpollEvent),
    Modify(EpollEvent),
    Delete,
}

/// Events of one epoll_wait.
pub type Ready = SmallVec<[EpollEvent; 8]>;

/// An epoll instance.
pub struct Epoll {
    me: Weak<Epoll>,
    /// Held through one epoll_ctl.
    control: Mutex<()>,
    state: Mutex<State>,
    queue: WaitQueue,
    /// Epolls that watch this one; some may have stopped.
    parents: Mutex<Vec<Weak<Epoll>>>,
}

/// Listens to one file for one epoll.
struct Link {
    epoll: Weak<Epoll>,
    key: Key,
}

impl Listener for Link {
    fn notify(&self, events: Events) {
        if let Some(epoll) = self.epoll.upgrade() {
            epoll.mark_ready(self.key, events);
        }
    }

    fn notify_exclusive(&self, events: Events) -> bool {
        let Some(epoll) = self.epoll.upgrade() else { return false };
        let is_waited_on = epoll.queue.is_waited_on();
        epoll.mark_ready(self.key, events) && is_waited_on
    }
}

impl Epoll {
    /// An epoll that watches nothing.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            control: Mutex::new(()),
            state: Mutex::default(),
            queue: WaitQueue::new(),
            parents: Mutex::default(),
        })
    }

    /// The epoll behind an open file; EINVAL when it is something else.
    pub fn of(file: &File) -> SysResult<&Self> {
        file.ops.as_any().downcast_ref::<Self>().ok_or(Errno::EINVAL)
    }

    /// Which file is watched as `fd`, by its address; of several, number `skip`. ENOENT when there is none
    /// (fs/eventpoll.c:ep_find_tfd).
    pub fn target(&self, fd: i32, skip: usize) -> SysResult<usize> {
        let state = self.state.lock();
        let mut keys = state.items.keys().filter(|key| key.fd() == fd);
        keys.nth(skip).map(|key| key.file()).ok_or(Errno::ENOENT)
    }

    /// Where epoll_wait(2) waits for [`Epoll::try_wait`] to give something.
    #[must_use]
    pub fn waiters(&self) -> &WaitQueue {
        &self.queue
    }

    /// Whether the item cares for `events`.
    fn mark_ready(&self, key: Key, events: Events) -> bool {
        let cares = self.state.lock().notify(key, events);
        if cares {
            self.queue.wake(READABLE);
        }
        cares
    }

    /// epoll_ctl(2) on `file`, which the caller knows as `fd`. Errors in Linux's order (do_epoll_ctl).
    pub fn control(&self, file: &Arc<File>, fd: i32, control: Control) -> SysResult<()> {
        if !file.ops.is_pollable() {
            return Err(Errno::EPERM);
        }
        let nested = file.ops.as_any().downcast_ref::<Self>();
        if nested.is_some_and(|other| std::ptr::eq(self, other)) {
            return Err(Errno::EINVAL);
        }
        let key = Key::new(file, fd);
        match control {
            Control::Delete => self.delete(file, key),
            Control::Modify(event) => self.modify(file, key, event),
            Control::Add(event) => {
                let events = Events::from_bits_retain(event.events);
                if events.contains(Events::EXCLUSIVE) && (nested.is_some() || !EXCLUSIVE_OK.contains(events))
                {
                    return Err(Errno::EINVAL);
                }
                match nested {
                    Some(other) => nesting::add(self, other, || self.add(file, key, event)),
                    None => self.add(file, key, event),
                }
            }
        }
    }

    fn add(&self, file: &Arc<File>, key: Key, event: EpollEvent) -> SysResult<()> {
        let _control = self.control.lock();
        {
            let mut state = self.state.lock();
            if state.items.contains_key(&key) {
                return Err(Errno::EEXIST);
            }
            if state.items.len() >= MAX_ITEMS {
                return Err(Errno::ENOSPC);
            }
            state.items.insert(key, Item::new(file, event));
        }
        let me: Weak<Self> = Weak::clone(&self.me);
        file.watch(me);
        self.listen(file, key);
        Ok(())
    }

    fn modify(&self, file: &Arc<File>, key: Key, event: EpollEvent) -> SysResult<()> {
        let _control = self.control.lock();
        let old = {
            let mut state = self.state.lock();
            let item = state.items.get_mut(&key).ok_or(Errno::ENOENT)?;
            let events = Events::from_bits_retain(event.events);
            // EPOLLEXCLUSIVE is for the addition alone, and such an item can't be changed.
            if (events | item.events).contains(Events::EXCLUSIVE) {
                return Err(Errno::EINVAL);
            }
            item.set(event);
            item.wait_key.take()
        };
        if let (Some(old), Some(queue)) = (old, file.ops.wait_queue()) {
            queue.remove(old);
        }
        self.listen(file, key);
        Ok(())
    }

    /// Listens with the item's present interest; it is ready at once when the file is.
    fn listen(&self, file: &Arc<File>, key: Key) {
        // Files that are always ready have no queue (/dev/random).
        if let Some(queue) = file.ops.wait_queue() {
            let interest = self.state.lock().items.get(&key).map_or(Events::empty(), |item| item.events);
            let link = Arc::new(Link { epoll: Weak::clone(&self.me), key });
            let what = interest.difference(PRIVATE);
            let wait_key = if interest.contains(Events::EXCLUSIVE) {
                queue.add_exclusive_listener(what, link)
            } else {
                queue.add_listener(what, link)
            };
            if let Some(item) = self.state.lock().items.get_mut(&key) {
                item.wait_key = Some(wait_key);
            }
        }
        let now = file.ops.poll();
        if !now.is_empty() {
            self.mark_ready(key, now);
        }
    }

    fn delete(&self, file: &Arc<File>, key: Key) -> SysResult<()> {
        let _control = self.control.lock();
        let item = self.state.lock().remove(key).ok_or(Errno::ENOENT)?;
        if let (Some(wait_key), Some(queue)) = (item.wait_key, file.ops.wait_queue()) {
            queue.remove(wait_key);
        }
        Ok(())
    }

    /// epoll_wait(2) without the wait: at most `max` events, in the order in which files became ready.
    #[must_use]
    pub fn try_wait(&self, max: usize) -> Ready {
        let mut found = Ready::new();
        self.scan(|event| {
            found.push(event);
            found.len() < max
        });
        found
    }

    /// Polls what was on the ready list when it began, until `emit` has had enough.
    fn scan(&self, mut emit: impl FnMut(EpollEvent) -> bool) {
        let end = self.state.lock().next_order();
        let mut from = 0;
        loop {
            let Some(candidate) = self.state.lock().candidate(from, end) else { return };
            from = candidate.order + 1;
            // The file is polled, and dropped, with no lock held: this may be its last reference.
            let Some(file) = candidate.file.upgrade() else { continue };
            let events = file.ops.poll_for(candidate.interest);
            let event = self.state.lock().settle(&candidate, events);
            drop(file);
            if let Some(event) = event
                && !emit(event)
            {
                return;
            }
        }
    }

    /// Whether any item is really ready; forgets those on the list that are not.
    fn any_ready(&self) -> bool {
        let end = self.state.lock().next_order();
        let mut from = 0;
        loop {
            let Some(candidate) = self.state.lock().candidate(from, end) else { return false };
            from = candidate.order + 1;
            let Some(file) = candidate.file.upgrade() else { continue };
            let events = file.ops.poll_for(candidate.interest);
            let ready = self.state.lock().is_ready(&candidate, events);
            drop(file);
            if ready {
                return true;
            }
        }
    }
}

impl FileWatcher for Epoll {
    fn file_gone(&self, file: &File) {
        let items = self.state.lock().remove_file(file);
        let Some(queue) = file.ops.wait_queue() else { return };
        items.into_iter().filter_map(|item| item.wait_key).for_each(|key| queue.remove(key));
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        let items = std::mem::take(&mut self.state.get_mut().items);
        for item in items.into_values() {
            let Some(file) = item.file.upgrade() else { continue };
            if let (Some(key), Some(queue)) = (item.wait_key, file.ops.wait_queue()) {
                queue.remove(key);
            }
        }
    }
}

impl FileOps for Epoll {
    /// It knows requests of its own, and says so of all others (ep_eventpoll_ioctl).
    fn ioctl(&self, _who: &dyn Caller, _cmd: u32, _arg: u64) -> SysResult<i64> {
        Err(Errno::EINVAL)
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn poll(&self) -> Events {
        if self.any_ready() { READABLE } else { Events::empty() }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn fdinfo(&self) -> String {
        let state = self.state.lock();
        let line = |(key, item): (&Key, &Item)| {
            format!("tfd: {:8} events: {:8x} data: {:16x}\n", key.fd(), item.events.bits(), item.data)
        };
        state.items.iter().map(line).collect()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests;
