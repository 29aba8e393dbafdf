//! Wait queues: who is told when an object becomes ready.
//!
//! An object (pipe, tty, eventfd …) owns a [`WaitQueue`] and calls [`WaitQueue::wake`] after it changed,
//! outside its own lock. Waiters are parked calls (a [`Waker`]) or epoll entries (a [`Listener`]).
//! The order that loses no wake-up: register, then look at the object, then sleep.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};

use abi_linux::fs::Events;

use crate::sync::Mutex;

/// Told of events without polling a future: an epoll entry. Must not block and not wake the same queue.
pub trait Listener: Send + Sync {
    /// The object has (at least) these events now.
    fn notify(&self, events: Events);
    /// As `notify`, for one of the exclusive listeners: whether it found somebody who will deal with it, so that
    /// the next need not be told.
    fn notify_exclusive(&self, events: Events) -> bool {
        self.notify(events);
        true
    }
}

enum Waiter {
    Call(Waker),
    Listener(Arc<dyn Listener>),
    /// Told only when no other of its kind was there before it (EPOLLEXCLUSIVE).
    Exclusive(Arc<dyn Listener>),
}

struct Entry {
    key: u64,
    interest: Events,
    waiter: Waiter,
}

#[derive(Default)]
struct Waiters {
    next_key: u64,
    entries: Vec<Entry>,
}

/// The waiters of one object.
#[derive(Default)]
pub struct WaitQueue {
    /// Number of entries, so that waking an object nobody waits for takes no lock.
    count: AtomicUsize,
    waiters: Mutex<Waiters>,
}

/// Names an entry of a [`WaitQueue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitKey(u64);

impl WaitQueue {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells every waiter interested in `events` (errors and hang-ups interest all).
    pub fn wake(&self, events: Events) {
        // Pairs with the increment in `add`: the object's change must be visible before the count is read.
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut calls = smallvec::SmallVec::<[Waker; 4]>::new();
        let mut listeners = smallvec::SmallVec::<[Arc<dyn Listener>; 4]>::new();
        let mut exclusive = smallvec::SmallVec::<[Arc<dyn Listener>; 4]>::new();
        let always = Events::ERR | Events::HUP;
        for entry in &self.waiters.lock().entries {
            if (entry.interest | always).intersects(events) {
                match &entry.waiter {
                    Waiter::Call(waker) => calls.push(waker.clone()),
                    Waiter::Listener(listener) => listeners.push(Arc::clone(listener)),
                    Waiter::Exclusive(listener) => exclusive.push(Arc::clone(listener)),
                }
            }
        }
        calls.into_iter().for_each(Waker::wake);
        listeners.into_iter().for_each(|listener| listener.notify(events));
        exclusive.into_iter().any(|listener| listener.notify_exclusive(events));
    }

    fn add(&self, interest: Events, waiter: Waiter) -> WaitKey {
        let mut waiters = self.waiters.lock();
        let key = waiters.next_key;
        waiters.next_key += 1;
        waiters.entries.push(Entry { key, interest, waiter });
        self.count.store(waiters.entries.len(), Ordering::SeqCst);
        std::sync::atomic::fence(Ordering::SeqCst);
        WaitKey(key)
    }

    /// Adds a listener until [`WaitQueue::remove`].
    pub fn add_listener(&self, interest: Events, listener: Arc<dyn Listener>) -> WaitKey {
        self.add(interest, Waiter::Listener(listener))
    }

    /// Adds a listener of which one is enough to be told, until [`WaitQueue::remove`].
    pub fn add_exclusive_listener(&self, interest: Events, listener: Arc<dyn Listener>) -> WaitKey {
        self.add(interest, Waiter::Exclusive(listener))
    }

    /// Whether anybody waits.
    #[must_use]
    pub fn is_waited_on(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// Adds a parked call's waker until [`WaitQueue::remove`].
    pub fn add_waker(&self, interest: Events, waker: &Waker) -> WaitKey {
        self.add(interest, Waiter::Call(waker.clone()))
    }

    /// Removes an entry; unknown keys are ignored. The others keep their order: who waits longest is told first.
    pub fn remove(&self, key: WaitKey) {
        let mut waiters = self.waiters.lock();
        let found = waiters.entries.iter().position(|entry| entry.key == key.0);
        let entry = found.map(|at| waiters.entries.remove(at));
        self.count.store(waiters.entries.len(), Ordering::SeqCst);
        drop(waiters);
        drop(entry);
    }

    /// Waits until `attempt` gives something: tries once, then registers and tries after each wake-up.
    pub async fn wait_until<T>(&self, interest: Events, mut attempt: impl FnMut() -> Option<T>) -> T {
        if let Some(done) = attempt() {
            return done;
        }
        let mut registration = Registration { queue: self, key: None };
        poll_fn(|cx| {
            if registration.key.is_none() {
                registration.key = Some(self.add_waker(interest, cx.waker()));
            }
            attempt().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

struct Registration<'a> {
    queue: &'a WaitQueue,
    key: Option<WaitKey>,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.queue.remove(key);
        }
    }
}
