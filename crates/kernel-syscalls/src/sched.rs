//! Scheduling. Guests' threads are the host's, and so are their policies, nice values and I/O priorities: what is asked
//! is the host's to answer, and what is changed is changed there, after a look at the caller's rights, since to the host
//! all guests are one user. The host lets no guest raise a priority or run in real time, since none has capabilities
//! or limits there that would allow it.

use std::sync::Arc;

use abi_linux::raw::general::{PRIO_PGRP, PRIO_PROCESS, PRIO_USER};
use abi_linux::{Errno, SysResult};
use kernel_base::cred::Cap;
use kernel_task::{Process, Task};
use platform_api::ProcFile;

use crate::cx::{Cx, Outcome};
use crate::process::check_pointer;

const SCHED_OTHER: i32 = 0;
const SCHED_FIFO: i32 = 1;
const SCHED_RR: i32 = 2;
const SCHED_BATCH: i32 = 3;
const SCHED_IDLE: i32 = 5;
const SCHED_DEADLINE: i32 = 6;
const SCHED_EXT: i32 = 7;

const IOPRIO_SET: i32 = 251;
const IOPRIO_GET: i32 = 252;
const IOPRIO_WHO_PROCESS: i32 = 1;
const IOPRIO_WHO_PGRP: i32 = 2;
const IOPRIO_WHO_USER: i32 = 3;

/// The process of a thread id; 0 is the caller's.
fn process(cx: &Cx, pid: i32) -> SysResult<Arc<Process>> {
    match pid {
        ..0 => Err(Errno::EINVAL),
        0 => Ok(Arc::clone(&cx.process)),
        _ => cx.kernel().task_by_guest_tid(pid).map(|task| Arc::clone(&task.process)).ok_or(Errno::ESRCH),
    }
}

/// Whether the caller may change another's scheduling (kernel/sched/syscalls.c check_same_owner).
fn owns(cx: &Cx, target: &Process) -> bool {
    let (me, other) = (cx.credentials(), target.credentials());
    me.euid == other.euid || me.euid == other.ruid || me.has_in(&other.user_ns, Cap::SYS_NICE)
}

/// Has the host change a thread, if the caller may. It may be one that is not in the books, which has made no call
/// yet: one of the caller's own, or else by who owns all that it could be.
fn change(cx: &Cx, pid: i32) -> SysResult<Outcome> {
    match process(cx, pid) {
        Ok(target) if owns(cx, &target) => Ok(Outcome::Continue),
        Ok(_) => Err(Errno::EPERM),
        Err(errno) => {
            let is_own = || cx.kernel().thread_of(&cx.process, pid).is_ok();
            let all_own = || cx.kernel().processes().iter().all(|target| owns(cx, target));
            if all_own() || is_own() { Ok(Outcome::Continue) } else { Err(errno) }
        }
    }
}

/// As [`change`], for all of a process group; 0 is the caller's.
fn change_group(cx: &Cx, pgid: i32) -> SysResult<Outcome> {
    let pgid = if pgid == 0 { cx.process.pgid() } else { pgid };
    let allowed = cx.kernel().group(pgid).iter().all(|target| owns(cx, target));
    if allowed { Ok(Outcome::Continue) } else { Err(Errno::EPERM) }
}

/// The processes of a user, by the real id; 0 is the caller's.
fn of_user(cx: &Cx, who: i32) -> SysResult<Vec<Arc<Process>>> {
    let creds = cx.credentials();
    let uid =
        if who == 0 { creds.ruid } else { creds.user_ns.uid(who.cast_unsigned()).ok_or(Errno::ESRCH)? };
    let mut all = cx.kernel().processes();
    all.retain(|process| process.credentials().ruid == uid);
    if all.is_empty() { Err(Errno::ESRCH) } else { Ok(all) }
}

