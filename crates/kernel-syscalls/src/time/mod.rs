//! Interval timers. Clocks and sleeps are the host's; ITIMER_VIRTUAL and ITIMER_PROF count the caller's own
//! time, which only the host knows.

pub(crate) mod posix;

use abi_linux::raw::general::{ITIMER_PROF, ITIMER_REAL, ITIMER_VIRTUAL};
use abi_linux::time::{Itimerval, NSEC_PER_SEC, Timeval};
use abi_linux::{Errno, SysResult};
use kernel_base::user::{TASK_SIZE, UserRef};
use kernel_task::itimer::TimerValue;

use crate::cx::{Cx, Outcome};

fn to_guest(value: TimerValue) -> Itimerval {
    Itimerval { it_interval: Timeval::from_ns(value.interval_ns), it_value: Timeval::from_ns(value.left_ns) }
}

fn from_guest(value: Itimerval) -> SysResult<TimerValue> {
    let left_ns = value.it_value.to_ns().ok_or(Errno::EINVAL)?;
    let interval_ns = value.it_interval.to_ns().ok_or(Errno::EINVAL)?;
    Ok(TimerValue { left_ns, interval_ns })
}

/// Whether the timer is ours; EINVAL for none at all. The host's ones must not be given addresses outside.
fn is_ours(which: u32, pointers: &[u64]) -> SysResult<bool> {
    match which {
        ITIMER_REAL => Ok(true),
        ITIMER_VIRTUAL | ITIMER_PROF if pointers.iter().all(|&addr| addr < TASK_SIZE) => Ok(false),
        ITIMER_VIRTUAL | ITIMER_PROF => Err(Errno::EFAULT),
        _ => Err(Errno::EINVAL),
    }
}

/// getitimer(2).
pub(crate) fn sys_getitimer(cx: &Cx, which: u32, curr_value: UserRef<Itimerval>) -> SysResult<Outcome> {
    if !is_ours(which, &[curr_value.addr()])? {
        return Ok(Outcome::Continue);
    }
    cx.mem().write(curr_value, &to_guest(cx.process.real_timer.get())).map(Into::into)
}

/// setitimer(2). A null new value disarms (kernel/time/itimer.c, Linux v6.12).
pub(crate) fn sys_setitimer(
    cx: &Cx,
    which: u32,
    new_value: UserRef<Itimerval>,
    old_value: UserRef<Itimerval>,
) -> SysResult<Outcome> {
    let new = new_value.non_null().map(|at| cx.mem().read(at)).transpose()?;
    if !is_ours(which, &[new_value.addr(), old_value.addr()])? {
        return Ok(Outcome::Continue);
    }
    let new = from_guest(new.unwrap_or_default())?;
    let old = cx.process.real_timer.set(new);
    old_value.non_null().map_or(Ok(()), |at| cx.mem().write(at, &to_guest(old)))?;
    Ok(Outcome::Value(0))
}

/// alarm(2): seconds left of the one before, rounded to the nearest and at least 1.
pub(crate) fn sys_alarm(cx: &Cx, seconds: u32) -> SysResult<u64> {
    let left_ns = u64::from(seconds) * NSEC_PER_SEC;
    let old = cx.process.real_timer.set(TimerValue { left_ns, interval_ns: 0 });
    if old.left_ns == 0 {
        return Ok(0);
    }
    Ok((old.left_ns.saturating_add(NSEC_PER_SEC / 2) / NSEC_PER_SEC).max(1))
}
