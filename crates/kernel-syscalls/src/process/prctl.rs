//! prctl(2). What concerns identity is kept here; what concerns the caller's own memory and timers is the
//! host's; everything else answers EINVAL, as a kernel built without it, or of this architecture, would.

use std::sync::atomic::Ordering;

use abi_linux::raw::prctl::{
    PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, PR_CAP_AMBIENT_IS_SET, PR_CAP_AMBIENT_LOWER,
    PR_CAP_AMBIENT_RAISE, PR_CAPBSET_DROP, PR_CAPBSET_READ, PR_GET_CHILD_SUBREAPER, PR_GET_DUMPABLE,
    PR_GET_IO_FLUSHER, PR_GET_KEEPCAPS, PR_GET_MDWE, PR_GET_MEMORY_MERGE, PR_GET_NAME, PR_GET_NO_NEW_PRIVS,
    PR_GET_PDEATHSIG, PR_GET_SECCOMP, PR_GET_SECUREBITS, PR_GET_SPECULATION_CTRL, PR_GET_THP_DISABLE,
    PR_GET_TID_ADDRESS, PR_GET_TIMERSLACK, PR_GET_TIMING, PR_GET_TSC, PR_MCE_KILL, PR_MCE_KILL_GET,
    PR_SET_CHILD_SUBREAPER, PR_SET_DUMPABLE, PR_SET_IO_FLUSHER, PR_SET_KEEPCAPS, PR_SET_MDWE,
    PR_SET_MEMORY_MERGE, PR_SET_MM, PR_SET_NAME, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, PR_SET_SECCOMP,
    PR_SET_SECUREBITS, PR_SET_SPECULATION_CTRL, PR_SET_THP_DISABLE, PR_SET_TIMERSLACK, PR_SET_TIMING,
    PR_SET_TSC, PR_SET_VMA, PR_TASK_PERF_EVENTS_DISABLE, PR_TASK_PERF_EVENTS_ENABLE,
};
use abi_linux::signal::NSIG;
use abi_linux::{Errno, SysResult};
use kernel_base::cred::{CapSet, Credentials};
use kernel_base::user::{UserCStr, UserRef};
use kernel_task::credentials;
use kernel_task::settings::TIMER_SLACK_NS;

use super::check_pointer;
use crate::cx::{Cx, Outcome};
use crate::stub;

const COMM_LEN: usize = 16;

/// prctl(2).
pub(crate) fn sys_prctl(cx: &Cx, op: i32, arg2: u64, arg3: u64, arg4: u64, arg5: u64) -> SysResult<Outcome> {
    let op = op.cast_unsigned();
    let rest = [arg2, arg3, arg4, arg5];
    match op {
        PR_SET_NAME => set_name(cx, arg2),
        PR_GET_NAME => cx.mem().write(UserRef::new(arg2), &cx.comm()).map(Into::into),
        PR_SET_PDEATHSIG | PR_GET_PDEATHSIG => death_signal(cx, op, arg2),
        PR_GET_DUMPABLE => Ok(cx.process.dumpable.load(Ordering::Relaxed).into()),
        PR_SET_DUMPABLE => set_dumpable(cx, arg2),
        PR_SET_NO_NEW_PRIVS | PR_GET_NO_NEW_PRIVS => no_new_privs(cx, op, rest),
        PR_SET_CHILD_SUBREAPER => {
            cx.process.child_subreaper.store(arg2 != 0, Ordering::Relaxed);
            Ok(Outcome::Continue)
        }
        PR_GET_CHILD_SUBREAPER => {
            let value = i32::from(cx.process.child_subreaper.load(Ordering::Relaxed));
            cx.mem().write(UserRef::new(arg2), &value).map(Into::into)
        }
        PR_GET_SECCOMP => Ok(cx.seccomp().number().into()),
        PR_SET_SECCOMP => super::seccomp::set_mode(cx, arg2, arg3),
        PR_GET_TIMING | PR_TASK_PERF_EVENTS_DISABLE | PR_TASK_PERF_EVENTS_ENABLE => Ok(Outcome::Value(0)),
        PR_SET_TIMING if arg2 == 0 => Ok(Outcome::Value(0)),
        PR_SET_MM => set_mm(cx, arg2),
        // CAP_SYS_RESOURCE is for those who own the machine.
        PR_SET_IO_FLUSHER | PR_GET_IO_FLUSHER => Err(Errno::EPERM),
        // Pages merged with another container's would tell what it holds.
        PR_SET_MEMORY_MERGE | PR_GET_MEMORY_MERGE => Err(Errno::EINVAL),
        PR_SET_TIMERSLACK => {
            // 0 and less are the value that the process began with, which is everybody's.
            let slack_ns = if arg2.cast_signed() <= 0 { TIMER_SLACK_NS } else { arg2 };
            if cx.is_leader() {
                cx.process.settings.timer_slack_ns.store(slack_ns, Ordering::Relaxed);
            }
            Ok(Outcome::Continue)
        }
        _ if is_hosts(op) => {
            // All that may be followed is the caller's own.
            rest.into_iter()
                .try_for_each(|arg| if takes_pointers(op) { check_pointer(arg) } else { Ok(()) })?;
            Ok(Outcome::Continue)
        }
        _ => capabilities(cx, op, rest),
    }
}