/// A thread's nice value, by the host's stat line.
fn nice_of(cx: &Cx, task: &Task) -> i32 {
    const STAT_LEN: usize = 1024;
    // The 19th field; counted from behind the name, which may hold anything.
    const NICE: usize = 19 - 3;
    let mut stat = Vec::new();
    // A thread that is gone counts for nothing.
    let _ = cx.kernel().platform.read_proc(task.tid, ProcFile::Stat, STAT_LEN, &mut stat);
    let name_end = stat.iter().rposition(|&b| b == b')').map_or(0, |at| at + 1);
    let rest = String::from_utf8_lossy(stat.get(name_end..).unwrap_or_default());
    rest.split_ascii_whitespace().nth(NICE).and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// getpriority(2) of a user: 40 for nice -20 down to 1 for nice 19, the highest of all processes.
pub(crate) fn sys_getpriority(cx: &Cx, which: u32, who: i32) -> SysResult<Outcome> {
    match which {
        // The host knows; under `--strict` these calls come here.
        PRIO_PROCESS | PRIO_PGRP => return Ok(Outcome::Continue),
        PRIO_USER => {}
        _ => return Err(Errno::EINVAL),
    }
    let processes = of_user(cx, who)?;
    let nice = processes.iter().flat_map(|process| process.tasks()).map(|task| nice_of(cx, &task)).min();
    Ok((20 - nice.unwrap_or(0)).into())
}

/// setpriority(2); kernel/sys.c set_one_prio.
pub(crate) fn sys_setpriority(cx: &Cx, which: u32, who: i32, prio: i32) -> SysResult<Outcome> {
    match which {
        PRIO_PROCESS => change(cx, who),
        PRIO_PGRP => change_group(cx, who),
        PRIO_USER => set_user_priority(cx, who, prio.clamp(-20, 19)).map(Into::into),
        _ => Err(Errno::EINVAL),
    }
}

fn set_user_priority(cx: &Cx, who: i32, nice: i32) -> SysResult<()> {
    let mut result = Ok(());
    for target in of_user(cx, who)? {
        if !owns(cx, &target) {
            result = Err(Errno::EPERM);
            continue;
        }
        for task in target.tasks() {
            if nice < nice_of(cx, &task) {
                result = Err(Errno::EACCES);
            } else {
                // A thread that is gone needs none.
                let _ = cx.kernel().platform.set_nice(task.tid, nice);
            }
        }
    }
    result
}

/// sched_setscheduler(2).
pub(crate) fn sys_sched_setscheduler(cx: &Cx, pid: i32, policy: i32, param: u64) -> SysResult<Outcome> {
    check_pointer(param)?;
    if policy < 0 || pid < 0 || param == 0 { Err(Errno::EINVAL) } else { change(cx, pid) }
}

/// sched_setparam(2).
pub(crate) fn sys_sched_setparam(cx: &Cx, pid: i32, param: u64) -> SysResult<Outcome> {
    check_pointer(param)?;
    if pid < 0 || param == 0 { Err(Errno::EINVAL) } else { change(cx, pid) }
}

/// sched_setattr(2).
pub(crate) fn sys_sched_setattr(cx: &Cx, pid: i32, attr: u64, flags: u32) -> SysResult<Outcome> {
    check_pointer(attr)?;
    if pid < 0 || attr == 0 || flags != 0 { Err(Errno::EINVAL) } else { change(cx, pid) }
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

/// ioprio_set(2). Who is meant by a user is not known to the host: of a user with one process only.
pub(crate) fn sys_ioprio_set(cx: &Cx, which: i32, who: i32, ioprio: u32) -> SysResult<Outcome> {
    match which {
        IOPRIO_WHO_PROCESS => change(cx, who),
        IOPRIO_WHO_PGRP => change_group(cx, who),
        IOPRIO_WHO_USER => {
            let processes = of_user(cx, who)?;
            let is_caller = |process: &Arc<Process>| Arc::ptr_eq(process, &cx.process);
            if !processes.iter().all(is_caller) {
                return Err(Errno::EPERM);
            }
            Ok(Outcome::Substitute { nr: IOPRIO_SET, args: [1, 0, ioprio.into(), 0, 0, 0] })
        }
        _ => Err(Errno::EINVAL),
    }
}

/// ioprio_get(2) of a user: what the caller has, who is the only one that the host is asked about.
pub(crate) fn sys_ioprio_get(cx: &Cx, which: i32, who: i32) -> SysResult<Outcome> {
    match which {
        // The host knows; under `--strict` these calls come here.
        IOPRIO_WHO_PROCESS | IOPRIO_WHO_PGRP => Ok(Outcome::Continue),
        IOPRIO_WHO_USER => {
            of_user(cx, who)?;
            Ok(Outcome::Substitute { nr: IOPRIO_GET, args: [1, 0, 0, 0, 0, 0] })
        }
        _ => Err(Errno::EINVAL),
    }
}

/// sched_setaffinity(2).
pub(crate) fn sys_sched_setaffinity(cx: &Cx, pid: i32, _cpusetsize: u32, mask: u64) -> SysResult<Outcome> {
    check_pointer(mask)?;
    change(cx, pid)
}

/// sched_getaffinity(2): anybody's may be read.
pub(crate) fn sys_sched_getaffinity(_cx: &Cx, _pid: i32, _cpusetsize: u32, mask: u64) -> SysResult<Outcome> {
    check_pointer(mask)?;
    Ok(Outcome::Continue)
}
