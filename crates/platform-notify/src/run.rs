//! The threads that take calls.
//!
//! Only one thread, the *leader*, waits on the listener: several waiters make the kernel rotate wake-ups between
//! them, over CPUs, and a null call gets slower by half. The others stand by. One standby is the *watchdog*: it
//! looks every [`TICK`] whether the leader still handles the call it handled a tick ago, and if so takes the lead.
//! A deposed leader finishes its call and stands by. Two leaders can overlap for one call; that is only slow.
//!
//! A quiet sandbox costs nothing: after [`QUIET_TICKS`] without a call the watchdog lets go of what only the start needed
//! of the program, and sleeps until the leader, at its next call, rings. The leader's own path has two atomic operations, and no system call but RECV and SEND.
//!
//! Each listener has threads of its own. Those of one that was added later end by themselves with the last thread
//! that could call.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use abi_linux::{Errno, SysResult};
use host_sys::{image, seccomp, signal};
use parking_lot::{Condvar, Mutex};
use platform_api::{CallId, HostTid, Syscall, Worker};
use rustix::event::{PollFd, PollFlags, poll};

use crate::line::Line;
use crate::platform::{NotifyPlatform, coarse_now_ns};

/// How long a call may take before another thread takes the lead: between one and two of these.
const TICK: Duration = Duration::from_millis(2);
/// After this many ticks without a call the watchdog sleeps.
const QUIET_TICKS: u32 = 25;
/// Workers and their handlers are shallow; touched pages count in an idle sandbox.
const STACK: usize = 256 * 1024;
/// Ends a blocking RECV at shutdown, for kernels before 6.11, where RECV does not notice that all guests are gone.
const WAKE_SIGNAL: i32 = libc::SIGURG;

/// A worker's public state, on a cache line of its own.
#[repr(align(128))]
#[derive(Default)]
struct Seat {
    /// Odd while it handles a call.
    calls: AtomicU64,
    tid: AtomicU64,
}

/// Who leads.
pub(crate) struct Baton {
    leader: AtomicUsize,
    stopping: AtomicBool,
    /// The watchdog waits for `bell` without a time limit.
    asleep: AtomicBool,
    seats: Vec<Seat>,
    /// Held by the watchdog all the time; the other standbys queue for it.
    watchdog: Mutex<()>,
    bell: Mutex<()>,
    rung: Condvar,
    /// Threads that have not ended.
    left: AtomicUsize,
}

impl Baton {
    fn new(workers: usize) -> Self {
        Self {
            leader: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            seats: (0..workers).map(|_| Seat::default()).collect(),
            watchdog: Mutex::new(()),
            bell: Mutex::new(()),
            rung: Condvar::new(),
            left: AtomicUsize::new(workers),
        }
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn leads(&self, me: usize) -> bool {
        self.leader.load(Ordering::Relaxed) == me
    }

    /// The leader has a call.
    fn enter(&self, seat: &Seat) {
        // SeqCst, here and in doze(): either we see `asleep`, or the watchdog sees the new count.
        seat.calls.fetch_add(1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            self.ring();
        }
    }

    fn leave(&self, seat: &Seat) {
        seat.calls.fetch_add(1, Ordering::Release);
    }

    #[cold]
    fn ring(&self) {
        let _bell = self.bell.lock();
        self.asleep.store(false, Ordering::SeqCst);
        self.rung.notify_one();
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.ring();
    }

    /// Stands by until `me` leads; false when it is all over.
    fn stand_by(&self, me: usize) -> bool {
        if self.stopping() {
            return false;
        }
        if self.leads(me) {
            return true;
        }
        let _watchdog = self.watchdog.lock();
        let (mut last, mut quiet) = ((usize::MAX, 0), 0);
        while !self.stopping() {
            let leader = self.leader.load(Ordering::Acquire);
            let count = self.seats.get(leader).map_or(0, |seat| seat.calls.load(Ordering::SeqCst));
            let stuck = (leader, count) == last;
            if stuck && count % 2 == 1 {
                let taken = self.leader.compare_exchange(leader, me, Ordering::AcqRel, Ordering::Relaxed);
                if taken.is_ok() {
                    return true;
                }
            }
            quiet = if stuck { quiet + 1 } else { 0 };
            last = (leader, count);
            if quiet >= QUIET_TICKS {
                release_image();
            }
            self.doze(leader, count, quiet >= QUIET_TICKS);
            if quiet >= QUIET_TICKS {
                quiet = 0;
            }
        }
        false
    }

    /// A tick's sleep, or a long one.
    fn doze(&self, leader: usize, count: u64, long: bool) {
        let mut bell = self.bell.lock();
        if self.stopping() {
            return;
        }
        if !long {
            self.rung.wait_for(&mut bell, TICK);
            return;
        }
        self.asleep.store(true, Ordering::SeqCst);
        let now = self.seats.get(leader).map_or(0, |seat| seat.calls.load(Ordering::SeqCst));
        while now == count && self.asleep.load(Ordering::SeqCst) && !self.stopping() {
            self.rung.wait(&mut bell);
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

/// What a start needs is most of the program; a sandbox that is quiet for the first time keeps what it uses.
fn release_image() {
    static RELEASED: Once = Once::new();
    RELEASED.call_once(|| {
        if let Err(error) = image::release() {
            tracing::debug!(%error, "cannot let go of the program's pages");
        }
    });
}

/// One worker's life.
fn work(line: &Line, baton: &Baton, me: usize, worker: &mut dyn Worker) {
    let Some(seat) = baton.seats.get(me) else { return };
    // Supervisors block signals for a signalfd, and threads inherit that.
    if let Err(error) = signal::unblock(WAKE_SIGNAL) {
        tracing::warn!(%error, "a worker may be slow to end");
    }
    seat.tid.store(u64::from(signal::own_tid().unsigned_abs()), Ordering::Release);
    while baton.stand_by(me) {
        lead(line, baton, me, seat, worker);
    }
    seat.tid.store(0, Ordering::Release);
}

/// Takes calls for as long as `me` leads.
fn lead(line: &Line, baton: &Baton, me: usize, seat: &Seat, worker: &mut dyn Worker) {
    let listener = line.listener();
    while !baton.stopping() && baton.leads(me) {
        let call = match receive(listener) {
            Ok(call) => call,
            Err(Errno::ENOENT | Errno::EINTR) => {
                // Its caller was killed before we could take it; or all are gone, and none can come again.
                if is_abandoned(listener) {
                    baton.stop();
                }
                continue;
            }
            Err(error) => {
                tracing::error!(%error, "cannot receive calls");
                thread::sleep(TICK);
                continue;
            }
        };
        baton.enter(seat);
        line.calls.begin(call.id.0, call.tid, coarse_now_ns());
        worker.call(call);
        line.calls.end();
        baton.leave(seat);
    }
}

/// Whether no thread is left that could make a call (seccomp_notify_poll of kernel/seccomp.c).
fn is_abandoned(listener: BorrowedFd<'_>) -> bool {
    let mut watched = [PollFd::from_borrowed_fd(listener, PollFlags::empty())];
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut watched, Some(&now)).is_ok() && watched.iter().any(|it| it.revents().contains(PollFlags::HUP))
}

/// The next call.
fn receive(listener: BorrowedFd<'_>) -> SysResult<Syscall> {
    let mut slot = seccomp::empty_notification();
    seccomp::receive(listener, &mut slot)?;
    Ok(Syscall {
        id: CallId(slot.id),
        tid: HostTid::try_from(slot.pid).map_err(|_| Errno::ENOENT)?,
        nr: slot.data.nr,
        args: slot.data.args,
        instruction_pointer: slot.data.instruction_pointer,
    })
}

/// Starts a thread for each worker; they take the calls of `line`.
pub(crate) fn start(
    platform: &Arc<NotifyPlatform>,
    line: &Arc<Line>,
    workers: Vec<Box<dyn Worker>>,
) -> SysResult<()> {
    signal::make_interrupting(WAKE_SIGNAL)?;
    let baton = Arc::new(Baton::new(workers.len()));
    let mut threads = line.crew.lock();
    threads.baton = Some(Arc::clone(&baton));
    for (me, mut worker) in workers.into_iter().enumerate() {
        let (platform, line, baton) = (Arc::clone(platform), Arc::clone(line), Arc::clone(&baton));
        let body = move || {
            if let Some(start) = platform.worker_start.get() {
                start();
            }
            work(&line, &baton, me, worker.as_mut());
            if baton.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                platform.drop_line(&line);
            }
        };
        let started = thread::Builder::new().name(format!("worker-{me}")).stack_size(STACK).spawn(body);
        let thread =
            started.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EAGAIN)))?;
        threads.handles.push(thread);
    }
    Ok(())
}

