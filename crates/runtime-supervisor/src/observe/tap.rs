//! A live trace.
//!
//! The thread that handles a call prints it into its ring, if there is room; it never waits for whoever reads. The
//! reader's thread empties the rings every [`PAUSE`], at once while they fill quickly. A call without room is counted and
//! leaves a gap in the numbers, so that a reader knows what it missed.
//!
//! Lock order: the locks of rings are leaves.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use kernel_base::sync::Mutex;
use kernel_syscalls::{Ending, Observed, Observer, Outcome, strace};
use platform_api::{Clock, Platform};
use runtime_control::observe::{self, TraceBatch, TraceFilter, TracedCall};
use runtime_control::{Reply, frame};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::own_slot;
use crate::error::Error;

/// Rings of a trace. A thread always uses the same one; two workers take calls, and some threads finish those that
/// waited.
const RINGS: usize = 4;
/// Calls in a ring.
const MOST_CALLS: usize = 8192;
/// Bytes of text in a ring.
const MOST_BYTES: usize = 2 << 20;
/// How long the reader sleeps when there is little to do.
const PAUSE: Duration = Duration::from_millis(20);
/// A ring that was as full as this is looked at again at once.
const BUSY: usize = MOST_CALLS / 4;

/// Who takes what a trace has seen.
pub(crate) trait Sink {
    /// Takes it; an error ends the trace.
    fn take(&mut self, batch: TraceBatch) -> std::io::Result<()>;
    /// Sleeps; false when nobody wants the trace any more.
    fn sleep(&mut self, pause: Duration) -> bool;
}

/// A client of the control socket.
pub(crate) struct ToClient<'a>(pub(crate) &'a UnixStream);

impl Sink for ToClient<'_> {
    fn take(&mut self, batch: TraceBatch) -> std::io::Result<()> {
        frame::send(self.0, &Reply::Traced(batch), &[])
    }

    /// Whatever the client says ends it, and its leaving does.
    fn sleep(&mut self, pause: Duration) -> bool {
        let limit = Timespec { tv_sec: 0, tv_nsec: pause.subsec_nanos().into() };
        let mut watched = [PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)];
        matches!(poll(&mut watched, Some(&limit)), Ok(0) | Err(rustix::io::Errno::INTR))
    }
}

/// This very process.
pub(crate) struct ToOwn(pub(crate) Box<dyn FnMut(TraceBatch) -> std::io::Result<()> + Send>);

impl Sink for ToOwn {
    fn take(&mut self, batch: TraceBatch) -> std::io::Result<()> {
        (self.0)(batch)
    }

    fn sleep(&mut self, pause: Duration) -> bool {
        std::thread::sleep(pause);
        true
    }
}

#[derive(Default)]
struct Ring {
    calls: Vec<TracedCall>,
    bytes: usize,
}

impl Ring {
    fn has_room(&self) -> bool {
        self.calls.len() < MOST_CALLS && self.bytes < MOST_BYTES
    }
}

/// A trace, as an observer.
pub(crate) struct Tap {
    /// By number; `None`: all.
    calls: Option<Vec<i32>>,
    pid: Option<i32>,
    rings: [Mutex<Ring>; RINGS],
    next: AtomicU64,
    dropped: AtomicU64,
    over: AtomicBool,
    /// What monotonic time is to be added to.
    epoch_ns: u64,
}

impl Tap {
    pub(crate) fn new(filter: &TraceFilter, platform: &dyn Platform) -> Result<Self, Error> {
        if let Some(nr) = filter.calls.iter().find(|&&nr| syscall_table::by_nr(nr).is_none()) {
            return Err(Error::NoCall(*nr));
        }
        let (real, monotonic) = (platform.now_ns(Clock::Realtime), platform.now_ns(Clock::Monotonic));
        Ok(Self {
            calls: Some(filter.calls.clone()).filter(|calls| !calls.is_empty()),
            pid: filter.pid,
            rings: Default::default(),
            next: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            over: AtomicBool::new(false),
            epoch_ns: real.saturating_sub(monotonic),
        })
    }

    fn wants(&self, observed: &Observed<'_>) -> bool {
        self.calls.as_ref().is_none_or(|calls| calls.contains(&observed.call.nr))
            && self.pid.is_none_or(|pid| pid == observed.task.process.pid)
    }

    fn print(&self, observed: &Observed<'_>, seq: u64) -> TracedCall {
        let Observed { task, call, ending, times } = *observed;
        let mem = |addr: u64, buf: &mut [u8]| task.mem().read_partial(addr, buf).unwrap_or(0);
        let comm = task.comm();
        let name = comm.split(|&byte| byte == 0).next().unwrap_or_default();
        let at_ns = match times.begun_ns {
            0 => task.kernel().platform.now_ns(Clock::Monotonic),
            begun => begun,
        };
        TracedCall {
            seq,
            at_ns: self.epoch_ns.saturating_add(at_ns),
            duration_ns: times.total_ns,
            pid: task.process.pid,
            tid: task.guest_tid,
            comm: String::from_utf8_lossy(name).into_owned(),
            nr: call.nr,
            args: call.args,
            ending: shown(ending),
            text: strace::line(call.nr, &call.args, ending, &mem),
        }
    }

    /// Takes what has been seen since, in order, and how full the fullest ring was.
    fn take(&self) -> (TraceBatch, usize) {
        let (mut calls, mut most) = (Vec::new(), 0);
        for ring in &self.rings {
            let mut ring = ring.lock();
            ring.bytes = 0;
            most = most.max(ring.calls.len());
            // The ring keeps its room.
            calls.append(&mut ring.calls);
        }
        calls.sort_unstable_by_key(|call| call.seq);
        (TraceBatch { calls, dropped: self.dropped.load(Ordering::Relaxed), ended: false }, most)
    }

    pub(crate) fn run(&self, sink: &mut dyn Sink) {
        // The first batch says that the trace has begun.
        let (mut told, mut first) = (0, true);
        loop {
            // Before the last look: what was seen before the end is told.
            let over = self.over.load(Ordering::SeqCst);
            let (mut batch, most) = self.take();
            batch.ended = over;
            if first || over || !batch.calls.is_empty() || batch.dropped != told {
                told = batch.dropped;
                if sink.take(batch).is_err() {
                    return;
                }
            }
            first = false;
            if over || (most < BUSY && !sink.sleep(PAUSE)) {
                return;
            }
        }
    }
}

fn shown(ending: Ending<'_>) -> observe::Ending {
    match ending {
        Ending::Answered(Ok(Outcome::Value(value))) => observe::Ending::Value(*value),
        Ending::Answered(Ok(_)) => observe::Ending::Host,
        Ending::Answered(Err(errno)) => observe::Ending::Errno(errno.raw()),
        Ending::Interrupted => observe::Ending::Interrupted,
    }
}

impl Observer for Tap {
    fn call(&self, observed: &Observed<'_>) {
        if !self.wants(observed) {
            return;
        }
        let Some(ring) = self.rings.get(own_slot() % RINGS) else { return };
        let seq = self.next.fetch_add(1, Ordering::Relaxed);
        if !ring.lock().has_room() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // Not below the lock: this copies guest memory. One thread more may put a call in meanwhile.
        let call = self.print(observed, seq);
        let mut ring = ring.lock();
        ring.bytes += call.text.len();
        ring.calls.push(call);
    }

    fn ended(&self) {
        self.over.store(true, Ordering::SeqCst);
    }
}
