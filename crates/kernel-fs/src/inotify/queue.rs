//! Events that wait to be read, in the layout of `struct inotify_event`.

use std::collections::VecDeque;

use abi_linux::{Errno, SysResult};
use kernel_vfs::notify::Happened;

/// `struct inotify_event` without the name: wd, mask, cookie, len.
const HEADER: usize = 16;
/// Watch descriptor of IN_Q_OVERFLOW.
const NO_WATCH: i32 = -1;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Queued {
    pub(super) wd: i32,
    pub(super) what: Happened,
    pub(super) cookie: u32,
    /// Empty for none.
    pub(super) name: Box<[u8]>,
}

impl Queued {
    /// The name's room: with a NUL at least, in multiples of the header (round_event_name_len).
    fn name_room(&self) -> usize {
        if self.name.is_empty() { 0 } else { (self.name.len() + 1).next_multiple_of(HEADER) }
    }

    fn len(&self) -> usize {
        HEADER + self.name_room()
    }

    fn write(&self, to: &mut [u8]) {
        let words = [self.wd.cast_unsigned(), self.what.bits(), self.cookie, self.name_room() as u32];
        to.fill(0);
        let bytes = words.into_iter().flat_map(u32::to_ne_bytes).chain(self.name.iter().copied());
        to.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    }

    /// Whether it says nothing that `last`, still unread, did not say (event_compare).
    fn repeats(&self, last: &Self) -> bool {
        last.what == self.what
            && last.wd == self.wd
            && last.name == self.name
            && !last.what.contains(Happened::IGNORED)
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    New,
    /// Nothing to read that was not there before.
    Merged,
}

/// A bounded queue.
pub(super) struct Queue {
    limit: usize,
    events: VecDeque<Queued>,
    /// IN_Q_OVERFLOW is in it.
    overflowed: bool,
}

impl Queue {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, events: VecDeque::new(), overflowed: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Bytes that reading everything would give.
    pub(super) fn bytes(&self) -> usize {
        self.events.iter().map(Queued::len).sum()
    }

    /// Adds an event, unless it repeats the last one; one that finds no room becomes IN_Q_OVERFLOW.
    pub(super) fn push(&mut self, event: Queued) -> Pushed {
        if self.events.len() >= self.limit {
            if self.overflowed {
                return Pushed::Merged;
            }
            self.overflowed = true;
            let name = Box::default();
            self.events.push_back(Queued { wd: NO_WATCH, what: Happened::Q_OVERFLOW, cookie: 0, name });
            return Pushed::New;
        }
        if self.events.back().is_some_and(|last| event.repeats(last)) {
            return Pushed::Merged;
        }
        self.events.push_back(event);
        Pushed::New
    }

    /// Takes as many whole events as fit: EAGAIN when there is none, EINVAL when not even one fits.
    pub(super) fn take(&mut self, buf: &mut [u8]) -> SysResult<usize> {
        if self.events.is_empty() {
            return Err(Errno::EAGAIN);
        }
        let mut used = 0;
        while let Some(event) = self.events.front() {
            let Some(room) = buf.get_mut(used..used + event.len()) else { break };
            event.write(room);
            used += event.len();
            if let Some(event) = self.events.pop_front()
                && event.what == Happened::Q_OVERFLOW
            {
                self.overflowed = false;
            }
        }
        if used == 0 { Err(Errno::EINVAL) } else { Ok(used) }
    }
}