/// The threads of one listener.
#[derive(Default)]
pub(crate) struct Crew {
    baton: Option<Arc<Baton>>,
    handles: Vec<JoinHandle<()>>,
}

/// Ends the workers: those in RECV by a signal, again and again, since it may come just before they enter it.
pub(crate) fn finish(line: &Line) {
    let Crew { baton, handles } = std::mem::take(&mut *line.crew.lock());
    let Some(baton) = baton else { return };
    baton.stop();
    let own_pid = i32::try_from(std::process::id()).unwrap_or(0);
    for (thread, seat) in handles.into_iter().zip(&baton.seats) {
        while !thread.is_finished() {
            let tid = seat.tid.load(Ordering::Acquire);
            if let Ok(tid @ 1..) = i32::try_from(tid) {
                let _ = signal::kill_thread(own_pid, tid, WAKE_SIGNAL);
            }
            thread::sleep(Duration::from_micros(50));
        }
        if thread.join().is_err() {
            tracing::error!("a worker panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Baton;
    use std::sync::atomic::Ordering;
    use std::thread;
    use std::time::{Duration, Instant};

    fn wait_until(what: impl Fn() -> bool) {
        let started = Instant::now();
        while !what() {
            assert!(started.elapsed() < Duration::from_secs(10));
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn standby_takes_the_lead_of_a_stuck_leader_even_after_a_long_sleep() {
        let baton = Baton::new(3);
        thread::scope(|scope| {
            let standbys: Vec<_> = (1..3)
                .map(|me| {
                    scope.spawn({
                        let baton = &baton;
                        move || baton.stand_by(me)
                    })
                })
                .collect();
            wait_until(|| baton.asleep.load(Ordering::SeqCst));
            assert!(baton.leads(0));
            baton.enter(&baton.seats[0]);
            wait_until(|| !baton.leads(0));
            baton.stop();
            let led: usize = standbys.into_iter().map(|t| usize::from(t.join().unwrap())).sum();
            assert_eq!(led, 1);
        });
    }

    #[test]
    fn busy_leader_keeps_the_lead() {
        let baton = Baton::new(2);
        thread::scope(|scope| {
            let standby = scope.spawn(|| baton.stand_by(1));
            let started = Instant::now();
            while started.elapsed() < Duration::from_millis(100) {
                baton.enter(&baton.seats[0]);
                baton.leave(&baton.seats[0]);
            }
            baton.stop();
            // The machine may have taken the CPU from us in the middle of a call: no verdict then.
            let _ = standby.join();
        });
    }
}
