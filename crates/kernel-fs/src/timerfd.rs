//! timerfd_create(2): expirations of a timer as a file, after Linux v6.18 fs/timerfd.c.
//!
//! A timer on the real-time clock is converted to the monotonic clock when it is set; a later step of the
//! host's clock does not move it, and TFD_TIMER_CANCEL_ON_SET is accepted but never cancels.
//!
//! Lock order: `TimerFd.state` → `Timers.queue`. The timer's expiry takes `TimerFd.state` with none held.

use std::any::Any;
use std::sync::{Arc, Weak};

use abi_linux::fs::Events;
use abi_linux::time::{Itimerspec, Timespec};
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::Cap;
use kernel_base::sync::Mutex;
use kernel_base::timer::{Expire, TimerKey, Timers};
use kernel_base::user::UserRef;
use kernel_base::wait::WaitQueue;
use kernel_vfs::file::{FileOps, Io};
use platform_api::{Clock, Platform};

/// `TFD_TIMER_ABSTIME` and `TFD_TIMER_CANCEL_ON_SET`.
const TFD_TIMER_ABSTIME: u32 = 1;
const TFD_TIMER_CANCEL_ON_SET: u32 = 2;
/// `_IOW('T', 0, __u64)`.
const TFD_IOC_SET_TICKS: u32 = 0x4008_5400;

#[derive(Default)]
struct State {
    /// On the monotonic clock; `None` when disarmed or when a one-shot has run out.
    deadline_ns: Option<u64>,
    interval_ns: u64,
    /// Expirations since the last read, without those of an interval that nobody has looked at yet.
    ticks: u64,
    armed: Option<TimerKey>,
    settime_flags: u32,
}

/// A timerfd.
pub struct TimerFd {
    me: Weak<TimerFd>,
    clock_id: i32,
    clock: Clock,
    platform: Arc<dyn Platform>,
    timers: Arc<Timers>,
    state: Mutex<State>,
    queue: WaitQueue,
}

