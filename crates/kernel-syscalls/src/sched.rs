//! Scheduling. Nice values and policies are kept in the books and have no effect: how containers share the
//! machine is for their cgroups to say.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi_linux::raw::general::{PRIO_PGRP, PRIO_PROCESS, PRIO_USER};
use abi_linux::time::Timespec;
use abi_linux::{Errno, SysResult};
use kernel_base::cred::Cap;
use kernel_base::user::UserRef;
use kernel_task::Process;

use crate::cx::{Cx, Outcome};
use crate::process::check_pointer;

const SCHED_OTHER: i32 = 0;
const SCHED_FIFO: i32 = 1;
const SCHED_RR: i32 = 2;
const SCHED_BATCH: i32 = 3;
const SCHED_IDLE: i32 = 5;
const SCHED_DEADLINE: i32 = 6;
const SCHED_EXT: i32 = 7;
const SCHED_RESET_ON_FORK: i32 = 0x4000_0000;

/// The process of a thread id; 0 is the caller's.
fn process(cx: &Cx, pid: i32) -> SysResult<Arc<Process>> {
    match pid {
        ..0 => Err(Errno::EINVAL),
        0 => Ok(Arc::clone(&cx.process)),
        _ => cx.kernel().task_by_guest_tid(pid).map(|task| Arc::clone(&task.process)).ok_or(Errno::ESRCH),
    }
}

/// Whom getpriority(2) and setpriority(2) mean.
fn chosen(cx: &Cx, which: u32, who: i32) -> SysResult<Vec<Arc<Process>>> {
    let found = match (which, who) {
        (PRIO_PROCESS, ..0) => return Err(Errno::ESRCH),
        (PRIO_PROCESS, _) => vec![process(cx, who)?],
        (PRIO_PGRP, 0) => cx.kernel().group(cx.process.pgid()),
        (PRIO_PGRP, _) => cx.kernel().group(who),
        (PRIO_USER, _) => {
            let own = cx.credentials().ruid;
            let uid = if who == 0 { own } else { who.cast_unsigned() };
            let mut all = cx.kernel().processes();
            all.retain(|process| process.credentials().ruid == uid);
            all
        }
        _ => return Err(Errno::EINVAL),
    };
    if found.is_empty() { Err(Errno::ESRCH) } else { Ok(found) }
}

/// Whether the caller may change another's scheduling (kernel/sched/syscalls.c check_same_owner).
fn owns(cx: &Cx, target: &Process) -> bool {
    let (me, other) = (cx.credentials(), target.credentials());
    me.euid == other.euid || me.euid == other.ruid || me.has_in(&other.user_ns, Cap::SYS_NICE)
}

/// getpriority(2): 40 for nice −20 down to 1 for nice 19; the highest of those meant.
pub(crate) fn sys_getpriority(cx: &Cx, which: u32, who: i32) -> SysResult<i32> {
    let processes = chosen(cx, which, who)?;
    let lowest_nice = processes.iter().map(|process| process.nice.load(Ordering::Relaxed)).min();
    Ok(20 - lowest_nice.unwrap_or(0))
}

/// setpriority(2); kernel/sys.c set_one_prio.
pub(crate) fn sys_setpriority(cx: &Cx, which: u32, who: i32, prio: i32) -> SysResult<()> {
    let nice = prio.clamp(-20, 19);
    let mut result = Ok(());
    for target in chosen(cx, which, who)? {
        let may_raise = cx.credentials().has(Cap::SYS_NICE);
        if !owns(cx, &target) {
            result = Err(Errno::EPERM);
        } else if nice < target.nice.load(Ordering::Relaxed) && !may_raise {
            result = Err(Errno::EACCES);
        } else {
            target.nice.store(nice, Ordering::Relaxed);
        }
    }
    result
}

/// EINVAL for unknown policies and for a priority that the policy does not have, EPERM for real-time ones:
/// no guest may starve the host.
fn check_policy(policy: i32, priority: i32) -> SysResult<()> {
    match policy {
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE if priority == 0 => Ok(()),
        SCHED_FIFO | SCHED_RR if (1..=99).contains(&priority) => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

/// sched_setscheduler(2).
pub(crate) fn sys_sched_setscheduler(cx: &Cx, pid: i32, policy: i32, param: UserRef<i32>) -> SysResult<()> {
    if policy < 0 || param.is_null() || pid < 0 {
        return Err(Errno::EINVAL);
    }
    let priority = cx.mem().read(param)?;
    let target = process(cx, pid)?;
    check_policy(policy & !SCHED_RESET_ON_FORK, priority)?;
    if !owns(cx, &target) {
        return Err(Errno::EPERM);
    }
    target.policy.store(policy, Ordering::Relaxed);
    Ok(())
}

/// sched_getscheduler(2).
pub(crate) fn sys_sched_getscheduler(cx: &Cx, pid: i32) -> SysResult<i32> {
    process(cx, pid).map(|process| process.policy.load(Ordering::Relaxed))
}

/// sched_setparam(2).
pub(crate) fn sys_sched_setparam(cx: &Cx, pid: i32, param: UserRef<i32>) -> SysResult<()> {
    if param.is_null() || pid < 0 {
        return Err(Errno::EINVAL);
    }
    let priority = cx.mem().read(param)?;
    let target = process(cx, pid)?;
    check_policy(SCHED_OTHER, priority)?;
    if owns(cx, &target) { Ok(()) } else { Err(Errno::EPERM) }
}

/// sched_getparam(2).
pub(crate) fn sys_sched_getparam(cx: &Cx, pid: i32, param: UserRef<i32>) -> SysResult<()> {
    if param.is_null() {
        return Err(Errno::EINVAL);
    }
    process(cx, pid)?;
    cx.mem().write(param, &0)
}

/// sched_get_priority_max(2).
pub(crate) fn sys_sched_get_priority_max(_cx: &Cx, policy: i32) -> SysResult<i32> {
    match policy {
        SCHED_FIFO | SCHED_RR => Ok(99),
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE | SCHED_DEADLINE | SCHED_EXT => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// sched_get_priority_min(2).
pub(crate) fn sys_sched_get_priority_min(cx: &Cx, policy: i32) -> SysResult<i32> {
    sys_sched_get_priority_max(cx, policy).map(|max| max.min(1))
}

/// sched_rr_get_interval(2): no guest runs under SCHED_RR.
pub(crate) fn sys_sched_rr_get_interval(cx: &Cx, pid: i32, tp: UserRef<Timespec>) -> SysResult<()> {
    process(cx, pid)?;
    cx.mem().write(tp, &Timespec::default())
}

/// sched_setaffinity(2). To the host all guests are one user, so the caller's rights are looked at here. It may be
/// asked about a thread that is not in the books, which has made no call yet, by who owns all that it could be.
pub(crate) fn sys_sched_setaffinity(cx: &Cx, pid: i32, _cpusetsize: u32, mask: u64) -> SysResult<Outcome> {
    check_pointer(mask)?;
    let allowed = match process(cx, pid) {
        Ok(target) => owns(cx, &target),
        Err(_) => cx.kernel().processes().iter().all(|target| owns(cx, target)),
    };
    if allowed { Ok(Outcome::Continue) } else { Err(Errno::EPERM) }
}

/// sched_getaffinity(2): anybody's may be read.
pub(crate) fn sys_sched_getaffinity(_cx: &Cx, _pid: i32, _cpusetsize: u32, mask: u64) -> SysResult<Outcome> {
    check_pointer(mask)?;
    Ok(Outcome::Continue)
}
