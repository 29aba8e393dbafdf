//! POSIX timers (timer_create(2)), after Linux v6.18 kernel/time/posix-timers.c.
//!
//! At most one signal of a timer is pending; what runs out meanwhile counts as overrun. Whether the signal
//! still is pending the host knows, so it is asked at each expiration. si_overrun holds what was missed
//! before the signal was sent; [`PosixTimer::overrun`] has what came after that, too.
//!
//! A timer on the real-time clock is converted to the monotonic clock when it is set. One on a clock that counts CPU
//! time keeps to that clock, and looks at it whenever the time may have come, if all CPUs worked for it.
//!
//! Lock order: `PosixTimers.book` and `PosixTimer.state` are leaves but for `Timers.queue`; the host is asked
//! with neither held.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use abi_linux::signal::Signal;
use abi_linux::time::{Itimerspec, Timespec};
use abi_linux::{Errno, SysResult};
use kernel_base::sync::Mutex;
use kernel_base::timer::{Expire, TimerKey};
use platform_api::{Clock, CpuTimeOf, HostTid, SignalInfo, SignalTarget};

use crate::process::Process;

/// Most timers of a process, beside RLIMIT_SIGPENDING.
const MAX_TIMERS: usize = 8192;
/// A timer looks again no sooner than this, times the number of the process's timers: what runs out in
/// between counts as overrun.
const MIN_GAP_NS: u64 = 100_000;
/// How fast CPU time may go: with more CPUs at work a timer on it is late.
const CPUS: u64 = 8;
/// A timer on CPU time looks no sooner than this, times the number of the process's timers: what a tick is to Linux.
const MIN_LOOK_NS: u64 = 2_000_000;
/// Largest overrun count (DELAYTIMER_MAX).
const DELAYTIMER_MAX: u64 = i32::MAX as u64;

/// What a timer goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerClock {
    Wall(Clock),
    Cpu(CpuTimeOf),
}

/// What a timer does when it runs out (struct sigevent).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notify {
    /// SIGEV_NONE.
    Nothing,
    /// SIGEV_SIGNAL: at the process.
    Process(Signal, u64),
    /// SIGEV_THREAD_ID: at one of its threads.
    Thread(HostTid, Signal, u64),
}

impl Notify {
    fn signal(self, tgid: HostTid) -> Option<(SignalTarget, Signal, u64)> {
        match self {
            Self::Nothing => None,
            Self::Process(signal, value) => Some((SignalTarget::Process(tgid), signal, value)),
            Self::Thread(tid, signal, value) => Some((SignalTarget::Thread { tgid, tid }, signal, value)),
        }
    }
}

#[derive(Default)]
struct State {
    /// Of the next expiration, on the monotonic clock or that of the CPU time.
    deadline_ns: Option<u64>,
    interval_ns: u64,
    armed: Option<TimerKey>,
    /// Of the last signal that was sent.
    overrun: u64,
    /// Of the one before it.
    overrun_before: u64,
    was_sent: bool,
}

impl State {
    /// Counts the expirations until `now` and moves the deadline behind it.
    fn advance(&mut self, now: u64) -> u64 {
        let Some(deadline) = self.deadline_ns.filter(|&at| at <= now) else { return 0 };
        let Some(whole) = (now - deadline).checked_div(self.interval_ns) else {
            self.deadline_ns = None;
            return 1;
        };
        let count = whole.saturating_add(1);
        self.deadline_ns = Some(deadline.saturating_add(count.saturating_mul(self.interval_ns)));
        count
    }

    fn remaining(&self, now: u64) -> Itimerspec {
        let left = self.deadline_ns.map_or(0, |at| at.saturating_sub(now).max(1));
        Itimerspec { it_interval: Timespec::from_ns(self.interval_ns), it_value: Timespec::from_ns(left) }
    }
}

/// One timer.
pub struct PosixTimer {
    this: Weak<PosixTimer>,
    process: Weak<Process>,
    id: i32,
    clock: TimerClock,
    notify: Notify,
    state: Mutex<State>,
}