/// What concerns the caller's own timers, faults, speculation and memory: the host's, and harmless.
fn is_hosts(op: u32) -> bool {
    takes_pointers(op)
        || matches!(
            op,
            PR_GET_TIMERSLACK
                | PR_SET_THP_DISABLE
                | PR_GET_THP_DISABLE
                | PR_SET_TSC
                | PR_MCE_KILL
                | PR_MCE_KILL_GET
                | PR_GET_SPECULATION_CTRL
                | PR_SET_SPECULATION_CTRL
                | PR_SET_MDWE
                | PR_GET_MDWE
        )
}

/// Of these, what takes addresses.
const fn takes_pointers(op: u32) -> bool {
    matches!(op, PR_GET_TSC | PR_GET_TID_ADDRESS | PR_SET_VMA)
}

/// PR_SET_MM: not the host's, by whose auxiliary vector one image is told from the next. As in a kernel without
/// checkpoints, and of whom CAP_SYS_RESOURCE does not count.
fn set_mm(cx: &Cx, what: u64) -> SysResult<Outcome> {
    const PR_SET_MM_MAP: u64 = 14;
    const PR_SET_MM_MAP_SIZE: u64 = 15;
    let errno = if matches!(what, PR_SET_MM_MAP | PR_SET_MM_MAP_SIZE) { Errno::EINVAL } else { Errno::EPERM };
    stub::counted(cx, errno)
}

fn set_name(cx: &Cx, name: u64) -> SysResult<Outcome> {
    let mut comm = [0; COMM_LEN];
    // A name may end right before an unmapped page; longer ones are cut.
    let read = cx.mem().read_cstr(UserCStr(name), COMM_LEN - 1, Errno::ERANGE);
    match read {
        Ok(name) => comm[..name.len()].copy_from_slice(&name),
        Err(Errno::ERANGE) => cx.mem().read_bytes(name, &mut comm[..COMM_LEN - 1])?,
        Err(errno) => return Err(errno),
    }
    cx.set_comm(&comm);
    Ok(Outcome::Value(0))
}

