//! rt_sigaction(2). The host keeps handlers and calls them; `kernel_task::signal_actions` says why it is not always
//! given what the guest asks for.

use abi_linux::raw::general::__NR_rt_sigaction;
use abi_linux::signal::{Action, Signal};
use abi_linux::{Errno, SysResult};
use kernel_base::user::UserRef;

use crate::cx::{Cx, Outcome};
use crate::process::check_pointer;

/// The fifth register, which Linux ignores, of a call that the host is to perform: the table's `when key in …`.
const KEY: u64 = 0x5041_4c49_5341_4445;
const SIGSET_SIZE: usize = 8;

/// rt_sigaction(2). Linux v6.18 kernel/signal.c:rt_sigaction, do_sigaction.
pub(crate) fn sys_rt_sigaction(
    cx: &Cx,
    signum: i32,
    act: UserRef<Action>,
    oldact: UserRef<Action>,
    sigsetsize: usize,
    _key: u64,
) -> SysResult<Outcome> {
    if sigsetsize != SIGSET_SIZE {
        return Err(Errno::EINVAL);
    }
    let signal = Signal::new(signum);
    if let Some(signal) = signal
        && cx.leaves_actions_to_the_host()
        && oldact.is_null()
    {
        check_pointer(act.addr())?;
        cx.forget_interrupting_action(signal);
        return Ok(Outcome::Continue);
    }
    let asked = act.non_null().map(|act| cx.mem().read(act)).transpose()?;
    let signal = signal.ok_or(Errno::EINVAL)?;
    if asked.is_some() && matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) {
        return Err(Errno::EINVAL);
    }
    check_pointer(oldact.addr())?;
    let previous = cx.interrupting_action(signal);
    match (asked, previous) {
        // The host's answer is right.
        (None, None) => Ok(Outcome::Continue),
        (None, Some(previous)) => {
            report(cx, oldact, &previous)?;
            Ok(Outcome::Value(0))
        }
        (Some(asked), None) if !asked.interrupts() => Ok(Outcome::Continue),
        (Some(asked), previous) => install(cx, signal, asked, previous, [act, oldact]),
    }
}

/// Has the host install what the signal page holds.
fn install(
    cx: &Cx,
    signal: Signal,
    asked: Action,
    previous: Option<Action>,
    [act, oldact]: [UserRef<Action>; 2],
) -> SysResult<Outcome> {
    if previous.is_some() && !asked.interrupts() && oldact.is_null() {
        cx.forget_interrupting_action(signal);
        return Ok(Outcome::Continue);
    }
    let Some(staged) = cx.stage_action(signal, asked) else {
        // The guest has taken the page away, or never had one.
        cx.forget_interrupting_action(signal);
        return Ok(Outcome::Continue);
    };
    debug_assert_ne!(staged, act.addr());
    let host_oldact = match previous {
        Some(previous) => {
            report(cx, oldact, &previous)?;
            0
        }
        None => oldact.addr(),
    };
    let args = [signal.raw() as u64, staged, host_oldact, SIGSET_SIZE as u64, KEY, 0];
    Ok(Outcome::Substitute { nr: __NR_rt_sigaction as i32, args })
}

fn report(cx: &Cx, oldact: UserRef<Action>, action: &Action) -> SysResult<()> {
    oldact.non_null().map_or(Ok(()), |at| cx.mem().write(at, action))
}
