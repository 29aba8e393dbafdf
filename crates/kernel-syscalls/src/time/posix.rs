//! POSIX timers: timer_create(2) and its relatives (kernel/time/posix-timers.c, Linux v6.18).

use abi_linux::signal::Signal;
use abi_linux::time::Itimerspec;
use abi_linux::{Errno, SysResult};
use kernel_base::cred::Cap;
use kernel_base::user::UserRef;
use kernel_task::limits::Resource;
use kernel_task::posix_timer::{Notify, TimerClock};
use platform_api::{Clock, CpuTimeOf};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::cx::Cx;

const SIGEV_SIGNAL: i32 = 0;
const SIGEV_NONE: i32 = 1;
const SIGEV_THREAD: i32 = 2;
const SIGEV_THREAD_ID: i32 = 4;
const TIMER_ABSTIME: u32 = 1;

/// `struct sigevent`, 64 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct SigEvent {
    value: u64,
    signo: i32,
    notify: i32,
    tid: i32,
    rest: [i32; 11],
}

/// The clock of a new timer.
fn clock_of(cx: &Cx, id: i32) -> SysResult<TimerClock> {
    let (clock, needs_alarm) = match id {
        2 => return Ok(TimerClock::Cpu(CpuTimeOf::Process(cx.process.tgid))),
        3 => return Ok(TimerClock::Cpu(CpuTimeOf::Thread(cx.tid))),
        ..0 => return cpu_clock(cx, id).map(TimerClock::Cpu),
        0 | 11 => (Clock::Realtime, false),
        1 => (Clock::Monotonic, false),
        7 => (Clock::Boottime, false),
        8 => (Clock::Realtime, true),
        9 => (Clock::Boottime, true),
        4..=6 => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::EINVAL),
    };
    if needs_alarm && !cx.credentials().has(Cap::WAKE_ALARM) {
        return Err(Errno::EPERM);
    }
    Ok(TimerClock::Wall(clock))
}

/// A clock of CPU time that names whose it is (kernel/time/posix-cpu-timers.c pid_for_clock): user and system time
/// together are what all three kinds count here.
fn cpu_clock(cx: &Cx, id: i32) -> SysResult<CpuTimeOf> {
    const KINDS: i32 = 3;
    const PER_THREAD: i32 = 4;
    let pid = !(id >> 3);
    if id & KINDS == KINDS {
        // A clock by descriptor has no timers (clock_posix_dynamic).
        return Err(if id & PER_THREAD == 0 { Errno::EOPNOTSUPP } else { Errno::EINVAL });
    }
    let is_own = pid == 0;
    if id & PER_THREAD != 0 {
        let thread = || cx.kernel().thread_of(&cx.process, pid).map(|task| task.tid);
        let tid = if is_own { Ok(cx.tid) } else { thread() };
        return tid.map(CpuTimeOf::Thread).map_err(|_| Errno::EINVAL);
    }
    let process = || cx.kernel().process(pid).map(|process| process.tgid).ok_or(Errno::EINVAL);
    if is_own { Ok(CpuTimeOf::Process(cx.process.tgid)) } else { process().map(CpuTimeOf::Process) }
}

/// good_sigevent.
fn notify_of(cx: &Cx, event: SigEvent) -> SysResult<Notify> {
    if event.notify == SIGEV_NONE {
        return Ok(Notify::Nothing);
    }
    let target = match event.notify {
        SIGEV_SIGNAL | SIGEV_THREAD => None,
        SIGEV_THREAD_ID => {
            let task = cx.kernel().thread_of(&cx.process, event.tid).map_err(|_| Errno::EINVAL)?;
            Some(task.tid)
        }
        _ => return Err(Errno::EINVAL),
    };
    let signal = Signal::new(event.signo).ok_or(Errno::EINVAL)?;
    Ok(match target {
        Some(tid) => Notify::Thread(tid, signal, event.value),
        None => Notify::Process(signal, event.value),
    })
}

/// timer_create(2). Without an event: SIGALRM with the timer's id.
pub(crate) fn sys_timer_create(cx: &Cx, clockid: i32, sevp: u64, timerid: UserRef<i32>) -> SysResult<()> {
    let event = UserRef::<SigEvent>::new(sevp).non_null().map(|at| cx.mem().read(at)).transpose()?;
    let clock = clock_of(cx, clockid)?;
    let notify = event.map(|event| notify_of(cx, event)).transpose()?;
    let limit = cx.process.limits.get(Resource::Sigpending).soft;
    let timers = &cx.process.posix_timers;
    let by_default = |id: i32| Notify::Process(Signal::SIGALRM, u64::from(id.cast_unsigned()));
    let id = timers.create(&cx.process, clock, limit, |id| notify.unwrap_or_else(|| by_default(id)))?;
    cx.mem().write(timerid, &id).inspect_err(|_| {
        let _ = timers.delete(id);
    })
}

/// timer_settime(2).
pub(crate) fn sys_timer_settime(
    cx: &Cx,
    timerid: i32,
    flags: u32,
    new_value: UserRef<Itimerspec>,
    old_value: UserRef<Itimerspec>,
) -> SysResult<()> {
    let new = cx.mem().read(new_value.non_null().ok_or(Errno::EINVAL)?)?;
    if new.it_interval.to_ns().is_none() || new.it_value.to_ns().is_none() {
        return Err(Errno::EINVAL);
    }
    let old = cx.process.posix_timers.get(timerid)?.set_time(flags & TIMER_ABSTIME != 0, &new)?;
    old_value.non_null().map_or(Ok(()), |at| cx.mem().write(at, &old))
}

/// timer_gettime(2).
pub(crate) fn sys_timer_gettime(cx: &Cx, timerid: i32, curr_value: UserRef<Itimerspec>) -> SysResult<()> {
    let time = cx.process.posix_timers.get(timerid)?.time();
    cx.mem().write(curr_value, &time)
}

/// timer_getoverrun(2).
pub(crate) fn sys_timer_getoverrun(cx: &Cx, timerid: i32) -> SysResult<i32> {
    Ok(cx.process.posix_timers.get(timerid)?.overrun())
}

/// timer_delete(2).
pub(crate) fn sys_timer_delete(cx: &Cx, timerid: i32) -> SysResult<()> {
    cx.process.posix_timers.delete(timerid)
}
