//! One thread's epoll for everything that is not a call: deaths, the timer, watched descriptors.
//!
//! Shared descriptors, the sockets of guests, have an epoll of their own, of which the reactor is told only while calls
//! wait: a busy server finds what has arrived when it asks next, and no thread is woken for it meanwhile.
//!
//! Watches are added and removed by any thread, straight into the epoll; the reactor looks an event's target up
//! and calls it with no lock held. A late event for a removed watch finds nothing and is dropped.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use host_sys::pidfd;
use parking_lot::Mutex;
use platform_api::{HostTid, KernelEvents, ReadyListener, WatchId};
use rustc_hash::FxHashMap;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::errno;

/// What a token's upper bits say.
const KIND_SHIFT: u32 = 56;
const KIND_EXIT: u64 = 1;
const KIND_TIMER: u64 = 2;
const KIND_WATCH: u64 = 3;
const KIND_SHARED: u64 = 4;
const VALUE_MASK: u64 = (1 << KIND_SHIFT) - 1;

/// Events taken at once.
const BATCH: usize = 64;

const fn token(kind: u64, value: u64) -> EventData {
    EventData::new_u64(kind << KIND_SHIFT | value & VALUE_MASK)
}

struct Watch {
    /// Ours, so that the watch can be taken back when the caller's number is another file already; `None`: shared, and
    /// its closing takes the watch away.
    own: Option<OwnedFd>,
    /// Keeps a shared one open.
    _shared: Option<Arc<OwnedFd>>,
    listener: Arc<dyn ReadyListener>,
}

pub(crate) struct Reactor {
    epoll: OwnedFd,
    timer: OwnedFd,
    next_watch: AtomicU64,
    exits: Mutex<FxHashMap<HostTid, Arc<OwnedFd>>>,
    watches: Mutex<FxHashMap<u64, Watch>>,
    /// The epoll of shared descriptors, made with the first.
    shared: OnceLock<OwnedFd>,
    /// Held through a look there: when the next begins, all that this one saw has been told.
    looking: Mutex<()>,
    looks: AtomicU64,
    /// The first event there will be told, once.
    is_armed: AtomicBool,
    /// It is armed again after each event, whether or not calls wait.
    is_always_told: AtomicBool,
}