/// The first process's real death signal ends the sandbox with its supervisor; what that process asks for
/// could never come, since its parent is outside.
fn death_signal(cx: &Cx, op: u32, arg: u64) -> SysResult<Outcome> {
    let books = (cx.process.pid == 1).then_some(&cx.process.death_signal);
    if op == PR_SET_PDEATHSIG {
        let signal = i32::try_from(arg).ok().filter(|&n| n <= i32::from(NSIG)).ok_or(Errno::EINVAL)?;
        let Some(books) = books else { return Ok(Outcome::Continue) };
        books.store(signal, Ordering::Relaxed);
        return Ok(Outcome::Value(0));
    }
    check_pointer(arg)?;
    let Some(books) = books else { return Ok(Outcome::Continue) };
    let signal = books.load(Ordering::Relaxed);
    cx.mem().write(UserRef::new(arg), &signal).map(Into::into)
}

fn set_dumpable(cx: &Cx, value: u64) -> SysResult<Outcome> {
    let value = u32::try_from(value).ok().filter(|&value| value <= 1).ok_or(Errno::EINVAL)?;
    cx.process.dumpable.store(value, Ordering::Relaxed);
    Ok(Outcome::Value(0))
}

fn no_new_privs(cx: &Cx, op: u32, [arg2, arg3, arg4, arg5]: [u64; 4]) -> SysResult<Outcome> {
    let expected = u64::from(op == PR_SET_NO_NEW_PRIVS);
    if [arg2, arg3, arg4, arg5] != [expected, 0, 0, 0] {
        return Err(Errno::EINVAL);
    }
    if op == PR_GET_NO_NEW_PRIVS {
        return Ok(i32::from(cx.credentials().no_new_privs).into());
    }
    change(cx, |old| Ok(Credentials { no_new_privs: true, ..old.clone() }))
}

fn change(cx: &Cx, rule: impl FnOnce(&Credentials) -> SysResult<Credentials>) -> SysResult<Outcome> {
    cx.change_credentials(rule)?;
    Ok(Outcome::Value(0))
}

/// Securebits and capability sets (security/commoncap.c cap_task_prctl).
fn capabilities(cx: &Cx, op: u32, args: [u64; 4]) -> SysResult<Outcome> {
    let [arg2, arg3, arg4, arg5] = args;
    let present = cx.credentials();
    match op {
        PR_CAPBSET_READ => {
            let cap = credentials::capability(arg2)?;
            Ok(i32::from(present.bounding.contains(cap)).into())
        }
        PR_CAPBSET_DROP => change(cx, |old| credentials::drop_bounding(old, arg2)),
        PR_GET_SECUREBITS => Ok(present.securebits.into()),
        PR_SET_SECUREBITS => change(cx, |old| credentials::set_securebits(old, arg2)),
        PR_GET_KEEPCAPS => Ok(i32::from(credentials::keeps_caps(&present)).into()),
        PR_SET_KEEPCAPS => change(cx, |old| credentials::set_keep_caps(old, arg2)),
        PR_CAP_AMBIENT => ambient(cx, arg2, [arg3, arg4, arg5]),
        _ => stub::counted(cx, Errno::EINVAL),
    }
}

fn ambient(cx: &Cx, command: u64, [number, arg4, arg5]: [u64; 3]) -> SysResult<Outcome> {
    let command = u32::try_from(command).map_err(|_| Errno::EINVAL)?;
    if command == PR_CAP_AMBIENT_CLEAR_ALL {
        if [number, arg4, arg5] != [0; 3] {
            return Err(Errno::EINVAL);
        }
        return change(cx, |old| Ok(Credentials { ambient: CapSet::EMPTY, ..old.clone() }));
    }
    let cap = credentials::capability(number)?;
    if arg4 != 0 || arg5 != 0 {
        return Err(Errno::EINVAL);
    }
    match command {
        PR_CAP_AMBIENT_IS_SET => Ok(i32::from(cx.credentials().ambient.contains(cap)).into()),
        PR_CAP_AMBIENT_RAISE => change(cx, |old| credentials::raise_ambient(old, cap)),
        PR_CAP_AMBIENT_LOWER => {
            change(cx, |old| Ok(Credentials { ambient: old.ambient.without(cap), ..old.clone() }))
        }
        _ => Err(Errno::EINVAL),
    }
}
