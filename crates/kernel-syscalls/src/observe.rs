//! The one place where others look at calls: `--strace`, live traces, counters, security events.
//!
//! An [`Observer`] is added to a container's [`Observers`] and taken out again while it runs. Each is told of every call
//! just before its answer. With nobody there a call costs two relaxed loads more, and nothing is measured.
//!
//! Lock order: `Observers.list` is held while observers are told; they may read guest memory, and take leaf locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use abi_linux::SysResult;
use kernel_base::sync::{Mutex, RwLock};
use kernel_task::Task;
use platform_api::{Clock, Metering, Platform, Spent, Syscall};

use crate::cx::{Cx, Outcome};

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub enum Ending<'a> {
    /// `Ok` holds what the guest sees, or how the host goes on.
    Answered(&'a SysResult<Outcome>),
    /// It waited, and a signal or its thread's end took it away: nothing was done.
    Interrupted,
}

/// Where a call's time went, in nanoseconds. What was not seen, since nobody looked yet when it began, is 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// [`Clock::Monotonic`] when it was received; 0: not seen.
    pub begun_ns: u64,
    /// From then to its answer, waiting included.
    pub total_ns: u64,
    /// Until its thread was found and its handler ran.
    pub entry_ns: u64,
    /// In its handler, whatever that did.
    pub run_ns: u64,
    /// Of that, outside the kernel; only if somebody meters.
    pub spent: Spent,
}

/// A call that is about to be answered.
#[derive(Clone, Copy)]
pub struct Observed<'a> {
    pub task: &'a Task,
    pub call: &'a Syscall,
    pub ending: Ending<'a>,
    pub times: Times,
}

/// Who looks at calls. On the thread that handles the call, which waits: must not block.
pub trait Observer: Send + Sync {
    /// A call has ended.
    fn call(&self, observed: &Observed<'_>);
    /// Its answer took this long to give. Only if somebody meters.
    fn answered(&self, _call: &Syscall, _ns: u64) {}
    /// Whether it wants to know where the time goes outside the kernel.
    fn meters(&self) -> bool {
        false
    }
    /// Whether it is to be taken out: it was there for a time that has passed.
    fn has_expired(&self, _now_ns: u64) -> bool {
        false
    }
    /// The container has ended.
    fn ended(&self) {}
}

/// Somebody looks.
const LOOKED_AT: u32 = 1;
/// Somebody meters.
const METERED: u32 = 2;

/// All observers of a container.
#[derive(Default)]
pub struct Observers {
    /// Bits for what any of them wants.
    wants: AtomicU32,
    has_ended: AtomicBool,
    list: RwLock<Vec<Arc<dyn Observer>>>,
    /// Whether the platform meters for us.
    metering: Mutex<bool>,
}

/// What is kept of a call that is looked at, from its beginning on.
pub(crate) struct Entry {
    begun_ns: u64,
    entry_ns: AtomicU64,
    run_ns: AtomicU64,
    host_calls: AtomicU64,
    host_ns: AtomicU64,
    copies: AtomicU64,
    copy_ns: AtomicU64,
}

impl Entry {
    /// Runs a part of the handler.
    fn measure<T>(&self, platform: &dyn Platform, part: impl FnOnce() -> T) -> T {
        let (began, before) = (platform.now_ns(Clock::Monotonic), platform.spent());
        if self.entry_ns.load(Ordering::Relaxed) == 0 {
            self.entry_ns.store(began.saturating_sub(self.begun_ns).max(1), Ordering::Relaxed);
        }
        let done = part();
        let (now, after) = (platform.now_ns(Clock::Monotonic), platform.spent());
        let add = |to: &AtomicU64, from: u64, until: u64| {
            to.fetch_add(until.saturating_sub(from), Ordering::Relaxed);
        };
        add(&self.run_ns, began, now);
        add(&self.host_calls, before.host_calls, after.host_calls);
        add(&self.host_ns, before.host_ns, after.host_ns);
        add(&self.copies, before.copies, after.copies);
        add(&self.copy_ns, before.copy_ns, after.copy_ns);
        done
    }