impl PosixTimer {
    /// Now, as its deadlines are counted. Time stands still for who is dead.
    fn now_ns(&self, process: &Process) -> u64 {
        match self.clock {
            TimerClock::Wall(_) => process.kernel.timers.now_ns(),
            TimerClock::Cpu(of) => process.kernel.platform.cpu_time_ns(of).unwrap_or(0),
        }
    }

    /// When to look whether a deadline has come, which is not before `gap_ns` from now.
    fn look_at(&self, process: &Process, deadline_ns: u64, now_ns: u64, gap_ns: u64) -> u64 {
        let wall_ns = process.kernel.timers.now_ns();
        let least = wall_ns.saturating_add(gap_ns);
        match self.clock {
            TimerClock::Wall(_) => deadline_ns.max(least),
            TimerClock::Cpu(_) => {
                let left = deadline_ns.saturating_sub(now_ns) / CPUS;
                let gap = MIN_LOOK_NS.saturating_mul(process.posix_timers.len() as u64);
                wall_ns.saturating_add(left.max(gap)).max(least)
            }
        }
    }

    /// timer_gettime(2).
    #[must_use]
    pub fn time(&self) -> Itimerspec {
        let Some(process) = self.process.upgrade() else { return Itimerspec::default() };
        let now = self.now_ns(&process);
        let mut state = self.state.lock();
        if self.notify == Notify::Nothing {
            state.advance(now);
        }
        state.remaining(now)
    }

    /// timer_settime(2); gives the old setting. EINVAL for times that are none.
    pub fn set_time(&self, is_absolute: bool, new: &Itimerspec) -> SysResult<Itimerspec> {
        let interval_ns = new.it_interval.to_ns().ok_or(Errno::EINVAL)?;
        let value_ns = new.it_value.to_ns().ok_or(Errno::EINVAL)?;
        let old = self.time();
        let Some(process) = self.process.upgrade() else { return Ok(old) };
        let kernel = &process.kernel;
        let now = self.now_ns(&process);
        let deadline_ns = match (value_ns, self.clock) {
            (0, _) => None,
            (at, TimerClock::Wall(clock)) if is_absolute => {
                let clock_now = kernel.platform.now_ns(clock);
                Some(now.saturating_add(at).saturating_sub(clock_now.min(now.saturating_add(at))))
            }
            (at, TimerClock::Cpu(_)) if is_absolute => Some(at),
            (after, _) => Some(now.saturating_add(after)),
        };
        let look_at = deadline_ns.map(|at| self.look_at(&process, at, now, 0));
        // A disarmed timer forgets its interval.
        let interval_ns = if deadline_ns.is_some() { interval_ns } else { 0 };
        let mut state = self.state.lock();
        if let Some(key) = state.armed.take() {
            kernel.timers.cancel(key);
        }
        *state = State { deadline_ns, interval_ns, ..State::default() };
        if let (Some(look_at), true) = (look_at, self.notify != Notify::Nothing) {
            let target: Weak<Self> = Weak::clone(&self.this);
            state.armed = Some(kernel.timers.arm(look_at, target));
        }
        Ok(old)
    }

    /// timer_getoverrun(2): of the signal that was delivered last.
    #[must_use]
    pub fn overrun(&self) -> i32 {
        let is_pending = self.process.upgrade().is_some_and(|process| self.is_pending(&process));
        let state = self.state.lock();
        let overrun = if is_pending { state.overrun_before } else { state.overrun };
        i32::try_from(overrun.min(DELAYTIMER_MAX)).unwrap_or(i32::MAX)
    }

    /// Whether its last signal has not been taken.
    fn is_pending(&self, process: &Process) -> bool {
        if !self.state.lock().was_sent {
            return false;
        }
        let Some((target, signal, _)) = self.notify.signal(process.tgid) else { return false };
        let platform = &process.kernel.platform;
        match target {
            SignalTarget::Process(tgid) => {
                platform.signal_state(tgid).is_ok_and(|state| state.shared_pending.contains(signal))
            }
            SignalTarget::Thread { tid, .. } => {
                platform.signal_state(tid).is_ok_and(|state| state.pending.contains(signal))
            }
        }
    }

