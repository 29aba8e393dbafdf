//! Job control: who may use the terminal now (drivers/tty/tty_jobctrl.c, Linux v6.18).
//!
//! Where Linux raises SIGTTIN or SIGTTOU at the caller's group and returns ERESTARTSYS, this raises it and
//! answers EAGAIN: the call parks, the signal that is now pending interrupts it, and it is restarted when
//! the group runs again. Nothing has been read or written by then, so the restart is exact. EAGAIN must not
//! reach a guest from here: O_NONBLOCK doesn't exempt a background process on Linux, and ioctl(2) has no
//! EAGAIN at all. So whoever gets EAGAIN from a terminal asks [`super::job_control_blocks`] and parks if it
//! says so.

use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;

use super::Operation;
use super::pty::Pty;
use super::termios::TOSTOP;

/// What job control says of a caller.
enum Verdict {
    Allowed,
    Fails,
    Stops,
}

impl Pty {
    fn judge(&self, who: &dyn Caller, signal: Signal) -> Verdict {
        // The caller is asked with no lock held: the answer may lie behind locks of kernel-task.
        let (sid, pgid) = (who.terminal_session(), who.pgid());
        let (session, foreground) = {
            let state = self.state.lock();
            (state.session, state.pgrp)
        };
        if session == 0 || session != sid || foreground == 0 || foreground == pgid {
            return Verdict::Allowed;
        }
        if who.blocks_or_ignores(signal) {
            return if signal == Signal::SIGTTIN { Verdict::Fails } else { Verdict::Allowed };
        }
        if who.group_is_orphaned() { Verdict::Fails } else { Verdict::Stops }
    }

    /// __tty_check_change: SIGTTIN before a read, SIGTTOU before a change (or a write under TOSTOP).
    pub(super) fn check_change(&self, who: &dyn Caller, signal: Signal) -> SysResult<()> {
        match self.judge(who, signal) {
            Verdict::Allowed => Ok(()),
            Verdict::Fails => Err(Errno::EIO),
            Verdict::Stops => {
                who.raise_group(who.pgid(), signal)?;
                Err(Errno::EAGAIN)
            }
        }
    }

    /// Whether an operation of `who` that just answered EAGAIN did so because it is in the background.
    pub(super) fn stops(&self, who: &dyn Caller, operation: Operation) -> bool {
        let signal = match operation {
            Operation::Read => Signal::SIGTTIN,
            Operation::Write if !self.state.lock().termios.local(TOSTOP) => return false,
            Operation::Write | Operation::Change => Signal::SIGTTOU,
        };
        matches!(self.judge(who, signal), Verdict::Stops)
    }
}
