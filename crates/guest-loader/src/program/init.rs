//! Pid 1 of `palisade do`: forks the command and reaps.
//!
//! Signals need no care: the host kernel drops every signal to a pid-namespace init that has no handler for
//! it (Linux v6.12 kernel/signal.c:sig_task_ignored), except SIGKILL from outside.

use crate::protocol::{EVENT_ATTACH, EVENT_CONTINUED, EVENT_EXITED, EVENT_STOPPED, FAILED_FORK};
use crate::{Failure, sys};

const STATUS_CONTINUED: u32 = 0xffff;
const STATUS_STOPPED: u32 = 0x7f;

/// Returns in the main child only.
pub(crate) fn fork_and_reap() -> Result<(), Failure> {
    let main = sys::fork().map_err(|errno| Failure { step: FAILED_FORK, errno, index: 0 })?;
    if main == 0 {
        sys::lead_process_group();
        sys::init_event(EVENT_ATTACH, 0, 0);
        return Ok(());
    }
    loop {
        match sys::wait() {
            Ok((pid, status)) if pid == main => report(pid, status),
            // An orphan that came to us, or an interrupted wait.
            Ok(_) | Err(sys::EINTR) => {}
            // ECHILD: cannot be while the main child lives.
            Err(_) => sys::exit_group(127),
        }
    }
}

/// Tells the supervisor; returns unless the main child is dead.
fn report(pid: u64, status: u32) {
    if status == STATUS_CONTINUED {
        sys::init_event(EVENT_CONTINUED, pid, status);
    } else if status & 0xff == STATUS_STOPPED {
        sys::init_event(EVENT_STOPPED, pid, status);
    } else {
        sys::init_event(EVENT_EXITED, pid, status);
        let signal = status & 0x7f;
        let code = if signal == 0 { (status >> 8) & 0xff } else { 128 + signal };
        sys::exit_group(u64::from(code));
    }
}