    /// Counts what ran out; the overrun of a signal to send, if one is due.
    fn run_out(&self, process: &Process, is_pending: bool) -> Option<u64> {
        let timers = &process.kernel.timers;
        let gap = MIN_GAP_NS.saturating_mul(process.posix_timers.len() as u64);
        let now = self.now_ns(process);
        let mut state = self.state.lock();
        if state.armed.is_none_or(|key| key.deadline_ns() > timers.now_ns()) {
            // Set anew while this expiration was under way.
            return None;
        }
        let count = state.advance(now);
        state.armed = state.deadline_ns.map(|at| {
            let target: Weak<Self> = Weak::clone(&self.this);
            timers.arm(self.look_at(process, at, now, gap), target)
        });
        if count == 0 {
            return None;
        }
        if is_pending {
            state.overrun = state.overrun.saturating_add(count);
            return None;
        }
        state.overrun_before = state.overrun;
        state.overrun = count - 1;
        state.was_sent = true;
        Some(state.overrun)
    }

    fn disarm(&self) {
        let key = std::mem::take(&mut *self.state.lock()).armed;
        if let (Some(key), Some(process)) = (key, self.process.upgrade()) {
            process.kernel.timers.cancel(key);
        }
    }
}

impl Expire for PosixTimer {
    fn expire(&self) {
        let Some(process) = self.process.upgrade().filter(|process| !process.is_dying()) else { return };
        let Some((target, signal, value)) = self.notify.signal(process.tgid) else { return };
        let is_pending = self.is_pending(&process);
        let Some(overrun) = self.run_out(&process, is_pending) else { return };
        let overrun = i32::try_from(overrun.min(DELAYTIMER_MAX)).unwrap_or(i32::MAX);
        let info = SignalInfo::Timer { id: self.id, overrun, value };
        if process.kernel.platform.queue_signal(target, signal, info).is_ok() {
            process.kernel.check_signals(&process);
        }
    }
}

#[derive(Default)]
struct Book {
    next_id: i32,
    timers: BTreeMap<i32, Arc<PosixTimer>>,
}

/// The timers of a process: not inherited by fork, gone after exec.
#[derive(Default)]
pub struct PosixTimers {
    book: Mutex<Book>,
}

impl PosixTimers {
    /// timer_create(2): its id, which `notify` is told for the default value of a signal. EAGAIN at `limit`.
    pub fn create(
        &self,
        process: &Arc<Process>,
        clock: TimerClock,
        limit: u64,
        notify: impl FnOnce(i32) -> Notify,
    ) -> SysResult<i32> {
        let mut book = self.book.lock();
        if book.timers.len() >= MAX_TIMERS || book.timers.len() as u64 >= limit {
            return Err(Errno::EAGAIN);
        }
        while book.timers.contains_key(&book.next_id) {
            book.next_id = book.next_id.checked_add(1).unwrap_or(0);
        }
        let id = book.next_id;
        book.next_id = id.checked_add(1).unwrap_or(0);
        let timer = Arc::new_cyclic(|this| PosixTimer {
            this: Weak::clone(this),
            process: Arc::downgrade(process),
            id,
            clock,
            notify: notify(id),
            state: Mutex::default(),
        });
        book.timers.insert(id, timer);
        Ok(id)
    }

    /// A timer; EINVAL without one.
    pub fn get(&self, id: i32) -> SysResult<Arc<PosixTimer>> {
        self.book.lock().timers.get(&id).cloned().ok_or(Errno::EINVAL)
    }

    /// timer_delete(2).
    pub fn delete(&self, id: i32) -> SysResult<()> {
        let timer = self.book.lock().timers.remove(&id).ok_or(Errno::EINVAL)?;
        timer.disarm();
        Ok(())
    }

    /// Deletes all of them: exec and exit.
    pub fn clear(&self) {
        let timers = std::mem::take(&mut *self.book.lock()).timers;
        timers.values().for_each(|timer| timer.disarm());
    }

    fn len(&self) -> usize {
        self.book.lock().timers.len()
    }
}

#[cfg(test)]
#[path = "posix_timer_test.rs"]
mod tests;
