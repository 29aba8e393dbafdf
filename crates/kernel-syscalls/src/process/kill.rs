//! kill(2) and its kin: checked here, performed by the host, so that si_pid is right. What a siginfo
//! argument holds is read by the host alone, which enforces its rules about si_code.

use abi_linux::{Errno, SysResult};
use kernel_task::kill::Kill;

use super::check_pointer;
use crate::cx::{Cx, Outcome};

fn outcome(kill: Kill) -> Outcome {
    match kill {
        Kill::ByHost => Outcome::Continue,
        Kill::Done => Outcome::Value(0),
    }
}

/// kill(2).
pub(crate) fn sys_kill(cx: &Cx, pid: i32, sig: i32) -> SysResult<Outcome> {
    cx.kill(pid, sig).map(outcome)
}

/// tkill(2).
pub(crate) fn sys_tkill(cx: &Cx, tid: i32, sig: i32) -> SysResult<Outcome> {
    cx.kill_thread(None, tid, sig).map(outcome)
}

/// tgkill(2).
pub(crate) fn sys_tgkill(cx: &Cx, tgid: i32, tid: i32, sig: i32) -> SysResult<Outcome> {
    cx.kill_thread(Some(tgid), tid, sig).map(outcome)
}

/// rt_sigqueueinfo(2).
pub(crate) fn sys_rt_sigqueueinfo(cx: &Cx, tgid: i32, sig: i32, info: u64) -> SysResult<Outcome> {
    check_pointer(info)?;
    if tgid <= 0 {
        return Err(Errno::ESRCH);
    }
    cx.kill_process(tgid, sig).map(outcome)
}

/// rt_tgsigqueueinfo(2).
pub(crate) fn sys_rt_tgsigqueueinfo(cx: &Cx, tgid: i32, tid: i32, sig: i32, info: u64) -> SysResult<Outcome> {
    check_pointer(info)?;
    cx.kill_thread(Some(tgid), tid, sig).map(outcome)
}
