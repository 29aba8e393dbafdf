//! Items and the ready list: the part of an epoll below its one leaf lock.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use abi_linux::fs::{EpollEvent, Events};
use kernel_base::wait::WaitKey;
use kernel_vfs::file::File;

use super::PRIVATE;

const ALWAYS: Events = Events::ERR.union(Events::HUP);

/// Names an item: the same file under two fds is two items (epoll(7), question 1). The address stays
/// the file's while the item's weak reference lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    file: usize,
    fd: i32,
}

impl Key {
    pub(super) fn new(file: &Arc<File>, fd: i32) -> Self {
        Self { file: Arc::as_ptr(file).addr(), fd }
    }

    pub(super) fn fd(self) -> i32 {
        self.fd
    }

    pub(super) fn file(self) -> usize {
        self.file
    }
}

/// One watched file.
pub(super) struct Item {
    pub(super) file: Weak<File>,
    /// What was asked for, with EPOLLERR and EPOLLHUP; only private bits after a one-shot has fired.
    pub(super) events: Events,
    pub(super) data: u64,
    pub(super) wait_key: Option<WaitKey>,
    /// Place in the ready list.
    order: Option<u64>,
    /// Counts notifications, so that one that comes while the file is polled is not forgotten.
    notified: u64,
}

impl Item {
    pub(super) fn new(file: &Arc<File>, event: EpollEvent) -> Self {
        let (file, events) = (Arc::downgrade(file), Events::empty());
        let mut item = Self { file, events, data: 0, wait_key: None, order: None, notified: 0 };
        item.set(event);
        item
    }

    pub(super) fn set(&mut self, event: EpollEvent) {
        self.events = Events::from_bits_retain(event.events) | ALWAYS;
        self.data = event.data;
    }
}

/// An item of the ready list that is about to be polled.
pub(super) struct Candidate {
    pub(super) order: u64,
    pub(super) file: Weak<File>,
    /// What is asked of it.
    pub(super) interest: Events,
    key: Key,
    notified: u64,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) items: BTreeMap<Key, Item>,
    /// By order of becoming ready.
    ready: BTreeMap<u64, Key>,
    next_order: u64,
}

impl State {
    /// Every place given from now on is at least this.
    pub(super) fn next_order(&self) -> u64 {
        self.next_order
    }

    /// Puts the item on the ready list if it cares for `events`; whether it does (ep_poll_callback).
    pub(super) fn notify(&mut self, key: Key, events: Events) -> bool {
        let Some(item) = self.items.get_mut(&key) else { return false };
        if !item.events.difference(PRIVATE).intersects(events) {
            return false;
        }
        item.notified += 1;
        if item.order.is_none() {
            item.order = Some(self.next_order);
            self.ready.insert(self.next_order, key);
            self.next_order += 1;
        }
        true
    }

    /// The first item of the ready list at places `from..end`.
    pub(super) fn candidate(&self, from: u64, end: u64) -> Option<Candidate> {
        if from >= end {
            return None;
        }
        let (&order, &key) = self.ready.range(from..end).next()?;
        let item = self.items.get(&key)?;
        let (file, interest) = (Weak::clone(&item.file), item.events.difference(PRIVATE));
        Some(Candidate { order, key, file, interest, notified: item.notified })
    }

    /// What the item reports, given what its file is ready for; `None` when nothing, or when another
    /// waiter took it meanwhile. Leaves it on the list when it may have more to say.
    pub(super) fn settle(&mut self, candidate: &Candidate, ready: Events) -> Option<EpollEvent> {
        let item = self.items.get_mut(&candidate.key).filter(|item| item.order == Some(candidate.order))?;
        let events = ready & item.events.difference(PRIVATE);
        let unchanged = item.notified == candidate.notified;
        let event = EpollEvent { events: events.bits(), data: item.data };
        let one_shot = item.events.contains(Events::ONESHOT);
        let level = !events.is_empty() && !one_shot && !item.events.contains(Events::ET);
        if !events.is_empty() && one_shot {
            item.events &= PRIVATE;
        }
        if level {
            // Behind the others, so that all get their turn (ep_send_events).
            self.ready.remove(&candidate.order);
            item.order = Some(self.next_order);
            self.ready.insert(self.next_order, candidate.key);
            self.next_order += 1;
        } else if unchanged || one_shot {
            self.ready.remove(&candidate.order);
            item.order = None;
        }
        (!events.is_empty()).then_some(event)
    }

    /// Whether the item would report something; takes it off the list when not.
    pub(super) fn is_ready(&mut self, candidate: &Candidate, ready: Events) -> bool {
        let Some(item) =
            self.items.get_mut(&candidate.key).filter(|item| item.order == Some(candidate.order))
        else {
            return false;
        };
        let is_ready = ready.intersects(item.events.difference(PRIVATE));
        if !is_ready && item.notified == candidate.notified {
            self.ready.remove(&candidate.order);
            item.order = None;
        }
        is_ready
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Item> {
        let item = self.items.remove(&key)?;
        if let Some(order) = item.order {
            self.ready.remove(&order);
        }
        Some(item)
    }

    /// Removes all items of a file that is being dropped.
    pub(super) fn remove_file(&mut self, file: &File) -> Vec<Item> {
        let address = std::ptr::from_ref(file).addr();
        let first = Key { file: address, fd: i32::MIN };
        let last = Key { file: address, fd: i32::MAX };
        let keys: Vec<Key> = self.items.range(first..=last).map(|(key, _)| *key).collect();
        keys.into_iter().filter_map(|key| self.remove(key)).collect()
    }
}
