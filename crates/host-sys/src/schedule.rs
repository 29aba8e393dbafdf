//! How another process is scheduled: sched_setattr(2) and ioprio_set(2).

use abi_linux::SysResult;

use crate::{check, check_long};

/// `struct sched_attr`, as far as Linux 5.3 knows it.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Attributes {
    /// Filled in by [`set_attributes`].
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime_ns: u64,
    pub deadline_ns: u64,
    pub period_ns: u64,
    pub util_min: u32,
    pub util_max: u32,
}

/// Of the thread `tid`.
pub fn set_attributes(tid: i32, attributes: Attributes) -> SysResult<()> {
    let attributes = Attributes { size: size_of::<Attributes>() as u32, ..attributes };
    // SAFETY: the structure lives for the call, and says its size.
    check_long(unsafe { libc::syscall(libc::SYS_sched_setattr, tid, &raw const attributes, 0) }).map(drop)
}

/// Of the thread `tid`: class and level as ioprio_set(2) wants them.
pub fn set_io_priority(tid: i32, priority: u16) -> SysResult<()> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    let priority = libc::c_int::from(priority);
    // SAFETY: the call takes numbers only.
    check_long(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, tid, priority) }).map(drop)
}

/// CPU time of the process `tgid`, in nanoseconds.
pub fn cpu_time_ns(tgid: i32) -> SysResult<u64> {
    // make_process_cpuclock of include/linux/posix-timers.h.
    const CPUCLOCK_SCHED: i32 = 2;
    let clock = !tgid << 3 | CPUCLOCK_SCHED;
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure lives for the call.
    check(unsafe { libc::clock_gettime(clock, &raw mut now) })?;
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Ok(seconds.wrapping_mul(1_000_000_000).wrapping_add(u64::try_from(now.tv_nsec).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::{Attributes, set_attributes, set_io_priority};
    use abi_linux::Errno;

    #[test]
    fn what_linux_does_not_know_is_refused() {
        let me = crate::signal::own_tid();
        assert_eq!(
            set_attributes(me, Attributes { policy: 77, ..Attributes::default() }),
            Err(Errno::EINVAL)
        );
        assert_eq!(set_attributes(me, Attributes::default()), Ok(()));
        assert_eq!(set_io_priority(me, 7 << 13), Err(Errno::EINVAL));
        assert_eq!(set_io_priority(me, 2 << 13 | 7), Ok(()));
    }
}