    fn times(&self, now_ns: u64) -> Times {
        let get = |field: &AtomicU64| field.load(Ordering::Relaxed);
        Times {
            begun_ns: self.begun_ns,
            total_ns: now_ns.saturating_sub(self.begun_ns),
            entry_ns: get(&self.entry_ns),
            run_ns: get(&self.run_ns),
            spent: Spent {
                host_calls: get(&self.host_calls),
                host_ns: get(&self.host_ns),
                copies: get(&self.copies),
                copy_ns: get(&self.copy_ns),
            },
        }
    }
}

/// Runs a part of a call's handler, measured if the call is looked at.
pub(crate) fn measured<T>(cx: &Cx, part: impl FnOnce() -> T) -> T {
    match &cx.entry {
        None => part(),
        Some(entry) => entry.measure(&*cx.kernel().platform, part),
    }
}

impl Observers {
    /// Nobody.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Tells `observer` of every call that ends from now on.
    pub fn add(&self, observer: Arc<dyn Observer>, platform: &dyn Platform) {
        let mut list = self.list.write();
        list.push(Arc::clone(&observer));
        self.set_wants(&list, platform);
        drop(list);
        if self.has_ended.load(Ordering::SeqCst) {
            observer.ended();
        }
    }

    /// As [`Self::add`], unless it is there already.
    pub fn keep(&self, observer: &Arc<dyn Observer>, platform: &dyn Platform) {
        if !self.list.read().iter().any(|known| Arc::ptr_eq(known, observer)) {
            self.add(Arc::clone(observer), platform);
        }
    }

    /// Tells it nothing more.
    pub fn remove(&self, observer: &Arc<dyn Observer>, platform: &dyn Platform) {
        let mut list = self.list.write();
        list.retain(|known| !Arc::ptr_eq(known, observer));
        self.set_wants(&list, platform);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.read().len()
    }

    /// The container has ended.
    pub fn end(&self) {
        self.has_ended.store(true, Ordering::SeqCst);
        self.list.read().iter().for_each(|observer| observer.ended());
    }

    fn set_wants(&self, list: &[Arc<dyn Observer>], platform: &dyn Platform) {
        let meters = list.iter().any(|observer| observer.meters());
        let mut metering = self.metering.lock();
        if meters != *metering {
            *metering = meters;
            platform.meter(if meters { Metering::On } else { Metering::Off });
        }
        let wants = if list.is_empty() { 0 } else { LOOKED_AT } | if meters { METERED } else { 0 };
        self.wants.store(wants, Ordering::Relaxed);
    }

    fn wants(&self) -> u32 {
        self.wants.load(Ordering::Relaxed)
    }

    /// Whether nobody looks.
    pub(crate) fn is_empty(&self) -> bool {
        self.wants() == 0
    }

    /// A call has come.
    pub(crate) fn enter(&self, platform: &dyn Platform) -> Option<Box<Entry>> {
        if self.is_empty() { None } else { Some(begin(platform)) }
    }

    /// A call is about to be answered by `answer`.
    #[cold]
    pub(crate) fn finish(&self, cx: &Cx, ending: Ending<'_>, answer: impl FnOnce()) {
        let platform = &*cx.kernel().platform;
        let now = platform.now_ns(Clock::Monotonic);
        let times = cx.entry.as_ref().map(|entry| entry.times(now)).unwrap_or_default();
        self.tell(&Observed { task: &cx.task, call: &cx.call, ending, times }, now);
        if self.wants() & METERED == 0 {
            return answer();
        }
        let began = platform.now_ns(Clock::Monotonic);
        answer();
        let ns = platform.now_ns(Clock::Monotonic).saturating_sub(began);
        self.list.read().iter().for_each(|observer| observer.answered(&cx.call, ns));
    }

    /// A call that waited was taken away; it had been parked at `since_ns`.
    #[cold]
    pub(crate) fn interrupted(&self, task: &Task, call: &Syscall, since_ns: u64) {
        let now = task.kernel().platform.now_ns(Clock::Monotonic);
        let total_ns = now.saturating_sub(since_ns);
        let times = Times { begun_ns: since_ns, total_ns, ..Times::default() };
        self.tell(&Observed { task, call, ending: Ending::Interrupted, times }, now);
    }

    fn tell(&self, observed: &Observed<'_>, now_ns: u64) {
        let list = self.list.read();
        list.iter().for_each(|observer| observer.call(observed));
        let expired = list.iter().any(|observer| observer.has_expired(now_ns));
        drop(list);
        if expired {
            let mut list = self.list.write();
            list.retain(|observer| !observer.has_expired(now_ns));
            self.set_wants(&list, &*observed.task.kernel().platform);
        }
    }
}

#[cold]
fn begin(platform: &dyn Platform) -> Box<Entry> {
    Box::new(Entry {
        begun_ns: platform.now_ns(Clock::Monotonic),
        entry_ns: AtomicU64::new(0),
        run_ns: AtomicU64::new(0),
        host_calls: AtomicU64::new(0),
        host_ns: AtomicU64::new(0),
        copies: AtomicU64::new(0),
        copy_ns: AtomicU64::new(0),
    })
}