impl TimerFd {
    /// timerfd_create(2): EINVAL for another clock, EPERM for an alarm clock without CAP_WAKE_ALARM.
    pub fn new(
        clock_id: i32,
        who: &dyn Caller,
        platform: Arc<dyn Platform>,
        timers: Arc<Timers>,
    ) -> SysResult<Arc<Self>> {
        let clock = match clock_id {
            0 | 8 => Clock::Realtime,
            1 => Clock::Monotonic,
            7 | 9 => Clock::Boottime,
            _ => return Err(Errno::EINVAL),
        };
        if matches!(clock_id, 8 | 9) && !who.credentials().has(Cap::WAKE_ALARM) {
            return Err(Errno::EPERM);
        }
        Ok(Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            clock_id,
            clock,
            platform,
            timers,
            state: Mutex::default(),
            queue: WaitQueue::new(),
        }))
    }

    /// Time left as timerfd_gettime(2) tells it.
    fn remaining(state: &State, now: u64) -> Itimerspec {
        let left = state.deadline_ns.map_or(0, |at| at.saturating_sub(now).max(1));
        Itimerspec { it_interval: Timespec::from_ns(state.interval_ns), it_value: Timespec::from_ns(left) }
    }

    /// Counts what has run out until `now` and moves the deadline behind it.
    fn advance(state: &mut State, now: u64) {
        let Some(deadline) = state.deadline_ns.filter(|&at| at <= now) else { return };
        if let Some(whole) = (now - deadline).checked_div(state.interval_ns) {
            let missed = whole.saturating_add(1);
            state.ticks = state.ticks.saturating_add(missed);
            state.deadline_ns = Some(deadline.saturating_add(missed.saturating_mul(state.interval_ns)));
        } else {
            // No interval: a one-shot.
            state.ticks = state.ticks.saturating_add(1);
            state.deadline_ns = None;
        }
    }

    /// Arms the timer for the first expiration that has not been counted. While ticks wait to be read it
    /// stays unarmed: reading catches up, so an idle interval timer costs nothing.
    fn rearm(&self, state: &mut State) {
        if let Some(key) = state.armed.take() {
            self.timers.cancel(key);
        }
        if let Some(deadline) = state.deadline_ns.filter(|_| state.ticks == 0) {
            let me: Weak<Self> = Weak::clone(&self.me);
            state.armed = Some(self.timers.arm(deadline, me));
        }
    }

    /// timerfd_gettime(2).
    #[must_use]
    pub fn time(&self) -> Itimerspec {
        let now = self.timers.now_ns();
        let mut state = self.state.lock();
        Self::advance(&mut state, now);
        Self::remaining(&state, now)
    }

    /// EINVAL for what no timer can be set to, which comes before the descriptor is looked at.
    pub fn check_setting(flags: u32, new: &Itimerspec) -> SysResult<()> {
        let known = flags & !(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) == 0;
        let times = new.it_interval.to_ns().is_some() && new.it_value.to_ns().is_some();
        if known && times { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// timerfd_settime(2); gives the old setting.
    pub fn set_time(&self, flags: u32, new: &Itimerspec) -> SysResult<Itimerspec> {
        if flags & !(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0 {
            return Err(Errno::EINVAL);
        }
        let interval_ns = new.it_interval.to_ns().ok_or(Errno::EINVAL)?;
        let value_ns = new.it_value.to_ns().ok_or(Errno::EINVAL)?;
        let now = self.timers.now_ns();
        let deadline_ns = match value_ns {
            0 => None,
            at if flags & TFD_TIMER_ABSTIME != 0 => {
                Some(now.saturating_add(at.saturating_sub(self.platform.now_ns(self.clock))))
            }
            after => Some(now.saturating_add(after)),
        };
        let mut state = self.state.lock();
        Self::advance(&mut state, now);
        let old = Self::remaining(&state, now);
        state.deadline_ns = deadline_ns;
        state.interval_ns = interval_ns;
        state.ticks = 0;
        state.settime_flags = flags;
        Self::advance(&mut state, now);
        let expired = state.ticks > 0;
        self.rearm(&mut state);
        drop(state);
        if expired {
            self.queue.wake(Events::IN);
        }
        Ok(old)
    }
}

impl Expire for TimerFd {
    fn expire(&self) {
        let now = self.timers.now_ns();
        let mut state = self.state.lock();
        state.armed = None;
        Self::advance(&mut state, now);
        let expired = state.ticks > 0;
        self.rearm(&mut state);
        drop(state);
        if expired {
            self.queue.wake(Events::IN);
        }
    }
}

impl Drop for TimerFd {
    fn drop(&mut self) {
        if let Some(key) = self.state.get_mut().armed.take() {
            self.timers.cancel(key);
        }
    }
}

impl FileOps for TimerFd {
    fn read(&self, _io: Io<'_>, buf: &mut [u8]) -> SysResult<usize> {
        let out = buf.first_chunk_mut::<8>().ok_or(Errno::EINVAL)?;
        let now = self.timers.now_ns();
        let mut state = self.state.lock();
        Self::advance(&mut state, now);
        if state.ticks == 0 {
            return Err(Errno::EAGAIN);
        }
        *out = state.ticks.to_ne_bytes();
        state.ticks = 0;
        self.rearm(&mut state);
        Ok(8)
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn poll(&self) -> Events {
        let now = self.timers.now_ns();
        let mut state = self.state.lock();
        Self::advance(&mut state, now);
        if state.ticks > 0 { Events::IN } else { Events::empty() }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn ioctl(&self, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
        if cmd != TFD_IOC_SET_TICKS {
            return Err(Errno::ENOTTY);
        }
        let ticks: u64 = who.mem().read(UserRef::new(arg))?;
        if ticks == 0 {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.lock();
        if state.deadline_ns.is_none() {
            return Err(Errno::ECANCELED);
        }
        state.ticks = ticks;
        self.rearm(&mut state);
        drop(state);
        self.queue.wake(Events::IN);
        Ok(0)
    }

    fn fdinfo(&self) -> String {
        let time = self.time();
        let state = self.state.lock();
        let pair = |at: Timespec| format!("({}, {})", at.tv_sec, at.tv_nsec);
        format!(
            "clockid: {}\nticks: {}\nsettime flags: 0{:o}\nit_value: {}\nit_interval: {}\n",
            self.clock_id,
            state.ticks,
            state.settime_flags,
            pair(time.it_value),
            pair(time.it_interval),
        )
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::TimerFd;
    use crate::io_test::{FakeCaller, FakePlatform};
    use abi_linux::Errno;
    use abi_linux::fs::Events;
    use abi_linux::time::{Itimerspec, Timespec};
    use kernel_base::timer::Timers;
    use kernel_vfs::file::FileOps;
    use platform_api::Platform;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    struct Bed {
        who: FakeCaller,
        platform: Arc<FakePlatform>,
        timers: Arc<Timers>,
        fd: Arc<TimerFd>,
    }

    fn bed(clock: i32) -> Bed {
        let who = FakeCaller::new();
        let platform = Arc::clone(&who.platform);
        let shared: Arc<dyn Platform> = Arc::<FakePlatform>::clone(&platform);
        let timers = Arc::new(Timers::new(Arc::clone(&shared)));
        let fd = TimerFd::new(clock, &who, shared, Arc::clone(&timers)).unwrap();
        Bed { who, platform, timers, fd }
    }

    impl Bed {
        fn pass(&self, ns: u64) {
            self.platform.now_ns.fetch_add(ns, Ordering::SeqCst);
            self.timers.run_due();
        }
        fn read(&self) -> Result<u64, Errno> {
            let mut buf = [0; 8];
            self.fd.read(self.who.io(), &mut buf)?;
            Ok(u64::from_ne_bytes(buf))
        }
    }

    fn spec(value_ns: u64, interval_ns: u64) -> Itimerspec {
        Itimerspec { it_value: Timespec::from_ns(value_ns), it_interval: Timespec::from_ns(interval_ns) }
    }

    #[test]
    fn one_shot_expires_once() {
        let bed = bed(1);
        assert_eq!(bed.fd.set_time(0, &spec(500, 0)), Ok(spec(0, 0)));
        assert_eq!(bed.fd.time(), spec(500, 0));
        assert_eq!(bed.read(), Err(Errno::EAGAIN));
        bed.pass(500);
        assert_eq!(bed.fd.poll(), Events::IN);
        assert_eq!(bed.read(), Ok(1));
        bed.pass(5000);
        assert_eq!(bed.read(), Err(Errno::EAGAIN));
        assert_eq!(bed.fd.time(), spec(0, 0));
    }

    #[test]
    fn interval_counts_what_was_missed() {
        let bed = bed(7);
        bed.fd.set_time(0, &spec(100, 10)).unwrap();
        bed.pass(155);
        assert_eq!(bed.read(), Ok(6));
        assert_eq!(bed.fd.time(), spec(5, 10));
        bed.pass(5);
        assert_eq!(bed.read(), Ok(1));
        assert_eq!(bed.fd.set_time(0, &spec(0, 0)), Ok(spec(10, 10)));
        bed.pass(1000);
        assert_eq!(bed.fd.poll(), Events::empty());
    }

    #[test]
    fn absolute_time_is_of_the_timers_own_clock() {
        let bed = bed(0);
        let at = bed.platform.now_ns(platform_api::Clock::Realtime) + 50;
        bed.fd.set_time(1, &spec(at, 0)).unwrap();
        bed.pass(49);
        assert_eq!(bed.read(), Err(Errno::EAGAIN));
        bed.pass(1);
        assert_eq!(bed.read(), Ok(1));
        bed.fd.set_time(1, &spec(1, 0)).unwrap();
        assert_eq!(bed.read(), Ok(1), "a time in the past has expired");
    }

    #[test]
    fn nonsense_is_einval() {
        let bed = bed(1);
        assert_eq!(bed.fd.set_time(4, &spec(1, 0)).err(), Some(Errno::EINVAL));
        let bad = Itimerspec { it_value: Timespec { tv_sec: 0, tv_nsec: 1_000_000_000 }, ..spec(0, 0) };
        assert_eq!(bed.fd.set_time(0, &bad).err(), Some(Errno::EINVAL));
        let shared: Arc<dyn Platform> = Arc::<FakePlatform>::clone(&bed.platform);
        let alarm = TimerFd::new(8, &bed.who, Arc::clone(&shared), Arc::clone(&bed.timers));
        assert_eq!(alarm.err(), Some(Errno::EPERM));
        assert_eq!(TimerFd::new(2, &bed.who, shared, Arc::clone(&bed.timers)).err(), Some(Errno::EINVAL));
    }
}
