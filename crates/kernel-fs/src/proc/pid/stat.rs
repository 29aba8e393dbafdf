//! stat, statm and the other numbers of a process: the host's, with the container's ids.

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use platform_api::ProcFile;

use super::{Target, host};
use crate::pseudo::text;

/// Nanoseconds of a clock tick (USER_HZ is 100).
const TICK_NS: u64 = 10_000_000;

/// What a process does, as its state letter. A thread in an emulated call waits "killable", which the host
/// shows as D; for the guest it sleeps. A thread that the supervisor holds for a moment (t) runs.
pub(super) fn state(target: &Target, who: &dyn Caller, hosts: u8) -> u8 {
    match hosts {
        _ if target.is_caller(who) => b'R',
        b'D' => b'S',
        b't' => b'R',
        other => other,
    }
}

/// Fields whose values only who may ptrace the process sees (fs/proc/array.c do_task_stat, `permitted`),
/// numbered as in proc_pid_stat(5); 26 and 27 show 1 then, the others 0.
const ADDRESSES: [usize; 14] = [26, 27, 28, 29, 30, 35, 45, 46, 47, 48, 49, 50, 51, 52];

pub(super) fn stat(target: &Target, who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    let text = target.host_file(ProcFile::Stat)?;
    // The name may hold spaces and parentheses: the last one ends it.
    let end = text.iter().rposition(|&b| b == b')').ok_or(Errno::ESRCH)?;
    let rest = text.get(end + 1..).unwrap_or_default();
    let terminal = target.proc.options.hooks.terminal_of(target.process.terminal_session());
    let open = target.may_inspect(who);
    let boot_ticks = target.proc.boot_boottime_ns / TICK_NS;
    text!(out, "{} (", target.id());
    out.extend_from_slice(&target.comm());
    out.push(b')');
    let rest = rest.strip_suffix(b"\n").unwrap_or(rest);
    for (field, word) in (3_usize..).zip(host::words(rest)) {
        out.push(b' ');
        match field {
            3 => out.push(state(target, who, word.first().copied().unwrap_or(b'S'))),
            4 => text!(out, "{}", target.process.ppid()),
            5 => text!(out, "{}", target.process.pgid()),
            6 => text!(out, "{}", target.process.sid()),
            7 => text!(out, "{}", terminal.map_or(0, |terminal| terminal.rdev)),
            8 => text!(out, "{}", terminal.map_or(-1, |terminal| terminal.foreground)),
            22 => text!(out, "{}", host::number(word).unwrap_or(0).saturating_sub(boot_ticks)),
            26 | 27 if !open => out.push(b'1'),
            _ if !open && ADDRESSES.contains(&field) => out.push(b'0'),
            _ => out.extend_from_slice(word),
        }
    }
    out.push(b'\n');
    Ok(())
}

pub(super) fn statm(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    out.append(&mut target.host_file(ProcFile::Statm)?);
    Ok(())
}

pub(super) fn schedstat(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    out.append(&mut target.host_file(ProcFile::Schedstat)?);
    Ok(())
}

pub(super) fn io(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    out.append(&mut target.host_file(ProcFile::Io)?);
    Ok(())
}

/// The host waits in its seccomp code; of the guest's kernel there is no such thing to tell.
pub(super) fn wchan(_target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    out.push(b'0');
    Ok(())
}

/// The call that a thread waits in, or "running" (fs/proc/base.c proc_pid_syscall).
pub(super) fn syscall(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    out.append(&mut target.host_file(ProcFile::Syscall)?);
    Ok(())
}

/// The host's numbers below a heading of ours (kernel/sched/debug.c proc_sched_show_task).
pub(super) fn sched(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    let text = target.host_file(ProcFile::Sched)?;
    out.extend_from_slice(&target.comm());
    text!(out, " ({}, #threads: {})\n", target.id(), super::task::threads(target).len());
    for line in host::lines(&text).skip(1) {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    Ok(())
}