impl Reactor {
    pub(crate) fn new() -> SysResult<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(errno)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(errno)?;
        epoll::add(&epoll, &timer, token(KIND_TIMER, 0), EventFlags::IN | EventFlags::ET).map_err(errno)?;
        Ok(Self {
            epoll,
            timer,
            next_watch: AtomicU64::new(1),
            exits: Mutex::default(),
            watches: Mutex::default(),
            shared: OnceLock::new(),
            looking: Mutex::new(()),
            looks: AtomicU64::new(0),
            is_armed: AtomicBool::new(false),
            is_always_told: AtomicBool::new(false),
        })
    }

    /// Watches a process; a second watch of the same one changes nothing.
    pub(crate) fn watch_exit(&self, tgid: HostTid) -> SysResult<()> {
        if self.exits.lock().contains_key(&tgid) {
            return Ok(());
        }
        let pidfd = Arc::new(pidfd::open_process(tgid)?);
        let value = u64::try_from(tgid).map_err(|_| Errno::ESRCH)?;
        let mut exits = self.exits.lock();
        if exits.contains_key(&tgid) {
            return Ok(());
        }
        // In the map first: the event may be taken as soon as it is added.
        exits.insert(tgid, Arc::clone(&pidfd));
        let added = epoll::add(&self.epoll, &*pidfd, token(KIND_EXIT, value), EventFlags::IN);
        if added.is_err() {
            exits.remove(&tgid);
        }
        added.map_err(errno)
    }

    /// The pidfd of a watched process.
    pub(crate) fn pidfd(&self, tgid: HostTid) -> Option<Arc<OwnedFd>> {
        self.exits.lock().get(&tgid).cloned()
    }

    /// Whether a watched process is dead. One that is watched no more is: its death is being told.
    pub(crate) fn has_died(&self, tgid: HostTid) -> bool {
        let Some(pidfd) = self.pidfd(tgid) else { return true };
        let mut readable = [PollFd::new(&*pidfd, PollFlags::IN)];
        poll(&mut readable, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    pub(crate) fn watch_fd(
        &self,
        fd: BorrowedFd<'_>,
        listener: Arc<dyn ReadyListener>,
    ) -> SysResult<WatchId> {
        let own = fd.try_clone_to_owned().map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)))?;
        self.watch(&self.epoll, fd, Watch { own: Some(own), _shared: None, listener })
    }

    pub(crate) fn watch_shared(
        &self,
        fd: &Arc<OwnedFd>,
        listener: Arc<dyn ReadyListener>,
    ) -> SysResult<WatchId> {
        self.watch(self.shared()?, fd.as_fd(), Watch { own: None, _shared: Some(Arc::clone(fd)), listener })
    }

    /// The epoll of shared descriptors.
    fn shared(&self) -> SysResult<&OwnedFd> {
        if let Some(shared) = self.shared.get() {
            return Ok(shared);
        }
        let made = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(errno)?;
        epoll::add(&self.epoll, &made, token(KIND_SHARED, 0), EventFlags::ONESHOT).map_err(errno)?;
        // Of two that are made at once one is dropped, and with it its watch.
        let shared = self.shared.get_or_init(|| made);
        // A call may wait already, for something else.
        self.call_waits();
        Ok(shared)
    }

    /// Has the next event of a shared descriptor told: of those that are there, too.
    pub(crate) fn call_waits(&self) {
        let Some(shared) = self.shared.get() else { return };
        if self.is_armed.swap(true, Ordering::SeqCst) {
            return;
        }
        let flags = EventFlags::IN | EventFlags::ONESHOT;
        if let Err(error) = epoll::modify(&self.epoll, shared, token(KIND_SHARED, 0), flags) {
            tracing::error!(%error, "cannot watch guests' sockets");
        }
    }

    pub(crate) fn always_tell(&self) {
        self.is_always_told.store(true, Ordering::SeqCst);
        self.call_waits();
    }

    pub(crate) fn looks(&self) -> u64 {
        self.looks.load(Ordering::SeqCst)
    }

    /// Tells of what has happened to shared descriptors.
    pub(crate) fn look_at_shared(&self) {
        let Some(shared) = self.shared.get() else { return };
        let _looking = self.looking.lock();
        let look = self.looks.fetch_add(1, Ordering::SeqCst) + 1;
        loop {
            let mut batch = [const { MaybeUninit::<epoll::Event>::uninit() }; BATCH];
            let count = match epoll::wait(shared, &mut batch, Some(&Timespec::default())) {
                Ok((events, _)) => {
                    events
                        .iter()
                        .for_each(|event| self.tell(event.data.u64() & VALUE_MASK, event.flags, look));
                    events.len()
                }
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => 0,
            };
            if count < BATCH {
                return;
            }
        }
    }

    /// Calls the listener of a watch.
    fn tell(&self, watch: u64, flags: EventFlags, look: u64) {
        let listener = self.watches.lock().get(&watch).map(|watch| Arc::clone(&watch.listener));
        if let Some(listener) = listener {
            listener.ready(Events::from_bits_truncate(flags.bits()), look);
        }
    }

    fn watch(&self, epoll: &OwnedFd, fd: BorrowedFd<'_>, watch: Watch) -> SysResult<WatchId> {
        let id = self.next_watch.fetch_add(1, Ordering::Relaxed);
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::PRI | EventFlags::RDHUP | EventFlags::ET;
        let mut watches = self.watches.lock();
        let watched = watch.own.as_ref().map_or(fd, AsFd::as_fd);
        epoll::add(epoll, watched, token(KIND_WATCH, id), flags).map_err(errno)?;
        watches.insert(id, watch);
        Ok(WatchId(id))
    }

    pub(crate) fn unwatch_fd(&self, watch: WatchId) {
        let removed = self.watches.lock().remove(&watch.0);
        if let Some(own) = removed.and_then(|watch| watch.own) {
            let _ = epoll::delete(&self.epoll, &own);
        }
    }

    pub(crate) fn arm_timer(&self, deadline_ns: Option<u64>) {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value = match deadline_ns {
            None => zero,
            // A deadline of 0 has passed; but zero means "disarm" (timerfd_settime(2)).
            Some(ns) => {
                let ns = ns.max(1);
                let seconds = i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX);
                Timespec { tv_sec: seconds, tv_nsec: (ns % 1_000_000_000) as i64 }
            }
        };
        let spec = Itimerspec { it_interval: zero, it_value };
        if let Err(error) = timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &spec) {
            tracing::error!(%error, "cannot arm the timer");
        }
    }

    /// Delivers events until `init` is dead.
    pub(crate) fn run(&self, init: HostTid, events: &dyn KernelEvents) -> SysResult<()> {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut batch), None) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(errno(error)),
            }
            let mut init_died = false;
            for event in batch.drain(..) {
                init_died |= self.deliver(event, events) == Some(init);
            }
            events.drain();
            // After the flag was cleared, and a call that waits is known before it looks at the flag.
            if self.shared.get().is_some()
                && !self.is_armed.load(Ordering::SeqCst)
                && (self.is_always_told.load(Ordering::SeqCst) || events.is_call_waiting())
            {
                self.call_waits();
            }
            if init_died {
                return Ok(());
            }
        }
    }

    /// One event; gives who died.
    fn deliver(&self, event: epoll::Event, events: &dyn KernelEvents) -> Option<HostTid> {
        let data = event.data.u64();
        let value = data & VALUE_MASK;
        match data >> KIND_SHIFT {
            KIND_EXIT => {
                let tgid = HostTid::try_from(value).ok()?;
                // Closing the pidfd ends its watch, but a sender may hold it a moment longer.
                let pidfd = self.exits.lock().remove(&tgid)?;
                let _ = epoll::delete(&self.epoll, &*pidfd);
                events.exited(tgid);
                return Some(tgid);
            }
            KIND_TIMER => {
                let mut count = [0; 8];
                // Nothing to read: it was armed anew since.
                if rustix::io::read(&self.timer, &mut count).is_ok() {
                    events.timer_expired();
                }
            }
            KIND_SHARED => {
                self.is_armed.store(false, Ordering::SeqCst);
                self.look_at_shared();
            }
            _ => self.tell(value, event.flags, 0),
        }
        None
    }
}
